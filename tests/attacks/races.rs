//! Races: what is executed is exchanged between the look at it and its first
//! instruction. Every kind is tried thousands of times, alone and as threads of one
//! group, as another user, under a storm of signals and undumpable; not one may be lost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::attack::wins;
use crate::site::{self, NEEDS, serve};
use crate::support::forbidden::{make, times};
use crate::support::{Place, Running, can_run, in_each_place};

in_each_place!(
    the_path_cannot_be_raced,
    a_descriptor_cannot_be_raced,
    a_name_cannot_be_raced,
    what_the_entry_says_cannot_be_raced,
    a_script_cannot_be_raced
);

/// Every kind, by what is exchanged.
pub const KINDS: &[&[&str]] = &[PATHS, DESCRIPTORS, NAMES, ENTRIES, SCRIPTS];
const PATHS: &[&str] = &["path", "edge", "loader"];
const DESCRIPTORS: &[&str] = &["descriptor", "magic-link"];
const NAMES: &[&str] = &["link", "exchange"];
const ENTRIES: &[&str] = &["argument", "applet", "variable", "variable-value"];
/// A script is opened by the kernel, and then by its interpreter.
const SCRIPTS: &[&str] = &["script", "script-descriptor", "script-folder"];

/// So many tries at most are one answer of the server's.
const ROUND: u32 = 500;

/// How the racers go about it, whether as another user, and how often: two thousand times
/// in all. What has to be stopped and let go on for each try takes its time.
const MODES: &[(&str, bool, u32)] = &[
    ("alone", false, 600),
    ("threads", false, 400),
    ("one-memory", false, 300),
    ("undumpable", false, 100),
    ("storm", false, 60),
    ("stops", false, 20),
    ("headless", false, 20),
    ("alone", true, 250),
    ("threads", true, 150),
    ("worker", true, 100),
];

/// The racers may become another user, where there is another to become.
fn profile() -> Value {
    let mut profile = site::profile();
    profile["capabilities"] = json!(["setgid", "setuid"]);
    profile["syscalls"]["allow"] = json!(["memfd_create", "setresgid", "setresuid"]);
    profile
}

/// The whole entry, which the kernel alone cannot hold.
fn keyed() -> Value {
    let mut profile = profile();
    profile["programs"][1]["args"] = json!([["g"]]);
    let programs = profile["programs"].as_array_mut().expect("a list");
    programs.push(json!({ "path": "/bin/true", "applet": "true" }));
    let edges = programs[0]["may_run"].as_array_mut().expect("a list");
    edges.push(json!({ "path": "/bin/true", "applet": "true" }));
    profile
}

fn the_path_cannot_be_raced(place: Place) {
    not_one_is_lost(place, &profile(), PATHS);
}

fn a_descriptor_cannot_be_raced(place: Place) {
    not_one_is_lost(place, &profile(), DESCRIPTORS);
}

fn a_name_cannot_be_raced(place: Place) {
    not_one_is_lost(place, &profile(), NAMES);
}

fn what_the_entry_says_cannot_be_raced(place: Place) {
    not_one_is_lost(place, &keyed(), ENTRIES);
}

/// Between the kernel's look at it and its interpreter's.
fn a_script_cannot_be_raced(place: Place) {
    not_one_is_lost(place, &profile(), SCRIPTS);
}

/// How often a round is repeated in which two threads have not met.
const AGAIN: u32 = 5;

