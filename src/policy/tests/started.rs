use std::collections::HashMap;

use super::super::PolicyEngine;
use super::super::started::{FileContents, NotYet, Script, StartedProgram, Verdict};
use super::{LOADER, entry, id, program, rules_on};
use crate::event::Want;
use crate::ids::Uid;
use crate::plan::ProgramIndex;
use crate::plan::environment::named::NamedPath;
use crate::policy::args::{Args, Need};
use crate::policy::initial_stack::{CopiedFor, InitialStack, StackVariables};
use crate::policy::variables::{Places, Unsettled};
use crate::profile::Mode;

/// Files that were looked into, or not yet.
#[derive(Default)]
struct Looked {
    loader: Option<bool>,
    scripts: HashMap<&'static str, Script>,
    digest: Option<&'static str>,
    /// Paths that no process inside can change, and their use.
    settled: Option<&'static [&'static str]>,
}

impl Places for Looked {
    fn settled(&self, named: NamedPath) -> Result<Result<(), Unsettled>, NotYet> {
        let path = std::str::from_utf8(named.path).expect("text");
        let is_settled = self.settled.ok_or(NotYet)?.contains(&path);
        Ok(if is_settled { Ok(()) } else { Err(Unsettled::Name(path.into())) })
    }
}

impl FileContents for Looked {
    fn is_loader(&self, _: &StartedProgram) -> Result<bool, NotYet> {
        self.loader.ok_or(NotYet)
    }

    fn script(&self, path: &[u8]) -> Result<Option<Script>, NotYet> {
        Ok(std::str::from_utf8(path).ok().and_then(|path| self.scripts.get(path)).cloned())
    }

    fn digest(&self, _: &StartedProgram, _: Option<&Script>) -> Result<Option<String>, NotYet> {
        self.digest.map(|digest| Some(digest.to_owned())).ok_or(NotYet)
    }
}

