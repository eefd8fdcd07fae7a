//! What is known of every system call, as tables and nothing else: `numbers` is generated
//! from the kernel's headers by scripts/syscalls, `table` is beside it by hand, and the
//! compiler joins them into one row a call, a [`Syscall`]. [`groups`] and [`constants`] are
//! the words of a profile.

#![forbid(unsafe_code)]

mod class;
pub mod constants;
pub mod groups;
mod numbers;
mod syscall;
mod table;

pub use class::Class;
pub use syscall::{Arg, Attribute, Change, Handler, Limit, Privilege, Syscall, Width};

use caps::Capability;

use crate::kernel::{Arch, Release};
use numbers::{NONE, NUMBERS};
use syscall::{OLDEST, call};
use table::ROWS;

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

/// Every call, sorted by name.
static SYSCALLS: [Syscall; NUMBERS.len()] = joined();

/// The rows with their numbers. It does not compile where a row is out of order or of no
/// call of the kernel, or where a call of a new number has no release.
const fn joined() -> [Syscall; NUMBERS.len()] {
    let mut all = [call("", &[]); NUMBERS.len()];
    let (mut at, mut row) = (0, 0);
    while at < NUMBERS.len() {
        let (name, x86_64, aarch64) = NUMBERS[at];
        let described = row < ROWS.len() && is_same(ROWS[row].name, name);
        let syscall = if described { ROWS[row] } else { call(name, &[]) };
        assert!(x86_64 < FIRST_NEW || x86_64 == NONE || syscall.is_new(), "a new call has no `since`");
        all[at] = syscall.numbered(x86_64, aarch64);
        row += described as usize;
        at += 1;
    }
    assert!(row == ROWS.len(), "a row is out of order, or there is no such call in numbers.rs");
    all
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// The first number that both architectures gave out after Linux 4.18: calls from there on
/// have the same number on both.
pub const FIRST_NEW: u16 = 424;

/// Every call, sorted by name.
pub fn all() -> impl Iterator<Item = &'static Syscall> {
    SYSCALLS.iter()
}

/// What is known of a call; none where no architecture has it.
pub fn find(name: &str) -> Option<&'static Syscall> {
    SYSCALLS.binary_search_by(|syscall| syscall.name.cmp(name)).ok().map(|at| &SYSCALLS[at])
}

/// What decides a call: [`Handler::Plain`] of a name that is none, too.
pub fn handler(name: &str) -> Handler {
    find(name).map_or(Handler::Plain, |syscall| syscall.handler)
}

/// The number of a call; none where the architecture does not have it, or where
/// no architecture has.
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    find(name)?.number(arch)
}

/// The name of the call with this number.
pub fn name(arch: Arch, number: u32) -> Option<&'static str> {
    let index = match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    };
    let position = *index.get(usize::try_from(number).ok()?)?;
    SYSCALLS.get(usize::from(position)).map(|syscall| syscall.name)
}

/// The table's own copy of a name, when any architecture has the call.
pub fn known(name: &str) -> Option<&'static str> {
    find(name).map(|syscall| syscall.name)
}

/// Every name, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|syscall| syscall.name)
}

/// The release that brought a call: 4.18 for all that are as old or older, and
/// for names that are none.
pub fn since(name: &str) -> Release {
    find(name).map_or(OLDEST, |syscall| syscall.since)
}

/// The width of argument `arg` (0–5) of a call; none when it is not in the table.
pub fn width(call: &str, arg: u8) -> Option<Width> {
    find(call)?.args.get(usize::from(arg))?.width()
}

/// The capability without which a call can do nothing, or next to nothing; none where that
/// hangs on the arguments, on limits or on the other process.
pub fn privileged(call: &str) -> Option<Capability> {
    find(call)?.needs()
}

/// The calls that give the same power, where there are others.
pub fn class(call: &str) -> Option<Class> {
    find(call)?.class
}

/// Whether a call gives its caller other ids, after which no process without
/// CAP_SYS_PTRACE may look into it until its next exec (ptrace(2), dumpable).
pub fn changes_user(call: &str) -> bool {
    matches!(handler(call), Handler::SetUid | Handler::SetGid)
}

/// One more than the greatest number.
const SIZE: usize = {
    let (mut greatest, mut at) = (0, 0);
    while at < NUMBERS.len() {
        let (_, x86_64, aarch64) = NUMBERS[at];
        if x86_64 != NONE && x86_64 > greatest {
            greatest = x86_64;
        }
        if aarch64 != NONE && aarch64 > greatest {
            greatest = aarch64;
        }
        at += 1;
    }
    greatest as usize + 1
};

/// Places in `SYSCALLS` by number; `NONE` where there is no call.
static X86_64: [u16; SIZE] = by_number(Arch::X86_64);
static AARCH64: [u16; SIZE] = by_number(Arch::Aarch64);

const fn by_number(arch: Arch) -> [u16; SIZE] {
    let all = joined();
    let mut index = [NONE; SIZE];
    let mut at = 0;
    while at < all.len() {
        if let Some(number) = all[at].number(arch) {
            index[number as usize] = at as u16;
        }
        at += 1;
    }
    index
}

#[cfg(test)]
mod tests;
