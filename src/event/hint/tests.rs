use json_patch::Patch;

use super::*;

/// The entry at this place of `programs`.
fn entry(place: usize) -> ProfileIndex {
    ProfileIndex::new(place)
}

/// The profile with the hint applied.
fn amended(profile: &Value, want: &Want) -> Value {
    let operations = serde_json::to_value(hint(profile, want)).unwrap();
    let patch: Patch = serde_json::from_value(operations).unwrap();
    let mut result = profile.clone();
    json_patch::patch(&mut result, &patch).unwrap();
    assert!(hint(&result, want).is_empty(), "the amended profile still lacks {want:?}: {result}");
    result
}

fn smallest() -> Value {
    json!({"remit": 1, "name": "x", "programs": [{"path": "/bin/x", "entry": true}]})
}

/// Applies the hint to the smallest profile and to one with the section there.
#[track_caller]
fn adds(want: Want, section: &str, alone: Value, before: Value, after: Value) {
    let mut profile = smallest();
    assert_eq!(amended(&profile, &want)[section], alone);
    profile[section] = before;
    assert_eq!(amended(&profile, &want)[section], after);
}

#[test]
fn a_program_and_its_transition() {
    let path = PathBuf::from("/bin/sh");
    let known = |caller| Want::Program { path: path.clone(), caller };
    assert_eq!(
        amended(&smallest(), &known(None))["programs"],
        json!([{"path": "/bin/x", "entry": true}, {"path": "/bin/sh"}])
    );
    assert_eq!(
        amended(&smallest(), &known(Some(entry(0))))["programs"],
        json!([{"path": "/bin/x", "entry": true, "may_run": ["/bin/sh"]}, {"path": "/bin/sh"}])
    );
    // The transition alone, added to a list; a transition to an applet is not to all of it.
    let mut profile = smallest();
    profile["programs"] = json!([
        {"path": "/bin/x", "entry": true, "may_run": [{"path": "/bin/sh", "applet": "ls"}]},
        {"path": "/bin/sh"}
    ]);
    let after = amended(&profile, &known(Some(entry(0))));
    assert_eq!(after["programs"][0]["may_run"], json!([{"path": "/bin/sh", "applet": "ls"}, "/bin/sh"]));
    assert_eq!(after["programs"].as_array().unwrap().len(), 2);
    // A listed transition with a reason is a transition.
    profile["programs"][0]["may_run"] = json!([{"path": "/bin/sh", "why": "hooks"}]);
    assert!(hint(&profile, &known(Some(entry(0)))).is_empty());
    // A caller that is not there has no transition.
    assert_eq!(hint(&profile, &known(Some(entry(9)))), []);
}

#[test]
fn no_program_that_the_app_may_change() {
    let mut profile = smallest();
    profile["files"] = json!(["@elsewhere", {"path": "/tmp", "allow": ["read", "create"]}]);
    let run = |path: &str| Want::Program { path: path.into(), caller: Some(entry(0)) };
    assert_eq!(hint(&profile, &run("/tmp/dropped")), []);
    assert_eq!(hint(&profile, &Want::Command("/tmp/dropped".into())), []);
    // What is only read may be a program, and a folder's namesake is not in it.
    assert_ne!(hint(&profile, &run("/tmpfile")), []);
    profile["files"][1]["allow"] = json!(["read"]);
    assert_ne!(hint(&profile, &run("/tmp/dropped")), []);
}

#[test]
fn a_file_beneath_an_entry_gets_its_own_before_a_transition() {
    let mut profile = smallest();
    profile["programs"] = json!([{"beneath": "/usr/bin", "entry": true}]);
    let want = Want::Program { path: "/usr/bin/env".into(), caller: Some(entry(0)) };
    assert_eq!(
        amended(&profile, &want)["programs"],
        json!([{"beneath": "/usr/bin", "entry": true, "may_run": ["/usr/bin/env"]}, {"path": "/usr/bin/env"}])
    );
}

#[test]
fn a_command() {
    let want = Want::Command("/bin/y".into());
    let mut profile = smallest();
    assert_eq!(amended(&profile, &want)["programs"][1], json!({"path": "/bin/y", "entry": true}));
    for entry in [json!({"path": "/bin/y"}), json!({"path": "/bin/y", "entry": false})] {
        profile["programs"] = json!([{"path": "/bin/x", "entry": true}, entry]);
        assert_eq!(amended(&profile, &want)["programs"][1], json!({"path": "/bin/y", "entry": true}));
    }
}

