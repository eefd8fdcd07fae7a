//! The tool from outside: what it prints, and its exit codes.

use std::process::{Command, Output};

const REMIT: &str = env!("CARGO_BIN_EXE_remit");

fn remit(arguments: &[&str]) -> Output {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/profile");
    Command::new(REMIT).args(arguments).current_dir(fixtures).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn a_plan_is_the_object_that_the_formats_describe() {
    let said = remit(&["plan", "strict", "--kernel", "6.18", "--format", "json", "--", REMIT]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let keys: Vec<_> = plan.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = [
        "plan",
        "kernel",
        "arch",
        "seccomp",
        "landlock",
        "capabilities",
        "limits",
        "derived",
        "held",
        "widened",
        "lacking",
        "steps",
    ];
    expected.sort_unstable();
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(
        (&plan["plan"], &plan["kernel"], &plan["landlock"]["abi"]),
        (&1.into(), &"6.18".into(), &7.into())
    );
    let allowed = plan["seccomp"]["allowed"].as_array().expect("a list");
    for call in ["execve", "read", "mmap"] {
        assert!(allowed.contains(&call.into()), "{call} can succeed");
    }
    assert!(!allowed.contains(&"ptrace".into()));
    let again = remit(&["plan", "strict", "--kernel", "6.18", "--format", "json", "--", REMIT]);
    assert_eq!(said.stdout, again.stdout, "the same input gives the same bytes");
}

#[test]
fn a_kernel_that_cannot_give_it_is_exit_code_1() {
    let said = remit(&["plan", "strict", "--kernel", "5.10", "--", REMIT]);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said.stderr));
    assert!(text(&said.stdout).contains("refused to start: this kernel cannot give"));
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let cases: [(&[&str], &str); 8] = [
        (&["plan", "bad/unknown-key.json"], "remit: profile bad/unknown-key.json:1:77: /filez: "),
        (&["plan", "good/redis.json", "--kernel", "2.6"], "expected 5.10 or later"),
        (&["plan", "gone.json"], "remit: profile gone.json: not found"),
        (&["plan", "good"], "remit: profile good: is a directory"),
        (&["plan", "basline"], "\"baseline\""),
        (&["plan", "strict", "--kernel", "4.18"], "expected 5.10 or later"),
        (&["plan", "strict", "--", "no-such-command"], "PATH"),
        (&["profiles", "basline"], "there are baseline, "),
    ];
    for (arguments, says) in cases {
        let said = remit(arguments);
        let error = text(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(said.stdout.is_empty(), "{arguments:?}");
        assert!(error.contains(says), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn profiles_and_schema_are_printed_as_they_stand() {
    let printed = |name| text(&remit(&["profiles", name]).stdout);
    let list = text(&remit(&["profiles"]).stdout);
    for name in remit::profile::embedded::NAMES {
        assert!(list.lines().any(|line| line == name), "{list}");
        assert_eq!(printed(name), remit::profile::embedded::named(name).expect(name));
    }
    for ready in &remit::tool::READY {
        assert!(
            list.lines().any(|line| line.starts_with(ready.name) && line.ends_with(ready.tested)),
            "{list}"
        );
        assert_eq!(printed(ready.name), ready.text);
    }
    let json: serde_json::Value =
        serde_json::from_slice(&remit(&["profiles", "--format", "json"]).stdout).expect("JSON");
    let lines = json.as_array().expect("a list").iter();
    assert!(lines.clone().any(|line| line["name"] == "haproxy" && line["embedded"] == false));
    assert_eq!(lines.count(), list.lines().count());
    let schema: serde_json::Value = serde_json::from_slice(&remit(&["schema"]).stdout).expect("JSON");
    assert!(schema["properties"]["programs"].is_object());
}

/// An image of another architecture, unpacked on this machine.
#[test]
fn a_plan_for_another_architecture_reads_that_ones_programs() {
    let program = std::env::temp_dir().join(format!("remit-tool-foreign-{}", std::process::id()));
    // A header of an executable file for aarch64 without segments (elf(5)).
    let mut header = [0; 64];
    header[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0");
    header[20] = 1;
    (header[52], header[54]) = (64, 56);
    std::fs::write(&program, header).expect("a temporary file");
    let name = program.to_str().expect("UTF-8");
    let plan = |arch| remit(&["plan", "strict", "--kernel", "6.12", "--arch", arch, "--", name]);
    let [own, other] = ["aarch64", "x86_64"].map(plan);
    std::fs::remove_file(&program).expect("it is there");
    assert_eq!(own.status.code(), Some(0), "{}", text(&own.stderr));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(other.status.code(), Some(2), "{}", text(&other.stdout));
        assert!(text(&other.stderr).contains("another machine"), "{}", text(&other.stderr));
    }
    let stands_for = remit(&["plan", "strict", "--kernel", "6.12", "--arch", "aarch64", "--", REMIT]);
    assert_eq!(stands_for.status.code(), Some(0), "{}", text(&stands_for.stderr));
}
