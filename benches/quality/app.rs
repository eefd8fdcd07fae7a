//! One program: its runs, and what comes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::Runs;
use crate::container::{
    Container, Image, REMIT, SCRIPTS, docker, last_lines, scripts, succeeded, unique, volume,
};
use crate::figures::{Confidence, Figures};

/// The program's state, the same path in each run, since it is learned; and its port.
const ROOT: &str = "/srv/app";
const PORT: u16 = 8080;
/// The most processes that are started before the app, so that its numbers differ.
const NUMBERS: u64 = 300;
/// Seconds after the stop signal until the app is killed.
const GRACE: &str = "90";

/// One program and its workload.
pub struct App {
    name: &'static str,
    script: String,
    /// All programs: where the work is done from.
    tools: String,
    /// The same with the state that each run starts with.
    image: Image,
    /// What the bench writes on this machine.
    folder: PathBuf,
    labels: Vec<String>,
    command: Vec<String>,
    options: Vec<String>,
}

/// What one run does.
struct Work {
    labels: Vec<String>,
    seed: u64,
}

impl App {
    /// Prepares its image.
    pub fn new(name: &'static str, image: &Image) -> Result<App, String> {
        let script = format!("{SCRIPTS}/{name}.sh");
        let prepared = image.after(name, &environment(1), &[&script, "prepare"])?;
        let folder = std::env::temp_dir().join(unique(&format!("remit-quality-{name}")));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let (labels, command, options) = (Vec::new(), Vec::new(), Vec::new());
        let tools = image.name.clone();
        let mut app = App { name, script, tools, image: prepared, folder, labels, command, options };
        app.labels = app.says("labels")?;
        app.command = app.says("command")?;
        app.options = app.says("options")?;
        Ok(app)
    }

