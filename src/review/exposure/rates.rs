//! How bad a row of the table is for a profile, and which entries make it so.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Rating, WORST};
use crate::profile::{AddressRule, ArgPattern, Capability, Endpoint, Entry, Program, ProgramPlace, Rights};
use crate::review::calls::AllowedCall;
use crate::review::files::CHANGING;
use crate::review::input::ReviewInput;
use crate::review::known::{KnownProgram, known};
use crate::review::network;
use crate::review::permission::Permitted;

/// Half as bad.
pub(super) const HALF: u32 = WORST / 2;
/// More ports than a service has.
pub(super) const MANY_PORTS: u32 = 16;

pub(super) fn when(bad: bool, at: &str) -> Rating {
    if bad { Rating::of(WORST, at) } else { Rating::GOOD }
}

/// The share of these capabilities.
pub(super) fn capabilities(input: &ReviewInput, all: &[Capability]) -> Rating {
    let listed = input.profile.capabilities.iter().enumerate();
    let mut found: BTreeSet<u8> = BTreeSet::new();
    let mut at = Vec::new();
    for (index, entry) in listed.filter(|(_, entry)| all.contains(&entry.what)) {
        found.insert(entry.what.index());
        at.push(format!("/capabilities/{index}"));
    }
    let share = (found.len() * WORST as usize).div_ceil(all.len().max(1));
    Rating { badness: share as u32, at }
}

/// One of these capabilities is as bad as all.
pub(super) fn some_capability(input: &ReviewInput, all: &[Capability]) -> Rating {
    let found = capabilities(input, all);
    Rating { badness: if found.badness > 0 { WORST } else { 0 }, ..found }
}

pub(super) fn each_program(input: &ReviewInput, badness: impl Fn(&Program) -> u32) -> Rating {
    let programs = input.profile.programs.iter().enumerate();
    Rating::worst(programs.map(|(index, program)| Rating::of(badness(program), format!("/programs/{index}"))))
}

/// Programs of these kinds; half as bad where their arguments are listed. A directory has them all.
pub(super) fn tools(input: &ReviewInput, kinds: &[KnownProgram]) -> Rating {
    each_program(input, |program| match &program.place {
        ProgramPlace::Beneath(_) => WORST,
        ProgramPlace::Path(path) => {
            let kind = known(path, program.applet.as_deref());
            match kind.is_some_and(|kind| kinds.contains(&kind)) {
                false => 0,
                true if program.args.as_deref().is_some_and(are_exact) => HALF,
                true => WORST,
            }
        }
    })
}

/// Whether every list of arguments is of exact ones.
pub(super) fn are_exact(lists: &[Vec<ArgPattern>]) -> bool {
    lists.iter().flatten().all(|one| matches!(one, ArgPattern::Exact(_)))
}

/// How many programs are executed by others: a directory counts as all.
pub(super) fn spawn(input: &ReviewInput) -> Rating {
    let keys = input.programs.keys();
    let mut targets = BTreeSet::new();
    let mut at = BTreeSet::new();
    let mut any = false;
    for (what, pointer, _) in input.programs.permissions(&keys) {
        if let Permitted::Transition { to, .. } = what {
            any |= to.beneath;
            // One file, however many of its applets are listed.
            targets.insert(to.path);
            at.insert(pointer);
        }
    }
    let count = targets.len();
    let badness = match count {
        0 => 0,
        _ if any => WORST,
        1 => 2,
        2..=4 => 4,
        5..=16 => 6,
        _ => 8,
    };
    Rating { badness, at: at.into_iter().collect() }
}

/// Calls that may be made throughout.
pub(super) fn lasting_calls(input: &ReviewInput, names: &[&str]) -> Rating {
    let lasting = |one: &&AllowedCall| !one.startup_only;
    let found = names.iter().flat_map(|name| input.calls.named(name).filter(lasting));
    Rating::worst(found.map(|one| Rating::of(WORST, one.pointer.clone())))
}

/// Calls; half as bad where they are for the start-up alone, or need a capability that is not listed.
pub(super) fn calls(input: &ReviewInput, names: &[&str]) -> Rating {
    Rating::worst(names.iter().flat_map(|name| input.calls.named(name)).map(|one| call(input, one)))
}

pub(super) fn call(input: &ReviewInput, one: &AllowedCall) -> Rating {
    let needed = crate::syscalls::refused_without(one.call);
    let lacks =
        needed.is_some_and(|needed| input.profile.capabilities.iter().all(|entry| entry.what != needed));
    Rating::of(if one.startup_only || lacks { HALF } else { WORST }, one.pointer.clone())
}

/// A call with one of these values of an argument.
pub(super) fn arguments(input: &ReviewInput, name: &str, arg: u8, values: &[u64]) -> Rating {
    let may = |one: &&AllowedCall| {
        let test = |value: &u64| {
            one.alternatives
                .iter()
                .any(|all| all.iter().all(|test| test.arg != arg || test.values.has(*value)))
        };
        one.decided_by.is_none() && values.iter().any(test)
    };
    Rating::worst(input.calls.named(name).filter(may).map(|one| call(input, one)))
}

/// The number of dangerous calls that other rows do not have.
pub(super) fn exploits(input: &ReviewInput) -> Rating {
    const ALL: [&str; 20] = [
        "add_key",
        "request_key",
        "keyctl",
        "userfaultfd",
        "perf_event_open",
        "modify_ldt",
        "vmsplice",
        "msgsnd",
        "semctl",
        "move_pages",
        "migrate_pages",
        "process_madvise",
        "kcmp",
        "fanotify_init",
        "open_by_handle_at",
        "name_to_handle_at",
        "uselib",
        "syslog",
        "lookup_dcookie",
        "personality",
    ];
    let found: Vec<&AllowedCall> = ALL
        .iter()
        .flat_map(|name| input.calls.named(name).next())
        .filter(|one| one.call != "personality" || input.calls.may("personality", 0, 0x40_0000))
        .collect();
    let badness = match found.len() {
        0 => 0,
        1..=2 => 4,
        3..=5 => 6,
        6..=9 => 8,
        _ => WORST,
    };
    Rating { badness, at: found.into_iter().map(|one| one.pointer.clone()).collect() }
}

