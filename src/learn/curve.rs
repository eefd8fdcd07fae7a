//! The learning curve: what the estimators said after each run, in the order of the runs' names, which begin
//! with the app's name and the time.

use std::collections::BTreeMap;

use super::build::Reason;
use super::confidence;
use super::estimate::{Estimate, estimate};
use super::observations::Observations;
use super::runs::Runs;

/// The estimates after so many runs, from one run to all of them; at most `most` of them, in even steps.
/// The behaviours are those of [`confidence()`](super::confidence()).
pub fn curve(observations: &Observations, grants: &BTreeMap<&str, &Reason>, most: usize) -> Vec<Estimate> {
    let behaviours: Vec<Runs> = confidence::behaviours(observations, grants)
        .values()
        .flat_map(BTreeMap::values)
        .map(|seen| seen.runs())
        .collect();
    let runs = observations.runs().len();
    let step = runs.div_ceil(most.max(1)).max(1);
    let after = |runs: usize| {
        let of_these: Vec<Runs> =
            behaviours.iter().map(|seen| seen.iter().take_while(|run| *run < runs).collect()).collect();
        estimate(&of_these, runs)
    };
    let mut points: Vec<Estimate> = (1..=runs).step_by(step).map(after).collect();
    if points.last().is_some_and(|last| last.runs < runs) {
        points.push(after(runs));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{self, Wanted};

    fn observations(paths: &[&[&str]]) -> Observations {
        let mut observations = Observations::default();
        for (run, paths) in paths.iter().enumerate() {
            let mut lines = vec![format!(
                r#"{{"journal":1,"run":"app-{run:04}","command":["app"],"label":"","exact":false,"fingerprint":{{"arch":"x86_64"}},"outer":{{}}}}"#
            )];
            for path in *paths {
                lines.push(format!(
                    r#"{{"t":1,"phase":"serving","kind":"open","program":"/bin/app","result":"ok","path":"{path}","access":["read"]}}"#
                ));
            }
            lines.push(format!(
                r#"{{"t":9,"end":{{"exit":{{"code":0}},"clean":true,"lines":{},"dropped":0}}}}"#,
                paths.len()
            ));
            let name = format!("journal {run}");
            learn::journal::read(&name, lines.join("\n").as_bytes(), false, &mut observations)
                .expect("a journal");
        }
        observations.settle();
        observations
    }

    #[test]
    fn it_rises_with_each_new_behaviour() {
        let observations =
            observations(&[&["/srv/a"], &["/srv/a", "/srv/b"], &["/srv/a"], &["/srv/a", "/srv/b", "/srv/c"]]);
        let learned = learn::build(&observations, &Wanted::default());
        let grants = learned.reasons.iter().map(|(key, reason)| (key.as_str(), reason)).collect();
        let points = curve(&observations, &grants, 100);
        let seen: Vec<(usize, usize)> = points.iter().map(|point| (point.runs, point.seen)).collect();
        let first = seen[0].1;
        assert_eq!(seen, [(1, first), (2, first + 1), (3, first + 1), (4, first + 2)]);
        let all = learn::confidence(&observations, &grants, &[]).expect("no expectation").all.all;
        assert_eq!(points[3], all, "the last point is the estimate of all runs");
        let few: Vec<usize> = curve(&observations, &grants, 2).iter().map(|point| point.runs).collect();
        assert_eq!(few, [1, 3, 4]);
        assert_eq!(curve(&Observations::default(), &grants, 10), []);
    }
}
