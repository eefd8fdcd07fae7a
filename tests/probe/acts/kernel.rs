//! Corners of the kernel that an ordinary program has no use for, and memory.

use super::{Result, done};
use crate::syscall::{call, own, path};

/// `io-uring`, `i386`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("nothing", |_| done()),
    ("i386", i386),
    ("x32", |_| call("getpid", 0x4000_0000 | libc::SYS_getpid, &[]).and_then(|_| done())),
    ("io-uring", io_uring),
    ("keyctl", |_| call("keyctl", libc::SYS_keyctl, &[0, -3isize as usize, 1]).and_then(|_| done())),
    ("bpf", bpf),
    ("perf", perf),
    ("userfaultfd", |_| call("userfaultfd", libc::SYS_userfaultfd, &[1]).map(own).and_then(|_| done())),
    ("memfd", memfd),
    ("memory-map", memory_map),
    ("memory-protect", memory_protect),
    ("memory-shared", memory_shared),
    ("personality", |_| call("personality", libc::SYS_personality, &[0x2_0000]).and_then(|_| done())),
    ("terminal-push", |_| terminal_push(0)),
    ("terminal-push-high", |_| terminal_push(0x1_0000_0000)),
    ("syslog", |_| call("syslog", libc::SYS_syslog, &[10]).and_then(|_| done())),
    ("quotactl", |_| call("quotactl", libc::SYS_quotactl, &[0x80_0001usize << 8]).and_then(|_| done())),
];

const PAGE: usize = 4096;

/// A system call by the 32-bit table: `getpid` has number 20 there.
#[cfg(target_arch = "x86_64")]
fn i386(_: &[String]) -> Result {
    let result: i64;
    // SAFETY: getpid takes no arguments and writes no memory; the gate keeps
    // every register but rax, and on old kernels r8 to r11, named here.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("rax") 20i64 => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    Ok(format!("pid {result}"))
}

#[cfg(not(target_arch = "x86_64"))]
fn i386(_: &[String]) -> Result {
    Err(crate::syscall::Refused { step: "int 0x80", errno: libc::ENOSYS })
}

fn io_uring(_: &[String]) -> Result {
    // struct io_uring_params is 120 bytes, all zero.
    let parameters = [0u64; 15];
    call("io_uring_setup", libc::SYS_io_uring_setup, &[1, parameters.as_ptr() as usize]).map(own)?;
    done()
}

fn bpf(_: &[String]) -> Result {
    // BPF_MAP_CREATE of an array: type 2, key 4, value 4, one entry.
    let attributes: [u32; 32] = std::array::from_fn(|index| [2, 4, 4, 1].get(index).copied().unwrap_or(0));
    call("bpf", libc::SYS_bpf, &[0, attributes.as_ptr() as usize, size_of_val(&attributes)]).map(own)?;
    done()
}

fn perf(_: &[String]) -> Result {
    // struct perf_event_attr: software event 0, its size, user space only.
    let mut attributes = [0u64; 16];
    attributes[0] = 1 | (128u64 << 32);
    attributes[5] = 0b110_0000;
    call(
        "perf_event_open",
        libc::SYS_perf_event_open,
        &[attributes.as_ptr() as usize, 0, usize::MAX, usize::MAX, 0],
    )
    .map(own)?;
    done()
}

fn memfd(_: &[String]) -> Result {
    let name = path("plain");
    call("memfd_create", libc::SYS_memfd_create, &[name.as_ptr() as usize, 0]).map(own)?;
    done()
}

fn map(step: &'static str, protection: i32) -> Result<usize> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    call(step, libc::SYS_mmap, &[0, PAGE, protection as usize, flags, usize::MAX, 0])
}

fn memory_map(_: &[String]) -> Result {
    map("mmap", libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)?;
    done()
}

fn memory_protect(_: &[String]) -> Result {
    let page = map("map a page", libc::PROT_READ | libc::PROT_WRITE)?;
    call("mprotect", libc::SYS_mprotect, &[page, PAGE, (libc::PROT_READ | libc::PROT_EXEC) as usize])?;
    done()
}

fn memory_shared(_: &[String]) -> Result {
    let id = call("shmget", libc::SYS_shmget, &[0, PAGE, 0o1700])?;
    let result = call("shmat", libc::SYS_shmat, &[id, 0, libc::SHM_EXEC as usize]);
    call("shmctl", libc::SYS_shmctl, &[id, libc::IPC_RMID as usize, 0])?;
    result?;
    done()
}

/// Typing for the person at the terminal; the kernel reads only 32 bits of the request.
fn terminal_push(high: usize) -> Result {
    let byte = [b'x'];
    call("ioctl", libc::SYS_ioctl, &[0, high | libc::TIOCSTI as usize, byte.as_ptr() as usize])?;
    done()
}
