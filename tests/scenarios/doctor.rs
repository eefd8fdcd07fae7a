//! What is said to be enforced in a place is what a start there enforces.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::images;
use crate::support::{Image, Init, Place, Rootfs, Run, can_run, folder, in_each_place, shim, tool, unique};

in_each_place!(it_says_what_the_start_event_says, each_layer_refuses);

/// The verdict in full, and its exit code.
fn diagnosis(run: impl Fn(Init) -> Run<'static>) -> (Value, i32) {
    let mut running = run(Init::remit(&["--doctor=json"])).start();
    let code = running.wait();
    let document = serde_json::from_str(&running.stdout());
    (document.unwrap_or_else(|error| panic!("{error}: {}{}", running.stdout(), running.stderr())), code)
}

/// The layers of a diagnosis, or of a start event, which calls the name `layer`.
fn layers(list: &Value, name: &str) -> Vec<[String; 3]> {
    let text = |layer: &Value, key: &str| layer[key].as_str().unwrap_or_default().to_owned();
    let list = list["layers"].as_array().expect("a list of layers");
    list.iter().map(|layer| [text(layer, name), text(layer, "state"), text(layer, "detail")]).collect()
}

/// Of everything that is said, one thing.
fn finding<'a>(document: &'a Value, list: &str, name: &str) -> &'a Value {
    let mut all = document[list].as_array().expect("a list").iter();
    all.find(|finding| finding["name"] == name).unwrap_or_else(|| panic!("no {name}: {document:#}"))
}

fn it_says_what_the_start_event_says(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let run = |init| Run::new(images::tools(), place, init, &["/bin/true"]);
    let (said, code) = diagnosis(run);
    let mut running = run(Init::remit(&["--profile", "baseline"])).start();
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    let started = layers(running.events().of("start")[0], "layer");
    assert_eq!(layers(&said, "name"), started);
    // The kernel of the machine decides which of the two it is.
    let required = said["layers"].to_string().contains("to be had");
    assert_eq!((said["verdict"] == "all", code == 0), (!required, !required), "{said:#}");
    let filter = finding(&said, "place", "runtime-filter")["detail"].as_str().expect("a sentence");
    assert_eq!(filter == "none is in force", place == Place::UserNamespace, "{filter}");
}

/// The tool in the place, with its throw-away child.
fn each_layer_refuses(place: Place) {
    if !can_run(place, &[images::TINI]) {
        return;
    }
    let image = image();
    let run = |command: &[&str]| Run::new(image, place, Init::None, command).start();
    let mut running = run(&["/remit", "doctor", "--self-test", "--format", "json"]);
    let code = running.wait();
    let said: Value = serde_json::from_str(&running.stdout())
        .unwrap_or_else(|error| panic!("{error}: {}{}", running.stdout(), running.stderr()));
    let tests = said["self_test"].as_array().expect("it was tested");
    assert!(code < 2 && tests.len() == 14, "{code}: {said:#}");
    let refused = tests.iter().filter(|test| test["result"] == "refused").count();
    let not_tried: Vec<_> = tests.iter().filter(|test| test["result"] == "not_tried").collect();
    assert!(refused + not_tried.len() == 14 && refused >= 11, "{tests:#?}");
    // What the place has taken away already is all that may be left untried.
    assert!(
        not_tried.iter().all(|test| ["capabilities", "no_new_privs", "limits"]
            .iter()
            .any(|layer| test["layer"] == *layer)),
        "{not_tried:#?}"
    );
}

fn image() -> &'static Image {
    static IMAGE: std::sync::OnceLock<Image> = std::sync::OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(tool(), "/remit").copy(shim(), "/remit-init").copy(images::TINI, "/tini");
        root.writable("/tmp").build("doctor")
    })
}

/// An image that holds nothing but the shim.
#[test]
fn a_scratch_image_can_ask() {
    if !can_run(Place::Docker, &[]) {
        return;
    }
    let mut root = Rootfs::empty();
    root.copy(shim(), "/remit-init");
    let image = root.build("doctor-scratch");
    let mut running = Run::new(&image, Place::Docker, Init::remit(&["--doctor"]), &[]).start();
    assert_eq!(running.wait(), 0, "{}{}", running.stdout(), running.stderr());
    let text = running.stdout();
    for says in [
        "what `baseline` gets here",
        "landlock-files",
        "the place",
        "pid-1           active",
        "runtime-filter",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert_eq!(running.stderr(), "");
}

/// A seccomp profile of the engine that allows all but these.
fn refusing(calls: &[&str]) -> PathBuf {
    answering(calls, libc::EPERM)
}

/// The same, and what it answers them.
fn answering(calls: &[&str], errno: i32) -> PathBuf {
    let profile = folder().join(unique("seccomp"));
    let rule = serde_json::json!({ "names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": errno });
    let text = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }).to_string();
    let mut file = std::fs::File::create(&profile).expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    profile
}

