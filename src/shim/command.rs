//! COMMAND: found along PATH, and checked before anything is confined, so that a message says
//! what is wrong with it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::image::{Executable, FileKind, ImageFiles};
use crate::kernel::Arch;
use crate::sys;

/// Where PATH is not set (execvp(3), without the working directory).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// COMMAND cannot be executed.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandError {
    /// What execve(2) returns, or would return: ENOENT where no file is there.
    pub errno: Errno,
    /// The file that was found.
    pub file: Option<PathBuf>,
    /// Which file is wrong, and how.
    pub fault: Box<CommandFault>,
}

impl CommandError {
    fn not_found(fault: CommandFault) -> CommandError {
        CommandError { errno: Errno::ENOENT, file: None, fault: Box::new(fault) }
    }
}

/// What is wrong with COMMAND. Displayed with the name of the file.
#[derive(Debug, PartialEq, Eq)]
pub enum CommandFault {
    /// It is empty.
    Empty,
    /// No directory of PATH has it.
    NotAlongPath {
        /// The name.
        name: OsString,
        /// The variable PATH.
        path: OsString,
    },
    /// There is no file of this path.
    NotFound(PathBuf),
    /// stat(2) of the file failed.
    Stat(PathBuf, Errno),
    /// It is a directory.
    Directory(PathBuf),
    /// It is no regular file.
    Special(PathBuf),
    /// It has no execute bit.
    NoExecuteBit(PathBuf),
    /// The loader or interpreter that it names is not there.
    Needs {
        /// The file.
        file: PathBuf,
        /// What the other file is to it.
        role: &'static str,
        /// The file that is missing.
        missing: PathBuf,
    },
    /// An ELF file for another machine: its e_machine.
    Foreign(PathBuf, u16),
    /// It is neither an ELF program nor a script, which execvp(3) would give to a shell.
    Unknown(PathBuf),
    /// execve(2) of it failed.
    Exec(PathBuf, Errno),
    /// The profile does not allow it.
    NotAllowed {
        /// The file.
        file: PathBuf,
        /// JSON Pointer of the rule.
        rule: String,
        /// What messages call the profile.
        profile: String,
        /// The change of the profile that would allow it, as JSON.
        hint: Option<String>,
    },
}

impl fmt::Display for CommandFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, what): (_, &dyn fmt::Display) = match self {
            CommandFault::Empty => return f.write_str("COMMAND is empty; name a program"),
            CommandFault::NotAlongPath { name, path } => {
                return write!(
                    f,
                    "{}: not found along PATH ({}); name a program that is there, or its whole path",
                    name.display(),
                    path.display()
                );
            }
            CommandFault::Stat(file, errno) => {
                return write!(f, "{}: cannot be looked at: {}", file.display(), errno.desc());
            }
            CommandFault::Needs { file, role, missing } => {
                return write!(
                    f,
                    "{}: its {role} {} is not there; put it into the image",
                    file.display(),
                    missing.display()
                );
            }
            CommandFault::Foreign(file, machine) => {
                let (is, this) = (machine_name(*machine), Arch::THIS);
                let file = file.display();
                return write!(
                    f,
                    "{file}: is for another machine ({is}); put one built for {this} into the image"
                );
            }
            CommandFault::Exec(file, errno) => {
                return write!(f, "{}: cannot be executed: {errno}", file.display());
            }
            CommandFault::NotAllowed { file, rule, profile, hint } => {
                match &**rule {
                    "/programs" => write!(f, "{}: is no entry of profile {profile}; ", file.display())?,
                    rule => {
                        write!(f, "{}: is not what {rule} says in profile {profile}; ", file.display())?;
                    }
                }
                return match hint {
                    None => f.write_str("call it so"),
                    Some(hint) => write!(f, "name one, or apply {hint}"),
                };
            }
            CommandFault::NotFound(file) => (file, &"not found; name a program that is there"),
            CommandFault::Directory(file) => (file, &"is a directory; name a program in it"),
            CommandFault::Special(file) => (file, &"is a device, a socket or a pipe; name a program"),
            CommandFault::NoExecuteBit(file) => (file, &"has no execute bit; chmod +x it"),
            CommandFault::Unknown(file) => (
                file,
                &"is neither an ELF program nor a script; begin a script with a line such as #!/bin/sh",
            ),
        };
        write!(f, "{}: {what}", file.display())
    }
}

