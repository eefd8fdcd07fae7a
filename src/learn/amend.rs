//! Hints of violations → a proposed profile. A hint is a JSON Patch for the profile in
//! force when it was written; many of them are put together here, so that what one adds
//! whole does not take away what another added before.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Unusable;
use super::grants;
use crate::profile::{self, Document, Profile};
use crate::syscalls::groups;

/// A proposal.
#[derive(Debug)]
pub struct Amended {
    /// The profile's text.
    pub text: String,
    /// What is granted that was not.
    pub added: Vec<String>,
    /// Violations with a hint that were read.
    pub hints: usize,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// An event, as far as it matters here.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    event: String,
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    hint: Vec<Operation>,
}

#[derive(Default, Deserialize)]
struct Policy {
    #[serde(default)]
    digest: String,
}

/// An operation of RFC 6902, with what it needs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Operation {
    op: String,
    path: String,
    #[serde(default)]
    value: Value,
}

/// A profile to which hints are put.
pub struct Amendment<'d> {
    document: &'d Document,
    value: Value,
    taken: Vec<Vec<Operation>>,
    hints: usize,
    left_out: Vec<String>,
}

impl<'d> Amendment<'d> {
    /// Nothing yet.
    pub fn of(document: &'d Document) -> Amendment<'d> {
        Amendment { document, value: document.value(), taken: Vec::new(), hints: 0, left_out: Vec::new() }
    }

    /// Takes the hints of one event file, line by line; `name` is what messages call it.
    /// Other lines, such as the app's own on a shared stderr, are passed over.
    ///
    /// # Errors
    /// The file cannot be read, or has no event at all.
    pub fn take(&mut self, name: &str, input: impl std::io::BufRead) -> Result<(), Unusable> {
        let mut events = 0;
        for (number, line) in input.split(b'\n').enumerate() {
            let line = line.map_err(|error| Unusable(format!("{name}: cannot be read: {error}")))?;
            let line = line.trim_ascii();
            if !line.starts_with(b"{\"remit\"") {
                continue;
            }
            let at = format!("{name}:{}", number + 1);
            let event: Event = match serde_json::from_slice(line) {
                Ok(event) => event,
                Err(error) => {
                    let text = error.to_string();
                    let what = text.split(" at line ").next().unwrap_or_default();
                    self.left_out.push(format!("{at}: is no event: {what}"));
                    continue;
                }
            };
            events += 1;
            if event.event == "violation" && !event.hint.is_empty() {
                self.hint(&at, event);
            } else if event.event == "violation" {
                self.left_out
                    .push(format!("{at}: {}: it has no hint, since no profile can allow it", event.kind));
            }
        }
        if events == 0 {
            return Err(Unusable(format!(
                "{name}: has no event of remit; expected lines that begin {{\"remit\":1"
            )));
        }
        Ok(())
    }

    fn hint(&mut self, at: &str, event: Event) {
        self.hints += 1;
        if self.taken.contains(&event.hint) {
            return;
        }
        // An index means an entry of the profile that was in force, and of no other.
        let counted = event.hint.iter().any(|operation| operation.path.split('/').any(is_index));
        if counted && event.policy.digest != self.document.digest {
            return self.leave_out(at, &event, "is for another profile, whose entries have other numbers");
        }
        let mut next = self.value.clone();
        for operation in &event.hint {
            if let Err(why) = apply(&mut next, operation) {
                return self.leave_out(at, &event, &why);
            }
        }
        if let Err(error) = profile::read(next.to_string().as_bytes()) {
            let place = if error.pointer.is_empty() { "" } else { &*error.pointer };
            let why = format!("would make the profile invalid: {place}: {}", error.message);
            return self.leave_out(at, &event, &why);
        }
        self.value = next;
        self.taken.push(event.hint);
    }

    fn leave_out(&mut self, at: &str, event: &Event, why: &str) {
        let what = event.hint.first().map_or("", |operation| operation.path.as_str());
        self.left_out.push(format!("{at}: {}: the hint for {what} {why}", event.kind));
    }

    /// The proposal.
    ///
    /// # Errors
    /// It is no valid profile; it is, as each step was.
    pub fn finish(self) -> Result<Amended, Unusable> {
        let read = profile::read(self.value.to_string().as_bytes())
            .map_err(|error| Unusable(format!("the amended profile is not valid: {error}")))?;
        Ok(Amended {
            text: profile::write(&read.profile),
            added: more(&self.document.profile, &read.profile),
            hints: self.hints,
            left_out: self.left_out,
        })
    }
}

/// What `after` grants that `before` does not, by the names of grants. What is taken away
/// after the start-up is no grant: one less of it is one more.
fn more(before: &Profile, after: &Profile) -> Vec<String> {
    const EARLY: &str = "startup_only ";
    let (before, after) = (grants::keys(before), grants::keys(after));
    let more = after.difference(&before).filter(|key| !key.starts_with(EARLY)).cloned();
    let kept = before.difference(&after).filter_map(|key| key.strip_prefix(EARLY));
    more.chain(kept.map(|call| format!("after start-up {call}"))).collect()
}

/// What one hint would grant more, one line each: the names of grants, or the place and the
/// value where it is no grant but a limit or a condition of one. Empty where the hint does not
/// apply to this profile.
pub fn adds(document: &Document, hint: &Value) -> Vec<String> {
    let operations: Vec<Operation> = serde_json::from_value(hint.clone()).unwrap_or_default();
    let mut value = document.value();
    if operations.iter().any(|operation| apply(&mut value, operation).is_err()) {
        return Vec::new();
    }
    let Ok(read) = profile::read(value.to_string().as_bytes()) else { return Vec::new() };
    let added = more(&document.profile, &read.profile);
    if !added.is_empty() || read.profile == document.profile {
        return added;
    }
    operations.iter().map(|operation| format!("{} {}", operation.path, operation.value)).collect()
}

fn is_index(step: &str) -> bool {
    !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit())
}

