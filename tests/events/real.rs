//! The events of a real start, in each form.

use super::*;

#[test]
fn a_real_start_is_read_in_each_form() {
    let folder = folder();
    let path = folder.path().join("events.jsonl");
    let mut command = Command::new(SHIM);
    let script = "cp /bin/ls ./dropped && ./dropped";
    command.arg("--events").arg(&path).args(["sh", "-c", script]).current_dir(folder.path());
    command.stdout(Stdio::null()).stderr(Stdio::null()).env_remove("LD_LIBRARY_PATH");
    let status = descriptors::only_standard(&mut command).status().expect("the shim");
    assert_eq!(status.code(), Some(126), "a dropped program is refused");
    let json = printed(&remit(folder.path(), &["events.jsonl"]), 0);
    assert_eq!(json, fs::read_to_string(&path).expect("the events"), "every line is remit's");
    let events: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(events.iter().any(|event| event["event"] == "violation"));
    let text = printed(&remit(folder.path(), &["--format", "text", "events.jsonl"]), 0);
    assert!(text.contains(" denied    program ") && text.contains("/dropped"), "{text}");
    for (schema, to) in [("ocsf.json", "ocsf"), ("ecs.json", "ecs"), ("otlp.json", "otlp-json")] {
        assert_eq!(schemas::checked(schema, to, &[], folder.path()).len(), events.len());
    }
    let summary = printed(&remit(folder.path(), &["--summary", "events.jsonl"]), 0);
    assert!(summary.contains("1 violation\n"), "{summary}");
}
