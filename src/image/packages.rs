//! The image's package databases: the package of a file, and its installed version. dpkg's (in
//! distroless images one file for each package) and apk's are read.
//!
//! Packages are JSON as journals and evidence have it, `{"dpkg":{"libc6":"2.36-9"}}`.

mod version;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Map, Value};

/// Versions by the names of packages, by package manager: `dpkg` and `apk`.
pub type Packages = Map<String, Value>;

/// A manager's comparison of versions.
pub(super) type Compare = fn(&str, &str) -> Ordering;
pub(super) const DPKG: (&str, Compare) = ("dpkg", version::dpkg);
pub(super) const APK: (&str, Compare) = ("apk", version::apk);

const STATUS: &str = "var/lib/dpkg/status";
const LISTS: &str = "var/lib/dpkg/info";
/// Distroless: a file for each stanza, and beside it the checksums of the package's files.
const PARTS: &str = "var/lib/dpkg/status.d";
/// The second path since apk 3, where /lib is a link or becomes one.
const INSTALLED: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// The packages that own these files. It reads every package's list of files, some MB in a large
/// image. A database that cannot be read counts as missing.
pub fn owners<'f>(root: &Path, files: impl IntoIterator<Item = &'f Path>) -> Packages {
    let files = files.into_iter().map(|file| merged(&file.to_string_lossy()).to_owned());
    let files: BTreeSet<String> = files.collect();
    let mut owners: BTreeSet<(&str, String)> = BTreeSet::new();
    let mut own = |manager, package: &str, file: &str| {
        if files.contains(merged(file)) {
            owners.insert((manager, package.to_owned()));
        }
    };
    each_text(&root.join(LISTS), ".list", &mut |name, text| {
        // A package that may be installed for several architectures: `libc6:amd64`.
        let package = name.split(':').next().unwrap_or(name);
        text.lines().for_each(|file| own(DPKG.0, package, file));
    });
    let parts = root.join(PARTS);
    each_text(&parts, ".md5sums", &mut |name, text| {
        let mut package = Map::new();
        dpkg(&text_of(&parts.join(name)), &mut package);
        for package in package.keys() {
            let files = text.lines().filter_map(|line| line.split_once("  "));
            files.for_each(|(_, file)| own(DPKG.0, package, file));
        }
    });
    for database in INSTALLED {
        apk(&text_of(&root.join(database)), &mut Map::new(), &mut |package, file| own(APK.0, package, file));
    }
    let mut found = installed(root);
    for (manager, packages) in &mut found {
        if let Some(packages) = packages.as_object_mut() {
            packages.retain(|name, _| owners.contains(&(manager.as_str(), name.clone())));
        }
    }
    found.retain(|_, packages| packages.as_object().is_some_and(|packages| !packages.is_empty()));
    found
}

/// All packages that are installed.
pub fn installed(root: &Path) -> Packages {
    let (mut debian, mut alpine) = (Map::new(), Map::new());
    dpkg(&text_of(&root.join(STATUS)), &mut debian);
    each_text(&root.join(PARTS), "", &mut |_, text| dpkg(text, &mut debian));
    for database in INSTALLED {
        apk(&text_of(&root.join(database)), &mut alpine, &mut |_, _| {});
    }
    let mut found = Map::new();
    for (manager, packages) in [(DPKG.0, debian), (APK.0, alpine)] {
        if !packages.is_empty() {
            found.insert(manager.to_owned(), Value::Object(packages));
        }
    }
    found
}

/// Adds the installed packages of a dpkg status file.
fn dpkg(text: &str, found: &mut Packages) {
    for stanza in text.split("\n\n") {
        // Distroless has no Status field.
        let (mut package, mut version, mut there) = ("", "", true);
        for line in stanza.lines() {
            match line.split_once(": ") {
                Some(("Package", name)) => package = name,
                Some(("Version", number)) => version = number,
                Some(("Status", status)) => there = status.ends_with(" installed"),
                _ => {}
            }
        }
        if there && !package.is_empty() && !version.is_empty() {
            found.insert(package.to_owned(), version.into());
        }
    }
}

/// Adds the packages of an apk database, and calls `file` with each package and file.
fn apk(text: &str, found: &mut Packages, file: &mut dyn FnMut(&str, &str)) {
    let (mut package, mut folder) = ("", "");
    for line in text.lines() {
        match line.split_once(':') {
            Some(("P", name)) => package = name,
            Some(("V", version)) => drop(found.insert(package.to_owned(), version.into())),
            Some(("F", name)) => folder = name,
            Some(("R", name)) => file(package, &format!("{folder}/{name}")),
            _ => {}
        }
    }
}

/// A path in one form whether or not /bin, /sbin and /lib are links into /usr: databases have the
/// paths of the package.
fn merged(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    let linked =
        |rest: &&str| ["bin/", "sbin/", "lib/", "lib64/"].iter().any(|folder| rest.starts_with(folder));
    path.strip_prefix("usr/").filter(linked).unwrap_or(path)
}

/// Calls `each` with the name, without the suffix, and the text of each file of a directory that
/// has the suffix.
fn each_text(directory: &Path, suffix: &str, each: &mut dyn FnMut(&str, &str)) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_suffix(suffix)) {
            each(name, &text_of(&entry.path()));
        }
    }
}

/// The text of a file; empty where it cannot be read.
fn text_of(path: &Path) -> String {
    text(path, 64 << 20).unwrap_or_default()
}

/// The text of a file, at most `most` bytes.
///
/// # Errors
/// It cannot be opened or read, or is not a regular file: a FIFO in its place must not block the
/// launch.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
