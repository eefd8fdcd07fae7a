//! The programs of a profile as a graph: which may run which, and which interpreter reads which script.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::{Profile, Program, ProgramPlace};

/// What a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProgramRole {
    /// One executable file.
    Executable,
    /// A script, which its interpreter reads.
    Script,
    /// Every file below a directory.
    Directory,
    /// It is in no entry, and only reads the scripts that name it.
    InterpreterOnly,
}

/// A program of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramNode {
    /// Its path, and its applet where it has one: `/bin/busybox sh`.
    pub name: String,
    /// The index of its entry; none for an interpreter without one.
    pub index: Option<usize>,
    /// What it is.
    pub role: ProgramRole,
    /// COMMAND may be this program.
    pub is_entry: bool,
}

/// Why there is an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrawnTransition {
    /// The first may execute the second.
    MayRun,
    /// The first is a script, and the second its interpreter.
    ReadBy,
}

/// The graph of programs and transitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramGraph {
    /// The programs: those of the profile in its order, then interpreters without an entry.
    pub nodes: Vec<ProgramNode>,
    /// The transitions, by the indices of their programs.
    pub arrows: BTreeSet<(usize, usize, DrawnTransition)>,
}

/// Programs that have the same transitions, drawn as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSet {
    /// The indices of its programs.
    pub members: Vec<usize>,
    /// Each of them may run each.
    pub is_mutual: bool,
}

/// The name of a program: its path and its applet.
pub fn program_name(program: &Program) -> String {
    let path = program.place.path().to_string_lossy();
    match &program.applet {
        Some(applet) => format!("{path} {applet}"),
        None => path.into_owned(),
    }
}

impl ProgramGraph {
    /// The graph of a profile.
    pub fn of(profile: &Profile) -> ProgramGraph {
        let mut graph = ProgramGraph::default();
        let mut by_path: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, program) in profile.programs.iter().enumerate() {
            let role = match (&program.place, &program.interpreter) {
                (ProgramPlace::Beneath(_), _) => ProgramRole::Directory,
                (ProgramPlace::Path(_), Some(_)) => ProgramRole::Script,
                (ProgramPlace::Path(_), None) => ProgramRole::Executable,
            };
            by_path.entry(program.place.path()).or_default().push(index);
            graph.nodes.push(ProgramNode {
                name: program_name(program),
                index: Some(index),
                role,
                is_entry: program.entry,
            });
        }
        let mut interpreters = BTreeMap::new();
        for (index, program) in profile.programs.iter().enumerate() {
            for transition in &program.may_run {
                let all = by_path.get(transition.what.path.as_path()).into_iter().flatten();
                let applet = &transition.what.applet;
                let wanted = all.filter(|to| applet.is_none() || profile.programs[**to].applet == *applet);
                graph.arrows.extend(wanted.map(|to| (index, *to, DrawnTransition::MayRun)));
            }
            if let Some(interpreter) = &program.interpreter {
                let to = match by_path.get(interpreter.as_path()) {
                    Some(entries) => entries[0],
                    None => *interpreters.entry(interpreter).or_insert_with(|| {
                        graph.nodes.push(ProgramNode {
                            name: interpreter.to_string_lossy().into_owned(),
                            index: None,
                            role: ProgramRole::InterpreterOnly,
                            is_entry: false,
                        });
                        graph.nodes.len() - 1
                    }),
                };
                graph.arrows.insert((index, to, DrawnTransition::ReadBy));
            }
        }
        graph
    }

    /// The programs, those with the same role and the same transitions together, in the order of their first.
    pub fn sets(&self) -> Vec<ProgramSet> {
        let mut neighbours = vec![(BTreeSet::new(), BTreeSet::new()); self.nodes.len()];
        for (from, to, transition) in &self.arrows {
            neighbours[*from].0.insert((*to, *transition));
            neighbours[*to].1.insert((*from, *transition));
        }
        let mut sets: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, (node, neighbours)) in self.nodes.iter().zip(&neighbours).enumerate() {
            sets.entry((node.role, node.is_entry, neighbours)).or_default().push(index);
        }
        let mut sets: Vec<ProgramSet> = sets
            .into_values()
            .map(|members| {
                let first = members[0];
                ProgramSet {
                    is_mutual: self.arrows.contains(&(first, first, DrawnTransition::MayRun)),
                    members,
                }
            })
            .collect();
        sets.sort_by_key(|set| set.members[0]);
        sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    fn graph(programs: &str) -> ProgramGraph {
        let text = format!(r#"{{"remit":1,"name":"x","programs":{programs}}}"#);
        ProgramGraph::of(&profile::read(text.as_bytes()).expect("a profile").profile)
    }

    #[test]
    fn transitions_are_those_of_the_profile() {
        let graph = graph(
            r#"[{"path":"/run.sh","entry":true,"interpreter":"/bin/dash","may_run":["/bin/busybox",{"path":"/b","applet":"ls"}]},
                {"path":"/bin/busybox","applet":"sh"},{"path":"/bin/busybox","applet":"cat"},
                {"path":"/b","applet":"ls"},{"path":"/b","applet":"rm"},{"beneath":"/opt"}]"#,
        );
        let names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(
            names,
            ["/run.sh", "/bin/busybox sh", "/bin/busybox cat", "/b ls", "/b rm", "/opt", "/bin/dash"]
        );
        let roles: Vec<ProgramRole> = graph.nodes.iter().map(|node| node.role).collect();
        assert_eq!(
            (roles[0], roles[5], roles[6]),
            (ProgramRole::Script, ProgramRole::Directory, ProgramRole::InterpreterOnly)
        );
        let arrows: Vec<_> = graph.arrows.iter().copied().collect();
        let (run, read) = (DrawnTransition::MayRun, DrawnTransition::ReadBy);
        assert_eq!(arrows, [(0, 1, run), (0, 2, run), (0, 3, run), (0, 6, read)]);
        let sets: Vec<Vec<usize>> = graph.sets().into_iter().map(|set| set.members).collect();
        assert_eq!(sets, [vec![0], vec![1, 2, 3], vec![4], vec![5], vec![6]]);
    }

    #[test]
    fn programs_that_may_run_each_other_are_one_set() {
        let graph = graph(
            r#"[{"beneath":"/usr","entry":true,"may_run":["/usr","/bin"]},{"beneath":"/bin","entry":true,"may_run":["/usr","/bin"]}]"#,
        );
        assert_eq!(graph.sets(), [ProgramSet { members: vec![0, 1], is_mutual: true }]);
    }
}
