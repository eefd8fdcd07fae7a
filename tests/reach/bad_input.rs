//! What cannot be analysed, and a profile beside what is reachable.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use serde_json::json;

use super::{REMIT, path, remit, text};

/// One line on stderr, exit code 2.
fn refused(arguments: &[&str], expected: &str) {
    let said = remit(arguments);
    let stderr = text(&said.stderr);
    assert_eq!(said.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    assert!(said.stdout.is_empty());
}

#[test]
fn what_is_no_program_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        fs::write(path(&folder, name), bytes).expect("a file");
        path(&folder, name).to_str().expect("UTF-8").to_owned()
    };
    refused(&["/nowhere"], "not found");
    refused(&["no-such-program"], "in no directory of PATH");
    refused(&["/etc"], "is no regular file");
    refused(&[&file("text", b"hello")], "is no ELF file");
    refused(&[&file("empty", b"")], "is no ELF file");
    refused(&[&file("cut", &b"\x7fELF\x02\x01\x01"[..])], "is cut or malformed");
    refused(&[&file("32", &[&b"\x7fELF\x01\x01\x01"[..], &[0; 80]].concat())], "32 bits");
    refused(&[&file("\u{1b}[31m", b"x")], "\\u001b[31m: is no ELF file");
    refused(
        &["--image", "/nowhere", "/app"],
        "/nowhere: No such file or directory; expected an unpacked image or an archive",
    );
    refused(&["--image", folder.path().to_str().expect("UTF-8"), "/app"], "not found");
    refused(&["--profile", "/nowhere.json"], "not found");
    // What an image lacks is no reason to name it again.
    fs::copy("/usr/bin/true", path(&folder, "true")).expect("copied");
    let image = folder.path().to_str().expect("UTF-8");
    let lacks = format!("{image}: /true: names the loader ");
    refused(&["--image", image, "/true"], &lacks);
    refused(&["--image", image, "/true"], "which is not there; name the image that the app runs in");
    let said = remit(&[]);
    assert_eq!(said.status.code(), Some(2));
    // A script is its interpreter.
    let script = file("script", b"#!/usr/bin/true\n");
    let said = remit(&[&script]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert!(
        text(&said.stdout).contains("is a script: its interpreter /usr/bin/true"),
        "{}",
        text(&said.stdout)
    );
}

/// A program of 500 MB, most of it a hole in the file that is mapped as code.
#[test]
fn a_huge_program_takes_bounded_time() {
    const SIZE: u64 = 500 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let huge = path(&folder, "huge");
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    for (size, value) in
        [(2, 3), (2, 62), (4, 1), (8, 0x1000), (8, 64), (8, 0), (4, 0), (2, 64), (2, 56), (2, 1), (2, 64)]
    {
        header.extend(&u64::to_le_bytes(value)[..size]);
    }
    header.resize(64, 0);
    for (size, value) in [(4, 1), (4, 5), (8, 0), (8, 0), (8, 0), (8, SIZE), (8, SIZE), (8, 0x1000)] {
        header.extend(&u64::to_le_bytes(value)[..size]);
    }
    let file = File::create(&huge).expect("a file");
    file.set_len(SIZE).expect("its length");
    file.write_all_at(&header, 0).expect("its header");
    file.write_all_at(&[0xb8, 60, 0, 0, 0, 0x0f, 0x05], 0x1000).expect("its code");
    let said = remit(&[huge.to_str().expect("UTF-8")]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let answer = text(&said.stdout);
    assert!(answer.contains("limit: unbounded:"), "{answer}");
    file.set_len((1 << 30) + 1).expect("its length");
    refused(&[huge.to_str().expect("UTF-8")], "are read at most");
}

#[test]
fn a_learned_call_that_is_not_reachable_is_exit_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = fs::canonicalize("/usr/bin/true").expect("a program");
    let line = |kind: &str, more: serde_json::Value| {
        let mut line =
            json!({ "t": 1, "phase": "startup", "kind": kind, "program": program, "result": "ok" });
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        line.to_string()
    };
    let build = |calls: &[&str]| {
        let mut lines = vec![
            json!({ "run": "a", "label": "a", "command": [program], "exact": false, "new": 1,
                "fingerprint": { "arch": std::env::consts::ARCH, "kernel": "6.18" }, "outer": {} })
            .to_string()
            .replacen('{', "{\"journal\":1,", 1),
            line("exec", json!({ "path": program, "argv": ["true"], "entry": true })),
        ];
        lines.extend(calls.iter().map(|call| line("syscall", json!({ "call": call }))));
        lines.push(json!({ "t": 9, "end": { "exit": { "code": 0 }, "clean": true, "lines": lines.len() - 1, "dropped": 0 } }).to_string());
        fs::write(path(&folder, "journal.jsonl"), lines.join("\n") + "\n").expect("a file");
        let mut build = Command::new(REMIT);
        build.args(["build", "journal.jsonl", "-o", "p.json"]).current_dir(folder.path());
        let said = build.output().expect("it runs");
        assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    };
    let profile = path(&folder, "p.json");
    let profile = profile.to_str().expect("UTF-8");
    build(&["sysinfo"]);
    let said = remit(&["--profile", profile, "/usr/bin/true"]);
    let answer = text(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{answer}{}", text(&said.stderr));
    assert!(answer.contains("All 1 learned calls are reachable."), "{answer}");
    assert!(answer.contains("reachable, not allowed), of which"), "{answer}");
    build(&["kexec_load", "sysinfo"]);
    let said = remit(&["--profile", profile, "/usr/bin/true", "--format", "json"]);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(answer["profile"]["alarms"], json!(["kexec_load"]));
    assert!(
        answer["profile"]["allowed_dangerous"]
            .as_array()
            .is_some_and(|all| all.contains(&json!("kexec_load")))
    );
    // Without a program those of the profile are looked into.
    let said = remit(&["--profile", profile]);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said.stderr));
    assert!(text(&said.stdout).contains("ALARM: learned and not reachable"));
    // A profile of directories names no program.
    super::reach(&["/usr/bin/true", "--profile", "baseline"]);
    refused(&["--profile", "baseline"], "names no program by path");
}
