//! Against arithmetic done by hand, and against a model whose truth is known.

use super::*;

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 0.0005, "{a} is not {b}");
}

#[test]
fn the_estimators_are_those_of_the_literature() {
    // Five runs: two behaviours in all, one in two, three in one each (runs 0, 0 and 4).
    let all: Runs = (0..5).collect();
    let behaviours =
        [all.clone(), all, [1, 2].into_iter().collect(), Runs::one(0), Runs::one(0), Runs::one(4)];
    let found = estimate(&behaviours, 5);
    assert_eq!((found.seen, found.once, found.twice), (6, 3, 1));
    close(found.total, 6.0 + 0.8 * 3.0 * 2.0 / 4.0);
    close(found.coverage, 1.0 - 3.0 / 15.0 * (12.0 / 14.0));
    close(found.next, 0.6);
    close(found.unseen, 0.32);
    close(found.bound, upper(2, 5, 0.99));
}

#[test]
fn clean_runs_bound_by_the_rule_of_three() {
    assert_eq!([0.1, 0.05, 0.01].map(clean_runs), [29, 59, 299]);
    close(upper(0, 29, LEVEL), 0.0981);
    close(upper(0, 1, LEVEL), 0.95);
    close(upper(3, 3, LEVEL), 1.0);
    close(upper(2, 20, LEVEL), 0.2826);
    assert!(upper(0, 100_000, LEVEL) < 0.0001);
}

#[test]
fn without_runs_nothing_is_known() {
    let none = estimate(&[], 0);
    assert_eq!((none.unseen, none.bound), (1.0, 1.0));
    assert_eq!(estimate(&[Runs::one(0)], 1).coverage, 0.0, "of one run nothing follows");
}

/// A generator of numbers that is the same everywhere (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Operations of a server, each with its chance of being part of a run and the number of
/// behaviours that it alone brings; 62 in all, as redis has calls.
const OPERATIONS: [(f64, usize); 11] = [
    (1.0, 40),
    (0.9, 4),
    (0.7, 3),
    (0.5, 4),
    (0.4, 2),
    (0.3, 2),
    (0.25, 2),
    (0.15, 2),
    (0.08, 1),
    (0.04, 1),
    (0.02, 1),
];

/// Forty runs of the model, each the operations that were part of it.
fn forty(chance: &mut Chance) -> Vec<Vec<bool>> {
    (0..40).map(|_| OPERATIONS.iter().map(|(share, _)| chance.share() < *share).collect()).collect()
}

/// For 1,000 subsets of `m` of 40 runs: the estimate's mean, the truth's mean, and how
/// often the bound covered the truth.
fn measured(runs: &[Vec<bool>], m: usize, chance: &mut Chance) -> (f64, f64, [f64; 2]) {
    let (mut estimated, mut true_share, mut covered) = (0.0, 0.0, [0.0; 2]);
    for _ in 0..1000 {
        let mut order: Vec<usize> = (0..runs.len()).collect();
        for at in 0..m {
            let other = at + chance.below(order.len() - at);
            order.swap(at, other);
        }
        let (subset, rest) = order.split_at(m);
        let mut behaviours = Vec::new();
        let mut unseen = Vec::new();
        for (operation, (_, brings)) in OPERATIONS.iter().enumerate() {
            let seen: Runs = subset
                .iter()
                .enumerate()
                .filter(|(_, run)| runs[**run][operation])
                .map(|(index, _)| index)
                .collect();
            if seen.is_empty() {
                unseen.push(operation);
            }
            behaviours.extend(std::iter::repeat_n(seen, *brings));
        }
        // The truth: the chance that a run has something of what was not seen, by the model
        // and among those of the forty that are left.
        let breaks = rest.iter().filter(|run| unseen.iter().any(|one| runs[**run][*one])).count();
        let left = breaks as f64 / rest.len() as f64;
        let model = 1.0 - unseen.iter().map(|one| 1.0 - OPERATIONS[*one].0).product::<f64>();
        let found = estimate(&behaviours, m);
        estimated += found.unseen / 1000.0;
        true_share += left / 1000.0;
        covered[0] += f64::from(u8::from(found.bound >= model)) / 1000.0;
        covered[1] += f64::from(u8::from(found.bound >= left)) / 1000.0;
    }
    (estimated, true_share, covered)
}

#[test]
fn on_forty_randomised_runs_the_estimate_is_near_and_the_bound_covers() {
    for seed in 0..20 {
        let mut chance = Chance(seed);
        let runs = forty(&mut chance);
        for m in [5, 10, 20] {
            let (estimated, truth, covered) = measured(&runs, m, &mut chance);
            assert!((estimated - truth).abs() <= 0.1, "seed {seed}, m {m}: {estimated:.3} for {truth:.3}");
            assert!(
                covered.iter().all(|share| *share >= 0.95),
                "seed {seed}, m {m}: covered in {covered:.3?}"
            );
        }
    }
}
