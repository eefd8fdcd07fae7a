//! Code that is in no listed program: brought into one by its environment, mapped from
//! a file or from memory that was written, written into another process.

use serde_json::{Value, json};

use crate::attack::{Attack, EITHER_WAY, all_hold, attack, runs};
use crate::site;
use crate::support::forbidden::{EACCES, EPERM, Forbidden, Hint, first, make, never, seen, times};
use crate::support::{Place, Running, can_run, in_each_place};

in_each_place!(
    the_environment_brings_no_code,
    written_memory_is_not_executed,
    data_that_may_be_read_is_mapped_as_code,
    mapping_stops_no_other_process,
    processes_are_closed_to_each_other
);

/// A program that is refused for a variable; what tells it is an event of either kind.
const fn variable(act: &'static str, name: &'static str) -> Attack {
    runs(Forbidden { act, refused: EITHER_WAY, kind: Some(""), object: name, hint: Hint::First })
}

pub const VARIABLES: &[Attack] = &[
    variable("exec-with?arg=LD_PRELOAD=/app/loot/evil.so&arg=/srv/victim", "LD_PRELOAD"),
    variable("exec-with?arg=LD_AUDIT=/app/loot/evil.so&arg=/srv/victim", "LD_AUDIT"),
    variable("exec-with?arg=LD_LIBRARY_PATH=/app/loot&arg=/srv/victim", "LD_LIBRARY_PATH"),
    variable("exec-with-many?arg=LD_PRELOAD=/app/loot/evil.so&arg=/srv/victim", "LD_PRELOAD"),
    variable("exec-with?arg=GCONV_PATH=/app/loot&arg=/srv/victim&arg=charset", "GCONV_PATH"),
    // Beside what is let be; by another mount; over a link that the app may make; from the working
    // directory; where the loader expands it; over a process's own files.
    variable("exec-with?arg=LD_LIBRARY_PATH=/usr/lib:/app/loot&arg=/srv/victim", "/app/loot"),
    variable("exec-with?arg=LD_PRELOAD=/other/loot/evil.so&arg=/srv/victim", "/other/loot/evil.so"),
    variable("exec-with?arg=LD_PRELOAD=/app/loot/to-srv/evil.so&arg=/srv/victim", "to-srv"),
    variable("exec-with?arg=LD_PRELOAD=app/loot/evil.so&arg=/srv/victim", "it is relative"),
    variable("exec-with?arg=LD_PRELOAD=$ORIGIN/../app/loot/evil.so&arg=/srv/victim", "$ORIGIN"),
    variable("exec-with?arg=LD_PRELOAD=/proc/self/root/app/loot/evil.so&arg=/srv/victim", "/proc/self"),
    // An empty element, wherever it is, is the working directory.
    variable("exec-from?arg=/app/loot&arg=LD_LIBRARY_PATH=:&arg=/srv/victim", "an empty element"),
    variable("exec-from?arg=/app/loot&arg=LD_LIBRARY_PATH=:/usr/lib&arg=/srv/victim", "an empty element"),
    variable("exec-from?arg=/app/loot&arg=LD_LIBRARY_PATH=/usr/lib:&arg=/srv/victim", "an empty element"),
    variable(
        "exec-from?arg=/app/loot&arg=LD_LIBRARY_PATH=/opt::/usr/lib&arg=/srv/victim",
        "an empty element",
    ),
];

fn the_environment_brings_no_code(place: Place) {
    let profile = site::profile();
    all_hold(place, &profile, VARIABLES);
    if !can_run(place, site::NEEDS) {
        return;
    }
    // What the app cannot change is no more than a library that the program needs.
    let (running, _site) = site::serve(place, &[], &profile);
    for (variable, came) in [
        ("LD_LIBRARY_PATH=/srv/lib:/usr/local/nothing", "exit 7"),
        ("LD_PRELOAD=/srv/lib/libspare.so%20/srv/lib/libspare.so", "exit 7"),
        ("LD_PRELOAD=/srv/evil.so", "exit 42"),
        // The loader does not read an empty list.
        ("LD_LIBRARY_PATH=", "exit 7"),
    ] {
        let (result, detail) = make(&running, &format!("exec-with?arg={variable}&arg=/srv/victim"));
        assert_eq!((result.as_str(), detail.as_str()), ("ok", came), "{place:?} {variable}");
    }
    assert_eq!(running.events().violations().len(), 0, "{place:?}: {}", running.stderr());
}

/// An app that uses shared memory, protection keys and the like, and is no JIT.
fn memory() -> Value {
    let mut profile = site::profile();
    profile["syscalls"]["allow"] = json!(["memfd_create", "shmget", "shmat", "shmctl", "shmdt", { "call": "personality", "arg": 0, "in": [0] }]);
    profile
}

