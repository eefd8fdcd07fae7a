//! The printed plan: all of it, section by section, each grant with its entry and the author's
//! reason.

use std::fmt;

use super::{Plan, PolicyProgram, ProgramTarget, step, words};
use crate::filter::{Access, compile};
use crate::ids::{self, Uid};
use crate::profile::Mode;
use crate::visible;

/// Lines are wrapped at this many characters.
const WIDTH: usize = 100;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.mode == Mode::Audit {
            "audit: all of this is reported, nothing refused"
        } else {
            "enforce"
        };
        writeln!(
            f,
            "{} on Linux {} {}, Landlock ABI {}",
            self.name, self.kernel.release, self.kernel.arch, self.kernel.landlock.0
        )?;
        writeln!(f, "mode: {mode}")?;
        self.programs(f)?;
        section(
            f,
            "what holds the rules on programs",
            self.program_rules.iter().map(|rule| format!("{}: {}: {}", rule.rule, rule.what, rule.by.name())),
        )?;
        self.files(f)?;
        self.domain(f)?;
        section(
            f,
            "what holds addresses and names of sockets",
            self.socket_rules.iter().map(|rule| format!("{}: {}: {}", rule.rule, rule.what, rule.by.name())),
        )?;
        self.calls(f)?;
        self.startup(f)?;
        self.sets(f)?;
        section(
            f,
            "lacking",
            self.missing_features.iter().map(|lack| {
                let weight = if lack.required { "required by the profile" } else { "not required" };
                format!("{}: needs {}; without it {} ({weight})", lack.layer, lack.needs, lack.cost)
            }),
        )?;
        section(f, "notes", self.notes.iter().cloned())?;
        section(f, "steps", self.steps().iter().enumerate().map(|(at, step)| format!("{}. {step}", at + 1)))?;
        match self.refusal() {
            Some(refusal) => writeln!(f, "\nrefused to start: {}", visible::line(&refusal)),
            None => Ok(()),
        }
    }
}

impl Plan {
    fn programs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        section(
            f,
            "programs",
            self.policy.programs.iter().map(|program| {
                let mut line = format!("/programs/{}: {}", program.index, program.path.display());
                if matches!(program.target, ProgramTarget::Beneath(_)) {
                    line += " and all below";
                }
                if program.entry {
                    line += ", COMMAND may be this";
                }
                // Both are in the profile's order.
                let others = &self.policy.programs;
                let runs = program.may_run.iter();
                let runs = runs.filter_map(|run| others.binary_search_by_key(run, |other| other.index).ok());
                let runs: Vec<_> = runs.map(|at| others[at].called()).collect();
                line += &program.pins();
                if !runs.is_empty() {
                    line += &format!(", may run {}", runs.join(" "));
                }
                self.with_why(line, &format!("/programs/{}", program.index))
            }),
        )?;
        section(
            f,
            "derived: executable for a program's sake, never by themselves",
            self.derived.iter().map(|derived| {
                format!("{} {}, for {}", derived.role.name(), derived.path.display(), derived.because)
            }),
        )
    }

    /// The grants by which the supervisor decides, without those of the programs' own files.
    fn files(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = |rule: &str| rule.starts_with("/programs/");
        let mut last = "";
        let lines = self.policy.files.iter().filter(|grant| !own(&grant.rule)).map(|grant| {
            let below = if grant.exact { "" } else { " and all below" };
            let words: Vec<_> = grant.rights.words().collect();
            let mut line = format!("{}: {}{below}: {}", grant.rule, grant.path.display(), words.join(" "));
            if !grant.except.is_empty() {
                let except: Vec<_> = grant.except.iter().map(|path| path.display().to_string()).collect();
                line += &format!(", but for {}", except.join(" "));
            }
            // The reason of a group is printed at its first path.
            let first = std::mem::replace(&mut last, &grant.rule) != grant.rule;
            if first { self.with_why(line, &grant.rule) } else { line }
        });
        section(f, "files", lines)
    }

    fn domain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(domain) = &self.landlock else { return writeln!(f, "\nlandlock: no domain") };
        writeln!(f, "\nlandlock")?;
        wrapped(f, "refused but for the rules: ", words::rights(domain.handled).into_iter())?;
        for rule in &domain.rules {
            let rights = words::rights(rule.rights).join(" ");
            item(f, &format!("{}: {rights} (for {})", rule.path.display(), rule.because.join(" ")))?;
        }
        if self.policy.truncates {
            item(f, "TRUNCATE without writing: performed by the supervisor; openat2(2) never continues")?;
        }
        for right in domain.handled_net {
            let ports =
                domain.ports.iter().filter(|(_, rights)| rights.contains(right)).map(|(port, _)| *port);
            let runs = words::runs(ports);
            let runs =
                if runs.is_empty() { "no port".to_owned() } else { format!("only {}", runs.join(" ")) };
            item(f, &format!("{}: {runs}", words::ports(right.into()).join(" ")))?;
        }
        if domain.scope_signal {
            item(f, "signals: only within the domain")?;
        }
        if domain.scope_abstract {
            item(f, "abstract unix sockets: only within the domain")?;
        }
        section(
            f,
            "widened: where the kernel's rule is wider than the profile",
            self.widened.iter().map(|widened| {
                let narrowing =
                    if widened.narrowed { "narrowed by the supervisor" } else { "narrowed by nothing" };
                format!(
                    "{}: {} (for {}), {narrowing}",
                    widened.path.display(),
                    words::rights(widened.rights).join(" "),
                    widened.because
                )
            }),
        )
    }

    fn calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match compile(&self.filter) {
            Ok(program) => writeln!(f, "\nseccomp: {} instructions", program.len())?,
            Err(error) => writeln!(f, "\nseccomp: {error}")?,
        }
        let like = |wanted: fn(&Access) -> bool| {
            self.filter.calls.iter().filter(move |(_, access)| wanted(access)).map(|(call, _)| *call)
        };
        wrapped(f, "allowed: ", like(|access| matches!(access, Access::Allow)))?;
        for (call, access) in &self.filter.calls {
            if let Some(rule) = words::rule(access) {
                item(f, &format!("{call} when {rule}; else notified"))?;
            }
        }
        wrapped(f, "notified: ", like(|access| matches!(access, Access::Notify)))?;
        wrapped(f, "not listed, and needed by the launch: ", self.launch.iter().copied())?;
        if self.traces() && !self.policy.dumpable.is_empty() {
            item(f, "prctl(PR_SET_DUMPABLE): notified, since the process is traced from then on")?;
        }
        item(f, "refused by the filter: clone3 (ENOSYS)")?;
        item(f, "killed: calls of another architecture")?;
        item(f, "every other call: notified, and refused with an event")
    }

    fn startup(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(startup) = &self.policy.startup else { return Ok(()) };
        section(f, "start-up", std::iter::once(format!("is over when {}", startup.ends())))?;
        let taken: Vec<_> = startup.taken.iter().map(|(call, when)| words::taken(call, when)).collect();
        wrapped(f, "refused after it: ", taken.iter().map(String::as_str))
    }

    fn sets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = &self.capabilities;
        let user = match &self.run_as {
            Some(ids) => format!("{}:{} groups {}", ids.user, ids.group, ids::list(&ids.groups)),
            None => "stays as it is".to_owned(),
        };
        let bounding =
            if sets.drop_bounding { "the same" } else { "as inherited (no CAP_SETPCAP to drop it)" };
        let lines = [
            format!("user: {user}"),
            format!("capabilities: {}; bounding set: {bounding}", step::names(&step::sorted(&sets.app))),
            format!("ambient: {}", step::names(&step::sorted(&sets.ambient))),
            format!("the supervisor keeps: {}", step::names(&step::sorted(&sets.supervisor))),
            format!(
                "memory both written and executed: {}",
                if self.policy.write_execute { "allowed" } else { "refused" }
            ),
            format!(
                "environment dropped, the loader's by what they name: {}",
                self.environment_drop.join(" ")
            ),
        ];
        let keep = &self.policy.environment_keep;
        let keep = (!keep.is_empty()).then(|| format!("environment kept: {}", keep.join(" ")));
        let limits = self.limits.iter().map(|(limit, value)| format!("limit {}: {value}", limit.name()));
        let processes = self.policy.processes.map(|most| format!("limit processes: {most}"));
        section(f, "the app", lines.into_iter().chain(keep).chain(processes).chain(limits))
    }

    fn with_why(&self, line: String, pointer: &str) -> String {
        match self.whys.get(pointer) {
            Some(why) => format!("{line} ({why})"),
            None => line,
        }
    }
}

