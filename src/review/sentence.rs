//! A permission in one plain sentence. Paths and names are the profile's: escape what is printed.

use std::fmt::Write;

use super::conditions::{RegisterTest, RegisterValues};
use super::permission::{LimitName, Permitted, ProgramKey};
use crate::profile::{
    AddressRule, ArgPattern, Endpoint, Mode, OnViolation, Ready, Rights, capability_word, endpoint_text,
};
use crate::syscalls;

/// The sentence for a permission, with a full stop.
pub fn sentence(what: &Permitted) -> String {
    match what {
        Permitted::Mode(Mode::Audit) => "Nothing is refused: what would be is only reported.".into(),
        Permitted::Mode(Mode::Learn) => "Nothing is refused: what the app does is recorded.".into(),
        Permitted::Mode(Mode::Off) => "Nothing is confined.".into(),
        Permitted::Mode(Mode::Enforce) => "What is not listed is refused.".into(),
        Permitted::Degrade => "The app starts also where the kernel cannot give all that the profile says.".into(),
        Permitted::GoOn(OnViolation::Deny) => "A process goes on after a violation: the call fails.".into(),
        Permitted::GoOn(_) => "The container goes on after a violation: the process is killed.".into(),
        Permitted::UnseenReads => "Reads that are refused are not reported.".into(),
        Permitted::UnseenSecrets => "Reads of secrets that are refused are not reported either.".into(),
        Permitted::RunAs(None) => "The app keeps the user and groups that the container is started with.".into(),
        Permitted::RunAs(Some(ids)) => {
            format!("The app runs as user {}, group {}, {}.", ids.user, ids.group, groups(&ids.groups))
        }
        Permitted::Capability(one) => format!("The app may have the capability {}.", capability_word(*one)),
        Permitted::Program(key) => format!("{} may be executed.", capital(&program(key))),
        Permitted::Entry(key) => format!("COMMAND may be {}.", program(key)),
        Permitted::Transition { from, to } => format!("{} may execute {}.", capital(&program(from)), program(to)),
        Permitted::Arguments(key, None) => format!("{} may be given any arguments.", capital(&program(key))),
        Permitted::Arguments(key, Some(list)) if list.is_empty() => {
            format!("{} may be started without arguments.", capital(&program(key)))
        }
        Permitted::Arguments(key, Some(list)) => {
            format!("{} may be given the arguments {}.", capital(&program(key)), arguments(list))
        }
        Permitted::Interpreter(key, path) => {
            format!("{} runs the script {}.", path.display(), program(key))
        }
        Permitted::Content(key, None) => {
            format!("{} may have whatever content it has at the start.", capital(&program(key)))
        }
        Permitted::Content(key, Some(digest)) => {
            format!("{} has to have the content sha256:{digest}.", capital(&program(key)))
        }
        Permitted::NotOfImage(key) => {
            format!("{} may be executed also where it did not come with the image.", capital(&program(key)))
        }
        Permitted::ProgramUser(key, None) => format!("{} may run as any user.", capital(&program(key))),
        Permitted::ProgramUser(key, Some(uid)) => format!("{} may run as user {uid}.", capital(&program(key))),
        Permitted::Instances(key, None) => {
            format!("{} may have any number of processes.", capital(&program(key)))
        }
        Permitted::Instances(key, Some(most)) => {
            format!("{} may have {most} processes at one time.", capital(&program(key)))
        }
        Permitted::Libraries(key, None) => {
            format!("{} may load code from every file that it may read.", capital(&program(key)))
        }
        Permitted::Libraries(key, Some(path)) => {
            format!("{} may load code from {}.", capital(&program(key)), path.display())
        }
        Permitted::File { path, right } => {
            let below = if path.parent().is_none() { "every file" } else { "" };
            let path = if below.is_empty() { format!("{} and all below it", path.display()) } else { below.to_owned() };
            file(*right, &path)
        }
        Permitted::Elsewhere(right) => {
            file(*right, "all that exists at the start, but programs, /proc, /sys and /dev")
        }
        Permitted::StandardFiles => {
            "The app may open again by name the files of its standard input, output and error.".into()
        }
        Permitted::NvidiaDevices => "The app may read, write and control the devices /dev/nvidia*.".into(),
        Permitted::EngineDevices => {
            "The app may use the devices that the engine passed in, and change data below directories of programs."
                .into()
        }
        Permitted::Listen(endpoint) => format!("The app may listen on {}.", socket(endpoint)),
        Permitted::Connect(endpoint) => format!("The app may connect to {}.", socket(endpoint)),
        Permitted::Call { call, alternatives, decided_by, startup_only } => {
            called(call, alternatives, *decided_by, *startup_only)
        }
        Permitted::StartupUntil(ready) => {
            let end = match ready {
                Ready::Listening => "it listens on what network.listen names".to_owned(),
                Ready::Notify => "it says READY=1 on NOTIFY_SOCKET".to_owned(),
                Ready::Delay(time) => format!("{} ms have passed", time.as_millis()),
            };
            format!("The app may make the calls of its start-up until {end}.")
        }
        Permitted::WriteExecute => "Memory may be writable and executable.".into(),
        Permitted::Limit(name, None) => match name {
            LimitName::Processes => "The number of processes is not limited.".into(),
            LimitName::OpenFiles => "The number of open files is limited as it was inherited.".into(),
            LimitName::FileSize => "The size of files is limited as it was inherited.".into(),
            LimitName::Core => "The app may ask for core dumps, as far as it inherited that.".into(),
        },
        Permitted::Limit(name, Some(most)) => match name {
            LimitName::Processes => format!("The app may have {most} processes at one time."),
            LimitName::OpenFiles => format!("A process may have {most} open files."),
            LimitName::FileSize => format!("A file that is written may have {most} bytes."),
            LimitName::Core => format!("A core dump may have {most} bytes."),
        },
        Permitted::KeepVariable(name) => {
            format!("Programs may get the variable {name} whatever it names.")
        }
        Permitted::PassVariable(name) => format!("Programs may get the variable {name}."),
    }
}

