//! Who may run what: the drawing, and the same as tables.

use askama::Template;

use super::grant::{GrantIndex, GrantText};
use super::shown;
use crate::profile::{ArgPattern, Profile, Program};
use crate::report::drawing::{ProgramDrawing, drawing, outline};
use crate::report::layout::LayoutBox;
use crate::report::programs::{DrawnTransition, ProgramGraph, ProgramNode, ProgramRole, ProgramSet};
use crate::visible::counted;

/// The section of programs.
#[derive(Template)]
#[template(path = "report/programs.html", whitespace = "minimize")]
pub(super) struct ProgramsPart {
    count: String,
    entries: String,
    transitions: String,
    drawing: Option<ProgramDrawing>,
    legend: Vec<LegendShape>,
    is_short: bool,
    rows: Vec<ProgramRow>,
    sets: Vec<SetRow>,
    has_support: bool,
}

struct LegendShape {
    class: &'static str,
    outline: String,
    about: &'static str,
}

struct ProgramRow {
    name: String,
    role: String,
    is_entry: bool,
    rules: Vec<String>,
    grant: GrantText,
}

/// Programs with the same transitions.
struct SetRow {
    names: Vec<String>,
    may_run: Vec<String>,
    read_by: Vec<String>,
}

impl ProgramsPart {
    pub fn of(profile: &Profile, grants: &GrantIndex<'_>) -> ProgramsPart {
        let graph = ProgramGraph::of(profile);
        let rows: Vec<ProgramRow> = profile
            .programs
            .iter()
            .zip(&graph.nodes)
            .enumerate()
            .map(|(index, (program, node))| row(program, node, grants.text(&format!("/programs/{index}"))))
            .collect();
        let runs =
            graph.arrows.iter().filter(|(_, _, transition)| *transition == DrawnTransition::MayRun).count();
        let mut drawn = drawing(&graph);
        for shape in drawn.iter_mut().flat_map(|drawn| &mut drawn.shapes) {
            shape.names.iter_mut().for_each(|name| *name = shown(name));
            shape.labels.iter_mut().for_each(|label| label.text = shown(&label.text));
        }
        for arrow in drawn.iter_mut().flat_map(|drawn| &mut drawn.arrows) {
            arrow.title = shown(&arrow.title);
        }
        ProgramsPart {
            count: match profile.programs.len() {
                1 => "1 program entry".to_owned(),
                more => format!("{more} program entries"),
            },
            entries: match profile.programs.iter().filter(|program| program.entry).count() {
                1 => "1 of them may be COMMAND".to_owned(),
                more => format!("{more} of them may be COMMAND"),
            },
            transitions: counted(runs, "transition"),
            drawing: drawn,
            legend: legend(&graph),
            is_short: rows.len() <= 12,
            has_support: rows.iter().any(|row| !row.grant.support.is_empty()),
            sets: sets(&graph),
            rows,
        }
    }
}

fn row(program: &Program, node: &ProgramNode, grant: GrantText) -> ProgramRow {
    let role = match (&program.interpreter, node.role) {
        (Some(interpreter), _) => format!("script, read by {}", shown(&interpreter.to_string_lossy())),
        (None, ProgramRole::Directory) if program.from_image => {
            "every file below the directory that came with the image".to_owned()
        }
        (None, ProgramRole::Directory) => "every file below the directory".to_owned(),
        (None, _) => "program".to_owned(),
    };
    ProgramRow { name: shown(&node.name), role, is_entry: program.entry, rules: rules(program), grant }
}

/// The rules that narrow a program, a line each.
fn rules(program: &Program) -> Vec<String> {
    let mut rules = Vec::new();
    for alternative in program.args.iter().flatten() {
        let words: Vec<String> = alternative
            .iter()
            .map(|word| match word {
                ArgPattern::Exact(text) => format!("{text:?}"),
                ArgPattern::Glob(pattern) => format!("like {pattern:?}"),
                ArgPattern::Rest => "any others".to_owned(),
            })
            .collect();
        let words = if words.is_empty() { "none".to_owned() } else { words.join(" ") };
        rules.push(format!("arguments: {}", shown(&words)));
    }
    rules.extend(program.sha256.as_ref().map(|digest| format!("content sha256:{}", shown(digest))));
    rules.extend(program.user.as_ref().map(|users| {
        let users: Vec<String> = users.iter().map(ToString::to_string).collect();
        format!("as uid {}", users.join(", "))
    }));
    rules.extend(program.instances.map(|most| format!("{most} processes at most")));
    rules.extend(program.libraries.as_ref().map(|paths| {
        let paths: Vec<String> = paths.iter().map(|path| shown(&path.to_string_lossy())).collect();
        format!("code from {}", if paths.is_empty() { "itself alone".to_owned() } else { paths.join(", ") })
    }));
    rules
}

/// The transitions, with programs that have the same in one row.
fn sets(graph: &ProgramGraph) -> Vec<SetRow> {
    let name = |index: &usize| shown(&graph.nodes[*index].name);
    let row = |set: ProgramSet| {
        let to = |wanted: DrawnTransition| -> Vec<String> {
            let of_first = graph.arrows.range((set.members[0], 0, DrawnTransition::MayRun)..);
            of_first
                .take_while(|(from, _, _)| *from == set.members[0])
                .filter(|(_, _, transition)| *transition == wanted)
                .map(|(_, to, _)| name(to))
                .collect()
        };
        SetRow {
            may_run: to(DrawnTransition::MayRun),
            read_by: to(DrawnTransition::ReadBy),
            names: set.members.iter().map(name).collect(),
        }
    };
    graph
        .sets()
        .into_iter()
        .map(row)
        .filter(|row| !row.may_run.is_empty() || !row.read_by.is_empty())
        .collect()
}

/// The shapes of the roles that occur.
fn legend(graph: &ProgramGraph) -> Vec<LegendShape> {
    let at = LayoutBox { x: 1.0, y: 2.0, width: 30.0, height: 18.0 };
    let roles = [
        (ProgramRole::Executable, "box", "program"),
        (ProgramRole::Script, "box script", "script"),
        (ProgramRole::Directory, "box directory", "every file below a directory"),
        (ProgramRole::InterpreterOnly, "box interpreter", "interpreter that is no program by itself"),
    ];
    let is_there = |role: ProgramRole| graph.nodes.iter().any(|node| node.role == role);
    roles
        .into_iter()
        .filter(|(role, _, _)| is_there(*role))
        .map(|(role, class, about)| LegendShape { class, outline: outline(role, &at), about })
        .collect()
}
