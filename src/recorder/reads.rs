//! Files that are read, by inotify: a watch on every directory names each file that is
//! opened, without a race and without a look into the app.
//!
//! What is not known so: *who* opened (a profile's files are the container's), opens that
//! failed, how it was opened (one for writing is told as well), and what lies where
//! nothing can be watched. All of the last is [said](Gap).
//!
//! The supervisor's own opens cannot be told from the app's. Those for a path alone
//! (O_PATH) and those below /proc are none; files that it reads or writes while the app
//! runs belong into [`Place::skip`], or are such as the app opened before.

mod reader;
mod tree;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags as Flags, InitFlags, Inotify};

use crate::procfs::mountinfo;
use crate::sys::{self, signal};
use reader::Reader;
use tree::{TOP, Tree, Wd};
use walk::{Bounds, Walk};

/// What is watched.
#[derive(Clone, Debug)]
pub struct Place {
    /// This directory and all below it, across mounts and over no link.
    pub root: PathBuf,
    /// Files and directories that are not told of, nor what is below them: where the
    /// supervisor itself writes.
    pub skip: Vec<PathBuf>,
    /// Directories at most: each watch holds about 1 kB of the kernel's memory, which is
    /// the container's.
    pub most: usize,
}

impl Default for Place {
    /// Everything: four times what /usr of a large image has.
    fn default() -> Place {
        Place { root: "/".into(), skip: Vec::new(), most: 1 << 16 }
    }
}

/// What has happened below the watched directories, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// A file was opened. The same one is seldom told again before the next mark.
    Opened {
        /// Its canonical path.
        path: PathBuf,
        /// It is a directory.
        directory: bool,
    },
    /// Opens were or will be missed.
    Gap(Gap),
    /// All that was opened before the [mark](Watcher::mark) has been told.
    Mark,
}

/// Opens that the watches miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// A directory that may not be read: opens of files in it are missed, and all that is
    /// below it.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why: EACCES mostly.
        errno: Errno,
    },
    /// Directories without a watch, since fs.inotify.max_user_watches or
    /// [`Place::most`] is reached; and all that is below them.
    Full {
        /// How many, since this was last told.
        directories: usize,
    },
    /// The kernel's queue was full: opens were missed, and directories that were made or
    /// renamed meanwhile may be watched no more, or have their old names.
    Overflow,
    /// A file or directory that was in a new directory before that could be watched, and
    /// may have been opened unseen.
    Before {
        /// Which.
        path: PathBuf,
    },
    /// A directory that is mounted twice: what is opened in it is told by the other name.
    DuplicateMount {
        /// The name that is not told.
        path: PathBuf,
        /// The name that is.
        told: PathBuf,
    },
    /// Watching has ended early; nothing more is told.
    Ended {
        /// What poll(2) or read(2) answered.
        errno: Errno,
    },
}

/// What is asked of a directory. Of an unlinked file nothing is learned from its old name.
const DIRECTORY: Flags = Flags::IN_OPEN
    .union(Flags::IN_CREATE)
    .union(Flags::IN_MOVE)
    .union(Flags::IN_ONLYDIR)
    .union(Flags::IN_DONT_FOLLOW)
    .union(Flags::from_bits_retain(libc::IN_EXCL_UNLINK));

/// Every directory with its watch, before anybody listens.
pub struct Watches {
    inotify: Inotify,
    tree: Tree,
    left_out: HashSet<PathBuf>,
    most: usize,
    gaps: Vec<Gap>,
}

