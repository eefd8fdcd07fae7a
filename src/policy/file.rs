//! Files: the rights that a call needs, compared with those that are granted.

use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags};
use nix::errno::Errno;

use super::call::Call;
use super::inode::Standing;
use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject, Want};
use crate::image::{FileId, is_beneath};
use crate::profile::Rights;
use crate::syscalls::{Arg, Change, Handler};

/// One path of a call and the access to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUse {
    /// The path, links resolved.
    pub canonical: PathBuf,
    /// The inode there now; `None` where the name does not exist.
    pub target: Option<FileId>,
    /// The rights, in the profile's terms, that the call needs.
    pub needs: Rights,
    /// The rights, in Landlock's terms, that the call needs.
    pub kernel: BitFlags<AccessFs>,
    /// Whether the inodes on the path are those of the start.
    pub standing: Standing,
    /// It is a name in a directory of data below one of programs (see [`data`](super::data)): the
    /// supervisor may do there what it does for the caller.
    pub data: bool,
}

/// The decision on a use.
#[derive(Clone, Debug, PartialEq)]
pub enum Ruling {
    /// Granted, and Landlock allows it.
    Kernel,
    /// Granted, but no Landlock rule allows it: the supervisor performs the call.
    Perform,
    /// Denied.
    Refuse(Box<Denial>),
}

impl PolicyEngine {
    /// Decides on one path of a call.
    pub fn file(&self, used: &FileUse) -> Ruling {
        let changes = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
        let guarded = used.target.filter(|_| used.needs.intersects(changes));
        if let Some(program) = guarded.and_then(|id| self.protected.get(&id)) {
            // A program may not be changed under any of its names: no profile
            // grants it, so there is no hint.
            return Ruling::Refuse(Box::new(Denial { want: None, ..refusal(program, used.needs) }));
        }
        if used.data {
            return if self.policy.landlock { Ruling::Perform } else { Ruling::Kernel };
        }
        let missing = used.needs.beyond(self.granted(&used.canonical, used.target, &used.standing));
        if !missing.is_empty() {
            let refusal = refusal(&used.canonical, missing);
            // An entry exists, but for another inode. And the same right once more
            // would not grant a directory's own name.
            let named = used.needs.beyond(self.granted(&used.canonical, used.target, &Standing::ALL));
            let is_granted = named.is_empty() || self.is_own_name(&used.canonical, missing);
            let want = refusal.want.clone().filter(|_| !is_granted);
            return Ruling::Refuse(Box::new(Denial { want, ..refusal }));
        }
        let covered = !self.policy.landlock || (self.covered(used) && !self.truncates_unopened(used.kernel));
        // The supervisor must know the inode of what is created there.
        let made = used.needs.contains(Rights::CREATE) && self.performs_at(&used.canonical);
        if covered && !made { Ruling::Kernel } else { Ruling::Perform }
    }

    /// Whether a file is truncated that is not opened for writing, and the kernel has no rule on that.
    fn truncates_unopened(&self, kernel: BitFlags<AccessFs>) -> bool {
        self.policy.truncates && kernel.contains(AccessFs::Truncate) && !kernel.contains(AccessFs::WriteFile)
    }

    /// Whether this call never continues: what it does then may be to truncate a file, on which the
    /// kernel has no rule.
    pub fn never_continues(&self, call: &Call) -> bool {
        self.policy.truncates
            && match (call.handler(), call.argument(Arg::Flags), call.argument(Arg::Pointer)) {
                (Handler::Change(Change::Truncate), ..) => true,
                (Handler::Open, Some(flags), _) => {
                    let writes = matches!(flags as i32 & libc::O_ACCMODE, libc::O_WRONLY | libc::O_RDWR);
                    !writes && flags as i32 & (libc::O_TRUNC | libc::O_PATH) == libc::O_TRUNC
                }
                // openat2(2); creat(2) opens for writing.
                (Handler::Open, None, how) => how.is_some(),
                _ => false,
            }
    }

