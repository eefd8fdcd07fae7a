//! Calls that map memory, or make mapped memory executable.

use crate::policy::call::Call;
use crate::syscalls::Handler;

/// The arguments of mmap, mprotect, pkey_mprotect or shmat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingArgs {
    /// The first address; for mmap and shmat only a hint.
    pub start: u64,
    /// The length in bytes; 0 for shmat.
    pub length: u64,
    /// Whether PROT_WRITE is requested.
    pub writable: bool,
    /// Whether PROT_EXEC is requested.
    pub executable: bool,
    /// The descriptor of the file that mmap maps; `None` for anonymous memory and for the other
    /// calls.
    pub file: Option<i32>,
    /// Whether it is mmap, which maps new memory that no other call made writable before.
    pub is_mmap: bool,
}

impl MappingArgs {
    /// Decodes one of these calls. `None` for any other.
    pub fn decode(call: &Call) -> Option<MappingArgs> {
        const SHM_EXEC: u64 = 0o100_000;
        const SHM_RDONLY: u64 = 0o10_000;
        let a = call.args;
        let has = |flag: i32| a[2] & flag as u64 != 0;
        let (writable, executable) = (has(libc::PROT_WRITE), has(libc::PROT_EXEC));
        let protected =
            MappingArgs { start: a[0], length: a[1], writable, executable, file: None, is_mmap: false };
        match call.handler() {
            Handler::Map => {
                let is_of_file = a[3] & libc::MAP_ANONYMOUS as u64 == 0;
                Some(MappingArgs { file: is_of_file.then_some(a[4] as i32), is_mmap: true, ..protected })
            }
            Handler::Protect => Some(protected),
            Handler::Attach => Some(MappingArgs {
                start: a[1],
                length: 0,
                writable: a[2] & SHM_RDONLY == 0,
                executable: a[2] & SHM_EXEC != 0,
                ..protected
            }),
            _ => None,
        }
    }

    /// Whether it takes `memory.write_execute`: what is mapped is writable and executable at
    /// once, or memory that may have been written becomes executable.
    pub fn writes_and_executes(&self) -> bool {
        self.executable && (self.writable || !self.is_mmap)
    }
}
