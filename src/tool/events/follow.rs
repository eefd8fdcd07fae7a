//! Files that grow, are rotated or truncated, followed by inotify(7).

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::log::{EventLog, LeftOut, LogTrust};
use crate::tool::{named_file, print_error};

/// The files of one inotify instance.
pub(super) struct Followers {
    inotify: Inotify,
    files: Vec<FollowedFile>,
}

/// A file that is followed by its name.
struct FollowedFile {
    path: PathBuf,
    /// What has this name, and before it what had it last: an app may go on writing to that. Each
    /// with its lines, the newest last.
    open: Vec<OpenLog>,
    /// The log as it stands where no file is open.
    log: EventLog,
    /// What was left out of files that are no longer read.
    left_out: LeftOut,
    /// It was said that what has the name cannot be followed.
    is_said: bool,
}

struct OpenLog {
    file: File,
    log: EventLog,
    /// The last bytes that were read of it.
    end: Vec<u8>,
}

/// How many bytes of its end show that a file was truncated: an event's time is among them, and an
/// event is rarely longer.
const REMEMBERED: u64 = 512;

/// How much of a file is read at most before signals are looked at, in bytes: it may grow faster than
/// it is read.
const MOST_AT_ONCE: usize = 16 << 20;

/// What is read at a time: the caller takes the lines.
pub(super) trait TakeLog {
    /// The caller's error.
    type Error;
    /// Takes what a log has that is whole.
    fn take_log(&mut self, log: &mut EventLog) -> Result<(), Self::Error>;
}

/// Why following failed.
#[derive(Debug)]
pub(super) enum FollowError<E> {
    /// A file, or the directory of one that is not there yet.
    File(PathBuf, io::Error),
    /// What is made of the lines.
    Take(E),
}

impl Followers {
    /// Watches the files, and the directories of their names.
    ///
    /// # Errors
    /// A directory cannot be watched, with its path.
    pub fn of(paths: &[PathBuf], trust: &LogTrust) -> Result<Followers, (PathBuf, io::Error)> {
        let first = || paths.first().cloned().unwrap_or_default();
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .map_err(|errno| (first(), errno.into()))?;
        let mut files = Vec::new();
        for path in paths {
            watch_directory(&inotify, path).map_err(|errno| (path.clone(), errno.into()))?;
            let log = EventLog::of(path.display().to_string(), trust);
            files.push(FollowedFile {
                path: path.clone(),
                open: Vec::new(),
                log,
                left_out: LeftOut::default(),
                is_said: false,
            });
        }
        Ok(Followers { inotify, files })
    }

    /// What to wait for.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Files that are not there yet.
    pub fn missing(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|file| file.open.is_empty()).map(|file| &*file.path)
    }

    /// Reads what there is, of each file [`MOST_AT_ONCE`] at most. Returns whether there may be more.
    ///
    /// # Errors
    /// A file cannot be read, or `take` failed.
    pub fn read<T: TakeLog>(&mut self, take: &mut T) -> Result<bool, FollowError<T::Error>> {
        // What changed does not matter: all files are looked at.
        loop {
            match self.inotify.read_events() {
                Ok(_) => {}
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(FollowError::File(PathBuf::from("inotify"), errno.into())),
            }
        }
        let mut is_more = false;
        for file in &mut self.files {
            is_more |= file.read(&self.inotify, take)?;
        }
        Ok(is_more)
    }

    /// Takes the last lines, which have no newline.
    ///
    /// # Errors
    /// `take` failed.
    pub fn end<T: TakeLog>(&mut self, take: &mut T) -> Result<(), T::Error> {
        for open in self.files.iter_mut().flat_map(|file| &mut file.open) {
            open.log.lines.end();
            take.take_log(&mut open.log)?;
        }
        Ok(())
    }

    /// What was left out of each, by its name.
    pub fn left_out(&self) -> impl Iterator<Item = (&str, LeftOut)> {
        self.files.iter().map(|file| {
            let open = file.open.iter().map(|open| open.log.left_out());
            (&*file.log.name, open.fold(file.left_out, LeftOut::and))
        })
    }
}

