//! How good the profiles are that come of learning: for each of eight real programs, learn
//! from some randomised runs, then enforce on others and count what is refused wrongly, and
//! what is granted that no run needs.
//!
//! `cargo bench --bench quality [-- APP…]`: in a container with Debian's programs, made of the
//! packages of this machine, since reads are recorded by directory and elsewhere others read as
//! well. The workloads are the scripts in `quality/`. Nothing is timed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const REMIT: &str = env!("CARGO_BIN_EXE_remit");
const SHIM: &str = env!("CARGO_BIN_EXE_remit-init");
const APPS: [&str; 8] = ["nginx", "redis", "postgres", "python", "node", "entrypoint", "gunicorn", "static"];

/// Runs that are learned from, and others.
const LEARNED: usize = 5;
const LEFT_OUT: usize = 10;

/// After this long a run is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    // Cargo's own arguments begin with dashes.
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::var_os(INSIDE).is_none() {
        return in_a_container(&named).unwrap_or_else(|why| {
            eprintln!("quality: {why}");
            ExitCode::FAILURE
        });
    }
    let chosen = APPS.iter().filter(|app| named.is_empty() || named.iter().any(|name| name == *app));
    println!(
        "| app | labels | false denials | calls beyond | calls in all | capabilities, not needed | programs, edges | files |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut failed = false;
    for app in chosen {
        match App::new(app).and_then(|app| app.measure()) {
            Ok(row) => println!("{row}"),
            Err(why) => {
                println!("| {app} | {why} |");
                failed = true;
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// Set in the container.
const INSIDE: &str = "REMIT_QUALITY_INSIDE";

/// This program once more, in a container of its own.
fn in_a_container(named: &[String]) -> Result<ExitCode, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/quality");
    let image = Image(format!("remit-quality-{}", std::process::id()));
    let made =
        Command::new(here.join("image.sh")).arg(&image.0).output().map_err(|error| error.to_string())?;
    succeeded("the image", &made)?;
    let itself = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--init", "--network=none", "--env", &format!("{INSIDE}=1")]);
    for path in [Path::new(REMIT), Path::new(SHIM), &itself, &here] {
        docker.arg("--volume").arg(format!("{0}:{0}:ro", path.display()));
    }
    let status = docker.arg(&image.0).arg(&itself).args(named).status().map_err(|error| error.to_string())?;
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Removed when dropped.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(error) = Command::new("docker").args(["rmi", "--force", &self.0]).output() {
            eprintln!("quality: {} is left behind: {error}", self.0);
        }
    }
}

/// One program and its workload.
struct App {
    name: &'static str,
    script: PathBuf,
    /// The app's state: the same path in each run, since it is learned.
    root: PathBuf,
    /// What the harness writes; the app has nothing to do with it.
    folder: PathBuf,
    port: u16,
    labels: Vec<String>,
}

/// What one run does.
struct Work {
    labels: Vec<String>,
    seed: u64,
}

impl App {
    fn new(name: &'static str) -> Result<App, String> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let temporary = std::env::temp_dir();
        let mut app = App {
            name,
            script: Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/quality/{name}.sh")),
            root: temporary.join(format!("remit-quality-{name}")),
            // Not below /tmp: an app may be granted that, and never its profile.
            folder: Path::new("/srv").join(format!("remit-quality-{name}")),
            port: port.map_err(|error| format!("a port: {error}"))?.port(),
            labels: Vec::new(),
        };
        let labels = app.script(&["labels"], 1)?;
        app.labels = labels.lines().map(str::to_owned).collect();
        drop(fs::remove_dir_all(&app.folder));
        fs::create_dir_all(&app.folder).map_err(|error| format!("{}: {error}", app.folder.display()))?;
        Ok(app)
    }

    /// All of it, as a row of the table.
    fn measure(&self) -> Result<String, String> {
        let mut random = Random(0x7e57 + self.name.len() as u64);
        let learned: Vec<Work> = (0..LEARNED).map(|_| random.work(&self.labels)).collect();
        let profile = self.learn("learned", &learned, false)?;
        // The truth: all there is to do, more than once, and every call watched.
        let all = |seed| Work { labels: self.labels.clone(), seed };
        let truth = self.learn("truth", &[all(1), all(2), all(3)], true)?;

        let known: BTreeSet<&String> = learned.iter().flat_map(|work| &work.labels).collect();
        let known: Vec<String> = known.into_iter().cloned().collect();
        let mut denied = BTreeMap::new();
        for number in 0..LEFT_OUT {
            for (what, count) in self.enforced(&profile, &random.work(&known), number)? {
                *denied.entry(what).or_insert(0) += count;
            }
        }
        let denials: u64 = denied.values().sum();
        for (what, count) in &denied {
            eprintln!("{}: denied {count} times: {what}", self.name);
        }

        let [ours, true_calls] = [&profile, &truth].map(|profile| self.allowed(profile));
        let (ours, true_calls) = (ours?, true_calls?);
        let beyond: Vec<&String> = ours.difference(&true_calls).collect();
        let unneeded = self.unneeded(&profile, &known)?;
        let [ours_text, truth_text] = [&profile, &truth].map(|path| read(path));
        let (document, true_document) = (ours_text?, truth_text?);
        let programs = [&document, &true_document].map(programs);
        let list = |name: &str| document[name].as_array().map_or(0, Vec::len);
        Ok(format!(
            "| {} | {} of {} | {denials} in {LEFT_OUT} runs | {} {beyond:?} | {} | {}, {unneeded:?} | {}{} | {} |",
            self.name,
            known.len(),
            self.labels.len(),
            beyond.len(),
            ours.len(),
            list("capabilities"),
            programs[0].len(),
            if programs[0] == programs[1] { " as in truth" } else { " other than in truth" },
            list("files"),
        ))
    }

    /// A profile of these runs.
    fn learn(&self, name: &str, works: &[Work], exact: bool) -> Result<PathBuf, String> {
        let profile = self.folder.join(format!("{name}.json"));
        let journals = self.folder.join(name);
        for work in works {
            self.script(&["prepare"], work.seed)?;
            let mut remit = self.command(Command::new(REMIT), work.seed);
            remit.args(["learn", "--label", &work.labels.join("+"), "--keep"]).arg(&journals);
            remit.arg("-o").arg(&profile).arg("--work").arg(self.shell(work));
            if exact {
                remit.arg("--exact");
            }
            let output = remit.arg("--").args(self.app()?).output().map_err(|error| error.to_string())?;
            succeeded("remit learn", &output)?;
        }
        Ok(profile)
    }

    /// What is refused in a run under a profile, and how often.
    fn enforced(&self, profile: &Path, work: &Work, number: usize) -> Result<BTreeMap<String, u64>, String> {
        self.script(&["prepare"], work.seed)?;
        let events = self.folder.join(format!("events-{number}"));
        let mut shim = self.command(Command::new(SHIM), work.seed);
        shim.args(["--mode", "enforce", "--profile"]).arg(profile).arg("--events").arg(&events);
        shim.arg("--").args(self.app()?).stdout(Stdio::null()).stderr(Stdio::null());
        let mut run = shim.spawn().map_err(|error| error.to_string())?;
        let words: Vec<&str> = work.labels.iter().map(String::as_str).collect();
        let worked = self.script(&[&["work"], &words[..]].concat(), work.seed);
        // SAFETY: two integers; it is our own child, which was not waited for.
        unsafe { libc::kill(run.id() as i32, libc::SIGTERM) };
        let end = Instant::now() + PATIENCE;
        while run.try_wait().map_err(|error| error.to_string())?.is_none() {
            if Instant::now() > end {
                run.kill().and_then(|()| run.wait()).map_err(|error| error.to_string())?;
                return Err(format!("a run under the profile did not end: {}", events.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = fs::read_to_string(&events).map_err(|error| format!("{}: {error}", events.display()))?;
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let violations = events.filter(|event| event["event"] == "violation");
        let mut denied = BTreeMap::new();
        for event in violations {
            let what = format!("{} {} {}", event["kind"], event["syscall"]["name"], event["object"]);
            *denied.entry(what).or_insert(0) += event["count"].as_u64().unwrap_or(1);
        }
        match worked {
            Err(why) if denied.is_empty() => Err(why),
            _ => Ok(denied),
        }
    }

    /// The calls that can succeed under a profile.
    fn allowed(&self, profile: &Path) -> Result<BTreeSet<String>, String> {
        let program = self.app()?.remove(0);
        let mut remit = Command::new(REMIT);
        remit.arg("plan").arg(profile).args(["--format", "json", "--", &program]);
        let output = remit.output().map_err(|error| error.to_string())?;
        succeeded("remit plan", &output)?;
        let plan: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let calls = plan["seccomp"]["allowed"].as_array().into_iter().flatten();
        Ok(calls.filter_map(|call| call.as_str().map(str::to_owned)).collect())
    }

    /// The capabilities of a profile without which no error shows.
    fn unneeded(&self, profile: &Path, labels: &[String]) -> Result<Vec<String>, String> {
        let work = Work { labels: labels.to_vec(), seed: 4 };
        let mut remit = self.command(Command::new(REMIT), work.seed);
        remit.arg("verify").arg(profile).args(["--drop-test=capabilities", "--format", "json", "--before"]);
        remit.arg(format!("{} prepare", self.script.display())).arg("--work").arg(self.shell(&work));
        let output = remit.arg("--").args(self.app()?).output().map_err(|error| error.to_string())?;
        let said: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("remit verify: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
        if let Some(fault) = said["fault"].as_str() {
            return Err(format!("the drop-test: {fault}"));
        }
        let parts = said["parts"].as_array().into_iter().flatten();
        let parts = parts.filter(|part| part["finding"] == "not_needed");
        Ok(parts.filter_map(|part| part["part"].as_str().map(str::to_owned)).collect())
    }

    /// COMMAND.
    fn app(&self) -> Result<Vec<String>, String> {
        let words: Vec<String> = self.script(&["command"], 1)?.lines().map(str::to_owned).collect();
        if words.is_empty() { Err("it has no COMMAND".to_owned()) } else { Ok(words) }
    }

    /// The work as a shell has it.
    fn shell(&self, work: &Work) -> String {
        format!("{} work {}", self.script.display(), work.labels.join(" "))
    }

    fn script(&self, arguments: &[&str], seed: u64) -> Result<String, String> {
        let output = self.command(Command::new(&self.script), seed).args(arguments).output();
        let output = output.map_err(|error| format!("{}: {error}", self.script.display()))?;
        succeeded(&format!("{} {}", self.name, arguments.join(" ")), &output)?;
        String::from_utf8(output.stdout).map_err(|error| error.to_string())
    }

    fn command(&self, mut command: Command, seed: u64) -> Command {
        command.env("ROOT", &self.root).env("PORT", self.port.to_string()).env("SEED", seed.to_string());
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for App {
    fn drop(&mut self) {
        for folder in [&self.root, &self.folder] {
            drop(fs::remove_dir_all(folder));
        }
    }
}

fn succeeded(what: &str, output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    let said = [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text).into_owned());
    let last = said.iter().find_map(|text| text.trim().lines().last().map(str::to_owned));
    Err(format!("{what}: {}: {}", output.status, last.unwrap_or_default()))
}

fn read(path: &Path) -> Result<Value, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Programs, and their edges.
fn programs(profile: &Value) -> BTreeSet<String> {
    let programs = profile["programs"].as_array().into_iter().flatten();
    let edges = programs.flat_map(|program| {
        let edges = program["may_run"].as_array().cloned().unwrap_or_default();
        let path = program["path"].clone();
        std::iter::once(path.to_string())
            .chain(edges.into_iter().map(move |edge| format!("{path} -> {edge}")))
    });
    edges.collect()
}

/// A generator that gives the same in each run of the table (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Each label or not, at least one, in some order.
    fn work(&mut self, labels: &[String]) -> Work {
        let mut chosen: Vec<String> =
            labels.iter().filter(|_| self.next().is_multiple_of(2)).cloned().collect();
        if chosen.is_empty() {
            chosen.push(labels[self.next() as usize % labels.len()].clone());
        }
        for at in (1..chosen.len()).rev() {
            chosen.swap(at, self.next() as usize % (at + 1));
        }
        Work { labels: chosen, seed: self.next() % 30_000 + 1 }
    }
}
