//! Hints of violations → a proposed profile. A hint is a JSON Patch for the profile in
//! force when it was written. Only what [`Want::of`] confirms is taken: the hint that remit
//! itself would have written about this very profile. What the hints want is then added to
//! the profile as values, so that the order of the events makes no difference.

mod additions;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use self::additions::Additions;
use super::changes::{ProfileChange, changes};
use super::{InputFault, Unusable};
use crate::event::newer::NewerEvents;
use crate::event::stream::{BoundedLines, Origin, Provenance};
use crate::event::{PatchOp, RefusedUse, Want};
use crate::profile::{self, Document};
use crate::visible::counted;

/// A proposed profile.
#[derive(Debug)]
pub struct Amended {
    /// The text of the proposed profile.
    pub text: String,
    /// The differences from the present profile.
    pub changes: Vec<ProfileChange>,
    /// The number of violations with a hint that were read.
    pub hints: usize,
    /// The hints that were left out, with the reasons.
    pub left_out: Vec<String>,
    /// Notes on the logs for the user.
    pub notes: Vec<String>,
}

/// The keys of an event that matter here.
#[derive(Deserialize)]
struct EventKeys {
    #[serde(default)]
    remit: u64,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    policy: PolicyKeys,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    hint: Value,
}

#[derive(Default, Deserialize)]
struct PolicyKeys {
    #[serde(default)]
    digest: String,
}

/// A profile to which hints are added.
pub struct Amendment<'d> {
    document: &'d Document,
    value: Value,
    nonces: Vec<String>,
    /// Each hint once, by its text, with the position where it was first read.
    taken: BTreeMap<String, (String, Want)>,
    hints: usize,
    left_out: Vec<String>,
    notes: Vec<String>,
}

