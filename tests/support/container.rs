//! Runs one container in one of the environments, and talks to it over HTTP.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::events::Events;
use super::image::Image;
use super::output::{Lines, Output, follow};
use super::{Place, folder, http, probe, unique};

/// After this long a wait is a failure. A database may be made meanwhile, or one request be a whole
/// round of races, beside others on two processors.
const PATIENCE: Duration = Duration::from_secs(120);
/// The first id, on the machine, of the bare container's range.
const FIRST_ID: u32 = 100_000;

/// What is PID 1.
#[derive(Clone, Debug)]
pub enum Init {
    /// The app itself: unconfined.
    None,
    /// tini: unconfined, as most containers are.
    Tini,
    /// The shim, with these options before COMMAND.
    Remit(Vec<String>),
}

impl Init {
    /// The shim with its options.
    pub fn remit(options: &[&str]) -> Init {
        Init::Remit(options.iter().map(|&option| option.to_owned()).collect())
    }
}

/// A container to be run.
pub struct Run<'a> {
    image: &'a Image,
    place: Place,
    init: Init,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    files: Vec<(String, String)>,
    volumes: Vec<(String, Vec<(String, String)>)>,
    folders: Vec<(PathBuf, String)>,
    mounts: Vec<String>,
    user: Option<&'static str>,
    flags: Vec<String>,
    without: Option<&'static str>,
}

