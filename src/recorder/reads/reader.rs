//! The thread that reports opened files.

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

/// The reads that empty a full queue: 16,384 events, at least 15 a read.
const ROUNDS: usize = 1200;

/// Names remembered as reported. Beyond it they are reported again.
const REPORTED: usize = 1 << 18;

/// Renames whose IN_MOVED_TO has not come.
const MOVES: usize = 64;

/// New directories that are listed before orders are read again.
const BATCH: usize = 256;

/// Names in a new directory that are reported one by one, and names remembered of all new
/// directories: the app may create any number of them.
const NAMES: usize = 1 << 14;

/// The state of the thread.
pub(super) struct Reader<T> {
    watches: Watches,
    report: T,
    /// Opens are not reported.
    quiet: bool,
    /// Keys of the names reported since the last mark.
    reported: HashSet<u64>,
    /// Directories that were moved away (IN_MOVED_FROM), by the cookie of the rename.
    moves: VecDeque<(u32, Wd)>,
    /// New directories that are not listed yet, with the names that events reported in them.
    fresh: HashMap<Wd, HashSet<OsString>>,
    /// The total number of these names.
    seen_names: usize,
    pending: VecDeque<Wd>,
    own: Option<Own>,
    full: usize,
}

/// An open of a directory by this thread, which makes an event on its watch and on its parent's.
struct Own {
    wd: Wd,
    itself: bool,
    above: bool,
}

impl<T: FnMut(WatchEvent)> Reader<T> {
    /// Creates the thread's state; events so far are discarded.
    pub fn new(watches: Watches, report: T) -> Result<Reader<T>, Errno> {
        let mut reader = Reader {
            watches,
            report,
            quiet: true,
            reported: HashSet::new(),
            moves: VecDeque::new(),
            fresh: HashMap::new(),
            seen_names: 0,
            pending: VecDeque::new(),
            own: None,
            full: 0,
        };
        reader.drain()?;
        reader.look_at_new()?;
        reader.quiet = false;
        Ok(reader)
    }

    /// Reports events until it is ordered to end.
    pub fn run(&mut self, orders: &Orders) {
        if let Err(errno) = self.serve(orders) {
            (self.report)(WatchEvent::Gap(Gap::Ended { errno }));
        }
    }

    fn serve(&mut self, orders: &Orders) -> Result<(), Errno> {
        loop {
            let wait = if self.pending.is_empty() { PollTimeout::NONE } else { PollTimeout::ZERO };
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut both = [readable(self.watches.inotify.as_fd()), readable(orders.wakeup.as_fd())];
            match poll(&mut both, wait) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            match orders.wakeup.read() {
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            // Orders first: the events before them are in the queue by now.
            let (marks, end) = (orders.marks.swap(0, Ordering::SeqCst), orders.end.load(Ordering::SeqCst));
            self.drain()?;
            self.look_at_new()?;
            if marks > 0 || end {
                self.report_full();
                self.reported.clear();
            }
            (0..marks).for_each(|_| (self.report)(WatchEvent::Mark));
            if end {
                let unseen = self.pending.iter().filter_map(|wd| self.watches.tree.path(*wd));
                unseen.for_each(|path| (self.report)(WatchEvent::Gap(Gap::Before { path })));
                return Ok(());
            }
        }
    }

    /// Reads all events queued by now.
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
            (self.report)(WatchEvent::Gap(Gap::Overflow));
        } else if mask.contains(Flags::IN_IGNORED) {
            self.watches.tree.remove(wd);
            self.take_seen_names(wd);
        } else if let Some(name) = event.name {
            // A name that is not remembered is reported as there before the watch.
            if let Some(seen) = self.fresh.get_mut(&wd).filter(|_| self.seen_names < NAMES) {
                self.seen_names += usize::from(seen.insert(name.clone()));
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
        let Some(child) = child else { return self.report_once(above, name, directory) };
        match &mut self.own {
            Some(own) if own.wd == child && own.above => own.above = false,
            // Its own watch reports it as well, unless that is younger than this event.
            _ => self.report_once(child, OsStr::new(""), true),
        }
    }

    /// A watched file or directory was opened.
    fn opened(&mut self, wd: Wd, directory: bool) {
        match &mut self.own {
            Some(own) if own.wd == wd && own.itself => own.itself = false,
            _ => self.report_once(wd, OsStr::new(""), directory),
        }
    }

    fn report_once(&mut self, wd: Wd, name: &OsStr, directory: bool) {
        if self.quiet || !self.reported.insert(self.watches.tree.key(wd, name)) {
            return;
        }
        if self.reported.len() > REPORTED {
            self.reported.clear();
        }
        let Some(mut path) = self.watches.tree.path(wd) else { return };
        if !name.is_empty() {
            path.push(name);
        }
        if !self.watches.left_out.contains(&path) {
            (self.report)(WatchEvent::Opened { path, directory });
        }
    }

    /// A directory was created, moved away or moved here.
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

    /// Watches what the name leads to now. That may be another directory than the event's, which later
    /// events will report.
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
                self.take_seen_names(wd);
                self.fresh.insert(wd, HashSet::new());
                self.pending.push_back(wd);
            }
            Err(Errno::ENOSPC) => self.full += 1,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(errno) => (self.report)(WatchEvent::Gap(Gap::Unreadable { path, errno })),
        }
    }

    /// A directory has a new name, and so has all below it: they are reported anew.
    fn put(&mut self, wd: Wd, above: Wd, name: OsString) {
        self.watches.tree.put(wd, above, name);
        self.reported.clear();
    }

    /// Lists new directories once, for what was there before the watch.
    fn look_at_new(&mut self) -> Result<(), Errno> {
        for _ in 0..BATCH {
            let Some(wd) = self.pending.pop_front() else { break };
            // The queue is empty when this thread opens a directory, so its event is not taken for one of
            // the app's.
            self.drain()?;
            let Some(path) = self.watches.tree.path(wd) else { continue };
            let listed = walk::list(&path, NAMES);
            self.own = listed.is_ok().then_some(Own { wd, itself: true, above: true });
            self.drain()?;
            self.own = None;
            let seen = self.take_seen_names(wd);
            match listed {
                Ok(walk::Names { directories, others, more }) => {
                    if more {
                        (self.report)(WatchEvent::Gap(Gap::Before { path: path.clone() }));
                    }
                    let unseen = directories.iter().chain(&others).filter(|name| !seen.contains(*name));
                    for name in unseen {
                        (self.report)(WatchEvent::Gap(Gap::Before { path: path.join(name) }));
                    }
                    let unknown = |name: &OsString| self.watches.tree.child(wd, name).is_none();
                    let new: Vec<_> = directories.into_iter().filter(unknown).collect();
                    new.into_iter().for_each(|name| self.look(wd, name));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let errno = sys::errno(&error);
                    (self.report)(WatchEvent::Gap(Gap::Unreadable { path, errno }));
                }
            }
        }
        Ok(())
    }

    /// Removes a directory from the new ones; returns the names that events reported in it.
    fn take_seen_names(&mut self, wd: Wd) -> HashSet<OsString> {
        let seen = self.fresh.remove(&wd).unwrap_or_default();
        self.seen_names -= seen.len();
        seen
    }

    fn report_full(&mut self) {
        if self.full > 0 {
            let directories = std::mem::take(&mut self.full);
            (self.report)(WatchEvent::Gap(Gap::Full { directories }));
        }
    }
}
