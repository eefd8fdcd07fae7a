//! Processes: how many, whose, and how they end; and COMMAND, the first of them.

use std::process::Command;

use serde_json::{Value, json};

use crate::{Place, program};

#[test]
fn instances_and_their_forks_are_counted() {
    let place = Place::new();
    let mut sleep = program("/usr/bin/sleep");
    sleep["instances"] = json!(2);
    let Some(said) = place.confined("instances", &[sleep], &json!({})) else { return };
    said.has("started: Ok Ok Err(WouldBlock)").has("after one ended: Ok");
    said.reports("denied", "/programs/1/instances");
}

#[test]
fn a_process_whose_first_thread_has_ended_is_counted() {
    let place = Place::new();
    let Some(said) = place.confined("headless", &[], &json!({ "instances": 3 })) else { return };
    said.has("headless: 2").reports("denied", "/programs/0/instances");
}

/// A fork that was let go on counts before it has happened.
#[test]
fn forks_at_the_same_moment_are_counted() {
    let place = Place::new();
    let Some(said) = place.confined("forks", &[], &json!({ "instances": 3 })) else { return };
    said.has("forks: 2").has("one by one: 0 refused").reports("denied", "/programs/0/instances");
}

/// With priority for idle time alone, a thread that was let go on does not fork for as long
/// as others compute.
#[test]
fn forks_that_get_no_processor_are_counted() {
    let place = Place::new();
    let Some(free) = place.unconfined("idle-forks") else { return };
    free.has("most: 42");
    for (more, rule) in [
        (json!({ "instances": 6 }), "/programs/0/instances"),
        (json!({ "limits": { "processes": 6 } }), "/limits/processes"),
    ] {
        let place = Place::new();
        let said = place.confined("idle-forks", &[], &more).expect("as before");
        said.has("most: 6").reports("denied", rule);
    }
}

/// Room that is there is there at once, for processes that end, for one that computes on
/// after its own fork, and for children that share their parent's memory.
#[test]
fn an_honest_app_has_as_many_as_its_limit() {
    for more in [json!({ "instances": 3 }), json!({ "limits": { "processes": 3 } })] {
        let place = Place::new();
        let Some(said) = place.confined("honest-forks", &[program("/usr/bin/true")], &more) else { return };
        said.has("one by one: 0 refused").has("two at a time: 0 refused").has("beside a busy one: 0 refused");
        assert_eq!(said.violations().count(), 0, "{:?}", said.events);
    }
}

/// What an app gives a program may be 6 MB in hundreds of thousands of pieces. PID 1 does not
/// grow by that, however many are executed at once.
#[test]
fn large_arguments_and_environments_cost_the_first_process_little() {
    let script = |place: &Place| place.script("script", "#!/bin/sh\nexit 0\n");
    let place = Place::new();
    script(&place);
    let Some(free) = place.unconfined("large") else { return };
    let ends = |said: &crate::Said| -> Vec<String> {
        let lines = said.text.lines().filter_map(|line| line.split_once(" kB more")?.0.rsplit_once(','));
        lines.map(|(end, _)| end.to_owned()).collect()
    };
    free.has("arguments: 0x0 true").has("scripts: 0x0 true");
    for listed in [Value::Null, json!([["a", "..."], [{ "glob": "x*" }, "..."]])] {
        let place = Place::new();
        let mut programs = [program("/usr/bin/true"), program(script(&place))];
        programs[1]["interpreter"] = json!("/bin/sh");
        if !listed.is_null() {
            programs[0]["args"] = listed;
            programs[1]["args"] = json!([["..."]]);
        }
        let said = place.confined("large", &programs, &json!({})).expect("as before");
        let (theirs, ours) = (ends(&free), ends(&said));
        for (name, end) in ours.iter().filter_map(|line| line.split_once(": ")) {
            let refused = ["for the loader", "script and variables"].contains(&name);
            assert_eq!(end.starts_with("0x9 ") || end.starts_with("0xd00 "), refused, "{name}: {end}");
        }
        assert_eq!(theirs.len(), ours.len(), "{}\n{}", free.text, said.text);
        let grown = said.text.lines().find_map(|line| line.strip_prefix("grown by ")?.strip_suffix(" kB"));
        let grown: i64 = grown.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{said:?}"));
        assert!(grown < 4096, "PID 1 grew by {grown} kB: {}", said.text);
    }
}

/// A forked child that is killed at once may be reaped before its parent's stop says whose
/// it was. The process that has its pid afterwards is traced for its exec like any other.
#[test]
fn the_pid_of_a_dead_child_is_not_taken_for_a_traced_one() {
    let release = nix::sys::utsname::uname().expect("uname");
    let release: remit::kernel::Release = release.release().to_string_lossy().parse().expect("a release");
    if release < remit::kernel::Release::new(6, 14) {
        return crate::skip::skip("Linux 6.14, whose pid_max is a namespace's");
    }
    let mut place = Place::with(true);
    place.2 = Some(450);
    let more = json!({
        "capabilities": ["setuid", "setgid"],
        "syscalls": { "allow": ["setresuid", "setresgid"] },
        "fallback": "degrade",
    });
    let Some(said) = place.confined("reused-numbers", &[program("/usr/bin/true")], &more) else { return };
    said.has("raced").lacks("evil ran").reports("killed", "/programs");
}

