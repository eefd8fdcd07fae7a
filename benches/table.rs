//! `cargo bench`: what confinement costs, side by side in one run.
//!
//! ```text
//! cargo bench                 the whole table, about four minutes
//! cargo bench -- launch size  the sections whose titles hold one of these words
//! REMIT_BENCH_SHIM=FILE       another shim in the place of this build's
//! REMIT_BENCH_EARLIER=FILE    an earlier build's shim, which the sections called
//!                             `earlier` compare with this build's
//! ```
//!
//! Contenders take turns within a section, and every other round in the reverse
//! order, so that a machine that grows warm or busy does so for all. A ratio is
//! the median of the rounds' own ratios, with its quartiles. Nothing passes or
//! fails by time; a contender of ours that does not do its work fails the run.

mod contender;
mod docker;
mod earlier;
mod event_log;
mod events;
mod exec;
mod init;
mod nginx;
mod opens;
mod pgbench;
mod redis;
mod server;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use contender::{Contender, Room};

/// System calls in one run of a worker.
const CALLS: u32 = 3_000_000;
/// Programs that one run of a worker spawns.
const SPAWNS: u32 = 400;
/// Rounds of arithmetic, about a second of them.
const ROUNDS: u32 = 800_000_000;
/// How long the idle are watched.
const IDLE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    match run(&wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

type Measure = fn(&Room) -> Result<Section, String>;

const SECTIONS: [(&str, Measure); 36] = [
    ("reads: 3 million allowed pread of 4 KiB, seconds", reads),
    ("calls: 3 million allowed getppid, the shortest call there is, seconds", calls),
    ("opens: open and close of a file, nanoseconds each", opens::opens),
    ("spawn: fork, exec and wait of a static true, microseconds each", spawn),
    ("spawn on one processor: the same", |room| exec::on_one_processor(|| spawn(room))),
    ("exec: fork, exec and wait of a dynamic true under baseline, microseconds each", exec::dynamic),
    ("exec on one processor: the same of a dynamic true", |room| {
        exec::on_one_processor(|| exec::dynamic(room))
    }),
    ("exec: a shell script of 1,000 short commands under baseline, seconds", exec::script),
    ("exec: redis under baseline beside 100 execs a second, requests a second", exec::beside),
    ("exec: 500 execs a second for a minute, the supervisor's resident memory, kB", exec::sustained),
    ("nginx: 612 bytes, keep-alive, requests a second", nginx::throughput),
    ("redis: GET and SET with a log, 16 connections, requests a second", redis::throughput),
    ("learning nginx: 612 bytes, keep-alive, requests a second", nginx::learned),
    ("learning redis: GET and SET with a log, 16 connections, requests a second", redis::learned),
    ("learning postgres: pgbench's own transaction, 4 clients, transactions a second", pgbench::learned),
    ("pgbench: its own transaction, 4 clients, transactions a second", pgbench::throughput),
    ("launch: a static true; 60 calls, 30 paths, 5 programs, or baseline; milliseconds", launch),
    ("docker: `docker run` of a static true, milliseconds, and the difference", docker::launch),
    ("paths: a launch whose profile names 10,000 files, milliseconds", paths),
    ("flood: work on all cores but one while 100 threads make a refused call, seconds", flood),
    ("size: file, bytes", size),
    ("resident: while supervising one sleeper, kB", resident),
    ("proportional: the same, what is shared divided by its users (Pss), kB", proportional),
    ("idle: wake-ups in 10 s", wakeups),
    ("init launch: a static true, without confinement, milliseconds", init::launch),
    ("init resident: while its app sleeps, kB", init::resident),
    ("init idle: wake-ups in 10 s", init::wakeups),
    ("init orphans: 20,000 reaped, the init's processor time, milliseconds", init::orphans),
    ("init signals: 5,000 at 1,000 a second, all arrived, the init's processor time, ms", init::signals),
    ("init descendants: from TERM to the end of 10,000, seconds", init::descendants),
    ("events: a million lines of a file, on one processor, thousands a second", |room| {
        exec::on_one_processor(|| events::rate(room))
    }),
    ("events memory: the most that reading a million lines takes, kB", events::memory),
    ("earlier build: launch of a static true, milliseconds", earlier::launch),
    ("earlier build: exec of a dynamic true under baseline, microseconds each", earlier::exec),
    ("earlier build: nginx, requests a second", earlier::nginx),
    ("earlier build: redis, requests a second", earlier::redis),
];

fn run(wanted: &[String]) -> Result<(), String> {
    let room = Room::make()?;
    println!(
        "{}\nmedians of interleaved runs; ratio to the line marked 1 (difference: 0), with quartiles",
        machine()
    );
    let mut failed = Vec::new();
    for (title, measure) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|word| title.contains(word.as_str())) {
            match measure(&room) {
                Ok(section) => print!("\n{title}\n{}", section.table()),
                Err(why) => {
                    println!("\n{title}\n  failed: {why}");
                    failed.push(title);
                }
            }
            if let Some(said) = room.complaints() {
                println!("  ! {said}");
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join("; "))) }
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ")).map(|m| m.1);
    let load = read("/proc/loadavg").split(' ').next().unwrap_or("?").to_owned();
    format!(
        "Linux {}, {}, {cpus} cores ({}), load {load}",
        read("/proc/sys/kernel/osrelease"),
        std::env::consts::ARCH,
        model.unwrap_or("unnamed")
    )
}