#[test]
fn rights_on_a_path() {
    let want = Want::File { path: "/data/a".into(), rights: Rights::WRITE.union(Rights::CREATE) };
    adds(
        want.clone(),
        "files",
        json!([{"path": "/data/a", "allow": ["write", "create"]}]),
        json!(["@runtime", {"path": "/data", "allow": ["read"]}]),
        json!(["@runtime", {"path": "/data", "allow": ["read"]}, {"path": "/data/a", "allow": ["write", "create"]}]),
    );
    let mut profile = smallest();
    profile["files"] = json!([{"path": "/data/a", "allow": ["read", "create"]}]);
    assert_eq!(
        amended(&profile, &want)["files"],
        json!([{"path": "/data/a", "allow": ["read", "create", "write"]}])
    );
}

#[test]
fn no_hint_leads_to_a_profile_that_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let not_text = Path::new(std::ffi::OsStr::from_bytes(b"/tmp/\xff"));
    let table = [
        (Path::new("/proc/7/mem"), Rights::WRITE, false),
        (Path::new("/proc"), Rights::READ, true),
        (Path::new("/"), Rights::CREATE, false),
        (Path::new("/bin/x"), Rights::WRITE, false),
        (Path::new("/bin"), Rights::REMOVE, false),
        (Path::new("/bin/xx"), Rights::WRITE, true),
        (Path::new("/bin"), Rights::READ, true),
        (Path::new("/tmp"), Rights::NONE, false),
        (not_text, Rights::READ, false),
    ];
    for (path, rights, possible) in table {
        let want = Want::File { path: path.into(), rights };
        assert_eq!(!hint(&smallest(), &want).is_empty(), possible, "{want:?}");
    }
    assert!(hint(&smallest(), &Want::Syscall("clone3".into())).is_empty());
    assert!(hint(&smallest(), &Want::Program { path: not_text.into(), caller: None }).is_empty());
}

#[test]
fn ports() {
    adds(
        Want::Listen("tcp/81".into()),
        "network",
        json!({"listen": ["tcp/81"]}),
        json!({"connect": ["tcp/80"]}),
        json!({"listen": ["tcp/81"], "connect": ["tcp/80"]}),
    );
    adds(
        Want::Connect("tcp/81".into()),
        "network",
        json!({"connect": ["tcp/81"]}),
        json!({"connect": ["tcp/80"]}),
        json!({"connect": ["tcp/80", "tcp/81"]}),
    );
}

#[test]
fn calls() {
    adds(
        Want::Syscall("ptrace".into()),
        "syscalls",
        json!({"allow": ["ptrace"]}),
        json!({"allow": ["@core"]}),
        json!({"allow": ["@core", "ptrace"]}),
    );
    let when = Want::SyscallWhen { call: "ioctl".into(), arg: 1, value: json!("FIONBIO") };
    let rule = json!({"call": "ioctl", "arg": 1, "in": ["FIONBIO"]});
    adds(
        when.clone(),
        "syscalls",
        json!({"allow": [rule]}),
        json!({"startup_only": ["bind"]}),
        json!({"startup_only": ["bind"], "allow": [rule]}),
    );
    let mut profile = smallest();
    profile["syscalls"]["allow"] = json!([
        {"call": "ioctl", "arg": 2, "in": [7]},
        {"call": "ioctl", "arg": 1, "mask": 1, "equals": 1},
        {"call": "ioctl", "arg": 1, "in": [21531], "why": "lengths"}
    ]);
    assert_eq!(
        amended(&profile, &when)["syscalls"]["allow"][2],
        json!({"call": "ioctl", "arg": 1, "in": [21531, "FIONBIO"], "why": "lengths"})
    );
}

#[test]
fn capabilities_memory_and_limits() {
    adds(
        Want::Capability(Capability::CAP_NET_BIND_SERVICE),
        "capabilities",
        json!(["net_bind_service"]),
        json!(["chown"]),
        json!(["chown", "net_bind_service"]),
    );
    for before in [json!({}), json!({"write_execute": false})] {
        let wanted = json!({"write_execute": true});
        adds(Want::WriteExecute, "memory", wanted.clone(), before, wanted);
    }
    adds(
        Want::Processes(9),
        "limits",
        json!({"processes": 9}),
        json!({"processes": 8, "core": 0}),
        json!({"processes": 9, "core": 0}),
    );
}

