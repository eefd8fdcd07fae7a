//! The verbs: exit codes, lines on stderr, files written whole or not at all, bad input.

use serde_json::{Value, json};

use super::{Folder, fixture};
use crate::support::kustomize;

/// Bad input: exit code 2, one line, and nothing written.
fn refused(folder: &Folder, arguments: &[&str], says: &str) {
    let before = folder.names();
    let output = folder.remit(arguments);
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
    assert!(err.contains(says), "{arguments:?}: {err}");
    assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
    assert!(!err.contains('\u{1b}') && !err.contains('\u{7}'), "{err:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: it printed a result");
    assert_eq!(folder.names(), before, "{arguments:?}: it left a file");
}

#[test]
fn what_is_not_carried_over_is_a_line_each_and_strict_counts_it() {
    let folder = Folder::new();
    let (out, err) = folder.done(&["export", "redis", "--to", "oci-seccomp"]);
    let value: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["defaultAction"], "SCMP_ACT_ERRNO");
    let lines: Vec<_> = err.lines().filter(|line| line.starts_with("remit: not carried over: /")).collect();
    assert!(lines.len() > 8, "{err}");
    assert!(err.lines().any(|line| line.starts_with("remit: note: the runtime itself needs ")), "{err}");
    assert_eq!(folder.remit(&["export", "redis", "--to", "oci-seccomp", "--strict"]).status.code(), Some(1));

    let docker = fixture("docker-default.json");
    let import = ["import", "--from", "oci-seccomp", &docker, "--entry", "/bin/app", "--arch", "x86_64"];
    let (out, err) = folder.done(&import);
    assert!(err.contains("remit: not carried over: /archMap: SCMP_ARCH_X86 SCMP_ARCH_X32"), "{err}");
    assert_eq!(folder.remit(&[&import[..], &["--strict"]].concat()).status.code(), Some(1));
    let read = remit::profile::read(out.as_bytes()).expect("a profile");
    assert_eq!(read.profile.name, "docker-default");
    assert!(read.profile.syscalls.exact, "no section brings what the file does not list");
    // With nothing to say, 0.
    folder.put(
        "small.json",
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    let (_, err) =
        folder.done(&["import", "--from", "oci-seccomp", "small.json", "--entry", "/a", "--strict"]);
    assert_eq!(err, "");
}

#[test]
fn a_base_brings_the_sections_that_a_seccomp_profile_lacks() {
    let folder = Folder::new();
    folder.put(
        "base.json",
        r#"{ "remit": 1, "name": "x", "programs": [{ "path": "/bin/app", "entry": true }],
            "files": [{ "path": "/data", "allow": ["read"] }], "syscalls": { "allow": ["ptrace"] } }"#,
    );
    let docker = fixture("docker-default.json");
    folder.done(&[
        "import",
        "--from",
        "oci-seccomp",
        &docker,
        "--base",
        "base.json",
        "-o",
        "p.json",
        "--name",
        "App",
    ]);
    let profile = remit::profile::read(folder.text("p.json").as_bytes()).expect("a profile").profile;
    assert_eq!(profile.name, "app");
    assert!(folder.text("p.json").contains("/data"));
    assert!(profile.syscalls.allow.len() > 250);
    assert_eq!(folder.names(), ["base.json", "p.json"]);
}

#[test]
fn kubescape_and_apparmor_make_profiles() {
    let folder = Folder::new();
    let kubescape = fixture("nginx.kubescape.yaml");
    let import = ["import", "--from", "kubescape", &kubescape, "--entry", "/usr/sbin/nginx", "-o", "k.json"];
    let (out, err) = folder.done(&import);
    assert_eq!(out, "");
    assert!(err.contains("/spec/containers/0/execs/3: /docker-entrypoint.d/⋯: "), "{err}");
    remit::profile::read(folder.text("k.json").as_bytes()).expect("a profile");
    let apparmor = fixture("nginx.apparmor");
    let (out, err) = folder.done(&["import", "--from", "apparmor", &apparmor]);
    assert!(err.contains("line 8: include <abstractions/base>: @runtime in its place"), "{err}");
    assert!(err.contains("ptrace (read) peer=nginx: has no equal"), "{err}");
    let profile = remit::profile::read(out.as_bytes()).expect("a profile").profile;
    assert_eq!(profile.name, "nginx");
    assert_eq!(profile.programs.len(), 2);
    // As a pipe gives it.
    let text = std::fs::read_to_string(&apparmor).expect("the fixture");
    folder.put("copy", &text);
    let shell = format!("{} import --from apparmor - < copy", crate::support::tool().display());
    let output = std::process::Command::new("sh").args(["-c", &shell]).current_dir(folder.path("")).output();
    assert_eq!(String::from_utf8(output.expect("it runs").stdout).expect("UTF-8"), out);
}

