//! Which program may execute which, with what, by the entries that a file has: its own, or else every
//! directory of programs that it lies below.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::permission::{Permitted, ProgramKey};
use crate::profile::{ArgPattern, Profile, Program, ProgramPlace, Transition};

/// A permission with the pointer of the entry that makes it, and its reason.
pub(super) type Made = (Permitted, String, Option<String>);

/// The programs of a profile, found by path.
#[derive(Clone, Debug)]
pub struct ListedPrograms<'p> {
    programs: &'p [Program],
    by_path: HashMap<&'p Path, Vec<usize>>,
    beneath: Vec<usize>,
}

impl<'p> ListedPrograms<'p> {
    /// The programs of a profile.
    pub fn of(profile: &'p Profile) -> ListedPrograms<'p> {
        let mut by_path: HashMap<&Path, Vec<usize>> = HashMap::new();
        let mut beneath = Vec::new();
        for (index, program) in profile.programs.iter().enumerate() {
            match &program.place {
                ProgramPlace::Path(path) => by_path.entry(path).or_default().push(index),
                ProgramPlace::Beneath(_) => beneath.push(index),
            }
        }
        ListedPrograms { programs: &profile.programs, by_path, beneath }
    }

    /// Every entry's key.
    pub fn keys(&self) -> BTreeSet<ProgramKey> {
        self.programs.iter().map(ProgramKey::of).collect()
    }

    /// The entries by which a program may be executed: where its file has entries of its own, those for
    /// its applet; else those of every directory that it lies below.
    pub fn entries(&self, key: &ProgramKey) -> Vec<usize> {
        if !key.beneath
            && let Some(own) = self.by_path.get(key.path.as_path())
        {
            let is_it = |index: &&usize| {
                let applet = &self.programs[**index].applet;
                applet.is_none() || *applet == key.applet
            };
            return own.iter().filter(is_it).copied().collect();
        }
        let below = |index: &&usize| key.path.starts_with(self.programs[**index].place.path());
        self.beneath.iter().filter(below).copied().collect()
    }

    /// Whether the entry of a caller may run a program.
    fn runs(&self, caller: usize, key: &ProgramKey) -> bool {
        let targets = self.entries(key);
        let transitions = &self.programs[caller].may_run;
        transitions.iter().any(|transition| {
            targets.iter().any(|target| leads_to(&transition.what, &self.programs[*target]))
        })
    }

    /// Whether all that may run an entry of another profile may run this one of ours.
    fn is_reached(&self, own: usize, other: &ListedPrograms, wanted: &Program) -> bool {
        let names = |caller: &Program, program: &Program| {
            caller.may_run.iter().any(|transition| leads_to(&transition.what, program))
        };
        let mut callers = other.programs.iter().filter(|caller| names(caller, wanted));
        callers.all(|caller| {
            let entries = self.entries(&ProgramKey::of(caller));
            entries.iter().any(|entry| names(&self.programs[*entry], &self.programs[own]))
        })
    }

    /// Every permission of programs at these keys: what no entry of the profile covers gives none.
    pub(super) fn permissions(&self, keys: &BTreeSet<ProgramKey>) -> Vec<Made> {
        let under = self.keys_under(keys);
        let each = keys.iter().flat_map(|key| self.entries(key).into_iter().map(move |index| (key, index)));
        each.flat_map(|(key, index)| self.of_entry(key, index, &under)).collect()
    }

    /// What one entry permits of a program.
    fn of_entry(&self, key: &ProgramKey, index: usize, under: &KeysUnder) -> Vec<Made> {
        let program = &self.programs[index];
        let at = format!("/programs/{index}");
        let own = of_program(key, program).into_iter();
        let mut all: Vec<Made> =
            own.map(|(what, below)| (what, format!("{at}{below}"), program.why.clone())).collect();
        for (number, transition) in program.may_run.iter().enumerate() {
            for to in under.get(transition.what.path.as_path()).into_iter().flatten() {
                if self.entries(to).iter().any(|target| leads_to(&transition.what, &self.programs[*target])) {
                    let what = Permitted::Transition { from: key.clone(), to: (*to).clone() };
                    all.push((what, format!("{at}/may_run/{number}"), transition.why.clone()));
                }
            }
        }
        all
    }

    /// The keys to which a transition that names a path may lead: those with an entry there.
    fn keys_under<'k>(&self, keys: &'k BTreeSet<ProgramKey>) -> KeysUnder<'p, 'k> {
        let mut under = KeysUnder::new();
        for key in keys {
            let places: BTreeSet<&Path> =
                self.entries(key).into_iter().map(|index| self.programs[index].place.path()).collect();
            for place in places {
                under.entry(place).or_default().push(key);
            }
        }
        under
    }

