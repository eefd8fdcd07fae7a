//! `cargo bench`: what confinement costs, side by side in one run.
//!
//! ```text
//! cargo bench                 the whole table, about a minute and a half
//! cargo bench -- launch size  the sections whose titles hold one of these words
//! REMIT_BENCH_SHIM=FILE       another shim in the place of this build's
//! ```
//!
//! Contenders take turns within a section, and every other round in the reverse
//! order, so that a machine that grows warm or busy does so for all. A ratio is
//! the median of the rounds' own ratios, with its quartiles. Nothing passes or
//! fails by time; a contender of ours that does not do its work fails the run.

mod contender;
mod nginx;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use contender::{Contender, Room};

/// System calls in one run of a worker.
const CALLS: u32 = 3_000_000;
/// Programs that one run of a worker spawns.
const SPAWNS: u32 = 400;
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

const SECTIONS: [(&str, Measure); 8] = [
    ("reads: 3 million allowed pread of 4 KiB, seconds", reads),
    ("calls: 3 million allowed getppid, the shortest call there is, seconds", calls),
    ("spawn: fork, exec and wait of a static true, microseconds each", spawn),
    ("nginx: 612 bytes, keep-alive, requests a second", nginx::throughput),
    ("launch: a static true; 60 calls, 30 paths, 5 programs; milliseconds", launch),
    ("size: file, bytes", size),
    ("resident: while supervising one sleeper, kB", resident),
    ("idle: wake-ups in 10 s", wakeups),
];

fn run(wanted: &[String]) -> Result<(), String> {
    let room = Room::make()?;
    println!("{}\nmedians of interleaved runs; ratio to the line marked 1, with quartiles", machine());
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
    Ok(Section::of(&all, samples, "unconfined", 1).goal("remit-init", "≤ 1.15"))
}

fn launch(room: &Room) -> Result<Section, String> {
    let all = room.everyone();
    let samples = interleave(&all, 200, |c| {
        let mut command = c.command(room, &room.worker(), &["true"])?;
        command.stdout(Stdio::null());
        let start = Instant::now();
        let status = command.status().map_err(|e| format!("{}: cannot be started: {e}", c.name))?;
        let took = start.elapsed();
        if status.success() { Ok(took.as_secs_f64() * 1e3) } else { Err(format!("{}: {status}", c.name)) }
    })?;
    Ok(Section::of(&all, samples, "tini-static", 3).goal("remit-init", "≤ 1.5"))
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
    let all = room.everyone();
    let samples = interleave(&all[1..], 3, |c| {
        let sleeper = c.start(room, &room.worker(), &["sleep"])?;
        thread::sleep(Duration::from_millis(300));
        sleeper.supervisors(&room.worker()).iter().map(|&pid| status_field(pid, None, "VmRSS:")).sum()
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
            s.supervisors(&room.worker()).iter().map(|&pid| switches(pid)).sum::<Result<f64, String>>()
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
fn switches(pid: u32) -> Result<f64, String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| format!("/proc/{pid}/task: {e}"))?;
    let tids = tasks.filter_map(|t| t.ok()?.file_name().to_str()?.parse().ok());
    tids.map(|tid| status_field(pid, Some(tid), "voluntary_ctxt_switches:")).sum()
}

fn status_field(pid: u32, tid: Option<u32>, field: &str) -> Result<f64, String> {
    let path = tid.map_or(format!("/proc/{pid}/status"), |tid| format!("/proc/{pid}/task/{tid}/status"));
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let value =
        text.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| format!("{path}: no `{field}`"))
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
        Section { lines: lines.collect(), base: base.to_owned(), decimals }
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
        let ratio = match base {
            Some(base) if base.name == line.name => "1".to_owned(),
            Some(base) => {
                let pairs = line.samples.iter().zip(&base.samples);
                let ratios: Vec<f64> = pairs.map(|(a, b)| a / b).collect();
                let [low, middle, high] = [0.25, 0.5, 0.75].map(|q| quantile(&ratios, q));
                if ratios.len() > 1 {
                    format!("{middle:.3} ({low:.3}–{high:.3})")
                } else {
                    format!("{middle:.3}")
                }
            }
            None => String::new(),
        };
        let median = format!("{:.*}", self.decimals, quantile(&line.samples, 0.5));
        let text = format!("  {:<20} {median:>12}   {ratio:<22} {}", line.name, line.goal);
        text.trim_end().to_owned() + "\n"
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