impl<'a> Run<'a> {
    /// `command` of `image` in `place`.
    pub fn new(image: &'a Image, place: Place, init: Init, command: &[&str]) -> Run<'a> {
        let here = std::fs::read_link("/proc/self/ns/pid").expect("/proc is mounted");
        Run {
            image,
            place,
            init,
            command: command.iter().map(|&word| word.to_owned()).collect(),
            environment: vec![
                ("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
                ("REMIT_PROBE".into(), format!("throw-away:{}", here.display())),
                ("REMIT_EVENTS_LEVEL".into(), "all".into()),
            ],
            files: Vec::new(),
            volumes: Vec::new(),
            folders: Vec::new(),
            mounts: Vec::new(),
            user: (place == Place::Restricted).then_some("101:101"),
            flags: Vec::new(),
            without: None,
        }
    }

    /// A variable of the environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// More flags of `docker run`; the bare container knows none of them.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// The bare container, without its `proc` or its `dev`; no engine leaves them out.
    pub fn without(mut self, what: &'static str) -> Self {
        self.without = Some(what);
        self
    }

    /// No such variable.
    pub fn unset(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// A read-only file, over what the image has there.
    pub fn file(mut self, path: &str, content: impl Into<String>) -> Self {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    /// A folder that the container's user may write, with files in it.
    pub fn volume(mut self, path: &str, files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|&(name, content)| (name.to_owned(), content.to_owned())).collect();
        self.volumes.push((path.to_owned(), files));
        self
    }

    /// A folder of this machine that the container's user owns, and that outlives the
    /// container.
    pub fn folder(mut self, source: &Path, target: &str) -> Self {
        self.folders.push((source.to_owned(), target.to_owned()));
        self
    }

    /// A folder of this machine at its own path, read-only: in a user namespace because
    /// the machine's root, whose it is, has no id there.
    pub fn mount(mut self, path: &str) -> Self {
        self.mounts.push(path.to_owned());
        self
    }

    /// Starts it.
    pub fn start(&self) -> Running {
        let name = unique("run");
        let files: Vec<(PathBuf, &str)> = self
            .files
            .iter()
            .enumerate()
            .map(|(index, (target, content))| {
                let source = folder().join(format!("{name}-{index}"));
                std::fs::write(&source, content).expect("a temporary file");
                (source, target.as_str())
            })
            .collect();
        match self.place {
            Place::UserNamespace => self.start_bare(&files),
            Place::Docker | Place::Restricted => self.start_docker(name, &files),
        }
    }

    /// The words that a container begins with, COMMAND after those of the init.
    fn entrypoint(&self) -> Vec<String> {
        match &self.init {
            Init::None => Vec::new(),
            Init::Tini => vec!["/tini".to_owned(), "--".to_owned()],
            Init::Remit(options) => std::iter::once("/remit-init".to_owned())
                .chain(options.clone())
                .chain(["--".to_owned()])
                .collect(),
        }
    }

    /// The uid that owns a volume, as the machine sees it.
    fn owner(&self) -> u32 {
        let first = if self.place == Place::UserNamespace { FIRST_ID } else { 0 };
        let own = self.user.and_then(|user| user.split(':').next()).and_then(|uid| uid.parse().ok());
        first + own.unwrap_or(0)
    }

    fn start_docker(&self, name: String, files: &[(PathBuf, &str)]) -> Running {
        let mut docker = Command::new("docker");
        docker.args(["run", "--detach", "--name", &name]);
        if self.place == Place::Restricted {
            docker.args(["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"]);
            // As emptyDir is: without noexec, which Docker would add.
            docker.args(["--tmpfs", "/tmp:exec,mode=1777"]);
            let unmounted = |folder: &&String| self.folders.iter().all(|(_, target)| target != *folder);
            for folder in self.image.writable.iter().filter(unmounted) {
                docker.args(["--tmpfs", &format!("{folder}:exec,uid=101,gid=101,mode=755")]);
            }
        }
        if let Some(user) = self.user {
            docker.args(["--user", user]);
        }
        for (name, value) in &self.environment {
            docker.args(["--env", &format!("{name}={value}")]);
        }
        for (source, target) in files {
            docker.args(["--volume", &format!("{}:{target}:ro", source.display())]);
        }
        for path in &self.mounts {
            docker.args(["--volume", &format!("{path}:{path}:ro")]);
        }
        for (index, (target, files)) in self.volumes.iter().enumerate() {
            let source = folder().join(format!("{name}-volume-{index}"));
            std::fs::create_dir(&source).expect("a temporary folder");
            for (name, content) in files {
                std::fs::write(source.join(name), content).expect("a temporary file");
                give(&source.join(name), self.owner());
            }
            give(&source, self.owner());
            docker.args(["--volume", &format!("{}:{target}", source.display())]);
        }
        for (source, target) in &self.folders {
            give(source, self.owner());
            docker.args(["--volume", &format!("{}:{target}", source.display())]);
        }
        docker.args(&self.flags);
        let mut words = self.entrypoint();
        words.extend(self.command.iter().cloned());
        // The image's own ENTRYPOINT is the shim; other inits take its place.
        if !matches!(self.init, Init::Remit(_)) {
            docker.args(["--entrypoint", &words[0]]);
        }
        docker.arg(self.image.docker()).args(&words[1..]);
        let output = docker.output().expect("docker runs");
        assert!(output.status.success(), "docker run: {}", String::from_utf8_lossy(&output.stderr));
        Running::docker(self.place, name)
    }

    fn start_bare(&self, files: &[(PathBuf, &str)]) -> Running {
        let mut contain = Command::new(probe());
        contain.args(["contain", "--image"]).arg(&self.image.tar);
        if let Some(user) = self.user {
            contain.args(["--user", user]);
        }
        if let Some(what) = self.without {
            contain.args(["--without", what]);
        }
        for (source, target) in files {
            contain.arg("--file").arg(format!("{}={target}", source.display()));
        }
        for (index, (target, files)) in self.volumes.iter().enumerate() {
            for (name, content) in files {
                let source = folder().join(unique(&format!("volume-{index}")));
                std::fs::write(&source, content).expect("a temporary file");
                contain.arg("--file").arg(format!("{}={target}/{name}", source.display()));
            }
        }
        for (source, target) in &self.folders {
            give(source, self.owner());
            contain.arg("--folder").arg(format!("{}={target}", source.display()));
        }
        for path in &self.mounts {
            contain.arg("--folder").arg(format!("{path}={path}"));
        }
        contain.arg("--").args(self.entrypoint()).args(&self.command);
        contain.env_clear().envs(self.environment.iter().cloned());
        // As in a container of an engine, also where these tests run under nohup(1).
        // SAFETY: async-signal-safe, integers only.
        unsafe {
            contain.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                Ok(())
            });
        }
        let mut child = contain
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the probe runs");
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        // The first line says the pid; without one it did not come that far.
        errors.read_line(&mut line).expect("the probe's stderr");
        let pid = line.trim().strip_prefix("contained ").and_then(|text| text.parse().ok());
        let pid = pid.unwrap_or_else(|| {
            let mut rest = String::new();
            drop(child.stdin.take());
            // What is said after a failure only adds to it.
            let _ = errors.read_to_string(&mut rest);
            panic!("probe contain: {line}{rest}")
        });
        Running::with_errors(self.place, Handle::Bare, pid, child, errors)
    }
}

enum Handle {
    Docker { name: String },
    Bare,
}

/// A container that runs, or has run; it is removed with this value.
pub struct Running {
    /// Its place.
    pub place: Place,
    /// PID 1 of it, as the machine sees it; 0 when it ended at once.
    pub pid: i32,
    handle: Handle,
    streams: Child,
    output: Arc<Output>,
}

/// How `docker stop`, or what stands for it, went.
#[derive(Debug)]
pub struct Stopped {
    /// The container's exit code.
    pub code: i32,
    /// From the request to the end, `docker` itself included.
    pub took: Duration,
}

impl Running {
    /// A container of Docker's that was started already.
    pub fn docker(place: Place, name: String) -> Running {
        let logs = Command::new("docker")
            .args(["logs", "--follow", &name])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker runs");
        let pid = ask(&["inspect", "--format", "{{.State.Pid}}", &name]).trim().parse().unwrap_or(0);
        Running::new(place, Handle::Docker { name }, pid, logs)
    }

