//! Debian's kernels, booted: what `remit plan --kernel` predicts of each is what the
//! shim does there, and what it reports as enforced is enforced.
//!
//! It runs on demand, `REMIT_KERNELS=1` being set, with the kernels that `.ci/kernels`
//! has fetched.

#[path = "../scenarios/acts.rs"]
#[allow(dead_code)]
mod acts;
mod learned;
#[allow(dead_code)]
mod machine;
mod prediction;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod support;

use std::path::{Path, PathBuf};

use acts::ACTS;
use machine::{Case, Machine, Ran, Said, target};
use prediction::{Lack, Prediction};
use remit::kernel::{Arch, Release};
use serde_json::{Value, json};
use support::events::Events;
use support::forbidden::{Forbidden, is_of, says};

/// No Landlock, and no descriptor handed over as an answer: the supervisor holds all.
#[test]
fn linux_5_10() {
    holds_as_predicted(Arch::THIS, "bullseye", Release::new(5, 10));
}

/// Landlock without TCP ports, which the supervisor holds.
#[test]
fn linux_6_1() {
    holds_as_predicted(Arch::THIS, "bookworm", Release::new(6, 1));
}

/// Landlock with ports and with the scope of signals.
#[test]
fn linux_6_12() {
    holds_as_predicted(Arch::THIS, "trixie", Release::new(6, 12));
}

/// Whatever Debian builds last.
#[test]
fn the_newest() {
    holds_as_predicted(Arch::THIS, "trixie-backports", Release::new(6, 12));
}

/// The other architecture's kernels, with what `.ci/cross` has built for it.
mod aarch64 {
    use super::*;

    #[test]
    fn linux_5_10() {
        holds_as_predicted(Arch::Aarch64, "bullseye", Release::new(5, 10));
    }

    #[test]
    fn linux_6_1() {
        holds_as_predicted(Arch::Aarch64, "bookworm", Release::new(6, 1));
    }

    #[test]
    fn linux_6_12() {
        holds_as_predicted(Arch::Aarch64, "trixie", Release::new(6, 12));
    }
}

/// A kernel that has Landlock, booted without it: no release tells that.
#[test]
fn landlock_switched_off() {
    let Some((kernel, release)) = kernel(Arch::THIS, "trixie") else { return };
    let said = boot(machine(Arch::THIS, &kernel).with("lsm=capability"));
    let reported = Prediction::from(said.ran("plan"));
    let off = |lack: &Lack| lack.needs.contains("switched on at boot") && lack.required;
    assert!(!reported.starts && reported.lacking().iter().any(off), "it tells nothing of Landlock");
    is_what_happened(&reported, &said, release);
}

/// The kernel of a suite, where the programs for it are there.
fn kernel(arch: Arch, suite: &str) -> Option<(PathBuf, Release)> {
    machine::kernel(arch, suite, cross_shim().exists() && cross().join("remit").exists())
}

/// What comes of an act that nothing confines: of the few that fail, for want of what
/// they would need.
fn control(act: &str, release: Release) -> &'static str {
    match act.split('?').next().unwrap_or(act) {
        "x32" => "ENOSYS",
        "unix-connect" => "ENOENT",
        "open-by-handle" => "ESTALE",
        "terminal-push" | "terminal-push-high" => "ENOTTY",
        "mptcp" if release < Release::new(6, 1) => "EPROTONOSUPPORT",
        "userfaultfd" if release < Release::new(5, 11) => "EINVAL",
        _ => "ok",
    }
}

/// A server with a folder and a file of its own, and nothing else.
fn profile(fallback: &str) -> Value {
    json!({
        "remit": 1,
        "name": "attacked",
        "fallback": fallback,
        "programs": [{ "path": "/probe", "entry": true }],
        "files": [
            "@runtime",
            { "path": "/tmp", "allow": ["read", "write", "create", "remove"] },
            { "path": "/var/own", "allow": ["write", "create"] }
        ],
        "network": { "listen": ["tcp/8080"] }
    })
}

fn holds_as_predicted(arch: Arch, suite: &str, oldest: Release) {
    let Some((kernel, release)) = kernel(arch, suite) else { return };
    assert!(release >= oldest, "{} is older than {oldest}", kernel.display());
    let machine = machine(arch, &kernel);
    let predicted = Prediction::of(&machine, release);
    let said = boot(machine);
    predicted.is_what_the_tool_says(said.ran("plan"));
    is_what_happened(&predicted, &said, release);
}

