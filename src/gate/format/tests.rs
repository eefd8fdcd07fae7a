//! Each format with text that attacks its reader.

use super::super::{CheckReport, FindingList, GateFinding, GateRule};
use super::ReportFormat;
use crate::review::TextPlaces;
use crate::visible::Colours;
use crate::visible::sgr::{BOLD, BOLD_CYAN, BOLD_RED, CYAN, DIM, RESET};

const HOSTILE: &str = "a\u{1b}[2J::error::x\r\n%0A|`<img src=x onerror=alert(1)>&\"']]>@team ![x](http://evil) www.evil.example \u{202e}\u{ffff},:";

fn report() -> CheckReport {
    let positions = TextPlaces::of("{\n  \"files\": [\n    1\n  ]\n}");
    let file = format!("profiles/{HOSTILE}.json");
    let mut list = FindingList::new(&file, &positions);
    list.add(GateRule::OutsideFile, "/files/0", HOSTILE, format!("{HOSTILE} was read.")).patch =
        Some(serde_json::json!([{ "op": "add", "path": "/files/-", "value": HOSTILE }]));
    list.add(GateRule::EvidenceThin, "", HOSTILE, HOSTILE);
    list.add(GateRule::GrantAdded, "/files", HOSTILE, HOSTILE).is_new = false;
    let findings: Vec<GateFinding> = list.found;
    CheckReport {
        file: file.clone(),
        name: "x".to_owned(),
        digest: "sha256:0".to_owned(),
        required_by: HOSTILE.to_owned(),
        looked_at: vec![HOSTILE.to_owned()],
        findings,
    }
}

#[test]
fn no_format_lets_a_control_character_through() {
    for (format, name) in ReportFormat::NAMES {
        let text = format.write(&report(), Colours::NONE);
        let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        let shown: Vec<&str> = text.lines().filter(|line| line.contains(is_bad)).collect();
        assert!(shown.is_empty(), "{name}: {shown:?}");
        assert!(text.ends_with('\n'), "{name}");
        assert_eq!(ReportFormat::of(name), Some(*format));
    }
}

#[test]
fn an_annotation_is_one_line_with_file_and_line() {
    let text = ReportFormat::Github.write(&report(), Colours::NONE);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0].starts_with("::error file=profiles/a\\u001b[2J%3A%3Aerror%3A%3Ax\\r\\n%250A|"),
        "{text}"
    );
    assert!(lines[0].contains(",line=3,col=5,title="), "{text}");
    assert!(lines[1].starts_with("::warning ") && lines[2].starts_with("::notice "), "{text}");
    for line in &lines[..3] {
        let properties = line[2..].split("::").next().expect("properties");
        assert_eq!(properties.matches(',').count(), 3, "{line}");
        let message = &line[2 + properties.len() + 2..];
        assert!(!message.contains("%0D") && message.contains("%250A"), "{line}");
    }
}

#[test]
fn markdown_and_xml_hold_no_markup_of_the_text() {
    let markdown = ReportFormat::Markdown.write(&report(), Colours::NONE);
    for bad in ["<img", "`", "@team", "![", "http://", "www.evil", "]("] {
        assert!(!markdown.contains(bad), "{bad}: {markdown}");
    }
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() == 5 && rows.iter().all(|row| row.matches('|').count() == 5), "{markdown}");
    let xml = ReportFormat::Junit.write(&report(), Colours::NONE);
    for bad in ["<img", "]]>", "\u{ffff}", "&\"", "alert(1)>"] {
        assert!(!xml.contains(bad), "{bad}: {xml}");
    }
    assert!(xml.contains("failures=\"1\" errors=\"1\" skipped=\"1\""), "{xml}");
}

#[test]
fn sarif_names_each_rule_and_no_file_by_text() {
    let text = ReportFormat::Sarif.write(&report(), Colours::NONE);
    let log: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(GateRule::ALL.len()));
    let result = &run["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!((&place["region"]["startLine"], &result["level"]), (&3.into(), &"error".into()));
    let uri = place["artifactLocation"]["uri"].as_str().expect("a URI");
    assert!(uri.starts_with("profiles/a%1B%5B2J%3A%3Aerror") && uri.ends_with(".json"), "{uri}");
    assert_eq!(run["results"][1]["kind"], "open");
    assert_eq!(run["results"][1]["level"], "none");
    assert_eq!(run["results"][2]["baselineState"], "unchanged");
    assert_eq!(result["properties"]["patch"][0]["op"], "add");
}

/// In a message `[text](target)` is a link (3.11.6), so no bracket of a path may begin or end one.
#[test]
fn a_message_of_sarif_has_no_link() {
    let log = ReportFormat::Sarif.write(&report(), Colours::NONE);
    let log: serde_json::Value = serde_json::from_str(&log).expect("JSON");
    let run = &log["runs"][0];
    let open = run["invocations"][0]["toolExecutionNotifications"].as_array().expect("a list");
    let results = run["results"].as_array().expect("a list");
    for one in results.iter().chain(open) {
        let text = one["message"]["text"].as_str().expect("a text");
        assert!(text.contains("!\\[x\\](http://evil)"), "{text}");
        let unescaped = text.replace("\\\\", "").replace("\\[", "").replace("\\]", "");
        assert!(!unescaped.contains(['[', ']', '\\']), "{text}");
    }
}

#[test]
fn only_our_own_colours_reach_a_terminal() {
    let text = ReportFormat::Text.write(&report(), Colours(true));
    let labels = [
        format!("{BOLD_RED}error [outside-file]{RESET}"),
        format!("{BOLD_CYAN}inconclusive [evidence-thin]{RESET}"),
        format!("{DIM}known [grant-added]{RESET}"),
    ];
    for label in labels {
        assert!(text.contains(&label), "{label:?} in {text:?}");
    }
    let ours = [BOLD, BOLD_CYAN, BOLD_RED, CYAN, DIM, RESET];
    let plain = ours.iter().fold(text, |text, ours| text.replace(ours, ""));
    assert_eq!(plain, ReportFormat::Text.write(&report(), Colours::NONE));
}
