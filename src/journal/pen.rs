//! Writes lines whole, or not at all.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::visible;

/// What a journal is written to.
pub(super) trait Out: Send + std::fmt::Debug {
    /// One write, as often as signals interrupt it.
    ///
    /// # Errors
    /// Nothing of it was written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Takes away what was written beyond this length.
    ///
    /// # Errors
    /// It stays.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// What was written survives a loss of power.
    ///
    /// # Errors
    /// It may not.
    fn sync(&mut self) -> io::Result<()>;
}

/// A hand that writes lines.
#[derive(Debug)]
pub(super) struct Pen<O> {
    out: O,
    /// Of whole lines.
    length: u64,
    /// A part of a line stands at the end, and cannot be taken away.
    torn: bool,
}

impl<O: Out> Pen<O> {
    pub fn new(out: O) -> Pen<O> {
        Pen { out, length: 0, torn: false }
    }

    /// Writes a line in one write. What is written of it in part is taken away again;
    /// where that cannot be done nothing is written any more, so that no line begins in
    /// the middle of another.
    ///
    /// # Errors
    /// The line is not there.
    pub fn put(&mut self, line: &str) -> io::Result<()> {
        if self.torn {
            // It may be possible by now.
            self.out.cut(self.length)?;
            self.torn = false;
        }
        // It may go to a terminal; the JSON says the same.
        let line = format!("{}\n", visible::line(line));
        let written = self.out.write(line.as_bytes())?;
        if written == line.len() {
            self.length += written as u64;
            return Ok(());
        }
        self.torn = self.out.cut(self.length).is_err();
        Err(Errno::ENOSPC.into())
    }

    pub fn sync(&mut self) -> io::Result<()> {
        self.out.sync()
    }
}

impl<O: Out + ?Sized> Out for Box<O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (**self).write(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        (**self).cut(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

impl Out for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match Write::write(self, bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
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

impl Out for Stderr {
    /// The whole line: what stands in a pipe cannot be taken away.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match Out::write(&mut self.0, &bytes[done..]) {
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

    fn cut(&mut self, _length: u64) -> io::Result<()> {
        Err(Errno::ESPIPE.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
