//! The thread that tells what was opened.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags as Flags, InotifyEvent};

use super::tree::Wd;
use super::{DIRECTORY, Gap, Orders, WatchEvent, Watches, walk};
use crate::sys;

/// Reads that empty a full queue: 16,384 events, 15 at least with each.
const ROUNDS: usize = 1200;

/// Names remembered as told; past it they are told anew.
const TOLD: usize = 1 << 18;

/// Renames of which the second half has not come.
const MOVES: usize = 64;

/// New directories that are looked at before orders are heard again.
const BATCH: usize = 256;

/// Names in a new directory that are told one by one, and remembered to have been heard of in
/// all new ones: the app may make any number of them.
const NAMES: usize = 1 << 14;

/// What the thread knows.
pub(super) struct Reader<T> {
    watches: Watches,
    tell: T,
    /// Opens are not told.
    quiet: bool,
    /// Keys of what was told since the last mark.
    told: HashSet<u64>,
    /// Directories that have left their place, by the cookie of their arrival.
    moves: VecDeque<(u32, Wd)>,
    /// New directories that were not looked at yet, and which names were heard of in them.
    fresh: HashMap<Wd, HashSet<OsString>>,
    /// How many names these are.
    heard: usize,
    pending: VecDeque<Wd>,
    own: Option<Own>,
    full: usize,
}

/// Our own open of a directory, which two watches hear of: its and that above it.
struct Own {
    wd: Wd,
    itself: bool,
    above: bool,
}

impl<T: FnMut(WatchEvent)> Reader<T> {
    /// Nothing that was opened by now is told.
    pub fn new(watches: Watches, tell: T) -> Result<Reader<T>, Errno> {
        let mut reader = Reader {
            watches,
            tell,
            quiet: true,
            told: HashSet::new(),
            moves: VecDeque::new(),
            fresh: HashMap::new(),
            heard: 0,
            pending: VecDeque::new(),
            own: None,
            full: 0,
        };
        reader.drain()?;
        reader.look_at_new()?;
        reader.quiet = false;
        Ok(reader)
    }

    /// Tells until it is told to end.
    pub fn run(&mut self, orders: &Orders) {
        if let Err(errno) = self.serve(orders) {
            (self.tell)(WatchEvent::Gap(Gap::Ended { errno }));
        }
    }

