//! Every call of the launch made to fail once, by a filter that is there before the
//! shim: never an unguarded start, never a hang, never a panic.
//!
//! That a start is guarded is not believed: the app tries what every layer is to refuse.

#[path = "../harness/mod.rs"]
mod harness;

mod calls;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;

use calls::{CALLS, Call, DISTINGUISHED, Expect};
use harness::{Ended, command, probe, run, skip};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use remit::kernel::Arch;
use serde_json::{Value, json};

const ERRNOS: [Errno; 5] = [Errno::ENOSYS, Errno::EPERM, Errno::EINVAL, Errno::ENOMEM, Errno::EMFILE];

/// How the app is launched: as root stays root, as a user, and as a user where what is
/// lacking is done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Root,
    User,
    Degrade,
}

/// What the app's exit code says (tests/init/faults.rs), and what its end by a signal is.
const ALL_REFUSED: i32 = 70;
const WENT_THROUGH: i32 = 71;
const ANOTHER_PROGRAM: i32 = 72;
const ABORTED: i32 = -libc::SIGABRT;

#[test]
fn each_call_of_the_launch_as_root() {
    every_fault(Way::Root);
}

#[test]
fn each_call_of_the_launch_as_a_user() {
    every_fault(Way::User);
}

#[test]
fn each_call_of_the_launch_where_less_is_allowed() {
    every_fault(Way::Degrade);
}

/// So that the others can fail: without the shim everything goes through, and with it
/// and no fault everything is refused and what is granted is given.
#[test]
fn without_a_fault_all_is_confined_and_without_the_shim_nothing() {
    if !skip::is_root() {
        return;
    }
    let programs = Programs::new();
    let place = Place::new(&programs);
    let mut words = place.filtered(None);
    words.extend(place.attack(Way::User));
    let ended = place.run(&words);
    let refused: Vec<&str> = ended.stdout.lines().filter(|line| !line.ends_with(": through")).collect();
    assert_eq!((ended.code, refused), (ANOTHER_PROGRAM, vec!["granted"]), "{ended:?}");
    for way in [Way::Root, Way::User, Way::Degrade] {
        let place = Place::new(&programs);
        let ended = place.run(&place.launch(way, None));
        assert_eq!(confined_by(&ended, Expect::Confined), Ok(()), "{way:?}: {ended:?}");
        assert!(place.layers().iter().all(|(_, state)| state == "active"), "{:?}", place.layers());
    }
}

/// The list is complete, as strace sees it.
#[test]
fn no_call_of_the_launch_is_missing_in_the_list() {
    if !skip::is_root() {
        return;
    }
    if !skip::has("/usr/bin/strace") {
        return;
    }
    let programs = Programs::new();
    let mut made = BTreeSet::new();
    for way in [Way::Root, Way::User, Way::Degrade] {
        made.append(&mut record(&Place::new(&programs), way));
    }
    let listed: BTreeSet<_> = CALLS.iter().map(|call| (call.name.to_owned(), call.value)).collect();
    assert_eq!(listed.len(), CALLS.len(), "each is listed once");
    let new: Vec<_> = made.difference(&listed).collect();
    assert!(new.is_empty(), "the launch makes calls that CALLS does not list: {new:?}");
    let is_confined = |call: &Call| {
        use Expect::{Confined, ConfinedTighter, NeverRefused, Runtime};
        matches!(call.expect, Confined | ConfinedTighter | Runtime | NeverRefused)
    };
    let needed =
        CALLS.iter().filter(|call| !is_confined(call)).map(|call| (call.name.to_owned(), call.value));
    let gone: Vec<_> = needed.filter(|call| !made.contains(call)).collect();
    assert!(gone.is_empty(), "CALLS lists what the launch makes no more: {gone:?}");
}

