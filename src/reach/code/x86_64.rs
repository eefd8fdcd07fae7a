//! x86_64, by iced-x86.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction as Decoded, InstructionInfoFactory,
    InstructionInfoOptions, Mnemonic, OpAccess, OpKind, Register as Name,
};

use super::{Arithmetic, Effect, Flow, Instruction, Register, ValueSource, X86_64_SP};

/// rbp.
const BP: Register = 5;
/// rax, rcx and r11, which `syscall` changes.
const OF_SYSCALL: u32 = 1 | 1 << 1 | 1 << 11;

pub(super) fn decode(bytes: &[u8], at: u64, fixed: bool, effects: bool) -> Instruction {
    let bytes = &bytes[..bytes.len().min(16)];
    if bytes.is_empty() {
        return Instruction::new(1, Flow::Stop);
    }
    let decoded = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
    if decoded.is_invalid() {
        return Instruction::new(1, Flow::Stop);
    }
    let mut instruction = Instruction::new(decoded.len().max(1), flow(&decoded));
    instruction.is_padding = matches!(decoded.mnemonic(), Mnemonic::Nop | Mnemonic::Endbr64 | Mnemonic::Int3);
    // Zeros between functions.
    instruction.is_padding |= bytes.starts_with(&[0, 0]);
    if decoded.mnemonic() == Mnemonic::Cmp {
        instruction.compared = immediate(&decoded, 1);
    }
    named_addresses(&decoded, fixed, &mut instruction);
    if effects {
        instruction.effects = changes(&decoded);
    }
    instruction
}

fn flow(decoded: &Decoded) -> Flow {
    match decoded.code() {
        Code::Syscall => return Flow::Syscall,
        Code::Sysenter => return Flow::OldSyscall,
        Code::Hlt => return Flow::Stop,
        _ => {}
    }
    let slot = || {
        let fixed = decoded.is_ip_rel_memory_operand()
            || decoded.memory_base() == Name::None && decoded.memory_index() == Name::None;
        (decoded.op0_kind() == OpKind::Memory && fixed).then(|| decoded.memory_displacement64())
    };
    let target = || decoded.near_branch_target();
    match decoded.flow_control() {
        FlowControl::UnconditionalBranch => Flow::Jump(target()),
        FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend if target() != 0 => {
            Flow::Branch(target())
        }
        FlowControl::Call if target() != 0 => Flow::Call(target()),
        FlowControl::IndirectCall => slot().map_or(Flow::CallComputed, Flow::CallSlot),
        FlowControl::IndirectBranch => slot().map_or(Flow::JumpComputed, Flow::JumpSlot),
        FlowControl::Return => Flow::Return,
        FlowControl::Interrupt if decoded.code() == Code::Int_imm8 && decoded.immediate8() == 0x80 => {
            Flow::OldSyscall
        }
        FlowControl::Interrupt if decoded.code() == Code::Int3 => Flow::Stop,
        FlowControl::Exception => Flow::Stop,
        _ => Flow::Next,
    }
}

fn named_addresses(decoded: &Decoded, fixed: bool, instruction: &mut Instruction) {
    let has_memory = (0..decoded.op_count()).any(|at| decoded.op_kind(at) == OpKind::Memory);
    if has_memory {
        let place = decoded.memory_displacement64();
        let reads_alone = matches!(
            decoded.mnemonic(),
            Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push | Mnemonic::Call | Mnemonic::Jmp
        );
        let writes =
            decoded.op0_kind() == OpKind::Memory && !reads_alone || decoded.mnemonic() == Mnemonic::Xchg;
        if decoded.is_ip_rel_memory_operand() {
            if decoded.mnemonic() == Mnemonic::Lea {
                instruction.address = Some(place);
            } else {
                instruction.reads = Some(place);
                instruction.writes = Some(place).filter(|_| writes);
            }
        } else if fixed && place != 0 {
            if decoded.memory_base() == Name::None && decoded.memory_index() == Name::None {
                instruction.reads = Some(place);
                instruction.writes = Some(place).filter(|_| writes);
            } else {
                instruction.table = Some(place);
            }
            if decoded.mnemonic() == Mnemonic::Lea {
                instruction.address = Some(place);
            }
        }
    }
    if fixed {
        for at in 0..decoded.op_count() {
            if matches!(
                decoded.op_kind(at),
                OpKind::Immediate32 | OpKind::Immediate32to64 | OpKind::Immediate64
            ) {
                instruction.address = Some(decoded.immediate(at));
            }
        }
    }
}

