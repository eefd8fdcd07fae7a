//! Whole images: nothing but a static app, and ordinary programs under the
//! embedded baseline.

use std::path::Path;

use serde_json::{Value, json};

use crate::images;
use crate::support::{Image, Init, Place, Rootfs, Run, can_run, folder, in_each_place, load, probe, shim};

in_each_place!(
    scratch_holds_an_app_the_shim_and_a_profile,
    a_shell_works_under_the_baseline,
    a_server_works_under_the_baseline,
    events_go_to_a_file,
);

fn scratch_holds_an_app_the_shim_and_a_profile(place: Place) {
    if !can_run(place, &[]) {
        return;
    }
    let profile = include_str!("../../profiles/static.json").replace("/server", "/probe");
    let mut running = Run::new(images::scratch(), place, Init::remit(&[]), &["/probe", "serve", "8080"])
        .file("/etc/remit/profile.json", profile)
        .start();
    running.line("listening 8080");
    load(&running, 8080, 4, 100);
    assert!(running.events().violations().is_empty(), "{}", running.stderr());
    let answer = running.get(8080, "/act/bind?arg=4444").body;
    assert!(answer.contains("EACCES"), "{answer}\n{}", running.stderr());
    let stopped = running.stop();
    assert_eq!(stopped.code, 143, "{}", running.stderr());
    let bind = |event: &&Value| event["object"]["address"] == "tcp/4444";
    assert_eq!(running.events().violations().into_iter().filter(bind).count(), 1, "{}", running.stderr());
}

#[test]
fn the_example_in_scratch_is_built_and_serves() {
    if !can_run(Place::Docker, &[]) {
        return;
    }
    let context = folder().join("example");
    std::fs::create_dir(&context).expect("a folder for this test alone");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scratch");
    for (from, to) in [
        (examples.join("Dockerfile"), "Dockerfile"),
        (examples.join("profile.json"), "profile.json"),
        (shim().into(), "remit-init"),
        (probe().into(), "server"),
    ] {
        std::fs::copy(from, context.join(to)).expect("copied");
    }
    let image = Image::built("example", &context);
    let mut running =
        Run::new(&image, Place::Docker, Init::remit(&[]), &["/server", "serve", "8080"]).start();
    running.line("listening 8080");
    load(&running, 8080, 2, 20);
    assert!(running.events().violations().is_empty(), "{}", running.stderr());
    assert!(running.get(8080, "/act/bind?arg=4444").body.contains("EACCES"), "{}", running.stderr());
    assert_eq!(running.stop().code, 143, "{}", running.stderr());
}

/// A script as people write them: pipes, loops, files, substitutions.
const SCRIPT: &str = r#"#!/bin/sh
set -eu
cd /tmp
mkdir work
for number in 3 1 2; do echo "line $number" > work/$number; done
cat work/3 work/1 work/2 | sort > work/sorted
[ "$(wc -l < work/sorted)" -eq 3 ]
sed -n 1p work/sorted
(sleep 0; echo background) &
wait
trap 'echo trapped' USR1
kill -USR1 $$
rm -r work
ls /tmp | wc -l
echo finished
exit 9
"#;

fn a_shell_works_under_the_baseline(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let run = |init: Init| {
        let mut running = Run::new(images::tools(), place, init, &["/bin/sh", "/srv/job.sh"])
            .file("/srv/job.sh", SCRIPT)
            .start();
        let code = running.wait();
        (code, running.stdout(), running)
    };
    let (code, output, _control) = run(Init::Tini);
    assert_eq!(code, 9, "{output}");
    for word in ["line 1", "background", "trapped", "finished"] {
        assert!(output.contains(word), "{output}");
    }
    // No file at /etc/remit and nothing named: the embedded baseline.
    let (confined_code, confined_output, running) = run(Init::remit(&[]));
    assert_eq!((confined_code, confined_output), (code, output), "{}", running.stderr());
    let events = running.events();
    assert!(events.violations().is_empty(), "{:#?}", events.violations());
    assert_eq!(events.of("start")[0]["policy"]["name"], "baseline");
}

