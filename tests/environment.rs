//! Variables by which programs load code, as entrypoints and engines set them: what they name
//! decides. Each command is run free and confined, side by side.

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use harness::{Ended, TOOL, command, run, shim, skip};
use serde_json::Value;

/// A variable that a script exports, and what it then runs.
const EXPORTED: [(&str, &str); 7] = [
    ("LD_PRELOAD=libz.so.1", "ls /usr"),
    ("LD_PRELOAD=\"$(echo /usr/lib/*-linux-gnu/libz.so.1)\"", "ls /usr"),
    ("LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64", "ls /usr"),
    ("LD_LIBRARY_PATH=/usr/lib", "printenv LD_LIBRARY_PATH"),
    ("LD_LIBRARY_PATH=", "ls /usr"),
    ("GLIBC_TUNABLES=glibc.malloc.arena_max=2", "printenv GLIBC_TUNABLES"),
    ("LOCPATH=/usr/lib/locale", "ls /usr"),
];

fn violations(ended: &Ended) -> Vec<Value> {
    let lines = ended.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|event| event["event"] == "violation").collect()
}

#[test]
fn what_the_app_cannot_change_is_let_be() {
    for (variable, then) in EXPORTED {
        let script = format!("export {variable}; exec {then}");
        let free = run(command("/bin/sh").args(["-c", &script]));
        let confined = run(shim(["--profile", "baseline", "--", "/bin/sh", "-c"]).arg(&script));
        assert_eq!((confined.code, &confined.stdout), (free.code, &free.stdout), "{script}: {confined:#?}");
        assert!(violations(&confined).is_empty(), "{script}: {confined:#?}");
    }
    // It brings its own library along.
    let free = run(command("/usr/bin/stdbuf").args(["-oL", "echo", "hi"]));
    let confined = run(&mut shim(["--profile", "baseline", "--", "/usr/bin/stdbuf", "-oL", "echo", "hi"]));
    assert_eq!(
        (confined.code, &confined.stdout, &*confined.stderr),
        (free.code, &free.stdout, ""),
        "{confined:#?}"
    );
}

#[test]
fn what_the_app_may_change_is_refused_and_named() {
    for (variable, part) in [
        ("LD_PRELOAD=/tmp/x.so", "/tmp/x.so"),
        ("LD_PRELOAD=/usr/lib/x.so:/tmp/x.so", "/tmp/x.so"),
        ("LD_LIBRARY_PATH=/usr/lib:", ""),
        ("LD_LIBRARY_PATH=:/usr/lib", ""),
        ("LD_LIBRARY_PATH=/usr/lib::/opt", ""),
        ("LD_LIBRARY_PATH=:", ""),
        ("LD_LIBRARY_PATH=lib", "lib"),
        ("LD_LIBRARY_PATH='$ORIGIN/../lib'", "$ORIGIN/../lib"),
        ("LD_LIBRARY_PATH=/proc/self/cwd", "/proc/self/cwd"),
        ("LD_LIBRARY_PATH=/", "/"),
        ("GLIBC_TUNABLES=glibc.cpu.x86_shstk=off", "glibc.cpu.x86_shstk=off"),
    ] {
        let script = format!("export {variable}; exec /usr/bin/true");
        let confined = run(shim(["--profile", "baseline", "--", "/bin/sh", "-c"]).arg(&script));
        let events = violations(&confined);
        assert_eq!((confined.code, events.len()), (137, 1), "{script}: {confined:#?}");
        let object = &events[0]["object"];
        assert_eq!(object["value"], part, "{script}: {confined:#?}");
        assert!(object["why"].as_str().is_some_and(|why| !why.is_empty()), "{script}: {confined:#?}");
        // Audit says the same, and lets it run.
        let options = ["--profile", "baseline", "--mode", "audit", "--", "/bin/sh", "-c"];
        let seen = run(shim(options).arg(&script));
        let events = violations(&seen);
        assert!(events.iter().any(|event| event["object"] == *object), "{script}: {seen:#?}");
    }
}

