//! Reads a profile of AppArmor (apparmor.d(5)): its rules on files, programs, capabilities and the
//! network. Includes are named, and not followed.

mod denials;
mod glob;
mod network;
mod parse;
mod permissions;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::denials::{Denied, DenyRule};
use self::glob::{PathGlob, Pattern, globs};
use self::network::{SocketRule, SocketsOfRules};
use self::parse::{RuleFile, Statement, unquoted};
use self::permissions::{ExecTransition, Permissions};
use super::imported::{self, Imported, RightsByPath, group};
use super::{ConversionError, Converted, MAX_BYTES, Omission};
use crate::profile::{self, Capability, Entry, FileEntry, FileGroup, Program, Rights};

/// Reads one profile of a file: the one of this name, or the only one.
///
/// # Errors
/// The text is no such file, or has no such profile.
pub fn read(text: &[u8], name: Option<&str>) -> Result<Converted<(String, Imported)>, ConversionError> {
    if text.len() > MAX_BYTES {
        return Err(ConversionError::TooLong(text.len()));
    }
    let text = std::str::from_utf8(text).map_err(ConversionError::NotUtf8)?;
    let file = parse::parse(text)?;
    let mut profiles: Vec<Header> = file.statements.iter().filter_map(Header::of).collect();
    let names: Vec<String> = profiles.iter().map(|profile| profile.name.clone()).collect();
    let index = match name {
        Some(name) => names.iter().position(|known| known == name),
        None if profiles.len() == 1 => Some(0),
        None => None,
    };
    let Some(index) = index else {
        if names.is_empty() {
            let why =
                "it has no profile of its own; expected such as \"profile NAME /usr/bin/app {\"".to_owned();
            return Err(ConversionError::NotFormat { format: "AppArmor profile", why });
        }
        let wanted = name.map(str::to_owned);
        return Err(ConversionError::NotOne { pointer: "", what: "profile", wanted, names });
    };
    let header = profiles.swap_remove(index);
    let mut reader = RuleReader::new(&file);
    reader.outside(&header);
    reader.block(header.block);
    let name = header.name.clone();
    let (imported, omissions, notes) = reader.finish(&header);
    Ok(Converted { result: (name, imported), omissions, notes })
}

/// The head of a profile.
struct Header<'f> {
    line: usize,
    name: String,
    /// The pattern of the programs that it is attached to.
    attachment: Option<String>,
    others: Vec<String>,
    block: &'f [Statement],
}

impl<'f> Header<'f> {
    /// The head, where the statement begins a profile.
    fn of(statement: &'f Statement) -> Option<Header<'f>> {
        let block = statement.block.as_deref()?;
        let mut words = statement.words.iter().map(|word| unquoted(word).to_owned()).peekable();
        words.next_if(|word| word == "profile");
        let first = words.next()?;
        let mut header =
            Header { line: statement.line, name: first.clone(), attachment: None, others: Vec::new(), block };
        let is_path = |word: &str| word.starts_with('/') || word.starts_with("@{") || word.starts_with('{');
        if is_path(&first) {
            header.attachment = Some(first);
        }
        for word in words {
            match is_path(&word) {
                true => header.attachment = Some(word),
                false => header.others.push(word),
            }
        }
        Some(header)
    }
}

/// What the rules of a profile grant, as far as it has been read.
struct RuleReader<'f> {
    file: &'f RuleFile,
    files: RightsByPath,
    /// The paths in it that are directories with all below them.
    trees: BTreeSet<PathBuf>,
    denied: Vec<DenyRule>,
    /// Programs that may be executed, and whether they stay under this profile.
    programs: Vec<(PathBuf, bool)>,
    sockets: SocketsOfRules,
    capabilities: Vec<Capability>,
    groups: Vec<FileEntry>,
    /// Each with its line.
    omissions: Vec<(usize, String)>,
    notes: Vec<String>,
}

