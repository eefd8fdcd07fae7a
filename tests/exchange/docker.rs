//! The exported seccomp profile, loaded by Docker: the app does its work under it, and a call that is
//! not in it fails.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output};
use std::sync::OnceLock;

use remit::exchange::oci::{ALLOW, ERRNO, RuntimeFilter, RuntimeRule};
use remit::exchange::runtime;

use super::Folder;
use crate::support::{Image, Place, Rootfs, Running, can_run, unique};

const REDIS: &str = "/usr/bin/redis-server";
const BUSYBOX: &str = "/bin/busybox";

/// Debian's redis, and busybox for what it does not do.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.program(REDIS).copy(BUSYBOX, "/bin/busybox");
        root.folder("/data", 0o777, 0).writable("/data");
        root.build("exchange")
    })
}

/// `docker run` of a command that ends, under this filter or Docker's own.
fn run(filter: Option<&str>, flags: &[&str], command: &[&str]) -> Output {
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--name", &unique("exchange")]).args(flags);
    docker.args(filter.map(|filter| format!("--security-opt=seccomp={filter}")));
    // The image's own ENTRYPOINT is the shim, which it does not have.
    docker.args(["--entrypoint", command[0], image().docker()]).args(&command[1..]);
    docker.output().expect("docker runs")
}

/// One command of redis's protocol, and the first line of the answer.
fn ask(server: &Running, command: &str) -> String {
    let mut stream = server.connect(6379).expect("it listens");
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("it reads");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("it answers");
    line.trim_end().to_owned()
}

#[test]
fn redis_works_under_its_exported_profile_and_other_calls_fail() {
    if !can_run(Place::Docker, &[REDIS, BUSYBOX]) {
        return;
    }
    let folder = Folder::new();
    folder.done(&["export", "redis", "--to", "oci-seccomp", "-o", "redis.json"]);
    let filter = folder.path("redis.json").display().to_string();

    // With the runtime loading the filter early, and, with no_new_privs, at the last moment.
    for flags in [&[][..], &["--security-opt=no-new-privileges", "--user=65532:65532"][..]] {
        let name = unique("redis");
        let mut docker = Command::new("docker");
        docker.args(["run", "--detach", "--name", &name, "--tmpfs=/data:mode=777"]).args(flags);
        docker.arg(format!("--security-opt=seccomp={filter}"));
        docker.args(["--entrypoint", REDIS, image().docker(), "--dir", "/data", "--appendonly", "yes"]);
        docker.args(["--protected-mode", "no"]);
        let output = docker.output().expect("docker runs");
        assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
        let server = Running::docker(Place::Docker, name);
        server.line("Ready to accept connections");
        assert_eq!(ask(&server, "SET key value"), "+OK");
        assert_eq!(ask(&server, "GET key"), "$5");
        assert_eq!(ask(&server, "BGSAVE"), "+Background saving started");
        server.line("Background saving terminated with success");
        assert_eq!(ask(&server, "BGREWRITEAOF"), "+Background append only file rewriting started");
        server.line("Background AOF rewrite finished successfully");
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", server.processes()[0].0)).expect("it runs");
        assert!(status.contains("Seccomp:\t2"), "{status}");
    }

    // A call that is not in it, with Docker's default for a control.
    for act in [&["chroot", "/", "/bin/busybox", "true"][..], &["unshare", "-U", "true"], &["setpriv", "-d"]]
    {
        let command = [&["/bin/busybox"], act].concat();
        let free = run(Some("unconfined"), &[], &command);
        let confined = run(Some(&filter), &[], &command);
        if act[0] == "setpriv" {
            // prctl(PR_CAPBSET_READ), which is in it: a control of the filter.
            assert!(confined.status.success(), "{}", String::from_utf8_lossy(&confined.stderr));
            continue;
        }
        if act[0] == "chroot" {
            assert!(run(None, &[], &command).status.success(), "Docker's default lets it");
        }
        assert!(free.status.success(), "{act:?}: {}", String::from_utf8_lossy(&free.stderr));
        assert!(!confined.status.success(), "{act:?} succeeded");
        let err = String::from_utf8_lossy(&confined.stderr).into_owned();
        assert!(err.contains("Operation not permitted"), "{act:?}: {err}");
    }
}

/// The runtime's calls, whatever their arguments, and those of a static program that prints a line.
fn smallest(without: &str) -> String {
    let own = ["prlimit64", "getuid", "readlink"];
    let rule = |names: Vec<&'static str>, args| RuntimeRule { names, action: ALLOW, errno_ret: None, args };
    let mut syscalls = vec![rule(own.to_vec(), Vec::new())];
    for group in &runtime::CALLS {
        syscalls
            .push(rule(group.names.iter().copied().filter(|name| *name != without).collect(), Vec::new()));
    }
    let filter = RuntimeFilter {
        default_action: ERRNO,
        default_errno_ret: Some(1),
        architectures: vec![if cfg!(target_arch = "aarch64") {
            "SCMP_ARCH_AARCH64"
        } else {
            "SCMP_ARCH_X86_64"
        }],
        syscalls,
    };
    filter.text()
}

#[test]
fn the_calls_of_the_runtime_are_all_that_a_start_needs() {
    if !can_run(Place::Docker, &[REDIS, BUSYBOX]) {
        return;
    }
    let folder = Folder::new();
    folder.put("all.json", smallest("")).put("fewer.json", smallest("capset"));
    let file = |name: &str| folder.path(name).display().to_string();
    let hello = ["/bin/busybox", "echo", "hello"];
    let user = ["--security-opt=no-new-privileges", "--user=65532:65532", "--workdir=/data"];
    for flags in [&[][..], &user[..]] {
        let output = run(Some(&file("all.json")), flags, &hello);
        assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, b"hello\n");
    }
    // Control: the runtime needs what the list says.
    let output = run(Some(&file("fewer.json")), &[], &hello);
    assert!(!output.status.success(), "it started without capset");
    // A range of memory is executable only where an argument says so.
    let memory =
        ["mmap", "mprotect"].map(|name| runtime::CALLS.iter().find(|calls| calls.names.contains(&name)));
    assert!(memory.iter().flatten().all(|calls| calls.only.is_some()));
}
