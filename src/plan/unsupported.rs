//! What the format has and this version does not support: refused by name, so that nothing
//! is read and then ignored.

use super::{PlanError, PlanFault};
use crate::profile::{Mode, Profile};

/// Refuses the first key of the profile that is not supported.
pub(super) fn refuse(profile: &Profile, mode: Mode) -> Result<(), PlanError> {
    match mode {
        Mode::Learn => return Err(PlanError::at("/mode", PlanFault::Learn)),
        Mode::Off => return Err(PlanError::at("/mode", PlanFault::Off)),
        Mode::Enforce | Mode::Audit => {}
    }
    network(profile)?;
    Ok(())
}

/// A datagram may name its destination each time, in memory that another thread can
/// rewrite (sendmsg), and no socket keeps it from that; a rule of the kernel's comes with
/// Linux 7.2.
fn network(profile: &Profile) -> Result<(), PlanError> {
    for (side, entries) in [("listen", &profile.network.listen), ("connect", &profile.network.connect)] {
        for (index, entry) in entries.iter().enumerate() {
            if entry.what.is_refused_at_start() {
                return Err(PlanError::at(format!("/network/{side}/{index}"), PlanFault::Udp));
            }
        }
    }
    Ok(())
}