/// Applies one operation; what is there already stays as it is, or is joined with.
fn apply(document: &mut Value, operation: &Operation) -> Result<(), String> {
    let (parent, last) = operation.path.rsplit_once('/').ok_or("has no place in the profile")?;
    let last = last.replace("~1", "/").replace("~0", "~");
    if !matches!(operation.op.as_str(), "add" | "replace") {
        return Err(format!("has the operation {:?}, which no hint of a profile needs", operation.op));
    }
    let value = &operation.value;
    if operation.op == "replace" && operation.path == "/syscalls/startup_only" {
        return take_less_away(document, value);
    }
    // A list that another hint added whole, or that is not there at all.
    if last == "-" && document.pointer(parent).is_none() {
        return Err(format!("does not apply: {parent} is not there"));
    }
    match document.pointer_mut(parent) {
        Some(Value::Array(items)) if last == "-" => {
            put(items, value);
            Ok(())
        }
        Some(Value::Array(items)) => {
            match last.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                Some(item) => join(item, value, operation.op == "replace"),
                None => Err(format!("does not apply: {} is not there", operation.path)),
            }
        }
        Some(Value::Object(members)) => match members.get_mut(&last) {
            Some(there) => join(there, value, operation.op == "replace"),
            None if operation.op == "replace" => {
                Err(format!("does not apply: {} is not there", operation.path))
            }
            None => {
                members.insert(last, value.clone());
                Ok(())
            }
        },
        _ => Err(format!("does not apply: {parent} is not there")),
    }
}

/// A hint of a call after the start-up leaves this call out of the list of what is taken
/// away then; several of them leave out several. Groups are taken apart for that.
fn take_less_away(document: &mut Value, wanted: &Value) -> Result<(), String> {
    let Some(Value::Array(list)) = document.pointer_mut("/syscalls/startup_only") else {
        return Err("does not apply: /syscalls/startup_only is not there".into());
    };
    let wanted = wanted.as_array().ok_or("has no list of calls")?;
    let group = |entry: &Value| entry.as_str().or(entry["group"].as_str()).and_then(groups::named);
    // Another hint may have taken a group apart that this one has whole.
    let is_wanted = |part: &Value| {
        let within =
            |group: &groups::Group| part.as_str().is_some_and(|call| group.calls().contains_key(call));
        wanted.iter().any(|entry| entry == part || group(entry).is_some_and(within))
    };
    let mut left: Vec<Value> = Vec::new();
    for entry in std::mem::take(list) {
        let parts = match group(&entry) {
            Some(group) if !is_wanted(&entry) => group.calls().into_keys().map(Value::from).collect(),
            _ => vec![entry],
        };
        for part in parts {
            if is_wanted(&part) && !left.contains(&part) {
                left.push(part);
            }
        }
    }
    *list = left;
    Ok(())
}