/// A program as a sentence has it.
pub(super) fn program(key: &ProgramKey) -> String {
    let path = key.path.display();
    match &key.applet {
        _ if key.beneath => format!("each program below {path}"),
        Some(applet) => format!("{path} as {applet}"),
        None => path.to_string(),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn groups(groups: &[crate::ids::Gid]) -> String {
    match groups {
        [] => "and no other groups".into(),
        [one] => format!("and group {one}"),
        _ => format!("and groups {}", crate::ids::list(groups)),
    }
}

fn file(right: Rights, path: &str) -> String {
    match right {
        Rights::READ => format!("The app may read {path}."),
        Rights::LIST => format!("The app may list the names in {path}."),
        Rights::WRITE => format!("The app may write {path}."),
        Rights::CREATE => format!("The app may make files and directories in {path}."),
        Rights::REMOVE => format!("The app may remove files and directories from {path}."),
        _ => format!("The app may control devices (ioctl) at {path}."),
    }
}

fn socket(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(rule) => format!("TCP {}", at(rule)),
        Endpoint::Udp(rule) => format!("UDP {}", at(rule)),
        Endpoint::Icmp => "hosts by ping (icmp)".into(),
        Endpoint::Netlink => "the kernel's lists of sockets and devices (netlink)".into(),
        Endpoint::UnixAny => "every unix socket".into(),
        Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_) => {
            format!("the unix socket {}", endpoint_text(endpoint).trim_start_matches("unix:"))
        }
    }
}

fn at(rule: &AddressRule) -> String {
    let ports = match rule.ports {
        (0, u16::MAX) => "any port".to_owned(),
        (first, last) if first == last => format!("port {first}"),
        (first, last) => format!("ports {first} to {last}"),
    };
    match rule.network {
        None => format!("{ports} of any address"),
        Some(network) if network.prefix_len() == network.max_prefix_len() => {
            format!("{ports} of {}", network.addr())
        }
        Some(network) => format!("{ports} of {network}"),
    }
}

fn arguments(list: &[ArgPattern]) -> String {
    let word = |one: &ArgPattern| match one {
        ArgPattern::Exact(text) => format!("{text:?}"),
        ArgPattern::Glob(pattern) => format!("matching {pattern:?}"),
        ArgPattern::Rest => "any more".to_owned(),
    };
    list.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn called(
    call: &str,
    alternatives: &[Vec<RegisterTest>],
    decided_by: Option<&'static str>,
    startup_only: bool,
) -> String {
    let mut text = format!("The app may call {call}");
    if let Some(class) = syscalls::class(call) {
        // Writing to a String cannot fail.
        let _ = write!(text, " ({})", class.about());
    }
    if !alternatives.iter().any(Vec::is_empty) {
        let each: Vec<String> = alternatives.iter().take(SHOWN).map(|one| conditions(one)).collect();
        let more = alternatives.len().saturating_sub(SHOWN);
        let _ = write!(text, " where {}", each.join(", or "));
        if more > 0 {
            let _ = write!(text, ", or {more} other sets of arguments");
        }
    }
    if let Some(section) = decided_by {
        let _ = write!(text, "; `{section}` decides on what");
    }
    if startup_only {
        text.push_str(", until start-up is over");
    }
    text.push('.');
    text
}

/// How many alternatives and values a sentence has.
const SHOWN: usize = 12;

/// Tests in words: `argument 1 is 0x5421`.
pub(super) fn conditions(tests: &[RegisterTest]) -> String {
    let each: Vec<String> = tests.iter().map(test).collect();
    each.join(" and ")
}

fn test(test: &RegisterTest) -> String {
    let list = |values: &std::collections::BTreeSet<u64>| {
        let shown: Vec<String> = values.iter().take(SHOWN).map(|value| format!("{value:#x}")).collect();
        let more = values.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" or {more} more") } else { String::new() };
        format!("{}{more}", shown.join(", "))
    };
    let arg = test.arg;
    match &test.values {
        RegisterValues::In(values) if values.len() == 1 => format!("argument {arg} is {}", list(values)),
        RegisterValues::In(values) => format!("argument {arg} is one of {}", list(values)),
        RegisterValues::NotIn(values) => format!("argument {arg} is none of {}", list(values)),
        RegisterValues::Masked { mask, equals } => format!("argument {arg} & {mask:#x} is {equals:#x}"),
        RegisterValues::NotMasked { mask, equals } => {
            format!("argument {arg} & {mask:#x} is not {equals:#x}")
        }
    }
}
