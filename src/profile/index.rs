//! The number by which a rule, a hint and an event name an entry of `programs`.

use std::fmt;

use super::{Profile, Program};

/// The place of an entry in the profile's `programs`, from 0, as a JSON Pointer counts.
///
/// It is not the place in a policy's programs, where entries that the image lacks are left
/// out: that is a [`ProgramIndex`](crate::plan::ProgramIndex).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileIndex(usize);

impl ProfileIndex {
    /// The entry at this place.
    pub const fn new(place: usize) -> ProfileIndex {
        ProfileIndex(place)
    }

    /// Its place in a list of the profile's programs.
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
