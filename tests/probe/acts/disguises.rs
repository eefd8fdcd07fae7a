//! Running what is not listed under another name, from a file that has none, by a
//! script, by an interpreter, or with something in the environment.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Barrier;

use super::execs::{LOADER, memory_file, place, refused, remove, run, run_descriptor, run_named};
use super::{Result, argument, execs, number};
use crate::elf;
use crate::syscall::{self, Ended, Forked, Refused, call, open, own, path};

/// `exec-named PATH ARGV0…`, `exec-by-link PATH`, `exec-from FOLDER VARIABLE PATH`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("exec-named", |arguments| run_named("execve", argument(arguments, 0, ""), &arguments[1..], &[])),
    ("exec-with", |arguments| {
        run_named("execve", argument(arguments, 1, ""), &arguments[1..], &arguments[..1])
    }),
    ("exec-with-many", |arguments| {
        // Half of what the kernel takes at the most, before the one that matters.
        let many = (0..1000).map(|index| format!("FILLER_{index}={}", "x".repeat(1000)));
        let variables: Vec<String> = many.chain(arguments[..1].iter().cloned()).collect();
        run_named("execve", argument(arguments, 1, ""), &arguments[1..], &variables)
    }),
    ("exec-from", exec_from),
    ("exec-bare", exec_bare),
    ("exec-instances", exec_instances),
    ("exec-by-link", exec_by_link),
    ("exec-magic-link", exec_magic_link),
    ("exec-tmpfile", exec_tmpfile),
    ("exec-passed", exec_passed),
    ("exec-loader-copy", exec_loader_copy),
    ("exec-hard-link", exec_hard_link),
    ("exec-traced", exec_traced),
    ("script", script),
    ("script-chain", script_chain),
    ("script-stdin", script_stdin),
    ("exec-crowd", exec_crowd),
    ("intrusion", intrusion),
];

/// Where the attacker may write.
const WORK: &str = "/app/loot";

fn in_work(name: &str) -> String {
    format!("{WORK}/{name}")
}

/// From another working directory, which the probe's threads share.
fn exec_from(arguments: &[String]) -> Result {
    let enter = |folder: &str| call("chdir", libc::SYS_chdir, &[path(folder).as_ptr() as usize]);
    enter(argument(arguments, 0, ""))?;
    let ran = run_named("execve", argument(arguments, 2, ""), &arguments[2..], &arguments[1..2]);
    enter("/")?;
    ran
}

fn exec_by_link(arguments: &[String]) -> Result {
    let name = in_work("by-link");
    let words = [path(argument(arguments, 0, "")), path(&name)];
    let words = [words[0].as_ptr() as usize, libc::AT_FDCWD as usize, words[1].as_ptr() as usize];
    remove(&name);
    call("symlinkat", libc::SYS_symlinkat, &words)?;
    let result = run("execve", &name, &[]);
    remove(&name);
    result
}

/// `/proc/self/fd` and its other names.
fn exec_magic_link(arguments: &[String]) -> Result {
    let file = open("open", argument(arguments, 1, ""), libc::O_PATH, 0)?;
    let name = format!("{}/{}", argument(arguments, 0, "/proc/self/fd"), file.as_raw_fd());
    run("execve", &name, &[])
}

/// A file that never had a name.
fn exec_tmpfile(_: &[String]) -> Result {
    let mut file = File::from(open("open", WORK, libc::O_TMPFILE | libc::O_RDWR, 0o755)?);
    file.write_all(&elf::exits()).map_err(|error| refused("write", &error))?;
    // What is open for writing is not executed; it is opened anew, and then only so.
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    let only_read = open("open anew", &name, libc::O_RDONLY, 0)?;
    drop(file);
    run_descriptor("execveat", &only_read)
}

/// A file in memory that another process made and handed over.
fn exec_passed(_: &[String]) -> Result {
    let mut ends = [0i32; 2];
    let kind = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as usize;
    let words = [libc::AF_UNIX as usize, kind, 0, ends.as_mut_ptr() as usize];
    call("socketpair", libc::SYS_socketpair, &words)?;
    let [here, there] = ends.map(|end| own(end as usize));
    if let Forked::Child = syscall::fork("fork")? {
        let sent = memory_file().and_then(|file| send(&there, &file));
        syscall::leave(i32::from(sent.is_err()));
    }
    drop(there);
    run_descriptor("execveat", &receive(&here)?)
}

/// A message with room for one descriptor in its ancillary data.
struct Message {
    byte: [u8; 1],
    parts: [libc::iovec; 1],
    /// struct cmsghdr and an int, as the kernel aligns them.
    control: [u64; 3],
}

impl Message {
    fn new() -> Message {
        let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Message { byte: [b'x'], parts: [none], control: [0; 3] }
    }

    fn header(&mut self) -> libc::msghdr {
        self.parts[0] = libc::iovec { iov_base: self.byte.as_mut_ptr().cast(), iov_len: 1 };
        // SAFETY: all zero is a message without a name.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = self.parts.as_mut_ptr();
        header.msg_iovlen = 1;
        header.msg_control = self.control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&self.control) as _;
        header
    }
}

