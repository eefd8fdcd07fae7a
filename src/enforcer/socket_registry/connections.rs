//! Sockets that are being connected, and those that are connected.
//!
//! A program may connect a socket a second time, to learn whether the first has succeeded
//! (connect(2): EALREADY, 0, EISCONN). While it is being connected (EINPROGRESS), the copy of the
//! socket stays, and the kernel answers; once it is connected the copy is closed, since the app may
//! close its own and its peer has to learn of that. What the kernel would answer from then on is
//! known without a copy.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{Socket, SocketRegistry};
use crate::policy::network::SocketKind;

/// The most connected sockets that are remembered; beyond it the oldest are forgotten.
const MOST: usize = 4096;
/// The most ends that are read at once.
const AT_ONCE: usize = 64;

/// Readable where a connection has ended that was in progress.
static ENDED: OnceLock<Option<Epoll>> = OnceLock::new();

/// What is known of connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// The copies of these are watched.
    connecting: HashSet<u64>,
    /// The connected sockets of which there is no copy; once there are so many, the oldest gives way.
    connected: Vec<Connected>,
    oldest: usize,
}

/// A connected socket.
#[derive(Debug)]
struct Connected {
    inode: u64,
    kind: SocketKind,
    /// A connect of the app's has returned that since.
    returned: bool,
}

/// The descriptor that is readable once [`SocketRegistry::apply_connections`] has work.
pub fn wake_fd() -> Option<BorrowedFd<'static>> {
    epoll().map(|epoll| epoll.0.as_fd())
}

fn epoll() -> Option<&'static Epoll> {
    ENDED.get_or_init(|| Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok()).as_ref()
}

impl Connections {
    /// Watches a copy until it is connected or cannot be.
    fn watch(&mut self, socket: &Socket) -> bool {
        if self.connecting.contains(&socket.inode) {
            return true;
        }
        let event = EpollEvent::new(EpollFlags::EPOLLOUT, socket.inode);
        let watched = epoll().is_some_and(|epoll| epoll.add(&*socket.fd, event).is_ok());
        watched && self.connecting.insert(socket.inode)
    }

    /// Its copy is watched no more.
    pub(super) fn unwatch(&mut self, socket: &Socket) {
        if self.connecting.remove(&socket.inode)
            && let Some(epoll) = epoll()
        {
            // Where it is not watched, there is nothing to end.
            let _ = epoll.delete(&*socket.fd);
        }
    }

    /// Another socket may have this inode number now.
    pub(super) fn forget(&mut self, inode: u64) {
        if let Some(connected) = self.find(inode) {
            connected.inode = 0;
        }
    }

    fn find(&mut self, inode: u64) -> Option<&mut Connected> {
        self.connected.iter_mut().find(|connected| connected.inode == inode)
    }

    /// Those that are being connected.
    pub(super) fn connecting(&self) -> Vec<u64> {
        self.connecting.iter().copied().collect()
    }

    fn remember(&mut self, connected: Connected) {
        if let Some(known) = self.find(connected.inode) {
            *known = connected;
        } else if self.connected.len() < MOST {
            self.connected.push(connected);
        } else {
            self.connected[self.oldest] = connected;
            self.oldest = (self.oldest + 1) % MOST;
        }
    }
}

impl SocketRegistry {
    /// A connect is in progress: the copy stays until it has ended.
    pub fn connects(&mut self, inode: u64) {
        let Some(copy) = self.sockets.get(&inode) else { return };
        if !self.connections.watch(&copy.socket) {
            self.release(inode);
        }
    }

    /// It is connected. `returned`: a connect of the app's returns that.
    pub fn connected(&mut self, inode: u64, returned: bool) {
        match self.sockets.get(&inode) {
            Some(copy) => {
                self.connections.remember(Connected { inode, kind: copy.socket.kind, returned });
                self.release(inode);
            }
            // Its end was seen while a further connect was under way.
            None if returned => drop(self.connect_again(inode)),
            None => {}
        }
    }

