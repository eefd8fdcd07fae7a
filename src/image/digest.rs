//! The digest of a file, as profiles and journals write it.

use std::fs::File;
use std::io::Read;

use sha2::{Digest, Sha256};

use crate::hex;

/// The SHA-256 of a file, in lower-case hex; none where it cannot be read.
pub fn digest(mut file: File) -> Option<String> {
    let mut hash = Sha256::new();
    let mut bytes = vec![0; 64 << 10];
    loop {
        match file.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => hash.update(&bytes[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(hex::lower(&hash.finalize()))
}

/// A SHA-256 in progress, by the processor's instructions where it has them: for what the tool
/// hashes, which may be gigabytes.
#[cfg(feature = "tool")]
#[derive(Clone, Debug)]
pub struct ContentHash(HashState);

#[cfg(feature = "tool")]
#[derive(Clone, Debug)]
enum HashState {
    Instructions(crate::sys::sha256::Sha256Instructions),
    Software(Sha256),
}

#[cfg(feature = "tool")]
impl ContentHash {
    /// The hash of nothing.
    pub fn new() -> ContentHash {
        let instructions = crate::sys::sha256::Sha256Instructions::new();
        ContentHash(instructions.map_or_else(|| HashState::Software(Sha256::new()), HashState::Instructions))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            HashState::Instructions(hash) => hash.update(bytes),
            HashState::Software(hash) => hash.update(bytes),
        }
    }

    /// The digest of all bytes, in lower-case hex.
    pub fn finish(self) -> String {
        match self.0 {
            HashState::Instructions(hash) => hex::lower(&hash.finish()),
            HashState::Software(hash) => hex::lower(&hash.finalize()),
        }
    }
}

#[cfg(feature = "tool")]
impl Default for ContentHash {
    fn default() -> ContentHash {
        ContentHash::new()
    }
}
