//! What was really started, judged: the file that is mapped, and the kernel's own copy
//! of arguments and environment, before the first instruction. Nobody but the kernel has
//! written any of it, so nothing of this can be raced.
//!
//! A process that runs an interpreter is a script's only if its arguments are those that
//! the kernel makes of that script's `#!` line, and if the path in them leads to the
//! script and nobody inside can make it lead elsewhere: the interpreter opens it once
//! more, by that name. Whoever writes the same arguments by hand starts the same.

use std::path::PathBuf;

use super::program::{Called, Target, refuse};
use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject, Want};
use crate::ids::Uid;
use crate::image::FileId;
use crate::plan::{ProgramIndex, Role};
use crate::policy::args::{Args, Need};
use crate::policy::initial_stack::InitialStack;

/// What runs in a process that is stopped before its first instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The inode that is mapped: of a script the interpreter's.
    pub id: FileId,
    /// Where that is, as the kernel tells it.
    pub canonical: PathBuf,
    /// It has a name still.
    pub linked: bool,
    /// When its content or its inode last changed, and how long it is: with the inode,
    /// by which what was read of it is remembered.
    pub stamp: Stamp,
    /// Where its stack begins: another place at every exec, and the same in what it forks.
    pub stack: u64,
    /// st_mode, for the bits that no_new_privs voids.
    pub mode: u32,
    /// Arguments, environment, and the path that execve named.
    pub fresh: InitialStack,
    /// The real, effective, saved and file-system uid.
    pub uids: [Uid; 4],
}

impl Started {
    /// Keeps of large arguments what a person sees, while it waits for its turn: many may
    /// wait, and the stack that they were read from stays. Whether it did.
    pub fn shorten(&mut self) -> bool {
        const FEW: Need = Need { strings: 64, bytes: 16 << 10 };
        let large = |args: &Args| args.weight() > FEW.bytes;
        let (args, environment) = (&mut self.fresh.args, &mut self.fresh.environment);
        let variables: usize = environment.iter().map(Vec::len).sum();
        if !large(args) && variables <= FEW.bytes {
            return false;
        }
        *args = args.within(FEW);
        environment.clear();
        true
    }
}

/// When a file last changed, seconds and nanoseconds, and its length.
pub type Stamp = (i64, u32, u64);

/// A script, as the kernel would start it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its inode.
    pub id: FileId,
    /// Where it is, links resolved.
    pub canonical: PathBuf,
    /// The arguments that the kernel puts before its path: the interpreter, and the
    /// rest of the `#!` line.
    pub lead: Vec<Vec<u8>>,
    /// The ELF program that interprets it in the end.
    pub interpreter: FileId,
}

/// What only a look into files tells, which may take its time.
pub trait Files {
    /// Whether the mapped file is an ELF loader.
    ///
    /// # Errors
    /// It has not been looked at yet.
    fn is_loader(&self, started: &Started) -> Result<bool, NotYet>;

    /// The script at a path that nobody inside can make lead elsewhere; none where there
    /// is none, or where somebody can.
    ///
    /// # Errors
    /// It has not been looked at yet.
    fn script(&self, path: &[u8]) -> Result<Option<Script>, NotYet>;

    /// The SHA-256 of what is mapped, or of a script, in lower-case hex; none where it
    /// cannot be read.
    ///
    /// # Errors
    /// It has not been looked at yet.
    fn digest(&self, started: &Started, script: Option<&Script>) -> Result<Option<String>, NotYet>;
}

/// A file has to be looked into first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotYet;

/// What is done about what was started.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may run, and is this entry.
    Runs(ProgramIndex),
    /// It is killed.
    Dies(Box<Denial>),
}

/// The entry that it is, or why it is none.
type Judged = Result<ProgramIndex, Box<Denial>>;

impl PolicyEngine {
    /// Judges what an exec by the program entry `caller` has started.
    ///
    /// # Errors
    /// A file has to be looked into first.
    pub fn started(
        &self,
        caller: Option<ProgramIndex>,
        started: &Started,
        files: &dyn Files,
    ) -> Result<Verdict, NotYet> {
        let judged = self.judge(caller, started, files)?;
        Ok(judged.map_or_else(Verdict::Dies, Verdict::Runs))
    }

