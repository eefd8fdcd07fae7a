//! Which rights a profile grants on which paths, with the paths of its groups.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::permission::Permitted;
use super::programs::Made;
use crate::plan::{
    DEVICES, ELSEWHERE_DEVICES, GPU, GPU_DEVICES, KERNELS, LIBRARIES, NAMES, OWN_PROCESS, RUNTIME,
};
use crate::profile::{FileEntry, FileGroup, Profile, Program, Rights};

/// Every right.
pub(super) const ALL: Rights = Rights::all();
/// Those by which something changes.
pub(super) const CHANGING: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);

/// A path, the rights on it and all below it, and what grants them.
#[derive(Clone, Debug)]
pub struct GrantedPath {
    /// The path.
    pub path: PathBuf,
    /// The rights.
    pub rights: Rights,
    /// JSON Pointer of the entry.
    pub pointer: String,
    /// The group that has the path.
    pub through: Option<&'static str>,
    /// The author's reason.
    pub why: Option<String>,
}

/// The rights of a profile on paths.
#[derive(Clone, Debug)]
pub struct GrantedFiles {
    /// Every path, in the profile's order.
    pub paths: Vec<GrantedPath>,
    /// The pointers of `@elsewhere`, `@runtime` and `@gpu`, with their reasons.
    groups: Vec<(FileGroup, String, Option<String>)>,
    by_path: HashMap<PathBuf, Rights>,
    /// The paths that `@elsewhere` leaves out.
    excluded: Vec<PathBuf>,
}

impl GrantedFiles {
    /// The files of a profile.
    pub fn of(profile: &Profile) -> GrantedFiles {
        let mut paths = Vec::new();
        let mut groups = Vec::new();
        for (index, entry) in profile.files.iter().enumerate() {
            let pointer = format!("/files/{index}");
            match entry {
                FileEntry::Path(rule) => paths.push(GrantedPath {
                    path: rule.path.clone(),
                    rights: rule.allow,
                    pointer,
                    through: None,
                    why: rule.why.clone(),
                }),
                FileEntry::Group(group) => {
                    for (path, rights) in of_group(group.what) {
                        paths.push(GrantedPath {
                            path,
                            rights,
                            pointer: pointer.clone(),
                            through: Some(group.what.word()),
                            why: group.why.clone(),
                        });
                    }
                    groups.push((group.what, pointer, group.why.clone()));
                }
            }
        }
        let mut by_path: HashMap<PathBuf, Rights> = HashMap::new();
        for one in &paths {
            *by_path.entry(one.path.clone()).or_default() |= one.rights;
        }
        GrantedFiles { paths, groups, by_path, excluded: excluded(&profile.programs) }
    }

    /// Whether the profile names this group.
    pub fn has(&self, group: FileGroup) -> bool {
        self.groups.iter().any(|(own, ..)| *own == group)
    }

    /// The rights on a path with all that is below it.
    pub fn rights(&self, path: &Path) -> Rights {
        let mut rights = Rights::NONE;
        for above in path.ancestors() {
            rights |= self.by_path.get(above).copied().unwrap_or_default();
        }
        if self.has(FileGroup::Elsewhere) && !self.excluded.iter().any(|out| meets(out, path)) {
            rights |= ALL;
        }
        rights
    }

    /// The rights on anything below a path, or on it.
    pub fn rights_below(&self, path: &Path) -> Rights {
        let below = self.by_path.iter().filter(|(own, _)| own.starts_with(path));
        let mut rights = below.fold(self.rights(path), |all, (_, rights)| all | *rights);
        let is_out = |out: &PathBuf| path.starts_with(out);
        if self.has(FileGroup::Elsewhere) && !self.excluded.iter().any(is_out) {
            rights |= ALL;
        }
        rights
    }

    /// The paths that `@elsewhere` leaves out: what the other profile's may not be compared without.
    pub(super) fn excluded(&self) -> &[PathBuf] {
        &self.excluded
    }

