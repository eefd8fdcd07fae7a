//! The index of a program in the policy.

use super::{Policy, PolicyProgram};

/// The index of a program in [`Policy::programs`].
///
/// It is not the index of its entry in the profile, which [`PolicyProgram::index`] has: entries
/// that the image lacks have one there and none here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramIndex(pub(super) usize);

impl ProgramIndex {
    /// The program at this index.
    pub const fn new(host: usize) -> ProgramIndex {
        ProgramIndex(host)
    }
}

impl Policy {
    /// The program of an index that this policy returned.
    pub fn program(&self, index: ProgramIndex) -> &PolicyProgram {
        &self.programs[index.0]
    }

    /// Every program with its index.
    pub fn indexed_programs(&self) -> impl Iterator<Item = (ProgramIndex, &PolicyProgram)> {
        self.programs.iter().enumerate().map(|(host, program)| (ProgramIndex(host), program))
    }
}
