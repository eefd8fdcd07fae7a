//! redis does its whole job under its profile, with no violation: it serves under
//! load, saves in the foreground and by children, rewrites its log, and has its data
//! again in the next container. What an intruder makes of it works unconfined and is
//! refused here.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::images;
use crate::support::{Init, Place, Run, Running, can_run, folder, in_each_place, unique};

in_each_place!(
    does_its_whole_job,
    does_its_whole_job_unconfined,
    attacks_through_redis_are_refused,
    refuses_what_redis_never_does,
    becomes_its_user_under_baseline,
    becomes_its_user_with_the_programs_named,
);

const CLI: &str = "/usr/bin/redis-cli";
const BENCHMARK: &str = "/usr/bin/redis-benchmark";
const PORT: u16 = 6379;

const COMMAND: &[&str] = &[images::REDIS, "--dir", "/data", "--appendonly", "yes", "--save", "3600 1"];

/// The profile as remit-init carries it.
fn confined() -> Init {
    Init::remit(&["--profile", "redis"])
}

fn here(place: Place) -> bool {
    let entrypoint = ["/usr/bin/find", "/usr/bin/chown", "/usr/sbin/gosu"];
    can_run(place, &[&[images::REDIS, images::TINI, CLI, BENCHMARK], &entrypoint[..]].concat())
}

/// A folder for `/data` that the container does not take with it.
fn data() -> PathBuf {
    let data = folder().join(unique("redis-data"));
    std::fs::create_dir(&data).expect("a temporary folder");
    data
}

fn ready(running: Running) -> Running {
    running.line("Ready to accept connections");
    running
}

