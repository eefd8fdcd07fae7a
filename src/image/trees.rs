//! The directories in which an image has programs beside those of distributions: what `baseline`
//! takes for `from_image`. They are the app's own, by where it starts, and the others that the root
//! directory has: scripts of `/etc`, hooks, s6-overlay's `/command` and `/package`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{FileKind, ImageFiles, is_beneath};

/// How an app is started.
#[derive(Clone, Copy, Debug)]
pub struct AppStart<'a> {
    /// COMMAND, resolved by PATH.
    pub command: &'a Path,
    /// Its arguments.
    pub args: &'a [OsString],
    /// The directory that it starts in.
    pub directory: Option<&'a Path>,
}

impl<'a> AppStart<'a> {
    /// Of a COMMAND of which no more is known.
    pub fn of(command: &'a Path) -> AppStart<'a> {
        AppStart { command, args: &[], directory: None }
    }
}

/// The app's own directories, and the image's others. Of the first each file on the way is looked
/// up; of the second only the root directory and `/var` are listed. None lies in another.
pub fn trees(files: &dyn ImageFiles, start: &AppStart) -> Vec<PathBuf> {
    let mut trees = of_the_image(files);
    let own = of_the_app(files, start);
    trees.extend(own.into_iter().filter(|tree| is_whole(files, tree).is_some()));
    let within = |tree: &Path| trees.iter().any(|other| other != tree && is_beneath(tree, other));
    trees.iter().filter(|tree| !within(tree)).cloned().collect()
}

/// The directories that hold COMMAND, the working directory, or a path that the arguments name, in
/// a script of `-c` too.
fn of_the_app(files: &dyn ImageFiles, start: &AppStart) -> Vec<PathBuf> {
    /// The most paths in the arguments that are looked up.
    const MOST: usize = 16;
    let words = start.args.iter().flat_map(|arg| paths_in(arg)).take(MOST).collect::<Vec<_>>();
    let all = [Some(start.command), start.directory].into_iter().flatten().chain(words);
    all.filter_map(|path| top_of(&files.stat(path).ok()??.canonical)).collect()
}

/// The top-level directories on the root file system, and those of `/var` that may hold programs.
/// Another mount is no part of the image.
fn of_the_image(files: &dyn ImageFiles) -> BTreeSet<PathBuf> {
    /// The most names of a directory that are looked up; an image has a few dozen.
    const MOST: usize = 64;
    /// Below /var: where data is.
    const DATA: [&str; 4] = ["backups", "log", "mail", "spool"];
    let Some(root) = is_whole(files, Path::new("/")) else { return BTreeSet::new() };
    let listed = |directory: &'static str| {
        let names = files.list(Path::new(directory)).unwrap_or_default().into_iter();
        let names = names.filter(|(name, kind)| {
            *kind == Some(FileKind::Directory) && DATA.iter().all(|data| name != data)
        });
        names.take(MOST).map(|(name, _)| Path::new(directory).join(name))
    };
    let tops = listed("/").chain(listed("/var")).filter_map(|path| top_of(&path));
    let mut trees = BTreeSet::new();
    trees.extend(tops.filter(|top| is_whole(files, top) == Some(root)));
    trees
}

/// The device of a directory that is one by this very name, and no link.
fn is_whole(files: &dyn ImageFiles, directory: &Path) -> Option<u64> {
    let info = files.stat(directory).ok()??;
    (info.kind == FileKind::Directory && info.canonical == directory).then_some(info.id.device)
}

/// The absolute paths in an argument, which may be a shell's script or an option with a value.
fn paths_in(arg: &OsStr) -> impl Iterator<Item = &Path> {
    /// The most bytes of an argument that are searched.
    const MOST: usize = 16 << 10;
    let bytes = &arg.as_bytes()[..arg.len().min(MOST)];
    let words = bytes.split(|byte| byte.is_ascii_whitespace() || b"\"'`;&|()<>=,:{}$".contains(byte));
    words.filter(|word| word.starts_with(b"/")).map(|word| Path::new(OsStr::from_bytes(word)))
}

