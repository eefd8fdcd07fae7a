//! The learning curve and what the gate says.

use askama::Template;

use super::{percent, shown};
use crate::learn::estimate::{Estimate, LEVEL, clean_runs};
use crate::report::ReportEvidence;
use crate::report::plot::{CurvePlot, HEIGHT, WIDTH, seen_plot, unseen_plot};
use crate::visible::counted;

/// Rows of the table at most.
const ROWS: usize = 30;

/// The section of the evidence.
#[derive(Template)]
#[template(path = "report/learning.html", whitespace = "minimize")]
pub(super) struct LearningPart {
    found: Option<LearningView>,
}

struct LearningView {
    name: String,
    runs: String,
    clean: String,
    level: String,
    passed: bool,
    failures: Vec<String>,
    expected: Vec<ExpectedRow>,
    labels: Vec<LabelRow>,
    domains: Vec<DomainRow>,
    phases: Vec<PhaseRow>,
    plots: Vec<PlotView>,
    points: Vec<PointRow>,
    ten_percent: usize,
    five_percent: usize,
}

struct ExpectedRow {
    behaviour: String,
    runs: usize,
}

struct LabelRow {
    name: String,
    runs: usize,
    novel: usize,
}

struct DomainRow {
    name: &'static str,
    seen: usize,
    total: String,
    coverage: String,
}

struct PhaseRow {
    name: &'static str,
    unseen: String,
    bound: String,
}

struct PlotView {
    id: &'static str,
    title: &'static str,
    about: String,
    plot: CurvePlot,
    width: f64,
    height: f64,
}

struct PointRow {
    runs: usize,
    seen: usize,
    total: String,
    unseen: String,
    bound: String,
}

impl LearningPart {
    pub fn of(evidence: Option<&ReportEvidence>) -> LearningPart {
        LearningPart { found: evidence.map(view) }
    }
}

fn view(evidence: &ReportEvidence) -> LearningView {
    let confidence = &evidence.confidence;
    let gate = &confidence.gate;
    let all = confidence.all.all;
    let level = percent(LEVEL);
    let domain = |(name, phases): (&&'static str, &crate::learn::confidence::Phases)| DomainRow {
        name,
        seen: phases.all.seen,
        total: format!("{:.0}", phases.all.total),
        coverage: percent(phases.all.coverage),
    };
    let phase = |(name, found): (&'static str, Estimate)| PhaseRow {
        name,
        unseen: percent(found.unseen),
        bound: percent(found.bound),
    };
    let seen = format!(
        "{} seen in {}; the dashed line is the estimated number of all, a lower bound (Chao2), and the band is what \
         is estimated to be missing.",
        counted(all.seen, "behaviour"),
        counted(all.runs, "run")
    );
    let unseen = format!(
        "The line is the share of runs that showed what no other did; the dashed line bounds the chance at {level}, \
         and the band is between them: {} and {}.",
        percent(all.unseen),
        percent(all.bound)
    );
    let plots = [
        ("curve-seen", "Behaviours seen, run by run", seen, seen_plot(&evidence.curve)),
        (
            "curve-unseen",
            "Chance that the next run meets something unseen",
            unseen,
            unseen_plot(&evidence.curve),
        ),
    ];
    LearningView {
        name: shown(&evidence.name),
        runs: counted(all.runs, "run"),
        clean: format!("{} of them ended cleanly", evidence.clean),
        level: level.clone(),
        passed: gate.passed(),
        failures: gate.failures.iter().map(|failure| shown(failure)).collect(),
        expected: gate
            .expected
            .iter()
            .map(|(behaviour, runs)| ExpectedRow { behaviour: shown(behaviour), runs: *runs })
            .collect(),
        labels: gate
            .labels
            .iter()
            .map(|(name, label)| LabelRow { name: shown(name), runs: label.runs, novel: label.novel })
            .collect(),
        domains: confidence.domains.iter().map(domain).collect(),
        phases: [
            ("any phase", confidence.all.all),
            ("start-up", confidence.all.startup),
            ("serving", confidence.all.serving),
        ]
        .map(phase)
        .into(),
        plots: plots
            .into_iter()
            .map(|(id, title, about, plot)| PlotView { id, title, about, plot, width: WIDTH, height: HEIGHT })
            .collect(),
        points: points(&evidence.curve),
        ten_percent: clean_runs(0.10),
        five_percent: clean_runs(0.05),
    }
}

/// Rows of the table, in even steps, the last one among them.
fn points(curve: &[Estimate]) -> Vec<PointRow> {
    let step = curve.len().div_ceil(ROWS).max(1);
    let is_row = |index: usize| index.is_multiple_of(step) || index + 1 == curve.len();
    let row = |point: &Estimate| PointRow {
        runs: point.runs,
        seen: point.seen,
        total: format!("{:.0}", point.total),
        unseen: percent(point.unseen),
        bound: percent(point.bound),
    };
    curve.iter().enumerate().filter(|(index, _)| is_row(*index)).map(|(_, point)| row(point)).collect()
}
