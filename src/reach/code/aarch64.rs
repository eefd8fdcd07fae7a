//! aarch64, by disarm64. An instruction is identified by the crate's table; its fields are where the
//! architecture has them (Arm Architecture Reference Manual, C4 and C6).

use disarm64::decoder::{InsnId, decode as identify};

use super::{Arithmetic, Effect, Flow, Instruction, Register, ValueSource};

/// Bits of an instruction: the width of a field is at most 31.
fn field(bits: u32, low: u32, width: u32) -> u32 {
    bits >> low & ((1 << width) - 1)
}

/// A field with its sign, times four: a distance of branches.
fn words(bits: u32, low: u32, width: u32) -> i64 {
    signed(field(bits, low, width), width) * 4
}

fn signed(value: u32, width: u32) -> i64 {
    i64::from(value) << (64 - width) >> (64 - width)
}

/// The register of a field, where 31 means none.
fn named(bits: u32, low: u32) -> Option<Register> {
    Some(field(bits, low, 5) as Register).filter(|register| *register != 31)
}

/// The register of a field, where 31 means the stack pointer.
fn with_stack(bits: u32, low: u32) -> Register {
    field(bits, low, 5) as Register
}

pub(super) fn decode(bytes: &[u8], at: u64, effects: bool) -> Instruction {
    let Some(word) = bytes.first_chunk::<4>() else { return Instruction::new(4, Flow::Stop) };
    let bits = u32::from_le_bytes(*word);
    let Some(identified) = identify(bits) else { return Instruction::new(4, Flow::Stop) };
    let id = identified.id();
    let mut instruction = Instruction::new(4, flow(id, bits, at));
    instruction.is_padding = field(bits, 12, 20) == 0xd5032;
    match id {
        InsnId::ADR_Rd_ADDR_PCREL21 => {
            instruction.address = Some(at.wrapping_add(near(bits) as u64));
        }
        InsnId::ADRP_Rd_ADDR_ADRP => {
            instruction.page = named(bits, 0).map(|to| (to, page(bits, at)));
        }
        InsnId::ADD_Rd_SP_Rn_SP_AIMM => {
            instruction.offset = Some((with_stack(bits, 5), shifted(bits), false));
        }
        InsnId::LDR_Rt_ADDR_UIMM12 if field(bits, 30, 2) == 3 => {
            instruction.offset = Some((with_stack(bits, 5), u64::from(field(bits, 10, 12)) * 8, true));
        }
        InsnId::LDR_Rt_ADDR_PCREL19 => {
            instruction.reads = Some(at.wrapping_add(words(bits, 5, 19) as u64));
        }
        _ => {}
    }
    if effects {
        instruction.effects = changes(id, bits, at);
    }
    instruction
}

fn flow(id: InsnId, bits: u32, at: u64) -> Flow {
    let to = |distance: i64| at.wrapping_add(distance as u64);
    match id {
        InsnId::B_ADDR_PCREL26 => Flow::Jump(to(words(bits, 0, 26))),
        InsnId::BL_ADDR_PCREL26 => Flow::Call(to(words(bits, 0, 26))),
        InsnId::B_C_ADDR_PCREL19 | InsnId::BC_C_ADDR_PCREL19 => Flow::Branch(to(words(bits, 5, 19))),
        InsnId::CBZ_Rt_ADDR_PCREL19 | InsnId::CBNZ_Rt_ADDR_PCREL19 => Flow::Branch(to(words(bits, 5, 19))),
        InsnId::TBZ_Rt_BIT_NUM_ADDR_PCREL14 | InsnId::TBNZ_Rt_BIT_NUM_ADDR_PCREL14 => {
            Flow::Branch(to(words(bits, 5, 14)))
        }
        InsnId::BLR_Rn
        | InsnId::BLRAA_Rn_Rd_SP
        | InsnId::BLRAAZ_Rn
        | InsnId::BLRAB_Rn_Rd_SP
        | InsnId::BLRABZ_Rn => Flow::CallComputed,
        InsnId::BR_Rn
        | InsnId::BRAA_Rn_Rd_SP
        | InsnId::BRAAZ_Rn
        | InsnId::BRAB_Rn_Rd_SP
        | InsnId::BRABZ_Rn => Flow::JumpComputed,
        InsnId::RET_Rn | InsnId::RETAA | InsnId::RETAB => Flow::Return,
        InsnId::SVC_EXCEPTION => Flow::Syscall,
        InsnId::BRK_EXCEPTION | InsnId::HLT_EXCEPTION => Flow::Stop,
        // UDF, as compilers write it behind what does not return.
        _ if bits >> 16 == 0 => Flow::Stop,
        _ => Flow::Next,
    }
}

