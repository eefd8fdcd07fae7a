//! socket, bind, connect and listen.
//!
//! Where the kernel's rules distinguish all that the profile does (ports), or the profile
//! distinguishes nothing, a call continues and they decide. Where the profile names addresses, or
//! unix sockets by name, no call continues: the address is in memory that another thread can
//! rewrite, and the descriptor can be replaced. So the supervisor makes each socket, has a copy in
//! its [registry](crate::enforcer::socket_registry), and binds and connects it itself, to the
//! address that it has copied and checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use landlock::AccessFs;
use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};

use super::conclusion::Conclusion;
use super::deferred_socket_ops::DEFERRED;
use super::socket_registry::{Socket, SocketRegistry, forget_closed_listeners, inode_of};
use super::{Decision, Enforcer, unknown};
use crate::notify::caller::Caller;
use crate::notify::handed::HandedItem;
use crate::notify::resolve::Found;
use crate::notify::syscall_args::{AddressArgs, PathArg};
use crate::notify::unreadable::{UNREADABLE, unreadable};
use crate::policy::Denial;
use crate::policy::call::Call;
use crate::policy::file::Ruling;
use crate::policy::network::{Address, Direction, Protocol, SocketKind, UnixName};
use crate::procfs::link_to;
use crate::profile::Rights;
use crate::sys;
use crate::sys::seccomp::{self, Answer};

/// An operation on a socket that a thread of its own performs: since it may block, or since the
/// peer can read the credentials of the thread that performs it (SO_PEERCRED).
pub(super) struct DeferredSocketOp {
    socket: Socket,
    op: SocketOp,
}

enum SocketOp {
    /// Connect to this address, whose target is open until then.
    Connect { address: Vec<u8>, _target: Option<OwnedFd> },
    /// Listen, with a backlog of this length.
    Listen(i32),
}

impl Enforcer {
    pub(super) fn socket(&mut self, call: &Call, caller: &Caller) -> Decision {
        let args = [0, 1, 2].map(|arg: usize| call.args[arg] as i32);
        let [family, kind, protocol] = args;
        if let Some(decision) = self.says_ready_on(args) {
            return decision;
        }
        let makes = self.rules.policy().makes_sockets;
        if let Some(is) = self.rules.makes(family, kind, protocol).filter(|_| makes) {
            return self.make_socket(args, is, caller);
        }
        match self.rules.socket(family, kind, protocol) {
            Some(refusal) => Decision::Deny(refusal),
            None => Decision::Fail(Errno::EAFNOSUPPORT),
        }
    }

