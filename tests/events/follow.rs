//! Logs that go on: files that grow, are rotated and truncated, and pipes. Nothing is timed: what
//! is waited for is a line.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

/// A run that goes on.
struct Following {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Following {
    fn begin(folder: &Path, arguments: &[&str], stdin: Stdio) -> Following {
        let mut command = Command::new(REMIT);
        command.arg("events").args(arguments).current_dir(folder).stdin(stdin);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // What else is open here would keep a pipe open.
        descriptors::only_standard(&mut command);
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Following { child, lines }
    }

    /// The next line, which it waits for.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("it is there");
    }

    /// The rest of what it prints, and its exit code.
    fn end(mut self) -> (String, i32) {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut rest).expect("text");
        (rest, self.child.wait().expect("it ends").code().expect("a code"))
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("a file")
}

fn write(file: &mut File, line: &str) {
    file.write_all(line.as_bytes()).expect("it is written");
}

#[test]
fn a_file_is_followed_over_rotation_and_truncation() {
    let folder = folder();
    let path = folder.path().join("events.jsonl");
    let log = log();
    // It is waited for from before it is there.
    let mut run = Following::begin(folder.path(), &["--follow", "events.jsonl"], Stdio::null());
    let mut file = append(&path);
    write(&mut file, &format!("{}\n", log[0]));
    assert_eq!(run.line(), log[0]);
    // In two pieces.
    let (first, second) = log[1].split_at(20);
    write(&mut file, first);
    write(&mut file, &format!("{second}\n"));
    assert_eq!(run.line(), log[1]);
    // Renamed: what has it open goes on writing there, and its successor comes.
    fs::rename(&path, folder.path().join("events.jsonl.1")).expect("renamed");
    write(&mut file, &format!("{}\n", log[2]));
    assert_eq!(run.line(), log[2]);
    let mut next = append(&path);
    write(&mut next, &format!("{}\n", log[3]));
    assert_eq!(run.line(), log[3], "the start of the first file is the second's too");
    write(&mut file, &format!("{}\n", log[4]));
    assert_eq!(run.line(), log[4]);
    // Replaced by another in one step.
    fs::write(folder.path().join("new"), format!("{}\n", log[5])).expect("a file");
    fs::rename(folder.path().join("new"), &path).expect("renamed");
    assert_eq!(run.line(), log[5]);
    // Copied and truncated, as logrotate's copytruncate does.
    let mut file = append(&path);
    file.set_len(0).expect("truncated");
    write(&mut file, &format!("{}\n", log[6]));
    assert_eq!(run.line(), log[6]);
    // Its last line has no end.
    write(&mut file, &log[23]);
    run.signal(Signal::SIGINT);
    assert_eq!(run.end(), (format!("{}\n", log[23]), 0));
}

#[test]
fn a_pipe_is_printed_as_it_comes_and_summed_up_at_the_end() {
    let folder = folder();
    let mut run = Following::begin(folder.path(), &["--incidents", "--follow"], Stdio::piped());
    let mut input = run.child.stdin.take().expect("a pipe");
    // Of now: what is quiet for long is closed.
    let now = remit::event::time::utc(std::time::SystemTime::now());
    let at = |line: &String| {
        let begin = line.find("2026-11-22T").expect("a time");
        [&line[..begin], &now, &line[begin + now.len()..]].concat()
    };
    let log: Vec<String> = log().iter().map(at).collect();
    input.write_all(log[..4].join("\n").as_bytes()).expect("written");
    input.write_all(b"\n").expect("written");
    let line = run.line();
    assert!(line.starts_with("incident 1 high: /usr/sbin/nginx[7]"), "{line}");
    input.write_all(format!("{}\n", log[4]).as_bytes()).expect("written");
    assert!(run.line().starts_with("incident 1 critical: "));
    drop(input);
    let (rest, code) = run.end();
    assert!(
        rest.starts_with("incident 1 critical, ") && rest.ends_with("1 incident of 2 violations\n"),
        "{rest}"
    );
    assert_eq!(code, 0);
    // A signal ends the reading, not the answer: the writer of the pipe has it open still.
    let mut run = Following::begin(folder.path(), &["--summary", "--format", "json"], Stdio::piped());
    let mut input = run.child.stdin.take().expect("a pipe");
    input.write_all(format!("{}\n", log[0]).as_bytes()).expect("written");
    // What it has read is not seen from here: so many bytes do not fit into a pipe.
    input.write_all(&b"the app's own\n".repeat(1 << 14)).expect("written");
    run.signal(Signal::SIGTERM);
    let (rest, code) = run.end();
    let json: Value = serde_json::from_str(&rest).expect("JSON");
    assert_eq!((&json["events"], code), (&1.into(), 0));
    drop(input);
}