fn send(socket: &OwnedFd, file: &OwnedFd) -> Result<()> {
    let mut message = Message::new();
    // cmsg_len; cmsg_level and cmsg_type; the descriptor.
    let kind = (libc::SOL_SOCKET as u64) | ((libc::SCM_RIGHTS as u64) << 32);
    message.control = [16 + 4, kind, file.as_raw_fd() as u64];
    let header = message.header();
    let at = &raw const header as usize;
    call("sendmsg", libc::SYS_sendmsg, &[socket.as_raw_fd() as usize, at, 0])?;
    Ok(())
}

fn receive(socket: &OwnedFd) -> Result<OwnedFd> {
    let mut message = Message::new();
    let mut header = message.header();
    let at = &raw mut header as usize;
    call("recvmsg", libc::SYS_recvmsg, &[socket.as_raw_fd() as usize, at, 0])?;
    if message.control[0] != 20 {
        return Err(Refused { step: "no descriptor came", errno: libc::EBADF });
    }
    Ok(own(message.control[2] as u32 as usize))
}

/// A loader under a name that no loader has.
fn exec_loader_copy(arguments: &[String]) -> Result {
    let (copy, evil) = (in_work("copy"), argument(arguments, 0, "/app/evil"));
    let loader = std::fs::read(LOADER).map_err(|error| refused("read the loader", &error))?;
    place(&copy, &loader)?;
    let result = run("execve", &copy, &[evil.to_owned()]);
    remove(&copy);
    result
}

/// A second name of a file that is not listed.
fn exec_hard_link(_: &[String]) -> Result {
    let (file, name) = (in_work("file"), in_work("hard-link"));
    place(&file, &elf::exits())?;
    remove(&name);
    let (from, to) = (path(&file), path(&name));
    let here = libc::AT_FDCWD as usize;
    call("linkat", libc::SYS_linkat, &[here, from.as_ptr() as usize, here, to.as_ptr() as usize, 0])?;
    let result = run("execve", &name, &[]);
    remove(&file);
    remove(&name);
    result
}

/// Without arguments and without an environment, not even empty ones.
fn exec_bare(arguments: &[String]) -> Result {
    let program = path(argument(arguments, 0, "/srv/victim"));
    execs::in_grandchild("execve", || call("execve", libc::SYS_execve, &[program.as_ptr() as usize, 0, 0]))
}

/// Two that live at the same time.
fn exec_instances(arguments: &[String]) -> Result {
    let program = path(argument(arguments, 0, "/app/waits"));
    let argv = [program.as_ptr() as usize, 0];
    let words = [program.as_ptr() as usize, argv.as_ptr() as usize, 0];
    let (from, to) = syscall::pipe()?;
    let mut children = Vec::new();
    for _ in 0..2 {
        match syscall::fork("fork")? {
            Forked::Child => {
                let errno = call("execve", libc::SYS_execve, &words).err().map_or(0, |refused| refused.errno);
                let written = (&File::from(to)).write_all(&errno.to_le_bytes());
                syscall::leave(if written.is_ok() { 127 } else { 126 })
            }
            Forked::Parent(child) => children.push(child),
        }
    }
    drop(to);
    // The exec closes the pipe: nothing comes when both are what they wait as.
    let mut errno = Vec::new();
    let read = std::io::Read::read_to_end(&mut File::from(from), &mut errno);
    children.into_iter().for_each(syscall::end);
    read.map_err(|error| refused("read", &error))?;
    match <[u8; 4]>::try_from(errno.as_slice()) {
        Ok(errno) => Err(Refused { step: "execve", errno: i32::from_le_bytes(errno) }),
        Err(_) if errno.is_empty() => Ok("both".to_owned()),
        Err(_) => Err(Refused { step: "neither", errno: libc::EACCES }),
    }
}

/// A program that its own parent traces from before it begins: the parent
/// alone may then read it.
fn exec_traced(arguments: &[String]) -> Result {
    let program = path(argument(arguments, 0, "/app/good"));
    let list = [path("good"), path("g")];
    let argv = execs::pointers(&list);
    let (from, to) = syscall::pipe()?;
    let child = match syscall::fork("fork")? {
        Forked::Child => {
            let traced = call("ptrace", libc::SYS_ptrace, &[libc::PTRACE_TRACEME as usize]);
            let words = [program.as_ptr() as usize, argv.as_ptr() as usize, 0];
            let made = traced.and_then(|_| call("execve", libc::SYS_execve, &words));
            let errno = made.err().map_or(0, |refused| refused.errno);
            let written = File::from(to).write_all(&errno.to_le_bytes());
            syscall::leave(if written.is_ok() { 127 } else { 126 })
        }
        Forked::Parent(child) => child,
    };
    drop(to);
    let mut errno = Vec::new();
    std::io::Read::read_to_end(&mut File::from(from), &mut errno).map_err(|error| refused("read", &error))?;
    if let Ok(errno) = <[u8; 4]>::try_from(errno.as_slice()) {
        syscall::wait(child);
        return Err(Refused { step: "execve", errno: i32::from_le_bytes(errno) });
    }
    // It stops at its first instruction, with its tracer's word for it.
    let mut status = 0;
    // SAFETY: `status` is a live int, and the others take no memory.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    if libc::WIFSTOPPED(status) {
        call("ptrace", libc::SYS_ptrace, &[libc::PTRACE_DETACH as usize, child as usize, 0, 0])?;
        return Ok(match syscall::wait(child) {
            Ended::Code(code) => format!("exit {code}"),
            Ended::Signal(signal) => format!("signal {signal}"),
        });
    }
    Err(Refused { step: "killed", errno: libc::EPERM })
}

