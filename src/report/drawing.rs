//! The graph of programs as shapes and paths of an SVG.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::label::{COLUMN, LONGEST, columns, short_path};
use super::layout::{ArrowRoute, GraphLayout, LayoutBox, LayoutPoint, layout};
use super::programs::{DrawnTransition, ProgramGraph, ProgramRole, ProgramSet};

/// The height of a line of a box.
const LINE: f64 = 17.0;
/// The space above and below the lines of a box.
const ABOVE: f64 = 7.0;
/// The space on the left and right of a line.
const BESIDE: f64 = 10.0;
/// The space of the mark of an entry.
const MARK: f64 = 14.0;
/// The height of a directory's tab.
const TAB: f64 = 7.0;
/// The size of a script's folded corner.
const FOLD: f64 = 9.0;
/// The extent of an interpreter's points.
const POINT: f64 = 9.0;
/// Lines of one column of a box, and columns at the most.
const ROWS: usize = 12;
const MOST_COLUMNS: usize = 4;

/// The drawing of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramDrawing {
    /// The width of its view box.
    pub width: String,
    /// The height of its view box.
    pub height: String,
    /// Programs, or sets of them.
    pub shapes: Vec<ProgramShape>,
    /// Transitions.
    pub arrows: Vec<ProgramArrow>,
}

/// A program, or several with the same transitions.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramShape {
    /// The class of the style sheet, by its role.
    pub class: &'static str,
    /// Its outline.
    pub outline: String,
    /// The mark of an entry; empty where it is none.
    pub mark: String,
    /// Its labels.
    pub labels: Vec<ShapeLabel>,
    /// The full names of its programs.
    pub names: Vec<String>,
    /// Where it is.
    pub place: LayoutBox,
}

/// A line of text in a box.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapeLabel {
    /// Where it begins.
    pub x: String,
    /// Its base line.
    pub y: String,
    /// The text.
    pub text: String,
    /// It is a remark, and no name.
    pub is_remark: bool,
}

/// A transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramArrow {
    /// The class of the style sheet.
    pub class: &'static str,
    /// Its way.
    pub path: String,
    /// What it says: the names of its ends.
    pub title: String,
}

/// The lines of a set: names, then a remark.
struct Lines {
    names: Vec<String>,
    remark: Option<String>,
    columns: usize,
    rows: usize,
    /// The width of a column of names.
    width: f64,
}

impl Lines {
    fn of(graph: &ProgramGraph, set: &ProgramSet) -> Lines {
        let room = ROWS * MOST_COLUMNS;
        let shown = if set.members.len() > room { room - 1 } else { set.members.len() };
        let mut names: Vec<String> =
            set.members[..shown].iter().map(|one| short_path(&graph.nodes[*one].name, LONGEST)).collect();
        if set.members.len() > shown {
            names.push(format!("and {} more", set.members.len() - shown));
        }
        let remark = match (set.is_mutual, set.members.len()) {
            (false, _) => None,
            (true, 1) => Some("may run itself".to_owned()),
            (true, _) => Some("each may run each".to_owned()),
        };
        let columns = names.len().div_ceil(ROWS);
        let rows = names.len().div_ceil(columns.max(1));
        let longest = names.iter().map(|name| self::columns(name)).max().unwrap_or_default();
        Lines { names, remark, columns, rows, width: longest as f64 * COLUMN }
    }

    fn size(&self, role: ProgramRole, is_entry: bool) -> (f64, f64) {
        let names = self.width * self.columns as f64 + BESIDE * (self.columns as f64 - 1.0);
        let remark = self.remark.as_deref().map_or(0.0, |remark| columns(remark) as f64 * COLUMN);
        let (left, right, above) = insets(role, is_entry);
        let rows = self.rows + usize::from(self.remark.is_some());
        (names.max(remark) + left + right, rows as f64 * LINE + 2.0 * ABOVE + above)
    }