    /// Denies a hard link to a file that no process inside may change: no profile grants it.
    pub fn second_name(&self, id: FileId) -> Option<Box<Denial>> {
        let path = self.protected.get(&id)?;
        Some(Box::new(Denial { want: None, ..refusal(path, Rights::CREATE) }))
    }

    /// Denies an access that no profile grants: a file that was replaced after the decision, or one that is
    /// never given out. Its event has no hint.
    pub fn denied_without_hint(&self, path: &Path, needs: Rights) -> Box<Denial> {
        Box::new(Denial { want: None, ..refusal(path, needs) })
    }

    /// Denies a device node: no profile grants it.
    pub fn device(&self, path: &Path) -> Box<Denial> {
        Box::new(Denial { errno: Errno::EPERM, want: None, ..refusal(path, Rights::CREATE) })
    }

    /// The rights that the profile grants on a path, whatever inode it names.
    pub fn granted_at(&self, canonical: &Path) -> Rights {
        self.granted(canonical, None, &Standing::ALL)
    }

    /// Whether the profile has an entry for exactly this path.
    pub fn names_one(&self, canonical: &Path) -> bool {
        self.grants.contains_key(canonical)
    }

    /// Whether an entry has these rights on exactly this directory, not on one above it.
    fn is_own_name(&self, canonical: &Path, rights: Rights) -> bool {
        let mut grants = self.grants.get(canonical).into_iter().flatten().map(|i| &self.policy.files[*i]);
        grants.any(|grant| !grant.exact && grant.rights.contains(rights))
    }

    /// The rights that the profile grants on a path and on the inode there.
    pub fn granted(&self, canonical: &Path, target: Option<FileId>, standing: &Standing) -> Rights {
        let mut rights = Rights::NONE;
        for place in canonical.ancestors().filter(|place| !standing.is_exchanged(place)) {
            for grant in self.grants.get(place).into_iter().flatten().map(|i| &self.policy.files[*i]) {
                let here = place == canonical;
                if (here || !grant.exact) && !grant.except.iter().any(|except| is_beneath(canonical, except))
                {
                    // A directory that is renamed would take its entries along; and its name is an entry
                    // of the directory above, as in the kernel.
                    let holds = grant.except.iter().any(|except| is_beneath(except, canonical));
                    let names = if holds || (here && !grant.exact) {
                        Rights::CREATE.union(Rights::REMOVE)
                    } else {
                        Rights::NONE
                    };
                    let mut brought = grant.rights.difference(names);
                    if grant.exact && target.is_some() && self.tracks(place) {
                        brought = brought.difference(Rights::ON_FILE.difference(standing.owned));
                    }
                    rights = rights.union(brought);
                }
            }
        }
        // A program, its loader and its interpreter are readable.
        if target.is_some_and(|id| self.runs(id, canonical)) {
            rights = rights.union(Rights::READ);
        }
        rights
    }

    /// Whether the Landlock domain allows it. A rule on a file belongs to its inode, and does not
    /// apply to another file of the same name.
    fn covered(&self, used: &FileUse) -> bool {
        let mut rights = BitFlags::empty();
        for place in used.canonical.ancestors().filter(|place| !used.standing.is_exchanged(place)) {
            if let Some((id, here)) = self.rules.get(place)
                && (place != used.canonical || used.target == Some(*id))
            {
                rights |= *here;
            }
        }
        rights.contains(used.kernel & self.handled)
    }
}

fn refusal(path: &Path, missing: Rights) -> Denial {
    Denial {
        kind: ViolationKind::File,
        errno: Handler::Open.denied(),
        object: ViolationObject::Path { path: path.to_owned(), access: missing.words().collect() },
        rule: "/files".into(),
        want: Some(Want::File { path: path.to_owned(), rights: missing }),
    }
}
