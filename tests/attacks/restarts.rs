//! What is left for the next start: links where the profile names a path, second names of
//! programs, programs that would be found before COMMAND. The folder outlives the container,
//! as a volume does, and as all of a container does that is started again.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::attack::{Attack, all_hold_in, attack};
use crate::elf;
use crate::site::{self, NEEDS, Site, start_on};
use crate::support::forbidden::{EACCES, first, make, never, seen, wrong};
use crate::support::{Init, Place, Run, Running, can_run, in_each_place, probe};

in_each_place!(
    a_link_that_was_planted_grants_nothing_at_the_next_start,
    what_has_to_be_there_and_became_a_link_is_refused_at_the_next_start,
    under_baseline_nothing_is_left_that_would_run_or_be_written_at_the_next_start
);

const ALL: [&str; 4] = ["read", "write", "create", "remove"];

/// A pid file, a granted folder inside another, a file and a socket by a folder of the app's.
fn profile() -> Value {
    json!({
        "remit": 1,
        "name": "restarted",
        "programs": [{ "path": "/probe", "entry": true }],
        "files": [
            "@runtime",
            { "path": "/app", "allow": ["read"] },
            { "path": "/app/loot", "allow": ALL },
            { "path": "/app/pid/server.pid", "allow": ALL, "optional": true },
            { "path": "/app/loot/cache", "allow": ALL, "optional": true },
            { "path": "/app/loot/folder/file", "allow": ["write"], "optional": true }
        ],
        "network": { "listen": ["tcp/8080"], "connect": ["unix:/app/loot/run/sock"] }
    })
}

/// A folder with one more that no entry grants, and what listens there.
fn site() -> (Site, UnixListener) {
    let site = Site::new();
    let make = |name: &str| {
        std::fs::create_dir(site.0.join(name)).expect("a temporary folder");
        open_to_all(&site.0.join(name));
    };
    ["pid", "secret", "loot/conf"].into_iter().for_each(make);
    for name in ["secret/settings", "secret/file"] {
        std::fs::write(site.0.join(name), "original").expect("a temporary file");
        open_to_all(&site.0.join(name));
    }
    let socket = site.0.join("secret/sock");
    let listener = UnixListener::bind(&socket).expect("a short path");
    open_to_all(&socket);
    (site, listener)
}

/// Whatever user the attacker is inside, the file system lets them.
fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, Permissions::from_mode(0o777)).expect("ours");
}

/// What the profile lets the app do: each in a place of its own.
const PLANTED: &[&str] = &[
    "symlink?arg=/app/pid/server.pid&arg=/app/secret",
    "symlink?arg=/app/loot/cache&arg=/app/secret",
    "symlink?arg=/app/loot/folder&arg=../secret",
    "symlink?arg=/app/loot/run&arg=/app/secret",
];

/// What the links would bring.
pub const GAINED: &[Attack] = &[
    attack(seen("write?arg=/app/secret/settings", EACCES, "file", "/app/secret/settings")),
    attack(seen("write?arg=/app/loot/cache/settings", EACCES, "file", "/app/secret/settings")),
    attack(seen("write?arg=/app/loot/folder/file", EACCES, "file", "/app/secret/file")),
    attack(seen("create?arg=/app/pid/server.pid/new", EACCES, "file", "/app/secret/new")),
    attack(seen("unix-connect?arg=/app/loot/run/sock", EACCES, "network", "unix:/app/secret/sock")),
    attack(seen("unlink?arg=/app/secret/settings", EACCES, "file", "/app/secret/settings")),
];

fn a_link_that_was_planted_grants_nothing_at_the_next_start(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    for options in [&["--mode", "off"][..], &[]] {
        let (site, _listener) = site();
        let mut running = served(&site, place, options, &profile());
        for act in PLANTED {
            assert_eq!(make(&running, act).0, "ok", "{act}: {}", running.stderr());
        }
        running.stop();
        let mut running = served(&site, place, options, &profile());
        let mut faults = Vec::new();
        for attack in GAINED {
            let before = running.events().violations().len();
            let (result, detail) = make(&running, attack.forbidden.act);
            if options.is_empty() {
                faults.extend(wrong(&running, &attack.forbidden, &result, before));
            } else {
                assert_eq!(result, "ok", "control {}: {detail}", attack.forbidden.act);
            }
        }
        assert!(faults.is_empty(), "{place:?}:\n{}", faults.join("\n"));
        // The names are the app's as they were.
        for act in ["unlink?arg=/app/pid/server.pid", "create?arg=/app/pid/server.pid"] {
            assert_eq!(make(&running, act).0, "ok", "{act}: {}", running.stderr());
        }
        let said = running.stderr();
        for link in ["/app/pid/server.pid", "/app/loot/cache", "/app/loot/folder", "/app/loot/run"] {
            let line = format!("leads over the link {link}, which");
            assert_eq!(said.contains(&line), options.is_empty(), "{link}: {said}");
        }
        running.stop();
    }
}

