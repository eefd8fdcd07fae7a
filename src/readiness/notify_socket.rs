//! NOTIFY_SOCKET: where the app says that it is ready (sd_notify(3)), and what it says
//! of its own state is passed on to whoever asked the container itself.
//!
//! An app that may make no unix socket gets one end of a pair for its datagram socket.
//! The pair keeps messages apart and takes no heed of the name that they are sent to
//! (SOCK_SEQPACKET, unix(7)), so that it is no way to anybody else, needs no place for a
//! name in a read-only root, and none outside of the app's Landlock domain. An app that
//! may make any unix socket makes its own, and finds a name that no other program knows.

use std::ffi::{OsStr, OsString};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, setsockopt, socketpair,
    sockopt,
};

use crate::plan::NotifyTransport;
use crate::sys;

/// The variable.
pub const VARIABLE: &str = "NOTIFY_SOCKET";
/// The abstract name of a pair, which is sent to and never looked up.
const NOBODYS: &str = "remit/notify";
/// Pairs at most: an app needs one at a time.
const MOST: usize = 32;
/// What is heard of one socket before others are.
const AT_ONCE: usize = 64;
/// The longest message (systemd takes no longer one).
const LONGEST: usize = 4096;

/// The sockets on which the app says that it is ready.
pub struct NotifySocket {
    name: Vec<u8>,
    named: Option<UnixDatagram>,
    pairs: Vec<OwnedFd>,
    outer: Option<UnixDatagram>,
}

impl NotifySocket {
    /// Opens them; `outer` is the variable's value that the container was started with.
    ///
    /// # Errors
    /// One line: the call and its errno.
    pub fn open(transport: NotifyTransport, outer: Option<&OsStr>) -> Result<NotifySocket, String> {
        let failed = |error: std::io::Error| format!("{VARIABLE}: {error}");
        let (name, named) = match transport {
            NotifyTransport::SocketPair => (NOBODYS.to_owned(), None),
            NotifyTransport::AbstractSocket => {
                let [a, b, _] = sys::process::random().map_err(|errno| format!("getrandom: {errno}"))?;
                let name = format!("{NOBODYS}/{a:016x}{b:016x}");
                let address = SocketAddr::from_abstract_name(&name).map_err(failed)?;
                let socket = UnixDatagram::bind_addr(&address).map_err(failed)?;
                setsockopt(&socket, sockopt::PassCred, &true)
                    .map_err(|errno| format!("{VARIABLE}: {errno}"))?;
                (name, Some(socket))
            }
        };
        let outer = outer.filter(|name| !name.is_empty()).and_then(|name| match connected(name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, socket = %name.display(), "what the app says of itself is not passed on");
                None
            }
        });
        Ok(NotifySocket { name: name.into_bytes(), named, pairs: Vec::new(), outer })
    }

    /// The variable's value for the app.
    pub fn value(&self) -> OsString {
        OsStr::from_bytes(&[b"@", &self.name[..]].concat()).to_owned()
    }

    /// Whether an abstract name is the one that the app is given; some pass all of a
    /// sockaddr_un, whose rest is empty.
    pub fn is_named(&self, name: &[u8]) -> bool {
        let end = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        name[..end] == self.name[..]
    }

    /// A socket for the app whose other end is heard; `blocking` as it asked.
    ///
    /// # Errors
    /// EMFILE where it has as many as it gets.
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

    /// All that can be heard of, to be waited for.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.named.iter().map(AsFd::as_fd).chain(self.pairs.iter().map(AsFd::as_fd))
    }

    /// Hears what has been said by now, and passes it on; whether the app is ready.
    pub fn poll_messages(&mut self) -> bool {
        let NotifySocket { named, pairs, outer, .. } = self;
        let mut ready = false;
        let mut heard = |message: &[u8]| {
            ready |= lines(message).any(|line| line == b"READY=1");
            let Some(outer) = outer.as_ref() else { return };
            let kept = of_its_state(message);
            if !kept.is_empty()
                && let Err(error) = outer.send(&kept)
            {
                tracing::debug!(%error, "not passed on");
            }
        };
        if let Some(socket) = named {
            (0..AT_ONCE).map_while(|_| from_inside(socket)).flatten().for_each(|message| heard(&message));
        }
        pairs.retain(|end| {
            let mut buffer = [0; LONGEST];
            for _ in 0..AT_ONCE {
                match recv(end.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                    // Nobody says anything at the other end any more, or it said nothing.
                    Ok(0) if has_hung_up(end) => return false,
                    Ok(length) => heard(&buffer[..length]),
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => return true,
                    Err(errno) => {
                        tracing::debug!(%errno, "the app's end is gone");
                        return false;
                    }
                }
            }
            true
        });
        ready
    }
}

/// The lines of a message, parted as systemd parts them (strv_split_newlines).
fn lines(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message.split(|byte| matches!(byte, b'\n' | b'\r'))
}

/// What the app says of its own state, and nothing else of the message. It is sent on with
/// the supervisor's credentials, which are believed more than the app's: who the main
/// process is, who else may speak, which descriptors to keep, is not the app's to say.
fn of_its_state(message: &[u8]) -> Vec<u8> {
    const WORDS: [&[u8]; 4] = [b"READY=1", b"STOPPING=1", b"RELOADING=1", b"WATCHDOG=1"];
    const KEYS: [&[u8]; 4] = [b"STATUS=", b"MONOTONIC_USEC=", b"ERRNO=", b"EXTEND_TIMEOUT_USEC="];
    let kept = |line: &&[u8]| {
        WORDS.contains(line) || (KEYS.iter().any(|key| line.starts_with(key)) && !line.contains(&0))
    };
    lines(message).filter(kept).collect::<Vec<_>>().join(&b'\n')
}

