//! What reading a log costs: a million events from a file, beside what else reads lines of JSON.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::contender::{Contender, Room, find_program};
use crate::{Section, event_log, interleave};

/// Events of the long log, and how much shorter the other is.
const EVENTS: u64 = 1_000_000;
const SHORTER: u64 = 10;

const TOOL: &str = env!("CARGO_BIN_EXE_remit");

/// A way to read a log: its name, and the program with its arguments.
const READERS: [(&str, &[&str]); 6] = [
    ("remit events", &[TOOL, "events"]),
    ("remit events --kind", &[TOOL, "events", "--kind", "file"]),
    ("remit events --summary", &[TOOL, "events", "--summary"]),
    ("remit events --to ocsf", &[TOOL, "events", "--to", "ocsf"]),
    ("grep -c", &["grep", "-c", "remit"]),
    ("jq -c .", &["jq", "-c", "."]),
];

/// Thousands of lines a second, from a file that is in memory.
pub fn rate(room: &Room) -> Result<Section, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let log = log(folder.path(), EVENTS)?;
    let all = readers(room);
    let samples = interleave(&all, 5, |c| Ok(EVENTS as f64 / 1e3 / read(c, &log)?.seconds))?;
    Ok(Section::of(&all, samples, "remit events", 0).goal("remit events", "≥ 500"))
}

/// The most memory that a reader takes for ten times the log, in kB.
pub fn memory(room: &Room) -> Result<Section, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let short = log(folder.path(), EVENTS / SHORTER)?;
    let tenth = "remit events of a tenth of it";
    let all = [readers(room), vec![room.bare().named(tenth)]].concat();
    let long = log(folder.path(), EVENTS)?;
    let samples = interleave(&all, 1, |c| {
        let log = if c.name == tenth { &short } else { &long };
        Ok(read(c, log)?.kilobytes)
    })?;
    Ok(Section::of(&all, samples, tenth, 0).goal("remit events", "≤ 1.1 ×"))
}

fn readers(room: &Room) -> Vec<Contender> {
    let reader = |(name, command): &(&str, &[&str])| {
        let is_there = command[0].starts_with('/') || find_program(command[0]).is_some();
        let reader = room.bare().named(name);
        if is_there { reader } else { reader.absent(format!("no {} on PATH", command[0])) }
    };
    READERS.iter().map(reader).collect()
}

struct Reading {
    seconds: f64,
    kilobytes: f64,
}

fn read(contender: &Contender, log: &Path) -> Result<Reading, String> {
    let command =
        READERS.iter().find(|(name, _)| *name == contender.name).map_or(READERS[0].1, |(_, command)| command);
    let begin = Instant::now();
    let child = Command::new(command[0]).args(&command[1..]).arg(log).stdout(Stdio::null()).spawn();
    let child = child.map_err(|error| format!("{}: {error}", command[0]))?;
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    // SAFETY: a zeroed rusage is one, and both pointers are to live values.
    let (status, usage) = unsafe {
        let (mut status, mut usage): (i32, libc::rusage) = (0, std::mem::zeroed());
        let waited = libc::wait4(pid, &raw mut status, 0, &raw mut usage);
        (if waited == pid { status } else { -1 }, usage)
    };
    let seconds = begin.elapsed().as_secs_f64();
    if status != 0 {
        return Err(format!("{}: it ended with status {status}", contender.name));
    }
    Ok(Reading { seconds, kilobytes: usage.ru_maxrss as f64 })
}

fn log(folder: &Path, events: u64) -> Result<PathBuf, String> {
    let path = folder.join(format!("{events}.jsonl"));
    event_log::write(&path, events).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
