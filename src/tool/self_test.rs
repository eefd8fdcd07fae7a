//! The self-test: a child makes calls that the layers refuse, first unconfined and then confined.
//! Each act that succeeds unconfined has to fail confined, for every layer that the start event
//! reports, and each refusal that the supervisor sees has to have an event.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::unistd::{Pid, getppid};
use serde_json::{Value, json};

use super::error::SelfTestError;
use super::{VerbOutput, VerbResult};
use crate::shim;
use crate::sys;

/// One act, and its result.
pub(super) struct ActTest {
    act: &'static ForbiddenAct,
    result: ActResult,
}

enum ActResult {
    /// It was refused: the errno, or the state that prevented it.
    Refused(String),
    Succeeded,
    /// It fails unconfined too: why.
    NotTried(String),
    /// The start event reports the layer as unavailable.
    NotClaimed,
}

impl ActTest {
    /// Whether a reported layer did not refuse the act.
    pub fn failed(&self) -> bool {
        matches!(self.result, ActResult::Succeeded)
    }

    fn words(&self) -> (&'static str, &str) {
        match &self.result {
            ActResult::Refused(how) => ("refused", how),
            ActResult::Succeeded => ("FAILED", "it went through"),
            ActResult::NotTried(why) => ("not tried", why),
            ActResult::NotClaimed => ("not claimed", "the layer is not active here"),
        }
    }
}

/// An act that a layer refuses.
struct ForbiddenAct {
    /// The layer, by its name in the start event.
    layer: &'static str,
    /// The act, in a few words.
    what: &'static str,
    /// Performs it.
    run: fn(&Path) -> Result<(), Prevented>,
    /// The kind of the violation event of its refusal; `None` where it has no event.
    event_kind: Option<&'static str>,
}

/// What prevented an act. Displayed in a few words.
enum Prevented {
    /// A system call failed.
    Call(Errno),
    /// The state of the process leaves nothing to do.
    State(&'static str),
    /// The program was started, and did not succeed.
    Program(ExitStatus),
    /// This program's own file cannot be found.
    NoProgram(SelfTestError),
}

impl fmt::Display for Prevented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Prevented::Call(errno) => write!(f, "{errno:?}"),
            Prevented::State(state) => f.write_str(state),
            Prevented::Program(status) => status.fmt(f),
            Prevented::NoProgram(error) => error.fmt(f),
        }
    }
}

impl From<Errno> for Prevented {
    fn from(errno: Errno) -> Prevented {
        Prevented::Call(errno)
    }
}

impl From<std::io::Error> for Prevented {
    fn from(error: std::io::Error) -> Prevented {
        Prevented::Call(sys::errno(&error))
    }
}

const ACTS: [ForbiddenAct; 13] = [
    ForbiddenAct { layer: "capabilities", what: "keeping capabilities", run: capabilities, event_kind: None },
    ForbiddenAct { layer: "no_new_privs", what: "gaining privileges", run: privileges, event_kind: None },
    ForbiddenAct { layer: "limits", what: "dumping core", run: core_dump, event_kind: None },
    ForbiddenAct { layer: "mdwe", what: "memory to be written and executed", run: memory, event_kind: None },
    ForbiddenAct {
        layer: "environment",
        what: "a variable for the loader",
        run: environment,
        event_kind: None,
    },
    ForbiddenAct {
        layer: "landlock-files",
        what: "reading what is not granted",
        run: read,
        event_kind: None,
    },
    ForbiddenAct {
        layer: "landlock-files",
        what: "a file that is not granted",
        run: write,
        event_kind: Some("file"),
    },
    ForbiddenAct {
        layer: "landlock-files",
        what: "a program that is not listed",
        run: execute,
        event_kind: Some("program"),
    },
    ForbiddenAct {
        layer: "exec-check",
        what: "a program with arguments that are not listed",
        run: other_arguments,
        event_kind: Some("program"),
    },
    ForbiddenAct {
        layer: "exec-check",
        what: "a program with a variable for its loader",
        run: loader_variable,
        event_kind: Some("environment"),
    },
    ForbiddenAct {
        layer: "landlock-tcp",
        what: "a port that is not granted",
        run: listen,
        event_kind: Some("network"),
    },
    ForbiddenAct {
        layer: "landlock-scope",
        what: "a signal to the supervisor",
        run: signal,
        event_kind: Some("syscall"),
    },
    ForbiddenAct {
        layer: "seccomp",
        what: "a call that is not listed",
        run: call,
        event_kind: Some("syscall"),
    },
];