fn what_has_to_be_there_and_became_a_link_is_refused_at_the_next_start(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let mut profile = profile();
    profile["files"][4] = json!({ "path": "/app/loot/conf", "allow": ["read", "write"] });
    for options in [&["--mode", "off"][..], &[]] {
        let (site, _listener) = site();
        let mut running = served(&site, place, options, &profile);
        let plant =
            ["rename?arg=/app/loot/conf&arg=/app/loot/old", "symlink?arg=/app/loot/conf&arg=/app/secret"];
        for act in plant {
            assert_eq!(make(&running, act).0, "ok", "{act}: {}", running.stderr());
        }
        running.stop();
        if options.is_empty() {
            let mut refused = start_on(&site, place, options, &profile);
            assert_eq!(refused.wait(), 125, "{}", refused.stderr());
            let line = "/files/4: `/app/loot/conf` leads over the link `/app/loot/conf`, which /files/2 lets";
            assert!(refused.stderr().contains(line), "{}", refused.stderr());
        } else {
            let running = served(&site, place, options, &profile);
            assert_eq!(make(&running, "write?arg=/app/loot/conf/settings").0, "ok");
        }
    }
}

fn served(site: &Site, place: Place, options: &[&str], profile: &Value) -> Running {
    let running = start_on(site, place, options, profile);
    running.line("listening 8080");
    running
}

/// COMMAND is `server`, found in /app/tool after /app/early, which is there, and /app/first,
/// which is not.
pub const LEFT: &[Attack] = &[
    attack(never("link?arg=/app/tool/helper&arg=/app/tool/second", EACCES, "file", "/app/tool/helper")),
    attack(never(
        "link-descriptor?arg=/app/tool/helper&arg=/app/tool/third",
        EACCES,
        "file",
        "/app/tool/helper",
    )),
    attack(first("mkdir?arg=/app/first", EACCES, "file", "/app/first")),
    attack(first("create?arg=/app/early/server", EACCES, "file", "/app/early/server")),
    attack(first("symlink?arg=/app/early/server&arg=/app/tool/helper", EACCES, "file", "/app/early/server"))
        // The file is there by then.
        .docker("EEXIST")
        .namespace("EEXIST"),
    attack(first("rename?arg=/app/early&arg=/app/moved", EACCES, "file", "/app/early")),
    attack(first("create?arg=/etc/ld.so.preload", EACCES, "file", "/etc/ld.so.preload")).restricted("EROFS"),
    attack(first("create?arg=/lib64/libevil.so", EACCES, "file", "/lib64/libevil.so")).restricted("EROFS"),
];

fn under_baseline_nothing_is_left_that_would_run_or_be_written_at_the_next_start(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let serve = |options: &[&str]| {
        let site = Site::new();
        for folder in ["early", "tool"] {
            std::fs::create_dir(site.0.join(folder)).expect("a temporary folder");
        }
        std::fs::copy(probe(), site.0.join("tool/server")).expect("the probe");
        std::fs::write(site.0.join("tool/helper"), elf::tells()).expect("a temporary file");
        for name in ["early", "tool", "tool/server", "tool/helper"] {
            open_to_all(&site.0.join(name));
        }
        let running = Run::new(site::image(), place, Init::remit(options), &["server", "serve", "8080"])
            .unset("PATH")
            .variable("PATH", "/app/first:/app/early:/app/tool:/usr/bin:/bin")
            .folder(&site.0, "/app")
            .start();
        running.line("listening 8080");
        if options.is_empty() {
            assert_eq!(make(&running, "create?arg=/app/early/other").0, "ok", "{}", running.stderr());
        }
        (running, site)
    };
    all_hold_in(place, serve, LEFT);
}
