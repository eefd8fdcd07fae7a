//! `remit reach` beside the truth: what a program really calls, as strace(1) shows it, is among what is
//! reachable; and what cannot be analysed is one clear line.
#![cfg(feature = "tool")]

mod bad_input;
mod compiled;
mod completed;
mod image;
#[path = "../archive/made.rs"]
#[allow(dead_code)]
mod made;
#[path = "../harness/place.rs"]
mod place;
mod sides;
#[path = "../support/skip.rs"]
mod skip;
mod truth;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const REMIT: &str = env!("CARGO_BIN_EXE_remit");
const STRACE: &str = "/usr/bin/strace";

fn remit(arguments: &[&str]) -> Output {
    Command::new(REMIT).arg("reach").args(arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The answer as JSON.
fn reach(arguments: &[&str]) -> Value {
    let said = remit(&[arguments, &["--format", "json"]].concat());
    assert_eq!(said.status.code(), Some(0), "{arguments:?}: {}", text(&said.stderr));
    serde_json::from_slice(&said.stdout).expect("JSON")
}

fn calls(answer: &Value) -> BTreeSet<String> {
    answer["calls"].as_object().expect("calls by name").keys().cloned().collect()
}

fn is_bounded(answer: &Value) -> bool {
    answer["bounded"].as_bool().expect("a boolean")
}

/// A traced program.
fn strace(log: &Path, command: &[&str]) -> Command {
    let mut strace = Command::new(STRACE);
    strace.args(["-f", "-qq", "-o"]).arg(log).args(command).env_remove("LD_LIBRARY_PATH");
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    strace
}

/// The calls of a log, without the exec by which strace started the program.
fn made(log: &Path) -> BTreeSet<String> {
    let log = std::fs::read_to_string(log).expect("a log");
    let lines = log.lines().filter_map(|line| line.split_once(' ').map(|(_, rest)| rest.trim_start()));
    let names = lines.filter_map(|line| {
        let line = line.strip_prefix("<... ").unwrap_or(line);
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let is_call = line[end..].starts_with(['(', ' ']) && !line.starts_with(['+', '-']);
        (is_call && end > 0).then(|| line[..end].to_owned())
    });
    names.skip(1).collect()
}

/// The calls of a command.
fn traced(command: &[&str]) -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    strace(&log, command).status().expect("strace runs");
    made(&log)
}

/// What a command calls is reachable in these programs.
fn assert_reachable(programs: &[&str], command: &[&str]) {
    compare(programs, &traced(command));
}

fn compare(programs: &[&str], made: &BTreeSet<String>) {
    let answer = reach(programs);
    assert_within(&answer, made);
    assert!(is_bounded(&answer), "{programs:?}: {:#}", answer["gaps"]);
}

/// Calls that were made are reachable.
fn assert_within(answer: &Value, made: &BTreeSet<String>) {
    assert!(made.len() > 3, "it was traced: {made:?}");
    let found = calls(answer);
    let missing: Vec<_> = made.difference(&found).collect();
    assert!(missing.is_empty(), "{}: {missing:?} are made and not reachable", answer["programs"]);
}

fn path(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}
