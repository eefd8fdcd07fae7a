//! `remit verify` and `remit learn` from outside: what they start, what they say of it, and
//! with which exit code.
#![cfg(feature = "tool")]

#[path = "support/descriptors.rs"]
mod descriptors;
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const REMIT: &str = env!("CARGO_BIN_EXE_remit");
const SHIM: &str = env!("CARGO_BIN_EXE_remit-init");

/// A directory, and the tool in it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        // A name that is not taken for one that no other run will have.
        let folder = tempfile::Builder::new().prefix("place-").rand_bytes(4).tempdir();
        let place = Place(folder.expect("a temporary directory"));
        for folder in ["data", "profiles"] {
            fs::create_dir(place.path(folder)).expect("a folder");
        }
        fs::write(place.path("data/input"), "content\n").expect("a file");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().expect("it is there").join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> &Place {
        fs::write(self.path(name), text).expect("it can be written");
        self
    }

    /// A shell that may run cat, read the input, and do what `more` adds.
    fn profile(&self, files: &[Value], edges: &[&str]) -> &Place {
        let input = json!({ "path": self.path("data/input"), "allow": ["read"] });
        let mut all = vec![json!("@runtime"), json!("@names"), input];
        all.extend(files.iter().cloned());
        let profile = json!({
            "remit": 1, "name": "shell", "fallback": "degrade",
            "programs": [
                { "path": "/bin/sh", "entry": true, "may_run": edges },
                { "path": "/bin/cat" }, { "path": "/bin/sleep", "entry": true },
            ],
            "files": all,
        });
        self.put("profiles/p.json", profile.to_string())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .env("DATA", self.path("data"));
        descriptors::only_standard(&mut command);
        command
    }

    fn remit(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(REMIT, arguments).output().expect("it runs"))
    }

    /// `remit verify` of the profile with these options, on a script.
    fn verify(&self, options: &[&str], script: &str) -> Said {
        self.remit(&[&["verify", "profiles/p.json"], options, &["--", "/bin/sh", "-c", script]].concat())
    }
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    error: String,
}

impl Said {
    fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Said { code: output.status.code(), out: text(&output.stdout), error: text(&output.stderr) }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

#[test]
fn a_run_that_keeps_to_its_profile_passes() {
    let place = Place::new();
    place.profile(&[], &["/bin/cat"]);
    let said = place.verify(&[], "cat $DATA/input");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("nothing would have been denied\n"), "{said:?}");
    // The answer is alone on standard output.
    assert!(!said.out.contains("content") && said.error.contains("content"), "{said:?}");
}

/// What verify reports, amend proposes, and then it passes.
#[test]
fn what_would_be_denied_is_reported_with_what_would_allow_it() {
    let place = Place::new();
    place.profile(&[], &[]);
    let script = "cat $DATA/input; cat $DATA/input; : >$DATA/new";
    let said = place.verify(&["--events", "events"], script);
    assert_eq!(said.code, Some(1), "{said:?}");
    let new = place.path("data/new").display().to_string();
    for line in [
        "add: edge /bin/sh -> /bin/cat".to_owned(),
        format!("file {new} create"),
        "2 times".to_owned(),
        "\n/files\n".to_owned(),
    ] {
        assert!(said.out.contains(&line), "{line}: {said:?}");
    }
    assert!(place.path("data/new").exists(), "audit refuses nothing");
    fs::remove_file(place.path("data/new")).expect("it is there");

    let amended = place.remit(&["amend", "profiles/p.json", "events", "-o", "profiles/new.json"]);
    assert_eq!(amended.code, Some(0), "{amended:?}");
    let again = place.remit(&["verify", "profiles/new.json", "--", "/bin/sh", "-c", script]);
    assert_eq!(again.code, Some(0), "{again:?}");
}

#[test]
fn what_is_refused_on_purpose_is_accepted() {
    let place = Place::new();
    place.profile(&[], &["/bin/cat"]);
    let script = ": >$DATA/new";
    let fresh = ["--format", "json", "--before", "rm -f $DATA/new"];
    let said = place.verify(&fresh, script);
    assert_eq!(said.code, Some(1), "{said:?}");
    let denied = said.json()["denied"].clone();
    let what: Vec<_> =
        denied.as_array().expect("a list").iter().map(|one| one["what"].as_str().expect("text")).collect();
    assert!(!what.is_empty());
    let mut options = [&fresh[..], &["--accept", "program /none"]].concat();
    options.extend(what.iter().flat_map(|what| ["--accept", what]));
    let said = place.verify(&options, script);
    assert_eq!(said.code, Some(0), "{said:?}");
    let answer = said.json();
    assert_eq!((&answer["denied"], &answer["accepted_unseen"]), (&json!([]), &json!(["program /none"])));
    assert_eq!(answer["accepted"], denied);
}

