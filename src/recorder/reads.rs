//! Observes files that are read, by inotify(7): a watch on every directory reports each file that is
//! opened, without a race and without reading the app.
//!
//! It does not report which process opened (a profile's files are the container's), opens that
//! failed, how a file was opened (an open for writing is reported too), or files where nothing can
//! be watched: those are reported as a [`Gap`].
//!
//! An open by the supervisor looks like one by the app. Opens with O_PATH and opens below /proc
//! make no event; files that the supervisor reads or writes while the app runs belong into
//! [`Place::skip`], or are files that the app opened before.

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
    /// The directory to watch, with all below it, across mounts and without following links.
    pub root: PathBuf,
    /// Files and directories that are not reported, nor what is below them: those that the
    /// supervisor writes.
    pub skip: Vec<PathBuf>,
    /// The most directories to watch: each watch takes about 1 kB of kernel memory, charged to
    /// the container.
    pub most: usize,
}

impl Default for Place {
    /// All of `/`, with four times the directories of /usr in a large image.
    fn default() -> Place {
        Place { root: "/".into(), skip: Vec::new(), most: 1 << 16 }
    }
}

/// An event below the watched directories, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// A file was opened. Repeated opens before the next mark are mostly not reported.
    Opened {
        /// The canonical path.
        path: PathBuf,
        /// Whether it is a directory.
        directory: bool,
    },
    /// Opens were or will be missed.
    Gap(Gap),
    /// Every open before the [mark](Watcher::mark) has been reported.
    Mark,
}

/// Opens that the watches miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// A directory that cannot be read: opens of files in it and below it are missed.
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// The errno of the read, mostly EACCES.
        errno: Errno,
    },
    /// Directories without a watch, since fs.inotify.max_user_watches or
    /// [`Place::most`] is reached; and all that is below them.
    Full {
        /// Their number since the last report.
        directories: usize,
    },
    /// The kernel's queue overflowed (IN_Q_OVERFLOW): opens were missed, and directories created
    /// or renamed meanwhile may be unwatched, or have their old names.
    Overflow,
    /// A file or directory created in a new directory before that was watched: it may have been
    /// opened unobserved.
    Before {
        /// Its path.
        path: PathBuf,
    },
    /// A directory that is mounted twice: opens in it are reported under the other name.
    DuplicateMount {
        /// The name that is not reported.
        path: PathBuf,
        /// The name that is reported.
        reported: PathBuf,
    },
    /// Watching ended early; no more events follow.
    Ended {
        /// The errno of poll(2) or read(2).
        errno: Errno,
    },
}

/// The events watched on a directory. IN_EXCL_UNLINK, since an unlinked file has no name to learn.
const DIRECTORY: Flags = Flags::IN_OPEN
    .union(Flags::IN_CREATE)
    .union(Flags::IN_MOVE)
    .union(Flags::IN_ONLYDIR)
    .union(Flags::IN_DONT_FOLLOW)
    .union(Flags::from_bits_retain(libc::IN_EXCL_UNLINK));

/// Every directory with its watch, before the thread that reads the events.
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
        // Listing opens directories, so everything is listed before the first watch is added.
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

    /// Adds a watch for each directory found. Returns how many failed for want of watches.
    fn add(&mut self, walk: &Walk) -> Result<usize, Errno> {
        let closed: HashSet<&Path> = walk.closed.iter().map(|(path, _)| &**path).collect();
        // Each watch, and whether it is a duplicate of another.
        let mut watched: Vec<Option<(Wd, bool)>> = Vec::with_capacity(walk.found.len());
        for (at, found) in walk.found.iter().enumerate() {
            let path = walk.path(at);
            let above = found.above.and_then(|above| watched[above]);
            let wd = if closed.contains(&*path) { Err(Errno::ENOENT) } else { watch(&self.inotify, &path) };
            watched.push(match wd {
                Ok(wd) if self.tree.holds(wd) => {
                    // All below a duplicate mount is a duplicate too.
                    if !above.is_some_and(|(_, is_duplicate)| is_duplicate)
                        && let Some(reported) = self.tree.path(wd)
                    {
                        self.gaps.push(Gap::DuplicateMount { path, reported });
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
                // Removed by now, or reported already.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => None,
                Err(errno) => {
                    self.gaps.push(Gap::Unreadable { path, errno });
                    None
                }
            });
        }
        Ok(0)
    }

    /// The gaps known from the beginning.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The number of watches: directories, and files that are mounts.
    pub fn watched(&self) -> usize {
        self.tree.len()
    }

    /// Discards the events so far and reports all later ones, in a thread of its own. To be called
    /// after the fork and before the app is executed. The [gaps](Watches::gaps) known from the
    /// beginning are not reported again.
    ///
    /// # Errors
    /// No thread or descriptor is left.
    pub fn start(self, report: impl FnMut(WatchEvent) + Send + 'static) -> io::Result<Watcher> {
        let orders = Arc::new(Orders {
            wakeup: EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            marks: AtomicU32::new(0),
            end: AtomicBool::new(false),
        });
        let mut reader = Reader::new(self, report)?;
        let thread_orders = Arc::clone(&orders);
        const STACK: usize = 256 * 1024;
        let thread = std::thread::Builder::new().name("reads".into()).stack_size(STACK).spawn(move || {
            block_signals();
            reader.run(&thread_orders);
        })?;
        // Signals may be unblocked in the thread that started this one.
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

/// The thread that reports events. It ends soon after this is dropped.
pub struct Watcher {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

struct Orders {
    wakeup: EventFd,
    marks: AtomicU32,
    end: AtomicBool,
}

impl Watcher {
    /// Queues a [`WatchEvent::Mark`] after all opens so far, after which every name is reported anew:
    /// a phase ends here. Does not wait.
    pub fn mark(&self) {
        self.orders.marks.fetch_add(1, Ordering::SeqCst);
        self.orders.ring();
    }

    /// Waits until all opens so far are reported, and ends the thread.
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
        if let Err(errno) = self.wakeup.write(1) {
            tracing::error!(%errno, "the thread that reports what is read could not be woken");
        }
    }
}