/// Files in the folder of the self-test.
const PROFILE: &str = "profile.json";
const EVENTS: &str = "events";
const DROPPED: &str = "dropped";
const LOADER_VARIABLE: &str = "LD_AUDIT";
/// It may be anywhere, so it is never let be.
const RELATIVE: &str = "./none";

fn capabilities(_: &Path) -> Result<(), Prevented> {
    match sys::credentials::capget() {
        Ok(sets) if sets.effective != 0 => Ok(()),
        Ok(_) => Err(Prevented::State("there are none")),
        Err(errno) => Err(errno.into()),
    }
}

fn privileges(_: &Path) -> Result<(), Prevented> {
    match sys::prctl::no_new_privileges() {
        Ok(false) => Ok(()),
        _ => Err(Prevented::State("no_new_privs is set")),
    }
}

fn core_dump(_: &Path) -> Result<(), Prevented> {
    match sys::process::hard_limit(libc::RLIMIT_CORE) {
        Ok(Some(0)) => Err(Prevented::State("the limit is 0")),
        Ok(_) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn memory(_: &Path) -> Result<(), Prevented> {
    Ok(sys::memory::map_writable_and_executable()?)
}

fn environment(_: &Path) -> Result<(), Prevented> {
    std::env::var_os(LOADER_VARIABLE).map(drop).ok_or(Prevented::State("it was taken out"))
}

/// Reads are not notified: Landlock alone refuses this one.
fn read(_: &Path) -> Result<(), Prevented> {
    Ok(fs::read_dir("/").map(drop)?)
}

fn write(folder: &Path) -> Result<(), Prevented> {
    let file = folder.join("written");
    Ok(File::create(&file).and_then(|_| fs::remove_file(&file))?)
}

fn execute(folder: &Path) -> Result<(), Prevented> {
    itself(Command::new(folder.join(DROPPED)).arg("--version"))
}

fn other_arguments(_: &Path) -> Result<(), Prevented> {
    itself(this_program()?.arg("--help"))
}

/// The one act that only the post-exec verification refuses: the process is killed.
fn loader_variable(_: &Path) -> Result<(), Prevented> {
    itself(this_program()?.arg("--version").env(LOADER_VARIABLE, RELATIVE))
}

fn this_program() -> Result<Command, Prevented> {
    program().map(Command::new).map_err(Prevented::NoProgram)
}

/// Runs this program.
fn itself(command: &mut Command) -> Result<(), Prevented> {
    match command.env("PATH", "/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Prevented::Program(status)),
        Err(error) => Err(error.into()),
    }
}

fn listen(_: &Path) -> Result<(), Prevented> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)?)
}

fn signal(_: &Path) -> Result<(), Prevented> {
    // One that the init does not forward, and that a process ignores unless it has a handler.
    nix::sys::signal::kill(Pid::from_raw(getppid().as_raw()), nix::sys::signal::Signal::SIGURG)?;
    Ok(())
}

fn call(_: &Path) -> Result<(), Prevented> {
    match sys::syscall_probe::probe_mlockall() {
        Errno::EINVAL => Ok(()),
        errno => Err(errno.into()),
    }
}

/// The child processes of the self-test, which run this program.
pub(super) enum ChildStep {
    /// Perform the acts, and print the error of each, or an empty line.
    Acts,
    /// Perform the acts confined by the folder's profile.
    Confine,
}

impl ChildStep {
    pub fn named(word: &Path) -> Result<ChildStep, SelfTestError> {
        match word.to_str() {
            Some("acts") => Ok(ChildStep::Acts),
            Some("confine") => Ok(ChildStep::Confine),
            _ => Err(SelfTestError::Step),
        }
    }