#[test]
fn a_run_that_ended_badly_is_no_pass() {
    let place = Place::new();
    place.profile(&[], &["/bin/cat"]);
    let said = place.verify(&[], "exit 3");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("the run proves little: it ended with exit code 3"), "{said:?}");
    let server = |options: &[&str]| {
        place.remit(&[&["verify", "profiles/p.json"], options, &["--", "/bin/sleep", "60"]].concat())
    };
    for (options, code, says) in [
        (&["--work", "true"][..], 0, "nothing would have been denied"),
        (&["--work", "exit 4"], 1, "its work ended with exit code 4"),
        (&["--for", "50ms"], 0, "nothing would have been denied"),
        (&["--for", "50ms", "--work", "sleep 60"], 0, "nothing would have been denied"),
    ] {
        let said = server(options);
        assert_eq!(said.code, Some(code), "{options:?}: {said:?}");
        assert!(said.out.contains(says), "{options:?}: {said:?}");
    }
    // The work waits until the run is ready, which one that ends at once is not.
    let short = ["learn", "--keep", "short", "-o", "short.json", "--work", "exit 4", "--", "/bin/true"];
    let learned = place.remit(&short);
    assert_eq!(learned.code, Some(1), "{learned:?}");
    assert!(
        learned.out.contains("no profile: it ended with exit code 0 before its work was done"),
        "{learned:?}"
    );
    let said = place.verify(&["--work", "sleep 60"], "exit 0");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("before its work was done"), "{said:?}");
}

