//! `remit report` from outside: the HTML by itself, and in a browser.
#![cfg(feature = "tool")]

mod browser;
mod hostile;
mod html;
mod made;
mod pages;
#[path = "../support/skip.rs"]
mod skip;
mod style;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

const REMIT: &str = env!("CARGO_BIN_EXE_remit");

/// A directory, and the tool in it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("it can be written");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn remit(&self, arguments: &[&str]) -> Output {
        Command::new(REMIT).args(arguments).current_dir(self.0.path()).output().expect("it runs")
    }

    fn done(&self, arguments: &[&str]) -> String {
        let said = self.remit(arguments);
        assert_eq!(said.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).expect("UTF-8")
    }

    /// The report with these arguments, as `report.html` has it.
    fn report(&self, arguments: &[&str]) -> String {
        self.done(&[&["report", "-o", "report.html"], arguments].concat());
        self.text("report.html")
    }
}

/// The reports that are looked at from all sides: of ready profiles, of a learned one with all that a report can
/// have, and of a large one.
fn examples() -> Vec<(&'static str, String)> {
    let place = Place::new();
    made::built(&place);
    place.put("large.json", made::large().to_string());
    place.put("events", made::events("sha256:0"));
    let learned = place.report(&["app.json", "--events", "events", "--against", "nginx", "--arch", "x86_64"]);
    let large = place.report(&["large.json", "--events", "events", "--against", "app.json"]);
    let mut all = vec![("learned", learned), ("large", large)];
    all.extend(
        ["baseline", "strict", "static", "nginx", "postgres", "java"]
            .map(|name| (name, place.report(&[name]))),
    );
    all
}
