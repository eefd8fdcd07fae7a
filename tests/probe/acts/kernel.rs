//! Corners of the kernel that an ordinary program has no use for, and memory.

use super::first::HIGH;
use super::{Result, argument, done};
use crate::syscall::{call, own, path};

/// `io-uring`, `i386`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("nothing", |_| done()),
    #[cfg(target_arch = "x86_64")]
    ("i386", i386),
    #[cfg(target_arch = "x86_64")]
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
    ("terminal-push-high", |_| terminal_push(HIGH)),
    ("terminal-speak", |_| terminal_speak(0)),
    ("terminal-speak-high", |_| terminal_speak(HIGH)),
    ("open-high", open_high),
    ("memfd-high", memfd_high),
    ("socket-high", socket_high),
    ("personality-high", |_| {
        call("personality", libc::SYS_personality, &[HIGH | 0x2_0000]).and_then(|_| done())
    }),
    ("limits-high", limits_high),
    #[cfg(target_arch = "x86_64")]
    ("modify-ldt", |_| {
        let table = [0u8; 16];
        let words = [0, table.as_ptr() as usize, table.len()];
        call("modify_ldt", libc::SYS_modify_ldt, &words).and_then(|_| done())
    }),
    ("add-key", add_key),
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

/// Pasting what is selected on the console, which is typing as well.
fn terminal_speak(high: usize) -> Result {
    // TIOCL_PASTESEL.
    let byte = [3u8];
    call("ioctl", libc::SYS_ioctl, &[0, high | libc::TIOCLINUX as usize, byte.as_ptr() as usize])?;
    done()
}

/// An open for writing whose flags do not say so in 64 bits.
fn open_high(arguments: &[String]) -> Result {
    let name = path(argument(arguments, 0, "/app/replaced"));
    let here = HIGH | (libc::AT_FDCWD as u32 as usize);
    let flags = HIGH | (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    call("openat", libc::SYS_openat, &[here, name.as_ptr() as usize, flags]).map(own)?;
    done()
}

/// A file in memory that may be executed, by flags that an int would not hold.
fn memfd_high(_: &[String]) -> Result {
    let name = path("high");
    let flags = HIGH | libc::MFD_EXEC as usize;
    let file = own(call("memfd_create", libc::SYS_memfd_create, &[name.as_ptr() as usize, flags])?);
    let mut to = std::fs::File::from(file.try_clone().map_err(|error| super::execs::refused("dup", &error))?);
    std::io::Write::write_all(&mut to, &crate::elf::exits())
        .map_err(|error| super::execs::refused("write", &error))?;
    drop(to);
    super::execs::run_descriptor("execveat", &file)
}

fn socket_high(_: &[String]) -> Result {
    let domain = HIGH | libc::AF_NETLINK as usize;
    let protocol = HIGH | libc::NETLINK_KOBJECT_UEVENT as usize;
    call("socket", libc::SYS_socket, &[domain, HIGH | libc::SOCK_RAW as usize, protocol]).map(own)?;
    done()
}

/// The limits of PID 1, whose number is not in the upper half.
fn limits_high(_: &[String]) -> Result {
    let mut limits = [0u64; 2];
    let words = [HIGH | 1, libc::RLIMIT_NOFILE as usize, 0, limits.as_mut_ptr() as usize];
    call("prlimit64", libc::SYS_prlimit64, &words)?;
    done()
}

fn add_key(_: &[String]) -> Result {
    let (kind, name) = (path("user"), path("attack"));
    // KEY_SPEC_PROCESS_KEYRING.
    let ring = -2isize as usize;
    let words = [kind.as_ptr() as usize, name.as_ptr() as usize, b"x".as_ptr() as usize, 1, ring];
    call("add_key", libc::SYS_add_key, &words)?;
    done()
}
