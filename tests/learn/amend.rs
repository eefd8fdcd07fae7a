//! `remit amend`, and what was edited by hand.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Place, SERVER, is_one_line, journal, ordinary, run};

#[test]
fn what_was_removed_by_hand_stays_removed() {
    let place = Place::new();
    place.put("0.jsonl", journal(&run(0), "", &ordinary())).put("1.jsonl", journal(&run(1), "", &ordinary()));
    let mut profile = place.built(&["0.jsonl"]);
    profile["capabilities"] = json!([]);
    profile["risk"] = json!("elevated");
    let mut files = profile["files"].as_array().expect("a list").clone();
    files.retain(|entry| entry["path"] != "/etc/redis/redis.conf");
    files.push(json!({ "path": "/srv", "allow": ["read"], "why": "by hand" }));
    profile["files"] = files.into();
    place.put("p.json", profile.to_string());
    for inputs in [&["1.jsonl", "--base", "p.json"][..], &["0.jsonl", "1.jsonl", "--base", "p.json"]] {
        let again = place.built(inputs);
        let text = again.to_string();
        assert_eq!(again["capabilities"], Value::Null);
        assert!(!text.contains("redis.conf"), "{text}");
        assert!(text.contains("by hand") && again["risk"] == "elevated", "{text}");
    }
    // Without the base what was added by hand is gone, and what was removed still is.
    let again = place.built(&["p.evidence.json", "0.jsonl"]).to_string();
    assert!(!again.contains("redis.conf") && !again.contains("by hand"), "{again}");
}

#[test]
fn an_overlay_has_the_last_word() {
    let place = Place::new();
    place.put("0.jsonl", journal(&run(0), "", &ordinary()));
    let overlay = json!({ "remit": 1, "name": "mine", "on_violation": "kill",
        "programs": [{ "path": SERVER, "entry": true, "why": "ours" }],
        "files": [{ "path": "/data", "allow": ["read", "write"] }] });
    place.put("overlay.json", overlay.to_string());
    let profile = place.built(&["0.jsonl", "--overlay", "overlay.json"]);
    assert_eq!((&profile["name"], &profile["on_violation"]), (&json!("mine"), &json!("kill")));
    assert!(profile["files"].to_string().contains("{\"allow\":[\"read\",\"write\"],\"path\":\"/data\"}"));
    assert_eq!(profile["programs"][0]["why"], "ours");
}

#[test]
fn hints_become_a_proposal() {
    let place = Place::new();
    let profile = json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }] });
    place.put("p.json", profile.to_string());
    let digest = remit::profile::read(profile.to_string().as_bytes()).expect("valid").digest;
    let policy = format!("\"policy\":{{\"digest\":{digest:?}}}");
    let hint = |path: &str, value: Value| {
        let hint = json!([{ "op": "add", "path": path, "value": value }]);
        format!("{{\"remit\":1,\"event\":\"violation\",\"kind\":\"file\",{policy},\"hint\":{hint}}}\n")
    };
    let events = [
        "the app's own line\n".to_owned(),
        "{\"remit\":1,\"event\":\"start\"}\n".to_owned(),
        hint("/files", json!([{ "path": "/data", "allow": ["read"] }])),
        hint("/files", json!([{ "path": "/data", "allow": ["write"] }])),
        hint("/limits/processes", json!(4)),
    ];
    place.put("e.jsonl", events.concat());
    let said = place.done(&["amend", "p.json", "e.jsonl", "-o", "new.json"]);
    assert!(said.contains("+ file /data read\n+ file /data write\n"), "{said}");
    assert!(
        said.contains("left out: e.jsonl:5: file: the hint for /limits/processes is none that remit gives"),
        "{said}"
    );
    assert_eq!(place.text("p.json"), profile.to_string(), "the profile is as it was");
    let first = place.text("new.json");
    let said = place.done(&["amend", "new.json", "e.jsonl", "-o", "again.json"]);
    assert!(said.contains("nothing to add") && said.contains("is for another profile"), "{said}");
    assert_eq!(place.text("again.json"), first);
    place.put("app.log", "nothing of ours\n");
    is_one_line(&place, &["amend", "p.json", "app.log", "-o", "n.json"], &["app.log: has no event of remit"]);
    is_one_line(&place, &["amend", "p.json", "gone", "-o", "n.json"], &["gone: not found"]);
    is_one_line(&place, &["amend", "p.json", "e.jsonl", "-o", "p.json"], &["is the profile itself"]);
    assert!(!Path::new(&place.path("n.json")).exists());
}