impl PolicyProgram {
    /// Its path, and its applet where it is one.
    fn called(&self) -> String {
        let applet = self.applet.as_ref().map_or(String::new(), |applet| format!(":{applet}"));
        format!("{}{applet}", self.path.display())
    }

    /// What an entry asks for besides its file.
    fn pins(&self) -> String {
        let mut pins = String::new();
        if let Some(applet) = &self.applet {
            pins += &format!(", as {applet}");
        }
        for alternative in self.args.iter().flatten() {
            let words: Vec<_> = alternative.iter().map(words::argument).collect();
            pins += &format!(", with [{}]", words.join(" "));
        }
        if let Some(digest) = &self.sha256 {
            pins += &format!(", sha256 {digest}");
        }
        if let Some(users) = &self.user {
            let users: Vec<_> = users.iter().map(Uid::to_string).collect();
            pins += &format!(", as uid {}", users.join(" "));
        }
        if let Some(libraries) = &self.libraries {
            let files = libraries.files.iter().map(|(_, path)| path);
            let listed: Vec<_> =
                libraries.directories.iter().chain(files).map(|path| path.display().to_string()).collect();
            pins += &match &listed[..] {
                [] => ", no code but its own".to_owned(),
                listed => format!(", code from {}", listed.join(" ")),
            };
        }
        if let Some(most) = self.instances {
            pins += &format!(", {most} at most");
        }
        pins
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: impl Iterator<Item = String>) -> fmt::Result {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    lines.try_for_each(|line| item(f, &line))
}

fn item(f: &mut fmt::Formatter<'_>, line: &str) -> fmt::Result {
    wrapped(f, "", line.split(' '))
}

/// Words in lines of [`WIDTH`], the first after `lead`, the others indented.
fn wrapped<'a>(f: &mut fmt::Formatter<'_>, lead: &str, words: impl Iterator<Item = &'a str>) -> fmt::Result {
    let mut words = words.peekable();
    if words.peek().is_none() {
        return Ok(());
    }
    let mut line = format!("  {lead}");
    let mut fresh = true;
    for word in words {
        let word = &*visible::line(word);
        if !fresh && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            line = "      ".to_owned();
            fresh = true;
        }
        if !fresh {
            line.push(' ');
        }
        line += word;
        fresh = false;
    }
    writeln!(f, "{line}")
}
