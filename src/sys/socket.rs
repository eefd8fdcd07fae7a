//! Sockets whose addresses are bytes of any family: the address that another process passed,
//! copied once (bind(2), connect(2)).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::check;

/// Makes a socket, close-on-exec.
///
/// # Errors
/// As socket(2).
pub fn make(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only; the kernel answers with a descriptor that is ours.
    unsafe {
        let fd = check(libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol).into())?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Two ends of one connection in the unix domain, neither of which waits nor outlives an
/// exec.
///
/// # Errors
/// As socketpair(2).
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::Stream, None, flags)
}

/// Sends a descriptor along with one byte. `more` stands in the registers behind the
/// three of sendmsg(2), which the kernel does not look at and a filter can. It does not
/// allocate, since it runs where not every call is answered yet.
///
/// # Errors
/// As sendmsg(2).
pub fn send_descriptor(socket: &OwnedFd, fd: &OwnedFd, more: [u64; 3]) -> Result<(), Errno> {
    /// A control message of one descriptor, with room to its end (cmsg(3)).
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        fd: i32,
    }
    // SAFETY: headers made of integers and pointers, for which zeros are values; musl's
    // have padding that cannot be named.
    let (mut control, mut message) =
        unsafe { (std::mem::zeroed::<Control>(), std::mem::zeroed::<libc::msghdr>()) };
    control.header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<i32>()) as _;
    control.header.cmsg_level = libc::SOL_SOCKET;
    control.header.cmsg_type = libc::SCM_RIGHTS;
    control.fd = fd.as_raw_fd();
    let byte = [b'L'];
    let mut data = libc::iovec { iov_base: byte.as_ptr().cast_mut().cast(), iov_len: byte.len() };
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    let [a, b, c] = more;
    // SAFETY: the message leads to live buffers of the sizes that it says, which the
    // kernel only reads.
    check(unsafe { libc::syscall(libc::SYS_sendmsg, socket.as_raw_fd(), &raw const message, 0, a, b, c) })
        .map(drop)
}

/// Receives a message that waits in a socket of the unix domain: how many bytes it has, and
/// the first descriptor that came along; others are closed.
///
/// # Errors
/// As recvmsg(2); EAGAIN where none waits.
pub fn receive(socket: &OwnedFd, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let mut parts = [std::io::IoSliceMut::new(bytes)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            // SAFETY: the kernel has just put them into our table, and nothing else owns them.
            received.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok((message.bytes, received.into_iter().next()))
}

/// Receives the first descriptor that waits in a socket of the unix domain, and drops the
/// bytes that it came with.
///
/// # Errors
/// As [`receive`]; EBADMSG where none was sent.
pub fn receive_descriptor(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    receive(socket, &mut [0])?.1.ok_or(Errno::EBADMSG)
}

/// Binds a socket.
///
/// # Errors
/// As bind(2).
pub fn bind(socket: &OwnedFd, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: pointer and length are of one live slice, which the kernel only reads.
    let answer = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as u32) };
    check(answer.into()).map(drop)
}

/// Connects a socket; waits as long as the socket itself would.
///
/// # Errors
/// As connect(2).
pub fn connect(socket: &OwnedFd, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: as for `bind`.
    let answer = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as u32) };
    check(answer.into()).map(drop)
}

/// Listens on a socket.
///
/// # Errors
/// As listen(2).
pub fn listen(socket: &OwnedFd, backlog: i32) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) }.into()).map(drop)
}

/// The address that a socket is bound to, as the bytes of a sockaddr.
///
/// # Errors
/// As getsockname(2).
pub fn name(socket: &OwnedFd) -> Result<Vec<u8>, Errno> {
    const LONGEST: usize = size_of::<libc::sockaddr_storage>();
    let mut bytes = vec![0u8; LONGEST];
    let mut length = LONGEST as libc::socklen_t;
    let (at, length_at) = (bytes.as_mut_ptr().cast(), &raw mut length);
    // SAFETY: the buffer is as long as is said, and the kernel says how much it filled.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), at, length_at) }.into())?;
    bytes.truncate(length as usize);
    Ok(bytes)
}

/// The bytes of an AF_UNIX address with this path.
///
/// # Errors
/// ENAMETOOLONG where it does not fit (unix(7)).
pub fn unix_path(path: &[u8]) -> Result<Vec<u8>, Errno> {
    const LONGEST: usize = 108;
    if path.len() >= LONGEST {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok([&(libc::AF_UNIX as u16).to_ne_bytes()[..], path, &[0]].concat())
}
