//! Flood control. Of each pair of a program and a rule, the first ten violations are written
//! whole, then one summary a second with their count. No count is lost, and memory is bounded
//! whatever the app does.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::model::{Summary, Violation, ViolationObject};
use super::names::ActionTaken;

/// How many violations of a pair are written whole.
const WHOLE: u32 = 10;
/// The time between two summaries of a pair.
const TICK: Duration = Duration::from_secs(1);
/// After this time without a violation a pair starts anew.
const QUIET: Duration = Duration::from_secs(60);
/// How many pairs are counted apart; all others share one.
const PAIRS: usize = 256;

/// Counts violations by pair, and decides which are written.
#[derive(Debug, Default)]
pub struct FloodLimiter {
    pairs: HashMap<String, Pair>,
    overflow: Pair,
    due: Option<Instant>,
}

#[derive(Debug, Default)]
struct Pair {
    whole: u32,
    last: Option<Instant>,
    suppressed: Option<Suppressed>,
}

/// The violations of a pair that were suppressed since its last line.
#[derive(Debug)]
struct Suppressed {
    count: u64,
    since: Instant,
    sample: Box<Violation>,
}

impl FloodLimiter {
    /// Counts a violation, and returns it where it is to be written now.
    pub fn record(&mut self, now: Instant, violation: Box<Violation>) -> Option<Box<Violation>> {
        let pair = self.pair(now, key(&violation));
        let written = pair.record(now, violation);
        if written.is_none() && self.due.is_none() {
            self.due = Some(now + TICK);
        }
        written
    }

    /// When [`FloodLimiter::flush`] is due; `None` while nothing is suppressed.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes a summary of each pair that has suppressed violations, sorted by program and rule.
    /// All pairs share the tick, so a flood of many pairs costs one wake-up a second.
    pub fn flush(&mut self, now: Instant) -> Vec<Box<Violation>> {
        self.due = None;
        let mut suppressed = BTreeMap::new();
        suppressed.extend(
            self.pairs.iter_mut().filter_map(|(key, pair)| Some((key.as_str(), pair.suppressed.take()?))),
        );
        let mut summaries: Vec<Box<Violation>> =
            suppressed.into_values().map(|suppressed| suppressed.summary(now)).collect();
        if let Some(mut suppressed) = self.overflow.suppressed.take() {
            // The sample is of one pair, the count of many.
            suppressed.sample.object =
                ViolationObject::Name { name: Cow::Borrowed("other programs and rules") };
            suppressed.sample.rule = Cow::Borrowed("");
            suppressed.sample.hint.clear();
            summaries.push(suppressed.summary(now));
        }
        summaries
    }

    fn pair(&mut self, now: Instant, key: String) -> &mut Pair {
        if self.pairs.len() >= PAIRS && !self.pairs.contains_key(&key) {
            self.pairs.retain(|_, pair| pair.suppressed.is_some() || !pair.quiet(now));
            if self.pairs.len() >= PAIRS {
                return &mut self.overflow;
            }
        }
        self.pairs.entry(key).or_default()
    }
}

impl Pair {
    fn record(&mut self, now: Instant, violation: Box<Violation>) -> Option<Box<Violation>> {
        if self.suppressed.is_none() && self.quiet(now) {
            self.whole = 0;
        }
        self.last = Some(now);
        if self.whole < WHOLE {
            self.whole += 1;
            return Some(violation);
        }
        match &mut self.suppressed {
            Some(suppressed) => {
                suppressed.count += 1;
                suppressed.sample = violation;
            }
            None => self.suppressed = Some(Suppressed { count: 1, since: now, sample: violation }),
        }
        None
    }

    fn quiet(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) >= QUIET)
    }
}

impl Suppressed {
    fn summary(mut self, now: Instant) -> Box<Violation> {
        let over = now.saturating_duration_since(self.since);
        self.sample.summary = Some(Summary { count: self.count, over });
        self.sample
    }
}

