//! Programs: which entry may execute which file.
//!
//! The kernel guarantees the union (Landlock's EXECUTE on every program, loader and interpreter);
//! `may_run`, and that a loader or an interpreter is not executed directly, are decided here, on
//! data from the caller's memory.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{Denial, PolicyEngine, arguments};
use crate::event::{ViolationKind, ViolationObject, Want};
use crate::ids::Uid;
use crate::image::FileId;
use crate::plan::{PolicyProgram, ProgramIndex, ProgramTarget};
use crate::policy::args::Need;
use crate::profile::ProfileIndex;
use crate::syscalls::Handler;

/// The longest file name (NAME_MAX), and so the longest name of an applet.
const LONGEST_NAME: usize = 255;
/// The most bytes of arguments that a hint has.
const MOST_OF_HINT: usize = 4096;

/// The file that a call would execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecTarget {
    /// Device and inode.
    pub id: FileId,
    /// The path, links resolved.
    pub canonical: PathBuf,
    /// The path as the app passed it, where it is one of its own; for messages.
    pub named: PathBuf,
    /// It is an ELF loader, which runs any program passed to it.
    pub loader: bool,
    /// It came with the image, or that is of no account where it lies (see
    /// [`PolicyEngine::asks_for_origin`]).
    pub of_image: bool,
}

/// The arguments and users of an exec, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Called<'a> {
    /// argv; for a script the part from its own path on.
    pub args: Option<&'a [Vec<u8>]>,
    /// There are more arguments than `args` has.
    pub cut: bool,
    /// The real, effective, saved and file-system uid: the last decides access to files, and a process
    /// may switch between the first three (credentials(7)).
    pub uids: Option<[Uid; 4]>,
}

impl PolicyEngine {
    /// Decides an exec by the program entry `caller`; `None` where that entry is unknown. Returns the
    /// entry that the process has after the exec. Unknown arguments and users are not compared.
    ///
    /// # Errors
    /// The denial.
    pub fn exec(
        &self,
        caller: Option<ProgramIndex>,
        target: &ExecTarget,
        called: Called,
    ) -> Result<ProgramIndex, Box<Denial>> {
        let entries = self.entries(target);
        let index = caller.map(|entry| self.policy.program(entry).index);
        let want = Want::Program { path: target.named.clone(), caller: index };
        if entries.is_empty() {
            if let Some(refusal) = self.not_of_image(target) {
                return Err(refusal);
            }
            // A loader is never a program, and a file without a name cannot be listed.
            let nameless = target.canonical.to_string_lossy().ends_with(" (deleted)");
            let want = (!target.loader && !nameless).then_some(want);
            return Err(refuse(&target.named, "/programs".into(), want));
        }
        let Some(caller) = caller else {
            return Err(refuse(&target.named, "/programs".into(), None));
        };
        let transitions = &self.policy.program(caller).may_run;
        let has_transition = |entry: &ProgramIndex| transitions.contains(&self.policy.program(*entry).index);
        let applets: Vec<ProgramIndex> =
            entries.iter().copied().filter(|entry| self.is_applet(*entry, called.args)).collect();
        if !applets.iter().any(has_transition) {
            let rule = format!("/programs/{}/may_run", self.policy.program(caller).index);
            return Err(match (entries.iter().find(|entry| has_transition(entry)), called.args) {
                // The caller may run the file, but not with these arguments or users.
                (Some(entry), Some(args)) if applets.is_empty() => {
                    self.other_applet(*entry, target, args, index)
                }
                _ => {
                    let want =
                        match applets.first().and_then(|entry| self.policy.program(*entry).applet.clone()) {
                            Some(applet) => {
                                let path = self.program_path(applets[0]).to_owned();
                                Want::Applet { path, applet, caller: index }
                            }
                            // The file is listed, perhaps by another of its names.
                            None => match entries.iter().find(|entry| self.is_file(**entry)) {
                                Some(entry) => {
                                    let path = self.program_path(*entry).to_owned();
                                    Want::Program { path, caller: index }
                                }
                                None => want,
                            },
                        };
                    refuse(&target.named, rule.into(), Some(want))
                }
            });
        }
        let mut refusal = None;
        for entry in applets.into_iter().filter(has_transition) {
            match self.is_called_so(entry, target, called) {
                None => return Ok(entry),
                Some(refused) => drop(refusal.get_or_insert(refused)),
            }
        }
        Err(refusal.unwrap_or_else(|| refuse(&target.named, "/programs".into(), Some(want))))
    }

