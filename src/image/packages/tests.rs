use std::fs;

use serde_json::json;

use super::super::fingerprint::{Fingerprint, mismatches};
use super::*;
use crate::kernel::Arch;

/// An image of these files.
fn image(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("in a directory")).expect("a directory");
        fs::write(path, text).expect("written");
    }
    root
}

const DEBIAN_STATUS: &str = "Package: nginx-light\nStatus: install ok installed\nVersion: 1.22.1-9\n\
    Conffiles:\n /etc/nginx/nginx.conf 0123\n\n\
    Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9+deb12u10\n\n\
    Package: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2.36-9+deb12u10\n\n\
    Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
    Package: unused\nStatus: install ok installed\nVersion: 3\n";

const DEBIAN: [(&str, &str); 5] = [
    (STATUS, DEBIAN_STATUS),
    ("var/lib/dpkg/info/nginx-light.list", "/.\n/usr\n/usr/sbin\n/usr/sbin/nginx\n"),
    ("var/lib/dpkg/info/libc6:amd64.list", "/.\n/lib/x86_64-linux-gnu/libc.so.6\n"),
    ("var/lib/dpkg/info/gone.list", "/usr/bin/gone\n"),
    ("var/lib/dpkg/info/unused.list", "/usr/bin/unused\n"),
];

const ALPINE: &str = "C:Q1x=\nP:musl\nV:1.2.5-r9\nF:lib\nR:ld-musl-x86_64.so.1\nR:libc.musl-x86_64.so.1\n\n\
    C:Q1y=\nP:nginx\nV:1.26.2-r0\nF:etc\nF:etc/nginx\nR:nginx.conf\nF:usr/sbin\nR:nginx\n\n";

fn fingerprint(value: Value) -> Fingerprint {
    serde_json::from_value(value).expect("a fingerprint")
}

fn owners_of(root: &tempfile::TempDir, files: &[&str]) -> Value {
    json!(owners(root.path(), files.iter().map(Path::new)))
}