#[test]
fn a_seccomp_profile_of_the_operator_is_valid_by_its_definition() {
    let folder = Folder::new();
    folder.put(
        "p.json",
        r#"{ "remit": 1, "name": "app", "programs": [{ "path": "/bin/app", "entry": true }], "files": ["@runtime"] }"#,
    );
    let digest = remit::profile::read(folder.text("p.json").as_bytes()).expect("a profile").digest;
    let evidence = |digest: &str| {
        json!({
            "evidence": 1, "profile_digest": digest,
            "runs": [run("a"), run("b")], "rules": {}, "confidence": null, "granted": [], "removed": [], "notes": [],
            "full": [],
            "facts": [{ "fact": "call", "call": "fsync", "serving": "0-1" }, { "fact": "call", "call": "flock", "startup": "1" }],
        })
    };
    folder.put("p.evidence.json", evidence(&digest).to_string());
    folder.done(&["export", "./p.json", "--to", "spo", "-o", "app.yaml"]);
    let manifest = kustomize::documents(&folder.path("app.yaml")).remove(0);
    assert_eq!(manifest["metadata"]["name"], "app");
    let coverage =
        manifest["metadata"]["annotations"]["spo.x-k8s.io/syscall-coverage"].as_str().expect("coverage");
    let coverage: Value = serde_json::from_str(coverage).expect("JSON");
    assert_eq!(coverage, json!({ "version": "v1", "total": 2, "syscalls": { "flock": 1, "fsync": 2 } }));

    let schema = std::fs::read_to_string(fixture("spo.schema.json")).expect("the fixture");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<_> = validator.iter_errors(&manifest).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    // Control: what the definition does not have, and an action that is none.
    for (pointer, value) in
        [("/spec/defaultErrnoRet", json!(1)), ("/spec/defaultAction", json!("SCMP_ACT_MAGIC"))]
    {
        let mut wrong = manifest.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        wrong.pointer_mut(parent).expect("it is there")[key] = value;
        assert!(!validator.is_valid(&wrong), "{pointer}");
    }

    // Evidence of another state of the profile counts for nothing.
    folder.put("p.evidence.json", evidence("sha256:0").to_string());
    let (out, err) = folder.done(&["export", "./p.json", "--to", "spo"]);
    assert!(!out.contains("coverage") && err.contains("of another state of the profile"), "{err}");
}

fn run(name: &str) -> Value {
    json!({ "run": name, "command": "app", "label": "x", "clean": true, "lines": 1,
        "fingerprint": { "arch": "x86_64", "kernel": "6.18", "programs": "sha256:0" } })
}

#[test]
fn a_directory_is_replaced_whole_and_only_an_own_one() {
    let folder = Folder::new();
    let export = ["export", "redis", "--to", "kubernetes", "-o", "out", "--", "redis-server"];
    folder.done(&export);
    assert_eq!(folder.names(), ["out"]);
    folder.put("out/profile.json", "old");
    folder.done(&export);
    assert!(folder.text("out/profile.json").contains("redis"));
    assert_eq!(folder.names(), ["out"]);
    folder.put("out/mine.yaml", "mine");
    refused(&folder, &export, "out: has mine.yaml, which no export writes");
    assert_eq!(folder.text("out/mine.yaml"), "mine");
    folder.put("file", "text");
    refused(&folder, &["export", "redis", "--to", "kubernetes", "-o", "file", "--", "a"], "file: ");
    refused(&folder, &["export", "redis", "--to", "kubernetes", "-o", "none/out", "--", "a"], "none/out: ");
    refused(
        &folder,
        &["export", "redis", "--to", "kubernetes", "-o", "new"],
        "several programs that may be COMMAND",
    );
    refused(
        &folder,
        &["export", "redis", "--to", "kubernetes", "-o", "new", "--deployment", "A\u{1b}[2J", "--", "a"],
        "--deployment: ",
    );
    refused(&folder, &["export", "redis", "--to", "kubernetes", "--label", "x", "--", "a"], "--label: ");
    refused(&folder, &["export", "redis", "--to", "spo", "--name", "A_b"], "--name");
    refused(&folder, &["export", "redis", "--to", "oci-seccomp", "-o", "none/x.json"], "none/x.json: ");
}