#[test]
fn what_the_runtime_refuses_is_said_and_what_helps() {
    if !can_run(Place::Docker, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let run = |calls: &[&str]| {
        let option = format!("seccomp={}", refusing(calls).display());
        move |init| {
            Run::new(images::tools(), Place::Docker, init, &["/bin/true"]).flags(&["--security-opt", &option])
        }
    };
    let without_landlock = run(&["landlock_create_ruleset", "openat2", "membarrier"]);
    let (said, code) = diagnosis(&without_landlock);
    assert_eq!((&said["verdict"], code), (&"less".into(), 1), "{said:#}");
    let layer = finding(&said, "layers", "landlock-files");
    assert_eq!(layer["state"], "unavailable");
    assert!(layer["more"][0].as_str().is_some_and(|more| more.contains("runtime's filter")), "{layer}");
    let filter = finding(&said, "place", "runtime-filter");
    assert!(
        filter["detail"].as_str().is_some_and(|text| text.ends_with("refuses membarrier, openat2")),
        "{filter}"
    );
    let mut started = without_landlock(Init::remit(&["--profile", "baseline"])).start();
    assert_eq!(started.wait(), 0, "{}", started.stderr());
    assert_eq!(layers(&said, "name"), layers(started.events().of("start")[0], "layer"));

    // A step of the launch that no plan knows of.
    let without_restriction = run(&["landlock_restrict_self"]);
    let (said, code) = diagnosis(&without_restriction);
    assert_eq!((&said["verdict"], code), (&"nothing".into(), 3), "{said:#}");
    let mut refused = without_restriction(Init::remit(&["--profile", "baseline"])).start();
    assert_eq!(refused.wait(), 125);
    let why = said["why"].as_str().expect("why");
    assert!(why.starts_with("step `") && refused.stderr().ends_with(why), "{why}: {}", refused.stderr());

    let without_seccomp = run(&["seccomp"]);
    let (said, code) = diagnosis(&without_seccomp);
    assert_eq!((&said["verdict"], code), (&"nothing".into(), 3), "{said:#}");
    let mut refused = without_seccomp(Init::remit(&["--profile", "baseline"])).start();
    assert_eq!(refused.wait(), 125);
    assert_eq!(refused.stderr(), format!("remit-init: {}", said["why"].as_str().expect("why")));
}

/// A filter that kills for a call that only the doctor makes.
#[test]
fn a_filter_that_kills_is_lived_through() {
    if !can_run(Place::Docker, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let profile = folder().join(unique("seccomp"));
    let rule = serde_json::json!({ "names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS" });
    let text = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }).to_string();
    std::fs::write(&profile, text).expect("a temporary file");
    let option = format!("seccomp={}", profile.display());
    let run = |init| {
        Run::new(images::tools(), Place::Docker, init, &["/bin/true"]).flags(&["--security-opt", &option])
    };
    let (said, code) = diagnosis(run);
    assert!(code < 2, "{code}: {said:#}");
    let filter = finding(&said, "place", "runtime-filter");
    assert!(filter["detail"].as_str().is_some_and(|text| text.ends_with("refuses ptrace")), "{filter}");
}

#[test]
fn without_proc_it_says_what_the_refusal_says() {
    let place = Place::UserNamespace;
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let run = |init| Run::new(images::tools(), place, init, &["/bin/true"]).without("proc");
    let (said, code) = diagnosis(run);
    assert_eq!((&said["verdict"], code), (&"nothing".into(), 3), "{said:#}");
    let mut refused = run(Init::remit(&["--profile", "baseline"])).start();
    assert_eq!(refused.wait(), 125);
    assert_eq!(refused.stderr(), format!("remit-init: {}", said["why"].as_str().expect("why")));
}

/// A kernel, or a layer before it, that says yes and does nothing.
#[test]
fn a_layer_that_only_pretends_is_found_out() {
    if !can_run(Place::Docker, &[images::TINI]) {
        return;
    }
    let option = format!("seccomp={}", answering(&["landlock_restrict_self"], 0).display());
    let run = Run::new(image(), Place::Docker, Init::None, &["/remit", "doctor", "--self-test"]);
    let mut running = run.flags(&["--security-opt", &option]).start();
    assert_eq!(running.wait(), 4, "{}{}", running.stdout(), running.stderr());
    let line = running.stdout().lines().find(|line| line.contains("FAILED")).map(str::to_owned);
    let line = line.unwrap_or_else(|| panic!("no layer failed: {}", running.stdout()));
    assert!(line.contains("landlock-files") && line.contains("reading what is not granted"), "{line}");
}
