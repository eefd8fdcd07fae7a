//! The kernel's words for what a plan holds, as both printed forms have them.

use landlock::{AccessFs, AccessNet, BitFlags};

use crate::filter::Access;
use crate::profile::ArgPattern;
use crate::syscalls::{Condition, Test};

/// Rights on paths, in the kernel's order (linux/landlock.h).
pub(super) fn rights(rights: BitFlags<AccessFs>) -> Vec<&'static str> {
    const NAMES: [(AccessFs, &str); 17] = [
        (AccessFs::Execute, "EXECUTE"),
        (AccessFs::WriteFile, "WRITE_FILE"),
        (AccessFs::ReadFile, "READ_FILE"),
        (AccessFs::ReadDir, "READ_DIR"),
        (AccessFs::RemoveDir, "REMOVE_DIR"),
        (AccessFs::RemoveFile, "REMOVE_FILE"),
        (AccessFs::MakeChar, "MAKE_CHAR"),
        (AccessFs::MakeDir, "MAKE_DIR"),
        (AccessFs::MakeReg, "MAKE_REG"),
        (AccessFs::MakeSock, "MAKE_SOCK"),
        (AccessFs::MakeFifo, "MAKE_FIFO"),
        (AccessFs::MakeBlock, "MAKE_BLOCK"),
        (AccessFs::MakeSym, "MAKE_SYM"),
        (AccessFs::Refer, "REFER"),
        (AccessFs::Truncate, "TRUNCATE"),
        (AccessFs::IoctlDev, "IOCTL_DEV"),
        (AccessFs::ResolveUnix, "RESOLVE_UNIX"),
    ];
    NAMES.into_iter().filter(|(right, _)| rights.contains(*right)).map(|(_, name)| name).collect()
}

/// The paths of some derived files, `and` before the last.
pub(super) fn listed(files: &[&super::Derived]) -> String {
    let mut paths = std::collections::BTreeSet::new();
    paths.extend(files.iter().map(|derived| derived.path.display().to_string()));
    let paths: Vec<_> = paths.into_iter().collect();
    match &paths[..] {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        all => all.join(""),
    }
}

/// One position of an argument list.
pub(super) fn argument(pattern: &ArgPattern) -> String {
    match pattern {
        ArgPattern::Exact(text) => match ArgPattern::escaped(text) {
            Some(pattern) => format!("glob:{pattern}"),
            None => text.clone(),
        },
        ArgPattern::Glob(text) => format!("glob:{text}"),
        ArgPattern::Rest => "...".to_owned(),
    }
}

/// Rights on TCP ports.
pub(super) fn ports(rights: BitFlags<AccessNet>) -> Vec<&'static str> {
    [(AccessNet::BindTcp, "BIND_TCP"), (AccessNet::ConnectTcp, "CONNECT_TCP")]
        .into_iter()
        .filter(|(right, _)| rights.contains(*right))
        .map(|(_, name)| name)
        .collect()
}

/// Why a call is not simply allowed: its alternatives, or that it is notified.
pub(super) fn rule(access: &Access) -> Option<String> {
    match access {
        Access::Allow | Access::Notify => None,
        Access::When(alternatives) => {
            let all: Vec<_> = alternatives.iter().map(|one| conjunction(one)).collect();
            Some(all.join(", or "))
        }
    }
}

/// A call that is taken away, and for which arguments.
pub(super) fn taken(call: &str, when: &[Vec<Condition>]) -> String {
    if when.iter().any(Vec::is_empty) {
        return call.to_owned();
    }
    let all: Vec<_> = when.iter().map(|one| conjunction(one)).collect();
    format!("{call} ({})", all.join(", or "))
}

fn conjunction(conditions: &[Condition]) -> String {
    let all: Vec<_> = conditions.iter().map(condition).collect();
    all.join(" and ")
}

fn condition(condition: &Condition) -> String {
    let list = |values: &[u64]| {
        let all: Vec<_> = values.iter().map(|value| number(*value)).collect();
        all.join(" ")
    };
    let arg = condition.arg;
    match &condition.test {
        Test::In(values) if values.len() == 1 => format!("arg {arg} is {}", list(values)),
        Test::In(values) => format!("arg {arg} in {}", list(values)),
        Test::NotIn(values) => format!("arg {arg} not in {}", list(values)),
        Test::Masked { mask, equals } => format!("arg {arg} & {} = {}", number(*mask), number(*equals)),
    }
}

/// Small numbers as people know them, others as the kernel's headers write them.
fn number(value: u64) -> String {
    if value < 10 { value.to_string() } else { format!("{value:#x}") }
}

/// Port numbers, with runs drawn together: `80`, `8000-8999`.
pub(super) fn runs(ports: impl Iterator<Item = u16>) -> Vec<String> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
            _ => runs.push((port, port)),
        }
    }
    let text = |(first, last): (u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.into_iter().map(text).collect()
}
