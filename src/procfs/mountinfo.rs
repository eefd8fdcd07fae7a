//! The mounts of this process's mount namespace, by `/proc/self/mountinfo`
//! (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::errno::Errno;

/// A mount, as a line of mountinfo describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// The file system, as major and minor number of its device.
    pub device: String,
    /// The directory of the file system that is mounted (field 4).
    pub root: PathBuf,
    /// The mount point, from the process's root (field 5).
    pub point: PathBuf,
    /// The file system's type: `overlay`, `proc`.
    pub kind: String,
    /// Nothing is written through it: the mount is read-only (field 6), or its file system.
    pub read_only: bool,
}

/// All mounts, in the kernel's order: of two with one mount point the later covers the other.
///
/// # Errors
/// ENOENT where /proc is not mounted.
pub fn read() -> Result<Vec<MountInfo>, Errno> {
    const USUAL: usize = 16 * 1024;
    Ok(parse(&super::read_to_end("/proc/self/mountinfo", USUAL)?))
}

/// Reads the text; lines that cannot be parsed are left out. Names may be any bytes.
pub fn parse(text: &[u8]) -> Vec<MountInfo> {
    text.split(|byte| *byte == b'\n').filter_map(mount).collect()
}

/// `36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/root rw`: there may be any number
/// of fields before the hyphen.
fn mount(line: &[u8]) -> Option<MountInfo> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let text = |field: &[u8]| std::str::from_utf8(field).ok().map(str::to_owned);
    let device = text(fields.next()?)?;
    let (root, point) = (path(fields.next()?), path(fields.next()?));
    let is_read_only = |options: &[u8]| options.split(|byte| *byte == b',').any(|option| option == b"ro");
    let read_only = is_read_only(fields.next()?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = text(fields.next()?)?;
    let read_only = read_only || fields.nth(1).is_some_and(is_read_only);
    Some(MountInfo { device, root, point, kind, read_only })
}

/// Space, tab, newline and backslash are escaped as `\040`, `\011`, `\012` and `\134`.
fn path(mut field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    while let Some((first, after)) = field.split_first() {
        let escaped = match field {
            [b'\\', high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', ..] => {
                Some((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'))
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        field = if escaped.is_some() { &field[4..] } else { after };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn names_are_read_as_they_are() {
        let text = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
            30 22 8:1 /a\\040b\\011c\\012d\\134e /srv/\xff\\0401 rw shared:1 master:2 - ext4 /dev/sda1 rw\nnone\n\
            31 22 8:1 / /a ro,relatime - ext4 x rw,discard\n32 22 8:1 / /b rw,nodev - ext4 x ro,discard\n";
        let odd = OsStr::from_bytes(b"/srv/\xff 1");
        let of = |device: &str, root: &str, point: &OsStr, kind: &str, read_only| MountInfo {
            device: device.into(),
            root: root.into(),
            point: point.into(),
            kind: kind.into(),
            read_only,
        };
        let expected = [
            of("0:21", "/", "/proc".as_ref(), "proc", false),
            of("8:1", "/a b\tc\nd\\e", odd, "ext4", false),
            of("8:1", "/", "/a".as_ref(), "ext4", true),
            of("8:1", "/", "/b".as_ref(), "ext4", true),
        ];
        assert_eq!(parse(text), expected);
        // The kernel writes no others.
        assert_eq!(path(b"/a\\x\\04\\+12\\400\\"), PathBuf::from("/a\\x\\04\\+12\\400\\"));
    }

    #[test]
    fn this_namespace_has_a_root() {
        let mounts = read().expect("/proc is mounted");
        assert!(mounts.iter().any(|mount| mount.point == std::path::Path::new("/")));
    }

    #[test]
    fn any_mountinfo_is_read_or_left_out() {
        let seed = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n30 22 8:1 /a\\040b /srv\\011 rw shared:1 - ext4 x rw\n";
        let mut read = 0;
        crate::mutation::each(&[seed], |bytes| read += parse(bytes).len());
        assert!(read > 1000, "a change elsewhere leaves a mount");
    }
}
