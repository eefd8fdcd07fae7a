//! What people do around a container: processes that an engine starts beside it,
//! pid namespaces that are shared, signals from inside, the way out at night, and
//! the message that Kubernetes shows.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::images;
use crate::support::{Init, Place, Run, Running, can_run, folder, in_each_place, unique};

in_each_place!(kill_1_from_inside_is_forwarded_or_refused, audit_by_the_environment_is_said_aloud);

/// A server with a folder of its own, and nothing else.
fn profile() -> Value {
    json!({
        "remit": 1,
        "name": "around",
        "programs": [{ "path": "/probe", "entry": true }],
        "files": ["@runtime"],
        "network": { "listen": ["tcp/8080"] }
    })
}

/// `/probe` with these arguments under that profile; /srv/data is everyone's.
fn run<'a>(place: Place, init: Init, command: &[&str]) -> Run<'a> {
    Run::new(images::tools(), place, init, command)
        .file("/etc/remit/profile.json", profile().to_string())
        .volume("/srv", &[("data", "data\n")])
}

/// What the probe said of an act, as a process of its own.
fn said(output: &std::process::Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let line: Value = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    line["result"].as_str().expect("every result is a word").to_owned()
}

/// `docker exec`, `kubectl exec`, exec probes and HEALTHCHECK are all the same to the
/// kernel: a process that enters the container's namespaces from outside.
fn what_the_engine_starts_beside_is_free_and_can_be_confined(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let running =
        run(place, Init::remit(&[]), &["/probe", "serve", "8080"]).unset("REMIT_EVENTS_LEVEL").start();
    running.line("listening 8080");
    // What the server itself may not do.
    let acts: [&[&str]; 5] = [
        &["exec", "/bin/busybox", "true"],
        &["write", "/srv/data"],
        &["read", "/srv/data"],
        &["bind", "4444"],
        &["kill", "1", "23"],
    ];
    for act in acts {
        let query: String = act[1..].iter().map(|argument| format!("&arg={argument}")).collect();
        let inside = running.get(8080, &format!("/act/{}?{}", act[0], &query[1..])).body;
        assert!(inside.contains("EACCES") || inside.contains("EPERM"), "{act:?}: {inside}");

        let beside = [&["/probe"], act].concat();
        assert_eq!(said(&running.exec(&beside)), "ok", "control: {act:?} beside the server");

        let confined = [&["/remit-init", "--profile", "health", "--", "/probe"], act].concat();
        let output = running.exec(&confined);
        let refused = if act[0] == "kill" { "EPERM" } else { "EACCES" };
        assert_eq!(said(&output), refused, "{act:?} confined");
        assert_eq!(output.status.code(), Some(1), "the code is the probe's");
    }
    // What a probe is for.
    let asks = ["/probe", "connect", "127.0.0.1", "8080"];
    let answer = running.exec(&[&["/remit-init", "--profile", "health", "--"], &asks[..]].concat());
    assert_eq!(said(&answer), "ok", "it asks the server");
    assert_eq!(String::from_utf8_lossy(&answer.stderr), "", "and says nothing when all is well");
    // The events of an exec go to the process that started it, and not to the container's log.
    let refused = [&["/remit-init", "--profile", "health", "--", "/probe"], acts[0]].concat();
    let reported = running.exec(&refused);
    let reported = String::from_utf8_lossy(&reported.stderr);
    assert!(reported.contains(r#""name":"health""#) && reported.contains("/bin/busybox"), "{reported}");
    assert!(!running.stderr().contains(r#""name":"health""#), "{}", running.stderr());
}

#[test]
fn what_docker_exec_starts_is_free_and_can_be_confined() {
    what_the_engine_starts_beside_is_free_and_can_be_confined(Place::Docker);
}

#[test]
fn what_kubectl_exec_starts_is_free_and_can_be_confined() {
    what_the_engine_starts_beside_is_free_and_can_be_confined(Place::Restricted);
}

/// `kubectl debug --target`: a container of its own in the pid and network
/// namespaces of another.
#[test]
fn a_debug_container_is_free_of_the_filters_and_its_own_remit_holds() {
    let place = Place::Docker;
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let server = run(place, Init::remit(&[]), &["/probe", "serve", "8080"]).start();
    server.line("listening 8080");
    let (pid, network) =
        (format!("--pid=container:{}", server.name()), format!("--network=container:{}", server.name()));
    let debug = |init: Init, act: &[&str]| {
        let command = [&["/probe"], act].concat();
        let mut running = run(place, init, &command).flags(&[&pid, &network]).start();
        running.wait();
        running.stdout()
    };
    for (act, refused) in [(&["kill", "1", "23"][..], "EPERM"), (&["connect", "127.0.0.1", "8080"], "EACCES")]
    {
        let free = debug(Init::None, act);
        assert!(free.contains(r#""ok""#), "control: {act:?}: {free}");
        let confined = debug(Init::remit(&[]), act);
        assert!(confined.contains(refused), "{act:?}: {confined}");
    }
    assert_eq!(server.get(8080, "/").status, 200, "the server is as it was");
}

/// A pod with shareProcessNamespace, or `--pid container:`: remit-init is not PID 1,
/// and ends its own descendants and no other process.
#[test]
fn in_a_shared_pid_namespace_it_ends_its_own_alone() {
    let place = Place::Docker;
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    // It says every signal that reaches it, and would be killed by none but KILL.
    let mut other = run(place, Init::None, &["/probe", "signals", "15", "0"]).start();
    other.line("ready");
    let shared = format!("--pid=container:{}", other.name());
    let beside = |options: &[&str], command: &[&str]| {
        run(place, Init::remit(options), command).flags(&[&shared]).start()
    };

    let mut sleeper = beside(&[], &["/probe", "sleeper"]);
    sleeper.line("ready");
    let first = sleeper.processes();
    assert!(first.len() >= 4, "one namespace: {first:?}");
    let stopped = sleeper.stop();
    assert_eq!(stopped.code, 0, "{}", sleeper.stderr());
    assert!(sleeper.stdout().contains("sleeper is done"), "its own had the grace: {}", sleeper.stdout());

    // A process that outlives the grace is killed, and so is all of it on a violation that stops.
    let mut sleeper = beside(&["--grace", "50ms"], &["/probe", "sleeper"]);
    sleeper.line("ready");
    sleeper.stop();
    assert_eq!(sleeper.events().of("stop")[0]["killed"], 1, "{}", sleeper.stderr());
    let mut orphans = beside(&[], &["/probe", "orphans", "20"]);
    assert_eq!(orphans.wait(), 0, "{}", orphans.stderr());
    assert!(orphans.stdout().contains("orphans 20 unreaped 0"), "by it, not by PID 1: {}", orphans.stdout());

    // Nor can what it holds reach the others.
    let mut attack = beside(&[], &["/probe", "kill", "1", "9"]);
    attack.wait();
    assert!(attack.stdout().contains("EPERM"), "{}", attack.stdout());

    assert_eq!(other.stdout(), "ready", "no signal of theirs came here");
    other.signal(libc::SIGUSR1);
    other.line("signal 10");
    assert_eq!(other.stop().code, 0, "it lived on: {}", other.stdout());
}

/// PID 1 is the supervisor: what an init forwards reaches the app, as with tini, and nothing else
/// of a shell inside reaches the supervisor.
fn kill_1_from_inside_is_forwarded_or_refused(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let run = |init: Init, script: &str| {
        let mut running = Run::new(images::tools(), place, init, &["/bin/sh", "-c", script]).start();
        (running.wait(), running)
    };
    let reload =
        "trap 'echo reloaded; exit 7' HUP; (kill -HUP 1); echo \"kill said $?\"; while :; do :; done";
    for init in [Init::Tini, Init::remit(&[])] {
        let (code, running) = run(init, reload);
        assert_eq!(code, 7, "{}", running.stderr());
        assert!(running.stdout().contains("reloaded"), "{}", running.stdout());
        assert!(running.events().violations().is_empty(), "{}", running.stderr());
    }
    let (code, running) = run(Init::remit(&[]), "kill -URG 1; echo \"kill said $?\"; exit 7");
    assert_eq!(code, 7, "{}", running.stderr());
    assert!(running.stdout().contains("kill said 1"), "{}", running.stdout());
    let events = running.events();
    let refused = events.violations();
    assert_eq!(refused.len(), 1, "{refused:#?}");
    assert_eq!(refused[0]["kind"], "syscall");
    assert_eq!(refused[0]["errno"], "EPERM");
    assert_eq!(refused[0]["object"]["syscall"], "kill");
    assert_eq!(refused[0]["object"]["args"][0], "0x1");
    // Control: tini forwards it, and the shell ignores it.
    let (_, running) = run(Init::Tini, "kill -URG 1; echo \"kill said $?\"; exit 7");
    assert!(running.stdout().contains("kill said 0"), "{}", running.stdout());
}

/// REMIT_MODE=audit, the way out at night: nothing is refused any more, and the one
/// line on stderr says that and what said so.
fn audit_by_the_environment_is_said_aloud(place: Place) {
    if !can_run(place, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let make = |mode: &str| {
        let mut running = run(place, Init::remit(&[]), &["/probe", "write", "/srv/data"])
            .unset("REMIT_EVENTS_LEVEL")
            .variable("REMIT_MODE", mode)
            .start();
        running.wait();
        running
    };
    let confined = make("");
    assert!(confined.stdout().contains("EACCES"), "{}", confined.stdout());
    assert!(confined.events().of("start").is_empty(), "in peace nothing is said: {}", confined.stderr());
    let free = make("audit");
    assert!(free.stdout().contains(r#""ok""#), "{}\n{}", free.stdout(), free.stderr());
    let first = free.stderr();
    let first: Value =
        first.lines().next().and_then(|line| serde_json::from_str(line).ok()).expect("an event");
    assert_eq!(first["event"], "start", "before anything else");
    assert_eq!(first["mode"], json!({ "value": "audit", "source": "environment" }));
    let layer = |name: &str| {
        let layers = first["layers"].as_array().expect("layers");
        layers.iter().find(|layer| layer["layer"] == name).expect("it is listed").clone()
    };
    assert_eq!(layer("landlock-files")["detail"], "audit refuses nothing");
    let seen = free.events();
    let seen = seen.violations();
    assert!(seen.iter().any(|event| event["action"] == "observed"), "{}", free.stderr());
}

/// A file as the kubelet mounts it, with that mode; given to root.
fn termination_log(mode: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = folder().join(unique("termination-log"));
    std::fs::write(&file, "").expect("a temporary file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("chmod");
    file
}

/// What the kubelet shows of a container that ended: the same line as on stderr.
#[test]
fn the_reason_of_an_end_is_in_the_termination_log() {
    if !can_run(Place::Restricted, &[images::TINI, images::BUSYBOX]) {
        return;
    }
    let end = |init: Init, command: &[&str], profile: &Value, mode: u32| -> (i32, String, Running) {
        let file = termination_log(mode);
        let volume = format!("{}:/dev/termination-log", file.display());
        let mut running = Run::new(images::tools(), Place::Restricted, init, command)
            .file("/etc/remit/profile.json", profile.to_string())
            .unset("REMIT_EVENTS_LEVEL")
            .flags(&["--volume", &volume])
            .start();
        let code = running.wait();
        (code, std::fs::read_to_string(&file).expect("the file"), running)
    };
    let line =
        |running: &Running| running.stderr().lines().map(|line| format!("{line}\n")).collect::<String>();

    // It does not start; the root is read-only, and the file, as the kubelet makes it, is
    // open to every user.
    let unknown = Init::remit(&["--profile", "nowhere"]);
    let (code, message, running) = end(unknown.clone(), &["/probe", "exit", "0"], &profile(), 0o666);
    assert_eq!(code, 125);
    assert!(message.starts_with("remit-init: ") && message.contains("nowhere"), "{message}");
    assert_eq!(message, line(&running), "one line, on both");

    // One that the user may not write changes nothing and adds nothing.
    let (code, message, running) = end(unknown, &["/probe", "exit", "0"], &profile(), 0o644);
    assert_eq!((code, message.as_str()), (125, ""));
    assert_eq!(line(&running).lines().count(), 1, "{}", running.stderr());

    // A violation ends the container.
    let mut strict = profile();
    strict["on_violation"] = "stop".into();
    let (code, message, _) = end(Init::remit(&[]), &["/probe", "ptrace"], &strict, 0o666);
    assert_eq!(code, 137);
    assert!(message.contains("violation") && message.contains("on_violation"), "{message}");

    // An app that ends by itself has nothing written in its name.
    let (code, message, _) = end(Init::remit(&[]), &["/probe", "exit", "3"], &profile(), 0o666);
    assert_eq!((code, message.as_str()), (3, ""));
}
