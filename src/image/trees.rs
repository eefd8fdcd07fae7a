//! The app's own directories, by where it starts: what `baseline` takes for directories of programs
//! beside those that distributions have.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{FileKind, ImageFiles};

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

/// The top-level directories that hold COMMAND, the working directory, or a path that the arguments
/// name, in a script of `-c` too. Each file on the way is looked up, and no directory listed.
pub fn trees(files: &dyn ImageFiles, start: &AppStart) -> Vec<PathBuf> {
    /// The most paths in the arguments that are looked up.
    const MOST: usize = 16;
    let words = start.args.iter().flat_map(|arg| paths_in(arg)).take(MOST).collect::<Vec<_>>();
    let all = [Some(start.command), start.directory].into_iter().flatten();
    let mut trees = BTreeSet::new();
    for path in all.chain(words) {
        let Ok(Some(info)) = files.stat(path) else { continue };
        let Some(top) = top_of(&info.canonical) else { continue };
        if matches!(files.stat(&top), Ok(Some(info)) if info.kind == FileKind::Directory && info.canonical == top)
        {
            trees.insert(top);
        }
    }
    trees.into_iter().collect()
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
    const NEVER: [&str; 12] =
        ["proc", "sys", "dev", "run", "tmp", "etc", "boot", "lost+found", "usr", "opt", "bin", "sbin"];
    const SHARED: [&str; 5] = ["var", "home", "mnt", "media", "nix"];
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
            .dir("/tmp/x")
            .dir("/proc/self")
            .link("/data", "/tmp")
    }

    fn found(command: &str, args: &[&str], directory: &str) -> Vec<String> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let start =
            AppStart { command: Path::new(command), args: &args, directory: Some(Path::new(directory)) };
        trees(&image(), &start).into_iter().map(|tree| tree.display().to_string()).collect()
    }

    #[test]
    fn the_top_of_command_of_the_directory_and_of_paths_in_arguments() {
        assert_eq!(found("/app/bin/server", &[], "/"), ["/app"]);
        assert_eq!(found("/usr/bin/node", &["x.js"], "/var/task"), ["/var/task"]);
        assert_eq!(found("/usr/bin/node", &["x.js"], "/home/me/code"), ["/home/me"]);
        assert_eq!(found("/bin/node", &[], "/"), ["/nix/store"], "where a link leads");
        for script in ["cd /srv/site && ./start.sh", "exec \"/srv/site\"", "--dir=/srv/site", "/srv/site"] {
            assert_eq!(found("/usr/bin/node", &["-c", script], "/"), ["/srv"], "{script}");
        }
    }

    #[test]
    fn none_of_the_moment_of_the_kernel_or_of_the_system() {
        let args =
            ["/tmp/x", "/proc/self", "/var/tmp/x", "/usr/bin/node", "/data", "/nowhere", "relative/app"];
        assert_eq!(found("/server", &args, "/"), [""; 0]);
        assert_eq!(found("/server", &["/var /home /"], "/tmp"), [""; 0]);
    }
}
