//! Who takes part, and the temporary folder that they work in.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// A way to run a program: bare, or under a supervisor.
#[derive(Clone)]
pub struct Contender {
    /// As the table prints it.
    pub name: String,
    /// The supervisor's file; empty for none.
    pub file: PathBuf,
    /// What stands between the supervisor and the program.
    options: Vec<&'static str>,
    /// Given as REMIT_PROFILE.
    profile: Option<PathBuf>,
    /// The user that it runs as, where that is not the user that runs the benches.
    user: Option<u32>,
    /// Why it does not take part.
    pub absent: Option<String>,
}

impl Contender {
    /// `program` under this supervisor, complaints going to the room's file.
    pub fn command(&self, room: &Room, program: &Path, args: &[&str]) -> Result<Command, String> {
        let stderr = File::options().create(true).append(true).open(room.stderr(self.profile.is_some()));
        let mut words: Vec<OsString> = Vec::new();
        if !self.file.as_os_str().is_empty() {
            words.push(self.file.clone().into());
            words.extend(self.options.iter().map(OsString::from));
        }
        words.push(program.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(args).stdin(Stdio::null());
        // Set by cargo; a shim that drops it says so, which takes time.
        command.env_remove("LD_LIBRARY_PATH");
        command.stderr(stderr.map_err(|e| format!("stderr file: {e}"))?);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        // By the environment, so that any other init can stand in for the shim.
        if let Some(profile) = &self.profile {
            command.env("REMIT_PROFILE", profile);
        }
        Ok(command)
    }

    /// The same under another name in the table.
    pub fn named(self, name: &str) -> Contender {
        Contender { name: name.to_owned(), ..self }
    }

    /// The same, which takes no part.
    pub fn absent(self, why: String) -> Contender {
        Contender { absent: Some(why), ..self }
    }

    /// The same under another profile, by its file or its name; without a supervisor,
    /// under none.
    pub fn under(self, profile: impl Into<PathBuf>) -> Contender {
        Contender { profile: self.profile.map(|_| profile.into()), ..self }
    }

    /// The same as an init and no more.
    pub fn init_only(&self) -> Contender {
        let options = vec!["--mode", "off", "-s", "--"];
        let (name, file, absent) = (self.name.clone(), self.file.clone(), self.absent.clone());
        Contender { name, file, options, profile: None, user: None, absent }
    }

    /// The same as another user.
    pub fn run_as(self, user: Option<u32>) -> Contender {
        Contender { user, ..self }
    }

    /// The nanoseconds that the worker prints: proof that it ran at all.
    pub fn output_ns(&self, room: &Room, args: &[&str]) -> Result<f64, String> {
        let out = self.command(room, &room.worker(), args)?.output();
        let out = out.map_err(|e| format!("{}: cannot be started: {e}", self.name))?;
        let printed = String::from_utf8_lossy(&out.stdout).trim().parse().ok();
        printed.filter(|_| out.status.success()).ok_or_else(|| {
            let said = room.said(self.profile.is_some()).unwrap_or_else(|| "nothing on stderr".to_owned());
            format!("{}: the worker did not do `{}`: {}; {said}", self.name, args.join(" "), out.status)
        })
    }

    /// Starts it and leaves it running until the value is dropped.
    pub fn start(&self, room: &Room, program: &Path, args: &[&str]) -> Result<Started, String> {
        let mut command = self.command(room, program, args)?;
        let child = command.stdout(Stdio::null()).spawn();
        child.map(Started).map_err(|e| format!("{}: cannot be started: {e}", self.name))
    }

    /// Takes part only if it can run the worker here; ours has to.
    fn tried(mut self, room: &Room) -> Contender {
        if self.absent.is_none()
            && let Err(why) = self.output_ns(room, &["calls", "1"])
        {
            let why = why.trim_start_matches(&self.name).trim_start_matches(": ");
            self.absent = Some(format!("does not work here: {why}"));
        }
        self
    }
}

/// A running contender, ended when dropped.
pub struct Started(Child);

impl Started {
    /// Its processes other than the worker.
    pub fn supervisors(&self, worker: &Path) -> Vec<u32> {
        let (mut found, mut queue) = (Vec::new(), vec![self.0.id()]);
        while let Some(pid) = queue.pop() {
            if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == worker) {
                continue;
            }
            found.push(pid);
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            queue.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
        }
        found
    }

