//! What is exchanged in a race: texts in memory that several processes have, what a
//! descriptor stands for, what a name leads to.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, Ordering::Relaxed};

use super::RACED;
use crate::acts::{Result, execs};
use crate::elf;
use crate::syscall::{call, open, path};

/// Which of the texts that an exec reads.
#[derive(Clone, Copy, PartialEq)]
pub enum Text {
    Path,
    Argument(usize),
    Variable,
}

/// What the racers share with each other, across forks.
#[repr(C)]
pub struct Shared {
    pub path: [AtomicU8; 64],
    pub arguments: [[AtomicU8; 32]; 4],
    pub variable: [AtomicU8; 64],
    /// The child that is about to execute something.
    pub child: AtomicI32,
    pub over: AtomicBool,
    pub tries: AtomicU32,
    /// By errno, how often an exec was refused.
    pub refused: [AtomicU32; 134],
}

impl Shared {
    /// Nothing written, and nothing tried.
    pub fn new() -> Result<&'static Shared> {
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
        let flags = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as usize;
        let size = size_of::<Shared>();
        let at = call("mmap", libc::SYS_mmap, &[0, size, protection, flags, usize::MAX, 0])?;
        // SAFETY: the mapping is new, as large as the type, zero as its atomics may be,
        // and is never unmapped.
        Ok(unsafe { &*(at as *const Shared) })
    }

    fn text(&self, text: Text) -> &[AtomicU8] {
        match text {
            Text::Path => &self.path,
            Text::Argument(index) => &self.arguments[index],
            Text::Variable => &self.variable,
        }
    }

    /// Makes it another text, byte by byte.
    pub fn write(&self, text: Text, content: &str) {
        let bytes = content.bytes().chain(std::iter::once(0));
        self.text(text).iter().zip(bytes).for_each(|(at, byte)| at.store(byte, Relaxed));
    }
}

/// Makes it the one or the other.
pub type Flip = Arc<dyn Fn(bool) + Send + Sync>;

/// Changes it back and forth, in a thread, for as long as the race lasts.
pub fn keep_changing(shared: &'static Shared, flip: &Flip) {
    let flip = Arc::clone(flip);
    let begun = Arc::new(AtomicBool::new(false));
    let say = Arc::clone(&begun);
    std::thread::spawn(move || {
        let mut turn = false;
        while !shared.over.load(Relaxed) {
            turn = !turn;
            flip(turn);
            say.store(true, Relaxed);
        }
    });
    while !begun.load(Relaxed) {
        std::hint::spin_loop();
    }
}

/// A descriptor that stands for one file and for another by turns.
pub struct Descriptors {
    files: [OwnedFd; 2],
    /// It.
    pub raced: OwnedFd,
}

impl Descriptors {
    /// It stands for the first.
    pub fn new(before: &str, after: &str) -> Result<Descriptors> {
        let file = |name| open("open a program", name, libc::O_RDONLY, 0);
        Ok(Descriptors { files: [file(before)?, file(after)?], raced: file(before)? })
    }

    /// Makes it stand for the one or for the other.
    pub fn put(&self, turn: bool) {
        let (from, to) = (self.files[usize::from(turn)].as_raw_fd(), self.raced.as_raw_fd());
        // Open across the exec: an interpreter reads its script by it.
        // SAFETY: both descriptors are this value's own.
        unsafe { libc::dup2(from, to) };
    }
}

/// A link that leads to one file and to another by turns: it is made anew, and moved
/// over the old one.
pub fn links(before: &'static str, after: &'static str) -> Result<Flip> {
    let new = format!("{RACED}-new");
    execs::remove(RACED);
    execs::remove(&new);
    link_to(before, RACED)?;
    Ok(Arc::new(move |turn| {
        // One that was killed in between has left its own there, which is moved now.
        let _ = link_to(if turn { after } else { before }, &new);
        let _ = rename(&new, 0);
    }))
}

/// Two names that change places: a link, and a program.
pub fn exchange(before: &str) -> Result<Flip> {
    let other = format!("{RACED}-other");
    execs::remove(RACED);
    execs::remove(&other);
    link_to(before, RACED)?;
    execs::place(&other, &elf::exits())?;
    Ok(Arc::new(move |_| {
        let _ = rename(&other, libc::RENAME_EXCHANGE);
    }))
}

fn rename(name: &str, flags: u32) -> Result<()> {
    let (from, to) = (path(name), path(RACED));
    let here = libc::AT_FDCWD as usize;
    let names = [here, from.as_ptr() as usize, here, to.as_ptr() as usize, flags as usize];
    call("renameat2", libc::SYS_renameat2, &names)?;
    Ok(())
}

fn link_to(target: &str, name: &str) -> Result<()> {
    let (target, name) = (path(target), path(name));
    let words = [target.as_ptr() as usize, libc::AT_FDCWD as usize, name.as_ptr() as usize];
    call("symlinkat", libc::SYS_symlinkat, &words)?;
    Ok(())
}