/// The distance of ADR, in bytes.
fn near(bits: u32) -> i64 {
    signed(field(bits, 5, 19) << 2 | field(bits, 29, 2), 21)
}

/// The page of ADRP.
fn page(bits: u32, at: u64) -> u64 {
    (at & !0xfff).wrapping_add((near(bits) << 12) as u64)
}

/// The constant of ADD and SUB.
fn shifted(bits: u32) -> u64 {
    u64::from(field(bits, 10, 12)) << (field(bits, 22, 1) * 12)
}

fn changes(id: InsnId, bits: u32, at: u64) -> [Effect; 4] {
    let none = Effect::None;
    let wide = field(bits, 31, 1) == 1;
    let target = named(bits, 0);
    let set = |source| [target.map_or(none, |register| Effect::Set(register, source)), none, none, none];
    let set_stack = |source| [Effect::Set(with_stack(bits, 0), source), none, none, none];
    let half = u64::from(field(bits, 5, 16)) << (field(bits, 21, 2) * 16);
    let mask = if wide { u64::MAX } else { u64::from(u32::MAX) };
    let computed = |what, register, constant| {
        if wide {
            ValueSource::Computed(what, register, constant)
        } else {
            ValueSource::ComputedHalf(what, register, constant)
        }
    };
    match id {
        InsnId::ADR_Rd_ADDR_PCREL21 => set(ValueSource::Constant(at.wrapping_add(near(bits) as u64))),
        InsnId::ADRP_Rd_ADDR_ADRP => set(ValueSource::Constant(page(bits, at))),
        InsnId::ADD_Rd_SP_Rn_SP_AIMM => {
            set_stack(computed(Arithmetic::Add, with_stack(bits, 5), shifted(bits)))
        }
        InsnId::SUB_Rd_SP_Rn_SP_AIMM => {
            set_stack(computed(Arithmetic::Add, with_stack(bits, 5), shifted(bits).wrapping_neg()))
        }
        InsnId::MOVZ_Rd_HALF => set(ValueSource::Constant(half & mask)),
        InsnId::MOVN_Rd_HALF => set(ValueSource::Constant(!half & mask)),
        InsnId::MOVK_Rd_HALF => match target {
            Some(register) => {
                let rest = !(0xffff << (field(bits, 21, 2) * 16)) & mask;
                [
                    Effect::Set(register, ValueSource::Computed(Arithmetic::And, register, rest)),
                    Effect::Set(register, ValueSource::Computed(Arithmetic::Or, register, half)),
                    none,
                    none,
                ]
            }
            None => [none; 4],
        },
        // MOV of a register: ORR with the zero register.
        InsnId::ORR_Rd_Rn_Rm_SFT if field(bits, 5, 5) == 31 && field(bits, 10, 6) == 0 => {
            let source = match named(bits, 16) {
                None => ValueSource::Constant(0),
                Some(register) if wide => ValueSource::Register(register),
                Some(register) => ValueSource::Half(register),
            };
            set(source)
        }
        // MOV of a bit mask.
        InsnId::ORR_Rd_SP_Rn_LIMM if field(bits, 5, 5) == 31 => set_stack(
            bit_mask(bits).map_or(ValueSource::Unknown, |value| ValueSource::Constant(value & mask)),
        ),
        InsnId::CSEL_Rd_Rn_Rm_COND => match (named(bits, 5), named(bits, 16)) {
            (Some(one), Some(other)) => set(ValueSource::Either(one, other)),
            _ => set(ValueSource::Unknown),
        },
        InsnId::LDR_Rt_ADDR_UIMM12 if field(bits, 31, 1) == 1 => {
            let size = 4 << field(bits, 30, 1);
            let distance = i64::from(field(bits, 10, 12)) * i64::from(size);
            set(ValueSource::Memory(with_stack(bits, 5), distance, size as u8))
        }
        InsnId::LDUR_Rt_ADDR_SIMM9 => {
            let size = 4 << field(bits, 30, 1);
            set(ValueSource::Memory(with_stack(bits, 5), signed(field(bits, 12, 9), 9), size as u8))
        }
        InsnId::LDRSW_Rt_ADDR_UIMM12 => {
            set(ValueSource::Memory(with_stack(bits, 5), i64::from(field(bits, 10, 12)) * 4, 4))
        }
        InsnId::LDR_Rt_ADDR_PCREL19 => {
            let place = at.wrapping_add(words(bits, 5, 19) as u64);
            set(ValueSource::At(place, 4 << field(bits, 30, 1)))
        }
        InsnId::LDR_Rt_ADDR_SIMM9 => indexed(bits, |base, distance, size| {
            target.map_or(none, |register| Effect::Set(register, ValueSource::Memory(base, distance, size)))
        }),
        InsnId::STR_Rt_ADDR_SIMM9 => {
            indexed(bits, |base, distance, size| Effect::Store(base, distance, size, value_of(bits, 0)))
        }
        InsnId::STR_Rt_ADDR_UIMM12 => {
            let size = 4 << field(bits, 30, 1);
            let distance = i64::from(field(bits, 10, 12)) * i64::from(size);
            [Effect::Store(with_stack(bits, 5), distance, size as u8, value_of(bits, 0)), none, none, none]
        }
        InsnId::STUR_Rt_ADDR_SIMM9 => {
            let size = 4 << field(bits, 30, 1);
            let distance = signed(field(bits, 12, 9), 9);
            [Effect::Store(with_stack(bits, 5), distance, size as u8, value_of(bits, 0)), none, none, none]
        }
        InsnId::LDP_Rt_Rt2_ADDR_SIMM7
        | InsnId::LDP_Rt_W_Rt2_W_ADDR_SIMM7_S_S
        | InsnId::STP_Rt_Rt2_ADDR_SIMM7
        | InsnId::STP_Rt_W_Rt2_W_ADDR_SIMM7_S_S => pair(bits),
        InsnId::SVC_EXCEPTION => [Effect::Clobber(1), none, none, none],
        _ => anything(bits),
    }
}