    /// Its exit, if it has ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // strace lets go of the processes that it follows when it is ended.
        let followed = descendants(self.0.id());
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let patience = Instant::now() + Duration::from_secs(3);
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > patience {
                let _ = self.0.kill();
            }
            thread::sleep(Duration::from_millis(5));
        }
        for pid in followed {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

/// All that descend from a process.
fn descendants(pid: u32) -> Vec<u32> {
    let (mut found, mut queue) = (Vec::new(), vec![pid]);
    while let Some(pid) = queue.pop() {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children: Vec<u32> = children.split_whitespace().filter_map(|c| c.parse().ok()).collect();
        found.extend(&children);
        queue.extend(children);
    }
    found
}

/// The temporary folder: programs in `bin`, thirty folders in `paths`, the profile.
pub struct Room {
    /// Where it is; removed at the end.
    pub dir: PathBuf,
}

impl Room {
    /// Makes the folder, with links resolved: a profile names real paths.
    pub fn make() -> Result<Room, String> {
        let worker = crate::build_worker()?;
        let parent = std::env::temp_dir().canonicalize().map_err(|e| format!("temporary folder: {e}"))?;
        let room = Room { dir: parent.join(format!("remit-bench-{}", std::process::id())) };
        let fill = || {
            fs::create_dir_all(room.dir.join("bin"))?;
            for program in PROGRAMS {
                fs::copy(&worker, room.dir.join("bin").join(program))?;
                let mode = fs::Permissions::from_mode(0o755);
                fs::set_permissions(room.dir.join("bin").join(program), mode)?;
            }
            for path in room.paths() {
                fs::create_dir_all(path)?;
            }
            fs::write(room.dir.join("profile.json"), room.profile().to_string())
        };
        fill().map_err(|e| format!("{}: {e}", room.dir.display()))?;
        room.proven()
    }

    /// The program that acts.
    pub fn worker(&self) -> PathBuf {
        self.dir.join("bin").join(PROGRAMS[0])
    }

    /// The program that the worker spawns: another inode.
    pub fn spawned(&self) -> PathBuf {
        self.dir.join("bin").join(PROGRAMS[1])
    }

    /// What our own have written to stderr since the last time: all being well,
    /// nothing. What the rivals say is theirs.
    pub fn complaints(&self) -> Option<String> {
        self.said(true)
    }

    fn said(&self, ours: bool) -> Option<String> {
        let text = fs::read_to_string(self.stderr(ours)).unwrap_or_default();
        let _ = fs::remove_file(self.stderr(ours));
        let first = text.lines().next()?;
        Some(format!("{} lines on stderr, the first: {first}", text.lines().count()))
    }

    fn stderr(&self, ours: bool) -> PathBuf {
        self.dir.join(if ours { "stderr" } else { "stderr-of-rivals" })
    }

    /// A shim that runs nothing or holds nothing would win every race: a call
    /// that the profile does not list has to fail under it.
    fn proven(self) -> Result<Room, String> {
        let shim = self.shim();
        shim.output_ns(&self, &["calls", "1"])?;
        let status = shim.command(&self, &self.worker(), &["confined"])?.status();
        let confines = status.map_err(|e| format!("{}: cannot be started: {e}", shim.name))?.success();
        let said = self.complaints();
        match (confines, std::env::var_os("REMIT_BENCH_SHIM")) {
            (true, _) => Ok(self),
            (false, None) => Err(format!("{}: does not confine; {}", shim.name, said.unwrap_or_default())),
            (false, Some(other)) => {
                println!("NOTE: {} stands in for remit-init, and confines nothing", other.display());
                Ok(self)
            }
        }
    }

    /// No supervisor.
    pub fn bare(&self) -> Contender {
        let (file, options) = (PathBuf::new(), Vec::new());
        Contender { name: "unconfined".to_owned(), file, options, profile: None, user: None, absent: None }
    }

    /// No supervisor, behind a filter and a domain that allow everything.
    pub fn any_confinement(&self) -> Contender {
        let name = "any-confinement";
        Contender { file: self.worker(), options: vec![name], ..self.bare() }.named(name)
    }

    /// The shim of this build as the first process of a namespace, where it learns as in a
    /// container. The journal goes to stderr.
    pub fn learning(&self) -> Contender {
        let shim = env!("CARGO_BIN_EXE_remit-init");
        let mut unshare = self.rival("unshare");
        unshare.options = vec!["--pid", "--fork", "--kill-child", "--mount-proc", shim];
        unshare.options.extend(["--mode", "learn", "--learn-dir", "-", "--"]);
        unshare.named("remit-init --mode learn")
    }

    /// Every call traced.
    pub fn strace(&self) -> Contender {
        let options = vec!["-f", "-qq", "-o", "/dev/null", "--"];
        Contender { options, ..self.rival("strace") }.named("strace -f")
    }

    /// The shim of this build, under the profile.
    pub fn shim(&self) -> Contender {
        let file =
            std::env::var_os("REMIT_BENCH_SHIM").unwrap_or_else(|| env!("CARGO_BIN_EXE_remit-init").into());
        self.shim_of("remit-init", file.into(), self.dir.join("profile.json"))
    }

    /// A shim's file under a profile; a copy of it, since what cargo builds has a second name,
    /// for which the shim looks through what the profile lets be written.
    pub fn shim_of(&self, name: &str, file: PathBuf, profile: PathBuf) -> Contender {
        let copy = self.dir.join("shims").join(name.replace(' ', "-"));
        let copied = copy.is_file()
            || (fs::create_dir_all(self.dir.join("shims")).is_ok() && fs::copy(&file, &copy).is_ok());
        Contender {
            name: name.to_owned(),
            file: if copied { copy } else { file },
            options: vec!["--"],
            profile: Some(profile),
            user: None,
            absent: None,
        }
    }

    /// The shim under the same profile and one more rule for each of 10,000 files.
    pub fn shim_of_many_paths(&self) -> Result<Contender, String> {
        const FOLDERS: usize = 100;
        const FILES: usize = 100;
        let mut profile = self.profile();
        let mut files = profile["files"].as_array().cloned().unwrap_or_default();
        let file = self.dir.join("many.json");
        let fill = || {
            for folder in 0..FOLDERS {
                let folder = self.dir.join("many").join(format!("{folder:02}"));
                fs::create_dir_all(&folder)?;
                for name in 0..FILES {
                    let path = folder.join(format!("{name:02}"));
                    fs::write(&path, "")?;
                    files.push(json!({ "path": path, "allow": ["read", "write"] }));
                }
            }
            profile["files"] = files.into();
            fs::write(&file, profile.to_string())
        };
        fill().map_err(|e| format!("{}: {e}", self.dir.display()))?;
        Ok(self.shim_of(MANY_PATHS, self.shim().file, file))
    }

    /// Someone else's, by the name of the program, where it is installed and works.
    pub fn rival(&self, name: &str) -> Contender {
        let file = find_program(name);
        let options = match name {
            "bwrap" => {
                vec!["--ro-bind", "/", "/", "--dev", "/dev", "--unshare-pid", "--die-with-parent", "--"]
            }
            // A subreaper, as the shim is whenever it confines, and so without tini's warning.
            "tini" | "tini-static" => vec!["-s", "--"],
            _ => vec!["--"],
        };
        let absent = file.is_none().then(|| "not installed".to_owned());
        let file = file.unwrap_or_default();
        Contender { name: name.to_owned(), file, options, profile: None, user: None, absent }.tried(self)
    }

    /// All of them; the first has no supervisor.
    pub fn everyone(&self) -> Vec<Contender> {
        // TARGET/TRIPLE/release/remit-init, with the other triple.
        let target =
            Path::new(env!("CARGO_BIN_EXE_remit-init")).ancestors().nth(3).unwrap_or(Path::new("target"));
        let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let musl = target.join(triple).join("release/remit-init");
        let there = musl.is_file();
        let mut musl = self.shim_of("remit-init (musl)", musl, self.dir.join("profile.json"));
        musl.absent = (!there).then(|| "not built; `.ci/musl` builds it".to_owned());
        let mut all = vec![self.bare(), self.shim(), musl.tried(self)];
        all.extend(["tini-static", "tini", "dumb-init", "catatonit", "bwrap"].map(|name| self.rival(name)));
        all
    }

    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        (0..PATHS).map(|n| self.dir.join("paths").join(format!("{n:02}")))
    }

    fn profile(&self) -> serde_json::Value {
        let program = |name: &str| self.dir.join("bin").join(name);
        let programs: Vec<_> = PROGRAMS
            .iter()
            .map(|name| match *name {
                "worker" => json!({ "path": program(name), "entry": true, "may_run": [self.spawned()] }),
                _ => json!({ "path": program(name) }),
            })
            .collect();
        let files: Vec<_> = self
            .paths()
            .map(|path| json!({ "path": path, "allow": ["read", "write", "create", "remove"] }))
            .collect();
        json!({ "remit": 1, "name": "bench", "programs": programs, "files": files, "syscalls": { "allow": &CALLS[..] } })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A program's file by PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut dirs: Vec<_> = std::env::split_paths(&path).collect();
    dirs.push("/usr/sbin".into());
    dirs.into_iter().map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The name of the shim that has so many.
pub const MANY_PATHS: &str = "10,000 paths";

const PATHS: usize = 30;
const PROGRAMS: [&str; 5] = ["worker", "spawned", "third", "fourth", "fifth"];
const CALLS: [&str; 60] = [
    "accept",
    "accept4",
    "access",
    "alarm",
    "chdir",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "copy_file_range",
    "dup",
    "dup2",
    "dup3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "eventfd2",
    "faccessat",
    "fadvise64",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchown",
    "fcntl",
    "fdatasync",
    "flock",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getrlimit",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "inotify_add_watch",
    "inotify_init1",
    "inotify_rm_watch",
    "lseek",
    "madvise",
    "nanosleep",
    "newfstatat",
    "pipe2",
    "poll",
    "ppoll",
];
