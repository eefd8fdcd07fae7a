//! The image's package databases: the package of a file, and its installed version. dpkg's (in
//! distroless images one file for each package) and apk's are read.
//!
//! Packages are JSON as journals and evidence have it, `{"dpkg":{"libc6":"2.36-9"}}`.

mod version;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ffi::OsString;
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

/// The most bytes of one file of a database that are read.
pub(super) const MOST: u64 = 64 << 20;

/// The files of an image, as far as package databases are looked for in it. Paths have no `/` at
/// the beginning.
pub trait Databases {
    /// The text of a regular file; none where there is none, or it cannot be read.
    fn text(&self, path: &str) -> Option<Cow<'_, str>>;

    /// The names in a directory; none where there is none.
    fn names(&self, directory: &str) -> Vec<OsString>;
}

/// The root directory of an image.
impl Databases for Path {
    fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        text(&self.join(path), MOST).ok().map(Cow::Owned)
    }

    fn names(&self, directory: &str) -> Vec<OsString> {
        let entries = std::fs::read_dir(self.join(directory)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    }
}

/// Whether an image has a part of a package database at this path.
#[cfg(feature = "tool")]
pub(super) fn is_database(path: &[u8]) -> bool {
    let below =
        |directory: &str| path.strip_prefix(directory.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
    path == STATUS.as_bytes()
        || INSTALLED.iter().any(|database| path == database.as_bytes())
        || below(LISTS) && path.ends_with(b".list")
        || below(PARTS)
}

/// The packages that own these files. It reads every package's list of files, some MB in a large
/// image. A database that cannot be read counts as missing.
pub fn owners<'f>(image: &(impl Databases + ?Sized), files: impl IntoIterator<Item = &'f Path>) -> Packages {
    let listed = files.into_iter().map(|file| merged(&file.to_string_lossy()).to_owned());
    let mut files = BTreeSet::new();
    files.extend(listed);
    let mut owners: BTreeSet<(&str, String)> = BTreeSet::new();
    let mut own = |manager, package: &str, file: &str| {
        if files.contains(merged(file)) {
            owners.insert((manager, package.to_owned()));
        }
    };
    each_text(image, LISTS, ".list", &mut |name, text| {
        // A package that may be installed for several architectures: `libc6:amd64`.
        let package = name.split(':').next().unwrap_or(name);
        text.lines().for_each(|file| own(DPKG.0, package, file));
    });
    each_text(image, PARTS, ".md5sums", &mut |name, text| {
        let mut package = Map::new();
        dpkg(&image.text(&format!("{PARTS}/{name}")).unwrap_or_default(), &mut package);
        for package in package.keys() {
            let files = text.lines().filter_map(|line| line.split_once("  "));
            files.for_each(|(_, file)| own(DPKG.0, package, file));
        }
    });
    for database in INSTALLED {
        let text = image.text(database).unwrap_or_default();
        apk(&text, &mut Map::new(), &mut |package, file| own(APK.0, package, file));
    }
    let mut found = installed(image);
    for (manager, packages) in &mut found {
        if let Some(packages) = packages.as_object_mut() {
            packages.retain(|name, _| owners.contains(&(manager.as_str(), name.clone())));
        }
    }
    found.retain(|_, packages| packages.as_object().is_some_and(|packages| !packages.is_empty()));
    found
}

/// All packages that are installed.
pub fn installed(image: &(impl Databases + ?Sized)) -> Packages {
    let (mut debian, mut alpine) = (Map::new(), Map::new());
    dpkg(&image.text(STATUS).unwrap_or_default(), &mut debian);
    each_text(image, PARTS, "", &mut |_, text| dpkg(text, &mut debian));
    for database in INSTALLED {
        apk(&image.text(database).unwrap_or_default(), &mut alpine, &mut |_, _| {});
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
fn each_text(
    image: &(impl Databases + ?Sized),
    directory: &str,
    suffix: &str,
    each: &mut dyn FnMut(&str, &str),
) {
    for file in image.names(directory) {
        if let Some(name) = file.to_str().and_then(|name| name.strip_suffix(suffix)) {
            each(name, &image.text(&format!("{directory}/{name}{suffix}")).unwrap_or_default());
        }
    }
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