    /// Its name, by which Docker has it.
    pub fn name(&self) -> &str {
        match &self.handle {
            Handle::Docker { name } => name,
            Handle::Bare => panic!("the bare container has no name"),
        }
    }

    /// `docker exec`: a process that the engine starts beside the container's own.
    pub fn exec(&self, command: &[&str]) -> std::process::Output {
        Command::new("docker").args(["exec", self.name()]).args(command).output().expect("docker runs")
    }

    fn new(place: Place, handle: Handle, pid: i32, mut streams: Child) -> Running {
        let errors = BufReader::new(streams.stderr.take().expect("a pipe"));
        Running::with_errors(place, handle, pid, streams, errors)
    }

    fn with_errors(
        place: Place,
        handle: Handle,
        pid: i32,
        mut streams: Child,
        errors: impl BufRead + Send + 'static,
    ) -> Running {
        let output = Arc::new(Output::default());
        let lines = BufReader::new(streams.stdout.take().expect("a pipe"));
        follow(&output, lines, |state| &mut state.out);
        follow(&output, errors, |state| &mut state.err);
        Running { place, pid, handle, streams, output }
    }

    /// Waits until `found` says something of the lines so far; panics with what
    /// was written when it never does.
    fn until<T>(&self, what: &str, found: impl Fn(&Lines) -> Option<T>) -> T {
        self.output.within(PATIENCE, found).unwrap_or_else(|| {
            panic!("{:?}: waited in vain for {what}\n{}", self.place, self.output.lines().text())
        })
    }

    /// Waits for a line of stdout or stderr that holds `text`.
    pub fn line(&self, text: &str) -> String {
        self.lines(text, 1)
    }

    /// Waits for so many such lines, and gives the last.
    pub fn lines(&self, text: &str, count: usize) -> String {
        self.until(&format!("{count} lines with `{text}`"), |state| {
            let mut found = state.out.iter().chain(&state.err).filter(|line| line.contains(text));
            found.nth(count - 1).cloned()
        })
    }

    /// Everything that was written to stdout so far.
    pub fn stdout(&self) -> String {
        self.output.lines().out.join("\n")
    }

    /// Everything that was written to stderr so far.
    pub fn stderr(&self) -> String {
        self.output.lines().err.join("\n")
    }

    /// The events on stderr so far.
    pub fn events(&self) -> Events {
        Events::read(&self.output.lines().err)
    }

    /// What `found` sees in the events on stderr, as soon as it does; none when
    /// it has not for three seconds.
    pub fn event<T>(&self, found: impl Fn(&Events) -> Option<T>) -> Option<T> {
        self.output.within(Duration::from_secs(3), |state| found(&Events::read(&state.err)))
    }

