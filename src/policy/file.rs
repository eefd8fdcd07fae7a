//! Files: the rights that a call needs against those that are granted.

use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags};
use nix::errno::Errno;

use super::inode::Standing;
use super::{Denial, PolicyEngine};
use crate::event::{ViolationKind, ViolationObject, Want};
use crate::image::{FileId, is_beneath};
use crate::profile::Rights;
use crate::syscalls::Handler;

/// One path of a call and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Where it is, links resolved.
    pub canonical: PathBuf,
    /// What stands there now.
    pub target: Option<FileId>,
    /// The profile's rights that it needs.
    pub needs: Rights,
    /// The kernel's rights that it needs.
    pub kernel: BitFlags<AccessFs>,
    /// What is known of the inodes on the way.
    pub standing: Standing,
}

/// What is done about a use.
#[derive(Clone, Debug, PartialEq)]
pub enum Ruling {
    /// Granted, and the kernel's own rules let it through.
    Kernel,
    /// Granted, but the kernel has no rule that says so: the supervisor does it.
    Perform,
    /// Not granted.
    Refuse(Box<Denial>),
}

impl PolicyEngine {
    /// Judges one path of a call.
    pub fn file(&self, used: &Use) -> Ruling {
        let changes = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
        let guarded = used.target.filter(|_| used.needs.intersects(changes));
        if let Some(program) = guarded.and_then(|id| self.protected.get(&id)) {
            // A program may not be changed under any of its names: no profile
            // grants it, so there is no hint.
            return Ruling::Refuse(Box::new(Denial { want: None, ..refusal(program, used.needs) }));
        }
        let missing = used.needs.difference(self.granted(&used.canonical, used.target, &used.standing));
        if !missing.is_empty() {
            let refusal = refusal(&used.canonical, missing);
            // The entry is there already: it is the inode that it is not for. And the same
            // right once more would not grant a directory's own name.
            let named = used.needs.difference(self.granted(&used.canonical, used.target, &Standing::ALL));
            let is_granted = named.is_empty() || self.is_own_name(&used.canonical, missing);
            let want = refusal.want.clone().filter(|_| !is_granted);
            return Ruling::Refuse(Box::new(Denial { want, ..refusal }));
        }
        let covered = !self.policy.landlock || self.covered(used);
        // What is made there has to be known again.
        let made = used.needs.contains(Rights::CREATE) && self.performs_at(&used.canonical);
        if covered && !made { Ruling::Kernel } else { Ruling::Perform }
    }

    /// A hard link to a file that nobody inside may change: no profile grants it.
    pub fn second_name(&self, id: FileId) -> Option<Box<Denial>> {
        let path = self.protected.get(&id)?;
        Some(Box::new(Denial { want: None, ..refusal(path, Rights::CREATE) }))
    }

    /// A file that was not what it had been when it was judged: a race that nothing
    /// honest runs.
    pub fn swapped(&self, path: &Path, needs: Rights) -> Box<Denial> {
        Box::new(Denial { want: None, ..refusal(path, needs) })
    }

    /// A device node: no profile grants it.
    pub fn device(&self, path: &Path) -> Box<Denial> {
        Box::new(Denial { errno: Errno::EPERM, want: None, ..refusal(path, Rights::CREATE) })
    }

    /// The rights that the profile grants on a path, whatever stands there.
    pub fn granted_at(&self, canonical: &Path) -> Rights {
        self.granted(canonical, None, &Standing::ALL)
    }

    /// Whether the profile has an entry for just this path.
    pub fn names_one(&self, canonical: &Path) -> bool {
        self.grants.contains_key(canonical)
    }

    /// Whether an entry has these rights, but for what is below this directory.
    fn is_own_name(&self, canonical: &Path, rights: Rights) -> bool {
        let mut grants = self.grants.get(canonical).into_iter().flatten().map(|i| &self.policy.files[*i]);
        grants.any(|grant| !grant.exact && grant.rights.contains(rights))
    }

    /// The rights that the profile grants on a path and on what is there.
    pub fn granted(&self, canonical: &Path, target: Option<FileId>, standing: &Standing) -> Rights {
        let mut rights = Rights::NONE;
        for place in canonical.ancestors().filter(|place| !standing.is_exchanged(place)) {
            for grant in self.grants.get(place).into_iter().flatten().map(|i| &self.policy.files[*i]) {
                let here = place == canonical;
                if (here || !grant.exact) && !grant.except.iter().any(|except| is_beneath(canonical, except))
                {
                    // A directory that was moved away would take along what is kept in it;
                    // and its own name is one of the directory above, as in the kernel.
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
        // A program, its loader and its interpreter bring their own reading.
        if target.is_some_and(|id| self.runs(id, canonical)) {
            rights = rights.union(Rights::READ);
        }
        rights
    }

    /// Whether the domain's rules let it through. A rule on a file is its inode's,
    /// and of no use to another file of the same name.
    fn covered(&self, used: &Use) -> bool {
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
