//! Decides on a started program: the mapped file, and the kernel's own copy of arguments and
//! environment, before the first instruction. Only the kernel has written them, so this cannot be
//! raced.
//!
//! A process that runs an interpreter has a script's entry only if its arguments are those that
//! the kernel makes of that script's `#!` line, and if the path in them leads to the script and no
//! process inside can make it lead to another file: the interpreter opens it once more, by that
//! name. A caller that passes the same arguments itself starts the same program.

use std::path::PathBuf;

use super::program::{Called, ExecTarget, refuse};
pub use super::variables::NotYet;
use super::variables::Places;
use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject};
use crate::ids::Uid;
use crate::image::FileId;
use crate::plan::{ProgramIndex, Role};
use crate::policy::args::{Args, Need};
use crate::policy::initial_stack::InitialStack;

/// The program in a process that is stopped before its first instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedProgram {
    /// The inode that is mapped: for a script the interpreter's.
    pub id: FileId,
    /// The path of that inode, as the kernel reports it.
    pub canonical: PathBuf,
    /// The inode still has a name.
    pub linked: bool,
    /// When its content or its inode last changed, and its length: with the inode, the key of the
    /// cache of what was read from it.
    pub stamp: Stamp,
    /// The address of its stack: another one after every exec, and the same in its forks.
    pub stack: u64,
    /// It came with the image, where that is asked for.
    pub of_image: bool,
    /// st_mode, for the set-user-ID and set-group-ID bits that no_new_privs disables.
    pub mode: u32,
    /// Arguments, environment, and the path that was passed to execve.
    pub initial_stack: InitialStack,
    /// The real, effective, saved and file-system uid.
    pub uids: [Uid; 4],
}

impl StartedProgram {
    /// The mapped file.
    fn target(&self, loader: bool) -> ExecTarget {
        ExecTarget {
            id: self.id,
            canonical: self.canonical.clone(),
            named: self.canonical.clone(),
            loader,
            of_image: self.of_image,
        }
    }

    /// Cuts long arguments to what an event shows, while the process waits for its decision: many may
    /// wait, and the stack can be read again. Returns whether it cut anything.
    pub fn shorten(&mut self) -> bool {
        const FEW: Need = Need { strings: 64, bytes: 16 << 10 };
        let large = |args: &Args| args.weight() > FEW.bytes;
        let InitialStack { args, for_programs, for_scripts, .. } = &mut self.initial_stack;
        let variables: usize = for_programs.list.iter().chain(&for_scripts.list).map(Vec::len).sum();
        if !large(args) && variables <= FEW.bytes {
            return false;
        }
        *args = args.within(FEW);
        for_programs.list.clear();
        for_scripts.list.clear();
        true
    }
}

/// When a file last changed, seconds and nanoseconds, and its length.
pub type Stamp = (i64, u32, u64);

/// A script, as the kernel would start it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The script's device and inode.
    pub id: FileId,
    /// The script's path, links resolved.
    pub canonical: PathBuf,
    /// The arguments that the kernel puts before its path: the interpreter, and the
    /// rest of the `#!` line.
    pub lead: Vec<Vec<u8>>,
    /// The ELF program that interprets it, after all `#!` lines.
    pub interpreter: FileId,
    /// The script came with the image, where that is asked for.
    pub of_image: bool,
}

/// Data that must be read from files, which may take time.
pub trait FileContents: Places {
    /// Whether the mapped file is an ELF loader.
    ///
    /// # Errors
    /// The file has not been read yet.
    fn is_loader(&self, started: &StartedProgram) -> Result<bool, NotYet>;

    /// The script at a path that no process inside can make lead to another file; `None` where there
    /// is no script, or where a process can.
    ///
    /// # Errors
    /// The file has not been read yet.
    fn script(&self, path: &[u8]) -> Result<Option<Script>, NotYet>;

    /// The SHA-256 of the mapped file, or of a script, in lower-case hex; `None` where it cannot be
    /// read.
    ///
    /// # Errors
    /// The file has not been read yet.
    fn digest(&self, started: &StartedProgram, script: Option<&Script>) -> Result<Option<String>, NotYet>;
}

/// The decision on a started program.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It may run, with this entry.
    Runs(ProgramIndex),
    /// The process is killed.
    Dies(Box<Denial>),
}

/// The entry of the program, or the reason why it has none.
type EntryDecision = Result<ProgramIndex, Box<Denial>>;