    fn labels(&self, role: ProgramRole, is_entry: bool, at: &LayoutBox) -> Vec<ShapeLabel> {
        let (left, _, above) = insets(role, is_entry);
        let base = |row: usize| at.y + above + ABOVE + row as f64 * LINE + 12.5;
        let mut labels: Vec<ShapeLabel> = Vec::new();
        for (index, text) in self.names.iter().enumerate() {
            let x = at.x + left + (index / self.rows) as f64 * (self.width + BESIDE);
            labels.push(ShapeLabel {
                x: number(x),
                y: number(base(index % self.rows)),
                text: text.clone(),
                is_remark: false,
            });
        }
        labels.extend(self.remark.iter().map(|remark| ShapeLabel {
            x: number(at.x + left),
            y: number(base(self.rows)),
            text: remark.clone(),
            is_remark: true,
        }));
        labels
    }
}

/// The space beside and above the lines of a box.
fn insets(role: ProgramRole, is_entry: bool) -> (f64, f64, f64) {
    let mark = if is_entry { MARK } else { 0.0 };
    match role {
        ProgramRole::Executable => (BESIDE + mark, BESIDE, 0.0),
        ProgramRole::Script => (BESIDE + mark, BESIDE + FOLD, 0.0),
        ProgramRole::Directory => (BESIDE + mark, BESIDE, TAB),
        ProgramRole::InterpreterOnly => (BESIDE + POINT + mark, BESIDE + POINT, 0.0),
    }
}

/// The drawing of a graph; `None` where it has too many programs or transitions to be read.
pub fn drawing(graph: &ProgramGraph) -> Option<ProgramDrawing> {
    let sets = graph.sets();
    let mut set_of = vec![0; graph.nodes.len()];
    for (index, set) in sets.iter().enumerate() {
        set.members.iter().for_each(|member| set_of[*member] = index);
    }
    let mut arrows: BTreeMap<(usize, usize), BTreeSet<DrawnTransition>> = BTreeMap::new();
    for (from, to, transition) in &graph.arrows {
        let ends = (set_of[*from], set_of[*to]);
        if ends.0 != ends.1 {
            arrows.entry(ends).or_default().insert(*transition);
        }
    }
    let lines: Vec<Lines> = sets.iter().map(|set| Lines::of(graph, set)).collect();
    let node = |set: &ProgramSet| &graph.nodes[set.members[0]];
    let sizes: Vec<(f64, f64)> =
        sets.iter().zip(&lines).map(|(set, lines)| lines.size(node(set).role, node(set).is_entry)).collect();
    let entries: Vec<usize> = (0..sets.len()).filter(|one| node(&sets[*one]).is_entry).collect();
    let GraphLayout { width, height, boxes, routes } =
        layout(&sizes, &entries, &arrows.keys().copied().collect())?;
    let shapes = sets.iter().zip(&lines).zip(&boxes).map(|((set, lines), place)| {
        let node = node(set);
        ProgramShape {
            class: class(node.role, node.is_entry),
            outline: outline(node.role, place),
            mark: if node.is_entry { mark(place) } else { String::new() },
            labels: lines.labels(node.role, node.is_entry, place),
            names: set.members.iter().map(|one| graph.nodes[*one].name.clone()).collect(),
            place: *place,
        }
    });
    let title = |set: &ProgramSet| match set.members.len() {
        1 => node(set).name.clone(),
        more => format!("{} and {} more", node(set).name, more - 1),
    };
    let arrows = routes.iter().map(|route| {
        let (from, to) = (&sets[route.ends.0], &sets[route.ends.1]);
        let runs = arrows[&route.ends].contains(&DrawnTransition::MayRun);
        let verb = if runs { "may run" } else { "is read by" };
        ProgramArrow {
            class: if runs { "run" } else { "read" },
            path: way(route),
            title: format!("{} {verb} {}", title(from), title(to)),
        }
    });
    Some(ProgramDrawing {
        width: number(width.ceil()),
        height: number(height.ceil()),
        arrows: arrows.collect(),
        shapes: shapes.collect(),
    })
}

