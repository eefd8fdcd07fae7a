//! Races: what a supervisor looks at is one thing, and what the kernel executes is
//! another, since somebody changed it in between.
//!
//! The programs lie in /srv: `good` is listed, may be run and exits with the first byte
//! of its argument, `edge` is listed for somebody else, `evil` is not listed; these two
//! exit with 42, and so does whatever is given an argument that it must not have.

pub mod flips;
mod truncation;

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Barrier};

use self::flips::{Descriptors, Flip, Shared, Text, exchange, keep_changing, links};
use super::users::become_user;
use super::{Result, argument, execs, number};

use crate::syscall::{self, Ended, Forked, call, errno_name, open};

/// `race KIND TRIES [MODE [USER]]`
pub const ACTS: &[(&str, super::Act)] =
    &[("race", race), ("race-write", race_write), ("race-truncate", truncation::race)];

const GOOD: &str = "/srv/good";
const EVIL: &str = "/srv/evil";
/// Where the attacker may write, and rename.
const WORK: &str = "/app/loot";
const RACED: &str = "/app/loot/raced";
/// It exits with 7.
const SCRIPT: &str = "/app/job.sh";
const EVIL_SCRIPT: &str = "/app/loot/job.sh";

/// What is changed, in the words of this machine: before, and after.
struct Race {
    /// What is executed.
    path: &'static str,
    argv: &'static [&'static str],
    variable: Option<&'static str>,
    change: Change,
}