/// The pointers of permissions on files.
pub(super) fn of_files(input: &ReviewInput, badness: u32, is_it: impl Fn(&Permitted) -> bool) -> Rating {
    let found = input.files.permissions(&[]).into_iter().filter(|((what, ..), _)| is_it(what));
    Rating::worst(found.map(|((_, pointer, _), _)| Rating::of(badness, pointer)))
}

/// The pointers of what grants some of these rights on a path, above or below it.
pub(super) fn of_paths(input: &ReviewInput, badness: u32, at: &str, rights: Rights) -> Rating {
    let at = Path::new(at);
    of_files(input, badness, |what| match what {
        Permitted::File { path, right } => {
            rights.contains(*right) && (path.starts_with(at) || at.starts_with(path))
        }
        Permitted::Elsewhere(right) => rights.contains(*right),
        _ => false,
    })
}

pub(super) fn reads(input: &ReviewInput, path: &str, badness: u32) -> Rating {
    match input.files.rights(Path::new(path)).contains(Rights::READ) {
        true => of_paths(input, badness, path, Rights::READ),
        false => Rating::GOOD,
    }
}

pub(super) fn changes_below(input: &ReviewInput, places: &[&str]) -> Rating {
    Rating::worst(places.iter().map(|path| {
        match input.files.rights_below(Path::new(path)).intersects(CHANGING) {
            true => of_paths(input, WORST, path, CHANGING),
            false => Rating::GOOD,
        }
    }))
}

/// What does not outlive the container, or has no content.
const PASSING: [&str; 6] = ["/tmp", "/var/tmp", "/run", "/var/run", "/dev", "/proc/self"];

pub(super) fn change_files(input: &ReviewInput) -> Rating {
    let found = input.files.permissions(&[]);
    Rating::worst(found.into_iter().map(|((what, pointer, _), _)| match what {
        Permitted::Elsewhere(right) if CHANGING.contains(right) => Rating::of(WORST, pointer),
        Permitted::File { path, right }
            if CHANGING.contains(right) && !PASSING.iter().any(|place| path.starts_with(place)) =>
        {
            let badness = match path.components().count() {
                0..=1 => WORST,
                2 => 8,
                3 => 4,
                _ => 2,
            };
            Rating::of(badness, pointer)
        }
        _ => Rating::GOOD,
    }))
}

/// Devices without data of their own, and terminals.
const PLAIN: [&str; 10] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/pts",
    "/dev/ptmx",
    "/dev/shm",
    "/dev/mqueue",
];

pub(super) fn devices(input: &ReviewInput) -> Rating {
    of_files(input, WORST, |what| match what {
        Permitted::File { path, .. } => {
            Path::new("/dev").starts_with(path)
                || (path.starts_with("/dev") && !PLAIN.iter().any(|plain| path.starts_with(plain)))
        }
        Permitted::NvidiaDevices | Permitted::EngineDevices => true,
        _ => false,
    })
}

pub(super) fn tcp(list: &[Entry<Endpoint>], side: &str) -> Vec<(AddressRule, String)> {
    let rule = |(index, entry): (usize, &Entry<Endpoint>)| match &entry.what {
        Endpoint::Tcp(rule) => Some((rule.clone(), format!("/network/{side}/{index}"))),
        _ => None,
    };
    list.iter().enumerate().filter_map(rule).collect()
}

pub(super) fn connect_out(input: &ReviewInput) -> Rating {
    let mut rules = tcp(&input.profile.network.connect, "connect");
    let open = network::open_ports(rules.iter().map(|(rule, _)| rule));
    rules.retain(|(rule, _)| !network::is_loopback(rule));
    let datagrams = endpoints(input, |endpoint| match endpoint {
        Endpoint::Udp(_) => WORST,
        Endpoint::Icmp => 2,
        _ => 0,
    });
    let badness = match open {
        _ if rules.is_empty() => 0,
        0 => 2,
        1..=MANY_PORTS => HALF,
        _ => WORST,
    };
    Rating { badness, at: rules.into_iter().map(|(_, at)| at).collect() }.worse(datagrams)
}

/// The endpoints of both sides: a socket of such a kind is made for either.
pub(super) fn endpoints(input: &ReviewInput, badness: impl Fn(&Endpoint) -> u32) -> Rating {
    let network = &input.profile.network;
    let sides = [("listen", &network.listen), ("connect", &network.connect)];
    let each = sides.into_iter().flat_map(|(side, list)| {
        list.iter().enumerate().map(move |(index, entry)| (format!("/network/{side}/{index}"), &entry.what))
    });
    Rating::worst(each.map(|(at, endpoint)| Rating::of(badness(endpoint), at)))
}

pub(super) fn raw_sockets(input: &ReviewInput) -> Rating {
    let capability = capabilities(input, &[Capability::CAP_NET_RAW]);
    let call = crate::review::attacks::raw_sockets(input);
    let pointer = |one: &AllowedCall| one.pointer.clone();
    let of_call = Rating::worst(call.into_iter().map(|one| Rating::of(HALF, pointer(one))));
    match (capability.badness > 0, of_call.badness > 0) {
        (true, true) => Rating { badness: WORST, at: [capability.at, of_call.at].concat() },
        (true, false) => Rating { badness: HALF, ..capability },
        (false, _) => of_call,
    }
}
