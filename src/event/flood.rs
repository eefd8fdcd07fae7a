//! Flood control. Of each pair of a program and a rule, the first ten violations are written
//! whole, and after these the first of each distinct object (a file, an address, a name); then one
//! summary a second with the count of the others, and the objects that it sums up. No count is
//! lost, and memory is bounded whatever the app does.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use super::model::{Violation, ViolationObject, ViolationSummary};
use super::names::ActionTaken;

/// How many violations of a pair are written whole.
const WHOLE: u32 = 10;
/// The time between two summaries of a pair.
const TICK: Duration = Duration::from_secs(1);
/// After this time without a violation a pair starts anew, and an object is new again.
const QUIET: Duration = Duration::from_secs(60);
/// How many pairs are counted apart; all others share one.
const PAIRS: usize = 256;
/// How many distinct objects are known at a time, and so are written in [`QUIET`].
const OBJECTS: usize = 4096;
/// The same of what is allowed and only observed: a person in audit wants to see all of it.
const OBSERVED: usize = 65_536;
/// How many objects a summary lists.
const LISTED: usize = 16;

/// Counts violations by pair, and decides which are written.
#[derive(Debug, Default)]
pub struct FloodLimiter {
    pairs: HashMap<String, Pair>,
    overflow: Pair,
    objects: Objects,
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
    objects: Vec<String>,
}

impl FloodLimiter {
    /// Counts a violation, and returns it where it is to be written now.
    pub fn record(&mut self, now: Instant, violation: Box<Violation>) -> Option<Box<Violation>> {
        let key = key(&violation);
        let is_new = self.objects.is_new(now, &key, &violation);
        let written = self.pair(now, key).record(now, violation, is_new);
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
    fn record(&mut self, now: Instant, violation: Box<Violation>, is_new: bool) -> Option<Box<Violation>> {
        if self.suppressed.is_none() && self.quiet(now) {
            self.whole = 0;
        }
        self.last = Some(now);
        if self.whole < WHOLE {
            self.whole += 1;
            return Some(violation);
        }
        if is_new {
            return Some(violation);
        }
        let label = label(&violation.object);
        let suppressed = match &mut self.suppressed {
            Some(suppressed) => {
                suppressed.count += 1;
                suppressed.sample = violation;
                suppressed
            }
            none => none.insert(Suppressed { count: 1, since: now, sample: violation, objects: Vec::new() }),
        };
        if suppressed.objects.len() < LISTED
            && let Some(label) = label.filter(|label| !suppressed.objects.contains(label))
        {
            suppressed.objects.push(label);
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
        self.sample.summary = Some(ViolationSummary { count: self.count, over, objects: self.objects });
        self.sample
    }
}

/// The objects of violations that were written, by a hash that the app cannot foretell, and when
/// each was met last.
#[derive(Debug, Default)]
struct Objects {
    hasher: RandomState,
    met: HashMap<u64, Instant>,
    /// When those that were not met for long were forgotten last.
    swept: Option<Instant>,
}

impl Objects {
    /// Whether this pair's violation of this object is the first, or the first in a long time; and
    /// there is room to know it again.
    fn is_new(&mut self, now: Instant, pair: &str, violation: &Violation) -> bool {
        let Some(label) = label(&violation.object) else { return false };
        let object = self.hasher.hash_one((pair, label));
        let old = |met: &Instant| now.saturating_duration_since(*met) >= QUIET;
        if let Some(met) = self.met.get_mut(&object) {
            let is_new = old(met);
            *met = now;
            return is_new;
        }
        let most = if violation.action == ActionTaken::Observed { OBSERVED } else { OBJECTS };
        if self.met.len() >= most
            && self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= TICK)
        {
            self.swept = Some(now);
            self.met.retain(|_, met| !old(met));
        }
        let has_room = self.met.len() < most;
        if has_room {
            self.met.insert(object, now);
        }
        has_room
    }
}

/// What a summary calls an object; `None` for a system call, of which the pair has the name, and
/// whose arguments may be addresses that differ each time.
fn label(object: &ViolationObject) -> Option<String> {
    const LONGEST: usize = 256;
    let mut label = match object {
        ViolationObject::Path { path, access } if access.is_empty() => path.display().to_string(),
        ViolationObject::Path { path, access } => format!("{} {}", path.display(), access.join(",")),
        ViolationObject::Address { address, access } => format!("{address} {access}"),
        ViolationObject::Name { name } => name.clone().into_owned(),
        ViolationObject::Variable(fault) => format!("{}={}", fault.name, fault.value),
        ViolationObject::Syscall { .. } => return None,
    };
    label.truncate(label.floor_char_boundary(LONGEST));
    Some(label)
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
        let summaries = violations.iter().map(|violation| violation.summary.as_ref());
        summaries.map(|summary| summary.map_or(1, |summary| summary.count)).collect()
    }

