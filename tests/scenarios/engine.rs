//! The engine and the init: `docker run -it`, and an engine of the test's own, whose
//! `--init` is remit-init.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::images;
use crate::seat::{Seat, in_own_session};
use crate::support::{Place, can_run, shim};

const DOCKERD: &str = "/usr/sbin/dockerd";

/// In front of `docker run -it`.
fn seat(arguments: &[&str]) -> Seat {
    let image = images::busybox().docker();
    Seat::new(|slave| {
        let mut docker = Command::new("docker");
        let shim = format!("{}:/remit-init:ro", shim().display());
        docker.args(["run", "--rm", "-it", "--network=none", "--volume", &shim, image]).args(arguments);
        in_own_session(&mut docker, slave);
        docker
    })
}

#[test]
fn at_a_terminal_control_z_stops_no_container_and_job_control_works() {
    if !can_run(Place::Docker, &[images::BUSYBOX]) {
        return;
    }
    for style in [&["--mode", "off", "--"][..], &["--mode", "off", "--setsid", "--"], &["--"]] {
        let mut app = seat(&[style, &["sh", "-c", "echo here; exec /bin/busybox cat"]].concat());
        app.sees("here\r\n");
        app.types("one\n");
        app.sees("one\r\none\r\n");
        app.types("\x1a");
        app.sees("^Z");
        app.types("two\n");
        app.sees("two\r\ntwo\r\n");
        app.types("\x03");
        assert_eq!(app.ends(), 130, "{style:?}");

        let mut shell = seat(&[style, &["sh"]].concat());
        shell.sees("# ");
        shell.types("sh -c 'echo here; exec /bin/busybox cat'\n");
        shell.sees("\r\nhere\r\n");
        shell.types("one\n");
        shell.sees("one\r\none\r\n");
        shell.types("\x1a");
        shell.sees("Stopped");
        shell.sees("# ");
        shell.types("fg\n");
        shell.sees("busybox cat");
        shell.sees("\r\n");
        shell.types("two\n");
        shell.sees("two\r\ntwo\r\n");
        shell.types("\x03");
        shell.sees("# ");
        shell.types("exit 6\n");
        assert_eq!(shell.ends(), 6, "{style:?}");
    }
}

#[test]
fn it_is_the_init_of_an_engine() {
    if !can_run(Place::Docker, &[images::BUSYBOX, DOCKERD]) {
        return;
    }
    let engine = Engine::start();
    let info = engine.docker(&["info", "--format", "{{.InitCommit.ID}} {{.InitBinary}}"]);
    assert!(said(&info).contains("docker-init"), "{info:?}");
    let server = std::fs::read_to_string(engine.path("log")).expect("its log");
    assert!(!server.contains("failed to parse"), "it reads the version as tini's: {server}");

    let tar = std::fs::File::open(&images::busybox().tar).expect("the tar is there");
    let imported = engine.command(&["import", "-", "busybox"]).stdin(Stdio::from(tar)).output();
    assert!(imported.expect("docker runs").status.success());
    let run = ["run", "--rm", "--init", "--network=none", "busybox", "/bin/busybox", "sh", "-c"];
    let look = "busybox tr '\\0' ' ' </proc/1/cmdline; busybox grep NoNewPrivs /proc/self/status; exit 3";
    let ended = engine.docker(&[&run[..], &[look]].concat());
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    let printed = said(&ended);
    assert!(printed.starts_with("/sbin/docker-init -- /bin/busybox sh"), "{printed}");
    assert!(printed.contains("NoNewPrivs:\t0"), "a drop-in does not confine: {printed}");

    // A shell as PID 1 would not hear of it, and is killed after the ten seconds.
    let script = "trap 'exit 7' TERM; echo up; while :; do busybox sleep 0.05; done";
    let mut left = run.to_vec();
    left[1] = "--detach";
    let id = said(&engine.docker(&[&left[..], &[script]].concat()));
    let end = Instant::now() + Duration::from_secs(30);
    while said(&engine.docker(&["logs", &id])) != "up" {
        assert!(Instant::now() < end, "it never came up");
    }
    // One that is killed after the ten seconds ends with 137.
    engine.docker(&["stop", &id]);
    assert_eq!(said(&engine.docker(&["inspect", "--format", "{{.State.ExitCode}}", &id])), "7");
    engine.docker(&["rm", "--force", &id]);
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An engine of the test's own, with its own images and containers; ended and removed
/// when dropped.
struct Engine {
    folder: tempfile::TempDir,
    daemon: Child,
}

impl Engine {
    fn start() -> Engine {
        // Short: the address of a socket has 108 bytes.
        let folder = tempfile::Builder::new().prefix("dk").tempdir_in("/tmp").expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let link = path("docker-init");
        std::os::unix::fs::symlink(shim(), &link).expect("a link");
        std::fs::write(path("config.json"), "{}").expect("written");
        let log = std::fs::File::create(path("log")).expect("a file");
        // In a network of its own: an engine without a bridge takes away the one that is
        // there.
        let mut daemon = Command::new("unshare");
        daemon.args(["--net", DOCKERD]);
        for (flag, name) in [
            ("--config-file", "config.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            daemon.arg(flag).arg(path(name));
        }
        daemon
            .arg("--init-path")
            .arg(&link)
            .arg("--host")
            .arg(format!("unix://{}", path("socket").display()));
        daemon.args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
        daemon.arg("--storage-driver=vfs").stdin(Stdio::null());
        daemon.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        let daemon = daemon.spawn().expect("dockerd starts");
        let engine = Engine { folder, daemon };
        let end = Instant::now() + Duration::from_secs(60);
        while !engine.docker(&["version"]).status.success() {
            let log = || std::fs::read_to_string(engine.path("log")).unwrap_or_default();
            assert!(Instant::now() < end, "it does not start: {}", log());
        }
        engine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut docker = Command::new("docker");
        docker.arg("--host").arg(format!("unix://{}", self.path("socket").display())).args(arguments);
        docker
    }

    fn docker(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("docker runs")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: two integers; it is our child, and not reaped.
        unsafe { libc::kill(self.daemon.id().cast_signed(), libc::SIGTERM) };
        self.daemon.wait().expect("a child of ours");
        unmount_below(self.folder.path());
    }
}

/// What the engine leaves mounted below its folder, such as its own network namespace.
fn unmount_below(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/mounts").expect("/proc");
    let below = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|at| Path::new(at).starts_with(folder));
    for at in below.collect::<Vec<_>>().into_iter().rev() {
        let done = Command::new("umount").arg(at).status().expect("umount runs");
        assert!(done.success(), "{at} stays mounted");
    }
}
