//! Code that an interpreter runs before its script, or in place of what the script names,
//! for a variable that the caller sets. Each interpreter is the machine's own.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::attack::{Attack, all_hold_in, runs};
use crate::site::Site;
use crate::support::events::Events;
use crate::support::forbidden::{Forbidden, Hint, make};

use crate::support::{Image, Init, Place, Rootfs, Run, Running, can_run, in_each_place, probe, shim};

in_each_place!(no_variable_chooses_what_a_script_runs, what_a_value_names_decides);

/// The interpreters of the jobs.
const NEEDS: &[&str] = &["/bin/sh", "/bin/bash", "/usr/bin/make", "/usr/bin/perl", "/usr/bin/python3"];

/// A script that ends well, and by which it is run.
const JOBS: [(&str, &str, &str); 5] = [
    ("/srv/bash", "/bin/bash", "#!/bin/bash\ngreet() { :; }\n[ -z \"$HARMLESS\" ] || greet\ntrue\n"),
    ("/srv/make", "/usr/bin/make", "#!/usr/bin/make -f\nall:\n\t@: && :\n"),
    ("/srv/perl", "/usr/bin/perl", "#!/usr/bin/perl\nexit 0;\n"),
    ("/srv/python", "/usr/bin/python3", "#!/usr/bin/python3 -S\n"),
    ("/srv/shell", "/bin/sh", "#!/bin/sh\nexec /usr/bin/python3 -S -c 0\n"),
];

/// A script that gets a variable is killed before its interpreter's first instruction.
const fn killed(act: &'static str, name: &'static str) -> Attack {
    let hint = Hint::First;
    runs(Forbidden { act, refused: &["SIGKILL"], kind: Some("environment"), object: name, hint })
}

pub const INTERPRETERS: &[Attack] = &[
    killed("exec-with?arg=BASH_ENV=/srv/code/evil.sh&arg=/srv/bash", "BASH_ENV"),
    killed("exec-with?arg=BASH_FUNC_true%%=()%20{%20exit%2042;%20}&arg=/srv/bash", "BASH_FUNC_true"),
    // What make runs shows in its own exit code alone.
    killed("exec-with?arg=MAKEFILES=/srv/code/evil.mk&arg=/srv/make", "MAKEFILES").proof("exit 2"),
    killed("exec-with?arg=MAKEFLAGS=--eval=$(error%20evil)&arg=/srv/make", "MAKEFLAGS").proof("exit 2"),
    killed("exec-with?arg=GNUMAKEFLAGS=--eval=$(error%20evil)&arg=/srv/make", "GNUMAKEFLAGS").proof("exit 2"),
    killed("exec-with?arg=.SHELLFLAGS=-c%20'exit%201'&arg=/srv/make", ".SHELLFLAGS").proof("exit 2"),
    killed("exec-with?arg=PERL5OPT=-I/srv/code%20-Mevil&arg=/srv/perl", "PERL5OPT"),
    killed("exec-with?arg=PYTHONPATH=/srv/code&arg=/srv/python", "PYTHONPATH"),
    // The variable is for what the script starts.
    killed("exec-with?arg=PYTHONPATH=/srv/code&arg=/srv/shell", "PYTHONPATH"),
    // Beside what is let be, and over what names the file otherwise.
    killed("exec-with?arg=PYTHONPATH=/srv/kept:/srv/code&arg=/srv/python", "/srv/code"),
    killed("exec-with?arg=PYTHONPATH=srv/code&arg=/srv/python", "it is relative"),
    killed("exec-with?arg=BASH_ENV=/srv/kept/../code/evil.sh&arg=/srv/bash", "/srv/kept/../code/evil.sh"),
    killed("exec-with?arg=BASH_ENV=$(exit%2042)%20/srv/kept/fine.sh&arg=/srv/bash", "BASH_ENV").proof(""),
];

