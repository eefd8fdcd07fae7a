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
/// hashes, which may be gigabytes. The shim's crate is built without them, to be small.
#[cfg(feature = "tool")]
#[derive(Clone, Debug, Default)]
pub struct ContentHash(sha2_instructions::Sha256);

#[cfg(feature = "tool")]
impl ContentHash {
    /// The hash of nothing.
    pub fn new() -> ContentHash {
        ContentHash::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        sha2_instructions::Digest::update(&mut self.0, bytes);
    }

    /// The digest of all bytes, in lower-case hex.
    pub fn finish(self) -> String {
        hex::lower(&sha2_instructions::Digest::finalize(self.0))
    }
}