/// A process that is confined while it is another user's, for the tests on what else is seen of it.
fn as_another_user() -> Value {
    json!({
        "capabilities": ["setuid", "setgid"],
        "syscalls": { "allow": ["setresuid", "setresgid"] },
        "fallback": "degrade",
    })
}

/// The end of a traced process is reported to its parent, and in an event where that is PID 1.
#[test]
fn the_end_of_a_traced_orphan_is_reported_and_no_others() {
    let place = Place::with(true);
    let Some(said) = place.confined("ends", &[program("/usr/bin/true")], &as_another_user()) else { return };
    let number = |word: &str| {
        let line =
            said.text.lines().find_map(|line| line.split_once(word)).unwrap_or_else(|| panic!("{said:?}"));
        line.1.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).expect("a number")
    };
    said.has("parent: ").has(" 6\n");
    let exit_of = |pid: u64| {
        let mut ends = said.events.iter().filter(|event| event["event"] == "exit");
        ends.find(|event| event["process"]["pid"] == pid).map(|event| event["exit"].clone())
    };
    assert_eq!(exit_of(number("parent: ")), None);
    assert!(
        exit_of(number("orphan: ")).is_some_and(|exit| exit.to_string().contains('7')),
        "{:#?}",
        said.events
    );
}

/// PID 1 alone continues an app that stops at a container's terminal, whether it is traced or
/// not.
#[test]
fn a_traced_app_that_stops_at_a_terminal_goes_on() {
    let place = Place::with(true);
    let Some(command) = place.app("stops", &[program("/usr/bin/true")], &as_another_user()) else { return };
    let words = command.get_args().map(|word| format!("'{}'", word.to_str().expect("text")));
    let line = [format!("exec timeout 20 {}", command.get_program().display())].into_iter().chain(words);
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line.collect::<Vec<_>>().join(" "), "/dev/null"]).env_clear();
    terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = terminal.stdin(std::process::Stdio::null()).output().expect("script runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("went on"), "{text}");
}

#[test]
fn a_process_that_cannot_be_traced_is_killed_where_the_profile_says_so() {
    let place = Place::new();
    let programs = [program("/usr/bin/true")];
    let more = |what: &str| json!({ "on_violation": what, "syscalls": { "allow": ["ptrace"] } });
    let Some(said) = place.confined("untraceable", &programs, &more("kill")) else { return };
    said.has("untraceable: (true, 9)").reports("killed", "/programs");
    let place = Place::new();
    let said = place.confined("untraceable", &programs, &more("stop")).expect("as before");
    said.lacks("untraceable: ").reports("stopped", "/programs");
}

/// COMMAND is called as its entry says, or it does not start.
#[test]
fn command_is_confined_to_its_own_entry() {
    if !crate::skip::namespaces() {
        return;
    }
    let place = Place::new();
    let digest = |path: &str| {
        let output = Command::new("sha256sum").arg(path).output().expect("sha256sum");
        String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a digest").to_owned()
    };
    // unshare -r maps the user of the suite to 0.
    let own = 0;
    let right = digest("/usr/bin/true");
    for (key, value, command, starts) in [
        ("args", json!([["a", "..."]]), "/usr/bin/true a b", true),
        ("args", json!([["a", "..."]]), "/usr/bin/true b", false),
        ("applet", json!("true"), "/bin/busybox true", true),
        ("applet", json!("true"), "/bin/busybox sh", false),
        ("user", json!([own]), "/usr/bin/true", true),
        ("user", json!([own + 1]), "/usr/bin/true", false),
        ("sha256", json!(right), "/usr/bin/true", true),
        ("sha256", json!(digest("/usr/bin/touch")), "/usr/bin/true", false),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        if !crate::skip::has(words[0]) {
            continue;
        }
        let mut entry = program(words[0]);
        entry["entry"] = json!(true);
        entry[key] = value;
        let profile = json!({ "remit": 1, "name": "command", "programs": [entry], "files": ["@runtime"] });
        std::fs::write(place.path("profile.json"), profile.to_string()).expect("a profile");
        let output = Command::new("unshare")
            .args(["-Urpfm", "--mount-proc", env!("CARGO_BIN_EXE_remit-init"), "--profile"])
            .arg(place.path("profile.json"))
            .arg("--")
            .args(&words)
            .output()
            .expect("unshare runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), starts, "{command} with {key}: {text}");
        assert!(starts || text.contains(key), "{command} with {key}: {text}");
    }
}