#[test]
fn nothing_is_to_be_written_in_or_around_a_directory_of_programs() {
    let profile = json!({"programs": [{"beneath": "/usr", "entry": true}]});
    let hinted = |path: &str, rights| !hint(&profile, &Want::File { path: path.into(), rights }).is_empty();
    for path in ["/usr/local/app/data", "/usr", "/"] {
        assert!(!hinted(path, Rights::WRITE), "{path}");
    }
    assert!(hinted("/usr/local/app/data", Rights::READ));
    assert!(hinted("/usrdata", Rights::WRITE));
}

#[test]
fn what_an_entry_pins_gets_one_more_alternative() {
    let profile = json!({"programs": [
        {"path": "/bin/busybox", "applet": "sh", "entry": true, "args": [["/job"]], "user": [0],
            "may_run": [{"path": "/bin/busybox", "applet": "sh"}]},
        {"path": "/server", "instances": 2, "sha256": "0".repeat(64)}
    ]});
    let arguments = Want::Arguments { program: entry(0), args: vec!["-c".into(), "x".into()] };
    assert_eq!(amended(&profile, &arguments)["programs"][0]["args"], json!([["/job"], ["-c", "x"]]));
    let user = Want::User { program: entry(0), uid: Uid::from_raw(33) };
    assert_eq!(amended(&profile, &user)["programs"][0]["user"], json!([0, 33]));
    let instances = Want::Instances { program: entry(1), most: 3 };
    assert_eq!(amended(&profile, &instances)["programs"][1]["instances"], json!(3));
    let digest = Want::Digest { program: entry(1), sha256: "1".repeat(64) };
    assert_eq!(amended(&profile, &digest)["programs"][1]["sha256"], json!("1".repeat(64)));
    // What is not pinned allows it already.
    assert!(hint(&profile, &Want::Arguments { program: entry(1), args: Vec::new() }).is_empty());

    let applet = Want::Applet { path: "/bin/busybox".into(), applet: "wget".into(), caller: Some(entry(0)) };
    let after = amended(&profile, &applet);
    assert_eq!(after["programs"][2], json!({"path": "/bin/busybox", "applet": "wget"}));
    assert_eq!(after["programs"][0]["may_run"][1], json!({"path": "/bin/busybox", "applet": "wget"}));
    let again = Want::Applet { path: "/bin/busybox".into(), applet: "sh".into(), caller: Some(entry(0)) };
    assert!(hint(&profile, &again).is_empty());
    adds(
        Want::Environment("LD_PRELOAD".into()),
        "environment",
        json!({"keep": ["LD_PRELOAD"]}),
        json!({"drop": ["X"], "keep": ["Y"]}),
        json!({"drop": ["X"], "keep": ["Y", "LD_PRELOAD"]}),
    );
}

#[test]
fn a_library_is_listed_where_the_app_cannot_change_it() {
    let profile = json!({
        "programs": [{ "path": "/a" }, { "path": "/b", "libraries": ["/usr/lib"] }],
        "files": [{ "path": "/data", "allow": ["read", "write"] }],
    });
    let want = |program, path: &str| hint(&profile, &Want::Library { program, path: path.into() });
    let listed = want(entry(1), "/opt/x.so");
    assert_eq!(
        serde_json::to_value(&listed).expect("a patch"),
        json!([{ "op": "add", "path": "/programs/1/libraries/-", "value": "/opt/x.so" }])
    );
    assert!(want(entry(1), "/data/x.so").is_empty(), "such a profile would be refused");
    assert!(want(entry(1), "/usr/lib").is_empty(), "it is listed");
    assert!(want(entry(0), "/opt/x.so").is_empty(), "it loads from anywhere");
    let write = |path: &str| hint(&profile, &Want::File { path: path.into(), rights: Rights::WRITE });
    assert!(write("/usr/lib/x.so").is_empty() && write("/usr").is_empty());
    assert!(!write("/usr/share/x").is_empty());
}

