//! The files by right.

use askama::Template;

use super::grant::{GrantIndex, GrantText};
use super::shown;
use crate::plan::{DEVICES, NAMES, RUNTIME};
use crate::profile::{FileEntry, FileGroup, Profile};
use crate::report::files::{TreeLine, about_group, trees};

/// With so many entries at the most, the directories of a tree are open.
const OPEN: usize = 60;

/// The section of files.
#[derive(Template)]
#[template(path = "report/files.html", whitespace = "minimize")]
pub(super) struct FilesPart {
    groups: Vec<GroupRow>,
    trees: Vec<TreeView>,
}

struct GroupRow {
    name: &'static str,
    about: &'static str,
    paths: Vec<&'static str>,
    grant: GrantText,
}

struct TreeView {
    title: String,
    count: usize,
    is_open: bool,
    lines: Vec<LineView>,
}

/// A line of a tree as the template writes it.
enum LineView {
    Open { name: String, count: usize, entry: Option<EntryView> },
    Close,
    Leaf { name: String, entry: EntryView },
}

struct EntryView {
    is_optional: bool,
    grant: GrantText,
}

impl FilesPart {
    pub fn of(profile: &Profile, grants: &GrantIndex<'_>) -> FilesPart {
        let groups = profile.files.iter().enumerate().filter_map(|(index, entry)| match entry {
            FileEntry::Group(group) => Some(GroupRow {
                name: group.what.word(),
                about: about_group(group.what),
                paths: listed(group.what),
                grant: grants.text(&format!("/files/{index}")),
            }),
            FileEntry::Path(_) => None,
        });
        let entry = |index: usize| EntryView {
            is_optional: matches!(&profile.files[index], FileEntry::Path(rule) if rule.optional),
            grant: grants.text(&format!("/files/{index}")),
        };
        let line = |line: TreeLine| match line {
            TreeLine::Open { name, count, entry: own } => {
                LineView::Open { name: shown(&name), count, entry: own.map(entry) }
            }
            TreeLine::Close => LineView::Close,
            TreeLine::Leaf { name, entry: own } => LineView::Leaf { name: shown(&name), entry: entry(own) },
        };
        let trees = trees(profile).into_iter().map(|tree| {
            let rights: Vec<&'static str> = tree.rights.words().collect();
            TreeView {
                title: title(&rights),
                count: tree.count,
                is_open: tree.count <= OPEN,
                lines: tree.lines.into_iter().map(line).collect(),
            }
        });
        FilesPart { groups: groups.collect(), trees: trees.collect() }
    }
}

/// `Read`, `Read, write and create`.
fn title(rights: &[&str]) -> String {
    let text = match rights {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    };
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The paths that a group lists by name.
fn listed(group: FileGroup) -> Vec<&'static str> {
    match group {
        FileGroup::Runtime => RUNTIME.iter().chain(DEVICES).copied().collect(),
        FileGroup::Names => NAMES.to_vec(),
        FileGroup::Elsewhere | FileGroup::Gpu => Vec::new(),
    }
}
