//! The mount that a file is on: the image, a volume, a tmpfs, or a file system of the kernel.

use crate::journal::observation::Of;
use crate::procfs::mountinfo::MountInfo;

/// The mounts at start.
#[derive(Clone, Debug, Default)]
pub struct Mounts(Vec<(String, Of)>);

impl Mounts {
    /// Reads these mounts. `is_file` says whether a mount point is a file, which a runtime mounts
    /// (`/etc/hosts`): a profile counts that as part of the image. Mount points that are not UTF-8 are
    /// left out, since the journal has no path below them.
    pub fn new(mounts: &[MountInfo], is_file: impl Fn(&str) -> bool) -> Mounts {
        let place = |mount: &MountInfo| {
            let point = mount.point.to_str()?.to_owned();
            let word = match &*mount.kind {
                _ if point == "/" => "image",
                "proc" => "proc",
                "tmpfs" | "ramfs" => "tmpfs",
                "sysfs" | "cgroup" | "cgroup2" | "devpts" | "devtmpfs" | "mqueue" | "securityfs"
                | "debugfs" | "tracefs" | "bpf" | "binfmt_misc" | "hugetlbfs" | "nsfs" => "image",
                _ if is_file(&point) => "image",
                _ => "volume",
            };
            let mount_point = if word == "volume" { point.clone() } else { String::new() };
            Some((point, Of { mount: word.into(), mount_point }))
        };
        Mounts(mounts.iter().filter_map(place).collect())
    }

    /// The nearest mount above a path; of two at one mount point, the later.
    pub fn of(&self, path: &str) -> Of {
        let above = |point: &str| {
            point == "/"
                || path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let found = self.0.iter().filter(|(point, _)| above(point)).max_by_key(|(point, _)| point.len());
        found.map_or(Of { mount: "image".into(), mount_point: String::new() }, |(_, of)| of.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::mountinfo;

    #[test]
    fn the_nearest_mount_is_a_files() {
        let text = b"1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /proc rw - proc proc rw\n\
                    3 1 8:1 /v /data rw shared:1 - ext4 /dev/sda rw\n7 1 8:1 /w /a\\040b\\011c rw - ext4 /dev/sda rw\n4 1 0:3 / /tmp rw - tmpfs tmpfs rw\n\
                    5 1 8:1 /h /etc/hosts rw - ext4 /dev/sda rw\n6 3 0:4 / /data/tmp rw - tmpfs tmpfs rw\nnone\n";
        let mounts = Mounts::new(&mountinfo::parse(text), |path| path == "/etc/hosts");
        let of = |path: &str| {
            let of = mounts.of(path);
            (of.mount.into_owned(), of.mount_point)
        };
        assert_eq!(of("/etc/passwd"), ("image".to_owned(), String::new()));
        assert_eq!(of("/etc/hosts"), ("image".to_owned(), String::new()));
        assert_eq!(of("/data/x/y"), ("volume".to_owned(), "/data".to_owned()));
        assert_eq!(of("/a b\tc/x"), ("volume".to_owned(), "/a b\tc".to_owned()));
        assert_eq!(of("/database"), ("image".to_owned(), String::new()));
        assert_eq!(of("/data/tmp/x"), ("tmpfs".to_owned(), String::new()));
        assert_eq!(of("/proc/1/status"), ("proc".to_owned(), String::new()));
        assert_eq!(of("/tmp"), ("tmpfs".to_owned(), String::new()));
    }
}
