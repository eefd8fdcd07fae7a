//! The last program of `cargo test`, which runs them in the order of their names: one line
//! with how many tests were skipped, and what each lacked.

#[path = "support/skip.rs"]
mod skip;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::parent_id;
use std::path::Path;

fn main() {
    // A runner that lists tests finds none here.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    println!("{}", line(&skipped()));
}

/// What each skipped test lacked.
fn skipped() -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let own = skip::run(parent_id());
    for folder in fs::read_dir(skip::runs()).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if Some(&folder) == own.as_ref() {
            for file in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let program = file.file_name().to_string_lossy().into_owned();
                let text = fs::read_to_string(file.path()).unwrap_or_default();
                for (test, what) in text.lines().filter_map(|line| line.split_once('\t')) {
                    all.entry(format!("{program} {test}")).or_default().insert(what.to_owned());
                }
            }
        } else if goes_on(&folder) {
            continue;
        }
        // A cargo that ended early had no last program.
        let _ = fs::remove_dir_all(&folder);
    }
    all
}

/// Whether the cargo after which a folder is named is still there.
fn goes_on(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let process = name.split('-').next().and_then(|number| number.parse().ok());
    process.and_then(skip::run).is_some_and(|other| other == folder)
}

fn line(skipped: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut lacked: BTreeMap<&str, usize> = BTreeMap::new();
    for what in skipped.values().flatten() {
        *lacked.entry(what).or_default() += 1;
    }
    let each: Vec<String> = lacked.iter().map(|(what, count)| format!("{count} without {what}")).collect();
    match skipped.len() {
        0 => "SKIPPED: no test".to_owned(),
        count => format!(
            "SKIPPED: {count} in all: {}; scripts/test installs what it can, and names the rest",
            each.join(", ")
        ),
    }
}