    fn make_socket(&self, [family, kind, protocol]: [i32; 3], is: SocketKind, caller: &Caller) -> Decision {
        let made = self
            .identity
            .with_caller_creds(caller, || sys::socket::make(family, kind | libc::SOCK_CLOEXEC, protocol));
        let registered =
            made.and_then(|socket| self.registry().register(socket, is, caller.tgid, &self.identity));
        match registered {
            Ok(socket) => Decision::MadeSocket(socket, kind & libc::SOCK_CLOEXEC != 0),
            Err(errno) => Decision::Fail(errno),
        }
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, SocketRegistry> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bind or connect. The address is copied once; what was copied is checked and used.
    pub(super) fn address(&mut self, call: &Call, caller: &Caller) -> Decision {
        let makes = self.rules.policy().makes_sockets;
        let Some(args) = AddressArgs::decode(call) else { return Decision::Continue };
        let direction = args.direction;
        let read = args.read(&self.memory_of(caller));
        let address = read.and_then(|bytes| Ok((Address::read(&bytes)?, bytes)));
        let (address, bytes) = match address {
            Ok(read) => read,
            // The call does not continue, so the supervisor returns the kernel's errno.
            Err(Errno::EFAULT | Errno::EINVAL) if makes => return Decision::Fail(Errno::EINVAL),
            Err(UNREADABLE) => return Decision::CallerUnreadable,
            Err(_) if makes => return Decision::Deny(self.rules.unregistered_socket(direction)),
            Err(errno) => return unknown(errno),
        };
        if direction == Direction::Connect && self.connects_to_notify_socket(&address) {
            return Decision::Value(0);
        }
        if makes {
            return self.act_on_socket(args, caller, &address, bytes);
        }
        let Ok(protocol) = self.protocol(caller, args.fd) else { return Decision::CallerUnreadable };
        if let Err(refusal) = self.rules.address(direction, protocol, &address) {
            return Decision::Deny(refusal);
        }
        if direction == Direction::Listen {
            self.binds(&address);
        }
        let near_events = direction == Direction::Connect && self.rules.policy().event_socket.is_some();
        if (self.rules.policy().unix_named || near_events)
            && let Err(decision) = self.unix_place(caller, direction, &address)
        {
            return decision;
        }
        match address {
            Address::UnixPath(path) if direction == Direction::Listen => self.bind_path(&path, caller),
            _ => Decision::Continue,
        }
    }

    /// The protocol of a socket, which sockfs has as an extended attribute.
    ///
    /// # Errors
    /// UNREADABLE where the caller's descriptors cannot be read.
    fn protocol(&self, caller: &Caller, fd: i32) -> Result<Protocol, Errno> {
        let path = PathBuf::from(format!("/proc/{}/fd/{fd}", caller.tid));
        let read = || sys::process::socket_protocol(&path).map_err(unreadable);
        let name = match self.identity.with_caller_fsids(caller, read) {
            Err(UNREADABLE) => {
                let handed = caller.handed.as_ref().ok_or(UNREADABLE)?;
                let socket = match handed.descriptor(HandedItem::Descriptor(fd)) {
                    Err(UNREADABLE) => return Err(UNREADABLE),
                    socket => socket,
                };
                socket.and_then(|socket| {
                    let ours = PathBuf::from(link_to(&socket));
                    sys::process::socket_protocol(&ours)
                })
            }
            name => name,
        };
        Ok(name.map_or(Protocol::Other, |name| Protocol::of(&name)))
    }

    /// The inode of the socket that a caller's descriptor is open on.
    fn inode(&self, caller: &Caller, fd: i32) -> Result<u64, Errno> {
        let path = PathBuf::from(format!("/proc/{}/fd/{fd}", caller.tid));
        let read = || std::fs::read_link(&path).map_err(|error| unreadable(sys::errno(&error)));
        let link = match self.identity.with_caller_fsids(caller, read) {
            Err(UNREADABLE) => {
                let handed = caller.handed.as_ref().ok_or(UNREADABLE)?;
                handed.name(HandedItem::Descriptor(fd))
            }
            link => link,
        };
        match link {
            Ok(link) => inode_of(&link).ok_or(Errno::ENOTSOCK),
            Err(Errno::ENOENT) => Err(Errno::EBADF),
            Err(errno) => Err(errno),
        }
    }

    /// The registered socket that a caller's descriptor is open on; or the decision, where it is
    /// none.
    fn registered_socket(&self, caller: &Caller, fd: i32, direction: Direction) -> Result<Socket, Decision> {
        match self.inode(caller, fd) {
            Ok(inode) => self
                .registry()
                .of(inode)
                .ok_or_else(|| Decision::Deny(self.rules.unregistered_socket(direction))),
            Err(errno @ (Errno::EBADF | Errno::ENOTSOCK)) => Err(Decision::Fail(errno)),
            Err(UNREADABLE) if self.tracer.is_some() => Err(Decision::CallerUnreadable),
            // Its descriptors cannot be read, but the number that it got is registered.
            Err(UNREADABLE) => {
                self.registry().installed_as(caller.tgid, fd).ok_or(Decision::CallerUnreadable)
            }
            Err(_) => Err(Decision::Deny(self.rules.unregistered_socket(direction))),
        }
    }

    /// Binds or connects a registered socket.
    fn act_on_socket(
        &mut self,
        AddressArgs { fd, direction, .. }: AddressArgs,
        caller: &Caller,
        address: &Address,
        bytes: Vec<u8>,
    ) -> Decision {
        let socket = match self.registered_socket(caller, fd, direction) {
            Ok(socket) => socket,
            Err(Decision::Deny(refusal)) if direction == Direction::Connect => {
                return self.connect_again(caller, fd, address).unwrap_or(Decision::Deny(refusal));
            }
            Err(decision) => return decision,
        };
        if let Err(refusal) = self.check_address(direction, socket.kind, address) {
            return Decision::Deny(refusal);
        }
        let place = match self.unix_place(caller, direction, address) {
            Ok(place) => place,
            Err(decision) => return decision,
        };
        if direction == Direction::Listen {
            self.binds(address);
        }
        // The caller still waits, so all was read of it.
        if self.waits() != Ok(true) {
            return Decision::Fail(Errno::ESRCH);
        }
        if direction == Direction::Listen {
            return self.bind(&socket, place, bytes, caller);
        }
        let (address, target) = match place {
            Some(UnixAddress { address, target }) => (address, Some(target)),
            None => (bytes, None),
        };
        let deferred = DeferredSocketOp { socket, op: SocketOp::Connect { address, _target: target } };
        match deferred.socket.kind {
            SocketKind::Tcp | SocketKind::Unix => Decision::Defer(Box::new(deferred)),
            // A connect of these only sets the peer, and does not block.
            SocketKind::Udp | SocketKind::Other => {
                let connected = self.identity.with_caller_creds(caller, || deferred.perform());
                connected.map_or_else(Decision::Fail, |()| Decision::Value(0))
            }
        }
    }

    /// The rules on addresses, for the kinds of sockets that have one.
    fn check_address(
        &self,
        direction: Direction,
        kind: SocketKind,
        address: &Address,
    ) -> Result<(), Box<Denial>> {
        match kind {
            SocketKind::Tcp => self.rules.address(direction, Protocol::Tcp, address),
            SocketKind::Udp => self.rules.address(direction, Protocol::Udp, address),
            SocketKind::Unix | SocketKind::Other => Ok(()),
        }
    }

    /// A further connect of a socket that is connected already: the kernel's answer. Nothing is
    /// done, so it does not matter if another socket has the descriptor by now. `None` for another
    /// socket, and for a connect that would dissolve the connection.
    fn connect_again(&self, caller: &Caller, fd: i32, address: &Address) -> Option<Decision> {
        let inode = self.inode(caller, fd).ok()?;
        let kind = self.registry().kind_of_connected(inode)?;
        if matches!(address, Address::Unspecified(_)) {
            return None;
        }
        Some(match self.check_address(Direction::Connect, kind, address) {
            Ok(()) => {
                self.registry().connect_again(inode).map_or_else(Decision::Fail, |()| Decision::Value(0))
            }
            Err(refusal) => Decision::Deny(refusal),
        })
    }

    fn bind(&self, socket: &Socket, place: Option<UnixAddress>, bytes: Vec<u8>, caller: &Caller) -> Decision {
        let bound = self.identity.with_caller_creds(caller, || match &place {
            Some(place) => {
                // The file gets the socket's mode less the umask, and the supervisor's is 0.
                fchmod(&*socket.fd, Mode::from_bits_truncate(0o777 & !caller.umask))?;
                sys::socket::bind(&socket.fd, &place.address)
            }
            None => sys::socket::bind(&socket.fd, &bytes),
        });
        let bound = match bound {
            // Perhaps by a socket that the app has closed.
            Err(Errno::EADDRINUSE) => {
                self.registry().free_addresses(&self.identity);
                let address = place.as_ref().map_or(&bytes, |place| &place.address);
                self.identity.with_caller_creds(caller, || sys::socket::bind(&socket.fd, address))
            }
            bound => bound,
        };
        if let Err(errno) = bound {
            return Decision::Fail(errno);
        }
        self.registry().binds(socket.inode);
        Decision::Value(0)
    }

    /// The file that a unix socket's address leads to, checked; none for an address without a
    /// path.
    fn unix_place(
        &self,
        caller: &Caller,
        direction: Direction,
        address: &Address,
    ) -> Result<Option<UnixAddress>, Decision> {
        let check = |name| self.rules.unix(direction, name).map_err(Decision::Deny);
        let path = match address {
            Address::UnixPath(path) => Path::new(std::ffi::OsStr::from_bytes(path)),
            // A name of the kernel's choice.
            Address::UnixOther(name) if name.is_empty() => return Ok(None),
            Address::UnixOther(name) => return check(UnixName::Abstract(name)).map(|()| None),
            _ => return Ok(None),
        };
        let follow = direction == Direction::Connect;
        let at = PathArg::here(path);
        let found = self.find(caller, &at, follow).map_err(|errno| {
            if self.rules.policy().makes_sockets { Decision::Fail(errno) } else { unknown(errno) }
        })?;
        if self.leads_to_events(&found, direction) {
            return Err(Decision::Deny(self.rules.event_socket(direction)));
        }
        check(UnixName::Path(&found.canonical))?;
        if direction == Direction::Listen && self.rules.policy().makes_sockets {
            self.may_make_socket(&found, caller)?;
        }
        // getsockname(2) returns the path that a socket was bound by: the app's own path, where no
        // process inside can make that lead elsewhere.
        let is_lasting = direction == Direction::Listen
            && path == found.canonical
            && !self.rules.can_be_moved(&found.canonical);
        let (inside, target) = match (direction, found.target) {
            // The name is made in the directory that was found, and follows no link there.
            (Direction::Listen, _) => (Some(found.name), found.parent),
            (Direction::Connect, Some(target)) => (None, target.fd),
            (Direction::Connect, None) => return Err(Decision::Fail(Errno::ENOENT)),
        };
        let mut way = PathBuf::from(link_to(&target));
        way.extend(inside);
        let way = if is_lasting { path } else { &way };
        let address = sys::socket::unix_path(way.as_os_str().as_bytes()).map_err(Decision::Fail)?;
        Ok(Some(UnixAddress { address, target }))
    }

    /// Whether this is the socket that events go to: the one of the start by its inode,
    /// whatever its name; one that was made since at its path, by what is there now; and its
    /// name, where nothing is.
    fn leads_to_events(&self, found: &Found, direction: Direction) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Some(path) = &self.rules.policy().event_socket else { return false };
        let Some(target) = &found.target else {
            return direction == Direction::Listen && found.canonical == *path;
        };
        let now = std::fs::metadata(path).ok();
        self.rules.is_protected(target.id)
            || now.is_some_and(|now| (now.dev(), now.ino()) == (target.id.device, target.id.inode))
    }

