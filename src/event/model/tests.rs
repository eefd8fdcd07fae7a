use std::time::UNIX_EPOCH;

use serde_json::json;

use super::*;
use crate::event::names::Errno;

/// 2026-11-22T10:00:00.000001Z.
fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_795_341_600, 1000)
}

fn policy(name: &str) -> PolicyId {
    PolicyId { name: name.into(), digest: "sha256:9f86".into() }
}

fn process(pid: u32, uid: u32, path: &str, args: &[&str]) -> Process {
    Process {
        pid,
        parent_pid: Some(1),
        uid: Some(uid),
        executable: Some(ExecutablePath { path: path.into() }),
        args: Some(args.iter().map(|&arg| arg.into()).collect()),
    }
}

fn start() -> StartEvent {
    let layer = |layer, detail: Option<&str>| LayerReport {
        layer,
        state: LayerReportState::Active,
        detail: detail.map(String::from),
    };
    StartEvent {
        profile: "/etc/remit/profile.json".into(),
        mode: ModeInForce { value: Mode::Enforce, source: ModeSource::Profile },
        kernel: "6.18.44".into(),
        arch: Arch::X86_64,
        layers: vec![
            layer(LayerName::Seccomp, Some("71 calls, 4 by argument")),
            layer(LayerName::LandlockFiles, Some("ABI 7")),
            layer(LayerName::LandlockScope, None),
        ],
        process: process(7, 999, "/usr/bin/redis-server", &["redis-server", "/etc/redis/redis.conf"]),
        unlike: Vec::new(),
        dropped: Vec::new(),
        degraded: false,
    }
}

fn violation() -> Violation {
    Violation {
        kind: ViolationKind::Program,
        action: ActionTaken::Denied,
        errno: Some(Errno::EACCES.into()),
        object: ViolationObject::program("/bin/sh"),
        rule: "/programs".into(),
        summary: None,
        process: process(7, 0, "/usr/sbin/nginx", &["nginx"]),
        ancestors: vec!["/docker-entrypoint.sh".into()],
        hint: vec![
            PatchOp { op: Op::Add, path: "/programs/-".into(), value: json!({"path": "/bin/sh"}) },
            PatchOp { op: Op::Add, path: "/programs/2/may_run".into(), value: json!(["/bin/sh"]) },
        ],
    }
}

fn stop() -> StopEvent {
    StopEvent { exit: Status::Code(0), ended: 3, killed: 0, why: "signal TERM".into(), abnormal: false }
}

