//! What the format has and this version does not support: refused by name, so that nothing
//! is read and then ignored.

use super::PlanError;
use crate::profile::{Endpoint, Mode, Profile};

/// Refuses the first key of the profile that is not supported.
pub(super) fn refuse(profile: &Profile, mode: Mode) -> Result<(), PlanError> {
    match mode {
        Mode::Learn => {
            return Err(PlanError::at(
                "/mode",
                "`learn` records what the app does and is not confined by a profile, so there is nothing to plan",
            ));
        }
        Mode::Off => {
            return Err(PlanError::at("/mode", "`off` confines nothing, so there is nothing to plan"));
        }
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
            if let Endpoint::Udp(address) = &entry.what
                && (address.network.is_some() || address.ports != (0, u16::MAX))
            {
                return Err(not_yet(
                    format!("/network/{side}/{index}"),
                    "UDP by port or address",
                    "write `udp/*` (every datagram would be allowed)",
                ));
            }
        }
    }
    Ok(())
}

fn not_yet(pointer: impl Into<String>, what: &str, advice: &str) -> PlanError {
    PlanError::at(pointer, format!("this version does not honour {what} yet; {advice}"))
}
