//! `remit explain`: what a profile permits and stops, in plain sentences; why an item is there; what a
//! violation means.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::reach::{self, ReachSource};
use super::reviewed::{self, ReviewedProfile, TextLines};
use super::{Format, ToolError, VerbOutput, VerbResult, named_file};
use crate::enforce::source::beside;
use crate::event::lines::BoundedLines;
use crate::event::stream::{Origin, Provenance};
use crate::kernel::Arch;
use crate::profile::{self, Fallback};
use crate::reach::compare::ReachComparison;
use crate::review::attacks::{AttackStop, attacks};
use crate::review::item::{self, ItemExplanation};
use crate::review::line::AllowingLine;
use crate::review::summary::summary;
use crate::review::violation::{self, LooksLike, StartContext, ViolationEvent, ViolationExplanation};
use crate::review::{Permission, ProfileReview, ReviewInput, RiskLevel};
use crate::syscalls;
use crate::visible::sgr::{BOLD, BOLD_GREEN, BOLD_RED, BOLD_YELLOW, CYAN, DIM, GREEN, RED, YELLOW};

/// The arguments of `remit explain`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  remit explain nginx\n  remit explain nginx ptrace\n\n\
                        Exit codes: 0 explained, 2 bad input.")]
pub(super) struct ExplainArguments {
    /// A file (with a slash, or ending in .json), or a name of `remit profiles`
    profile: String,
    /// What to explain: a JSON Pointer such as /files/2, a path, an endpoint such as tcp/80, the name of a
    /// call, a group, a capability or a variable; or an event as EVENTS:LINE, or - for stdin
    #[arg(value_name = "ITEM|EVENTS:LINE")]
    item: Option<String>,
    /// A log with the event to explain; --seq says which
    #[arg(long, value_name = "EVENTS", requires = "seq", conflicts_with = "item")]
    event: Option<PathBuf>,
    /// The event's number
    #[arg(long, value_name = "N", requires = "event")]
    seq: Option<u64>,
    /// Take only events with this nonce, which is in a start's first event; by default the one with which
    /// the log begins
    #[arg(long, value_name = "NONCE")]
    nonce: Vec<String>,
    #[command(flatten)]
    reach: ReachSource,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &ExplainArguments) -> VerbResult {
    let reviewed = reviewed::profile(&arguments.profile)?;
    let wanted = match (&arguments.event, arguments.seq) {
        (Some(path), Some(seq)) => Some((path.clone(), Sought::Seq(seq))),
        _ => arguments.item.as_deref().and_then(event_of),
    };
    if let Some((path, sought)) = wanted {
        let found = found(&path, sought, &arguments.nonce)?;
        let explained = violation::explain(&reviewed.document, &found.event, &found.start);
        return Ok(match arguments.format {
            Format::Text => VerbOutput::escaped(of_event(&reviewed, &explained, &found), 0),
            Format::Json => VerbOutput::plain(event_json(&explained, &found).to_string(), 0),
        });
    }
    let review = ProfileReview::of(&reviewed.document, reviewed.evidence.as_ref());
    let reach = reachable(arguments, &reviewed)?;
    let reach = reach.as_ref();
    let Some(item) = &arguments.item else {
        return Ok(match arguments.format {
            Format::Text => VerbOutput::escaped(of_profile(&reviewed, &review, reach), 0),
            Format::Json => VerbOutput::plain(profile_json(&reviewed, &review, reach).to_string(), 0),
        });
    };
    let mut explained = item::explain(&reviewed.document, &review, item).map_err(ToolError::Item)?;
    explained.notes.extend(reach.and_then(|reach| of_call(item, reach)));
    Ok(match arguments.format {
        Format::Text => VerbOutput::escaped(of_item(&reviewed, item, &explained), 0),
        Format::Json => VerbOutput::plain(item_json(item, &explained).to_string(), 0),
    })
}

