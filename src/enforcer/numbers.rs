//! Calls that name a process, thread or group by number. The filter allows each that does not
//! name the supervisor, so the others are denied, but for those that depend on the caller: kill(0),
//! a change of scheduling or limits for itself, and the signals that an init forwards. kill(2) with
//! the supervisor's pid sends these to the app, as from outside.

use nix::errno::Errno;

use super::{Decision, Enforcer};
use crate::filter::Access;
use crate::init::request::InitRequest;
use crate::notify::caller::Caller;
use crate::notify::capabilities;
use crate::plan::numbers::{self, NamedProcess};
use crate::policy::call::Call;
use crate::procfs::stat::Stat;
use crate::sys::signal::Received;
use crate::sys::{terminal, threads};

impl Enforcer {
    pub(super) fn signal(&self, call: &Call, caller: &Caller) -> Decision {
        match call.name.and_then(|name| self.rules.access(name)) {
            None => Decision::Deny(self.rules.unlisted(call)),
            Some(Access::When(_)) if self.lists_for_own_group(call, caller) => Decision::Continue,
            Some(Access::When(_)) => match self.for_app(call, caller) {
                Some(decision) => decision,
                None if self.reaches_supervisor(call) || is_for_own_group(call) => {
                    Decision::Deny(self.rules.signal(call))
                }
                // A signal that the profile does not list.
                None => Decision::Deny(self.rules.argument(call)),
            },
            Some(_) => Decision::Continue,
        }
    }

    /// The same call with the caller itself in place of its number, where a change of scheduling or
    /// limits names just the caller: its thread, its process, or its group.
    pub(super) fn of_itself(&self, call: &Call, caller: &Caller) -> Option<Call> {
        let (named, args) = numbers::of_itself(call.name?, &call.args)?;
        let is_own = match named {
            NamedProcess::Process(number) => {
                [0, caller.tgid.as_raw(), caller.tid.as_raw()].contains(&(number as i32))
            }
            NamedProcess::Group(number) => {
                let group = Stat::of(caller.tid).map_or(0, |stat| stat.group);
                group != 0 && group != terminal::group() && [0, group].contains(&(number as i32))
            }
        };
        is_own.then(|| Call { args, ..call.clone() })
    }

    /// kill(2) with the supervisor's pid, where the signal is one that it forwards, or none: as for
    /// the app itself. `None` for any other call, and where the profile does not list the call for
    /// the app's pid.
    fn for_app(&self, call: &Call, caller: &Caller) -> Option<Decision> {
        let signal = call.args[1] as i32;
        let names_supervisor =
            call.name == Some("kill") && call.args[0] as u32 == self.rules.policy().supervisor;
        if !names_supervisor || !(signal == 0 || FORWARDED.contains(&signal)) {
            return None;
        }
        let (mut for_app, app) = (call.clone(), self.current_app());
        for_app.args[0] = app.as_raw() as u64;
        if !self.rules.lists(&for_app) {
            return None;
        }
        // There the kernel sends it to the supervisor.
        if self.audit {
            return Some(Decision::Continue);
        }
        let Ok(app) = Caller::of(app.first_thread()) else { return Some(Decision::Fail(Errno::ESRCH)) };
        let needed = capabilities::kill(caller, &app);
        if needed.is_some_and(|capability| !capabilities::has(caller, capability)) {
            return Some(Decision::Fail(Errno::EPERM));
        }
        if signal != 0 && self.waits() == Ok(true) {
            let sender = caller.tgid.as_raw() as u32;
            let received = Received { signal, code: libc::SI_USER, sender, value: 0 };
            (self.requests)(InitRequest::Signal(received));
        }
        Some(Decision::Value(0))
    }

    /// Whether a call by numbers would reach the supervisor: no profile allows that.
    pub(super) fn reaches_supervisor(&self, call: &Call) -> bool {
        let Some(name) = call.name.filter(|name| numbers::may_reach(name)) else { return false };
        match threads::all() {
            Ok(mut ours) => {
                ours.push(self.rules.policy().supervisor);
                numbers::reaches(name, &call.args, &ours)
            }
            Err(error) => {
                tracing::error!(?error, "the supervisor's threads could not be made, so {name} is refused");
                true
            }
        }
    }
}

/// The signals to an init that people send from inside its container: to reload, to rotate logs, to
/// stop. The supervisor forwards them by the same rules as those that it receives.
const FORWARDED: [i32; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM, libc::SIGWINCH];

impl Enforcer {
    /// Whether a signal goes to the caller's group, which is not the supervisor's, and is one that the
    /// caller may send to itself.
    fn lists_for_own_group(&self, call: &Call, caller: &Caller) -> bool {
        let mut to_itself = call.clone();
        to_itself.args[0] = caller.tgid.as_raw() as u64;
        is_for_own_group(call) && !is_in_our_group(caller) && self.rules.lists(&to_itself)
    }
}

fn is_for_own_group(call: &Call) -> bool {
    call.name == Some("kill") && call.args[0] as u32 == 0
}

/// Whether the caller's group is the supervisor's; true where it cannot be read. No process inside
/// joins that group later, since the filter denies setpgid(2) for it.
fn is_in_our_group(caller: &Caller) -> bool {
    Stat::of(caller.tid).map_or(true, |stat| stat.group == terminal::group())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;

    #[test]
    fn this_process_is_in_its_own_group() {
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        assert!(is_in_our_group(&me));
    }
}
