//! The message that Kubernetes shows for a container that ended.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// The most bytes that the kubelet reads.
const MOST: usize = 4096;

/// Writes one line to `/dev/termination-log` where that exists. A failure is logged at level
/// info only: the container ends anyway, and stderr has the same line.
pub fn termination(text: &str) {
    let path = Path::new("/dev/termination-log");
    if let Err(error) = write(path, text) {
        tracing::info!(%error, path = %path.display(), "the reason of the end could not be written");
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    // The app may have replaced it: neither wait for a FIFO nor follow a link.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
    let mut file = match OpenOptions::new().append(true).custom_flags(flags.bits()).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(MOST - 1));
    line.push('\n');
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn one_line_into_a_file_that_is_there_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("termination-log");
        write(&path, "a line").unwrap();
        assert!(!path.exists());

        fs::write(&path, "").unwrap();
        write(&path, "a\nb").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a b\n");

        fs::write(&path, "").unwrap();
        write(&path, &"é".repeat(5000)).unwrap();
        assert_eq!(fs::read(&path).unwrap().len(), MOST - 1);

        let fifo = place.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(write(&fifo, "x").is_err());
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(write(&link, "x").is_err());
        assert!(write(place.path(), "x").is_err());
    }
}
