//! Socket options that redirect a connection from the address to which it was made: by a route in
//! its packets, by another interface, by a tunnel. Where a profile names addresses they are denied,
//! since the address alone is decided.
//!
//! Level and option are registers. Control messages are in memory, but cannot redirect a TCP
//! connection: of them the kernel applies those of SOL_SOCKET and ignores the rest
//! (net/core/sock.c, sock_cmsg_send); and a UDP datagram may go to any address where UDP is
//! granted.

use super::conditions::{Alternatives, one_of};
use crate::syscalls::{Condition, Test};

/// Refused options by their level.
#[rustfmt::skip]
const REFUSED: [(u64, &[u64]); 3] = [
    (0, &[ // IPPROTO_IP
        4,  // IP_OPTIONS: source routes
        16, // IP_IPSEC_POLICY
        17, // IP_XFRM_POLICY: tunnels
        50, // IP_UNICAST_IF
    ]),
    (1, &[ // SOL_SOCKET
        25, // SO_BINDTODEVICE: what has no route there counts as a neighbour
        36, // SO_MARK: another table of routes
        62, // SO_BINDTOIFINDEX
    ]),
    (41, &[ // IPPROTO_IPV6
        3,  // IPV6_2292HOPOPTS
        4,  // IPV6_2292DSTOPTS
        5,  // IPV6_2292RTHDR
        6,  // IPV6_2292PKTOPTIONS: any of these at once
        9,  // IPV6_NEXTHOP
        32, // IPV6_FLOWLABEL_MGR: a label brings options along, a route among them
        34, // IPV6_IPSEC_POLICY
        35, // IPV6_XFRM_POLICY
        50, // IPV6_PKTINFO: an interface, for good
        54, // IPV6_HOPOPTS
        55, // IPV6_RTHDRDSTOPTS
        57, // IPV6_RTHDR
        59, // IPV6_DSTOPTS
        76, // IPV6_UNICAST_IF
    ]),
];

/// The alternatives of setsockopt(2) that allow every other option.
pub fn options() -> Alternatives {
    let not = |arg, values: &[u64]| Condition { arg, test: Test::NotIn(values.to_vec()) };
    let levels = REFUSED.map(|(level, _)| level);
    let of_level = |(level, options): (u64, &[u64])| vec![one_of(1, &[level]), not(2, options)];
    [vec![not(1, &levels)]].into_iter().chain(REFUSED.map(of_level)).collect()
}
