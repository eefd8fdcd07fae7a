//! What the post-exec verification costs: programs with a loader, scripts, a server beside
//! execs, and whether memory stays flat.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::contender::{Contender, Room, find_program};
use crate::server::{self, Server};
use crate::{SPAWNS, Section, interleave, redis};

const SHELL: &str = "/bin/dash";
/// Commands that one run of a script makes.
const COMMANDS: u32 = 1_000;
/// Execs a second, and for how long.
const RATE: u32 = 500;
const SUSTAINED: Duration = Duration::from_secs(60);

/// Without a supervisor, and under `baseline`, which arms the check.
fn both(room: &Room) -> [Contender; 2] {
    [room.bare(), room.shim().under("baseline")]
}

/// fork, exec and wait of a program that its loader starts.
pub fn dynamic(room: &Room) -> Result<Section, String> {
    let Some(program) = find_program("true") else { return Err("no `true` on PATH".to_owned()) };
    let program = program.to_str().ok_or("PATH is not UTF-8")?;
    let all = both(room);
    let samples = interleave(&all, 11, |c| {
        Ok(c.output_ns(room, &["spawn", &SPAWNS.to_string(), program])? / 1e3 / f64::from(SPAWNS))
    })?;
    Ok(Section::of(&all, samples, "unconfined", 1).goal("remit-init", "≤ 1.3"))
}

/// What is measured with all of it on one processor: what is done, without what it costs
/// to wake another one, which a virtual machine's host has to do where that is halted.
pub fn on_one_processor(measure: impl FnOnce() -> Result<Section, String>) -> Result<Section, String> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: a set of processors is bits; both calls read or write one of the size that
    // they are given, for this thread alone, from which whatever it starts inherits it.
    let all = unsafe {
        let mut all: libc::cpu_set_t = std::mem::zeroed();
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size, &raw mut all) != 0 {
            return Err(format!("sched_getaffinity: {}", std::io::Error::last_os_error()));
        }
        let last = (0..8 * size).rev().find(|number| libc::CPU_ISSET(*number, &all));
        libc::CPU_SET(last.unwrap_or_default(), &mut one);
        if libc::sched_setaffinity(0, size, &raw const one) != 0 {
            return Err(format!("sched_setaffinity: {}", std::io::Error::last_os_error()));
        }
        all
    };
    let measured = measure();
    // SAFETY: as above.
    unsafe { libc::sched_setaffinity(0, size, &raw const all) };
    measured
}

/// A shell script of short commands, in seconds.
pub fn script(room: &Room) -> Result<Section, String> {
    let text = format!("i=0; while [ $i -lt {COMMANDS} ]; do /bin/true; i=$((i+1)); done");
    let all = both(room);
    let samples = interleave(&all, 7, |c| {
        let mut command = c.command(room, Path::new(SHELL), &["-c", &text])?;
        let begin = Instant::now();
        let status = command.status().map_err(|e| format!("{}: {e}", c.name))?;
        let took = begin.elapsed().as_secs_f64();
        if status.success() { Ok(took) } else { Err(format!("{}: {status}", c.name)) }
    })?;
    Ok(Section::of(&all, samples, "unconfined", 3))
}

/// redis' requests a second while a shell beside it executes a hundred programs a second.
pub fn beside(room: &Room) -> Result<Section, String> {
    let (Some(program), Some(load)) = (find_program("redis-server"), find_program("redis-benchmark")) else {
        return Ok(server::absent(room, &server::ENFORCED, "redis-server or redis-benchmark not installed"));
    };
    let all = both(room);
    let start = |c: &Contender| {
        let port = server::free_port()?;
        let redis = program.display();
        let text = format!(
            "while [ -d /proc/$$ ]; do /bin/sleep 0.008; done & exec {redis} --bind 127.0.0.1 --port {port} --save ''"
        );
        Server::start(room, c, Path::new(SHELL), &["-c", &text], port, || redis::serves(port))
    };
    let servers: Vec<Server> = all.iter().map(start).collect::<Result<_, _>>()?;
    let samples = interleave(&all, 6, |c| {
        let at = all.iter().position(|one| one.name == c.name).unwrap_or_default();
        redis::requests_a_second(&load, servers[at].port())
    })?;
    Ok(Section::of(&all, samples, "unconfined", 0))
}

/// The supervisor's resident memory, after five seconds of execs and after a minute.
pub fn sustained(room: &Room) -> Result<Section, String> {
    const EARLY: &str = "after 5 s";
    const LATE: &str = "after 60 s";
    let shim = room.shim();
    let (times, rate) = ((RATE * SUSTAINED.as_secs() as u32).to_string(), RATE.to_string());
    let program = room.spawned();
    let program = program.to_str().ok_or("the temporary folder's name is not UTF-8")?;
    let mut command = shim.command(room, &room.worker(), &["spawn-at", &times, &rate, program])?;
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| format!("{}: {e}", shim.name))?;
    let resident = || crate::field(&format!("/proc/{}/status", child.id()), "VmRSS:");
    thread::sleep(Duration::from_secs(5));
    let early = resident()?;
    thread::sleep(SUSTAINED - Duration::from_secs(6));
    let late = resident()?;
    let mut said = String::new();
    let output = child.stdout.take().ok_or("no stdout")?;
    BufReader::new(output).read_line(&mut said).map_err(|e| e.to_string())?;
    let status = child.wait().map_err(|e| format!("{}: {e}", shim.name))?;
    if !status.success() {
        return Err(format!("{}: the worker did not spawn {times}: {status}", shim.name));
    }
    let took = said.trim().parse::<f64>().map_err(|_| format!("the worker said `{said}`"))? / 1e9;
    println!("  {times} execs in {took:.1} s");
    let all = [room.shim().named(EARLY), room.shim().named(LATE)];
    Ok(Section::of(&all, vec![vec![early], vec![late]], EARLY, 0))
}