impl FollowedFile {
    fn read<T: TakeLog>(&mut self, inotify: &Inotify, take: &mut T) -> Result<bool, FollowError<T::Error>> {
        let is_more = self.read_open(take)?;
        if !self.reopen(inotify, take)? {
            return Ok(is_more);
        }
        self.read_open(take)?;
        Ok(true)
    }

    fn read_open<T: TakeLog>(&mut self, take: &mut T) -> Result<bool, FollowError<T::Error>> {
        let mut is_more = false;
        for open in &mut self.open {
            is_more |= open.read(take).map_err(|error| match error {
                FollowError::File(_, error) => FollowError::File(self.path.clone(), error),
                other => other,
            })?;
        }
        Ok(is_more)
    }

    /// Opens what has the name now, where that is another file; true if it was one.
    fn reopen<T: TakeLog>(&mut self, inotify: &Inotify, take: &mut T) -> Result<bool, FollowError<T::Error>> {
        let failed = |path: &Path, error| FollowError::File(path.to_owned(), error);
        let file = match named_file::open_regular(&self.path) {
            Ok(file) => file,
            // It was renamed, and its successor is not made yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(_) if named_file::is_of_another_type(&self.path) => {
                if !self.is_said {
                    print_error(&format!("{}: is no regular file now; waiting for one", self.path.display()));
                }
                self.is_said = true;
                return Ok(false);
            }
            Err(error) => return Err(failed(&self.path, error)),
        };
        self.is_said = false;
        let is = file.metadata().map_err(|error| failed(&self.path, error))?;
        if let Some(last) = self.open.last() {
            let was = last.file.metadata().map_err(|error| failed(&self.path, error))?;
            if same(&was, &is) {
                return Ok(false);
            }
        }
        // Watched before it is read, so that no line is missed.
        let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB;
        match inotify.add_watch(&self.path, changes) {
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(&self.path, errno.into())),
        }
        if self.open.len() > 1 {
            let mut old = self.open.remove(0);
            old.log.lines.end();
            take.take_log(&mut old.log).map_err(FollowError::Take)?;
            self.left_out = self.left_out.and(old.log.left_out());
        }
        // The start that the log begins with is the same one's in the next file.
        let log = self.open.last().map_or_else(|| self.log.continued(), |last| last.log.continued());
        self.open.push(OpenLog { file, log, end: Vec::new() });
        Ok(true)
    }
}

impl OpenLog {
    fn read<T: TakeLog>(&mut self, take: &mut T) -> Result<bool, FollowError<T::Error>> {
        let failed = |error| FollowError::File(PathBuf::new(), error);
        if self.is_rewritten().map_err(failed)? {
            self.log.lines.end();
            take.take_log(&mut self.log).map_err(FollowError::Take)?;
            self.log.lines.reopen();
            self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        }
        let mut length = 0;
        while length < MOST_AT_ONCE {
            match self.log.lines.fill(&mut self.file).map_err(failed)? {
                0 => break,
                more => length += more,
            }
            take.take_log(&mut self.log).map_err(FollowError::Take)?;
        }
        self.end = self.last_read().map_err(failed)?;
        Ok(length >= MOST_AT_ONCE || self.is_rewritten().map_err(failed)?)
    }

    /// Whether the file is not what was read of it any more: it was truncated, and perhaps is as long
    /// again.
    fn is_rewritten(&mut self) -> io::Result<bool> {
        Ok(self.last_read()? != self.end)
    }

    /// What stands before the place up to which the file was read.
    fn last_read(&mut self) -> io::Result<Vec<u8>> {
        let position = self.file.stream_position()?;
        let from = position.saturating_sub(REMEMBERED);
        let mut bytes = vec![0; (position - from) as usize];
        let mut length = 0;
        while length < bytes.len() {
            match self.file.read_at(&mut bytes[length..], from + length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// Watches for another file of this name, in the directory of the name and, where the name is a
/// symbolic link, in that of what it leads to.
fn watch_directory(inotify: &Inotify, path: &Path) -> Result<(), Errno> {
    let names = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    let directory = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    inotify.add_watch(&directory(path), names)?;
    if let Ok(target) = path.canonicalize() {
        inotify.add_watch(&directory(&target), names)?;
    }
    Ok(())
}

fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
