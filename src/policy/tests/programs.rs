use std::path::Path;

use nix::errno::Errno;

use super::super::PolicyEngine;
use super::super::inode::KernelGain;
use super::super::program::{Called, ExecTarget};
use super::{LOADER, entry, id, program, refused, rules_on};
use crate::event::Want;
use crate::ids::Uid;
use crate::image::tree::ImageTree;
use crate::image::{Executable, ImageFiles};
use crate::kernel::{Arch, Kernel, Release};
use crate::plan::environment::named::PathUse;
use crate::plan::{Births, Host, Plan};
use crate::profile::{Mode, Rights};

fn rules(programs: &str) -> PolicyEngine {
    rules_on(&format!(r#""programs": [{programs}]"#), 6, 18, Mode::Enforce)
}

fn target(path: &str) -> ExecTarget {
    ExecTarget {
        id: id(path),
        canonical: path.into(),
        named: path.into(),
        loader: path == LOADER,
        of_image: true,
    }
}

const FAMILY: &str = r#"{"path": "/app/server", "entry": true, "may_run": ["/bin/sh", "/app/script"]},
    {"path": "/bin/sh", "may_run": ["/app/helper"]},
    {"path": "/app/helper"},
    {"path": "/app/script", "interpreter": "/bin/sh", "may_run": ["/app/helper"]}"#;

#[test]
fn may_run_alone_decides_which_entry_runs_which() {
    let rules = rules(FAMILY);
    let [server, sh, helper] = [0, 1, 2].map(program);
    assert_eq!(rules.exec(Some(server), &target("/bin/sh"), Called::default()), Ok(sh));
    assert_eq!(rules.exec(Some(sh), &target("/app/helper"), Called::default()), Ok(helper));
    let skipped = refused(rules.exec(Some(server), &target("/app/helper"), Called::default()));
    assert_eq!((skipped.errno, &*skipped.rule), (Errno::EACCES, "/programs/0/may_run"));
    let helper_path = Path::new("/app/helper").to_owned();
    assert_eq!(skipped.want, Some(Want::Program { path: helper_path.clone(), caller: Some(entry(0)) }));
    // By another of its names: the profile has one name of it, and one entry is enough.
    let renamed = ExecTarget { named: "/usr/app/helper".into(), ..target("/app/helper") };
    let skipped = refused(rules.exec(Some(server), &renamed, Called::default()));
    assert_eq!(skipped.want, Some(Want::Program { path: helper_path, caller: Some(entry(0)) }));
    assert_eq!(
        refused(rules.exec(Some(helper), &target("/app/server"), Called::default())).rule,
        "/programs/2/may_run"
    );
    refused(rules.exec(Some(server), &target("/app/server"), Called::default()));
}

#[test]
fn no_entry_runs_what_is_not_listed() {
    let rules = rules(FAMILY);
    assert_eq!(refused(rules.exec(Some(program(0)), &target("/evil"), Called::default())).rule, "/programs");
    // Listed by its inode: another name is the same program, and another inode at
    // its path is none.
    assert_eq!(
        rules.exec(
            Some(program(0)),
            &ExecTarget { canonical: "/tmp/x".into(), ..target("/bin/sh") },
            Called::default()
        ),
        Ok(program(1))
    );
    refused(rules.exec(
        Some(program(0)),
        &ExecTarget { id: id("/evil"), ..target("/bin/sh") },
        Called::default(),
    ));
}

#[test]
fn a_caller_that_is_not_known_runs_nothing() {
    let refusal = refused(rules(FAMILY).exec(None, &target("/bin/sh"), Called::default()));
    assert_eq!((&*refusal.rule, refusal.want), ("/programs", None));
}

#[test]
fn a_loader_is_no_program_even_below_a_directory_of_programs() {
    let listed = rules(FAMILY);
    refused(listed.exec(Some(program(0)), &target(LOADER), Called::default()));
    let beneath = rules(
        r#"{"beneath": "/lib64", "may_run": ["/lib64", "/bin"]},
        {"beneath": "/bin", "entry": true, "may_run": ["/lib64", "/bin"]}"#,
    );
    assert_eq!(beneath.exec(Some(program(1)), &target("/bin/sh"), Called::default()), Ok(program(1)));
    refused(beneath.exec(Some(program(1)), &target(LOADER), Called::default()));
    // A script that is identified by its content, at a path that no entry has.
    refused(beneath.exec(
        Some(program(1)),
        &ExecTarget { loader: true, ..target("/bin/sh") },
        Called::default(),
    ));
}

#[test]
fn an_interpreter_is_no_program_unless_it_is_one() {
    let rules = rules(
        r#"{"path": "/app/server", "entry": true, "may_run": ["/app/script"]},
           {"path": "/app/script", "interpreter": "/bin/sh"}"#,
    );
    assert_eq!(rules.exec(Some(program(0)), &target("/app/script"), Called::default()), Ok(program(1)));
    refused(rules.exec(Some(program(0)), &target("/bin/sh"), Called::default()));
    assert_eq!(rules.running(id("/bin/sh"), Path::new("/bin/sh")), [program(1)], "but a script runs as it");
    assert!(rules.runs_as(program(1), id("/bin/sh"), Path::new("/bin/sh")));
    assert!(!rules.runs_as(program(0), id("/bin/sh"), Path::new("/bin/sh")));
}

#[test]
fn an_image_tells_the_entry_where_it_is_of_one_alone() {
    let shared = rules(FAMILY);
    assert_eq!(shared.entry_of_image(id("/app/helper")), Some(program(2)));
    assert_eq!(shared.entry_of_image(id("/evil")), None);
    assert_eq!(shared.entry_of_image(id("/bin/sh")), None, "it may be the shell or the script");

    let one_script = rules(
        r#"{"path": "/app/server", "entry": true, "may_run": ["/app/script"]},
           {"path": "/app/script", "interpreter": "/bin/sh"}"#,
    );
    assert_eq!(one_script.entry_of_image(id("/bin/sh")), Some(program(1)));
    let beneath = rules(r#"{"path": "/app/server", "entry": true}, {"beneath": "/tools"}"#);
    assert_eq!(beneath.entry_of_image(id("/app/server")), None, "a script below may run anything");
}

#[test]
fn beneath_is_every_file_below_and_none_beside() {
    let rules = rules(
        r#"{"path": "/app/server", "entry": true, "may_run": ["/tools"]},
           {"beneath": "/tools", "may_run": []}"#,
    );
    assert_eq!(rules.exec(Some(program(0)), &target("/tools/one"), Called::default()), Ok(program(1)));
    assert_eq!(rules.exec(Some(program(0)), &target("/tools/deep/two"), Called::default()), Ok(program(1)));
    refused(rules.exec(
        Some(program(0)),
        &ExecTarget { canonical: "/toolsmith".into(), ..target("/evil") },
        Called::default(),
    ));
    refused(rules.exec(Some(program(1)), &target("/tools/one"), Called::default()));
    assert!(rules.is_file(program(0)) && !rules.is_file(program(1)));
}

#[test]
fn command_is_an_entry() {
    let rules = rules(FAMILY);
    assert_eq!(rules.command(&target("/app/server"), Called::default()), Ok(program(0)));
    assert!(matches!(
        refused(rules.command(&target("/bin/sh"), Called::default())).want,
        Some(Want::Command(_))
    ));
    refused(rules.command(&target("/evil"), Called::default()));
}

/// Entries that are not in the image move the others up, and the transitions stay the
/// profile's.
#[test]
fn transitions_hold_where_an_embedded_profile_names_what_is_not_there() {
    let rules = rules(
        r#"{"path": "/not/here"},
           {"path": "/app/server", "entry": true, "may_run": ["/app/helper"]},
           {"path": "/bin/sh"},
           {"path": "/app/helper"}"#,
    );
    let server = rules.command(&target("/app/server"), Called::default()).expect("it is the entry");
    let helper = rules
        .exec(Some(server), &target("/app/helper"), Called::default())
        .expect("a transition leads there");
    assert_eq!(rules.program_path(helper), Path::new("/app/helper"));
    let sh = refused(rules.exec(Some(server), &target("/bin/sh"), Called::default()));
    assert_eq!(sh.rule, "/programs/1/may_run");
}

#[test]
fn directories_of_the_same_transitions_are_alike_and_files_never() {
    let rules = rules(
        r#"{"beneath": "/app", "entry": true, "may_run": ["/app", "/tools"]},
           {"beneath": "/tools", "may_run": ["/app", "/tools"]},
           {"beneath": "/bin", "may_run": ["/tools"]},
           {"path": "/evil", "may_run": ["/app", "/tools"]}"#,
    );
    assert!(rules.alike(program(0), program(1)));
    assert!(!rules.alike(program(0), program(2)) && !rules.alike(program(0), program(3)));
}

#[test]
fn every_id_of_a_process_is_one_of_the_program_s_users() {
    let rules = rules(
        r#"{"path": "/app/server", "entry": true, "user": [1000]},
        {"path": "/app/helper", "user": [1000, 33]}, {"path": "/bin/sh"}"#,
    );
    let [server, helper, sh] = [0, 1, 2].map(|place| Some(program(place)));
    let refused = |entry, uids: [u32; 4]| {
        let refusal = rules.user(entry, uids.map(Uid::from_raw));
        refusal.map(|refusal| (refusal.errno, refusal.want))
    };
    assert_eq!(refused(server, [1000; 4]), None);
    for at in 0..4 {
        let mut uids = [1000; 4];
        uids[at] = 0;
        let why = Some((Errno::EPERM, Some(Want::User { program: entry(0), uid: Uid::from_raw(0) })));
        assert_eq!(refused(server, uids), why, "{uids:?}");
        assert_eq!(refused(sh, uids), None, "it has no such rule");
        // Where the entries cannot be distinguished, every program has to allow it.
        assert_eq!(refused(None, uids), why, "{uids:?}");
    }
    assert_eq!(refused(helper, [33, 1000, 33, 33]), None);
    assert!(refused(None, [33, 1000, 33, 33]).is_some());
}

#[test]
fn nothing_runs_from_what_is_mounted_for_data_below_a_directory_of_programs() {
    let image = ImageTree::new()
        .program("/usr/bin/server", Executable::Static)
        .program("/usr/share/es/data/dropped", Executable::Static)
        .program("/usr/share/es/other", Executable::Static)
        .dir("/proc");
    let mounts = b"20 1 0:40 / / rw - overlay overlay rw\n30 20 8:1 /v /usr/share/es/data rw - ext4 x rw\n";
    let host = Host { mounts: crate::procfs::mountinfo::parse(mounts), ..super::place() };
    let text = r#"{"remit": 1, "name": "t", "fallback": "degrade",
        "programs": [{"beneath": "/usr", "entry": true, "may_run": ["/usr"]}], "files": ["@elsewhere"]}"#;
    let profile = crate::profile::read(text.as_bytes()).expect("a profile").profile;
    let kernel = Kernel::stock(Release::new(6, 18), Arch::X86_64);
    let plan = Plan::new(&profile, &kernel, &host, &image, Mode::Enforce).expect("a plan");
    assert!(plan.checks, "Landlock's EXECUTE covers the mount");
    let rules = PolicyEngine::new(&plan);
    let target = |path: &str| {
        let id = image.stat(Path::new(path)).expect("no loop").expect("is there").id;
        ExecTarget { id, canonical: path.into(), named: path.into(), loader: false, of_image: true }
    };
    let run = |path: &str| rules.exec(Some(program(0)), &target(path), Called::default());
    assert_eq!(run("/usr/share/es/other"), Ok(program(0)), "control");
    refused(run("/usr/share/es/data/dropped"));
}

/// The rules of a container that was made in the tenth second, and the files of its image.
fn container() -> (PolicyEngine, ImageTree) {
    let image = ImageTree::new()
        .program("/usr/bin/server", Executable::Static)
        .program("/opt/app/tools/tool", Executable::Static)
        .program("/opt/app/data/dropped", Executable::Static)
        .program("/opt/app/bin/tool", Executable::Static)
        .program("/srv/app/tool", Executable::Static)
        .dir("/usr/lib/perl5")
        .dir("/proc");
    let host = Host {
        mounts: crate::procfs::mountinfo::parse(b"20 1 0:40 / / rw - overlay overlay rw\n"),
        births: Births { root: Some((10, 0)), witnesses: vec![(1, 0)], ..Births::default() },
        ..super::place()
    };
    let text = r#"{"remit": 1, "name": "t", "fallback": "degrade", "files": ["@elsewhere"], "programs": [
        {"beneath": "/usr", "entry": true, "may_run": ["/usr", "/opt", "/srv"]}, {"beneath": "/opt"},
        {"beneath": "/srv", "from_image": true}]}"#;
    let profile = crate::profile::read(text.as_bytes()).expect("a profile").profile;
    let kernel = Kernel::stock(Release::new(6, 18), Arch::X86_64);
    let plan = Plan::new(&profile, &kernel, &host, &image, Mode::Enforce).expect("a plan");
    (PolicyEngine::new(&plan), image)
}

