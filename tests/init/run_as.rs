//! `--run-as`: as gosu and su-exec do it, with a profile and without.

use std::process::Command;

use crate::harness::{self, Running, command, probe, run, skip};

fn root() -> bool {
    skip::is_root()
}

#[test]
fn the_app_is_the_user_that_was_named() {
    if !root() {
        return;
    }
    let entry = std::fs::read_to_string("/etc/passwd").expect("there is one");
    let user = entry.lines().find(|line| line.starts_with("daemon:")).expect("it has daemon");
    let field = |at: usize| user.split(':').nth(at).expect("seven fields").to_owned();
    for mode in [&["--mode", "off"][..], &[]] {
        for (spec, ids, home) in [
            ("daemon".to_owned(), (field(2), field(3)), field(5)),
            (field(2), (field(2), field(3)), field(5)),
            ("daemon:12".to_owned(), (field(2), "12".to_owned()), field(5)),
            ("4711".to_owned(), ("4711".to_owned(), "4711".to_owned()), "/".to_owned()),
        ] {
            let mut shim = command(harness::SHIM);
            shim.args(mode).args(["--run-as", &spec, "--"]).arg(probe()).arg("status").env("HOME", "/root");
            let ended = run(&mut shim);
            let values = ended.values();
            let (user, group) = &ids;
            assert_eq!(
                values["Uid"],
                format!("{user}\t{user}\t{user}\t{user}"),
                "{mode:?} {spec}: {ended:?}"
            );
            assert_eq!(values["Gid"], format!("{group}\t{group}\t{group}\t{group}"), "{mode:?} {spec}");
            assert_eq!(values.get("Groups").copied().unwrap_or_default(), "", "{mode:?} {spec}: not root's");
            assert_eq!(values["CapEff"], "0000000000000000", "{mode:?} {spec}");
            assert!(ended.stdout.contains(&format!("HOME={home}\n")), "{mode:?} {spec}: {ended:?}");
        }
    }
}

#[test]
fn without_the_right_to_it_is_refused_in_one_line_but_where_nothing_changes() {
    if !root() {
        return;
    }
    let as_other = |spec: &str| {
        let mut other = command("setpriv");
        other.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", harness::SHIM]);
        other.args(["--mode", "off", "--run-as", spec, "--", "/bin/true"]);
        run(&mut other)
    };
    let refused = as_other("1000");
    assert_eq!(
        refused.line(125),
        "remit-init: --run-as: needs CAP_SETUID and CAP_SETGID, which this process lacks; \
         start it as root, or leave it out"
    );
    assert_eq!(as_other("65534:65534").code, 0);
}

/// Root without CAP_KILL may not signal another user. It is logged, and no process dies of it.
#[test]
fn a_signal_that_is_not_permitted_is_logged_once() {
    if !root() {
        return;
    }
    let mut shim: Command = command("setpriv");
    shim.args(["--bounding-set", "-kill", harness::SHIM, "--mode", "off", "--run-as", "4711", "--"]);
    shim.arg(probe()).args(["signals", "15", "0"]);
    let mut running = Running::start(&mut shim);
    running.expect("ready");
    for _ in 0..3 {
        running.signal(libc::SIGUSR1);
    }
    let said = running.error_line();
    assert!(said.contains("could not be forwarded") && said.contains("EPERM"), "{said}");
    let app = harness::children(running.shim())[0];
    // Each has been read once nothing is pending any more.
    let pending = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.shim())).expect("it lives");
        status.lines().any(|line| line.starts_with("ShdPnd:") && !line.ends_with("0000000000000000"))
    };
    harness::eventually("the signals are read", || !pending());
    harness::send(app, libc::SIGTERM);
    running.expect("signal 15 0");
    let ended = running.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "it was said once");
}
