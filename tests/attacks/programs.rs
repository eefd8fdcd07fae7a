//! Running what is not listed: under another name, from a file that has none, by the
//! loader, by a script, by an interpreter, or in place of what is listed.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::attack::{Attack, EITHER_WAY, all_hold, attack, runs, wins};
use crate::elf;
use crate::site;
use crate::support::forbidden::{EACCES, EITHER, first, make, never, seen, times};
use crate::support::{Place, can_run, in_each_place};

in_each_place!(
    what_is_not_listed_does_not_run,
    nothing_takes_the_place_of_a_program,
    an_interpreter_runs_its_script_alone,
    what_an_entry_says_holds,
    a_process_that_is_traced_does_not_execute,
    a_race_does_not_change_a_digest,
    a_program_is_not_written_by_another_mount
);

/// What the profile lets the app write, it does not let it run.
#[test]
fn a_program_that_could_be_overwritten_is_none() {
    let place = Place::UserNamespace;
    if !can_run(place, site::NEEDS) {
        return;
    }
    let mut profile = site::profile();
    profile["programs"].as_array_mut().expect("a list").push(json!({ "path": "/app/loot/pinned" }));
    let (mut running, _site) = site::start(place, &[], &profile);
    assert_eq!(running.wait(), 125, "{}", running.stderr());
    assert!(running.stderr().contains("/app/loot/pinned"), "{}", running.stderr());
}

pub const UNLISTED: &[Attack] = &[
    runs(seen("exec?arg=/app/evil", EACCES, "program", "/app/evil")),
    runs(seen("execveat?arg=/srv/evil", EACCES, "program", "/srv/evil")),
    runs(never("exec-by-link?arg=/srv/evil", EACCES, "program", "/app/loot/by-link")),
    runs(seen("exec-magic-link?arg=/proc/self/fd&arg=/srv/evil", EACCES, "program", "evil")),
    runs(seen("exec-magic-link?arg=/dev/fd&arg=/srv/evil", EACCES, "program", "evil")),
    runs(seen("exec-magic-link?arg=/proc/thread-self/fd&arg=/srv/evil", EACCES, "program", "evil")),
    runs(seen("exec?arg=/proc/self/root/srv/evil", EACCES, "program", "evil")),
    runs(first("exec?arg=/srv/edge", EACCES, "program", "/srv/edge")),
    attack(never("exec-copy?arg=/proc/self/exe&arg=/app/loot", EACCES, "program", "/app/loot/copied"))
        .proof("exit 42"),
    runs(never("exec-drop?arg=/app/loot", EACCES, "program", "/app/loot/dropped")),
    runs(never("exec-hard-link", EACCES, "program", "/app/loot/hard-link")),
    // Files without a name.
    runs(never("exec-memfd", EITHER_WAY, "program", "memfd")),
    runs(never("exec-proc-fd", EITHER_WAY, "program", "memfd")),
    runs(never("exec-passed", EITHER_WAY, "program", "memfd")),
    runs(never("memfd-high", EITHER_WAY, "program", "memfd")),
    runs(never("exec-deleted?arg=/app/loot", EACCES, "program", "deleted")),
    runs(never("exec-tmpfile", EACCES, "program", "")),
    // The loader is executable for the sake of dynamic programs.
    runs(never("exec-loader?arg=/app/loot", EITHER_WAY, "program", "ld-linux")),
    runs(never("exec-loader-copy?arg=/srv/evil", EACCES, "program", "/app/loot/copy")),
    runs(never("exec?arg=/srv/load&arg=/srv/evil", EITHER_WAY, "program", "l")),
];

fn what_is_not_listed_does_not_run(place: Place) {
    all_hold(place, &site::profile(), UNLISTED);
}

/// The attacker's user owns the folder of these programs, and the profile gives no right
/// to change it.
pub const REPLACED: &[Attack] = &[
    runs(never("replace-write", EACCES, "file", "/app/replaced")),
    runs(never("open-high?arg=/app/replaced", EACCES, "file", "/app/replaced")).proof(""),
    runs(never("truncate?arg=/app/replaced", EACCES, "file", "/app/replaced")).proof(""),
    runs(first("replace-rename", EACCES, "file", "/app/")),
    runs(first("replace-exchange", EACCES, "file", "/app/")),
    runs(first("replace-link", EACCES, "file", "/app/")),
    runs(first("replace-mount", &["EPERM"], "syscall", "mount")).docker("EPERM"),
];

fn nothing_takes_the_place_of_a_program(place: Place) {
    all_hold(place, &site::profile(), REPLACED);
}

pub const INTERPRETED: &[Attack] = &[
    runs(never("script", EACCES, "program", "/app/loot/script")),
    runs(never("script-chain", EACCES, "program", "/app/loot/first")),
    runs(seen("script?arg=/bin/sh&arg=by-interpreter", EITHER_WAY, "program", "/bin/sh")),
    runs(seen("exec?arg=/bin/sh&arg=-c&arg=exit%2042", EITHER_WAY, "program", "/bin/sh")),
    runs(seen("exec?arg=/bin/sh&arg=-s&arg=/app/job.sh", EITHER_WAY, "program", "/bin/sh")).proof("exit 0"),
    runs(seen("script-stdin", EITHER_WAY, "program", "/bin/sh")),
    runs(seen(
        "exec-named?arg=/bin/sh&arg=/app/job.sh&arg=-c&arg=exit%2042",
        EITHER_WAY,
        "program",
        "/bin/sh",
    )),
    // It may run the script by its name, and not by the interpreter's.
    runs(seen("exec?arg=/bin/sh&arg=/app/job.sh", EITHER_WAY, "program", "/bin/sh")).proof("exit 7"),
];