/// What a register of a field holds; 31 is zero.
fn value_of(bits: u32, low: u32) -> ValueSource {
    named(bits, low).map_or(ValueSource::Constant(0), ValueSource::Register)
}

/// LDR and STR that change their base before or after; `size` is that of X or W registers.
fn indexed(bits: u32, access: impl Fn(Register, i64, u8) -> Effect) -> [Effect; 4] {
    let base = with_stack(bits, 5);
    let distance = signed(field(bits, 12, 9), 9);
    let size = 4 << field(bits, 30, 1);
    let moved = Effect::Set(base, ValueSource::Computed(Arithmetic::Add, base, distance as u64));
    let before = field(bits, 10, 2) == 3;
    if before {
        [moved, access(base, 0, size), Effect::None, Effect::None]
    } else {
        [access(base, 0, size), moved, Effect::None, Effect::None]
    }
}

/// LDP and STP, with their three ways of addressing.
fn pair(bits: u32) -> [Effect; 4] {
    let base = with_stack(bits, 5);
    let size = if field(bits, 31, 1) == 1 { 8 } else { 4 };
    let distance = signed(field(bits, 15, 7), 7) * i64::from(size);
    let mode = field(bits, 23, 2);
    let moved = Effect::Set(base, ValueSource::Computed(Arithmetic::Add, base, distance as u64));
    let at = if mode == 2 { distance } else { 0 };
    let access = |low: u32, place: i64| {
        if field(bits, 22, 1) == 0 {
            return Effect::Store(base, place, size, value_of(bits, low));
        }
        named(bits, low).map_or(Effect::None, |to| Effect::Set(to, ValueSource::Memory(base, place, size)))
    };
    let (one, two) = (access(0, at), access(10, at + i64::from(size)));
    match mode {
        3 => [moved, one, two, Effect::None],
        1 => [one, two, moved, Effect::None],
        _ => [one, two, Effect::None, Effect::None],
    }
}

