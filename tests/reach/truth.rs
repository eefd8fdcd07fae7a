//! Programs of the machine at work.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{STRACE, assert_reachable, compare, made, path, skip, strace};

fn has(programs: &[&str]) -> bool {
    [&[STRACE], programs].concat().iter().all(|program| skip::has(program))
}

#[test]
fn small_programs() {
    for command in [
        &["/usr/bin/true"][..],
        &["/usr/bin/ls", "-la", "/usr/bin"],
        &["/usr/bin/cat", "/etc/passwd"],
        &["/usr/bin/sort", "-S", "1k", "--parallel=2", "/etc/services", "/etc/passwd"],
        &["/usr/bin/id"],
        &["/usr/bin/getent", "hosts", "localhost"],
    ] {
        if has(&command[..1]) {
            assert_reachable(&command[..1], command);
        }
    }
}

#[test]
fn sqlite_writes_and_copies_a_database() {
    let sqlite = "/usr/bin/sqlite3";
    if !has(&[sqlite]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (log, base, copy) = (path(&folder, "log"), path(&folder, "base"), path(&folder, "copy"));
    let statements = "pragma journal_mode=wal; create table t(a); insert into t values(randomblob(100000)); \
                      select count(*) from t; vacuum;";
    let backup = format!(".backup {}", copy.display());
    let command = [sqlite, base.to_str().expect("UTF-8"), statements, &backup, ".dump", ".tables"];
    assert!(strace(&log, &command).status().expect("strace runs").success());
    assert!(copy.exists());
    compare(&[sqlite], &made(&log));
}

#[test]
fn a_shell_and_what_it_runs() {
    let programs = ["/usr/bin/bash", "/usr/bin/ls", "/usr/bin/wc"];
    let script = "for i in 1 2; do ls / | wc -l; done; trap : INT; kill -INT $$; umask 22; ulimit -a; \
                  read line < /etc/passwd; echo $line > /dev/null; (exit 3)";
    if has(&programs) {
        assert_reachable(&programs, &["/usr/bin/bash", "-c", script]);
    }
}

#[test]
fn a_static_program_that_is_stripped() {
    let busybox = "/usr/bin/busybox";
    let script = "busybox ls -la /etc; busybox id; busybox ps; busybox date; busybox sort /etc/passwd | busybox head -1; \
                  busybox wget -O- http://127.0.0.1:1/";
    if has(&[busybox]) {
        assert_reachable(&[busybox], &[busybox, "sh", "-c", script]);
    }
}

/// A server that listens on a socket file; it is ended where the test fails too.
struct Server(Child);

impl Server {
    fn start(log: &Path, socket: &Path, command: &[&str]) -> (Server, UnixStream) {
        let mut server = Server(strace(log, command).spawn().expect("strace runs"));
        let folder = socket.parent().expect("a folder");
        let events =
            nix::sys::inotify::Inotify::init(nix::sys::inotify::InitFlags::IN_NONBLOCK).expect("inotify");
        events.add_watch(folder, nix::sys::inotify::AddWatchFlags::IN_ALL_EVENTS).expect("a watch");
        loop {
            if let Ok(stream) = UnixStream::connect(socket) {
                stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
                return (server, stream);
            }
            let ended = server.0.try_wait().expect("its state");
            assert!(ended.is_none(), "{command:?} ended: {ended:?}");
            let mut ready =
                [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&events), nix::poll::PollFlags::POLLIN)];
            nix::poll::poll(&mut ready, nix::poll::PollTimeout::from(500u16)).expect("poll");
            drop(events.read_events());
        }
    }

    fn end(mut self, server: Option<i32>, signal: Signal) {
        if let Some(pid) = server {
            kill(Pid::from_raw(pid), signal).expect("the server is there");
        }
        self.0.wait().expect("strace ends with it");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // strace passes the end on to what it traces.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
            drop(self.0.wait());
        }
    }
}

#[test]
fn nginx_serves_reloads_and_ends() {
    let nginx = "/usr/sbin/nginx";
    if !has(&[nginx]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (log, socket, pid) = (path(&folder, "log"), path(&folder, "socket"), path(&folder, "pid"));
    let configuration = format!(
        "daemon off;\npid {};\nerror_log {};\nevents {{}}\nhttp {{\naccess_log {};\nclient_body_temp_path {0}.b;\n\
         server {{ listen unix:{}; root /etc; autoindex on; }}\n}}\n",
        pid.display(),
        path(&folder, "error").display(),
        path(&folder, "access").display(),
        socket.display()
    );
    fs::write(path(&folder, "conf"), configuration).expect("a file");
    let conf = path(&folder, "conf");
    let command = [nginx, "-c", conf.to_str().expect("UTF-8")];
    let (server, mut stream) = Server::start(&log, &socket, &command);
    stream.write_all(b"GET /passwd HTTP/1.0\r\n\r\n").expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let pid = fs::read_to_string(pid).expect("its pid").trim().parse().expect("a number");
    kill(Pid::from_raw(pid), Signal::SIGUSR1).expect("it opens its logs anew");
    server.end(Some(pid), Signal::SIGQUIT);
    compare(&[nginx], &made(&log));
}

#[test]
fn redis_saves_and_ends() {
    let redis = "/usr/bin/redis-server";
    if !has(&[redis]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (log, socket) = (path(&folder, "log"), path(&folder, "socket"));
    let name = folder.path().to_str().expect("UTF-8");
    let command =
        [redis, "--port", "0", "--unixsocket", socket.to_str().expect("UTF-8"), "--dir", name, "--save", ""];
    let (server, mut stream) = Server::start(&log, &socket, &command);
    stream.write_all(b"SET a b\r\nSAVE\r\nGET a\r\nINFO\r\n").expect("commands");
    let mut answer = [0; 256];
    let count = stream.read(&mut answer).expect("an answer");
    assert!(answer[..count].starts_with(b"+OK"), "{}", String::from_utf8_lossy(&answer[..count]));
    stream.write_all(b"SHUTDOWN NOSAVE\r\n").expect("a command");
    server.end(None, Signal::SIGTERM);
    compare(&[redis], &made(&log));
}
