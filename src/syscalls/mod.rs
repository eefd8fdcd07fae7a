//! Names, numbers, constants and groups of system calls: tables, and nothing else.

/// A test of one scalar argument of a call. Arguments are registers, which no
/// other thread can change while the kernel decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, 0–5.
    pub arg: u8,
    /// What it has to be.
    pub test: Test,
}

/// What an argument has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
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