/// Refuses each call with each errno, as many launches at a time as there are cores.
fn every_fault(way: Way) {
    if !skip::is_root() {
        return;
    }
    let programs = Programs::new();
    let each = CALLS.iter().flat_map(|call| ERRNOS.map(|errno| (call, errno)));
    let faults = Mutex::new(each.filter(|(call, _)| call.expect != Expect::NeverRefused));
    let wrong = Mutex::new(Vec::new());
    let next = || faults.lock().expect("no panic while it is held").next();
    let work = || {
        while let Some((call, errno)) = next() {
            let place = Place::new(&programs);
            let ended = place.run(&place.launch(way, Some((call, errno))));
            if let Err(why) = check(way, call.expect(errno), errno, &ended, &place) {
                let what = format!("{}({:?}) {errno:?}: {why}: {ended:?}", call.name, call.value);
                wrong.lock().expect("no panic while it is held").push(what);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().expect("no panic while it was held");
    assert!(wrong.is_empty(), "{way:?}: {} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is wrong with how it ended.
fn check(way: Way, expect: Expect, errno: Errno, ended: &Ended, place: &Place) -> Result<(), String> {
    match expect {
        Expect::Confined | Expect::ConfinedTighter => confined_by(ended, expect),
        Expect::RefusedUser(_) if way == Way::Root => confined_by(ended, Expect::Confined),
        Expect::Refused(says) | Expect::RefusedUser(says) => refused(ended, 125, says, Some(errno)),
        Expect::Unsaid(says) => refused(ended, 125, says, None),
        Expect::NotExecutable => refused(ended, 126, "cannot be executed", Some(errno)),
        Expect::Missing(layer) | Expect::MissingThenRefused(layer, _) if way != Way::Degrade => refused(
            ended,
            125,
            &format!("cannot give what profile `user` asks for: {layer} needs "),
            Some(errno),
        ),
        Expect::Absent(layer) if way != Way::Degrade => {
            refused(ended, 125, &format!("cannot give what profile `user` asks for: {layer} needs "), None)
        }
        Expect::MissingThenRefused(_, says) => refused(ended, 125, says, Some(errno)),
        Expect::Missing(layer) | Expect::Absent(layer) => degraded(ended, layer, &place.layers()),
        Expect::Runtime => match ended.code {
            ALL_REFUSED => Ok(()),
            // Rust's panic in a debug build, the C library's exit, an abort.
            101 | 127 | ABORTED if ended.stdout.is_empty() || all_refused(&ended.stdout, |_| true) => Ok(()),
            _ => refused(ended, 125, "", Some(errno)),
        },
        Expect::NeverRefused => Err("it cannot be refused".to_owned()),
    }
}

/// The app ran, and nothing went through.
fn confined_by(ended: &Ended, expect: Expect) -> Result<(), String> {
    if ended.code != ALL_REFUSED {
        return Err("the app is to run, and all that it tries to be refused".to_owned());
    }
    // Where `write` is refused, nothing is said by anybody.
    let granted = ended.stdout.is_empty() || ended.stdout.ends_with("\ngranted\n");
    if expect == Expect::Confined && !granted {
        return Err("what is granted is to be given".to_owned());
    }
    Ok(())
}

/// One line that names the step and the errno, and an app that never ran.
fn refused(ended: &Ended, code: i32, says: &str, errno: Option<Errno>) -> Result<(), String> {
    if ended.code != code || !ended.stdout.is_empty() {
        return Err(format!("it is to be refused with {code}"));
    }
    let one = ended.stderr.strip_suffix('\n').filter(|line| !line.contains('\n'));
    let line = one.and_then(|line| line.strip_prefix("remit-init: ")).ok_or("one line is to be said")?;
    // pthread_create(3) says EAGAIN for ENOMEM.
    let others = if errno == Some(Errno::ENOMEM) { "EAGAIN" } else { "" };
    let named = errno.is_none_or(|errno| {
        let words = [errno.desc(), &format!("{errno:?}"), others];
        words.iter().any(|word| !word.is_empty() && line.contains(word))
    });
    if !line.contains(says) || !named || line.contains("os error") {
        return Err(format!("{says:?} is to be said, and the errno's name"));
    }
    Ok(())
}

/// The app runs, the start event says what is not active, and the rest holds.
fn degraded(ended: &Ended, layer: &str, layers: &[(String, String)]) -> Result<(), String> {
    if !matches!(ended.code, ALL_REFUSED | WENT_THROUGH) {
        return Err("it is to start".to_owned());
    }
    let unavailable =
        |name: &str| layers.iter().any(|(layer, state)| layer == name && state == "unavailable");
    if !unavailable(layer) {
        return Err(format!("the start event is to say that {layer} is not there: {layers:?}"));
    }
    // The filter holds what MDWE would.
    let holds = |name: &str| name == "mdwe" || !unavailable(name);
    if !all_refused(&ended.stdout, holds) {
        return Err(format!("what is not unavailable is to hold: {layers:?}"));
    }
    // The variable that it was started with is dropped, and that is said.
    let is_dropped = |line: &str| line.starts_with("remit-init: warn: LD_PRELOAD is dropped");
    if ended.stderr.contains("\"event\":\"start\"") || ended.stderr.lines().all(is_dropped) {
        Ok(())
    } else {
        Err("nothing else is to be said".to_owned())
    }
}

/// Whether the app was refused all that these layers are to refuse.
fn all_refused(stdout: &str, holds: impl Fn(&str) -> bool) -> bool {
    let tried = stdout.lines().filter_map(|line| line.split_once(": "));
    let (mut count, mut through) = (0, 0);
    for (layer, what) in tried {
        count += 1;
        through += usize::from(holds(layer) && what.ends_with(": through"));
    }
    count > 20 && through == 0
}

/// Programs that the tests run: another user has to get to them.
struct Programs(tempfile::TempDir);

impl Programs {
    fn new() -> Programs {
        let folder = tempfile::tempdir().expect("a folder");
        allow(folder.path(), 0o755);
        let programs = Programs(folder);
        for (from, to) in [(probe(), "app"), (probe(), "program"), (PathBuf::from(harness::SHIM), "shim")] {
            // By another process: a descriptor for writing that a test beside this one
            // forks along would make it busy.
            let copied = command("cp").arg(from).arg(programs.path(to)).status();
            assert!(copied.is_ok_and(|status| status.success()));
        }
        programs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// What one app may try to get at: everyone may write all of it.
struct Place<'p> {
    programs: &'p Programs,
    folder: tempfile::TempDir,
    listener: TcpListener,
}

impl Place<'_> {
    fn new(programs: &Programs) -> Place<'_> {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let place = Place { programs, folder, listener };
        allow(place.folder.path(), 0o777);
        for name in ["secret", "other"] {
            fs::write(place.path(name), "x").expect("written");
            allow(&place.path(name), 0o666);
        }
        fs::create_dir(place.path("granted")).expect("a folder");
        allow(&place.path("granted"), 0o777);
        fs::hard_link(programs.path("program"), place.path("program")).expect("a link");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Written for one of the ways.
    fn profile(&self, way: Way) -> PathBuf {
        let mut profile = json!({
            "remit": 1,
            "name": "user",
            "programs": [{ "path": self.programs.path("app"), "entry": true }],
            "files": ["@runtime", { "path": self.path("granted/new"), "allow": ["write", "create"] }],
            "network": { "connect": ["tcp/9"] },
            "limits": { "open_files": 64, "processes": 8 },
            "capabilities": ["net_bind_service"],
        });
        if way != Way::Root {
            profile["run_as"] = json!({ "user": 65534, "group": 65534, "groups": [65534] });
        }
        if way == Way::Degrade {
            profile["fallback"] = json!("degrade");
        }
        let path = self.path("profile.json");
        fs::write(&path, profile.to_string()).expect("written");
        path
    }

    /// The program that refuses a call to what comes behind it.
    fn filtered(&self, fault: Option<(&Call, Errno)>) -> Vec<OsString> {
        let mut words = vec![self.programs.path("app").into(), "refuse".into()];
        let Some((call, errno)) = fault else {
            words.extend(["-1", "-", "0", "1"].map(OsString::from));
            return words;
        };
        let number = remit::syscalls::number(Arch::THIS, call.name).expect("it is made here");
        let (argument, value) = match call.value {
            Some(value) => (argument(call.name).expect("an argument").to_string(), value),
            None => ("-".to_owned(), 0),
        };
        let errno = errno as i32;
        words
            .extend([number.to_string(), argument, value.to_string(), errno.to_string()].map(OsString::from));
        words
    }

    fn attack(&self, way: Way) -> Vec<OsString> {
        let port = self.listener.local_addr().expect("an address").port().to_string();
        let uid = if way == Way::Root { "0" } else { "65534" };
        let place = self.folder.path().into();
        vec![self.programs.path("app").into(), "attack".into(), place, port.into(), uid.into()]
    }

    fn launch(&self, way: Way, fault: Option<(&Call, Errno)>) -> Vec<OsString> {
        let mut words = self.filtered(fault);
        words.push(self.programs.path("shim").into());
        words.extend(["--profile".into(), self.profile(way).into()]);
        words.extend(["--events".into(), self.path("events").into(), "--".into()]);
        words.extend(self.attack(way));
        words
    }

    /// Runs it to its end; the code is the signal's number below zero where one ended it.
    fn run(&self, words: &[OsString]) -> Ended {
        let file = |name| fs::File::create(self.path(name)).expect("a file");
        let mut starting = command(&words[0]);
        starting.args(&words[1..]).env("LD_PRELOAD", "./none").stdout(file("stdout")).stderr(file("stderr"));
        let mut child = starting.spawn().expect("it starts");
        assert!(ends(&child), "it hangs: {}", {
            harness::children(child.id() as i32)
                .into_iter()
                .for_each(|pid| harness::send(pid, libc::SIGKILL));
            child.kill().and_then(|()| child.wait()).expect("a child of ours");
            format!("{words:?}")
        });
        let status = child.wait().expect("a child of ours");
        let read = |name| String::from_utf8_lossy(&fs::read(self.path(name)).expect("read")).into_owned();
        let code = status.code().unwrap_or_else(|| -status.signal().expect("code or signal"));
        Ended { code, stdout: read("stdout"), stderr: read("stderr") }
    }

    /// The layers of the start event and their states, but the one that is yet to come.
    fn layers(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.path("events")).unwrap_or_default();
        let Some(start) = text.lines().next() else { return Vec::new() };
        let start: Value = serde_json::from_str(start).expect("JSON");
        assert_eq!(start["event"], "start");
        let layers = start["layers"].as_array().expect("a list").iter();
        let word = |layer: &Value, key: &str| layer[key].as_str().expect("a word").to_owned();
        layers
            .map(|layer| (word(layer, "layer"), word(layer, "state")))
            .filter(|(layer, _)| layer != "exec-check")
            .collect()
    }
}

/// Whether it ends in time: much longer than any launch takes on a busy machine.
fn ends(child: &Child) -> bool {
    const PATIENCE_MS: u16 = 30_000;
    let pid = remit::sys::process::pidfd(child.id() as i32).expect("a child of ours");
    let mut ended = [PollFd::new(pid.as_fd(), PollFlags::POLLIN)];
    poll(&mut ended, PATIENCE_MS).expect("poll") > 0
}

fn argument(call: &str) -> Option<u32> {
    DISTINGUISHED.iter().find(|(name, _)| *name == call).map(|(_, argument)| *argument)
}

/// The calls of a launch: all of the supervisor's, and the app's before its exec.
fn record(place: &Place, way: Way) -> BTreeSet<(String, Option<u32>)> {
    let record = place.path("record");
    let mut strace = command("/usr/bin/strace");
    strace.args(["-f", "-e", "raw=all", "-o"]).arg(&record).args(place.launch(way, None));
    let ended = run(strace.env("LD_PRELOAD", "./none"));
    assert_eq!(ended.code, ALL_REFUSED, "{ended:?}");
    let (mut calls, mut shim, mut launching, mut app) = (BTreeSet::new(), false, None, None);
    for line in fs::read_to_string(&record).expect("a record").lines() {
        let (pid, line) = line.split_once(' ').expect("a pid first");
        let line = line.trim_start();
        if app == Some(pid.to_owned()) {
            continue;
        }
        if line.starts_with("execve(") {
            launching = Some(pid.to_owned());
        }
        let done = line.starts_with("execve(") || line.starts_with("<... execve resumed");
        if shim && done && line.ends_with(" = 0") && launching.as_deref() == Some(pid) {
            app = launching.clone();
        }
        let Some((name, arguments)) = line.split_once('(').filter(|_| !line.starts_with(['<', '+', '-']))
        else {
            continue;
        };
        // A thread that ended before strace could ask it.
        if shim && name != "???" {
            let value = argument(name).map(|argument| {
                let number = arguments.split([',', ')', ' ']).filter(|word| !word.is_empty());
                let number = number.clone().nth(argument as usize).expect("it has so many");
                u64::from_str_radix(number.trim_start_matches("0x"), 16).expect("hexadecimal") as u32
            });
            calls.insert((name.to_owned(), value));
        }
        // The filtering program becomes the shim.
        shim |= name == "execveat";
    }
    assert!(app.is_some(), "no exec was seen");
    calls
}