    /// Whether a socket may be made at a path, where the profile does not name it as one:
    /// a file is made there, and no Landlock rule restricts the supervisor.
    fn may_make_socket(&self, found: &Found, caller: &Caller) -> Result<(), Decision> {
        if self.rules.lists_unix(Direction::Listen, UnixName::Path(&found.canonical)) {
            return Ok(());
        }
        self.identity.with_caller_fsids(caller, || self.still_as_resolved(found)).map_err(Decision::Fail)?;
        if found.target.is_some() {
            return Err(Decision::Fail(Errno::EADDRINUSE));
        }
        match self.ruling_in_data(found, Rights::CREATE, AccessFs::MakeSock.into(), caller) {
            Ok(Ruling::Refuse(refusal)) | Err(refusal) => Err(Decision::Deny(refusal)),
            Ok(_) if !found.canonical.is_absolute() => Err(Decision::Fail(Errno::EACCES)),
            Ok(_) => Ok(()),
        }
    }

    /// listen(2). The kernel gives a socket that was not bound any free port, so that is checked as a
    /// bind to port 0.
    pub(super) fn listen(&mut self, call: &Call, caller: &Caller) -> Decision {
        let fd = call.args[0] as i32;
        let socket = match self.registered_socket(caller, fd, Direction::Listen) {
            Ok(socket) => socket,
            // It listens already, and changes its backlog.
            Err(Decision::Deny(_))
                if self.inode(caller, fd).is_ok_and(|inode| self.registry().has_listened(inode)) =>
            {
                return Decision::Value(0);
            }
            Err(decision) => return decision,
        };
        // A port that a connect took may be free again before it listens: what counts is
        // what was bound here, whatever getsockname(2) returns now.
        if socket.kind == SocketKind::Tcp && !self.registry().is_bound(socket.inode) {
            let unbound = match sys::socket::name(&socket.fd).and_then(|name| Address::read(&name)) {
                Ok(Address::Port(IpAddr::V4(_), _)) => Address::Port(Ipv4Addr::UNSPECIFIED.into(), 0),
                Ok(_) => Address::Port(Ipv6Addr::UNSPECIFIED.into(), 0),
                Err(errno) => return Decision::Fail(errno),
            };
            if let Err(refusal) = self.rules.address(Direction::Listen, Protocol::Tcp, &unbound) {
                return Decision::Deny(refusal);
            }
        }
        Decision::Defer(Box::new(DeferredSocketOp { socket, op: SocketOp::Listen(call.args[1] as i32) }))
    }

