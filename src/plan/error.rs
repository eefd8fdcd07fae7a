//! The error of a profile for which no plan can be made: a variant for each cause, with its
//! arguments.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use caps::Capability;

use super::Role;
use super::step::names;
use crate::ids;
use crate::image::{FileInfo, why};
use crate::profile::RunAs;

/// A profile that cannot be enforced on this host. Displayed in one line.
#[derive(Debug)]
pub struct PlanError {
    /// JSON Pointer of the entry that cannot be enforced; empty where the host and not the profile is
    /// the cause.
    pub pointer: String,
    /// The cause.
    pub fault: Box<PlanFault>,
}

impl PlanError {
    /// An error at an entry of the profile.
    pub(super) fn at(pointer: impl Into<String>, fault: PlanFault) -> PlanError {
        PlanError { pointer: pointer.into(), fault: Box::new(fault) }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for PlanError {}

/// Why an entry cannot be enforced. Displayed with what to do about it.
#[derive(Debug)]
pub enum PlanFault {
    /// The attributes of a file could not be read (stat(2)).
    Stat(PathBuf, io::Error),
    /// The first bytes of a program could not be read.
    Read(PathBuf, io::Error),
    /// A directory could not be listed.
    List(PathBuf, io::Error),
    /// `mode` is learn.
    Learn,
    /// `mode` is off.
    Off,
    /// A rule on UDP that names a port or an address.
    Udp,
    /// `ready` waits for a socket, and the profile listens on none.
    NothingListens,
    /// The user cannot be changed.
    User {
        /// The user of the profile.
        wanted: RunAs,
        /// The user of the supervisor.
        own: RunAs,
        /// The capabilities that the change takes and the supervisor lacks.
        missing: Vec<Capability>,
    },
    /// A limit is above the hard limit of the environment.
    Limit {
        /// The limit of the profile.
        value: u64,
        /// The hard limit.
        hard: u64,
    },
    /// An exact profile lacks calls that the loader makes.
    NotLoaded {
        /// The calls of which one is needed.
        calls: Vec<&'static str>,
        /// What it is needed for.
        purpose: &'static str,
        /// The entries that help.
        help: Vec<&'static str>,
    },
    /// A `path` of a program that is a directory.
    ProgramIsDirectory(PathBuf),
    /// A `beneath` that is no directory.
    NotDirectory(PathBuf),
    /// A program that is no regular file.
    NotRegular(PathBuf),
    /// A library that is neither a file nor a directory.
    NotLibrary(PathBuf),
    /// A program that is not there.
    NoProgram(PathBuf),
    /// Two entries are one file.
    SameProgram {
        /// The path of the entry.
        path: PathBuf,
        /// The path of the earlier entry.
        other: PathBuf,
        /// The number of the earlier entry.
        index: usize,
    },
    /// A script whose entry has no `interpreter`.
    NoInterpreter {
        /// The script.
        path: PathBuf,
        /// What its `#!` line names.
        line: PathBuf,
    },
    /// A script whose entry has another `interpreter`.
    OtherInterpreter {
        /// The script.
        path: PathBuf,
        /// What its `#!` line names.
        line: PathBuf,
        /// What the entry names.
        named: PathBuf,
    },
    /// A program with an `interpreter` that is no script.
    NotScript(PathBuf),
    /// The interpreter of a script is a script, and so on.
    DeepScript {
        /// The last of the scripts.
        path: PathBuf,
        /// How many there may be.
        most: usize,
    },
    /// An ELF file for another machine.
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its e_machine.
        machine: u16,
    },
    /// A file that the kernel cannot execute.
    NotExecutable(PathBuf),
    /// A loader or interpreter that is named by a relative path.
    Relative {
        /// The program.
        path: PathBuf,
        /// What the other file is to it.
        role: Role,
        /// The loader or interpreter.
        next: PathBuf,
    },
    /// A loader or interpreter that is not there.
    NoFile {
        /// The program.
        path: PathBuf,
        /// What the other file is to it.
        role: Role,
        /// The loader or interpreter.
        next: PathBuf,
    },
    /// The directory of a file that is to be created is not there.
    NoDirectory(PathBuf),
    /// A file is not there.
    Missing(PathBuf),
    /// A path leads over a link that the app may create.
    CreatableLink {
        /// The path.
        path: PathBuf,
        /// The link.
        link: PathBuf,
        /// JSON Pointer of the entry that lets the app create it.
        by: String,
        /// Where it leads.
        end: PathBuf,
    },
    /// The directory of a name that may be created is behind a link that the app may change.
    ChangeableLink {
        /// The link.
        link: PathBuf,
        /// JSON Pointer of the entry that lets the app change it.
        by: String,
    },
    /// A protected file can be changed.
    Changeable {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
        /// The path by which it can be changed.
        through: PathBuf,
    },
    /// A protected file can be changed by another hard link.
    HardLink {
        /// The path by which it can be changed.
        path: PathBuf,
        /// The protected file.
        other: PathBuf,
    },
    /// Files may be changed in or around a directory of programs or libraries.
    Within {
        /// What may be changed.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
        /// What it is.
        what: String,
    },
    /// Files below /proc may be written.
    Proc(PathBuf),
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanFault::Stat(path, error) => {
                write!(f, "cannot look at `{}`: {}", path.display(), why(error))
            }
            PlanFault::Read(path, error) => write!(f, "cannot read `{}`: {}", path.display(), why(error)),
            PlanFault::List(path, error) => write!(f, "cannot list `{}`: {}", path.display(), why(error)),
            PlanFault::Learn => f.write_str(
                "`learn` records what the app does and is not confined by a profile, so there is nothing to plan",
            ),
            PlanFault::Off => f.write_str("`off` confines nothing, so there is nothing to plan"),
            PlanFault::Udp => f.write_str(
                "this version does not honour UDP by port or address yet; write `udp/*` (every datagram would be allowed)",
            ),
            PlanFault::NothingListens => f.write_str(
                "\"listening\" waits for what `network.listen` names, which is nothing; name a port there, or write \"notify\" or \"delay\"",
            ),
            PlanFault::User { wanted, own, missing } => write!(
                f,
                "cannot become uid {} gid {} groups {} from uid {} gid {} groups {}: it takes {}, which this place does not have; start the container as that user, or add the capability",
                wanted.user,
                wanted.group,
                ids::list(&wanted.groups),
                own.user,
                own.group,
                ids::list(&own.groups),
                names(missing)
            ),
            PlanFault::Limit { value, hard } => write!(
                f,
                "{value} is above the hard limit here, {hard}; ask for less, or raise the container's ulimit"
            ),
            PlanFault::NotLoaded { calls, purpose, help } => write!(
                f,
                "is exact and has no {}, by which the loader of a program has to {purpose}; add {}",
                calls.join(" or "),
                help.join(", ")
            ),
            PlanFault::ProgramIsDirectory(path) => {
                write!(f, "`{}` is a directory; name a program in it, or use `beneath`", path.display())
            }
            PlanFault::NotDirectory(path) => {
                write!(f, "`{}` is not a directory; use `path` for one program", path.display())
            }
            PlanFault::NotRegular(path) => write!(f, "`{}` is not a regular file", path.display()),
            PlanFault::NotLibrary(path) => {
                write!(f, "`{}` is neither a file nor a directory", path.display())
            }
            PlanFault::NoProgram(path) => {
                write!(f, "`{}` is not there; put it into the image, or take the entry out", path.display())
            }
            PlanFault::SameProgram { path, other, index } => write!(
                f,
                "`{}` is the same file as `{}` (/programs/{index}); list it once, or give each an `applet` of its own",
                path.display(),
                other.display()
            ),
            PlanFault::NoInterpreter { path, line } => write!(
                f,
                "`{}` is a script; add `\"interpreter\": \"{}\"`, which its #! line names",
                path.display(),
                line.display()
            ),
            PlanFault::OtherInterpreter { path, line, named } => write!(
                f,
                "the #! line of `{}` names `{}`, not `{}`; write what it names",
                path.display(),
                line.display(),
                named.display()
            ),
            PlanFault::NotScript(path) => {
                write!(f, "`{}` is no script; take `interpreter` out", path.display())
            }
            PlanFault::DeepScript { path, most } => {
                write!(f, "`{}`: interpreters are scripts, more than {most} deep", path.display())
            }
            PlanFault::Foreign { path, machine } => write!(
                f,
                "`{}` is an ELF file for another machine (e_machine {machine}); put this architecture's into the image",
                path.display()
            ),
            PlanFault::NotExecutable(path) => write!(
                f,
                "the kernel cannot execute `{}`: it is neither an ELF program nor begins with #!",
                path.display()
            ),
            PlanFault::Relative { path, role, next } => write!(
                f,
                "the {} of `{}` is `{}`, which is no absolute path",
                role.name(),
                path.display(),
                next.display()
            ),
            PlanFault::NoFile { path, role, next } => write!(
                f,
                "the {} of `{}`, `{}`, is not there; put it into the image",
                role.name(),
                path.display(),
                next.display()
            ),
            PlanFault::NoDirectory(path) => write!(
                f,
                "the directory of `{}` is not there; make it in the image, or say `\"optional\": true`",
                path.display()
            ),
            PlanFault::Missing(path) => write!(
                f,
                "`{}` is not there; put it into the image, or say `\"optional\": true`",
                path.display()
            ),
            PlanFault::CreatableLink { path, link, by, end } => write!(
                f,
                "`{}` leads over the link `{}`, which {by} lets the app make; name what is meant, perhaps `{}`, or say `\"optional\": true`",
                path.display(),
                link.display(),
                end.display()
            ),
            PlanFault::ChangeableLink { link, by } => write!(
                f,
                "it leads over the link `{}`, which {by} lets the app change; name what it leads to",
                link.display()
            ),
            PlanFault::Changeable { path, what, through } => write!(
                f,
                "it lets the app change `{}`, {what}, through `{}`; take write, create and remove away, or move one of them",
                path.display(),
                through.display()
            ),
            PlanFault::HardLink { path, other } => write!(
                f,
                "it lets the app change `{}`, which is the same file as `{}` (a hard link); take `write` away, or copy the file",
                path.display(),
                other.display()
            ),
            PlanFault::Within { path, directory, what } => write!(
                f,
                "`{}` is in or around `{}`, {what}; move it to a directory of its own",
                path.display(),
                directory.display()
            ),
            PlanFault::Proc(path) => write!(
                f,
                "`{}` lets the app write below /proc, and so into the memory of programs; grant `read` alone",
                path.display()
            ),
        }
    }
}

/// The result of a lookup in the image; a failure becomes an error at `pointer`.
pub(super) fn stat(
    found: io::Result<Option<FileInfo>>,
    path: &Path,
    pointer: &str,
) -> Result<Option<FileInfo>, PlanError> {
    found.map_err(|error| PlanError::at(pointer, PlanFault::Stat(path.to_owned(), error)))
}
