use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use serde_json::Value;

use super::*;
use crate::event::model::{ExecEvent, ExecutablePath, Process, ReadyEvent, Violation, ViolationObject};
use crate::event::names::{ActionTaken, ViolationKind};
use crate::event::sink::Destination;

const LONG: Duration = Duration::from_secs(20);

fn beginning() -> Beginning {
    Beginning { nonce: "0".repeat(32), is_written: false, is_waited_for: false }
}

fn policy() -> PolicyId {
    PolicyId { name: "test".into(), digest: "sha256:0".into() }
}

fn writer_to(sink: impl Outlet) -> EventWriter {
    EventWriter::over(sink, Level::All, policy(), Redaction::Secrets, beginning())
}

fn open(destination: &Destination) -> Sink {
    Sink::open(destination, |_| Err(ErrorKind::Unsupported.into())).unwrap()
}

fn ready(milliseconds: u64) -> Event {
    Event::Ready(ReadyEvent { after: Duration::from_millis(milliseconds), by: "delay" })
}

fn violation(program: &str) -> Event {
    Event::Violation(Box::new(Violation {
        kind: ViolationKind::Syscall,
        action: ActionTaken::Denied,
        errno: None,
        object: ViolationObject::Syscall { syscall: "ptrace".into(), args: Vec::new() },
        rule: "/syscalls".into(),
        summary: None,
        process: Process { executable: Some(ExecutablePath { path: program.into() }), ..Process::default() },
        ancestors: Vec::new(),
        hint: Vec::new(),
    }))
}

fn parsed(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many events the lines stand for, the lost ones included.
fn count_of(lines: &[Value]) -> u64 {
    lines.iter().map(|line| line["count"].as_u64().unwrap_or(1)).sum()
}

/// A sink that returns these results, one for each write, and then takes everything.
struct Acting {
    acts: VecDeque<io::Result<usize>>,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Outlet for Acting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.acts.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
        self.taken.lock().unwrap().extend(&bytes[..most]);
        Ok(most)
    }

    fn is_inherited(&self) -> bool {
        false
    }

    fn revive(&mut self, _: &io::Error) -> io::Result<bool> {
        Ok(false)
    }
}

fn acting(acts: impl IntoIterator<Item = io::Result<usize>>) -> (Acting, Arc<Mutex<Vec<u8>>>) {
    let taken = Arc::<Mutex<Vec<u8>>>::default();
    (Acting { acts: acts.into_iter().collect(), taken: taken.clone() }, taken)
}

fn full() -> io::Result<usize> {
    Err(Errno::ENOSPC.into())
}

#[test]
fn lines_come_whole_numbered_and_in_order() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("events");
    let writer = writer_to(open(&Destination::File(path.clone())));
    (0..500).for_each(|number| writer.record(ready(number * 1000)));
    writer.close(LONG).unwrap();
    let lines = parsed(&fs::read_to_string(path).unwrap());
    for (number, line) in lines.iter().enumerate() {
        assert_eq!((&line["seq"], &line["after"]), (&(number + 1).into(), &format!("{number}s").into()));
        assert_eq!(line["policy"]["name"], "test");
    }
    assert_eq!(lines.len(), 500);
}

#[test]
fn the_level_violation_writes_only_what_matters() {
    let (sink, taken) = acting([]);
    let writer = EventWriter::over(sink, Level::Violation, policy(), Redaction::None, beginning());
    writer.record(ready(1));
    writer.record(violation("/a"));
    writer.close(LONG).unwrap();
    let lines = parsed(str::from_utf8(&taken.lock().unwrap()).unwrap());
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["event"], &lines[0]["seq"]), (&"violation".into(), &1.into()));
}

#[test]
fn arguments_are_redacted() {
    let (sink, taken) = acting([]);
    let writer = writer_to(sink);
    let args = Some(vec!["x".into(), "--password=hunter2".into()]);
    let process = Process { args, ..Process::default() };
    writer.record(Event::Exec(ExecEvent {
        action: ActionTaken::Allowed,
        process,
        ancestors: Vec::new(),
        voided: Vec::new(),
    }));
    writer.close(LONG).unwrap();
    assert!(!String::from_utf8_lossy(&taken.lock().unwrap()).contains("hunter2"));
}