    /// Has another thread perform an operation with the app's credentials, and answer the call.
    pub(super) fn delegate(&self, deferred: DeferredSocketOp, caller: &Caller) -> Conclusion {
        let (listener, registry) = (self.listener.clone(), Arc::clone(&self.sockets));
        let (identity, caller, id) = (self.identity.clone(), caller.clone(), self.memory.waiting);
        let started = DEFERRED.start(Box::new(move || {
            let done = identity.with_peer_creds(&caller, || deferred.perform());
            let listening = {
                let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
                match (done, &deferred.op) {
                    (Ok(()), SocketOp::Listen(_)) => registry.listens(deferred.socket.inode),
                    (Ok(()) | Err(Errno::EISCONN), SocketOp::Connect { .. }) => {
                        registry.connected(deferred.socket.inode, true);
                        None
                    }
                    (Err(Errno::EINPROGRESS | Errno::EALREADY), SocketOp::Connect { .. }) => {
                        registry.connects(deferred.socket.inode);
                        None
                    }
                    _ => None,
                }
            };
            if let Some(listening) = listening {
                forget_closed_listeners(&registry, &listening);
            }
            // Before the answer: no descriptor of the supervisor's may have it open after the app
            // has closed it.
            drop(deferred);
            let answer = done.map_or_else(Answer::Fail, |()| Answer::Value(0));
            match seccomp::answer(&listener, id, answer) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => tracing::error!(%errno, "answering for a socket"),
            }
        }));
        match started {
            Ok(()) => Conclusion::Unanswered,
            Err(error) => {
                tracing::debug!(%error, "no thread is free for a socket");
                Conclusion::Answer(Answer::Fail(Errno::EAGAIN))
            }
        }
    }
}

/// The address of a unix socket: by a path that no process inside can change, or by one through
/// the open descriptor.
struct UnixAddress {
    address: Vec<u8>,
    target: OwnedFd,
}

impl DeferredSocketOp {
    fn perform(&self) -> Result<(), Errno> {
        match &self.op {
            SocketOp::Connect { address, .. } => sys::socket::connect(&self.socket.fd, address),
            SocketOp::Listen(backlog) => sys::socket::listen(&self.socket.fd, *backlog),
        }
    }
}
