//! The input of the filter: the profile, the kernel, and the parts of the plan that are known by
//! then. [`calls`](super::calls) computes the filter from it, [`mediated`](super::mediated) has the
//! calls whose access the plan decides.

use caps::CapsHashSet;

use super::network::Sockets;
use super::startup::NotifyTransport;
use crate::kernel::Kernel;
use crate::profile::{Mode, Profile, Watch};

/// The input of the filter.
pub(super) struct FilterInput<'a> {
    pub profile: &'a Profile,
    pub kernel: &'a Kernel,
    pub mode: Mode,
    /// The denied reads that are reported.
    pub watch: Watch,
    pub sockets: &'a Sockets,
    /// Some program is dynamically linked.
    pub dynamic: bool,
    /// Some program is a script.
    pub scripts: bool,
    /// The capabilities of the app in enforce mode.
    pub capabilities: &'a CapsHashSet,
    /// The supervisor's pid as the app sees it.
    pub supervisor: u32,
    /// The supervisor's process group; 0 where it has no number in the app's pid namespace.
    pub group: u32,
    /// PR_SET_MDWE will be in force.
    pub mdwe: bool,
    /// The socket for `READY=1`; `None` where the profile does not wait for it.
    pub notify_transport: Option<NotifyTransport>,
}
