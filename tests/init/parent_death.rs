//! The parent-death signal.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{self, Running, command, eventually, probe, send};
use crate::{Way, ways};

#[test]
fn the_app_dies_with_the_shim() {
    for way in ways().into_iter().filter(|way| !way.first) {
        // Confined it always does; -p names the signal.
        let mut running = Running::start(&mut way.shim(&["-p", "USR2"], &["signals", "12", "0"]));
        running.expect("ready");
        send(running.shim(), libc::SIGKILL);
        running.expect("signal 12 0");
    }
    let mut running =
        Running::start(&mut Way { confined: true, first: false }.shim(&[], &["signals", "64", "0"]));
    running.expect("ready");
    let app = harness::children(running.shim())[0];
    send(running.shim(), libc::SIGKILL);
    eventually("the app dies", || matches!(harness::state(app), None | Some('Z')));
}

/// A shell that starts the shim, says so, and ends by a signal: its child lives on, with
/// another parent.
fn orphaned(options: &str) -> Command {
    let mut shell = command("/bin/sh");
    let line = format!("\"$0\" --mode off {options} -- \"$1\" signals 10 0 & read _; kill -KILL $$");
    shell.args(["-c", &line, harness::SHIM]).arg(probe());
    shell
}

#[test]
fn it_passes_on_that_its_own_parent_has_died() {
    let mut shell = orphaned("-p USR1");
    shell.stdin(std::process::Stdio::piped());
    let mut running = Running::start(&mut shell);
    running.expect("ready");
    harness::send(running.pid(), libc::SIGKILL);
    running.expect("signal 10 0");
}

/// It reads its parent's pid, and in that very moment the parent dies: a death signal
/// that is asked for afterwards would never come.
#[test]
fn a_parent_that_dies_first_is_noticed() {
    if !harness::skip::has("/usr/bin/strace") {
        return;
    }
    let mut shell = command("/bin/sh");
    let line = "strace -D -o /dev/null -e trace=getppid -e inject=getppid:delay_exit=2000000:when=1 \
                \"$0\" --mode off -p USR1 -- \"$1\" signals 10 0 & echo $!; read _";
    shell.args(["-c", line, harness::SHIM]).arg(probe()).stdin(std::process::Stdio::piped());
    let block = || {
        // So that the app is not ended by what comes before it is ready.
        let mask = 1u64 << (libc::SIGUSR1 - 1);
        // SAFETY: async-signal-safe, on a live mask of the kernel's size.
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const mask, 0, 8) };
        Ok(())
    };
    // SAFETY: only that call is made between fork and exec.
    unsafe { shell.pre_exec(block) };
    let mut running = Running::start(&mut shell);
    let shim: i32 = running.line().parse().expect("a pid");
    let asking = format!("{} ", libc::SYS_getppid);
    // It is stopped before the call for a moment, and after it, with the answer, for two
    // seconds: what lasts is the latter.
    let since = std::cell::Cell::new(None::<Instant>);
    eventually("it has asked", || {
        // It was another program before, which may make the same call.
        let of = |name: &str| std::fs::read_to_string(format!("/proc/{shim}/{name}")).unwrap_or_default();
        let asks = of("comm").starts_with("remit-init") && of("syscall").starts_with(&asking);
        since.set(asks.then(|| since.get().unwrap_or_else(Instant::now)));
        since.get().is_some_and(|since| since.elapsed() > Duration::from_millis(500))
    });
    send(running.pid(), libc::SIGKILL);
    running.expect("ready");
    running.expect("signal 10 0");
}
