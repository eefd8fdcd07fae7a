//! Names, numbers, constants and groups of system calls: tables, and nothing else.

#![forbid(unsafe_code)]

pub mod constants;
pub mod groups;
mod privileged;
mod table;
mod width;

pub use privileged::{changes_user, privileged};
pub use width::{Width, width};

use crate::kernel::{Arch, Release};
use table::{CALLS, Call, NONE};

/// A test of one scalar argument of a call. Arguments are registers, which no
/// other thread can change while the kernel decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument, 0–5.
    pub arg: u8,
    /// What it has to be.
    pub test: Test,
}

/// What an argument has to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// One of these.
    In(Vec<u64>),
    /// None of these.
    NotIn(Vec<u64>),
    /// `argument & mask == equals`.
    Masked {
        /// The bits looked at.
        mask: u64,
        /// What they have to be.
        equals: u64,
    },
}

/// The number of a call; none where the architecture does not have it, or where
/// no architecture has.
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    let number = find(name)?.number(arch);
    (number != NONE).then_some(u32::from(number))
}

/// The name of the call with this number.
pub fn name(arch: Arch, number: u32) -> Option<&'static str> {
    let index = match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    };
    let position = *index.get(usize::try_from(number).ok()?)?;
    CALLS.get(usize::from(position)).map(|call| call.name)
}

/// The table's own copy of a name, when any architecture has the call.
pub fn known(name: &str) -> Option<&'static str> {
    find(name).map(|call| call.name)
}

/// Every name, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|call| call.name)
}

/// The release that brought a call: 4.18 for all that are as old or older, and
/// for names that are none.
pub fn since(name: &str) -> Release {
    find(name).map_or(Release::new(4, 18), |call| call.since)
}

fn find(name: &str) -> Option<&'static Call> {
    CALLS.binary_search_by(|call| call.name.cmp(name)).ok().map(|at| &CALLS[at])
}

impl Call {
    const fn number(&self, arch: Arch) -> u16 {
        match arch {
            Arch::X86_64 => self.x86_64,
            Arch::Aarch64 => self.aarch64,
        }
    }
}

/// One more than the greatest number.
const NUMBERS: usize = 473;

/// Places in `CALLS` by number; `NONE` where there is no call.
static X86_64: [u16; NUMBERS] = by_number(Arch::X86_64);
static AARCH64: [u16; NUMBERS] = by_number(Arch::Aarch64);

const fn by_number(arch: Arch) -> [u16; NUMBERS] {
    let mut index = [NONE; NUMBERS];
    let mut at = 0;
    while at < CALLS.len() {
        let number = CALLS[at].number(arch);
        if number != NONE {
            index[number as usize] = at as u16;
        }
        at += 1;
    }
    index
}

#[cfg(test)]
mod tests;
