//! Files in memory under `baseline`: as without remit, but that none can be executed.

#[path = "support/descriptors.rs"]
mod descriptors;
#[path = "support/skip.rs"]
mod skip;

use std::process::{Command, Output};

const PYTHON: &str = "/usr/bin/python3";

fn python(mode: &str, script: &str) -> Output {
    let mut shim = Command::new(env!("CARGO_BIN_EXE_remit-init"));
    descriptors::only_standard(&mut shim);
    // Cargo's LD_LIBRARY_PATH would be dropped, with a line on stderr.
    shim.env_clear().env("PATH", "/usr/bin:/bin");
    let output = shim.args(["--mode", mode, "--profile", "baseline", "--", PYTHON, "-c", script]).output();
    output.expect("it runs")
}

/// Whether the kernel can make them so (MFD_NOEXEC_SEAL, Linux 6.3).
fn can_run() -> bool {
    if !skip::has(PYTHON) {
        return false;
    }
    // SAFETY: the name ends with NUL.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_create, c"asked".as_ptr(), 8 | libc::MFD_CLOEXEC) };
    if fd < 0 {
        skip::skip("Linux 6.3");
        return false;
    }
    // SAFETY: a descriptor that is ours.
    unsafe { libc::close(fd as i32) };
    true
}

#[test]
fn they_are_named_written_mapped_and_sealed_as_without_remit() {
    if !can_run() {
        return;
    }
    // The seals but for F_SEAL_EXEC, 0x20.
    let script = "
import ctypes, fcntl, mmap, os
def seals(fd): return fcntl.fcntl(fd, 1034) & ~0x20
plain, sealing = os.memfd_create('plain'), os.memfd_create('sealing', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
print(os.readlink(f'/proc/self/fd/{plain}'), os.get_inheritable(plain), seals(plain), seals(sealing))
os.write(plain, b'x' * 4096)
for protection in (mmap.PROT_READ | mmap.PROT_WRITE, mmap.PROT_READ | mmap.PROT_EXEC):
    print(mmap.mmap(plain, 4096, flags=mmap.MAP_SHARED, prot=protection)[0])
for fd, seal in ((plain, 2), (sealing, 2), (sealing, 1), (sealing, 4)):
    try: print(fcntl.fcntl(fd, 1033, seal), seals(fd))
    except OSError as error: print(error.errno)
try: os.memfd_create('n' * 250)
except OSError as error: print(error.errno)
# Its name in a thread's directory, as glibc writes it for another thread.
thread = os.listdir('/proc/self/task')[0]
open(f'/proc/self/task/{thread}/comm', 'w').write('renamed')
print(open('/proc/self/comm').read(), os.fstat(plain).st_uid)
";
    let free = python("off", script);
    assert!(free.status.success(), "{free:?}");
    let confined = python("enforce", script);
    assert_eq!(
        String::from_utf8_lossy(&confined.stdout),
        String::from_utf8_lossy(&free.stdout),
        "{confined:?}"
    );
    assert!(confined.status.success() && confined.stderr.is_empty(), "{confined:?}");
}

#[test]
fn none_is_executed_by_whatever_way() {
    if !can_run() {
        return;
    }
    for create in ["os.memfd_create('p', 0)", "os.memfd_create('p', 0x10)", "os.memfd_create('p', 2)"] {
        for act in [
            "os.execve(fd, ['true'], {})",
            "os.execv(f'/proc/self/fd/{fd}', ['true'])",
            "os.execv(f'/dev/fd/{fd}', ['true'])",
            "os.execv(f'/proc/{os.getpid()}/fd/{fd}', ['true'])",
            "os.fchmod(fd, 0o755); os.execve(fd, ['true'], {})",
            "os.close(os.open(f'/proc/self/fd/{fd}', os.O_RDWR)); os.execve(fd, ['true'], {})",
        ] {
            let script = format!(
                "import os; fd = {create}; os.write(fd, open('/bin/true', 'rb').read()); \
                 read = os.open(f'/proc/self/fd/{{fd}}', os.O_RDONLY); os.close(fd); fd = read; {act}"
            );
            let free = python("off", &script);
            assert!(free.status.success(), "control: {script}: {free:?}");
            let confined = python("enforce", &script);
            assert!(!confined.status.success(), "{script}: {confined:?}");
            let stderr = String::from_utf8_lossy(&confined.stderr);
            assert!(stderr.contains("PermissionError") || confined.status.code() == Some(137), "{stderr}");
        }
    }
}