/// Variables that make no interpreter here run other code, with a script that gets them: whether
/// it is killed, and the part of the value that the event names.
const VALUES: &[(&str, Option<&str>)] = &[
    ("BASH_ENV=/srv/kept/fine.sh", None),
    ("BASH_ENV=/srv/kept/none.sh", None),
    ("PYTHONPATH=/srv/kept:/nothing", None),
    ("PYTHONWARNINGS=ignore::DeprecationWarning", None),
    ("PERL5OPT=-w%20-I/srv/kept", None),
    ("PERL5LIB=/srv/kept", None),
    ("NODE_OPTIONS=--max-old-space-size=512%20--enable-source-maps", None),
    ("NODE_OPTIONS=--require%20/srv/kept/fine.sh", None),
    ("JAVA_TOOL_OPTIONS=-Xmx64m%20-Dapp.mode=prod%20@/srv/kept/fine.sh", None),
    ("CLASSPATH=/srv/kept/*:/nothing.jar", None),
    ("NODE_OPTIONS=--require%20/srv/code/x.js", Some("/srv/code/x.js")),
    ("NODE_OPTIONS=--require%20x", Some("it is relative")),
    ("NODE_OPTIONS=--inspect", Some("--inspect")),
    ("JAVA_TOOL_OPTIONS=@/srv/code/file", Some("/srv/code/file")),
    ("JAVA_TOOL_OPTIONS=-javaagent:/srv/code/a.jar", Some("/srv/code/a.jar")),
    ("NODE_PATH=:/srv/kept::/nothing:", None),
    ("RUBYLIB=/srv/kept:", None),
    ("PYTHONPATH=", None),
    ("PYTHONPATH=:/srv/kept", Some("an empty element")),
    ("PYTHONPATH=/srv/kept::/nothing", Some("an empty element")),
    ("PERL5LIB=/srv/kept:", Some("an empty element")),
    ("CLASSPATH=/srv/kept/a.jar:", Some("an empty element")),
    ("LUA_PATH=/srv/code/?.lua;;", Some("/srv/code")),
    ("MAKEFLAGS=-k", Some("MAKEFLAGS")),
];

fn no_variable_chooses_what_a_script_runs(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    all_hold_in(place, |options| serve(place, options), INTERPRETERS);
    // What is no interpreter's variable does nothing to a script.
    for options in [&["--mode", "off"][..], &[]] {
        let (running, _site) = serve(place, options);
        for job in ["/srv/make", "/srv/perl", "/srv/bash"] {
            let made = make(&running, &format!("exec-with?arg=HARMLESS=&arg={job}"));
            assert_eq!(made, ("ok".to_owned(), "exit 0".to_owned()), "{place:?} {options:?} {job}");
        }
    }
}

fn what_a_value_names_decides(place: Place) {
    if !can_run(place, NEEDS) {
        return;
    }
    let (running, _site) = serve(place, &[]);
    // What bash does besides, as for its user's name, is refused too.
    let refused = |events: &Events| -> Vec<String> {
        let events = events.violations();
        let events = events.iter().filter(|event| event["kind"] == "environment");
        events.map(|event| event["object"].to_string()).collect()
    };
    let mut before = 0;
    for (variable, part) in VALUES {
        let (result, detail) = make(&running, &format!("exec-with?arg={variable}&arg=/srv/bash"));
        let Some(part) = part else {
            assert_eq!((&*result, &*detail), ("ok", "exit 0"), "{place:?} {variable}: {}", running.stderr());
            continue;
        };
        assert_eq!(result, "SIGKILL", "{place:?} {variable}: {detail} {}", running.stderr());
        let event = running.event(|events| refused(events).get(before).cloned());
        let said = event.is_some_and(|event| event.contains(part));
        assert!(said, "{place:?} {variable}: {}", running.stderr());
        before += 1;
    }
    assert_eq!(refused(&running.events()).len(), before, "{place:?}: {}", running.stderr());
}

fn serve(place: Place, options: &[&str]) -> (Running, Site) {
    let site = Site::new();
    let running = Run::new(image(), place, Init::remit(options), &["/probe", "serve", "8080"])
        .file("/etc/remit/profile.json", profile().to_string())
        .start();
    running.line("listening 8080");
    (running, site)
}

fn profile() -> Value {
    let jobs = JOBS.map(|(path, interpreter, _)| {
        json!({ "path": path, "interpreter": interpreter, "may_run": ["/bin/sh", "/usr/bin/python3"] })
    });
    let mut programs =
        vec![json!({ "path": "/probe", "entry": true, "may_run": JOBS.map(|(path, ..)| path) })];
    programs.extend(jobs);
    programs.extend([json!({ "path": "/bin/sh" }), json!({ "path": "/usr/bin/python3" })]);
    json!({
        "remit": 1,
        "name": "jobs",
        "programs": programs,
        "files": [
            "@runtime",
            { "path": "/srv", "allow": ["read"] },
            { "path": "/srv/code", "allow": ["read", "write", "create", "remove"] }
        ],
        "network": { "listen": ["tcp/8080"] },
        // What make does before it runs a command.
        "syscalls": { "allow": ["setresuid", "setresgid"] }
    })
}

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").copy(probe(), "/probe");
        for program in NEEDS {
            root.program(program);
        }
        for (path, _, text) in JOBS {
            root.file(path, text, 0o755);
        }
        for (path, text) in [
            ("/srv/kept/fine.sh", "FINE=1\n"),
            ("/srv/code/evil.sh", "exit 42\n"),
            ("/srv/code/evil.mk", "$(error evil)\n"),
            ("/srv/code/evil.pm", "exit 42;\n"),
            // The first module that Python imports; it has no library here.
            ("/srv/code/encodings/__init__.py", "import posix\nposix._exit(42)\n"),
        ] {
            root.file(path, text, 0o644);
        }
        root.build("jobs")
    })
}