#[test]
fn bad_input_is_one_line_and_writes_nothing() {
    let folder = Folder::new();
    let docker = std::fs::read_to_string(fixture("docker-default.json")).expect("the fixture");
    let deep = "[".repeat(100_000);
    let aliases: String = std::iter::once("a0: &a0 [x]\n".to_owned())
        .chain((1..60).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))))
        .collect();
    let inputs: [(&str, &str, &[u8], &str); 14] = [
        ("oci-seccomp", "cut", &docker.as_bytes()[..4000], "EOF while parsing"),
        ("oci-seccomp", "empty", b"", "is empty; expected a seccomp profile"),
        ("oci-seccomp", "deep", deep.as_bytes(), "is no seccomp profile"),
        ("oci-seccomp", "binary", b"\xff\xfe\0\0", "is no seccomp profile"),
        ("oci-seccomp", "newer", br#"{"defaultAction":"SCMP_ACT_ERRNO","\u001b[2J":1}"#, "unknown field"),
        ("oci-seccomp", "open", br#"{"defaultAction":"SCMP_ACT_ALLOW"}"#, "allows every call"),
        ("kubescape", "deep", deep.as_bytes(), "is no YAML"),
        ("kubescape", "aliases", aliases.as_bytes(), "is no YAML"),
        ("kubescape", "kind", b"kind: \"Pod\\e[2J\"", "is not read"),
        ("kubescape", "binary", b"\xff\xfe\0\0", "is not UTF-8"),
        ("kubescape", "empty", b"", ""),
        ("apparmor", "cut", b"profile x /bin/x {\n  /a r,\n", "line 1: the block that begins here"),
        ("apparmor", "escape", b"profile \"\x1b[2J\" { /a\x1b[2J r }", "has no"),
        ("apparmor", "none", b"# nothing\n", "has no profile"),
    ];
    for (format, name, text, says) in inputs {
        folder.put(name, text);
        refused(&folder, &["import", "--from", format, name, "--entry", "/bin/x", "-o", "out.json"], says);
    }
    let long = vec![b' '; (16 << 20) + 1];
    folder.put("long", long);
    for format in ["oci-seccomp", "kubescape", "apparmor"] {
        refused(
            &folder,
            &["import", "--from", format, "long", "--entry", "/bin/x"],
            "at most 16777216 are read",
        );
    }
    folder.put("docker.json", &docker);
    let import = ["import", "--from", "oci-seccomp", "docker.json"];
    refused(&folder, &import, "--entry PATH");
    for (more, says) in [
        (["--entry", "bin/x"], "--entry: path \"bin/x\" is not absolute"),
        (["--entry", "/a/../b"], "goes through"),
        (["--cap", "sys_admn"], "did you mean sys_admin"),
        (["--kernel", "new"], "is not a release"),
        (["--base", "docker.json"], "docker.json"),
        (["--base", "none.json"], "none.json"),
    ] {
        refused(&folder, &[&import[..], &more].concat(), says);
    }
    refused(&folder, &["import", "--from", "apparmor", "none.txt"], "none.txt: ");
    refused(&folder, &["import", "--from", "apparmor", "."], ".: ");
    refused(&folder, &["export", "none.json", "--to", "spo"], "none.json");
}

#[test]
fn control_characters_of_a_file_are_escaped_everywhere() {
    let folder = Folder::new();
    folder.put(
        "app",
        "profile app /bin/app {\n  /data/\u{1b}c*.log r,\n  include <x\u{1b}]0;y\u{7}>\n  mount \u{202e},\n}\n",
    );
    let output = folder.remit(&["import", "--from", "apparmor", "app"]);
    let all = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert!(!all.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{all:?}");
    assert!(all.contains("\\u001b"), "{all}");
    folder.put(
        "x.json",
        r#"{ "remit": 1, "name": "x", "programs": [{ "path": "/bin/\u001b[2J", "entry": true }] }"#,
    );
    for to in ["oci-seccomp", "kubernetes", "spo"] {
        let output = folder.remit(&["export", "./x.json", "--to", to]);
        let all = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        assert_eq!(output.status.code(), Some(0), "{all}");
        assert!(!all.contains('\u{1b}'), "{to}: {all:?}");
    }
}
