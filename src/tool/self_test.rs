//! The self-test: a child that tries, first free and then confined, what the layers
//! are there to refuse. Each act that went through free has to be refused confined, by
//! every layer that the start event claims, and what has to be seen has to be told.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::unistd::{Pid, getppid};
use serde_json::{Value, json};

use super::error::SelfTestError;
use super::{Answer, Said};
use crate::shim;
use crate::sys;

/// One act, and how it went.
pub(super) struct Test {
    act: &'static Act,
    result: Outcome,
}

enum Outcome {
    /// By the errno, or what there was in its place.
    Refused(String),
    WentThrough,
    /// It does not go through without us either, and why.
    NotTried(String),
    /// The start event says so itself.
    NotClaimed,
}

impl Test {
    /// A claim that does not hold.
    pub fn failed(&self) -> bool {
        matches!(self.result, Outcome::WentThrough)
    }

    fn told(&self) -> (&'static str, &str) {
        match &self.result {
            Outcome::Refused(how) => ("refused", how),
            Outcome::WentThrough => ("FAILED", "it went through"),
            Outcome::NotTried(why) => ("not tried", why),
            Outcome::NotClaimed => ("not claimed", "the layer is not active here"),
        }
    }
}

/// Something that a layer refuses.
struct Act {
    /// The layer, by its name in the start event.
    layer: &'static str,
    /// What is tried, in a few words.
    what: &'static str,
    /// Does it; what went against it, in a word.
    run: fn(&Path) -> Result<(), String>,
    /// Refusing it is told by a violation of this kind.
    seen: Option<&'static str>,
}

const ACTS: [Act; 13] = [
    Act { layer: "capabilities", what: "keeping capabilities", run: capabilities, seen: None },
    Act { layer: "no_new_privs", what: "gaining privileges", run: privileges, seen: None },
    Act { layer: "limits", what: "dumping core", run: core_dump, seen: None },
    Act { layer: "mdwe", what: "memory to be written and executed", run: memory, seen: None },
    Act { layer: "environment", what: "a variable for the loader", run: environment, seen: None },
    Act { layer: "landlock-files", what: "reading what is not granted", run: read, seen: None },
    Act { layer: "landlock-files", what: "a file that is not granted", run: write, seen: Some("file") },
    Act {
        layer: "landlock-files",
        what: "a program that is not listed",
        run: execute,
        seen: Some("program"),
    },
    Act {
        layer: "exec-check",
        what: "a program with arguments that are not listed",
        run: other_arguments,
        seen: Some("program"),
    },
    Act {
        layer: "exec-check",
        what: "a program with a variable for its loader",
        run: loader_variable,
        seen: Some("environment"),
    },
    Act { layer: "landlock-tcp", what: "a port that is not granted", run: listen, seen: Some("network") },
    Act { layer: "landlock-scope", what: "a signal to the supervisor", run: signal, seen: Some("syscall") },
    Act { layer: "seccomp", what: "a call that is not listed", run: call, seen: Some("syscall") },
];

/// What stands in the folder that the acts have.
const PROFILE: &str = "profile.json";
const EVENTS: &str = "events";
const DROPPED: &str = "dropped";
const LOADER_VARIABLE: &str = "LD_AUDIT";

fn capabilities(_: &Path) -> Result<(), String> {
    match sys::credentials::capget() {
        Ok(sets) if sets.effective != 0 => Ok(()),
        Ok(_) => Err("there are none".to_owned()),
        Err(errno) => Err(word(errno)),
    }
}

fn privileges(_: &Path) -> Result<(), String> {
    match sys::prctl::no_new_privileges() {
        Ok(false) => Ok(()),
        _ => Err("no_new_privs is set".to_owned()),
    }
}

fn core_dump(_: &Path) -> Result<(), String> {
    match sys::process::hard_limit(libc::RLIMIT_CORE) {
        Ok(Some(0)) => Err("the limit is 0".to_owned()),
        Ok(_) => Ok(()),
        Err(errno) => Err(word(errno)),
    }
}

fn memory(_: &Path) -> Result<(), String> {
    sys::memory::map_writable_and_executable().map_err(word)
}

fn environment(_: &Path) -> Result<(), String> {
    std::env::var_os(LOADER_VARIABLE).map(drop).ok_or("it was taken out".to_owned())
}

/// Nobody is asked about reads: it is the kernel alone that refuses this one.
fn read(_: &Path) -> Result<(), String> {
    fs::read_dir("/").map(drop).map_err(|error| word(sys::errno(&error)))
}