    /// The permissions of another profile that this one does not give. An exec is granted by one entry
    /// as a whole, so each entry of the other is compared with the one that lacks least of it.
    pub(super) fn uncovered(&self, other: &ListedPrograms, keys: &BTreeSet<ProgramKey>) -> Vec<Made> {
        let under = other.keys_under(keys);
        let mut all: Vec<Made> = Vec::new();
        for key in keys {
            let (own, first) = (self.entries(key), all.len());
            for index in other.entries(key) {
                let wanted = &other.programs[index];
                let lacks = |own: &&usize| lacks(&self.programs[**own], wanted, key);
                // By an entry that its callers may not run, they get nothing.
                let reached =
                    own.iter().filter(|one| own.len() == 1 || self.is_reached(**one, other, wanted));
                let nearest = reached.min_by_key(lacks).or_else(|| own.iter().min_by_key(lacks)).copied();
                for made in other.of_entry(key, index, &under) {
                    let is_covered = match (&made.0, nearest) {
                        (Permitted::Transition { to, .. }, Some(nearest)) => self.runs(nearest, to),
                        (what, Some(nearest)) => covers(&self.programs[nearest], what),
                        (
                            Permitted::Program(_) | Permitted::Entry(_) | Permitted::Transition { .. },
                            None,
                        ) => false,
                        // Where the program is new, that it is not restricted is no news of its own.
                        (_, None) => true,
                    };
                    if !is_covered && all[first..].iter().all(|one| one.0 != made.0) {
                        all.push(made);
                    }
                }
            }
        }
        all
    }
}

/// The keys by the path of the entries that they have.
type KeysUnder<'p, 'k> = HashMap<&'p Path, Vec<&'k ProgramKey>>;

/// How much of what `wanted` permits of a program an entry does not.
fn lacks(own: &Program, wanted: &Program, key: &ProgramKey) -> usize {
    let transitions =
        wanted.may_run.iter().filter(|transition| own.may_run.iter().all(|one| one.what != transition.what));
    of_program(key, wanted).iter().filter(|(what, _)| !covers(own, what)).count() + transitions.count()
}

/// Whether an entry permits what another entry for the same program does, transitions aside.
fn covers(program: &Program, what: &Permitted) -> bool {
    match what {
        Permitted::Program(_) => true,
        Permitted::Entry(_) => program.entry,
        Permitted::NotOfImage(_) => !program.from_image,
        Permitted::Arguments(_, wanted) => covers_arguments(program, wanted.as_deref()),
        Permitted::Interpreter(_, path) => covers_interpreter(program, path),
        Permitted::Content(_, wanted) => {
            !program.from_image && (program.sha256.is_none() || program.sha256 == *wanted)
        }
        Permitted::ProgramUser(_, wanted) => match (&program.user, wanted) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(uids), Some(uid)) => uids.contains(uid),
        },
        Permitted::Instances(_, wanted) => match (program.instances, wanted) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(most), Some(wanted)) => most >= *wanted,
        },
        Permitted::Libraries(_, wanted) => match (&program.libraries, wanted) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(paths), Some(path)) => paths.iter().any(|above| path.starts_with(above)),
        },
        _ => false,
    }
}

/// What an entry permits of a program but for transitions, each with the rest of its pointer.
fn of_program(key: &ProgramKey, program: &Program) -> Vec<(Permitted, String)> {
    let mut all = vec![(Permitted::Program(key.clone()), String::new())];
    if program.entry {
        all.push((Permitted::Entry(key.clone()), String::new()));
    }
    if !program.from_image {
        let is_directory = matches!(program.place, ProgramPlace::Beneath(_));
        all.extend(is_directory.then(|| (Permitted::NotOfImage(key.clone()), String::new())));
    }
    all.extend(pins(key, program));
    all
}

/// Whether a transition names this entry.
fn leads_to(transition: &Transition, program: &Program) -> bool {
    program.place.path() == transition.path
        && (transition.applet.is_none() || transition.applet == program.applet)
}

