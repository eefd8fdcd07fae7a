//! bind(2), connect(2), and sendto(2) with an address.

use nix::errno::Errno;

use crate::notify::caller::Memory;
use crate::policy::call::Call;
use crate::policy::network::Direction;
use crate::syscalls::{Arg, Handler};

/// The longest address in bytes (sockaddr_storage).
const LONGEST: u32 = 128;

/// A socket and the address that a call names for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressArgs {
    /// The socket, by the caller's descriptor.
    pub fd: i32,
    /// bind(2), or a call that connects or sends.
    pub direction: Direction,
    pointer: u64,
    length: usize,
}

impl AddressArgs {
    /// Decodes one of these calls. `None` for any other.
    pub fn decode(call: &Call) -> Option<AddressArgs> {
        let direction = match call.handler() {
            Handler::Bind => Direction::Listen,
            Handler::Connect | Handler::Send => Direction::Connect,
            _ => return None,
        };
        let at = usize::from(call.syscall()?.positions(Arg::Sockaddr).next()?);
        let (pointer, length) = (call.args[at], *call.args.get(at + 1)?);
        // The length is an int, as the kernel takes it.
        let length = (length as u32).min(LONGEST) as usize;
        Some(AddressArgs { fd: call.args[0] as i32, direction, pointer, length })
    }

    /// The bytes of the address, read once.
    ///
    /// # Errors
    /// As [`Memory::bytes`].
    pub fn read(&self, memory: &Memory) -> Result<Vec<u8>, Errno> {
        memory.bytes(self.pointer, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_an_int_and_no_longer_than_an_address() {
        let decode = |name, args| AddressArgs::decode(&Call { name: Some(name), number: 1, args });
        let bind = decode("bind", [3, 64, 0xffff_ffff_0000_0010, 0, 0, 0]).expect("an address");
        assert_eq!((bind.fd, bind.direction, bind.length), (3, Direction::Listen, 16));
        let send = decode("sendto", [3, 1, 2, 0, 64, u64::MAX]).expect("an address");
        assert_eq!((send.pointer, send.direction, send.length), (64, Direction::Connect, 128));
        assert_eq!(decode("listen", [3, 1, 0, 0, 0, 0]), None);
    }
}
