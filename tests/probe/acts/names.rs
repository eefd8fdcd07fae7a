//! Bringing a file that may not be written under a name that may be.
//!
//! `/app/moves/KIND` holds `secret.cfg`, which nothing grants, `app.cfg` and
//! `conf/app.cfg`, which may be written, `mine.cfg`, which may be made and removed too;
//! names may be made and removed in all of it.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::races::flips::{Flip, Shared, Text, keep_changing};
use super::{Result, argument, done, execs, number};
use crate::syscall::{Refused, call, open, path};

/// `write-moved KIND`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("write-moved", write_moved),
    ("race-rename", race_rename),
    ("replace-honestly", replace_honestly),
    ("grow", grow),
];

const HERE: usize = libc::AT_FDCWD as usize;

/// The names of one kind.
struct Names {
    secret: String,
    name: String,
    named: String,
    conf: String,
    other: String,
}

impl Names {
    fn of(kind: &str) -> Names {
        let at = |name: &str| format!("/app/moves/{kind}/{name}");
        Names {
            secret: at("secret.cfg"),
            name: at("app.cfg"),
            named: at("conf/app.cfg"),
            conf: at("conf"),
            other: at("other"),
        }
    }

    /// A directory beside the granted file's, in which the secret has its name.
    fn directory_of_secret(&self) -> Result<()> {
        call("mkdirat", libc::SYS_mkdirat, &[HERE, path(&self.other).as_ptr() as usize, 0o777])?;
        rename(&self.secret, &format!("{}/app.cfg", self.other), 0)
    }

    fn exchange_directories(&self) -> Result<()> {
        self.directory_of_secret()?;
        rename(&self.conf, &format!("{}.old", self.conf), 0)?;
        rename(&self.other, &self.conf, 0)
    }
}

fn inode(name: &str) -> Result<u64> {
    std::fs::metadata(name).map(|file| file.ino()).map_err(|error| execs::refused("stat", &error))
}

fn rename(from: &str, to: &str, flags: u32) -> Result<()> {
    let (from, to) = (path(from), path(to));
    let words = [HERE, from.as_ptr() as usize, HERE, to.as_ptr() as usize, flags as usize];
    call("renameat2", libc::SYS_renameat2, &words).map(drop)
}

fn link(from: &str, to: &str, flags: i32) -> Result<()> {
    let (from, to) = (path(from), path(to));
    let words = [HERE, from.as_ptr() as usize, HERE, to.as_ptr() as usize, flags as usize];
    call("linkat", libc::SYS_linkat, &words).map(drop)
}

fn unlink(name: &str) -> Result<()> {
    call("unlinkat", libc::SYS_unlinkat, &[HERE, path(name).as_ptr() as usize, 0]).map(drop)
}

fn undumpable(act: impl FnOnce() -> Result<()>) -> Result<()> {
    call("prctl", libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 0])?;
    let result = act();
    call("prctl", libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 1])?;
    result
}

/// It succeeds where what was opened or emptied is the secret.
fn write_moved(arguments: &[String]) -> Result {
    let kind = argument(arguments, 0, "directory");
    let names = Names::of(kind);
    let secret = inode(&names.secret)?;
    let mut written = &names.name;
    match kind {
        "exchange" => rename(&names.secret, &names.name, libc::RENAME_EXCHANGE)?,
        "exchange-back" => rename(&names.name, &names.secret, libc::RENAME_EXCHANGE)?,
        "rename" => rename(&names.secret, &names.name, 0)?,
        "whiteout" => rename(&names.secret, &names.name, libc::RENAME_WHITEOUT)?,
        "link" => {
            unlink(&names.name)?;
            link(&names.secret, &names.name, 0)?;
        }
        "link-descriptor" => {
            let opened = open("openat", &names.secret, libc::O_RDONLY, 0)?;
            unlink(&names.name)?;
            let by = format!("/proc/self/fd/{}", opened.as_raw_fd());
            link(&by, &names.name, libc::AT_SYMLINK_FOLLOW)?;
        }
        "undumpable" => undumpable(|| rename(&names.secret, &names.name, 0))?,
        "exchange-directory" => {
            names.directory_of_secret()?;
            rename(&names.other, &names.conf, libc::RENAME_EXCHANGE)?;
            written = &names.named;
        }
        "created" => {
            unlink(&names.named)?;
            drop(open("openat", &names.named, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, 0o666)?);
            names.exchange_directories()?;
            written = &names.named;
        }
        _ => {
            names.exchange_directories()?;
            written = &names.named;
        }
    }
    if kind == "truncate" {
        call("truncate", libc::SYS_truncate, &[path(written).as_ptr() as usize, 0])?;
    } else {
        drop(open("openat", written, libc::O_WRONLY, 0)?);
    }
    if inode(written)? == secret { done() } else { Err(Refused { step: "compare", errno: libc::ESTALE }) }
}

