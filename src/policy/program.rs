//! Programs: who may execute what.
//!
//! The kernel guarantees the union (Landlock's EXECUTE on every program, loader
//! and interpreter); the edges, and that a loader or an interpreter is not run by
//! itself, are narrowed here on what the caller's memory said.

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
/// More bytes of arguments than a person would put into a profile.
const MOST_OF_HINT: usize = 4096;

/// The file that a call wants to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Device and inode.
    pub id: FileId,
    /// Where it is, links resolved.
    pub canonical: PathBuf,
    /// As the app named it, where that is a path of its own; for people.
    pub named: PathBuf,
    /// It is an ELF loader, which runs whatever it is given.
    pub loader: bool,
}

/// How a program is called, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Called<'a> {
    /// argv; of a script what it gets: its own path and what is behind it.
    pub args: Option<&'a [Vec<u8>]>,
    /// There are more of them.
    pub cut: bool,
    /// The real, effective, saved and file-system uid: by the last files are opened, by the
    /// first three a process takes on another (credentials(7)).
    pub uids: Option<[Uid; 4]>,
}

impl PolicyEngine {
    /// Judges an exec by the program entry `caller`; `None` where it could not be
    /// found out which that is. The answer is the entry that the process then is. What
    /// is not known of the call is not judged.
    ///
    /// # Errors
    /// The refusal.
    pub fn exec(
        &self,
        caller: Option<ProgramIndex>,
        target: &Target,
        called: Called,
    ) -> Result<ProgramIndex, Box<Denial>> {
        let entries = self.entries(target.id, &target.canonical, target.loader);
        let index = caller.map(|entry| self.policy.program(entry).index);
        let want = Want::Program { path: target.named.clone(), caller: index };
        if entries.is_empty() {
            // A loader is never a program, and a file without a name cannot be listed.
            let nameless = target.canonical.to_string_lossy().ends_with(" (deleted)");
            let want = (!target.loader && !nameless).then_some(want);
            return Err(refuse(&target.named, "/programs".into(), want));
        }
        let Some(caller) = caller else {
            return Err(refuse(&target.named, "/programs".into(), None));
        };
        let edges = &self.policy.program(caller).may_run;
        let has_edge = |entry: &ProgramIndex| edges.contains(&self.policy.program(*entry).index);
        let applets: Vec<ProgramIndex> =
            entries.iter().copied().filter(|entry| self.is_applet(*entry, called.args)).collect();
        if !applets.iter().any(has_edge) {
            let rule = format!("/programs/{}/may_run", self.policy.program(caller).index);
            return Err(match (entries.iter().find(|entry| has_edge(entry)), called.args) {
                // It may run the file, but not as this.
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
                            // It is listed, perhaps by another of its names.
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
        for entry in applets.into_iter().filter(has_edge) {
            match self.is_called_so(entry, target, called) {
                None => return Ok(entry),
                Some(refused) => drop(refusal.get_or_insert(refused)),
            }
        }
        Err(refusal.unwrap_or_else(|| refuse(&target.named, "/programs".into(), Some(want))))
    }

    /// Whether these arguments call the applet that the entry is, where it is one.
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
        target: &Target,
        args: &[Vec<u8>],
        caller: Option<ProfileIndex>,
    ) -> Box<Denial> {
        let program = self.policy.program(entry);
        let called = arguments::applet(args, &program.own_name);
        // What is not UTF-8 no profile can say, and what is that long is no name.
        let applet = called.filter(|(applet, _)| applet.len() <= LONGEST_NAME);
        let applet = applet.and_then(|(applet, _)| String::from_utf8(applet.to_vec()).ok());
        let want = applet.map(|applet| Want::Applet { path: program.path.clone(), applet, caller });
        refuse(&target.named, format!("/programs/{}/applet", program.index).into(), want)
    }

    /// What keeps a call from being this entry's: its arguments or its user.
    fn is_called_so(&self, entry: ProgramIndex, target: &Target, called: Called) -> Option<Box<Denial>> {
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
                // What is not UTF-8 no profile can say, and what is that large nobody would
                // write down; what was not read is no hint either.
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

    /// Whether the program that a process is may be these users. Where it is not known which
    /// that is, every program has to allow them.
    pub fn user(&self, entry: Option<ProgramIndex>, uids: [Uid; 4]) -> Option<Box<Denial>> {
        match entry {
            Some(entry) => self.user_of(entry, uids),
            None => self.policy.indexed_programs().find_map(|(entry, _)| self.user_of(entry, uids)),
        }
    }

    fn user_of(&self, entry: ProgramIndex, uids: [Uid; 4]) -> Option<Box<Denial>> {
        let program = self.policy.program(entry);
        let target = Target {
            id: crate::image::FileId { device: 0, inode: 0 },
            canonical: program.path.clone(),
            named: program.path.clone(),
            loader: false,
        };
        let refusal = self.is_called_so(entry, &target, Called { uids: Some(uids), ..Called::default() })?;
        Some(Box::new(Denial { errno: Errno::EPERM, ..*refusal }))
    }

    /// How many arguments of an exec decide, with those that the kernel puts before a
    /// script's, and that busybox passes over; and what a person sees.
    pub fn arguments(&self) -> Need {
        const BESIDES: Need = Need { strings: 128, bytes: 32 << 10 };
        let all = self.policy.programs.iter().filter_map(|program| program.args.as_deref());
        all.map(arguments::needed).fold(BESIDES, |most, need| Need {
            strings: most.strings.max(BESIDES.strings + need.strings),
            bytes: most.bytes.max(BESIDES.bytes + need.bytes),
        })
    }

    /// Whether some entry asks for more of a call than its file.
    pub fn asks_for_arguments(&self) -> bool {
        self.policy.programs.iter().any(|program| program.args.is_some() || program.applet.is_some())
    }

    /// The digest that an entry asks for.
    pub fn digest(&self, entry: ProgramIndex) -> Option<&str> {
        self.policy.program(entry).sha256.as_deref()
    }

    /// Another content than an entry asks for; none where it could not be read.
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

    /// How many live processes of an entry there may be.
    pub fn instances(&self, entry: ProgramIndex) -> Option<u32> {
        self.policy.program(entry).instances
    }

    /// One more process of an entry than there may be: `now` live ones.
    pub fn too_many(&self, entry: ProgramIndex, now: u32) -> Option<Box<Denial>> {
        let program = self.policy.program(entry);
        (now >= program.instances?).then(|| {
            let rule = format!("/programs/{}/instances", program.index).into();
            let want = Want::Instances { program: program.index, most: now + 1 };
            Box::new(Denial { errno: Errno::EAGAIN, ..*refuse(&program.path, rule, Some(want)) })
        })
    }

    /// Judges COMMAND itself, which the supervisor executes.
    ///
    /// # Errors
    /// The refusal.
    pub fn command(&self, target: &Target, called: Called) -> Result<ProgramIndex, Box<Denial>> {
        let mut entries = self.entries(target.id, &target.canonical, target.loader);
        entries.retain(|entry| self.policy.program(*entry).entry);
        let (applets, others): (Vec<ProgramIndex>, Vec<ProgramIndex>) =
            entries.into_iter().partition(|entry| self.is_applet(*entry, called.args));
        if let ([], [other, ..], Some(args)) = (&applets[..], &others[..], called.args) {
            // What it is called as is the container's own word: nothing here would allow it.
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

    /// Which entries a running image may be: by its file, or as the interpreter of
    /// a script. More than one script may share an interpreter.
    pub fn running(&self, exe: FileId, canonical: &Path) -> Vec<ProgramIndex> {
        let own = self.entries(exe, canonical, false);
        let programs = self.policy.indexed_programs();
        let scripts =
            programs.filter(|(_, program)| program.interpreter == Some(exe)).map(|(index, _)| index);
        own.into_iter().chain(scripts).collect()
    }

    /// Whether an image can tell by itself which entry a process is. A script below a
    /// granted directory may run as anything.
    pub fn images_tell(&self) -> bool {
        self.beneath.is_empty()
    }

    /// The one entry that runs this image, where the image alone tells: nothing is
    /// granted by directory, and no other entry has it as its file or interpreter.
    pub fn entry_of_image(&self, exe: FileId) -> Option<ProgramIndex> {
        if !self.images_tell() {
            return None;
        }
        match self.running(exe, Path::new(""))[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether the image alone tells what a process is.
    pub fn image_is_entry(&self, exe: FileId) -> bool {
        self.entry_of_image(exe).is_some()
    }

    /// Whether a process of this entry runs that image.
    pub fn runs_as(&self, entry: ProgramIndex, exe: FileId, canonical: &Path) -> bool {
        self.running(exe, canonical).contains(&entry)
            // A script below a directory runs its interpreter, which is below one too.
            || self.beneath.iter().any(|(_, index)| *index == entry) && self.runs(exe, canonical)
    }

    /// Whether it makes no difference which of two entries a process is: both are
    /// directories, and what may be run from them is the same.
    pub fn alike(&self, one: ProgramIndex, other: ProgramIndex) -> bool {
        let [one, other] = [one, other].map(|entry| self.policy.program(entry));
        let beneath = |program: &PolicyProgram| matches!(program.target, ProgramTarget::Beneath(_));
        beneath(one) && beneath(other) && one.may_run == other.may_run
    }

    /// The path that the profile has for an entry.
    pub fn program_path(&self, entry: ProgramIndex) -> &Path {
        &self.policy.program(entry).path
    }

    /// Whether the entry names one file, so that its path is what runs.
    pub fn is_file(&self, entry: ProgramIndex) -> bool {
        matches!(self.policy.program(entry).target, ProgramTarget::File(_))
    }

    /// The entries that a file is.
    pub(super) fn entries(&self, id: FileId, canonical: &Path, loader: bool) -> Vec<ProgramIndex> {
        if let Some(own) = self.programs.get(&id) {
            return own.clone();
        }
        // A loader or an interpreter is executable for another's sake; below a
        // directory of programs an interpreter is a program as well.
        if loader || self.policy.derived.get(&id) == Some(&crate::plan::Role::Loader) {
            return Vec::new();
        }
        let below = self.beneath.iter().filter(|(dir, _)| canonical.starts_with(dir));
        below.map(|(_, index)| *index).collect()
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
