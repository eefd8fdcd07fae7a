//! Where the loader finds a library: ld.so(8) and musl's ldso, with the files of an image.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::object::ElfObject;
use crate::kernel::Arch;

/// The files of an image, by their paths in it. Links lead to files of the image.
pub trait FileSource {
    /// The bytes of a regular file, and its path with all links resolved; `Ok(None)` where there is none.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is larger than
    /// [`MOST_BYTES`](super::object::MOST_BYTES).
    fn read(&self, path: &Path) -> io::Result<Option<FileContent>>;

    /// The names in a directory, sorted; none where there is no such directory.
    fn list(&self, directory: &Path) -> Vec<OsString>;
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// Its path with all links resolved.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How deep files that ld.so.conf includes may include others.
const DEPTH: usize = 8;
/// The most directories and files that ld.so.conf names.
const MOST: usize = 1024;

/// The directories in which the loader looks for a library that no path is given of.
pub struct SearchPath {
    arch: Arch,
    musl: bool,
    /// Of /etc/ld.so.conf, or of musl's file.
    configured: Vec<PathBuf>,
}

impl SearchPath {
    /// Of a program with this loader.
    pub fn new(files: &dyn FileSource, arch: Arch, interpreter: Option<&str>) -> SearchPath {
        let musl = interpreter.is_some_and(|path| path.contains("ld-musl"));
        let configured = if musl { musl_path(files, arch) } else { configured(files) };
        SearchPath { arch, musl, configured }
    }

    /// Whether musl's loader takes the name of a library for itself (ldso/dynlink.c).
    pub fn is_loader_itself(&self, name: &str) -> bool {
        const OWN: [&str; 7] = ["c", "pthread", "rt", "m", "dl", "util", "xnet"];
        let stem = name.strip_prefix("lib").and_then(|rest| rest.split('.').next());
        self.musl && stem.is_some_and(|stem| OWN.contains(&stem))
    }

    /// The paths at which a library is looked for, in order. `by` are the object that names it and those
    /// that loaded that one, up to the program.
    pub fn candidates(&self, name: &str, by: &[&ElfObject]) -> Vec<PathBuf> {
        if name.contains('/') {
            let path =
                by.first().map_or_else(|| PathBuf::from(name), |object| expand(name, object, self.arch));
            return if path.is_absolute() { vec![normal(&path)] } else { Vec::new() };
        }
        let mut directories = Vec::new();
        let own = |list: &Option<String>, object: &ElfObject| -> Vec<PathBuf> {
            let list = list.as_deref().unwrap_or_default();
            list.split(':').filter(|one| !one.is_empty()).map(|one| expand(one, object, self.arch)).collect()
        };
        if let Some(first) = by.first() {
            if self.musl {
                for object in by {
                    directories.extend(own(&object.runpath, object));
                    directories.extend(own(&object.rpath, object));
                }
            } else if first.runpath.is_none() {
                for object in by.iter().filter(|object| object.runpath.is_none()) {
                    directories.extend(own(&object.rpath, object));
                }
            }
            if !self.musl {
                directories.extend(own(&first.runpath, first));
            }
        }
        directories.extend(self.configured.iter().cloned());
        directories.extend(self.defaults().map(PathBuf::from));
        let mut known = HashSet::new();
        let paths = directories.into_iter().filter(|directory| directory.is_absolute());
        paths
            .map(|directory| normal(&directory.join(name)))
            .filter(|path| known.insert(path.clone()))
            .collect()
    }

    fn defaults(&self) -> impl Iterator<Item = &'static str> {
        let own: &[&str] = match (self.musl, self.arch) {
            (true, _) => &["/lib", "/usr/local/lib", "/usr/lib"],
            (false, Arch::X86_64) => &[
                "/lib/x86_64-linux-gnu",
                "/usr/lib/x86_64-linux-gnu",
                "/lib64",
                "/usr/lib64",
                "/lib",
                "/usr/lib",
            ],
            (false, Arch::Aarch64) => &[
                "/lib/aarch64-linux-gnu",
                "/usr/lib/aarch64-linux-gnu",
                "/lib64",
                "/usr/lib64",
                "/lib",
                "/usr/lib",
            ],
        };
        own.iter().copied()
    }
}