fn write(folder: &Path) -> Result<(), String> {
    let file = folder.join("written");
    File::create(&file).and_then(|_| fs::remove_file(&file)).map_err(|error| word(sys::errno(&error)))
}

fn execute(folder: &Path) -> Result<(), String> {
    itself(Command::new(folder.join(DROPPED)).arg("--version"))
}

fn other_arguments(_: &Path) -> Result<(), String> {
    itself(this_program()?.arg("--help"))
}

/// The one act that only the look after the exec refuses: it is killed, and not asked.
fn loader_variable(_: &Path) -> Result<(), String> {
    itself(this_program()?.arg("--version").env(LOADER_VARIABLE, "/none"))
}

fn this_program() -> Result<Command, String> {
    program().map(Command::new).map_err(|error| error.to_string())
}

/// Runs a program, which is this one.
fn itself(command: &mut Command) -> Result<(), String> {
    match command.env("PATH", "/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(word(sys::errno(&error))),
    }
}

fn listen(_: &Path) -> Result<(), String> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    bound.map(drop).map_err(|error| word(sys::errno(&error)))
}

fn signal(_: &Path) -> Result<(), String> {
    // Signal 0: it is only asked whether one may be sent.
    nix::sys::signal::kill(Pid::from_raw(getppid().as_raw()), None).map_err(word)
}

fn call(_: &Path) -> Result<(), String> {
    match sys::asked::mlockall_of_nothing() {
        Errno::EINVAL => Ok(()),
        errno => Err(word(errno)),
    }
}

fn word(errno: Errno) -> String {
    format!("{errno:?}")
}

/// The processes of the self-test: this program once more.
pub(super) enum Step {
    /// Do the acts, and print how each went.
    Acts,
    /// Confine the first by the folder's profile.
    Confine,
}

impl Step {
    pub fn named(word: &Path) -> Result<Step, SelfTestError> {
        match word.to_str() {
            Some("acts") => Ok(Step::Acts),
            Some("confine") => Ok(Step::Confine),
            _ => Err(SelfTestError::Step),
        }
    }

    pub fn run(&self, folder: &Path) -> Answer {
        match self {
            Step::Acts => {
                let lines = ACTS.iter().map(|act| match (act.run)(folder) {
                    Ok(()) => "\n".to_owned(),
                    Err(why) => why + "\n",
                });
                Said::yes(lines.collect::<String>())
            }
            Step::Confine => {
                let program = program()?;
                let [profile, events] = [PROFILE, EVENTS].map(|name| folder.join(name).into_os_string());
                let words = ["remit-init", "--profile"].map(OsString::from).into_iter();
                let words = words.chain([profile, "--events".into(), events, "--".into(), program.into()]);
                let words = words.chain(["doctor", "--step", "acts"].map(OsString::from));
                let code = shim::main(words.chain([folder.into()]), std::env::vars_os());
                Ok(Said { text: String::new(), code })
            }
        }
    }
}

/// Does the whole test.
///
/// # Errors
/// It could not be done.
pub(super) fn run() -> Result<Vec<Test>, SelfTestError> {
    let folder = Folder::make()?;
    let free = child("acts", &folder.0)?;
    let confined = child("confine", &folder.0)?;
    let events = fs::read_to_string(folder.0.join(EVENTS)).map_err(failed("the child's events"))?;
    let events: Vec<Value> = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    judge(free, confined, &events)
}

/// What comes of how each act went, free and confined, and of the child's events.
fn judge(free: Went, confined: Went, events: &[Value]) -> Result<Vec<Test>, SelfTestError> {
    let start = events.iter().find(|event| event["event"] == "start");
    let start = start.ok_or(SelfTestError::NoStart)?;
    let claims = |layer: &str| {
        let layers = start["layers"].as_array().into_iter().flatten();
        layers.into_iter().any(|one| one["layer"] == layer && one["state"] != "unavailable")
    };
    let mut tests: Vec<Test> = Vec::new();
    for (act, (free, confined)) in ACTS.iter().zip(free.into_iter().zip(confined)) {
        let result = match (free, confined) {
            (Some(why), _) => Outcome::NotTried(format!("not without remit-init either: {why}")),
            _ if !claims(act.layer) => Outcome::NotClaimed,
            (None, Some(how)) => Outcome::Refused(how),
            (None, None) => Outcome::WentThrough,
        };
        tests.push(Test { act, result });
    }
    if claims("notification") {
        tests.push(Test { act: &SEEN, result: seen(&tests, events) });
    }
    Ok(tests)
}

/// What the supervisor is there for: each refusal that can be seen is told.
const SEEN: Act =
    Act { layer: "notification", what: "a refusal without an event", run: |_| Ok(()), seen: None };