impl PolicyEngine {
    /// Decides on the program that an exec by the program entry `caller` has started.
    ///
    /// # Errors
    /// A file has to be read before the decision.
    pub fn started(
        &self,
        caller: Option<ProgramIndex>,
        started: &StartedProgram,
        files: &dyn FileContents,
    ) -> Result<Verdict, NotYet> {
        let checked = self.check(caller, started, files)?;
        Ok(checked.map_or_else(Verdict::Dies, Verdict::Runs))
    }

    fn check(
        &self,
        caller: Option<ProgramIndex>,
        started: &StartedProgram,
        files: &dyn FileContents,
    ) -> Result<EntryDecision, NotYet> {
        if !started.linked {
            // A memfd, or a file that was removed: it cannot be listed.
            return Ok(Err(refuse(&started.canonical, "/programs".into(), None)));
        }
        if let Some(refusal) = self.variable(&started.initial_stack.for_programs, files)? {
            return Ok(Err(refusal));
        }
        // The interpreter of a listed script has the script's entry, even where it is a program too.
        let listed = self.interpreters.contains(&started.id);
        let mut refused = None;
        if listed && let Some((script, decided)) = self.as_script(caller, started, files)? {
            match decided {
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
            && let Some((script, decided)) = self.as_script(caller, started, files)?
        {
            match decided {
                Ok(entry) => return self.digested(entry, Some(&script), started, files),
                Err(refusal) => refused = Some(refusal),
            }
        }
        // The denial of an interpreter's own exec is more precise than that of a script. A
        // variable is denied only of a script that is otherwise allowed.
        let is_program = !self.entries(&started.target(false)).is_empty();
        let refused = refused.filter(|refusal| !is_program || refusal.kind == ViolationKind::Environment);
        Ok(Err(refused.unwrap_or(own)))
    }

    /// The decision by the mapped file.
    fn as_itself(
        &self,
        caller: Option<ProgramIndex>,
        started: &StartedProgram,
        files: &dyn FileContents,
    ) -> Result<EntryDecision, NotYet> {
        let listed = self.programs.contains_key(&started.id);
        let derived = self.policy.derived.get(&started.id) == Some(&Role::Loader);
        let below = self.beneath(&started.canonical).next().is_some();
        // A program that a loader starts is no loader itself. Another file below a directory
        // may be a copy of a loader.
        let loader = !listed
            && (derived || (below && !started.initial_stack.by_loader && files.is_loader(started)?));
        let target = started.target(loader);
        let args = &started.initial_stack.args;
        let called = Called { args: Some(&args.list), cut: !args.is_whole(), uids: Some(started.uids) };
        Ok(self.exec(caller, &target, called))
    }

    /// The decision by the script that was passed to execve; `None` where that is no script, or not
    /// the one in the interpreter's arguments.
    fn as_script(
        &self,
        caller: Option<ProgramIndex>,
        started: &StartedProgram,
        files: &dyn FileContents,
    ) -> Result<Option<(Script, EntryDecision)>, NotYet> {
        let initial_stack = &started.initial_stack;
        // The kernel passes the executed path to an interpreter.
        let args = &initial_stack.args.list;
        if !args.iter().skip(1).any(|arg| *arg == initial_stack.named) {
            return Ok(None);
        }
        let Some(script) = files.script(&initial_stack.named)? else { return Ok(None) };
        let lead = script.lead.len();
        let as_the_kernel_does = args.len() > lead
            && args[..lead] == script.lead
            && args[lead] == initial_stack.named
            && script.interpreter == started.id;
        if !as_the_kernel_does {
            return Ok(None);
        }
        let named = script.canonical.clone();
        let target = ExecTarget {
            id: script.id,
            canonical: named.clone(),
            named,
            loader: false,
            of_image: script.of_image,
        };
        let cut = !initial_stack.args.is_whole();
        let called = Called { args: Some(&args[lead..]), cut, uids: Some(started.uids) };
        let decided = match self.exec(caller, &target, called) {
            Ok(entry) => self.variable_of_scripts(&initial_stack.for_scripts, files)?.map_or(Ok(entry), Err),
            refused => refused,
        };
        Ok(Some((script, decided)))
    }

    /// Denies a started program that cannot be read.
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

    /// The entry, once its digest, if it has one, is compared.
    fn digested(
        &self,
        entry: ProgramIndex,
        script: Option<&Script>,
        started: &StartedProgram,
        files: &dyn FileContents,
    ) -> Result<EntryDecision, NotYet> {
        let Some(wanted) = self.digest(entry) else { return Ok(Ok(entry)) };
        let found = files.digest(started, script)?;
        let is_it = found.as_deref() == Some(wanted);
        Ok(if is_it { Ok(entry) } else { Err(self.other_content(entry, found)) })
    }
}
