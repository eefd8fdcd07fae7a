//! One table of system calls: what it describes is decided and learned, and what is decided
//! by the name of a call it describes. Read from the text of `src`, so that a wildcard in a
//! match hides nothing. That the registers of each call can be decoded, the tests beside the
//! decoders see to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use remit::syscalls::{self, Arg, Handler};

/// Rooms that decide by no call: they read words of profiles, events and journals, of which
/// some are names of calls too.
const NOT_OF_CALLS: [&str; 11] = [
    "syscalls/",
    "profile/",
    "event/",
    "image/",
    "learn/",
    "doctor/",
    "sys/",
    "shim/",
    "exchange/",
    "incident/",
    "tool/events/",
];

/// Rights, files under /proc and file systems whose names are names of calls too.
const WORDS: [&str; 5] = ["read", "write", "stat", "sysfs", "bpf"];

/// What decides by the handler, and by which function.
const DECIDE: [(&str, &str); 4] = [
    ("the plan", "    pub(super) fn mediated(&self, call: &str)"),
    ("the filter of a learning run", "fn decided(syscall: &Syscall,"),
    ("the enforcer", "    fn decide_call(&mut self, call: &Call, caller: &Caller) -> Decision"),
    ("the recorder", "    pub fn of(call: &Call) -> Kind"),
];

#[test]
fn a_call_that_is_described_is_handled() {
    let sources = sources();
    for (part, function) in DECIDE {
        let bodies: Vec<&str> = sources.iter().filter_map(|(_, code)| body(code, function)).collect();
        let [body] = bodies[..] else { panic!("{part}: {} functions begin with `{function}`", bodies.len()) };
        let found = unhandled(body);
        assert!(found.is_empty(), "{part} says nothing of these: {found:?}");
    }
}

#[test]
fn a_call_that_is_decided_by_name_is_described() {
    let found = sources().into_iter().filter(|(file, _)| !is_left_out(file)).flat_map(|(file, code)| {
        let undescribed = compared(&code).filter(|call| !is_described(call));
        undescribed.map(|call| format!("{file}: {call}")).collect::<Vec<_>>()
    });
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "put into src/syscalls/table.rs how these are decided:\n{}", found.join("\n"));
}

#[test]
fn a_handler_that_is_not_named_is_found() {
    let code = "fn f() {}\n    fn g() {\n        Handler::Exec | Handler::Change(_)\n    }\n    fn h() { Handler::Open }\n";
    let found = unhandled(body(code, "    fn g(").expect("it is there"));
    assert!(!found.contains("execve") && !found.contains("renameat2"), "{found:?}");
    assert!(found.contains("openat") && found.contains("read"), "{found:?}");
    assert_eq!(body(code, "    fn x("), None);
}

#[test]
fn a_name_that_is_compared_is_found() {
    let found = |code| compared(code).collect::<Vec<_>>();
    assert_eq!(
        found(r#"match name { "getpid" | "gettid" if x => 1, "uname" => 2, _ => 3 }"#),
        ["getpid", "gettid", "uname"]
    );
    assert_eq!(found(r#"call.name == Some("brk") || name != "times""#), ["brk", "times"]);
    assert_eq!(found(r#"proc_text(pid, "stat"); number(arch, "sendmsg"); // "brk" =>"#), [""; 0]);
    assert!(is_described("openat") && is_described("kill") && is_described("fcntl"));
    assert!(!is_described("getpid"));
}

/// The code of every file of `src`, without its tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(&here).expect("src can be read").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("below src").to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.contains("tests") {
                let text = fs::read_to_string(&path).expect("a source file");
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                found.push((name, code));
            }
        }
    }
    found
}

/// The body of the function whose line begins so, up to the brace that is as far to the left.
fn body<'a>(code: &'a str, function: &str) -> Option<&'a str> {
    let from = code.find(&format!("\n{function}"))? + 1;
    let indent = &function[..function.len() - function.trim_start().len()];
    let length = code[from..].find(&format!("\n{indent}}}\n"))?;
    Some(&code[from..from + length])
}

/// Calls whose handler is not named.
fn unhandled(body: &str) -> BTreeSet<&'static str> {
    let is_named = |handler: Handler| {
        let debug = format!("{handler:?}");
        let variant = debug.split('(').next().unwrap_or_default();
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        body.split(&format!("Handler::{variant}")).skip(1).any(ends)
    };
    syscalls::all().filter(|call| !is_named(call.handler)).map(|call| call.name).collect()
}

fn is_left_out(file: &str) -> bool {
    NOT_OF_CALLS.iter().any(|room| file.starts_with(room))
}

/// Whether the table says how a call is decided: by which handler, or by which process.
fn is_described(call: &str) -> bool {
    let of_process =
        [Arg::Pid, Arg::Task, Arg::PriorityTarget, Arg::IopriorityTarget, Arg::Tgid, Arg::Pgid, Arg::Owner];
    syscalls::find(call).is_some_and(|syscall| {
        syscall.handler != Handler::Plain || syscall.args.iter().any(|arg| of_process.contains(arg))
    })
}

/// Names of calls that are patterns, or one side of a comparison.
fn compared(code: &str) -> impl Iterator<Item = &str> {
    code.lines().flat_map(|line| {
        let line = line.split("//").next().unwrap_or_default();
        let parts: Vec<&str> = line.split('"').collect();
        let literals = (1..parts.len()).step_by(2);
        literals
            .filter_map(|at| {
                let (before, word, after) = (parts[at - 1].trim_end(), parts[at], *parts.get(at + 1)?);
                let after = after.trim_start();
                let pattern = after.starts_with("=>") || after.starts_with("if ");
                let one_of = (after.starts_with('|') && !after.starts_with("||")) || before.ends_with('|');
                let compared = ["== ", "!= "].iter().any(|sign| {
                    before.ends_with(sign.trim_end()) || before.ends_with(&format!("{sign}Some("))
                });
                let is_call = syscalls::known(word).is_some() && !WORDS.contains(&word);
                (is_call && (pattern || one_of || compared)).then_some(word)
            })
            .collect::<Vec<_>>()
    })
}
