//! NOTIFY_SOCKET: the app reports here that it is ready (sd_notify(3)). Messages about its state
//! are forwarded to the NOTIFY_SOCKET that the container itself was started with.
//!
//! An app that may make no unix socket gets one end of a socket pair instead of its datagram
//! socket. The pair preserves message boundaries and ignores the destination address
//! (SOCK_SEQPACKET, unix(7)): it reaches no other socket, and needs no name, neither in a
//! read-only root nor outside of the app's Landlock domain. An app that may make any unix socket
//! makes its own, and sends to an abstract name that holds a random number.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, setsockopt, socketpair, sockopt};

use crate::plan::NotifyTransport;
use crate::sys;

/// The name of the environment variable.
pub const VARIABLE: &str = "NOTIFY_SOCKET";
/// The abstract name for a pair. No socket is bound to it.
const PAIR_NAME: &str = "remit/notify";
/// The most pairs at a time: an app needs one.
const MOST: usize = 32;
/// The most messages that are read from one socket before the next one.
const AT_ONCE: usize = 64;
/// The longest message, in bytes, as in systemd.
const LONGEST: usize = 4096;

/// The sockets on which the app reports that it is ready.
pub struct NotifySocket {
    name: Vec<u8>,
    named: Option<UnixDatagram>,
    pairs: Vec<OwnedFd>,
    outer: Option<UnixDatagram>,
}

/// Why the app gets no NOTIFY_SOCKET. Displayed as one line.
#[derive(Debug)]
pub enum NotifySocketError {
    /// getrandom(2) failed.
    Random(Errno),
    /// The socket cannot be bound to its abstract name.
    Bind(io::Error),
    /// SO_PASSCRED cannot be set.
    Credentials(Errno),
}

impl fmt::Display for NotifySocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotifySocketError::Random(errno) => write!(f, "getrandom: {errno}"),
            NotifySocketError::Bind(error) => write!(f, "{VARIABLE}: {error}"),
            NotifySocketError::Credentials(errno) => write!(f, "{VARIABLE}: {errno}"),
        }
    }
}

impl std::error::Error for NotifySocketError {}

impl NotifySocket {
    /// Opens the sockets. `outer` is the value of the variable that the container was started with.
    ///
    /// # Errors
    /// There are no random numbers, or the socket cannot be made.
    pub fn open(
        transport: NotifyTransport,
        outer: Option<&OsStr>,
    ) -> Result<NotifySocket, NotifySocketError> {
        let (name, named) = match transport {
            NotifyTransport::SocketPair => (PAIR_NAME.to_owned(), None),
            NotifyTransport::AbstractSocket => {
                let [a, b, _] = sys::process::random().map_err(NotifySocketError::Random)?;
                let name = format!("{PAIR_NAME}/{a:016x}{b:016x}");
                let address = SocketAddr::from_abstract_name(&name).map_err(NotifySocketError::Bind)?;
                let socket = UnixDatagram::bind_addr(&address).map_err(NotifySocketError::Bind)?;
                setsockopt(&socket, sockopt::PassCred, &true).map_err(NotifySocketError::Credentials)?;
                (name, Some(socket))
            }
        };
        let outer = outer.filter(|name| !name.is_empty()).and_then(|name| match connected(name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, socket = %name.display(), "the app's state is not forwarded");
                None
            }
        });
        Ok(NotifySocket { name: name.into_bytes(), named, pairs: Vec::new(), outer })
    }

    /// The variable's value for the app.
    pub fn value(&self) -> OsString {
        OsStr::from_bytes(&[b"@", &self.name[..]].concat()).to_owned()
    }

    /// Whether an abstract name is that of the variable. Trailing NULs are ignored, since some
    /// programs pass a whole sockaddr_un.
    pub fn is_named(&self, name: &[u8]) -> bool {
        let end = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        name[..end] == self.name[..]
    }

    /// Makes a pair, and returns the app's end.
    ///
    /// # Errors
    /// EMFILE where the app has 32 pairs; the errnos of socketpair(2).
    pub fn create_endpoint(&mut self, blocking: bool) -> Result<OwnedFd, Errno> {
        if self.pairs.len() >= MOST {
            return Err(Errno::EMFILE);
        }
        let mut flags = SockFlag::SOCK_CLOEXEC;
        flags.set(SockFlag::SOCK_NONBLOCK, !blocking);
        let (theirs, ours) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        self.pairs.push(ours);
        Ok(theirs)
    }

    /// The descriptors to poll.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.named.iter().map(AsFd::as_fd).chain(self.pairs.iter().map(AsFd::as_fd))
    }

    /// Reads all pending messages, forwards the app's state, and returns whether a message says
    /// READY=1.
    pub fn poll_messages(&mut self) -> bool {
        let NotifySocket { named, pairs, outer, .. } = self;
        let mut ready = false;
        let mut handle = |message: &[u8]| {
            ready |= lines(message).any(|line| line == b"READY=1");
            let Some(outer) = outer.as_ref() else { return };
            let state = state_lines(message);
            if !state.is_empty()
                && let Err(error) = outer.send(&state)
            {
                tracing::debug!(%error, "the app's state could not be forwarded");
            }
        };
        if let Some(socket) = named {
            (0..AT_ONCE).map_while(|_| from_inside(socket)).flatten().for_each(|message| handle(&message));
        }
        pairs.retain(|end| {
            let mut buffer = [0; LONGEST];
            for _ in 0..AT_ONCE {
                match recv(end.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                    // End of file, unless it is an empty message.
                    Ok(0) if has_hung_up(end) => return false,
                    Ok(length) => handle(&buffer[..length]),
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => return true,
                    Err(errno) => {
                        tracing::debug!(%errno, "the app's end could not be read");
                        return false;
                    }
                }
            }
            true
        });
        ready
    }
}

