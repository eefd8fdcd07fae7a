//! The PID file of `--follow`: the process to which the app's first one has handed over.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::sys::process;

/// The child of the init that the file names, if it has not ended. The app writes the file: it
/// can only choose among its own orphans, which are the init's children.
///
/// Nothing in it waits: a FIFO is no PID file.
pub fn named_child(path: &Path) -> Option<i32> {
    /// More than any number has.
    const MOST: u64 = 32;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return None;
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).ok()?;
    number(&text).filter(|pid| process::is_living_child(*pid))
}

/// The number in a PID file.
fn number(text: &str) -> Option<i32> {
    text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_has_a_number_alone() {
        for (text, pid) in [
            ("42\n", Some(42)),
            (" 42 ", Some(42)),
            ("42\n/var/lib/postgresql\n5432\n", Some(42)),
            ("", None),
            ("\n42", None),
            ("0\n", None),
            ("1\n", None),
            ("-42\n", None),
            ("99999999999\n", None),
            ("forty-two\n", None),
        ] {
            assert_eq!(number(text), pid, "{text:?}");
        }
    }

    #[test]
    fn whatever_the_file_holds_it_is_read_or_refused() {
        crate::mutation::each(&[b"42\n/var/lib/postgresql\n5432\n", b" 42 "], |bytes| {
            let pid = std::str::from_utf8(bytes).ok().and_then(number);
            assert!(pid.is_none_or(|pid| pid > 1), "{pid:?}");
        });
    }

    #[test]
    fn only_a_living_child_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pid");
        let write = |pid: u32| std::fs::write(&file, format!("{pid}\n")).expect("a file");
        assert_eq!(named_child(&file), None, "no file");
        write(std::process::id());
        assert_eq!(named_child(&file), None, "no child");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("it runs");
        write(child.id());
        assert_eq!(named_child(&file), Some(child.id() as i32));
        child.kill().and_then(|()| child.wait()).expect("ended");
        assert_eq!(named_child(&file), None, "it has ended");
    }
}
