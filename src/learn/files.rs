//! From files that were used to rules: classify each, then generalise by its class.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::path::Path;

use super::fact::{Did, Fact, Mount, Seen};
use super::observations::files;
use super::runs::Runs;
use super::volatile::template;
use crate::plan::{DEVICES, NAMES, RUNTIME};
use crate::profile::Rights;

/// Directories that are never granted as a whole: too much lies below.
pub const NEVER: [&str; 16] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run",
    "/sbin", "/sys", "/usr", "/var",
];

/// The most files of the image in one directory that get rules of their own; with more, the directory
/// is granted.
pub const MANY: usize = 10;

/// As many where so many runs show that they read the same files of a directory, each all of them.
const MANY_THE_SAME: usize = 64;
const RUNS_THE_SAME: usize = 5;

/// A rule with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedFileRule {
    /// The path of the file or directory.
    pub path: String,
    /// The rights that it grants.
    pub rights: Rights,
    /// Whether the path may be absent at start.
    pub optional: bool,
    /// The class of files that led to the rule.
    pub because: &'static str,
    /// When each right was used, by the right's name.
    pub seen: BTreeMap<&'static str, Seen>,
}

/// The rules of a profile's `files`.
#[derive(Debug, Default)]
pub struct Files {
    /// The `@runtime` group, where it is needed.
    pub runtime: Option<Seen>,
    /// The `@names` group, where it is needed.
    pub names: Option<Seen>,
    /// The rules by path.
    pub rules: BTreeMap<String, LearnedFileRule>,
    /// Notes on what could not be granted.
    pub notes: Vec<String>,
}

/// The uses of one path.
#[derive(Default)]
struct Use<'o> {
    did: BTreeMap<Did, Seen>,
    mounts: BTreeSet<&'o Mount>,
}

const IMAGE: &str = "image file, read only";
const COLLAPSED: &str =
    "more than ten files of this directory of the image were read, and not the same in all runs";
const LISTED: &str = "directory that was listed";
const NAMES_LISTED: &str = "directory that was listed, and no file is granted with it";
const CHANGED: &str = "names were made or taken away in it";
const NAMED: &str = "made or taken away where no directory is granted";
const VOLUME: &str = "volume, used as one";
const CONFIG: &str = "a volume whose files are replaced as one";
const WRITTEN: &str = "written in place";
const VOLATILE: &str = "names in it differ from run to run";
const DEVICE: &str = "device or pseudo-file";

/// Generalises the files of `facts`; `programs` are the files that are executed, which
/// no rule may let the app change.
pub fn generalise(facts: &BTreeMap<&Fact, &Seen>, programs: &BTreeSet<&str>) -> Files {
    let mut uses: BTreeMap<&str, Use> = BTreeMap::new();
    for (path, did, mount, seen) in files(facts) {
        let one = uses.entry(path).or_default();
        one.did.entry(did).or_default().join(seen);
        one.mounts.insert(mount);
    }
    let made: BTreeSet<&str> = uses
        .iter()
        .filter(|(_, one)| one.did.contains_key(&Did::MakeDirectory))
        .map(|(path, _)| *path)
        .collect();
    let changed: BTreeSet<&str> =
        uses.iter().filter(|(_, one)| one.changes_names()).map(|(path, _)| *path).collect();
    let opened: BTreeSet<&str> =
        uses.iter().filter(|(_, one)| one.did.contains_key(&Did::Read)).map(|(path, _)| *path).collect();
    let executed = programs.iter().map(Path::new).collect();
    let mut runs = Runs::default();
    facts.values().for_each(|seen| runs.join(&seen.runs()));
    let (read, into, runs) = (BTreeMap::new(), Files::default(), runs.len());
    let mut sorter = Sorter { programs, executed, made, changed, opened, read, runs, into };
    for (path, one) in &uses {
        sorter.sort(path, one);
    }
    sorter.collapse();
    let mut files = sorter.into;
    files.move_along(facts);
    files.drop_what_is_covered();
    files
}

impl Use<'_> {
    fn changes_names(&self) -> bool {
        self.did.keys().any(|did| matches!(did, Did::Create | Did::MakeDirectory | Did::Remove))
    }

    fn rights(&self) -> Rights {
        self.did.keys().fold(Rights::NONE, |all, did| all.union(did.right()))
    }

    fn seen(&self) -> Seen {
        let mut all = Seen::default();
        self.did.values().for_each(|seen| all.join(seen));
        all
    }
}

