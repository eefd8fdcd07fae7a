//! nginx, with wrk.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Section;
use crate::contender::{Contender, Room, find_program};
use crate::server::{self, Race, Server};

/// The size of the page that nginx is installed with.
const PAGE: usize = 612;

/// Requests a second of one worker process.
pub fn throughput(room: &Room) -> Result<Section, String> {
    measure(room, &server::ENFORCED)
}

/// The same while it is learned.
pub fn learned(room: &Room) -> Result<Section, String> {
    measure(room, &server::LEARNED)
}

/// Requests a second of each in a race.
pub fn measure(room: &Room, race: &Race) -> Result<Section, String> {
    let (Some(nginx), Some(wrk)) = (find_program("nginx"), find_program("wrk")) else {
        return Ok(server::absent(room, race, "nginx or wrk not installed"));
    };
    server::against_native(
        room,
        race,
        |contender| start(room, contender, &nginx),
        |port| requests_a_second(&wrk, port),
    )
}

fn start(room: &Room, contender: Contender, nginx: &Path) -> Result<Server, String> {
    let prefix = room.dir.join("nginx").join(&contender.name);
    let port = server::free_port()?;
    // Beside the prefix: a profile that the app may write is refused.
    let profile_file = room.dir.join("nginx.json");
    let profile = server::shipped_profile("nginx", nginx, &prefix, port)?;
    let fill = || {
        fs::create_dir_all(prefix.join("html"))?;
        fs::create_dir_all(prefix.join("temp"))?;
        fs::write(prefix.join("html/index.html"), "x".repeat(PAGE))?;
        fs::write(prefix.join("nginx.conf"), configuration(port))?;
        fs::write(&profile_file, profile.to_string())
    };
    fill().map_err(|e| format!("{}: {e}", prefix.display()))?;
    let folder = format!("{}/", prefix.display());
    let args = ["-p", &folder, "-c", "nginx.conf", "-e", "error.log"];
    Server::start(room, &contender.under(profile_file), nginx, &args, port, || serves(port))
}

fn configuration(port: u16) -> String {
    let temps =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|t| format!("{t}_temp_path temp/{t};"));
    // Only root may name a user, and it has to: else nginx takes its default, which
    // has no way into this folder.
    let user = if nix::unistd::geteuid().is_root() { "user root root;" } else { "" };
    format!(
        "{user} daemon off; worker_processes 1; pid nginx.pid; error_log error.log;
         events {{ worker_connections 256; }}
         http {{ access_log off; sendfile on; keepalive_requests 1000000000; {}
           server {{ listen 127.0.0.1:{port}; root html; }} }}",
        temps.join(" ")
    )
}

fn serves(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with(&"x".repeat(PAGE)))
}

fn requests_a_second(wrk: &Path, port: u16) -> Result<f64, String> {
    let out = Command::new(wrk)
        .args(["-t1", "-c16", "-d2s", &format!("http://127.0.0.1:{port}/")])
        .output()
        .map_err(|e| format!("wrk cannot be started: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("wrk saw errors: {}", text.trim()));
    }
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    rate.ok_or_else(|| format!("wrk printed no rate: {}", text.trim()))
}
