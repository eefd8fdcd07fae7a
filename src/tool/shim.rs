//! Starts the shim for a run.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::error::ToolError;
use super::session::{self, RunEnd, Session, Spawn, Until};

/// The shim's environment variables, which a run of the tool does not inherit.
const OURS: [&str; 5] =
    ["REMIT_PROFILE", "REMIT_MODE", "REMIT_EVENTS", "REMIT_EVENTS_LEVEL", "REMIT_LEARN_DIR"];

/// The path of remit-init.
#[derive(Clone, Debug)]
pub(super) struct Shim(PathBuf);

impl Shim {
    /// The named one, otherwise the one beside the tool, otherwise the one in PATH.
    ///
    /// # Errors
    /// It is missing, or not an executable file.
    pub fn find(named: Option<&Path>) -> Result<Shim, ToolError> {
        const NAME: &str = "remit-init";
        if let Some(path) = named {
            return match std::fs::metadata(path) {
                Ok(found)
                    if found.is_file()
                        && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok() =>
                {
                    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                    Ok(Shim(path))
                }
                Ok(_) => Err(ToolError::NoExecutable(path.to_owned())),
                Err(error) => Err(ToolError::Shim { path: path.to_owned(), error }),
            };
        }
        let tool = std::env::current_exe().ok();
        let beside = tool.as_deref().and_then(Path::parent).map(|folder| folder.join(NAME));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        let mut candidates = beside.into_iter().chain(in_path.map(|folder| folder.join(NAME)));
        let found = candidates
            .find(|path| path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok());
        found.map(Shim).ok_or(ToolError::NoShim)
    }

    /// Runs COMMAND with these options of the shim, and reads its events.
    ///
    /// # Errors
    /// It could not be started or waited for.
    pub fn run(
        &self,
        session: &Session,
        options: &[OsString],
        command: &[OsString],
        until: &Until,
    ) -> Result<RunEnd, ToolError> {
        let (ours, theirs) = session::pipe()?;
        let events = format!("fd:{}", theirs.as_raw_fd());
        let mut arguments: Vec<OsString> = vec![self.0.clone().into()];
        arguments.extend(options.iter().cloned());
        arguments.extend(["--events".into(), events.into(), "--".into()]);
        arguments.extend(command.iter().cloned());
        let pid = self.start(session, arguments, &theirs)?;
        drop(theirs);
        session.wait(pid, Some(ours), until, None)
    }

    fn start(&self, session: &Session, arguments: Vec<OsString>, keeps: &OwnedFd) -> Result<i32, ToolError> {
        session.start(&Spawn {
            program: self.0.as_os_str(),
            arguments,
            without: &OURS,
            keeps: Some(keeps),
            aside: true,
            group: false,
        })
    }
}
