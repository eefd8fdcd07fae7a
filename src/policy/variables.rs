//! Variables by which a process makes another run code, by their values: what a value names may stay
//! where no process inside can change what is there. It is then no more than a library that
//! the program itself needs.
//!
//! What this rests on cannot change after it was read: every folder on the way, every link, the
//! file and what is below a folder, is none that the plan lets a process inside write, make, remove
//! or move.

use std::fmt;
use std::path::PathBuf;

use super::initial_stack::{CopiedFor, StackVariables};
use super::{Denial, PolicyEngine};
use crate::event::{VariableFault, ViolationKind, ViolationObject, Want};
use crate::plan::ProgramIndex;
use crate::plan::environment::named::{NamedPath, Unknown};
use crate::plan::environment::value::{self, ValueKind};

/// A file has to be read before the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotYet;

/// What is at the paths that a value names, which may take time to find out.
pub trait Places {
    /// Whether a process inside may change what a path leads to; `Ok` where none may.
    ///
    /// # Errors
    /// The path has not been looked at yet.
    fn settled(&self, named: NamedPath) -> Result<Result<(), Unsettled>, NotYet>;
}

/// Why what a path leads to is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// A process inside may make, remove or move this name.
    Name(PathBuf),
    /// A process inside may write the file, or something in the folder.
    Content(PathBuf),
    /// It is a file that the supervisor or the app writes to by a descriptor: the log, or standard
    /// output.
    Stream(PathBuf),
    /// It leads over a process's own files.
    Process(PathBuf),
    /// The process has another root.
    Root,
    /// It is no file and no folder, or none that could be looked at.
    Other(PathBuf),
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsettled::Name(path) => write!(f, "the app may make or move {}", path.display()),
            Unsettled::Content(path) => write!(f, "the app may change {}", path.display()),
            Unsettled::Stream(path) => write!(f, "{} is written to", path.display()),
            Unsettled::Process(path) => write!(f, "{} is a process's", path.display()),
            Unsettled::Root => f.write_str("the process has another root"),
            Unsettled::Other(path) => write!(f, "{} cannot be looked at", path.display()),
        }
    }
}

/// The part of a value by which a variable is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The part of the value: a path, an option, or all of it.
    pub part: Vec<u8>,
    /// Why it is refused.
    pub why: String,
}

impl From<Unknown<'_>> for Fault {
    fn from(unknown: Unknown<'_>) -> Fault {
        Fault { part: unknown.part.to_vec(), why: unknown.why.to_owned() }
    }
}

/// The first part of a value that is unknown, or that names what is not settled.
fn fault(kind: ValueKind, value: &[u8], places: &dyn Places) -> Result<Option<Fault>, NotYet> {
    let named = match value::named(kind, value) {
        Ok(named) => named,
        Err(unknown) => return Ok(Some(unknown.into())),
    };
    for named in named {
        if let Err(why) = places.settled(named)? {
            return Ok(Some(Fault { part: named.path.to_vec(), why: why.to_string() }));
        }
    }
    Ok(None)
}

impl PolicyEngine {
    /// What is left of a variable in the container's own environment, and what of it is refused: of
    /// a list of folders some, of everything else all.
    ///
    /// # Errors
    /// As [`Places::settled`].
    pub fn without_faults(
        &self,
        name: &[u8],
        value: &[u8],
        places: &dyn Places,
    ) -> Result<(Option<Vec<u8>>, Vec<Fault>), NotYet> {
        let whole = || Some(value.to_vec());
        let Some(kind) = self.policy.variable(name).filter(|_| !value.is_empty()) else {
            return Ok((whole(), Vec::new()));
        };
        let Some(separators) = value::folders(kind) else {
            let fault = fault(kind, value, places)?;
            return Ok((fault.is_none().then(whole).flatten(), fault.into_iter().collect()));
        };
        let (mut left, mut faults) = (Vec::new(), Vec::new());
        for part in value.split(|byte| separators.contains(byte)) {
            match fault(kind, part, places)? {
                None => left.push(part),
                Some(fault) => faults.push(fault),
            }
        }
        let left = if left.is_empty() { None } else { Some(left.join(&separators[..1])) };
        Ok((left, faults))
    }

