//! A directory, and the tool in it.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// The tool.
pub const REMIT: &str = env!("CARGO_BIN_EXE_remit");

/// A temporary directory, in which the tool runs.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the directories above it.
    pub fn put(&self, name: &str, text: impl AsRef<[u8]>) -> &Place {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("it can be written");
        self
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn remit(&self, arguments: &[&str]) -> Output {
        Command::new(REMIT).args(arguments).current_dir(self.0.path()).output().expect("it runs")
    }

    /// What it prints where it is done.
    pub fn done(&self, arguments: &[&str]) -> String {
        let said = self.remit(arguments);
        assert_eq!(said.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).expect("UTF-8")
    }
}
