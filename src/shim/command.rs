//! COMMAND: found along PATH, and checked before anything is confined, so that a message says
//! what is wrong with it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::image::{Executable, FileKind, ImageFiles};
use crate::kernel::Arch;

/// Where PATH is not set (execvp(3), without the working directory).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// COMMAND cannot be executed.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandError {
    /// What execve(2) returns, or would return: ENOENT where no file is there.
    pub errno: Errno,
    /// The message: which file is wrong, and how.
    pub text: String,
    /// The file that was found.
    pub file: Option<PathBuf>,
    /// It is neither an ELF program nor a script, which execvp(3) would give to a shell.
    pub unknown: bool,
}

impl CommandError {
    fn not_found(text: String) -> CommandError {
        CommandError { errno: Errno::ENOENT, text, file: None, unknown: false }
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
        return Err(CommandError::not_found("COMMAND is empty; name a program".to_owned()));
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
    let name = command.display();
    Err(found_wrong.unwrap_or_else(|| {
        CommandError::not_found(format!(
            "{name}: not found along PATH ({}); name a program that is there, or its whole path",
            path.display()
        ))
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
    let name = file.display();
    let wrong = |errno, why: &str| {
        let text = format!("{name}: {why}");
        Err(CommandError { errno, text, file: Some(file.to_owned()), unknown: false })
    };
    let cannot = |why: &str| wrong(Errno::EACCES, why);
    let stat = match files.stat(file) {
        Ok(Some(stat)) => stat,
        Ok(None) => {
            return Err(CommandError::not_found(format!("{name}: not found; name a program that is there")));
        }
        Err(error) => return cannot(&format!("cannot be looked at: {}", crate::image::why(&error))),
    };
    match stat.kind {
        FileKind::Regular => {}
        FileKind::Directory => return cannot("is a directory; name a program in it"),
        FileKind::Device | FileKind::Other => {
            return cannot("is a device, a socket or a pipe; name a program");
        }
    }
    if stat.mode & 0o111 == 0 {
        return cannot("has no execute bit; chmod +x it");
    }
    let needs = |role: &str, path: &Path| match files.stat(path) {
        Ok(Some(_)) => Ok(()),
        _ => wrong(
            Errno::ENOENT,
            &format!("its {role} {} is not there; put it into the image", path.display()),
        ),
    };
    match files.executable(file) {
        // Whether a file that can be executed and not read (mode 0711) is one, the kernel decides.
        Ok(Executable::Static | Executable::Loader) | Err(_) => Ok(()),
        Ok(Executable::Dynamic(loader)) => needs("ELF loader", &loader),
        Ok(Executable::Script(interpreter, _)) => needs("#! interpreter", &interpreter),
        Ok(Executable::Foreign(machine)) => {
            let (is, this) = (machine_name(machine), Arch::THIS);
            let why = format!("is for another machine ({is}); put one built for {this} into the image");
            wrong(Errno::ENOEXEC, &why)
        }
        Ok(Executable::Unknown) => wrong(
            Errno::ENOEXEC,
            "is neither an ELF program nor a script; begin a script with a line such as #!/bin/sh",
        )
        .map_err(|error| CommandError { unknown: true, ..error }),
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