impl Watches {
    /// Watches every directory of the place: about 27 µs for each.
    ///
    /// # Errors
    /// EMFILE where fs.inotify.max_user_instances is reached, ENOSYS and EPERM where a
    /// runtime's filter has no inotify; the root cannot be watched.
    pub fn new(place: &Place) -> Result<Watches, Errno> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let bounds = Bounds::new(place, &mountinfo::read().unwrap_or_default());
        // Listing opens what it lists, so that nothing is watched before all is listed.
        let walk = Walk::over(place, &bounds);
        let closed = |(path, error): &(PathBuf, io::Error)| Gap::Unreadable {
            path: path.clone(),
            errno: sys::errno(error),
        };
        let mut watches = Watches {
            inotify,
            tree: Tree::default(),
            left_out: bounds.left_out,
            most: place.most,
            gaps: walk.closed.iter().map(closed).collect(),
        };
        let full = walk.beyond + watches.add(&walk)?;
        if full > 0 {
            watches.gaps.push(Gap::Full { directories: full });
        }
        if watches.tree.len() == 0 {
            return Err(match watches.gaps.first() {
                Some(Gap::Unreadable { errno, .. }) => *errno,
                Some(_) => Errno::ENOSPC,
                None => Errno::ENOENT,
            });
        }
        Ok(watches)
    }

    /// Watches what was found; how many of it could not be for want of watches.
    fn add(&mut self, walk: &Walk) -> Result<usize, Errno> {
        let closed: HashSet<&Path> = walk.closed.iter().map(|(path, _)| &**path).collect();
        // For each the watch and whether it is another's.
        let mut watched: Vec<Option<(Wd, bool)>> = Vec::with_capacity(walk.found.len());
        for (at, found) in walk.found.iter().enumerate() {
            let path = walk.path(at);
            let above = found.above.and_then(|above| watched[above]);
            let wd = if closed.contains(&*path) { Err(Errno::ENOENT) } else { watch(&self.inotify, &path) };
            watched.push(match wd {
                Ok(wd) if self.tree.holds(wd) => {
                    // Whatever is below a twin is one too.
                    if !above.is_some_and(|(_, twin)| twin)
                        && let Some(told) = self.tree.path(wd)
                    {
                        self.gaps.push(Gap::DuplicateMount { path, told });
                    }
                    Some((wd, true))
                }
                Ok(wd) => {
                    match above {
                        Some((above, false)) => self.tree.put(wd, above, found.name.clone()),
                        _ => self.tree.put(wd, TOP, path.into()),
                    }
                    Some((wd, false))
                }
                Err(Errno::ENOSPC) => return Ok(walk.found.len() - at),
                // Gone by now, or said already.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => None,
                Err(errno) => {
                    self.gaps.push(Gap::Unreadable { path, errno });
                    None
                }
            });
        }
        Ok(0)
    }

    /// What could not be watched from the beginning.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// How many directories are watched, with the files that are mounts.
    pub fn watched(&self) -> usize {
        self.tree.len()
    }

    /// Forgets what has been opened by now and tells all that is from here on, in a thread
    /// of its own: to be called after the fork and before the app is executed. What could
    /// not be watched from the beginning is not told again.
    ///
    /// # Errors
    /// There is no thread or descriptor left.
    pub fn start(self, tell: impl FnMut(WatchEvent) + Send + 'static) -> io::Result<Watcher> {
        let orders = Arc::new(Orders {
            bell: EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            marks: AtomicU32::new(0),
            end: AtomicBool::new(false),
        });
        let mut reader = Reader::new(self, tell)?;
        let heard = Arc::clone(&orders);
        const STACK: usize = 256 * 1024;
        let thread = std::thread::Builder::new().name("reads".into()).stack_size(STACK).spawn(move || {
            block_signals();
            reader.run(&heard);
        })?;
        // The first thread of all unblocked some in this one.
        block_signals();
        Ok(Watcher { orders, thread: Some(thread) })
    }
}

fn block_signals() {
    if let Err(errno) = signal::block_all() {
        tracing::warn!(%errno, "a thread takes signals that are the app's");
    }
}

/// A watch on a directory, or on a file that is a mount.
fn watch(inotify: &Inotify, path: &Path) -> Result<Wd, Errno> {
    let wd = match inotify.add_watch(path, DIRECTORY) {
        Err(Errno::ENOTDIR) => inotify.add_watch(path, Flags::IN_OPEN | Flags::IN_DONT_FOLLOW),
        wd => wd,
    };
    wd.map(|wd| wd.as_raw())
}

/// The thread that tells. Dropped, it ends soon.
pub struct Watcher {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

struct Orders {
    bell: EventFd,
    marks: AtomicU32,
    end: AtomicBool,
}

impl Watcher {
    /// Has [`WatchEvent::Mark`] told once all has been that was opened by now, and then every
    /// name told anew: a phase ends here. Waits for nothing.
    pub fn mark(&self) {
        self.orders.marks.fetch_add(1, Ordering::SeqCst);
        self.orders.ring();
    }

    /// Waits until all has been told that was opened by now, and ends the thread.
    pub fn finish(mut self) {
        self.orders.end();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that tells what is read has failed");
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.orders.end();
    }
}

impl Orders {
    fn end(&self) {
        self.end.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn ring(&self) {
        if let Err(errno) = self.bell.write(1) {
            tracing::error!(%errno, "the thread that tells what is read could not be told");
        }
    }
}
