//! What a plan decides, and what it refuses, one rule of the format at a time.

mod calls;
mod exact;
mod files;
mod programs;
mod sockets;

use std::path::Path;

use landlock::{AccessFs, BitFlags};
use nix::errno::Errno;

use remit::filter::{Access, Action};
use remit::ids::{Gid, Uid};
use remit::image::Executable;
use remit::image::tree::ImageTree;
use remit::kernel::{Arch, Kernel, NoListener, Release};
use remit::plan::{Host, LayerState, Plan, PlanError};
use remit::profile::{Capability, Mode, RunAs};
use remit::{profile, syscalls};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn image() -> ImageTree {
    ImageTree::new()
        .program(LOADER, Executable::Loader)
        .program("/bin/dash", Executable::Dynamic(LOADER.into()))
        .link("/bin/sh", "dash")
        .link("/tools", "bin")
        .link("/loaders", "lib64")
        .program("/bin/env", Executable::Dynamic(LOADER.into()))
        .program("/app/server", Executable::Static)
        .hard_link("/app/again", "/app/server")
        .program("/app/arm", Executable::Foreign(183))
        .program("/app/text", Executable::Unknown)
        .program("/app/script", Executable::Script("/bin/sh".into(), Some("-e".into())))
        .program("/app/nested", Executable::Script("/app/script".into(), None))
        .program("/app/by-env", Executable::Script("/bin/env".into(), Some("sh".into())))
        .program("/app/orphan", Executable::Dynamic("/lib/nowhere.so".into()))
        .program("/app/loop", Executable::Script("/app/loop".into(), None))
        .dir("/app/data")
        .file("/data/file")
        .file("/opt/lib/plugin.so")
        .file("/opt/one.so")
        .link("/opt/plugins", "lib")
        .device("/dev/null")
        .dir("/proc/sys")
        .dir("/dev/shm")
        .file("/etc/passwd")
        .file("/etc/remit.json")
        .dir("/links")
}

fn place() -> Host {
    let permitted: caps::CapsHashSet =
        [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_CHOWN, Capability::CAP_SETPCAP]
            .into();
    Host {
        ids: RunAs { user: Uid::from_raw(0), group: Gid::from_raw(0), groups: vec![Gid::from_raw(0)] },
        hard_limits: [Some(1024), None, None],
        guarded: vec![("the profile", "/etc/remit.json".into())],
        links: vec![("a link to the profile", "/links/remit.json".into())],
        ..Host::container(permitted)
    }
}

fn kernel(major: u16, minor: u16) -> Kernel {
    Kernel::stock(Release::new(major, minor), Arch::X86_64)
}

const SERVER: &str = r#""programs": [{"path": "/app/server", "entry": true}]"#;

/// A profile of these keys.
fn plan_on(keys: &str, kernel: &Kernel, place: &Host, mode: Mode) -> Result<Plan, PlanError> {
    let text = format!(r#"{{"remit": 1, "name": "t", {keys}}}"#);
    let profile = profile::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}")).profile;
    Plan::new(&profile, kernel, place, &image(), mode)
}

fn try_plan(keys: &str) -> Result<Plan, PlanError> {
    plan_on(keys, &kernel(6, 18), &place(), Mode::Enforce)
}

fn plan(keys: &str) -> Plan {
    try_plan(keys).unwrap_or_else(|error| panic!("{error}\n{keys}"))
}

fn server(more: &str) -> Plan {
    plan(&format!("{SERVER}, {more}"))
}

fn rights(plan: &Plan, path: &str) -> BitFlags<AccessFs> {
    let domain = plan.landlock.as_ref().expect("a domain");
    domain.rules.iter().find(|rule| rule.path == Path::new(path)).map_or(BitFlags::EMPTY, |rule| rule.rights)
}

fn widened(plan: &Plan, path: &str, narrowed: bool) -> BitFlags<AccessFs> {
    let here = plan.widened.iter().filter(|wide| wide.path == Path::new(path) && wide.narrowed == narrowed);
    here.fold(BitFlags::EMPTY, |all, wide| all | wide.rights)
}

