//! Rights on a file belong to its inode: another one that is brought under a granted name
//! does not have them, whichever call brings it there; and what servers do with a file
//! that they are granted by name goes on.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::attack::{Attack, all_hold_in, attack, wins};
use crate::site::{self, NEEDS, Site};
use crate::support::forbidden::{EACCES, first, make, never, times, unseen};
use crate::support::{Place, Running, can_run, in_each_place};

in_each_place!(
    no_inode_gains_rights_by_a_name,
    a_rename_is_of_what_was_decided,
    honest_replacements_go_on,
    no_file_grows_past_its_limit_by_the_supervisor,
    a_second_name_of_a_script_is_not_written
);

/// Refused when it is moved there, as the kernel does, or when it is used.
const EXDEV: &[&str] = &["EXDEV"];
const REFUSED: &[&str] = &["EACCES", "EXDEV", "EPERM"];

pub const MOVED: &[Attack] = &[
    attack(never("write-moved?arg=directory", EACCES, "file", "/conf/app.cfg")),
    attack(never("write-moved?arg=exchange-directory", EACCES, "file", "/conf/app.cfg")),
    attack(never("write-moved?arg=created", EACCES, "file", "/conf/app.cfg")),
    attack(never("write-moved?arg=truncate", EACCES, "file", "/conf/app.cfg")),
    attack(first("write-moved?arg=exchange", EXDEV, "file", "/app/moves/exchange/")),
    attack(first("write-moved?arg=exchange-back", EXDEV, "file", "/app/moves/exchange-back/")),
    attack(first("write-moved?arg=rename", EXDEV, "file", "/app/moves/rename/")),
    attack(first("write-moved?arg=whiteout", EXDEV, "file", "/app/moves/whiteout/")),
    attack(first("write-moved?arg=link", EXDEV, "file", "/app/moves/link/")),
    attack(first("write-moved?arg=link-descriptor", EXDEV, "file", "/app/moves/link-descriptor/")),
    attack(first("write-moved?arg=undumpable", REFUSED, "", "")),
];

/// A folder for each kind, since what was moved stays so.
const KINDS: &[&str] = &[
    "directory",
    "exchange-directory",
    "created",
    "truncate",
    "exchange",
    "exchange-back",
    "rename",
    "whiteout",
    "link",
    "link-descriptor",
    "undumpable",
    "race",
    "honest",
];

fn profile() -> Value {
    let mut profile = site::profile();
    let files = profile["files"].as_array_mut().expect("a list");
    files.push(json!({ "path": "/app/moves", "allow": ["read", "create", "remove"] }));
    let all = ["read", "write", "create", "remove"];
    for kind in KINDS {
        for name in ["app.cfg", "conf/app.cfg"] {
            files.push(json!({ "path": format!("/app/moves/{kind}/{name}"), "allow": ["read", "write"] }));
        }
        for name in ["mine.cfg", "mine.cfg.new"] {
            files.push(json!({ "path": format!("/app/moves/{kind}/{name}"), "allow": all }));
        }
    }
    profile
}

fn serve(place: Place, options: &[&str], profile: &Value) -> (Running, Site) {
    let site = Site::new();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    };
    let moves = site.0.join("moves");
    for kind in KINDS {
        let own = moves.join(kind);
        std::fs::create_dir_all(own.join("conf")).expect("a folder of ours");
        for name in ["secret.cfg", "app.cfg", "conf/app.cfg"] {
            std::fs::write(own.join(name), name).expect("a file of ours");
            open(&own.join(name), 0o666);
        }
        open(&own, 0o777);
        open(&own.join("conf"), 0o777);
    }
    open(&moves, 0o777);
    open(&site.0, 0o777);
    let running = site::start_on(&site, place, options, profile);
    running.line("listening 8080");
    (running, site)
}

fn no_inode_gains_rights_by_a_name(place: Place) {
    if can_run(place, NEEDS) {
        all_hold_in(place, |options| serve(place, options, &profile()), MOVED);
    }
}

/// Another thread exchanges the path of a rename that the supervisor performs.
fn a_rename_is_of_what_was_decided(place: Place) {
    const TRIES: u32 = 1_000;
    if !can_run(place, NEEDS) {
        return;
    }
    let act = format!("race-rename?arg={TRIES}");
    let (free, _site) = serve(place, &["--mode", "off"], &profile());
    let met = wins(|| times(&make(&free, &act).1, "secret") > 0);
    assert!(met, "control {place:?}");
    drop(free);
    let (mut confined, _site) = serve(place, &[], &profile());
    let (result, came) = make(&confined, &act);
    assert_eq!(result, "ok", "{place:?} {came}\n{}", confined.stderr());
    assert_eq!(times(&came, "secret"), 0, "lost: {place:?} {came}");
    assert!(times(&came, "own") > 0, "{place:?} {came}");
    assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
    assert_eq!(confined.stop().code, 143, "{}", confined.stderr());
}

