//! `remit events` from outside: files that grow and change, pipes, what engines keep logs in, the
//! schemas that events are converted to, and what comes of a real start.
#![cfg(feature = "tool")]

#[path = "../support/descriptors.rs"]
mod descriptors;
mod follow;
mod real;
mod schemas;
#[path = "../harness/seat.rs"]
mod seat;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use seat::Seat;
use serde_json::Value;
use tempfile::TempDir;

const REMIT: &str = env!("CARGO_BIN_EXE_remit");
const SHIM: &str = env!("CARGO_BIN_EXE_remit-init");
const NONCE: &str = "0123456789abcdef0123456789abcdef";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn remit(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(REMIT);
    command.arg("events").args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().expect("it runs")
}

/// What a run printed, which has to end with this code.
fn printed(output: &Output, code: i32) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// An event of the start, at that second after 10:00.
fn event(seq: u64, rest: &str) -> String {
    format!(
        "{{\"remit\":1,\"seq\":{seq},\"nonce\":\"{NONCE}\",\"time\":\"2026-11-22T10:{:02}:{:02}.000001Z\",\"policy\":{{\"name\":\"web\",\"digest\":\"sha256:9f86\"}},{rest}}}",
        seq / 60,
        seq % 60
    )
}

fn process(pid: u32, parent: u32, program: &str) -> String {
    format!(
        "\"process\":{{\"pid\":{pid},\"parent_pid\":{parent},\"uid\":33,\"executable\":{{\"path\":\"{program}\"}},\"args\":[\"{program}\",\"-x\",\"a b\"]}},\"ancestors\":[\"/docker-entrypoint.sh\"]"
    )
}

/// A log with every event, every kind of violation and every action.
fn log() -> Vec<String> {
    let nginx = process(7, 1, "/usr/sbin/nginx");
    let shell = process(30, 7, "/bin/sh");
    let violation = |kind: &str, action: &str, object: &str, by: &str| {
        format!(
            "\"event\":\"violation\",\"kind\":\"{kind}\",\"action\":\"{action}\",\"errno\":\"EACCES\",\"object\":{object},\"rule\":\"/x\",{by},\"hint\":[{{\"op\":\"add\",\"path\":\"/x/-\",\"value\":{{}}}}]"
        )
    };
    let bodies = [
        format!("\"event\":\"start\",\"mode\":{{\"value\":\"enforce\",\"source\":\"profile\"}},\"kernel\":\"6.18.44\",\"arch\":\"x86_64\",\"layers\":[{{\"layer\":\"seccomp\",\"state\":\"active\"}}],{nginx}"),
        "\"event\":\"ready\",\"after\":\"1.2s\",\"by\":\"listening\"".to_owned(),
        format!("\"event\":\"exec\",\"action\":\"allowed\",{shell}"),
        violation("program", "denied", "{\"path\":\"/usr/bin/curl\"}", &shell),
        violation("program", "killed", "{\"path\":\"/tmp/x\"}", &shell),
        violation("file", "denied", "{\"path\":\"/tmp/\\u001b[2Jx\",\"access\":[\"write\",\"create\"]}", &shell),
        violation("file", "observed", "{\"path\":\"/data/x\",\"access\":[\"remove\"]}", &nginx),
        violation("file", "denied", "{\"path\":\"/etc/shadow\",\"access\":[\"read\"]}", &shell),
        violation("file", "denied", "{\"path\":\"/dev/tty\",\"access\":[\"ioctl\"]}", &nginx),
        violation("network", "denied", "{\"address\":\"tcp/203.0.113.9:4444\",\"access\":\"connect\"}", &shell),
        violation("network", "denied", "{\"address\":\"udp/[2001:db8::1]:53\",\"access\":\"connect\"}", &nginx),
        violation("network", "stopped", "{\"address\":\"tcp/4444\",\"access\":\"listen\"}", &shell),
        violation("network", "denied", "{\"address\":\"unix:/run/x.sock\",\"access\":\"connect\"}", &nginx),
        violation("syscall", "denied", "{\"syscall\":\"ptrace\",\"args\":[\"0x10\",\"0x1\"]},\"count\":41,\"over\":\"1s\"", &shell),
        violation("capability", "denied", "{\"name\":\"sys_admin\"}", &nginx),
        violation("memory", "denied", "{\"name\":\"write_execute\"}", &nginx),
        violation("limit", "denied", "{\"name\":\"processes\"}", &nginx),
        violation("environment", "denied", "{\"name\":\"LD_PRELOAD\",\"value\":\"/tmp/x.so\",\"why\":\"x\"}", &nginx),
        "\"event\":\"violation\",\"kind\":\"file\",\"action\":\"denied\",\"object\":{\"name\":\"other programs and rules\"},\"rule\":\"\",\"count\":9,\"over\":\"1s\",\"process\":{\"pid\":0}".to_owned(),
        "\"event\":\"exit\",\"process\":{\"pid\":30,\"parent_pid\":7},\"exit\":{\"code\":3}".to_owned(),
        "\"event\":\"exit\",\"process\":{\"pid\":31},\"exit\":{\"signal\":\"SYS\"}".to_owned(),
        "\"event\":\"signal\",\"signal\":\"TERM\",\"to\":\"app\"".to_owned(),
        "\"event\":\"dropped\",\"count\":120,\"why\":\"sink slow\"".to_owned(),
        "\"event\":\"stop\",\"exit\":{\"code\":0},\"ended\":3,\"killed\":0,\"why\":\"signal TERM\"".to_owned(),
    ];
    (1..).zip(&bodies).map(|(seq, body)| event(seq, body)).collect()
}