    /// Waits for what writes nothing and makes no event.
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&Running) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(
                Instant::now() < deadline,
                "{:?}: waited in vain for {what}\n{}",
                self.place,
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A connection to a port inside.
    pub fn connect(&self, port: u16) -> std::io::Result<TcpStream> {
        let stream = self.in_network(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Does something in its network: a socket stays in the namespace that it was
    /// made in, and so does a program that is started there.
    pub fn in_network<T: Send>(&self, act: impl FnOnce() -> std::io::Result<T> + Send) -> std::io::Result<T> {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.pid))?;
        let go_and_act = || {
            // SAFETY: setns takes no memory and changes this thread alone, which comes
            // back no more.
            if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
            act()
        };
        std::thread::scope(|scope| scope.spawn(go_and_act).join().expect("the thread does not panic"))
    }

    /// One request of a new connection.
    pub fn get(&self, port: u16, target: &str) -> http::Answer {
        let answer = self.connect(port).and_then(|stream| http::Client::new(stream).get(target));
        answer.unwrap_or_else(|error| {
            panic!("{:?}: GET {target} of port {port}: {error}\n{}", self.place, self.stderr())
        })
    }

    /// Sends a signal to PID 1 from outside.
    pub fn signal(&self, signal: i32) {
        match &self.handle {
            Handle::Docker { name } => {
                ask(&["kill", "--signal", &signal.to_string(), name]);
            }
            // SAFETY: kill takes no memory; the pid is held by an unreaped child.
            Handle::Bare => unsafe {
                assert_eq!(libc::kill(self.pid, signal), 0, "kill {}", self.pid);
            },
        }
    }

    /// Waits for the end; the container's exit code.
    pub fn wait(&mut self) -> i32 {
        self.until("its end", |state| (state.ended == 2).then_some(()));
        match &self.handle {
            Handle::Docker { name } => {
                ask(&["wait", name]).trim().parse().expect("docker wait prints the code")
            }
            Handle::Bare => self.streams.wait().expect("the probe's end").code().unwrap_or(-1),
        }
    }

    /// `docker stop`, or SIGTERM and ten seconds of waiting.
    pub fn stop(&mut self) -> Stopped {
        let begin = Instant::now();
        match &self.handle {
            Handle::Docker { name } => {
                ask(&["stop", name]);
            }
            Handle::Bare => self.signal(libc::SIGTERM),
        }
        if let Handle::Bare = self.handle {
            let code = self.wait();
            return Stopped { code, took: begin.elapsed() };
        }
        let took = begin.elapsed();
        Stopped { code: self.wait(), took }
    }

    /// A file inside, as the machine reaches it.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// Changes something in a folder inside as the folder's owner does: the
    /// machine's root has no id in a user namespace, and may make nothing there.
    pub fn change<T: Send>(&self, folder: &str, change: impl FnOnce(&Path) -> T + Send) -> T {
        let folder = self.path(folder);
        let owner =
            std::fs::metadata(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let as_owner = || {
            // SAFETY: neither call takes memory, and both change this thread alone.
            unsafe {
                libc::syscall(libc::SYS_setfsgid, owner.gid());
                libc::syscall(libc::SYS_setfsuid, owner.uid());
            }
            change(&folder)
        };
        std::thread::scope(|scope| scope.spawn(as_owner).join().expect("the change does not panic"))
    }

    /// The processes inside: pid (the machine's), uid (the container's) and title.
    pub fn processes(&self) -> Vec<(i32, u32, String)> {
        let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let inside = namespace(self.pid);
        let first = if let Handle::Bare = self.handle { FIRST_ID } else { 0 };
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("/proc is mounted").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if inside.is_none() || namespace(pid) != inside {
                continue;
            }
            let title = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let uid = status
                .lines()
                .find_map(|line| line.strip_prefix("Uid:"))
                .and_then(|ids| ids.split_whitespace().next())
                .and_then(|id| id.parse::<u32>().ok());
            let title = String::from_utf8_lossy(&title).replace('\0', " ").trim().to_owned();
            found.push((pid, uid.unwrap_or(first) - first, title));
        }
        found.sort_unstable();
        found
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        match &self.handle {
            // Its own result would hide the test's.
            Handle::Docker { name } => {
                let _ = Command::new("docker").args(["rm", "--force", name]).output();
            }
            // The bare container ends with its stdin.
            Handle::Bare => drop(self.streams.stdin.take()),
        }
        let _ = self.streams.wait();
    }
}

fn give(path: &Path, owner: u32) {
    std::os::unix::fs::chown(path, Some(owner), Some(owner)).expect("root gives files away");
}

/// One answer of Docker's.
fn ask(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker runs");
    assert!(
        output.status.success(),
        "docker {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