    fn judge(
        &self,
        caller: Option<ProgramIndex>,
        started: &Started,
        files: &dyn Files,
    ) -> Result<Judged, NotYet> {
        if !started.linked {
            // A memfd, or a file that was removed: it cannot be listed.
            return Ok(Err(refuse(&started.canonical, "/programs".into(), None)));
        }
        if let Some(refusal) = self.variable(&started.fresh.environment) {
            return Ok(Err(refusal));
        }
        // A listed script's interpreter is the script's, even where it is a program too.
        let listed = self.interpreters.contains(&started.id);
        let mut refused = None;
        if listed && let Some((script, judged)) = self.as_script(caller, started, files)? {
            match judged {
                Ok(entry) => return self.digested(entry, Some(&script), started, files),
                Err(refusal) => refused = Some(refusal),
            }
        }
        let own = match self.as_itself(caller, started, files)? {
            Ok(entry) => return self.digested(entry, None, started, files),
            Err(refusal) => refusal,
        };
        if !listed
            && !self.beneath.is_empty()
            && let Some((script, judged)) = self.as_script(caller, started, files)?
        {
            match judged {
                Ok(entry) => return self.digested(entry, Some(&script), started, files),
                Err(refusal) => refused = Some(refusal),
            }
        }
        // What an interpreter was not allowed to run says more than that it is none. A
        // variable is refused of a script that was allowed otherwise.
        let is_program = !self.entries(started.id, &started.canonical, false).is_empty();
        let refused = refused.filter(|refusal| !is_program || refusal.kind == ViolationKind::Environment);
        Ok(Err(refused.unwrap_or(own)))
    }

    /// As the program that the mapped file is.
    fn as_itself(
        &self,
        caller: Option<ProgramIndex>,
        started: &Started,
        files: &dyn Files,
    ) -> Result<Judged, NotYet> {
        let listed = self.programs.contains_key(&started.id);
        let derived = self.policy.derived.get(&started.id) == Some(&Role::Loader);
        let below = self.beneath.iter().any(|(directory, _)| started.canonical.starts_with(directory));
        // What a loader starts is no loader itself. Else a file below a directory may be
        // a copy of one.
        let loader =
            !listed && (derived || (below && !started.fresh.by_loader && files.is_loader(started)?));
        let target = Target {
            id: started.id,
            canonical: started.canonical.clone(),
            named: started.canonical.clone(),
            loader,
        };
        let args = &started.fresh.args;
        let called = Called { args: Some(&args.list), cut: !args.is_whole(), uids: Some(started.uids) };
        Ok(self.exec(caller, &target, called))
    }

    /// As the script that execve named; none where that is none, or is not what the
    /// interpreter was given.
    fn as_script(
        &self,
        caller: Option<ProgramIndex>,
        started: &Started,
        files: &dyn Files,
    ) -> Result<Option<(Script, Judged)>, NotYet> {
        let fresh = &started.fresh;
        // The kernel gives an interpreter the path that was executed.
        let args = &fresh.args.list;
        if !args.iter().skip(1).any(|arg| *arg == fresh.named) {
            return Ok(None);
        }
        let Some(script) = files.script(&fresh.named)? else { return Ok(None) };
        let lead = script.lead.len();
        let as_the_kernel_does = args.len() > lead
            && args[..lead] == script.lead
            && args[lead] == fresh.named
            && script.interpreter == started.id;
        if !as_the_kernel_does {
            return Ok(None);
        }
        let named = script.canonical.clone();
        let target = Target { id: script.id, canonical: named.clone(), named, loader: false };
        let cut = !fresh.args.is_whole();
        let called = Called { args: Some(&args[lead..]), cut, uids: Some(started.uids) };
        let judged = self.exec(caller, &target, called);
        // Of what was left out nobody knows what it is.
        let crowded = || fresh.crowded.then(|| other_variable("too many variables".into(), None));
        let other =
            || self.variable_for_interpreters(&fresh.environment).or_else(crowded).map_or(Ok(()), Err);
        Ok(Some((script, judged.and_then(|entry| other().map(|()| entry)))))
    }