#[test]
fn where_data_may_lie_only_what_the_image_has_runs() {
    let (rules, image) = container();
    let run = |path: &str, of_image| {
        let id = image.stat(Path::new(path)).expect("no loop").expect("is there").id;
        let target = ExecTarget { id, canonical: path.into(), named: path.into(), loader: false, of_image };
        rules.exec(Some(program(0)), &target, Called::default())
    };
    for path in ["/opt/app/tools/tool", "/opt/app/data/dropped", "/srv/app/tool"] {
        assert!(rules.asks_for_origin(Path::new(path)) && run(path, true).is_ok(), "{path}");
        let refusal = refused(run(path, false));
        assert!(refusal.want.is_none(), "{path}");
        let key = if path.starts_with("/srv") { "/programs/2/from_image" } else { "/programs/1/beneath" };
        assert_eq!(refusal.rule, key);
    }
    for path in ["/usr/bin/server", "/opt/app/bin/tool"] {
        assert!(!rules.asks_for_origin(Path::new(path)) && run(path, false).is_ok(), "{path}");
    }
}

#[test]
fn to_be_executed_is_nothing_gained_where_only_the_image_has_programs() {
    let (rules, image) = container();
    let id = image.stat(Path::new("/srv/app/tool")).expect("no loop").expect("is there").id;
    let gained = |to: &str| rules.gained(Path::new("/tmp/made"), id, Rights::all(), Path::new(to));
    assert_eq!(gained("/srv/app/made"), KernelGain::ExecuteAlone);
    assert_eq!(gained("/opt/app/bin/made"), KernelGain::Rights, "any file is a program there");
    assert_eq!(gained("/data/made"), KernelGain::Nothing);
}

#[test]
fn what_may_be_data_is_not_settled() {
    let (rules, _) = container();
    for path in ["/opt/app/data", "/opt/app/tools/deep"] {
        let (path, file) = (Path::new(path), Path::new(path).join("x"));
        assert!(rules.may_be_data(path) && rules.may_move(&file) && rules.may_write(&file));
        assert!(rules.may_change_within(path, PathUse::Libraries).is_some(), "{}", path.display());
    }
    for path in ["/usr/lib/perl5", "/opt/app/bin", "/opt/app", "/usr", "/srv/app"] {
        assert!(!rules.may_be_data(Path::new(path)), "{path}");
    }
    assert!(!rules.may_write(Path::new("/usr/lib/perl5/x")));
}