/// A folder with the log in it.
fn with_log() -> (TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join("events.jsonl");
    fs::write(&path, log().join("\n") + "\n").expect("a file");
    (folder, path)
}

#[test]
fn the_lines_are_those_of_the_log_and_filters_choose() {
    let (folder, _) = with_log();
    let lines = |arguments: &[&str]| -> Vec<String> {
        let output = remit(folder.path(), &[arguments, &["events.jsonl"]].concat());
        printed(&output, 0).lines().map(str::to_owned).collect()
    };
    assert_eq!(lines(&[]), log());
    assert_eq!(lines(&["--kind", "file", "--action", "denied"]).len(), 4);
    assert_eq!(lines(&["--event", "exec", "--event", "exit"]).len(), 3);
    assert_eq!(lines(&["--program", "sh", "--kind", "program"]).len(), 2);
    assert_eq!(lines(&["--program", "/bin/sh", "--pid", "7"]).len(), 0);
    assert_eq!(lines(&["--since", "2026-11-22T10:00:03Z", "--until", "2026-11-22T10:00:05Z"]), log()[2..4]);
    assert_eq!(lines(&["--since", "1h"]), Vec::<String>::new());
    let text = printed(&remit(folder.path(), &["--format", "text", "events.jsonl"]), 0);
    assert_eq!(text.lines().count(), log().len());
    assert!(
        text.contains("denied    program /usr/bin/curl EACCES by /bin/sh[30]") && !text.contains('\u{1b}'),
        "{text}"
    );
}

#[test]
fn a_summary_counts_all() {
    let (folder, _) = with_log();
    let json: Value = serde_json::from_str(&printed(
        &remit(folder.path(), &["--summary", "--format", "json", "events.jsonl"]),
        0,
    ))
    .expect("JSON");
    assert_eq!(json["events"], log().len());
    assert_eq!((&json["violations"], &json["dropped"]), (&(14 + 41 + 9).into(), &120.into()));
    assert_eq!((&json["by_kind"]["file"], &json["by_kind"]["syscall"]), (&13.into(), &41.into()));
    let text = printed(&remit(folder.path(), &["--summary", "events.jsonl"]), 0);
    assert!(text.contains("24 events") && text.contains("64 violations"), "{text}");
}

#[test]
fn incidents_have_a_tree_and_a_sentence() {
    let (folder, _) = with_log();
    let text = printed(&remit(folder.path(), &["--incidents", "events.jsonl"]), 0);
    assert!(
        text.starts_with("incident 1 critical, ") && text.contains("  └ /bin/sh[30] -x 'a b'\n"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && text.contains("\\u001b[2Jx"), "{text}");
    let json = printed(&remit(folder.path(), &["--incidents", "--format", "json", "events.jsonl"]), 0);
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lines[0]["state"], &lines[0]["severity"]), (&"closed".into(), &"critical".into()));
    assert_eq!(lines.last().expect("totals")["violations"], 64);
    let none =
        printed(&remit(folder.path(), &["--incidents", "--kind", "limit", "--pid", "30", "events.jsonl"]), 0);
    assert!(!none.contains("incident 1"), "{none}");
}

#[test]
fn what_engines_keep_logs_in_is_read() {
    let folder = folder();
    let write = |name: &str, lines: Vec<String>| {
        fs::write(folder.path().join(name), lines.join("\n") + "\n").expect("a file");
    };
    let json = |line: &String| {
        let text = serde_json::to_string(&format!("{line}\n")).expect("JSON");
        format!("{{\"log\":{text},\"stream\":\"stderr\",\"time\":\"2026-11-22T10:00:00.000000001Z\"}}")
    };
    write("docker.log", log().iter().map(json).collect());
    write(
        "cri.log",
        log().iter().map(|line| format!("2026-11-22T10:00:00.000000001Z stderr F {line}")).collect(),
    );
    write("windows.log", log().iter().map(|line| format!("{line}\r")).collect());
    for name in ["docker.log", "cri.log", "windows.log"] {
        let text = printed(&remit(folder.path(), &[name]), 0);
        assert_eq!(text.lines().collect::<Vec<_>>(), log(), "{name}");
    }
}

