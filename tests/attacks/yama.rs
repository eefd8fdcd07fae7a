//! The bare machine once more, under Yama's ptrace scope 1, as Ubuntu has it: only who a
//! process descends from may trace it. Kernels of Debian's are booted for that
//! (tests/kernels), where `REMIT_KERNELS=1` asks for it; the older have less to hold with.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use remit::kernel::Arch;
use serde_json::{Value, json};

use crate::attack::{Attack, LOT};
use crate::injection::SIBLINGS;
use crate::machine::{self, Case, Machine, Ran};
use crate::programs::{INTERPRETED, UNLISTED};
use crate::site::{self, BUSYBOX};
use crate::supervisor::{FIRST, THREADS};
use crate::support::events::Events;
use crate::support::forbidden::{is_of, says, times};
use crate::support::{Place, probe, shim};
use crate::{elf, support};

/// The races, and what comes of each in which nothing was exchanged.
const RACES: &[(&str, &str)] = &[
    ("race?arg=path&arg=100&arg=alone", "exit 103"),
    ("race?arg=edge&arg=100&arg=alone", "exit 103"),
    ("race?arg=edge&arg=100&arg=threads", "exit 103"),
    ("race?arg=loader&arg=100&arg=storm", "exit 47"),
    ("race?arg=descriptor&arg=100&arg=alone", "exit 103"),
    ("race?arg=argument&arg=100&arg=alone", "exit 103"),
];

/// What Linux 6.3 brings: memfds that say whether they may be executed.
const SINCE_6_3: &[&str] = &["memfd-high"];

#[test]
fn a_parent_alone_may_trace_and_nothing_more_is_possible() {
    nothing_more_is_possible("trixie", &[]);
}

#[test]
fn on_linux_6_1_as_well() {
    nothing_more_is_possible("bookworm", &[SINCE_6_3]);
}

/// Without Landlock, and where every signal breaks the wait for an answer.
#[test]
fn on_linux_5_10_as_well() {
    nothing_more_is_possible("bullseye", &[SINCE_6_3]);
}

