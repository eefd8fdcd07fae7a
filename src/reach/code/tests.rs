use super::super::object::ElfObject;
use super::super::samples::{Assembly, CODE, Sample};
use super::*;

fn x86_64(bytes: &[u8]) -> Instruction {
    x86_64::decode(bytes, 0x1000, false, true)
}

fn aarch64(word: u32) -> Instruction {
    aarch64::decode(&word.to_le_bytes(), 0x1000, true)
}

fn effects(instruction: &Instruction) -> Vec<Effect> {
    instruction.effects.into_iter().filter(|one| *one != Effect::None).collect()
}

#[test]
fn x86_64_flows() {
    for (bytes, flow) in [
        (&[0x0f, 0x05][..], Flow::Syscall),
        (&[0x0f, 0x34], Flow::OldSyscall),
        (&[0xcd, 0x80], Flow::OldSyscall),
        (&[0xe8, 0xfb, 0, 0, 0], Flow::Call(0x1100)),
        (&[0xe9, 0xfb, 0, 0, 0], Flow::Jump(0x1100)),
        (&[0x74, 0x0e], Flow::Branch(0x1010)),
        (&[0xff, 0x15, 0xfa, 0, 0, 0], Flow::CallSlot(0x1100)),
        (&[0xf2, 0xff, 0x25, 0xf9, 0, 0, 0], Flow::JumpSlot(0x1100)),
        (&[0xff, 0xd0], Flow::CallComputed),
        (&[0x3e, 0xff, 0xe0], Flow::JumpComputed),
        (&[0xff, 0x24, 0xc5, 0, 0, 0x40, 0], Flow::JumpComputed),
        (&[0xc3], Flow::Return),
        (&[0xf4], Flow::Stop),
        (&[0x0f, 0x0b], Flow::Stop),
        (&[0x06], Flow::Stop),
        (&[], Flow::Stop),
        (&[0x90], Flow::Next),
    ] {
        assert_eq!(x86_64(bytes).flow, flow, "{bytes:x?}");
    }
    assert!(x86_64(&[0xf3, 0x0f, 0x1e, 0xfa]).is_padding, "endbr64");
}

#[test]
fn x86_64_effects() {
    let add = |register, constant: i64| ValueSource::Computed(Arithmetic::Add, register, constant as u64);
    for (bytes, expected) in [
        (&[0xb8, 39, 0, 0, 0][..], vec![Effect::Set(0, ValueSource::Constant(39))]),
        (&[0x89, 0xf8], vec![Effect::Set(0, ValueSource::Half(7))]),
        (&[0x4c, 0x89, 0xc0], vec![Effect::Set(0, ValueSource::Register(8))]),
        (&[0x31, 0xc0], vec![Effect::Set(0, ValueSource::Constant(0))]),
        (&[0x6a, 5], vec![Effect::Set(4, add(4, -8)), Effect::Store(4, 0, 8, ValueSource::Constant(5))]),
        (&[0x58], vec![Effect::Set(0, ValueSource::Memory(4, 0, 8)), Effect::Set(4, add(4, 8))]),
        (&[0x8b, 0x45, 0xfc], vec![Effect::Set(0, ValueSource::Memory(5, -4, 4))]),
        (&[0x48, 0x8d, 0x05, 0xf9, 0, 0, 0], vec![Effect::Set(0, ValueSource::Constant(0x1100))]),
        (&[0x48, 0x83, 0xec, 0x10], vec![Effect::Set(4, add(4, -16))]),
        (&[0xf7, 0xe1], vec![Effect::Clobber(1 | 1 << 2)]),
        (&[0x88, 0x07], vec![Effect::Store(7, 0, 1, ValueSource::Unknown)]),
        (&[0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0], vec![Effect::Set(0, ValueSource::Unknown)]),
    ] {
        assert_eq!(effects(&x86_64(bytes)), expected, "{bytes:x?}");
    }
}

#[test]
fn aarch64_flows_and_addresses() {
    for (word, flow) in [
        (0xd400_0001, Flow::Syscall),
        (0x9400_0040, Flow::Call(0x1100)),
        (0x17ff_ffff, Flow::Jump(0xffc)),
        (0x5400_0040, Flow::Branch(0x1008)),
        (0xb400_0040, Flow::Branch(0x1008)),
        (0x3700_0040, Flow::Branch(0x1008)),
        (0xd63f_0000, Flow::CallComputed),
        (0xd61f_0220, Flow::JumpComputed),
        (0xd65f_03c0, Flow::Return),
        (0xd420_7d00, Flow::Stop),
        (0, Flow::Stop),
        (0xd503_201f, Flow::Next),
    ] {
        assert_eq!(aarch64(word).flow, flow, "{word:x}");
    }
    assert_eq!(aarch64(0x1000_0040).address, Some(0x1008), "adr");
    assert_eq!(aarch64(0xb000_0000).page, Some((0, 0x2000)), "adrp");
    assert_eq!(aarch64(0x9100_4021).offset, Some((1, 0x10, false)), "add");
    assert_eq!(aarch64(0xf940_0a11).offset, Some((16, 0x10, true)), "ldr");
}

#[test]
fn aarch64_effects() {
    let add = |register, constant: i64| ValueSource::Computed(Arithmetic::Add, register, constant as u64);
    for (word, expected) in [
        (0xd280_1588, vec![Effect::Set(8, ValueSource::Constant(172))]),
        (0x9280_0000, vec![Effect::Set(0, ValueSource::Constant(u64::MAX))]),
        (0xaa01_03e0, vec![Effect::Set(0, ValueSource::Register(1))]),
        (0x2a01_03e0, vec![Effect::Set(0, ValueSource::Half(1))]),
        (0xb240_03e0, vec![Effect::Set(0, ValueSource::Constant(1))]),
        (0xd100_43ff, vec![Effect::Set(31, add(31, -16))]),
        (0xf940_0fe0, vec![Effect::Set(0, ValueSource::Memory(31, 24, 8))]),
        (0xb900_1fe0, vec![Effect::Store(31, 28, 4, ValueSource::Register(0))]),
        (
            0xa9bf_7bfd,
            vec![
                Effect::Set(31, add(31, -16)),
                Effect::Store(31, 0, 8, ValueSource::Register(29)),
                Effect::Store(31, 8, 8, ValueSource::Register(30)),
            ],
        ),
        (
            0xa8c1_7bfd,
            vec![
                Effect::Set(29, ValueSource::Memory(31, 0, 8)),
                Effect::Set(30, ValueSource::Memory(31, 8, 8)),
                Effect::Set(31, add(31, 16)),
            ],
        ),
        (0xb824_6861, vec![Effect::Clobber(2), Effect::StoreAnywhere]),
        (0xb140_043f, vec![Effect::Clobber(0)]),
        (0x3940_0041, vec![Effect::Clobber(2)]),
        (0x5400_01a8, vec![]),
        (0xd53b_d043, vec![Effect::Clobber(8)]),
    ] {
        assert_eq!(effects(&aarch64(word)), expected, "{word:x}");
    }
}

#[test]
fn code_ends_where_its_segment_ends() {
    let object = ElfObject::read("app", Sample::of(Assembly::new().eax(1)).bytes()).expect("an object");
    let decoder = Decoder::new(&object);
    assert_eq!(decoder.decode(CODE).flow, Flow::Next);
    for outside in [CODE + 5, 0, u64::MAX] {
        assert_eq!(decoder.decode(outside).flow, Flow::Stop, "{outside:x}");
    }
}