/// The next message, if there is one; and if it came from this pid namespace and not
/// from somebody else who shares the network.
fn from_inside(socket: &UnixDatagram) -> Option<Option<Vec<u8>>> {
    let mut buffer = [0; LONGEST];
    let mut data = [IoSliceMut::new(&mut buffer)];
    let mut control = nix::cmsg_space!(nix::libc::ucred);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut data, Some(&mut control), flags).ok()?;
    let length = message.bytes;
    let sender = message.cmsgs().ok().and_then(|mut all| {
        all.find_map(|one| match one {
            ControlMessageOwned::ScmCredentials(from) => Some(from.pid()),
            _ => None,
        })
    });
    let inside = sender.is_some_and(|pid| pid != 0);
    Some(inside.then(|| buffer[..length].to_vec()))
}

/// Whether the other end is closed, or shut for writing: either way nothing comes any more.
fn has_hung_up(end: &OwnedFd) -> bool {
    // Of what is asked for, and of POLLHUP and POLLERR, any says so.
    let shut = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
    poll(&mut [PollFd::new(end.as_fd(), shut)], PollTimeout::ZERO).is_ok_and(|events| events > 0)
}

/// A socket to whoever asked the container; it is never waited for.
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
    fn a_pair_is_heard_whatever_name_it_sends_to() {
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
        // An empty message is no end, and the end is one.
        send(end.as_raw_fd(), b"", MsgFlags::empty()).expect("sent");
        assert!(!notify_socket.poll_messages() && notify_socket.fds().count() == 1);
        drop(end);
        assert!(!notify_socket.poll_messages() && notify_socket.fds().count() == 0);
    }

    #[test]
    fn an_end_that_is_shut_for_writing_is_not_waited_for() {
        let mut notify_socket = NotifySocket::open(NotifyTransport::SocketPair, None).expect("open");
        let end = notify_socket.create_endpoint(true).expect("a pair");
        send(end.as_raw_fd(), b"READY=1", MsgFlags::empty()).expect("sent");
        shutdown(end.as_raw_fd(), Shutdown::Write).expect("shut");
        // What was said before is heard.
        assert!(notify_socket.poll_messages() && notify_socket.fds().count() == 0);
    }

    #[test]
    fn no_app_has_more_ends_than_it_needs() {
        let mut notify_socket = NotifySocket::open(NotifyTransport::SocketPair, None).expect("open");
        let ends: Vec<_> = (0..MOST).map(|_| notify_socket.create_endpoint(false).expect("a pair")).collect();
        assert_eq!(notify_socket.create_endpoint(false).map(drop), Err(Errno::EMFILE));
        drop(ends);
        assert!(!notify_socket.poll_messages());
        assert!(notify_socket.create_endpoint(false).is_ok());
    }

    #[test]
    fn only_what_the_app_says_of_its_state_is_passed_on() {
        let state = b"READY=1\nSTATUS=up=1\nSTOPPING=1\nRELOADING=1\nMONOTONIC_USEC=7\nWATCHDOG=1\nERRNO=2\nEXTEND_TIMEOUT_USEC=9";
        assert_eq!(of_its_state(state), state);
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
            assert_eq!(of_its_state(other), b"", "{}", other.escape_ascii());
        }
        // Whoever reads it takes either byte for the end of a line.
        assert_eq!(of_its_state(b"STATUS=a\rMAINPID=7\r\nREADY=1\n"), b"STATUS=a\nREADY=1");
    }

    #[test]
    fn a_name_is_heard_and_its_state_passed_on() {
        let name = format!("remit-outer-{}", std::process::id());
        let outer =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("bound");
        let mut notify_socket =
            NotifySocket::open(NotifyTransport::AbstractSocket, Some(OsStr::new(&format!("@{name}"))))
                .expect("open");
        let value = notify_socket.value();
        let hidden = &value.as_bytes()[1..];
        assert!(notify_socket.is_named(hidden) && !notify_socket.is_named(NOBODYS.as_bytes()));
        let app = UnixDatagram::unbound().expect("a socket");
        let address = SocketAddr::from_abstract_name(hidden).expect("a name");
        app.send_to_addr(b"FDSTORE=1\nFDNAME=x", &address).expect("sent");
        app.send_to_addr(b"MAINPID=1\nSTATUS=up\nREADY=1\n", &address).expect("sent");
        assert!(notify_socket.poll_messages());
        let mut buffer = [0; 64];
        let length = outer.recv(&mut buffer).expect("passed on");
        assert_eq!(&buffer[..length], b"STATUS=up\nREADY=1");
        // Who is not there is no reason not to start.
        assert!(
            NotifySocket::open(NotifyTransport::AbstractSocket, Some(OsStr::new("/nobody/listens")))
                .expect("open")
                .outer
                .is_none()
        );
    }

    #[test]
    fn of_any_message_the_state_alone_is_passed_on() {
        let seeds: [&[u8]; 2] = [b"READY=1\nSTATUS=up\nMAINPID=7\r\nFDSTORE=1", b"ERRNO=2\nBARRIER=1"];
        crate::mutation::each(&seeds, |bytes| {
            let passed = of_its_state(bytes);
            assert!(passed.len() <= bytes.len());
            assert_eq!(of_its_state(&passed), passed, "what is passed on is nothing but state");
            for forbidden in [&b"MAINPID="[..], b"FDSTORE", b"BARRIER"] {
                assert!(!lines(&passed).any(|line| line.starts_with(forbidden)));
            }
        });
    }
}
