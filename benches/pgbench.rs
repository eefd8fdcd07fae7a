//! PostgreSQL under `baseline` and while it is learned, with pgbench.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Section;
use crate::contender::{Contender, Room};
use crate::server::{self, Race, Server};

/// PostgreSQL does not run as root; with a number, whatever user that is on this machine.
const UNPRIVILEGED: u32 = 65_534;

/// Transactions a second, as TPC-B has them; the disk is not waited for, as it would
/// hide everything else.
pub fn throughput(room: &Room) -> Result<Section, String> {
    measure(room, &server::ENFORCED)
}

/// The same while it is learned.
pub fn learned(room: &Room) -> Result<Section, String> {
    measure(room, &server::LEARNED)
}

fn measure(room: &Room, race: &Race) -> Result<Section, String> {
    let Some(programs) = installed() else {
        return Ok(server::absent(room, race, "PostgreSQL's server not installed below /usr/lib/postgresql"));
    };
    server::against_native(
        room,
        race,
        |contender| start(room, contender, &programs),
        |port| transactions_a_second(&programs, port),
    )
}

/// Where Debian has initdb, postgres and pgbench, which are not on PATH: the newest
/// version's.
fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let number = |path: &Path| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let there = versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("postgres").is_file());
    there.max_by_key(|bin| number(bin))
}

fn start(room: &Room, contender: Contender, programs: &Path) -> Result<Server, String> {
    let root = nix::unistd::geteuid().is_root();
    let mut contender = contender.under("baseline").run_as(root.then_some(UNPRIVILEGED));
    let data = room.dir.join("postgres").join(&contender.name);
    let made = fs::create_dir_all(&data).and_then(|()| if root { give(&data) } else { Ok(()) });
    made.map_err(|e| format!("{}: {e}", data.display()))?;
    if !contender.file.as_os_str().is_empty() {
        // The build's own folder may be closed to that user.
        let copy = room.dir.join("bin/remit-init");
        fs::copy(&contender.file, &copy).map_err(|e| format!("{}: {e}", copy.display()))?;
        contender.file = copy;
    }
    let folder = data.display().to_string();
    let args = ["-D", &folder, "-U", "bench", "--auth", "trust", "--no-sync"];
    let made = contender.command(room, &programs.join("initdb"), &args)?.stdout(Stdio::null()).status();
    if !made.is_ok_and(|status| status.success()) {
        let said = room.complaints().unwrap_or_else(|| "nothing on stderr".to_owned());
        return Err(format!("{}: initdb failed; {said}", contender.name));
    }
    let port = server::free_port()?;
    let (text, sockets) = (port.to_string(), format!("unix_socket_directories={folder}"));
    let args =
        ["-D", &folder, "-p", &text, "-c", "fsync=off", "-c", "log_min_messages=panic", "-c", &sockets];
    let filled = || client(programs, port, &["-i", "-q", "-s", "5"]).is_ok();
    Server::start(room, &contender, &programs.join("postgres"), &args, port, filled)
}

fn give(data: &Path) -> std::io::Result<()> {
    chown(data, Some(UNPRIVILEGED), Some(UNPRIVILEGED))
}

fn transactions_a_second(programs: &Path, port: u16) -> Result<f64, String> {
    let text = client(programs, port, &["-c", "4", "-T", "2"])?;
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.ok_or_else(|| format!("pgbench printed no rate: {}", text.trim()))
}

/// What pgbench prints.
fn client(programs: &Path, port: u16, args: &[&str]) -> Result<String, String> {
    let out = Command::new(programs.join("pgbench"))
        .args(args)
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "bench", "postgres"])
        .output()
        .map_err(|e| format!("pgbench cannot be started: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    Err(format!("pgbench: {}; {}", out.status, String::from_utf8_lossy(&out.stderr).trim()))
}