fn a_server_works_under_the_baseline(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let mut running =
        Run::new(images::tools(), place, Init::remit(&[]), &["/probe", "serve", "8080"]).start();
    running.line("listening 8080");
    load(&running, 8080, 8, 100);
    assert!(running.events().violations().is_empty(), "{:#?}", running.events());
    // What no server does is refused by the baseline too.
    let acts = [
        ("exec-drop", "EACCES"),
        ("own-memory", "EACCES"),
        ("ptrace", "EPERM"),
        ("mount", "EPERM"),
        ("unshare", "EPERM"),
        ("kill?arg=1&arg=23", "EPERM"),
        ("open-memory?arg=1", "EACCES"),
        ("i386", "SIGSYS"),
        ("io-uring", "ENOSYS"),
    ];
    let wrong: Vec<String> = acts
        .iter()
        .filter_map(|(act, refused)| {
            let answer: Value = serde_json::from_str(&running.get(8080, &format!("/act/{act}")).body).ok()?;
            (answer["result"] != *refused).then(|| format!("{act}: expected {refused}, got {answer}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{place:?}:\n{}\n{}", wrong.join("\n"), running.stderr());
    assert_eq!(running.stop().code, 143);
}

/// A file gets everything, and stderr stays as silent as tini's.
fn events_go_to_a_file(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let profile = json!({
        "remit": 1,
        "name": "quiet",
        "programs": [{ "path": "/probe", "entry": true }],
        "files": ["@runtime"],
        "network": { "listen": ["tcp/8080"] }
    });
    let init = Init::remit(&["--events", "/srv/events.jsonl"]);
    let mut running = Run::new(images::tools(), place, init, &["/probe", "serve", "8080"])
        .file("/etc/remit/profile.json", profile.to_string())
        .volume("/srv", &[("data", "")])
        .unset("REMIT_EVENTS_LEVEL")
        .start();
    running.line("listening 8080");
    let file = std::fs::File::open(running.path("/srv/events.jsonl")).expect("the events' file");
    let answer = running.get(8080, "/act/ptrace").body;
    assert!(answer.contains("EPERM"), "{answer}");
    assert_eq!(running.stop().code, 143);
    let text = std::io::read_to_string(file).expect("the events are text");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no event: {line}")))
        .collect();
    let names: Vec<&str> = lines.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(names.first(), Some(&"start"), "{text}");
    assert_eq!(names.last(), Some(&"stop"), "{text}");
    assert!(names.contains(&"violation"), "{text}");
    for (index, event) in lines.iter().enumerate() {
        assert_eq!(event["seq"], index + 1, "{text}");
    }
    assert_eq!(running.stderr(), "", "stderr is the app's");
}

/// What a next start of the same container would read is not made or replaced by the
/// app: a profile where none lies, a directory of programs, a link to one, and the
/// directory of COMMAND.
const PERSIST: &str = r#"
try() { what=$1; shift; "$@" 2>/dev/null && echo "$what done" || echo "$what refused"; }
cd /tmp
mkdir remit evil && echo '{}' >remit/profile.json
try hooks mkdir /docker-entrypoint.d
try hooks-by-rename mv evil /docker-entrypoint-initdb.d
try programs mkdir /opt
try link rm /bin
try link-by-rename ln -sfn /tmp /bin
try profile-directory mkdir /etc/remit
try profile-by-rename mv remit /etc/remit
try profile-by-link ln -s /tmp/remit /etc/remit
try command-directory mv /app /moved
"#;

fn what_the_next_start_reads_is_protected(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let mut root = Rootfs::new();
    root.copy(shim(), "/remit-init").copy(images::TINI, "/tini").copy(images::BUSYBOX, "/usr/bin/busybox");
    for applet in ["sh", "mkdir", "mv", "rm", "ln", "echo"] {
        root.link(&format!("/usr/bin/{applet}"), "busybox");
    }
    root.link("/bin", "usr/bin").copy(images::BUSYBOX, "/app/sh").folder("/etc", 0o755, 0);
    let image = root.build("persist");
    let run = |init: Init| {
        let mut running = Run::new(&image, place, init, &["/app/sh", "-c", PERSIST]).start();
        running.wait();
        (running.stdout(), running)
    };
    let (free, _control) = run(Init::Tini);
    // A directory of an image's layer is copied by `mv`, where the file system does not move it.
    let done = free.lines().filter(|line| line.ends_with(" done")).count();
    assert!(done >= 6 && free.contains("hooks done"), "control: {free}");
    let (confined, running) = run(Init::remit(&[]));
    assert_eq!(confined.lines().count(), 9, "{confined}\n{}", running.stderr());
    assert!(confined.lines().all(|line| line.ends_with(" refused")), "{confined}\n{}", running.stderr());
    assert!(running.events().violations().len() >= 9, "{}", running.stderr());
}

#[test]
fn what_the_next_start_reads_is_protected_in_docker() {
    what_the_next_start_reads_is_protected(Place::Docker);
}

#[test]
fn what_the_next_start_reads_is_protected_on_one_file_system() {
    what_the_next_start_reads_is_protected(Place::UserNamespace);
}
