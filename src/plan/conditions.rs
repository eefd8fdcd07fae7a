//! Conditions on the arguments of a call, as the plan's modules write them for the filter.

use crate::syscalls::{Condition, Test};

/// Alternatives for a call, each a conjunction of conditions.
pub(super) type Alternatives = Vec<Vec<Condition>>;

/// The bits of `mask` are equal to `equals`.
pub(super) fn masked(arg: u8, mask: u64, equals: u64) -> Condition {
    Condition { arg, test: Test::Masked { mask, equals } }
}

/// The argument is one of these values.
pub(super) fn one_of(arg: u8, values: &[u64]) -> Condition {
    Condition { arg, test: Test::In(values.to_vec()) }
}

/// The domain of a unix socket, socket(2)'s first argument.
pub(super) const AF_UNIX: u64 = 1;
/// The type of a datagram socket, socket(2)'s second argument (linux/net.h).
pub(super) const SOCK_DGRAM: u64 = 2;
