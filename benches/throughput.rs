//! How fast the tool reads what is large: an image's archive beside sha256sum(1), and journals on
//! one core and on all.
//!
//! `cargo bench --bench throughput [-- BYTES]`, by default 1,000,000,000. Nothing passes or fails
//! by time. A rate a core is the bytes by the processor time, of all threads together; the best of
//! three rounds, by turns.

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
/// The argument by which this program is its own child, which reads one archive.
const READ: &str = "--read";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, archive] = arguments.as_slice()
        && word == READ
    {
        return read(archive);
    }
    let bytes = arguments.first().and_then(|bytes| bytes.parse().ok()).unwrap_or(1_000_000_000);
    match run(bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
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

fn run(bytes: u64) -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let path = |name: &str| place.path().join(name);
    let itself = std::env::current_exe()?;
    let reading = |archive: &Path| {
        let mut command = Command::new(&itself);
        command.arg(READ).arg(archive);
        command
    };
    let sum = |archive: &Path| {
        let mut command = Command::new("sha256sum");
        command.arg(archive).stdout(Stdio::null());
        command
    };

    println!("an archive of docker save, {} MB, MB a second a core:", bytes / 1_000_000);
    let plain = path("plain.tar");
    save(&plain, bytes, |layer| Ok(layer.to_owned()))?;
    compare(&plain, &mut [("sha256sum", sum(&plain)), ("remit", reading(&plain))])?;
    let packed = path("gzip.tar");
    save(&packed, bytes / 2, gzip)?;
    println!("the same with layers of gzip, {} MB:", packed.metadata()?.len() / 1_000_000);
    compare(&packed, &mut [("sha256sum", sum(&packed)), ("remit", reading(&packed))])?;
    fs::remove_file(&plain)?;

    let journals = path("journals");
    journals::make(&journals, bytes, 100)?;
    println!("remit build of 100 journals, {} MB, seconds:", bytes / 1_000_000);
    let build = |cores: &str| {
        let mut command = Command::new("taskset");
        command.args(["-c", cores, REMIT, "build"]).arg(&journals).arg("-o").arg(path("p.json"));
        command.stdout(Stdio::null());
        command
    };
    let all = std::thread::available_parallelism()?;
    let mut builds = [
        ("one core", build("0")),
        ("two cores", build("0,1")),
        ("all cores", build(&format!("0-{}", all.get() - 1))),
    ];
    let count = if all.get() > 2 { 3 } else { all.get() };
    let mut best = [(f64::INFINITY, 0.0, 0); 3];
    for _ in 0..ROUNDS {
        for (at, (_, command)) in builds.iter_mut().take(count).enumerate() {
            let measured = measure(command)?;
            if measured.0 < best[at].0 {
                best[at] = measured;
            }
        }
    }
    for ((name, _), (wall, cpu, peak)) in builds.iter().zip(best).take(count) {
        println!(
            "  {name:<10} {wall:6.2}, {:.2} times as fast; {cpu:.2} of processor time, {peak} MB",
            best[0].0 / wall
        );
    }
    Ok(())
}

/// Measures these commands on one file by turns.
fn compare(file: &Path, commands: &mut [(&str, Command)]) -> io::Result<()> {
    let bytes = file.metadata()?.len() as f64 / 1e6;
    // Into the page cache.
    io::copy(&mut File::open(file)?, &mut io::sink())?;
    let mut best = vec![(f64::INFINITY, f64::INFINITY, 0); commands.len()];
    for _ in 0..ROUNDS {
        for (at, (_, command)) in commands.iter_mut().enumerate() {
            let measured = measure(command)?;
            if measured.1 < best[at].1 {
                best[at] = measured;
            }
        }
    }
    for ((name, _), (wall, cpu, peak)) in commands.iter().zip(&best) {
        let ratio = best[0].1 / cpu;
        println!("  {name:<10} {:6.0}, {ratio:.2} of sha256sum; {wall:.2} s, {peak} MB", bytes / cpu);
    }
    Ok(())
}

/// Wall time and processor time in seconds, and the peak of resident memory in MB.
fn measure(command: &mut Command) -> io::Result<(f64, f64, u64)> {
    let began = Instant::now();
    let child = command.spawn()?;
    let mut status = 0;
    // SAFETY: all zeros are a valid structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both are live and of the types that wait4(2) fills; the child is ours, and nothing
    // else waits for it.
    let ended = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
    let wall = began.elapsed().as_secs_f64();
    if ended < 0 || status != 0 {
        return Err(io::Error::other(format!("{command:?} ended with {status}")));
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok((wall, seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss as u64 / 1000))
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