fn class(role: ProgramRole, is_entry: bool) -> &'static str {
    match (role, is_entry) {
        (ProgramRole::Executable, false) => "box",
        (ProgramRole::Executable, true) => "box entry",
        (ProgramRole::Script, false) => "box script",
        (ProgramRole::Script, true) => "box script entry",
        (ProgramRole::Directory, false) => "box directory",
        (ProgramRole::Directory, true) => "box directory entry",
        (ProgramRole::InterpreterOnly, _) => "box interpreter",
    }
}

/// The outline of a box: a rectangle, one with a folded corner, one with a tab, or with points.
pub fn outline(role: ProgramRole, at: &LayoutBox) -> String {
    let (x, y, right, bottom) = (at.x, at.y, at.right(), at.bottom());
    let points: Vec<(f64, f64)> = match role {
        ProgramRole::Executable => vec![(x, y), (right, y), (right, bottom), (x, bottom)],
        ProgramRole::Script => {
            let (fold, corner) = (right - FOLD, y + FOLD);
            let edge = vec![(x, y), (fold, y), (right, corner), (right, bottom), (x, bottom)];
            return format!("{}{}", polygon(&edge), line(&[(fold, y), (fold, corner), (right, corner)]));
        }
        ProgramRole::Directory => {
            let tab = x + (at.width * 0.4).min(44.0);
            vec![(x, y), (tab, y), (tab + TAB, y + TAB), (right, y + TAB), (right, bottom), (x, bottom)]
        }
        ProgramRole::InterpreterOnly => {
            let middle = y + at.height / 2.0;
            vec![
                (x + POINT, y),
                (right - POINT, y),
                (right, middle),
                (right - POINT, bottom),
                (x + POINT, bottom),
                (x, middle),
            ]
        }
    };
    polygon(&points)
}

/// The mark of an entry: a triangle that points into the box.
fn mark(at: &LayoutBox) -> String {
    let (x, middle) = (at.x + 7.0, at.y + at.height / 2.0);
    polygon(&[(x, middle - 5.0), (x + 8.0, middle), (x, middle + 5.0)])
}

fn polygon(points: &[(f64, f64)]) -> String {
    line(points) + "Z"
}

fn line(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        // A string takes all.
        let _ = write!(path, "{}{} {}", if index == 0 { 'M' } else { 'L' }, number(*x), number(*y));
    }
    path
}

/// The way of an arrow: straight in its layers, curved between them, from its first box to its second.
fn way(route: &ArrowRoute) -> String {
    let mut points: Vec<LayoutPoint> = route.points.clone();
    if route.is_back {
        points.reverse();
    }
    let mut path = format!("M{} {}", number(points[0].x), number(points[0].y));
    for (index, pair) in points.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        // A step without length would leave the arrow's head without a direction.
        if from == to {
            continue;
        }
        // Forwards it begins in a layer, backwards between two.
        let is_straight = (index % 2 == 0) != route.is_back;
        let _ = match is_straight {
            true => write!(path, "L{} {}", number(to.x), number(to.y)),
            false => {
                let bend = (from.x + to.x) / 2.0;
                write!(
                    path,
                    "C{} {} {} {} {} {}",
                    number(bend),
                    number(from.y),
                    number(bend),
                    number(to.y),
                    number(to.x),
                    number(to.y)
                )
            }
        };
    }
    path
}

/// A coordinate with one decimal at the most.
pub(super) fn number(value: f64) -> String {
    let tenths = (value * 10.0).round() as i64;
    let sign = if tenths < 0 { "-" } else { "" };
    match (tenths.abs() / 10, tenths.abs() % 10) {
        (whole, 0) => format!("{sign}{whole}"),
        (whole, tenth) => format!("{sign}{whole}.{tenth}"),
    }
}

#[cfg(test)]
mod tests;