    /// Whether these arguments select the entry's applet, where it has one.
    fn is_applet(&self, entry: ProgramIndex, args: Option<&[Vec<u8>]>) -> bool {
        let program = self.policy.program(entry);
        match (&program.applet, args) {
            (Some(applet), Some(args)) => arguments::applet(args, &program.own_name)
                .is_some_and(|(called, _)| called == applet.as_bytes()),
            _ => true,
        }
    }

    fn other_applet(
        &self,
        entry: ProgramIndex,
        target: &ExecTarget,
        args: &[Vec<u8>],
        caller: Option<ProfileIndex>,
    ) -> Box<Denial> {
        let program = self.policy.program(entry);
        let called = arguments::applet(args, &program.own_name);
        // A profile cannot have text that is not UTF-8, and a longer text is no file name.
        let applet = called.filter(|(applet, _)| applet.len() <= LONGEST_NAME);
        let applet = applet.and_then(|(applet, _)| String::from_utf8(applet.to_vec()).ok());
        let want = applet.map(|applet| Want::Applet { path: program.path.clone(), applet, caller });
        refuse(&target.named, format!("/programs/{}/applet", program.index).into(), want)
    }

    /// Denies a call whose arguments or user do not match this entry.
    fn is_called_so(&self, entry: ProgramIndex, target: &ExecTarget, called: Called) -> Option<Box<Denial>> {
        let program = self.policy.program(entry);
        let refuse = |key: &str, want| {
            Some(refuse(&target.named, format!("/programs/{}/{key}", program.index).into(), want))
        };
        if let (Some(listed), Some(args)) = (&program.args, called.args) {
            let rest = match program.applet {
                Some(_) => arguments::applet(args, &program.own_name).map_or(&args[..0], |(_, rest)| rest),
                None => args.get(1..).unwrap_or_default(),
            };
            if !arguments::are_listed(listed, rest, called.cut) {
                // A profile cannot have text that is not UTF-8, and a hint that long would
                // not be useful; nor would one of arguments that were not read.
                let size: usize = rest.iter().map(|text| text.len() + 1).sum();
                let args = || rest.iter().map(|text| String::from_utf8(text.clone()).ok()).collect();
                let args: Option<Vec<String>> =
                    if !called.cut && size <= MOST_OF_HINT { args() } else { None };
                return refuse("args", args.map(|args| Want::Arguments { program: program.index, args }));
            }
        }
        let strange = |user: &Vec<Uid>| called.uids?.into_iter().find(|uid| !user.contains(uid));
        if let Some(uid) = program.user.as_ref().and_then(strange) {
            return refuse("user", Some(Want::User { program: program.index, uid }));
        }
        None
    }

    /// Denies uids that the process's program may not run as. Where its entry is unknown, every
    /// program has to allow them.
    pub fn user(&self, entry: Option<ProgramIndex>, uids: [Uid; 4]) -> Option<Box<Denial>> {
        match entry {
            Some(entry) => self.user_of(entry, uids),
            None => self.policy.indexed_programs().find_map(|(entry, _)| self.user_of(entry, uids)),
        }
    }