impl Did {
    fn right(self) -> Rights {
        match self {
            Did::Read | Did::List => Rights::READ,
            Did::Write => Rights::WRITE,
            Did::Create | Did::MakeDirectory => Rights::CREATE,
            Did::Remove => Rights::REMOVE,
            Did::Ioctl => Rights::IOCTL,
        }
    }
}

struct Sorter<'o> {
    programs: &'o BTreeSet<&'o str>,
    /// The same programs, in the order of paths.
    executed: BTreeSet<&'o Path>,
    /// Directories that the app created.
    made: BTreeSet<&'o str>,
    /// Paths that were created or removed.
    changed: BTreeSet<&'o str>,
    /// Paths that were opened for reading.
    opened: BTreeSet<&'o str>,
    /// Files of the image that were only read.
    read: BTreeMap<String, Seen>,
    /// How many runs there are.
    runs: usize,
    into: Files,
}

impl<'o> Sorter<'o> {
    fn sort(&mut self, path: &'o str, one: &Use) {
        let rights = one.rights();
        if self.comes_of_itself(path, rights, &one.seen()) {
            return;
        }
        if path.starts_with("/proc/") || path == "/proc" {
            if rights.intersects(CHANGING)
                && !["/proc/self/comm", "/proc/self/coredump_filter"].contains(&path)
            {
                self.note(format!("{path} was written; nothing below /proc can be granted for writing"));
            }
            Files::group(&mut self.into.runtime, &one.seen());
            return;
        }
        if let Some((place, because)) = volume(path, one)
            && self.grantable(place, rights)
        {
            return self.grant(place, rights, because, path, one);
        }
        // Read as it stands in the image's layer, but made by the app under a name like it.
        let known = template(path).filter(|known| self.changed.contains(known.as_str()));
        // What a directory brought along that was moved to its place was not there at start.
        if one.changes_names() || known.is_some() || self.is_below_made(path) {
            return self.change(known.as_deref().unwrap_or(path), path, rights, one);
        }
        match path.strip_suffix("/*") {
            Some(directory) if self.grantable(directory, rights) => {
                self.grant(directory, rights, VOLATILE, path, one);
            }
            Some(directory) => self.note(format!(
                "{path}: names that differ from run to run, in a directory that is not granted by algorithm; \
                 add a rule for {directory} by hand"
            )),
            None => self.in_place(path, rights, one),
        }
    }

    /// Made, renamed or taken away: the nearest directory above that was there before,
    /// or the name itself where that directory is not to be granted.
    fn change(&mut self, path: &str, literal: &str, rights: Rights, one: &Use) {
        let mut name = path;
        let mut directory = parent(path);
        while self.made.contains(directory) || directory.ends_with("/*") {
            name = directory;
            directory = parent(directory);
        }
        if self.grantable(directory, rights) {
            return self.grant(directory, rights, CHANGED, literal, one);
        }
        if name.ends_with("/*") {
            return self.note(format!(
                "{path}: made under a name that differs from run to run, in {directory}, which is not granted by \
                 algorithm; give the app a directory of its own"
            ));
        }
        if name != path || one.did.contains_key(&Did::MakeDirectory) {
            self.note(format!(
                "{name} was made as a directory in {directory}, which is not granted by algorithm; have it there at start"
            ));
        }
        if self.changes_a_program(name) {
            return self.note(format!("{name} is a program, and the app changed it; that cannot be granted"));
        }
        self.grant(name, rights, NAMED, literal, one);
    }

    /// What was there, and stayed.
    fn in_place(&mut self, path: &str, rights: Rights, one: &Use) {
        let plain = one.mounts.iter().all(|mount| matches!(mount, Mount::Image));
        if one.did.contains_key(&Did::List) {
            let names_alone = plain && rights == Rights::READ && !self.reads_below(path);
            return match names_alone || NEVER.contains(&path) {
                true => self.grant(path, Rights::LIST, NAMES_LISTED, path, one),
                false => self.grant(path, rights, LISTED, path, one),
            };
        }
        if rights.intersects(CHANGING) && self.changes_a_program(path) {
            return self.note(format!("{path} is a program, and the app wrote it; that cannot be granted"));
        }
        if NEVER.contains(&path) {
            return self.note(format!("{path} is not granted by algorithm; add it by hand"));
        }
        match rights {
            Rights::READ if plain && !path.starts_with("/dev/") => {
                self.read.entry(path.to_owned()).or_default().join(&one.seen());
            }
            _ if path.starts_with("/dev/") || path.starts_with("/sys/") => {
                self.grant(path, rights, DEVICE, path, one);
            }
            _ if rights.contains(Rights::WRITE) => self.grant(path, rights, WRITTEN, path, one),
            _ => self.grant(path, rights, "read", path, one),
        }
    }