/// In audit too, where the kernel does all of it.
fn honest_replacements_go_on(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    for options in [&["--mode", "off"][..], &["--mode", "audit"], &[]] {
        let (mut running, _site) = serve(place, options, &profile());
        let (result, detail) = make(&running, "replace-honestly");
        assert_eq!(result, "ok", "{place:?} {options:?} {detail}\n{}", running.stderr());
        if options == ["--mode", "audit"] {
            let (result, _) = make(&running, "write-moved?arg=directory");
            assert_eq!(result, "ok", "audit changes nothing");
            let reported = running.event(|events| events.violations().first().map(|event| (*event).clone()));
            let reported = reported.unwrap_or_else(|| panic!("{place:?}: no event\n{}", running.stderr()));
            assert!(reported["object"].to_string().contains("/conf/app.cfg"), "{reported}");
        } else {
            assert_eq!(running.events().violations().len(), 0, "{place:?} {options:?}");
        }
        assert_eq!(running.stop().code, 143, "{}", running.stderr());
    }
}

/// RLIMIT_FSIZE of the caller, and its signal.
pub const GROWN: &[Attack] = &[
    attack(unseen("grow?arg=/app/new.bin&arg=ignored", &["EFBIG"])).proof("length 1048576"),
    attack(unseen("grow?arg=/app/new.bin", &["signal 25"])).proof("length 1048576"),
];

fn no_file_grows_past_its_limit_by_the_supervisor(place: Place) {
    let mut profile = profile();
    let all = ["read", "write", "create", "remove"];
    profile["files"].as_array_mut().expect("a list").push(json!({ "path": "/app/new.bin", "allow": all }));
    profile["limits"] = json!({ "file_size": 4096 });
    if can_run(place, NEEDS) {
        all_hold_in(place, |options| serve(place, options, &profile), GROWN);
    }
}

/// What the image has a second name for, where the app may write.
pub const SECOND: &[Attack] = &[
    attack(never("write?arg=/app/loot/second", EACCES, "file", "/app/pinned.sh")),
    attack(never("truncate?arg=/app/loot/second", EACCES, "file", "/app/pinned.sh")),
];

fn a_second_name_of_a_script_is_not_written(place: Place) {
    const TRIES: u32 = 2_000;
    if !can_run(place, NEEDS) {
        return;
    }
    let script = b"#!/bin/sh\nexit 7\n";
    let digest: String = Sha256::digest(script).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut profile = site::profile();
    let programs = profile["programs"].as_array_mut().expect("a list");
    programs.push(json!({ "path": "/app/pinned.sh", "interpreter": "/bin/sh", "sha256": digest }));
    programs[0]["may_run"].as_array_mut().expect("a list").push(json!("/app/pinned.sh"));
    let serve = |options: &[&str]| {
        let site = Site::new();
        let (first, second) = (site.0.join("pinned.sh"), site.0.join("loot/second"));
        std::fs::write(&first, script).expect("a file of ours");
        std::fs::set_permissions(&first, Permissions::from_mode(0o777)).expect("ours");
        std::fs::hard_link(&first, second).expect("a link of ours");
        std::fs::write(site.0.join("loot/thirds"), "").expect("a file of ours");
        std::fs::set_permissions(site.0.join("loot/thirds"), Permissions::from_mode(0o666)).expect("ours");
        let running = site::start_on(&site, place, options, &profile);
        running.line("listening 8080");
        (running, site)
    };
    // The path that is opened for writing is exchanged after the look at it.
    let act = format!("race-write?arg=/app/loot/second&arg={TRIES}&arg=/app/loot/thirds");
    let (free, _site) = serve(&["--mode", "off"]);
    assert!(wins(|| times(&make(&free, &act).1, "program") > 0), "control {place:?}");
    drop(free);
    let (confined, _site) = serve(&[]);
    let came = make(&confined, &act).1;
    assert_eq!(times(&came, "program"), 0, "lost: {place:?} {came}");
    assert!(times(&came, "harmless") > 0, "{place:?} {came}");
    assert_eq!(make(&confined, "exec?arg=/app/pinned.sh").1, "exit 7", "{}", confined.stderr());
    // Beside the second name files are made, written and removed as before.
    for act in ["create?arg=/app/loot/new", "write?arg=/app/loot/new", "unlink?arg=/app/loot/new"] {
        assert_eq!(make(&confined, act).0, "ok", "{act}\n{}", confined.stderr());
    }
    drop(confined);
    all_hold_in(place, serve, SECOND);
}
