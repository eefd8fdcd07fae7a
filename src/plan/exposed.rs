//! Directories in which names may be created and removed, around an entry that grants more rights
//! on its path than they do. Landlock's rules belong to inodes: moving another file or directory to
//! that path gains nothing now, but the next start would give it the entry's rights. So the kernel
//! gets no right that such a move needs: the supervisor creates, moves and removes names there, on
//! paths that it has resolved and decided. The app itself still creates directories, symbolic
//! links, pipes and sockets: they are new and contain no secret.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use landlock::{AccessFs, BitFlags, make_bitflags};

use super::grants::{Granted, in_order};
use super::links::NAMES;
use crate::image::directory;

/// Removes the rights to move names there from the kernel's rules, with a note in the plan.
pub(super) fn withhold(granted: &mut Granted<'_>) {
    let mut moves: BitFlags<AccessFs> = make_bitflags!(AccessFs::{RemoveFile | RemoveDir | Refer});
    // A hard link is a name as well, but below Linux 5.14 the kernel has to create new files.
    if granted.hands_over {
        moves |= AccessFs::MakeReg;
    }
    for (path, (inner, outer)) in exposed(granted) {
        let Some(rule) = granted.rules.get_mut(&in_order(&path)) else { continue };
        if rule.rights.intersects(moves) {
            rule.rights &= !moves;
            // Landlock refuses a rule without a right (ENOMSG).
            let is_empty = rule.rights.is_empty();
            granted.notes.push(format!(
                "{outer}: {} around what {inner} grants more on: the supervisor makes, moves and removes names there, so that nothing is moved to where it would be granted at the next start",
                path.display()
            ));
            if is_empty {
                granted.rules.remove(&in_order(&path));
            }
        }
    }
}

/// The directories, each with the first entry inside that grants more, and the entry around it by
/// which names may be created.
fn exposed(granted: &Granted<'_>) -> BTreeMap<PathBuf, (String, String)> {
    let mut around: HashMap<&OsStr, Vec<usize>> = HashMap::new();
    for (index, grant) in granted.grants.iter().enumerate() {
        if !grant.exact && grant.rights.intersects(NAMES) {
            around.entry(grant.path.as_os_str()).or_default().push(index);
        }
    }
    let mut seen = BTreeSet::new();
    let mut exposed = BTreeMap::new();
    if around.is_empty() {
        return exposed;
    }
    // Grants in one directory follow each other.
    let (mut last, mut above_it) = (None, Vec::new());
    for inner in &granted.grants {
        let directory = directory(&inner.path).map(Path::as_os_str);
        if directory != last {
            last = directory;
            let above = inner.path.ancestors().skip(1).enumerate();
            let around =
                above.filter_map(|(depth, above)| Some((depth, above, around.get(above.as_os_str())?)));
            above_it = around.collect();
        }
        let own = inner.rights.difference(NAMES);
        for &(depth, above, outer) in &above_it {
            let mut outer = outer.iter().map(|index| &granted.grants[*index]);
            let Some(outer) = outer.find(|outer| !outer.rights.contains(own)) else { continue };
            // A walked directory grants the rights on its entries one by one.
            let is_walked = |path: &Path| granted.rules.get(&in_order(path)).is_some_and(|rule| rule.walked);
            for path in inner.path.ancestors().skip(1).take(depth + 1) {
                if (path == above || is_walked(path)) && seen.insert(path) {
                    exposed.insert(path.to_owned(), (inner.rule.clone(), outer.rule.clone()));
                }
            }
        }
    }
    exposed
}

#[cfg(test)]
mod tests {
    use super::super::links::tests::{plan, with_kernel};
    use super::*;
    use crate::image::tree::ImageTree;

    const MOVES: BitFlags<AccessFs> = make_bitflags!(AccessFs::{RemoveFile | RemoveDir | Refer | MakeReg});

    fn rights(plan: &crate::plan::Plan, path: &str) -> BitFlags<AccessFs> {
        let domain = plan.landlock.as_ref().expect("a domain");
        let rule = domain.rules.iter().find(|rule| rule.path == Path::new(path));
        rule.map_or(BitFlags::EMPTY, |rule| rule.rights)
    }

    fn image() -> ImageTree {
        ImageTree::new()
            .program("/server", crate::image::Executable::Static)
            .dir("/data/cache")
            .file("/data/secret")
            .dir("/proc")
    }

    #[test]
    fn the_kernel_moves_nothing_to_where_more_is_granted() {
        let outer = r#"{"path": "/data", "allow": ["read", "create", "remove"]}"#;
        for inner in [
            r#"{"path": "/data/cache", "allow": ["write"]}"#,
            r#"{"path": "/data/secret", "allow": ["read", "write"]}"#,
            r#"{"path": "/data/new", "allow": ["write", "create"]}"#,
        ] {
            let plan = plan(&image(), &format!("{outer}, {inner}"));
            let rights = rights(&plan, "/data");
            assert!(!rights.intersects(MOVES), "{inner}: {rights:?}");
            assert!(rights.contains(AccessFs::MakeDir | AccessFs::MakeSym | AccessFs::ReadFile), "{inner}");
            assert!(plan.notes.iter().any(|note| note.contains("/files/1 grants more")), "{:?}", plan.notes);
        }
        let removes = plan(
            &image(),
            r#"{"path": "/data", "allow": ["remove"]}, {"path": "/data/secret", "allow": ["write"]}"#,
        );
        let rules = &removes.landlock.as_ref().expect("a domain").rules;
        assert!(rules.iter().all(|rule| !rule.rights.is_empty()), "the kernel takes no rule without a right");
        let old = with_kernel(
            &image(),
            &format!(r#"{outer}, {{"path": "/data/new", "allow": ["write", "create"]}}"#),
            5,
            13,
        );
        let old = rights(&old, "/data");
        assert!(old.contains(AccessFs::MakeReg) && !old.intersects(AccessFs::RemoveFile), "{old:?}");
    }

    #[test]
    fn where_nothing_more_is_granted_inside_the_kernel_decides() {
        let outer = r#"{"path": "/data", "allow": ["read", "write", "create", "remove"]}"#;
        for inner in [
            r#"{"path": "/data/cache", "allow": ["read", "write", "create", "remove"]}"#,
            r#"{"path": "/data/secret", "allow": ["read"]}"#,
        ] {
            let plan = plan(&image(), &format!("{outer}, {inner}"));
            assert!(rights(&plan, "/data").contains(MOVES), "{inner}");
        }
    }
}
