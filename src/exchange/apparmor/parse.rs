//! The text of an AppArmor profile as statements (apparmor.d(5)): words that end with a comma or begin
//! a block. What the words mean, the parent module says.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::CharIndices;

use crate::exchange::ConversionError;

/// A statement: its words, and the block that it begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    /// The number of its first line, from 1.
    pub line: usize,
    /// Its words, quotes and all that is in brackets with them.
    pub words: Vec<String>,
    /// The statements of its block.
    pub block: Option<Vec<Statement>>,
}

/// A file: definitions of variables, and statements.
#[derive(Debug, Default)]
pub struct RuleFile {
    /// The values of each variable, by its name without `@{}`.
    pub variables: BTreeMap<String, Vec<String>>,
    /// The statements outside of blocks.
    pub statements: Vec<Statement>,
}

/// The deepest nesting of blocks, and the longest word.
const DEEPEST: usize = 8;
const LONGEST: usize = 4096;

/// Splits a text into statements.
///
/// # Errors
/// A block, a quotation or a bracket has no end, or is nested too deep.
pub fn parse(text: &str) -> Result<RuleFile, ConversionError> {
    let mut parser =
        Parser { text, chars: text.char_indices().peekable(), line: 1, variables: BTreeMap::new() };
    let statements = parser.statements(0)?;
    Ok(RuleFile { variables: parser.variables, statements })
}

struct Parser<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
    line: usize,
    variables: BTreeMap<String, Vec<String>>,
}

impl<'t> Parser<'t> {
    fn error<T>(&self, line: usize, what: impl std::fmt::Display) -> Result<T, ConversionError> {
        Err(ConversionError::Syntax { line, what: what.to_string() })
    }

    fn next(&mut self) -> Option<char> {
        let (_, c) = self.chars.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    /// The rest of the text, from the next character on.
    fn rest(&mut self) -> &'t str {
        match self.chars.peek() {
            Some((at, _)) => &self.text[*at..],
            None => "",
        }
    }

    /// The rest of the line, without a comment.
    fn line(&mut self) -> String {
        let mut line = String::new();
        while let Some(c) = self.peek().filter(|c| *c != '\n') {
            line.push(c);
            self.next();
        }
        line.split('#').next().unwrap_or_default().trim().to_owned()
    }

    fn statements(&mut self, depth: usize) -> Result<Vec<Statement>, ConversionError> {
        let began = self.line;
        if depth > DEEPEST {
            return self.error(began, format!("blocks are nested deeper than {DEEPEST}"));
        }
        let mut statements = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut line = self.line;
        loop {
            let Some(c) = self.peek() else {
                return match (depth, words.first()) {
                    (0, None) => Ok(statements),
                    (0, Some(word)) => self.error(line, format!("{} has no \",\" at its end", shown(word))),
                    _ => self.error(began, "the block that begins here has no \"}\""),
                };
            };
            if words.is_empty() {
                line = self.line;
                if let Some(statement) = self.whole_line(line) {
                    statements.extend((!statement.words.is_empty()).then_some(statement));
                    continue;
                }
            }
            match c {
                '#' => drop(self.line()),
                ',' => {
                    self.next();
                    if !words.is_empty() {
                        statements.push(Statement { line, words: std::mem::take(&mut words), block: None });
                    }
                }
                '}' => {
                    self.next();
                    if depth == 0 {
                        return self.error(line, "\"}\" ends no block");
                    }
                    if let Some(word) = words.first() {
                        return self.error(line, format!("{} has no \",\" at its end", shown(word)));
                    }
                    return Ok(statements);
                }
                '{' if self.begins_block() => {
                    self.next();
                    let block = self.statements(depth + 1)?;
                    statements.push(Statement {
                        line,
                        words: std::mem::take(&mut words),
                        block: Some(block),
                    });
                }
                c if c.is_whitespace() => drop(self.next()),
                _ => words.push(self.word()?),
            }
        }
    }

    /// An include or a definition of a variable, which end with their line. Definitions are stored,
    /// and give a statement without words.
    fn whole_line(&mut self, line: usize) -> Option<Statement> {
        let rest = self.rest();
        if ["include ", "include\t", "#include ", "#include\t"].iter().any(|word| rest.starts_with(word)) {
            // The `#` of an old include is no comment.
            if rest.starts_with('#') {
                self.next();
            }
            let words = self.line().trim_end_matches(',').split_whitespace().map(str::to_owned).collect();
            return Some(Statement { line, words, block: None });
        }
        let first = rest.lines().next().unwrap_or_default();
        let (name, values) = first.strip_prefix("@{")?.split_once('}')?;
        let values = values.trim_start();
        let added = values.strip_prefix("+=");
        let values = added.or_else(|| values.strip_prefix('='))?;
        let values = values.split('#').next().unwrap_or_default().split_whitespace();
        let values = values.map(|value| unquoted(value).to_owned());
        let all = self.variables.entry(name.to_owned()).or_default();
        if added.is_none() {
            all.clear();
        }
        all.extend(values);
        self.line();
        Some(Statement { line, words: Vec::new(), block: None })
    }

