//! A container on the bare machine: user, mount, pid, network, ipc and uts
//! namespaces of an unprivileged range of ids, with an image's tar unpacked on a
//! tmpfs of its own. No seccomp profile, and no dropped capabilities.
//!
//! ```text
//! probe contain --image TAR [--user UID:GID] [--file SOURCE=TARGET]…
//!     [--folder SOURCE=TARGET]… [--without proc|dev] -- COMMAND [ARG…]
//! ```
//!
//! A file is copied, a folder is the machine's own, to be written by its owner.
//! Prints `contained PID` on stderr: COMMAND's pid as the machine sees it. The
//! container ends when COMMAND does, or when this program's stdin is closed.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use crate::syscall::{self, Ended, Forked, Refused, call, errno_name, path};

/// The first id, on the machine, of the range that the namespace has.
const FIRST_ID: u32 = 100_000;
const IDS: u32 = 65_536;
/// Where the tmpfs is mounted, in the namespace's own view.
const ROOT: &str = "/tmp";

struct Options {
    image: File,
    ids: (u32, u32),
    files: Vec<(Vec<u8>, String)>,
    folders: Vec<(String, String)>,
    /// What is not mounted.
    without: String,
    command: Vec<CString>,
}

/// Runs COMMAND contained; its exit code, or 128 + the signal that ended it.
pub fn contain(arguments: &[String]) -> Result<ExitCode, String> {
    let options = Options::read(arguments)?;
    let (unshared, say_unshared) = syscall::pipe().map_err(step)?;
    let (mapped, say_mapped) = syscall::pipe().map_err(step)?;
    let (pid_from, pid_to) = syscall::pipe().map_err(step)?;
    let (said, say) = syscall::pipe().map_err(step)?;
    match syscall::fork("fork").map_err(step)? {
        Forked::Child => {
            drop((unshared, say_mapped, pid_from, say));
            let code = match inside(&options, say_unshared, mapped, pid_to, said) {
                Ok(code) => code,
                Err(why) => {
                    eprintln!("probe contain: {why}");
                    i32::from(crate::MISUSED)
                }
            };
            syscall::leave(code)
        }
        Forked::Parent(child) => {
            drop((say_unshared, mapped, pid_to, said));
            wait_for(unshared);
            for map in ["uid_map", "gid_map"] {
                std::fs::write(format!("/proc/{child}/{map}"), format!("0 {FIRST_ID} {IDS}\n"))
                    .map_err(|error| format!("cannot write {map}: {error}; this needs root"))?;
            }
            drop(say_mapped);
            let mut bytes = [0; 4];
            if File::from(pid_from).read_exact(&mut bytes).is_ok() {
                let contained = i32::from_le_bytes(bytes);
                eprintln!("contained {contained}");
                drop(say);
                end_with_stdin(contained);
            }
            Ok(ExitCode::from(code_of(syscall::wait(child)) as u8))
        }
    }
}

impl Options {
    fn read(arguments: &[String]) -> Result<Options, String> {
        let (mut image, mut ids, mut files, mut words) = (None, (0, 0), Vec::new(), arguments.iter());
        let (mut folders, mut without) = (Vec::new(), String::new());
        let value = |words: &mut std::slice::Iter<String>, name| {
            words.next().cloned().ok_or(format!("{name} needs a value"))
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--" => break,
                "--image" => {
                    let name = value(&mut words, "--image")?;
                    image = Some(File::open(&name).map_err(|error| format!("cannot open {name}: {error}"))?);
                }
                "--user" => {
                    let text = value(&mut words, "--user")?;
                    let (user, group) = text.split_once(':').ok_or("--user is UID:GID")?;
                    let id = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is not an id"));
                    ids = (id(user)?, id(group)?);
                }
                "--file" => {
                    let text = value(&mut words, "--file")?;
                    let (source, target) = text.split_once('=').ok_or("--file is SOURCE=TARGET")?;
                    let content =
                        std::fs::read(source).map_err(|error| format!("cannot read {source}: {error}"))?;
                    files.push((content, target.to_owned()));
                }
                "--folder" => {
                    let text = value(&mut words, "--folder")?;
                    let (source, target) = text.split_once('=').ok_or("--folder is SOURCE=TARGET")?;
                    folders.push((source.to_owned(), target.to_owned()));
                }
                "--without" => without = value(&mut words, "--without")?,
                other => return Err(format!("`{other}` is no option of contain")),
            }
        }
        let command: Vec<CString> = words.map(|text| path(text)).collect();
        if command.is_empty() {
            return Err("no COMMAND".to_owned());
        }
        Ok(Options { image: image.ok_or("no --image")?, ids, files, folders, without, command })
    }
}