/// A path with the variables of ld.so(8) replaced.
fn expand(text: &str, object: &ElfObject, arch: Arch) -> PathBuf {
    let origin = Path::new(&object.name).parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
    let library = match arch {
        Arch::X86_64 => "lib/x86_64-linux-gnu",
        Arch::Aarch64 => "lib/aarch64-linux-gnu",
    };
    let mut text = text.to_owned();
    for (name, value) in [("ORIGIN", &*origin), ("LIB", library), ("PLATFORM", arch.name())] {
        text = text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    PathBuf::from(text)
}

/// A path without `.` and `..`, by its names alone.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// The directories of /etc/ld.so.conf and what it includes (ldconfig(8)).
fn configured(files: &dyn FileSource) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut read = BTreeSet::new();
    include(files, Path::new("/etc/ld.so.conf"), DEPTH, &mut read, &mut found);
    found
}

fn include(
    files: &dyn FileSource,
    path: &Path,
    depth: usize,
    read: &mut BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) {
    if depth == 0 || read.len() > MOST || !read.insert(path.into()) {
        return;
    }
    let Ok(Some(content)) = files.read(path) else { return };
    let text = String::from_utf8_lossy(&content.bytes).into_owned();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(patterns) = line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
            for pattern in patterns.split_whitespace() {
                for path in matching(files, &Path::new("/etc").join(pattern)) {
                    include(files, &path, depth - 1, read, found);
                }
            }
        } else if !line.is_empty() && !line.starts_with("hwcap") && found.len() < MOST {
            let directories = line.split([' ', '\t', ',', ':']).filter(|one| one.starts_with('/'));
            found.extend(directories.map(|one| PathBuf::from(one.split('=').next().unwrap_or(one))));
        }
    }
}

/// The files that a pattern names, of which the last name may have one `*`.
fn matching(files: &dyn FileSource, pattern: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name()) else { return Vec::new() };
    let name = name.to_string_lossy();
    let Some((before, after)) = name.split_once('*') else { return vec![pattern.into()] };
    let matches = |one: &OsString| {
        let one = one.to_string_lossy();
        one.len() >= before.len() + after.len() && one.starts_with(before) && one.ends_with(after)
    };
    files.list(directory).into_iter().filter(matches).map(|one| directory.join(one)).collect()
}

fn musl_path(files: &dyn FileSource, arch: Arch) -> Vec<PathBuf> {
    let path = format!("/etc/ld-musl-{arch}.path");
    let Ok(Some(content)) = files.read(Path::new(&path)) else { return Vec::new() };
    let text = String::from_utf8_lossy(&content.bytes).into_owned();
    text.split([':', '\n']).filter(|one| one.starts_with('/')).take(MOST).map(PathBuf::from).collect()
}

/// The libraries that /etc/ld.so.preload names (ld.so(8)).
pub fn preloaded(files: &dyn FileSource) -> Vec<String> {
    let Ok(Some(content)) = files.read(Path::new("/etc/ld.so.preload")) else { return Vec::new() };
    let text = String::from_utf8_lossy(&content.bytes).into_owned();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.flat_map(|line| line.split([' ', '\t', ':']));
    names.filter(|name| !name.is_empty()).take(MOST).map(str::to_owned).collect()
}

/// The modules of the Name Service Switch that nsswitch.conf(5) names, as the C library opens them.
pub fn name_service_modules(files: &dyn FileSource) -> Vec<String> {
    let text = match files.read(Path::new("/etc/nsswitch.conf")) {
        Ok(Some(content)) => String::from_utf8_lossy(&content.bytes).into_owned(),
        // What the C library does without the file.
        _ => "all: files dns nis compat".to_owned(),
    };
    let mut modules = BTreeSet::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((_, services)) = line.split_once(':') else { continue };
        let mut in_action = false;
        for word in services.split_whitespace() {
            in_action |= word.starts_with('[');
            let is_name =
                word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            if !in_action && is_name && modules.len() < MOST {
                modules.insert(format!("libnss_{word}.so.2"));
            }
            in_action &= !word.ends_with(']');
        }
    }
    modules.into_iter().collect()
}

#[cfg(test)]
mod tests;