/// A server under the profile of [`profile`], made a little different.
struct Server {
    name: &'static str,
    change: fn(&mut Value),
    /// What each act comes to; nothing where no answer comes.
    acts: &'static [(&'static str, &'static str)],
    /// The shim's exit code; 143 where the server was ended by TERM.
    code: i64,
}

const SERVERS: &[Server] = &[
    // The supervisor holds reads where the kernel does not.
    Server {
        name: "watched",
        change: |profile| profile["watch"] = json!(["reads"]),
        acts: &[("read?arg=/srv/data", "EACCES"), ("read?arg=/etc/shadow", "EACCES")],
        code: 143,
    },
    // A file that may be made, and is not there when the rules are.
    Server {
        name: "made",
        change: |_| {},
        acts: &[
            ("create?arg=/var/own", "ok"),
            ("append?arg=/var/own", "ok"),
            ("create?arg=/var/sibling", "EACCES"),
        ],
        code: 143,
    },
    Server {
        name: "limited",
        change: |profile| profile["limits"] = json!({ "processes": 20 }),
        acts: &[("forks?arg=50", "EAGAIN"), ("forks?arg=10", "ok"), ("threads?arg=40", "ok")],
        code: 143,
    },
    // The supervisor looks into another user's process without CAP_SYS_PTRACE.
    Server {
        name: "another-user",
        change: |profile| {
            profile["capabilities"] = json!(["setgid", "setuid"]);
            profile["syscalls"] = json!({ "allow": ["@core", "setresgid", "setresuid"] });
            profile["programs"][0]["may_run"] = json!(["/probe"]);
        },
        acts: &[
            ("exec-as?arg=33&arg=/probe&arg=exit&arg=3", "ok"),
            ("exec-as?arg=33&arg=/bin/sh&arg=-c&arg=:", "EACCES"),
        ],
        code: 143,
    },
    // What cannot be read hands out itself what a call needs.
    Server {
        name: "unread",
        change: |profile| {
            profile["capabilities"] = json!(["setgid", "setuid"]);
            let calls = ["@core", "chdir", "sched_setscheduler", "setresgid", "setresuid"];
            profile["syscalls"] = json!({ "allow": calls });
            profile["files"][2] = json!({ "path": "/var/own", "allow": ["write", "create", "remove"] });
        },
        acts: &[
            // Another server's.
            ("unread?arg=relative&arg=unlink&arg=/var/own", "ok"),
            ("unread?arg=relative&arg=create&arg=/var/own", "ok"),
            ("unread?arg=undumpable&arg=append&arg=/var/own", "ok"),
            ("unread?arg=thread&arg=append&arg=/var/own", "ok"),
            ("unread?arg=forked&arg=append&arg=/var/own", "ok"),
            ("unread?arg=relative&arg=append&arg=/var/own", "ok"),
            ("unread?arg=forked&arg=interrupted&arg=caught&arg=append&arg=/var/own", "ok"),
            ("unread?arg=forked&arg=interrupted&arg=last&arg=append&arg=/var/own", "ok"),
            ("unread?arg=forked&arg=interrupted&arg=stopped&arg=append&arg=/var/own", "ok"),
            ("unread?arg=forked&arg=interrupted&arg=caught&arg=bind&arg=8080", "EADDRINUSE"),
            ("unread?arg=undumpable&arg=unlink&arg=/var/own", "ok"),
            ("unread?arg=forked&arg=create&arg=/var/own", "ok"),
            ("unread?arg=undumpable&arg=write&arg=/var/other", "EACCES"),
            ("unread?arg=relative&arg=create&arg=/var/relative", "EACCES"),
            ("unread?arg=thread&arg=unlink&arg=/var/other", "EACCES"),
            ("unread?arg=forked&arg=mkdir&arg=/var/forked", "EACCES"),
            ("unread?arg=user&arg=connect&arg=127.0.0.1&arg=8080", "EACCES"),
            ("unread?arg=undumpable&arg=bind&arg=4444", "EACCES"),
            ("unread?arg=forked&arg=connect&arg=127.0.0.1&arg=8080", "EACCES"),
            ("unread?arg=forked&arg=exec&arg=/bin/sh&arg=-c&arg=:", "EACCES"),
        ],
        code: 143,
    },
    Server {
        name: "audited",
        change: |profile| profile["mode"] = "audit".into(),
        acts: &[
            ("exec?arg=/bin/sh&arg=-c&arg=:", "ok"),
            ("read?arg=/srv/data", "ok"),
            ("bind?arg=4444", "ok"),
        ],
        code: 143,
    },
    Server {
        name: "killed",
        change: |profile| profile["on_violation"] = "kill".into(),
        acts: &[("bind?arg=4444", "SIGKILL"), ("nothing", "ok")],
        code: 143,
    },
    Server {
        name: "stopped",
        change: |profile| profile["on_violation"] = "stop".into(),
        acts: &[("bind?arg=4444", "")],
        code: 137,
    },
];

