//! The processes that events named last, by pid: what started them, and what that was a sign of.
//! Bounded: those that were not named for longest make room.

use std::collections::HashMap;
use std::mem;

use super::report::{IncidentProcess, StepOutcome};

/// How many processes are known at most: two generations of half as many.
const GENERATION: usize = 2048;

/// How many parents up a process is looked for.
const DEPTH: usize = 32;

/// How many arguments of a process are kept, and how many bytes of each.
const ARGUMENTS: usize = 16;
const ARGUMENT: usize = 256;

/// A process.
#[derive(Clone, Debug, Default)]
pub(super) struct LineageNode {
    pub process: IncidentProcess,
    /// What its start was a sign of.
    pub sign: Option<LineageSign>,
    /// It has ended: another may get its pid.
    pub is_gone: bool,
}

/// A start that is a sign.
#[derive(Clone, Debug)]
pub(super) struct LineageSign {
    pub rule: &'static str,
    pub outcome: StepOutcome,
    pub time: String,
    /// Microseconds since 1970.
    pub at: u64,
    pub seq: u64,
}

/// The processes.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    young: HashMap<u32, LineageNode>,
    old: HashMap<u32, LineageNode>,
    evicted: u64,
}

impl Lineage {
    /// How many processes made room for others.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    pub fn get(&self, pid: u32) -> Option<&LineageNode> {
        self.young.get(&pid).or_else(|| self.old.get(&pid))
    }

    /// The node of this pid, a new one where there is none, or where that process has ended.
    pub fn touch(&mut self, pid: u32) -> &mut LineageNode {
        if !self.young.contains_key(&pid) {
            let node = self.old.remove(&pid).unwrap_or_default();
            if self.young.len() >= GENERATION {
                self.evicted += self.old.len() as u64;
                self.old = mem::take(&mut self.young);
            }
            self.young.insert(pid, node);
        }
        let node = self.young.entry(pid).or_default();
        if node.is_gone {
            *node = LineageNode::default();
        }
        node.process.pid = pid;
        node
    }

    pub fn end(&mut self, pid: u32) {
        if let Some(node) = self.young.get_mut(&pid).or_else(|| self.old.get_mut(&pid)) {
            node.is_gone = true;
        }
    }

    /// A process and those above it, nearest first, as far as they are known.
    pub fn above(&self, pid: u32) -> impl Iterator<Item = &LineageNode> {
        let first = self.get(pid);
        let up = |node: &&LineageNode| self.get(node.process.parent_pid?);
        std::iter::successors(first, up).take(DEPTH)
    }

    /// The processes whose parent is one of these.
    pub fn children<'l>(&'l self, of: &'l [u32]) -> impl Iterator<Item = &'l LineageNode> {
        let all = self.young.values().chain(self.old.values());
        all.filter(|node| node.process.parent_pid.is_some_and(|parent| of.contains(&parent)))
    }
}

/// The first arguments, cut.
pub(super) fn bounded<'t>(arguments: impl Iterator<Item = &'t str>) -> Vec<String> {
    let cut = |text: &str| text[..text.floor_char_boundary(ARGUMENT)].to_owned();
    arguments.take(ARGUMENTS).map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let mut lineage = Lineage::default();
        for pid in 0..10 * GENERATION as u32 {
            lineage.touch(pid).process.parent_pid = Some(pid.saturating_sub(1));
            lineage.touch(1);
        }
        assert!(lineage.young.len() + lineage.old.len() <= 2 * GENERATION);
        assert!(lineage.get(1).is_some() && lineage.get(2).is_none());
        assert!(lineage.evicted() > 0);
        let last = 10 * GENERATION as u32 - 1;
        assert_eq!(lineage.above(last).count(), DEPTH);
        lineage.end(last);
        assert!(lineage.get(last).is_some_and(|node| node.is_gone));
        assert_eq!(lineage.touch(last).process.parent_pid, None, "another process");
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let mut lineage = Lineage::default();
        lineage.touch(1).process.parent_pid = Some(2);
        lineage.touch(2).process.parent_pid = Some(1);
        assert_eq!(lineage.above(1).count(), DEPTH);
    }
}
