//! Sockets with an address as bytes, of whatever family: what another process asked
//! for, copied once (bind(2), connect(2)).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::check;

/// Makes a socket.
///
/// # Errors
/// As socket(2).
pub fn make(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only; the kernel answers with a descriptor that is ours.
    unsafe {
        let fd = check(libc::socket(family, kind, protocol).into())?;
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

/// The first descriptor that waits in a socket of the unix domain; others are closed.
///
/// # Errors
/// As recvmsg(2); EBADMSG where none was sent.
pub fn receive_descriptor(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let mut byte = [0u8; 1];
    let mut parts = [std::io::IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            // SAFETY: the kernel has just put them into our table.
            received.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    received.into_iter().next().ok_or(Errno::EBADMSG)
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

/// What a socket is bound to, as the kernel writes it.
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
