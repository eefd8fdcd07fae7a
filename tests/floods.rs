//! Floods of refusals, and sinks that are slow, full or dead: no count is lost, PID 1
//! goes on with its work, and the app notices nothing.

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Ended, Running, command, eventually, probe, run, shim};
use serde_json::{Value, json};

/// A folder with a profile that lets the probe run, and do nothing else.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        let bench = Bench(tempfile::tempdir().expect("a folder"));
        let programs = json!([{ "path": probe(), "entry": true }]);
        let profile = json!({ "remit": 1, "name": "flooded", "programs": programs, "files": ["@runtime"] });
        fs::write(bench.path("profile.json"), profile.to_string()).expect("written");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The shim that writes all its events there, with the probe as its app.
    fn shim(&self, events: &str, act: &[&str]) -> Command {
        let mut shim = shim(["--profile"]);
        shim.arg(self.path("profile.json")).args(["--events", events, "--"]).arg(probe()).args(act);
        shim
    }

    /// The same with this pipe as its sink.
    fn piped(&self, writer: &PipeWriter, act: &[&str]) -> Command {
        let mut shim = self.shim("fd:9", act);
        let fd = writer.as_raw_fd();
        let give = move || {
            // SAFETY: async-signal-safe, integers only.
            match unsafe { libc::dup2(fd, 9) } {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        };
        // SAFETY: only that call is made between fork and exec.
        unsafe { shim.pre_exec(give) };
        shim
    }
}

/// A pipe that is full after a few lines.
fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    // SAFETY: integers only.
    let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
    assert_eq!(size, 4096, "{}", std::io::Error::last_os_error());
    (reader, writer)
}

/// How many events lines stand for, those that they say are lost included; numbered
/// without a gap.
fn stand_for<'l>(lines: impl Iterator<Item = &'l str>) -> u64 {
    let count = |(index, line): (usize, &str)| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(event["seq"], index as u64 + 1, "{line}");
        event["count"].as_u64().unwrap_or(1)
    };
    lines.enumerate().map(count).sum()
}

/// How many events the last line on stderr says to be unwritten.
fn unwritten(ended: &Ended) -> u64 {
    let line = ended.line(0);
    let count = line.split_once(" events not written").and_then(|(said, _)| said.rsplit_once(' '));
    count.and_then(|(_, count)| count.parse().ok()).unwrap_or_else(|| panic!("no count: {line}"))
}

fn signal_often(running: &mut Running, times: u64) {
    for _ in 0..times {
        running.signal(libc::SIGUSR1);
        running.expect("signal 10 0");
    }
}

fn end(running: Running) -> Ended {
    running.signal(libc::SIGTERM);
    running.end()
}

/// Events around those that a test makes: before them the start; after them the TERM,
/// the app's exit and the stop.
const BEFORE: u64 = 1;
const AFTER: u64 = 3;

/// What a process has of its own, in kB (/proc/PID/status): pages of its program come and go.
fn resident(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Processor time so far, in ticks of 10 ms (proc(5), utime and stime).
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    [11, 12].map(|index: usize| fields[index].parse::<u64>().expect("a number")).iter().sum()
}