    pub fn run(&self, folder: &Path) -> VerbResult {
        match self {
            ChildStep::Acts => {
                let lines = ACTS.iter().map(|act| match (act.run)(folder) {
                    Ok(()) => "\n".to_owned(),
                    Err(why) => format!("{why}\n"),
                });
                VerbOutput::success(lines.collect::<String>())
            }
            ChildStep::Confine => {
                let program = program()?;
                let [profile, events] = [PROFILE, EVENTS].map(|name| folder.join(name).into_os_string());
                let words = ["remit-init", "--profile"].map(OsString::from).into_iter();
                let words = words.chain([profile, "--events".into(), events, "--".into(), program.into()]);
                let words = words.chain(["doctor", "--step", "acts"].map(OsString::from));
                let code = shim::main(words.chain([folder.into()]), std::env::vars_os());
                Ok(VerbOutput::plain(String::new(), code))
            }
        }
    }
}

/// Runs the self-test.
///
/// # Errors
/// The self-test could not be run.
pub(super) fn run() -> Result<Vec<ActTest>, SelfTestError> {
    let folder = TestFolder::make()?;
    let free = child("acts", &folder.0)?;
    let confined = child("confine", &folder.0)?;
    let events = fs::read_to_string(folder.0.join(EVENTS)).map_err(failed("the child's events"))?;
    let events: Vec<Value> = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    results(free, confined, &events)
}

/// The results, from the errors of each act, unconfined and confined, and the child's events.
fn results(free: ActErrors, confined: ActErrors, events: &[Value]) -> Result<Vec<ActTest>, SelfTestError> {
    let start = events.iter().find(|event| event["event"] == "start");
    let start = start.ok_or(SelfTestError::NoStart)?;
    let claims = |layer: &str| {
        let layers = start["layers"].as_array().into_iter().flatten();
        layers.into_iter().any(|one| one["layer"] == layer && one["state"] != "unavailable")
    };
    let mut tests: Vec<ActTest> = Vec::new();
    for (act, (free, confined)) in ACTS.iter().zip(free.into_iter().zip(confined)) {
        let result = match (free, confined) {
            (Some(why), _) => ActResult::NotTried(format!("not without remit-init either: {why}")),
            _ if !claims(act.layer) => ActResult::NotClaimed,
            (None, Some(how)) => ActResult::Refused(how),
            (None, None) => ActResult::Succeeded,
        };
        tests.push(ActTest { act, result });
    }
    if claims("notification") {
        tests.push(ActTest { act: &EVENTS_WRITTEN, result: events_written(&tests, events) });
    }
    Ok(tests)
}

/// The test that each refusal that the supervisor sees has an event.
const EVENTS_WRITTEN: ForbiddenAct = ForbiddenAct {
    layer: "notification",
    what: "a refusal without an event",
    run: |_| Ok(()),
    event_kind: None,
};

fn events_written(tests: &[ActTest], events: &[Value]) -> ActResult {
    let refused = tests.iter().filter(|test| matches!(test.result, ActResult::Refused(_)));
    let mut kinds: Vec<&str> = refused.filter_map(|test| test.act.event_kind).collect();
    let reported = kinds.len();
    if reported == 0 {
        return ActResult::NotTried("nothing was refused that has an event".to_owned());
    }
    for event in events.iter().filter(|event| event["event"] == "violation") {
        if let Some(at) = kinds.iter().position(|kind| event["kind"] == *kind) {
            kinds.swap_remove(at);
        }
    }
    if kinds.is_empty() {
        ActResult::Refused(format!("{reported} of {reported} have an event"))
    } else {
        ActResult::Succeeded
    }
}

/// The error of each act; `None` where it succeeded.
type ActErrors = Vec<Option<String>>;

