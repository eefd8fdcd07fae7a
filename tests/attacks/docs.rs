//! docs/attacks.md names every attack that is made, and none that is not.

use std::collections::BTreeSet;
use std::process::Command;

use crate::acts::ACTS;
use crate::attack::Attack;
use crate::support::probe;
use crate::{
    environment, injection, kernel, names, programs, races, restarts, sockets, supervisor, truncation,
    unread, users,
};

const DOCUMENT: &str = include_str!("../../docs/attacks.md");

/// Made by a test that has no table.
const BY_THEMSELVES: &[&str] = &[
    "descriptors",
    "exec-crowd",
    "fork-bomb",
    "interrupted",
    "kill",
    "intrusion",
    "lease",
    "listen-often",
    "map-crowd",
    "race",
    "race-map",
    "race-rename",
    "race-socket",
    "race-truncate",
    "race-write",
    "replace-honestly",
    "run-last",
    "sockets-unread",
];

#[test]
fn every_attack_is_in_the_document() {
    let tables: [&[Attack]; 31] = [
        programs::UNLISTED,
        programs::REPLACED,
        programs::INTERPRETED,
        programs::KEYED,
        programs::TRACED,
        environment::INTERPRETERS,
        injection::VARIABLES,
        injection::WRITTEN,
        injection::MAPPED,
        injection::MADE_CODE,
        injection::SIBLINGS,
        kernel::WAYS,
        kernel::HIDDEN,
        restarts::GAINED,
        restarts::LEFT,
        names::MOVED,
        names::GROWN,
        names::SECOND,
        truncation::EMPTIED,
        sockets::CONNECTED,
        sockets::OTHERS,
        sockets::ANY_NAME,
        supervisor::FIRST,
        supervisor::FILTERS,
        unread::WAYS,
        &supervisor::CROWDS,
        &supervisor::INSTANCES,
        supervisor::THREADS,
        supervisor::WITHOUT_SCOPE,
        sockets::ELSEWHERE,
        users::OTHER,
    ];
    let name = |act: &'static str| act.split('?').next().unwrap_or(act);
    let attacks = tables.into_iter().flatten().map(|attack| name(attack.forbidden.act));
    let scenarios = ACTS.iter().map(|forbidden| name(forbidden.act));
    let made: BTreeSet<&str> = attacks.chain(scenarios).chain(BY_THEMSELVES.iter().copied()).collect();
    let races = races::KINDS.iter().flat_map(|kinds| kinds.iter());
    let races: BTreeSet<&str> = races.chain(sockets::KINDS).copied().collect();

    // What stands in backticks in the column of reproducers.
    let cells =
        DOCUMENT.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").nth(1));
    let words = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: BTreeSet<&str> = words.collect();
    let missing: Vec<&&str> = made.iter().chain(&races).filter(|act| !named.contains(*act)).collect();
    let alone = ["race", "intrusion"];
    let missing: Vec<_> = missing.into_iter().filter(|act| !alone.contains(act)).collect();
    assert!(missing.is_empty(), "docs/attacks.md does not name {missing:?}");

    // The probe says what it can do; nothing else is an act.
    let said = Command::new(probe()).output().expect("the probe runs");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let acts: BTreeSet<&str> = said.split_whitespace().collect();
    let invented = named.iter().filter(|word| acts.contains(*word)).filter(|act| !made.contains(*act));
    let invented: Vec<&&str> = invented.collect();
    assert!(invented.is_empty(), "docs/attacks.md names what no test tries: {invented:?}");
}
