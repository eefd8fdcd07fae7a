//! Runs the real shim and looks at it from outside: what it said, its exit code,
//! and that nothing of it is left.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

#[path = "../support/descriptors.rs"]
mod descriptors;
#[path = "../support/skip.rs"]
pub mod skip;

/// The shim.
pub const SHIM: &str = env!("CARGO_BIN_EXE_remit-init");
/// The tool.
pub const TOOL: &str = env!("CARGO_BIN_EXE_remit");

/// Longer than anything here takes on a busy machine; whatever takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The example `init-probe`, which cargo builds beside the binaries.
pub fn probe() -> PathBuf {
    let probe = Path::new(SHIM).parent().expect("a directory").join("examples/init-probe");
    assert!(probe.exists(), "{} is not built; run `cargo test`, which builds it", probe.display());
    probe
}

/// A command with only what a test names in its environment.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    descriptors::only_standard(&mut command);
    command
}

/// The shim with these arguments.
pub fn shim<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = command(SHIM);
    command.args(args);
    command
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Ended {
    /// The one line that a refusal is.
    #[track_caller]
    pub fn line(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:#?}");
        let line = self.stderr.strip_suffix('\n').unwrap_or_else(|| panic!("no whole line: {self:#?}"));
        assert!(!line.contains('\n'), "more than one line: {self:#?}");
        line
    }

    /// stdout as `key value` lines.
    pub fn values(&self) -> BTreeMap<&str, &str> {
        self.stdout.lines().filter_map(|line| line.split_once(' ')).collect()
    }
}

/// Runs it to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    Running::start(command).end()
}

/// A run that goes on; what is left of it is killed when this is dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
    seen: String,
    status: Option<ExitStatus>,
}

impl Running {
    #[track_caller]
    pub fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = lines_of(child.stdout.take().expect("piped"));
        let errors = lines_of(child.stderr.take().expect("piped"));
        Running { child, lines, errors, seen: String::new(), status: None }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The next line of stdout, without its end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
            let errors: String = self.errors.try_iter().collect();
            panic!("no more lines after {:?}; on stderr: {errors}", self.seen);
        };
        self.seen.push_str(&line);
        line.trim_end().to_owned()
    }

    /// The next line of stderr, without its end.
    #[track_caller]
    pub fn error_line(&mut self) -> String {
        let line = self.errors.recv_timeout(PATIENCE);
        line.unwrap_or_else(|_| panic!("nothing on stderr after {:?}", self.seen)).trim_end().to_owned()
    }

    /// Waits for exactly this line of stdout.
    #[track_caller]
    pub fn expect(&mut self, wanted: &str) {
        let line = self.line();
        assert_eq!(line, wanted, "after {:?}", self.seen);
    }

    /// Waits for its end, and until no process has its stdout or stderr open.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let mut stderr = String::new();
        let end = Instant::now() + PATIENCE;
        let rest = |lines: &Receiver<String>, into: &mut String| loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => into.push_str(&line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return true,
                Err(mpsc::RecvTimeoutError::Timeout) => return false,
            }
        };
        let over = rest(&self.lines, &mut self.seen) & rest(&self.errors, &mut stderr);
        assert!(over, "it hangs: stdout {:?}, stderr {stderr:?}", self.seen);
        let status = self.child.wait().expect("a child of ours");
        self.status = Some(status);
        let code = status.code().unwrap_or_else(|| panic!("{status}: {stderr}"));
        Ended { code, stdout: std::mem::take(&mut self.seen), stderr }
    }

    /// The shim itself: the child, or below `unshare` its first process.
    #[track_caller]
    pub fn shim(&self) -> i32 {
        let pid = self.pid();
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.trim_end() != "unshare" {
            return pid;
        }
        let children = children(pid);
        assert_eq!(children.len(), 1, "unshare has one child");
        children[0]
    }

    /// Sends a signal to the shim.
    #[track_caller]
    pub fn signal(&self, signal: i32) {
        send(self.shim(), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        let mut left = vec![self.pid()];
        let mut index = 0;
        while let Some(pid) = left.get(index).copied() {
            left.extend(children(pid));
            index += 1;
        }
        for pid in left {
            // SAFETY: two integers. They descend from our child, which is not reaped.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        self.child.wait().expect("a child of ours");
    }
}

/// Sends a signal, by its number: nix has no real-time ones.
#[track_caller]
pub fn send(pid: i32, signal: i32) {
    // SAFETY: two integers.
    let done = unsafe { libc::kill(pid, signal) };
    assert_eq!(done, 0, "kill {signal}: {}", std::io::Error::last_os_error());
}

/// Waits for what has no event of its own.
#[track_caller]
pub fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        std::thread::yield_now();
    }
}

/// A process's state, as `ps` has it; none when there is none.
pub fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A process's children now.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let list = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).ok();
    let lists: Vec<String> = threads.flatten().filter_map(list).collect();
    lists.iter().flat_map(|list| list.split_ascii_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (to, from) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            match stream.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if to.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    from
}
