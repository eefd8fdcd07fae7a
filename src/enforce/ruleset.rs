//! The Landlock ruleset of a plan, built before the fork.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use landlock::{BitFlags, Scope};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, fstat};

use crate::image::FileId;
use crate::plan::{Landlock, PathRule};
use crate::sys::{self, landlock::RulesetAttr};

/// Why the ruleset could not be built.
#[derive(Debug)]
pub enum RulesetError {
    /// What landlock_create_ruleset(2) returned.
    Create(Errno),
    /// The path of a rule could not be opened; without an errno it leads to another file than was
    /// planned.
    Open {
        /// The path of the rule.
        path: PathBuf,
        /// What open(2) returned.
        errno: Option<Errno>,
    },
    /// The kernel does not accept the rule of a path.
    Path {
        /// The path of the rule.
        path: PathBuf,
        /// What landlock_add_rule(2) returned.
        errno: Errno,
    },
    /// The kernel does not accept the rule of a TCP port.
    Port {
        /// The port number.
        port: u16,
        /// What landlock_add_rule(2) returned.
        errno: Errno,
    },
}

impl fmt::Display for RulesetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("landlock: ")?;
        match self {
            RulesetError::Create(errno) => write!(f, "failed to create a ruleset: {errno}"),
            RulesetError::Open { path, errno } => {
                write!(f, "{}: ", path.display())?;
                match errno {
                    Some(errno) => write!(f, "cannot be opened: {errno}")?,
                    None => f.write_str("was replaced during the start")?,
                }
                f.write_str("; make sure that nothing writes to the image during the start")
            }
            RulesetError::Path { path, errno } => {
                write!(f, "{}: failed to add a rule: {errno}", path.display())
            }
            RulesetError::Port { port, errno } => write!(f, "tcp/{port}: failed to add a rule: {errno}"),
        }
    }
}

impl std::error::Error for RulesetError {}

/// Builds the ruleset. Every path is opened here: one that cannot be opened is an error with its
/// name, and never left out silently.
///
/// # Errors
/// A path cannot be opened, or the kernel does not accept a rule: see [`RulesetError`].
pub(super) fn ruleset(plan: &Landlock) -> Result<OwnedFd, RulesetError> {
    let scopes = [(plan.scope_signal, Scope::Signal), (plan.scope_abstract, Scope::AbstractUnixSocket)];
    let scopes = scopes.into_iter().filter(|(scoped, _)| *scoped).map(|(_, scope)| scope);
    let attr = RulesetAttr {
        handled_access_fs: plan.handled.bits(),
        handled_access_net: plan.handled_net.bits(),
        scoped: scopes.collect::<BitFlags<Scope>>().bits(),
    };
    let ruleset = sys::landlock::create(&attr).map_err(RulesetError::Create)?;
    for rule in &plan.rules {
        let path = match open_as_planned(rule) {
            Ok(Some(path)) => path,
            // A temporary file that was removed needs no grant.
            Ok(None) | Err(Errno::ENOENT | Errno::ELOOP) if rule.walked => continue,
            answer => {
                return Err(RulesetError::Open { path: rule.path.clone(), errno: answer.err() });
            }
        };
        // Not by the crate, which calls fstat(2) once more for each.
        sys::landlock::add_path(ruleset.as_fd(), path.as_fd(), rule.rights.bits())
            .map_err(|errno| RulesetError::Path { path: rule.path.clone(), errno })?;
    }
    for (&port, access) in &plan.ports {
        sys::landlock::add_port(ruleset.as_fd(), port, access.bits())
            .map_err(|errno| RulesetError::Port { port, errno })?;
    }
    Ok(ruleset)
}

/// The file of a rule; none where another has taken its place since the plan was made,
/// which would get the rights that were planned for this one. Its path was
/// found to have no links, so none is followed.
pub(super) fn open_as_planned(rule: &PathRule) -> Result<Option<OwnedFd>, Errno> {
    // Not by the crate's PathFd: with musl, std takes O_PATH out of its flags, and a
    // terminal or a pipe would really be opened.
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = match openat2(AT_FDCWD, &rule.path, how) {
        Err(Errno::ELOOP) => return Err(Errno::ELOOP),
        // A runtime's filter may have no openat2(2).
        Err(_) => open(&rule.path, flags | OFlag::O_NOFOLLOW, Mode::empty())?,
        Ok(file) => file,
    };
    let found = fstat(&file)?;
    let id = FileId { device: found.st_dev, inode: found.st_ino };
    Ok((id == rule.id).then_some(file))
}

#[cfg(test)]
mod tests {
    use landlock::AccessFs;

    use super::*;
    use crate::image::{ImageFiles, live::Live};

    #[test]
    fn a_rule_is_for_what_was_planned_and_nothing_that_took_its_place() {
        let folder = std::env::temp_dir().join(format!("remit-rule-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("data")).expect("a folder");
        std::fs::write(folder.join("data/file"), "").expect("a file");
        let folder = folder.canonicalize().expect("it is there");
        let path = folder.join("data/file");
        let look = Live.stat(&path).expect("stat").expect("is there");
        let rights = AccessFs::WriteFile.into();
        let rule = PathRule { path, id: look.id, rights, because: Vec::new(), walked: false };
        let opened = || open_as_planned(&rule).map(|file| file.is_some());
        assert_eq!(opened(), Ok(true));
        // Its directory is moved away, and a link put there that leads to it.
        std::fs::rename(folder.join("data"), folder.join("moved")).expect("moved");
        assert_eq!(opened(), Err(Errno::ENOENT));
        std::os::unix::fs::symlink("moved", folder.join("data")).expect("a link");
        assert_eq!(opened(), Err(Errno::ELOOP));
        // Another file in its place.
        std::fs::remove_file(folder.join("data")).expect("ours");
        std::fs::create_dir(folder.join("data")).expect("a folder");
        std::fs::write(&rule.path, "").expect("a file");
        assert_eq!(opened(), Ok(false));
        std::fs::remove_dir_all(folder).expect("cleaned up");
    }
}
