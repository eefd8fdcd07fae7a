//! The runs of `remit verify --drop-test`: one in full, then one without each part.
//!
//! What a rule refuses, the supervisor tells; what the kernel refuses for want of a
//! capability nobody is told of, so there the app is traced instead of supervised. A page
//! that still answers proves nothing either way: it is errors that are compared.

use std::ffi::{CString, OsString};
use std::fs::{self, DirBuilder};
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::denials::Denials;
use super::drops::{self, Class, Finding, Part, Shown};
use super::failures::Failures;
use super::{Arguments, before};
use crate::enforce::launch::{Command, Terminal};
use crate::enforce::{self, place, probe, traced};
use crate::image::live::Live;
use crate::plan::{Place, Plan, matches};
use crate::profile::{self, FileEntry, Mode, Profile, Rights, capability_word};
use crate::sys;
use crate::tool::session::{self, Ended, Session, Stop};
use crate::tool::shim::Shim;
use crate::tool::source::Named;
use crate::tool::{Answer, Error, Format, Said};

/// What is taken away unless classes are named: runs for each call are many.
const DEFAULT: [Class; 5] = [Class::Capabilities, Class::Files, Class::Network, Class::Edges, Class::Memory];

pub(super) fn run(
    arguments: &Arguments,
    classes: &[Class],
    named: &Named,
    shim: &Shim,
    command: &Path,
) -> Answer {
    let profile = drops::watched(&named.loaded.document.profile);
    let parts = drops::parts(&profile, if classes.is_empty() { &DEFAULT } else { classes });
    let test = Test {
        arguments,
        shim,
        command,
        named,
        session: Session::begin()?,
        folder: Folder::make(named, &profile)?,
    };
    let of_kernel = |part: &&Part| part.class == Class::Capabilities;
    let runs = parts.len() + 1 + usize::from(parts.iter().any(|part| of_kernel(&part)));
    let mut progress = Progress { done: 0, runs };
    // Whether it is supervised or traced, what a run shows is compared with its like.
    let mut full = [None, None];
    for (full, kernel) in full.iter_mut().zip([false, true]) {
        if parts.iter().any(|part| of_kernel(&part) == kernel) {
            progress.next("with all");
            let shown = test.shown(&profile, kernel)?.ok_or(Error::NoFullRun)?;
            if let Some(fault) = &shown.fault {
                let text = match arguments.format {
                    Format::Text => {
                        format!("the full run proves nothing, so nothing is compared with it: {fault}\n")
                    }
                    Format::Json => json!({ "profile": profile.name, "fault": fault }).to_string(),
                };
                return Ok(Said { text, code: 1 });
            }
            *full = Some(shown);
        }
    }
    let [supervised, traced] = full.map(Option::unwrap_or_default);
    let mut found = Vec::new();
    for part in parts {
        let kernel = of_kernel(&&part);
        progress.next(&format!("without {}", part.name));
        let finding = match test.untold(&part)? {
            Some(why) => Finding::Untold(why),
            None => match test.shown(&part.taken_from(&profile), kernel)? {
                Some(less) => drops::compare(if kernel { &traced } else { &supervised }, &less),
                None => Finding::Otherwise("the app was not started".to_owned()),
            },
        };
        found.push((part, finding));
    }
    let code = u8::from(found.iter().any(|(_, finding)| *finding == Finding::NotNeeded));
    let mut errors = supervised.failures;
    errors.extend(traced.failures);
    let name = &profile.name;
    let text = match arguments.format {
        Format::Text => drops::text(name, &errors, &found, arguments.before.is_some()),
        Format::Json => drops::json(name, &errors, &found).to_string(),
    };
    Ok(Said { text, code })
}

/// What all runs share.
struct Test<'a> {
    arguments: &'a Arguments,
    shim: &'a Shim,
    command: &'a Path,
    named: &'a Named,
    session: Session,
    folder: Folder,
}

