//! Running what is not listed, by every way there is.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use super::{Result, argument};
use crate::syscall::{self, Ended, Forked, Refused, call, open, path};

/// `exec PATH [ARG…]`, `exec-copy PROGRAM DIRECTORY`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("exec", exec),
    ("execveat", exec_at),
    ("exec-copy", exec_copy),
    ("exec-drop", exec_drop),
    ("exec-memfd", exec_memfd),
    ("exec-proc-fd", exec_proc_fd),
    ("exec-deleted", exec_deleted),
    ("exec-loader", exec_loader),
];

/// An ELF file that exits with 42 and touches nothing: code of its own, so that
/// it is no copy of anything that is listed.
fn dropped_program() -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    let (machine, code): (u16, &[u8]) =
        // mov edi, 42; mov eax, 231 (exit_group); syscall
        (62, &[0xbf, 42, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]);
    #[cfg(target_arch = "aarch64")]
    let (machine, code): (u16, &[u8]) =
        // mov x0, #42; mov x8, #94 (exit_group); svc #0
        (183, &[0x40, 0x05, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4]);
    let base: u64 = 0x40_0000;
    let length = 64 + 56 + code.len() as u64;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend(2u16.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    elf.extend((base + 120).to_le_bytes());
    elf.extend(64u64.to_le_bytes());
    elf.extend(0u64.to_le_bytes());
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes());
    elf.extend(5u32.to_le_bytes());
    for word in [0, base, base, length, length, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

fn exec(arguments: &[String]) -> Result {
    let program = argument(arguments, 0, "/bin/sh");
    run("execve", program, &arguments[arguments.len().min(1)..])
}

fn exec_at(arguments: &[String]) -> Result {
    let program = argument(arguments, 0, "/bin/sh");
    let file = open("open", program, libc::O_PATH, 0)?;
    run_descriptor("execveat", &file)
}

fn exec_copy(arguments: &[String]) -> Result {
    let program = argument(arguments, 0, "/proc/self/exe");
    let copy = format!("{}/copied", argument(arguments, 1, "/tmp"));
    let mut content = Vec::new();
    let read = File::from(open("read the program", program, libc::O_RDONLY, 0)?).read_to_end(&mut content);
    read.map_err(|error| refused("read the program", &error))?;
    place(&copy, &content)?;
    // The copy of this very program ends at once when asked to.
    let result = run("execve", &copy, &["exit".to_owned(), "42".to_owned()]);
    remove(&copy);
    result
}

fn exec_drop(arguments: &[String]) -> Result {
    let file = format!("{}/dropped", argument(arguments, 0, "/tmp"));
    place(&file, &dropped_program())?;
    let result = run("execve", &file, &[]);
    remove(&file);
    result
}

fn exec_memfd(_: &[String]) -> Result {
    run_descriptor("execveat", &memory_file()?)
}

fn exec_proc_fd(_: &[String]) -> Result {
    let file = memory_file()?;
    run("execve", &format!("/proc/self/fd/{}", file.as_raw_fd()), &[])
}

/// A program that has no name any more.
fn exec_deleted(arguments: &[String]) -> Result {
    let name = format!("{}/deleted", argument(arguments, 0, "/tmp"));
    place(&name, &dropped_program())?;
    let file = open("open", &name, libc::O_RDONLY, 0)?;
    remove(&name);
    run_descriptor("execveat", &file)
}

/// The ELF loader is executable for others' sake: run directly, it runs anything.
fn exec_loader(arguments: &[String]) -> Result {
    let loader = if cfg!(target_arch = "aarch64") {
        "/lib/ld-linux-aarch64.so.1"
    } else {
        "/lib64/ld-linux-x86-64.so.2"
    };
    let dropped = format!("{}/loaded", argument(arguments, 0, "/tmp"));
    place(&dropped, &dropped_program())?;
    let result = run("execve", loader, std::slice::from_ref(&dropped));
    remove(&dropped);
    result
}

fn memory_file() -> Result<OwnedFd> {
    let name = path("dropped");
    // Open across the exec, as the magic link needs it.
    let fd = call("memfd_create", libc::SYS_memfd_create, &[name.as_ptr() as usize, 0])?;
    let mut file = File::from(syscall::own(fd));
    file.write_all(&dropped_program()).map_err(|error| refused("write", &error))?;
    Ok(file.into())
}

fn place(name: &str, content: &[u8]) -> Result<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
    let mut file = File::from(open("create", name, flags, 0o755)?);
    file.write_all(content).map_err(|error| refused("write", &error))
}