pub const WRITTEN: &[Attack] = &[
    attack(seen("memory-map", EACCES, "memory", "mmap")),
    attack(seen("memory-protect", EACCES, "memory", "mprotect")),
    attack(seen("memory-key", EACCES, "memory", "pkey_mprotect")).proof("returned 42").docker("EPERM"),
    attack(first("memory-shared-run", EACCES, "memory", "shmat")).proof("returned 42"),
    attack(first("memory-personality", EPERM, "syscall", "personality")).proof("returned 42").docker("EPERM"),
    attack(first("personality-high", EPERM, "syscall", "personality")).docker("EPERM"),
    attack(never("own-memory-write", EACCES, "file", "/mem")).proof("returned 42"),
    attack(never("own-thread-memory-write", EACCES, "file", "/mem")).proof("returned 42"),
];

fn written_memory_is_not_executed(place: Place) {
    all_hold(place, &memory(), WRITTEN);
}

/// An app whose code is where its libraries are.
fn libraries() -> Value {
    let mut profile = site::profile();
    let libraries = json!(["/srv/lib", "/lib", "/usr/lib", "/lib64"]);
    profile["programs"][0]["libraries"] = libraries.clone();
    profile["programs"][2]["libraries"] = libraries;
    profile
}

/// The same of a JIT, which makes its own code.
fn libraries_of_a_jit() -> Value {
    let mut profile = libraries();
    profile["memory"] = json!({ "write_execute": true });
    profile
}

/// What may be read may be loaded as code, unless the program says from where it loads:
/// each goes through without `libraries`, by any program that gets the file's path.
pub const MAPPED: &[Attack] = &[
    attack(never("memory-file", EACCES, "program", "/app/loot/code")).proof("returned 42"),
    attack(never("memory-file-shared", EACCES, "program", "/app/loot/code")).proof("returned 42"),
    attack(seen("memory-dual", EACCES, "memory", "memfd:dual")).proof("returned 42"),
    attack(seen("memory-shared-dual", EACCES, "memory", "/dev/zero")).proof("returned 42"),
    attack(seen("map?arg=/app/harmless", EACCES, "program", "/app/harmless")).proof("mapped"),
    attack(never("map?arg=/app/loot/evil.so", EACCES, "program", "/app/loot/evil.so")).proof("mapped"),
    // Nothing can read what it maps, were it a library.
    attack(never("map-undumpable", EACCES, "program", "unreadable")).proof("mapped"),
    attack(seen("map-high?arg=/app/harmless", EACCES, "program", "/app/harmless")).proof("mapped"),
];

/// What is mapped as data may be made code only where written memory may.
pub const MADE_CODE: &[Attack] = &[
    attack(never("memory-file-protect", EACCES, "program", "/app/loot/code")).proof("returned 42"),
    attack(seen("map-protect?arg=/app/harmless", EACCES, "program", "/app/harmless")).proof("mapped"),
    attack(seen("map-protect-key?arg=/app/harmless", EACCES, "program", "/app/harmless"))
        .proof("mapped")
        .docker("EPERM"),
    attack(seen("map?arg=/app/harmless", EACCES, "program", "/app/harmless")).proof("mapped"),
];

fn data_that_may_be_read_is_mapped_as_code(place: Place) {
    if !can_run(place, site::NEEDS) {
        return;
    }
    // Without `libraries` the profile lets all of it through, but what cannot be put there.
    let (running, _site) = site::serve(place, &[], &site::profile());
    for Attack { forbidden, .. } in MAPPED {
        let (result, detail) = make(&running, forbidden.act);
        let through = result == "ok" || (forbidden.act == "memory-file-shared" && result == "EACCES");
        assert!(through, "control {place:?} {}: {result} {detail}", forbidden.act);
    }
    drop(running);
    all_hold(place, &libraries(), MAPPED);
    all_hold(place, &libraries_of_a_jit(), MADE_CODE);
    plugins_come_from_the_libraries(place);
    what_is_mapped_cannot_be_raced(place);
}