    /// Whether a group or the program's own entry covers it.
    fn comes_of_itself(&mut self, path: &str, rights: Rights, seen: &Seen) -> bool {
        let below = |place: &&str| Path::new(path).starts_with(place);
        if rights == Rights::READ && self.programs.contains(path) {
            return true;
        }
        let read_write = Rights::READ.union(Rights::WRITE);
        if (rights == Rights::READ && RUNTIME.iter().any(below))
            || (read_write.contains(rights) && DEVICES.contains(&path))
            || (read_write.union(Rights::IOCTL).contains(rights) && path == "/dev/tty")
        {
            Files::group(&mut self.into.runtime, seen);
            return true;
        }
        if rights == Rights::READ && NAMES.contains(&path) {
            Files::group(&mut self.into.names, seen);
            return true;
        }
        false
    }

    /// Whether these rights may be granted on a whole directory.
    fn grantable(&self, directory: &str, rights: Rights) -> bool {
        let changes = rights.intersects(CHANGING) && self.changes_a_program(directory);
        !changes && !NEVER.contains(&directory)
    }

    fn reads_below(&self, directory: &str) -> bool {
        let below = format!("{directory}/");
        let from = (Bound::Included(&*below), Bound::Unbounded);
        self.opened.range::<str, _>(from).next().is_some_and(|path| path.starts_with(&below))
    }

    fn is_below_made(&self, path: &str) -> bool {
        let mut above = Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
        above.any(|directory| self.made.contains(directory))
    }

    fn changes_a_program(&self, place: &str) -> bool {
        // What is below a path comes right after it.
        let place = Path::new(place);
        self.executed.range(place..).next().is_some_and(|program| program.starts_with(place))
    }

    fn grant(&mut self, place: &str, rights: Rights, because: &'static str, literal: &str, one: &Use) {
        let passing = |mount: &&Mount| matches!(mount, Mount::Tmpfs | Mount::Proc);
        // Another machine has other devices.
        let optional = because != NAMED && (one.mounts.iter().any(passing) || place.starts_with("/sys/"));
        let rule = self.into.rules.entry(place.to_owned()).or_insert_with(|| LearnedFileRule {
            path: place.to_owned(),
            rights: Rights::NONE,
            optional,
            because,
            seen: BTreeMap::new(),
        });
        rule.rights = rule.rights.union(rights);
        rule.optional &= optional;
        let names_alone = rights == Rights::LIST;
        for (did, seen) in &one.did {
            // Where names alone are granted, they are what was read.
            let right = if names_alone { Rights::LIST } else { did.right() };
            for word in right.words() {
                let all = rule.seen.entry(word).or_default();
                all.join(seen);
                if seen.examples.is_empty() {
                    all.example(literal);
                }
            }
        }
    }

    /// Whether many runs show that these are all: each read each of them.
    fn suffice(&self, files: &BTreeSet<String>) -> bool {
        let by_all = |file: &String| self.read.get(file).is_some_and(|seen| seen.runs().len() == self.runs);
        self.runs >= RUNS_THE_SAME && files.len() <= MANY_THE_SAME && files.iter().all(by_all)
    }

    /// Files of the image that were read: each, or their directory where there are many.
    fn collapse(&mut self) {
        let mut children: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in self.read.keys() {
            children.entry(parent(path).to_owned()).or_default().insert(path.clone());
        }
        let depth = |path: &str| path.matches('/').count();
        let mut deepest = children.keys().map(|path| depth(path)).max().unwrap_or(0);
        while deepest > 0 {
            let many: Vec<String> = children
                .iter()
                .filter(|(directory, files)| {
                    depth(directory) == deepest
                        && files.len() > MANY
                        && !NEVER.contains(&directory.as_str())
                        && !self.suffice(files)
                })
                .map(|(directory, _)| directory.clone())
                .collect();
            for directory in many {
                children.remove(&directory);
                children.entry(parent(&directory).to_owned()).or_default().insert(directory);
            }
            deepest -= 1;
        }
        // The remaining tree: files, and directories that stand for theirs.
        let remaining: BTreeSet<String> = children.into_values().flatten().collect();
        for (path, seen) in std::mem::take(&mut self.read) {
            // The highest directory above it.
            let above = Path::new(&path).ancestors().filter_map(Path::to_str);
            let above = above.filter(|place| remaining.contains(*place)).last();
            let place = above.map_or_else(|| path.clone(), str::to_owned);
            let because = if place == path { IMAGE } else { COLLAPSED };
            let one = Use { did: [(Did::Read, seen)].into(), mounts: [&Mount::Image].into() };
            self.grant(&place, Rights::READ, because, &path, &one);
        }
    }

