//! Writes lines whole, or not at all.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::visible;

/// What a journal is written to.
pub(super) trait Output: Send + std::fmt::Debug {
    /// One write, as often as signals interrupt it.
    ///
    /// # Errors
    /// Nothing of it was written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Truncates what was written to this length.
    ///
    /// # Errors
    /// It stays as it is.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// What was written survives a loss of power.
    ///
    /// # Errors
    /// It may not.
    fn sync(&mut self) -> io::Result<()>;
}

/// Writes lines, one write each.
#[derive(Debug)]
pub(super) struct LineWriter<O> {
    output: O,
    /// Bytes of whole lines.
    length: u64,
    /// A part of a line is at the end, and could not be truncated.
    partial: bool,
}

impl<O: Output> LineWriter<O> {
    pub fn new(output: O) -> LineWriter<O> {
        LineWriter { output, length: 0, partial: false }
    }

    /// Writes a line in one write. What is written of it in part is truncated; where that
    /// fails nothing is written any more, so that no line begins in the middle of another.
    ///
    /// # Errors
    /// The line is not there.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        if self.partial {
            // It may be possible by now.
            self.output.truncate(self.length)?;
            self.partial = false;
        }
        // It may go to a terminal; the JSON says the same.
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

impl<O: Output + ?Sized> Output for Box<O> {
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

impl Output for File {
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

/// Descriptor 2. It is the app's too, which may have made it non-blocking.
#[derive(Debug)]
pub(super) struct Stderr(File);

impl Stderr {
    /// # Errors
    /// One line: it is closed.
    pub fn open() -> Result<Stderr, String> {
        let copy = io::stderr().as_fd().try_clone_to_owned();
        copy.map(|fd| Stderr(File::from(fd)))
            .map_err(|error| format!("learning: stderr: {}; name a directory", crate::sys::errno(&error)))
    }
}

impl Output for Stderr {
    /// The whole line: a pipe cannot be truncated.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match Output::write(&mut self.0, &bytes[done..]) {
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