#[test]
fn what_is_dropped_at_the_start_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_str().expect("its name is UTF-8");
    let start = |mode: &str, value: &str| {
        let fd = format!("{folder}/events");
        let options = ["--profile", "baseline", "--mode", mode, "--events", &fd, "--"];
        let mut shim = shim(options);
        shim.args(["/bin/sh", "-c", "echo \"[$LD_LIBRARY_PATH]\""]).env("LD_LIBRARY_PATH", value);
        let ended = run(&mut shim);
        let events = fs::read_to_string(&fd).expect("events");
        let start: Value = serde_json::from_str(events.lines().next().expect("a start")).expect("JSON");
        fs::remove_file(&fd).expect("it is there");
        (ended, start["dropped"].clone())
    };
    let (ended, dropped) = start("enforce", "/usr/lib");
    assert_eq!((&*ended.stdout, &*ended.stderr, dropped), ("[/usr/lib]\n", "", Value::Null));
    let (ended, dropped) = start("enforce", folder);
    assert_eq!(ended.stdout, "[]\n");
    assert!(ended.line(0).contains(&format!("LD_LIBRARY_PATH is dropped: `{folder}`")), "{ended:#?}");
    assert_eq!((&dropped[0]["name"], &dropped[0]["value"]), (&"LD_LIBRARY_PATH".into(), &folder.into()));
    // Of a list the rest stays: a Dockerfile that adds to an empty variable leaves a colon.
    let (ended, dropped) = start("enforce", &format!("/usr/lib:{folder}:"));
    assert_eq!(ended.stdout, "[/usr/lib]\n");
    assert!(ended.line(0).contains("a part of LD_LIBRARY_PATH is dropped"), "{ended:#?}");
    assert_eq!(dropped.as_array().map(Vec::len), Some(2), "{dropped}");
    // Wherever an empty element is; the loader does not read an empty list.
    for (value, left, count) in [
        (":/usr/lib", "/usr/lib", Some(1)),
        ("/usr/lib::/opt", "/usr/lib:/opt", Some(1)),
        (":", "", Some(2)),
        ("", "", None),
    ] {
        let (ended, dropped) = start("enforce", value);
        assert_eq!(ended.stdout, format!("[{left}]\n"), "{value:?}: {ended:#?}");
        assert_eq!(dropped.as_array().map(Vec::len), count, "{value:?}: {dropped}");
        assert_eq!(
            ended.stderr.contains("an empty element is the working directory"),
            count.is_some(),
            "{ended:#?}"
        );
    }
    // Audit drops nothing.
    let (ended, dropped) = start("audit", folder);
    assert_eq!(ended.stdout, format!("[{folder}]\n"));
    assert!(ended.line(0).contains("would be dropped"), "{ended:#?}");
    assert_eq!(dropped.as_array().map(Vec::len), Some(1), "{dropped}");
}

/// A folder that is removed with its value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // Its files are of this test alone.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An entrypoint that exports a path for its server, learned and enforced.
#[test]
fn a_learned_run_that_exports_a_path_is_enforced() {
    if !skip::has("/usr/bin/python3") {
        return;
    }
    // A name that is made anew for each run would not be learned.
    let folder = Folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join("exports"));
    fs::create_dir_all(&folder.0).expect("a folder");
    let path = |name: &str| folder.0.join(name);
    let write = |name: &str, text: &str| {
        fs::write(path(name), text).expect("written");
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).expect("ours");
    };
    fs::create_dir_all(path("app")).expect("a folder");
    write("app/helper.py", "WORD = 'helped'\n");
    write("server", "#!/usr/bin/python3 -B\nimport helper\nprint(helper.WORD)\n");
    let start = |app: &Path| {
        format!(
            "#!/bin/sh\nexport PYTHONPATH={}:/nothing\nexec {}\n",
            app.display(),
            path("server").display()
        )
    };
    write("entrypoint", &start(&path("app")));
    let profile = path("profile.json");
    let learned = run(command(TOOL).arg("learn").arg("-o").arg(&profile).arg("--").arg(path("entrypoint")));
    assert_eq!(learned.code, 0, "{learned:#?}");
    let confined = run(shim(["--profile"]).arg(&profile).arg("--").arg(path("entrypoint")));
    assert_eq!((confined.code, &*confined.stdout), (0, "helped\n"), "{confined:#?}");
    let refused =
        |ended: &Ended| violations(ended).iter().filter(|event| event["kind"] == "environment").count();
    assert_eq!(refused(&confined), 0, "{confined:#?}");
}