fn remove(name: &str) {
    let name = path(name);
    // What is left lies in a throw-away place.
    let _ = call("unlink", libc::SYS_unlinkat, &[libc::AT_FDCWD as usize, name.as_ptr() as usize, 0]);
}

fn refused(step: &'static str, error: &std::io::Error) -> Refused {
    Refused { step, errno: error.raw_os_error().unwrap_or(0) }
}

/// Runs a program in a child, with the environment that this one has.
fn run(step: &'static str, program: &str, arguments: &[String]) -> Result {
    let program = path(program);
    let list: Vec<CString> =
        std::iter::once(program.clone()).chain(arguments.iter().map(|text| path(text))).collect();
    let argv = pointers(&list);
    let environment = environment();
    let envp = pointers(&environment);
    in_grandchild(step, || {
        call(
            step,
            libc::SYS_execve,
            &[program.as_ptr() as usize, argv.as_ptr() as usize, envp.as_ptr() as usize],
        )
    })
}

fn run_descriptor(step: &'static str, file: &OwnedFd) -> Result {
    let empty = path("");
    // A multi-call binary goes by this; a dropped one does not care.
    let list = [path("true")];
    let argv = pointers(&list);
    let environment = environment();
    let envp = pointers(&environment);
    in_grandchild(step, || {
        call(
            step,
            libc::SYS_execveat,
            &[
                file.as_raw_fd() as usize,
                empty.as_ptr() as usize,
                argv.as_ptr() as usize,
                envp.as_ptr() as usize,
                libc::AT_EMPTY_PATH as usize,
            ],
        )
    })
}

fn environment() -> Vec<CString> {
    std::env::vars().map(|(name, value)| path(&format!("{name}={value}"))).collect()
}

fn pointers(list: &[CString]) -> Vec<usize> {
    list.iter().map(|text| text.as_ptr() as usize).chain(std::iter::once(0)).collect()
}

/// Forks and execs; the errno of a refused exec comes through a pipe that a
/// successful one closes. A program that was started and then killed for what
/// it is was refused as well.
fn in_grandchild(step: &'static str, exec: impl FnOnce() -> Result<usize>) -> Result {
    let (from, to) = syscall::pipe()?;
    match syscall::fork("fork")? {
        Forked::Child => {
            let errno = exec().err().map_or(0, |refused| refused.errno);
            // The parent reads nothing if this fails, and the code tells it.
            let written = File::from(to).write_all(&errno.to_le_bytes());
            syscall::leave(if written.is_ok() { 127 } else { 126 })
        }
        Forked::Parent(child) => {
            drop(to);
            let mut errno = Vec::new();
            File::from(from).read_to_end(&mut errno).map_err(|error| refused("read", &error))?;
            let ended = syscall::wait(child);
            if let Ok(errno) = <[u8; 4]>::try_from(errno.as_slice()) {
                return Err(Refused { step, errno: i32::from_le_bytes(errno) });
            }
            match ended {
                Ended::Code(code) => Ok(format!("exit {code}")),
                // The image is gone: the caller dies of the same, so that it shows.
                Ended::Signal(signal) => {
                    // SAFETY: kill takes no memory.
                    unsafe { libc::kill(libc::getpid(), signal) };
                    Ok(format!("signal {signal}"))
                }
            }
        }
    }
}
