//! What is converted has the required fields, the types and the words of the published schemas
//! (schemas/*.json).

use jsonschema::Validator;

use super::*;

fn validator(name: &str) -> Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events/schemas").join(name);
    let schema = serde_json::from_slice(&fs::read(path).expect("a schema")).expect("JSON");
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
}

/// Converts the log, and checks each line.
fn converted(schema: &str, to: &str, more: &[&str]) -> Vec<Value> {
    let (folder, _) = with_log();
    checked(schema, to, more, folder.path())
}

pub fn checked(schema: &str, to: &str, more: &[&str], folder: &Path) -> Vec<Value> {
    let validator = validator(schema);
    let text = printed(&remit(folder, &[&["--to", to], more, &["events.jsonl"]].concat()), 0);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    assert!(!text.contains(NONCE), "a nonce stays in the log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for line in &lines {
        let errors: Vec<String> =
            validator.iter_errors(line).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{line:#}\n{}", errors.join("\n"));
    }
    lines
}

#[test]
fn ocsf() {
    let events = converted("ocsf.json", "ocsf", &[]);
    assert_eq!(events.len(), log().len());
    for event in &events {
        let [class, activity, kind] =
            ["class_uid", "activity_id", "type_uid"].map(|key| event[key].as_i64().expect(key));
        assert_eq!(kind, class * 100 + activity, "{event:#}");
    }
    let classes: Vec<i64> =
        events.iter().map(|event| event["class_uid"].as_i64().expect("a class")).collect();
    assert_eq!(
        classes,
        [
            1007, 0, 1007, 1007, 1007, 1001, 1001, 1001, 1001, 4001, 4001, 4001, 4001, 2004, 2004, 2004,
            2004, 2004, 1001, 1007, 1007, 0, 0, 6002
        ]
    );
    let denied = &events[3];
    assert_eq!(
        (&denied["action_id"], &denied["disposition_id"], &denied["process"]["file"]["path"]),
        (&2.into(), &2.into(), &"/usr/bin/curl".into())
    );
    assert_eq!(denied["actor"]["process"]["file"]["path"], "/bin/sh");
    assert_eq!((&events[6]["action_id"], &events[6]["disposition_id"]), (&3.into(), &15.into()));
    assert_eq!(events[9]["dst_endpoint"]["ip"], "203.0.113.9");
    assert_eq!(events[0]["time"], 1_795_341_601_000_i64);
    let incidents = converted("ocsf.json", "ocsf", &["--incidents"]);
    assert!(
        incidents.iter().all(|one| one["class_uid"] == 2004 && one["is_alert"] == true)
            && !incidents.is_empty()
    );
    assert_eq!(incidents[0]["severity_id"], 5);
}

#[test]
fn ecs() {
    let events = converted("ecs.json", "ecs", &[]);
    assert_eq!(events.len(), log().len());
    // What the schema lists as expected types of each category.
    let expected = |category: &str| -> &[&str] {
        match category {
            "process" => &["access", "change", "end", "info", "start"],
            "file" => &["access", "change", "creation", "deletion", "info"],
            "network" => &["access", "allowed", "connection", "denied", "end", "info", "protocol", "start"],
            "intrusion_detection" => &["allowed", "denied", "info"],
            other => panic!("{other}"),
        }
    };
    let incidents = converted("ecs.json", "ecs", &["--incidents"]);
    for event in events.iter().chain(&incidents) {
        let list = |key: &str| -> Vec<&str> {
            event["event"][key].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
        };
        let categories = list("category");
        for one in list("type") {
            assert!(categories.iter().any(|category| expected(category).contains(&one)), "{one}: {event:#}");
        }
    }
    assert_eq!(events[3]["event"]["action"], "program-denied");
    assert_eq!(
        (&events[3]["event"]["outcome"], &events[6]["event"]["outcome"]),
        (&"failure".into(), &"success".into())
    );
    assert_eq!(events[19]["process"]["exit_code"], 3);
    assert_eq!(events[9]["destination"]["port"], 4444);
    assert!(
        incidents[0]["threat"]["technique"]["id"].as_array().expect("techniques").contains(&"T1105".into())
    );
}

#[test]
fn otlp_json() {
    let events = converted("otlp.json", "otlp-json", &[]);
    assert_eq!(events.len(), log().len());
    let record = |event: &Value| event["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0].clone();
    let attribute = |event: &Value, key: &str| {
        let record = record(event);
        let found = record["attributes"]
            .as_array()
            .expect("attributes")
            .iter()
            .find(|one| one["key"] == key)
            .cloned();
        found.unwrap_or_else(|| panic!("{key}: {event:#}"))["value"].clone()
    };
    assert_eq!(record(&events[0])["timeUnixNano"], "1795341601000001000");
    assert_eq!(attribute(&events[9], "server.port"), serde_json::json!({ "intValue": "4444" }));
    assert_eq!(
        attribute(&events[3], "process.executable.path"),
        serde_json::json!({ "stringValue": "/bin/sh" })
    );
    assert_eq!(record(&events[3])["severityText"], "WARN");
    let incidents = converted("otlp.json", "otlp-json", &["--incidents"]);
    assert_eq!(record(&incidents[0])["eventName"], "remit.incident");
}

/// The schemas of these tests refuse what is wrong.
#[test]
fn what_is_wrong_is_refused() {
    let ocsf = validator("ocsf.json");
    let good = converted("ocsf.json", "ocsf", &[]);
    for (number, key, value) in [
        (3, "actor", Value::Null),
        (3, "severity_id", 7.into()),
        (3, "time", "2026".into()),
        (3, "proces", 1.into()),
        (5, "file", serde_json::json!({ "path": "/x" })),
        (9, "dst_endpoint", serde_json::json!({ "port": 1 })),
        (13, "finding_info", serde_json::json!({})),
    ] {
        let mut bad = good[number].clone();
        assert!(ocsf.is_valid(&bad));
        bad[key] = value;
        assert!(!ocsf.is_valid(&bad), "{key}: {bad:#}");
    }
}
