//! What a kernel or a place cannot give, what it would take, and what that costs.

use super::network::Sockets;
use super::{Lacking, Widened};
use crate::kernel::{Kernel, LandlockAbi};
use crate::profile::{Mode, Profile};

/// All that is lacking, in the order of the layers; and notes on what is only slow.
pub(super) fn find(
    profile: &Profile,
    kernel: &Kernel,
    mode: Mode,
    sockets: &Sockets,
    widened: &[Widened],
    notes: &mut Vec<String>,
) -> Vec<Lacking> {
    let mut lacking = Vec::new();
    if mode == Mode::Enforce {
        if !kernel.mdwe && !profile.write_execute {
            lacking.push(Lacking::said(
                "mdwe",
                "Linux 6.3",
                "the filter alone keeps written memory from being executed",
            ));
        }
        landlock(kernel.landlock, sockets, &mut lacking);
    }
    match &kernel.notify {
        Err(why) => lacking.push(Lacking::required(
            "notification",
            &format!("a seccomp listener ({why})"),
            "no refusal is seen, and nothing is held that only the supervisor holds: edges, new files, the kinds of sockets",
        )),
        Ok(notify) => {
            if !notify.wait_killable {
                lacking.push(Lacking::said(
                    "notification",
                    "Linux 5.19",
                    "a storm of signals can keep a call that is being decided from ending",
                ));
            }
            if !notify.addfd_send && widened.iter().any(|widened| widened.narrowed) {
                notes.push("below Linux 5.14 the supervisor cannot hand over a new file, so writing is widened to its directory".to_owned());
            }
            if !notify.sync_wake_up {
                notes.push("below Linux 6.6 a decision takes some 40 µs instead of 5".to_owned());
            }
        }
    }
    lacking
}

fn landlock(abi: LandlockAbi, sockets: &Sockets, lacking: &mut Vec<Lacking>) {
    if abi == LandlockAbi::NONE {
        lacking.push(Lacking::required(
            "landlock-files",
            "Landlock, Linux 5.13, and switched on at boot",
            "files and programs are held by the supervisor alone, whose look at a path another thread can outrun",
        ));
    } else {
        for (level, needs, cost) in [
            (
                LandlockAbi::REFER,
                "Linux 5.19",
                "renames and links from one directory to another are refused, even where both are granted",
            ),
            (
                LandlockAbi::TRUNCATE,
                "Linux 6.2",
                "emptying a file that may not be written is held by the supervisor alone",
            ),
            (LandlockAbi::IOCTL, "Linux 6.10", "ioctl on device files is held by the filter alone"),
        ] {
            if abi < level {
                lacking.push(Lacking::said("landlock-files", needs, cost));
            }
        }
    }
    if sockets.by_port() && abi < LandlockAbi::TCP {
        lacking.push(Lacking::required(
            "landlock-tcp",
            "Linux 6.7",
            "TCP ports are held by the supervisor alone, whose look at an address another thread can outrun",
        ));
    } else if sockets.listens_by_port() {
        lacking.push(Lacking::said(
            "landlock-tcp",
            "sockets made by the supervisor, which comes later",
            "a socket that was never bound can be listened on, at a free port that the kernel chooses",
        ));
    }
    if abi < LandlockAbi::SCOPE {
        lacking.push(Lacking::said(
            "landlock-scope",
            "Linux 6.12",
            "a signal to the supervisor is refused by its pid alone, so one to a thread or a group of it gets through",
        ));
    }
}

impl Lacking {
    fn required(layer: &'static str, needs: &str, cost: &str) -> Lacking {
        Lacking { layer, needs: needs.to_owned(), cost: cost.to_owned(), required: true }
    }

    fn said(layer: &'static str, needs: &str, cost: &str) -> Lacking {
        Lacking { required: false, ..Lacking::required(layer, needs, cost) }
    }
}
