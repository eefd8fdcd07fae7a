//! An app whose first process hands over to another one, as nginx does for USR2, and ends.

use crate::harness::{Ended, Running, run};
use crate::{Way, ways};

/// The app hands over to `next`, whose pid is in the file, and ends with 9.
fn follow_to(way: Way, options: &[&str], write: &str, next: &str) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let file = folder.path().join("pid");
    let file = file.to_str().expect("UTF-8");
    let script = format!("({next}) & next=$!; {write}; echo begun; exit 9");
    let options = [&["--follow", file], options].concat();
    let mut shim = way.command(&options, "/bin/sh");
    shim.args(["-c", &script, "sh", file]);
    (Running::start(&mut shim), folder)
}

#[test]
fn the_process_that_the_file_names_is_the_app_from_then_on() {
    let next = "trap 'echo reloaded' HUP; trap 'echo ends; exit 5' TERM; until [ \"$(cut -d' ' -f4 \
                /proc/self/stat)\" ]; do :; done; echo ready; while :; do sleep 0.01; done";
    for way in ways() {
        for options in [&[][..], &["-g"]] {
            let (mut running, _folder) = follow_to(way, options, "echo $next >$1", next);
            let mut said = [running.line(), running.line()];
            said.sort();
            assert_eq!(said, ["begun", "ready"], "{way:?} {options:?}");
            let shim = running.shim();
            crate::harness::eventually("the first process is reaped", || {
                crate::harness::children(shim).len() == 1
            });
            running.signal(libc::SIGHUP);
            running.expect("reloaded");
            running.signal(libc::SIGTERM);
            running.expect("ends");
            assert_eq!(running.end().code, 5, "{way:?} {options:?}");
        }
    }
}

#[test]
fn without_such_a_process_the_container_ends() {
    for way in ways() {
        for (write, next) in [
            // No file, no process, one that is none of its own, and what is no file.
            (":", "exec sleep 60"),
            ("echo >$1", "exec sleep 60"),
            ("echo 999999 >$1", "exec sleep 60"),
            ("echo $PPID >$1", "exec sleep 60"),
            ("echo $$ >$1", "exec sleep 60"),
            ("mkfifo $1", "exec sleep 60"),
            ("mkdir $1", "exec sleep 60"),
            ("echo $next >$1; wait", "exit 0"),
        ] {
            let (running, _folder) = follow_to(way, &["--grace", "1s"], write, next);
            let Ended { code, stdout, stderr } = running.end();
            assert_eq!((code, &*stdout), (9, "begun\n"), "{way:?} {write}: {stderr}");
        }
        // Nor one that would go on when the container is to stop.
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let file = folder.path().join("pid");
        let file = file.to_str().expect("UTF-8");
        let script = "trap 'exit 3' TERM; sleep 60 & echo $! >$1; kill -TERM $PPID; while :; do :; done";
        let mut shim = way.command(&["--follow", file, "--grace", "2s"], "/bin/sh");
        assert_eq!(run(shim.args(["-c", script, "sh", file])).code, 3, "{way:?}");
    }
}
