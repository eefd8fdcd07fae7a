//! The identifiers of converted events. A nonce proves that a line is remit's, so it stays in
//! the log: outside a start is known by a digest of it.

use sha2::{Digest, Sha256};

use crate::event::record::EventRecord;
use crate::hex;

/// The identifiers of starts, of which the last is remembered.
#[derive(Debug, Default)]
pub(super) struct StartIds {
    nonce: String,
    id: String,
}

impl StartIds {
    /// The identifier of the start of an event: 32 hex digits.
    pub fn id(&mut self, event: &EventRecord<'_>) -> &str {
        if self.id.is_empty() || *self.nonce != *event.nonce {
            (*event.nonce).clone_into(&mut self.nonce);
            let digest = Sha256::digest(self.nonce.as_bytes());
            self.id = hex::lower(&digest[..16]);
        }
        &self.id
    }
}
