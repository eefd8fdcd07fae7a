//! A server, native and enforced, both up, under one load generator in turns.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Section;
use crate::contender::{Contender, Room, Started};

/// Longer than a server takes to start on a busy machine, each of its calls written down.
const PATIENCE: Duration = Duration::from_secs(60);

/// One that serves; ended when dropped.
pub struct Server {
    port: u16,
    _process: Started,
}

impl Server {
    /// Starts it, and waits until it serves.
    pub fn start(
        room: &Room,
        contender: &Contender,
        program: &Path,
        args: &[&str],
        port: u16,
        serves: impl Fn() -> bool,
    ) -> Result<Server, String> {
        let mut process = contender.start(room, program, args)?;
        let patience = Instant::now() + PATIENCE;
        while !serves() {
            if let Some(exit) = process.ended() {
                let said = room.complaints().unwrap_or_else(|| "nothing on stderr".to_owned());
                return Err(format!("{}: {} ended, {exit}; {said}", contender.name, program.display()));
            }
            if Instant::now() > patience {
                let program = program.display();
                return Err(format!(
                    "{}: {program} does not serve within {} s",
                    contender.name,
                    PATIENCE.as_secs()
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Server { port, _process: process })
    }

    /// Where it serves.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Rounds there and back: the one that comes first in one comes last in the next.
const ROUNDS: usize = 6;

/// What runs the server, what is to be reached, and what reaches it.
pub struct Race {
    /// The participants.
    pub everyone: fn(&Room) -> [Contender; 3],
    /// The one that the others are compared to.
    pub base: &'static str,
    /// Whose ratio is to reach what.
    pub goal: [&'static str; 2],
}

/// Native, behind any filter and domain at all, and enforced.
pub const ENFORCED: Race = Race {
    everyone: |room| [room.bare(), room.any_confinement(), room.shim()],
    base: "unconfined",
    goal: ["remit-init", "≥ 0.97"],
};

/// Native, and observed by a program that records what it does.
pub const LEARNED: Race = Race {
    everyone: |room| [room.bare(), room.learning(), room.strace()],
    base: "unconfined",
    goal: ["remit-init --mode learn", "≥ 0.85"],
};

/// What `rate` says of the server at a port, of each. Each sample is of a
/// round there and back, since the one that comes second has another machine before it: one
/// that is warm, or busy with what the first has left to be written.
pub fn against_native(
    room: &Room,
    race: &Race,
    start: impl Fn(Contender) -> Result<Server, String>,
    rate: impl Fn(u16) -> Result<f64, String>,
) -> Result<Section, String> {
    let all = (race.everyone)(room);
    if let Some(absent) = all.iter().find(|contender| contender.absent.is_some()) {
        let why = absent.absent.clone().unwrap_or_default();
        return Ok(self::absent(room, race, &format!("{}: {why}", absent.name)));
    }
    let servers: Vec<Server> = (race.everyone)(room).into_iter().map(start).collect::<Result<_, _>>()?;
    let samples = crate::interleave(&all, 2 * ROUNDS, |contender| {
        let at = all.iter().position(|one| one.name == contender.name).unwrap_or_default();
        rate(servers[at].port)
    })?;
    let there_and_back = |rates: Vec<f64>| rates.chunks(2).map(|two| two.iter().sum::<f64>() / 2.0).collect();
    let samples = samples.into_iter().map(there_and_back).collect();
    let [name, goal] = race.goal;
    Ok(Section::of(&all, samples, race.base, 0).goal(name, goal))
}

/// The section where a program is missing.
pub fn absent(room: &Room, race: &Race, why: &str) -> Section {
    let mut all = (race.everyone)(room);
    for contender in &mut all {
        contender.absent = Some(why.to_owned());
    }
    Section::of(&all, vec![Vec::new(); 3], race.base, 0)
}

/// A profile as it is shipped, but for this machine's program, a folder and a port.
pub fn shipped_profile(name: &str, program: &Path, folder: &Path, port: u16) -> Result<Value, String> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("profiles/{name}.json"));
    let text = fs::read_to_string(&shipped).map_err(|e| format!("{}: {e}", shipped.display()))?;
    let mut profile: Value =
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", shipped.display()))?;
    let program: PathBuf = program.canonicalize().map_err(|e| format!("{}: {e}", program.display()))?;
    profile["programs"] = json!([{ "path": program, "entry": true }]);
    profile["network"]["listen"] = json!([format!("tcp/{port}")]);
    let files =
        profile["files"].as_array_mut().ok_or_else(|| format!("profiles/{name}.json has no files"))?;
    for file in files.iter_mut().filter(|file| file["path"].is_string()) {
        file["optional"] = json!(true);
    }
    files.push(json!({ "path": folder, "allow": ["read", "write", "create", "remove"] }));
    Ok(profile)
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16, String> {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr());
    port.map(|address| address.port()).map_err(|e| format!("no free port on loopback: {e}"))
}
