//! What of a path a process inside may change under the plan: its name, its content, what is below
//! it. Asked of the profile's grants, and of the kernel's rules where these are wider.

use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::PolicyEngine;
use crate::image::is_beneath;
use crate::plan::environment::named::PathUse;
use crate::profile::Rights;

const NAMES: Rights = Rights::CREATE.union(Rights::REMOVE);
const CHANGES: Rights = NAMES.union(Rights::WRITE);
const KERNEL_WRITES: BitFlags<AccessFs> = make_bitflags!(AccessFs::{WriteFile | Truncate});
/// Not MAKE_SOCK: no loader or interpreter reads code from a socket, which open(2) refuses (ENXIO).
const KERNEL_NAMES: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    RemoveFile | RemoveDir | MakeReg | MakeDir | MakeSym | MakeFifo | MakeChar | MakeBlock
});

/// Folders in one of libraries in which the loader searches as well, for a kind of CPU: those of
/// glibc, and those that it had up to 2.36 (ld.so(8), NOTES).
const FOR_CPUS: [&str; 8] =
    ["glibc-hwcaps", "tls", "x86_64", "haswell", "xeon_phi", "avx512_1", "aarch64", "atomics"];

impl PolicyEngine {
    /// Whether a process inside may make, remove or move what has this name.
    pub fn may_move(&self, path: &Path) -> bool {
        self.granted_at(path).intersects(NAMES)
            || self.kernel_allows_above(path, KERNEL_NAMES)
            || path.parent().is_some_and(|folder| self.may_be_data(folder))
    }

    /// Whether a process inside may write the file at this path.
    pub fn may_write(&self, path: &Path) -> bool {
        self.granted_at(path).contains(Rights::WRITE)
            || self.kernel_allows(path, KERNEL_WRITES)
            || path.parent().is_some_and(|folder| self.may_be_data(folder))
            || self.kernel_allows_above(path, KERNEL_WRITES)
    }

    /// A path, in this folder, that a process inside may change, and where what lies is used.
    pub fn may_change_within(&self, folder: &Path, used: PathUse) -> Option<PathBuf> {
        let grants = || self.policy.files.iter().filter(|grant| grant.rights.intersects(CHANGES));
        let mut around = grants().filter(|grant| !grant.exact && is_beneath(folder, &grant.path));
        if around.any(|grant| !grant.except.iter().any(|except| is_beneath(folder, except)))
            || self.may_be_data(folder)
            || self.kernel_allows(folder, KERNEL_WRITES | KERNEL_NAMES)
            || self.kernel_allows_above(folder, KERNEL_WRITES | KERNEL_NAMES)
        {
            return Some(folder.to_owned());
        }
        let is_used = |path: &Path, is_file: bool| {
            let inner = path.strip_prefix(folder).ok().filter(|inner| !inner.as_os_str().is_empty());
            inner.is_some_and(|inner| used != PathUse::Libraries || is_searched(inner, is_file))
        };
        let granted = grants().find(|grant| is_used(&grant.path, grant.exact)).map(|grant| &grant.path);
        let mut rules =
            self.rules.iter().filter(|(_, (_, rights))| rights.intersects(KERNEL_WRITES | KERNEL_NAMES));
        granted.or_else(|| rules.find(|(path, _)| is_used(path, false)).map(|(path, _)| path)).cloned()
    }

    fn kernel_allows(&self, path: &Path, rights: BitFlags<AccessFs>) -> bool {
        self.rules.get(path).is_some_and(|(_, allowed)| allowed.intersects(rights))
    }

    fn kernel_allows_above(&self, path: &Path, rights: BitFlags<AccessFs>) -> bool {
        path.ancestors().skip(1).any(|place| self.kernel_allows(place, rights))
    }
}

/// Whether the loader looks at a path in a folder of libraries.
fn is_searched(inner: &Path, is_file: bool) -> bool {
    let mut parts = inner.iter();
    let first = parts.next().unwrap_or_default().as_encoded_bytes();
    FOR_CPUS.iter().any(|folder| first == folder.as_bytes())
        || (parts.next().is_none() && (is_file || first.windows(3).any(|three| three == b".so")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_looks_at_files_and_at_folders_for_cpus() {
        for (inner, is_file, searched) in [
            ("libx.so.1", false, true),
            ("odd", true, true),
            ("plugins", false, false),
            ("plugins/libx.so", true, false),
            ("glibc-hwcaps", false, true),
            ("glibc-hwcaps/x86-64-v3/libx.so", true, true),
            ("tls/x86_64", false, true),
        ] {
            assert_eq!(is_searched(Path::new(inner), is_file), searched, "{inner}");
        }
    }
}