/// A reader that has closed the pipe ends the run, though no line comes.
#[test]
fn a_run_whose_reader_is_gone_ends() {
    let (folder, _) = with_log();
    let mut run = Following::begin(folder.path(), &["--follow", "events.jsonl"], Stdio::null());
    assert_eq!(run.line(), log()[0]);
    let Following { mut child, lines } = run;
    drop(lines);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

/// A FIFO would wait for a writer while no signal ends the run.
#[test]
fn a_fifo_is_not_followed() {
    let folder = folder();
    nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    std::os::unix::fs::symlink("fifo", folder.path().join("link")).expect("a link");
    for name in ["fifo", "link"] {
        let output =
            Command::new(REMIT).args(["events", "--follow", name]).current_dir(folder.path()).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(&format!("{name}: is no regular file")), "{said}");
    }
}

/// What takes the name of a followed file and is none is said once, and not opened to be read.
#[test]
fn a_name_that_leads_to_no_file_for_a_while_is_waited_for() {
    let folder = folder();
    let path = folder.path().join("events.jsonl");
    let log = log();
    let mut file = append(&path);
    write(&mut file, &format!("{}\n", log[0]));
    let mut run = Following::begin(folder.path(), &["--follow", "events.jsonl"], Stdio::null());
    assert_eq!(run.line(), log[0]);
    let mut said = BufReader::new(run.child.stderr.take().expect("a pipe"));
    let mut next = || {
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        line
    };
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    fs::rename(&fifo, &path).expect("renamed");
    assert_eq!(next(), "remit: events.jsonl: is no regular file now; waiting for one\n");
    // What has the earlier file open goes on writing there.
    write(&mut file, &format!("{}\n", log[1]));
    assert_eq!(run.line(), log[1]);
    let device = folder.path().join("device");
    std::os::unix::fs::symlink("/dev/zero", &device).expect("a link");
    fs::rename(&device, &path).expect("renamed");
    write(&mut file, &format!("{}\n", log[2]));
    assert_eq!(run.line(), log[2]);
    fs::write(folder.path().join("new"), format!("{}\n", log[3])).expect("a file");
    fs::rename(folder.path().join("new"), &path).expect("renamed");
    assert_eq!(run.line(), log[3]);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.end(), (String::new(), 0));
    assert_eq!(next(), "", "it was said once");
}

/// A file that has no end for the reader: what it has read comes out, and a signal ends it.
#[test]
fn a_file_that_is_longer_than_can_be_read_does_not_hold_off_a_signal() {
    let folder = folder();
    let mut file = append(&folder.path().join("events.jsonl"));
    write(&mut file, &format!("{}\n", log()[0]));
    file.set_len(1 << 40).expect("a hole");
    let counters = folder.path().join("remit.prom");
    let arguments = ["--follow", "--format", "json", "--prometheus", "remit.prom", "events.jsonl"];
    let mut run = Following::begin(folder.path(), &arguments, Stdio::null());
    assert_eq!(run.line(), log()[0]);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.end(), (String::new(), 0));
    assert!(fs::read_to_string(counters).expect("counters").contains("remit_events_total"));
}
