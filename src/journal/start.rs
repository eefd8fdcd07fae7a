//! The first line of a journal: what runs where.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::hex;
use crate::image::digest::digest;
use crate::image::live::Live;
use crate::image::{Executable, Files};
use crate::kernel::Arch;

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct First<'a> {
    journal: u64,
    run: &'a str,
    /// COMMAND and its arguments, secrets cut.
    pub command: Vec<String>,
    /// The workload, as the person calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Every call is watched.
    pub exact: bool,
    /// Where it runs.
    pub fingerprint: Fingerprint,
    /// What the place has of its own.
    pub outer: Outer,
}

/// Where a run ran.
#[derive(Clone, Debug, Serialize)]
pub struct Fingerprint {
    arch: &'static str,
    kernel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    libc: Option<String>,
    programs: String,
}

/// What the place has of its own.
#[derive(Clone, Debug, Serialize)]
pub struct Outer {
    /// A filter.
    pub seccomp: bool,
    /// The capabilities that the app may hold.
    pub capabilities: Vec<String>,
    /// Calls that this filter refuses, so that nobody sees whether they are made: those
    /// that could be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<&'static str>,
}

impl First<'_> {
    /// What is known before there is a name.
    pub fn new(
        command: Vec<String>,
        label: Option<String>,
        exact: bool,
        fingerprint: Fingerprint,
        outer: Outer,
    ) -> First<'static> {
        First { journal: 1, run: "", command, label, exact, fingerprint, outer }
    }

    /// The line of the run that has this name.
    pub fn line(&self, run: &str) -> String {
        let named = First { run, ..self.clone() };
        // Strings and booleans alone: it cannot fail.
        serde_json::to_string(&named).unwrap_or_default()
    }
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
            arch: Arch::THIS.name(),
            kernel,
            libc: loader.and_then(|loader| libc_of(&loader)),
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
    fn the_first_line_says_what_ran_where() {
        assert_eq!(version(b"\0ld.so (GNU) stable release version 2.36.\n").as_deref(), Some("2.36"));
        assert_eq!(version(b"nothing"), None);
        let fingerprint = Fingerprint {
            arch: "x86_64",
            kernel: "6.18.44".to_owned(),
            libc: Some("glibc 2.36".to_owned()),
            programs: "sha256:0".to_owned(),
        };
        let outer = Outer { seccomp: true, capabilities: vec!["chown".to_owned()], denied: vec!["keyctl"] };
        let first = First::new(vec!["app".to_owned()], Some("idle".to_owned()), false, fingerprint, outer);
        assert_eq!(
            first.line("app-1"),
            r#"{"journal":1,"run":"app-1","command":["app"],"label":"idle","exact":false,"fingerprint":{"arch":"x86_64","kernel":"6.18.44","libc":"glibc 2.36","programs":"sha256:0"},"outer":{"seccomp":true,"capabilities":["chown"],"denied":["keyctl"]}}"#
        );
    }
}
