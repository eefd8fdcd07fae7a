//! `/proc/PID/status` (proc_pid_status(5)), which every kernel shows to everyone in the
//! container.

use nix::errno::Errno;

use super::read;
use crate::ids::{Gid, Pid, Tid, Uid};

/// The status of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadStatus {
    /// Its process (Tgid).
    pub tgid: Pid,
    /// The parent of its process (PPid).
    pub parent: Pid,
    /// The thread that traces it (TracerPid); none where that is 0.
    pub tracer: Option<Tid>,
    /// Its umask (Umask); 022 before Linux 4.7, which has no such line.
    pub umask: u32,
    /// Real, effective, saved, file-system uid.
    pub uids: [Uid; 4],
    /// Real, effective, saved, file-system gid.
    pub gids: [Gid; 4],
    /// The supplementary groups (Groups).
    pub groups: Vec<Gid>,
    /// The inheritable capabilities, as bits.
    pub inheritable: u64,
    /// The permitted ones.
    pub permitted: u64,
    /// The effective ones.
    pub effective: u64,
    /// Bytes of memory that are locked (VmLck); none where it has no memory, as a zombie.
    pub locked: Option<u64>,
    /// Bytes of its address space (VmSize).
    pub size: Option<u64>,
}

impl ThreadStatus {
    /// Reads the status of a thread.
    ///
    /// # Errors
    /// ENOENT or ESRCH for a thread that is gone, ESRCH also where the text cannot be parsed.
    pub fn of(tid: Tid) -> Result<ThreadStatus, Errno> {
        ThreadStatus::parse(&read(tid, "status")?).ok_or(Errno::ESRCH)
    }

    /// Reads the text. The name, of which a newline is escaped, makes no line.
    pub fn parse(text: &str) -> Option<ThreadStatus> {
        let (mut uids, mut gids) = (None, None);
        let mut status = ThreadStatus {
            tgid: Pid::default(),
            parent: Pid::default(),
            tracer: None,
            umask: 0o022,
            uids: [Uid::from_raw(0); 4],
            gids: [Gid::from_raw(0); 4],
            groups: Vec::new(),
            inheritable: 0,
            permitted: 0,
            effective: 0,
            locked: None,
            size: None,
        };
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let mut words = value.split_ascii_whitespace();
            let mut id = || words.next()?.parse::<i32>().ok();
            match key {
                "Tgid" => status.tgid = Pid::from_raw(id()?),
                "PPid" => status.parent = Pid::from_raw(id()?),
                "TracerPid" => status.tracer = Some(id()?).filter(|tid| *tid != 0).map(Tid::from_raw),
                "Umask" => status.umask = u32::from_str_radix(words.next()?, 8).ok()?,
                "Uid" => uids = Some(four(words)?.map(Uid::from_raw)),
                "Gid" => gids = Some(four(words)?.map(Gid::from_raw)),
                "Groups" => {
                    status.groups = words.filter_map(|word| word.parse().ok()).map(Gid::from_raw).collect();
                }
                "CapInh" => status.inheritable = bits(words.next()?)?,
                "CapPrm" => status.permitted = bits(words.next()?)?,
                "CapEff" => status.effective = bits(words.next()?)?,
                "VmLck" => status.locked = Some(kilobytes(words.next()?)?),
                "VmSize" => status.size = Some(kilobytes(words.next()?)?),
                _ => {}
            }
        }
        // Ids that are not there are no ids of root.
        (status.uids, status.gids) = (uids?, gids?);
        (status.tgid > Pid::default()).then_some(status)
    }
}

fn four<'a>(words: impl Iterator<Item = &'a str>) -> Option<[u32; 4]> {
    let numbers: Vec<u32> = words.filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().ok()
}

fn bits(word: &str) -> Option<u64> {
    u64::from_str_radix(word, 16).ok()
}

fn kilobytes(word: &str) -> Option<u64> {
    word.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tnginx\nUmask:\t0027\nState:\tS (sleeping)\nTgid:\t12\nPid:\t14\nPPid:\t1\n\
        TracerPid:\t9\nUid:\t0\t33\t33\t33\nGid:\t0\t33\t33\t34\nGroups:\t33 44 \nVmSize:\t    2 kB\n\
        VmLck:\t       1 kB\nCapInh:\t0000000000000001\nCapPrm:\t0000000000000002\nCapEff:\t00000000000004c0\n";

    #[test]
    fn a_status_is_read() {
        let expected = ThreadStatus {
            tgid: Pid::from_raw(12),
            parent: Pid::from_raw(1),
            tracer: Some(Tid::from_raw(9)),
            umask: 0o027,
            uids: [0, 33, 33, 33].map(Uid::from_raw),
            gids: [0, 33, 33, 34].map(Gid::from_raw),
            groups: [33, 44].map(Gid::from_raw).to_vec(),
            inheritable: 1,
            permitted: 2,
            effective: 0x4c0,
            locked: Some(1024),
            size: Some(2048),
        };
        assert_eq!(ThreadStatus::parse(TEXT), Some(expected));
        let untraced =
            ThreadStatus::parse(&TEXT.replace("TracerPid:\t9", "TracerPid:\t0")).expect("a status");
        assert_eq!(untraced.tracer, None);
        assert_eq!(ThreadStatus::parse("Name:\tx\n"), None);
    }

    #[test]
    fn any_status_is_read_or_refused() {
        let mut read = 0;
        crate::mutation::each(&[TEXT.as_bytes()], |bytes| {
            read += u32::from(ThreadStatus::parse(&String::from_utf8_lossy(bytes)).is_some());
        });
        assert!(read > 100, "a change elsewhere leaves it a status");
    }
}