/// The profile beside what its programs can call, where that was named.
fn reachable(
    arguments: &ExplainArguments,
    reviewed: &ReviewedProfile,
) -> Result<Option<ReachComparison>, ToolError> {
    if !arguments.reach.is_given() {
        return Ok(None);
    }
    let profile = &reviewed.document.profile;
    let learned = match reviewed.evidence {
        Some(_) => reach::learned(&beside(Path::new(&reviewed.name)))?,
        None => None,
    };
    let arch = learned.as_ref().and_then(|learned| learned.arch).unwrap_or(Arch::THIS);
    let found = arguments.reach.find(profile, arch)?;
    found.map(|found| reach::compare(&reviewed.name, profile, learned, &found)).transpose()
}

/// A note on whether code can make a call, and what would make it.
fn of_call(item: &str, reach: &ReachComparison) -> Option<String> {
    syscalls::find(item)?;
    if reach.alarms.contains(item) {
        return Some(format!(
            "ALARM: {item} was learned, and no code can make it: the journal or the image is not what it seems."
        ));
    }
    if let Some(row) = reach.rows.iter().find(|row| row.call == item) {
        let dangerous = row.danger.map(|danger| format!(" It is dangerous: {danger}.")).unwrap_or_default();
        return Some(format!(
            "Code can make it, and no run has shown it; what would make it: {} ({}).{dangerous}",
            row.exercise,
            row.path.join(" → ")
        ));
    }
    let is_used = reach.used.as_ref().is_some_and(|used| used.contains(item));
    Some(match &reach.open {
        _ if is_used => format!("{item} was used by a run, or is of those that runs do not watch."),
        _ if reach.listed.contains(item) && !reach.needless.contains(item) && reach.open.is_none() => {
            "Code can make it.".to_owned()
        }
        Some(open) => format!("{open}, so it is not known whether code can make it."),
        None => "No code can make it.".to_owned(),
    })
}

/// The most calls in between that the text of a profile lists with what would make them.
const MOST_ROWS: usize = 12;

fn lines_of_reach(lines: &mut TextLines, reach: &ReachComparison) {
    lines.put("");
    lines.put_in(BOLD, "What the programs can call at all");
    lines.put(format!("  {}", reach.sentence()));
    if let Some(alarm) = reach.alarm_sentence() {
        lines.put_in(BOLD_RED, format!("  ALARM: {alarm}"));
    }
    if let Some(open) = &reach.open {
        lines.put(format!("  {open}, so nothing is said of learned calls."));
    }
    let dangerous = reach.rows.iter().filter(|row| row.danger.is_some());
    for row in dangerous.take(MOST_ROWS) {
        let state = if row.is_allowed { "allowed" } else { "refused" };
        lines.put(format!("- {} ({state}): {}", row.call, row.danger.unwrap_or_default()));
        lines.put(format!("{:12}{}", "", row.exercise));
        lines.put(format!("{:12}{}", "", row.path.join(" → ")));
    }
    let others: Vec<&str> =
        reach.rows.iter().filter(|row| row.danger.is_none()).map(|row| row.call.as_str()).collect();
    if !others.is_empty() {
        lines.put(format!("  the others: {}", others.join(", ")));
    }
    if !reach.needless.is_empty() {
        let names: Vec<&str> = reach.needless.iter().map(String::as_str).collect();
        lines.put(format!("  allowed, and no code can make it: {}", names.join(", ")));
    }
}

/// The most risky permissions that the text of a profile lists.
const RISKIEST: usize = 12;