/// The run gets the signal and ends in its own way, and the report still comes.
#[test]
fn a_signal_is_handed_on_and_the_report_still_comes() {
    let place = Place::new();
    place.profile(&[], &["/bin/cat"]);
    let script = "trap 'echo usr1' USR1; trap 'echo term; exit 0' TERM; echo up; while :; do :; done";
    let mut command = place.command(REMIT, &["verify", "profiles/p.json", "--", "/bin/sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut read = Vec::new();
    for signal in [libc::SIGUSR1, libc::SIGTERM] {
        read.push(lines.next().expect("a line").expect("text"));
        // SAFETY: two integers; it is our own child, which was not waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
    }
    read.push(lines.next().expect("a line").expect("text"));
    // It has ended before a line can be found wrong.
    let said = Said::of(&child.wait_with_output().expect("it ends"));
    assert_eq!(read, ["up", "usr1", "term"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("nothing would have been denied"), "{said:?}");
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let place = Place::new();
    place.profile(&[], &[]);
    let cases: [(&[&str], &str); 9] = [
        (&["verify", "gone.json", "--", "/bin/sh"], "profile gone.json: not found"),
        (&["verify", "profiles/p.json", "--", "no-such-command"], "PATH"),
        (&["verify", "profiles/p.json", "--shim", "gone", "--", "/bin/sh"], "--shim gone: "),
        (&["verify", "profiles/p.json", "--shim", "data/input", "--", "/bin/sh"], "may be executed"),
        (
            &["verify", "profiles/p.json", "--before", "exit 3", "--", "/bin/sh"],
            "--before `exit 3` ended with exit code 3",
        ),
        (&["learn", "--shim", "gone", "--", "/bin/sh"], "--shim gone: "),
        (&["learn", "--base", "gone.json", "--", "/bin/sh"], "profile gone.json: not found"),
        (&["learn", "--", "./taken"], "taken.json: is there already"),
        (&["learn", "--keep", "data/input", "--", "/bin/sh"], "data/input: "),
    ];
    place.put("taken.json", "");
    for (arguments, says) in cases {
        let said = place.remit(arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(said.error.contains(says) && said.out.is_empty(), "{arguments:?}: {said:?}");
        assert_eq!(said.error.lines().count(), 1, "{said:?}");
    }
    for verb in [&["verify", "profiles/p.json"][..], &["learn"]] {
        let said = place.remit(verb);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.error.contains("COMMAND"), "{said:?}");
    }
    // What the shim refuses, it says itself.
    let said = place.remit(&["verify", "profiles/p.json", "--", "/bin/cat"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.error.contains("is no entry of") && said.error.contains("did not start"), "{said:?}");
}

/// In a user namespace there are capabilities for everybody; what answers in spite of a
/// lack is not taken for proof.
#[test]
fn a_capability_is_needed_where_an_error_shows_though_the_run_goes_well() {
    let place = Place::new();
    place.profile(&[], &["/bin/cat"]);
    fs::set_permissions(place.path("data/input"), fs::Permissions::from_mode(0o000)).expect("it is ours");
    let profile = fs::read_to_string(place.path("profiles/p.json")).expect("it is there");
    let mut profile: Value = serde_json::from_str(&profile).expect("JSON");
    profile["capabilities"] = json!(["dac_override", "sys_chroot", "fsetid"]);
    place.put("profiles/p.json", profile.to_string());
    let script = "cat $DATA/input; exit 0";
    let arguments =
        ["verify", "profiles/p.json", "--drop-test", "--format", "json", "--", "/bin/sh", "-c", script];
    let Some(said) = in_namespace(&place, &arguments) else { return };
    assert_eq!(said.code, Some(1), "{said:?}");
    let answer = said.json();
    // The folder's name is another in each run of this test.
    let input = place.path("data/input").display().to_string();
    let input = remit::learn::volatile::template(&input).unwrap_or(input);
    let part = |name: &str| {
        let parts = answer["parts"].as_array().expect("a list");
        parts.iter().find(|part| part["part"] == name).unwrap_or_else(|| panic!("{name}: {answer}")).clone()
    };
    let needed = part("capability dac_override");
    assert_eq!(needed["finding"], "needed", "{needed}");
    let error = json!({ "program": "/usr/bin/cat", "call": "openat", "object": input, "errno": "EACCES", "count": 1 });
    assert_eq!(needed["errors"], json!([error]));
    assert_eq!(part("capability sys_chroot")["finding"], "not_needed");
    assert_eq!(part("capability fsetid")["finding"], "unknown");
    // Rules: what the supervisor refuses.
    assert_eq!(part("edge /bin/sh -> /bin/cat")["finding"], "needed");
    assert_eq!(part("files read")["errors"][0]["object"], format!("{input} read"));
    assert_eq!(part("files @names")["finding"], "not_needed");
}

/// What the tool says as the root of a user namespace; none where there are none.
fn in_namespace(place: &Place, arguments: &[&str]) -> Option<Said> {
    let unshare = ["-Urpfm", "--mount-proc"];
    if !skip::namespaces() {
        return None;
    }
    let arguments = [&unshare[..], &[REMIT], arguments].concat();
    Some(Said::of(&place.command("unshare", &arguments).output().expect("it runs")))
}

#[test]
fn a_full_run_that_ended_badly_is_compared_with_nothing() {
    let place = Place::new();
    place.profile(&[], &["/bin/cat"]);
    let said = place.verify(&["--drop-test=edges"], "exit 3");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("the full run proves nothing") && said.out.contains("exit code 3"), "{said:?}");
}

/// In the place of remit-init: it says what it was given and leaves the journal that it
/// is to leave.
const FAKE: &str = r#"#!/bin/sh
printf '%s\n' "$@" >"$PWD/given"
while [ "$1" != -- ]; do
  case $1 in --learn-dir) directory=$2 ;; esac
  shift
done
[ -e journal ] && cp journal "$directory/run-$$.jsonl"
exit "$(cat code)"
"#;

fn fake(place: &Place, code: u8) {
    let journal = |run: &str| {
        let first = json!({ "run": run, "label": "serve", "command": ["server"], "exact": false,
            "fingerprint": { "arch": "x86_64" }, "outer": { "seccomp": false } });
        let exec = json!({ "t": 1, "phase": "startup", "kind": "exec", "program": "/usr/bin/server", "parent": "",
            "args": ["server"], "result": "ok" });
        let end =
            json!({ "t": 2, "end": { "exit": { "code": 0 }, "clean": true, "lines": 1, "dropped": 0 } });
        format!("{{\"journal\":1,{}\n{exec}\n{end}\n", &first.to_string()[1..])
    };
    place
        .put("shim", FAKE)
        .put("code", code.to_string())
        .put("journal", journal("server-20261122T100000Z-0001"));
    fs::set_permissions(place.path("shim"), fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn a_run_becomes_a_profile() {
    let place = Place::new();
    fake(&place, 0);
    let said = place.remit(&["learn", "--shim", "shim", "--exact", "--label", "serve", "--", "server", "-v"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("server: from 1 run, labels serve"), "{said:?}");
    let profile = fs::read(place.path("server.json")).expect("named by COMMAND");
    assert!(remit::profile::read(&profile).is_ok());
    assert!(place.path("server.evidence.json").exists());
    let given = fs::read_to_string(place.path("given")).expect("it was started");
    let given: Vec<&str> = given.lines().collect();
    assert_eq!(given[..3], ["--mode", "learn", "--learn-dir"]);
    assert_eq!(given[4..7], ["--exact", "--label", "serve"]);
    assert_eq!(given[given.len() - 3..], ["--", "server", "-v"]);
    assert!(!Path::new(given[3]).exists(), "the journal went with the profile");
    // No other profile is replaced unless it is named.
    let again = place.remit(&["learn", "--shim", "shim", "--", "server"]);
    assert_eq!(again.code, Some(2), "{again:?}");
    let again = place.remit(&["learn", "--shim", "shim", "-o", "server.json", "--", "server"]);
    assert_eq!(again.code, Some(0), "{again:?}");
}

/// The whole way with the real shim: what one run did is what the profile of it grants,
/// and a run that does more is seen.
#[test]
fn what_was_learned_is_what_may_be_done() {
    let place = Place::new();
    let script = "cat $DATA/input; : >$DATA/new; rm $DATA/new";
    let run = |verb: &[&str], script: &str| place.remit(&[verb, &["--", "/bin/sh", "-c", script]].concat());
    let learned = run(&["learn", "-o", "profiles/learned.json", "--label", "once"], script);
    assert_eq!(learned.code, Some(0), "{learned:?}");
    let text = fs::read_to_string(place.path("profiles/learned.json")).expect("a profile");
    let profile: Value = serde_json::from_str(&text).expect("JSON");
    let programs = profile["programs"].as_array().expect("programs");
    assert_eq!(programs.len(), 3, "the shell, cat and rm: {text}");
    // Where the image says what packages it is made of, the next start can compare.
    let evidence = fs::read_to_string(place.path("profiles/learned.evidence.json")).expect("evidence");
    let debian = Path::new("/var/lib/dpkg/info/coreutils.list").exists();
    assert_eq!(evidence.contains("\"packages\":{\"dpkg\":{\"coreutils\":"), debian, "{evidence}");
    let verified = run(&["verify", "profiles/learned.json"], script);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let more = run(&["verify", "profiles/learned.json"], "sleep 0; cat $DATA/input");
    assert_eq!(more.code, Some(1), "{more:?}");
    assert!(more.out.contains("sleep"), "{more:?}");
}

#[test]
fn saved_journals_are_built_from_together() {
    let place = Place::new();
    fake(&place, 0);
    let learn =
        ["learn", "--shim", "shim", "--keep", "runs", "-o", "p.json", "--format", "json", "--", "server"];
    assert_eq!(place.remit(&learn).json()["runs"], 1);
    let journal = fs::read_to_string(place.path("journal")).expect("it is there");
    place.put("journal", journal.replace("server-20261122T100000Z-0001", "server-20261122T100000Z-0002"));
    assert_eq!(place.remit(&learn).json()["runs"], 2);
    assert_eq!(fs::read_dir(place.path("runs")).expect("it was made").count(), 2);
}

#[test]
fn no_profile_comes_of_a_run_that_ended_badly_and_nothing_is_lost() {
    let place = Place::new();
    fake(&place, 3);
    let learn = |more: &[&str]| {
        place.remit(
            &[&["learn", "--shim", "shim", "--keep", "runs", "-o", "p.json"], more, &["--", "server"]]
                .concat(),
        )
    };
    let said = learn(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("it ended with exit code 3") && said.out.contains("--accept-unclean"),
        "{said:?}"
    );
    assert!(!place.path("p.json").exists());
    let journal = fs::read_dir(place.path("runs")).expect("kept").next().expect("one").expect("read").path();
    assert!(said.out.contains(&*journal.to_string_lossy()), "{said:?}");

    fs::remove_file(&journal).expect("it is there");
    fs::remove_file(place.path("journal")).expect("it is there");
    let said = learn(&[]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.error.contains("left no journal there"), "{said:?}");
    place.put("code", "127");
    let said = learn(&[]);
    assert!(said.code == Some(2) && said.error.contains("did not start"), "{said:?}");

    fake(&place, 3);
    let said = learn(&["--accept-unclean"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn the_shim_is_beside_the_tool_or_in_path() {
    let place = Place::new();
    place.profile(&[], &[]);
    fs::copy(REMIT, place.path("remit")).expect("a copy");
    let alone = |path: &str| {
        let mut command = place.command(
            &place.path("remit").to_string_lossy(),
            &["verify", "profiles/p.json", "--", "/bin/sh", "-c", ":"],
        );
        Said::of(&command.env("PATH", path).output().expect("it runs"))
    };
    let said = alone("/none");
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.error.contains("neither beside remit nor in a directory of PATH"), "{said:?}");
    let folder = Path::new(SHIM).parent().expect("a folder").display().to_string();
    let said = alone(&folder);
    assert_eq!(said.code, Some(0), "{said:?}");
}