    /// What was started cannot be looked into.
    pub fn unreadable_program(&self) -> Box<Denial> {
        let object = ViolationObject::Name { name: "unreadable".into() };
        Box::new(Denial {
            kind: ViolationKind::Program,
            errno: nix::errno::Errno::EACCES,
            object,
            rule: "/programs".into(),
            want: None,
        })
    }

    /// The digest, where the entry has one.
    fn digested(
        &self,
        entry: ProgramIndex,
        script: Option<&Script>,
        started: &Started,
        files: &dyn Files,
    ) -> Result<Judged, NotYet> {
        let Some(wanted) = self.digest(entry) else { return Ok(Ok(entry)) };
        let found = files.digest(started, script)?;
        let is_it = found.as_deref() == Some(wanted);
        Ok(if is_it { Ok(entry) } else { Err(self.other_content(entry, found)) })
    }

    /// A variable that no program gets: what makes a loader run other code, and what the
    /// profile drops by name. It was taken out at the launch, so whoever has it now was
    /// given it by somebody inside. An empty one says nothing to a loader.
    pub fn variable(&self, environment: &[Vec<u8>]) -> Option<Box<Denial>> {
        self.refused_variable(environment, |name, _, _| self.policy.refuses_variable(name))
    }

    /// A variable by which an interpreter runs other code than its script, and that the
    /// container was not started with.
    fn variable_for_interpreters(&self, environment: &[Vec<u8>]) -> Option<Box<Denial>> {
        self.refused_variable(environment, |name, value, variable| {
            self.policy.is_for_interpreters(name, value) && !self.inherited.contains(variable)
        })
    }

    /// Says of each variable of an environment whether it has to be kept for the judgement:
    /// of those that no program gets the first, and those that a script may not get.
    pub fn variables(&self) -> impl FnMut(&[u8]) -> bool {
        let mut refused = false;
        move |variable| {
            let Some((name, value)) = parts(variable) else { return false };
            if self.policy.refuses_variable(name) {
                return !std::mem::replace(&mut refused, true);
            }
            self.policy.is_for_interpreters(name, value) && !self.inherited.contains(variable)
        }
    }

    /// The same where the entry is a script, by an environment that was read before the
    /// exec.
    pub fn variable_of_script(&self, entry: ProgramIndex, environment: &[Vec<u8>]) -> Option<Box<Denial>> {
        self.policy.program(entry).interpreter?;
        self.variable_for_interpreters(environment)
    }

    fn refused_variable(
        &self,
        environment: &[Vec<u8>],
        refuses: impl Fn(&[u8], &[u8], &Vec<u8>) -> bool,
    ) -> Option<Box<Denial>> {
        let is_one = |variable: &Vec<u8>| {
            let (name, value) = parts(variable)?;
            refuses(name, value, variable).then(|| name.to_vec())
        };
        let name = environment.iter().find_map(is_one)?;
        /// Nobody has such a name in a profile, and no event has room for it.
        const LONGEST: usize = 256;
        let mut name = String::from_utf8_lossy(&name).into_owned();
        if name.len() > LONGEST {
            name.truncate(name.floor_char_boundary(LONGEST));
            return Some(other_variable(name + "…", None));
        }
        Some(other_variable(name.clone(), Some(Want::Environment(name))))
    }
}

/// The name and the value of a variable that has both: an empty one says nothing.
fn parts(variable: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = variable.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&variable[..end], &variable[end + 1..]);
    (!value.is_empty()).then_some((name, value))
}

/// A variable that this program does not get.
pub fn other_variable(name: String, want: Option<Want>) -> Box<Denial> {
    Box::new(Denial {
        kind: ViolationKind::Environment,
        errno: nix::errno::Errno::EACCES,
        object: ViolationObject::Name { name: name.into() },
        rule: "/environment".into(),
        want,
    })
}