    fn note(&mut self, note: String) {
        self.into.notes.push(note);
    }
}

/// Rights on names, which a moved file does not take along.
const OF_NAMES: Rights = Rights::CREATE.union(Rights::REMOVE);
/// Rights that change a file or directory.
const CHANGING: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);

/// The directory that stands for all of a volume, and the reason.
fn volume<'p>(path: &'p str, one: &'p Use) -> Option<(&'p str, &'static str)> {
    // A ConfigMap is a directory whose links lead through `..data` to `..2026_…`.
    let mounted = |mount: &&Mount| matches!(mount, Mount::Volume(_) | Mount::Tmpfs);
    if let Some(at) = path.find("/..").filter(|at| *at > 0 && one.mounts.iter().any(mounted)) {
        return Some((&path[..at], CONFIG));
    }
    one.mounts.iter().find_map(|mount| match mount {
        Mount::Volume(Some(place)) if Path::new(path).starts_with(place) => Some((place.as_str(), VOLUME)),
        _ => None,
    })
}

/// The directory of a path.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

impl Files {
    /// Records that a group is needed.
    pub fn group(group: &mut Option<Seen>, seen: &Seen) {
        group.get_or_insert_with(Seen::default).join(seen);
    }

    /// Moving a file must not give it more rights (Landlock refuses that, and so does the supervisor
    /// for names): so the rights of the target are added to the source.
    fn move_along(&mut self, facts: &BTreeMap<&Fact, &Seen>) {
        let moved = facts.iter().filter_map(|(fact, seen)| match fact {
            Fact::Moved { from, to } => Some((from, to, *seen)),
            _ => None,
        });
        // The rules that govern both ends, and the moves to what each rule governs: once one
        // has more rights, only those may follow.
        let governed = |path: &str| self.governing(path).map(|rule| rule.path.clone());
        let moved: Vec<(String, String, &Seen)> =
            moved.filter_map(|(from, to, seen)| Some((governed(from)?, governed(to)?, seen))).collect();
        let mut towards: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, (_, to, _)) in moved.iter().enumerate() {
            towards.entry(to).or_default().push(number);
        }
        let mut next: VecDeque<usize> = (0..moved.len()).collect();
        while let Some(number) = next.pop_front() {
            let (from, to, seen) = &moved[number];
            let Some(rights) = self.rules.get(to).map(|rule| rule.rights.difference(OF_NAMES)) else {
                continue;
            };
            // What only was linked to was there, and is not made writable for that.
            let lacks = |rule: &&mut LearnedFileRule| {
                rule.rights.intersects(CHANGING) && !rule.rights.contains(rights)
            };
            let Some(rule) = self.rules.get_mut(from).filter(lacks) else { continue };
            for word in rights.words().filter(|word| !rule.rights.words().any(|has| has == *word)) {
                rule.seen.entry(word).or_default().join(seen);
            }
            rule.rights = rule.rights.union(rights);
            // What was moved twice has the last target's at its first name.
            next.extend(towards.get(from.as_str()).into_iter().flatten());
        }
    }

    /// The nearest rule that covers a path. One that lists names has no right on what has them.
    fn governing(&self, path: &str) -> Option<&LearnedFileRule> {
        let mut rules = Path::new(path).ancestors().filter_map(|place| self.rules.get(place.to_str()?));
        rules.find(|rule| rule.rights != Rights::LIST)
    }

    /// Removes rules below another that has all their rights.
    fn drop_what_is_covered(&mut self) {
        let rules: BTreeMap<String, LearnedFileRule> = self.rules.clone();
        for rule in rules.values() {
            let above =
                Path::new(&rule.path).ancestors().skip(1).filter_map(|place| rules.get(place.to_str()?));
            // The highest one.
            let Some(above) = above.filter(|above| above.rights.contains(rule.rights)).last() else {
                continue;
            };
            self.rules.remove(&rule.path);
            if let Some(above) = self.rules.get_mut(&above.path) {
                for (word, seen) in &rule.seen {
                    above.seen.entry(word).or_default().join(seen);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
