//! Which rights a domain handles. At each open the kernel looks for the rights that are handled in
//! the rules on the way, and walks to the root where one of them is found in none. So a right is
//! not handled where that refuses nothing:
//!
//! - READ_FILE and READ_DIR, where a rule on `/` grants it.
//! - TRUNCATE, where the supervisor performs what truncates. Each rule that grants WRITE_FILE grants
//!   TRUNCATE too, so it decides only on what truncates a file that is not opened for writing:
//!   truncate(2), and O_TRUNC with another access than O_WRONLY and O_RDWR. The supervisor performs
//!   these on the inode that it decided about. The flags of openat2(2) are in memory that a thread
//!   may change, so none continues. A call that opens files past the filter (a ring's, or by handle)
//!   leaves the right handled.

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::PathRule;
use super::grants::in_order;
use crate::filter::Filter;

const READS: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// Calls that open files where the supervisor sees no flags.
const PAST_THE_FILTER: [&str; 4] =
    ["io_uring_enter", "io_uring_register", "io_uring_setup", "open_by_handle_at"];

/// Whether the supervisor performs what truncates a file that is not opened for writing: `performs`
/// where it can install descriptors in the app.
pub(super) fn performs_truncation(performs: bool, filter: &Filter) -> bool {
    performs && PAST_THE_FILTER.iter().all(|call| !filter.calls.contains_key(*call))
}

/// Takes out of `handled`, and of the rules, what need not be handled.
pub(super) fn reduce(
    handled: BitFlags<AccessFs>,
    rules: &mut BTreeMap<Vec<u8>, PathRule>,
    performs_truncation: bool,
) -> BitFlags<AccessFs> {
    let mut free = BitFlags::EMPTY;
    let root = rules.get(&in_order(Path::new("/")));
    if let Some(rule) = root.filter(|rule| rule.path == Path::new("/")) {
        free |= rule.rights & READS;
    }
    if performs_truncation {
        free |= AccessFs::Truncate;
    }
    // Landlock accepts no rule without a right (ENOMSG), and no right that is not handled (EINVAL).
    rules.retain(|_, rule| {
        rule.rights &= !free;
        !rule.rights.is_empty()
    });
    handled & !free
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::with_kernel;
    use super::*;
    use crate::image::{Executable, tree::ImageTree};
    use crate::plan::Landlock;

    fn domain(files: &str, major: u16, minor: u16) -> Landlock {
        let image = ImageTree::new().program("/server", Executable::Static).dir("/data").dir("/proc");
        with_kernel(&image, files, major, minor).landlock.expect("a domain")
    }

    #[test]
    fn a_right_that_refuses_nothing_is_not_handled() {
        let (everything, data) =
            (r#"{"path": "/", "allow": ["read"]}"#, r#"{"path": "/data", "allow": ["read", "write"]}"#);
        let all = domain(&format!("{everything}, {data}"), 6, 18);
        assert!(!all.handled.intersects(READS | AccessFs::Truncate), "{:?}", all.handled);
        assert!(all.handled.contains(AccessFs::WriteFile | AccessFs::Execute | AccessFs::IoctlDev));
        // What is no right of the domain is none of a rule (EINVAL), and no rule is empty (ENOMSG).
        assert!(all.rules.iter().all(|rule| all.handled.contains(rule.rights) && !rule.rights.is_empty()));
        let rights =
            |path: &str| all.rules.iter().find(|rule| rule.path == Path::new(path)).map(|rule| rule.rights);
        assert_eq!(rights("/"), None);
        assert_eq!(rights("/data"), Some(AccessFs::WriteFile.into()));
        let names = domain(&format!(r#"{{"path": "/", "allow": ["list"]}}, {data}"#), 6, 18);
        assert_eq!(names.handled & READS, AccessFs::ReadFile, "names are everyone's, files are not");
        let some = domain(data, 6, 18);
        assert!(
            some.handled.contains(READS) && !some.handled.contains(AccessFs::Truncate),
            "{:?}",
            some.handled
        );
    }

    #[test]
    fn truncation_stays_with_the_kernel_where_the_supervisor_cannot_perform_it() {
        let calls = |names: &[&'static str]| Filter {
            arch: crate::kernel::Arch::X86_64,
            calls: names.iter().map(|name| (*name, crate::filter::Access::Allow)).collect(),
        };
        assert!(performs_truncation(true, &calls(&["openat", "openat2"])));
        assert!(!performs_truncation(false, &calls(&["openat", "openat2"])));
        for call in PAST_THE_FILTER {
            assert!(!performs_truncation(true, &calls(&["openat", call])), "{call}");
        }
    }
}