/// On the kernel of a suite, but for what this one lacks.
fn nothing_more_is_possible(suite: &str, lacking: &[&[&str]]) {
    // Emulated processors that wait for real ones trip over code that is patched at boot.
    static ONE_BY_ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((kernel, _)) = machine::kernel(Arch::THIS, suite, true) else { return };
    if !support::can_run(Place::UserNamespace, site::NEEDS) {
        return;
    }
    let there = |attack: &&Attack| !lacking.concat().contains(&attack.forbidden.act);
    let attacks = [UNLISTED, INTERPRETED, SIBLINGS, FIRST, THREADS].into_iter().flatten();
    let attacks: Vec<&Attack> = attacks.filter(there).collect();
    let lots: Vec<&[&Attack]> = attacks.chunks(LOT).collect();
    let act = |attack: &&Attack| attack.forbidden.act.to_owned();
    let mut cases = vec![case("scope", &[BUSYBOX, "cat", "/proc/sys/kernel/yama/ptrace_scope"], Vec::new())];
    for (index, lot) in lots.iter().enumerate() {
        cases.push(server(&format!("free {index}"), &["--mode", "off"], lot.iter().map(act).collect()));
        cases.push(server(
            &format!("confined {index}"),
            &["--profile", "/profile.json"],
            lot.iter().map(act).collect(),
        ));
    }
    let races: Vec<String> = RACES.iter().map(|(race, _)| (*race).to_owned()).collect();
    cases.push(server("free races", &["--mode", "off"], races.clone()));
    cases.push(server("confined races", &["--profile", "/profile.json"], races));
    // A race takes two.
    let machine = ground(&kernel).processors(2).with("sysctl.kernel.yama.ptrace_scope=1");
    let said = machine.boot(&cases, &["/probe".to_owned(), "exit".to_owned(), "0".to_owned()]);
    assert_eq!(said.ran("scope").out, ["1"], "the machine is not under Yama");

    let mut faults = Vec::new();
    for (index, lot) in lots.iter().enumerate() {
        let (free, confined) = (said.ran(&format!("free {index}")), said.ran(&format!("confined {index}")));
        let events = Events::read(&confined.err);
        for ((attack, free), confined) in lot.iter().zip(answers(free)).zip(answers(confined)) {
            faults.extend(fault(attack, &free.0, &confined.0, &events));
        }
        if confined.code != 143 {
            faults.push(format!("the app was not ended by TERM: {confined:#?}"));
        }
    }
    let (free, confined) = (said.ran("free races"), said.ran("confined races"));
    for (((race, honest), (_, free)), (_, confined)) in RACES.iter().zip(answers(free)).zip(answers(confined))
    {
        if times(&free, "exit 42") == 0 {
            faults.push(format!("control {race}: {free}"));
        }
        let lost = confined.split(", ").any(|part| part.starts_with("exit ") && !part.starts_with(honest));
        if lost || times(&confined, honest) == 0 {
            faults.push(format!("{race}: {confined}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is wrong with an attack, of which came this unconfined and that confined.
fn fault(attack: &Attack, free: &str, confined: &str, events: &Events) -> Option<String> {
    let forbidden = &attack.forbidden;
    let expected = attack.free(Place::UserNamespace);
    if free != expected {
        return Some(format!("control {}: expected {expected}, got {free}", forbidden.act));
    }
    if expected == "ok" && !forbidden.refused.contains(&confined) {
        return Some(format!("{}: expected {:?}, got {confined}", forbidden.act, forbidden.refused));
    }
    let mut violations = events.violations().into_iter();
    let is_reported = forbidden.kind.is_none()
        || expected != "ok"
        || violations.any(|event| is_of(event, forbidden) && says(event, confined));
    (!is_reported).then(|| format!("{}: {confined}, and no event of it", forbidden.act))
}

fn case(name: &str, command: &[&str], requests: Vec<String>) -> Case {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    let requests = requests.iter().map(|act| format!("/act/{act}")).collect();
    Case { name: name.to_owned(), command, requests, put_back: false }
}

fn server(name: &str, options: &[&str], acts: Vec<String>) -> Case {
    case(name, &[&["/remit-init"], options, &["--", "/probe", "serve", "8080"]].concat(), acts)
}

/// The word and the detail of each answer; empty where none came.
fn answers(ran: &Ran) -> Vec<(String, String)> {
    let word = |answer: &Value, key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let read = |answer: &String| serde_json::from_str::<Value>(answer).unwrap_or_default();
    ran.answers.iter().map(read).map(|answer| (word(&answer, "result"), word(&answer, "detail"))).collect()
}

/// What the attacks of the other places find there, on a machine of its own.
fn ground(kernel: &Path) -> Machine {
    let mut machine = Machine::new(Arch::THIS, kernel, probe());
    machine.copy(shim(), "/remit-init").copy(probe(), "/probe");
    // Static, as the machine has few libraries.
    machine.copy(BUSYBOX, BUSYBOX).copy(BUSYBOX, "/bin/sh").link("/bin/true", "busybox");
    machine.file("/srv/good", elf::tells()).link("/srv/load", site::LOADER);
    machine.file("/srv/evil", elf::exits()).file("/srv/edge", elf::exits());
    for name in ["victim", "lib/libspare.so"] {
        machine.copy(site::victim().join(name), &format!("/srv/{name}"));
    }
    machine.copy(site::LOADER, site::LOADER);
    machine.file("/app/good", elf::tells()).file("/app/evil", elf::exits());
    machine.file("/app/waits", elf::waits()).file("/app/replaced", elf::tells());
    machine.file("/app/job.sh", "#!/bin/sh\nexit 7\n").file("/app/loot/empty", "").file("/etc/passwd", "");
    let mut profile = site::profile();
    profile["fallback"] = json!("degrade");
    profile["programs"][1]["args"] = json!([["g"], ["/srv/evil"]]);
    machine.file("/profile.json", profile.to_string());
    machine
}
