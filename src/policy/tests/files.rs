use std::path::Path;

use landlock::{AccessFs, BitFlags};
use nix::errno::Errno;

use super::super::file::{FileUse, Ruling};
use super::super::inode::Standing;
use super::super::{Denial, PolicyEngine};
use super::calls::call;
use super::{id, rules, rules_on};
use crate::event::{ViolationObject, Want};
use crate::image::FileId;
use crate::profile::{Mode, Rights};

const NEW: Option<FileId> = None;
/// What no file of the invented image is.
const ANOTHER: Option<FileId> = Some(FileId { device: 9, inode: 9 });

fn ask(rules: &PolicyEngine, path: &str, target: Option<FileId>, needs: Rights, kernel: AccessFs) -> Ruling {
    rules.file(&FileUse {
        data: false,
        canonical: path.into(),
        target,
        needs,
        kernel: BitFlags::from(kernel),
        standing: Standing::default(),
    })
}

fn write(rules: &PolicyEngine, path: &str, target: Option<FileId>) -> Ruling {
    ask(rules, path, target, Rights::WRITE, AccessFs::WriteFile)
}

fn create(rules: &PolicyEngine, path: &str) -> Ruling {
    ask(rules, path, NEW, Rights::CREATE, AccessFs::MakeReg)
}

