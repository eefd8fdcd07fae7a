//! `remit export` and `remit import` from outside: what is written is taken by those who read it, and
//! what is read makes a profile or is refused in one line.
#![cfg(feature = "tool")]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod support;

mod docker;
mod kubernetes;
mod policy;
mod verbs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A file of the fixtures.
fn fixture(name: &str) -> String {
    root().join("tests/fixtures/exchange").join(name).to_str().expect("UTF-8").to_owned()
}

/// The crate's own directory.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory, and the tool in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> &Folder {
        fs::write(self.path(name), text).expect("it can be written");
        self
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn remit(&self, arguments: &[&str]) -> Output {
        Command::new(support::tool()).args(arguments).current_dir(self.0.path()).output().expect("it runs")
    }

    /// What it prints on both streams where it is done.
    fn done(&self, arguments: &[&str]) -> (String, String) {
        let output = self.remit(arguments);
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
        (out, err)
    }

    /// The names in the directory.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a directory").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }
}