fn an_interpreter_runs_its_script_alone(place: Place) {
    all_hold(place, &site::profile(), INTERPRETED);
}

/// The keys of an entry that only a look at the new program can hold.
fn keyed() -> Value {
    let mut profile = site::profile();
    let programs = profile["programs"].as_array_mut().expect("a list");
    let digest = "0".repeat(64);
    programs[1]["args"] = json!([["g"]]);
    programs[2]["args"] = json!([["plugin", "/srv/lib/libspare.so"]]);
    programs[4]["user"] = json!([12345]);
    programs[5]["instances"] = json!(1);
    programs[6]["sha256"] = json!(digest);
    programs.push(json!({ "path": "/bin/true", "applet": "true" }));
    let edges = programs[0]["may_run"].as_array_mut().expect("a list");
    edges.push(json!({ "path": "/bin/true", "applet": "true" }));
    profile
}

pub const KEYED: &[Attack] = &[
    runs(first("exec?arg=/srv/good&arg=*", EITHER_WAY, "program", "/srv/good")),
    runs(first("exec-named?arg=/bin/true&arg=sh&arg=-c&arg=exit%2042", EITHER_WAY, "program", "/bin/")),
    runs(first(
        "exec-named?arg=/bin/true&arg=busybox&arg=sh&arg=-c&arg=exit%2042",
        EITHER_WAY,
        "program",
        "/bin/",
    )),
    runs(first("exec?arg=/bin/busybox&arg=sh&arg=-c&arg=exit%2042", EITHER_WAY, "program", "/bin/busybox")),
    // An exec without arguments has not those that it must have.
    runs(first("exec-bare?arg=/srv/victim", EITHER_WAY, "program", "/srv/victim")).proof("exit 7"),
    runs(first("exec-instances?arg=/app/waits", &["EAGAIN"], "program", "/app/waits")).proof("both"),
    // As another user than it may be run as.
    runs(first("exec?arg=/app/good&arg=*", EITHER_WAY, "program", "/app/good")),
    // Another content than the profile's.
    runs(first("exec?arg=/app/replaced&arg=*", EITHER_WAY, "program", "/app/replaced")),
];

fn what_an_entry_says_holds(place: Place) {
    all_hold(place, &keyed(), KEYED);
}

pub const TRACED: &[Attack] = &[
    runs(first("exec-traced?arg=/app/good", EITHER, "program", "/app/good")).proof("exit 103"),
    runs(first("exec-traced?arg=/app/evil", EITHER, "program", "/app/evil")).proof("exit 42"),
];

/// An app that traces its own children, as debuggers and sandboxes do: nothing else can
/// check what they execute, and so they do not.
fn a_process_that_is_traced_does_not_execute(place: Place) {
    let mut profile = site::profile();
    profile["syscalls"]["allow"] = json!(["ptrace"]);
    // There is something to look at.
    profile["programs"][4]["args"] = json!([["g"]]);
    all_hold(place, &profile, TRACED);
}

/// A program that another container writes, whose folder is a volume of both: what is
/// mapped has to be what the digest is of, however soon it was something else.
fn a_race_does_not_change_a_digest(place: Place) {
    const TRIES: usize = 50;
    if !can_run(place, site::NEEDS) {
        return;
    }
    let mut profile = site::profile();
    let digest = Sha256::digest(elf::tells());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    profile["programs"][6]["sha256"] = json!(digest);
    for (options, refused) in [(&["--mode", "off"][..], &["ok"][..]), (&[], EITHER_WAY)] {
        let (running, site) = site::serve(place, options, &profile);
        for _ in 0..TRIES {
            for (content, code, wanted) in
                [(elf::tells(), "exit 103", &["ok"][..]), (elf::exits(), "exit 42", refused)]
            {
                // The same inode, and perhaps the same tick of the clock.
                std::fs::write(site.0.join("replaced"), content).expect("a file of ours");
                let (result, detail) = make(&running, "exec?arg=/app/replaced&arg=g");
                let right = wanted.contains(&result.as_str()) && (result != "ok" || detail == code);
                assert!(right, "{place:?} {options:?}: expected {wanted:?} {code}, got {result} {detail}");
            }
        }
        let reported = running.event(|events| {
            let is_it = |event: &&&Value| event["rule"] == "/programs/6/sha256";
            events.violations().iter().find(is_it).map(|event| (*event).clone())
        });
        assert_eq!(reported.is_some(), options.is_empty(), "{}", running.stderr());
    }
}

/// A folder of programs that is there twice, and may be written by its other name.
fn a_program_is_not_written_by_another_mount(place: Place) {
    const TRIES: u32 = 2_000;
    if !can_run(place, site::NEEDS) {
        return;
    }
    let mut profile = site::profile();
    profile["files"].as_array_mut().expect("a list").push(json!({ "path": "/other", "allow": ["write"] }));
    let act = format!("race-write?arg=/other/replaced&arg={TRIES}");
    let (free, _site) = site::serve(place, &["--mode", "off"], &profile);
    let written = wins(|| times(&make(&free, &act).1, "program") > 0);
    assert!(written, "control {place:?}");
    drop(free);
    // Found out at the start, under either name.
    let (mut confined, _site) = site::start(place, &[], &profile);
    assert_eq!(confined.wait(), 125, "{place:?}: {}", confined.stderr());
    assert!(confined.stderr().contains("mounted twice"), "{place:?}: {}", confined.stderr());
}