/// The number of a general register, whole or its lower half; none for its smaller parts and others.
fn general(name: Name) -> Option<(Register, bool)> {
    let half = name.is_gpr32();
    (half || name.is_gpr64()).then(|| (name.number() as Register, half))
}

fn immediate(decoded: &Decoded, at: u32) -> Option<u64> {
    match decoded.op_kind(at) {
        OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Some(decoded.immediate(at)),
        _ => None,
    }
}

/// A memory operand of one register and a distance, or of an address.
enum MemoryPlace {
    Near(Register, i64),
    Fixed(u64),
}

fn place(decoded: &Decoded) -> Option<MemoryPlace> {
    if decoded.segment_prefix() == Name::FS || decoded.segment_prefix() == Name::GS {
        return None;
    }
    if decoded.is_ip_rel_memory_operand() {
        return Some(MemoryPlace::Fixed(decoded.memory_displacement64()));
    }
    if decoded.memory_index() != Name::None {
        return None;
    }
    match decoded.memory_base() {
        Name::None => Some(MemoryPlace::Fixed(decoded.memory_displacement64())),
        base if base.is_gpr64() => {
            Some(MemoryPlace::Near(base.number() as Register, decoded.memory_displacement64() as i64))
        }
        _ => None,
    }
}

/// What an operand reads.
fn operand(decoded: &Decoded, at: u32) -> ValueSource {
    if let Some(value) = immediate(decoded, at) {
        return ValueSource::Constant(value);
    }
    match decoded.op_kind(at) {
        OpKind::Register => match general(decoded.op_register(at)) {
            Some((register, false)) => ValueSource::Register(register),
            Some((register, true)) => ValueSource::Half(register),
            None => ValueSource::Unknown,
        },
        OpKind::Memory => {
            let size = decoded.memory_size().size() as u8;
            match place(decoded) {
                Some(MemoryPlace::Near(base, distance)) => ValueSource::Memory(base, distance, size),
                Some(MemoryPlace::Fixed(address)) => ValueSource::At(address, size),
                None => ValueSource::Unknown,
            }
        }
        _ => ValueSource::Unknown,
    }
}

fn changes(decoded: &Decoded) -> [Effect; 4] {
    let none = Effect::None;
    let target = (decoded.op_count() > 0 && decoded.op0_kind() == OpKind::Register)
        .then(|| general(decoded.op0_register()))
        .flatten();
    let stack =
        |bytes: i64| Effect::Set(X86_64_SP, ValueSource::Computed(Arithmetic::Add, X86_64_SP, bytes as u64));
    let set = |register, source| [Effect::Set(register, source), none, none, none];
    match (decoded.mnemonic(), target) {
        (Mnemonic::Push, _) => {
            let from = operand(decoded, 0);
            return [stack(-8), Effect::Store(X86_64_SP, 0, 8, from), none, none];
        }
        (Mnemonic::Pop, Some((register, _))) => {
            return [Effect::Set(register, ValueSource::Memory(X86_64_SP, 0, 8)), stack(8), none, none];
        }
        (Mnemonic::Leave, _) => {
            return [
                Effect::Set(X86_64_SP, ValueSource::Register(BP)),
                Effect::Set(BP, ValueSource::Memory(X86_64_SP, 0, 8)),
                stack(8),
                none,
            ];
        }
        (Mnemonic::Syscall, _) => return [Effect::Clobber(OF_SYSCALL), none, none, none],
        // The analysis of a function applies what a call changes.
        (
            Mnemonic::Call
            | Mnemonic::Ret
            | Mnemonic::Cmp
            | Mnemonic::Test
            | Mnemonic::Nop
            | Mnemonic::Endbr64,
            _,
        ) => {
            return [none; 4];
        }
        (Mnemonic::Mov, Some((register, _))) => return set(register, operand(decoded, 1)),
        (Mnemonic::Mov, None) if decoded.op0_kind() == OpKind::Memory => {
            let size = decoded.memory_size().size() as u8;
            let store = match place(decoded) {
                Some(MemoryPlace::Near(base, distance)) => {
                    Effect::Store(base, distance, size, operand(decoded, 1))
                }
                Some(MemoryPlace::Fixed(_)) => none,
                None => Effect::StoreAnywhere,
            };
            return [store, none, none, none];
        }
        (Mnemonic::Movsxd, Some((register, false))) => {
            let source = match operand(decoded, 1) {
                ValueSource::Half(from) => ValueSource::Signed(from),
                ValueSource::Memory(base, distance, size) => ValueSource::Memory(base, distance, size),
                _ => ValueSource::Unknown,
            };
            return set(register, source);
        }
        (Mnemonic::Cdqe, _) => return set(0, ValueSource::Signed(0)),
        (Mnemonic::Lea, Some((register, half))) => {
            let source = match place(decoded) {
                Some(MemoryPlace::Near(base, distance)) if half => {
                    ValueSource::ComputedHalf(Arithmetic::Add, base, distance as u64)
                }
                Some(MemoryPlace::Near(base, distance)) => {
                    ValueSource::Computed(Arithmetic::Add, base, distance as u64)
                }
                Some(MemoryPlace::Fixed(address)) => ValueSource::Constant(address),
                None => ValueSource::Unknown,
            };
            return set(register, source);
        }
        (Mnemonic::Xor | Mnemonic::Sub, Some((register, _)))
            if decoded.op1_kind() == OpKind::Register && decoded.op0_register() == decoded.op1_register() =>
        {
            return set(register, ValueSource::Constant(0));
        }
        (name, Some((register, half))) => {
            if let Some(source) = arithmetic(decoded, name, register, half) {
                return set(register, source);
            }
            if is_conditional_move(name)
                && let ValueSource::Register(other) | ValueSource::Half(other) = operand(decoded, 1)
            {
                return set(register, ValueSource::Either(register, other));
            }
        }
        _ => {}
    }
    anything(decoded)
}

