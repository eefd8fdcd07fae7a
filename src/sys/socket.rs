//! Sockets whose addresses are bytes of any family: the address that another process passed,
//! copied once (bind(2), connect(2)).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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

/// A message of a socket of the unix domain.
#[derive(Debug)]
pub struct Message {
    /// How many bytes it has.
    pub length: usize,
    /// The descriptors that came along, every one of them (SCM_RIGHTS).
    pub descriptors: Vec<OwnedFd>,
    /// The sender's pid in this pid namespace, where the socket has SO_PASSCRED; 0 for a process of
    /// another one.
    pub sender: Option<i32>,
}

/// Receives a message that waits in a socket of the unix domain.
///
/// # Errors
/// As recvmsg(2); EAGAIN where none waits.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<Message, Errno> {
    /// The most descriptors that one message has (SCM_MAX_FD, net/scm.h).
    const DESCRIPTORS: usize = 253;
    /// Room for all control messages that can come, each with its header. The kernel installs what fits of
    /// a list of descriptors, so one that does not fit would be open and not known here.
    const ROOM: usize = (DESCRIPTORS * size_of::<i32>() + size_of::<libc::ucred>()).div_ceil(8) + 8;
    let mut control = [0u64; ROOM];
    let mut data = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: a header made of integers and pointers, for which zeros are values.
    let mut header = unsafe { std::mem::zeroed::<libc::msghdr>() };
    header.msg_iov = &raw mut data;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the header leads to live buffers of the sizes that it says.
    let length = check(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) } as i64)? as usize;
    let mut message = Message { length, descriptors: Vec::new(), sender: None };
    // SAFETY: the kernel has filled the control buffer up to msg_controllen; the macros of cmsg(3) give
    // headers within it, and the data of each up to its cmsg_len. The descriptors have just been installed,
    // and nothing else owns them.
    unsafe {
        let mut one = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(found) = one.as_ref() {
            let data = libc::CMSG_DATA(one);
            let whole: usize = found.cmsg_len as _;
            let bytes = whole - libc::CMSG_LEN(0) as usize;
            match (found.cmsg_level, found.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    let list = data.cast::<i32>();
                    let owned = |at| OwnedFd::from_raw_fd(list.add(at).read_unaligned());
                    message.descriptors.extend((0..bytes / size_of::<i32>()).map(owned));
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if bytes >= size_of::<libc::ucred>() => {
                    message.sender = Some(data.cast::<libc::ucred>().read_unaligned().pid);
                }
                _ => {}
            }
            one = libc::CMSG_NXTHDR(&raw const header, one);
        }
    }
    Ok(message)
}

/// Receives the first descriptor that waits in a socket of the unix domain, and drops the
/// bytes that it came with.
///
/// # Errors
/// As [`receive`]; EBADMSG where none was sent.
pub fn receive_descriptor(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    receive(socket.as_fd(), &mut [0])?.descriptors.into_iter().next().ok_or(Errno::EBADMSG)
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

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;

    #[test]
    fn every_descriptor_of_a_message_is_owned() {
        let (ours, theirs) = pair().expect("a pair");
        for count in [1, 2, 3, 253] {
            let (reader, writer) = nix::unistd::pipe().expect("a pipe");
            let descriptors = vec![writer.as_raw_fd(); count];
            let rights = [ControlMessage::ScmRights(&descriptors)];
            sendmsg::<()>(theirs.as_raw_fd(), &[IoSlice::new(b"ab")], &rights, MsgFlags::empty(), None)
                .expect("sent");
            drop(writer);
            let mut bytes = [0; 2];
            let message = receive(ours.as_fd(), &mut bytes).expect("received");
            assert_eq!((message.length, message.descriptors.len(), message.sender), (2, count, None));
            assert_eq!(&bytes, b"ab");
            drop(message);
            assert_eq!(nix::unistd::read(&reader, &mut [0]), Ok(0), "{count}: no end for writing is left");
        }
        assert_eq!(receive(ours.as_fd(), &mut [0]).map(drop), Err(Errno::EAGAIN));
    }

    #[test]
    fn the_first_of_several_descriptors_is_taken() {
        let (ours, theirs) = pair().expect("a pair");
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        let descriptors = [reader.as_raw_fd(), writer.as_raw_fd(), writer.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        sendmsg::<()>(theirs.as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None)
            .expect("sent");
        drop((reader, writer));
        let first = receive_descriptor(&ours).expect("the first");
        assert_eq!(nix::unistd::read(&first, &mut [0]), Ok(0), "the others are closed");
        assert_eq!(receive_descriptor(&ours).map(drop), Err(Errno::EAGAIN));
    }
}