    /// The kind of a connected socket without a copy.
    pub fn kind_of_connected(&mut self, inode: u64) -> Option<SocketKind> {
        self.connections.find(inode).map(|connected| connected.kind)
    }

    /// The kernel's answer to a further connect of a connected socket: 0 the first time after one
    /// that was in progress.
    ///
    /// # Errors
    /// EISCONN.
    pub fn connect_again(&mut self, inode: u64) -> Result<(), Errno> {
        match self.connections.find(inode).filter(|connected| !connected.returned) {
            Some(connected) => {
                connected.returned = true;
                Ok(())
            }
            None => Err(Errno::EISCONN),
        }
    }

    /// Closes the copies of sockets that are connected by now. Those that could not be connected
    /// are what they were before.
    pub fn apply_connections(&mut self) {
        let mut events = [EpollEvent::empty(); AT_ONCE];
        loop {
            if self.connections.connecting.is_empty() {
                return;
            }
            let ended = epoll().map_or(Ok(0), |epoll| epoll.wait(&mut events, EpollTimeout::ZERO));
            let ended = ended.unwrap_or(0);
            for event in &events[..ended] {
                let inode = event.data();
                if event.events().intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP) {
                    if let Some(copy) = self.sockets.get(&inode) {
                        self.connections.unwatch(&copy.socket);
                    }
                } else {
                    self.connected(inode, false);
                }
            }
            if ended < AT_ONCE {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};

    use super::*;
    use crate::ids::Pid;
    use crate::notify::caller::Identity;
    use crate::sys::signal::{self, Mask};

    fn connected(inode: u64) -> Connected {
        Connected { inode, kind: SocketKind::Tcp, returned: false }
    }

    #[test]
    fn a_copy_stays_until_its_connection_is_made() {
        use std::os::fd::AsRawFd;
        let identity = Identity::own().expect("own ids");
        let mut registry = SocketRegistry::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("its name").port();
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let made = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
        let socket = registry.register(made, SocketKind::Tcp, Pid::from_raw(1), &identity).expect("room");
        let answer = connect(socket.fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port));
        assert_eq!(answer, Err(Errno::EINPROGRESS));
        registry.connects(socket.inode);
        assert!(registry.of(socket.inode).is_some() && registry.kind_of_connected(socket.inode).is_none());
        let mut fds = [nix::poll::PollFd::new(wake_fd().expect("epoll"), nix::poll::PollFlags::POLLIN)];
        signal::poll(&mut fds, None, Mask::ALL).expect("its end");
        registry.apply_connections();
        assert!(registry.of(socket.inode).is_none());
        assert_eq!(registry.kind_of_connected(socket.inode), Some(SocketKind::Tcp));
        assert_eq!(registry.connect_again(socket.inode), Ok(()));
        assert_eq!(registry.connect_again(socket.inode), Err(Errno::EISCONN));
        // A further connect was under way meanwhile.
        registry.connections.remember(connected(socket.inode));
        registry.connected(socket.inode, true);
        assert_eq!(registry.connect_again(socket.inode), Err(Errno::EISCONN));
        // Another socket with its number.
        registry.connections.forget(socket.inode);
        assert_eq!(registry.kind_of_connected(socket.inode), None);
    }

    #[test]
    fn the_oldest_connections_are_forgotten() {
        let mut connections = Connections::default();
        for inode in 1..=MOST as u64 + 2 {
            connections.remember(connected(inode));
        }
        assert_eq!(connections.connected.len(), MOST);
        assert!([1, 2].iter().all(|inode| connections.find(*inode).is_none()));
        assert!([3, MOST as u64 + 2].iter().all(|inode| connections.find(*inode).is_some()));
        // One that is known takes no other's place.
        connections.remember(connected(3));
        assert!(connections.find(4).is_some());
    }
}
