//! Writes each line whole or not at all.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::error::JournalError;
use crate::visible;

/// The output of a journal.
pub(super) trait JournalOutput: Send + std::fmt::Debug {
    /// Writes once; again only after EINTR.
    ///
    /// # Errors
    /// Nothing was written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Truncates the output to this length in bytes.
    ///
    /// # Errors
    /// The output is unchanged.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Syncs what was written, so that it survives a loss of power.
    ///
    /// # Errors
    /// fdatasync(2) failed: what was written may be lost.
    fn sync(&mut self) -> io::Result<()>;
}

/// Writes lines, one write each.
#[derive(Debug)]
pub(super) struct LineWriter<O> {
    output: O,
    /// The length of all whole lines in bytes.
    length: u64,
    /// A partial line is at the end and could not be truncated.
    partial: bool,
}

impl<O: JournalOutput> LineWriter<O> {
    pub fn new(output: O) -> LineWriter<O> {
        LineWriter { output, length: 0, partial: false }
    }

    /// Writes a line in one write(2). A partial line is truncated; while that fails nothing more is
    /// written, so that every line begins at the start of a line.
    ///
    /// # Errors
    /// The line was not written.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        if self.partial {
            // It may succeed by now.
            self.output.truncate(self.length)?;
            self.partial = false;
        }
        // stderr may be a terminal; JSON escapes keep the meaning.
        let line = format!("{}\n", visible::line(line));
        let written = self.output.write(line.as_bytes())?;
        if written == line.len() {
            self.length += written as u64;
            return Ok(());
        }
        self.partial = self.output.truncate(self.length).is_err();
        Err(Errno::ENOSPC.into())
    }

    pub fn sync(&mut self) -> io::Result<()> {
        self.output.sync()
    }
}

impl<O: JournalOutput + ?Sized> JournalOutput for Box<O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (**self).write(bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        (**self).truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

impl JournalOutput for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match Write::write(self, bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Descriptor 2. The app shares it and may have made it non-blocking.
#[derive(Debug)]
pub(super) struct Stderr(File);

impl Stderr {
    /// # Errors
    /// Descriptor 2 is closed.
    pub fn open() -> Result<Stderr, JournalError> {
        let copy = io::stderr().as_fd().try_clone_to_owned();
        copy.map(|fd| Stderr(File::from(fd))).map_err(|error| JournalError::Stderr(crate::sys::errno(&error)))
    }
}

impl JournalOutput for Stderr {
    /// Writes the whole line: a pipe cannot be truncated.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match JournalOutput::write(&mut self.0, &bytes[done..]) {
                Ok(0) => break,
                Ok(written) => done += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut waits = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
                    match poll(&mut waits, PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn truncate(&mut self, _length: u64) -> io::Result<()> {
        Err(Errno::ESPIPE.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
