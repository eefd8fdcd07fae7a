//! The index by which a rule, a hint and an event name an entry of `programs`.

use std::fmt;

use super::{Profile, Program};

/// The index of an entry in the profile's `programs`, from 0, as in a JSON Pointer.
///
/// It is not the index in a policy's programs, where entries that the image lacks are left
/// out: that is a [`ProgramIndex`](crate::plan::ProgramIndex).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileIndex(usize);

impl ProfileIndex {
    /// The entry at this index.
    pub const fn new(place: usize) -> ProfileIndex {
        ProfileIndex(place)
    }

    /// The index in a list of the profile's programs.
    pub const fn get(self) -> usize {
        self.0
    }
}

impl fmt::Display for ProfileIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Profile {
    /// Every entry of `programs` with its index.
    pub fn indexed_programs(&self) -> impl Iterator<Item = (ProfileIndex, &Program)> {
        self.programs.iter().enumerate().map(|(place, program)| (ProfileIndex(place), program))
    }
}