/// Where COMMAND may be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// In PATH's absolute directories alone, so that files in the app's working directory do not
    /// decide what is executed.
    Absolute,
    /// In all of PATH, as execvp(3) does.
    Anywhere,
}

/// The absolute path of the file that COMMAND names.
///
/// # Errors
/// It is not there, or this machine cannot execute it, or its interpreter or loader is missing.
pub fn find(
    command: &OsStr,
    path: Option<OsString>,
    search: Search,
    files: &dyn ImageFiles,
) -> Result<PathBuf, CommandError> {
    if command.is_empty() {
        return Err(CommandError::not_found(CommandFault::Empty));
    }
    if command.as_bytes().contains(&b'/') {
        let absolute = std::path::absolute(command).unwrap_or_else(|_| PathBuf::from(command));
        return executable(&absolute, files).map(|()| absolute);
    }
    let path = path.filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_PATH.into());
    let mut found_wrong = None;
    let searched = |directory: &PathBuf| search == Search::Anywhere || directory.is_absolute();
    for directory in std::env::split_paths(&path).filter(searched) {
        let file = directory.join(command);
        // An empty or relative one is below the working directory.
        let file = std::path::absolute(&file).unwrap_or(file);
        match executable(&file, files) {
            Ok(()) => return Ok(file),
            Err(CommandError { errno: Errno::ENOENT, file: None, .. }) => {}
            Err(error) => found_wrong = found_wrong.or(Some(error)),
        }
    }
    Err(found_wrong.unwrap_or_else(|| {
        CommandError::not_found(CommandFault::NotAlongPath { name: command.to_owned(), path })
    }))
}

/// The files that a search for `name` along PATH tries before the one that it finds; none
/// where nothing is found, or where nothing is searched for.
pub fn tried_before(name: &OsStr, path: Option<&OsStr>, is_found: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Vec::new();
    }
    let path = path.filter(|path| !path.is_empty()).unwrap_or(DEFAULT_PATH.as_ref());
    let mut tried = Vec::new();
    for directory in std::env::split_paths(path) {
        let file = directory.join(name);
        let file = std::path::absolute(&file).unwrap_or(file);
        if is_found(&file) {
            return tried;
        }
        tried.push(file);
    }
    Vec::new()
}

fn executable(file: &Path, files: &dyn ImageFiles) -> Result<(), CommandError> {
    let wrong =
        |errno, fault| Err(CommandError { errno, file: Some(file.to_owned()), fault: Box::new(fault) });
    let cannot = |fault| wrong(Errno::EACCES, fault);
    let own = || file.to_owned();
    let stat = match files.stat(file) {
        Ok(Some(stat)) => stat,
        Ok(None) => return Err(CommandError::not_found(CommandFault::NotFound(own()))),
        Err(error) => return cannot(CommandFault::Stat(own(), sys::errno(&error))),
    };
    match stat.kind {
        FileKind::Regular => {}
        FileKind::Directory => return cannot(CommandFault::Directory(own())),
        FileKind::Device | FileKind::Other => return cannot(CommandFault::Special(own())),
    }
    if stat.mode & 0o111 == 0 {
        return cannot(CommandFault::NoExecuteBit(own()));
    }
    let needs = |role, missing: PathBuf| match files.stat(&missing) {
        Ok(Some(_)) => Ok(()),
        _ => wrong(Errno::ENOENT, CommandFault::Needs { file: own(), role, missing }),
    };
    match files.executable(file) {
        // Whether a file that can be executed and not read (mode 0711) is one, the kernel decides.
        Ok(Executable::Static | Executable::Loader) | Err(_) => Ok(()),
        Ok(Executable::Dynamic(loader)) => needs("ELF loader", loader),
        Ok(Executable::Script(interpreter, _)) => needs("#! interpreter", interpreter),
        Ok(Executable::Foreign(machine)) => wrong(Errno::ENOEXEC, CommandFault::Foreign(own(), machine)),
        Ok(Executable::Unknown) => wrong(Errno::ENOEXEC, CommandFault::Unknown(own())),
    }
}

/// The machine of an ELF header (elf.h, EM_*), as images call it.
fn machine_name(machine: u16) -> String {
    let name = match machine {
        3 => "386",
        21 => "ppc64le",
        22 => "s390x",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        258 => "loong64",
        other => return format!("ELF machine {other}"),
    };
    name.to_owned()
}