/// The lines of a message, split as systemd does (strv_split_newlines).
fn lines(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message.split(|byte| matches!(byte, b'\n' | b'\r'))
}

/// The lines of a message that report the app's state. They are forwarded with the supervisor's
/// credentials, which systemd trusts more than the app's. So the app must not set the main
/// process, the notify access or the stored descriptors.
fn state_lines(message: &[u8]) -> Vec<u8> {
    const WORDS: [&[u8]; 4] = [b"READY=1", b"STOPPING=1", b"RELOADING=1", b"WATCHDOG=1"];
    const KEYS: [&[u8]; 4] = [b"STATUS=", b"MONOTONIC_USEC=", b"ERRNO=", b"EXTEND_TIMEOUT_USEC="];
    let is_state = |line: &&[u8]| {
        WORDS.contains(line) || (KEYS.iter().any(|key| line.starts_with(key)) && !line.contains(&0))
    };
    lines(message).filter(is_state).collect::<Vec<_>>().join(&b'\n')
}

/// The next message, if there is one: `Some(None)` where its sender is in another pid namespace
/// that shares the network namespace. Descriptors that came along are closed.
fn from_inside(socket: &UnixDatagram) -> Option<Option<Vec<u8>>> {
    let mut buffer = [0; LONGEST];
    let message = sys::socket::receive(socket.as_fd(), &mut buffer).ok()?;
    let inside = message.sender.is_some_and(|pid| pid != 0);
    Some(inside.then(|| buffer[..message.length].to_vec()))
}

/// Whether the other end is closed, or shut down for writing.
fn has_hung_up(end: &OwnedFd) -> bool {
    // poll(2) reports POLLHUP and POLLERR without a request.
    let shut = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
    poll(&mut [PollFd::new(end.as_fd(), shut)], PollTimeout::ZERO).is_ok_and(|events| events > 0)
}

