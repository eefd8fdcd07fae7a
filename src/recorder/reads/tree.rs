//! The watched directories by name.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::hash::BuildHasher;
use std::path::PathBuf;

/// A watch descriptor. The kernel does not reuse them.
pub(super) type Wd = i32;

/// The parent of a watch that is named by its whole path.
pub(super) const TOP: Wd = -1;

/// More names than any path has. A longer chain means that renames were missed and a directory seems
/// to be below itself.
const DEEPEST: usize = 2048;

/// Each watched directory by its name in its parent, so that a rename renames all below it.
#[derive(Default)]
pub(super) struct Tree {
    nodes: HashMap<Wd, Node>,
    /// Watches by the [`key`](Tree::key) of their name.
    places: HashMap<u64, Wd>,
    hasher: RandomState,
}

struct Node {
    above: Wd,
    name: Box<OsStr>,
}

impl Tree {
    /// Puts a watch at a name, wherever it was before.
    pub fn put(&mut self, wd: Wd, above: Wd, name: OsString) {
        let place = self.key(above, &name);
        let before = self.nodes.insert(wd, Node { above, name: name.into() });
        self.leave(wd, before);
        self.places.insert(place, wd);
    }

    /// Removes a watch that is gone.
    pub fn remove(&mut self, wd: Wd) {
        let before = self.nodes.remove(&wd);
        self.leave(wd, before);
    }

    fn leave(&mut self, wd: Wd, node: Option<Node>) {
        let place = node.map(|node| self.key(node.above, &node.name));
        if let Some(place) = place
            && self.places.get(&place) == Some(&wd)
        {
            self.places.remove(&place);
        }
    }

    /// The watch of this name in a directory.
    pub fn child(&self, above: Wd, name: &OsStr) -> Option<Wd> {
        self.places.get(&self.key(above, name)).copied()
    }

    pub fn holds(&self, wd: Wd) -> bool {
        self.nodes.contains_key(&wd)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Its path; `None` where a parent is not watched any more.
    pub fn path(&self, wd: Wd) -> Option<PathBuf> {
        let (mut names, mut at) = (Vec::new(), wd);
        while at != TOP {
            let node = self.nodes.get(&at)?;
            names.push(&*node.name);
            at = node.above;
            if names.len() > DEEPEST {
                return None;
            }
        }
        Some(names.into_iter().rev().collect())
    }

    /// The hash of a name in a directory: a set of names stores only these.
    pub fn key(&self, above: Wd, name: &OsStr) -> u64 {
        self.hasher.hash_one((above, name))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn tree(nodes: &[(Wd, Wd, &str)]) -> Tree {
        let mut tree = Tree::default();
        nodes.iter().for_each(|&(wd, above, name)| tree.put(wd, above, name.into()));
        tree
    }

    #[test]
    fn a_path_is_the_names_above() {
        let tree = tree(&[(1, TOP, "/"), (2, 1, "etc"), (3, 2, "ssl"), (9, TOP, "/srv/data"), (4, 9, "x")]);
        let path = |wd| tree.path(wd).map(|path| path.display().to_string());
        assert_eq!(path(1).as_deref(), Some("/"));
        assert_eq!(path(3).as_deref(), Some("/etc/ssl"));
        assert_eq!(path(4).as_deref(), Some("/srv/data/x"));
        assert_eq!(path(5), None, "unknown");
        assert_eq!(tree.child(2, OsStr::new("ssl")), Some(3));
        assert_eq!(tree.child(1, OsStr::new("ssl")), None);
    }

    #[test]
    fn a_renamed_directory_takes_along_what_is_below_it() {
        let mut tree = tree(&[(1, TOP, "/"), (2, 1, "a"), (3, 2, "deep"), (4, 1, "b")]);
        tree.put(2, 4, "c".into());
        assert_eq!(tree.path(3).as_deref(), Some(Path::new("/b/c/deep")));
        assert_eq!(tree.child(1, OsStr::new("a")), None, "the old name is free");
        tree.put(5, 1, "a".into());
        tree.remove(2);
        assert_eq!(tree.path(3), None, "what was above it is gone");
        assert_eq!(tree.path(5).as_deref(), Some(Path::new("/a")));
    }

    #[test]
    fn the_end_of_a_directory_does_not_take_its_successors_name() {
        let mut tree = tree(&[(1, TOP, "/"), (2, 1, "a")]);
        tree.put(3, 1, "a".into());
        tree.remove(2);
        assert_eq!(tree.child(1, OsStr::new("a")), Some(3));
        assert_eq!((tree.holds(2), tree.len()), (false, 2));
    }

    #[test]
    fn directories_below_themselves_have_no_path() {
        assert_eq!(tree(&[(1, 2, "a"), (2, 1, "b")]).path(1), None);
    }
}
