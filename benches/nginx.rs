//! nginx, native and enforced, both up, under one load generator in turns.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Section;
use crate::contender::{Contender, Room, Started, find_program};

/// The size of the page that nginx is installed with.
const PAGE: usize = 612;

/// Requests a second of one worker process.
pub fn throughput(room: &Room) -> Result<Section, String> {
    let mut all = [room.bare(), room.shim()];
    let (Some(nginx), Some(wrk)) = (find_program("nginx"), find_program("wrk")) else {
        for contender in &mut all {
            contender.absent = Some("nginx or wrk not installed".to_owned());
        }
        return Ok(Section::of(&all, vec![Vec::new(); 2], "unconfined", 0));
    };
    let native = Server::start(room, room.bare(), &nginx)?;
    let enforced = Server::start(room, room.shim(), &nginx)?;
    let samples = crate::interleave(&all, 9, |contender| {
        let server = if contender.name == native.name { &native } else { &enforced };
        requests_a_second(&wrk, server.port)
    })?;
    Ok(Section::of(&all, samples, "unconfined", 0).goal("remit-init", "≥ 0.95"))
}

/// One nginx; ended when dropped.
struct Server {
    name: String,
    port: u16,
    _process: Started,
}

impl Server {
    fn start(room: &Room, contender: Contender, nginx: &Path) -> Result<Server, String> {
        let prefix = room.dir.join("nginx").join(&contender.name);
        let port = free_port()?;
        // Beside the prefix: a profile that the app may write is refused.
        let profile_file = room.dir.join(format!("nginx-{}.json", contender.name));
        let fill = || {
            fs::create_dir_all(prefix.join("html"))?;
            fs::create_dir_all(prefix.join("temp"))?;
            fs::write(prefix.join("html/index.html"), "x".repeat(PAGE))?;
            fs::write(prefix.join("nginx.conf"), configuration(port))?;
            let profile = profile(&prefix, nginx, port).map_err(std::io::Error::other)?;
            fs::write(&profile_file, profile.to_string())
        };
        fill().map_err(|e| format!("{}: {e}", prefix.display()))?;
        let contender = match contender.file.as_os_str().is_empty() {
            true => contender,
            false => room.shim_of(&contender.name, contender.file.clone(), profile_file),
        };
        let folder = format!("{}/", prefix.display());
        let args = ["-p", &folder, "-c", "nginx.conf", "-e", "error.log"];
        let mut process = contender.start(room, nginx, &args)?;
        let patience = Instant::now() + Duration::from_secs(10);
        while !serves(port) {
            if let Some(exit) = process.ended() {
                let said = room.complaints().unwrap_or_else(|| "nothing on stderr".to_owned());
                return Err(format!("{}: nginx ended, {exit}; {said}", contender.name));
            }
            if Instant::now() > patience {
                return Err(format!("{}: nginx does not serve its page within 10 s", contender.name));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Server { name: contender.name, port, _process: process })
    }
}

fn configuration(port: u16) -> String {
    let temps =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|t| format!("{t}_temp_path temp/{t};"));
    // Only root may name a user, and it has to: else nginx takes `nobody`, which
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

/// profiles/nginx.json as it is shipped, but for this machine's nginx, a folder
/// and a port.
fn profile(prefix: &Path, nginx: &Path, port: u16) -> Result<Value, String> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/nginx.json");
    let text = fs::read_to_string(&shipped).map_err(|e| format!("{}: {e}", shipped.display()))?;
    let mut profile: Value =
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", shipped.display()))?;
    let nginx: PathBuf = nginx.canonicalize().map_err(|e| format!("{}: {e}", nginx.display()))?;
    profile["programs"] = json!([{ "path": nginx, "entry": true }]);
    profile["network"]["listen"] = json!([format!("tcp/{port}")]);
    let files = profile["files"].as_array_mut().ok_or("profiles/nginx.json has no files")?;
    for file in files.iter_mut().filter(|file| file["path"].is_string()) {
        file["optional"] = json!(true);
    }
    files.push(json!({ "path": prefix, "allow": ["read", "write", "create", "remove"] }));
    Ok(profile)
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

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr());
    port.map(|address| address.port()).map_err(|e| format!("no free port on loopback: {e}"))
}
