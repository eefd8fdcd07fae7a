//! nginx does its whole job under its profile, with no violation: it serves under
//! load with workers of another user, takes a new configuration, opens its logs
//! again, and ends at once on TERM.

use serde_json::{Value, json};

use crate::images;
use crate::support::{BEFORE_THE_GRACE, Client, Init, Place, Run, Running, can_run, in_each_place, load};

in_each_place!(does_its_whole_job, does_its_whole_job_unconfined, refuses_what_nginx_never_does);

const COMMAND: &[&str] = &["/usr/sbin/nginx", "-g", "daemon off; error_log stderr notice;"];

/// Where nginx listens: not everybody may take port 80.
fn port(place: Place) -> u16 {
    if place == Place::Restricted { 8080 } else { 80 }
}

/// The profile as it comes with remit, or, where there is no root and no
/// capability, the same without what needs them.
fn profile(place: Place) -> Value {
    let mut profile: Value =
        serde_json::from_str(include_str!("../../profiles/nginx.json")).expect("the profile is JSON");
    if place == Place::Restricted {
        profile["network"]["listen"] = json!([format!("tcp/{}", port(place))]);
        profile["capabilities"] = json!([]);
    }
    profile
}

fn start(place: Place, init: Init, command: &[&str], profile: &Value) -> Running {
    let site = std::fs::read_to_string("/etc/nginx/sites-available/default").expect("Debian's site");
    let site = site
        .replace(":80 ", &format!(":{} ", port(place)))
        .replace("listen 80 ", &format!("listen {} ", port(place)));
    Run::new(images::nginx(), place, init, command)
        .file("/etc/nginx/sites-enabled/default", site)
        .file("/etc/remit/profile.json", profile.to_string())
        .start()
}

/// The workers that are there: their pids and users.
fn workers(running: &Running) -> Vec<(i32, u32)> {
    let processes = running.processes();
    processes
        .into_iter()
        .filter(|(_, _, title)| title == "nginx: worker process")
        .map(|(pid, uid, _)| (pid, uid))
        .collect()
}

fn whole_job(place: Place, init: Init) -> Running {
    let mut running = start(place, init, COMMAND, &profile(place));
    let port = port(place);
    running.line("start worker process ");
    assert_eq!(running.get(port, "/").body.len(), 612);
    assert_eq!(running.get(port, "/nothing").status, 404);
    load(&running, port, 8, 250);

    let before = workers(&running);
    let user = if place == Place::Restricted { 101 } else { 33 };
    assert!(!before.is_empty() && before.iter().all(|(_, uid)| *uid == user), "{before:?}");

    // A new configuration: new workers answer, the old ones go, and no request
    // of the load that goes on meanwhile is lost.
    std::thread::scope(|scope| {
        scope.spawn(|| load(&running, port, 4, 500));
        running.signal(libc::SIGHUP);
        running.lines("start worker process ", before.len() * 2);
        running.lines(" exited with code 0", before.len());
    });
    let after = workers(&running);
    assert_eq!(after.len(), before.len(), "{before:?} {after:?}");
    assert!(after.iter().all(|worker| !before.contains(worker)), "{before:?} {after:?}");
    assert_eq!(running.get(port, "/").status, 200);

    // Log rotation: the old file is moved away, the new one is made on USR1.
    let moved = running.change("/var/log/nginx", |folder| {
        std::fs::rename(folder.join("access.log"), folder.join("access.log.1"))
    });
    moved.expect("nginx writes a log");
    running.signal(libc::SIGUSR1);
    // The master says so, and then each worker, which opens the new file before it takes
    // another request. The master's line on the signal itself ends in the same words.
    running.lines(": reopening logs", 1 + after.len());
    let mut client = Client::new(running.connect(port).expect("a connection"));
    assert_eq!(client.get("/after-rotation").expect("an answer").status, 404);
    // A request is logged after its answer, and before the next one of its connection.
    assert_eq!(client.get("/").expect("an answer").status, 200);
    let written =
        std::fs::read_to_string(running.path("/var/log/nginx/access.log")).expect("the log was opened again");
    assert!(written.contains("/after-rotation"), "{written}");

    let stopped = running.stop();
    assert_eq!(stopped.code, 0, "{stopped:?}\n{}", running.stderr());
    assert!(stopped.took < BEFORE_THE_GRACE, "{stopped:?}");
    running
}

fn does_its_whole_job_unconfined(place: Place) {
    if can_run(place, &[images::NGINX, images::TINI]) {
        whole_job(place, Init::None);
    }
}

fn does_its_whole_job(place: Place) {
    if !can_run(place, &[images::NGINX, images::TINI]) {
        return;
    }
    let running = whole_job(place, Init::remit(&[]));
    let events = running.events();
    assert!(events.violations().is_empty(), "{:#?}", events.violations());
    let start = events.of("start");
    assert_eq!(start.len(), 1, "{}", running.stderr());
    assert_eq!(start[0]["mode"]["value"], "enforce");
    assert_eq!(start[0]["policy"]["name"], "nginx");
    for layer in ["seccomp", "landlock-files", "no_new_privs"] {
        let state = |event: &Value| -> Option<String> {
            let layers = event["layers"].as_array()?;
            let layer = layers.iter().find(|one| one["layer"] == layer)?;
            layer["state"].as_str().map(str::to_owned)
        };
        assert_eq!(state(start[0]).as_deref(), Some("active"), "{layer}: {}", start[0]);
    }
    let stop = events.of("stop");
    assert_eq!(stop.len(), 1, "{}", running.stderr());
    assert_eq!(stop[0]["exit"], json!({ "code": 0 }));
    assert_eq!(stop[0]["why"], "signal TERM");
}

/// What an intruder in nginx would try, with all that nginx itself may do.
fn refuses_what_nginx_never_does(place: Place) {
    if !can_run(place, &[images::NGINX, images::TINI]) {
        return;
    }
    let mut profile = profile(place);
    profile["programs"]
        .as_array_mut()
        .expect("programs is a list")
        .push(json!({ "path": "/probe", "entry": true }));
    let port = port(place);
    let running = start(place, Init::remit(&[]), &["/probe", "serve", &port.to_string()], &profile);
    running.line("listening");
    let acts = [
        ("exec?arg=/bin/sh&arg=-c&arg=:", "EACCES"),
        ("exec?arg=/usr/sbin/nginx&arg=-v", "EACCES"),
        ("write?arg=/etc/passwd", "EACCES"),
        ("write?arg=/etc/nginx/nginx.conf", "EACCES"),
        ("read?arg=/etc/shadow", "EACCES"),
        ("exec-copy?arg=/proc/self/exe&arg=/var/lib/nginx", "EACCES"),
        ("exec-drop?arg=/var/lib/nginx", "EACCES"),
        ("bind?arg=4444", "EACCES"),
        ("connect?arg=127.0.0.1&arg=80", "EACCES"),
        ("mount?arg=/run", "EPERM"),
        ("ptrace", "EPERM"),
        ("unshare", "EPERM"),
        ("kill?arg=1&arg=23", "EPERM"),
        ("open-memory?arg=1", "EACCES"),
        ("i386", "SIGSYS"),
        ("io-uring", "ENOSYS"),
    ];
    let wrong: Vec<String> = acts
        .iter()
        .filter_map(|(act, refused)| {
            let answer: Value = serde_json::from_str(&running.get(port, &format!("/act/{act}")).body).ok()?;
            (answer["result"] != *refused).then(|| format!("{act}: expected {refused}, got {answer}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{place:?}:\n{}\n{}", wrong.join("\n"), running.stderr());
}