fn reads(room: &Room) -> Result<Section, String> {
    Ok(beside_any_filter(room, "reads", 7)?.goal("remit-init", "≤ 1.02"))
}

fn calls(room: &Room) -> Result<Section, String> {
    beside_any_filter(room, "calls", 11)
}

/// What the kernel takes for any filter at all, beside what ours adds to it.
fn beside_any_filter(room: &Room, act: &str, rounds: usize) -> Result<Section, String> {
    const ANY_FILTER: &str = "any seccomp filter";
    let all = [room.bare(), room.bare().named(ANY_FILTER), room.shim()];
    let behind_one = format!("filtered-{act}");
    let samples = interleave(&all, rounds, |c| {
        let act = if c.name == ANY_FILTER { behind_one.as_str() } else { act };
        Ok(c.output_ns(room, &[act, &CALLS.to_string()])? / 1e9)
    })?;
    Ok(Section::of(&all, samples, "unconfined", 3))
}

fn spawn(room: &Room) -> Result<Section, String> {
    // What it takes to ask about an exec at all, beside what ours asks.
    const NOT_LOOKED_AT: &str = "any notified exec";
    let notified = room.bare().named(NOT_LOOKED_AT);
    let all = [room.bare(), notified, room.shim(), room.rival("tini-static"), room.rival("bwrap")];
    let (times, program) = (SPAWNS.to_string(), room.spawned());
    let program = program.to_str().ok_or("the temporary folder's name is not UTF-8")?;
    let samples = interleave(&all, 11, |c| {
        let act = if c.name == NOT_LOOKED_AT { "notified-spawn" } else { "spawn" };
        Ok(c.output_ns(room, &[act, &times, program])? / 1e3 / f64::from(SPAWNS))
    })?;
    Ok(Section::of(&all, samples, "unconfined", 1).goal("remit-init", "≤ 1.45"))
}

fn launch(room: &Room) -> Result<Section, String> {
    const BASELINE: &str = "under baseline";
    let mut all = room.everyone();
    all.push(room.shim().named(BASELINE).under("baseline"));
    let samples = interleave(&all, 200, |c| launched_ms(room, c))?;
    let section = Section::of(&all, samples, "tini-static", 3);
    Ok(section.goal("remit-init", "≤ 2").goal(BASELINE, "≤ 2.5"))
}

/// From the start of a static `true` to its end.
fn launched_ms(room: &Room, c: &Contender) -> Result<f64, String> {
    let mut command = c.command(room, &room.worker(), &["true"])?;
    command.stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().map_err(|e| format!("{}: cannot be started: {e}", c.name))?;
    let took = start.elapsed();
    if status.success() { Ok(took.as_secs_f64() * 1e3) } else { Err(format!("{}: {status}", c.name)) }
}

