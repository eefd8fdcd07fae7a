use std::fmt::Write as _;

use serde_json::json;

use super::*;
use crate::learn::Wanted;

/// Numbers that are the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The observations of a run, and the runs.
const LINES: u64 = 1000;
const RUNS: u64 = 8;

/// A run that does what others do, and what no other does: directories fill up, in one run or over
/// several, one within another.
fn journal(run: u64, dice: &mut Dice) -> String {
    let name = format!("app-{run:03}");
    let first = json!({ "journal": 1, "run": name, "command": ["app"], "label": format!("l{}", run % 3),
        "exact": false, "fingerprint": { "arch": "x86_64" }, "outer": { "seccomp": true } });
    let mut text = format!("{first}\n");
    let mut line = |mut observed: serde_json::Value| {
        observed["t"] = 1.into();
        observed["program"] = "/bin/app".into();
        observed["result"] = "ok".into();
        writeln!(text, "{observed}").expect("a string");
    };
    line(json!({ "phase": "startup", "kind": "exec", "parent": "", "args": ["app"] }));
    for _ in 0..LINES {
        let phase = if dice.below(4) == 0 { "startup" } else { "serving" };
        let path = match dice.below(7) {
            0 | 1 => format!("/srv/full/f{}", dice.below(1100)),
            2 => format!("/srv/full/in/g{}", dice.below(3000)),
            3 => format!("/srv/almost/h{}", dice.below(200)),
            4 => format!("/data/sess_{:016x}", dice.below(1 << 40)),
            5 => format!("/etc/app/{}", dice.below(20)),
            _ => format!("/srv/d{}/x", dice.below(1100)),
        };
        line(match dice.below(4) {
            0 => {
                json!({ "phase": phase, "kind": "open", "path": path, "access": ["write", "create"], "mount": "volume", "mount_point": "/srv" })
            }
            1 => {
                json!({ "phase": phase, "kind": "change", "op": "rename", "path": path, "to": format!("{path}.{}", dice.below(3)), "mount": "image" })
            }
            2 => {
                json!({ "phase": phase, "kind": "connect", "address": format!("tcp/10.0.0.{}:5432", dice.below(200)) })
            }
            _ => {
                json!({ "phase": phase, "kind": "open", "path": path, "access": ["read"], "mount": "image" })
            }
        });
    }
    let end =
        json!({ "t": 9, "end": { "exit": { "code": 0 }, "clean": true, "lines": LINES + 1, "dropped": 0 } });
    writeln!(text, "{end}").expect("a string");
    text
}

fn journals(place: &Path) -> Vec<PathBuf> {
    let mut dice = Dice(7);
    let put = |run: u64| {
        let path = place.join(format!("{run:03}.jsonl"));
        fs::write(&path, journal(run, &mut dice)).expect("written");
        path
    };
    (0..RUNS).map(put).collect()
}

/// The profile and the evidence of what was gathered, and the notes.
fn made(gathered: Gathered) -> (String, String, Vec<String>) {
    let Gathered { mut observations, removed, notes, .. } = gathered;
    observations.settle();
    let learned = learn::build(&observations, &Wanted::default());
    let rules = learn::by_pointer(&learned.profile, &learned.reasons);
    let evidence = evidence::write("sha256:0", &observations, &rules, &json!({}), &removed, &learned.notes);
    (format!("{:?}", learned.profile), evidence, notes)
}

fn gathered(paths: &[PathBuf], threads: usize) -> (String, String, Vec<String>) {
    made(gather(paths, false, threads, &|_, _| {}).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn the_number_of_threads_and_the_order_change_nothing() {
    let place = tempfile::tempdir().expect("a directory");
    let mut paths = journals(place.path());
    let one = gathered(&paths, 1);
    assert!(one.1.contains("/srv/full/*") && !one.1.contains("/srv/full/in/"), "a directory is full");
    assert!(one.1.contains("/srv/almost/h1\""), "another is not");
    for threads in [2, 3, 100] {
        assert!(gathered(&paths, threads) == one, "{threads} threads");
    }
    let mut dice = Dice(3);
    for threads in 1..4 {
        for at in (1..paths.len()).rev() {
            paths.swap(at, dice.below(at as u64 + 1) as usize);
        }
        assert!(gathered(&paths, threads) == one, "{threads} threads, {paths:?}");
    }
    assert!(gathered(&[place.path().to_owned()], 3) == one, "a directory");
}

#[test]
fn evidence_of_parts_is_that_of_all() {
    let place = tempfile::tempdir().expect("a directory");
    let paths = journals(place.path());
    let all = gathered(&paths, 2);
    let mut evidence = Vec::new();
    for (number, part) in paths.chunks(3).enumerate() {
        let path = place.path().join(format!("{number}.evidence.json"));
        fs::write(&path, gathered(part, 2).1).expect("written");
        evidence.push(path);
    }
    for threads in [1, 3] {
        assert!(gathered(&evidence, threads) == all, "{threads} threads");
    }
    evidence.push(paths[7].clone());
    let mut again = gathered(&evidence, 3);
    let note = format!("{}: the same run was given before, and counts once", paths[7].display());
    assert_eq!(again.2, [note]);
    again.2.clear();
    assert!(again == all, "a run that is given twice");
}

#[test]
fn the_first_input_that_is_bad_is_named_whatever_the_threads() {
    let place = tempfile::tempdir().expect("a directory");
    let paths = journals(place.path());
    let put = |number: usize, text: String| fs::write(&paths[number], text).expect("written");
    let text = |number: usize| fs::read_to_string(&paths[number]).expect("read");
    let error = |threads| {
        let read = gather(&paths, false, threads, &|_, _| {});
        read.err().map(|error| error.to_string().replace(&format!("{}/", place.path().display()), ""))
    };
    let always = |expected: &str| {
        for threads in [1, 2, 3, 10] {
            assert_eq!(error(threads).as_deref(), Some(expected), "{threads} threads");
        }
    };
    put(7, String::new());
    always("007.jsonl: is empty: the run never began");
    put(6, text(6).replace("\"x86_64\"", "\"aarch64\""));
    let arch = "run app-000 is from x86_64, run app-006 from aarch64; a profile is for one architecture, so build one for each";
    always(&format!("006.jsonl: {arch}"));
    put(4, text(3).replace("/etc/app/", "/etc/app2/"));
    let twice = "two runs have the name app-003, and are not the same; rename one of them in its first line";
    always(&format!("004.jsonl: {twice}"));
    // The longest of all, so that it is read first.
    put(2, text(2).replacen("\"phase\"", "\"phase\":7,\"x\"", 3) + &" ".repeat(100_000));
    let bad = error(1).expect("an error");
    assert!(bad.starts_with("002.jsonl:2: "), "{bad}");
    always(&bad);
}