fn seen(tests: &[Test], events: &[Value]) -> Outcome {
    let refused = tests.iter().filter(|test| matches!(test.result, Outcome::Refused(_)));
    let mut kinds: Vec<&str> = refused.filter_map(|test| test.act.seen).collect();
    let told = kinds.len();
    if told == 0 {
        return Outcome::NotTried("nothing was refused that has an event".to_owned());
    }
    for event in events.iter().filter(|event| event["event"] == "violation") {
        if let Some(at) = kinds.iter().position(|kind| event["kind"] == *kind) {
            kinds.swap_remove(at);
        }
    }
    if kinds.is_empty() {
        Outcome::Refused(format!("{told} of {told} are told"))
    } else {
        Outcome::WentThrough
    }
}

/// How each act went: nothing where it went through.
type Went = Vec<Option<String>>;

/// What one child says of the acts.
fn child(step: &str, folder: &Path) -> Result<Went, SelfTestError> {
    let mut child = Command::new(program()?);
    child.args(["doctor", "--step", step]).arg(folder).env(LOADER_VARIABLE, "/none");
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

/// Where the children act; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Folder, SelfTestError> {
        let path = std::env::temp_dir().join(format!("remit-doctor-{}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|error| SelfTestError::Folder { path: path.clone(), errno: sys::errno(&error) })?;
        let folder = Folder(path.canonicalize().map_err(failed("the temporary folder"))?);
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
            "fallback": "degrade",
        });
        fs::write(folder.0.join(PROFILE), profile.to_string()).map_err(failed("its profile"))?;
        fs::copy(&program, folder.0.join(DROPPED)).map_err(failed("a copy of itself"))?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            super::complain(&format!("self-test: {} is left behind: {error}", self.0.display()));
        }
    }
}

/// For people.
pub(super) fn text(tests: &[Test]) -> String {
    let mut text = "\nthe self-test: what a throw-away child was refused\n".to_owned();
    for test in tests {
        let (result, detail) = test.told();
        text += &format!("  {:<15} {result:<11} {}: {detail}\n", test.act.layer, test.act.what);
    }
    text
}

/// For programs: a list of objects with `layer`, `act`, `result` and `detail`.
pub(super) fn json(tests: &[Test]) -> Value {
    let each = tests.iter().map(|test| {
        let (result, detail) = test.told();
        let result = result.to_lowercase().replace(' ', "_");
        json!({ "layer": test.act.layer, "act": test.act.what, "result": result, "detail": detail })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All acts go through free; confined, all but one are refused.
    fn judged(through: Option<&str>, layers: &str, told: &[&str]) -> Vec<Test> {
        let layers: Vec<_> = ["landlock-files", "seccomp", "landlock-tcp", "notification"]
            .map(|layer| json!({ "layer": layer, "state": if layers.contains(layer) { "active" } else { "unavailable" } }))
            .into();
        let mut events = vec![json!({ "event": "start", "layers": layers })];
        events.extend(told.iter().map(|kind| json!({ "event": "violation", "kind": kind })));
        let refused = |act: &Act| (Some(act.what) != through).then(|| "EACCES".to_owned());
        judge(vec![None; ACTS.len()], ACTS.iter().map(refused).collect(), &events).expect("a start event")
    }

    fn failed(tests: &[Test]) -> Vec<&str> {
        tests.iter().filter(|test| test.failed()).map(|test| test.act.what).collect()
    }

    const ALL: &str = "landlock-files seccomp landlock-tcp notification";
    const TOLD: &[&str] = &["file", "program", "network", "syscall"];

    #[test]
    fn a_layer_that_is_claimed_and_does_not_refuse_fails() {
        assert_eq!(failed(&judged(None, ALL, TOLD)), Vec::<&str>::new());
        for act in ["a file that is not granted", "a call that is not listed"] {
            assert!(failed(&judged(Some(act), ALL, TOLD)).contains(&act));
        }
        // What is not claimed is not held.
        let act = "a port that is not granted";
        let tests = judged(Some(act), "landlock-files seccomp notification", TOLD);
        assert_eq!(failed(&tests), Vec::<&str>::new());
        assert!(text(&tests).contains("not claimed"), "{}", text(&tests));
    }

    #[test]
    fn a_refusal_that_nobody_tells_fails() {
        assert_eq!(
            failed(&judged(None, ALL, &["file", "program", "network"])),
            ["a refusal without an event"]
        );
        assert_eq!(failed(&judged(None, "landlock-files seccomp", &[])), Vec::<&str>::new());
    }
}