fn answer(plan: &Plan, call: &str, args: [u64; 6]) -> Action {
    let number = syscalls::number(plan.filter.arch, call).expect("the architecture has it");
    plan.filter.verdict(number, &args)
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let cases = [
        (
            r#""programs": [{"path": "/app/server", "entry": true, "libraries": ["/lib", "/dev/null"]}]"#,
            "/programs/0/libraries/1",
            "neither a file nor a directory",
        ),
        (&format!(r#"{SERVER}, "network": {{"connect": ["udp/53"]}}"#), "/network/connect/0", "udp/*"),
        (&format!(r#"{SERVER}, "network": {{"listen": ["udp/127.0.0.1:*"]}}"#), "/network/listen/0", "udp/*"),
        (&format!(r#"{SERVER}, "ready": {{"when": "listening"}}"#), "/ready", "network.listen"),
        (r#""programs": [{"path": "/app/gone", "entry": true}]"#, "/programs/0/path", "not there"),
        (r#""programs": [{"path": "/app/data", "entry": true}]"#, "/programs/0/path", "beneath"),
        (
            r#""programs": [{"beneath": "/app/server", "entry": true}]"#,
            "/programs/0/beneath",
            "not a directory",
        ),
        (r#""programs": [{"beneath": "/nowhere", "entry": true}]"#, "/programs/0/beneath", "not there"),
        (r#""programs": [{"path": "/app/arm", "entry": true}]"#, "/programs/0", "another machine"),
        (r#""programs": [{"path": "/app/text", "entry": true}]"#, "/programs/0", "cannot execute"),
        (
            r#""programs": [{"path": "/app/script", "entry": true}]"#,
            "/programs/0/path",
            "\"interpreter\": \"/bin/sh\"",
        ),
        (
            r#""programs": [{"path": "/app/script", "entry": true, "interpreter": "/bin/dash"}]"#,
            "/programs/0/interpreter",
            "names `/bin/sh`",
        ),
        (
            r#""programs": [{"path": "/app/server", "entry": true, "interpreter": "/bin/sh"}]"#,
            "/programs/0/interpreter",
            "no script",
        ),
        (r#""programs": [{"path": "/app/orphan", "entry": true}]"#, "/programs/0", "/lib/nowhere.so"),
        (
            r#""programs": [{"path": "/app/loop", "entry": true, "interpreter": "/app/loop"}]"#,
            "/programs/0",
            "deep",
        ),
        (
            r#""programs": [{"path": "/app/server", "entry": true}, {"path": "/app/again"}]"#,
            "/programs/1/path",
            "same file",
        ),
        (
            &format!(r#"{SERVER}, "files": [{{"path": "/gone", "allow": ["read"]}}]"#),
            "/files/0",
            "\"optional\": true",
        ),
        (
            &format!(r#"{SERVER}, "files": [{{"path": "/gone/x", "allow": ["create"]}}]"#),
            "/files/0",
            "directory of `/gone/x`",
        ),
        (&format!(r#"{SERVER}, "limits": {{"open_files": 2048}}"#), "/limits/open_files", "1024"),
    ];
    for (keys, pointer, says) in cases {
        let error = try_plan(keys).err().unwrap_or_else(|| panic!("{keys} has a plan"));
        assert_eq!(error.pointer, pointer, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let learn = plan_on(SERVER, &kernel(6, 18), &place(), Mode::Learn).expect_err("not there yet");
    assert_eq!(learn.pointer, "/mode");
}

#[test]
fn the_supervisors_threads_are_as_many_as_its_work() {
    let planned = |keys: &str, major, minor| {
        let keys = format!(r#"{SERVER}, "fallback": "degrade", {keys}"#);
        plan_on(&keys, &kernel(major, minor), &place(), Mode::Enforce).expect("plans")
    };
    let few = 3 + remit::plan::LATER_THREADS;
    let ports = r#""network": {"connect": ["tcp/80"]}"#;
    assert_eq!(planned(ports, 6, 18).threads(), few);
    let addressed = r#""network": {"connect": ["tcp/10.0.0.1:80"]}"#;
    assert_eq!(planned(addressed, 6, 18).threads(), few + remit::plan::SOCKET_THREADS);
    assert_eq!(planned(addressed, 5, 13).threads(), few, "no socket is made there");
    // With a scope for signals the filter needs the id of the one that decides, and else all.
    assert_eq!(planned(ports, 6, 12).threads_in_filter(), 1);
    assert_eq!(planned(ports, 6, 11).threads_in_filter(), few);
    let audit = plan_on(SERVER, &kernel(6, 18), &place(), Mode::Audit).expect("plans");
    assert_eq!(audit.threads_in_filter(), audit.threads(), "audit has no domain");
}

#[test]
fn the_app_gets_what_is_requested_and_there() {
    let plan = server(
        r#""capabilities": ["chown", "net_raw"], "run_as": {"user": 999, "group": 999, "groups": []}"#,
    );
    assert_eq!(plan.capabilities.app, [Capability::CAP_CHOWN].into());
    assert_eq!(plan.capabilities.ambient, [Capability::CAP_CHOWN].into(), "it is not root");
    assert!(plan.notes.iter().any(|note| note.contains("net_raw")), "{:?}", plan.notes);
    let root = server(r#""capabilities": ["chown"], "run_as": {"user": 0, "group": 0, "groups": [0]}"#);
    assert_eq!(root.run_as, None, "it keeps its user");
    assert!(root.capabilities.ambient.is_empty());

    let bare = Host { permitted: caps::CapsHashSet::new(), ..place() };
    let keys = format!(r#"{SERVER}, "run_as": {{"user": 999, "group": 0, "groups": [0]}}"#);
    let error = plan_on(&keys, &kernel(6, 18), &bare, Mode::Enforce).expect_err("no right to");
    assert!(error.to_string().contains("setuid") && !error.to_string().contains("setgid"), "{error}");
    let listed = server(r#""syscalls": {"allow": ["setuid", "chroot"]}"#);
    assert_eq!(listed.filter.calls["chroot"], Access::Notify, "its EPERM is to be seen");
}

#[test]
fn audit_takes_nothing_and_sees_every_open() {
    let keys = format!(r#"{SERVER}, "files": ["@names"], "limits": {{"open_files": 8}}"#);
    let audit = plan_on(&keys, &kernel(6, 18), &place(), Mode::Audit).expect("plans");
    assert!(audit.landlock.is_none() && audit.limits.is_empty() && audit.environment_drop.is_empty());
    assert!(!audit.mdwe);
    assert_eq!(audit.capabilities.app, place().permitted);
    assert!(audit.policy.capabilities.is_empty(), "what enforce would leave");
    assert_eq!(audit.filter.calls["openat"], Access::Notify);
    assert!(audit.refusal().is_none());
}

#[test]
fn without_a_listener_it_refuses_unless_it_may_degrade() {
    let deaf = Kernel { notify: Err(NoListener::Busy), ..kernel(6, 18) };
    let plan = plan_on(SERVER, &deaf, &place(), Mode::Enforce).expect("a plan there is");
    let refusal = plan.refusal().expect("nothing would be seen");
    assert!(refusal.contains("notification") && refusal.contains("EBUSY"), "{refusal}");
    let keys = format!(r#"{SERVER}, "fallback": "degrade""#);
    let degraded = plan_on(&keys, &deaf, &place(), Mode::Enforce).expect("a plan there is");
    assert_eq!(degraded.refusal(), None);
    let state = |name| degraded.layers().into_iter().find(|layer| layer.layer == name).expect("named").state;
    assert_eq!(state("notification"), LayerState::Unavailable);
    assert_eq!(state("landlock-files"), LayerState::Active);
    let unfiltered = Kernel { notify: Err(NoListener::Filter(Errno::EPERM)), ..deaf };
    let refused = plan_on(&keys, &unfiltered, &place(), Mode::Enforce).expect("a plan there is");
    assert!(
        refused.refusal().is_some_and(|why| why.starts_with("seccomp: loading a filter is answered EPERM")),
        "degrade is no answer"
    );
    assert!(
        refused
            .layers()
            .iter()
            .all(|layer| layer.layer != "seccomp" || layer.state == LayerState::Unavailable)
    );
}

/// Four times as many programs, edges or conditions cost about four times as much of this
/// thread's processor time, where a comparison of each with all would cost sixteen times as much.
#[test]
fn what_grows_does_not_grow_with_its_square() {
    let programs = |count: usize| {
        let entry = |n: usize| {
            let entry = if n == 0 { ", \"entry\": true" } else { "" };
            format!("{{\"path\": \"/p/{n}\", \"may_run\": [\"/p/{}\"]{entry}}}", (n + 1) % count)
        };
        format!("\"programs\": [{}]", (0..count).map(entry).collect::<Vec<_>>().join(","))
    };
    let files = |count: usize| {
        let rules = (0..count)
            .map(|n| format!("{{\"path\": \"/d/{n}\", \"allow\": [\"write\"], \"optional\": true}}"));
        format!("{}, \"files\": [{}]", programs(count), rules.collect::<Vec<_>>().join(","))
    };
    let conditions = |count: usize| {
        let rules = (0..count).map(|n| format!("{{\"call\": \"prctl\", \"arg\": 0, \"in\": [{n}]}}"));
        format!("{SERVER}, \"syscalls\": {{\"allow\": [{}]}}", rules.collect::<Vec<_>>().join(","))
    };
    let cost = |keys: String, count: usize| {
        let mut tree = image();
        for n in 0..count {
            tree = tree.program(&format!("/p/{n}"), Executable::Static);
        }
        let began = processor_time();
        let text = format!(r#"{{"remit": 1, "name": "t", {keys}}}"#);
        let profile = profile::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}")).profile;
        let plan = Plan::new(&profile, &kernel(6, 18), &place(), &tree, Mode::Enforce);
        let plan = plan.unwrap_or_else(|error| panic!("{error}"));
        assert!(plan.to_string().len() > count && plan.to_json().map_or(true, |json| json.len() > count));
        (processor_time() - began).as_secs_f64()
    };
    type Keys<'a> = &'a dyn Fn(usize) -> String;
    let kinds: [(&str, Keys, usize); 3] =
        [("programs", &programs, 1500), ("files", &files, 500), ("conditions", &conditions, 5000)];
    for (name, keys, few) in kinds {
        let ratio = (0..3).map(|_| cost(keys(4 * few), 4 * few) / cost(keys(few), few));
        let best = ratio.fold(f64::INFINITY, f64::min);
        assert!(best < 10.0, "{name}: four times as many cost {best} times as much");
    }
}

/// What this thread has used of a processor.
fn processor_time() -> std::time::Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every kernel has it").into()
}

/// The list of the launch in docs/usage.md has the names of the plan's steps, in their order.
#[test]
fn the_launch_in_the_usage_is_the_plans() {
    let keys = r#""programs": [{"path": "/app/server", "entry": true, "may_run": ["/app/script"]},
            {"path": "/app/script", "interpreter": "/bin/sh"}],
        "run_as": {"user": 33, "group": 33, "groups": [33]}"#;
    let plan = plan(keys);
    let steps: Vec<String> = plan.steps().iter().map(ToString::to_string).collect();
    let names: Vec<&str> = steps.iter().map(|step| step.split(':').next().unwrap_or(step)).collect();
    let usage = include_str!("../../docs/usage.md");
    let start = usage.find("environment →").expect("docs/usage.md has the list");
    let list = usage[start..].split("\n\n").next().unwrap_or_default().replace('\n', " ");
    assert_eq!(list.split('→').map(str::trim).collect::<Vec<_>>(), names);
}
