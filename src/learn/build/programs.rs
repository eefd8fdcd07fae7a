//! Generalises executions to programs: exact files and transitions, with interpreters and loaders.

use std::collections::{BTreeMap, BTreeSet};

use super::super::fact::{Did, Fact, Name};
use super::super::files::parent;
use super::super::volatile::{general, literal, volatile};
use super::{Builder, plain};
use crate::profile::{Program, ProgramPlace, Transition};

impl Builder<'_> {
    /// The programs that were executed, each with the transitions that were seen.
    pub(super) fn programs(&mut self, digests: bool) -> Vec<Program> {
        // A file that was once called by no applet's name is one program.
        let facts = self.facts;
        let whole: BTreeSet<&str> = facts
            .keys()
            .filter_map(|fact| match fact {
                Fact::Program(name) if name.applet.is_empty() => Some(name.path.as_str()),
                _ => None,
            })
            .collect();
        let name = |name: &Name| match whole.contains(name.path.as_str()) {
            true => Name { path: name.path.clone(), applet: String::new() },
            false => name.clone(),
        };
        let made = self.made_programs();
        let mut programs: BTreeMap<Name, Program> = BTreeMap::new();
        for (fact, seen) in facts {
            let Fact::Program(found) = fact else { continue };
            if made.contains(found.path.as_str()) {
                self.notes.push(format!(
                    "{} was made by the app and executed: a program is a file of the image, so it was left out and is \
                     refused; have it in the image",
                    found.path
                ));
                continue;
            }
            if nameless(&found.path) {
                self.notes.push(format!(
                    "{} was executed, and has no name in the image: a program is a file, so it was left out",
                    found.path
                ));
                continue;
            }
            let found = name(found);
            let applet = Some(found.applet.clone()).filter(|applet| !applet.is_empty());
            self.because(format!("program {}", spelled(&found)), "it was executed", seen);
            // A volatile name that two runs have in common is stable.
            let file = found.path.rsplit('/').next().unwrap_or_default();
            if volatile(file) && seen.runs().len() < 2 {
                self.notes.push(format!(
                    "{} was executed, and its name differs from run to run: a program is one file, so have it at a \
                     path that stays",
                    found.path
                ));
            }
            programs.entry(found.clone()).or_insert_with(|| Program {
                place: ProgramPlace::Path(found.path.into()),
                entry: false,
                interpreter: None,
                may_run: Vec::new(),
                args: None,
                applet,
                sha256: None,
                user: None,
                instances: None,
                libraries: None,
                from_image: false,
                why: None,
            });
        }
        let mut transitions = BTreeSet::new();
        let mut digest: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        for (fact, seen) in facts {
            match fact {
                Fact::Transition { to, .. } if nameless(&to.path) => {}
                Fact::Transition { from, to }
                    if [from, to].iter().any(|name| made.contains(name.path.as_str())) => {}
                Fact::Entry(found) => {
                    let found = name(found);
                    self.because(format!("entry {}", spelled(&found)), "it was COMMAND", seen);
                    if let Some(program) = programs.get_mut(&found) {
                        program.entry = true;
                    }
                }
                Fact::Interpreter { path, interpreter } => {
                    for program in of_file(&mut programs, path) {
                        program.interpreter = Some(interpreter.into());
                    }
                }
                Fact::Digest { path, sha256 } => {
                    digest
                        .entry(path)
                        .and_modify(|known| *known = known.filter(|known| known == sha256))
                        .or_insert(Some(sha256));
                }
                Fact::Transition { from, to } => {
                    let (from, to) = (name(from), name(to));
                    let applet = Some(to.applet.clone()).filter(|applet| !applet.is_empty());
                    let Some(program) = programs.get_mut(&from) else {
                        self.notes.push(format!(
                            "{} executed {}, and was never seen to be executed itself; the edge was left out",
                            from.path, to.path
                        ));
                        continue;
                    };
                    let transition = Transition { path: to.path.clone().into(), applet };
                    if transitions.insert((from.clone(), to.clone())) {
                        program.may_run.push(plain(transition));
                    }
                    self.because(
                        format!("edge {} -> {}", spelled(&from), spelled(&to)),
                        "one executed the other",
                        seen,
                    );
                }
                _ => {}
            }
        }
        for (path, digest) in &digest {
            match digest {
                None => self.notes.push(format!("{path} was not the same file in every run")),
                Some(sha256) if digests => {
                    for program in of_file(&mut programs, path) {
                        program.sha256 = Some((*sha256).to_owned());
                    }
                }
                Some(_) => {}
            }
        }
        let (entries, others): (Vec<_>, Vec<_>) = programs.into_values().partition(|program| program.entry);
        entries.into_iter().chain(others).collect()
    }
}

impl<'o> Builder<'o> {
    /// The programs that the app made itself: they are not there at the next start.
    pub(super) fn made_programs(&self) -> BTreeSet<&'o str> {
        let mut made: BTreeSet<String> = BTreeSet::new();
        for fact in self.facts.keys() {
            match fact {
                Fact::File { path, did: Did::Create, .. } => made.insert(path.clone()),
                Fact::Moved { to, .. } => made.insert(to.clone()),
                _ => false,
            };
        }
        let facts = self.facts.keys().filter_map(|fact| match fact {
            Fact::Program(name) => Some(name.path.as_str()),
            _ => None,
        });
        // One by its name, by what its name is like, or as one of many in its directory.
        let is_made = |path: &&str| {
            made.contains(&*literal(path))
                || made.contains(&general(path))
                || made.contains(&format!("{}/*", literal(parent(path))))
        };
        facts.filter(is_made).collect()
    }
}

/// The entries of one file.
fn of_file<'p>(
    programs: &'p mut BTreeMap<Name, Program>,
    path: &'p str,
) -> impl Iterator<Item = &'p mut Program> {
    let first = Name { path: path.to_owned(), applet: String::new() };
    programs.range_mut(first..).take_while(move |(name, _)| name.path == path).map(|(_, program)| program)
}

/// Whether the kernel's text is of a file executed from memory, or removed since.
fn nameless(path: &str) -> bool {
    path.ends_with(" (deleted)")
}

fn spelled(name: &Name) -> String {
    if name.applet.is_empty() { name.path.clone() } else { format!("{} {}", name.path, name.applet) }
}
