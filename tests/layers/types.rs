//! Holds that the name of a public type says which one it is: no other file defines a type of
//! that name, public or private, so that two of them never meet in one file.

use std::collections::BTreeMap;

use crate::{Tree, code_of, is_word, product_of};

/// The names that are defined in several files, of which one makes it public: a line each.
pub fn ambiguous(tree: &Tree) -> Vec<String> {
    let mut types = BTreeMap::<String, BTreeMap<&str, bool>>::new();
    for (path, text) in
        tree.iter().filter(|(path, _)| !path.ends_with("tests.rs") && !path.contains("/tests/"))
    {
        for (name, public) in definitions(&product_of(&code_of(text))) {
            *types.entry(name).or_default().entry(path).or_default() |= public;
        }
    }
    let is_ambiguous = |files: &BTreeMap<&str, bool>| files.len() > 1 && files.values().any(|&public| public);
    let line = |(name, files): (&String, &BTreeMap<&str, bool>)| {
        format!("{name}: {}", files.keys().copied().collect::<Vec<_>>().join(", "))
    };
    types.iter().filter(|(_, files)| is_ambiguous(files)).map(line).collect()
}

/// The types that begin a line, each with whether it is public.
fn definitions(code: &str) -> Vec<(String, bool)> {
    let of_line = |line: &str| {
        let rest = line.strip_prefix("pub").filter(|rest| !rest.starts_with(is_word));
        let public = rest.is_some();
        let mut rest = rest.unwrap_or(line);
        if let Some(within) = rest.strip_prefix('(') {
            rest = &within[within.find(')')? + 1..];
        }
        let mut words = rest.split_whitespace().skip_while(|&word| word == "unsafe");
        let kind = words.next()?;
        let is_type = ["struct", "enum", "union", "trait", "type"].contains(&kind);
        let name = words.next().filter(|_| is_type)?.split(|c| !is_word(c)).next()?;
        Some((name.to_owned(), public))
    };
    code.lines().filter(|line| !line.starts_with(' ')).filter_map(of_line).collect()
}
