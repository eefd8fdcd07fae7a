//! What the filter is computed from: the profile, the kernel, and what of the plan is known
//! by then. [`calls`](super::calls) makes the filter of it, [`mediated`](super::mediated) has
//! the calls whose access is the plan's own.

use caps::CapsHashSet;

use super::network::Sockets;
use super::startup::NotifyTransport;
use crate::kernel::Kernel;
use crate::profile::{Mode, Profile};

/// Everything that the filter is computed from.
pub(super) struct FilterInput<'a> {
    pub profile: &'a Profile,
    pub kernel: &'a Kernel,
    pub mode: Mode,
    pub sockets: &'a Sockets,
    /// Some program is dynamic.
    pub dynamic: bool,
    /// Some program is a script.
    pub scripts: bool,
    /// What the app would hold when enforced.
    pub capabilities: &'a CapsHashSet,
    /// The supervisor's pid as the app sees it.
    pub supervisor: u32,
    /// Its process group, 0 where that is no number here.
    pub group: u32,
    /// PR_SET_MDWE will be in force.
    pub mdwe: bool,
    /// The socket for `READY=1`; none where the profile does not wait for it.
    pub notify_transport: Option<NotifyTransport>,
}