impl<'d> Amendment<'d> {
    /// Starts with no hint. If `nonces` is not empty, only events with one of them count.
    pub fn of(document: &'d Document, nonces: &[String]) -> Amendment<'d> {
        Amendment {
            document,
            value: document.value(),
            nonces: nonces.to_vec(),
            taken: BTreeMap::new(),
            hints: 0,
            left_out: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes the hints of one event file, line by line; `name` is what messages call it.
    /// Other lines, such as the app's own on a shared stderr, are passed over.
    ///
    /// # Errors
    /// The file cannot be read, or has no event at all.
    pub fn take(&mut self, name: &str, input: impl std::io::BufRead) -> Result<(), Unusable> {
        let mut provenance = Provenance::of(&self.nonces);
        let (mut events, mut others, mut unproven) = (0, 0, 0);
        let mut newer = NewerEvents::default();
        let mut lines = BoundedLines::of(input).with_stdout(!self.nonces.is_empty());
        let failed = |error| Unusable::of(name, InputFault::Read(error));
        while let Some((number, line)) = lines.next_event().map_err(failed)? {
            let at = format!("{name}:{number}");
            let event: EventKeys = match serde_json::from_slice(line) {
                Ok(event) => event,
                Err(error) => {
                    let text = error.to_string();
                    let what = text.split(" at line ").next().unwrap_or_default();
                    self.left_out.push(format!("{at}: is no event: {what}"));
                    continue;
                }
            };
            events += 1;
            match provenance.origin(&event.event, event.seq, &event.nonce) {
                Origin::Remit => {}
                Origin::Other => {
                    others += 1;
                    continue;
                }
                Origin::Unproven => unproven += 1,
            }
            if !newer.knows(event.remit, &event.event) {
                continue;
            }
            if event.event == "violation" {
                self.violation(&at, event);
            }
        }
        if events == 0 {
            return Err(Unusable::of(name, InputFault::NoEvents));
        }
        self.notes.extend(newer.sentences().into_iter().map(|what| format!("{name}: {what}")));
        if others > 0 {
            self.notes.push(format!(
                "{name}: {} in the form of an event left out, with another nonce or none: another start's, or the app's \
                 own (--nonce NONCE takes those of another start)",
                counted(others, "line")
            ));
        }
        if unproven > 0 {
            self.notes.push(format!(
                "{name}: does not begin with remit's start event, so the app may have written any of its lines; check \
                 each addition (REMIT_EVENTS=stderr or a file puts the start event first)"
            ));
        }
        Ok(())
    }

    fn violation(&mut self, at: &str, event: EventKeys) {
        let Some(operations) = event.hint.as_array().filter(|operations| !operations.is_empty()) else {
            let why = "it has no hint, since no profile can allow just this";
            return self.left_out.push(format!("{at}: {}: {why}", event.kind));
        };
        self.hints += 1;
        let text = event.hint.to_string();
        let first = operations[0]["path"].as_str().unwrap_or_default();
        let left_out = |why: &str| format!("{at}: {}: the hint for {first} {why}", event.kind);
        if event.policy.digest.is_empty() {
            return self.left_out.push(left_out("does not say for which profile it is"));
        }
        if event.policy.digest != self.document.digest {
            return self.left_out.push(left_out("is for another profile"));
        }
        if self.taken.contains_key(&text) {
            return;
        }
        let operations = serde_json::from_value::<Vec<PatchOp>>(event.hint.clone());
        let refused = RefusedUse { kind: &event.kind, rule: &event.rule, object: &event.object };
        match operations.ok().and_then(|operations| Want::of(&self.value, &operations)) {
            Some(want) if !event.object.is_null() && !want.is_about(&self.value, &refused) => {
                self.left_out.push(left_out("is for something else than what was refused"));
            }
            Some(want) => drop(self.taken.insert(text, (at.to_owned(), want))),
            None => self.left_out.push(left_out("is none that remit gives for this profile")),
        }
    }

    /// Returns the proposal.
    ///
    /// # Errors
    /// The result is no valid profile: it is too large.
    pub fn finish(self) -> Result<Amended, InputFault> {
        let mut left_out = self.left_out;
        let mut additions = Additions::to(self.document);
        for (at, want) in self.taken.into_values() {
            additions.want(at, want);
        }
        let (profile, conflicts) = additions.made();
        left_out.extend(conflicts.into_iter().map(|(at, why)| format!("{at}: the hint {why}")));
        let text = profile::write(&profile);
        let read = profile::read(text.as_bytes()).map_err(InputFault::Amended)?;
        let changes = changes(&self.document.profile, &read.profile);
        Ok(Amended { text, changes, hints: self.hints, left_out, notes: self.notes })
    }
}

/// What one hint would change, one line each; empty where it is no hint for this profile.
pub fn adds(document: &Document, hint: &Value) -> Vec<String> {
    let operations = serde_json::from_value::<Vec<PatchOp>>(hint.clone()).unwrap_or_default();
    let Some(want) = Want::of(&document.value(), &operations) else { return Vec::new() };
    let mut additions = Additions::to(document);
    additions.want(String::new(), want);
    let profile = additions.made().0;
    changes(&document.profile, &profile).into_iter().filter(|one| one.is_added).map(|one| one.what).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Document {
        let profile = json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }] });
        profile::read(profile.to_string().as_bytes()).expect("valid")
    }

    fn added(found: &Amended) -> Vec<&str> {
        found.changes.iter().filter(|one| one.is_added).map(|one| &*one.what).collect()
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
        let mut amendment = Amendment::of(document, &[]);
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
            added(&found),
            [
                "connect tcp/53",
                "edge /app -> /app",
                "file /d read",
                "file /d write",
                "limit processes 9",
                "listen tcp/80",
                "listen tcp/81"
            ]
        );
        let mut back = hints.clone();
        back.reverse();
        let other = amended(&document, &back);
        assert_eq!(other.text, found.text);
        let proposed = profile::read(found.text.as_bytes()).expect("valid");
        assert_eq!(proposed.profile.limits.processes, Some(9));
        // What was proposed allows them already: each is no hint for it.
        let again = amended(&proposed, &hints);
        assert_eq!((again.text, again.left_out.len()), (found.text, hints.len()));
    }

    #[test]
    fn what_a_hint_adds_is_named_by_what_it_grants() {
        let add = |path: &str, value: Value| json!([{ "op": "add", "path": path, "value": value }]);
        let cases = [
            (add("/network", json!({ "listen": ["tcp/80"] })), vec!["listen tcp/80"]),
            (add("/limits", json!({ "processes": 9 })), vec!["limit processes 9"]),
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
            json!([{ "op": "add", "path": "/mode", "value": "off" }]),
            json!([{ "op": "add", "path": "/run_as", "value": { "user": 0, "group": 0 } }]),
            json!([{ "op": "add", "path": "/environment", "value": { "keep": ["LD_*"] } }]),
            json!([{ "op": "add", "path": "/network", "value": { "listen": ["tcp/80"], "connect": ["tcp/80"] } }]),
            json!([{ "op": "add", "path": "/programs/0/args", "value": [["..."]] }]),
            json!([{ "op": "add", "path": "/files", "value": [{ "path": "/d", "allow": ["read"], "optional": true }] }]),
            json!([{ "op": "add", "path": "/files", "value": [{ "path": "/d/../x", "allow": ["read"] }] }]),
            json!([{ "op": "add", "path": "/files", "value": ["@elsewhere"] }]),
            json!([{ "op": "add", "path": "/network", "value": { "listen": ["tcp/x"] } }]),
            json!([{ "op": "replace", "path": "/programs/0/path", "value": "/x" }]),
            json!([{ "op": "add", "path": "/syscalls", "value": { "allow": ["clone3"] } }]),
            json!([{ "op": "add", "path": "", "value": {} }]),
            json!(["nonsense"]),
        ];
        let document = document();
        let found = amended(&document, &hints);
        assert_eq!((found.changes, found.left_out.len()), (vec![], hints.len()));
        for (number, line) in found.left_out.iter().enumerate() {
            let at = format!("events:{}: k: the hint for ", number + 1);
            let pointer = hints[number][0]["path"].as_str().unwrap_or_default();
            assert!(line.starts_with(&format!("{at}{pointer} is none that remit gives")), "{line}");
        }
    }

    #[test]
    fn a_hint_of_something_else_is_left_out() {
        let document = document();
        let digest = &document.digest;
        let line = |path: &str, access: Value| {
            let object = json!({ "path": path, "access": access });
            let hint = json!([{ "op": "add", "path": "/files", "value": [{ "path": "/srv", "allow": ["read", "write"] }] }]);
            format!(
                r#"{{"remit":1,"event":"violation","kind":"file","rule":"/files","policy":{{"digest":"{digest}"}},"object":{object},"hint":{hint}}}"#
            )
        };
        for (line, is_taken) in [
            (line("/srv", json!(["read", "write"])), true),
            (line("/srv/x", json!(["read", "write"])), false),
            (line("/srv", json!(["read"])), false),
        ] {
            let mut amendment = Amendment::of(&document, &[]);
            amendment.take("events", line.as_bytes()).expect("events");
            let found = amendment.finish().expect("valid");
            assert_eq!((found.changes.is_empty(), found.left_out.len()), (!is_taken, usize::from(!is_taken)));
            assert!(found.left_out.iter().all(|line| line.ends_with("something else than what was refused")));
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
        let mut amendment = Amendment::of(&other, &[]);
        amendment.take("events", line.as_bytes()).expect("events");
        let found = amendment.finish().expect("valid");
        assert!(found.left_out[0].contains("another profile"), "{:?}", found.left_out);
    }

    #[test]
    fn the_digest_is_always_checked() {
        let document = document();
        let hint = r#"[{"op":"add","path":"/network","value":{"listen":["tcp/80"]}}]"#;
        for policy in ["", r#""policy":{},"#, r#""policy":{"digest":"sha256:0"},"#] {
            let line = format!(r#"{{"remit":1,"event":"violation",{policy}"kind":"network","hint":{hint}}}"#);
            let mut amendment = Amendment::of(&document, &[]);
            amendment.take("events", line.as_bytes()).expect("events");
            let found = amendment.finish().expect("valid");
            assert_eq!((found.changes.len(), found.left_out.len()), (0, 1), "{policy}");
            assert!(found.left_out[0].starts_with("events:1: network: the hint for /network "), "{policy}");
        }
    }

    #[test]
    fn another_nonce_than_the_first_starts_is_not_remits() {
        let document = document();
        let digest = &document.digest;
        let event = |nonce: &str, seq: u64, rest: &str| {
            format!(r#"{{"remit":1,"seq":{seq},"nonce":"{nonce}","policy":{{"digest":"{digest}"}},{rest}}}"#)
        };
        let hint = |port: u16| {
            format!(
                r#""event":"violation","hint":[{{"op":"add","path":"/network","value":{{"listen":["tcp/{port}"]}}}}]"#
            )
        };
        let [ours, other] = ["a".repeat(32), "b".repeat(32)];
        let lines = [
            "some text of the app".to_owned(),
            event(&ours, 1, r#""event":"start""#),
            event(&other, 1, r#""event":"start""#),
            event(&other, 2, &hint(1)),
            event("", 3, &hint(2)),
            event(&ours, 2, &hint(3)),
        ];
        let listens = |lines: &[String], nonces: &[String]| {
            let mut amendment = Amendment::of(&document, nonces);
            amendment.take("events", lines.join("\n").as_bytes()).expect("events");
            let found = amendment.finish().expect("valid");
            let ports: Vec<String> = added(&found).into_iter().map(str::to_owned).collect();
            (ports, found.notes.len())
        };
        assert_eq!(listens(&lines, &[]), (vec!["listen tcp/3".to_owned()], 1));
        assert_eq!(listens(&lines, std::slice::from_ref(&other)), (vec!["listen tcp/1".to_owned()], 1));
        // Whichever process wrote the first line, one note covers all of them.
        assert_eq!(listens(&lines[3..], &[]).0.len(), 3);
        assert_eq!(listens(&lines[3..], &[]).1, 1);
    }

    #[test]
    fn wildcards_of_true_hints_are_literal() {
        let profile = json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true, "args": [["a"]] }] });
        let document = profile::read(profile.to_string().as_bytes()).expect("valid");
        let wants = [["*", "b"], ["...", ""], ["a*b", "\\*"]].map(|args| crate::event::Want::Arguments {
            program: profile::ProfileIndex::new(0),
            args: args.map(str::to_owned).to_vec(),
        });
        let hints = wants.map(|want| json!(crate::event::hint(&document.value(), &want)));
        let found = amended(&document, &hints);
        assert_eq!(found.left_out, [""; 0]);
        let read = profile::read(found.text.as_bytes()).expect("valid").profile;
        let alternatives = read.programs[0].args.as_ref().expect("listed");
        let exact = |alternative: &Vec<crate::profile::ArgPattern>| {
            alternative.iter().all(|one| matches!(one, crate::profile::ArgPattern::Exact(_)))
        };
        assert!(alternatives.len() == 4 && alternatives.iter().all(exact), "{alternatives:?}");
        assert!(!found.text.contains("[\"*\"") && !found.text.contains("\"...\""), "{}", found.text);
        for name in ["LD_DEBUG*", "*", "LD_*X"] {
            let want = crate::event::Want::Environment(name.to_owned());
            assert_eq!(crate::event::hint(&document.value(), &want), [], "{name}");
        }
        let file = crate::event::Want::File { path: "/d/*".into(), rights: crate::profile::Rights::WRITE };
        let found = amended(&document, &[json!(crate::event::hint(&document.value(), &file))]);
        assert_eq!(added(&found), ["file /d/* write"], "a path of a profile is never a pattern");
    }

    /// Twice as many hints cost about twice as much: counted in time, with room for a busy
    /// machine, where a quadratic way would need sixteen times as long.
    #[test]
    fn many_hints_cost_what_they_are() {
        let document = document();
        let log = |count: usize| -> String {
            let digest = &document.digest;
            let event = |n: usize| {
                format!(
                    r#"{{"remit":1,"event":"violation","policy":{{"digest":"{digest}"}},"hint":[{{"op":"add","path":"/files","value":[{{"path":"/d/{n}","allow":["read"]}}]}}]}}"#
                )
            };
            (0..count).map(|n| event(n) + "\n").collect()
        };
        let cost = |count: usize| {
            let log = log(count);
            let began = std::time::Instant::now();
            let mut amendment = Amendment::of(&document, &[]);
            amendment.take("events", log.as_bytes()).expect("events");
            let found = amendment.finish().expect("valid");
            assert_eq!(found.changes.len(), count);
            began.elapsed()
        };
        let ratio = (0..3).map(|_| cost(16_000).as_secs_f64() / cost(4_000).as_secs_f64());
        let best = ratio.fold(f64::INFINITY, f64::min);
        assert!(best < 10.0, "four times as many hints cost {best} times as much");
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
                assert!(
                    found.changes.iter().any(|one| one.is_added && one.what == added),
                    "{added}: {:?}",
                    found.changes
                );
            }
        }
    }

    #[test]
    fn what_a_newer_remit_wrote_is_said_and_left_out() {
        let document = document();
        let hint = json!([{ "op": "add", "path": "/files", "value": [{ "path": "/d", "allow": ["read"] }] }]);
        let line = |version: u32, event: &str| {
            let digest = &document.digest;
            format!(
                "{{\"remit\":{version},\"event\":\"{event}\",\"kind\":\"k\",\"policy\":{{\"digest\":\"{digest}\"}},\"hint\":{hint}}}\n"
            )
        };
        let mut amendment = Amendment::of(&document, &[]);
        let log = line(2, "violation") + &line(1, "refusal");
        amendment.take("events", log.as_bytes()).expect("events");
        let found = amendment.finish().expect("valid");
        assert_eq!((found.hints, added(&found)), (0, vec![]));
        for says in ["events: 1 event of another version than 1", "events: 1 event of a name that this"] {
            assert!(found.notes.iter().any(|note| note.starts_with(says)), "{says}: {:?}", found.notes);
        }
    }

    #[test]
    fn any_events_leave_a_valid_profile_or_an_error() {
        let document = document();
        let hint =
            json!([{ "op": "add", "path": "/files/-", "value": { "path": "/srv/x", "allow": ["read"] } }]);
        let event = |more: &str| {
            let digest = &document.digest;
            format!(
                "{{\"remit\":1,\"seq\":1,\"event\":\"violation\",\"kind\":\"k\",\"policy\":{{\"digest\":\"{digest}\"}},\"hint\":{more}}}\n"
            )
        };
        let seeds = [event(&hint.to_string()), event("[]"), "not an event\n".to_owned()];
        let seeds: Vec<&[u8]> = seeds.iter().map(String::as_bytes).collect();
        crate::mutation::each(&seeds, |bytes| {
            let mut amendment = Amendment::of(&document, &[]);
            if amendment.take("events", bytes).is_ok() {
                drop(amendment.finish());
            }
        });
    }
}
