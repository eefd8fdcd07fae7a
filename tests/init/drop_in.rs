//! In the place of tini, docker-init and dumb-init: their options, words and codes.

use std::process::Command;

use crate::harness::{self, Ended, Running, command, eventually, probe, run};

#[test]
fn tini_is_replaced_by_a_link() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["tini", "docker-init"] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(harness::SHIM, &link).expect("a link");
        let said = run(command(&link).arg("--version"));
        // What Docker asks of `docker-init`, and what it reads of the answer.
        assert!(said.stdout.starts_with("tini version 0."), "{said:?}");
        assert_eq!((said.code, said.stdout.lines().count()), (0, 1));
        let ended = run(command(&link).arg("--").arg(probe()).arg("status"));
        assert_eq!(ended.values()["NoNewPrivs"], "0", "a drop-in does not confine: {ended:?}");
        let ended = run(command(&link).env("REMIT_PROFILE", "baseline").arg(probe()).arg("status"));
        assert_eq!(ended.values()["NoNewPrivs"], "1", "but where a profile is named: {ended:?}");
    }
    let said = run(&mut harness::shim(["--version"]));
    assert_eq!(said.stdout, concat!("remit-init ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// A command of this name that is the shim.
struct Named(tempfile::TempDir, &'static str);

impl Named {
    fn new(name: &'static str) -> Named {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(harness::SHIM, folder.path().join(name)).expect("a link");
        Named(folder, name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.0.path().join(self.1));
        command.args(arguments);
        command
    }

    /// The same by the flag, whatever it is called as.
    fn by_flag(&self, arguments: &[&str]) -> Command {
        let mut command = command(harness::SHIM);
        command.args(["--as", self.1]).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let by_name = run(&mut self.command(arguments));
        let by_flag = run(&mut self.by_flag(arguments));
        assert_eq!(by_name.code, by_flag.code, "{arguments:?}: {by_name:?} {by_flag:?}");
        by_name
    }
}

#[test]
fn tinis_codes_and_words() {
    let tini = Named::new("tini");
    for (arguments, code, says) in [
        (&[][..], 1, "Usage: tini [OPTIONS] PROGRAM -- [ARGS] | --version"),
        (&["-x", "true"], 1, "invalid option -- 'x'"),
        (&["-e", "256", "true"], 1, "] Not a valid option for -e: 256"),
        (&["-p", "SIGFOO", "true"], 1, "] Not a valid option for -p: SIGFOO"),
        (&["-e"], 1, "option requires an argument -- 'e'"),
        (&["--", "foobar123"], 127, "] exec foobar123 failed: No such file or directory"),
        (&["--", "/etc"], 126, "] exec /etc failed: Permission denied (/etc: is a directory"),
        (&["--", "--", "true"], 127, "exec -- failed"),
        (&["false"], 1, ""),
        (&["-e", "1", "false"], 0, ""),
        (&["-sw", "true"], 0, ""),
    ] {
        let ended = tini.run(arguments);
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{arguments:?}: {ended:?}");
        assert!(says.is_empty() || !says.starts_with(']') || ended.stderr.starts_with("[FATAL tini ("));
    }
    let help = tini.run(&["-h"]);
    assert!(help.code == 0 && help.stdout.contains("supervision of a valid init process"), "{help:?}");
}

#[test]
fn what_tini_tells_and_where() {
    let tini = Named::new("tini");
    let warned = tini.run(&["true"]).stderr;
    let warning = warned.strip_prefix("[WARN  tini (").and_then(|rest| rest.split_once(")] "));
    let warning = warning.unwrap_or_else(|| panic!("{warned}")).1;
    assert!(warning.starts_with("Tini is not running as PID 1 and isn't registered"), "{warned}");
    assert_eq!(run(tini.command(&["true"]).env("TINI_VERBOSITY", "0")).stderr, "");
    assert_eq!(run(tini.command(&["true"]).env("TINI_SUBREAPER", "")).stderr, "");

    let printed = tini.run(&["-svvv", "sh", "-c", "exit 3"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (3, ""), "all of it is on stdout");
    for says in [
        "[INFO  tini (",
        "Spawned child process 'sh' with pid '",
        "[DEBUG tini (",
        "Received SIGCHLD",
        "Reaped child with pid: '",
        "Main child exited normally (with status '3')",
        "[TRACE tini (",
        "ends code=3",
    ] {
        assert!(printed.stdout.contains(says), "{says}: {}", printed.stdout);
    }
    let mut running = Running::start(tini.command(&["-svv"]).arg(probe()).args(["signals", "64", "0"]));
    // The app runs by then, and either may come first.
    let mut said = [running.line(), running.line()];
    said.sort();
    assert!(said[0].contains("] Spawned child process '") && said[1] == "ready", "{said:?}");
    running.signal(libc::SIGUSR2);
    assert!(running.line().ends_with("Passing signal: 'User defined signal 2'"));
    running.expect("signal 12 0");
    harness::send(harness::children(running.shim())[0], libc::SIGKILL);
    let mut last = String::new();
    while !last.contains("Main child") {
        last = running.line();
    }
    assert!(last.ends_with("Main child exited with signal (with signal 'Killed')"), "{last}");
    let orphans = tini.run(&["-sw", probe().to_str().expect("UTF-8"), "orphans", "2"]);
    assert_eq!(orphans.stderr.matches("] Reaped zombie process with pid=").count(), 2, "{orphans:?}");
}

/// libc's execvp(3) gives what the kernel cannot execute to a shell: images rely on it
/// unknowingly. What confines does not.
#[test]
fn a_script_without_its_first_line_runs_as_it_did() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("entrypoint");
    std::fs::write(&script, "exit $1\n").expect("written");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("ours");
    let script = script.to_str().expect("UTF-8");
    for name in ["tini", "dumb-init"] {
        assert_eq!(Named::new(name).run(&[script, "9"]).code, 9, "{name}");
    }
    let refused = run(&mut harness::shim(["--mode", "off", script, "9"]));
    assert!(refused.line(126).contains("begin a script with a line such as #!/bin/sh"), "{refused:?}");
    // And so does what lies beside the working directory in PATH.
    let tini = Named::new("tini");
    let mut relative = tini.command(&["-s", "entrypoint", "7"]);
    assert_eq!(run(relative.current_dir(folder.path()).env("PATH", "/usr/bin:.")).code, 7);
}

#[test]
fn dumb_inits_codes_and_words() {
    let dumb_init = Named::new("dumb-init");
    for (arguments, code, says) in [
        (&[][..], 1, "--help for full usage.\n"),
        (&["--yolo", "true"], 1, ": unrecognized option '--yolo'\n"),
        (&["-r", "15:32", "true"], 1, "is between 1 and 31.\n"),
        (&["/doesnotexist"], 2, "[dumb-init] /doesnotexist: No such file or directory\n"),
        (&["/etc"], 2, "[dumb-init] /etc: Permission denied (/etc: is a directory"),
        (&["-c", "false"], 1, ""),
        (&["-V"], 0, "dumb-init v1.2.5\n"),
        (&["--help"], 0, "dumb-init is a simple process supervisor"),
    ] {
        let ended = dumb_init.run(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{arguments:?}: {ended:?}");
    }
    let printed = dumb_init.run(&["-v", "sh", "-c", "exit 3"]).stderr;
    let ends =
        "[dumb-init] Forwarded signal 15 to children.\n[dumb-init] Child exited with status 3. Goodbye.\n";
    assert!(printed.contains("[dumb-init] setsid complete.\n") && printed.ends_with(ends), "{printed}");
}

#[test]
fn as_dumb_init_the_app_leads_a_session_and_its_group_is_signalled() {
    let dumb_init = Named::new("dumb-init");
    let status = |arguments: &[&str]| {
        let ended = run(dumb_init.command(arguments).arg(probe()).arg("status"));
        ended.values()["pid"].to_owned()
    };
    assert!(status(&[]).contains("leader true"), "{}", status(&[]));
    assert!(status(&["-c"]).contains("leader false"));
    assert!(
        run(dumb_init.command(&[]).env("DUMB_INIT_SETSID", "0").arg(probe()).arg("status")).values()["pid"]
            .contains("leader false")
    );
    let mut running = Running::start(dumb_init.command(&["-r", "HUP:USR1"]).arg(probe()).arg("group"));
    running.expect("ready");
    running.signal(libc::SIGHUP);
    let mut said = [running.line(), running.line()];
    said.sort();
    assert_eq!(said, ["app 10", "child 10"]);
    assert_eq!(running.end().code, 0);
}

#[test]
fn as_dumb_init_it_stops_and_goes_on_with_its_app() {
    let mut running =
        Running::start(Named::new("dumb-init").command(&[]).arg(probe()).args(["signals", "15", "0"]));
    running.expect("ready");
    let (shim, app) = (running.shim(), harness::children(running.shim())[0]);
    for stop in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        running.signal(stop);
        for pid in [shim, app] {
            eventually("both stop", || harness::state(pid) == Some('T'));
        }
        running.signal(libc::SIGCONT);
        running.expect("signal 18 0");
    }
    running.signal(libc::SIGTERM);
    running.expect("signal 15 0");
    assert_eq!(running.end().code, 0);
}
