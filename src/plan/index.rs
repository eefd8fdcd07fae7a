//! The number by which decisions name a program.

use super::{Policy, PolicyProgram};

/// The place of a program in [`Policy::programs`].
///
/// It is not the place of its entry in the profile, which [`PolicyProgram::index`] has:
/// entries that the image lacks have one there and none here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramIndex(pub(super) usize);

impl ProgramIndex {
    /// The program at this place.
    pub const fn new(place: usize) -> ProgramIndex {
        ProgramIndex(place)
    }
}

impl Policy {
    /// The program of an index that this policy gave.
    pub fn program(&self, index: ProgramIndex) -> &PolicyProgram {
        &self.programs[index.0]
    }

    /// Every program with its index.
    pub fn indexed_programs(&self) -> impl Iterator<Item = (ProgramIndex, &PolicyProgram)> {
        self.programs.iter().enumerate().map(|(place, program)| (ProgramIndex(place), program))
    }
}