/// Each literal line of the format, its `…` filled in, to the byte.
#[test]
fn lines_are_those_of_the_format() {
    let ptrace = Violation {
        kind: ViolationKind::Syscall,
        errno: Some(Errno::EPERM.into()),
        object: ViolationObject::Syscall { syscall: "ptrace".into(), args: vec![16, 1] },
        rule: "/syscalls".into(),
        summary: Some(ViolationSummary { count: 41, over: Duration::from_secs(1), objects: Vec::new() }),
        ancestors: Vec::new(),
        hint: vec![PatchOp { op: Op::Add, path: "/syscalls/allow/-".into(), value: json!("ptrace") }],
        ..violation()
    };
    let exec = ExecEvent {
        action: ActionTaken::Allowed,
        process: process(7, 0, "/usr/sbin/nginx", &["nginx", "-g", "daemon off;"]),
        ancestors: vec!["/docker-entrypoint.sh".into()],
        voided: Vec::new(),
    };
    let exit = ExitEvent { process: Process { pid: 31, ..Process::default() }, exit: Some(Status::Code(0)) };
    let ready = ReadyEvent { after: Duration::from_millis(1204), by: "listening" };
    let table = [
        (
            "redis",
            Event::Start(start()),
            r#""event":"start","policy":{"name":"redis","digest":"sha256:9f86","source":"/etc/remit/profile.json"},"mode":{"value":"enforce","source":"profile"},"kernel":"6.18.44","arch":"x86_64","layers":[{"layer":"seccomp","state":"active","detail":"71 calls, 4 by argument"},{"layer":"landlock-files","state":"active","detail":"ABI 7"},{"layer":"landlock-scope","state":"active"}],"process":{"pid":7,"parent_pid":1,"uid":999,"executable":{"path":"/usr/bin/redis-server"},"args":["redis-server","/etc/redis/redis.conf"]}}"#,
        ),
        (
            "nginx",
            Event::Exec(exec),
            r#""event":"exec","policy":{"name":"nginx","digest":"sha256:9f86"},"action":"allowed","process":{"pid":7,"parent_pid":1,"uid":0,"executable":{"path":"/usr/sbin/nginx"},"args":["nginx","-g","daemon off;"]},"ancestors":["/docker-entrypoint.sh"]}"#,
        ),
        (
            "nginx",
            Event::Violation(Box::new(violation())),
            r#""event":"violation","policy":{"name":"nginx","digest":"sha256:9f86"},"kind":"program","action":"denied","errno":"EACCES","object":{"path":"/bin/sh"},"rule":"/programs","process":{"pid":7,"parent_pid":1,"uid":0,"executable":{"path":"/usr/sbin/nginx"},"args":["nginx"]},"ancestors":["/docker-entrypoint.sh"],"hint":[{"op":"add","path":"/programs/-","value":{"path":"/bin/sh"}},{"op":"add","path":"/programs/2/may_run","value":["/bin/sh"]}]}"#,
        ),
        (
            "nginx",
            Event::Violation(Box::new(ptrace)),
            r#""event":"violation","policy":{"name":"nginx","digest":"sha256:9f86"},"kind":"syscall","action":"denied","errno":"EPERM","object":{"syscall":"ptrace","args":["0x10","0x1"]},"rule":"/syscalls","count":41,"over":"1s","process":{"pid":7,"parent_pid":1,"uid":0,"executable":{"path":"/usr/sbin/nginx"},"args":["nginx"]},"hint":[{"op":"add","path":"/syscalls/allow/-","value":"ptrace"}]}"#,
        ),
        (
            "nginx",
            Event::Exit(exit),
            r#""event":"exit","policy":{"name":"nginx","digest":"sha256:9f86"},"process":{"pid":31},"exit":{"code":0}}"#,
        ),
        (
            "nginx",
            Event::Signal(SignalEvent { signal: SignalName(15), to: "app" }),
            r#""event":"signal","policy":{"name":"nginx","digest":"sha256:9f86"},"signal":"TERM","to":"app"}"#,
        ),
        (
            "nginx",
            Event::Ready(ready),
            r#""event":"ready","policy":{"name":"nginx","digest":"sha256:9f86"},"after":"1.204s","by":"listening"}"#,
        ),
        (
            "nginx",
            Event::Dropped(DroppedEvent { count: 120, why: "sink slow".into() }),
            r#""event":"dropped","policy":{"name":"nginx","digest":"sha256:9f86"},"count":120,"why":"sink slow"}"#,
        ),
        (
            "nginx",
            Event::Stop(stop()),
            r#""event":"stop","policy":{"name":"nginx","digest":"sha256:9f86"},"exit":{"code":0},"ended":3,"killed":0,"why":"signal TERM"}"#,
        ),
    ];
    for (seq, (name, event, rest)) in (1..).zip(table) {
        let expected = format!(
            "{{\"remit\":1,\"seq\":{seq},\"nonce\":\"4e6f6e6365\",\"time\":\"2026-11-22T10:00:00.000001Z\",{rest}\n"
        );
        let written = line(seq, "4e6f6e6365", &event.tail(moment(), &policy(name)));
        assert_eq!(written, expected);
        let parsed: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(parsed["seq"], seq);
    }
}

#[test]
fn what_is_not_utf_8_is_still_a_line() {
    use std::os::unix::ffi::OsStringExt;
    let path = PathBuf::from(std::ffi::OsString::from_vec(b"/tmp/\xff\n\"".to_vec()));
    let event =
        Violation { object: ViolationObject::Path { path, access: vec!["write", "create"] }, ..violation() };
    let written = line(1, "", &Event::Violation(Box::new(event)).tail(moment(), &policy("x")));
    let parsed: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(parsed["object"], json!({"path": "/tmp/\u{fffd}\n\"", "access": ["write", "create"]}));
    assert_eq!(written.matches('\n').count(), 1);
}

#[test]
fn a_person_sees_what_matters_only() {
    let exit = |exit| Event::Exit(ExitEvent { process: Process::default(), exit });
    let forced = ModeInForce { value: Mode::Audit, source: ModeSource::Environment };
    let exec = |voided| {
        Event::Exec(ExecEvent {
            action: ActionTaken::Allowed,
            process: Process::default(),
            ancestors: Vec::new(),
            voided,
        })
    };
    let table = [
        (Event::Start(start()), false),
        (Event::Start(StartEvent { degraded: true, ..start() }), true),
        (Event::Start(StartEvent { mode: forced, ..start() }), true),
        (Event::Start(StartEvent { unlike: vec!["learned on x86_64".into()], ..start() }), true),
        (exec(vec![]), false),
        (exec(vec!["set-user-id"]), true),
        (exit(Some(Status::Code(1))), false),
        (exit(None), false),
        (exit(Some(Status::Signal(SignalName(9)))), false),
        (exit(Some(Status::Signal(SignalName::SYS))), true),
        (Event::Violation(Box::new(violation())), true),
        (Event::Stop(stop()), false),
        (Event::Stop(StopEvent { abnormal: true, ..stop() }), true),
    ];
    for (event, matters) in table {
        assert_eq!(event.matters(), matters, "{event:?}");
    }
}