    fn serve(&mut self, orders: &Orders) -> Result<(), Errno> {
        loop {
            let wait = if self.pending.is_empty() { PollTimeout::NONE } else { PollTimeout::ZERO };
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut both = [readable(self.watches.inotify.as_fd()), readable(orders.bell.as_fd())];
            match poll(&mut both, wait) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            match orders.bell.read() {
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            // Orders first: what came before them is in the queue by now.
            let (marks, end) = (orders.marks.swap(0, Ordering::SeqCst), orders.end.load(Ordering::SeqCst));
            self.drain()?;
            self.look_at_new()?;
            if marks > 0 || end {
                self.tell_full();
                self.told.clear();
            }
            (0..marks).for_each(|_| (self.tell)(WatchEvent::Mark));
            if end {
                let unseen = self.pending.iter().filter_map(|wd| self.watches.tree.path(*wd));
                unseen.for_each(|path| (self.tell)(WatchEvent::Gap(Gap::Before { path })));
                return Ok(());
            }
        }
    }

    /// Reads all that is in the queue by now.
    fn drain(&mut self) -> Result<(), Errno> {
        for _ in 0..ROUNDS {
            match self.watches.inotify.read_events() {
                Ok(events) => events.into_iter().for_each(|event| self.take(event)),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn take(&mut self, event: InotifyEvent) {
        let (wd, mask) = (event.wd.as_raw(), event.mask);
        let directory = mask.contains(Flags::IN_ISDIR);
        if mask.contains(Flags::IN_Q_OVERFLOW) {
            (self.tell)(WatchEvent::Gap(Gap::Overflow));
        } else if mask.contains(Flags::IN_IGNORED) {
            self.watches.tree.remove(wd);
            self.heard_in(wd);
        } else if let Some(name) = event.name {
            // One that is not remembered is told to have been there before.
            if let Some(heard) = self.fresh.get_mut(&wd).filter(|_| self.heard < NAMES) {
                self.heard += usize::from(heard.insert(name.clone()));
            }
            if mask.contains(Flags::IN_OPEN) {
                self.opened_in(wd, &name, directory);
            } else if directory {
                self.moved(wd, name, mask, event.cookie);
            }
        } else if mask.contains(Flags::IN_OPEN) {
            self.opened(wd, directory);
        }
    }

    /// A file or directory was opened by its name in a watched directory.
    fn opened_in(&mut self, above: Wd, name: &OsStr, directory: bool) {
        let child = if directory { self.watches.tree.child(above, name) } else { None };
        let Some(child) = child else { return self.tell_once(above, name, directory) };
        match &mut self.own {
            Some(own) if own.wd == child && own.above => own.above = false,
            // Its own watch tells as well, unless it is younger than this.
            _ => self.tell_once(child, OsStr::new(""), true),
        }
    }

    /// What has a watch itself was opened.
    fn opened(&mut self, wd: Wd, directory: bool) {
        match &mut self.own {
            Some(own) if own.wd == wd && own.itself => own.itself = false,
            _ => self.tell_once(wd, OsStr::new(""), directory),
        }
    }

    fn tell_once(&mut self, wd: Wd, name: &OsStr, directory: bool) {
        if self.quiet || !self.told.insert(self.watches.tree.key(wd, name)) {
            return;
        }
        if self.told.len() > TOLD {
            self.told.clear();
        }
        let Some(mut path) = self.watches.tree.path(wd) else { return };
        if !name.is_empty() {
            path.push(name);
        }
        if !self.watches.left_out.contains(&path) {
            (self.tell)(WatchEvent::Opened { path, directory });
        }
    }

    /// A directory was made, has left or has come.
    fn moved(&mut self, above: Wd, name: OsString, mask: Flags, cookie: u32) {
        if mask.contains(Flags::IN_MOVED_FROM) {
            if let Some(child) = self.watches.tree.child(above, &name) {
                self.moves.push_back((cookie, child));
                self.moves.drain(..self.moves.len().saturating_sub(MOVES));
            }
            return;
        }
        if mask.contains(Flags::IN_MOVED_TO)
            && let Some(at) = self.moves.iter().position(|(left, _)| *left == cookie)
            && let Some((_, child)) = self.moves.remove(at)
        {
            self.put(child, above, name.clone());
        }
        self.look(above, name);
    }

    /// Watches what stands there now: that may be another than who came, of whom later
    /// events will tell.
    fn look(&mut self, above: Wd, name: OsString) {
        let Some(path) = self.watches.tree.path(above).map(|path| path.join(&name)) else { return };
        if self.watches.left_out.contains(&path) {
            return;
        }
        let most = self.watches.tree.len() >= self.watches.most;
        let wd = if most { Err(Errno::ENOSPC) } else { self.watches.inotify.add_watch(&path, DIRECTORY) };
        match wd.map(|wd| wd.as_raw()) {
            Ok(wd) if self.watches.tree.child(above, &name) == Some(wd) => {}
            Ok(wd) if self.watches.tree.holds(wd) => self.put(wd, above, name),
            Ok(wd) => {
                self.watches.tree.put(wd, above, name);
                self.heard_in(wd);
                self.fresh.insert(wd, HashSet::new());
                self.pending.push_back(wd);
            }
            Err(Errno::ENOSPC) => self.full += 1,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(errno) => (self.tell)(WatchEvent::Gap(Gap::Unreadable { path, errno })),
        }
    }

    /// It has another name, and so has all below it: that is told anew.
    fn put(&mut self, wd: Wd, above: Wd, name: OsString) {
        self.watches.tree.put(wd, above, name);
        self.told.clear();
    }

    /// Looks once into new directories, for what was there before they were watched.
    fn look_at_new(&mut self) -> Result<(), Errno> {
        for _ in 0..BATCH {
            let Some(wd) = self.pending.pop_front() else { break };
            // The queue is empty when we open it, so that ours is not taken for one with
            // an open of the app's.
            self.drain()?;
            let Some(path) = self.watches.tree.path(wd) else { continue };
            let listed = walk::list(&path, NAMES);
            self.own = listed.is_ok().then_some(Own { wd, itself: true, above: true });
            self.drain()?;
            self.own = None;
            let heard = self.heard_in(wd);
            match listed {
                Ok(walk::Names { directories, others, more }) => {
                    if more {
                        (self.tell)(WatchEvent::Gap(Gap::Before { path: path.clone() }));
                    }
                    let unseen = directories.iter().chain(&others).filter(|name| !heard.contains(*name));
                    for name in unseen {
                        (self.tell)(WatchEvent::Gap(Gap::Before { path: path.join(name) }));
                    }
                    let unknown = |name: &OsString| self.watches.tree.child(wd, name).is_none();
                    let new: Vec<_> = directories.into_iter().filter(unknown).collect();
                    new.into_iter().for_each(|name| self.look(wd, name));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let errno = sys::errno(&error);
                    (self.tell)(WatchEvent::Gap(Gap::Unreadable { path, errno }));
                }
            }
        }
        Ok(())
    }

    /// The names that were heard of in a new directory, which is one no longer.
    fn heard_in(&mut self, wd: Wd) -> HashSet<OsString> {
        let heard = self.fresh.remove(&wd).unwrap_or_default();
        self.heard -= heard.len();
        heard
    }

    fn tell_full(&mut self) {
        if self.full > 0 {
            let directories = std::mem::take(&mut self.full);
            (self.tell)(WatchEvent::Gap(Gap::Full { directories }));
        }
    }
}