/// A script of the attacker's own, for an interpreter that is there for another: by
/// itself, or as a file for the interpreter.
fn script(arguments: &[String]) -> Result {
    let (name, interpreter) = (in_work("script"), argument(arguments, 0, "/bin/sh"));
    place(&name, format!("#!{interpreter}\nexit 42\n").as_bytes())?;
    let result = match argument(arguments, 1, "by itself") {
        "by-interpreter" => run("execve", interpreter, std::slice::from_ref(&name)),
        _ => run("execve", &name, &[]),
    };
    remove(&name);
    result
}

/// A script whose interpreter is a script whose interpreter is listed.
fn script_chain(_: &[String]) -> Result {
    let (first, second) = (in_work("first"), in_work("second"));
    place(&second, b"#!/bin/sh\nexit 42\n")?;
    place(&first, format!("#!{second}\n").as_bytes())?;
    let result = run("execve", &first, &[]);
    remove(&first);
    remove(&second);
    result
}

/// An interpreter that reads its commands from its stdin.
fn script_stdin(arguments: &[String]) -> Result {
    let name = in_work("commands");
    place(&name, b"exit 42\n")?;
    let commands = open("open", &name, libc::O_RDONLY, 0)?;
    // This process makes one act: its own stdin is not missed.
    // SAFETY: both descriptors are open, and nothing here owns the second.
    unsafe { libc::dup2(commands.as_raw_fd(), 0) };
    let result = run("execve", argument(arguments, 0, "/bin/sh"), &[]);
    remove(&name);
    result
}

/// N rounds of eight threads of one group that execute something at the same moment:
/// the exec of one has to wait for the end of the others, which wait for an answer. Or
/// of a thread whose group has lost its first.
fn exec_crowd(arguments: &[String]) -> Result {
    const THREADS: usize = 8;
    let rounds = number(arguments, 0, 50);
    let headless = argument(arguments, 1, "") == "headless";
    let program = path("/app/good");
    let list = [path("good"), path("g")];
    let argv = execs::pointers(&list);
    let words = [program.as_ptr() as usize, argv.as_ptr() as usize, 0];
    let mut through = 0;
    for _ in 0..rounds {
        match syscall::fork("fork")? {
            Forked::Child if headless => {
                std::thread::spawn(move || {
                    let refused = call("execve", libc::SYS_execve, &words);
                    syscall::leave(i32::from(refused.is_err()))
                });
                // SAFETY: the bare call ends this thread alone; what the other reads is
                // not given back by it.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            }
            Forked::Child => {
                let gate = Barrier::new(THREADS);
                std::thread::scope(|scope| {
                    for _ in 0..THREADS {
                        scope.spawn(|| {
                            gate.wait();
                            call("execve", libc::SYS_execve, &words)
                        });
                    }
                });
                syscall::leave(1)
            }
            Forked::Parent(child) => through += i64::from(syscall::wait(child) == Ended::Code(b'g'.into())),
        }
    }
    Ok(format!("{through} of {rounds}"))
}

/// A script of the app's that does what an intruder has it do: it exits with 42 when
/// that was possible, else with the errno of what was not.
fn intrusion(arguments: &[String]) -> Result {
    // A shell's own code for what it may not execute.
    const NOT_EXECUTABLE: i32 = 126;
    let script = path(argument(arguments, 0, "/srv/app.py"));
    let words: Vec<_> = arguments.iter().map(|text| path(text)).collect();
    let environment = execs::environment();
    let (argv, envp) = (execs::pointers(&words), execs::pointers(&environment));
    let exec = [script.as_ptr() as usize, argv.as_ptr() as usize, envp.as_ptr() as usize];
    match execs::ended("execve", || call("execve", libc::SYS_execve, &exec))? {
        Ended::Code(42) => Ok("exit 42".to_owned()),
        Ended::Code(NOT_EXECUTABLE) => Err(Refused { step: "the shell", errno: libc::EACCES }),
        Ended::Code(errno) => Err(Refused { step: "the script", errno }),
        Ended::Signal(signal) => {
            Err(Refused { step: if signal == libc::SIGKILL { "killed" } else { "signal" }, errno: -signal })
        }
    }
}