/// What an entry restricts, or does not, each with the part of its pointer.
fn pins(key: &ProgramKey, program: &Program) -> Vec<(Permitted, String)> {
    let mut all = Vec::new();
    let mut put = |what: Permitted, below: String| all.push((what, below));
    match &program.args {
        None => put(Permitted::Arguments(key.clone(), None), String::new()),
        Some(alternatives) => {
            for (number, one) in alternatives.iter().enumerate() {
                put(Permitted::Arguments(key.clone(), Some(one.clone())), format!("/args/{number}"));
            }
        }
    }
    if let Some(interpreter) = &program.interpreter {
        put(Permitted::Interpreter(key.clone(), interpreter.clone()), "/interpreter".into());
    }
    // A directory's entry pins no file's content.
    if !key.beneath {
        let below = if program.sha256.is_some() { "/sha256" } else { "" };
        put(Permitted::Content(key.clone(), program.sha256.clone()), below.into());
    }
    match &program.user {
        None => put(Permitted::ProgramUser(key.clone(), None), String::new()),
        Some(uids) => {
            for (number, uid) in uids.iter().enumerate() {
                put(Permitted::ProgramUser(key.clone(), Some(*uid)), format!("/user/{number}"));
            }
        }
    }
    let below = if program.instances.is_some() { "/instances" } else { "" };
    put(Permitted::Instances(key.clone(), program.instances), below.into());
    match &program.libraries {
        None => put(Permitted::Libraries(key.clone(), None), String::new()),
        Some(paths) => {
            for (number, path) in paths.iter().enumerate() {
                put(Permitted::Libraries(key.clone(), Some(path.clone())), format!("/libraries/{number}"));
            }
        }
    }
    all
}

fn covers_interpreter(program: &Program, path: &PathBuf) -> bool {
    matches!(program.place, ProgramPlace::Beneath(_)) || program.interpreter.as_ref() == Some(path)
}

fn covers_arguments(program: &Program, wanted: Option<&[ArgPattern]>) -> bool {
    match (&program.args, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(alternatives), Some(wanted)) => alternatives.iter().any(|one| covers_list(one, wanted)),
    }
}

/// Whether one list of patterns matches all arguments that another does; it may say no where only
/// the text between several `*` shows it.
fn covers_list(own: &[ArgPattern], wanted: &[ArgPattern]) -> bool {
    match (own, wanted) {
        ([ArgPattern::Rest], _) | ([], []) => true,
        ([first, own @ ..], [other, wanted @ ..]) => covers_one(first, other) && covers_list(own, wanted),
        _ => false,
    }
}

fn covers_one(own: &ArgPattern, wanted: &ArgPattern) -> bool {
    match (own, wanted) {
        (own, wanted) if own == wanted => true,
        (_, ArgPattern::Rest) | (ArgPattern::Rest | ArgPattern::Exact(_), _) => false,
        (ArgPattern::Glob(glob), ArgPattern::Exact(text)) => matches(&parts(glob), text),
        // `a*c` has all that `ab*bc` has: each of its texts begins and ends with what the other's do.
        (ArgPattern::Glob(glob), ArgPattern::Glob(other)) => {
            let (own, other) = (parts(glob), parts(other));
            match &own[..] {
                [first, last] => {
                    let (begins, ends) = (&other[0], &other[other.len() - 1]);
                    begins.starts_with(first.as_str()) && ends.ends_with(last.as_str())
                }
                _ => false,
            }
        }
    }
}

/// The texts between the `*` of a pattern, with what `\` makes plain.
fn parts(glob: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = glob.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => parts.push(String::new()),
            '\\' => parts.last_mut().into_iter().for_each(|last| last.extend(rest.next())),
            c => parts.last_mut().into_iter().for_each(|last| last.push(c)),
        }
    }
    parts
}

/// Whether a text has these parts in this order, the first at its beginning and the last at its end.
fn matches(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else { return parts.first().is_some_and(|only| only == text) };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
    for part in middle {
        let Some(at) = rest.find(part.as_str()) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> ArgPattern {
        ArgPattern::glob(text).expect("a pattern")
    }

    #[test]
    fn patterns_cover_what_they_match() {
        let exact = |text: &str| ArgPattern::Exact(text.to_owned());
        assert!(covers_list(&[glob("--port=*"), ArgPattern::Rest], &[exact("--port=80"), exact("x")]));
        assert!(covers_list(&[ArgPattern::Rest], &[]));
        assert!(!covers_list(&[exact("a")], &[]));
        assert!(!covers_list(&[glob("a*")], &[exact("b")]));
        assert!(covers_list(&[glob("a*")], &[glob("ab*c")]));
        assert!(!covers_list(&[glob("ab*")], &[glob("a*")]));
        assert!(!covers_list(&[glob("*")], &[ArgPattern::Rest]));
        assert!(covers_one(&glob("a*b*c"), &exact("a-b-b-c")));
        assert!(!covers_one(&glob("ab*bc"), &exact("abc")), "parts do not overlap");
        assert!(!covers_one(&glob("\\*x*"), &exact("ax")));
        assert!(covers_one(&glob("\\*x*"), &exact("*xy")));
    }
}