#[test]
fn hostile_lines_are_left_out_and_counted() {
    let folder = folder();
    let start = &log()[0];
    let mut bytes = format!("\0\0{start}\n").into_bytes();
    bytes.extend(b"{\"remit\":1,\"seq\":2\n");
    bytes.extend(format!("{{\"remit\":{}1{}}}\n", "[".repeat(100_000), "]".repeat(100_000)).bytes());
    bytes.extend(b"{\"remit\":1,\"x\":\"\xff\"}\n\x1b]0;x\x07\x1b[2J\n");
    bytes.extend(start.replace(NONCE, &"f".repeat(32)).bytes());
    bytes.push(b'\n');
    bytes.extend(vec![b'x'; 3 << 20]);
    bytes.extend(format!("{}\n", log()[23]).bytes());
    bytes.extend(log()[4].as_bytes()[..40].iter());
    fs::write(folder.path().join("log"), bytes).expect("a file");
    let output = remit(folder.path(), &["log"]);
    assert_eq!(printed(&output, 1).lines().collect::<Vec<_>>(), [start, &log()[23]]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    for says in [
        "remit: log: 2 lines in the form of an event left out",
        "3 lines that cannot be read as an event",
        "1 line longer than 1 MiB",
    ] {
        assert!(error.contains(says), "{says}: {error}");
    }
    assert!(!error.contains('\u{1b}'));
}

#[test]
fn bad_input_is_one_line_and_nothing_is_printed() {
    let (folder, _) = with_log();
    fs::create_dir(folder.path().join("folder")).expect("a folder");
    for (arguments, says) in [
        (&["events.jsonl", "gone"][..], "remit: gone: "),
        (&["folder"], "remit: folder: "),
        (&["/dev/zero"], "remit: /dev/zero: is no regular file"),
        (&["--follow", "/dev/zero"], "remit: /dev/zero: is no regular file"),
        (&["--follow", "folder"], "remit: folder: "),
        (&["--follow", "no/such/folder"], "remit: no/such/folder: "),
        (&["--follow", "-", "events.jsonl"], "remit: --follow: - is stdin"),
        (&["--since", "never", "events.jsonl"], "expected a time such as"),
        (&["--kind", "files", "events.jsonl"], "[possible values: program, file,"),
        (&["--to", "ocsf", "--summary", "events.jsonl"], "cannot be used with"),
        (&["--prometheus", "no/such/x.prom", "events.jsonl"], "remit: no/such/x.prom: cannot be written"),
    ] {
        let output = remit(folder.path(), arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(printed(&output, 2), "", "{arguments:?}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}

#[test]
fn counters_are_a_file_of_the_textfile_collector() {
    let (folder, _) = with_log();
    let path = folder.path().join("remit.prom");
    let counted = remit(folder.path(), &["--prometheus", "remit.prom", "events.jsonl"]);
    assert_eq!(printed(&counted, 0), "", "nothing else was asked for");
    let text = fs::read_to_string(&path).expect("the file");
    for line in [
        "remit_violations_total{profile=\"web\",kind=\"syscall\",action=\"denied\",program=\"/bin/sh\"} 41",
        "remit_events_total{profile=\"web\",event=\"exit\"} 2",
        "remit_events_dropped_total{profile=\"web\"} 120",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("one").file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left beside it: {names:?}");
    let both = remit(folder.path(), &["--prometheus", "remit.prom", "--summary", "events.jsonl"]);
    assert!(printed(&both, 0).contains("24 events"));
}

/// Colours are for a terminal, and not where NO_COLOR says so (no-color.org).
#[test]
fn colours_are_for_a_terminal() {
    let (folder, path) = with_log();
    let seat = |no_color: &str| {
        Seat::new(|slave| {
            let mut command = Command::new(REMIT);
            command.arg("events").arg(&path).current_dir(folder.path()).env("NO_COLOR", no_color);
            command.env("TERM", "xterm");
            command
                .stdout(slave.try_clone().expect("the terminal"))
                .stderr(slave.try_clone().expect("the terminal"));
            seat::in_own_session(&mut command, slave);
            command
        })
    };
    let mut colourful = seat("");
    colourful.sees("\u{1b}[31mdenied");
    assert_eq!(colourful.ends(), 0);
    let mut plain = seat("1");
    plain.sees("2026-11-22 10:00:04.000 denied    program /usr/bin/curl");
    assert_eq!(plain.ends(), 0);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let (folder, _) = with_log();
    let many = log().join("\n").repeat(2000);
    fs::write(folder.path().join("many"), many).expect("a file");
    let script = format!("'{REMIT}' events --every-start many | head -n 1; test ${{PIPESTATUS[0]}} = 0");
    let output =
        Command::new("bash").args(["-c", &script]).current_dir(folder.path()).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(printed(&output, 0).lines().collect::<Vec<_>>(), [&log()[0]]);
}