/// Any other instruction: the register of its first field; of a load or store also its base, where it is
/// changed, and the other registers that an exclusive or atomic one may write.
fn anything(bits: u32) -> [Effect; 4] {
    let none = Effect::None;
    // Branches, exceptions and system instructions have op0 101x (C4.1): only MRS and MRRS write registers.
    if field(bits, 26, 3) == 0b101 && field(bits, 20, 12) != 0xd53 && field(bits, 20, 12) != 0xd57 {
        return [none; 4];
    }
    // Loads and stores have op0 x1x0.
    if field(bits, 27, 1) == 0 || field(bits, 25, 1) == 1 {
        // Data processing; comparisons and branches write nothing that is followed.
        return [Effect::Clobber((1 << field(bits, 0, 5)) & 0x7fff_ffff), none, none, none];
    }
    let vector = field(bits, 26, 1) == 1;
    let base = with_stack(bits, 5);
    let group = field(bits, 27, 3);
    let (pair, single) = (group == 0b101, group == 0b111);
    let atomic = single && field(bits, 21, 1) == 1 && field(bits, 10, 2) == 0;
    let mut written = 0u32;
    if !vector {
        written |= 1 << field(bits, 0, 5);
        if !single {
            written |= 1 << field(bits, 10, 5);
        }
        if !single && !pair || atomic {
            written |= 1 << field(bits, 16, 5);
        }
    }
    let indexed = single && field(bits, 24, 1) == 0 && field(bits, 21, 1) == 0 && field(bits, 10, 1) == 1;
    let distance = if pair && field(bits, 23, 1) == 1 {
        let scale = if vector { 4 << field(bits, 30, 2) } else { 4 << field(bits, 31, 1) };
        Some(signed(field(bits, 15, 7), 7) * scale)
    } else {
        indexed.then(|| signed(field(bits, 12, 9), 9))
    };
    let moved = distance.map_or(none, |distance| {
        Effect::Set(base, ValueSource::Computed(Arithmetic::Add, base, distance as u64))
    });
    let loads = if pair { field(bits, 22, 1) == 1 } else { single && !atomic && field(bits, 22, 2) % 2 == 1 };
    let stored = if loads { none } else { Effect::StoreAnywhere };
    [Effect::Clobber(written & 0x7fff_ffff & !(1 << base)), moved, stored, none]
}

/// The constant of a logical instruction (DecodeBitMasks).
fn bit_mask(bits: u32) -> Option<u64> {
    let (n, rotate, ones) = (field(bits, 22, 1), field(bits, 16, 6), field(bits, 10, 6));
    let length = 31 - (n << 6 | (!ones & 0x3f)).leading_zeros().min(31);
    if length == 0 {
        return None;
    }
    let size = 1u32 << length;
    let (ones, rotate) = (ones & (size - 1), rotate & (size - 1));
    if ones == size - 1 {
        return None;
    }
    let element = (1u64 << (ones + 1)) - 1;
    let element_mask = if size == 64 { u64::MAX } else { (1u64 << size) - 1 };
    let rotated =
        if rotate == 0 { element } else { (element >> rotate | element << (size - rotate)) & element_mask };
    Some((0..64 / size).fold(0, |value, at| value | rotated << (at * size)))
}
