//! The runs of `remit verify --drop-test`: one in full, then one without each part.
//!
//! The supervisor reports what a rule refuses. The kernel reports no refusal for want of a
//! capability, so for capabilities the app is traced instead of supervised. Errors are compared:
//! a server that still answers proves nothing.

use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::denials::Denials;
use super::drops::{self, GrantClass, Part, PartFinding, RunErrors};
use super::failures::ObservedErrors;
use super::{VerifyArguments, before};
use crate::enforce::launch::{Command, Terminal};
use crate::enforce::{self, host, probe, traced};
use crate::image::live::Live;
use crate::plan::{Host, Plan};
use crate::profile::{self, FileEntry, Mode, Profile, Rights, capability_word};
use crate::sys;
use crate::tool::session::{self, RunEnd, Session, StopReason};
use crate::tool::shim::Shim;
use crate::tool::source::NamedProfile;
use crate::tool::{Format, ToolError, VerbOutput, VerbResult};

/// The classes unless they are named, without calls, which would take many runs.
const DEFAULT: [GrantClass; 5] = [
    GrantClass::Capabilities,
    GrantClass::Files,
    GrantClass::Network,
    GrantClass::Transitions,
    GrantClass::Memory,
];

pub(super) fn run(
    arguments: &VerifyArguments,
    classes: &[GrantClass],
    named: &NamedProfile,
    shim: &Shim,
    command: &Path,
) -> VerbResult {
    let profile = drops::watched(&named.loaded.document.profile);
    let parts = drops::parts(&profile, if classes.is_empty() { &DEFAULT } else { classes });
    let test = DropTest {
        arguments,
        shim,
        command,
        named,
        session: Session::begin()?,
        folder: ProfileFolder::make(named, &profile)?,
    };
    let of_kernel = |part: &&Part| part.class == GrantClass::Capabilities;
    let runs = parts.len() + 1 + usize::from(parts.iter().any(|part| of_kernel(&part)));
    let mut progress = RunCounter { done: 0, runs };
    // A supervised run is compared with the supervised full run, a traced one with the traced.
    let mut full = [None, None];
    for (full, kernel) in full.iter_mut().zip([false, true]) {
        if parts.iter().any(|part| of_kernel(&part) == kernel) {
            progress.next("with all");
            let shown = test.shown(&profile, kernel)?.ok_or(ToolError::NoFullRun)?;
            if let Some(fault) = &shown.fault {
                let text = match arguments.format {
                    Format::Text => {
                        format!("the full run proves nothing, so nothing is compared with it: {fault}\n")
                    }
                    Format::Json => json!({ "profile": profile.name, "fault": fault }).to_string(),
                };
                return Ok(VerbOutput::plain(text, 1));
            }
            *full = Some(shown);
        }
    }
    let [supervised, traced] = full.map(Option::unwrap_or_default);
    let mut found = Vec::new();
    for part in parts {
        let kernel = of_kernel(&&part);
        progress.next(&format!("without {}", part.name));
        let finding = match test.unknown_because(&part)? {
            Some(why) => PartFinding::Unknown(why),
            None => match test.shown(&part.taken_from(&profile), kernel)? {
                Some(less) => drops::compare(if kernel { &traced } else { &supervised }, &less),
                None => PartFinding::Otherwise("the app was not started".to_owned()),
            },
        };
        found.push((part, finding));
    }
    let code = u8::from(found.iter().any(|(_, finding)| *finding == PartFinding::NotNeeded));
    let mut errors = supervised.errors;
    errors.extend(traced.errors);
    let name = &profile.name;
    let text = match arguments.format {
        Format::Text => drops::text(name, &errors, &found, arguments.before.is_some()),
        Format::Json => drops::json(name, &errors, &found).to_string(),
    };
    Ok(VerbOutput::plain(text, code))
}

/// The state that all runs share.
struct DropTest<'a> {
    arguments: &'a VerifyArguments,
    shim: &'a Shim,
    command: &'a Path,
    named: &'a NamedProfile,
    session: Session,
    folder: ProfileFolder,
}

