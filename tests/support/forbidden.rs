//! Forbidden acts: the result of one that is tried inside a confined server, and its event.

use serde_json::Value;

use super::Running;

/// One forbidden act and its expected result.
pub struct Forbidden {
    /// The act that the probe performs.
    pub act: &'static str,
    /// How it is refused: any of these.
    pub refused: &'static [&'static str],
    /// The kind of its event, empty for any; none where the table calls it unseen.
    pub kind: Option<&'static str>,
    /// A word of the event's object.
    pub object: &'static str,
    /// What its hint has to be.
    pub hint: Hint,
}

/// What a hint has to be.
#[derive(Clone, Copy, PartialEq)]
pub enum Hint {
    /// Applied, it makes the act what it is unconfined, and nothing else.
    Allows,
    /// There is none, since no profile can allow the act.
    None,
    /// It takes several grants, of which the first refusal can name only one.
    First,
}

/// It has its event, and a hint that allows it.
pub const fn seen(
    act: &'static str,
    refused: &'static [&'static str],
    kind: &'static str,
    object: &'static str,
) -> Forbidden {
    Forbidden { act, refused, kind: Some(kind), object, hint: Hint::Allows }
}

/// It has its event; no profile can allow it.
pub const fn never(
    act: &'static str,
    refused: &'static [&'static str],
    kind: &'static str,
    object: &'static str,
) -> Forbidden {
    Forbidden { act, refused, kind: Some(kind), object, hint: Hint::None }
}

/// It has its event, and a hint that is a first step.
pub const fn first(
    act: &'static str,
    refused: &'static [&'static str],
    kind: &'static str,
    object: &'static str,
) -> Forbidden {
    Forbidden { act, refused, kind: Some(kind), object, hint: Hint::First }
}

/// It is refused, and has no event.
pub const fn unseen(act: &'static str, refused: &'static [&'static str]) -> Forbidden {
    Forbidden { act, refused, kind: None, object: "", hint: Hint::None }
}

/// Refused by Landlock, or in its words.
pub const EACCES: &[&str] = &["EACCES"];
pub const EPERM: &[&str] = &["EPERM"];
pub const ENOSYS: &[&str] = &["ENOSYS"];
/// Whichever of the kernel's layers is first.
pub const EITHER: &[&str] = &["EACCES", "EPERM"];

/// What the server's probe made of an act: the word of its result, and its detail
/// where it succeeded.
pub fn make(running: &Running, act: &str) -> (String, String) {
    let answer = running.get(8080, &format!("/act/{act}"));
    let line: Value = serde_json::from_str(&answer.body)
        .unwrap_or_else(|_| panic!("{act}: {} {}\n{}", answer.status, answer.body, running.stderr()));
    let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    (word("result"), word("detail"))
}

/// How often a raced exec came to an end.
pub fn times(detail: &str, end: &str) -> usize {
    let found = detail.split(", ").find_map(|part| part.strip_prefix(&format!("{end}: "))?.parse().ok());
    found.unwrap_or(0)
}

/// The first violation after `before` of them that is this act's, or what came
/// in its place.
pub fn violation(running: &Running, forbidden: &Forbidden, before: usize) -> Result<Value, String> {
    let kind = forbidden.kind.expect("only of those that are seen");
    let found = running.event(|events| {
        events.violations().into_iter().skip(before).find(|event| is_of(event, forbidden)).cloned()
    });
    found.ok_or_else(|| {
        let events = running.events();
        let said = events.violations().into_iter().skip(before).map(|event| {
            format!("{} {} {} {}", event["kind"], event["errno"], event["object"], event["hint"])
        });
        let said = said.collect::<Vec<_>>().join("; ");
        format!("{}: no {kind} event of `{}`, but [{said}]", forbidden.act, forbidden.object)
    })
}

/// Whether a violation is of this act.
pub fn is_of(event: &Value, forbidden: &Forbidden) -> bool {
    forbidden.kind.is_some_and(|kind| kind.is_empty() || event["kind"] == kind)
        && event["object"].to_string().contains(forbidden.object)
}

/// Whether it says what the act came to.
pub fn says(event: &Value, result: &str) -> bool {
    match result {
        "SIGKILL" => event["action"] == "killed",
        errno => event["action"] == "denied" && event["errno"] == errno,
    }
}

/// What is wrong with an act that came to `result`: it was not refused as it has to
/// be, or its event is not there or says something else. `before` is how many
/// violations there were before it.
pub fn wrong(running: &Running, forbidden: &Forbidden, result: &str, before: usize) -> Vec<String> {
    let act = forbidden.act;
    if !forbidden.refused.contains(&result) {
        return vec![format!("{act}: expected {:?}, got {result}", forbidden.refused)];
    }
    if forbidden.kind.is_none() {
        return Vec::new();
    }
    let event = match violation(running, forbidden, before) {
        Ok(event) => event,
        Err(why) => return vec![why],
    };
    let mut wrong = Vec::new();
    if !says(&event, result) {
        wrong.push(format!("{act}: {result}, but the event says {event}"));
    }
    let hint = event["hint"].as_array().is_some_and(|hint| !hint.is_empty());
    if forbidden.hint != Hint::First && hint != (forbidden.hint == Hint::Allows) {
        wrong.push(format!("{act}: the hint is {}", event["hint"]));
    }
    wrong
}
