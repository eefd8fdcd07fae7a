use std::path::Path;

use super::super::PolicyEngine;
use super::super::libraries::Code;
use super::{LOADER, entry, id, program, rules_on};
use crate::event::{ViolationKind, Want};
use crate::image::FileId;
use crate::profile::Mode;

const PROGRAMS: &str = r#""programs": [{"path": "/evil", "entry": true},
    {"path": "/bin/sh", "libraries": ["/usr/lib", "/opt/plugin.so"]}]"#;

fn rules(more: &str) -> PolicyEngine {
    rules_on(&format!("{PROGRAMS}{more}"), 6, 18, Mode::Enforce)
}

const OTHER: FileId = FileId { device: 7, inode: 7 };

/// What is said of a file of this path; `None`: it may be mapped.
fn refused(rules: &PolicyEngine, path: &str, id: FileId) -> Option<(ViolationKind, String, Option<Want>)> {
    match rules.code(program(1), Path::new(path), id) {
        Code::Allowed => None,
        Code::IfThere => panic!("{path} would have to be there"),
        Code::Refused(refusal) => Some((refusal.kind, refusal.rule.into_owned(), refusal.want)),
    }
}

#[test]
fn code_comes_from_the_libraries_and_from_what_the_kernel_maps() {
    let rules = rules("");
    assert!(rules.narrows_code());
    assert_eq!(rules.libraries(program(0)), None);
    assert_eq!(rules.code(program(0), Path::new("/anywhere"), OTHER), Code::Allowed, "it has none");
    for own in ["/opt/plugin.so", "/bin/sh", LOADER] {
        assert_eq!(refused(&rules, own, id(own)), None);
        // By another of its names, too; and by its own where the numbers are others.
        assert_eq!(refused(&rules, "/data/hard-link", id(own)), None);
        assert_eq!(rules.code(program(1), Path::new(own), OTHER), Code::IfThere);
    }
    for there in ["/usr/lib/libx.so", "/usr/lib/deep/x", "/usr/lib/x (deleted)"] {
        assert_eq!(rules.code(program(1), Path::new(there), OTHER), Code::IfThere, "{there}");
    }
    for elsewhere in ["/usr/library/x", "/data/old", "/evil", "/opt/plugin.so.1", "/usr", "/"] {
        let (kind, rule, want) = refused(&rules, elsewhere, OTHER).expect(elsewhere);
        assert_eq!((kind, rule.as_str()), (ViolationKind::Program, "/programs/1/libraries"));
        assert_eq!(want, Some(Want::Library { program: entry(1), path: elsewhere.into() }));
    }
    let (.., want) = refused(&rules, "/data/x (deleted)", OTHER).expect("removed");
    assert_eq!(want, None, "nothing is there to be listed");
}

#[test]
fn memory_that_is_shared_is_the_business_of_write_execute() {
    const MEMORY: [&str; 6] = [
        "/memfd:jit (deleted)",
        "/SYSV00000000 (deleted)",
        "/dev/zero (deleted)",
        "/dev/zero",
        "[anon_shmem:x]",
        "anon_inode:[x]",
    ];
    let jit = rules(r#", "memory": {"write_execute": true}"#);
    for memory in MEMORY {
        let (kind, rule, want) = refused(&rules(""), memory, OTHER).expect(memory);
        assert_eq!(
            (kind, rule.as_str(), want),
            (ViolationKind::Memory, "/memory/write_execute", Some(Want::WriteExecute))
        );
        assert_eq!(refused(&jit, memory, OTHER), None, "{memory}");
    }
    assert!(refused(&jit, "/data/old", OTHER).is_some());
    assert!(refused(&jit, "/data/memfd:jit (deleted)", OTHER).is_some());
}
