//! One learning run, its journal, and the profile that is built of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Image, Init, Place, Run, Running, folder, tool, unique};

/// A journal that was written into a folder of this machine.
pub struct Study {
    /// The folder.
    pub folder: PathBuf,
    /// Its lines.
    pub lines: Vec<Value>,
}

/// A folder that journals are written into, whatever the container's user is.
pub fn journals() -> PathBuf {
    let path = folder().join(unique("journals"));
    std::fs::create_dir(&path).expect("a temporary folder");
    path
}

/// A learning run, started.
pub fn learn(image: &Image, place: Place, options: &[&str], into: &Path, command: &[&str]) -> Running {
    let options = [&["--mode", "learn"], options].concat();
    Run::new(image, place, Init::remit(&options), command).folder(into, "/var/lib/remit").start()
}

/// Waits until so many journals in a folder say that the app is ready.
pub fn ready(folder: &Path, journals: usize) {
    let until = Instant::now() + Duration::from_secs(120);
    let is_ready =
        |path: PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"kind\":\"ready\""));
    loop {
        let all = std::fs::read_dir(folder).expect("a folder").flatten();
        if all.filter(|entry| is_ready(entry.path())).count() >= journals {
            return;
        }
        assert!(Instant::now() < until, "never ready");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Study {
    /// Of the only journal in a folder.
    pub fn read(folder: &Path) -> Study {
        let journals: Vec<PathBuf> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert_eq!(journals.len(), 1, "{journals:?}");
        let text = std::fs::read_to_string(&journals[0]).expect("the journal");
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Study { folder: folder.to_owned(), lines: text.lines().map(parse).collect() }
    }

    /// The first line.
    pub fn first(&self) -> &Value {
        &self.lines[0]
    }

    /// What the last line says.
    pub fn end(&self) -> &Value {
        &self.lines[self.lines.len() - 1]["end"]
    }

    /// Lines of a kind.
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["kind"] == kind).collect()
    }

    /// Whether there is a line of a kind with all of these.
    pub fn has(&self, kind: &str, with: &[(&str, Value)]) -> bool {
        self.of(kind).iter().any(|line| with.iter().all(|(key, value)| line[*key] == *value))
    }

    /// The same, or else all lines of that kind are shown.
    pub fn wants(&self, kind: &str, with: &[(&str, Value)]) {
        assert!(self.has(kind, with), "no {kind} with {with:?} in {:#?}", self.of(kind));
    }

    /// The profile that is built of it, and the report.
    pub fn build(&self) -> (Value, String) {
        let profile = self.folder.with_extension("profile.json");
        let mut build = Command::new(tool());
        let built = build.arg("build").arg(&self.folder).arg("-o").arg(&profile).output().expect("it runs");
        assert!(built.status.success(), "{}\n{:#?}", String::from_utf8_lossy(&built.stderr), self.lines);
        let text = std::fs::read_to_string(profile).expect("the profile");
        let report = String::from_utf8(built.stdout).expect("UTF-8");
        (serde_json::from_str(&text).expect("JSON"), report)
    }
}

/// The same command under a profile.
pub fn enforced(image: &Image, place: Place, profile: &Value, command: &[&str]) -> Running {
    Run::new(image, place, Init::remit(&[]), command)
        .file("/etc/remit/profile.json", profile.to_string())
        .start()
}
