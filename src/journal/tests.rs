use std::io::{self, Read, Seek};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::*;
use crate::image::fingerprint::Fingerprint;
use crate::journal::line::{Outer, VERSION};

/// A disk with room for so many bytes.
#[derive(Debug)]
struct Disk {
    text: Arc<Mutex<Vec<u8>>>,
    room: Arc<AtomicU64>,
    /// A write that does not fit is cut, and its part stays.
    cuts: bool,
}

impl JournalOutput for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().expect("no panic");
        let left = self.room.load(Ordering::SeqCst).saturating_sub(text.len() as u64) as usize;
        if left == 0 {
            return Err(Errno::ENOSPC.into());
        }
        let part = bytes.len().min(left);
        text.extend_from_slice(&bytes[..part]);
        Ok(part)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if !self.cuts {
            return Err(Errno::ESPIPE.into());
        }
        self.text.lock().expect("no panic").truncate(length as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An observation that reads below this path are not observed.
fn gap(path: &str) -> Observed {
    let what = What::Gap { path: path.to_owned(), call: String::new(), why: String::new() };
    Observed::new(Duration::ZERO, Phase::Startup, Observation::ok(what))
}

/// The length of its text in bytes, with the newline.
fn length(line: Observed) -> u64 {
    Line::Observed(line).text().len() as u64 + 1
}

/// The paths of these lines.
fn paths(lines: &[&str]) -> Vec<String> {
    let path = |line: &&str| match Line::read(line.as_bytes()).expect("a line") {
        Line::Observed(Observed {
            observation: Observation { what: What::Gap { path, .. }, .. }, ..
        }) => path,
        other => panic!("{other:?}"),
    };
    lines.iter().map(path).collect()
}

fn start() -> Start {
    Start {
        journal: VERSION,
        run: String::new(),
        command: vec!["app".to_owned()],
        label: None,
        exact: false,
        unwatched: None,
        fingerprint: Fingerprint::default(),
        outer: Outer::default(),
    }
}

struct Bench {
    text: Arc<Mutex<Vec<u8>>>,
    room: Arc<AtomicU64>,
    journal: Arc<Journal>,
}

impl Bench {
    fn new(room: u64, cuts: bool) -> Bench {
        let (text, room) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(room)));
        let disk: Box<dyn JournalOutput> =
            Box::new(Disk { text: Arc::clone(&text), room: Arc::clone(&room), cuts });
        let journal = Arc::new(Journal::over("run".to_owned(), LineWriter::new(disk)));
        Bench { text, room, journal }
    }

    fn text(&self) -> String {
        String::from_utf8(self.text.lock().expect("no panic").clone()).expect("UTF-8")
    }

    /// Waits until each queued line is written or dropped.
    fn settle(&self) {
        while !self.journal.lock().items.is_empty() {
            std::thread::yield_now();
        }
    }

    fn end(&self) {
        self.journal.observed();
        self.journal.end(Status::Code(0), None, &[], Duration::from_secs(10));
    }
}

#[test]
fn what_a_full_disk_cuts_is_cut_away_and_counted() {
    let bench = Bench::new(length(gap("/0")) * 5 / 2, true);
    bench.journal.start().expect("a thread");
    for n in 0..5 {
        assert!(bench.journal.put(gap(&format!("/{n}")), None));
    }
    bench.settle();
    // There is room again: the next line begins at the start of a line.
    while bench.journal.lock().dropped < 3 {
        std::thread::yield_now();
    }
    bench.room.store(10_000, Ordering::SeqCst);
    assert!(bench.journal.put(gap("/after"), None));
    bench.end();
    let text = bench.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(paths(&lines[..3]), ["/0", "/1", "/after"]);
    let end: serde_json::Value = serde_json::from_str(lines[3]).expect("JSON");
    assert_eq!(
        end["end"],
        serde_json::json!({ "exit": { "code": 0 }, "clean": true, "lines": 3, "dropped": 3 })
    );
    assert_eq!(bench.journal.recoveries(), 1, "what was lost may be seen again");
}

#[test]
fn nothing_follows_a_part_of_a_line_that_cannot_be_taken_away() {
    let line = Line::Observed(gap("/0")).text();
    let bench = Bench::new(line.len() as u64 + 7, false);
    bench.journal.start().expect("a thread");
    bench.journal.put(gap("/0"), None);
    bench.journal.put(gap("/1"), None);
    bench.settle();
    while bench.journal.lock().dropped < 1 {
        std::thread::yield_now();
    }
    bench.room.store(10_000, Ordering::SeqCst);
    bench.journal.put(gap("/after"), None);
    bench.end();
    assert_eq!(bench.text(), format!("{line}\n{}", &line[..6]));
}

#[test]
fn an_observer_does_not_wait_for_a_disk_for_long() {
    // Nothing is written: the thread was not started.
    let bench = Bench::new(0, true);
    let began = Instant::now();
    let put = (0..3 * CAPACITY.0).filter(|n| bench.journal.put(gap(&format!("/{n}")), None)).count();
    assert_eq!(put, CAPACITY.0);
    assert_eq!(bench.journal.lock().dropped, 2 * CAPACITY.0 as u64);
    // The queue waited once for room, not 8,192 times.
    assert!(began.elapsed() < ROOM_TIMEOUT * 40, "{:?}", began.elapsed());
    assert!(!bench.journal.put(gap(&"x".repeat(CAPACITY.1)), None), "bytes are bounded too");
}

