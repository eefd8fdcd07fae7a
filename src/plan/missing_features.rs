//! The features that a kernel or an environment does not have, what would add each, and what its
//! absence costs.

use super::network::Sockets;
use super::startup::Startup;
use super::{Mechanism, MissingFeature, RuleEnforcement, Widened};
use crate::kernel::{Kernel, LandlockAbi};
use crate::profile::{Mode, Profile, Ready, Watch};

/// All missing features, in the order of the layers; and notes on those that only cost time.
pub(super) fn find(
    profile: &Profile,
    kernel: &Kernel,
    mode: Mode,
    sockets: &Sockets,
    widened: &[Widened],
    rules: &[RuleEnforcement],
    notes: &mut Vec<String>,
) -> Vec<MissingFeature> {
    let mut missing = Vec::new();
    if mode == Mode::Enforce {
        if !kernel.mdwe && !profile.write_execute {
            missing.push(MissingFeature::advisory(
                "mdwe",
                "Linux 6.3",
                "the filter alone keeps written memory from being executed",
            ));
        }
        landlock(kernel.landlock, profile.watch == Watch::Reads, sockets, &mut missing);
        exec_check(kernel, rules, &mut missing, notes);
        if kernel.notify.is_ok()
            && !profile.write_execute
            && rules.iter().any(|rule| rule.by == Mechanism::Descriptor)
        {
            notes.push("without Linux 5.19 and ptrace(2) the file that is mapped as code is checked before the call alone, which another thread can race".to_owned());
        }
    }
    match &kernel.notify {
        Err(why) => missing.push(MissingFeature::required(
            "notification",
            &format!("a seccomp listener ({why})"),
            "no refusal is reported, and nothing is enforced that the supervisor alone mediates: exec transitions, new files, the kinds of sockets",
        )),
        Ok(notify) => {
            if !notify.wait_killable {
                missing.push(MissingFeature::advisory(
                    "notification",
                    "Linux 5.19",
                    "a storm of signals can keep a call that is being decided from ending",
                ));
            }
            if let Err(why) = &kernel.trace {
                missing.push(MissingFeature::advisory(
                    "notification",
                    &format!("ptrace(2) ({why})"),
                    "a process that made itself undumpable, or changed its user and executed nothing since, cannot be read: what its paths and descriptors decide is refused",
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
    missing
}

/// The start-up needs a supervisor that changes its responses when it is over.
pub(super) fn startup(startup: &Startup, kernel: &Kernel) -> Option<MissingFeature> {
    if kernel.notify.is_err() {
        return (!startup.taken.is_empty()).then(|| {
            MissingFeature::required(
                "notification",
                "a seccomp listener",
                "the end of start-up is not observed, so nothing is taken away after it",
            )
        });
    }
    (startup.ready == Ready::Notify && startup.notify_transport.is_none()).then(|| {
        MissingFeature::required(
            "notification",
            "Linux 5.14, or `unix:*` under `network.connect`",
            "the app has no socket to say on that it is ready, so its start-up is never over and nothing is taken away",
        )
    })
}

/// The post-exec verification, where some rule needs it.
fn exec_check(
    kernel: &Kernel,
    rules: &[RuleEnforcement],
    missing: &mut Vec<MissingFeature>,
    notes: &mut Vec<String>,
) {
    match &kernel.trace {
        Err(why) if kernel.notify.is_ok() && rules.iter().any(|rule| rule.by == Mechanism::CallerMemory) => {
            missing.push(MissingFeature::required(
                "exec-check",
                &format!("ptrace(2) ({why})"),
                "which program runs which, with which arguments, and that loaders and interpreters run nothing by themselves, is decided by a check of memory that another thread can race",
            ));
        }
        Err(_) => {}
        Ok(()) => {
            let checks = rules.iter().any(|rule| rule.by == Mechanism::PostExec);
            if checks && kernel.notify.as_ref().is_ok_and(|notify| !notify.wait_killable) {
                notes.push("below Linux 5.19 a thread whose exec fails stays traced until it executes something, and its signals take some 70 µs".to_owned());
            }
        }
    }
}

fn landlock(abi: LandlockAbi, watch_reads: bool, sockets: &Sockets, missing: &mut Vec<MissingFeature>) {
    if abi == LandlockAbi::NONE {
        let cost = "files and programs are mediated by the supervisor alone, whose check of a path another thread can race";
        // An open for reading is not notified then.
        let reads =
            if watch_reads { "" } else { "; and no read is mediated without `\"watch\": [\"reads\"]`" };
        missing.push(MissingFeature::required(
            "landlock-files",
            "Landlock, Linux 5.13, and switched on at boot",
            &format!("{cost}{reads}"),
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
                "emptying a file that may not be written is mediated by the supervisor alone",
            ),
            (LandlockAbi::IOCTL, "Linux 6.10", "ioctl on device files is restricted by the filter alone"),
        ] {
            if abi < level {
                missing.push(MissingFeature::advisory("landlock-files", needs, cost));
            }
        }
    }
    if sockets.by_port() && abi < LandlockAbi::TCP {
        missing.push(MissingFeature::required(
            "landlock-tcp",
            "Linux 6.7",
            "TCP ports are mediated by the supervisor alone, whose check of an address another thread can race",
        ));
    } else if sockets.listens_by_port() && !sockets.made {
        missing.push(MissingFeature::advisory(
            "landlock-tcp",
            "sockets made by the supervisor, as for a profile with addresses",
            "a socket that was never bound can be listened on, at a free port that the kernel chooses",
        ));
    }
    if sockets.by_name && !sockets.made {
        missing.push(MissingFeature::required(
            "notification",
            "Linux 5.14",
            "addresses, and unix sockets by their names, are mediated by the supervisor's check alone, which another thread can race",
        ));
    }
    if sockets.near_events && !sockets.made {
        missing.push(MissingFeature::required(
            "notification",
            "Linux 5.14, or events that do not go to a unix socket",
            "that the app does not connect to the socket that events go to is mediated by the supervisor's check alone, which another thread can race",
        ));
    }
    if abi < LandlockAbi::SCOPE {
        missing.push(MissingFeature::advisory(
            "landlock-scope",
            "Linux 6.12",
            "the filter alone refuses signals to the supervisor, by the numbers of its threads and groups, and with them pidfd_send_signal and F_SETOWN_EX altogether; processes beside the app in one pid namespace can be signalled",
        ));
    }
}

impl MissingFeature {
    fn required(layer: &'static str, needs: &str, cost: &str) -> MissingFeature {
        MissingFeature { layer, needs: needs.to_owned(), cost: cost.to_owned(), required: true }
    }

    fn advisory(layer: &'static str, needs: &str, cost: &str) -> MissingFeature {
        MissingFeature { required: false, ..MissingFeature::required(layer, needs, cost) }
    }
}
