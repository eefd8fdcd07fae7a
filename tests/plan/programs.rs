//! `programs`: what is executed for each, what code is mapped from, and what the app may
//! therefore not change.

use std::path::Path;

use landlock::{AccessFs, BitFlags};
use remit::filter::Action;
use remit::image::Executable;
use remit::image::tree::ImageTree;
use remit::kernel::{Arch, Kernel, NoListener, Release};
use remit::plan::{Mechanism, Plan, Role};
use remit::profile;
use remit::profile::Mode;

use crate::{LOADER, SERVER, answer, image, kernel, place, plan, plan_on, rights, try_plan};

#[test]
fn what_is_executed_for_a_program_is_derived_from_it() {
    let derived = |path: &str, interpreter: &str| {
        let keys =
            format!(r#""programs": [{{"path": "{path}", "entry": true, "interpreter": "{interpreter}"}}]"#);
        let plan = plan(&keys);
        let list: Vec<_> =
            plan.derived.iter().map(|one| (one.role, one.path.display().to_string())).collect();
        assert_eq!(plan.policy.derived.len(), list.len(), "each is known by its inode");
        for (_, path) in &list {
            let real = if path == "/bin/sh" { "/bin/dash" } else { path };
            assert!(rights(&plan, real).contains(AccessFs::Execute | AccessFs::ReadFile), "{path}");
        }
        list
    };
    let sh = [(Role::Interpreter, "/bin/sh".to_owned()), (Role::Loader, LOADER.to_owned())];
    assert_eq!(derived("/app/script", "/bin/sh"), sh);
    assert_eq!(derived("/app/by-env", "/bin/env")[0], (Role::Interpreter, "/bin/env".to_owned()));
    let nested = derived("/app/nested", "/app/script");
    assert_eq!(nested[0], (Role::Interpreter, "/app/script".to_owned()));
    assert_eq!(nested[1..], sh);
}

#[test]
fn a_loader_is_a_program_only_by_its_own_entry() {
    let named =
        plan(&format!(r#""programs": [{{"path": "/bin/dash", "entry": true}}, {{"path": "{LOADER}"}}]"#));
    assert!(named.policy.derived.is_empty());
    let beneath = plan(r#""programs": [{"beneath": "/bin", "entry": true}, {"beneath": "/lib64"}]"#);
    assert_eq!(beneath.policy.derived.values().collect::<Vec<_>>(), [&Role::Loader]);
}

/// By names that lead there through links: the reader refuses the plain ones.
#[test]
fn nothing_that_is_executed_or_guarded_may_be_changed() {
    let script = r#""programs": [{"path": "/app/script", "entry": true, "interpreter": "/bin/sh"}]"#;
    let beneath = r#""programs": [{"beneath": "/bin", "entry": true}]"#;
    let cases = [
        (SERVER, "/etc", "write", "the profile"),
        (SERVER, "/links", "create", "a link to the profile"),
        (script, "/tools", "write", "interpreter"),
        (script, "/loaders", "write", "loader"),
        (script, "/tools/sh", "write", "/bin/dash"),
        (SERVER, "/app/again", "write", "hard link"),
        (beneath, "/tools/new", "create", "directory of its own"),
        (beneath, "/new", "create", "directory of its own"),
    ];
    for (programs, path, right, says) in cases {
        let keys = format!(r#"{programs}, "files": [{{"path": "{path}", "allow": ["{right}"]}}]"#);
        let error = try_plan(&keys).err().unwrap_or_else(|| panic!("{keys} has a plan"));
        assert_eq!(error.pointer, "/files/0", "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let linked = ImageTree::new().program("/app/server", Executable::Static).link("/p", "/proc").dir("/proc");
    let text =
        format!(r#"{{"remit": 1, "name": "t", {SERVER}, "files": [{{"path": "/p", "allow": ["write"]}}]}}"#);
    let profile = profile::read(text.as_bytes()).expect("the reader sees no links").profile;
    let error = Plan::new(&profile, &kernel(6, 18), &place(), &linked, Mode::Enforce).expect_err("/proc");
    assert!(error.to_string().contains("/proc"), "{error}");
}

/// A program with libraries and one without.
fn with_libraries(libraries: &str, more: &str) -> String {
    format!(
        r#""programs": [{{"path": "/app/server", "entry": true, "libraries": {libraries}, "may_run": ["/bin/dash"]}},
           {{"path": "/bin/dash"}}]{more}"#
    )
}

const LIBRARIES: &str = r#"["/opt/plugins", "/opt/lib", "/opt/one.so", "/opt/not-there"]"#;

#[test]
fn libraries_are_found_read_and_protected_from_the_app() {
    let found = plan(&with_libraries(LIBRARIES, ""));
    let libraries = found.policy.programs[0].libraries.as_ref().expect("it has some");
    assert_eq!(libraries.directories, [Path::new("/opt/lib")], "links lead there, and once is enough");
    assert_eq!(libraries.files[0].1, Path::new("/opt/one.so"));
    assert_eq!(libraries.own[0].1, Path::new("/app/server"));
    assert_eq!(found.policy.programs[1].libraries, None);
    assert!(rights(&found, "/opt/lib").contains(AccessFs::ReadFile | AccessFs::ReadDir));
    assert_eq!(rights(&found, "/opt/one.so"), BitFlags::from(AccessFs::ReadFile));
    assert!(found.notes.iter().any(|note| note.contains("/opt/not-there")), "{:?}", found.notes);
    assert!(found.policy.protected.iter().any(|(_, path)| path == Path::new("/opt/one.so")));
    assert!(found.to_string().contains("code from /opt/lib /opt/one.so"), "{found}");
    let of_a_loader = plan(r#""programs": [{"path": "/bin/dash", "entry": true, "libraries": []}]"#);
    let own = &of_a_loader.policy.programs[0].libraries.as_ref().expect("none, which says something").own;
    assert_eq!(
        own.iter().map(|(_, path)| path.to_str()).collect::<Vec<_>>(),
        [Some("/bin/dash"), Some(LOADER)]
    );

    // By the name that the profile has, and by the one that a link leads to.
    for path in ["/opt/lib", "/opt", "/opt/lib/plugin.so", "/opt/lib/new", "/opt/one.so"] {
        for right in ["write", "create", "remove"] {
            if path == "/opt/lib/new" && right != "create" {
                continue;
            }
            let files = format!(r#", "files": [{{"path": "{path}", "allow": ["{right}"]}}]"#);
            let text = format!(
                r#"{{"remit": 1, "name": "t", {}}}"#,
                with_libraries(r#"["/opt/plugins", "/opt/one.so"]"#, &files)
            );
            // Some are found out without a look at the image.
            let Ok(read) = profile::read(text.as_bytes()) else { continue };
            let error = Plan::new(&read.profile, &kernel(6, 18), &place(), &image(), Mode::Enforce);
            let error = error.expect_err(path);
            assert_eq!(error.pointer, "/files/0", "{path} {right}: {error}");
            assert!(error.to_string().contains("/programs/0/libraries"), "{path} {right}: {error}");
        }
    }
    let elsewhere = plan(&with_libraries(LIBRARIES, r#", "files": ["@elsewhere"]"#));
    let changes = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate;
    for plain in ["/opt", "/opt/lib", "/opt/one.so"] {
        assert!(!rights(&elsewhere, plain).intersects(changes), "{plain}: {:?}", rights(&elsewhere, plain));
    }
    assert!(rights(&elsewhere, "/opt/lib").contains(AccessFs::ReadFile));
}

#[test]
fn mappings_are_notified_where_some_program_has_libraries() {
    const CODE: u64 = 5;
    const PRIVATE: u64 = 2;
    const SHARED: u64 = 1;
    const ANONYMOUS: u64 = 0x20;
    for arch in Arch::ALL {
        for (major, minor) in [(5, 10), (5, 19), (6, 3), (6, 18)] {
            let kernel = Kernel::stock(Release::new(major, minor), arch);
            for jit in [false, true] {
                let keys = with_libraries(
                    LIBRARIES,
                    &format!(r#", "memory": {{"write_execute": {jit}}}, "fallback": "degrade""#),
                );
                let found = plan_on(&keys, &kernel, &place(), Mode::Enforce)
                    .unwrap_or_else(|error| panic!("{error}"));
                let map = |protection, flags| answer(&found, "mmap", [0, 0, protection, flags, 3, 0]);
                let text = format!("{arch} {major}.{minor} {jit}");
                assert_eq!(map(CODE, PRIVATE), Action::Notify, "{text}");
                assert_eq!(map(CODE | 0xffff_ffff << 32, PRIVATE), Action::Notify, "{text}");
                assert_eq!(map(CODE, SHARED), Action::Notify, "{text}");
                assert_eq!(
                    map(CODE, SHARED | ANONYMOUS),
                    Action::Notify,
                    "{text}: it can be written elsewhere"
                );
                assert_eq!(map(CODE, 3 | ANONYMOUS), Action::Notify, "{text}: MAP_SHARED_VALIDATE");
                assert_eq!(map(CODE, PRIVATE | ANONYMOUS), Action::Allow, "{text}");
                assert_eq!(map(1, PRIVATE), Action::Allow, "{text}: data");
                assert_eq!(map(3, SHARED), Action::Allow, "{text}: data");
                let written = if jit { Action::Allow } else { Action::Notify };
                assert_eq!(map(7, PRIVATE | ANONYMOUS), written, "{text}");
                assert_eq!(map(7, PRIVATE), Action::Notify, "{text}");
                for call in ["mprotect", "pkey_mprotect"] {
                    assert_eq!(answer(&found, call, [0, 0, CODE, 0, 0, 0]), Action::Notify, "{text} {call}");
                    assert_eq!(answer(&found, call, [0, 0, 3, 0, 0, 0]), Action::Allow, "{text} {call}");
                }
                // The calls do not show whether it is written.
                let shared = if jit { None } else { Some(Action::Notify) };
                let shmat = found
                    .filter
                    .calls
                    .contains_key("shmat")
                    .then(|| answer(&found, "shmat", [0, 0, 0o100_000, 0, 0, 0]));
                assert!(shmat.is_none() || shmat == shared, "{text}");
                let enforced = found
                    .program_rules
                    .iter()
                    .find(|one| one.rule == "/programs/0/libraries")
                    .expect("it is a rule");
                let stops = (major, minor) >= (5, 19) && !jit;
                assert_eq!(
                    enforced.by,
                    if stops { Mechanism::MappedFiles } else { Mechanism::Descriptor },
                    "{text}"
                );
                assert!(enforced.by.name().starts_with("narrowed: "), "{}", enforced.by.name());
                let is_raced = found.notes.iter().any(|note| note.contains("checked before the call alone"));
                assert_eq!(is_raced, !stops && !jit, "{text}: {:?}", found.notes);
            }
        }
    }
    // One static program needs it for nothing but this.
    let alone = r#""programs": [{"path": "/app/server", "entry": true, "libraries": []}]"#;
    let plan =
        plan_on(alone, &kernel(6, 18), &place(), Mode::Enforce).unwrap_or_else(|error| panic!("{error}"));
    assert!(plan.checks, "it has to be stopped");
    assert!(
        plan.layers().iter().any(|layer| layer.layer == "exec-check" && layer.detail.contains("narrows 1"))
    );
    // A notified call maps it, so where no call is notified no rule may depend on it.
    let deaf = Kernel { notify: Err(NoListener::Busy), ..kernel(6, 18) };
    let plan =
        plan_on(&with_libraries(LIBRARIES, ""), &deaf, &place(), Mode::Enforce).expect("a plan there is");
    assert_eq!(answer(&plan, "mmap", [0, 0, CODE, PRIVATE, 3, 0]), Action::Allow);
    assert!(plan.refusal().is_some_and(|refusal| refusal.contains("notification")));
}

#[test]
fn what_may_be_read_is_not_made_code_by_a_personality() {
    let keys = |libraries: &str| {
        let more = r#", "memory": {"write_execute": true}, "syscalls": {"allow": ["personality"]}"#;
        let entry = format!(r#""programs": [{{"path": "/app/server", "entry": true{libraries}}}]{more}"#);
        plan(&entry)
    };
    let restricted = keys(r#", "libraries": []"#);
    for (persona, expected) in [
        (0, Action::Allow),
        (0xffff_ffff, Action::Allow),
        (0x40_0000, Action::Notify),
        (0x44_0000, Action::Notify),
    ] {
        assert_eq!(answer(&restricted, "personality", [persona, 0, 0, 0, 0, 0]), expected, "{persona:#x}");
        let high = persona | 7 << 32;
        assert_eq!(answer(&restricted, "personality", [high, 0, 0, 0, 0, 0]), expected, "{high:#x}");
        assert_eq!(answer(&keys(""), "personality", [persona, 0, 0, 0, 0, 0]), Action::Allow);
    }
}