    /// Whether a brace begins a block, and not a pattern such as `{a,b}`.
    fn begins_block(&mut self) -> bool {
        self.rest()[1..].chars().next().is_none_or(|c| c.is_whitespace() || c == '#' || c == '}')
    }

    fn word(&mut self) -> Result<String, ConversionError> {
        let line = self.line;
        let mut word = String::new();
        let mut open: Vec<char> = Vec::new();
        while let Some(c) = self.peek() {
            let in_text = open.last() == Some(&'"');
            match c {
                '\n' if !open.is_empty() && open.last() != Some(&'(') => break,
                ',' if open.is_empty() => break,
                '}' if open.is_empty() => break,
                c if c.is_whitespace() && open.is_empty() => break,
                '"' if in_text => drop(open.pop()),
                _ if in_text => {}
                '"' | '{' | '[' | '(' => open.push(c),
                '}' | ']' | ')' => {
                    let matching = match c {
                        '}' => '{',
                        ']' => '[',
                        _ => '(',
                    };
                    if open.last() == Some(&matching) {
                        open.pop();
                    }
                }
                _ => {}
            }
            word.push(c);
            self.next();
            if c == '\\'
                && let Some(escaped) = self.peek().filter(|c| *c != '\n')
            {
                word.push(escaped);
                self.next();
            }
            if word.len() > LONGEST {
                return self.error(line, format!("a word is longer than {LONGEST} bytes"));
            }
        }
        match open.first() {
            None => Ok(word),
            Some(bracket) => self.error(line, format!("{bracket} in {} has no end", shown(&word))),
        }
    }
}

/// A word without its quotes.
pub fn unquoted(word: &str) -> &str {
    word.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or(word)
}

/// The beginning of a word, for a message.
fn shown(word: &str) -> String {
    let start: String = word.chars().take(40).collect();
    format!("{start:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_with_commas_lines_and_blocks() {
        let file = parse(
            "# a comment\nabi <abi/4.0>,\n#include <tunables/global>\n@{LIB}=/lib /usr/lib # two\n@{LIB}+=/x\n\
             profile \"my app\" /usr/bin/{a,b} flags=(complain, attach_disconnected) {\n  \
             include <abstractions/base>\n  deny @{PROC}/{[^1-9/],*}/** w, # no\n  /a rw,capability,\n  ^hat { /b r, }\n}\n",
        )
        .expect("it is parsed");
        assert_eq!(file.variables["LIB"], ["/lib", "/usr/lib", "/x"]);
        let words: Vec<_> = file.statements.iter().map(|one| (one.line, one.words.join("|"))).collect();
        assert_eq!(
            words,
            [
                (2, "abi|<abi/4.0>".to_owned()),
                (3, "include|<tunables/global>".to_owned()),
                (6, "profile|\"my app\"|/usr/bin/{a,b}|flags=(complain, attach_disconnected)".to_owned())
            ]
        );
        let block = file.statements[2].block.as_ref().expect("a block");
        let words: Vec<_> = block.iter().map(|one| one.words.join("|")).collect();
        assert_eq!(
            words,
            ["include|<abstractions/base>", "deny|@{PROC}/{[^1-9/],*}/**|w", "/a|rw", "capability", "^hat"]
        );
        assert_eq!(block[4].block.as_ref().expect("a hat").len(), 1);
    }

    #[test]
    fn what_has_no_end_is_refused_with_its_line() {
        let deep = "a {\n".repeat(20);
        let long = format!("/{} r,", "a".repeat(5000));
        for (text, says) in [
            ("/a {\n /b r,\n", "line 1: the block that begins here has no \"}\""),
            ("\n}", "line 2: \"}\" ends no block"),
            ("/a {\n /b r\n}", "line 2: \"/b\" has no \",\" at its end"),
            ("/a { \"/b r,\n}", "line 1: \" in"),
            ("/a { /{b r,\n}", "line 1: { in"),
            (&deep, "blocks are nested deeper than 8"),
            (&long, "a word is longer than 4096 bytes"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }
}
