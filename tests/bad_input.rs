//! Bad input to the shim and the tool: each is refused with one line that says what
//! is wrong, where, and what to do, with its exit code, and the app has not run.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Ended, Running, command, probe, run, shim, skip};
use serde_json::{Value, json};

/// A folder with a profile that lets `touch` make one file, the marker.
struct Bench {
    folder: tempfile::TempDir,
    touch: PathBuf,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        // Another uid has to get to what lies in it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        fs::create_dir(folder.path().join("out")).expect("a folder");
        let touch = fs::canonicalize("/usr/bin/touch").expect("touch is there");
        let bench = Bench { folder, touch };
        bench.write("profile.json", bench.profile(&json!({})).to_string());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), text).expect("written");
        self.text(name)
    }

    fn program(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    }

    /// The good profile, with some keys changed.
    fn profile(&self, changes: &Value) -> Value {
        let mut profile = json!({
            "remit": 1,
            "name": "bench",
            "programs": [{ "path": self.touch, "entry": true }],
            "files": ["@runtime", { "path": self.path("out"), "allow": ["write", "create"] }],
        });
        let changes = changes.as_object().expect("an object").clone();
        profile.as_object_mut().expect("an object").extend(changes);
        profile
    }

    /// The shim with options, about to make the marker.
    fn touching(&self, options: &[&str]) -> Command {
        let mut command = shim(options);
        command.arg("--").arg(&self.touch).arg(self.path("out/marker")).current_dir(self.folder.path());
        command
    }

    fn ran(&self) -> bool {
        self.path("out/marker").exists()
    }

    /// One line that begins so and says that; nothing ran.
    #[track_caller]
    fn refused(&self, command: &mut Command, code: i32, says: &[&str]) -> String {
        let ended = run(command);
        let line = ended.line(code).to_owned();
        // For who runs this with --nocapture, to read them as a user would.
        println!("{line}");
        assert!(line.starts_with("remit-init: "), "{line}");
        for word in says {
            assert!(line.contains(word), "{word:?} is not said by: {line}");
        }
        assert!(!line.contains("os error"), "no bare number is said: {line}");
        assert!(!self.ran(), "the app ran: {line}");
        assert_eq!(ended.stdout, "", "{line}");
        line
    }

    /// A change of the good profile that cannot be honoured.
    #[track_caller]
    fn refused_profile(&self, changes: Value, says: &[&str]) {
        let path = self.write("changed.json", self.profile(&changes).to_string());
        self.refused(&mut self.touching(&["--profile", &path]), 125, says);
    }
}

#[test]
fn good_input_runs_so_that_the_others_can_fail() {
    let bench = Bench::new();
    let profile = bench.text("profile.json");
    for options in [&["--profile", &profile][..], &["--mode", "off"], &["--profile", "baseline"]] {
        let ended = run(&mut bench.touching(options));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{options:?}");
        assert!(bench.ran(), "{options:?}");
        fs::remove_file(bench.path("out/marker")).expect("it is there");
    }
}