/// Puts an item into a list: beside the others, or into the one that it is about.
fn put(items: &mut Vec<Value>, value: &Value) {
    if items.contains(value) {
        return;
    }
    let same = items.iter_mut().find(|item| about(item) && about(value) && subject(item) == subject(value));
    match same {
        Some(item) if item.is_object() && value.is_object() => {
            if let (Some(item), Some(value)) = (item.as_object_mut(), value.as_object()) {
                join_members(item, value);
            }
        }
        // A whole call beside one with a condition, or a path beside an object of it.
        Some(item) if subject(item) == subject(value) && item.is_object() && value.is_string() => {
            if item.get("in").is_some() || item.get("arg").is_some() {
                items.push(value.clone());
            }
        }
        _ => items.push(value.clone()),
    }
}

/// Whether an item says what it is about.
fn about(item: &Value) -> bool {
    subject(item).is_some()
}

/// What an item of a list is about: a path, an endpoint, a call and its argument.
fn subject(item: &Value) -> Option<String> {
    let keys = ["path", "beneath", "endpoint", "capability", "group", "call"];
    match item {
        Value::String(text) => Some(text.clone()),
        Value::Object(members) => {
            let (key, what) = keys.iter().find_map(|key| Some((*key, members.get(*key)?.as_str()?)))?;
            let part = members.get(if key == "call" { "arg" } else { "applet" });
            Some(part.map_or(what.to_owned(), |part| format!("{what} {part}")))
        }
        _ => None,
    }
}

fn join(there: &mut Value, value: &Value, replace: bool) -> Result<(), String> {
    match (there, value) {
        (Value::Array(items), Value::Array(more)) => more.iter().for_each(|item| put(items, item)),
        (Value::Object(members), Value::Object(more)) => join_members(members, more),
        // More processes than before, and never fewer than another hint needs.
        (there @ Value::Number(_), Value::Number(_)) => {
            if value.as_f64() > there.as_f64() {
                *there = value.clone();
            }
        }
        (there, value) if there == value => {}
        (there, value) if replace || there.is_boolean() => *there = value.clone(),
        _ => return Err("does not apply: something else stands there".into()),
    }
    Ok(())
}