/// All that the machine did is what was predicted.
fn is_what_happened(predicted: &Prediction, said: &Said, release: Release) {
    predicted.is_what_a_refusal_says(said.ran("refuse"));
    assert_eq!(said.last, Some(7), "the app's own code, printed by the machine's first process");
    let mut wrong = Vec::new();
    for lot in 0..LOTS {
        let (free, confined) = (said.ran(&format!("free {lot}")), said.ran(&format!("confined {lot}")));
        predicted.is_what_the_start_says(confined);
        assert_eq!((free.code, confined.code), (143, 143), "{confined:#?}");
        for ((forbidden, free), result) in lot_of(said.arch, lot).zip(results(free)).zip(results(confined)) {
            let expected = control(forbidden.act, release);
            if free != expected {
                wrong.push(format!("control {}: expected {expected}, got {free}", forbidden.act));
            }
            wrong.extend(fault(forbidden, predicted, &result, confined));
        }
    }
    for Server { name, acts, code, .. } in SERVERS {
        let ran = said.ran(name);
        let (expected, came): (Vec<_>, _) = (acts.iter().map(|(_, word)| *word).collect(), results(ran));
        if expected != came || ran.code != *code {
            wrong.push(format!("{name}: expected {expected:?} and {code}, got {came:?}: {ran:#?}"));
        }
    }
    let unread = Events::read(&said.ran("unread").err);
    for event in unread.violations().iter().filter(|event| event["object"]["name"] == "unreadable") {
        wrong.push(format!("what was handed out is reported, not that it cannot be read: {event}"));
    }
    let audited = Events::read(&said.ran("audited").err);
    let observed = audited.violations().iter().filter(|event| event["action"] == "observed").count();
    if observed < 3 || observed != audited.violations().len() {
        wrong.push(format!("audit observes each: {audited:#?}"));
    }
    for (name, out) in [("orphans", "orphans 20 unreaped 0"), ("shell", "10")] {
        if name == "shell" && said.arch != Arch::THIS {
            continue;
        }
        let ran = said.ran(name);
        if ran.code != 0 || ran.out != [out] || !Events::read(&ran.err).violations().is_empty() {
            wrong.push(format!("{name}: expected `{out}` and nothing refused: {ran:#?}"));
        }
    }
    assert!(wrong.is_empty(), "Linux {release}:\n{}", wrong.join("\n"));
}

/// What is wrong with how a confined act ended, if anything is: it was not refused, or
/// was not seen.
fn fault(forbidden: &Forbidden, predicted: &Prediction, result: &str, ran: &Ran) -> Option<String> {
    let act = forbidden.act;
    if act.starts_with("read?") && predicted.reads_are_free() {
        return (result != "ok").then(|| format!("{act}: predicted not to be confined, and yet {result}"));
    }
    if !forbidden.refused.contains(&result) {
        return Some(format!("{act}: expected {:?}, got {result}", forbidden.refused));
    }
    let kind = forbidden.kind?;
    let events = Events::read(&ran.err);
    let seen = events.violations().into_iter().any(|event| is_of(event, forbidden) && says(event, result));
    (!seen).then(|| format!("{act}: {result}, and no {kind} event of `{}`", forbidden.object))
}

/// The word of each answer; empty where none came.
fn results(ran: &Ran) -> Vec<String> {
    let word = |answer: &String| -> Option<String> {
        serde_json::from_str::<Value>(answer).ok()?["result"].as_str().map(str::to_owned)
    };
    ran.answers.iter().map(|answer| word(answer).unwrap_or_default()).collect()
}

/// A pair of program and rule has ten events of its own before they are counted
/// together: few acts a case, of many kinds.
const LOTS: usize = 5;

