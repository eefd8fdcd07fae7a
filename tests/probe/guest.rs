//! The first process of a machine that a test boots: `/init`, which is this program.
//! It makes the machine ready, runs each case of `/cases` in a pid namespace of its
//! own and tells what came of it, and at last becomes the command of `/last`, so
//! that the machine ends with that.
//!
//! A case is one line of JSON, `{ "case": NAME, "command": […], "requests": […],
//! "put_back": BOOL }`, and what came of it is one on the console, behind [`RESULT`]: `{ "case", "code",
//! "out", "err", "answers" }`. With requests, the command is a server on port 8080,
//! which gets each in turn and then TERM.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};

use crate::contain::{loopback_up, mount};
use crate::syscall::{call, errno_name};

/// What the line of a result begins with.
const RESULT: &str = "remit-test result ";

/// Does all of it; only a failure comes back, and ends the machine too.
pub fn first_process() -> Result<ExitCode, String> {
    prepare()?;
    let cases = std::fs::read_to_string("/cases").map_err(|error| format!("/cases: {error}"))?;
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        let result = run(&case)?;
        println!("{RESULT}{result}");
    }
    let last = std::fs::read_to_string("/last").map_err(|error| format!("/last: {error}"))?;
    let last: Vec<String> = serde_json::from_str(&last).map_err(|error| format!("/last: {error}"))?;
    let error = command(&last)?.exec();
    Err(format!("{}: {error}", last[0]))
}

fn prepare() -> Result<(), String> {
    mount("proc", "/proc", "proc", 0)?;
    mount("sysfs", "/sys", "sysfs", 0)?;
    // As container engines set it; a kernel that just started lets no group make ping sockets.
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")
        .map_err(|why| format!("ping_group_range: {why}"))?;
    // With CONFIG_DEVTMPFS_MOUNT it is there already.
    if let Err(why) = mount("devtmpfs", "/dev", "devtmpfs", 0)
        && !why.contains("EBUSY")
    {
        return Err(why);
    }
    // What is executed by a descriptor is known to some kernels by its name there.
    std::os::unix::fs::symlink("/proc/self/fd", "/dev/fd").map_err(|error| format!("/dev/fd: {error}"))?;
    loopback_up()
}

/// A command with what a container's first process has.
fn command(words: &[String]) -> Result<Command, String> {
    let (program, arguments) = words.split_first().ok_or("a command has no word")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("REMIT_EVENTS_LEVEL", "all");
    let here = std::fs::read_link("/proc/self/ns/pid").map_err(|error| format!("pid namespace: {error}"))?;
    command.env("REMIT_PROBE", format!("throw-away:{}", here.display()));
    Ok(command)
}

fn run(case: &Value) -> Result<Value, String> {
    let words = |key: &str| -> Vec<String> {
        let list = case[key].as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let requests = words("requests");
    let mut child = contained(&words("command"))?;
    let out = lines(child.stdout.take());
    let err = lines(child.stderr.take());
    let mut said = Vec::new();
    let mut answers = Vec::new();
    if !requests.is_empty() {
        said.extend(out.iter().take(1));
        if said.first().is_some_and(|line| line.starts_with("listening")) {
            for request in &requests {
                if case["put_back"] == true {
                    put_back();
                }
                answers.push(ask(request).unwrap_or_else(|error| format!("no answer: {error}")));
            }
            // SAFETY: kill takes no memory; the child is not reaped yet.
            unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
        }
    }
    said.extend(out);
    let err: Vec<String> = err.into_iter().collect();
    let status = child.wait().map_err(|error| format!("wait: {error}"))?;
    Ok(json!({
        "case": case["case"], "code": status.code(), "out": said, "err": err, "answers": answers,
    }))
}

/// Starts the command as the first process of a pid namespace, with its own /proc.
fn contained(words: &[String]) -> Result<Child, String> {
    let step = |refused: crate::syscall::Refused| format!("{}: {}", refused.step, errno_name(refused.errno));
    let own = File::open("/proc/self/ns/pid").map_err(|error| format!("pid namespace: {error}"))?;
    let mut command = command(words)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let own_view = move || -> Result<(), String> {
        call("unshare", libc::SYS_unshare, &[(libc::CLONE_NEWNS | libc::CLONE_NEWIPC) as usize])
            .map_err(step)?;
        mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE)?;
        mount("proc", "/proc", "proc", 0)?;
        call("setsid", libc::SYS_setsid, &[]).map(drop).map_err(step)
    };
    // Only an errno comes back from there.
    let prepare = move || {
        own_view().map_err(|why| std::fs::write("/dev/console", why).err().unwrap_or(ErrorKind::Other.into()))
    };
    // SAFETY: glibc's fork leaves the child's allocator usable, and the closure shares
    // nothing with another thread.
    unsafe { command.pre_exec(prepare) };
    call("unshare", libc::SYS_unshare, &[libc::CLONE_NEWPID as usize]).map_err(step)?;
    let child = command.spawn().map_err(|error| format!("{words:?}: {error}"));
    call("setns", libc::SYS_setns, &[own.as_raw_fd() as usize, libc::CLONE_NEWPID as usize]).map_err(step)?;
    child
}

/// The lines of a stream, read by a thread so that no pipe fills up.
fn lines(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (to, from) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stream.into_iter().flat_map(|stream| BufReader::new(stream).split(b'\n')) {
            let Ok(line) = line else { return };
            if to.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    from
}

/// /srv as at first, whatever the last act made of it.
fn put_back() {
    // Most of these are not there.
    let _ = std::fs::remove_dir_all("/srv");
    let _ = std::fs::create_dir("/srv");
    let _ = std::fs::write("/srv/data", "data\n");
}

/// The body of an answer over HTTP.
fn ask(target: &str) -> std::io::Result<String> {
    let mut server = TcpStream::connect(("127.0.0.1", 8080))?;
    write!(server, "GET {target} HTTP/1.1\r\n\r\n")?;
    let mut answer = BufReader::new(server);
    let mut length = 0;
    loop {
        let mut header = String::new();
        if answer.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("Content-Length: ") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).trim().to_owned())
}
