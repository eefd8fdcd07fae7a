//! What a file gains by a rename or a link: for the profile, and for the kernel's rules.

use landlock::BitFlags;
use nix::errno::Errno;

use super::Enforcer;
use super::files::is_directory;
use crate::notify::caller::Caller;
use crate::notify::resolve::Found;
use crate::notify::syscall_args::TreeChange;
use crate::policy::Denial;
use crate::policy::file::Ruling;
use crate::policy::inode::KernelGain;
use crate::profile::Rights;

impl Enforcer {
    /// What a move would give for the kernel, of an exchange the more of both.
    pub(super) fn gained(&self, old: &Found, new: &Found, change: &TreeChange) -> KernelGain {
        let gained = |from: &Found, to: &Found| {
            let Some(id) = from.target.as_ref().map(|target| target.id) else { return KernelGain::Nothing };
            let granted = self.rules.granted(&from.canonical, Some(id), &self.standing(from));
            self.rules.gained(&from.canonical, id, granted, &to.canonical)
        };
        let there = gained(old, new);
        if change.is_exchange() { there.max(gained(new, old)) } else { there }
    }

    /// Whether the kernel's rules alone give more under the new name, so that it refuses the move.
    pub(super) fn gained_by_rules(&self, old: &Found, new: &Found, change: &TreeChange) -> bool {
        let gained = |from: &Found, to: &Found| {
            let id = from.target.as_ref().map(|target| target.id);
            id.is_some_and(|id| {
                self.rules.gained(&from.canonical, id, Rights::NONE, &to.canonical) != KernelGain::Nothing
            })
        };
        gained(old, new) || (change.is_exchange() && gained(new, old))
    }

    /// A file must not gain rights by a new name: one that may be read or written there and not
    /// here is not moved. Landlock has the same rule, and its errno. A file that no process inside
    /// may change gets no second name at all, whatever that grants now: the next start would take
    /// it for data.
    pub(super) fn gains(
        &self,
        old: &Found,
        new: &Found,
        change: &TreeChange,
        in_data: Option<&Caller>,
    ) -> Option<Box<Denial>> {
        let gain = |from: &Found, to: &Found| {
            let target = from.target.as_ref()?.id;
            // What is no directory has no names in it.
            let applies = |right: &Rights| *right != Rights::LIST || is_directory(from);
            // What has a right under a name has it still where it was moved to.
            let own = self.memory.inodes.borrow().owned(target, &self.rules);
            let rights = self.rules.granted_at(&to.canonical).intersection(Rights::ON_FILE).beyond(own);
            let rights = rights.iter().filter(applies).collect();
            let ruling = match in_data {
                Some(caller) => self.ruling_in_data(from, rights, BitFlags::empty(), caller),
                None => self.ruling(from, rights, BitFlags::empty()),
            };
            match ruling {
                Ok(Ruling::Refuse(refusal)) => Some(Box::new(Denial { errno: Errno::EXDEV, ..*refusal })),
                _ => None,
            }
        };
        if matches!(change, TreeChange::HardLink { .. })
            && let Some(refusal) = old.target.as_ref().and_then(|target| self.rules.second_name(target.id))
        {
            return Some(refusal);
        }
        let beside = old.canonical.parent() == new.canonical.parent();
        let may_gain = |to: &Found| !beside || self.rules.names_one(&to.canonical);
        let there = || if may_gain(new) { gain(old, new) } else { None };
        let back = || if change.is_exchange() && may_gain(old) { gain(new, old) } else { None };
        there().or_else(back)
    }
}