/// The app's directory that holds a path without links: the topmost one, and one below where the
/// topmost holds many apps' own. None where data of the moment lies, or the kernel's trees, or what
/// other rules are about.
fn top_of(path: &Path) -> Option<PathBuf> {
    const NEVER: [&str; 11] =
        ["proc", "sys", "dev", "run", "tmp", "boot", "lost+found", "usr", "opt", "bin", "sbin"];
    const SHARED: [&str; 3] = ["var", "mnt", "media"];
    const OF_THE_MOMENT: [&str; 4] = ["tmp", "run", "lock", "cache"];
    let mut names = path.iter().skip(1);
    let first = names.next()?;
    let text = first.to_str()?;
    if NEVER.contains(&text) || text.starts_with("lib") {
        return None;
    }
    let top = Path::new("/").join(first);
    if !SHARED.contains(&text) {
        return Some(top);
    }
    let second = names.next()?;
    (text != "var" || !OF_THE_MOMENT.iter().any(|name| second == *name)).then(|| top.join(second))
}

#[cfg(test)]
mod tests {
    use super::super::{Executable, tree::ImageTree};
    use super::*;

    fn image() -> ImageTree {
        ImageTree::new()
            .program("/app/bin/server", Executable::Static)
            .program("/server", Executable::Static)
            .program("/usr/bin/node", Executable::Static)
            .program("/nix/store/a-node/bin/node", Executable::Static)
            .link("/bin/node", "/nix/store/a-node/bin/node")
            .dir("/srv/site")
            .dir("/var/task")
            .dir("/var/tmp/x")
            .dir("/home/me/code")
            .dir("/mnt/me/code")
            .dir("/tmp/x")
            .dir("/proc/self")
            .link("/data", "/tmp")
    }

    fn found(command: &str, args: &[&str], directory: &str) -> Vec<PathBuf> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let start =
            AppStart { command: Path::new(command), args: &args, directory: Some(Path::new(directory)) };
        let mut found = of_the_app(&image(), &start);
        found.retain(|tree| is_whole(&image(), tree).is_some());
        found.sort();
        found.dedup();
        found
    }

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_top_of_command_of_the_directory_and_of_paths_in_arguments() {
        assert_eq!(found("/app/bin/server", &[], "/"), paths(&["/app"]));
        assert_eq!(found("/usr/bin/node", &["x.js"], "/var/task"), paths(&["/var/task"]));
        assert_eq!(found("/usr/bin/node", &["x.js"], "/mnt/me/code"), paths(&["/mnt/me"]));
        assert_eq!(found("/bin/node", &[], "/"), paths(&["/nix"]), "where a link leads");
        for script in ["cd /srv/site && ./start.sh", "exec \"/srv/site\"", "--dir=/srv/site", "/srv/site"] {
            assert_eq!(found("/usr/bin/node", &["-c", script], "/"), paths(&["/srv"]), "{script}");
        }
    }

    #[test]
    fn the_directories_of_the_image_and_none_on_another_mount() {
        let start = AppStart::of(Path::new("/mnt/me/code/server"));
        let all = ["/app", "/command", "/etc", "/home", "/mnt/me", "/nix", "/srv", "/var/task"];
        let image = image()
            .dir("/etc/cron.daily")
            .dir("/command")
            .dir("/volume")
            .mounted("/volume", 9)
            .dir("/var/log/app")
            .program("/mnt/me/code/server", Executable::Static);
        assert_eq!(trees(&image, &start), paths(&all));
    }

    #[test]
    fn a_directory_in_another_is_that_one() {
        let image = image().dir("/var/task/bin").program("/var/task/bin/x", Executable::Static);
        let start = AppStart {
            directory: Some(Path::new("/var/task")),
            ..AppStart::of(Path::new("/var/task/bin/x"))
        };
        assert_eq!(trees(&image, &start).iter().filter(|tree| tree.starts_with("/var")).count(), 1);
    }

    #[test]
    fn none_of_the_moment_of_the_kernel_or_of_the_system() {
        let args =
            ["/tmp/x", "/proc/self", "/var/tmp/x", "/usr/bin/node", "/data", "/nowhere", "relative/app"];
        assert_eq!(found("/server", &args, "/"), paths(&[]));
        assert_eq!(found("/server", &["/var /mnt /"], "/tmp"), paths(&[]));
    }
}
