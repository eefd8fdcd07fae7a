//! What goes wrong: no room for a journal, a full disk, an app that ends badly.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::study::{Study, journals, learn};
use crate::support::{Image, Init, Place, Rootfs, Run, can_run, in_each_place, shim, tool};

in_each_place!(
    without_a_place_for_the_journal_nothing_starts,
    to_stderr_it_leaves_a_container_without_a_place,
    an_app_that_crashes_leaves_a_journal_that_says_so,
    kill_leaves_whole_lines_and_no_end,
    two_runs_share_a_folder,
);

const SH: &str = "/bin/sh";

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").program(SH).program("/bin/sleep");
        root.folder("/data", 0o777, 0).writable("/data");
        root.build("learned-badly")
    })
}

fn without_a_place_for_the_journal_nothing_starts(place: Place) {
    if !can_run(place, &[SH]) {
        return;
    }
    let run = |options: &[&str]| {
        let options = [&["--mode", "learn"], options].concat();
        let mut running = Run::new(image(), place, Init::remit(&options), &[SH, "-c", "echo ran"]).start();
        let code = running.wait();
        (code, running.stdout(), running.stderr())
    };
    if place == Place::Restricted {
        let (code, out, err) = run(&[]);
        assert_eq!((code, out.as_str()), (125, ""), "{err}");
        assert!(err.contains("/var/lib/remit: Read-only file system; mount a writable volume"), "{err}");
    }
    for (options, words) in [
        (&["--learn-dir", "/none/journals"][..], &["/none/journals", "No such file", "--learn-dir"][..]),
        (&["--learn-dir", "/etc/passwd"], &["/etc/passwd", "Not a directory", "--learn-dir"]),
        (&["--learn-dir", "/proc"], &["/proc", "--learn-dir"]),
    ] {
        let (code, out, err) = run(options);
        assert_eq!((code, out.as_str()), (125, ""), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        for word in words {
            assert!(err.contains(word), "{word}: {err}");
        }
    }
}

fn to_stderr_it_leaves_a_container_without_a_place(place: Place) {
    if !can_run(place, &[SH]) {
        return;
    }
    let options = ["--mode", "learn", "--learn-dir", "-"];
    let mut running =
        Run::new(image(), place, Init::remit(&options), &[SH, "-c", "echo ran; echo noise >&2"]).start();
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    assert_eq!(running.stdout(), "ran");
    let said = running.stderr();
    let collected: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("{\"journal\":") || line.starts_with("{\"t\":"))
        .collect();
    let folder = journals();
    std::fs::write(folder.join("collected.jsonl"), collected.join("\n") + "\n").expect("written");
    let study = Study::read(&folder);
    assert_eq!(study.end()["clean"], json!(true), "{said}");
    let (profile, _) = study.build();
    assert_eq!(profile["programs"][0]["entry"], json!(true));
}

fn an_app_that_crashes_leaves_a_journal_that_says_so(place: Place) {
    if !can_run(place, &[SH]) {
        return;
    }
    let folder = journals();
    let mut running = learn(image(), place, &[], &folder, &[SH, "-c", "kill -SEGV $$"]);
    assert_eq!(running.wait(), 139, "{}", running.stderr());
    let study = Study::read(&folder);
    assert_eq!(study.end()["exit"], json!({ "signal": "SEGV" }));
    assert_eq!(study.end()["clean"], json!(false));
    let built = Command::new(tool())
        .arg("build")
        .arg(&folder)
        .arg("-o")
        .arg(folder.with_extension("json"))
        .output()
        .expect("it runs");
    assert!(String::from_utf8_lossy(&built.stderr).contains("ended badly"), "{built:?}");
}

fn kill_leaves_whole_lines_and_no_end(place: Place) {
    if !can_run(place, &[SH, "/bin/sleep"]) {
        return;
    }
    let folder = journals();
    let running =
        learn(image(), place, &[], &folder, &[SH, "-c", "echo x > /data/x; echo made; exec sleep 600"]);
    running.line("made");
    let seen = || {
        let path = std::fs::read_dir(&folder).ok()?.flatten().next()?.path();
        std::fs::read_to_string(path).ok()?.contains("/bin/sleep").then_some(())
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while seen().is_none() {
        assert!(std::time::Instant::now() < until, "{}", running.stderr());
        std::thread::yield_now();
    }
    running.signal(libc::SIGKILL);
    drop(running);
    let study = Study::read(&folder);
    assert_eq!(study.end(), &Value::Null);
    study.wants("open", &[("path", json!("/data/x")), ("access", json!(["write", "create"]))]);
}

fn two_runs_share_a_folder(place: Place) {
    if !can_run(place, &[SH]) {
        return;
    }
    let folder = journals();
    let command = [SH, "-c", ":"];
    let mut both = [(); 2].map(|()| learn(image(), place, &[], &folder, &command));
    for running in &mut both {
        assert_eq!(running.wait(), 0, "{}", running.stderr());
    }
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 2);
}

/// A disk for 16 kB; what is observed is several times that.
#[test]
fn a_full_disk_costs_observations_and_never_a_line_or_the_app() {
    if !can_run(Place::Docker, &[SH, "/bin/sleep"]) {
        return;
    }
    let script = "i=0; while [ $i -lt 400 ]; do : > /data/f$i; i=$((i+1)); done; echo made; exec sleep 600";
    let mut running =
        Run::new(image(), Place::Docker, Init::remit(&["--mode", "learn"]), &[SH, "-c", script])
            .flags(&["--tmpfs", "/var/lib/remit:size=16k"])
            .start();
    running.line("made");
    running.line("observations are lost");
    let folder = std::fs::read_dir(running.path("/var/lib/remit")).expect("its folder");
    let journal = folder.flatten().next().expect("a journal").path();
    let text = std::fs::read_to_string(journal).expect("the journal");
    assert!(text.len() > 8192 && text.ends_with('\n'), "{} bytes", text.len());
    for line in text.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert_eq!(running.stop().code, 143, "{}", running.stderr());
}