fn rules(programs: &str) -> PolicyEngine {
    rules_on(&format!(r#""programs": [{programs}]"#), 6, 18, Mode::Enforce)
}

/// `path` runs with these arguments, named by the last of `named`.
fn started(path: &str, named: &str, args: &[&str]) -> StartedProgram {
    let mut all = Args::default();
    args.iter().for_each(|arg| all.take(Need { strings: usize::MAX, bytes: usize::MAX }, arg.as_bytes()));
    StartedProgram {
        of_image: true,
        id: id(path),
        canonical: path.into(),
        linked: true,
        stamp: (0, 0, 0),
        stack: 1,
        mode: 0o755,
        initial_stack: InitialStack {
            args: all,
            for_programs: StackVariables::default(),
            for_scripts: StackVariables::default(),
            named: named.as_bytes().to_vec(),
            by_loader: true,
        },
        uids: [Uid::from_raw(0); 4],
    }
}

#[track_caller]
fn dies(verdict: Result<Verdict, NotYet>) -> (String, Option<Want>) {
    match verdict {
        Ok(Verdict::Dies(refusal)) => (refusal.rule.into_owned(), refusal.want),
        other => panic!("{other:?}"),
    }
}

const FAMILY: &str = r#"{"path": "/app/server", "entry": true, "may_run": ["/app/helper", "/app/script"]},
    {"path": "/app/helper", "args": [["good"]], "user": [0, 33]},
    {"path": "/app/script", "interpreter": "/bin/sh"}"#;

fn script() -> Looked {
    let script = Script {
        of_image: true,
        id: id("/app/script"),
        canonical: "/app/script".into(),
        lead: vec![b"/bin/sh".to_vec(), b"-e".to_vec()],
        interpreter: id("/bin/sh"),
    };
    Looked { scripts: [("/app/script", script)].into(), ..Looked::default() }
}

#[test]
fn the_started_program_decides_and_not_the_requested_one() {
    let rules = rules(FAMILY);
    let files = Looked::default();
    let run = |started: &StartedProgram| rules.started(Some(program(0)), started, &files);
    let helper = started("/app/helper", "/app/helper", &["x", "good"]);
    assert_eq!(run(&helper), Ok(Verdict::Runs(program(1))));
    assert_eq!(
        run(&StartedProgram { uids: [0, 33, 33, 33].map(Uid::from_raw), ..helper.clone() }),
        Ok(Verdict::Runs(program(1)))
    );
    let (rule, want) = dies(run(&started("/app/helper", "/app/helper", &["x", "bad"])));
    assert_eq!(rule, "/programs/1/args");
    assert_eq!(want, Some(Want::Arguments { program: entry(1), args: vec!["bad".into()] }));
    let (rule, want) = dies(run(&StartedProgram { uids: [0, 7, 7, 7].map(Uid::from_raw), ..helper.clone() }));
    assert_eq!(
        (rule.as_str(), want),
        ("/programs/1/user", Some(Want::User { program: entry(1), uid: Uid::from_raw(7) }))
    );
    assert_eq!(dies(run(&StartedProgram { linked: false, ..helper.clone() })), ("/programs".into(), None));
    assert_eq!(dies(run(&started("/evil", "/app/helper", &["x", "good"]))).0, "/programs");
    assert_eq!(dies(run(&started("/app/server", "/app/server", &["x"]))).0, "/programs/0/may_run");
    assert_eq!(dies(run(&started(LOADER, LOADER, &["x", "/evil"]))).0, "/programs");
    assert_eq!(dies(rules.started(None, &helper, &files)).0, "/programs");
}

/// The variables of an environment, as they are copied.
fn give(rules: &PolicyEngine, started: &mut StartedProgram, environment: &[&str]) {
    for variable in environment {
        let stack = &mut started.initial_stack;
        match rules.copied_for(variable.as_bytes()) {
            Some(CopiedFor::Programs) => stack.for_programs.list.push(variable.as_bytes().to_vec()),
            Some(CopiedFor::Scripts) => stack.for_scripts.list.push(variable.as_bytes().to_vec()),
            None => {}
        }
    }
}

#[test]
fn a_variable_for_the_loader_is_looked_for_in_every_program() {
    let rules = rules(FAMILY);
    let looked = Looked { settled: Some(&["/usr/lib/x.so", "/usr/lib"]), ..Looked::default() };
    let with = |variable: &str, files: &Looked| {
        let mut helper = started("/app/helper", "/app/helper", &["x", "good"]);
        give(&rules, &mut helper, &["PATH=/bin", variable]);
        rules.started(Some(program(0)), &helper, files)
    };
    let (rule, want) = dies(with("LD_PRELOAD=/tmp/x.so", &looked));
    assert_eq!((rule.as_str(), want), ("/environment", Some(Want::Environment("LD_PRELOAD".into()))));
    assert_eq!(dies(with("LD_DEBUG_OUTPUT=/tmp/x", &Looked::default())).0, "/environment");
    for harmless in ["LD_PRELOAD=", "LD_PRELOAD", "XLD_PRELOAD=x", "LD_BIND_NOW=1"] {
        assert_eq!(with(harmless, &Looked::default()), Ok(Verdict::Runs(program(1))), "{harmless}");
    }
    // What its value names decides, and has to be looked at first.
    let settled = "LD_PRELOAD=/usr/lib/x.so";
    assert_eq!(with(settled, &Looked::default()), Err(NotYet));
    assert_eq!(with(settled, &looked), Ok(Verdict::Runs(program(1))));
    assert_eq!(with("LD_LIBRARY_PATH=/usr/lib", &looked), Ok(Verdict::Runs(program(1))));
    for bad in ["LD_PRELOAD=/usr/lib/x.so:/tmp/x.so", "LD_LIBRARY_PATH=/usr/lib:", "LD_LIBRARY_PATH=$ORIGIN"]
    {
        match with(bad, &looked) {
            Ok(Verdict::Dies(denial)) => {
                let object = serde_json::to_value(&denial.object).expect("JSON");
                assert!(object["value"].is_string() && object["why"].is_string(), "{bad}: {object}");
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
    // Each of two of one name is looked at, and those that were left out may be another.
    let mut helper = started("/app/helper", "/app/helper", &["x", "good"]);
    give(&rules, &mut helper, &[settled, "LD_PRELOAD=/tmp/x.so"]);
    assert_eq!(dies(rules.started(Some(program(0)), &helper, &looked)).0, "/environment");
    let mut helper = started("/app/helper", "/app/helper", &["x", "good"]);
    helper.initial_stack.for_scripts.truncated = true;
    assert_eq!(rules.started(Some(program(0)), &helper, &looked), Ok(Verdict::Runs(program(1))));
    helper.initial_stack.for_programs.truncated = true;
    assert_eq!(dies(rules.started(Some(program(0)), &helper, &looked)).0, "/environment");
}

/// What the profile drops by name is dropped whatever it names.
#[test]
fn a_name_of_the_profile_is_refused_with_any_value() {
    let rules = rules_on(
        &format!(r#""programs": [{FAMILY}], "environment": {{"drop": ["LD_PRELOAD", "APP_*"]}}"#),
        6,
        18,
        Mode::Enforce,
    );
    let looked = Looked { settled: Some(&["/usr/lib/x.so"]), ..Looked::default() };
    for variable in ["LD_PRELOAD=/usr/lib/x.so", "APP_X=1"] {
        let mut helper = started("/app/helper", "/app/helper", &["x", "good"]);
        give(&rules, &mut helper, &[variable]);
        assert_eq!(dies(rules.started(Some(program(0)), &helper, &looked)).0, "/environment");
    }
}

#[test]
fn an_interpreter_is_a_scripts_only_with_the_arguments_that_the_kernel_gives_it() {
    let rules = rules(FAMILY);
    let files = script();
    let run = |named: &str, args: &[&str]| {
        rules.started(Some(program(0)), &started("/bin/sh", named, args), &files)
    };
    assert_eq!(run("/app/script", &["/bin/sh", "-e", "/app/script", "any"]), Ok(Verdict::Runs(program(2))));
    for (named, args) in [
        ("/bin/sh", &["/bin/sh", "-c", "evil"][..]),
        ("/app/script", &["/bin/sh", "-c", "evil"]),
        ("/app/script", &["/bin/sh", "-e", "/tmp/evil", "/app/script"]),
        ("/app/script", &["sh", "-e", "/app/script"]),
        ("/app/script", &["/bin/sh", "/app/script"]),
        ("/tmp/evil", &["/bin/sh", "-e", "/tmp/evil"]),
        ("/bin/sh", &["sh"]),
        ("/bin/sh", &[]),
    ] {
        assert_eq!(dies(run(named, args)).0, "/programs", "{named} {args:?}");
    }
    // By another interpreter it is none either.
    let other = started("/app/server", "/app/script", &["/bin/sh", "-e", "/app/script"]);
    assert_eq!(dies(rules.started(Some(program(0)), &other, &files)).0, "/programs/0/may_run");
}

#[test]
fn below_a_directory_a_copy_of_a_loader_is_none_and_a_script_is_one() {
    let rules = rules(
        r#"{"path": "/app/server", "entry": true, "may_run": ["/tools", "/app/script"]},
           {"beneath": "/tools"}, {"path": "/app/script", "interpreter": "/bin/sh"}"#,
    );
    let tool = started("/tools/one", "/tools/one", &["one"]);
    let unlooked = Looked::default();
    assert_eq!(
        rules.started(Some(program(0)), &tool, &unlooked),
        Ok(Verdict::Runs(program(1))),
        "a loader started it"
    );
    let alone = StartedProgram {
        initial_stack: InitialStack { by_loader: false, ..tool.initial_stack.clone() },
        ..tool
    };
    assert_eq!(rules.started(Some(program(0)), &alone, &unlooked), Err(NotYet));
    let looked = |loader| Looked { loader: Some(loader), ..Looked::default() };
    assert_eq!(rules.started(Some(program(0)), &alone, &looked(false)), Ok(Verdict::Runs(program(1))));
    assert_eq!(dies(rules.started(Some(program(0)), &alone, &looked(true))).0, "/programs");
}

#[test]
fn a_digest_is_compared_last_and_has_to_be_the_entrys() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let rules = rules(&format!(
        r#"{{"path": "/app/server", "entry": true, "may_run": ["/app/helper"]}},
           {{"path": "/app/helper", "sha256": "{digest}", "args": [["x"]]}}"#
    ));
    let helper = started("/app/helper", "/app/helper", &["helper", "x"]);
    let run = |digest| rules.started(Some(program(0)), &helper, &Looked { digest, ..Looked::default() });
    assert_eq!(run(None), Err(NotYet));
    assert_eq!(run(Some(digest)), Ok(Verdict::Runs(program(1))));
    let (rule, want) = dies(run(Some("00")));
    assert_eq!(rule, "/programs/1/sha256");
    assert_eq!(want, Some(Want::Digest { program: entry(1), sha256: "00".into() }));
    let other = started("/app/helper", "/app/helper", &["helper", "y"]);
    assert_eq!(dies(rules.started(Some(program(0)), &other, &Looked::default())).0, "/programs/1/args");
}

#[test]
fn applets_of_one_file_are_entries_of_their_own() {
    let rules = rules(
        r#"{"path": "/app/server", "entry": true, "may_run": [{"path": "/app/helper", "applet": "cat"}]},
           {"path": "/app/helper", "applet": "cat", "args": [["-u", "..."]]},
           {"path": "/app/helper", "applet": "sh"}"#,
    );
    let run = |caller: ProgramIndex, args: &[&str]| {
        rules.started(Some(caller), &started("/app/helper", "/app/helper", args), &Looked::default())
    };
    assert_eq!(run(program(0), &["cat", "-u", "x"]), Ok(Verdict::Runs(program(1))));
    assert_eq!(run(program(0), &["helper", "cat", "-u"]), Ok(Verdict::Runs(program(1))));
    assert_eq!(dies(run(program(0), &["cat"])).0, "/programs/1/args");
    let (rule, want) = dies(run(program(0), &["sh", "-c"]));
    assert_eq!(rule, "/programs/0/may_run");
    let sh = Want::Applet { path: "/app/helper".into(), applet: "sh".into(), caller: Some(entry(0)) };
    assert_eq!(want, Some(sh));
    let (rule, want) = dies(run(program(0), &["wget"]));
    assert_eq!(rule, "/programs/1/applet");
    let wget = Want::Applet { path: "/app/helper".into(), applet: "wget".into(), caller: Some(entry(0)) };
    assert_eq!(want, Some(wget));
}

#[test]
fn arguments_that_were_not_read_are_none_that_are_listed() {
    let rules = rules(FAMILY);
    let mut helper = started("/app/helper", "/app/helper", &["x", "good"]);
    assert_eq!(rules.started(Some(program(0)), &helper, &Looked::default()), Ok(Verdict::Runs(program(1))));
    helper.initial_stack.args.cut = Some(b"more".to_vec());
    let (rule, want) = dies(rules.started(Some(program(0)), &helper, &Looked::default()));
    assert_eq!((rule.as_str(), want), ("/programs/1/args", None));
    // Nor would a profile have so long a text.
    let helper = started("/app/helper", "/app/helper", &["x", &"y".repeat(5000)]);
    assert_eq!(dies(rules.started(Some(program(0)), &helper, &Looked::default())).1, None);
    let need = rules.arguments();
    assert!((130..1000).contains(&need.strings) && need.bytes < 1 << 20, "{need:?}");
}

#[test]
fn of_an_environment_what_a_rule_may_refuse_is_copied() {
    let rules = rules(FAMILY);
    for (variable, copied) in [
        ("PATH=/bin", None),
        ("LD_PRELOAD=", None),
        ("LD_PRELOAD=x", Some(CopiedFor::Programs)),
        ("LD_AUDIT=x", Some(CopiedFor::Programs)),
        ("PYTHONPATH=x", Some(CopiedFor::Scripts)),
        ("A", None),
    ] {
        assert_eq!(rules.copied_for(variable.as_bytes()), copied, "{variable}");
    }
    let mut helper = started("/app/helper", "/app/helper", &["x", "good"]);
    give(&rules, &mut helper, &[&format!("LD_PROFILE{}=x", "A".repeat(1000))]);
    let refusal = match rules.started(Some(program(0)), &helper, &Looked::default()) {
        Ok(Verdict::Dies(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert!(format!("{:?}", refusal.object).len() < 400 && refusal.want.is_none());
}

#[test]
fn what_waits_for_its_turn_is_small() {
    let mut large = started("/app/helper", "/app/helper", &["x"; 2000]);
    assert!(large.shorten());
    assert_eq!((large.initial_stack.args.list.len(), large.initial_stack.args.is_whole()), (64, false));
    assert!(!large.shorten() && !started("/app/helper", "/app/helper", &["x"]).shorten());
}
