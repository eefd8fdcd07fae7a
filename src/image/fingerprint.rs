//! The fingerprint of a run: on what kernel and of which files it ran. Journals and evidence
//! have it, and a start under a learned profile is compared with it.

use std::cmp::Ordering;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::digest::digest;
use super::live::Live;
use super::packages::{APK, Compare, DPKG, Packages};
use super::{Executable, ImageFiles};
use crate::hex;
use crate::kernel::Arch;

/// The environment of a learning run. A missing key is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fingerprint {
    /// The architecture, by [`Arch::name`].
    pub arch: String,
    /// The kernel's release, as uname(2) has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kernel: String,
    /// The C library of COMMAND's loader: `musl`, `glibc 2.36`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// The packages of what was executed; known when the run ends.
    #[serde(skip_serializing_if = "Packages::is_empty")]
    pub packages: Packages,
    /// `sha256:` of the names and digests of COMMAND, its interpreters and its loader.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub programs: String,
}

impl Fingerprint {
    /// Of this place, on this kernel's release, for this COMMAND.
    pub fn of(command: &Path, kernel: String) -> Fingerprint {
        let mut files = vec![command.to_owned()];
        let mut loader = None;
        // An interpreter may have an interpreter, and in the end there is a loader.
        while let Some(last) = files.last().filter(|_| files.len() < 6) {
            match Live.executable(last) {
                Ok(Executable::Script(next, _)) => files.push(next),
                Ok(Executable::Dynamic(next)) => {
                    loader = Some(next.clone());
                    files.push(next);
                    break;
                }
                _ => break,
            }
        }
        let mut all = Sha256::new();
        for file in &files {
            let content = open(file).and_then(digest).unwrap_or_default();
            all.update(format!("{}\0{content}\n", file.display()));
        }
        let programs = format!("sha256:{}", hex::lower(&all.finalize()));
        Fingerprint {
            arch: Arch::THIS.name().to_owned(),
            kernel,
            libc: loader.and_then(|loader| libc_of(&loader)),
            packages: Packages::new(),
            programs,
        }
    }
}

/// A regular file. What else stands there is not waited for, and may have no end.
fn open(path: &Path) -> Option<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    file.metadata().is_ok_and(|found| found.is_file()).then_some(file)
}

/// The C library that a loader belongs to.
fn libc_of(loader: &Path) -> Option<String> {
    let name = loader.file_name()?.to_str()?;
    if name.starts_with("ld-musl") {
        return Some("musl".to_owned());
    }
    name.starts_with("ld-linux").then(|| {
        let mut bytes = Vec::new();
        let read = open(loader).and_then(|mut file| file.read_to_end(&mut bytes).ok());
        let version = read.and_then(|_| version(&bytes));
        version.map_or_else(|| "glibc".to_owned(), |version| format!("glibc {version}"))
    })
}

/// glibc's loader says `stable release version 2.36.` of itself.
fn version(bytes: &[u8]) -> Option<String> {
    const BEFORE: &[u8] = b"release version ";
    let at = bytes.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').copied();
    let text = String::from_utf8(digits.collect()).ok()?;
    Some(text.trim_end_matches('.').to_owned()).filter(|text| !text.is_empty())
}

/// How this environment differs from those in which a profile was learned, a line each: the
/// architecture and the packages of the runs' fingerprints are compared with this image. What
/// equals one of the runs is no difference. Packages of a manager that has no database here are
/// not compared.
pub fn mismatches(learned: &[Fingerprint], arch: Arch, here: &Packages) -> Vec<String> {
    let mut found = Vec::new();
    let archs = || learned.iter().map(|run| &*run.arch).filter(|arch| !arch.is_empty());
    if let Some(first) = archs().next()
        && !archs().any(|learned| learned.parse() == Ok(arch))
    {
        found.push(format!("learned on {first}, here is {arch}: other calls are made"));
    }
    for (manager, compare) in [DPKG, APK] {
        let Some(here) = here.get(manager) else { continue };
        for (number, run) in learned.iter().enumerate() {
            let packages = run.packages.get(manager).and_then(Value::as_object);
            for name in packages.into_iter().flat_map(Map::keys) {
                if !learned[..number].iter().any(|run| version_in(run, manager, name).is_some()) {
                    let here = here[name].as_str();
                    found.extend(mismatch(name, manager, &learned[number..], here, compare));
                }
            }
        }
    }
    found
}

/// The version of a package in a run.
fn version_in<'r>(run: &'r Fingerprint, manager: &str, name: &str) -> Option<&'r str> {
    run.packages.get(manager)?.get(name)?.as_str()
}

/// The difference of one package, which the first of these runs had.
fn mismatch(
    name: &str,
    manager: &str,
    runs: &[Fingerprint],
    here: Option<&str>,
    compare: Compare,
) -> Option<String> {
    let learned = || runs.iter().filter_map(|run| version_in(run, manager, name));
    let first = learned().next()?;
    let Some(here) = here else {
        return Some(format!("learned with {name} {first}, which is not installed here"));
    };
    let (mut oldest, mut newest) = (first, first);
    for version in learned() {
        if version == here {
            return None;
        }
        if compare(version, oldest).is_lt() {
            oldest = version;
        }
        if compare(version, newest).is_gt() {
            newest = version;
        }
    }
    let (learned, how) = match (compare(here, oldest), compare(here, newest)) {
        (Ordering::Less, _) => (oldest, "older"),
        (_, Ordering::Greater) => (newest, "newer"),
        // Between two, or an equal version that is written otherwise.
        _ => (newest, "another"),
    };
    Some(format!("learned with {name} {learned}, here is {here} ({how})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let place = tempfile::tempdir().expect("a directory");
        let pipe = place.path().join("ld-linux.so");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o777)).expect("a pipe");
        assert!(open(&pipe).is_none() && open(Path::new("/dev/zero")).is_none());
        assert!(open(Path::new("/proc/self/exe")).is_some(), "control");
        assert_eq!(libc_of(&pipe).as_deref(), Some("glibc"));
        Fingerprint::of(&pipe, String::new());
    }

    #[test]
    fn the_loader_says_which_c_library_it_is_of() {
        assert_eq!(version(b"\0ld.so (GNU) stable release version 2.36.\n").as_deref(), Some("2.36"));
        assert_eq!(version(b"nothing"), None);
    }
}