/// What the first child does: becomes the unprivileged user, takes namespaces, makes the root.
fn inside(
    options: &Options,
    unshared: OwnedFd,
    mapped: OwnedFd,
    pid_to: OwnedFd,
    said: OwnedFd,
) -> Result<i32, String> {
    die_with_parent()?;
    become_ids(FIRST_ID, FIRST_ID)?;
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    call("unshare", libc::SYS_unshare, &[namespaces as usize]).map_err(step)?;
    drop(unshared);
    wait_for(mapped);
    become_ids(0, 0)?;
    mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE)?;
    // They may lie below ROOT, which is about to be covered.
    let folders = open_folders(options)?;
    mount("tmpfs", ROOT, "tmpfs", libc::MS_NOSUID | libc::MS_NODEV)?;
    unpack(options)?;
    for (folder, target) in folders {
        let target = format!("{ROOT}{target}");
        std::fs::create_dir_all(&target).map_err(|error| format!("{target}: {error}"))?;
        mount(&format!("/proc/self/fd/{}", folder.as_raw_fd()), &target, "", libc::MS_BIND)?;
    }
    loopback_up()?;
    match syscall::fork("fork").map_err(step)? {
        Forked::Child => {
            drop(pid_to);
            let why = first_process(options, said).err().unwrap_or_default();
            eprintln!("probe contain: {why}");
            syscall::leave(i32::from(crate::MISUSED))
        }
        Forked::Parent(child) => {
            // If it cannot be reported, the reader finds the pipe closed.
            let written = File::from(pid_to).write_all(&child.to_le_bytes());
            written.map_err(|error| format!("pid pipe: {error}"))?;
            Ok(code_of(syscall::wait(child)))
        }
    }
}

/// What PID 1 of the container does before it is COMMAND.
fn first_process(options: &Options, said: OwnedFd) -> Result<(), String> {
    die_with_parent()?;
    if options.without != "proc" {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        mount("proc", &format!("{ROOT}/proc"), "proc", flags)?;
    }
    if options.without != "dev" {
        devices()?;
    }
    let null = File::open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    std::env::set_current_dir(ROOT).map_err(|error| format!("{ROOT}: {error}"))?;
    let here = path(".");
    let here = here.as_ptr() as usize;
    call("pivot_root", libc::SYS_pivot_root, &[here, here]).map_err(step)?;
    call("umount2", libc::SYS_umount2, &[here, libc::MNT_DETACH as usize]).map_err(step)?;
    std::env::set_current_dir("/").map_err(|error| format!("/: {error}"))?;
    call("setsid", libc::SYS_setsid, &[]).map_err(step)?;
    call("dup3", libc::SYS_dup3, &[null.as_raw_fd() as usize, 0, 0]).map_err(step)?;
    if options.ids != (0, 0) {
        become_ids(options.ids.0, options.ids.1)?;
        die_with_parent()?;
    }
    // COMMAND inherits nothing, and says nothing before its pid is said.
    call("close_range", libc::SYS_close_range, &[3, u32::MAX as usize, libc::CLOSE_RANGE_CLOEXEC as usize])
        .map_err(step)?;
    wait_for(said);
    let environment: Vec<CString> =
        std::env::vars().map(|(name, value)| path(&format!("{name}={value}"))).collect();
    let list = |items: &[CString]| -> Vec<usize> {
        items.iter().map(|text| text.as_ptr() as usize).chain(std::iter::once(0)).collect()
    };
    let (argv, envp) = (list(&options.command), list(&environment));
    call("execve", libc::SYS_execve, &[argv[0], argv.as_ptr() as usize, envp.as_ptr() as usize])
        .map_err(|refused| format!("{}: {}", options.command[0].to_string_lossy(), step(refused)))?;
    Ok(())
}