/// What redis answers to a command.
fn ask(running: &Running, words: &[&str]) -> String {
    let ran = running.in_network(|| Command::new(CLI).arg("--raw").args(words).output());
    let output = ran.expect("redis-cli runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}

fn asks(running: &Running, words: &[&str], answer: &str) {
    assert_eq!(ask(running, words), answer, "{words:?}\n{}\n{}", running.stdout(), running.stderr());
}

fn benchmark(running: &Running) {
    let tests = "ping_inline,set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset";
    let load = || Command::new(BENCHMARK).args(["-q", "-n", "2000", "-c", "20", "-t", tests]).output();
    let output = running.in_network(load).expect("redis-benchmark runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let rates = text.matches("requests per second").count();
    // lrange_100 first fills its list, and says so.
    assert!(output.status.success() && rates >= 11 && !text.contains("Error"), "{text}");
}

fn whole_job(place: Place, init: &Init) -> Vec<Running> {
    let data = data();
    let start = || {
        let run = Run::new(images::redis(), place, init.clone(), COMMAND).folder(&data, "/data");
        ready(run.start())
    };
    let mut first = start();
    benchmark(&first);
    asks(&first, &["SET", "kept", "by all three"], "OK");
    asks(&first, &["EVAL", "return redis.call('GET', KEYS[1])", "1", "kept"], "by all three");
    asks(&first, &["SAVE"], "OK");
    asks(&first, &["BGSAVE"], "Background saving started");
    first.line("Background saving terminated with success");
    asks(&first, &["BGREWRITEAOF"], "Background append only file rewriting started");
    first.line("Background AOF rewrite finished successfully");
    asks(&first, &["APPEND", "kept", ", and the log"], "25");
    let keys = ask(&first, &["DBSIZE"]);
    assert_eq!(first.stop().code, 0, "{}\n{}", first.stdout(), first.stderr());

    let mut second = start();
    asks(&second, &["GET", "kept"], "by all three, and the log");
    asks(&second, &["DBSIZE"], &keys);
    assert_eq!(second.stop().code, 0, "{}\n{}", second.stdout(), second.stderr());
    vec![first, second]
}

fn does_its_whole_job_unconfined(place: Place) {
    if here(place) {
        whole_job(place, &Init::Tini);
    }
}

fn does_its_whole_job(place: Place) {
    if !here(place) {
        return;
    }
    for running in whole_job(place, &confined()) {
        is_without_violation(&running, "redis");
    }
}

fn is_without_violation(running: &Running, profile: &str) {
    let events = running.events();
    let start = events.of("start");
    assert_eq!(start.len(), 1, "{}", running.stderr());
    assert_eq!(start[0]["mode"]["value"], "enforce");
    assert_eq!(start[0]["policy"]["name"], profile);
    assert!(events.violations().is_empty(), "{:#?}", events.violations());
}

/// What is tried with redis' own commands, as its protocol is open to any client that reaches it.
struct Attack {
    name: &'static str,
    /// Whether it had its effect.
    works: fn(&Running) -> bool,
    /// The kind of its event, a word of the object, the rule.
    event: (&'static str, &'static str, &'static str),
}

const ATTACKS: &[Attack] = &[
    Attack { name: "cron job by SAVE", works: cron_by_save, event: ("file", "/etc/cron.d/temp-", "/files") },
    Attack {
        name: "cron job by a child",
        works: cron_by_child,
        event: ("file", "/etc/cron.d/temp-", "/files"),
    },
    Attack {
        name: "module from an unlisted place",
        works: |running| module(running, "/srv/module.so", "loaded"),
        event: ("file", "/srv/module.so", "/files"),
    },
    // What may be read may be loaded; what runs then is as confined as redis is.
    Attack {
        name: "shell of a module from a library folder",
        works: |running| module(running, "/usr/lib/module.so", "shell"),
        event: ("program", "/bin/sh", "/programs"),
    },
    Attack { name: "another port", works: another_port, event: ("network", "tcp/4444", "/network/listen") },
    Attack { name: "keys sent away", works: migrate, event: ("network", "tcp/", "/network/connect") },
    // It tries again by itself, so it comes last.
    Attack { name: "rogue master", works: rogue_master, event: ("network", "tcp/", "/network/connect") },
];

fn cron_by_save(running: &Running) -> bool {
    point_at_cron(running, "by-save");
    ask(running, &["SAVE"]) == "OK" && running.path("/etc/cron.d/by-save").exists()
}

fn cron_by_child(running: &Running) -> bool {
    point_at_cron(running, "by-child");
    asks(running, &["BGSAVE"], "Background saving started");
    // It has started, and has ended in one way or the other.
    running.lines("Background saving ", 2);
    running.path("/etc/cron.d/by-child").exists()
}

fn point_at_cron(running: &Running, name: &str) {
    asks(running, &["SET", "job", "\n\n* * * * * root id\n\n"], "OK");
    asks(running, &["CONFIG", "SET", "dir", "/etc/cron.d", "dbfilename", name], "OK");
}

/// Loads the module, and says whether it came as far as this file of its own.
fn module(running: &Running, path: &str, trace: &str) -> bool {
    running.change("/data", |data| {
        for name in ["loaded", "shell"] {
            // Most often there is none.
            let _ = std::fs::remove_file(data.join(name));
        }
    });
    ask(running, &["MODULE", "LOAD", path]);
    running.path("/data").join(trace).exists()
}

fn another_port(running: &Running) -> bool {
    let listens = ask(running, &["CONFIG", "SET", "port", "4444"]) == "OK";
    if listens {
        asks(running, &["-p", "4444", "CONFIG", "SET", "port", "6379"], "OK");
    }
    listens
}

fn rogue_master(running: &Running) -> bool {
    let (outside, port) = outside(running);
    asks(running, &["REPLICAOF", "127.0.0.1", &port], "OK");
    asks(running, &["REPLICAOF", "NO", "ONE"], "OK");
    outside.accept().is_ok()
}

fn migrate(running: &Running) -> bool {
    let (outside, port) = outside(running);
    ask(running, &["MIGRATE", "127.0.0.1", &port, "job", "0", "100"]);
    outside.accept().is_ok()
}

/// A host that is no part of the container, and the port where redis could reach
/// them. Both commands connect before they are answered.
fn outside(running: &Running) -> (TcpListener, String) {
    let bound = running.in_network(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listener = bound.expect("loopback is up");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("it is bound").port().to_string();
    (listener, port)
}

/// What was open by default before redis 7, and what a configuration may open again.
fn start_open(place: Place, init: Init) -> Running {
    let open = [
        "--enable-protected-configs",
        "yes",
        "--enable-debug-command",
        "yes",
        "--enable-module-command",
        "yes",
        // It goes on answering after a save that was refused.
        "--stop-writes-on-bgsave-error",
        "no",
    ];
    let run = Run::new(images::redis(), place, init, &[COMMAND, &open[..]].concat()).folder(&data(), "/data");
    ready(run.start())
}

fn attacks_through_redis_are_refused(place: Place) {
    if !here(place) {
        return;
    }
    let free = start_open(place, Init::remit(&["--mode", "off"]));
    for attack in ATTACKS {
        assert!((attack.works)(&free), "control {}\n{}", attack.name, free.stdout());
    }
    ask(&free, &["DEBUG", "RESTART"]);
    free.lines("Ready to accept connections", 2);

    let mut confined = start_open(place, confined());
    for attack in ATTACKS {
        let before = confined.events().violations().len();
        assert!(!(attack.works)(&confined), "{}\n{}\n{}", attack.name, confined.stdout(), confined.stderr());
        is_reported(&confined, attack.name, before, attack.event);
        asks(&confined, &["PING"], "PONG");
    }
    // It executes itself, and ends where it may not.
    let before = confined.events().violations().len();
    asks(&confined, &["CONFIG", "SET", "dir", "/data"], "OK");
    ask(&confined, &["DEBUG", "RESTART"]);
    is_reported(&confined, "DEBUG RESTART", before, ("program", "redis-server", "/may_run"));
    confined.wait();
    assert_eq!(confined.stdout().matches("Ready to accept connections").count(), 1, "{}", confined.stdout());
}

/// There is an event after so many others that says what was refused and why.
fn is_reported(running: &Running, name: &str, before: usize, (kind, object, rule): (&str, &str, &str)) {
    let reported = running.event(|events| {
        let is_it = |event: &&&Value| {
            event["kind"] == kind
                && event["object"].to_string().contains(object)
                && event["rule"].as_str().is_some_and(|said| said.contains(rule))
        };
        events.violations().iter().skip(before).find(is_it).map(|event| (*event).clone())
    });
    let event = reported.unwrap_or_else(|| {
        panic!("{name}: no {kind} event of {object} by {rule}\n{}\n{}", running.stdout(), running.stderr())
    });
    assert_eq!((&event["action"], &event["errno"]), (&json!("denied"), &json!("EACCES")), "{event}");
    assert!(event["hint"].is_array(), "{event}");
    assert!(
        event["process"]["args"].as_array().is_some_and(|args| args.len() == 1),
        "a title is one: {event}"
    );
}

/// The shipped profile, with the programs of this image.
fn profile(programs: &Value) -> Value {
    let mut profile: Value =
        serde_json::from_str(include_str!("../../profiles/redis.json")).expect("the profile is JSON");
    profile["programs"] = programs.clone();
    profile
}

/// What an intruder in redis would try, with all that redis itself may do.
fn refuses_what_redis_never_does(place: Place) {
    if !here(place) {
        return;
    }
    let profile = profile(&json!([{ "path": "/probe", "entry": true }, { "path": images::REDIS }]));
    let running = Run::new(images::redis(), place, Init::remit(&[]), &["/probe", "serve", "6379"])
        .file("/etc/remit/profile.json", profile.to_string())
        .folder(&data(), "/data")
        .start();
    running.line("listening");
    let acts = [
        ("exec?arg=/bin/sh&arg=-c&arg=:", "EACCES"),
        ("exec?arg=/usr/bin/redis-server&arg=-v", "EACCES"),
        ("exec-copy?arg=/proc/self/exe&arg=/data", "EACCES"),
        ("exec-drop?arg=/data", "EACCES"),
        ("exec-memfd", "EPERM"),
        ("exec-loader?arg=/data", "EACCES"),
        ("write?arg=/data/dump.rdb", "ENOENT"),
        ("create?arg=/etc/cron.d/job", "EACCES"),
        ("create?arg=/tmp/tool", "EACCES"),
        ("read?arg=/etc/shadow", "EACCES"),
        ("read?arg=/etc/passwd", "EACCES"),
        ("bind?arg=4444", "EACCES"),
        ("connect?arg=127.0.0.1&arg=6379", "EACCES"),
        ("udp?arg=127.0.0.1&arg=53", "EACCES"),
        ("unix-connect?arg=/run/docker.sock", "EACCES"),
        ("setuid", "EPERM"),
        ("ptrace", "EPERM"),
        ("unshare", "EPERM"),
        ("mount?arg=/data", "EPERM"),
        ("kill?arg=1&arg=23", "EPERM"),
        ("open-memory?arg=1", "EACCES"),
        ("memory-protect", "EACCES"),
        ("i386", "SIGSYS"),
        ("io-uring", "ENOSYS"),
    ];
    let wrong: Vec<String> = acts
        .iter()
        .filter_map(|(act, refused)| {
            let answer = running.get(PORT, &format!("/act/{act}")).body;
            let result = serde_json::from_str::<Value>(&answer).map(|line| line["result"].clone());
            (result.ok() != Some(json!(refused))).then(|| format!("{act}: expected {refused}, got {answer}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{place:?}:\n{}\n{}", wrong.join("\n"), running.stderr());
}

/// As the official image starts: by a script, as root where it may be.
fn becomes_its_user(place: Place, init: Init, profile: Option<&Value>) {
    let command = [&["/docker-entrypoint.sh"], COMMAND].concat();
    let mut run = Run::new(images::redis(), place, init, &command);
    if let Some(profile) = profile {
        run = run.file("/etc/remit/profile.json", profile.to_string());
    }
    let mut running = ready(run.start());
    let user = if place == Place::Restricted { 101 } else { 999 };
    let server = |(_, uid, title): &(i32, u32, String)| title.starts_with(images::REDIS).then_some(*uid);
    assert_eq!(running.processes().iter().find_map(server), Some(user), "{:?}", running.processes());
    benchmark(&running);
    asks(&running, &["SAVE"], "OK");
    asks(&running, &["BGSAVE"], "Background saving started");
    running.line("Background saving terminated with success");
    assert_eq!(running.stop().code, 0, "{}\n{}", running.stdout(), running.stderr());
    is_without_violation(&running, profile.map_or("baseline", |_| "redis"));
}

fn becomes_its_user_under_baseline(place: Place) {
    if here(place) {
        becomes_its_user(place, Init::remit(&[]), None);
    }
}

/// What the entrypoint runs, edge by edge, and what it takes to become another user.
fn becomes_its_user_with_the_programs_named(place: Place) {
    if !here(place) {
        return;
    }
    let mut profile = profile(&json!([
        { "path": "/docker-entrypoint.sh", "entry": true, "interpreter": "/bin/sh",
          "may_run": ["/usr/bin/id", "/usr/bin/find", "/usr/sbin/gosu", images::REDIS] },
        { "path": "/usr/bin/id" },
        { "path": "/usr/bin/find", "may_run": ["/usr/bin/chown"] },
        { "path": "/usr/bin/chown" },
        { "path": "/usr/sbin/gosu", "may_run": ["/docker-entrypoint.sh"] },
        { "path": images::REDIS }
    ]));
    profile["files"].as_array_mut().expect("files is a list").push(json!("@names"));
    profile["capabilities"] = json!(["chown", "dac_override", "setgid", "setuid"]);
    profile["syscalls"] = json!({ "allow": ["fchownat", "setuid", "setgid", "setgroups"] });
    becomes_its_user(place, Init::remit(&[]), Some(&profile));
}

/// `--run-as` does what the script does, and no other program is needed.
#[test]
fn is_run_as_its_user() {
    if !here(Place::Docker) {
        return;
    }
    let init = Init::remit(&["--profile", "redis", "--run-as", "999:999"]);
    let mut running = ready(Run::new(images::redis(), Place::Docker, init, COMMAND).start());
    assert!(
        running.processes().iter().any(|(_, uid, title)| *uid == 999 && title.starts_with(images::REDIS))
    );
    asks(&running, &["SAVE"], "OK");
    assert_eq!(running.stop().code, 0, "{}\n{}", running.stdout(), running.stderr());
    is_without_violation(&running, "redis");
}
