//! Two small plots of the learning curve, as paths of an SVG.

use std::fmt::Write as _;

use super::drawing::number;
use crate::learn::estimate::Estimate;

/// The extent of a plot, in units of its view box.
pub const WIDTH: f64 = 340.0;
/// The height of a plot.
pub const HEIGHT: f64 = 200.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 28.0;

/// A plot over the number of runs: a line, a dashed line, and the band between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurvePlot {
    /// The area between the two lines.
    pub band: String,
    /// The estimate, or what was seen.
    pub line: String,
    /// The bound.
    pub dash: String,
    /// The axes.
    pub axis: String,
    /// Lines at the marks of the vertical axis.
    pub grid: String,
    /// The marks of both axes.
    pub marks: Vec<AxisMark>,
}

/// The number at a mark of an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisMark {
    /// Where it is.
    pub x: String,
    /// Its base line.
    pub y: String,
    /// `start`, `middle` or `end`, as SVG has it.
    pub anchor: &'static str,
    /// The number.
    pub text: String,
}

/// Behaviours seen, and the estimated number of all of them.
pub fn seen_plot(points: &[Estimate]) -> CurvePlot {
    let most = points.iter().map(|point| point.total).fold(1.0, f64::max);
    let step = round_step(most / 4.0);
    let top = (most / step).ceil() * step;
    let marks = (0..=(top / step).round() as usize).map(|turn| turn as f64 * step);
    plot(points, top, marks.map(|value| (value, number(value))).collect(), |point| {
        (point.seen as f64, point.total)
    })
}

/// The chance that the next run meets something unseen, and its bound.
pub fn unseen_plot(points: &[Estimate]) -> CurvePlot {
    let marks = [0.0, 0.25, 0.5, 0.75, 1.0];
    let marks = marks.map(|value| (value, format!("{:.0} %", value * 100.0))).into();
    plot(points, 1.0, marks, |point| (point.unseen, point.bound))
}

/// A step of 1, 2 or 5 times a power of ten, not less than `least`.
fn round_step(least: f64) -> f64 {
    let mut step = 1.0;
    loop {
        for times in [1.0, 2.0, 5.0] {
            if step * times >= least {
                return step * times;
            }
        }
        step *= 10.0;
    }
}

fn plot(
    points: &[Estimate],
    top: f64,
    marks: Vec<(f64, String)>,
    values: impl Fn(&Estimate) -> (f64, f64),
) -> CurvePlot {
    let (first, last) =
        (points.first().map_or(0, |point| point.runs), points.last().map_or(0, |point| point.runs));
    let x = |runs: usize| match last - first {
        0 => (LEFT + WIDTH - RIGHT) / 2.0,
        all => LEFT + (WIDTH - LEFT - RIGHT) * (runs - first) as f64 / all as f64,
    };
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top).clamp(0.0, 1.0);
    let path = |which: &dyn Fn((f64, f64)) -> f64, backwards: bool, start: char| {
        let mut path = String::new();
        let mut add = |point: &Estimate| {
            let letter = if path.is_empty() { start } else { 'L' };
            // A string takes all.
            let _ = write!(path, "{letter}{} {}", number(x(point.runs)), number(y(which(values(point)))));
        };
        if backwards {
            points.iter().rev().for_each(&mut add)
        } else {
            points.iter().for_each(&mut add)
        }
        path
    };
    let mut drawn = CurvePlot {
        band: path(&|(_, bound)| bound, false, 'M') + &path(&|(line, _)| line, true, 'L') + "Z",
        line: path(&|(line, _)| line, false, 'M'),
        dash: path(&|(_, bound)| bound, false, 'M'),
        axis: format!(
            "M{} {}V{}H{}",
            number(LEFT),
            number(TOP),
            number(HEIGHT - BOTTOM),
            number(WIDTH - RIGHT)
        ),
        grid: String::new(),
        marks: Vec::new(),
    };
    for (value, text) in marks {
        let at = number(y(value));
        let _ = write!(drawn.grid, "M{} {at}H{}", number(LEFT), number(WIDTH - RIGHT));
        drawn.marks.push(AxisMark { x: number(LEFT - 6.0), y: number(y(value) + 4.0), anchor: "end", text });
    }
    let ends = if first == last { vec![first] } else { vec![first, last] };
    for runs in ends {
        let anchor = if runs == first && first != last {
            "start"
        } else if first == last {
            "middle"
        } else {
            "end"
        };
        let text = format!("{runs} run{}", if runs == 1 { "" } else { "s" });
        drawn.marks.push(AxisMark { x: number(x(runs)), y: number(HEIGHT - 8.0), anchor, text });
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(runs: usize, seen: usize, total: f64, unseen: f64, bound: f64) -> Estimate {
        Estimate { runs, seen, once: 0, twice: 0, total, coverage: 1.0, next: 0.0, unseen, bound }
    }

    #[test]
    fn plots_stay_inside_of_their_view_box() {
        let points = [
            estimate(1, 10, 10.0, 1.0, 1.0),
            estimate(2, 14, 180.0, 0.5, 0.99),
            estimate(40, 60, 63.0, 0.02, 0.1),
        ];
        for plot in [seen_plot(&points), unseen_plot(&points), seen_plot(&points[..1]), seen_plot(&[])] {
            let all = [&plot.band, &plot.line, &plot.dash, &plot.axis, &plot.grid];
            for path in all {
                let numbers = path.split(|c: char| !c.is_ascii_digit() && c != '.' && c != '-');
                for number in numbers.filter(|part| !part.is_empty()) {
                    let value: f64 = number.parse().expect("a number");
                    assert!((0.0..=WIDTH).contains(&value), "{path}");
                }
                assert!(!path.contains("NaN"), "{path}");
            }
        }
    }

    #[test]
    fn marks_are_round() {
        for (least, step) in [(0.1, 1.0), (1.5, 2.0), (3.0, 5.0), (17.0, 20.0), (51.0, 100.0)] {
            assert_eq!(round_step(least), step);
        }
        let plot = seen_plot(&[estimate(1, 10, 10.0, 1.0, 1.0), estimate(2, 12, 15.0, 0.5, 0.9)]);
        let texts: Vec<&str> = plot.marks.iter().map(|mark| mark.text.as_str()).collect();
        assert_eq!(texts, ["0", "5", "10", "15", "1 run", "2 runs"]);
    }
}