#[test]
fn a_signal_is_written_once_a_phase() {
    let bench = Bench::new(1000, true);
    for _ in 0..3 {
        bench.journal.signal(SignalName(libc::SIGHUP));
    }
    bench.journal.progress(Progress::Ready);
    bench.journal.signal(SignalName(libc::SIGHUP));
    bench.journal.start().expect("a thread");
    bench.end();
    let text = bench.text();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["kind"], &lines[0]["signal"]), (&"signal".into(), &"HUP".into()));
    assert_eq!((&lines[0]["phase"], &lines[1]["phase"]), (&"startup".into(), &"serving".into()));
    assert_eq!(lines[2]["end"]["lines"], 2);
}

#[test]
fn the_digest_of_a_program_stands_in_its_line() {
    let bench = Bench::new(1000, true);
    let mut file = tempfile::tempfile().expect("a file");
    io::Write::write_all(&mut file, b"abc").and_then(|()| file.rewind()).expect("written");
    bench.journal.put(gap("/app"), Some(file));
    bench.journal.start().expect("a thread");
    bench.end();
    let line: serde_json::Value =
        serde_json::from_str(bench.text().lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["sha256"], "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn every_run_has_a_file_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = JournalDestination::Directory(folder.path().to_owned());
    let runs: BTreeSet<String> =
        (0..32).map(|_| Journal::create(&to, "/usr/bin/My App", start()).expect("made").run).collect();
    assert_eq!(runs.len(), 32);
    for run in &runs {
        assert!(
            run.starts_with("my-app-2") && run.as_bytes()["my-app-20261122T100000".len()] == b'Z',
            "{run}"
        );
        let mut text = String::new();
        let mut file = File::open(folder.path().join(format!("{run}.jsonl"))).expect("its file");
        file.read_to_string(&mut text).expect("read");
        assert_eq!(Start::read(text.as_bytes()).expect("a first line").run, *run);
        assert!(text.ends_with("}\n"), "{text}");
    }
}

#[test]
fn the_directory_is_made_where_its_parent_is_there() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("journals");
    let to = JournalDestination::Directory(directory.clone());
    to.prepare().expect("made");
    let mode = std::fs::metadata(&directory).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    to.prepare().expect("it is there already");
    Journal::create(&to, "app", start()).expect("a journal");
    let deeper =
        JournalDestination::Directory(directory.join("none/journals")).prepare().expect_err("no parent");
    let deeper = deeper.to_string();
    assert!(deeper.contains("No such file") && deeper.contains("mount a volume"), "{deeper}");
    // A dangling link names no directory to create.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).expect("a link");
    let to = JournalDestination::Directory(link);
    to.prepare().expect("something is there");
    Journal::create(&to, "app", start()).expect_err("it leads nowhere");
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn where_no_journal_can_be_written_one_line_says_what_to_do() {
    let create = |path: &str| {
        Journal::create(&JournalDestination::Directory(path.into()), "app", start())
            .expect_err("cannot be written")
            .to_string()
    };
    let none = create("/nonexistent/journals");
    for word in ["/nonexistent/journals", "No such file", "mount a volume", "--learn-dir"] {
        assert!(none.contains(word), "{word}: {none}");
    }
    let file = create("/etc/passwd");
    assert!(file.contains("Not a directory") && file.contains("--learn-dir"), "{file}");
    assert!(create("/proc").contains("--learn-dir"));
}

#[test]
fn a_run_is_clean_that_ended_well_or_was_stopped() {
    use Progress::{Bound, Launched, Ready};
    let long = Duration::from_secs(60);
    let ending = |exit, stopped, progress| ending(exit, stopped, &[7], progress, long);
    let clean = |exit, stopped, progress| ending(exit, stopped, progress) == Ending::Clean;
    let signal = |signal| Status::Signal(SignalName(signal));
    let term = Some(libc::SIGTERM);
    assert!(clean(Status::Code(0), None, Launched));
    assert!(clean(Status::Code(7), None, Ready), "a code that counts as 0");
    assert!(!clean(Status::Code(1), None, Ready));
    assert!(!clean(signal(libc::SIGSEGV), None, Ready));
    assert!(!clean(signal(libc::SIGTERM), None, Ready), "somebody inside killed it");
    assert!(clean(signal(libc::SIGTERM), term, Ready));
    assert!(clean(Status::Code(143), term, Ready));
    assert!(clean(Status::Code(1), term, Ready));
    assert!(!clean(Status::Code(139), term, Ready), "it crashed on the way");
    assert!(!clean(signal(libc::SIGKILL), term, Ready), "it had to be killed");
    assert_eq!(ending(signal(libc::SIGTERM), term, Bound), Ending::Early, "while it was starting up");
    assert_eq!(ending(Status::Code(139), term, Bound), Ending::Bad, "it crashed while it was starting up");
    assert!(clean(signal(libc::SIGTERM), term, Launched), "it never listens");
    let soon = super::ending(signal(libc::SIGTERM), term, &[], Launched, Duration::from_millis(10));
    assert_eq!(soon, Ending::Early);
}