#[test]
fn a_flood_from_many_threads_keeps_its_count() {
    let (sink, taken) = acting([]);
    let writer = writer_to(sink);
    thread::scope(|scope| {
        for program in ["/a", "/b", "/c", "/d"] {
            let writer = &writer;
            scope.spawn(move || (0..2500).for_each(|_| writer.record(violation(program))));
        }
    });
    writer.close(LONG).unwrap();
    let lines = parsed(str::from_utf8(&taken.lock().unwrap()).unwrap());
    assert_eq!(count_of(&lines), 10_000);
    assert!(lines.len() < 4 * 30, "{} lines", lines.len());
}

#[test]
fn a_summary_comes_by_itself_within_seconds() {
    let (sink, taken) = acting([]);
    let writer = writer_to(sink);
    (0..51).for_each(|_| writer.record(violation("/a")));
    let deadline = Instant::now() + LONG;
    let lines = loop {
        let lines = parsed(str::from_utf8(&taken.lock().unwrap()).unwrap());
        if lines.len() > 10 {
            break lines;
        }
        assert!(Instant::now() < deadline, "{lines:?}");
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((&lines[10]["count"], lines.len()), (&41.into(), 11));
    assert!(lines[10]["over"].as_str().unwrap().starts_with('1'));
    writer.close(LONG).unwrap();
}

#[test]
fn a_sink_that_hangs_costs_counted_events_and_no_time() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let sink = Piped(File::from(writer));
    let writer = writer_to(sink);
    let before = Instant::now();
    (0..20_000).for_each(|number| writer.record(ready(number)));
    assert!(before.elapsed() < Duration::from_secs(5), "recording waited");
    let before = Instant::now();
    let unwritten = writer.close(Duration::from_millis(100)).unwrap_err();
    assert!(before.elapsed() < Duration::from_secs(3), "closing waited");
    assert!(unwritten.count > 15_000 && unwritten.why == "sink slow", "{unwritten}");
    // It is closing, and writes what it still has once the sink takes it.
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text).unwrap();
    let lines = parsed(&text);
    assert_eq!(count_of(&lines), 20_000);
    let lost = lines.last().unwrap();
    assert_eq!((&lost["event"], &lost["why"]), (&"dropped".into(), &"sink slow".into()));
    assert_eq!(lost["seq"], lines.len());
}

/// A pipe as if it had been inherited.
struct Piped(File);

impl Outlet for Piped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut self.0, bytes)
    }

    fn is_inherited(&self) -> bool {
        true
    }

    fn revive(&mut self, _: &io::Error) -> io::Result<bool> {
        Ok(true)
    }
}

#[test]
fn a_full_disk_that_has_room_again_gets_every_line_whole() {
    let (sink, taken) = acting([Ok(5), full(), Ok(7), full(), full(), Ok(1)]);
    let writer = writer_to(sink);
    let deadline = Instant::now() + LONG;
    writer.record(ready(0));
    // Else the queue may be full before the thread has a processor and finds the disk full.
    while writer.shared.lock().trouble.is_none() {
        assert!(Instant::now() < deadline, "the sink did not fail");
        thread::sleep(Duration::from_millis(1));
    }
    // More than the queue takes while the sink fails.
    (1..5000).for_each(|number| writer.record(ready(number)));
    while !String::from_utf8_lossy(&taken.lock().unwrap()).contains("dropped") {
        assert!(Instant::now() < deadline, "no dropped event came");
        thread::sleep(Duration::from_millis(20));
    }
    writer.close(LONG).unwrap();
    let lines = parsed(str::from_utf8(&taken.lock().unwrap()).unwrap());
    assert_eq!(count_of(&lines), 5000);
    let lost = lines.iter().find(|line| line["event"] == "dropped").unwrap();
    assert_eq!(lost["why"], "sink failed: ENOSPC: No space left on device");
}