fn join_members(members: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (key, value) in more {
        match members.get_mut(key) {
            // Scalars that say who it is are the same on both sides.
            Some(there) => drop(join(there, value, false)),
            None => drop(members.insert(key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Document {
        let profile = json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }] });
        profile::read(profile.to_string().as_bytes()).expect("valid")
    }

    fn amended(document: &Document, hints: &[Value]) -> Amended {
        let line = |hint: &Value| {
            let digest = &document.digest;
            json!({ "remit": 1, "event": "violation", "kind": "k", "policy": { "digest": digest }, "hint": hint })
        };
        // serde_json sorts keys; an event begins with `remit`.
        let lines: Vec<String> = hints
            .iter()
            .map(|hint| format!("{{\"remit\":1,{}", &line(hint).to_string()[1..].replace(",\"remit\":1", "")))
            .collect();
        let mut amendment = Amendment::of(document);
        amendment.take("events", lines.join("\n").as_bytes()).expect("events");
        amendment.finish().expect("valid")
    }

    #[test]
    fn sections_that_two_hints_add_whole_are_joined() {
        let add = |path: &str, value: Value| json!([{ "op": "add", "path": path, "value": value }]);
        let hints = [
            add("/network", json!({ "listen": ["tcp/80"] })),
            add("/network", json!({ "connect": ["tcp/53"] })),
            add("/network", json!({ "listen": ["tcp/81"] })),
            add("/files", json!([{ "path": "/d", "allow": ["read"] }])),
            add("/files", json!([{ "path": "/d", "allow": ["write"] }])),
            add("/programs/0/may_run", json!(["/app"])),
            add("/limits", json!({ "processes": 4 })),
            add("/limits", json!({ "processes": 9 })),
            add("/limits", json!({ "processes": 5 })),
        ];
        let document = document();
        let found = amended(&document, &hints);
        assert_eq!(found.left_out, [""; 0]);
        assert_eq!(
            found.added,
            [
                "connect tcp/53",
                "edge /app -> /app",
                "file /d read",
                "file /d write",
                "listen tcp/80",
                "listen tcp/81"
            ]
        );
        let mut back = hints.clone();
        back.reverse();
        let other = amended(&document, &back);
        assert_eq!(other.added, found.added);
        let proposed = profile::read(found.text.as_bytes()).expect("valid");
        assert_eq!(proposed.profile.limits.processes, Some(9));
        // Once more, on what was proposed.
        assert_eq!(amended(&proposed, &hints).text, found.text);
    }

    #[test]
    fn what_a_hint_adds_is_named_by_what_it_grants() {
        let add = |path: &str, value: Value| json!([{ "op": "add", "path": path, "value": value }]);
        let cases = [
            (add("/network", json!({ "listen": ["tcp/80"] })), vec!["listen tcp/80"]),
            (add("/limits", json!({ "processes": 9 })), vec![r#"/limits {"processes":9}"#]),
            (add("/files/-", json!("/d")), vec![]),
            (json!("nonsense"), vec![]),
        ];
        for (hint, lines) in cases {
            assert_eq!(adds(&document(), &hint), lines, "{hint}");
        }
    }

    #[test]
    fn what_does_not_apply_is_said_and_left_out() {
        let hints = [
            json!([{ "op": "add", "path": "/programs/7/may_run", "value": ["/app"] }]),
            json!([{ "op": "add", "path": "/files/-", "value": { "path": "/d", "allow": ["read"] } }]),
            json!([{ "op": "add", "path": "/files", "value": [{ "path": "/app", "allow": ["write"] }] }]),
            json!([{ "op": "remove", "path": "/programs" }]),
        ];
        let document = document();
        let found = amended(&document, &hints);
        assert_eq!(found.added, [""; 0]);
        let said = ["/programs/7 is not there", "/files is not there", "/app is a program", "\"remove\""];
        assert_eq!(found.left_out.len(), said.len(), "{:?}", found.left_out);
        for (line, says) in found.left_out.iter().zip(said) {
            assert!(line.contains(says), "{line}");
        }
    }

    #[test]
    fn an_index_of_another_profile_means_nothing() {
        let document = document();
        let other = Document { digest: "sha256:0".into(), ..document.clone() };
        let line = format!(
            "{{\"remit\":1,\"event\":\"violation\",\"policy\":{{\"digest\":{:?}}},\"hint\":[{{\"op\":\"add\",\
             \"path\":\"/programs/0/may_run\",\"value\":[\"/app\"]}}]}}",
            document.digest
        );
        let mut amendment = Amendment::of(&other);
        amendment.take("events", line.as_bytes()).expect("events");
        let found = amendment.finish().expect("valid");
        assert!(found.left_out[0].contains("another profile"), "{:?}", found.left_out);
    }

    #[test]
    fn calls_after_the_startup_are_left_out_one_by_one() {
        let profile = json!({
            "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }],
            "ready": { "when": "delay", "delay": "1s" },
            "syscalls": { "startup_only": ["execve", "@network", "chroot"] }
        });
        let document = profile::read(profile.to_string().as_bytes()).expect("valid");
        let hint = |call: &str| {
            let want = crate::event::Want::AfterStartup(call.to_owned());
            serde_json::to_value(crate::event::hint(&document.value(), &want)).expect("a patch")
        };
        for order in [["execve", "connect", "chroot"], ["chroot", "execve", "connect"]] {
            let found = amended(&document, &order.map(hint));
            assert_eq!(found.left_out, [""; 0]);
            let text = profile::value(&found.text);
            let list = text["syscalls"]["startup_only"].as_array().expect("a list").clone();
            for call in order {
                assert!(!list.contains(&json!(call)), "{call}: {list:?}");
            }
            assert!(list.contains(&json!("socket")) && list.contains(&json!("sendmmsg")), "{list:?}");
            // No section brings these two.
            let allow = text["syscalls"]["allow"].as_array().expect("a list");
            assert_eq!(allow.len(), 2, "{allow:?}");
            assert!(allow.contains(&json!("connect")) && allow.contains(&json!("chroot")), "{allow:?}");
            for added in ["after start-up execve", "after start-up chroot", "after start-up @network"] {
                assert!(found.added.iter().any(|one| one == added), "{added}: {:?}", found.added);
            }
        }
    }
}