fn refusal(ruling: Ruling) -> Denial {
    match ruling {
        Ruling::Refuse(refusal) => *refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_directory_that_may_be_listed_has_no_file_that_may_be_read() {
    let rules = rules(r#""files": [{"path": "/data", "allow": ["list"]}]"#);
    let of = |path: &str, needs, kernel| ask(&rules, path, Some(id(path)), needs, kernel);
    assert_eq!(of("/data", Rights::LIST, AccessFs::ReadDir), Ruling::Kernel);
    let denial = refusal(of("/data/old", Rights::READ, AccessFs::ReadFile));
    let access = vec!["read"];
    assert_eq!(denial.object, ViolationObject::Path { path: "/data/old".into(), access });
    assert_eq!(denial.want, Some(Want::File { path: "/data/old".into(), rights: Rights::READ }));
    // What may be read may be listed, and nothing else may.
    let rules = super::rules(r#""files": [{"path": "/data", "allow": ["read"]}]"#);
    assert_eq!(ask(&rules, "/data", Some(id("/data")), Rights::LIST, AccessFs::ReadDir), Ruling::Kernel);
    let rules = super::rules(r#""files": [{"path": "/data", "allow": ["write"]}]"#);
    let denial = refusal(ask(&rules, "/data", Some(id("/data")), Rights::LIST, AccessFs::ReadDir));
    assert_eq!(denial.want, Some(Want::File { path: "/data".into(), rights: Rights::LIST }));
}

#[test]
fn a_directory_grants_all_below_it_by_the_kernel() {
    let rules = rules(r#""files": [{"path": "/data", "allow": ["write", "create"]}]"#);
    assert_eq!(write(&rules, "/data/old", Some(id("/data/old"))), Ruling::Kernel);
    assert_eq!(write(&rules, "/data/private/key", Some(id("/data/private/key"))), Ruling::Kernel);
    assert_eq!(create(&rules, "/data/private/new"), Ruling::Kernel);
    // Its rule is the directory's, whatever file stands there by now.
    assert_eq!(write(&rules, "/data/old", ANOTHER), Ruling::Kernel);
}

#[test]
fn what_is_not_granted_is_refused_with_what_would_grant_it() {
    let rules = rules(r#""files": [{"path": "/data", "allow": ["read", "write"]}]"#);
    let path = Path::new("/data/new").to_owned();
    let refused = refusal(create(&rules, "/data/new"));
    assert_eq!(refused.errno, Errno::EACCES);
    assert_eq!(refused.rule, "/files");
    assert_eq!(refused.object, ViolationObject::Path { path: path.clone(), access: vec!["create"] });
    assert_eq!(refused.want, Some(Want::File { path, rights: Rights::CREATE }));
    // Only what is missing is ruling for.
    let both = ask(&rules, "/data/old", NEW, Rights::WRITE.union(Rights::REMOVE), AccessFs::RemoveFile);
    assert!(matches!(refusal(both).want, Some(Want::File { rights, .. }) if rights == Rights::REMOVE));
    // A name that only begins alike is another.
    refusal(write(&rules, "/database", NEW));
    refusal(write(&rules, "/", NEW));
}

#[test]
fn a_file_is_its_inode_and_its_successor_is_opened_by_the_supervisor() {
    let rules = rules(r#""files": [{"path": "/data/old", "allow": ["read", "write", "create"]}]"#);
    assert_eq!(write(&rules, "/data/old", Some(id("/data/old"))), Ruling::Kernel);
    assert_eq!(write(&rules, "/data/old", ANOTHER), Ruling::Perform);
    refusal(write(&rules, "/data/older", ANOTHER));
    refusal(write(&rules, "/data/old/below", ANOTHER));
}

#[test]
fn a_file_that_is_not_there_yet_is_granted_by_name_alone() {
    let rules =
        rules(r#""files": [{"path": "/run/app.pid", "allow": ["read", "write", "create", "remove"]}]"#);
    let both = Rights::WRITE.union(Rights::CREATE);
    assert_eq!(ask(&rules, "/run/app.pid", NEW, both, AccessFs::WriteFile), Ruling::Perform);
    refusal(create(&rules, "/run/app.pid2"));
    refusal(create(&rules, "/run/other"));
    assert!(rules.names_one(Path::new("/run/app.pid")) && !rules.names_one(Path::new("/run")));
    assert_eq!(rules.granted_at(Path::new("/run/other")), Rights::NONE);
}

#[test]
fn a_program_is_changed_under_no_name_and_no_profile_would_grant_it() {
    let rules = rules(r#""files": [{"path": "/extra", "allow": ["read", "write", "create", "remove"]}]"#);
    let server = Some(id("/app/server"));
    assert!(rules.is_protected(id("/app/server")) && !rules.is_protected(id("/evil")));
    for needs in [Rights::WRITE, Rights::REMOVE, Rights::CREATE] {
        let refused = refusal(ask(&rules, "/extra/server-again", server, needs, AccessFs::WriteFile));
        assert_eq!(refused.want, None);
        assert!(
            matches!(refused.object, ViolationObject::Path { path, .. } if path == Path::new("/app/server"))
        );
    }
    // Its reading comes with it, where it is a program.
    assert_eq!(ask(&rules, "/app/server", server, Rights::READ, AccessFs::ReadFile), Ruling::Kernel);
    refusal(ask(&rules, "/evil", Some(id("/evil")), Rights::READ, AccessFs::ReadFile));
}

#[test]
fn elsewhere_is_everything_but_programs_and_the_kernels_trees() {
    let rules = rules(r#""files": ["@elsewhere"]"#);
    assert_eq!(write(&rules, "/data/old", Some(id("/data/old"))), Ruling::Kernel);
    assert_eq!(create(&rules, "/data/private/new"), Ruling::Kernel);
    // Beside a program new names are made by the supervisor.
    assert_eq!(create(&rules, "/app/new"), Ruling::Perform);
    assert_eq!(create(&rules, "/new"), Ruling::Perform);
    refusal(write(&rules, "/app/server", Some(id("/app/server"))));
    refusal(write(&rules, "/proc/sys/kernel/core_pattern", ANOTHER));
    // The name of a program stays its own, whatever file were there.
    refusal(create(&rules, "/app/server"));
}

#[test]
fn without_landlock_and_in_audit_nothing_is_performed() {
    let keys = r#""programs": [{"path": "/app/server", "entry": true}],
                  "files": [{"path": "/run/app.pid", "allow": ["write", "create"]}, "@elsewhere"]"#;
    for rules in [rules_on(keys, 5, 10, Mode::Enforce), rules_on(keys, 6, 18, Mode::Audit)] {
        assert_eq!(create(&rules, "/run/app.pid"), Ruling::Kernel);
        assert_eq!(create(&rules, "/app/new"), Ruling::Kernel);
        refusal(write(&rules, "/app/server", Some(id("/app/server"))));
    }
}

#[test]
fn rights_that_a_kernel_does_not_handle_are_no_reason_to_perform() {
    let keys = r#""programs": [{"path": "/app/server", "entry": true}],
                  "files": [{"path": "/data/old", "allow": ["write"]}]"#;
    let truncate = |rules: &PolicyEngine| ask(rules, "/data/old", ANOTHER, Rights::WRITE, AccessFs::Truncate);
    assert_eq!(truncate(&rules_on(keys, 6, 18, Mode::Enforce)), Ruling::Perform);
    assert_eq!(truncate(&rules_on(keys, 5, 13, Mode::Enforce)), Ruling::Kernel, "TRUNCATE came with 6.2");
}

#[test]
fn what_is_emptied_without_being_opened_for_writing_is_performed() {
    let keys = r#""programs": [{"path": "/app/server", "entry": true}],
                  "files": [{"path": "/data/old", "allow": ["write"]}]"#;
    let empty = |rules: &PolicyEngine| {
        ask(rules, "/data/old", Some(id("/data/old")), Rights::WRITE, AccessFs::Truncate)
    };
    let calls = [
        ("truncate", vec![1, 0], true),
        ("openat", vec![0, 1, libc::O_TRUNC as u64], true),
        ("openat", vec![0, 1, (libc::O_TRUNC | libc::O_ACCMODE) as u64], true),
        ("openat", vec![0, 1, (libc::O_TRUNC | libc::O_WRONLY) as u64], false),
        ("openat", vec![0, 1, (libc::O_TRUNC | libc::O_PATH) as u64], false),
        ("openat", vec![0, 1, libc::O_CREAT as u64], false),
        ("creat", vec![1, 0], false),
        ("openat2", vec![0, 1, 2, 24], true),
        ("unlink", vec![1], false),
    ];
    for (major, minor, performs) in [(6, 18, true), (6, 1, true), (5, 13, false)] {
        let rules = rules_on(keys, major, minor, Mode::Enforce);
        let expected = if performs { Ruling::Perform } else { Ruling::Kernel };
        assert_eq!(empty(&rules), expected, "Linux {major}.{minor}");
        for (name, args, never) in &calls {
            let continues = !rules.never_continues(&call(name, args));
            assert_eq!(continues, !(*never && performs), "{name} {args:?} on Linux {major}.{minor}");
        }
    }
    let audit = rules_on(keys, 6, 18, Mode::Audit);
    assert!(!audit.never_continues(&call("truncate", &[1, 0])));
}

#[test]
fn no_entry_grants_a_device() {
    let refused = rules(r#""files": ["@elsewhere"]"#).device(Path::new("/data/null"));
    assert_eq!((refused.errno, &refused.want), (Errno::EPERM, &None));
}

#[test]
fn a_process_may_name_itself_and_say_what_its_core_holds() {
    let ruling = |rules: &PolicyEngine, path: &str| {
        rules.file(&FileUse {
            data: false,
            canonical: path.into(),
            target: None,
            needs: Rights::READ.union(Rights::WRITE),
            kernel: AccessFs::ReadFile | AccessFs::WriteFile,
            standing: Standing::ALL,
        })
    };
    let runtime = rules(r#""files": ["@runtime"]"#);
    assert_eq!(ruling(&runtime, "/proc/self/comm"), Ruling::Perform);
    assert_eq!(ruling(&runtime, "/proc/self/coredump_filter"), Ruling::Perform);
    assert_eq!(ruling(&runtime, "/proc/self/oom_score_adj"), Ruling::Perform);
    assert_eq!(ruling(&runtime, "/proc/self/loginuid"), Ruling::Perform);
    // Nothing else there, and nothing of another process.
    for path in [
        "/proc/self/mem",
        "/proc/self/timerslack_ns",
        "/proc/7/comm",
        "/proc/1/oom_score_adj",
        "/proc/7/loginuid",
        "/proc/self/comm/x",
    ] {
        assert!(matches!(ruling(&runtime, path), Ruling::Refuse(_)), "{path}");
    }
    let none = rules(r#""files": ["@names"]"#);
    assert!(matches!(ruling(&none, "/proc/self/comm"), Ruling::Refuse(_)));
}

/// Moved away, it would leave its name to another that holds another program.
#[test]
fn a_directory_with_a_protected_file_is_not_renamed() {
    let rules = rules(r#""files": ["@elsewhere"]"#);
    let rename = |path: &str| ask(&rules, path, Some(id(path)), Rights::REMOVE, AccessFs::RemoveDir);
    refusal(rename("/app"));
    refusal(create(&rules, "/app"));
    assert_eq!(create(&rules, "/app/new"), Ruling::Perform);
    assert_eq!(rename("/data"), Ruling::Kernel);
}

#[test]
fn a_protected_file_gets_no_second_name() {
    let rules = rules(r#""files": [{"path": "/data", "allow": ["read", "write", "create", "remove"]}]"#);
    let refused = rules.second_name(id("/app/server")).expect("a program");
    assert_eq!((refused.errno, &refused.want), (Errno::EACCES, &None));
    assert_eq!(refused.object, ViolationObject::Path { path: "/app/server".into(), access: vec!["create"] });
    assert!(rules.second_name(id("/data/old")).is_none());
}

#[test]
fn the_name_of_a_granted_directory_is_not_granted_with_it() {
    let rules = rules(r#""files": [{"path": "/data", "allow": ["read", "write", "create", "remove"]}]"#);
    let remove = |path: &str| ask(&rules, path, Some(id(path)), Rights::REMOVE, AccessFs::RemoveDir);
    assert_eq!(remove("/data/private"), Ruling::Kernel);
    assert_eq!(refusal(remove("/data")).want, None, "no entry for it alone would grant it");
}