/// The acts of a lot that an architecture has.
fn lot_of(arch: Arch, lot: usize) -> impl Iterator<Item = &'static Forbidden> {
    let acts = ACTS.iter().enumerate().filter(move |(index, _)| index % LOTS == lot).map(|(_, act)| act);
    acts.filter(move |forbidden| arch == Arch::X86_64 || !["i386", "x32"].contains(&forbidden.act))
}

/// Where the other architecture's programs are built.
fn cross() -> PathBuf {
    target().join("aarch64-unknown-linux-gnu/debug")
}

/// Its shim, as it is released.
fn cross_shim() -> PathBuf {
    target().join("aarch64-unknown-linux-gnu/release/remit-init")
}

/// The shim, the tool and the attacker, who finds there what they look for.
fn machine(arch: Arch, kernel: &Path) -> Machine {
    let here = arch == Arch::THIS;
    let built = |name: &str, ours: &str| if here { PathBuf::from(ours) } else { cross().join(name) };
    let probe = if here { support::probe().to_owned() } else { cross().join("examples/probe") };
    let mut machine = Machine::new(arch, kernel, &probe);
    let shim = if here { support::shim().to_owned() } else { cross_shim() };
    machine.program(&shim, "/remit-init");
    machine.program(&built("remit", env!("CARGO_BIN_EXE_remit")), "/remit").copy(&probe, "/probe");
    // Where this machine has none of that kind, any program is one that is not listed.
    let (shell, loader) = match arch {
        _ if !here => (probe.as_path(), probe.as_path()),
        Arch::X86_64 => (Path::new("/bin/busybox"), Path::new("/lib64/ld-linux-x86-64.so.2")),
        Arch::Aarch64 => (Path::new("/bin/busybox"), Path::new("/lib/ld-linux-aarch64.so.1")),
    };
    for name in ["/bin/busybox", "/bin/sh"] {
        machine.copy(shell, name);
    }
    for name in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"] {
        machine.copy(loader, name);
    }
    machine.file("/etc/passwd", "root:x:0:0::/:/bin/sh\n").file("/etc/shadow", "root:*::0:::::\n");
    machine.file("/var/other", "");
    for Server { name, change, .. } in SERVERS {
        let mut changed = profile("degrade");
        change(&mut changed);
        machine.file(&format!("/profiles/{name}.json"), changed.to_string());
    }
    for fallback in ["refuse", "degrade"] {
        machine.file(&format!("/profiles/{fallback}.json"), profile(fallback).to_string());
    }
    machine
}

/// Runs every case there, and ends with the shim as the machine's first process.
fn boot(machine: Machine) -> Said {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let case = |name: &str, command: &str| Case {
        name: name.to_owned(),
        command: words(command),
        requests: Vec::new(),
        put_back: true,
    };
    let mut cases = vec![
        case("plan", "/remit plan /profiles/refuse.json --format json"),
        case("refuse", "/remit-init --profile /profiles/refuse.json -- /probe exit 0"),
    ];
    for lot in 0..LOTS {
        let requests: Vec<String> =
            lot_of(machine.arch, lot).map(|forbidden| format!("/act/{}", forbidden.act)).collect();
        for (name, options) in [("free", "--mode off"), ("confined", "--profile /profiles/degrade.json")] {
            let server =
                case(&format!("{name} {lot}"), &format!("/remit-init {options} -- /probe serve 8080"));
            cases.push(Case { requests: requests.clone(), ..server });
        }
    }
    for Server { name, acts, .. } in SERVERS {
        let server = case(name, &format!("/remit-init --profile /profiles/{name}.json -- /probe serve 8080"));
        cases.push(Case { requests: acts.iter().map(|(act, _)| format!("/act/{act}")).collect(), ..server });
    }
    cases.push(case("orphans", "/remit-init --profile /profiles/degrade.json -- /probe orphans 20"));
    if machine.arch == Arch::THIS {
        let mut shell = case("shell", "/remit-init -- /bin/sh -c");
        // Twenty programs, pipes, and a file of one's own, under the baseline.
        shell.command.push("for i in 0 1 2 3 4 5 6 7 8 9; do busybox echo $i | busybox cat >>/tmp/lines; done; busybox wc -l </tmp/lines".to_owned());
        cases.push(shell);
    }
    let last = words("/remit-init --profile /profiles/degrade.json -- /probe exit 7");
    machine.boot(&cases, &last)
}
