//! Which files a profile grants, and which grant a use of a file takes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::{FactCoverage, Remedy, done, missing};
use crate::event::Want;
use crate::gate::rules::GateRule;
use crate::learn::volatile::as_named;
use crate::learn::{Did, NEVER_GRANTED, Seen};
use crate::plan::{DEVICES, ELSEWHERE_DEVICES, GPU, GPU_DEVICES, KERNELS, NAMES, OWN_PROCESS, RUNTIME};
use crate::profile::{FileEntry, FileGroup, Profile, ProgramPlace, Rights};

/// The files that a profile grants.
#[derive(Debug)]
pub(super) struct CoveringFiles<'p> {
    /// By path, as the image resolves it: the path as the profile has it, and its rights.
    rules: HashMap<String, Vec<(&'p str, Rights)>>,
    groups: Vec<FileGroup>,
    /// Programs, their interpreters and loaders, which may be read.
    executed: BTreeSet<String>,
}

/// A path in one form whether or not /bin, /sbin, /lib and /var/run are links.
pub fn canonical(path: &str) -> Cow<'_, str> {
    const MERGED: [&str; 8] = [
        "/usr/bin",
        "/usr/sbin",
        "/usr/lib",
        "/usr/lib32",
        "/usr/lib64",
        "/usr/libx32",
        "/var/run",
        "/var/lock",
    ];
    let under = |directory: &&str| Path::new(path).starts_with(directory);
    match MERGED.iter().find(|directory| under(directory)) {
        Some(&"/var/run") => Cow::Borrowed(&path["/var".len()..]),
        Some(&"/var/lock") => Cow::Owned(format!("/run{}", &path["/var".len()..])),
        Some(_) => Cow::Borrowed(&path["/usr".len()..]),
        None => Cow::Borrowed(path),
    }
}

impl<'p> CoveringFiles<'p> {
    pub fn of(
        profile: &'p Profile,
        resolved: &BTreeMap<String, String>,
        loaders: &BTreeSet<String>,
    ) -> CoveringFiles<'p> {
        let form = |path: &str| canonical(resolved.get(path).map_or(path, String::as_str)).into_owned();
        let mut found =
            CoveringFiles { rules: HashMap::new(), groups: Vec::new(), executed: BTreeSet::new() };
        for entry in &profile.files {
            match entry {
                FileEntry::Group(group) => found.groups.push(group.what),
                // A profile is JSON, so its paths are UTF-8.
                FileEntry::Path(rule) => {
                    let path = rule.path.to_str().unwrap_or_default();
                    found.rules.entry(form(path)).or_default().push((path, rule.allow));
                }
            }
        }
        for program in &profile.programs {
            if let ProgramPlace::Path(path) = &program.place {
                found.executed.insert(form(&path.to_string_lossy()));
            }
            found.executed.extend(program.interpreter.iter().map(|path| form(&path.to_string_lossy())));
        }
        found.executed.extend(loaders.iter().map(|path| form(path)));
        found
    }

    /// What a use of a file is to the profile.
    pub fn of_use(&self, path: &str, did: Did, seen: &Seen) -> FactCoverage {
        let right = match did {
            Did::Read => Rights::READ,
            Did::List => Rights::LIST,
            Did::Write => Rights::WRITE,
            Did::Create | Did::MakeDirectory => Rights::CREATE,
            Did::Remove => Rights::REMOVE,
            Did::Ioctl => Rights::IOCTL,
        };
        // `*` stands for a name that differs from run to run, and all below it.
        let (place, is_varying) = match path.strip_suffix("/*") {
            Some("") => (Cow::Borrowed("/"), true),
            Some(directory) => (as_named(directory), true),
            None => (as_named(path), false),
        };
        let form = canonical(&place);
        let mut used = self.rules_over(&form, right);
        if used.is_empty()
            && is_varying
            && !seen.examples.is_empty()
            && seen.examples.len() < crate::learn::EXAMPLES
        {
            // All names are known: each may be granted by itself.
            let each: Vec<_> =
                seen.examples.iter().map(|example| self.rules_over(&canonical(example), right)).collect();
            if each.iter().all(|keys| !keys.is_empty()) {
                used = each.concat();
            }
        }
        if !used.is_empty() {
            return FactCoverage::Granted(used);
        }
        if !is_varying && Rights::READ.contains(right) && self.executed.contains(&*form) {
            return FactCoverage::Granted(Vec::new());
        }
        if let Some(group) = self.groups.iter().find(|group| self.covers(**group, &form, right)) {
            return FactCoverage::Granted(vec![format!("files {}", group.word())]);
        }
        let example = seen.examples.first().filter(|_| is_varying);
        let named = example.map_or_else(|| place.to_string(), Clone::clone);
        let remedy = remedy(&place, example.map(String::as_str), right);
        let word = right.words().next().unwrap_or_default();
        let subject = format!("file {path} {word}");
        missing(GateRule::OutsideFile, "/files", &format!("{named} {}", done(did)), &subject, remedy)
    }

    /// The grants of one right on a path: those of its own rule, and of the directories above.
    fn rules_over(&self, path: &str, right: Rights) -> Vec<String> {
        let above = Path::new(path).ancestors().filter_map(Path::to_str);
        above
            .filter_map(|place| self.rules.get(place))
            .flatten()
            .filter_map(|(rule, rights)| {
                // The entry's right that has it: to read is to list too.
                let granted = rights.iter().find(|granted| granted.contains(right))?;
                Some(format!("file {rule} {}", granted.words().next()?))
            })
            .collect()
    }

    /// Whether a group covers a right on a path.
    fn covers(&self, group: FileGroup, path: &str, right: Rights) -> bool {
        let below = |list: &[&str]| list.iter().any(|place| Path::new(path).starts_with(&*canonical(place)));
        let read_write = Rights::READ.union(Rights::WRITE);
        match group {
            FileGroup::Runtime => {
                (Rights::READ.contains(right) && (below(RUNTIME) || below(&["/proc"])))
                    || (read_write.contains(right) && DEVICES.contains(&path))
                    || (path == "/dev/tty" && read_write.union(Rights::IOCTL).contains(right))
                    || (right == Rights::WRITE && OWN_PROCESS.contains(&path))
            }
            FileGroup::Names => Rights::READ.contains(right) && NAMES.contains(&path),
            FileGroup::Elsewhere => {
                let is_kernels = below(&KERNELS) && !below(&ELSEWHERE_DEVICES);
                !is_kernels && (Rights::READ.contains(right) || !self.executed.contains(path))
            }
            FileGroup::Gpu => {
                let device = path.strip_prefix("/dev/").unwrap_or_default();
                device.starts_with("nvidia")
                    || GPU_DEVICES.iter().any(|name| Path::new(device).starts_with(name))
                    || (Rights::READ.contains(right) && (below(GPU) || below(&["/sys/devices"])))
            }
        }
    }
}

/// The change that grants a right: on the path, or on the directory of names that vary. None where
/// a rule would open a directory of the system.
fn remedy(place: &str, example: Option<&str>, right: Rights) -> Remedy {
    let path = match example {
        Some(example) if NEVER_GRANTED.contains(&place) => example,
        _ => place,
    };
    let lists = right == Rights::LIST;
    if (NEVER_GRANTED.contains(&path) && !lists)
        || (!Rights::READ.contains(right) && Path::new(path).starts_with("/proc"))
    {
        return Remedy::None;
    }
    Remedy::Want(Want::File { path: path.into(), rights: right })
}
