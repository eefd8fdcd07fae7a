//! Programs of a few instructions, which need neither a loader nor a library and touch
//! nothing: code of its own that is no copy of anything.

/// Exits with 42.
#[cfg(target_arch = "x86_64")]
const EXITS: &[u8] =
    // mov edi, 42; mov eax, 231 (exit_group); syscall
    &[0xbf, 42, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];
#[cfg(target_arch = "aarch64")]
const EXITS: &[u8] =
    // mov x0, #42; mov x8, #94 (exit_group); svc #0
    &[0x40, 0x05, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// Exits with the first byte of its first argument.
#[cfg(target_arch = "x86_64")]
const TELLS: &[u8] =
    // mov rdi, [rsp+16]; movzx edi, byte [rdi]; mov eax, 231 (exit_group); syscall
    &[0x48, 0x8b, 0x7c, 0x24, 0x10, 0x0f, 0xb6, 0x3f, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];
#[cfg(target_arch = "aarch64")]
const TELLS: &[u8] =
    // ldr x0, [sp, #16]; ldrb w0, [x0]; mov x8, #94 (exit_group); svc #0
    &[0xe0, 0x0b, 0x40, 0xf9, 0x00, 0x00, 0x40, 0x39, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// Waits to be killed.
#[cfg(target_arch = "x86_64")]
const WAITS: &[u8] =
    // 0: mov eax, 34 (pause); syscall; jmp 0b
    &[0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
#[cfg(target_arch = "aarch64")]
const WAITS: &[u8] =
    // 0: mov x0, #0; mov x1, #0; mov x2, #0; mov x3, #0; mov x8, #73 (ppoll); svc #0; b 0b
    &[
        0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00, 0x80, 0xd2, 0x28,
        0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xfa, 0xff, 0xff, 0x17,
    ];

/// A function that returns 42, for any process that maps it.
#[cfg(target_arch = "x86_64")]
pub const FUNCTION: &[u8] =
    // mov eax, 42; ret
    &[0xb8, 42, 0, 0, 0, 0xc3];
#[cfg(target_arch = "aarch64")]
pub const FUNCTION: &[u8] =
    // mov w0, #42; ret
    &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];

/// What an attacker brings: it exits with 42.
pub fn exits() -> Vec<u8> {
    program(EXITS)
}

/// It exits with the first byte of its first argument.
pub fn tells() -> Vec<u8> {
    program(TELLS)
}

/// It waits to be killed.
pub fn waits() -> Vec<u8> {
    program(WAITS)
}

/// An ELF file of one segment, readable and executable, with a stack that is not.
fn program(code: &[u8]) -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let base: u64 = 0x40_0000;
    let headers = 64 + 2 * 56;
    let length = headers + code.len() as u64;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend(2u16.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    elf.extend((base + headers).to_le_bytes());
    elf.extend(64u64.to_le_bytes());
    elf.extend(0u64.to_le_bytes());
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes());
    elf.extend(5u32.to_le_bytes());
    for word in [0, base, base, length, length, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    // PT_GNU_STACK, readable and writable.
    elf.extend(0x6474_e551u32.to_le_bytes());
    elf.extend(6u32.to_le_bytes());
    elf.extend([0; 48]);
    elf.extend(code);
    elf
}
