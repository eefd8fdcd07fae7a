//! `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5)).

use crate::ids::Pid;

/// The process that a pidfd refers to; none where it has been reaped, or for any other
/// descriptor.
pub fn pid(text: &str) -> Option<Pid> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    // -1 is one that is reaped, 0 one of another pid namespace.
    line.trim().parse().ok().filter(|pid| *pid > 0).map(Pid::from_raw)
}

/// An open file: its flags, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// O_* flags of the open file description.
    pub flags: i32,
    /// The id of its mount.
    pub mount: u64,
    /// Its inode number.
    pub inode: u64,
}

/// The O_* flags of the open file description.
pub fn flags(text: &str) -> Option<i32> {
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(flags.trim(), 8).ok()
}

/// The open file of a descriptor; none before Linux 5.14, which does not give its inode.
pub fn open_file(text: &str) -> Option<OpenFile> {
    let value = |key| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    Some(OpenFile {
        flags: flags(text)?,
        mount: value("mnt_id:")?.parse().ok()?,
        inode: value("ino:")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_has_flags_a_mount_and_an_inode() {
        let text = "pos:\t0\nflags:\t0100001\nmnt_id:\t29\nino:\t131\nlock:\t1: FLOCK\n";
        assert_eq!(open_file(text), Some(OpenFile { flags: 0o100_001, mount: 29, inode: 131 }));
        assert_eq!(open_file("pos:\t0\nflags:\t0100001\nmnt_id:\t29\n"), None);
        crate::mutation::each(&[text.as_bytes()], |bytes| {
            let _ = open_file(&String::from_utf8_lossy(bytes));
        });
    }

    #[test]
    fn a_pidfd_has_a_process() {
        let text = "pos:\t0\nflags:\t02000002\nPid:\t4711\nNSpid:\t4711\n";
        assert_eq!(pid(text), Some(Pid::from_raw(4711)));
        assert_eq!(pid("pos:\t0\nPid:\t-1\n"), None);
        assert_eq!(pid("pos:\t0\nNSpid:\t7\n"), None);
        crate::mutation::each(&[text.as_bytes()], |bytes| {
            let found = pid(&String::from_utf8_lossy(bytes));
            assert!(found.is_none_or(|pid| pid > Pid::default()));
        });
    }
}