impl DropTest<'_> {
    /// Runs COMMAND under a profile, and returns its errors; `None` where it does not start.
    fn shown(&self, profile: &Profile, traced: bool) -> Result<Option<RunErrors>, ToolError> {
        before(&self.session, self.arguments)?;
        let (ended, errors) = match if traced { self.traced(profile)? } else { self.supervised(profile)? } {
            Some(shown) => shown,
            None => return Ok(None),
        };
        if let Some(StopReason::Signal(signal)) = ended.stop {
            return Err(ToolError::Interrupted(signal));
        }
        Ok(Some(RunErrors { errors, fault: ended.fault() }))
    }

    /// A run by the shim, whose events have the refusals.
    fn supervised(&self, profile: &Profile) -> Result<Option<(RunEnd, ErrorCounts)>, ToolError> {
        let text = profile::write(profile);
        let document = profile::read(text.as_bytes()).map_err(ToolError::Made)?;
        let file = self.folder.0.join("profile.json");
        fs::write(&file, text).map_err(|error| self.folder.failed(error))?;
        let options = ["--mode".into(), "enforce".into(), "--profile".into(), file.into()];
        let until = &self.arguments.until;
        let ended = self.shim.run(&self.session, &options, &self.arguments.command, until)?;
        let found = Denials::read(&ended.said, &document);
        let errors = found.errors();
        Ok(found.started.then_some((ended, errors)))
    }

    /// A traced run with the user and the capabilities of the profile, and no other layer.
    fn traced(&self, profile: &Profile) -> Result<Option<(RunEnd, ErrorCounts)>, ToolError> {
        let kernel = probe::kernel()?;
        let plan = Plan::new(profile, &kernel, &self.place()?, &Live, Mode::Enforce)
            .map_err(|error| ToolError::Plan { profile: self.named.name.clone(), error })?;
        let waiting = traced::begin(&self.app(&plan)?, &plan)?;
        let pid = waiting.pid;
        let mut errors = match ObservedErrors::attach(pid) {
            Ok(errors) => errors,
            Err(why) => {
                // The child ends when its pipe closes.
                drop(waiting);
                session::reap(pid);
                return Err(why);
            }
        };
        waiting.go()?;
        let ended = self.session.wait(pid, None, &self.arguments.until, Some(&mut errors))?;
        Ok(errors.started.then_some((ended, errors.found)))
    }

    fn place(&self) -> Result<Host, enforce::Error> {
        host::here(
            Some(self.command.to_owned()),
            Vec::new(),
            self.named.loaded.links.clone(),
            self.named.embedded,
        )
    }

    /// The command as the shim would execute it.
    fn app(&self, plan: &Plan) -> Result<Command, ToolError> {
        let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| ToolError::CommandNul);
        let argv = self.arguments.command.iter().map(|word| text(word.as_bytes().to_vec()));
        let variables = std::env::vars_os().filter(|(name, _)| !plan.drops(name.as_bytes()));
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
            keep_fds: Vec::new(),
            terminal: Terminal::Shared,
            run_as: None,
            parent_death: None,
        })
    }

    /// Why a run without a part would show nothing.
    fn unknown_because(&self, part: &Part) -> Result<Option<String>, ToolError> {
        if let Some(why) = drops::unseen(&part.name) {
            return Ok(Some(why.to_owned()));
        }
        let Some(word) = part.name.strip_prefix("capability ") else { return Ok(None) };
        let has = self.place()?.permitted.into_iter().any(|one| capability_word(one) == word);
        Ok((!has).then(|| "this environment does not have it, so the app never had it".to_owned()))
    }
}

type ErrorCounts = std::collections::BTreeMap<drops::ObservedError, u64>;

/// The folder of the runs' profiles, where the app may not write.
struct ProfileFolder(PathBuf);

impl ProfileFolder {
    fn make(named: &NamedProfile, profile: &Profile) -> Result<ProfileFolder, ToolError> {
        let beside = named.loaded.path.as_deref().and_then(Path::parent).map(Path::to_owned);
        let places = [Some(std::env::temp_dir()), beside, Some("/dev/shm".into()), Some("/run".into())];
        let places = places.into_iter().flatten().filter_map(|place| place.canonicalize().ok());
        let mut failed = None;
        for place in places.filter(|place| !may_change(profile, place)) {
            let path = place.join(format!("remit-verify-{}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(ProfileFolder(path)),
                Err(error) => failed = Some((path, error)),
            }
        }
        Err(ToolError::NoFolder(failed))
    }

    fn failed(&self, error: std::io::Error) -> ToolError {
        ToolError::File { path: self.0.clone(), error }
    }
}

impl Drop for ProfileFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            crate::tool::print_error(&format!("verify: {} is left behind: {error}", self.0.display()));
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

/// The progress, printed on a terminal only.
struct RunCounter {
    done: usize,
    runs: usize,
}

impl RunCounter {
    fn next(&mut self, what: &str) {
        self.done += 1;
        if std::io::stderr().is_terminal() {
            crate::tool::print_error(&format!("run {} of {}: {what}", self.done, self.runs));
        }
    }
}
