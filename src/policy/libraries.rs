//! Code: which program may map which file executable.
//!
//! These rules narrow and guarantee nothing: the file of a descriptor is checked before the call,
//! and the mapping once the calling thread has stopped after it (`tracer`). An attacker with code
//! in more than one thread can run the mapped code before the other thread has stopped; a program
//! under no such attacker cannot load a file that the rules exclude.

use std::path::Path;

use nix::errno::Errno;

use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject, Want};
use crate::image::FileId;
use crate::plan::{Libraries, ProgramIndex};

/// Whether a file may be mapped as code.
#[derive(Clone, Debug, PartialEq)]
pub enum Code {
    /// The file may be mapped.
    Allowed,
    /// The file may be mapped if it is the one at this path: the kernel may report another name of it.
    IfThere,
    /// The file may not be mapped.
    Refused(Box<Denial>),
}

/// Whether the kernel's path is that of memory without a file: of memfd_create, shmget, a shared
/// anonymous mapping, or /dev/zero. A path that is not absolute (`anon_inode:…`) counts as such.
fn is_memory(path: &Path) -> bool {
    const WORDS: [&[u8]; 3] = [b"/memfd:", b"/SYSV", b"/dev/zero"];
    let path = path.as_os_str().as_encoded_bytes();
    !path.starts_with(b"/") || WORDS.iter().any(|word| path.starts_with(word))
}

impl PolicyEngine {
    /// The files that this entry may map executable; `None`: every readable one.
    pub fn libraries(&self, entry: ProgramIndex) -> Option<&Libraries> {
        self.policy.program(entry).libraries.as_ref()
    }

    /// Whether some entry has `libraries`.
    pub fn narrows_code(&self) -> bool {
        self.policy.programs.iter().any(|program| program.libraries.is_some())
    }

    /// Whether a program may map the file with this path and inode, as the kernel reports them.
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

    /// Denies code from another file; `path` is `None` where the file is unknown.
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

    /// Denies code in a process whose program entry is unknown.
    pub fn code_of_unknown_entry(&self) -> Box<Denial> {
        let (kind, rule) = (ViolationKind::Program, "/programs".into());
        Box::new(Denial { kind, errno: Errno::EACCES, object: unreadable(), rule, want: None })
    }

    /// Denies memory that can be written at one address and executed at another.
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
