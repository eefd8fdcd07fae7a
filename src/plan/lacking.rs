//! What a kernel or a place cannot give, what it would take, and what that costs.

use super::network::Sockets;
use super::startup::Startup;
use super::{HeldRule, Holder, Lacking, Widened};
use crate::kernel::{Kernel, LandlockAbi};
use crate::profile::{Mode, Profile, Ready};

/// All that is lacking, in the order of the layers; and notes on what is only slow.
pub(super) fn find(
    profile: &Profile,
    kernel: &Kernel,
    mode: Mode,
    sockets: &Sockets,
    widened: &[Widened],
    rules: &[HeldRule],
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
        landlock(kernel.landlock, profile.watch_reads, sockets, &mut lacking);
        exec_check(kernel, rules, &mut lacking, notes);
        if kernel.notify.is_ok()
            && !profile.write_execute
            && rules.iter().any(|rule| rule.by == Holder::Descriptor)
        {
            notes.push("without Linux 5.19 and ptrace(2) what code is mapped from is looked at before the call alone, which another thread can outrun".to_owned());
        }
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
            if let Err(why) = &kernel.trace {
                lacking.push(Lacking::said(
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
    lacking
}

/// What the start-up needs: somebody who changes the answer when it is over.
pub(super) fn startup(startup: &Startup, kernel: &Kernel) -> Option<Lacking> {
    if kernel.notify.is_err() {
        return (!startup.taken.is_empty()).then(|| {
            Lacking::required(
                "notification",
                "a seccomp listener",
                "nobody knows when start-up is over, so nothing is taken away after it",
            )
        });
    }
    (startup.ready == Ready::Notify && startup.says.is_none()).then(|| {
        Lacking::required(
            "notification",
            "Linux 5.14, or `unix:*` under `network.connect`",
            "the app has no socket to say on that it is ready, so its start-up is never over and nothing is taken away",
        )
    })
}

/// The check after the exec, where some rule needs it.
fn exec_check(kernel: &Kernel, rules: &[HeldRule], lacking: &mut Vec<Lacking>, notes: &mut Vec<String>) {
    match &kernel.trace {
        Err(why) if kernel.notify.is_ok() && rules.iter().any(|rule| rule.by == Holder::Look) => {
            lacking.push(Lacking::required(
                "exec-check",
                &format!("ptrace(2) ({why})"),
                "who runs what, with which arguments, and that loaders and interpreters run nothing by themselves, is decided by a look at memory that another thread can outrun",
            ));
        }
        Err(_) => {}
        Ok(()) => {
            let checks = rules.iter().any(|rule| rule.by == Holder::Check);
            if checks && kernel.notify.as_ref().is_ok_and(|notify| !notify.wait_killable) {
                notes.push("below Linux 5.19 a thread whose exec fails stays traced until it executes something, and its signals take some 70 µs".to_owned());
            }
        }
    }
}

fn landlock(abi: LandlockAbi, watch_reads: bool, sockets: &Sockets, lacking: &mut Vec<Lacking>) {
    if abi == LandlockAbi::NONE {
        let asked = "files and programs are held by the supervisor alone, whose look at a path another thread can outrun";
        // An open for reading is nobody's question then.
        let unasked = if watch_reads {
            ""
        } else {
            "; and no file is held against reading without `\"watch\": [\"reads\"]`"
        };
        lacking.push(Lacking::required(
            "landlock-files",
            "Landlock, Linux 5.13, and switched on at boot",
            &format!("{asked}{unasked}"),
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
    } else if sockets.listens_by_port() && !sockets.made {
        lacking.push(Lacking::said(
            "landlock-tcp",
            "sockets made by the supervisor, which comes later",
            "a socket that was never bound can be listened on, at a free port that the kernel chooses",
        ));
    }
    if sockets.by_name && !sockets.made {
        lacking.push(Lacking::required(
            "notification",
            "Linux 5.14",
            "addresses, and unix sockets by their names, are held by the supervisor's look alone, which another thread can outrun",
        ));
    }
    if sockets.near_events && !sockets.made {
        lacking.push(Lacking::required(
            "notification",
            "Linux 5.14, or events that do not go to a unix socket",
            "that the app does not connect to the socket that events go to is held by the supervisor's look alone, which another thread can outrun",
        ));
    }
    if abi < LandlockAbi::SCOPE {
        lacking.push(Lacking::said(
            "landlock-scope",
            "Linux 6.12",
            "the filter alone refuses signals to the supervisor, by the numbers of its threads and groups, and with them pidfd_send_signal and F_SETOWN_EX altogether; processes beside the app in one pid namespace can be signalled",
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
