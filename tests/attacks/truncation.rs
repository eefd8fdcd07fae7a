//! Files that are emptied without being opened for writing: Landlock has no rule on that (its
//! TRUNCATE is not handled, see `src/plan/handled.rs`), so the supervisor performs each such call.

use crate::attack::{Attack, all_hold, attack, wins};
use crate::site::{self, NEEDS};
use crate::support::forbidden::{EACCES, make, seen, times};
use crate::support::{Place, can_run, in_each_place};

in_each_place!(nothing_is_emptied, no_race_empties_a_file, what_may_be_written_is_emptied);

pub const EMPTIED: &[Attack] = &[
    attack(seen("truncate?arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(seen("truncate-descriptor?arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(seen("open-truncate?arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(seen("openat2-truncate?arg=/app/harmless", EACCES, "file", "/app/harmless")),
    attack(seen(
        "unread?arg=undumpable&arg=open-truncate&arg=/app/harmless",
        EACCES,
        "file",
        "/app/harmless",
    )),
];

fn nothing_is_emptied(place: Place) {
    all_hold(place, &site::profile(), EMPTIED);
}

/// Each call by which a file is emptied, whose path or flags another thread changes after they were
/// read.
fn no_race_empties_a_file(place: Place) {
    const TRIES: u32 = 2_000;
    if !can_run(place, NEEDS) {
        return;
    }
    for how in ["path", "open", "flags"] {
        let act = format!("race-truncate?arg={how}&arg={TRIES}&arg=/app/harmless&arg=/app/loot/har");
        let serve = |options: &[&str]| {
            let (running, site) = site::serve(place, options, &site::profile());
            assert_eq!(make(&running, "create?arg=/app/loot/har").0, "ok", "{}", running.stderr());
            (running, site)
        };
        let (free, site) = serve(&["--mode", "off"]);
        let emptied = wins(|| {
            let emptied = times(&make(&free, &act).1, "emptied") > 0;
            site.put_back();
            emptied
        });
        assert!(emptied, "control {how} {place:?}");
        drop(free);
        let (confined, _site) = serve(&[]);
        let came = make(&confined, &act).1;
        assert_eq!(times(&came, "emptied"), 0, "lost: {how} {place:?} {came}");
        assert!(times(&came, "ok") > 0, "{how} {place:?} {came}");
        assert!(times(&came, "EACCES") > 0, "{how} {place:?} {came}");
    }
}

fn what_may_be_written_is_emptied(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let (confined, _site) = site::serve(place, &[], &site::profile());
    for act in [
        "create?arg=/app/loot/full",
        "truncate?arg=/app/loot/full",
        "truncate-descriptor?arg=/app/loot/full",
        "open-truncate?arg=/app/loot/full",
        "openat2-truncate?arg=/app/loot/full",
        "openat2-write?arg=/app/loot/full",
        "openat2-read?arg=/app/harmless",
        "openat2-read?arg=/app/loot",
        "openat2-read?arg=/srv/good",
    ] {
        assert_eq!(make(&confined, act).0, "ok", "{place:?} {act}\n{}", confined.stderr());
    }
    for (act, errno) in [
        ("truncate?arg=/app/loot/none", "ENOENT"),
        ("truncate?arg=/app/loot", "EISDIR"),
        ("truncate?arg=/dev/null", "EINVAL"),
        ("open-truncate?arg=/app/loot/none", "ENOENT"),
        ("openat2-truncate?arg=/app/loot/none", "ENOENT"),
        ("openat2-read?arg=/app/loot/none", "ENOENT"),
        // What the supervisor does not open for the caller: the caller opens it by openat(2).
        ("openat2-read?arg=/dev/null", "ENOSYS"),
        ("openat2-path?arg=/app/loot", "ENOSYS"),
    ] {
        assert_eq!(make(&confined, act).0, errno, "{place:?} {act}\n{}", confined.stderr());
    }
    let refused = confined.events();
    assert!(refused.violations().is_empty(), "{place:?} {}", confined.stderr());
}