    /// What the script prints, by lines.
    fn says(&self, word: &str) -> Result<Vec<String>, String> {
        let text = self.once(&[], &[&self.script, word])?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// A command in a container of the prepared image.
    fn once(&self, volumes: &[&str], command: &[&str]) -> Result<String, String> {
        let (scripts, environment) = (volume(&scripts(), SCRIPTS), environment(1));
        let mut run = vec!["run", "--rm", "--init", "--network", "none", "--volume", &scripts];
        volumes.iter().for_each(|one| run.extend(["--volume", *one]));
        environment.iter().for_each(|one| run.extend(["--env", one.as_str()]));
        run.push(&self.image.name);
        run.extend(command);
        docker(&run)
    }

    /// All of it.
    pub fn measure(&self, goal: usize, runs: Runs) -> Result<Figures, String> {
        let mut random = Random(0x7e57 + self.name.len() as u64);
        let learned: Vec<Work> = (0..runs.learn).map(|_| random.work(&self.labels)).collect();
        let profile = self.learn("learned", &learned, false, runs.jobs)?;
        // The truth: all there is to do, more than once, and every call watched.
        let all = |seed| Work { labels: self.labels.clone(), seed: seed as u64 };
        let long: Vec<Work> = (1..=runs.truth).map(all).collect();
        let truth = self.learn("truth", &long, true, runs.jobs)?;

        let known: BTreeSet<&String> = learned.iter().flat_map(|work| &work.labels).collect();
        let known: Vec<String> = known.into_iter().cloned().collect();
        let others: Vec<Work> = (0..runs.enforce).map(|_| random.work(&known)).collect();
        let denied = self.together(&others, runs.jobs, |work| self.enforced(&profile, work))?;

        let document = read(&profile)?;
        let programs = [document.clone(), read(&truth)?].map(|document| programs(&document));
        let mut made = self.made("truth")?;
        made.extend(self.made("learned")?);
        let list = |name: &str| document[name].as_array().map_or(0, Vec::len);
        Ok(Figures {
            name: self.name,
            goal,
            labels: (known.len(), self.labels.len()),
            calls: self.calls(&profile, &made)?,
            enforced: denied.len(),
            denied,
            confidence: Confidence::of(&read(&profile.with_extension("evidence.json"))?),
            capabilities: list("capabilities"),
            unneeded: if runs.drop_test { Some(self.unneeded(&profile, &known)?) } else { None },
            programs: programs[0].len(),
            programs_as_in_truth: programs[0] == programs[1],
            files: document["files"].as_array().cloned().unwrap_or_default(),
            network: document["network"].clone(),
        })
    }

    /// Makes these runs, some of them at once; their results in order.
    fn together<T: Send>(
        &self,
        works: &[Work],
        jobs: usize,
        run: impl Fn(&Work) -> Result<T, String> + Sync,
    ) -> Result<Vec<T>, String> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(BTreeMap::new());
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(works.len()) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::SeqCst);
                        let Some(work) = works.get(at) else { return };
                        let result =
                            run(work).map_err(|why| format!("{}, seed {}: {why}", work.label(), work.seed));
                        done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(at, result);
                    }
                });
            }
        });
        done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect()
    }

    /// A profile of these runs.
    fn learn(&self, name: &str, works: &[Work], exact: bool, jobs: usize) -> Result<PathBuf, String> {
        let profile = self.folder.join(format!("{name}.json"));
        let journals = self.folder.join(name);
        fs::create_dir_all(&journals).map_err(|error| error.to_string())?;
        let into = format!("{}:/var/lib/remit", journals.display());
        self.together(works, jobs, |work| {
            let label = format!("REMIT_LABEL={}", work.label());
            let mut options = vec!["--mode", "learn"];
            if exact {
                options.push("--exact");
            }
            let (worked, wrote) = self.run(&["--volume", &into, "--env", &label], &options, work)?;
            worked.map_err(|why| format!("learning: {why}\n  {}", last_lines(&wrote, 4)))
        })?;
        let mut build = Command::new(REMIT);
        let output = build.arg("build").arg(&journals).arg("-o").arg(&profile).output();
        succeeded("remit build", &output.map_err(|error| error.to_string())?)?;
        Ok(profile)
    }

    /// What is refused in a run under a profile, and how often.
    fn enforced(&self, profile: &Path, work: &Work) -> Result<BTreeMap<String, u64>, String> {
        let events = self.folder.join(unique("events"));
        fs::create_dir(&events).map_err(|error| error.to_string())?;
        let volumes = [volume(profile, "/etc/remit/profile.json"), format!("{}:/events", events.display())];
        let options = ["--mode", "enforce", "--events", "/events/all"];
        let (worked, wrote) =
            self.run(&["--volume", &volumes[0], "--volume", &volumes[1]], &options, work)?;
        let text = fs::read_to_string(events.join("all")).map_err(|error| format!("{error}: {wrote}"))?;
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut denied = BTreeMap::new();
        for event in events.filter(|event| event["event"] == "violation") {
            let what = format!("{} {} {}", event["kind"], event["syscall"]["name"], event["object"]);
            *denied.entry(what).or_insert(0) += event["count"].as_u64().unwrap_or(1);
        }
        // A refused read is no event.
        if let Err(why) = worked
            && denied.is_empty()
        {
            denied.insert(format!("{}: {why}; {}", work.label(), last_lines(&wrote, 3)), 1);
        }
        Ok(denied)
    }

    /// The app in a new container, and the work in one beside it: how the work ended, and what the app
    /// wrote.
    fn run(
        &self,
        more: &[&str],
        options: &[&str],
        work: &Work,
    ) -> Result<(Result<(), String>, String), String> {
        let mut random = Random(work.seed);
        let container = Container(unique(&format!("remit-quality-{}", self.name)));
        let host = format!("{}-{:x}{}", self.name, random.next() % 0xfff_ffff, random.next() % 10);
        let environment = environment(work.seed);
        let numbers = (random.next() % NUMBERS).to_string();
        let mut run =
            vec!["run", "--detach", "--name", &container.0, "--hostname", &host, "--network", "none"];
        run.extend(self.options.iter().map(String::as_str));
        environment.iter().for_each(|one| run.extend(["--env", one.as_str()]));
        run.extend(more);
        // Other processes first, so that the app's have other numbers.
        let first = "n=$1; shift; while [ $n -gt 0 ]; do (:); n=$((n - 1)); done; exec /remit-init \"$@\"";
        run.extend(["--entrypoint", "/bin/sh", &self.image.name, "-c", first, "sh", &numbers]);
        run.extend(options);
        run.push("--");
        run.extend(self.command.iter().map(String::as_str));
        docker(&run)?;
        let worked = self.work(&container, work);
        docker(&["stop", "--time", GRACE, &container.0])?;
        let code = docker(&["inspect", "--format", "{{.State.ExitCode}}", &container.0])?;
        let logs = Command::new("docker").args(["logs", &container.0]).output();
        let logs = logs.map_err(|error| error.to_string())?;
        let wrote =
            [logs.stdout, logs.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        let killed = matches!(code.trim(), "137" | "125" | "126" | "127");
        let worked =
            if killed { worked.and(Err(format!("the app ended with {}", code.trim()))) } else { worked };
        Ok((worked, wrote))
    }

    /// The work, in a container that shares the network and the process numbers, and no file.
    fn work(&self, beside: &Container, work: &Work) -> Result<(), String> {
        let shared = format!("container:{}", beside.0);
        let (scripts, environment) = (volume(&scripts(), SCRIPTS), environment(work.seed));
        let worker = Container(unique("remit-quality-work"));
        let mut run = vec!["run", "--name", &worker.0, "--network", &shared, "--pid", &shared];
        run.extend(["--cap-add", "SYS_PTRACE", "--volume", &scripts]);
        environment.iter().for_each(|one| run.extend(["--env", one.as_str()]));
        let client = format!("{SCRIPTS}/client.sh");
        run.extend([self.tools.as_str(), &client, &self.script]);
        run.extend(work.labels.iter().map(String::as_str));
        docker(&run).map(drop)
    }

    /// The calls that can succeed under a profile, by what brings them.
    fn calls(&self, profile: &Path, made: &BTreeSet<String>) -> Result<crate::figures::Calls, String> {
        let volumes = [volume(Path::new(REMIT), "/remit"), volume(profile, "/profile.json")];
        let words = ["/remit", "plan", "/profile.json", "--format", "json", "--", &self.command[0]];
        let text = self.once(&[&volumes[0], &volumes[1]], &words)?;
        let plan: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let calls = plan["seccomp"]["allowed"].as_array().into_iter().flatten();
        let allowed = calls.filter_map(|call| call.as_str().map(str::to_owned)).collect();
        Ok(crate::figures::Calls::sorted(allowed, &read(profile)?, made))
    }

    /// The calls that runs of this name made.
    fn made(&self, name: &str) -> Result<BTreeSet<String>, String> {
        let mut made = BTreeSet::new();
        for journal in fs::read_dir(self.folder.join(name)).map_err(|error| error.to_string())? {
            let path = journal.map_err(|error| error.to_string())?.path();
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            made.extend(lines.filter_map(|line| line["call"].as_str().map(str::to_owned)));
        }
        // It started.
        made.insert("execve".to_owned());
        Ok(made)
    }

    /// The capabilities of a profile without which no error shows.
    fn unneeded(&self, profile: &Path, labels: &[String]) -> Result<Vec<String>, String> {
        let volumes = [volume(Path::new(REMIT), "/remit"), volume(profile, "/profile.json")];
        let before = format!("{} prepare", self.script);
        let work = format!("{} work {}", self.script, labels.join(" "));
        let mut words =
            vec!["/remit", "verify", "/profile.json", "--drop-test=capabilities", "--format", "json"];
        words.extend(["--before", &before, "--work", &work, "--"]);
        words.extend(self.command.iter().map(String::as_str));
        let text = self.once(&[&volumes[0], &volumes[1]], &words)?;
        let found: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if let Some(fault) = found["fault"].as_str() {
            return Err(format!("the drop-test: {fault}"));
        }
        let parts = found["parts"].as_array().into_iter().flatten();
        let parts = parts.filter(|part| part["finding"] == "not_needed");
        Ok(parts.filter_map(|part| part["part"].as_str().map(str::to_owned)).collect())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if std::env::var_os("REMIT_QUALITY_KEEP").is_none() {
            drop(fs::remove_dir_all(&self.folder));
        } else {
            eprintln!("{}: {}", self.name, self.folder.display());
        }
    }
}

/// The environment of the scripts.
fn environment(seed: u64) -> Vec<String> {
    vec![format!("ROOT={ROOT}"), format!("PORT={PORT}"), format!("SEED={seed}")]
}

fn read(path: &Path) -> Result<Value, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Programs, and their transitions.
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

impl Work {
    fn label(&self) -> String {
        self.labels.join("+")
    }
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
