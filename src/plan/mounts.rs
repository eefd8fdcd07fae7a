//! One file under two names: a directory that is mounted twice lets a file that may be written
//! through one mount be written through the other, and a grant knows paths alone.

use std::path::{Path, PathBuf};

use crate::image::is_beneath;
use crate::procfs::mountinfo::MountInfo;

/// The mount of a path: the nearest of those above it, and of two at one mount point the later.
pub fn of<'a>(mounts: &'a [MountInfo], path: &Path) -> Option<&'a MountInfo> {
    let above = mounts.iter().filter(|mount| is_beneath(path, &mount.point));
    above.max_by_key(|mount| mount.point.as_os_str().len())
}

/// Every other path of the file at `path`, without links.
pub fn other_names(mounts: &[MountInfo], path: &Path) -> Vec<PathBuf> {
    let within = |path: &Path| {
        let mount = of(mounts, path)?;
        Some((mount, mount.root.join(path.strip_prefix(&mount.point).ok()?)))
    };
    let Some((own, inner)) = within(path) else { return Vec::new() };
    if mounts.iter().filter(|mount| mount.device == own.device).nth(1).is_none() {
        return Vec::new();
    }
    let name = |mount: &MountInfo| {
        let rest = inner.strip_prefix(&mount.root).ok()?;
        let name = if rest.as_os_str().is_empty() { mount.point.clone() } else { mount.point.join(rest) };
        // Another mount may cover it.
        let seen = within(&name).is_some_and(|(seen, at)| seen.device == mount.device && at == inner);
        (name != path && seen).then_some(name)
    };
    mounts.iter().filter(|mount| mount.device == own.device).filter_map(name).collect()
}

/// The mount points at or below a directory, the directory itself first.
pub fn parts<'a>(mounts: &'a [MountInfo], directory: &'a Path) -> impl Iterator<Item = &'a Path> {
    let below = mounts
        .iter()
        .map(|mount| &*mount.point)
        .filter(move |point| is_beneath(point, directory) && *point != directory);
    std::iter::once(directory).chain(below)
}

/// Whether another mount of the same directory, or of one around or in it, may be written.
pub(super) fn written_elsewhere(mounts: &[MountInfo], mount: &MountInfo) -> bool {
    let meets =
        |other: &MountInfo| is_beneath(&other.root, &mount.root) || is_beneath(&mount.root, &other.root);
    let others = mounts.iter().filter(|other| other.device == mount.device && other.point != mount.point);
    others.filter(|other| !other.read_only).any(meets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::mountinfo::parse;

    fn names(mounts: &str, path: &str) -> Vec<String> {
        let names = other_names(&parse(mounts.as_bytes()), Path::new(path));
        names.into_iter().map(|name| name.display().to_string()).collect()
    }

    const ROOT: &str = "20 1 0:40 / / rw - overlay overlay rw\n";

    #[test]
    fn a_folder_that_is_mounted_twice_has_two_names() {
        let mounts = format!(
            "{ROOT}21 20 8:1 /srv/app /app rw - ext4 /dev/sda1 rw\n22 20 8:1 /srv /other rw - ext4 /dev/sda1 rw\n"
        );
        assert_eq!(names(&mounts, "/app/server"), ["/other/app/server"]);
        assert_eq!(names(&mounts, "/app"), ["/other/app"]);
        assert_eq!(names(&mounts, "/other/app/server"), ["/app/server"]);
        assert_eq!(names(&mounts, "/other/log"), [""; 0]);
        assert_eq!(names(&mounts, "/usr/bin/true"), [""; 0]);
    }

    #[test]
    fn what_is_covered_is_no_name_and_another_file_system_is_another_file() {
        let mounts = format!(
            "{ROOT}21 20 8:1 / /app rw - ext4 a rw\n22 20 8:1 / /other rw - ext4 a rw\n\
             23 22 8:2 / /other/bin rw - ext4 b rw\n24 20 8:3 / /third rw - ext4 c rw\n"
        );
        assert_eq!(names(&mounts, "/app/bin/server"), [""; 0]);
        assert_eq!(names(&mounts, "/app/server"), ["/other/server"]);
    }

    #[test]
    fn a_single_file_may_be_mounted_and_names_may_hold_spaces() {
        let mounts =
            format!("{ROOT}21 20 8:1 /a\\040b/tool /bin/tool rw - x y\n22 20 8:1 /a\\040b /data rw - x y\n");
        assert_eq!(names(&mounts, "/bin/tool"), ["/data/tool"]);
        let mounts = parse(mounts.as_bytes());
        let parts: Vec<_> = parts(&mounts, Path::new("/bin")).collect();
        assert_eq!(parts, [Path::new("/bin"), Path::new("/bin/tool")]);
    }

    #[test]
    fn any_mounts_have_names_or_none() {
        let seed = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n30 22 8:1 /a\\040b /srv\\011 rw shared:1 - ext4 x rw\n";
        crate::mutation::each(&[seed], |bytes| {
            let mounts = parse(bytes);
            for mount in &mounts {
                other_names(&mounts, &mount.point);
            }
        });
    }
}