    /// Every permission; `also` are paths that another profile's `@elsewhere` leaves out.
    pub(super) fn permissions(&self, also: &[PathBuf]) -> Vec<(Made, Option<&'static str>)> {
        let mut all = Vec::new();
        for one in &self.paths {
            for right in one.rights.iter() {
                let what = Permitted::File { path: one.path.clone(), right };
                all.push(((what, one.pointer.clone(), one.why.clone()), one.through));
            }
        }
        for (group, pointer, why) in &self.groups {
            let mut put = |what| all.push(((what, pointer.clone(), why.clone()), Some(group.word())));
            match group {
                FileGroup::Names => {}
                FileGroup::Runtime => put(Permitted::StandardFiles),
                FileGroup::Gpu => put(Permitted::NvidiaDevices),
                FileGroup::Elsewhere => {
                    put(Permitted::EngineDevices);
                    for right in ALL.iter() {
                        put(Permitted::Elsewhere(right));
                        let is_granted =
                            |path: &&PathBuf| !self.excluded.iter().any(|out| path.starts_with(out));
                        for path in also.iter().filter(is_granted) {
                            put(Permitted::File { path: path.clone(), right });
                        }
                    }
                }
            }
        }
        all
    }

    /// Whether this profile permits what another does.
    pub(super) fn covers(&self, what: &Permitted) -> bool {
        match what {
            Permitted::File { path, right } => self.rights(path).contains(*right),
            Permitted::Elsewhere(right) => {
                self.has(FileGroup::Elsewhere) || self.rights(Path::new("/")).contains(*right)
            }
            Permitted::StandardFiles => self.has(FileGroup::Runtime),
            Permitted::NvidiaDevices => {
                self.has(FileGroup::Gpu)
                    || self.rights(Path::new("/dev")).contains(Rights::WRITE | Rights::IOCTL)
            }
            Permitted::EngineDevices => self.has(FileGroup::Elsewhere),
            _ => false,
        }
    }
}

/// Whether one path is the other, or lies above or below it.
fn meets(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// What `@elsewhere` leaves out, as far as paths show it: the kernel's trees, programs, libraries that
/// programs name, and where the loader finds libraries.
fn excluded(programs: &[Program]) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = KERNELS.iter().chain(&LIBRARIES).map(PathBuf::from).collect();
    for program in programs.iter().filter(|program| !program.from_image) {
        out.push(program.place.path().to_owned());
        out.extend(program.libraries.iter().flatten().cloned());
    }
    out.sort();
    out.dedup();
    out
}

/// The paths of a group with their rights, each as far as the image has it.
fn of_group(group: FileGroup) -> Vec<(PathBuf, Rights)> {
    let both = Rights::READ | Rights::WRITE;
    let devices = both | Rights::IOCTL;
    let each = |paths: &[&str], rights| {
        paths.iter().map(move |path| (PathBuf::from(path), rights)).collect::<Vec<_>>()
    };
    match group {
        FileGroup::Runtime => [
            each(RUNTIME, Rights::READ),
            each(DEVICES, both),
            each(&["/dev/tty"], devices),
            each(&["/proc"], Rights::READ),
            each(&OWN_PROCESS, Rights::WRITE),
        ]
        .concat(),
        FileGroup::Names => each(NAMES, Rights::READ),
        FileGroup::Elsewhere => each(&ELSEWHERE_DEVICES, ALL),
        FileGroup::Gpu => {
            let own = GPU_DEVICES.iter().map(|name| (Path::new("/dev").join(name), devices)).collect();
            [each(GPU, Rights::READ), own].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    fn files(list: &str) -> GrantedFiles {
        let text = format!(
            r#"{{"remit": 1, "name": "x", "programs": [{{"path": "/bin/app", "entry": true}}], "files": {list}}}"#
        );
        GrantedFiles::of(&profile::read(text.as_bytes()).expect("valid").profile)
    }

    #[test]
    fn a_directory_covers_what_is_below_it() {
        let found =
            files(r#"[{"path": "/data", "allow": ["read"]}, {"path": "/data/new", "allow": ["create"]}]"#);
        assert_eq!(found.rights(Path::new("/data/new/x")), Rights::READ | Rights::CREATE);
        assert_eq!(found.rights(Path::new("/data")), Rights::READ);
        assert_eq!(found.rights_below(Path::new("/data")), Rights::READ | Rights::CREATE);
        assert_eq!(found.rights(Path::new("/database")), Rights::NONE);
    }

    #[test]
    fn elsewhere_is_all_but_programs_and_the_kernels_trees() {
        let found = files(r#"["@elsewhere"]"#);
        for path in ["/srv", "/etc/passwd", "/dev/shm"] {
            assert_eq!(found.rights(Path::new(path)), ALL, "{path}");
        }
        for path in ["/", "/bin", "/bin/app", "/proc/self", "/dev", "/lib64/x"] {
            assert_eq!(found.rights(Path::new(path)), Rights::NONE, "{path}");
        }
        assert_eq!(found.rights_below(Path::new("/")), ALL);
        assert_eq!(found.rights_below(Path::new("/proc")), Rights::NONE);
    }
}