    fn user_of(&self, entry: ProgramIndex, uids: [Uid; 4]) -> Option<Box<Denial>> {
        let program = self.policy.program(entry);
        let target = ExecTarget {
            id: crate::image::FileId { device: 0, inode: 0 },
            canonical: program.path.clone(),
            named: program.path.clone(),
            loader: false,
            of_image: true,
        };
        let refusal = self.is_called_so(entry, &target, Called { uids: Some(uids), ..Called::default() })?;
        Some(Box::new(Denial { errno: Errno::EPERM, ..*refusal }))
    }

    /// The arguments of an exec that are read: those that decide, those that the kernel puts before a
    /// script's and that busybox skips, and those that an event shows.
    pub fn arguments(&self) -> Need {
        const BESIDES: Need = Need { strings: 128, bytes: 32 << 10 };
        let all = self.policy.programs.iter().filter_map(|program| program.args.as_deref());
        all.map(arguments::needed).fold(BESIDES, |most, need| Need {
            strings: most.strings.max(BESIDES.strings + need.strings),
            bytes: most.bytes.max(BESIDES.bytes + need.bytes),
        })
    }

    /// Whether some entry has rules on arguments or users.
    pub fn has_argument_rules(&self) -> bool {
        self.policy.programs.iter().any(|program| program.args.is_some() || program.applet.is_some())
    }

    /// The digest that an entry requires.
    pub fn digest(&self, entry: ProgramIndex) -> Option<&str> {
        self.policy.program(entry).sha256.as_deref()
    }

    /// Denies content with another digest than the entry's; `None` where it could not be read.
    pub fn other_content(&self, entry: ProgramIndex, found: Option<String>) -> Box<Denial> {
        let program = self.policy.program(entry);
        let want = found.map(|sha256| Want::Digest { program: program.index, sha256 });
        refuse(&program.path, format!("/programs/{}/sha256", program.index).into(), want)
    }

    /// Whether processes are counted: all, or those of some entry.
    pub fn counts(&self) -> bool {
        let programs = &self.policy.programs;
        self.policy.processes.is_some() || programs.iter().any(|program| program.instances.is_some())
    }

    /// The maximum number of live processes of an entry.
    pub fn instances(&self, entry: ProgramIndex) -> Option<u32> {
        self.policy.program(entry).instances
    }

    /// Denies a process beyond the entry's `instances`; `now` is the number of live ones.
    pub fn too_many(&self, entry: ProgramIndex, now: u32) -> Option<Box<Denial>> {
        let program = self.policy.program(entry);
        (now >= program.instances?).then(|| {
            let rule = format!("/programs/{}/instances", program.index).into();
            let want = Want::Instances { program: program.index, most: now + 1 };
            Box::new(Denial { errno: Errno::EAGAIN, ..*refuse(&program.path, rule, Some(want)) })
        })
    }

    /// Decides whether COMMAND itself may run, which the supervisor executes.
    ///
    /// # Errors
    /// The denial.
    pub fn command(&self, target: &ExecTarget, called: Called) -> Result<ProgramIndex, Box<Denial>> {
        let mut entries = self.entries(target);
        entries.retain(|entry| self.policy.program(*entry).entry);
        let (applets, others): (Vec<ProgramIndex>, Vec<ProgramIndex>) =
            entries.into_iter().partition(|entry| self.is_applet(*entry, called.args));
        if let ([], [other, ..], Some(args)) = (&applets[..], &others[..], called.args) {
            // The container configures its arguments: no grant in a hint would apply to them.
            return Err(Box::new(Denial { want: None, ..*self.other_applet(*other, target, args, None) }));
        }
        let mut refusal = None;
        for entry in applets {
            match self.is_called_so(entry, target, called) {
                None => return Ok(entry),
                Some(refused) => drop(refusal.get_or_insert(refused)),
            }
        }
        let want = Want::Command(target.named.clone());
        Err(refusal.unwrap_or_else(|| refuse(&target.named, "/programs".into(), Some(want))))
    }