impl<'f> RuleReader<'f> {
    fn new(file: &'f RuleFile) -> RuleReader<'f> {
        RuleReader {
            file,
            files: RightsByPath::default(),
            trees: BTreeSet::new(),
            denied: Vec::new(),
            programs: Vec::new(),
            sockets: SocketsOfRules::default(),
            capabilities: Vec::new(),
            groups: vec![group(FileGroup::Runtime, "what a dynamic program needs to start")],
            omissions: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn omit(&mut self, line: usize, what: impl Into<String>) {
        self.omissions.push((line, what.into()));
    }

    /// What is outside of every profile, and flags in the head of this one.
    fn outside(&mut self, header: &Header) {
        for statement in &self.file.statements {
            let first = statement.words.first().map(String::as_str);
            if statement.block.is_none() && !matches!(first, Some("abi")) {
                self.include_or_omit(statement);
            }
        }
        for word in &header.others {
            let what = match word.as_str() {
                // Both concern paths that are resolved outside of the container's root.
                "flags=(attach_disconnected)" | "flags=(attach_disconnected,mediate_deleted)" => continue,
                word if word.contains("complain") => format!("{word}: say so by --mode audit of remit-init"),
                word => format!("{word}: has no equal"),
            };
            self.omit(header.line, what);
        }
    }

    fn include_or_omit(&mut self, statement: &Statement) {
        let words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
        let (["include", "if", "exists", what] | ["include", what]) = words[..] else {
            return self.omit(statement.line, format!("{}: has no equal", words.join(" ")));
        };
        let name = unquoted(what).trim_start_matches('<').trim_end_matches('>');
        match name {
            "tunables/global" => {}
            "abstractions/base" => {
                self.omit(statement.line, format!("include <{name}>: @runtime in its place"));
            }
            "abstractions/nameservice" => {
                self.groups
                    .push(group(FileGroup::Names, "hosts, users and services, as abstractions/nameservice"));
                self.omit(statement.line, format!("include <{name}>: @names in its place"));
            }
            _ => self.omit(
                statement.line,
                format!("include <{name}>: is not followed; add what it grants by hand"),
            ),
        }
    }

    fn block(&mut self, statements: &[Statement]) {
        for statement in statements {
            if statement.block.is_some() {
                let what = format!("{} {{…}}: a profile of its own, left out", statement.words.join(" "));
                self.omit(statement.line, what);
                continue;
            }
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        let line = statement.line;
        let mut words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
        let mut deny = false;
        while let Some(first) = words.first().copied() {
            match first {
                "deny" => deny = true,
                "owner" => self.omit(line, format!("{}: of whatever owner", words.join(" "))),
                // What is refused is reported in any case.
                "audit" | "quiet" | "allow" => {}
                _ if first.starts_with("priority=") => self.omit(line, format!("{first}: has no equal")),
                _ => break,
            }
            words.remove(0);
        }
        let Some(first) = words.first().copied() else { return };
        match first {
            "include" => self.include_or_omit(statement),
            "abi" => {}
            "capability" => self.capability(line, &words[1..], deny),
            "network" => self.sockets(line, SocketRule::new(&words[1..]), deny),
            "file" if words.len() == 1 => self.every_file(line, deny),
            "file" => self.file(line, &words[1..], deny),
            "all" if deny => {
                let sockets = SocketRule::new(&[]);
                for what in [
                    Denied::Capabilities(profile::capabilities()),
                    Denied::Sockets(sockets),
                    Denied::EveryFile,
                ] {
                    self.deny(line, "deny all".to_owned(), what);
                }
            }
            // Messages of dbus pass through unix sockets.
            "unix" | "dbus" if deny || words == ["unix"] => {
                let conditions = if first == "dbus" { &words[..] } else { &words[1..] };
                self.sockets(line, SocketRule::of_unix(words.join(" "), conditions), deny);
            }
            "signal" => {
                let what = format!(
                    "{}: signals are decided by Landlock's scope: processes in the container reach each other",
                    words.join(" ")
                );
                match deny {
                    true => self.omit(line, format!("deny {what}")),
                    false => self.notes.push(format!("line {line}: {what}")),
                }
            }
            // Whatever a profile does not have is refused.
            "mount" | "umount" | "remount" | "pivot_root" | "ptrace" | "userns" | "io_uring" | "mqueue"
            | "change_profile" | "change_hat"
                if deny => {}
            _ if is_file_rule(&words) => self.file(line, &words, deny),
            _ => self.omit(line, format!("{}: has no equal, left out", words.join(" "))),
        }
    }

    fn capability(&mut self, line: usize, names: &[&str], deny: bool) {
        let mut all = if names.is_empty() { profile::capabilities() } else { Vec::new() };
        for name in names {
            match profile::capability_of(name) {
                None => self.omit(line, format!("capability {name}: is not known")),
                Some(one) => all.push(one),
            }
        }
        if deny {
            return self.deny(
                line,
                format!("deny capability {}", names.join(" ")),
                Denied::Capabilities(all),
            );
        }
        all.retain(|one| !self.capabilities.contains(one));
        self.capabilities.extend(all);
    }

    fn deny(&mut self, line: usize, text: String, what: Denied) {
        self.denied.push(DenyRule { line, text, what });
    }

    /// A rule on sockets.
    fn sockets(&mut self, line: usize, rule: SocketRule, deny: bool) {
        if deny {
            return self.deny(line, format!("deny {}", rule.text()), Denied::Sockets(rule));
        }
        for what in self.sockets.allow(&rule) {
            self.omit(line, what);
        }
    }

    /// `file,`: every file may be read, written and executed.
    fn every_file(&mut self, line: usize, deny: bool) {
        if deny {
            return self.deny(line, "deny file".to_owned(), Denied::EveryFile);
        }
        self.groups.push(group(FileGroup::Elsewhere, "file: every file but programs, /proc, /sys and /dev"));
        self.omit(line, "file: @elsewhere in its place, and programs by path alone");
    }

    /// `/path perms`, `perms /path`, either with `-> target`.
    fn file(&mut self, line: usize, words: &[&str], deny: bool) {
        let text = format!("{}{}", if deny { "deny " } else { "" }, words.join(" "));
        let (words, target) = match words.iter().position(|word| *word == "->") {
            Some(at) => (&words[..at], words.get(at + 1).copied()),
            None => (words, None),
        };
        let [one, other] = words else {
            return self.omit(line, format!("{text}: is no rule on files; expected a path and rights"));
        };
        let (path, access) = if is_path(one) { (*one, *other) } else { (*other, *one) };
        let Some(access) = Permissions::parse(access) else {
            return self.omit(line, format!("{text}: {access} are no rights; expected such as rw or ix"));
        };
        let Some(globs) = globs(unquoted(path), &self.file.variables) else {
            return self.omit(
                line,
                format!("{text}: a variable is not known, or there are more than 64 paths, left out"),
            );
        };
        if deny {
            return self.deny(line, text, Denied::Files(globs, access));
        }
        let all: Vec<Pattern> = globs.iter().map(PathGlob::pattern).collect();
        if access.locks {
            self.notes.push(format!("line {line}: {text}: locks come with the right to open"));
        }
        if let Some(how) = access.exec {
            self.exec(line, &text, &all, how, target);
        }
        if access.maps && !access.rights.contains(Rights::READ) {
            self.omit(line, format!("{text}: m: code is mapped from files that may be read"));
        }
        if access.links {
            self.omit(line, format!("{text}: l: granted as the right to create"));
        }
        if access.rights.is_empty() {
            return;
        }
        for pattern in all {
            let (directory, rights, is_wider) = match &pattern {
                Pattern::Exact(path) | Pattern::Below(path) => (path, access.rights, false),
                // To read a directory itself is to list it; rights to its names hold below it too.
                Pattern::Directory(path) if access.rights == Rights::READ => (path, Rights::LIST, true),
                Pattern::Directory(path) | Pattern::In(path) => (path, access.rights, true),
            };
            let Ok(at) = imported::path(directory) else {
                self.omit(line, format!("{text}: {directory} is no absolute path, left out"));
                continue;
            };
            if at == Path::new("/") && rights != Rights::LIST {
                self.omit(line, format!("{text}: would be the whole image, left out; {GRANT}"));
                continue;
            }
            if at.starts_with("/proc") && Rights::READ.contains(rights) {
                continue;
            }
            if is_wider {
                let what = if rights == Rights::LIST { "the names in " } else { "" };
                self.omit(line, format!("{text}: granted as {what}{} and all below it", at.display()));
            }
            if !matches!(pattern, Pattern::Exact(_)) {
                self.trees.insert(at.clone());
            }
            self.files.add(at, rights);
        }
    }

    fn exec(&mut self, line: usize, text: &str, all: &[Pattern], how: ExecTransition, target: Option<&str>) {
        if how != ExecTransition::Inherit {
            let target = target.map(|target| format!(" {target}")).unwrap_or_default();
            self.omit(
                line,
                format!("{text}: it runs under this same profile, not under another one{target}"),
            );
        }
        for pattern in all {
            match pattern {
                Pattern::Exact(path) => match imported::path(path) {
                    Ok(path) => match self.programs.iter_mut().find(|(known, _)| *known == path) {
                        Some((_, inherits)) => *inherits |= how == ExecTransition::Inherit,
                        None => self.programs.push((path, how == ExecTransition::Inherit)),
                    },
                    Err(error) => self.omit(line, error.to_string()),
                },
                Pattern::Directory(path) | Pattern::Below(path) | Pattern::In(path) => self.omit(
                    line,
                    format!("{text}: a program has one path, left out; add those of {path} that are needed by hand"),
                ),
            }
        }
    }

    fn finish(mut self, header: &Header) -> (Imported, Vec<Omission>, Vec<String>) {
        self.apply_denials();
        let mut programs: Vec<Program> = Vec::new();
        if let Some(attachment) = &header.attachment {
            let found = globs(attachment, &self.file.variables).unwrap_or_default();
            let exact: Vec<PathBuf> = found
                .iter()
                .filter_map(|glob| match glob.pattern() {
                    Pattern::Exact(path) => imported::path(&path).ok(),
                    _ => None,
                })
                .collect();
            match exact.as_slice() {
                [] => self.omit(header.line, format!("{attachment}: attaches to no single program")),
                [first, others @ ..] => {
                    programs.push(Program { entry: true, ..imported::program(first.clone()) });
                    for other in others {
                        let what =
                            format!("{}: the first is the entry, name another by --entry", other.display());
                        self.omit(header.line, what);
                    }
                }
            }
        }
        let run: Vec<PathBuf> = self.programs.iter().map(|(path, _)| path.clone()).collect();
        for path in &run {
            if programs.iter().all(|program| program.place.path() != path) {
                programs.push(imported::program(path.clone()));
            }
        }
        // Those that another profile would confine may run nothing by this one's rules.
        let inherits = |path: &Path| {
            let known = self.programs.iter().find(|(program, _)| program == path);
            known.is_none_or(|(_, inherits)| *inherits)
        };
        imported::connect(&mut programs, inherits, &run);
        self.notes.push(
            "AppArmor decides no system call: the groups of calls of the other sections apply".to_owned(),
        );
        let mut files = std::mem::take(&mut self.groups);
        files.dedup();
        files.extend(self.files.entries());
        let imported = Imported {
            programs: Some(programs),
            files: Some(files),
            network: Some(self.sockets.network()),
            capabilities: Some(self.capabilities.into_iter().map(|what| Entry { what, why: None }).collect()),
            syscalls: None,
        };
        self.omissions.sort_by_key(|(line, _)| *line);
        let omissions = self.omissions.into_iter();
        let omissions = omissions.map(|(line, what)| Omission::new(format!("line {line}"), what));
        (imported, omissions.collect(), self.notes)
    }
}

/// What to do where a grant is left out.
const GRANT: &str = "name the directories, or \"@elsewhere\"";

fn is_path(word: &str) -> bool {
    let word = unquoted(word);
    word.starts_with('/') || word.starts_with("@{") || word.starts_with('{')
}

fn is_file_rule(words: &[&str]) -> bool {
    words.len() >= 2 && (is_path(words[0]) || is_path(words[1]))
}

#[cfg(test)]
mod tests;