#[test]
fn a_sink_that_stays_dead_ends_in_time_with_the_count() {
    let writer = writer_to(open(&Destination::File("/dev/full".into())));
    (0..3).for_each(|number| writer.record(ready(number)));
    (0..12).for_each(|_| writer.record(violation("/a")));
    let before = Instant::now();
    let unwritten = writer.close(LONG).unwrap_err();
    assert!(before.elapsed() < LONG / 2);
    assert_eq!(unwritten.to_string(), "15 events not written: sink failed: ENOSPC: No space left on device");
}

#[test]
fn a_pipe_without_a_reader_is_no_harm() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    let writer = writer_to(Piped(File::from(writer)));
    writer.record(ready(1));
    let unwritten = writer.close(LONG).unwrap_err();
    assert_eq!((unwritten.count, &*unwritten.why), (1, "sink failed: EPIPE: Broken pipe"));
}

#[test]
fn an_error_of_the_threads_first_write_is_not_cleared() {
    let run: RunInThread = |writes| {
        thread::spawn(writes);
        thread::sleep(Duration::from_millis(50));
        Ok(())
    };
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    // Such a sink is tried again after a minute only.
    let shared = Shared::start(run, Piped(File::from(writer)), LineFormat::Diagnostics);
    shared.push_line("first".into());
    let deadline = Instant::now() + LONG;
    while shared.lock().trouble.as_deref() != Some("sink failed: EPIPE: Broken pipe") {
        assert!(Instant::now() < deadline, "{:?}", shared.lock().trouble);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(shared.close(LONG).unwrap_err().count, 1);
}

#[test]
fn a_socket_is_connected_anew() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let writer = writer_to(open(&Destination::Unix(path.clone())));
    writer.record(ready(1));
    let mut first = BufReader::new(listener.accept().unwrap().0);
    let mut line = String::new();
    first.read_line(&mut line).unwrap();
    assert_eq!(parsed(&line).len(), 1);
    drop((first, listener));
    fs::remove_file(&path).unwrap();
    writer.record(ready(2));
    thread::sleep(Duration::from_millis(50));
    let listener = UnixListener::bind(&path).unwrap();
    let mut second = BufReader::new(listener.accept().unwrap().0);
    line.clear();
    second.read_line(&mut line).unwrap();
    assert_eq!(parsed(&line)[0]["after"], "0.002s");
    writer.close(LONG).unwrap();
}

#[test]
fn what_comes_while_there_can_be_no_thread_is_written_once_there_is_one() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
    let run: RunInThread = |writes| match ATTEMPTS.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        _ => threads::run("late-of-test", writes),
    };
    let (sink, taken) = acting([]);
    let shared = Shared::start(run, sink, LineFormat::Diagnostics);
    shared.push_line("first".into());
    let unwritten = shared.close(Duration::ZERO).expect_err("no thread yet");
    assert_eq!(unwritten.count, 1);
    assert!(unwritten.why.contains("no thread can be started"), "{unwritten}");
    shared.lock().closing = false;
    shared.push_line("second".into());
    shared.push_line("third".into());
    shared.close(LONG).expect("all is written");
    assert_eq!(String::from_utf8_lossy(&taken.lock().expect("no panic")), "first\nsecond\nthird\n");
}

#[test]
fn it_sleeps_when_there_is_nothing_to_do() {
    let (sink, taken) = acting([]);
    let format = LineFormat::Events { policy: policy(), nonce: String::new(), seq: 0 };
    let shared = Shared::start(|writes| threads::run("sleeper-of-test", writes), sink, format);
    shared.push_line("\"a\":1}".into());
    while taken.lock().unwrap().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(50));
    let before = wakeups("sleeper-of-test");
    thread::sleep(Duration::from_millis(400));
    assert_eq!(wakeups("sleeper-of-test"), before);
    shared.close(LONG).unwrap();
}

fn wakeups(name: &str) -> String {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of = |task: &Path, file| fs::read_to_string(task.join(file)).unwrap_or_default();
    let task = tasks.map(|task| task.unwrap().path()).find(|task| of(task, "comm").trim() == name).unwrap();
    let status = of(&task, "status");
    status.lines().find(|line| line.starts_with("voluntary")).unwrap().to_owned()
}
