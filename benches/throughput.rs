//! How fast the tool is, each figure beside its goal: every verb on the largest profile of the
//! repository, a report of a thousand entries, events, an image's archive beside sha256sum(1), and
//! journals on one processor and on two.
//!
//! ```text
//! cargo bench --bench throughput                   all of it, with archives and journals of 1 GB
//! cargo bench --bench throughput -- 100000000      with 100 MB
//! cargo bench --bench throughput -- verbs build    some of it: verbs, report, events, archive, build
//! ```
//!
//! Nothing passes or fails by time. Commands that are compared take turns; the best of the rounds
//! counts. A rate a core is the amount by the processor time, of all threads together.

#[path = "event_log.rs"]
mod event_log;
#[path = "journals.rs"]
#[allow(dead_code)]
mod journals;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use remit::image::archive;
use remit::kernel::Arch;
use serde_json::json;
use sha2::{Digest, Sha256};

const REMIT: &str = env!("CARGO_BIN_EXE_remit");
const ROUNDS: usize = 3;
/// Rounds of what takes milliseconds.
const SHORT_ROUNDS: usize = 15;
/// Events of the long log.
const EVENTS: u64 = 1_000_000;
/// How much shorter an input is whose peak of memory is compared.
const SHORTER: u64 = 10;
/// The argument by which this program is its own child, which reads one archive.
const READ: &str = "--read";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, archive] = arguments.as_slice()
        && word == READ
    {
        return read(archive);
    }
    let bytes = arguments.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000_000);
    let wanted: Vec<&str> =
        arguments.iter().filter(|word| word.parse::<u64>().is_err()).map(String::as_str).collect();
    type Measure = fn(&Path, u64) -> io::Result<()>;
    let sections: [(&str, Measure); 5] = [
        ("verbs", |place, _| verbs(place)),
        ("report", |place, _| report(place)),
        ("events", |place, _| events(place)),
        ("archive", archives),
        ("build", build),
    ];
    if let Some(word) = wanted.iter().find(|word| sections.iter().all(|(name, _)| name != *word)) {
        eprintln!("bench: {word} is none of verbs, report, events, archive, build");
        return ExitCode::from(2);
    }
    for (name, measure) in sections {
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        if let Err(error) = tempfile::tempdir().and_then(|place| measure(place.path(), bytes)) {
            eprintln!("bench: {name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// A figure beside its goal.
fn line(name: &str, figure: &str, goal: &str, is_met: bool) {
    println!("  {name:<44} {figure:<44} goal {goal}: {}", if is_met { "met" } else { "missed" });
}

/// Every verb that reads a profile, on the largest one; what starts a command or needs one is left
/// out.
fn verbs(place: &Path) -> io::Result<()> {
    const GOAL: f64 = 50.0;
    let mut profiles = Vec::new();
    list(&Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles"), &mut profiles);
    let largest = profiles.iter().max_by_key(|path| path.metadata().map_or(0, |found| found.len()));
    let largest = largest.ok_or_else(|| io::Error::other("there is no profile"))?;
    fs::copy(largest, place.join("p.json"))?;
    event_log::write(&place.join("events.jsonl"), 100)?;
    journals::make(&place.join("runs"), 200_000, 2)?;
    fs::write(place.join("seccomp.json"), output(place, &["export", "p.json", "--to", "oci-seccomp"])?)?;
    println!("every verb on {}, milliseconds:", largest.file_name().unwrap_or_default().display());
    let all: [&[&str]; 21] = [
        &["plan", "p.json", "--kernel", "6.12"],
        &["check", "p.json", "--output", "text=-,sarif=o.sarif,json=o.json,markdown=o.md,junit=o.xml"],
        &["check", "p.json", "--against", "baseline", "--require", "regulated"],
        &["diff", "baseline", "p.json"],
        &["diff", "p.json", "baseline"],
        &["explain", "p.json"],
        &["explain", "p.json", "/programs/0"],
        &["explain", "p.json", "--event", "events.jsonl", "--seq", "2"],
        &["exposure", "p.json", "--against", "baseline"],
        &["report", "p.json", "--events", "events.jsonl", "--against", "baseline", "-o", "o.html"],
        &["export", "p.json", "--to", "oci-seccomp"],
        &["export", "p.json", "--to", "spo"],
        &["import", "--from", "oci-seccomp", "seccomp.json", "--base", "p.json", "-o", "o.imported"],
        &["approve", "p.json", "--lock", "o.lock"],
        &["amend", "p.json", "events.jsonl", "-o", "o.amended"],
        &["events", "events.jsonl", "--incidents"],
        &["build", "runs", "--base", "p.json", "--name", "p", "-o", "o.built"],
        &["profiles"],
        &["schema"],
        &["completions", "bash"],
        &["doctor"],
    ];
    for arguments in all {
        let mut command = remit(place, arguments);
        command.stderr(Stdio::null());
        let found = best(&mut [&mut command], SHORT_ROUNDS, |one| one.wall)?;
        let [Measured { wall, cpu, .. }] = found[..] else { continue };
        let (wall, cpu) = (wall * 1e3, cpu * 1e3);
        let shown: Vec<&str> = arguments.iter().take_while(|word| !word.contains("o.")).copied().collect();
        line(&shown.join(" "), &format!("{wall:6.1}, processor time {cpu:.1}"), "≤ 50", wall <= GOAL);
    }
    Ok(())
}

/// A report of a thousand entries.
fn report(place: &Path) -> io::Result<()> {
    let files: Vec<_> = (0..950)
        .map(|number| json!({ "path": format!("/srv/d{}/file-{number}", number % 40), "allow": ["read"] }))
        .collect();
    let programs: Vec<_> =
        (0..50).map(|number| json!({ "path": format!("/usr/bin/tool-{number}") })).collect();
    let edges: Vec<String> = (0..50).map(|number| format!("/usr/bin/tool-{number}")).collect();
    let mut profile = json!({ "remit": 1, "name": "large", "programs": programs, "files": files });
    let entry = json!({ "path": "/usr/sbin/server", "entry": true, "may_run": edges });
    if let Some(programs) = profile["programs"].as_array_mut() {
        programs.insert(0, entry);
    }
    fs::write(place.join("p.json"), profile.to_string())?;
    let mut command = remit(place, &["report", "p.json", "-o", "o.html"]);
    let found = best(&mut [&mut command], SHORT_ROUNDS, |one| one.wall)?;
    println!("remit report of a thousand entries:");
    for Measured { wall, cpu, .. } in found {
        let time = format!("{:.0} ms, processor time {:.0}", wall * 1e3, cpu * 1e3);
        line("time", &time, "≤ 300 ms", wall <= 0.3);
    }
    let bytes = place.join("o.html").metadata()?.len();
    line("size", &format!("{bytes} bytes"), "≤ 1,000,000", bytes <= 1_000_000);
    Ok(())
}

/// Lines a second of a log in a file, by the processor time, and the peak of memory beside that of a
/// tenth of the log.
fn events(place: &Path) -> io::Result<()> {
    const GOAL: f64 = 500.0;
    let (log, short) = (place.join("long.jsonl"), place.join("short.jsonl"));
    event_log::write(&log, EVENTS)?;
    event_log::write(&short, EVENTS / SHORTER)?;
    println!("remit events, {EVENTS} lines of a file, thousands a second a core:");
    let forms: [&[&str]; 6] = [
        &[],
        &["--kind", "file"],
        &["--format", "text"],
        &["--summary"],
        &["--incidents"],
        &["--to", "ocsf"],
    ];
    for form in forms {
        let all = |file: &Path| {
            let mut command = remit(place, &["events"]);
            command.args(form).arg(file);
            command
        };
        let (mut long, mut tenth) = (all(&log), all(&short));
        let found = best(&mut [&mut long, &mut tenth], ROUNDS, |one| one.cpu)?;
        let [long, tenth] = found[..] else { continue };
        let rate = EVENTS as f64 / 1e3 / long.cpu;
        let name = format!("events {}", form.join(" "));
        line(name.trim_end(), &format!("{rate:6.0}"), "≥ 500", rate >= GOAL);
        flat(&long, &tenth);
    }
    Ok(())
}

/// The peak of memory beside that of a tenth of the input.
fn flat(long: &Measured, tenth: &Measured) {
    let is_met = long.peak as f64 <= 1.1 * tenth.peak as f64 + 1000.0;
    let peaks = format!("{} kB, of a tenth of it {} kB", long.peak, tenth.peak);
    line("  peak of memory", &peaks, "≤ 1.1 times and 1 MB", is_met);
}

fn remit(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(REMIT);
    command.args(arguments).current_dir(place).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn output(place: &Path, arguments: &[&str]) -> io::Result<Vec<u8>> {
    Ok(remit(place, arguments).stdout(Stdio::piped()).output()?.stdout)
}

/// Reads an archive, as `remit check --image` does, with the digests of its programs.
fn read(path: &str) -> ExitCode {
    let image = match archive::open(path.as_ref(), Arch::THIS, &mut |_, _| {}) {
        Ok(image) => image,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let programs = ["/0/usr/bin/bash", "/0/usr/bin/perl", "/0/usr/bin/tar"].map(Path::new);
    match image.digests(&programs) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The rate of an archive beside sha256sum(1), by processor time.
fn archives(place: &Path, bytes: u64) -> io::Result<()> {
    let itself = std::env::current_exe()?;
    let reading = |archive: &Path| {
        let mut command = Command::new(&itself);
        command.arg(READ).arg(archive);
        command
    };
    let sum = |program: &[&str], archive: &Path| {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(archive).stdout(Stdio::null());
        command
    };
    let (plain, tenth, packed) = (place.join("plain.tar"), place.join("tenth.tar"), place.join("gzip.tar"));
    save(&plain, bytes, |layer| Ok(layer.to_owned()))?;
    save(&tenth, bytes / SHORTER, |layer| Ok(layer.to_owned()))?;
    save(&packed, bytes / 2, gzip)?;
    let openssl = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    let has_openssl = openssl.is_ok_and(|status| status.success());
    for (name, archive, is_goal) in [("", &plain, true), (" with layers of gzip", &packed, false)] {
        let size = archive.metadata()?.len() as f64 / 1e6;
        println!("an archive of docker save{name}, {size:.0} MB, MB a second a core:");
        // Into the page cache.
        io::copy(&mut File::open(archive)?, &mut io::sink())?;
        let mut commands = vec![
            ("sha256sum", sum(&["sha256sum"], archive)),
            ("remit", reading(archive)),
            ("remit, a tenth", reading(&tenth)),
        ];
        if has_openssl {
            // It uses the processor's instructions, which not every sha256sum(1) does.
            commands.push(("openssl", sum(&["openssl", "dgst", "-sha256"], archive)));
        }
        let mut all: Vec<&mut Command> = commands.iter_mut().map(|(_, command)| command).collect();
        let found = best(&mut all, ROUNDS, |one| one.cpu)?;
        let rate = |one: &Measured| size / one.cpu;
        let ratio = found[0].cpu / found[1].cpu;
        let figure = format!("{:6.0}, {ratio:.2} of sha256sum's {:.0}", rate(&found[1]), rate(&found[0]));
        match is_goal {
            true => {
                line("check --image", &figure, "≥ 0.8", ratio >= 0.8);
                flat(&found[1], &found[2]);
            }
            false => println!("  {:<44} {figure}", "check --image"),
        }
        if let Some(openssl) = found.get(3) {
            println!("  {:<44} {:6.0}", "openssl dgst -sha256", rate(openssl));
        }
    }
    Ok(())
}

/// `remit build` on one processor and on two.
fn build(place: &Path, bytes: u64) -> io::Result<()> {
    let runs = place.join("journals");
    journals::make(&runs, bytes, 100)?;
    println!("remit build of 100 journals, {} MB:", bytes / 1_000_000);
    let on = |processors: &str| {
        let mut command = Command::new("taskset");
        command.args(["-c", processors, REMIT, "build"]).arg(&runs).arg("-o").arg(place.join("p.json"));
        command.stdout(Stdio::null());
        command
    };
    let (mut one, mut two) = (on("0"), on("0,1"));
    let found = best(&mut [&mut one, &mut two], ROUNDS, |one| one.wall)?;
    let [one, two] = found[..] else { return Ok(()) };
    println!("  {:<44} {:.2} s, processor time {:.2}, {} kB", "one processor", one.wall, one.cpu, one.peak);
    let ratio = one.wall / two.wall;
    let figure = format!("{:.2} s, {ratio:.2} times as fast, {} kB", two.wall, two.peak);
    line("two processors", &figure, "≥ 1.8", ratio >= 1.8);
    Ok(())
}

/// What a command took.
#[derive(Clone, Copy)]
struct Measured {
    /// Seconds.
    wall: f64,
    /// Seconds of processor time, in the program and in the kernel.
    cpu: f64,
    /// The peak of resident memory, in kB.
    peak: u64,
}

/// The best round of each command by this figure; they take turns.
fn best(
    commands: &mut [&mut Command],
    rounds: usize,
    by: impl Fn(&Measured) -> f64,
) -> io::Result<Vec<Measured>> {
    let mut best: Vec<Option<Measured>> = vec![None; commands.len()];
    for _ in 0..rounds {
        for (best, command) in best.iter_mut().zip(commands.iter_mut()) {
            let measured = measure(command)?;
            if best.is_none_or(|best| by(&measured) < by(&best)) {
                *best = Some(measured);
            }
        }
    }
    Ok(best.into_iter().flatten().collect())
}

/// Runs a command, whose exit code says that it has an answer.
fn measure(command: &mut Command) -> io::Result<Measured> {
    let began = Instant::now();
    let child = command.spawn()?;
    let mut status = 0;
    // SAFETY: all zeros are a valid structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both are live and of the types that wait4(2) fills; the child is ours, and nothing
    // else waits for it.
    let ended = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
    let wall = began.elapsed().as_secs_f64();
    // 1 is an answer too, and 3 that there is none; 2 is bad input.
    if ended < 0 || !libc::WIFEXITED(status) || !matches!(libc::WEXITSTATUS(status), 0 | 1 | 3) {
        return Err(io::Error::other(format!("{command:?} ended with {status}")));
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(Measured {
        wall,
        cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak: usage.ru_maxrss as u64,
    })
}

/// Writes an image of this machine's programs and libraries as `docker save` does, in five layers.
fn save(path: &Path, bytes: u64, pack: impl Fn(&Path) -> io::Result<PathBuf>) -> io::Result<()> {
    let mut files = Vec::new();
    for directory in ["/usr/bin", "/usr/lib", "/usr/share"] {
        list(Path::new(directory), &mut files);
    }
    files.sort();
    let place = tempfile::tempdir()?;
    let mut archive = tar::Builder::new(BufWriter::new(File::create(path)?));
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    let mut next = files.iter().cycle();
    for number in 0..5 {
        let layer = place.path().join("layer.tar");
        let mut tar = tar::Builder::new(BufWriter::new(File::create(&layer)?));
        let mut written = 0;
        while written < bytes / 5 {
            let Some(file) = next.next() else { break };
            let inside = Path::new(&number.to_string()).join(file.strip_prefix("/").unwrap_or(file));
            let Ok(found) = file.metadata() else { continue };
            if found.len() < bytes / 10 && tar.append_path_with_name(file, inside).is_ok() {
                written += found.len() + 1024;
            }
        }
        tar.into_inner()?.flush()?;
        let packed = pack(&layer)?;
        diff_ids.push(format!("sha256:{}", digest(&layer)?));
        let name = format!("blobs/sha256/{}", digest(&packed)?);
        archive.append_path_with_name(&packed, &name)?;
        layers.push(name);
    }
    let config =
        json!({ "architecture": "amd64", "os": "linux", "rootfs": { "diff_ids": diff_ids } }).to_string();
    let manifest = json!([{ "Config": "config", "RepoTags": ["bench:1"], "Layers": layers }]).to_string();
    for (name, text) in [("config", config), ("manifest.json", manifest)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    archive.into_inner()?.flush()
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

fn gzip(layer: &Path) -> io::Result<PathBuf> {
    let packed = layer.with_extension("gz");
    let mut to =
        flate2::write::GzEncoder::new(BufWriter::new(File::create(&packed)?), flate2::Compression::fast());
    io::copy(&mut File::open(layer)?, &mut to)?;
    to.finish()?.flush()?;
    Ok(packed)
}

fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(remit::hex::lower(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}
