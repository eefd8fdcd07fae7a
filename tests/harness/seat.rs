//! A user at a terminal, who types and reads.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Both ends of a new terminal.
pub fn pty() -> (File, OwnedFd) {
    let (mut master, mut slave) = (0, 0);
    let (name, settings, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: two pointers to live integers; the others are null.
    let done = unsafe { libc::openpty(&mut master, &mut slave, name, settings, size) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the call has just made them, and nothing else owns them.
    unsafe {
        libc::fcntl(master, libc::F_SETFD, libc::FD_CLOEXEC);
        (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    }
}

/// Ctrl-C and Ctrl-\ do what they do in a login session. A shell without job control has
/// what it starts with `&` ignore them, as nohup(1) does with SIGHUP, and that is inherited.
pub fn interruptible(command: &mut Command) {
    let by_default = || {
        // SAFETY: async-signal-safe, integers only.
        unsafe {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            libc::signal(libc::SIGQUIT, libc::SIG_DFL);
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
        }
        Ok(())
    };
    // SAFETY: only such calls are made between fork and exec.
    unsafe { command.pre_exec(by_default) };
}

/// The command leads a session whose terminal is its stdin.
pub fn in_own_session(command: &mut Command, slave: OwnedFd) {
    interruptible(command);
    command.stdin(slave);
    let own_session = || {
        // SAFETY: async-signal-safe, integers only.
        unsafe {
            libc::setsid();
            match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        }
    };
    // SAFETY: only such calls are made between fork and exec.
    unsafe { command.pre_exec(own_session) };
}

/// What a program writes to a terminal that is its stdout, and its exit code.
pub fn shown(mut command: Command) -> (String, i32) {
    let (mut master, slave) = pty();
    let mut child = command.stdout(slave).spawn().expect("it starts");
    // The last descriptor of the program's side closes with the child.
    drop(command);
    let (mut text, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = master.read(&mut bytes) {
        text.extend_from_slice(&bytes[..count]);
    }
    let code = child.wait().expect("a child of ours").code().expect("an exit code");
    (String::from_utf8(text).expect("UTF-8"), code)
}

/// Somebody at a terminal, where a program leads the session.
pub struct Seat {
    program: std::process::Child,
    master: File,
    seen: String,
}

impl Seat {
    /// In front of a program that leads the session of this terminal.
    pub fn new(program: impl FnOnce(OwnedFd) -> Command) -> Seat {
        let (master, slave) = pty();
        let copy = || slave.try_clone().expect("a descriptor");
        let mut program = program(copy());
        program.stdout(Stdio::from(copy())).stderr(Stdio::from(copy()));
        if program.get_envs().all(|(name, _)| name != "TERM") {
            program.env("TERM", "dumb");
        }
        program.env("PS1", "$ ");
        let started = program.spawn().expect("it starts");
        Seat { program: started, master, seen: String::new() }
    }

    /// Types this.
    pub fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("a terminal takes it");
    }

    /// Waits until this has been written after all that was waited for.
    #[track_caller]
    pub fn sees(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.seen.contains(text) {
            let mut wanted = [PollFd::new(std::os::fd::AsFd::as_fd(&self.master), PollFlags::POLLIN)];
            let ready = poll(&mut wanted, PollTimeout::from(60_000u16)).expect("poll");
            assert!(ready == 1, "never {text:?}, but {:?}", self.seen);
            // EIO: the other end is closed.
            let read = self.master.read(&mut bytes).unwrap_or(0);
            assert!(read > 0, "ended without {text:?}: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        let end = self.seen.find(text).expect("it is there") + text.len();
        self.seen.drain(..end);
    }

    /// The exit code, once all is over.
    #[track_caller]
    pub fn ends(mut self) -> i32 {
        let mut bytes = [0; 4096];
        while self.master.read(&mut bytes).unwrap_or(0) > 0 {}
        let status = self.program.wait().expect("a child of ours");
        status.code().unwrap_or_else(|| panic!("{status}"))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !matches!(self.program.try_wait(), Ok(None)) {
            return;
        }
        // All processes of the session, whose leader is not reaped.
        let session = self.program.id().to_string();
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>());
            if fields.is_some_and(|fields| fields.get(3) == Some(&session.as_str())) {
                // SAFETY: two integers.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        self.program.wait().expect("a child of ours");
    }
}
