//! The properties of every system call, as tables only: `numbers` is generated from the kernel's
//! headers by scripts/syscalls, `table` is written by hand, and a constant evaluation joins them
//! into one row a call, a [`Syscall`]. [`groups`] and [`constants`] are the names that a profile
//! may use.

#![forbid(unsafe_code)]

mod class;
pub mod clone_flags;
pub mod constants;
pub mod groups;
mod numbers;
mod quiet;
mod syscall;
mod table;

pub use class::Class;
pub use quiet::Quiet;
pub use syscall::{Arg, Attribute, Change, Handler, Limit, Privilege, Purpose, Syscall, Width};

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
    /// The values that satisfy the test.
    pub test: Test,
}

/// The values that satisfy a test.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// One of these values.
    In(Vec<u64>),
    /// None of these values.
    NotIn(Vec<u64>),
    /// `argument & mask == equals`.
    Masked {
        /// The bits that are compared.
        mask: u64,
        /// The value of these bits.
        equals: u64,
    },
}

/// Every call, sorted by name.
static SYSCALLS: [Syscall; NUMBERS.len()] = joined();

/// The rows with their numbers. Compilation fails where a row is out of order or names no call of
/// the kernel, or where a call with a new number has no release.
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

/// The first number assigned after Linux 4.18: calls from there on have the same number on both
/// architectures.
pub const FIRST_NEW: u16 = 424;

/// Every call, sorted by name.
pub fn all() -> impl Iterator<Item = &'static Syscall> {
    SYSCALLS.iter()
}

/// The row of a call; `None` where no architecture has it.
pub fn find(name: &str) -> Option<&'static Syscall> {
    position(name).map(|at| &SYSCALLS[at])
}

/// The number of calls.
pub const COUNT: usize = NUMBERS.len();

/// The position of a call's row in [`all`].
pub fn position(name: &str) -> Option<usize> {
    let mut slot = slot_of(name);
    loop {
        let at = usize::from(SLOTS[slot]);
        if SYSCALLS.get(at)?.name == name {
            return Some(at);
        }
        slot = (slot + 1) % SLOTS.len();
    }
}

/// Indices into `SYSCALLS` by the hash of the name, with linear probing; `NONE` in a free slot. A
/// start looks up thousands of names.
static SLOTS: [u16; 1024] = {
    let mut slots = [NONE; 1024];
    let mut at = 0;
    while at < NUMBERS.len() {
        let mut slot = slot_of(NUMBERS[at].0);
        while slots[slot] != NONE {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = at as u16;
        at += 1;
    }
    slots
};

/// The first slot of a name: its FNV-1a hash.
const fn slot_of(name: &str) -> usize {
    let (name, mut hash, mut at) = (name.as_bytes(), 0x811c_9dc5_u32, 0);
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ (hash >> 16)) as usize % 1024
}

/// The handler of a call; [`Handler::Plain`] for an unknown name, too.
pub fn handler(name: &str) -> Handler {
    find(name).map_or(Handler::Plain, |syscall| syscall.handler)
}

/// The number of a call; `None` where the architecture does not have it, or the name is unknown.
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

/// The table's `'static` copy of a name, when any architecture has the call.
pub fn known(name: &str) -> Option<&'static str> {
    find(name).map(|syscall| syscall.name)
}

/// The names of all calls, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|syscall| syscall.name)
}

/// The release that added a call: 4.18 for every older one, and for unknown names.
pub fn since(name: &str) -> Release {
    find(name).map_or(OLDEST, |syscall| syscall.since)
}

/// The width of argument `arg` (0–5) of a call; `None` when the table does not have it.
pub fn width(call: &str, arg: u8) -> Option<Width> {
    find(call)?.args.get(usize::from(arg))?.width()
}

/// The capability that a call needs, but perhaps for a part of it; `None` where that depends on the
/// arguments, on limits or on the other process.
pub fn privileged(call: &str) -> Option<Capability> {
    find(call)?.needs()
}

/// Whether a capability decides some uses of a call, or all of them.
pub fn has_privilege(call: &str) -> bool {
    find(call).is_some_and(|call| call.privilege != Privilege::None)
}

/// The capability without which the kernel refuses a call, or all of it but next to nothing.
pub fn refused_without(call: &str) -> Option<Capability> {
    find(call)?.refused_without()
}

/// The calls that give the same power as this one, if there are others.
pub fn class(call: &str) -> Option<Class> {
    find(call)?.class
}

/// Whether a call changes the caller's ids. The process is then not dumpable until its next exec:
/// no process without CAP_SYS_PTRACE may read its memory (ptrace(2)).
pub fn changes_user(call: &str) -> bool {
    matches!(handler(call), Handler::SetUid | Handler::SetGid)
}

/// The greatest number plus one.
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

/// Indices into `SYSCALLS` by number; `NONE` where no call has the number.
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