    /// The entries that a running image may have: by its file, or as the interpreter of a script.
    /// Several scripts may share an interpreter.
    pub fn running(&self, exe: FileId, canonical: &Path) -> Vec<ProgramIndex> {
        let (canonical, named) = (canonical.to_owned(), PathBuf::new());
        let own = self.entries(&ExecTarget { id: exe, canonical, named, loader: false, of_image: true });
        let programs = self.policy.indexed_programs();
        let scripts =
            programs.filter(|(_, program)| program.interpreter == Some(exe)).map(|(index, _)| index);
        own.into_iter().chain(scripts).collect()
    }

    /// Whether an image alone can determine a process's entry. A script below a granted directory may
    /// have any interpreter.
    pub fn image_determines_entry(&self) -> bool {
        self.beneath.is_empty()
    }

    /// The one entry that runs this image, where the image alone determines it: nothing is granted by
    /// directory, and no other entry has it as its file or interpreter.
    pub fn entry_of_image(&self, exe: FileId) -> Option<ProgramIndex> {
        if !self.image_determines_entry() {
            return None;
        }
        match self.running(exe, Path::new(""))[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether the image alone determines a process's entry.
    pub fn image_is_entry(&self, exe: FileId) -> bool {
        self.entry_of_image(exe).is_some()
    }

    /// Whether a process of this entry runs that image.
    pub fn runs_as(&self, entry: ProgramIndex, exe: FileId, canonical: &Path) -> bool {
        self.running(exe, canonical).contains(&entry)
            // A script below a directory runs its interpreter, which is below one too.
            || self.beneath.iter().any(|beneath| beneath.entry == entry) && self.runs(exe, canonical)
    }

    /// Whether two entries are equivalent: both are directories, and may run the same programs.
    pub fn alike(&self, one: ProgramIndex, other: ProgramIndex) -> bool {
        let [one, other] = [one, other].map(|entry| self.policy.program(entry));
        let beneath = |program: &PolicyProgram| matches!(program.target, ProgramTarget::Beneath(_));
        beneath(one) && beneath(other) && one.may_run == other.may_run
    }

    /// The path of an entry in the profile.
    pub fn program_path(&self, entry: ProgramIndex) -> &Path {
        &self.policy.program(entry).path
    }

    /// Whether the entry names one file, so that its path is that of the program.
    pub fn is_file(&self, entry: ProgramIndex) -> bool {
        matches!(self.policy.program(entry).target, ProgramTarget::File(_))
    }

    /// The entries that list a file.
    pub(super) fn entries(&self, target: &ExecTarget) -> Vec<ProgramIndex> {
        if let Some(own) = self.programs.get(&target.id) {
            return own.clone();
        }
        // A loader or an interpreter may be executed for a program only; below a
        // directory of programs an interpreter is a program as well.
        if target.loader || self.policy.derived.get(&target.id) == Some(&crate::plan::Role::Loader) {
            return Vec::new();
        }
        let below = self.beneath(&target.canonical);
        below
            .filter(|beneath| target.of_image || !self.asks(beneath, &target.canonical))
            .map(|beneath| beneath.entry)
            .collect()
    }

    /// Denies a file that would be a program if it had come with the image: no profile grants it.
    fn not_of_image(&self, target: &ExecTarget) -> Option<Box<Denial>> {
        let beneath =
            self.beneath(&target.canonical).find(|beneath| self.asks(beneath, &target.canonical))?;
        let index = self.policy.program(beneath.entry).index;
        let key = if beneath.from_image { "from_image" } else { "beneath" };
        let is_it = !target.of_image && !target.loader;
        is_it.then(|| refuse(&target.named, format!("/programs/{index}/{key}").into(), None))
    }
}

pub(super) fn refuse(path: &Path, rule: std::borrow::Cow<'static, str>, want: Option<Want>) -> Box<Denial> {
    Box::new(Denial {
        kind: ViolationKind::Program,
        errno: Handler::Exec.denied(),
        object: ViolationObject::program(path),
        rule,
        want,
    })
}
