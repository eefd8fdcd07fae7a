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