fn is_conditional_move(name: Mnemonic) -> bool {
    matches!(
        name,
        Mnemonic::Cmova
            | Mnemonic::Cmovae
            | Mnemonic::Cmovb
            | Mnemonic::Cmovbe
            | Mnemonic::Cmove
            | Mnemonic::Cmovg
            | Mnemonic::Cmovge
            | Mnemonic::Cmovl
            | Mnemonic::Cmovle
            | Mnemonic::Cmovne
            | Mnemonic::Cmovno
            | Mnemonic::Cmovnp
            | Mnemonic::Cmovns
            | Mnemonic::Cmovo
            | Mnemonic::Cmovp
            | Mnemonic::Cmovs
    )
}

/// Arithmetic of a register and a constant.
fn arithmetic(decoded: &Decoded, name: Mnemonic, register: Register, half: bool) -> Option<ValueSource> {
    let computed = |what, constant| {
        if half {
            ValueSource::ComputedHalf(what, register, constant)
        } else {
            ValueSource::Computed(what, register, constant)
        }
    };
    match name {
        Mnemonic::Inc => return Some(computed(Arithmetic::Add, 1)),
        Mnemonic::Dec => return Some(computed(Arithmetic::Add, u64::MAX)),
        Mnemonic::Neg | Mnemonic::Not => return None,
        _ => {}
    }
    if decoded.op_count() != 2 {
        return None;
    }
    let constant = immediate(decoded, 1)?;
    Some(match name {
        Mnemonic::Add => computed(Arithmetic::Add, constant),
        Mnemonic::Sub => computed(Arithmetic::Add, constant.wrapping_neg()),
        Mnemonic::And => computed(Arithmetic::And, constant),
        // As compilers write -1.
        Mnemonic::Or if constant == u64::MAX || half && constant as u32 == u32::MAX => {
            ValueSource::Constant(if half { u64::from(u32::MAX) } else { u64::MAX })
        }
        Mnemonic::Or => computed(Arithmetic::Or, constant),
        Mnemonic::Xor => computed(Arithmetic::Xor, constant),
        Mnemonic::Shl | Mnemonic::Sal => computed(Arithmetic::Shift, constant),
        _ => return None,
    })
}

/// Every register that any other instruction writes, and whether it writes memory.
fn anything(decoded: &Decoded) -> [Effect; 4] {
    let writes = |access| {
        matches!(
            access,
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        )
    };
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info_options(decoded, InstructionInfoOptions::NONE);
    let registers = used.used_registers().iter().filter(|one| writes(one.access()));
    let bits = registers
        .map(|one| one.register().full_register())
        .filter(|name| name.is_gpr64())
        .fold(0u32, |bits, name| bits | 1 << name.number());
    let mut effects = [Effect::Clobber(bits), Effect::None, Effect::None, Effect::None];
    let written = used.used_memory().iter().find(|one| writes(one.access()));
    if let Some(memory) = written {
        effects[1] = match place(decoded) {
            Some(MemoryPlace::Fixed(_)) => Effect::None,
            Some(MemoryPlace::Near(base, distance)) if memory.index() == Name::None => {
                let size = decoded.memory_size().size().clamp(1, 255) as u8;
                Effect::Store(base, distance, size, ValueSource::Unknown)
            }
            _ => Effect::StoreAnywhere,
        };
    }
    effects
}