enum Change {
    /// A text in memory that the exec reads: which, and what it is by turns.
    Text(Text, &'static str, &'static str),
    /// Which of two files a descriptor stands for.
    Descriptor(&'static str, &'static str),
    /// What a link leads to, by one that is made anew and moved over it.
    Link(&'static str, &'static str),
    /// What a name stands for: a link to the first, and a program of the attacker's.
    Exchange(&'static str),
    /// Which of two folders is the working one.
    Folder(&'static str, &'static str),
}

fn of(kind: &str) -> Option<Race> {
    let texts = |path, argv, change| Race { path, argv, variable: None, change };
    let by = |path, change| texts(path, &["good", "g"], change);
    Some(match kind {
        "path" => by(GOOD, Change::Text(Text::Path, GOOD, EVIL)),
        "edge" => by(GOOD, Change::Text(Text::Path, GOOD, "/srv/edge")),
        // A link to the loader. What is listed exits with the byte of the slash.
        "loader" => texts(GOOD, &["good", EVIL], Change::Text(Text::Path, GOOD, "/srv/load")),
        "argument" => texts(GOOD, &["good", "g"], Change::Text(Text::Argument(1), "g", "*")),
        // `true` looks at no argument.
        "applet" => {
            let argv: &[&str] = &["true", "-c", "exit 42"];
            texts("/bin/true", argv, Change::Text(Text::Argument(0), "true", "sh\0\0"))
        }
        "variable" => Race {
            path: "/srv/victim",
            argv: &["victim"],
            variable: Some("LD_NOTHING=/app/loot/evil.so"),
            change: Change::Text(
                Text::Variable,
                "LD_NOTHING=/app/loot/evil.so",
                "LD_PRELOAD=/app/loot/evil.so",
            ),
        },
        // What the one names may not be changed, and what the other names may.
        "variable-value" => Race {
            path: "/srv/victim",
            argv: &["victim"],
            variable: Some("LD_PRELOAD=/srv/lib/libspare.so"),
            change: Change::Text(
                Text::Variable,
                "LD_PRELOAD=/srv/lib/libspare.so",
                "LD_PRELOAD=/app/./loot//evil.so",
            ),
        },
        "descriptor" => by("", Change::Descriptor(GOOD, EVIL)),
        "magic-link" => by("/proc/thread-self/fd/N", Change::Descriptor(GOOD, EVIL)),
        "link" => by(RACED, Change::Link(GOOD, EVIL)),
        "exchange" => by(RACED, Change::Exchange(GOOD)),
        // A script is opened twice: by the kernel, and by its interpreter, by name.
        "script" => texts(RACED, &["job"], Change::Link(SCRIPT, EVIL_SCRIPT)),
        "script-descriptor" => texts("", &["job"], Change::Descriptor(SCRIPT, EVIL_SCRIPT)),
        "script-folder" => texts("job.sh", &["job"], Change::Folder("/app", WORK)),
        _ => return None,
    })
}

/// How the exec is made, but for what is changed.
#[derive(Clone, Copy)]
struct Exec {
    shared: &'static Shared,
    argv: [usize; 5],
    envp: [usize; 2],
    /// By this descriptor.
    descriptor: Option<i32>,
    /// What the child shares with the process that changes it: flags of clone.
    shares: i32,
}

impl Exec {
    fn make(&self) -> i32 {
        self.shared.tries.fetch_add(1, Relaxed);
        let path = self.shared.path.as_ptr() as usize;
        let (argv, envp) = (self.argv.as_ptr() as usize, self.envp.as_ptr() as usize);
        let made = match self.descriptor {
            None => call("execve", libc::SYS_execve, &[path, argv, envp]),
            Some(at) => {
                let words = [at as usize, path, argv, envp, libc::AT_EMPTY_PATH as usize];
                call("execveat", libc::SYS_execveat, &words)
            }
        };
        let errno = made.err().map_or(0, |refused| refused.errno);
        self.shared.refused[errno as usize % self.shared.refused.len()].fetch_add(1, Relaxed);
        errno
    }
}

/// So many tries at least; how often it came to which exit code, to which signal and to
/// which errno.
fn race(arguments: &[String]) -> Result {
    let kind = argument(arguments, 0, "path");
    let Some(race) = of(kind) else { return Err(unknown("which race?")) };
    let wanted = number(arguments, 1, 100) as u32;
    let (mode, user) = (argument(arguments, 2, "alone"), number(arguments, 3, -1));
    let shared = Shared::new()?;
    shared.write(Text::Path, race.path);
    for (index, word) in race.argv.iter().enumerate() {
        shared.write(Text::Argument(index), word);
    }
    shared.write(Text::Variable, race.variable.unwrap_or_default());
    let mut exec = Exec { shared, argv: [0; 5], envp: [0; 2], descriptor: None, shares: libc::CLONE_FILES };
    for index in 0..race.argv.len() {
        exec.argv[index] = shared.arguments[index].as_ptr() as usize;
    }
    if race.variable.is_some() {
        exec.envp[0] = shared.variable.as_ptr() as usize;
    }
    // A name that is half of the one and half of the other is complained of.
    let null = open("open", "/dev/null", libc::O_WRONLY, 0)?;
    // SAFETY: this process makes one act, and nothing here owns the second descriptor.
    unsafe { libc::dup2(null.as_raw_fd(), 2) };
    let flip: Flip = match race.change {
        Change::Text(text, before, after) => {
            Arc::new(move |turn| shared.write(text, if turn { after } else { before }))
        }
        Change::Descriptor(before, after) => {
            execs::place(EVIL_SCRIPT, b"#!/bin/sh\nexit 42\n")?;
            let files = Descriptors::new(before, after)?;
            let raced = files.raced.as_raw_fd();
            if race.path.is_empty() {
                exec.descriptor = Some(raced);
            } else {
                shared.write(Text::Path, &race.path.replace('N', &raced.to_string()));
            }
            Arc::new(move |turn| files.put(turn))
        }
        Change::Link(before, after) => {
            execs::place(EVIL_SCRIPT, b"#!/bin/sh\nexit 42\n")?;
            links(before, after)?
        }
        Change::Exchange(before) => exchange(before)?,
        Change::Folder(before, after) => {
            execs::place(EVIL_SCRIPT, b"#!/bin/sh\nexit 42\n")?;
            exec.shares |= libc::CLONE_FS;
            Arc::new(move |turn| {
                // Where it fails, the folder stays the one that it was.
                let _ = std::env::set_current_dir(if turn { after } else { before });
            })
        }
    };
    if mode == "worker" && user >= 0 {
        become_user(user)?;
    }
    // In the group itself where that has threads, else beside it.
    if mode != "threads" && mode != "headless" {
        keep_changing(shared, &flip);
    }
    let storm = match mode {
        "storm" => Some(storm(shared, &[libc::SIGCONT])?),
        "stops" => Some(storm(shared, &[libc::SIGSTOP, libc::SIGCONT])?),
        _ => None,
    };
    let mut came = BTreeMap::<String, u32>::new();
    // Half of one name and half of the other is neither name, and no try.
    let neither = &shared.refused[libc::ENOENT as usize];
    while shared.tries.load(Relaxed) - neither.load(Relaxed) < wanted {
        let ended = match attempt(&exec, mode, user, &flip) {
            // So much is not shared with a child: there is nothing to exchange.
            Err(refused) if exec.shares & libc::CLONE_FS != 0 && refused.errno == libc::EPERM => {
                shared.tries.fetch_add(1, Relaxed);
                shared.refused[libc::EPERM as usize].fetch_add(1, Relaxed);
                continue;
            }
            ended => ended?,
        };
        let what = match ended {
            Ended::Code(REFUSED) => continue,
            Ended::Code(code) => format!("exit {code}"),
            Ended::Signal(signal) => format!("signal {signal}"),
        };
        *came.entry(what).or_default() += 1;
    }
    shared.over.store(true, Relaxed);
    storm.into_iter().for_each(syscall::end);
    for (errno, count) in shared.refused.iter().enumerate().skip(1) {
        if count.load(Relaxed) > 0 {
            came.insert(errno_name(errno as i32), count.load(Relaxed));
        }
    }
    Ok(counts(&came))
}

/// The exit code of a child none of whose execs went through.
const REFUSED: i32 = 255;
/// How many threads of one group execute something at the same time.
const THREADS: usize = 4;

/// One child, which comes to be another program or is refused.
fn attempt(exec: &Exec, mode: &str, user: i64, flip: &Flip) -> Result<Ended> {
    if mode == "one-memory" {
        return attempt_in_one_memory(exec);
    }
    // Memory is shared by its mapping.
    let flags = (exec.shares | libc::SIGCHLD) as usize;
    let of_many = mode == "threads" || mode == "headless";
    let child = if of_many {
        match syscall::fork("fork")? {
            Forked::Child => 0,
            Forked::Parent(child) => child,
        }
    } else {
        // No stack is named and no memory is shared: the child runs on its copy.
        call("clone", libc::SYS_clone, &[flags, 0, 0, 0, 0])? as i32
    };
    if child > 0 {
        exec.shared.child.store(child, Relaxed);
        return Ok(syscall::wait(child));
    }
    if user >= 0 && mode != "worker" && become_user(user).is_err() {
        syscall::leave(254);
    }
    if mode == "undumpable" {
        // Refused, it is as dumpable as it was.
        let _ = call("prctl", libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 0]);
    }
    if !of_many {
        exec.make();
        syscall::leave(REFUSED);
    }
    keep_changing(exec.shared, flip);
    if mode == "headless" {
        // Its first thread ends, and another becomes the new program.
        let exec = *exec;
        std::thread::spawn(move || {
            exec.make();
            syscall::leave(REFUSED);
        });
        // SAFETY: the bare call ends this thread alone.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    let gate = Arc::new(Barrier::new(THREADS));
    for _ in 1..THREADS {
        let (exec, gate) = (*exec, Arc::clone(&gate));
        std::thread::spawn(move || {
            gate.wait();
            exec.make();
            // The first exec that succeeds ends all of them.
            exec.make();
        });
    }
    gate.wait();
    exec.make();
    exec.make();
    syscall::leave(REFUSED);
}

/// So many opens for writing whose path is that of a harmless file, or of the one that is
/// named, and of a program by turns: how many were of the program, which is then another.
fn race_write(arguments: &[String]) -> Result {
    // As long as the other's, so that half of each is soon over.
    const HARMLESS: &str = "/other/harmless";
    let program = argument(arguments, 0, "/other/replaced");
    let harmless = argument(arguments, 2, HARMLESS).to_owned();
    let inode = |name: &str| std::fs::metadata(name).map(|file| std::os::unix::fs::MetadataExt::ino(&file));
    let program_is = inode(program).map_err(|error| execs::refused("stat", &error))?;
    let shared = Shared::new()?;
    shared.write(Text::Path, &harmless);
    let program = program.to_owned();
    let flip: Flip = Arc::new(move |turn| shared.write(Text::Path, if turn { &program } else { &harmless }));
    keep_changing(shared, &flip);
    let mut came = BTreeMap::<String, u32>::new();
    for _ in 0..number(arguments, 1, 100) {
        let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
        let words = [libc::AT_FDCWD as usize, shared.path.as_ptr() as usize, flags];
        let what = match call("openat", libc::SYS_openat, &words).map(syscall::own) {
            Err(refused) => errno_name(refused.errno),
            Ok(file) => {
                let file = std::fs::File::from(file);
                let opened = file.metadata().map(|file| std::os::unix::fs::MetadataExt::ino(&file));
                if opened.is_ok_and(|opened| opened == program_is) { "program" } else { "harmless" }
                    .to_owned()
            }
        };
        *came.entry(what).or_default() += 1;
    }
    shared.over.store(true, Relaxed);
    Ok(counts(&came))
}

/// `exit 42: 3, EACCES: 7`.
fn counts(came: &BTreeMap<String, u32>) -> String {
    came.iter().map(|(what, times)| format!("{what}: {times}")).collect::<Vec<_>>().join(", ")
}

/// A child that is no thread of this group, and has its memory all the same, as vfork's
/// has, while this process goes on.
fn attempt_in_one_memory(exec: &Exec) -> Result<Ended> {
    extern "C" fn child(exec: *mut libc::c_void) -> i32 {
        // SAFETY: it is the parent's, which waits for this child.
        let exec = unsafe { &*exec.cast::<Exec>() };
        // No errno of its own: what libc keeps for a thread is the parent's here.
        exec.make();
        REFUSED
    }
    let mut stack = vec![0u128; 4096];
    let top = stack.as_mut_ptr_range().end;
    let flags = exec.shares | libc::CLONE_VM | libc::SIGCHLD;
    let at = std::ptr::from_ref(exec).cast_mut().cast();
    // SAFETY: the stack is the child's alone and outlives it, and so does what it reads;
    // this thread does nothing but wait meanwhile.
    let pid = unsafe { libc::clone(child, top.cast(), flags, at) };
    if pid < 0 {
        return Err(syscall::Refused { step: "clone", errno: libc::EPERM });
    }
    Ok(syscall::wait(pid))
}

/// A process that sends these signals to each child in turn, without end.
fn storm(shared: &'static Shared, signals: &[i32]) -> Result<i32> {
    match syscall::fork("fork")? {
        Forked::Child => {
            while !shared.over.load(Relaxed) {
                let child = shared.child.load(Relaxed);
                for signal in signals.iter().filter(|_| child > 0) {
                    // SAFETY: kill takes no memory.
                    unsafe { libc::kill(child, *signal) };
                }
            }
            syscall::leave(0)
        }
        Forked::Parent(storm) => Ok(storm),
    }
}

fn unknown(step: &'static str) -> syscall::Refused {
    syscall::Refused { step, errno: libc::EINVAL }
}