impl Test<'_> {
    /// What a run under a profile shows; none where it does not start.
    fn shown(&self, profile: &Profile, traced: bool) -> Result<Option<Shown>, Error> {
        before(&self.session, self.arguments)?;
        let (ended, failures) = match if traced { self.traced(profile)? } else { self.supervised(profile)? } {
            Some(shown) => shown,
            None => return Ok(None),
        };
        if let Some(Stop::Signal(signal)) = ended.stop {
            return Err(Error::Interrupted(signal));
        }
        Ok(Some(Shown { failures, fault: ended.fault() }))
    }

    /// By the shim, whose events tell what was refused.
    fn supervised(&self, profile: &Profile) -> Result<Option<(Ended, Failed)>, Error> {
        let text = profile::write(profile);
        let document = profile::read(text.as_bytes()).map_err(Error::Made)?;
        let file = self.folder.0.join("profile.json");
        fs::write(&file, text).map_err(|error| self.folder.failed(error))?;
        let options = ["--mode".into(), "enforce".into(), "--profile".into(), file.into()];
        let until = &self.arguments.until;
        let ended = self.shim.run(&self.session, &options, &self.arguments.command, until)?;
        let found = Denials::read(&ended.said, &document);
        let failures = found.failures();
        Ok(found.started.then_some((ended, failures)))
    }

    /// With the capabilities of the profile and nothing else that holds it.
    fn traced(&self, profile: &Profile) -> Result<Option<(Ended, Failed)>, Error> {
        let kernel = probe::kernel()?;
        let plan = Plan::new(profile, &kernel, &self.place()?, &Live, Mode::Enforce)
            .map_err(|error| Error::Plan { profile: self.named.name.clone(), error })?;
        let waiting = traced::begin(&self.app(&plan)?, &plan)?;
        let pid = waiting.pid;
        let mut failures = match Failures::seize(pid) {
            Ok(failures) => failures,
            Err(why) => {
                // Told that nobody will look, it ends.
                drop(waiting);
                session::bury(pid);
                return Err(why);
            }
        };
        waiting.go()?;
        let ended = self.session.wait(pid, None, &self.arguments.until, Some(&mut failures))?;
        Ok(failures.started.then_some((ended, failures.found)))
    }

    fn place(&self) -> Result<Place, enforce::Error> {
        place::here(
            Some(self.command.to_owned()),
            Vec::new(),
            self.named.loaded.kept.clone(),
            self.named.embedded,
        )
    }

    /// The app as the shim would start it.
    fn app(&self, plan: &Plan) -> Result<Command, Error> {
        let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| Error::CommandNul);
        let argv = self.arguments.command.iter().map(|word| text(word.as_bytes().to_vec()));
        let dropped = |name: &OsString| {
            let name = name.as_bytes();
            matches(&plan.environment_drop, name) && !matches(&plan.policy.environment_keep, name)
        };
        let variables = std::env::vars_os().filter(|(name, _)| !dropped(name));
        let variables =
            variables.map(|(name, value)| text([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()));
        Ok(Command {
            program: text(self.command.as_os_str().as_bytes().to_vec())?,
            argv: argv.collect::<Result<_, _>>()?,
            environment: variables.collect::<Result<_, _>>()?,
            mask: self.session.mask(),
            ignore_sigchld: false,
            ignore_sigpipe: sys::signal::sigpipe_was_ignored(),
            listen_fds: 0,
            terminal: Terminal::Shared,
            run_as: None,
            parent_death: None,
        })
    }

    /// Why taking a part away would show nothing.
    fn untold(&self, part: &Part) -> Result<Option<String>, Error> {
        if let Some(why) = drops::unseen(&part.name) {
            return Ok(Some(why.to_owned()));
        }
        let Some(word) = part.name.strip_prefix("capability ") else { return Ok(None) };
        let has = self.place()?.permitted.into_iter().any(|one| capability_word(one) == word);
        Ok((!has).then(|| "this place does not have it, so the app never had it".to_owned()))
    }
}

type Failed = std::collections::BTreeMap<drops::Failure, u64>;

/// Where the profiles of the runs stand: nowhere that the app may write.
struct Folder(PathBuf);

impl Folder {
    fn make(named: &Named, profile: &Profile) -> Result<Folder, Error> {
        let beside = named.loaded.path.as_deref().and_then(Path::parent).map(Path::to_owned);
        let places = [Some(std::env::temp_dir()), beside, Some("/dev/shm".into()), Some("/run".into())];
        let places = places.into_iter().flatten().filter_map(|place| place.canonicalize().ok());
        let mut failed = None;
        for place in places.filter(|place| !may_change(profile, place)) {
            let path = place.join(format!("remit-verify-{}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Folder(path)),
                Err(error) => failed = Some((path, error)),
            }
        }
        Err(Error::NoFolder(failed))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::File { path: self.0.clone(), error }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            crate::tool::complain(&format!("verify: {} is left behind: {error}", self.0.display()));
        }
    }
}

/// Whether a profile lets the app change what lies in a directory.
fn may_change(profile: &Profile, directory: &Path) -> bool {
    const CHANGES: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
    profile.files.iter().any(|entry| match entry {
        FileEntry::Path(rule) => rule.allow.intersects(CHANGES) && directory.starts_with(&rule.path),
        FileEntry::Group(_) => false,
    })
}

/// Said on a terminal only.
struct Progress {
    done: usize,
    runs: usize,
}

impl Progress {
    fn next(&mut self, what: &str) {
        self.done += 1;
        if std::io::stderr().is_terminal() {
            crate::tool::complain(&format!("run {} of {}: {what}", self.done, self.runs));
        }
    }
}