fn paths(room: &Room) -> Result<Section, String> {
    let all = [room.bare(), room.shim(), room.shim_of_many_paths()?];
    let samples = interleave(&all, 20, |c| launched_ms(room, c))?;
    Ok(Section::of(&all, samples, "remit-init", 3).goal(contender::MANY_PATHS, "≤ 60 ms"))
}

/// The rate that is meant is 0.8 of the quiet one, so 1.25 of its time.
fn flood(room: &Room) -> Result<Section, String> {
    const FLOODED: &str = "flooded";
    let all = [room.shim(), room.shim().named(FLOODED)];
    // The supervisor has a core of its own, where there is more than one.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (rounds, threads) = (ROUNDS.to_string(), (cores - 1).max(1).to_string());
    let samples = interleave(&all, 7, |c| {
        let act = if c.name == FLOODED { "flooded-work" } else { "work" };
        Ok(c.output_ns(room, &[act, &rounds, &threads])? / 1e9)
    });
    // The flood's own violations are no complaints.
    drop(room.complaints());
    Ok(Section::of(&all, samples?, "remit-init", 3).goal(FLOODED, "≤ 1.25"))
}

fn size(room: &Room) -> Result<Section, String> {
    let all = room.everyone();
    let samples = interleave(&all[1..], 1, |c| {
        fs::metadata(&c.file).map(|m| m.len() as f64).map_err(|e| format!("{}: {e}", c.file.display()))
    })?;
    let section = Section::of(&all[1..], samples, "tini-static", 0);
    Ok(section.goal("remit-init", "≤ 1500000").goal("remit-init (musl)", "≤ 450000"))
}

fn resident(room: &Room) -> Result<Section, String> {
    let section = memory(room, |pid| field(&format!("/proc/{pid}/status"), "VmRSS:"))?;
    Ok(section.goal("remit-init", "≤ 1300").goal("remit-init (musl)", "≤ 400"))
}

fn proportional(room: &Room) -> Result<Section, String> {
    memory(room, |pid| field(&format!("/proc/{pid}/smaps_rollup"), "Pss:"))
}

/// What the processes of a supervisor at rest take, all together.
fn memory(room: &Room, of: impl Fn(u32) -> Result<f64, String>) -> Result<Section, String> {
    let all = room.everyone();
    let samples = interleave(&all[1..], 3, |c| {
        let sleeper = c.start(room, &room.worker(), &["sleep"])?;
        thread::sleep(Duration::from_millis(300));
        sleeper.supervisors(&room.worker()).iter().map(|&pid| of(pid)).sum()
    })?;
    Ok(Section::of(&all[1..], samples, "tini-static", 0))
}

fn wakeups(room: &Room) -> Result<Section, String> {
    let all = room.everyone();
    let here: Vec<&Contender> = all[1..].iter().filter(|c| c.absent.is_none()).collect();
    let sleepers: Vec<_> =
        here.iter().map(|c| c.start(room, &room.worker(), &["sleep"])).collect::<Result<_, _>>()?;
    thread::sleep(Duration::from_secs(1));
    let count = || {
        let switches = |s: &contender::Started| {
            s.supervisors(&room.worker()).iter().map(|&pid| switches_in(pid)).sum::<Result<f64, String>>()
        };
        sleepers.iter().map(switches).collect::<Result<Vec<f64>, _>>()
    };
    let before = count()?;
    thread::sleep(IDLE);
    let mut woken = count()?.into_iter().zip(before).map(|(after, before)| vec![after - before]);
    let samples = all[1..].iter().map(|c| if c.absent.is_none() { woken.next() } else { None });
    Ok(Section::of(&all[1..], samples.map(Option::unwrap_or_default).collect(), "", 0))
}

/// Voluntary context switches of all threads: each is one time that it woke.
fn switches_in(pid: u32) -> Result<f64, String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| format!("/proc/{pid}/task: {e}"))?;
    let tids = tasks.filter_map(|t| t.ok()?.file_name().to_str()?.parse().ok());
    let status = |tid: u32| format!("/proc/{pid}/task/{tid}/status");
    tids.map(|tid| field(&status(tid), "voluntary_ctxt_switches:")).sum()
}