fn of_profile(reviewed: &ReviewedProfile, review: &ProfileReview, reach: Option<&ReachComparison>) -> String {
    let document = &reviewed.document;
    let input = ReviewInput::of(&document.profile);
    let mut lines = TextLines::new();
    let place = format!(" ({}, {})", reviewed.name, document.digest);
    lines.put_parts(&[(BOLD, &document.profile.name), (DIM, &place)]);
    lines.put("");
    lines.put_in(BOLD, "What the app may do");
    for line in summary(&input) {
        lines.put_parts(&[(CYAN, &format!("  {:<13} ", line.about)), ("", line.text.as_ref())]);
    }
    let mut risky: Vec<&Permission> =
        review.permissions.iter().filter(|one| one.risk >= RiskLevel::Moderate).collect();
    risky.sort_by_key(|one| std::cmp::Reverse(one.risk));
    lines.put("");
    let head = match risky.len() {
        0 => "No permission of it is risky".to_owned(),
        count if count > RISKIEST => format!("The riskiest of what it may do ({RISKIEST} of {count})"),
        _ => "The riskiest of what it may do".to_owned(),
    };
    lines.put_in(BOLD, head);
    reviewed::permissions(&mut lines, " ", risky.into_iter().take(RISKIEST), reviewed);
    let attacks = attacks(&input);
    for (stops, head) in
        [(true, "What it may not do, and which attacks that stops"), (false, "What it does not stop")]
    {
        let here: Vec<&AttackStop> = attacks.iter().filter(|one| one.stops == stops).collect();
        if here.is_empty() {
            continue;
        }
        lines.put("");
        lines.put_in(BOLD, head);
        lines_of_degraded(&mut lines, reviewed, stops);
        for one in here {
            let mark = if stops { (GREEN, "+ ") } else { (YELLOW, "- ") };
            lines.put_parts(&[mark, ("", one.sentence.as_ref())]);
        }
    }
    if let Some(reach) = reach {
        lines_of_reach(&mut lines, reach);
    }
    lines.put("");
    lines
        .put("docs/guarantees.md says what enforces each of these, and `remit plan` what this kernel lacks.");
    if let Some(stale) = reviewed.stale() {
        lines.put(format!("note: {stale}"));
    }
    lines.text()
}

/// What is stopped is stopped by layers that a kernel may lack.
fn lines_of_degraded(lines: &mut TextLines, reviewed: &ReviewedProfile, stops: bool) {
    if stops && reviewed.document.profile.fallback == Fallback::Degrade {
        lines.put(DEGRADED);
    }
}

const DEGRADED: &str = "(where every layer is active: with \"fallback\": \"degrade\" the app starts also on a kernel that \
                        lacks some, and the start event lists these)";

fn profile_json(
    reviewed: &ReviewedProfile,
    review: &ProfileReview,
    reach: Option<&ReachComparison>,
) -> Value {
    let input = ReviewInput::of(&reviewed.document.profile);
    let attacks = attacks(&input);
    let attacks =
        attacks.iter().map(|one| json!({ "id": one.id, "stops": one.stops, "sentence": one.sentence }));
    let lines = summary(&input);
    let lines = lines.iter().map(|line| json!({ "about": line.about, "text": line.text }));
    let degraded = reviewed.document.profile.fallback == Fallback::Degrade;
    let notes: Vec<String> =
        reviewed.stale().into_iter().chain(degraded.then(|| DEGRADED.to_owned())).collect();
    json!({
        "explain": 1,
        "profile": reviewed.document.profile.name,
        "file": reviewed.name,
        "digest": reviewed.document.digest,
        "summary": lines.collect::<Vec<_>>(),
        "permissions": review.permissions.iter().map(Permission::json).collect::<Vec<_>>(),
        "attacks": attacks.collect::<Vec<_>>(),
        "notes": notes,
        "reach": reach.map(ReachComparison::json),
    })
}

fn of_item(reviewed: &ReviewedProfile, item: &str, explained: &ItemExplanation) -> String {
    let mut lines = TextLines::new();
    lines.put_parts(&[(BOLD, item), ("", &format!(": {}", explained.what))]);
    reviewed::permissions(&mut lines, "+", &explained.permissions, reviewed);
    if reviewed.evidence.is_none() && !explained.permissions.is_empty() {
        lines.put("No evidence is beside the profile, so which run needed it is not known.");
    }
    for note in &explained.notes {
        lines.put(note);
    }
    if let Some(allowing) = &explained.allowing {
        lines.put("This would allow it:");
        line(&mut lines, allowing);
    }
    lines.text()
}

