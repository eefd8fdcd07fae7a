//! redis, with redis-benchmark.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Section;
use crate::contender::{Contender, Room, find_program};
use crate::server::{self, Race, Server};

/// Requests a second, with a log that is written to the disk every second.
pub fn throughput(room: &Room) -> Result<Section, String> {
    measure(room, &server::ENFORCED)
}

/// The same while it is learned.
pub fn learned(room: &Room) -> Result<Section, String> {
    measure(room, &server::LEARNED)
}

/// Requests a second of each in a race.
pub fn measure(room: &Room, race: &Race) -> Result<Section, String> {
    let (Some(redis), Some(load)) = (find_program("redis-server"), find_program("redis-benchmark")) else {
        return Ok(server::absent(room, race, "redis-server or redis-benchmark not installed"));
    };
    server::against_native(
        room,
        race,
        |contender| start(room, contender, &redis),
        |port| requests_a_second(&load, port),
    )
}

fn start(room: &Room, contender: Contender, redis: &Path) -> Result<Server, String> {
    let data = room.dir.join("redis").join(&contender.name);
    let port = server::free_port()?;
    // Beside the data: a profile that the app may write is refused.
    let profile_file = room.dir.join("redis.json");
    let profile = server::shipped_profile("redis", redis, &data, port)?;
    let fill = || {
        fs::create_dir_all(&data)?;
        fs::write(&profile_file, profile.to_string())
    };
    fill().map_err(|e| format!("{}: {e}", data.display()))?;
    let (folder, text) = (data.display().to_string(), port.to_string());
    let args =
        ["--bind", "127.0.0.1", "--port", &text, "--dir", &folder, "--appendonly", "yes", "--save", ""];
    Server::start(room, &contender.under(profile_file), redis, &args, port, || serves(port))
}

/// Whether it answers.
pub fn serves(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer == *b"+PONG\r\n")
}

/// Of as many SETs as GETs.
pub fn requests_a_second(load: &Path, port: u16) -> Result<f64, String> {
    let out = Command::new(load)
        .args(["-p", &port.to_string(), "-t", "set,get", "-n", "80000", "-c", "16", "-r", "10000", "--csv"])
        .output()
        .map_err(|e| format!("redis-benchmark cannot be started: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    // "SET","70921.98",…
    let rate = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("\"{name}\",\"")))?;
        line.split('"').next()?.parse::<f64>().ok()
    };
    match (rate("SET"), rate("GET")) {
        (Some(set), Some(get)) if out.status.success() => Ok(2.0 / (1.0 / set + 1.0 / get)),
        _ => Err(format!("redis-benchmark printed no rates: {}", text.trim())),
    }
}
