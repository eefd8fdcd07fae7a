//! Putting something else where a listed program lies, and running it under its name.
//!
//! `/app` belongs to the attacker's user, so that the file system lets it do all of this.

use std::fs::File;
use std::io::Write;

use super::execs::{refused, run};
use super::{Result, argument};
use crate::elf;
use crate::syscall::{call, open, path};

/// `replace-write [PROGRAM]`, …
pub const ACTS: &[(&str, super::Act)] = &[
    ("replace-write", |arguments| replaced(arguments, overwrite)),
    ("replace-rename", |arguments| replaced(arguments, |program| rename(program, 0))),
    ("replace-exchange", |arguments| replaced(arguments, |program| rename(program, libc::RENAME_EXCHANGE))),
    ("replace-link", |arguments| replaced(arguments, remove_and_link)),
    ("replace-mount", |arguments| replaced(arguments, bind_over)),
];

const HERE: usize = libc::AT_FDCWD as usize;
/// Of the attacker's own, and as executable as the file system can make it.
const EVIL: &str = "/app/evil";

fn replaced(arguments: &[String], replace: fn(&str) -> Result<()>) -> Result {
    let program = argument(arguments, 0, "/app/replaced");
    replace(program)?;
    run("execve", program, &["g".to_owned()])
}

/// The same inode with another content.
fn overwrite(program: &str) -> Result<()> {
    let mut file = File::from(open("openat", program, libc::O_WRONLY | libc::O_TRUNC, 0)?);
    file.write_all(&elf::exits()).map_err(|error| refused("write", &error))
}

fn rename(program: &str, flags: u32) -> Result<()> {
    let (from, to) = (path(EVIL), path(program));
    let names = [HERE, from.as_ptr() as usize, HERE, to.as_ptr() as usize, flags as usize];
    call("renameat2", libc::SYS_renameat2, &names)?;
    Ok(())
}

fn remove_and_link(program: &str) -> Result<()> {
    let (from, to) = (path(EVIL), path(program));
    call("unlinkat", libc::SYS_unlinkat, &[HERE, to.as_ptr() as usize, 0])?;
    call("linkat", libc::SYS_linkat, &[HERE, from.as_ptr() as usize, HERE, to.as_ptr() as usize, 0])?;
    Ok(())
}

fn bind_over(program: &str) -> Result<()> {
    let (from, to) = (path(EVIL), path(program));
    let words = [from.as_ptr() as usize, to.as_ptr() as usize, 0, libc::MS_BIND as usize, 0];
    call("mount", libc::SYS_mount, &words)?;
    Ok(())
}
