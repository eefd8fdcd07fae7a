//! A permission as JSON, for programs.

use serde_json::{Value, json};

use super::permission::{Permission, Permitted, ProgramKey};
use super::support::Support;
use crate::profile::{capability_word, endpoint_text};

impl Permission {
    /// The permission as an object; what is not known is left out.
    pub fn json(&self) -> Value {
        let mut value = json!({
            "kind": self.what.kind(),
            "risk": self.risk.word(),
            "because": self.risk_reason,
            "sentence": self.sentence,
            "pointer": self.pointer,
            "line": self.line,
            "column": self.column,
        });
        let details = details(&self.what);
        if let (Some(object), Value::Object(details)) = (value.as_object_mut(), details) {
            object.extend(details);
            object.extend(self.through.map(|through| ("through".to_owned(), json!(through))));
            object.extend(self.why.as_ref().map(|why| ("why".to_owned(), json!(why))));
            object.extend(self.support.as_ref().map(|support| ("evidence".to_owned(), support.json())));
        }
        value
    }
}

impl Support {
    /// The evidence as an object.
    pub fn json(&self) -> Value {
        json!({
            "because": self.because,
            "runs": self.runs,
            "of": self.of,
            "names": self.names,
            "labels": self.labels,
            "phases": self.phases,
            "examples": self.examples,
            "completes": self.completes,
        })
    }
}

/// What a permission is about, by the format's own words.
fn details(what: &Permitted) -> Value {
    match what {
        Permitted::Mode(mode) => json!({ "mode": mode.word() }),
        Permitted::GoOn(consequence) => json!({ "on_violation": consequence.word() }),
        Permitted::RunAs(ids) => json!({ "user": ids.as_ref().map(|ids| ids.user.as_raw()) }),
        Permitted::Capability(one) => json!({ "capability": capability_word(*one) }),
        Permitted::Program(key) | Permitted::Entry(key) | Permitted::NotOfImage(key) => {
            json!({ "program": program(key) })
        }
        Permitted::Transition { from, to } => json!({ "from": program(from), "to": program(to) }),
        Permitted::Arguments(key, _) => json!({ "program": program(key) }),
        Permitted::Interpreter(key, path) => json!({ "program": program(key), "interpreter": path }),
        Permitted::Content(key, digest) => json!({ "program": program(key), "sha256": digest }),
        Permitted::ProgramUser(key, uid) => {
            json!({ "program": program(key), "user": uid.map(|uid| uid.as_raw()) })
        }
        Permitted::Instances(key, most) => json!({ "program": program(key), "instances": most }),
        Permitted::Libraries(key, path) => json!({ "program": program(key), "path": path }),
        Permitted::File { path, right } => json!({ "path": path, "right": words(*right) }),
        Permitted::Elsewhere(right) => json!({ "group": "@elsewhere", "right": words(*right) }),
        Permitted::Listen(endpoint) | Permitted::Connect(endpoint) => {
            json!({ "endpoint": endpoint_text(endpoint) })
        }
        Permitted::Call { call, decided_by, startup_only, alternatives } => json!({
            "call": call,
            "decided_by": decided_by,
            "startup_only": startup_only,
            "any_arguments": alternatives.iter().any(Vec::is_empty),
        }),
        Permitted::Limit(name, most) => json!({ "limit": name.word(), "most": most }),
        Permitted::KeepVariable(name) | Permitted::PassVariable(name) => json!({ "variable": name }),
        Permitted::Degrade
        | Permitted::UnseenReads
        | Permitted::UnseenSecrets
        | Permitted::StandardFiles
        | Permitted::NvidiaDevices
        | Permitted::EngineDevices
        | Permitted::StartupUntil(_)
        | Permitted::WriteExecute => json!({}),
    }
}

fn words(rights: crate::profile::Rights) -> String {
    rights.words().collect::<Vec<_>>().join(" ")
}

fn program(key: &ProgramKey) -> Value {
    let mut value = json!({ (if key.beneath { "beneath" } else { "path" }): key.path });
    if let (Some(applet), Some(object)) = (&key.applet, value.as_object_mut()) {
        object.insert("applet".into(), json!(applet));
    }
    value
}