/// The key of a pair: the program and the rule. For a system call it includes the call's name:
/// otherwise a flood of one call would hide the first of another. Killed processes are counted
/// apart from refused calls, since their program had already started.
fn key(violation: &Violation) -> String {
    let program = violation.process.executable.as_ref().map(|executable| executable.path.to_string_lossy());
    let call = match &violation.object {
        ViolationObject::Syscall { syscall, .. } => syscall,
        _ => "",
    };
    let killed = if violation.action == ActionTaken::Killed { "killed" } else { "" };
    format!("{}\0{}\0{call}\0{killed}", program.unwrap_or_default(), violation.rule)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::model::{ExecutablePath, Process};
    use super::super::names::{ActionTaken, ViolationKind};
    use super::*;

    fn violation(program: &str, call: &str) -> Box<Violation> {
        Box::new(Violation {
            kind: ViolationKind::Syscall,
            action: ActionTaken::Denied,
            errno: None,
            object: ViolationObject::Syscall { syscall: call.to_owned().into(), args: Vec::new() },
            rule: "/syscalls".into(),
            summary: None,
            process: Process {
                executable: Some(ExecutablePath { path: PathBuf::from(program) }),
                ..Process::default()
            },
            ancestors: Vec::new(),
            hint: Vec::new(),
        })
    }

    fn counts(violations: &[Box<Violation>]) -> Vec<u64> {
        violations.iter().map(|violation| violation.summary.map_or(1, |summary| summary.count)).collect()
    }

    #[test]
    fn ten_whole_then_one_summary_a_second() {
        let mut limiter = FloodLimiter::default();
        let start = Instant::now();
        let whole = (0..51).filter(|_| limiter.record(start, violation("/a", "ptrace")).is_some()).count();
        assert_eq!(whole, 10);
        assert_eq!(limiter.due(), Some(start + TICK));
        let summaries = limiter.flush(start + TICK);
        assert_eq!(summaries[0].summary, Some(Summary { count: 41, over: TICK }));
        assert_eq!(summaries.len(), 1);
        assert_eq!(limiter.due(), None);
        assert!(limiter.flush(start + TICK * 2).is_empty());
        // Still in the flood: suppressed at once.
        assert!(limiter.record(start + TICK * 2, violation("/a", "ptrace")).is_none());
        assert_eq!(counts(&limiter.flush(start + TICK * 3)), [1]);
    }

    #[test]
    fn pairs_are_apart() {
        let mut limiter = FloodLimiter::default();
        let now = Instant::now();
        for _ in 0..100 {
            limiter.record(now, violation("/b", "ptrace"));
            limiter.record(now, violation("/a", "ptrace"));
        }
        assert!(limiter.record(now, violation("/a", "mount")).is_some());
        let summaries = limiter.flush(now + TICK);
        assert_eq!(counts(&summaries), [90, 90]);
        assert_eq!(summaries[0].process.executable.as_ref().unwrap().path, PathBuf::from("/a"));
    }

    #[test]
    fn a_pair_starts_anew_after_a_quiet_minute() {
        let mut limiter = FloodLimiter::default();
        let now = Instant::now();
        for _ in 0..10 {
            assert!(limiter.record(now, violation("/a", "ptrace")).is_some());
        }
        let almost = now + QUIET - Duration::from_millis(1);
        assert!(limiter.record(almost, violation("/a", "ptrace")).is_none());
        // A minute has passed, but the suppressed one has to be written first.
        let later = almost + QUIET;
        assert!(limiter.record(later, violation("/a", "ptrace")).is_none());
        assert_eq!(counts(&limiter.flush(later)), [2]);
        assert!(limiter.record(later + QUIET, violation("/a", "ptrace")).is_some());
    }

    #[test]
    fn memory_is_bounded_and_no_count_is_lost() {
        let mut limiter = FloodLimiter::default();
        let mut now = Instant::now();
        let (mut made, mut written) = (0, 0);
        for round in 0..3u32 {
            for program in 0..1000 {
                for _ in 0..20 {
                    made += 1;
                    let name = format!("/{round}/{program}");
                    written += u64::from(limiter.record(now, violation(&name, "ptrace")).is_some());
                }
            }
            assert_eq!(limiter.pairs.len(), PAIRS);
            now += TICK;
            let summaries = limiter.flush(now);
            assert!(summaries.len() <= PAIRS + 1);
            written += counts(&summaries).iter().sum::<u64>();
            assert_eq!(made, written);
        }
        // The overflow says so.
        limiter.record(now, violation("/yet/another", "ptrace"));
        let overflow = limiter.flush(now + TICK).pop().unwrap();
        assert_eq!(overflow.object, ViolationObject::Name { name: "other programs and rules".into() });
        assert_eq!((&*overflow.rule, overflow.hint.len()), ("", 0));
        // After a quiet minute there is room again.
        now += QUIET;
        assert!(limiter.record(now, violation("/new", "ptrace")).is_some());
        assert_eq!(limiter.pairs.len(), 1);
    }
}