/// A hundred threads make a refused call as often as they can; `REMIT_FLOOD_SECONDS`
/// says for how long. What it costs the app's other work is in `cargo bench -- flood`.
#[test]
fn a_flood_is_counted_to_the_last_one_and_costs_no_memory() {
    let seconds = std::env::var("REMIT_FLOOD_SECONDS").unwrap_or("2".to_owned());
    let bench = Bench::new();
    let events = bench.path("events");
    let events = events.to_str().expect("UTF-8");
    let mut running = Running::start(&mut bench.shim(events, &["hammer", "100", &seconds]));
    running.expect("begun");
    let before = resident(running.shim());
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let sent = Instant::now();
        running.signal(libc::SIGUSR1);
        running.expect("signal 10");
        slowest = slowest.max(sent.elapsed());
    }
    println!("the slowest of ten signals took {slowest:?}");
    // 50 ms are meant; a busy machine takes its time to run a thread that was woken.
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    let line = running.line();
    let denied: u64 = line.strip_prefix("denied ").expect("the count").parse().expect("a number");
    let after = resident(running.shim());
    assert!(after < before + 1024, "resident memory grew from {before} kB to {after} kB");
    // What was held back is reported within a second; then nothing is left to do.
    let text = || fs::read_to_string(events).expect("events");
    let violations = |text: &str| {
        let lines = text.lines().filter(|line| line.contains(r#""event":"violation""#));
        let events = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        events.map(|event| event["count"].as_u64().unwrap_or(1)).sum::<u64>()
    };
    eventually("all are reported", || violations(&text()) == denied);
    let idle = ticks(running.shim());
    std::thread::sleep(Duration::from_millis(300));
    let burnt = ticks(running.shim()) - idle;
    assert!(burnt <= 3, "{burnt} ticks of 30 went by with nothing to do");
    let ended = end(running);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let text = text();
    assert_eq!(violations(&text), denied);
    // On a busy machine too it is a flood.
    assert!(denied > 100, "{denied}");
    // Ten whole, one line a second, and the rest of the events.
    assert!(text.lines().count() < 60, "{} lines", text.lines().count());
    assert!(!text.contains(r#""event":"dropped""#), "the sink was not slow");
}

/// Fifty refusals, the one that matters, fifty more, and then all of them again: in audit the first round makes the files.
#[test]
fn one_refusal_among_many_others_has_its_line() {
    let bench = Bench::new();
    let shell = fs::canonicalize("/bin/sh").expect("a shell");
    let programs = json!([{ "path": shell, "entry": true }]);
    let files =
        json!(["@runtime", { "path": "/usr", "allow": ["read"] }, { "path": "/etc", "allow": ["read"] }]);
    let profile = json!({ "remit": 1, "name": "files", "programs": programs, "files": files });
    let names = bench.path("profile.json");
    fs::write(&names, profile.to_string()).expect("written");
    let number = |from: u32| (from..from + 50).map(|number| format!("n{number}"));
    let names: Vec<String> = number(0).chain(["evil".to_owned()]).chain(number(50)).collect();
    let script = r#"cd "$0" && for name in "$@" "$@" "$@"; do (: > "$name"); done 2>/dev/null; :"#;
    for mode in ["enforce", "audit"] {
        let (events, folder) = (bench.path(&format!("events.{mode}")), bench.path(mode));
        fs::create_dir(&folder).expect("a folder");
        let mut shim = shim(["--mode", mode, "--profile"]);
        shim.arg(bench.path("profile.json")).arg("--events").arg(&events).arg("--").arg(&shell);
        shim.args(["-c", script]).arg(&folder).args(&names);
        let ended = run(&mut shim);
        assert_eq!(ended.code, 0, "{ended:#?}");
        let text = fs::read_to_string(&events).expect("events");
        let violations = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let violations: Vec<Value> = violations.filter(|event| event["event"] == "violation").collect();
        for name in &names {
            let path = folder.join(name);
            let is_it = |event: &&Value| {
                event["object"]["path"].as_str() == path.to_str() && event["count"].is_null()
            };
            assert!(violations.iter().any(|event| is_it(&event)), "{mode}: {name} has no line in {text}");
        }
        let counts = violations.iter().map(|event| event["count"].as_u64().unwrap_or(1));
        assert_eq!(counts.sum::<u64>(), 3 * 101, "{mode}");
        let summary = violations.iter().find(|event| !event["count"].is_null()).expect("a summary");
        assert!(summary["objects"].as_array().is_some_and(|listed| !listed.is_empty()), "{summary}");
    }
}

/// A reader that is stopped is one that does not read: the pipe is full, and stays so.
#[test]
fn a_reader_that_stops_and_goes_on_gets_the_count_of_what_it_missed() {
    let bench = Bench::new();
    let (reader, writer) = small_pipe();
    let mut running = Running::start(&mut bench.piped(&writer, &["signals", "15", "0"]));
    drop(writer);
    running.expect("ready");
    signal_often(&mut running, 3000);
    let lines = std::thread::spawn(move || std::io::read_to_string(reader));
    let ended = end(running);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let text = lines.join().expect("no panic").expect("read");
    assert_eq!(stand_for(text.lines()), BEFORE + 3000 + AFTER);
    assert!(text.contains(r#""event":"dropped""#) && text.contains("sink slow"), "some were lost");
}

#[test]
fn a_reader_that_never_goes_on_delays_no_process() {
    let bench = Bench::new();
    let (reader, writer) = small_pipe();
    let mut running = Running::start(&mut bench.piped(&writer, &["signals", "15", "0"]));
    drop(writer);
    running.expect("ready");
    signal_often(&mut running, 3000);
    let begin = Instant::now();
    let ended = end(running);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let lost = unwritten(&ended);
    // What is in the pipe was written; the line that did not fit is cut, and counted.
    let text = std::io::read_to_string(reader).expect("read");
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    assert_eq!(stand_for(whole.lines()) + lost, BEFORE + 3000 + AFTER);
}

#[test]
fn orphans_are_reaped_while_events_are_not_read() {
    let bench = Bench::new();
    let (reader, writer) = small_pipe();
    let ended = run(&mut bench.piped(&writer, &["orphans", "200"]));
    assert_eq!(ended.stdout, "orphans 200 unreaped 0\n");
    assert!(unwritten(&ended) > 0, "the pipe was full");
    drop(reader);
}

#[test]
fn a_listener_that_never_comes_back_costs_events_by_count() {
    let bench = Bench::new();
    let path = bench.path("socket");
    let listener = UnixListener::bind(&path).expect("bound");
    let sink = format!("unix:{}", path.display());
    let mut running = Running::start(&mut bench.shim(&sink, &["signals", "15", "0"]));
    running.expect("ready");
    let (stream, _) = listener.accept().expect("the shim connects");
    let mut first = String::new();
    BufReader::new(stream).read_line(&mut first).expect("a line");
    assert!(first.contains(r#""event":"start""#), "{first}");
    drop(listener);
    fs::remove_file(&path).expect("it is there");
    signal_often(&mut running, 50);
    assert_eq!(unwritten(&end(running)), 50 + AFTER);
}

/// The shim opens its file once: a rename takes the file along, and a new one of the
/// old name is somebody else's.
#[test]
fn a_file_that_is_moved_or_removed_stays_the_sink() {
    let bench = Bench::new();
    let (events, moved) = (bench.path("events"), bench.path("events.1"));
    let sink = events.to_str().expect("UTF-8");
    let mut running = Running::start(&mut bench.shim(sink, &["signals", "15", "0"]));
    running.expect("ready");
    signal_often(&mut running, 20);
    fs::rename(&events, &moved).expect("moved");
    signal_often(&mut running, 20);
    let ended = end(running);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let text = fs::read_to_string(&moved).expect("read");
    assert_eq!(stand_for(text.lines()), BEFORE + 40 + AFTER);
    assert!(!events.exists(), "no new one is made");

    let mut running = Running::start(&mut bench.shim(sink, &["signals", "15", "0"]));
    running.expect("ready");
    fs::remove_file(&events).expect("it was made");
    signal_often(&mut running, 20);
    let ended = end(running);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert!(!events.exists(), "no new one is made");
}

#[test]
fn a_disk_with_room_again_gets_what_was_queued_and_the_count_of_the_rest() {
    if !harness::skip::namespaces() {
        return;
    }
    // A tmpfs of a few pages, full, in a mount namespace of its own.
    let bench = Bench::new();
    fs::create_dir(bench.path("disk")).expect("a folder");
    let script = "mount -t tmpfs -o size=1024k none \"$1\" && head -c 1044480 /dev/zero >\"$1/filler\" && \
                  shift && exec \"$@\"";
    let events = bench.path("disk/events");
    let mut unshare = command("unshare");
    unshare.args(["-Urmpf", "--mount-proc", "--kill-child", "sh", "-c", script, "sh"]);
    unshare.arg(bench.path("disk"));
    let shim = bench.shim(events.to_str().expect("UTF-8"), &["signals", "15", "0"]);
    unshare.arg(shim.get_program()).args(shim.get_args());
    let mut running = Running::start(&mut unshare);
    running.expect("ready");
    signal_often(&mut running, 3000);
    let inside = Path::new("/proc").join(running.shim().to_string()).join("root");
    let inside = |path: &Path| inside.join(path.strip_prefix("/").expect("absolute"));
    let text = || fs::read_to_string(inside(&events)).expect("events");
    let written = text();
    assert!(written.len() <= 4096, "it is full: {} bytes", written.len());
    fs::remove_file(inside(&bench.path("disk/filler"))).expect("room");
    eventually("all is reported", || {
        let text = text();
        text.ends_with('\n') && stand_for(text.lines()) == BEFORE + 3000
    });
    assert!(text().contains("ENOSPC"), "the reason is reported with the count");
    let ended = end(running);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}
