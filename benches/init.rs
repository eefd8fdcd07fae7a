//! The init alone, without confinement, beside those whose place it takes.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::contender::{Contender, Room};
use crate::{Section, interleave, launched_ms, switches_in};

/// Orphans that each init reaps.
const ORPHANS: u32 = 20_000;
/// Signals, and how many a second.
const SIGNALS: u32 = 5_000;
const RATE: u32 = 1_000;
/// Descendants that are ended.
const BROOD: u32 = 10_000;
/// How long the idle are watched.
const IDLE: Duration = Duration::from_secs(10);

/// Ours first, then tini, which is what they are compared to.
fn all(room: &Room) -> Vec<Contender> {
    let mut all: Vec<Contender> = room.everyone().into_iter().skip(1).filter(|c| c.name != "bwrap").collect();
    for ours in &mut all[..2] {
        *ours = ours.init_only();
    }
    all
}

/// The launch of a static `true`.
pub fn launch(room: &Room) -> Result<Section, String> {
    let mut all = all(room);
    all.insert(0, room.bare());
    let samples = interleave(&all, 200, |c| launched_ms(room, c))?;
    let section = Section::of(&all, samples, "tini-static", 3);
    Ok(section.goal("remit-init", "≤ 1.2").goal("remit-init (musl)", "≤ 1.2"))
}

/// What it holds in memory while its app sleeps.
pub fn resident(room: &Room) -> Result<Section, String> {
    let all = all(room);
    let samples = interleave(&all, 3, |c| {
        let app = App::start(room, c, &["brood", "0"])?;
        thread::sleep(Duration::from_millis(300));
        crate::field(&format!("/proc/{}/status", app.init()), "VmRSS:")
    })?;
    Ok(Section::of(&all, samples, "tini-static", 0).goal("remit-init (musl)", "≤ 300"))
}

/// How often it wakes while nothing happens.
pub fn wakeups(room: &Room) -> Result<Section, String> {
    let all = all(room);
    let here: Vec<&Contender> = all.iter().filter(|c| c.absent.is_none()).collect();
    let apps: Vec<App> =
        here.iter().map(|c| App::start(room, c, &["brood", "0"])).collect::<Result<_, _>>()?;
    thread::sleep(Duration::from_secs(1));
    let count = || apps.iter().map(|app| switches_in(app.init())).collect::<Result<Vec<f64>, _>>();
    let before = count()?;
    thread::sleep(IDLE);
    let mut woken = count()?.into_iter().zip(before).map(|(after, before)| vec![after - before]);
    let samples = all.iter().map(|c| if c.absent.is_none() { woken.next() } else { None });
    let samples = samples.map(Option::unwrap_or_default).collect();
    Ok(Section::of(&all, samples, "", 0).goal("remit-init", "0").goal("remit-init (musl)", "0"))
}

/// The processor's time for so many orphans, none of which may be left.
pub fn orphans(room: &Room) -> Result<Section, String> {
    let mut all = all(room);
    // It is no subreaper, and so would have to be the first of a pid namespace.
    not_here(&mut all, "dumb-init", "adopts no process unless it is PID 1");
    let samples = interleave(&all, 5, |c| {
        let app = App::start(room, c, &["orphans", &ORPHANS.to_string()])?;
        let left = app.children_but_one();
        if left > 0 {
            return Err(format!("{}: {left} orphans were not reaped", c.name));
        }
        app.processor_ms()
    })?;
    Ok(Section::of(&all, samples, "tini-static", 1)
        .goal("remit-init", "≤ 1")
        .goal("remit-init (musl)", "≤ 1"))
}

/// The processor's time for so many realtime signals, at so many a second, all of which
/// have to arrive.
pub fn signals(room: &Room) -> Result<Section, String> {
    let mut all = all(room);
    for rival in &mut all[2..] {
        // One that loses some is listed with the reason, and takes no part.
        if rival.absent.is_none()
            && let Err(why) = forwarded_ms(room, rival)
        {
            rival.absent = Some(why);
        }
    }
    let samples = interleave(&all, 3, |c| forwarded_ms(room, c))?;
    Ok(Section::of(&all, samples, "tini-static", 1))
}

fn forwarded_ms(room: &Room, c: &Contender) -> Result<f64, String> {
    let mut app = App::start(room, c, &["count-signals", &SIGNALS.to_string()])?;
    let begin = Instant::now();
    for sent in 0..SIGNALS {
        let due = begin + Duration::from_secs(1) * sent / RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // SAFETY: two integers.
        if unsafe { libc::kill(app.init().cast_signed(), 40) } != 0 {
            return Err(format!("{}: kill: {}", c.name, std::io::Error::last_os_error()));
        }
    }
    let arrived = app.line()?;
    if arrived != SIGNALS.to_string() {
        return Err(format!("{arrived} of {SIGNALS} arrived"));
    }
    app.processor_ms()
}

/// From the TERM until none of so many descendants is left.
pub fn descendants(room: &Room) -> Result<Section, String> {
    let mut all = all(room);
    for rival in ["tini-static", "tini", "dumb-init", "catatonit"] {
        not_here(&mut all, rival, "leaves them to others");
    }
    let samples = interleave(&all, 3, |c| {
        let mut app = App::start(room, c, &["brood", &BROOD.to_string()])?;
        let begin = Instant::now();
        // SAFETY: two integers.
        unsafe { libc::kill(app.init().cast_signed(), libc::SIGTERM) };
        app.child.wait().map_err(|e| format!("{}: {e}", c.name))?;
        let took = begin.elapsed().as_secs_f64();
        let mine = format!("{}", std::process::id());
        let status = fs::read_to_string(format!("/proc/{mine}/task/{mine}/children")).unwrap_or_default();
        if !status.trim().is_empty() {
            return Err(format!("{}: left behind {status}", c.name));
        }
        Ok(took)
    })?;
    Ok(Section::of(&all, samples, "", 2).goal("remit-init", "≤ 8").goal("remit-init (musl)", "≤ 8"))
}

fn not_here(all: &mut [Contender], name: &str, why: &str) {
    all.iter_mut().filter(|c| c.name == name).for_each(|c| c.absent = Some(why.to_owned()));
}

/// An app under an init, ready for what it is to do; ended when dropped.
struct App {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl App {
    /// Starts it and waits until it says that it is ready.
    fn start(room: &Room, c: &Contender, act: &[&str]) -> Result<App, String> {
        let mut command = c.command(room, &room.worker(), act)?;
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| format!("{}: cannot be started: {e}", c.name))?;
        let output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut app = App { child, output };
        match app.line()?.as_str() {
            "ready" => Ok(app),
            other => Err(format!("{}: the worker said `{other}`", c.name)),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|e| e.to_string())?;
        Ok(line.trim_end().to_owned())
    }

    fn init(&self) -> u32 {
        self.child.id()
    }

    fn children_but_one(&self) -> usize {
        let init = self.init();
        let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap_or_default();
        children.split_whitespace().count().saturating_sub(1)
    }

    /// What the init itself has had of the processor, in milliseconds
    /// (/proc/PID/schedstat, the first field).
    fn processor_ms(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/schedstat", self.init());
        let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        let ns: Option<f64> = text.split(' ').next().and_then(|field| field.parse().ok());
        ns.map(|ns| ns / 1e6).ok_or_else(|| format!("{path}: {text}"))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // The worker is the oldest child, and ends by this; its init then ends too.
        let init = self.init();
        let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()) {
            // SAFETY: two integers. They descend from our child, which is not reaped.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        let _ = self.child.wait();
    }
}