#[test]
fn every_bad_profile_is_refused_at_its_place() {
    #[derive(serde::Deserialize)]
    struct Expected {
        at: String,
        says: Vec<String>,
    }
    let bench = Bench::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/profile/bad");
    let expected = fs::read(folder.join("expected.json")).expect("expectations");
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&expected).expect("JSON");
    assert!(expected.len() > 30, "the fixtures are there");
    for (name, Expected { at, says }) in expected {
        let path = folder.join(name + ".json").to_str().expect("UTF-8").to_owned();
        let mut words: Vec<&str> = says.iter().map(String::as_str).collect();
        words.push(&at);
        let line = bench.refused(&mut bench.touching(&["--profile", &path]), 125, &words);
        let place = line
            .strip_prefix(&format!("remit-init: profile {path}:"))
            .unwrap_or_else(|| panic!("the file comes first: {line}"));
        let numbers: Vec<&str> = place.splitn(3, ':').collect();
        assert!(numbers[..2].iter().all(|number| number.parse::<u32>().is_ok_and(|n| n > 0)), "{line}");

        let ended = run(command(harness::TOOL).args(["plan", &path, "--kernel", "6.12"]));
        let line = ended.line(2);
        assert!(line.starts_with("remit: ") && line.contains(&path), "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    }
}

#[test]
fn a_profile_that_is_no_file_to_read() {
    let bench = Bench::new();
    let refused = |profile: &str, says: &[&str]| {
        let line = bench.refused(&mut bench.touching(&["--profile", profile]), 125, says);
        assert!(line.contains(profile.split('@').next().unwrap_or(profile)), "{line}");
        let ended = run(command(harness::TOOL).args(["plan", profile]).current_dir(bench.folder.path()));
        let line = ended.line(2);
        assert!(says.iter().all(|word| line.contains(word)), "{says:?}: {line}");
    };
    refused("./none.json", &["not found"]);
    // The shim runs in an image, the tool anywhere.
    bench.refused(&mut bench.touching(&["--profile", "./none.json"]), 125, &["mount it", "baseline"]);
    refused(&bench.text("out"), &["is a directory", "name the file"]);
    refused(&bench.text("profile.json/x"), &["profile.json/x"]);
    fs::File::create(bench.path("large.json")).expect("made").set_len(100_000_000).expect("sparse");
    refused("./large.json", &["100000000 bytes", "16 MiB"]);
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    refused(&bench.write("list.json", deep), &["nested deeper", ":1:"]);
    let deep = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
    refused(&bench.write("object.json", deep), &["nested deeper", ":1:"]);
    nix::unistd::mkfifo(&bench.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    refused("./fifo", &["no regular file"]);
    refused("/dev/zero", &["no regular file"]);
    let other = "0".repeat(64);
    refused(&format!("./profile.json@sha256:{other}"), &[&other, "was demanded", "approve"]);
    refused("./profile.json@sha256:abcd", &["sha256:abcd is no digest", "64"]);

    bench.refused(&mut bench.touching(&["--profile", "basline"]), 125, &["\"baseline\"?", "strict"]);
    bench.refused(&mut bench.touching(&["--profile", "profile.json"]), 125, &["slash"]);
    bench.refused(bench.touching(&[]).env("REMIT_PROFILE", "x"), 125, &["\"x\"", "baseline"]);
}

#[test]
fn what_another_user_may_not_do() {
    if !skip::is_root() {
        return;
    }
    let bench = Bench::new();
    // The build's folder need not be open to everyone.
    let copy = bench.path("shim");
    // By another process: a descriptor for writing that a test beside this one forks
    // along would make it busy.
    let copied = command("cp").arg(harness::SHIM).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()));
    let unprivileged = |options: &[&str]| {
        let mut shim = command(&copy);
        shim.args(options).arg("--").arg(&bench.touch).arg(bench.path("out/marker"));
        shim.uid(65534).gid(65534).current_dir("/");
        shim
    };
    let secret = bench.write("secret.json", "{}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("chmod");
    bench.refused(&mut unprivileged(&["--profile", &secret]), 125, &[&secret, "may not be read"]);

    let says = ["run_as", "uid 1000", "from uid 65534", "setuid", "start the container as that user"];
    let ids = json!({ "run_as": { "user": 1000, "group": 1000, "groups": [] } });
    let path = bench.write("ids.json", bench.profile(&ids).to_string());
    bench.refused(&mut unprivileged(&["--profile", &path]), 125, &says);
    let says = ["--run-as: ", "uid 0", "from uid 65534"];
    bench.refused(&mut unprivileged(&["--run-as", "0:0"]), 125, &says);

    let says = ["/shadow", "Permission denied", "right to write"];
    let place = bench.text("kept");
    fs::create_dir(&place).expect("a folder");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).expect("chmod");
    bench.refused(&mut unprivileged(&["--events", &format!("{place}/shadow")]), 125, &says);
}

#[test]
fn a_profile_that_this_place_cannot_honour() {
    let bench = Bench::new();
    let missing = bench.text("missing");
    let file =
        |path: &str, allow: &[&str]| json!({ "files": ["@runtime", { "path": path, "allow": allow }] });
    bench.refused_profile(file(&missing, &["read"]), &["/files/1: ", &missing, "not there", "optional"]);
    let deeper = format!("{missing}/x");
    bench.refused_profile(file(&deeper, &["create"]), &["/files/1: ", &deeper, "directory of", "not there"]);
    let touch = json!({ "path": bench.touch, "entry": true });
    let programs = |other: Value| json!({ "programs": [touch, other] });
    bench.refused_profile(programs(json!({ "path": missing })), &["/programs/1/path: ", &missing]);
    bench.refused_profile(programs(json!({ "beneath": missing })), &["/programs/1/beneath: ", &missing]);
    bench.refused_profile(programs(json!({ "path": "/usr" })), &["/programs/1", "is a directory", "beneath"]);
    let script = bench.program("script", "#!/bin/sh\n");
    bench.refused_profile(
        programs(json!({ "path": script })),
        &["/programs/1", "\"interpreter\": \"/bin/sh\""],
    );
    let text = bench.program("text", "echo\n");
    bench.refused_profile(programs(json!({ "path": text })), &["/programs/1", "#!"]);
    let limits = json!({ "limits": { "open_files": 1_u64 << 62 } });
    bench.refused_profile(limits, &["/limits/open_files: ", "hard limit", "ulimit"]);
}

