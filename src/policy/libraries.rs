//! Code: which file may be mapped by which program, to be executed.
//!
//! This narrows and guarantees nothing: what it says is asked of a descriptor before the
//! call, and of what was mapped once the calling thread has stopped after it
//! (`tracer`). Whoever runs code of its own in more than one thread can run it
//! from there before the other has stopped; an honest program that is told to load what it
//! should not cannot.

use std::path::Path;

use nix::errno::Errno;

use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject, Want};
use crate::image::FileId;
use crate::plan::{Libraries, ProgramIndex};

/// Whether a file may be mapped as code.
#[derive(Clone, Debug, PartialEq)]
pub enum Code {
    /// It may.
    Allowed,
    /// It may if it is what stands at this path: a file can be told by another's name.
    IfThere,
    /// It may not.
    Refused(Box<Denial>),
}

/// Memory that belongs to no file: what memfd_create, shmget, a shared mapping of nothing
/// and the device of zeros give, in the kernel's words. What stands at no path at all
/// (`anon_inode:…`) is taken for it as well.
fn is_memory(path: &Path) -> bool {
    const WORDS: [&[u8]; 3] = [b"/memfd:", b"/SYSV", b"/dev/zero"];
    let path = path.as_os_str().as_encoded_bytes();
    !path.starts_with(b"/") || WORDS.iter().any(|word| path.starts_with(word))
}

impl PolicyEngine {
    /// Where the code of this entry may be mapped from; none: from whatever may be read.
    pub fn libraries(&self, entry: ProgramIndex) -> Option<&Libraries> {
        self.policy.program(entry).libraries.as_ref()
    }

    /// Whether some entry says where its code may be mapped from.
    pub fn narrows_code(&self) -> bool {
        self.policy.programs.iter().any(|program| program.libraries.is_some())
    }

    /// Whether a program may map the file that the kernel tells this path and inode of.
    pub fn code(&self, entry: ProgramIndex, path: &Path, id: FileId) -> Code {
        let Some(libraries) = self.libraries(entry) else { return Code::Allowed };
        if is_memory(path) {
            return if self.policy.write_execute {
                Code::Allowed
            } else {
                Code::Refused(self.unlisted_memory(path))
            };
        }
        let mut files = libraries.files.iter().chain(&libraries.own);
        if files.clone().any(|(own, _)| *own == id) {
            return Code::Allowed;
        }
        let below = |directory: &std::path::PathBuf| path.starts_with(directory);
        if libraries.directories.iter().any(below) || files.any(|(_, own)| own == path) {
            return Code::IfThere;
        }
        Code::Refused(self.unlisted_code(entry, Some(path)))
    }

    /// Code from elsewhere; none where it could not be told from where.
    pub fn unlisted_code(&self, entry: ProgramIndex, path: Option<&Path>) -> Box<Denial> {
        let program = self.policy.program(entry).index;
        // A file without a name cannot be listed.
        let named = path.filter(|path| !path.to_string_lossy().ends_with(" (deleted)"));
        Box::new(Denial {
            kind: ViolationKind::Program,
            errno: Errno::EACCES,
            object: path.map_or_else(unreadable, ViolationObject::program),
            rule: format!("/programs/{program}/libraries").into(),
            want: named.map(|path| Want::Library { program, path: path.to_owned() }),
        })
    }

    /// Code in a program of which it is not known what it may map.
    pub fn code_of_nobody(&self) -> Box<Denial> {
        let (kind, rule) = (ViolationKind::Program, "/programs".into());
        Box::new(Denial { kind, errno: Errno::EACCES, object: unreadable(), rule, want: None })
    }

    /// Memory that one can write at one address and execute at another.
    fn unlisted_memory(&self, path: &Path) -> Box<Denial> {
        Box::new(Denial {
            kind: ViolationKind::Memory,
            errno: Errno::EACCES,
            object: ViolationObject::program(path),
            rule: "/memory/write_execute".into(),
            want: Some(Want::WriteExecute),
        })
    }
}

fn unreadable() -> ViolationObject {
    ViolationObject::Name { name: "unreadable".into() }
}