/// The devices that every container has, and the links beside them.
fn devices() -> Result<(), String> {
    for device in ["null", "zero", "full", "random", "urandom"] {
        let target = format!("{ROOT}/dev/{device}");
        File::create(&target).map_err(|error| format!("{target}: {error}"))?;
        mount(&format!("/dev/{device}"), &target, "", libc::MS_BIND)?;
    }
    for (name, target) in
        [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"), ("shm", "/tmp")]
    {
        std::os::unix::fs::symlink(target, format!("{ROOT}/dev/{name}"))
            .map_err(|error| format!("/dev/{name}: {error}"))?;
    }
    Ok(())
}

/// The image's files with their owners, and the run's own files as root's.
fn unpack(options: &Options) -> Result<(), String> {
    let mut archive = tar::Archive::new(&options.image);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive
        .unpack(ROOT)
        .map_err(|error| format!("unpacking the image: {error}: {:?}", std::error::Error::source(&error)))?;
    for (content, target) in &options.files {
        let target = format!("{ROOT}{target}");
        let folder = Path::new(&target).parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        std::fs::write(&target, content).map_err(|error| format!("{target}: {error}"))?;
    }
    for folder in ["proc", "dev", "tmp"] {
        std::fs::create_dir_all(format!("{ROOT}/{folder}")).map_err(|error| format!("/{folder}: {error}"))?;
    }
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    std::fs::set_permissions(format!("{ROOT}/tmp"), open).map_err(|error| format!("/tmp: {error}"))
}

fn open_folders(options: &Options) -> Result<Vec<(File, &str)>, String> {
    let mut folders = Vec::new();
    for (source, target) in &options.folders {
        let folder = File::open(source).map_err(|error| format!("cannot open {source}: {error}"))?;
        folders.push((folder, target.as_str()));
    }
    Ok(folders)
}

/// `ip link set lo up`, which is all the network there is.
/// Brings up `lo` of this network namespace.
pub fn loopback_up() -> Result<(), String> {
    let socket = call(
        "socket",
        libc::SYS_socket,
        &[libc::AF_INET as usize, (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize, 0],
    )
    .map(syscall::own)
    .map_err(step)?;
    // struct ifreq: 16 bytes of name, then the flags; 40 bytes in all.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&(libc::IFF_UP as u16).to_ne_bytes());
    call(
        "SIOCSIFFLAGS",
        libc::SYS_ioctl,
        &[socket.as_raw_fd() as usize, libc::SIOCSIFFLAGS as usize, request.as_ptr() as usize],
    )
    .map_err(step)?;
    Ok(())
}

fn become_ids(user: u32, group: u32) -> Result<(), String> {
    let (user, group) = (user as usize, group as usize);
    call("setgroups", libc::SYS_setgroups, &[0, 0]).map_err(step)?;
    call("setresgid", libc::SYS_setresgid, &[group, group, group]).map_err(step)?;
    call("setresuid", libc::SYS_setresuid, &[user, user, user]).map_err(step)?;
    Ok(())
}

fn die_with_parent() -> Result<(), String> {
    call("prctl", libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize])
        .map_err(step)?;
    Ok(())
}

/// Mounts.
pub fn mount(source: &str, target: &str, kind: &str, flags: u64) -> Result<(), String> {
    let names = [path(source), path(target), path(kind)];
    let at = |index: usize| names[index].as_ptr() as usize;
    call("mount", libc::SYS_mount, &[at(0), at(1), at(2), flags as usize, 0])
        .map_err(|refused| format!("{target}: {}", step(refused)))?;
    Ok(())
}

/// Waits until the other end is closed.
fn wait_for(pipe: OwnedFd) {
    // Nothing is ever written: the end of the file is the message.
    let _ = File::from(pipe).read(&mut [0]);
}

/// Ends the container when its parent is gone.
fn end_with_stdin(contained: i32) {
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // An unreadable stdin is a closed one.
        let _ = std::io::stdin().read_to_end(&mut rest);
        // SAFETY: kill takes no memory; the pid is a child's child that is not
        // reaped before this process ends.
        unsafe { libc::kill(contained, libc::SIGKILL) };
    });
}

fn code_of(ended: Ended) -> i32 {
    match ended {
        Ended::Code(code) => code,
        Ended::Signal(signal) => 128 + signal,
    }
}

fn step(refused: Refused) -> String {
    format!("{}: {}", refused.step, errno_name(refused.errno))
}