#[test]
fn what_the_app_could_change_of_its_own_guard() {
    let bench = Bench::new();
    let file = |path: &Path| json!({ "files": ["@runtime", { "path": path, "allow": ["write", "create"] }] });
    let own = ["/files/1: ", "the profile", "changed.json"];
    bench.refused_profile(file(bench.folder.path()), &own);
    let shims = Path::new(harness::SHIM).parent().expect("a directory");
    bench.refused_profile(file(shims), &["/files/1: ", harness::SHIM, "remit-init"]);

    // One that is read through a link: the link is guarded where it lies.
    std::os::unix::fs::symlink("../changed.json", bench.path("out/link.json")).expect("a link");
    bench.write("changed.json", bench.profile(&json!({})).to_string());
    let link = bench.text("out/link.json");
    let mut shim = bench.touching(&["--profile", &link]);
    bench.refused(&mut shim, 125, &["/files/1: ", "a link to the profile", &link]);
    fs::remove_file(&link).expect("it is there");

    let profile = bench.text("profile.json");
    for there in [false, true] {
        let events = bench.text("out/events");
        if there {
            fs::write(&events, "").expect("written");
        }
        let mut shim = bench.touching(&["--profile", &profile, "--events", &events]);
        bench.refused(&mut shim, 125, &["/files/1: ", "the event file", &events]);
        fs::remove_file(&events).expect("it was made to be protected");
    }
    let socket = bench.text("out/socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let mut shim = bench.touching(&["--profile", &profile, "--events", &format!("unix:{socket}")]);
    bench.refused(&mut shim, 125, &["/files/1: ", "the event file", &socket]);
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    let bench = Bench::new();
    let yet = "does not honour";
    for (side, entry, advice) in [("listen", "udp/127.0.0.1:*", "udp/*"), ("connect", "udp/53", "udp/*")] {
        let network = json!({ "network": { side: [entry] } });
        bench.refused_profile(network, &[&format!("/network/{side}/0: "), yet, advice]);
    }
    // Nothing is named that could ever listen.
    bench.refused_profile(json!({ "ready": { "when": "listening" } }), &["/ready: ", "network.listen"]);
}

#[test]
fn a_learning_run_that_could_not_be_written_does_not_begin() {
    let bench = Bench::new();
    let none = ["learning: ", "/nonexistent/journals", "mount a volume", "--learn-dir"];
    let learn = |more: &[&str]| bench.touching(&[&["--mode", "learn"], more].concat());
    bench.refused(&mut learn(&["--learn-dir", "/nonexistent/journals"]), 125, &none);
    bench.refused(learn(&[]).env("REMIT_LEARN_DIR", "/nonexistent/journals"), 125, &none);
    let file = ["learning: ", "/etc/passwd", "Not a directory", "--learn-dir"];
    bench.refused(&mut learn(&["--learn-dir", "/etc/passwd"]), 125, &file);
    bench.refused(&mut learn(&["--label", "a,b"]), 125, &["--label", "a,b", "without a comma"]);
    bench.refused(learn(&[]).env("REMIT_LABEL", "a\nb"), 125, &["REMIT_LABEL", "without a comma"]);
    bench.refused(learn(&[]).env("REMIT_LEARN_EXACT", "yes"), 125, &["REMIT_LEARN_EXACT", "yes", "1 or 0"]);
}

#[test]
fn a_command_that_cannot_be_executed() {
    let bench = Bench::new();
    let of = |name: &str, says: &'static [&'static str], code| (name.to_owned(), says, code);
    let elf = |machine: u16| {
        let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
        header.extend(machine.to_le_bytes());
        header.resize(200, 0);
        header
    };
    let foreign = if cfg!(target_arch = "x86_64") { (183, "aarch64") } else { (62, "x86_64") };
    let foreign_says: &'static [&'static str] =
        if foreign.1 == "aarch64" { &["another machine", "aarch64"] } else { &["another machine", "x86_64"] };
    let mut loaded = fs::read(&bench.touch).expect("read");
    let loader = loaded.windows(4).position(|four| four == b"/lib").expect("it names a loader");
    loaded[loader..][..5].copy_from_slice(b"/nib/");
    bench.write("plain", "#!/bin/sh\n");
    bench.program("foreign", elf(foreign.0));
    bench.program("loaded", loaded);
    bench.program("script", "#!/no/such/shell -e\n");
    bench.program("bare", "#!\n");
    bench.program("text", "echo hello\n");
    bench.program("cut", b"\x7fELF");
    bench.program("empty", "");
    for mode in ["off", "enforce", "audit"] {
        for (name, says, code) in [
            of("remit-no-such-command", &["remit-no-such-command", "PATH", "whole path"], 127),
            of("/no/such/command", &["/no/such/command", "not found"], 127),
            of("", &["COMMAND is empty"], 127),
            of("./plain", &["/plain", "no execute bit", "chmod +x"], 126),
            of("./out", &["/out", "is a directory"], 126),
            of("/dev/null", &["/dev/null", "device"], 126),
            of("./foreign", foreign_says, 126),
            of("./loaded", &["/loaded", "ELF loader", "/nib/", "not there"], 126),
            of("./script", &["/script", "interpreter", "/no/such/shell", "not there"], 126),
            of("./bare", &["/bare", "#!"], 126),
            of("./text", &["/text", "begin a script with", "#!/bin/sh"], 126),
            of("./cut", &["/cut", "neither"], 126),
            of("./empty", &["/empty", "neither"], 126),
        ] {
            let mut shim = shim(["--mode", mode, "--", &name]);
            bench.refused(shim.current_dir(bench.folder.path()), code, says);
        }
    }
    let profile = bench.text("profile.json");
    let mut other = shim(["--profile", &profile, "true"]);
    let line = bench.refused(&mut other, 126, &["true: is no entry", &profile, "apply ["]);
    // The hint makes exactly this command an entry.
    let patch = line.split_once("apply ").expect("said").1;
    let patch: json_patch::Patch = serde_json::from_str(patch).expect("a JSON Patch");
    let mut document = bench.profile(&json!({}));
    json_patch::patch(&mut document, &patch).expect("it applies");
    let patched = bench.write("patched.json", document.to_string());
    let ended = run(&mut shim(["--profile", &patched, "true"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn events_that_can_go_nowhere() {
    let bench = Bench::new();
    let refused = |destination: &str, says: &[&str]| {
        bench.refused(&mut bench.touching(&["--events", destination]), 125, says);
        bench.refused(bench.touching(&[]).env("REMIT_EVENTS", destination), 125, says);
    };
    let folder = bench.text("out");
    refused(&folder, &["events: ", &folder, "is a directory", "name a file"]);
    refused("./none/events", &["./none/events", "directory is not there", "mount"]);
    refused("./profile.json/events", &["./profile.json/events", "Not a directory"]);
    refused("fd:200", &["descriptor 200", "200>FILE"]);
    refused("fd:0", &["descriptor 0", "reading only"]);
    refused("fd:x", &["fd:x", "fd:3"]);
    refused("stdout", &["`stdout`", "stderr", "unix:PATH"]);
    refused("unix:relative", &["unix:relative", "absolute"]);
    let unbound = bench.text("unbound");
    refused(&format!("unix:{unbound}"), &[&unbound, "listener"]);
    drop(std::os::unix::net::UnixListener::bind(&unbound).expect("bound"));
    refused(&format!("unix:{unbound}"), &[&unbound, "Connection refused", "listener"]);
    nix::unistd::mkfifo(&bench.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    refused("./fifo", &["./fifo", "FIFO", "reader"]);
}

/// An app that waits for TERM, supervised with these options.
fn waiting(shim: &mut Command) -> Running {
    let mut running = Running::start(shim.arg("--").arg(probe()).args(["signals", "15", "0"]));
    running.expect("ready");
    running
}

fn end(running: Running) -> Ended {
    running.signal(libc::SIGTERM);
    running.end()
}

#[test]
fn a_sink_that_takes_nothing_costs_events_and_never_the_app() {
    let said = |ended: &Ended, why: &str| {
        assert_eq!(ended.code, 0, "{ended:?}");
        let line = ended.line(0);
        assert!(line.contains("not written") && line.contains(why), "{line}");
    };
    said(&end(waiting(&mut shim(["--events", "/dev/full"]))), "ENOSPC");

    // A pipe whose reader goes while the app runs, and one whose reader has gone.
    for before in [true, false] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut reader = Some(reader);
        if before {
            reader.take();
        }
        let mut shim = shim(["--events", "fd:9"]);
        let fd = std::os::fd::AsRawFd::as_raw_fd(&writer);
        let give = move || {
            // SAFETY: async-signal-safe, integers only.
            match unsafe { libc::dup2(fd, 9) } {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        };
        // SAFETY: only that call is made between fork and exec.
        unsafe { shim.pre_exec(give) };
        let running = waiting(&mut shim);
        drop((reader, writer));
        said(&end(running), "EPIPE");
    }
}

#[test]
fn a_listener_that_comes_back_gets_the_count_of_what_it_missed() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events");
    let listener = UnixListener::bind(&path).expect("bound");
    let mut shim = shim(["--profile", "baseline", "--events"]);
    // The baseline may write almost everywhere, but not where the socket is.
    let profile = folder.path().join("profile.json");
    let programs = json!([{ "path": probe(), "entry": true }]);
    let text = json!({ "remit": 1, "name": "listened", "programs": programs, "files": ["@runtime"] });
    fs::write(&profile, text.to_string()).expect("written");
    shim.arg(format!("unix:{}", path.display())).arg("--profile").arg(&profile);
    let mut running = waiting(&mut shim);
    let (stream, _) = listener.accept().expect("the shim connects");
    let mut first = String::new();
    BufReader::new(stream).read_line(&mut first).expect("a line");
    assert!(first.contains(r#""event":"start""#), "{first}");
    // The reader is gone by now; what follows cannot be written. More than a queue
    // holds is lost, by count.
    for _ in 0..3000 {
        running.signal(libc::SIGUSR1);
        running.expect("signal 10 0");
    }
    let (stream, _) = listener.accept().expect("it connects again");
    let ended = std::thread::spawn(move || end(running));
    let mut lines = 0_u64;
    let mut lost = 0;
    for line in BufReader::new(stream).lines() {
        let event: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        match event["event"].as_str() {
            Some("dropped") => lost += event["count"].as_u64().expect("a count"),
            _ => lines += 1,
        }
    }
    let ended = ended.join().expect("it ended");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert!(lost > 0, "some were lost: {lines} came");
    // The signals, and with the last one its event, the app's exit and the stop.
    assert_eq!(lines + lost, 3000 + 3, "{lines} came and {lost} were counted");
}

#[test]
fn a_command_line_and_an_environment_that_say_nothing_sensible() {
    let bench = Bench::new();
    for (option, says) in [
        ("--frob", "--frob"),
        ("-x", "-x"),
        ("--grace=8", "\"8s\""),
        ("--grace=-1s", "\"10s\""),
        ("--grace=", "\"500ms\""),
        ("--run-as=no-such-user", "/etc/passwd"),
        ("--run-as=1:2:3", "/etc/group"),
        ("--run-as=-1", "/etc/passwd"),
        ("--run-as=1:", "USER:GROUP"),
        ("-pFOO", "TERM"),
        ("-r15", "TERM:QUIT"),
        ("-rTERM:FOO", "`FOO` is no signal"),
        ("-rTREM:INT", "did you mean TERM?"),
        ("--rewrite=99:1", "1 to 64"),
        ("--status=FOO", "1 to 64"),
        ("--drain=10", "\"10s\""),
        ("--porfile=strict", "--profile"),
        ("--as=init", "unknown name `init`"),
        ("-p0", "1 to 64"),
        ("-p65", "1 to 64"),
        ("-e256", "0 to 255"),
        ("-e-1", "0 to 255"),
        ("--mode=enforced", "enforce, audit, learn or off"),
        ("--mode=", "enforce, audit, learn or off"),
        ("--profile=", "baseline"),
        ("--events=", "stderr"),
    ] {
        bench.refused(&mut bench.touching(&[option]), 125, &[says]);
    }
    for (name, value) in [
        ("REMIT_MODE", "garbage"),
        ("REMIT_EVENTS", "garbage"),
        ("REMIT_EVENTS_LEVEL", "garbage"),
        ("REMIT_EVENTS_ARGS", "garbage"),
        ("TINI_VERBOSITY", "garbage"),
    ] {
        bench.refused(bench.touching(&[]).env(name, value), 125, &["`garbage`", "expected"]);
        // Set to nothing is not set, as in a compose file.
        let ended = run(bench.touching(&[]).env(name, ""));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{name}");
        fs::remove_file(bench.path("out/marker")).expect("it ran");
    }
    for args in [&[][..], &["--"], &["--mode", "off"], &["-s"]] {
        bench.refused(&mut shim(args), 125, &["no COMMAND", "--help"]);
    }
    bench.refused(&mut shim(["--profile"]), 125, &["--profile"]);
    bench.refused(&mut shim(["--as", "init", "true"]), 125, &["`init`", "dumb-init"]);
}

#[test]
fn a_refusal_with_no_stderr_still_has_its_code() {
    let bench = Bench::new();
    for fds in [&[2][..], &[0, 1, 2]] {
        let mut shim = bench.touching(&["--profile", "./none.json"]);
        shim.stdout(Stdio::null()).stderr(Stdio::null());
        let fds = fds.to_vec();
        let close = move || {
            for fd in &fds {
                // SAFETY: async-signal-safe, and std uses them no more.
                unsafe { libc::close(*fd) };
            }
            Ok(())
        };
        // SAFETY: only that call is made between fork and exec.
        unsafe { shim.pre_exec(close) };
        assert_eq!(shim.status().expect("it starts").code(), Some(125));
        assert!(!bench.ran());
    }
    // A pipe without a reader neither kills it nor changes what it answers.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = bench.touching(&["--profile", "./none.json"]).stderr(writer).status();
    assert_eq!(status.expect("it starts").code(), Some(125));
}

#[test]
fn a_large_or_odd_environment_comes_through() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    for mode in ["off", "enforce"] {
        let mut shim = shim(["--mode", mode, "--", "env"]);
        for index in 0..10 {
            shim.env(format!("LARGE{index}"), "x".repeat(100_000));
        }
        shim.env(OsStr::from_bytes(b"ODD\xff"), OsStr::from_bytes(b"\xfe"));
        let ended = run(&mut shim);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{mode}");
        assert!(ended.stdout.len() > 1_000_000, "{mode}: {}", ended.stdout.len());
        assert!(ended.stdout.contains("ODD\u{fffd}="), "{mode}");
    }
}

#[test]
fn a_message_is_one_line_whatever_a_name_holds() {
    let bench = Bench::new();
    bench.refused(&mut bench.touching(&["--profile", "./a\nb\u{1b}[31m.json"]), 125, &["not found"]);
    let ended = run(&mut shim(["/no/such\nthing\u{1b}[31m"]));
    assert!(!ended.line(127).contains('\u{1b}'), "no escape reaches the terminal: {ended:?}");
}

#[test]
fn a_full_disk_for_events() {
    if !skip::namespaces() {
        return;
    }
    // A tmpfs of one page that is full, in a mount namespace of its own.
    let folder = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=4k none \"$1\" && head -c 4096 /dev/zero >\"$1/filler\" && \
                  exec \"$2\" --profile \"$4\" --events \"$1/filler\" -- \"$3\" exit 3";
    let profile = tempfile::NamedTempFile::new().expect("a file");
    let programs = json!([{ "path": probe(), "entry": true }]);
    let text = json!({ "remit": 1, "name": "full", "programs": programs, "files": ["@runtime"] });
    fs::write(profile.path(), text.to_string()).expect("written");
    let mut unshare = command("unshare");
    unshare.args(["-Urmpf", "--mount-proc", "--kill-child", "sh", "-c", script, "sh"]);
    unshare.arg(folder.path()).arg(harness::SHIM).arg(probe()).arg(profile.path());
    let ended = run(&mut unshare);
    let line = ended.line(3);
    assert!(line.contains("not written") && line.contains("ENOSPC"), "{line}");
}

#[test]
fn an_event_file_is_appended_to() {
    let bench = Bench::new();
    let events = bench.write("events", "what was there\n");
    let profile = bench.text("profile.json");
    let ended = run(&mut bench.touching(&["--profile", &profile, "--events", &events]));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let text = fs::read_to_string(&events).expect("read");
    assert!(text.starts_with("what was there\n{\"remit\":1,\"seq\":1,"), "{text}");
    let last = text.lines().last().expect("a line");
    assert!(last.contains(r#""event":"stop""#), "{last}");
}
