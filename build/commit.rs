// The commit that these sources are of: for build.rs, and for the tests of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The commit of the sources in `root`, by git where that is the top of a checkout, otherwise by what
/// `cargo package` or `git archive` has left there. None where nothing says.
pub fn commit(root: &Path) -> Option<String> {
    of_checkout(root).or_else(|| of_package(root)).or_else(|| of_archive(root))
}

/// Files that change where the commit does: a build that was made of another is made again.
pub fn watched(root: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = [".cargo_vcs_info.json", ".commit"].map(|name| root.join(name)).into();
    if is_checkout(root) {
        let branch = git(root, &["symbolic-ref", "-q", "HEAD"]);
        let names = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned).into_iter().chain(branch);
        let files = names.filter_map(|name| git(root, &["rev-parse", "--git-path", &name]));
        paths.extend(files.map(|path| root.join(path)));
    }
    // Cargo runs a script anew each time where a path is not there.
    paths.retain(|path| path.exists());
    paths
}

fn of_checkout(root: &Path) -> Option<String> {
    if !is_checkout(root) {
        return None;
    }
    let commit = git(root, &["rev-parse", "HEAD"]).filter(|text| is_commit(text))?;
    let changes = git(root, &["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}, and changes since") })
}

/// Whether git knows `root` as the top of a checkout: sources may lie in another project's.
fn is_checkout(root: &Path) -> bool {
    let top = git(root, &["rev-parse", "--show-toplevel"]).and_then(|top| fs::canonicalize(top).ok());
    top.is_some() && top == fs::canonicalize(root).ok()
}

fn of_package(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let value = text.split("\"sha1\"").nth(1)?.split('"').nth(1)?;
    is_commit(value).then(|| value.to_owned())
}

fn of_archive(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join(".commit")).ok()?;
    is_commit(text.trim()).then(|| text.trim().to_owned())
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // Otherwise `status` may write the index.
    git.env("GIT_OPTIONAL_LOCKS", "0").arg("-C").arg(root).args(arguments);
    let answer = git.output().ok()?;
    let text = String::from_utf8(answer.stdout).ok().filter(|_| answer.status.success())?;
    Some(text.trim().to_owned())
}
