//! The files of a profile as trees, one for each set of rights.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::profile::{FileEntry, FileGroup, FileRule, Profile, Rights};

/// The entries with the same rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightsTree {
    /// The rights.
    pub rights: Rights,
    /// How many entries have them.
    pub count: usize,
    /// The tree, in the order of reading.
    pub lines: Vec<TreeLine>,
}

/// A line of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeLine {
    /// A directory begins, of which entries below follow.
    Open {
        /// Its name, below the directory before it.
        name: String,
        /// How many entries are in it, itself included.
        count: usize,
        /// The index of its own entry.
        entry: Option<usize>,
    },
    /// The directory that was opened last ends.
    Close,
    /// A file, or a directory without an entry below it.
    Leaf {
        /// Its name, below the directory before it.
        name: String,
        /// The index of its entry.
        entry: usize,
    },
}

#[derive(Default)]
struct Branch {
    entry: Option<usize>,
    below: BTreeMap<OsString, Branch>,
}

impl Branch {
    fn insert(&mut self, path: &Path, entry: usize) {
        let mut at = self;
        for part in path.components().filter(|part| matches!(part, std::path::Component::Normal(_))) {
            at = at.below.entry(part.as_os_str().to_owned()).or_default();
        }
        at.entry = Some(entry);
    }

    fn count(&self) -> usize {
        usize::from(self.entry.is_some()) + self.below.values().map(Branch::count).sum::<usize>()
    }

    /// The lines of this branch, which is called `name` in the one above.
    fn lines(&self, name: String, lines: &mut Vec<TreeLine>) {
        // A directory without an entry and with one thing in it is one line with that.
        if self.entry.is_none()
            && self.below.len() == 1
            && let Some((more, branch)) = self.below.first_key_value()
        {
            return branch.lines(joined(&name, &more.to_string_lossy()), lines);
        }
        if self.below.is_empty() {
            lines.extend(self.entry.map(|entry| TreeLine::Leaf { name, entry }));
            return;
        }
        lines.push(TreeLine::Open { name, count: self.count(), entry: self.entry });
        for (more, branch) in &self.below {
            branch.lines(more.to_string_lossy().into_owned(), lines);
        }
        lines.push(TreeLine::Close);
    }
}

fn joined(directory: &str, name: &str) -> String {
    if directory.ends_with('/') { format!("{directory}{name}") } else { format!("{directory}/{name}") }
}

/// The entries of a profile that name a path, by their rights: those that change files first, then by how
/// many there are.
pub fn trees(profile: &Profile) -> Vec<RightsTree> {
    let mut by_rights: BTreeMap<u8, Branch> = BTreeMap::new();
    for (index, rule) in paths(profile) {
        by_rights.entry(rule.allow.bits()).or_default().insert(&rule.path, index);
    }
    let mut trees: Vec<RightsTree> = by_rights
        .into_iter()
        .map(|(bits, branch)| {
            let mut lines = Vec::new();
            branch.lines("/".to_owned(), &mut lines);
            RightsTree { rights: Rights::from_bits_truncate(bits), count: branch.count(), lines }
        })
        .collect();
    let changes = |tree: &RightsTree| tree.rights.difference(Rights::READ).bits().count_ones();
    trees.sort_by_key(|tree| std::cmp::Reverse((changes(tree), tree.rights.bits())));
    trees
}

/// The entries of a profile that name a path, with their indices.
pub fn paths(profile: &Profile) -> impl Iterator<Item = (usize, &FileRule)> {
    profile.files.iter().enumerate().filter_map(|(index, entry)| match entry {
        FileEntry::Path(rule) => Some((index, rule)),
        FileEntry::Group(_) => None,
    })
}

/// What a group of files is.
pub fn about_group(group: FileGroup) -> &'static str {
    match group {
        FileGroup::Runtime => {
            "what a dynamic program needs to start: libraries, the loader's cache, locales, time zones, a few devices, \
             and /proc to read"
        }
        FileGroup::Names => "where hosts, users and services are looked up by name",
        FileGroup::Elsewhere => {
            "every file that is there at start, to read and change, but for programs, what the loader reads, /proc, \
             /sys and /dev"
        }
        FileGroup::Gpu => "the devices of graphics processors, and what their libraries read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    fn of(files: &str) -> Vec<RightsTree> {
        let text = format!(
            r#"{{"remit":1,"name":"x","programs":[{{"path":"/app","entry":true}}],"files":{files}}}"#
        );
        trees(&profile::read(text.as_bytes()).expect("a profile").profile)
    }

    fn text(tree: &RightsTree) -> String {
        let mut depth = 0;
        let mut text = String::new();
        for line in &tree.lines {
            match line {
                TreeLine::Open { name, count, entry } => {
                    text += &format!("{}{name} {count} {entry:?}\n", "  ".repeat(depth));
                    depth += 1;
                }
                TreeLine::Close => depth -= 1,
                TreeLine::Leaf { name, entry } => text += &format!("{}{name} {entry}\n", "  ".repeat(depth)),
            }
        }
        assert_eq!(depth, 0, "each directory ends");
        text
    }

    #[test]
    fn each_entry_is_in_the_tree_of_its_rights() {
        let found = of(
            r#"["@runtime",{"path":"/etc/nginx","allow":["read"]},{"path":"/etc/nginx/conf.d/a","allow":["read"]},
               {"path":"/usr/share/nginx","allow":["read"]},{"path":"/var/log","allow":["write","create"]},
               {"path":"/usr/share/zoneinfo","allow":["read"]},{"path":"/var/lib/x","allow":["read","write","create","remove"]}]"#,
        );
        let rights: Vec<String> =
            found.iter().map(|tree| tree.rights.words().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(rights, ["read write create remove", "write create", "read"]);
        assert_eq!(text(&found[0]), "/var/lib/x 6\n");
        assert_eq!(
            text(&found[2]),
            "/ 4 None\n  etc/nginx 2 Some(1)\n    conf.d/a 2\n  usr/share 2 None\n    nginx 3\n    zoneinfo 5\n"
        );
        assert_eq!(found[2].count, 4);
    }

    #[test]
    fn the_root_is_an_entry_too() {
        let found = of(r#"[{"path":"/","allow":["read"]},{"path":"/data","allow":["read"]}]"#);
        assert_eq!(text(&found[0]), "/ 2 Some(0)\n  data 1\n");
        assert_eq!(text(&of(r#"[{"path":"/","allow":["read"]}]"#)[0]), "/ 0\n");
        assert_eq!(of("[]"), []);
    }
}