    #[test]
    fn ten_whole_then_one_summary_a_second() {
        let mut limiter = FloodLimiter::default();
        let start = Instant::now();
        let whole = (0..51).filter(|_| limiter.record(start, violation("/a", "ptrace")).is_some()).count();
        assert_eq!(whole, 10);
        assert_eq!(limiter.due(), Some(start + TICK));
        let summaries = limiter.flush(start + TICK);
        assert_eq!(
            summaries[0].summary,
            Some(ViolationSummary { count: 41, over: TICK, objects: Vec::new() })
        );
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

    fn opened(program: &str, path: &str) -> Box<Violation> {
        let object = ViolationObject::Path { path: path.into(), access: vec!["write"] };
        Box::new(Violation {
            kind: ViolationKind::File,
            object,
            rule: "/files".into(),
            ..*violation(program, "")
        })
    }

    #[test]
    fn the_first_of_each_object_is_written_whatever_came_before() {
        let mut limiter = FloodLimiter::default();
        let now = Instant::now();
        let mut written = |path: &str| limiter.record(now, opened("/a", path)).is_some();
        assert!((0..50).all(|number| written(&format!("/data/{number}"))));
        assert!((0..50).all(|number| !written(&format!("/data/{number}"))), "each once");
        assert!(written("/usr/bin/evil") && !written("/usr/bin/evil"));
        assert!(limiter.record(now, opened("/b", "/data/1")).is_some(), "another program's");
        let summaries = limiter.flush(now + TICK);
        let summary = summaries[0].summary.as_ref().expect("a summary");
        assert_eq!((summaries.len(), summary.count, summary.objects.len()), (1, 51, LISTED));
        assert_eq!(summary.objects[1], "/data/1 write");
        // After a quiet minute it is new again, though its pair was not quiet.
        limiter.record(now + QUIET / 2, opened("/a", "/data/1"));
        let later = now + QUIET;
        limiter.flush(later);
        assert!(limiter.record(later, opened("/a", "/data/2")).is_some());
        assert!(limiter.record(later, opened("/a", "/data/1")).is_none());
    }

    #[test]
    fn as_many_objects_are_known_as_fit_and_more_in_audit() {
        for (action, most) in [(ActionTaken::Denied, OBJECTS), (ActionTaken::Observed, OBSERVED)] {
            let mut limiter = FloodLimiter::default();
            let now = Instant::now();
            let mut record = |now, number: usize| {
                let mut violation = opened("/a", &format!("/data/{number}"));
                violation.action = action;
                limiter.record(now, violation).is_some()
            };
            assert_eq!((0..most + 100).filter(|&number| record(now, number)).count(), most);
            let mut count = || limiter.flush(now + TICK)[0].summary.as_ref().map(|summary| summary.count);
            assert_eq!(count(), Some(100));
            let mut record =
                |now, number: usize| limiter.record(now, opened("/a", &format!("/new/{number}"))).is_some();
            assert!(record(now + QUIET, 0), "the old ones are forgotten");
        }
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