    /// Denies a variable that no program may get: one that makes a loader run code which a process
    /// inside may change, or that the profile drops by name. A loader ignores an empty one.
    ///
    /// # Errors
    /// As [`Places::settled`].
    pub(super) fn variable(
        &self,
        environment: &StackVariables,
        places: &dyn Places,
    ) -> Result<Option<Box<Denial>>, NotYet> {
        denied(environment, |name, value, _| Some((self.policy.variable(name)?, value)), places)
    }

    /// Denies a variable by which an interpreter runs other code than its script, and that the
    /// container was not started with.
    ///
    /// # Errors
    /// As [`Places::settled`].
    pub(super) fn variable_of_scripts(
        &self,
        environment: &StackVariables,
        places: &dyn Places,
    ) -> Result<Option<Box<Denial>>, NotYet> {
        denied(
            environment,
            |name, value, whole| Some((self.kind_of_scripts(name, value, whole)?, value)),
            places,
        )
    }

    fn kind_of_scripts(&self, name: &[u8], value: &[u8], whole: &[u8]) -> Option<ValueKind> {
        self.policy.variable_of_scripts(name, value).filter(|_| !self.inherited.contains(whole))
    }

    /// Denies one variable of an environment that was read before the exec.
    ///
    /// # Errors
    /// As [`Places::settled`].
    pub fn variable_before_exec(
        &self,
        entry: ProgramIndex,
        variable: &[u8],
        places: &dyn Places,
    ) -> Result<Option<Box<Denial>>, NotYet> {
        let one = || StackVariables { list: vec![variable.to_vec()], truncated: false };
        let is_script = self.policy.program(entry).interpreter.is_some();
        match self.copied_for(variable) {
            Some(CopiedFor::Programs) => self.variable(&one(), places),
            Some(CopiedFor::Scripts) if is_script => self.variable_of_scripts(&one(), places),
            _ => Ok(None),
        }
    }

    /// The rule that a variable of an environment must be copied for.
    pub fn copied_for(&self, variable: &[u8]) -> Option<CopiedFor> {
        let (name, value) = parts(variable)?;
        if self.policy.variable(name).is_some() {
            return Some(CopiedFor::Programs);
        }
        self.kind_of_scripts(name, value, variable).map(|_| CopiedFor::Scripts)
    }
}

/// The name and the value of a variable that has both; an empty one has no effect.
fn parts(variable: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = variable.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&variable[..end], &variable[end + 1..]);
    (!value.is_empty()).then_some((name, value))
}

/// Denies the first variable with a fault; those that were left out may have one.
fn denied<'a>(
    environment: &'a StackVariables,
    kind: impl Fn(&[u8], &'a [u8], &[u8]) -> Option<(ValueKind, &'a [u8])>,
    places: &dyn Places,
) -> Result<Option<Box<Denial>>, NotYet> {
    for variable in &environment.list {
        let Some((name, value)) = parts(variable) else { continue };
        let Some((kind, value)) = kind(name, value, variable) else { continue };
        if let Some(fault) = fault(kind, value, places)? {
            return Ok(Some(of_fault(name, fault, kind)));
        }
    }
    Ok(environment
        .truncated
        .then(|| denial(ViolationObject::Name { name: "too many variables".into() }, None)))
}

/// Bytes of a name or of a part of a value in an event.
const LONGEST: usize = 256;

fn of_fault(name: &[u8], Fault { part, why }: Fault, kind: ValueKind) -> Box<Denial> {
    let whole = name.len() <= LONGEST;
    let name = shown(name);
    let want = whole.then(|| Want::Environment(name.clone()));
    let object = match kind {
        // Its value says nothing, and may be a secret.
        ValueKind::Opaque => ViolationObject::Name { name: name.into() },
        _ => {
            let (value, why) = (shown(&part), shown(why.as_bytes()));
            ViolationObject::Variable(Box::new(VariableFault { name, value, why }))
        }
    };
    denial(object, want)
}

/// A text for an event, cut to its first bytes.
pub fn shown(text: &[u8]) -> String {
    let mut shown = String::from_utf8_lossy(text).into_owned();
    if shown.len() > LONGEST {
        shown.truncate(shown.floor_char_boundary(LONGEST));
        shown.push('…');
    }
    shown
}

fn denial(object: ViolationObject, want: Option<Want>) -> Box<Denial> {
    let (kind, rule) = (ViolationKind::Environment, "/environment".into());
    Box::new(Denial { kind, errno: nix::errno::Errno::EACCES, object, rule, want })
}