#[test]
fn what_is_taken_away_after_the_startup_stays() {
    let listed =
        |list: Value| json!({"files": ["@runtime"], "syscalls": {"startup_only": list, "allow": ["sync"]}});
    let after = |list: Value, call: &str| {
        amended(&listed(list), &Want::AfterStartup(call.into()))["syscalls"].clone()
    };
    // A section brings it, or the list itself did until now.
    let execs = json!(["execve", {"call": "bind", "why": "once"}, "chroot"]);
    assert_eq!(
        after(execs.clone(), "execve"),
        json!({"startup_only": [{"call": "bind", "why": "once"}, "chroot"], "allow": ["sync"]})
    );
    assert_eq!(
        after(execs, "chroot"),
        json!({"startup_only": ["execve", {"call": "bind", "why": "once"}], "allow": ["sync", "chroot"]})
    );
    let when = json!({"call": "ioctl", "arg": 1, "in": [7]});
    assert_eq!(after(json!([when]), "ioctl"), json!({"startup_only": [], "allow": ["sync"]}), "@core has it");
    // A group is taken apart.
    let all = after(json!(["chroot", "@files"]), "mkdir")["startup_only"].clone();
    let all = all.as_array().expect("a list").clone();
    assert!(
        all.contains(&json!("chroot")) && all.contains(&json!("openat")) && !all.contains(&json!("mkdir"))
    );
    assert!(!all.contains(&json!("@files")));
}

#[test]
fn a_hint_is_about_what_its_event_says() {
    let profile = json!({ "programs": [{ "path": "/app" }, { "path": "/bin/busybox" }] });
    let first = ProfileIndex::new(0);
    let cases = [
        (Want::Command("/app".into()), "program", "/programs", json!({ "path": "/app" })),
        (
            Want::Program { path: "/bin/sh".into(), caller: Some(first) },
            "program",
            "/programs",
            json!({ "path": "/bin/sh" }),
        ),
        (
            Want::Applet { path: "/bin/busybox".into(), applet: "sh".into(), caller: Some(first) },
            "program",
            "/programs/0/may_run",
            json!({ "path": "/bin/sh" }),
        ),
        (
            Want::Arguments { program: first, args: vec!["-f".into()] },
            "program",
            "/programs/0/args",
            json!({ "path": "/app" }),
        ),
        (
            Want::Library { program: first, path: "/l.so".into() },
            "program",
            "/programs/0/libraries",
            json!({ "path": "/l.so" }),
        ),
        (Want::Environment("LD_X".into()), "environment", "/environment", json!({ "name": "LD_X" })),
        (
            Want::File { path: "/d".into(), rights: Rights::WRITE },
            "file",
            "/files",
            json!({ "path": "/d", "access": ["write", "create"] }),
        ),
        (
            Want::Listen("tcp/80".into()),
            "network",
            "/network/listen",
            json!({ "address": "tcp/80", "access": "listen" }),
        ),
        (Want::Syscall("ptrace".into()), "syscall", "/syscalls", json!({ "syscall": "ptrace", "args": [] })),
        (
            Want::SyscallWhen { call: "ioctl".into(), arg: 1, value: json!(0x5412) },
            "syscall",
            "/syscalls",
            json!({ "syscall": "ioctl", "args": ["0x3", "0xffffffff00005412"] }),
        ),
        (Want::Capability(Capability::CAP_CHOWN), "capability", "/capabilities", json!({ "name": "chown" })),
        (Want::WriteExecute, "memory", "/memory/write_execute", json!({ "syscall": "mmap", "args": [] })),
        (Want::Processes(4), "limit", "/limits/processes", json!({ "name": "processes" })),
    ];
    for (want, kind, rule, object) in &cases {
        assert!(want.is_about(&profile, &RefusedUse { kind, rule, object }), "{want:?} {object}");
        for (_, other, rule, object) in cases.iter().filter(|(_, other, ..)| other != kind) {
            let refused = RefusedUse { kind: other, rule, object };
            assert!(!want.is_about(&profile, &refused), "{want:?} {object}");
        }
    }
    let refused = RefusedUse { kind: "syscall", rule: "/syscalls", object: &json!({ "syscall": "fsync" }) };
    assert!(!Want::Syscall("mount".into()).is_about(&profile, &refused));
    let wider = Want::File { path: "/d".into(), rights: Rights::READ.union(Rights::WRITE) };
    let above = Want::File { path: "/".into(), rights: Rights::WRITE };
    let object = json!({ "path": "/d", "access": ["write"] });
    let refused = RefusedUse { kind: "file", rule: "/files", object: &object };
    assert!(!wider.is_about(&profile, &refused) && !above.is_about(&profile, &refused));
}
