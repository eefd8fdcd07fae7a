//! Calls that name a process, thread or group by number. The filter allows each that does not
//! name the supervisor, so the others are denied, but for those that depend on the caller: kill(0),
//! and a change of scheduling or limits for itself.

use super::{Decision, Enforcer};
use crate::filter::Access;
use crate::notify::caller::Caller;
use crate::plan::numbers::{self, NamedProcess};
use crate::policy::call::Call;
use crate::procfs::stat::Stat;
use crate::sys::{terminal, threads};

impl Enforcer {
    pub(super) fn signal(&self, call: &Call, caller: &Caller) -> Decision {
        match call.name.and_then(|name| self.rules.access(name)) {
            None => Decision::Deny(self.rules.unlisted(call)),
            Some(Access::When(_)) if is_for_own_group(call) && !is_in_our_group(caller) => Decision::Continue,
            Some(Access::When(_)) => Decision::Deny(self.rules.signal(call)),
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

    /// Whether a call by numbers would reach the supervisor: no profile allows that.
    pub(super) fn reaches_us(&self, call: &Call) -> bool {
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
