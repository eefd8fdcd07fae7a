use std::path::Path;

use landlock::{AccessFs, BitFlags};

use super::super::PolicyEngine;
use super::super::file::{FileUse, Ruling};
use super::super::inode::{KernelGain, Standing};
use super::{id, rules, rules_on};
use crate::image::FileId;
use crate::profile::{Mode, Rights};

const ANOTHER: Option<FileId> = Some(FileId { device: 9, inode: 9 });

fn ask(
    rules: &PolicyEngine,
    path: &str,
    target: Option<FileId>,
    needs: Rights,
    standing: Standing,
) -> Ruling {
    let kernel = if needs.contains(Rights::CREATE) { AccessFs::MakeReg } else { AccessFs::WriteFile };
    rules.file(&FileUse {
        canonical: path.into(),
        target,
        needs,
        kernel: BitFlags::from(kernel),
        standing,
        data: false,
    })
}

fn owns(owned: Rights) -> Standing {
    Standing { exchanged: Vec::new(), owned }
}

const NAMED: &str = r#""files": [{"path": "/data", "allow": ["read", "create", "remove"]},
                                 {"path": "/data/private/key", "allow": ["read", "write"]}]"#;

#[test]
fn a_right_on_one_name_is_for_its_inodes_where_names_can_be_moved() {
    let rules = rules(NAMED);
    let key = "/data/private/key";
    assert!(rules.tracks(Path::new(key)) && !rules.tracks(Path::new("/data/old")));
    let planned: Vec<_> = rules.tracked_files().collect();
    assert_eq!(planned, [(Path::new(key), id(key))]);
    let write = |owned| ask(&rules, key, ANOTHER, Rights::WRITE, owns(owned));
    assert_eq!(write(Rights::WRITE), Ruling::Perform);
    match write(Rights::READ) {
        // The entry is there: another one would allow nothing.
        Ruling::Refuse(refusal) => assert_eq!(refusal.want, None),
        other => panic!("not refused: {other:?}"),
    }
    // The directory's own rights are the kernel's.
    assert_eq!(ask(&rules, key, ANOTHER, Rights::REMOVE, owns(Rights::NONE)), Ruling::Perform);
}

#[test]
fn what_comes_to_a_tracked_name_is_made_by_the_supervisor() {
    let make = |rules: &PolicyEngine, path: &str| ask(rules, path, None, Rights::CREATE, owns(Rights::NONE));
    let key = "/data/private/key";
    assert_eq!(make(&rules(NAMED), key), Ruling::Perform);
    // And so is what is around it, from where it could be moved there.
    assert_eq!(make(&rules(NAMED), "/data/private/other"), Ruling::Perform);
    let alone = rules(r#""files": [{"path": "/data", "allow": ["read", "create", "remove"]}]"#);
    assert_eq!(make(&alone, "/data/private/other"), Ruling::Kernel);
    let keys = format!(r#""programs": [{{"path": "/app/server", "entry": true}}], {NAMED}"#);
    // Without Landlock too, and never in audit or where it cannot hand over.
    assert_eq!(make(&rules_on(&keys, 6, 18, Mode::Audit), key), Ruling::Kernel);
    assert_eq!(make(&rules_on(&keys, 5, 10, Mode::Enforce), key), Ruling::Kernel);
    assert!(rules_on(&keys, 5, 10, Mode::Enforce).tracks(Path::new(key)));
}

#[test]
fn a_name_that_keeps_what_it_has_is_trusted() {
    // Nothing around it lets it be moved; or what does grants as much.
    for keys in [
        r#""files": [{"path": "/data/private/key", "allow": ["read", "write", "create", "remove"]}]"#,
        r#""files": [{"path": "/data", "allow": ["read", "write", "create", "remove"]},
                     {"path": "/data/private/key", "allow": ["read", "write"]}]"#,
        r#""files": ["@elsewhere", {"path": "/data/private/key", "allow": ["write"]}]"#,
    ] {
        let rules = rules(keys);
        assert!(!rules.tracks(Path::new("/data/private/key")), "{keys}");
        assert_eq!(rules.movable_above(Path::new("/data/private/key")).count(), 0, "{keys}");
    }
}

#[test]
fn a_directory_that_was_exchanged_grants_nothing() {
    let rules = rules(
        r#""files": [{"path": "/data", "allow": ["read", "create", "remove"]},
                     {"path": "/data/private", "allow": ["read", "write"]}]"#,
    );
    let private = Path::new("/data/private");
    let above: Vec<_> = rules.movable_above(Path::new("/data/private/key")).collect();
    assert_eq!(above, [(private, id("/data/private"))]);
    let write = |exchanged| {
        let standing = Standing { exchanged, owned: Rights::NONE };
        ask(&rules, "/data/private/key", ANOTHER, Rights::WRITE, standing)
    };
    assert_eq!(write(Vec::new()), Ruling::Kernel);
    assert!(matches!(write(vec![private.into()]), Ruling::Refuse(_)));
}

#[test]
fn a_directory_that_had_to_be_widened_gives_nothing_to_what_is_moved_there() {
    let rules = rules(
        r#""files": [{"path": "/data/old", "allow": ["write", "remove"]},
                     {"path": "/run/app.pid", "allow": ["read", "write", "create", "remove"]}]"#,
    );
    let (old, new) = (Path::new("/data/old"), Path::new("/run/other"));
    // /run may be read, so that what is made there anew can be.
    let gained = |granted, new| rules.gained(old, id("/data/old"), granted, new);
    assert_eq!(gained(Rights::WRITE, new), KernelGain::Rights);
    assert_eq!(gained(Rights::READ, new), KernelGain::Nothing);
    assert_eq!(gained(Rights::WRITE, Path::new("/data/new")), KernelGain::Nothing);
}

#[test]
fn a_second_name_of_a_program_is_left_out_of_a_grant() {
    let rules = rules(r#""files": [{"path": "/extra", "allow": ["read", "write", "create"]}]"#);
    let rule = |path: &str| rules.rules.get(Path::new(path)).map(|(_, rights)| *rights);
    assert!(rule("/extra").is_some_and(|rights| !rights.contains(AccessFs::WriteFile)));
    assert_eq!(rule("/extra/server-again"), None);
    let server = Some(id("/app/server"));
    let second = ask(&rules, "/extra/server-again", server, Rights::WRITE, owns(Rights::NONE));
    assert!(matches!(second, Ruling::Refuse(_)));
    // What is new beside it is the supervisor's to make.
    assert_eq!(ask(&rules, "/extra/new", None, Rights::CREATE, owns(Rights::NONE)), Ruling::Perform);
}