/// So many renames of a file of one's own to a name that may be written, whose path is
/// that of the secret by turns: how often the secret was opened for writing by that name.
fn race_rename(arguments: &[String]) -> Result {
    let names = Names::of("race");
    let mine = "/app/moves/race/mine.cfg.new";
    // As long as the other's.
    let secret_is = "/app/moves/race/./secret.cfg";
    let secret = inode(&names.secret)?;
    let shared = Shared::new()?;
    shared.write(Text::Path, mine);
    let flip: Flip = Arc::new(move |turn| shared.write(Text::Path, if turn { secret_is } else { mine }));
    keep_changing(shared, &flip);
    let (mut lost, mut moved) = (0, 0);
    for _ in 0..number(arguments, 0, 100) {
        drop(open("openat", mine, libc::O_WRONLY | libc::O_CREAT, 0o666)?);
        let to = path(&names.name);
        let words = [HERE, shared.path.as_ptr() as usize, HERE, to.as_ptr() as usize, 0];
        if call("renameat2", libc::SYS_renameat2, &words).is_err() {
            continue;
        }
        let opened = open("openat", &names.name, libc::O_WRONLY, 0);
        if inode(&names.name)? == secret {
            lost += i32::from(opened.is_ok());
            rename(&names.name, &names.secret, 0)?;
        } else {
            moved += i32::from(opened.is_ok());
        }
    }
    shared.over.store(true, Relaxed);
    Ok(format!("secret: {lost}, own: {moved}"))
}

/// What servers do with a file that they are granted by name.
fn replace_honestly(_: &[String]) -> Result {
    let names = Names::of("honest");
    let write = libc::O_WRONLY;
    let create = write | libc::O_CREAT;
    let temporary = "/app/moves/honest/mine.cfg";
    // Written anew beside it and moved over it, twice; then changed in place.
    for _ in 0..2 {
        drop(open("make a twin", temporary, create | libc::O_EXCL, 0o666)?);
        rename(temporary, &names.name, 0)?;
        drop(open("change it in place", &names.name, write | libc::O_APPEND, 0)?);
        call("truncate", libc::SYS_truncate, &[path(&names.name).as_ptr() as usize, 10])?;
    }
    // A log that is moved away, and opened anew.
    rename(&names.name, "/app/moves/honest/app.cfg.1", 0)?;
    drop(open("make it anew", &names.name, create, 0o666)?);
    drop(open("open it again", &names.name, create | libc::O_TRUNC, 0o666)?);
    // A pid file: made, removed, made.
    unlink(&names.name)?;
    drop(open("make it once more", &names.name, create | libc::O_EXCL, 0o666)?);
    drop(open("and open it", &names.name, libc::O_RDWR, 0)?);
    unlink(&names.name)?;
    // By a node, and from a link to what may be written.
    let node = path(&names.name);
    let words = [HERE, node.as_ptr() as usize, (libc::S_IFREG | 0o666) as usize, 0];
    call("mknodat", libc::SYS_mknodat, &words)?;
    drop(open("open the node", &names.name, write, 0)?);
    unlink(&names.name)?;
    drop(open("make a twin to link", temporary, create, 0o666)?);
    link(temporary, &names.name, 0)?;
    drop(open("open the link", &names.name, write, 0)?);
    unlink(temporary)?;
    // The file that was there at the start, moved away and back.
    rename(&names.named, &format!("{}.bak", names.named), 0)?;
    rename(&format!("{}.bak", names.named), &names.named, 0)?;
    drop(open("open the first file", &names.named, write, 0)?);
    done()
}

/// Makes a file longer than RLIMIT_FSIZE by its name, SIGXFSZ ignored or not.
fn grow(arguments: &[String]) -> Result {
    let name = argument(arguments, 0, "/app/new.bin");
    if argument(arguments, 1, "") == "ignored" {
        // SAFETY: nothing is called by the signal.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    }
    drop(open("openat", name, libc::O_WRONLY | libc::O_CREAT, 0o666)?);
    call("truncate", libc::SYS_truncate, &[path(name).as_ptr() as usize, 1 << 20])?;
    let length = std::fs::metadata(name).map_err(|error| execs::refused("stat", &error))?.len();
    Ok(format!("length {length}"))
}