fn item_json(item: &str, explained: &ItemExplanation) -> Value {
    json!({
        "explain": 1,
        "item": item,
        "what": explained.what,
        "granted": !explained.permissions.is_empty(),
        "permissions": explained.permissions.iter().map(Permission::json).collect::<Vec<_>>(),
        "notes": explained.notes,
        "allowing": explained.allowing.as_ref().map(allowing_json),
    })
}

fn line(lines: &mut TextLines, allowing: &AllowingLine) {
    for gone in &allowing.gone {
        lines.put_in(RED, format!("  - {gone}"));
    }
    for new in &allowing.lines {
        lines.put_in(GREEN, format!("  + {new}"));
    }
    lines.put(format!("  as a JSON Patch: {}", serde_json::to_string(&allowing.patch).unwrap_or_default()));
}

fn allowing_json(allowing: &AllowingLine) -> Value {
    json!({ "patch": allowing.patch, "lines": allowing.lines, "gone": allowing.gone })
}

/// Which event of a log is meant.
#[derive(Clone, Copy)]
enum Sought {
    /// The line of this number, from 1.
    Line(u64),
    /// The event of this number in its start.
    Seq(u64),
    /// The first violation.
    First,
}

/// The log and line that an item names: `-`, or `FILE:LINE` where that is no endpoint.
fn event_of(item: &str) -> Option<(PathBuf, Sought)> {
    if item == "-" {
        return Some(("-".into(), Sought::First));
    }
    let (file, number) = item.rsplit_once(':')?;
    let number: u64 = number.parse().ok()?;
    let is_log =
        Path::new(file).exists() || [".jsonl", ".json", ".log"].iter().any(|end| file.ends_with(end));
    (profile::endpoint(item).is_err() && is_log).then(|| (file.into(), Sought::Line(number)))
}

/// An event, with what its log says of the start.
struct FoundEvent {
    event: ViolationEvent,
    line: u64,
    file: PathBuf,
    start: StartContext,
    /// What the log does not prove.
    doubts: Vec<String>,
}

/// The keys of every event.
#[derive(Deserialize)]
struct EventHead {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    unlike: Vec<String>,
}

fn found(path: &Path, sought: Sought, nonces: &[String]) -> Result<FoundEvent, ToolError> {
    let failed = |error| ToolError::File { path: path.to_owned(), error };
    let input: Box<dyn BufRead> = match path {
        path if path == Path::new("-") => Box::new(io::stdin().lock()),
        path => Box::new(BufReader::new(named_file::open(path).map_err(failed)?)),
    };
    let bad = |line: Option<u64>, what: String| ToolError::Event { path: path.to_owned(), line, what };
    let mut provenance = Provenance::of(nonces);
    let mut lines = BoundedLines::of(input);
    let (mut start, mut nonce) = (StartContext::default(), String::new());
    while let Some((number, line)) = lines.next_event().map_err(failed)? {
        let is_line = matches!(sought, Sought::Line(wanted) if wanted == number);
        let head = match serde_json::from_slice::<EventHead>(line) {
            Ok(head) => head,
            Err(_) if is_line => {
                let error = ViolationEvent::read(line).err().map(|error| error.to_string());
                return Err(bad(Some(number), error.unwrap_or_else(|| "is no event of remit".into())));
            }
            Err(_) => continue,
        };
        let origin = provenance.origin(&head.event, head.seq, &head.nonce);
        if head.event == "start" && origin != Origin::Other {
            nonce.clone_from(&head.nonce);
            start = StartContext { unlike: head.unlike.clone(), is_ready: Some(false) };
        }
        if head.event == "ready" && head.nonce == nonce {
            start.is_ready = Some(true);
        }
        let is_it = match sought {
            Sought::Line(_) => is_line,
            Sought::Seq(seq) => head.seq == seq && origin != Origin::Other,
            Sought::First => head.event == "violation" && origin != Origin::Other,
        };
        if !is_it {
            continue;
        }
        let event = ViolationEvent::read(line).map_err(|error| bad(Some(number), error.to_string()))?;
        let known = !nonce.is_empty() && event.nonce == nonce;
        let doubts = match origin {
            Origin::Remit => Vec::new(),
            Origin::Other => vec!["The line has another nonce than the start with which the log begins, or none: it is another start's, or the app's own.".to_owned()],
            Origin::Unproven => vec!["The log does not begin with remit's start event, so the app may have written the line.".to_owned()],
        };
        let start = if known { start } else { StartContext::default() };
        return Ok(FoundEvent { event, line: number, file: path.to_owned(), start, doubts });
    }
    Err(match sought {
        Sought::Line(line) => {
            bad(Some(line), "has no event there; expected a line that begins {\"remit\":1".into())
        }
        Sought::Seq(seq) => {
            bad(None, format!("has no event {seq} of the start; --nonce names another start"))
        }
        Sought::First => bad(None, "has no violation; expected an event of the kind \"violation\"".into()),
    })
}