/// The number behind a name in a file of /proc.
fn field(path: &str, name: &str) -> Result<f64, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let value =
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| format!("{path}: no `{name}`"))
}

/// One sample of each contender that is here a round, after one unmeasured round.
fn interleave(
    all: &[Contender],
    rounds: usize,
    measure: impl Fn(&Contender) -> Result<f64, String>,
) -> Result<Vec<Vec<f64>>, String> {
    let mut samples = vec![Vec::with_capacity(rounds); all.len()];
    let warm_up = if rounds > 1 { 1 } else { 0 };
    for round in 0..rounds + warm_up {
        for turn in 0..all.len() {
            let at = if round % 2 == 0 { turn } else { all.len() - 1 - turn };
            if all[at].absent.is_some() {
                continue;
            }
            let sample = measure(&all[at])?;
            if round >= warm_up {
                samples[at].push(sample);
            }
        }
    }
    Ok(samples)
}

/// One section of the table.
pub struct Section {
    lines: Vec<Line>,
    base: String,
    decimals: usize,
    difference: bool,
}

struct Line {
    name: String,
    samples: Vec<f64>,
    absent: Option<String>,
    goal: &'static str,
}

impl Section {
    /// `base` is the contender that the others are compared to.
    pub fn of(all: &[Contender], samples: Vec<Vec<f64>>, base: &str, decimals: usize) -> Section {
        let lines = all.iter().zip(samples).map(|(c, samples)| Line {
            name: c.name.clone(),
            samples,
            absent: c.absent.clone(),
            goal: "",
        });
        Section { lines: lines.collect(), base: base.to_owned(), decimals, difference: false }
    }

    /// Given as what each takes more than the base, not as a ratio.
    pub fn difference(self) -> Section {
        Section { difference: true, ..self }
    }

    /// What `name` is meant to reach: printed, never judged.
    pub fn goal(mut self, name: &str, goal: &'static str) -> Section {
        self.lines.iter_mut().filter(|l| l.name == name).for_each(|l| l.goal = goal);
        self
    }

    fn table(&self) -> String {
        let base = self.lines.iter().find(|l| l.name == self.base && l.absent.is_none());
        self.lines.iter().map(|line| self.line(line, base)).collect()
    }

    fn line(&self, line: &Line, base: Option<&Line>) -> String {
        if let Some(why) = &line.absent {
            return format!("  {:<20} {why}\n", line.name);
        }
        let compared = match base {
            Some(base) if base.name == line.name => if self.difference { "0" } else { "1" }.to_owned(),
            Some(base) => self.compared(line, base),
            None => String::new(),
        };
        let median = format!("{:.*}", self.decimals, quantile(&line.samples, 0.5));
        let text = format!("  {:<20} {median:>12}   {compared:<22} {}", line.name, line.goal);
        text.trim_end().to_owned() + "\n"
    }

    /// The median of the rounds' own ratios or differences, with its quartiles.
    fn compared(&self, line: &Line, base: &Line) -> String {
        let pairs = line.samples.iter().zip(&base.samples);
        let each: Vec<f64> = pairs.map(|(a, b)| if self.difference { a - b } else { a / b }).collect();
        let [low, middle, high] = [0.25, 0.5, 0.75].map(|q| quantile(&each, q));
        match (each.len(), self.difference) {
            (1, _) => format!("{middle:.3}"),
            (_, true) => format!("{middle:+.1} ({low:+.1}–{high:+.1})"),
            (_, false) => format!("{middle:.3} ({low:.3}–{high:.3})"),
        }
    }
}

/// Of an unsorted sample, between its neighbours; not a number when it is empty.
fn quantile(samples: &[f64], q: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// Builds the worker and says where it is.
fn build_worker() -> Result<std::path::PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--example", "bench-driver", "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo cannot be started: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let worker = messages
        .filter(|m| m["target"]["name"] == "bench-driver")
        .find_map(|m| m["executable"].as_str().map(|path| Path::new(path).to_owned()));
    worker.ok_or_else(|| "cargo did not build the example bench-driver".to_owned())
}