/// A program that is made to load a plugin: it exits with 42 where it loads the
/// attacker's, with 1 where it cannot.
fn plugins_come_from_the_libraries(place: Place) {
    let load = |plugin: &str| format!("exec?arg=/srv/victim&arg=plugin&arg={plugin}");
    let came = |running: &Running, plugin: &str| make(running, &load(plugin)).1;
    let (free, _site) = site::serve(place, &[], &site::profile());
    let (confined, _site) = site::serve(place, &[], &libraries());
    for (plugin, may_be_listed) in [("/app/loot/evil.so", false), ("/srv/evil.so", true)] {
        assert_eq!(came(&free, plugin), "exit 42", "control {place:?} {plugin}: {}", free.stderr());
        assert_eq!(came(&confined, plugin), "exit 1", "{place:?} {plugin}: {}", confined.stderr());
        let reported = confined.event(|events| {
            let is_it = |event: &&&Value| event["object"]["path"] == plugin;
            events.violations().iter().find(is_it).map(|event| (*event).clone())
        });
        let reported = reported.unwrap_or_else(|| panic!("{place:?} {plugin}: {}", confined.stderr()));
        assert_eq!((&reported["kind"], &reported["action"]), (&json!("program"), &json!("denied")));
        assert_eq!(reported["rule"], "/programs/2/libraries");
        assert_eq!(reported["process"]["executable"]["path"], "/srv/victim");
        let hint = json!([{ "op": "add", "path": "/programs/2/libraries/-", "value": plugin }]);
        assert_eq!(reported.get("hint"), may_be_listed.then_some(&hint), "{reported}");
    }
    assert_eq!(came(&confined, "/srv/lib/libspare.so"), "exit 7", "{place:?}: {}", confined.stderr());
    // Audit tells it, and it goes on.
    let (audit, _site) = site::serve(place, &["--mode", "audit"], &libraries());
    assert_eq!(came(&audit, "/srv/evil.so"), "exit 42", "{place:?}: {}", audit.stderr());
    let is_it = |event: &&&Value| event["object"]["path"] == "/srv/evil.so" && event["action"] == "observed";
    let reported =
        audit.event(|events| events.violations().iter().find(is_it).map(|event| event["rule"].clone()));
    assert_eq!(reported, Some(json!("/programs/2/libraries")), "{place:?}: {}", audit.stderr());
    // What the hint says allows it.
    let mut listed = libraries();
    listed["programs"][2]["libraries"].as_array_mut().expect("a list").push(json!("/srv/evil.so"));
    let (listed, _site) = site::serve(place, &[], &listed);
    assert_eq!(came(&listed, "/srv/evil.so"), "exit 42", "{place:?}: {}", listed.stderr());
}

/// A process that maps code without end, and executes, is stopped and is killed meanwhile, comes to
/// what it would come to; and the first process does its duty.
fn mapping_stops_no_other_process(place: Place) {
    if !can_run(place, site::NEEDS) {
        return;
    }
    const PROCESSES: u32 = 10;
    let (free, _site) = site::serve(place, &["--mode", "off"], &libraries());
    let (mut confined, _site) = site::serve(place, &[], &libraries());
    for (mode, end) in [("execs", "exit 103"), ("stops", "signal 9"), ("kills", "signal 9")] {
        for running in [&free, &confined] {
            let (result, came) = make(running, &format!("map-crowd?arg={PROCESSES}&arg={mode}"));
            assert_eq!(
                (result.as_str(), came),
                ("ok", format!("{end}: {PROCESSES}")),
                "{place:?} {mode}: {}",
                running.stderr()
            );
        }
    }
    assert!(confined.events().violations().is_empty(), "{:#?}", confined.events().violations());
    assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
    let stopped = confined.stop();
    assert_eq!(stopped.code, 143, "{}", confined.stderr());
    assert!(stopped.took < std::time::Duration::from_secs(8), "the first process was held up: {stopped:?}");
}

/// So many tries are one answer of the server's.
const ROUND: u32 = 500;

/// Another thread, or a process with the same descriptors, makes the descriptor stand for
/// another file between the look at it and the call. Two thousand tries each.
fn what_is_mapped_cannot_be_raced(place: Place) {
    const ROUNDS: u32 = 4;
    const AGAIN: u32 = 40;
    let race = |running: &Running, mode: &str| {
        let (result, came) = make(running, &format!("race-map?arg={ROUND}&arg={mode}"));
        assert_eq!(result, "ok", "{place:?} {mode}: {}", running.stderr());
        came
    };
    let (free, _site) = site::serve(place, &[], &site::profile());
    let (confined, _site) = site::serve(place, &[], &libraries());
    for mode in ["threads", "processes"] {
        // On a busy machine the two may not meet for a while.
        let both = (0..AGAIN).any(|_| {
            let came = race(&free, mode);
            times(&came, "evil") > 0 && times(&came, "good") > 0
        });
        assert!(both, "control {place:?} {mode}: the two never meet");
        let came: Vec<String> = (0..ROUNDS).map(|_| race(&confined, mode)).collect();
        let count = |end: &str| came.iter().map(|came| times(came, end)).sum::<usize>();
        assert_eq!(count("evil"), 0, "lost: {place:?} {mode}: {came:?}");
        assert!(count("good") > 0, "nothing is mapped: {place:?} {mode}: {came:?}");
        assert!(count("EACCES") + count("signal 9") > 0, "{place:?} {mode}: {came:?}");
        if count("signal 9") > 0 {
            let is_it =
                |event: &&&Value| event["action"] == "killed" && event["rule"] == "/programs/0/libraries";
            let reported = confined.event(|events| events.violations().iter().find(is_it).map(|_| ()));
            assert!(reported.is_some(), "{place:?} {mode}: {}", confined.stderr());
        }
    }
    assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
}

pub const SIBLINGS: &[Attack] = &[
    attack(never("sibling-memory", EACCES, "file", "/mem")),
    attack(first("sibling-write", EPERM, "syscall", "process_vm_writev")).docker("EPERM"),
    attack(first("sibling-trace", EPERM, "syscall", "ptrace")),
];

fn processes_are_closed_to_each_other(place: Place) {
    all_hold(place, &site::profile(), SIBLINGS);
}