#[test]
fn dpkg_owns_a_file_with_and_without_a_merged_usr() {
    let root = image(&DEBIAN);
    let files = ["/usr/sbin/nginx", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/gone", "/opt/own"];
    let expected = json!({ "dpkg": { "nginx-light": "1.22.1-9", "libc6": "2.36-9+deb12u10" } });
    assert_eq!(owners_of(&root, &files), expected);
    assert_eq!(owners_of(&root, &["/opt/own"]), json!({}));
}

#[test]
fn distroless_has_a_file_for_each_package() {
    let root = image(&[
        ("var/lib/dpkg/status.d/bGliYzY=", "Package: libc6\nVersion: 2.36-9\nDescription: it\n more\n"),
        ("var/lib/dpkg/status.d/bGliYzY=.md5sums", "0cc1  usr/lib/x86_64-linux-gnu/libc.so.6\n"),
        ("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2025b-0\n"),
        ("var/lib/dpkg/status.d/tzdata.md5sums", "0cc2  usr/share/zoneinfo/UTC\n"),
    ]);
    let libc = owners_of(&root, &["/lib/x86_64-linux-gnu/libc.so.6"]);
    assert_eq!(libc, json!({ "dpkg": { "libc6": "2.36-9" } }));
    let all = json!({ "dpkg": { "libc6": "2.36-9", "tzdata": "2025b-0" } });
    assert_eq!(json!(installed(root.path())), all);
}

#[test]
fn apk_has_one_file_in_one_of_two_places() {
    for database in INSTALLED {
        let root = image(&[(database, ALPINE)]);
        let found = owners_of(&root, &["/lib/ld-musl-x86_64.so.1", "/usr/sbin/nginx"]);
        assert_eq!(found, json!({ "apk": { "musl": "1.2.5-r9", "nginx": "1.26.2-r0" } }));
        assert_eq!(owners_of(&root, &["/sbin/nginx"]), json!({ "apk": { "nginx": "1.26.2-r0" } }));
        assert_eq!(owners_of(&root, &["/etc/nginx"]), json!({}), "no package owns a directory");
    }
}

#[test]
fn an_image_without_a_database_says_nothing() {
    let root = image(&[("usr/bin/app", "")]);
    assert_eq!(owners_of(&root, &["/usr/bin/app"]), json!({}));
    let packages = json!({ "dpkg": { "libc6": "2.36-9" } });
    let learned = fingerprint(json!({ "arch": "x86_64", "packages": packages }));
    assert_eq!(mismatches(&[learned], Arch::X86_64, &installed(root.path())), [""; 0]);
}

#[test]
fn a_fifo_without_a_writer_blocks_no_start() {
    let root = image(&[("var/lib/dpkg/info/a.list", "/usr/bin/a\n")]);
    let made = std::process::Command::new("mkfifo").arg(root.path().join(STATUS)).status();
    assert!(made.expect("mkfifo(1)").success());
    assert_eq!(installed(root.path()), Packages::new());
}

#[test]
fn this_machines_own_program_has_an_owner() {
    let shell = fs::canonicalize("/bin/sh").expect("a shell");
    let found = owners(Path::new("/"), [&*shell]);
    let known = installed(Path::new("/"));
    assert_eq!(found.is_empty(), known.is_empty(), "{found:?}");
}

#[test]
fn what_is_older_newer_or_gone_is_named() {
    let run = |version: &str| {
        let packages = json!({ "dpkg": { "nginx-light": version, "libc6": "2.36-9" } });
        fingerprint(json!({ "arch": "x86_64", "packages": packages }))
    };
    let here = |nginx: &str| -> Packages {
        let mut packages = json!({ "nginx-light": nginx, "libc6": "2.36-9", "other": "1" });
        if nginx.is_empty() {
            packages.as_object_mut().expect("an object").remove("nginx-light");
        }
        [("dpkg".to_owned(), packages)].into_iter().collect()
    };
    let said = |runs: &[&str], nginx: &str| {
        let runs: Vec<Fingerprint> = runs.iter().map(|version| run(version)).collect();
        mismatches(&runs, Arch::X86_64, &here(nginx))
    };
    assert_eq!(said(&["1.22.1-9"], "1.22.1-9"), [""; 0]);
    assert_eq!(
        said(&["1.22.1-9"], "1.24.0-1"),
        ["learned with nginx-light 1.22.1-9, here is 1.24.0-1 (newer)"]
    );
    assert_eq!(said(&["1.22.1-9"], "1.9"), ["learned with nginx-light 1.22.1-9, here is 1.9 (older)"]);
    let several = ["1.22.1-10", "1.22.1-9"];
    assert_eq!(said(&several, "1.22.1-9"), [""; 0]);
    let between = "learned with nginx-light 1.22.1-10, here is 1.22.1-9.1 (another)";
    assert_eq!(said(&several, "1.22.1-9.1"), [between]);
    let gone = "learned with nginx-light 1.22.1-9, which is not installed here";
    assert_eq!(said(&["1.22.1-9"], ""), [gone]);
}

#[test]
fn another_architecture_is_said() {
    let run = |arch: &str| fingerprint(json!({ "arch": arch }));
    let here = Packages::new();
    assert_eq!(
        mismatches(&[run("x86_64")], Arch::Aarch64, &here),
        ["learned on x86_64, here is aarch64: other calls are made"]
    );
    assert_eq!(mismatches(&[run("x86_64"), run("aarch64")], Arch::Aarch64, &here), [""; 0]);
    assert_eq!(mismatches(&[], Arch::Aarch64, &here), [""; 0]);
    assert_eq!(mismatches(&[Fingerprint::default()], Arch::Aarch64, &here), [""; 0]);
}

#[test]
fn any_database_is_read() {
    let debian: &[u8] = b"Package: nginx\nStatus: install ok installed\nVersion: 1.22.1-9\n\nPackage: x\n";
    let alpine: &[u8] = b"P:nginx\nV:1.26\nF:usr/sbin\nR:nginx\n\nP:x\n";
    crate::mutation::each(&[debian, alpine], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut found = Packages::new();
        dpkg(&text, &mut found);
        apk(&text, &mut found, &mut |_, file| assert!(merged(file).len() <= file.len()));
    });
}