fn of_event(reviewed: &ReviewedProfile, explained: &ViolationExplanation, found: &FoundEvent) -> String {
    let mut lines = TextLines::new();
    lines.put_in(DIM, format!("{}:{}: {}", found.file.display(), found.line, found.event.time));
    lines.put_parts(&[(BOLD, "What happened:"), ("", &format!(" {}", explained.happened))]);
    let at = explained.place.map_or_else(String::new, |place| format!(" ({})", reviewed.at(place.line)));
    lines.put_parts(&[(BOLD, "What was missing:"), ("", &format!(" {}{at}.", explained.missing))]);
    let sum = |intrusion: bool| -> u32 {
        let of =
            |one: &&violation::IntrusionSignal| (one.points_to == violation::Points::Intrusion) == intrusion;
        explained.signals.iter().filter(of).map(|one| one.points).sum()
    };
    let (verdict, colour) = match explained.looks_like {
        LooksLike::Intrusion => ("It looks like an intrusion", BOLD_RED),
        LooksLike::NewFeature => ("It looks like a new feature of the app, or a rare path", BOLD_GREEN),
        LooksLike::Unclear => ("Whether it is an intrusion or a new feature cannot be said", BOLD_YELLOW),
    };
    let points = format!(": {} points for an intrusion, {} for a new feature.", sum(true), sum(false));
    lines.put_parts(&[(colour, verdict), ("", &points)]);
    for one in &explained.signals {
        let to = match one.points_to {
            violation::Points::Intrusion => "intrusion",
            violation::Points::NewFeature => "feature",
        };
        lines.put(format!("  {} {to:<10} {}: {}", one.points, one.id, one.sentence));
    }
    if explained.signals.is_empty() {
        lines.put("  No signal that remit knows applies.");
    }
    if let Some(allowing) = &explained.allowing {
        lines.put(match explained.looks_like {
            LooksLike::Intrusion => {
                "This and nothing more would allow it; find out first where it comes from:"
            }
            _ => "This and nothing more would allow it:",
        });
        line(&mut lines, allowing);
    }
    for note in explained.notes.iter().chain(&found.doubts) {
        lines.put(format!("note: {note}"));
    }
    lines.text()
}

fn event_json(explained: &ViolationExplanation, found: &FoundEvent) -> Value {
    let signals = explained.signals.iter().map(|one| {
        json!({
            "id": one.id,
            "points_to": match one.points_to {
                violation::Points::Intrusion => "intrusion",
                violation::Points::NewFeature => "new feature",
            },
            "points": one.points,
            "sentence": one.sentence,
        })
    });
    json!({
        "explain": 1,
        "file": found.file.to_string_lossy(),
        "line": found.line,
        "seq": found.event.seq,
        "happened": explained.happened,
        "missing": explained.missing,
        "rule": found.event.rule,
        "place": explained.place.map(|place| json!({ "line": place.line, "column": place.column })),
        "looks_like": explained.looks_like.word(),
        "signals": signals.collect::<Vec<_>>(),
        "allowing": explained.allowing.as_ref().map(allowing_json),
        "notes": explained.notes.iter().chain(&found.doubts).collect::<Vec<_>>(),
    })
}