fn not_one_is_lost(place: Place, profile: &Value, kinds: &[&str]) {
    if !can_run(place, NEEDS) {
        return;
    }
    let (free, _site) = serve(place, &["--mode", "off"], profile);
    for kind in kinds {
        // The control: both of them run, now the one and now the other.
        let mut came = String::new();
        let both = |came: &str| times(came, "exit 42") > 0 && times(came, honest(kind)) > 0;
        let met = wins(|| {
            came = raced(&free, kind, ROUND / 2, "alone", None);
            both(&came)
        });
        assert!(met, "control {place:?} {kind}: {came}");
    }
    drop(free);
    // Without capabilities there is no other user to become.
    let user = (place != Place::Restricted).then_some(33);
    let mut modes = MODES.to_vec();
    if user.is_none() {
        modes = modes.into_iter().map(|(mode, _, tries)| (mode, false, tries)).collect();
    }
    let mut faults = Vec::new();
    for kind in kinds {
        let (mut confined, _site) = serve(place, &[], profile);
        let mut stopped = 0;
        let rounds = modes.iter().flat_map(|(mode, other, tries)| {
            (0..*tries).step_by(ROUND as usize).map(move |done| (mode, other, ROUND.min(tries - done)))
        });
        for (mode, other, round) in rounds {
            let came = raced(&confined, kind, round, mode, user.filter(|_| *other));
            stopped +=
                ["EACCES", "EPERM", "signal 9"].into_iter().map(|end| times(&came, end)).sum::<usize>();
            let user_name = if *other { "as another user" } else { "as itself" };
            // Whatever else ran is lost too: a loader that found nothing to load.
            let ran = |part: &str| part.starts_with("exit ") && !part.starts_with(honest(kind));
            if came.split(", ").any(ran) {
                faults.push(format!("lost: {kind} {mode} {user_name}: {came}"));
            }
            // An app that does the same without an attack has to be served; who hides from
            // being looked at is not, nor is a script whose name can be changed, nor a
            // descriptor of who has become another user. Threads and those without their
            // first have a test of their own.
            let may_hide = ["undumpable", "headless", "stops"].contains(mode)
                || SCRIPTS.contains(kind)
                || (*other && (*mode == "threads" || (*mode == "alone" && DESCRIPTORS.contains(kind))));
            let served = |came: &str| times(came, honest(kind)) > 0;
            let mut again = (0..AGAIN).map(|_| raced(&confined, kind, round, mode, user.filter(|_| *other)));
            if !may_hide && !served(&came) && !again.any(|came| served(&came)) {
                faults.push(format!("nothing runs: {kind} {mode} {user_name}: {came}"));
            }
        }
        assert!(stopped > 0, "{place:?} {kind}: nothing was ever refused\n{}", confined.stderr());
        is_reported(&confined, kind);
        assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
        // None of those who were stopped, killed and let go is left, and the first process
        // does its duty.
        let stopped = confined.stop();
        assert_eq!(stopped.code, 143, "{}", confined.stderr());
        assert!(stopped.took < Duration::from_secs(8), "{kind}: the first process was held up: {stopped:?}");
    }
    assert!(faults.is_empty(), "{place:?}:\n{}", faults.join("\n"));
}

/// What comes of a try in which nothing was exchanged.
fn honest(kind: &str) -> &'static str {
    match kind {
        "loader" => "exit 47",
        "applet" => "exit 0",
        "variable" | "variable-value" | "script" | "script-descriptor" | "script-folder" => "exit 7",
        _ => "exit 103",
    }
}

/// How often a race came to what.
fn raced(running: &Running, kind: &str, tries: u32, mode: &str, user: Option<u32>) -> String {
    let user = user.map_or(String::new(), |user| format!("&arg={user}"));
    let (result, detail) = make(running, &format!("race?arg={kind}&arg={tries}&arg={mode}{user}"));
    assert_eq!(result, "ok", "{kind} {mode}\n{}", running.stderr());
    detail
}

/// What was refused has its event.
fn is_reported(running: &Running, kind: &str) {
    let reported = running.event(|events| {
        let is_it = |event: &&&Value| {
            ["program", "environment", "syscall"].iter().any(|kind| event["kind"] == *kind)
                && (event["action"] == "denied" || event["action"] == "killed")
        };
        events.violations().iter().find(is_it).map(|event| (*event).clone())
    });
    assert!(reported.is_some(), "{kind}: no event\n{}", running.stderr());
}
