//! Instructions of both architectures as the few things that the analysis needs: where control goes,
//! which addresses an instruction names, and what becomes of registers and of the stack.

mod aarch64;
mod x86_64;

use super::object::ElfObject;
use crate::kernel::Arch;

/// A register: 0–15 in the order of the encoding on x86_64, 0–30 and [`AARCH64_SP`] on aarch64.
pub type Register = u8;

/// rsp.
pub const X86_64_SP: Register = 4;
/// sp.
pub const AARCH64_SP: Register = 31;
/// The number of registers that are followed.
pub const REGISTERS: usize = 32;

/// Where control goes after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next one.
    Next,
    /// To an address.
    Jump(u64),
    /// To an address, or to the next one.
    Branch(u64),
    /// To an address, and back.
    Call(u64),
    /// To the address that stands at an address, and back.
    CallSlot(u64),
    /// To the address that stands at an address.
    JumpSlot(u64),
    /// To an address that is computed, and back.
    CallComputed,
    /// To an address that is computed: a table of a switch, or a tail call.
    JumpComputed,
    /// To the caller.
    Return,
    /// A system call by `syscall` or `svc 0`.
    Syscall,
    /// A system call of 32-bit programs: `int 0x80`, `sysenter`.
    OldSyscall,
    /// Nowhere: `hlt`, `ud2`, `brk`, or bytes that are no instruction.
    Stop,
}

/// How two values are joined to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Addition; a subtraction adds the negative.
    Add,
    /// Bits of both.
    And,
    /// Bits of either.
    Or,
    /// Bits of one alone.
    Xor,
    /// Shift to the left.
    Shift,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// A constant, an address among them.
    Constant(u64),
    /// A register.
    Register(Register),
    /// A register, of which the lower half counts.
    Half(Register),
    /// The lower half of a register with its sign.
    Signed(Register),
    /// A register and a constant.
    Computed(Arithmetic, Register, u64),
    /// The lower half of the same, the upper being zero.
    ComputedHalf(Arithmetic, Register, u64),
    /// One of two registers, by a condition.
    Either(Register, Register),
    /// Memory at a register and a distance, of so many bytes.
    Memory(Register, i64, u8),
    /// Memory at an address, of so many bytes.
    At(u64, u8),
    /// The value cannot be known.
    Unknown,
}

/// What an instruction changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that is followed.
    None,
    /// A register.
    Set(Register, ValueSource),
    /// Memory at a register and a distance, of so many bytes.
    Store(Register, i64, u8, ValueSource),
    /// Memory whose place is not known.
    StoreAnywhere,
    /// Several registers, each a bit, to what cannot be known.
    Clobber(u32),
}

/// An instruction.
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    /// Its length in bytes, at least 1.
    pub length: u8,
    /// Where control goes.
    pub flow: Flow,
    /// An address that it computes, or a constant that may be one.
    pub address: Option<u64>,
    /// An address at which it reads memory.
    pub reads: Option<u64>,
    /// An address at which it writes memory; on aarch64 such addresses are not followed.
    pub writes: Option<u64>,
    /// The beginning of a table that it indexes.
    pub table: Option<u64>,
    /// A constant with which it compares, as before a table is indexed.
    pub compared: Option<u64>,
    /// aarch64: a register that now has the address of a page.
    pub page: Option<(Register, u64)>,
    /// aarch64: a register to which it adds a distance, to compute an address or, `true`, to read.
    pub offset: Option<(Register, u64, bool)>,
    /// Does nothing: padding, and the mark of a target of jumps.
    pub is_padding: bool,
    /// What it changes, in order.
    pub effects: [Effect; 4],
}

impl Instruction {
    fn new(length: usize, flow: Flow) -> Instruction {
        Instruction {
            length: length as u8,
            flow,
            address: None,
            reads: None,
            writes: None,
            table: None,
            compared: None,
            page: None,
            offset: None,
            is_padding: false,
            effects: [Effect::None; 4],
        }
    }
}

impl Instruction {
    /// Two instructions of aarch64 that name an address, as one.
    pub fn paired(address: u64, reads: bool) -> Instruction {
        let mut pair = Instruction::new(4, Flow::Next);
        if reads {
            pair.reads = Some(address)
        } else {
            pair.address = Some(address)
        }
        pair
    }
}

/// Decodes the code of an object.
#[derive(Clone, Copy)]
pub struct Decoder<'o> {
    object: &'o ElfObject,
    effects: bool,
}

impl<'o> Decoder<'o> {
    /// One that leaves effects out.
    pub fn new(object: &'o ElfObject) -> Decoder<'o> {
        Decoder { object, effects: false }
    }

    /// One that says effects too.
    pub fn with_effects(object: &'o ElfObject) -> Decoder<'o> {
        Decoder { object, effects: true }
    }

    /// The instruction at an address; where there is none, one that stops.
    pub fn decode(&self, at: u64) -> Instruction {
        let bytes = self.object.bytes_from(at);
        match self.object.arch {
            Arch::X86_64 => x86_64::decode(bytes, at, self.object.fixed, self.effects),
            Arch::Aarch64 => aarch64::decode(bytes, at, self.effects),
        }
    }
}

/// The registers of a system call: its number, and its six arguments.
pub fn syscall_registers(arch: Arch) -> (Register, [Register; 6]) {
    match arch {
        // rax; rdi, rsi, rdx, r10, r8, r9 (syscall(2)).
        Arch::X86_64 => (0, [7, 6, 2, 10, 8, 9]),
        Arch::Aarch64 => (8, [0, 1, 2, 3, 4, 5]),
    }
}

/// The registers of the arguments of a function, by the architecture's calling convention.
pub fn argument_registers(arch: Arch) -> &'static [Register] {
    match arch {
        Arch::X86_64 => &[7, 6, 2, 1, 8, 9],
        Arch::Aarch64 => &[0, 1, 2, 3, 4, 5, 6, 7],
    }
}

/// The registers that a call may change, each a bit. Go's functions may change all but the stack pointer.
pub fn changed_by_calls(arch: Arch, go: bool) -> u32 {
    match (arch, go) {
        (Arch::X86_64, true) => 0xffff & !(1 << X86_64_SP),
        // rax, rcx, rdx, rsi, rdi, r8–r11.
        (Arch::X86_64, false) => 0x0fc7,
        (Arch::Aarch64, true) => 0x7fff_ffff,
        // x0–x18 and the link register.
        (Arch::Aarch64, false) => 0x4007_ffff,
    }
}

/// The register of the stack.
pub fn stack_register(arch: Arch) -> Register {
    match arch {
        Arch::X86_64 => X86_64_SP,
        Arch::Aarch64 => AARCH64_SP,
    }
}

/// The register that functions use to find their part of the stack.
pub fn frame_register(arch: Arch) -> Register {
    match arch {
        Arch::X86_64 => 5,
        Arch::Aarch64 => 29,
    }
}

#[cfg(test)]
mod tests;
