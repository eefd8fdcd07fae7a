//! What the format has and this version does not honour yet: refused by name, so
//! that nothing is read and then ignored.

use super::PlanError;
use crate::profile::{Endpoint, Mode, Profile};

/// The first key of the profile that cannot be honoured yet.
pub(super) fn refuse(profile: &Profile, mode: Mode) -> Result<(), PlanError> {
    match mode {
        Mode::Learn => {
            return Err(PlanError::at(
                "/mode",
                "this version does not honour `learn` yet; write `audit` or `enforce`",
            ));
        }
        Mode::Off => {
            return Err(PlanError::at("/mode", "`off` confines nothing, so there is nothing to plan"));
        }
        Mode::Enforce | Mode::Audit => {}
    }
    programs(profile)?;
    network(profile)?;
    if profile.ready.is_some() {
        return Err(not_yet("/ready", "`ready`", "take it out, with `startup_only`"));
    }
    if !profile.syscalls.startup_only.is_empty() {
        return Err(not_yet(
            "/syscalls/startup_only",
            "`startup_only`",
            "list the calls under `allow`, for the whole run",
        ));
    }
    Ok(())
}

fn programs(profile: &Profile) -> Result<(), PlanError> {
    for (index, program) in profile.programs.iter().enumerate() {
        let keys = [
            ("args", program.args.is_some(), "any arguments would be allowed"),
            ("applet", program.applet.is_some(), "every applet of the file would be allowed"),
            ("sha256", program.sha256.is_some(), "any content would be allowed"),
            ("user", program.user.is_some(), "every uid would be allowed"),
            (
                "instances",
                program.instances.is_some(),
                "any number would be allowed; `limits.processes` is there",
            ),
            ("libraries", program.libraries.is_some(), "any readable library would be allowed"),
        ];
        if let Some((key, _, cost)) = keys.into_iter().find(|(_, there, _)| *there) {
            let (pointer, what) = (format!("/programs/{index}/{key}"), format!("`{key}`"));
            return Err(not_yet(pointer, &what, &format!("take it out ({cost})")));
        }
        if let Some(edge) = program.may_run.iter().position(|edge| edge.what.applet.is_some()) {
            let pointer = format!("/programs/{index}/may_run/{edge}/applet");
            return Err(not_yet(
                pointer,
                "`applet`",
                "name the path alone (every applet of the file would be allowed)",
            ));
        }
    }
    Ok(())
}

fn network(profile: &Profile) -> Result<(), PlanError> {
    for (side, entries) in [("listen", &profile.network.listen), ("connect", &profile.network.connect)] {
        for (index, entry) in entries.iter().enumerate() {
            let (what, advice) = match &entry.what {
                Endpoint::Tcp(address) if address.network.is_some() => {
                    ("an address", "name the port alone, such as `tcp/80` (every address would be allowed)")
                }
                Endpoint::Udp(address) if address.network.is_some() || address.ports != (0, u16::MAX) => {
                    ("UDP by port or address", "write `udp/*` (every datagram would be allowed)")
                }
                Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_) => {
                    ("a unix socket by name", "write `unix:*` (every unix socket would be allowed)")
                }
                Endpoint::Tcp(_) | Endpoint::Udp(_) | Endpoint::UnixAny => continue,
            };
            return Err(not_yet(format!("/network/{side}/{index}"), what, advice));
        }
    }
    Ok(())
}

fn not_yet(pointer: impl Into<String>, what: &str, advice: &str) -> PlanError {
    PlanError::at(pointer, format!("this version does not honour {what} yet; {advice}"))
}