/// Connects a non-blocking socket to the container's own NOTIFY_SOCKET.
fn connected(name: &OsStr) -> std::io::Result<UnixDatagram> {
    let bytes = name.as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(hidden) => SocketAddr::from_abstract_name(hidden)?,
        None if bytes.starts_with(b"/") => SocketAddr::from_pathname(name)?,
        None => return Err(std::io::Error::from_raw_os_error(nix::libc::EAFNOSUPPORT)),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{MsgFlags, Shutdown, UnixAddr, send, sendto, shutdown};

    use super::*;

    #[test]
    fn a_pair_is_read_whatever_address_it_sends_to() {
        let elsewhere = UnixDatagram::bind_addr(
            &SocketAddr::from_abstract_name(format!("remit-test-{}", std::process::id())).expect("a name"),
        )
        .expect("bound");
        elsewhere.set_nonblocking(true).expect("a socket");
        let mut notify_socket = NotifySocket::open(NotifyTransport::SocketPair, None).expect("open");
        assert_eq!(notify_socket.value(), "@remit/notify");
        let end = notify_socket.create_endpoint(true).expect("a pair");
        assert!(!notify_socket.poll_messages());
        let other = UnixAddr::new_abstract(format!("remit-test-{}", std::process::id()).as_bytes());
        sendto(end.as_raw_fd(), b"STATUS=starting\nREADY=10", &other.expect("a name"), MsgFlags::empty())
            .expect("sent");
        assert!(!notify_socket.poll_messages());
        send(end.as_raw_fd(), b"MAINPID=7\nREADY=1", MsgFlags::empty()).expect("sent");
        assert!(notify_socket.poll_messages());
        assert_eq!(
            elsewhere.recv(&mut [0; 64]).map_err(|error| error.kind()),
            Err(std::io::ErrorKind::WouldBlock)
        );
        // An empty message is not the end of file.
        send(end.as_raw_fd(), b"", MsgFlags::empty()).expect("sent");
        assert!(!notify_socket.poll_messages() && notify_socket.fds().count() == 1);
        drop(end);
        assert!(!notify_socket.poll_messages() && notify_socket.fds().count() == 0);
    }

    #[test]
    fn an_end_that_is_shut_down_for_writing_is_not_polled() {
        let mut notify_socket = NotifySocket::open(NotifyTransport::SocketPair, None).expect("open");
        let end = notify_socket.create_endpoint(true).expect("a pair");
        send(end.as_raw_fd(), b"READY=1", MsgFlags::empty()).expect("sent");
        shutdown(end.as_raw_fd(), Shutdown::Write).expect("shut");
        // Earlier messages are read.
        assert!(notify_socket.poll_messages() && notify_socket.fds().count() == 0);
    }

    #[test]
    fn the_number_of_pairs_is_limited() {
        let mut notify_socket = NotifySocket::open(NotifyTransport::SocketPair, None).expect("open");
        let ends: Vec<_> = (0..MOST).map(|_| notify_socket.create_endpoint(false).expect("a pair")).collect();
        assert_eq!(notify_socket.create_endpoint(false).map(drop), Err(Errno::EMFILE));
        drop(ends);
        assert!(!notify_socket.poll_messages());
        assert!(notify_socket.create_endpoint(false).is_ok());
    }

    #[test]
    fn only_the_apps_state_is_forwarded() {
        let state = b"READY=1\nSTATUS=up=1\nSTOPPING=1\nRELOADING=1\nMONOTONIC_USEC=7\nWATCHDOG=1\nERRNO=2\nEXTEND_TIMEOUT_USEC=9";
        assert_eq!(state_lines(state), state);
        for other in [
            &b""[..],
            b"\n",
            b"MAINPID=7",
            b"MAINPIDFDID=7",
            b"NOTIFYACCESS=all",
            b"WATCHDOG=trigger",
            b"WATCHDOG_USEC=1",
            b"FDSTORE=1",
            b"FDSTOREREMOVE=1\nFDNAME=x",
            b"BARRIER=1",
            b"READY=10",
            b" READY=1",
            b"status=x",
            b"STATUS",
            b"STATUS=a\0MAINPID=7",
        ] {
            assert_eq!(state_lines(other), b"", "{}", other.escape_ascii());
        }
        // systemd takes either byte as the end of a line.
        assert_eq!(state_lines(b"STATUS=a\rMAINPID=7\r\nREADY=1\n"), b"STATUS=a\nREADY=1");
    }

    #[test]
    fn a_named_socket_is_read_and_its_state_forwarded() {
        let name = format!("remit-outer-{}", std::process::id());
        let outer =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("bound");
        let mut notify_socket =
            NotifySocket::open(NotifyTransport::AbstractSocket, Some(OsStr::new(&format!("@{name}"))))
                .expect("open");
        let value = notify_socket.value();
        let hidden = &value.as_bytes()[1..];
        assert!(notify_socket.is_named(hidden) && !notify_socket.is_named(PAIR_NAME.as_bytes()));
        let app = UnixDatagram::unbound().expect("a socket");
        let address = SocketAddr::from_abstract_name(hidden).expect("a name");
        app.send_to_addr(b"FDSTORE=1\nFDNAME=x", &address).expect("sent");
        app.send_to_addr(b"MAINPID=1\nSTATUS=up\nREADY=1\n", &address).expect("sent");
        assert!(notify_socket.poll_messages());
        let mut buffer = [0; 64];
        let length = outer.recv(&mut buffer).expect("passed on");
        assert_eq!(&buffer[..length], b"STATUS=up\nREADY=1");
        // Descriptors that come along, more than one message of another kind would have, are closed.
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let descriptors = [writer.as_raw_fd(); 3];
        let rights = [nix::sys::socket::ControlMessage::ScmRights(&descriptors)];
        let data = [io::IoSlice::new(b"FDSTORE=1\nREADY=1")];
        let to = UnixAddr::new_abstract(hidden).expect("a name");
        nix::sys::socket::sendmsg(app.as_raw_fd(), &data, &rights, MsgFlags::empty(), Some(&to))
            .expect("sent");
        drop(writer);
        assert!(notify_socket.poll_messages());
        assert_eq!(nix::unistd::read(&reader, &mut [0]), Ok(0), "no end for writing is left");
        // A missing outer socket does not prevent the start.
        assert!(
            NotifySocket::open(NotifyTransport::AbstractSocket, Some(OsStr::new("/missing/socket")))
                .expect("open")
                .outer
                .is_none()
        );
    }

    #[test]
    fn of_any_message_only_the_state_is_forwarded() {
        let seeds: [&[u8]; 2] = [b"READY=1\nSTATUS=up\nMAINPID=7\r\nFDSTORE=1", b"ERRNO=2\nBARRIER=1"];
        crate::mutation::each(&seeds, |bytes| {
            let passed = state_lines(bytes);
            assert!(passed.len() <= bytes.len());
            assert_eq!(state_lines(&passed), passed, "only state is forwarded");
            for forbidden in [&b"MAINPID="[..], b"FDSTORE", b"BARRIER"] {
                assert!(!lines(&passed).any(|line| line.starts_with(forbidden)));
            }
        });
    }
}