/// Runs one child, and returns the errors of its acts.
fn child(step: &str, folder: &Path) -> Result<ActErrors, SelfTestError> {
    let mut child = Command::new(program()?);
    child.args(["doctor", "--step", step]).arg(folder).env(LOADER_VARIABLE, RELATIVE);
    for name in ["REMIT_PROFILE", "REMIT_MODE", "REMIT_EVENTS", "REMIT_EVENTS_LEVEL"] {
        child.env_remove(name);
    }
    let output = child.stdin(Stdio::null()).output().map_err(failed("its child"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let words = String::from_utf8_lossy(&output.stdout);
    let words = words.lines().map(|line| Some(line.to_owned()).filter(|line| !line.is_empty()));
    let words: Vec<_> = words.collect();
    if words.len() == ACTS.len() {
        return Ok(words);
    }
    let line = said.lines().next().unwrap_or("it said nothing").to_owned();
    Err(SelfTestError::Child { status: output.status, line })
}

fn program() -> Result<PathBuf, SelfTestError> {
    std::env::current_exe().map_err(failed("/proc/self/exe"))
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> SelfTestError {
    move |error| SelfTestError::Part { what, errno: sys::errno(&error) }
}

/// The folder of the children; it is removed on drop.
struct TestFolder(PathBuf);

impl TestFolder {
    fn make() -> Result<TestFolder, SelfTestError> {
        let path = std::env::temp_dir().join(format!("remit-doctor-{}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|error| SelfTestError::Folder { path: path.clone(), errno: sys::errno(&error) })?;
        let folder = TestFolder(path.canonicalize().map_err(failed("the temporary folder"))?);
        let program = program()?;
        let profile = json!({
            "remit": 1,
            "name": "self-test",
            "programs": [{
                "path": program,
                "entry": true,
                "args": [["doctor", "--step", "acts", "..."], ["--version"]],
                "may_run": [program],
            }],
            "files": ["@runtime", { "path": folder.0, "allow": ["read"] }],
            // The discard protocol's: some port has to be granted, or there are no sockets.
            "network": { "listen": ["tcp/9"] },
            "limits": { "core": 0 },
            "fallback": "degrade",
        });
        fs::write(folder.0.join(PROFILE), profile.to_string()).map_err(failed("its profile"))?;
        fs::copy(&program, folder.0.join(DROPPED)).map_err(failed("a copy of itself"))?;
        Ok(folder)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            super::print_error(&format!("self-test: {} is left behind: {error}", self.0.display()));
        }
    }
}

/// The results as text.
pub(super) fn text(tests: &[ActTest]) -> String {
    let mut text = "\nthe self-test: what a throw-away child was refused\n".to_owned();
    for test in tests {
        let (result, detail) = test.words();
        text += &format!("  {:<15} {result:<11} {}: {detail}\n", test.act.layer, test.act.what);
    }
    text
}

/// The results as JSON: a list of objects with `layer`, `act`, `result` and `detail`.
pub(super) fn json(tests: &[ActTest]) -> Value {
    let each = tests.iter().map(|test| {
        let (result, detail) = test.words();
        let result = result.to_lowercase().replace(' ', "_");
        json!({ "layer": test.act.layer, "act": test.act.what, "result": result, "detail": detail })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All acts succeed unconfined; confined, all but `through` are refused.
    fn tested(through: Option<&str>, layers: &str, reported: &[&str]) -> Vec<ActTest> {
        let layers: Vec<_> = ["landlock-files", "seccomp", "landlock-tcp", "notification"]
            .map(|layer| json!({ "layer": layer, "state": if layers.contains(layer) { "active" } else { "unavailable" } }))
            .into();
        let mut events = vec![json!({ "event": "start", "layers": layers })];
        events.extend(reported.iter().map(|kind| json!({ "event": "violation", "kind": kind })));
        let refused = |act: &ForbiddenAct| (Some(act.what) != through).then(|| "EACCES".to_owned());
        results(vec![None; ACTS.len()], ACTS.iter().map(refused).collect(), &events).expect("a start event")
    }

    fn failed(tests: &[ActTest]) -> Vec<&str> {
        tests.iter().filter(|test| test.failed()).map(|test| test.act.what).collect()
    }

    const ALL: &str = "landlock-files seccomp landlock-tcp notification";
    const REPORTED: &[&str] = &["file", "program", "network", "syscall"];

    #[test]
    fn a_reported_layer_that_does_not_refuse_fails() {
        assert_eq!(failed(&tested(None, ALL, REPORTED)), Vec::<&str>::new());
        for act in ["a file that is not granted", "a call that is not listed"] {
            assert!(failed(&tested(Some(act), ALL, REPORTED)).contains(&act));
        }
        // A layer that is not reported cannot fail.
        let act = "a port that is not granted";
        let tests = tested(Some(act), "landlock-files seccomp notification", REPORTED);
        assert_eq!(failed(&tests), Vec::<&str>::new());
        assert!(text(&tests).contains("not claimed"), "{}", text(&tests));
    }

    #[test]
    fn a_refusal_without_an_event_fails() {
        assert_eq!(
            failed(&tested(None, ALL, &["file", "program", "network"])),
            ["a refusal without an event"]
        );
        assert_eq!(failed(&tested(None, "landlock-files seccomp", &[])), Vec::<&str>::new());
    }
}
