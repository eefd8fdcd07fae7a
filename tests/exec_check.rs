//! The post-exec verification, from outside: this test's own program is the app, in a
//! namespace of its own. What an attacker starts who rewrites the memory of an exec while
//! it is judged, and what an honest app finds changed: nothing.
//!
//! Each race is run unconfined too, where it has to be won: else it shows nothing.

#[path = "support/skip.rs"]
mod skip;

mod exec_check {
    pub mod app;
    mod counted;
    pub mod harm;
    pub mod large;
    pub mod processes;
}

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use exec_check::app::{self, ACT, PLACE};
use serde_json::{Value, json};

/// A folder with what an attacker has brought: `evil` copies, and `out`, the only place
/// that may be written.
struct Place(tempfile::TempDir, bool, Option<u32>);

impl Place {
    fn new() -> Place {
        Place::with(false)
    }

    /// `users`: the app may take on other users.
    fn with(users: bool) -> Place {
        let place = Place(tempfile::tempdir().expect("a directory"), users, None);
        std::fs::set_permissions(place.0.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
        std::fs::create_dir(place.path("out")).expect("a directory");
        std::fs::set_permissions(place.path("out"), PermissionsExt::from_mode(0o777)).expect("chmod");
        std::fs::copy("/usr/bin/touch", place.path("evil")).expect("a copy");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().expect("it is there").join(name)
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("chmod");
        path
    }

    /// The app, confined by these programs and what else is in `more`.
    fn confined(&self, act: &str, programs: &[Value], more: &Value) -> Option<Said> {
        self.app(act, programs, more).map(|command| self.run(command))
    }

    /// The command for this.
    fn app(&self, act: &str, programs: &[Value], more: &Value) -> Option<Command> {
        let app = std::env::current_exe().expect("this program");
        let paths: Vec<Value> = programs
            .iter()
            .map(|program| match &program["applet"] {
                Value::Null => program["path"].clone(),
                applet => json!({ "path": program["path"], "applet": applet }),
            })
            .collect();
        let runs = more.get("runs").cloned().unwrap_or(json!(paths));
        let mut all = vec![json!({ "path": app, "entry": true, "may_run": runs })];
        if let Some(most) = more.get("instances") {
            all[0]["instances"] = most.clone();
        }
        all.extend(programs.iter().cloned());
        let mut profile = json!({
            "remit": 1, "name": "attacked", "programs": all,
            "files": ["@runtime", { "path": "/", "allow": ["read"] },
                { "path": self.path("out"), "allow": ["read", "write", "create", "remove"] }],
        });
        for (key, value) in more
            .as_object()
            .expect("keys")
            .iter()
            .filter(|(key, _)| !["runs", "instances"].contains(&key.as_str()))
        {
            profile[key] = value.clone();
        }
        let file = self.path("profile.json");
        std::fs::write(&file, profile.to_string()).expect("a profile");
        let mut command = self.bare();
        command
            .arg(env!("CARGO_BIN_EXE_remit-init"))
            .args(["--grace", "1s", "--profile"])
            .arg(&file)
            .arg("--events")
            .arg(self.path("events.jsonl"))
            .arg("--");
        self.prepared(command, act)
    }

    fn unconfined(&self, act: &str) -> Option<Said> {
        self.prepared(self.bare(), act).map(|command| self.run(command))
    }

    /// Namespaces of its own; where other users are wanted those of this machine, and
    /// the capabilities of Docker's.
    fn bare(&self) -> Command {
        let mut command = Command::new("unshare");
        if self.1 {
            let docker =
                "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service";
            command.args(["-pfm", "--mount-proc"]);
            if let Some(most) = self.2 {
                let few = format!("echo {most} >/proc/sys/kernel/pid_max && exec \"$@\"");
                command.args(["sh", "-c", &few, "sh"]);
            }
            command.args(["setpriv", "--bounding-set", docker]);
        } else {
            command.args(["-Urpfm", "--mount-proc"]);
        }
        command
    }

    /// The app behind what confines it or not; none where no namespace can be made.
    fn prepared(&self, mut command: Command, act: &str) -> Option<Command> {
        if (self.1 && !skip::is_root()) || !skip::namespaces() {
            return None;
        }
        command
            .arg(std::env::current_exe().expect("this program"))
            .args(["--exact", "the_app", "--ignored", "--nocapture", "--test-threads=1"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("PYTHONPATH", "/here")
            .env(ACT, act)
            .env(PLACE, self.path(""));
        Some(command)
    }

    fn run(&self, mut command: Command) -> Said {
        let output = command.output().expect("unshare runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let events = std::fs::read_to_string(self.path("events.jsonl")).unwrap_or_default();
        let events = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Said { text, events }
    }
}

/// What a run said, and what was reported of it.
#[derive(Debug)]
struct Said {
    text: String,
    events: Vec<Value>,
}

impl Said {
    #[track_caller]
    fn has(&self, words: &str) -> &Said {
        assert!(self.text.contains(words), "no {words:?} in {}", self.text);
        self
    }

    #[track_caller]
    fn lacks(&self, words: &str) -> &Said {
        assert!(!self.text.contains(words), "{words:?} in {}", self.text);
        self
    }

    fn violations(&self) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(|event| event["event"] == "violation")
    }

    /// There is a violation of this rule with this action, and a hint.
    #[track_caller]
    fn reports(&self, action: &str, rule: &str) -> &Value {
        let found = self.violations().find(|event| event["action"] == action && event["rule"] == rule);
        found.unwrap_or_else(|| {
            panic!("no {action} for {rule} in {:#?}\n{}", self.violations().collect::<Vec<_>>(), self.text)
        })
    }

    /// The layer's state.
    fn layer(&self, name: &str) -> &Value {
        let start = self.events.iter().find(|event| event["event"] == "start").expect("a start");
        let layers = start["layers"].as_array().expect("layers");
        layers.iter().find(|layer| layer["layer"] == name).expect("the layer")
    }
}

#[test]
#[ignore = "the app of the other tests"]
fn the_app() {
    app::main();
}

fn program(path: impl AsRef<Path>) -> Value {
    json!({ "path": path.as_ref().canonicalize().expect("it is there") })
}

/// A race that an attacker wins unconfined, and never under the check.
#[track_caller]
fn loses(act: &str, programs: impl Fn(&Place) -> Vec<Value>, more: &Value, rule: &str) {
    let users = more.get("capabilities").is_some();
    let place = Place::with(users);
    let Some(free) = place.unconfined(act) else { return };
    free.has("evil ran");
    let place = Place::with(users);
    let said = place.confined(act, &programs(&place), more).expect("as before");
    said.has("raced").lacks("evil ran");
    let killed = said.violations().any(|event| event["action"] == "killed");
    assert!(killed, "no race was lost after the exec: {}", said.text);
    said.reports("killed", rule);
}

#[test]
fn a_path_that_leads_to_a_loader_is_a_lost_race() {
    loses("race-loader", |_| vec![program("/usr/bin/true")], &json!({}), "/programs");
}

#[test]
fn a_path_that_leads_past_an_edge_is_a_lost_race() {
    let programs = |_: &Place| vec![program("/usr/bin/true"), program("/usr/bin/touch")];
    loses("race-edge", programs, &json!({ "runs": ["/usr/bin/true"] }), "/programs/0/may_run");
}

#[test]
fn arguments_that_are_rewritten_are_a_lost_race() {
    let programs = |place: &Place| {
        let mut touch = program("/usr/bin/touch");
        touch["args"] = json!([[place.path("out/good")]]);
        vec![touch]
    };
    loses("race-arguments", programs, &json!({}), "/programs/1/args");
}

#[test]
fn an_applet_that_is_rewritten_is_a_lost_race() {
    if !skip::has("/bin/busybox") {
        return;
    }
    let programs = |_: &Place| {
        let mut cat = program("/bin/busybox");
        cat["applet"] = json!("true");
        vec![cat]
    };
    loses("race-applet", programs, &json!({}), "/programs/1/applet");
}

#[test]
fn a_shell_is_a_scripts_alone() {
    let place = Place::new();
    let script = place.script("script", "#!/bin/sh -e\necho script: $1 $0\n");
    place.script("other", "#!/bin/sh -e\necho other ran\n");
    let programs = [json!({ "path": script, "interpreter": "/bin/sh" })];
    let Some(said) = place.confined("script", &programs, &json!({})) else { return };
    said.has(&format!("script: one {}", script.display()));
    said.has("by a link: Err(PermissionDenied)").has("sh -c: Err(PermissionDenied)");
    said.has("other script: Err(PermissionDenied)").has("as the kernel does: Err(PermissionDenied)");
    said.lacks("other ran").lacks("evil ran");
}

/// The interpreter opens its script by name: one that the app can make lead elsewhere is
/// none, even while it leads to the script.
#[test]
fn a_race_between_the_script_and_its_interpreter_is_lost() {
    let programs = |place: &Place| {
        let script = place.script("script", "#!/bin/sh\nexit 0\n");
        vec![json!({ "path": script, "interpreter": "/bin/sh" })]
    };
    loses("race-script", programs, &json!({}), "/programs");
}

#[test]
fn a_digest_is_of_what_is_mapped() {
    let place = Place::new();
    let right = Command::new("sha256sum").arg("/usr/bin/true").output().expect("sha256sum");
    let right = String::from_utf8_lossy(&right.stdout).split(' ').next().expect("a digest").to_owned();
    let pinned = |digest: &str, path: &str| {
        let mut program = program(path);
        program["sha256"] = json!(digest);
        program
    };
    let programs = [pinned(&right, "/usr/bin/true"), pinned(&right, "/usr/bin/touch")];
    let Some(said) = place.confined("digest", &programs, &json!({})) else { return };
    said.has("pinned: code 0, code 0").has("other content: signal 9").lacks("evil ran");
    let reported = said.reports("killed", "/programs/2/sha256");
    assert_eq!(reported["hint"][0]["path"], "/programs/2/sha256");
    assert_eq!(
        reported["process"]["executable"]["path"],
        std::env::current_exe().expect("it").to_str().expect("text")
    );
}

#[test]
fn a_variable_that_loads_code_kills_the_program_that_gets_it() {
    let place = Place::new();
    let Some(said) = place.confined("variables", &[program("/usr/bin/true")], &json!({})) else { return };
    said.has("LD_PRELOAD=: code 0").has("HARMLESS=x: code 0");
    for variable in ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "GCONV_PATH"] {
        said.has(&format!("{variable}=x: signal 9"));
    }
    let reported = said.reports("killed", "/environment");
    assert_eq!(reported["kind"], "environment");
}

/// What an interpreter reads before its script is the script's too: no process inside
/// names it. What the container was started with stays.
#[test]
fn a_variable_that_names_other_code_kills_the_script_that_gets_it() {
    let script = |place: &Place| place.script("script", "#!/bin/bash\ngreet() { :; }\ngreet\nexit 0\n");
    let place = Place::new();
    script(&place);
    let Some(free) = place.unconfined("interpreter") else { return };
    free.has("evil ran");
    let place = Place::new();
    let programs = [json!({ "path": script(&place), "interpreter": "/bin/bash" })];
    let said = place.confined("interpreter", &programs, &json!({})).expect("as before");
    said.has("HARMLESS: code 0").has("PYTHONPATH: code 0").lacks("evil ran");
    said.has("BASH_ENV: signal 9").has("function: signal 9").has("other value: signal 9");
    let reported = said.reports("killed", "/environment");
    assert_eq!(reported["kind"], "environment");
    // Audit sees what would be refused, and runs it.
    let place = Place::new();
    let programs = [json!({ "path": script(&place), "interpreter": "/bin/bash" })];
    let said = place.confined("interpreter", &programs, &json!({ "mode": "audit" })).expect("as before");
    said.lacks("signal 9").reports("observed", "/environment");
    let keep = json!({ "environment": { "keep": ["BASH_ENV", "BASH_FUNC_*", "PYTHONPATH"] } });
    let place = Place::new();
    let programs = [json!({ "path": script(&place), "interpreter": "/bin/bash" })];
    place.confined("interpreter", &programs, &keep).expect("as before").lacks("signal 9");
}

/// By its image and its stack it is known what a process is: even with all of prctl(2)
/// it does not rewrite these.
#[test]
fn what_a_process_is_is_not_its_own_word() {
    let place = Place::new();
    let Some(free) = place.unconfined("set-mm") else { return };
    free.has("set-mm: 0 true");
    let more = json!({ "syscalls": { "allow": ["prctl"] } });
    place.confined("set-mm", &[program("/usr/bin/true")], &more).expect("as before").has("set-mm: -1 false");
}

#[test]
fn a_memfd_is_made_sealed_and_serves_what_it_is_for() {
    let place = Place::new();
    let more = json!({ "syscalls": { "allow": ["memfd_create"] } });
    let Some(free) = place.unconfined("memfd") else { return };
    free.has("executed: code 0").has("by its link: code 0");
    let said = place.confined("memfd", &[], &more).expect("as before");
    said.has("written and mapped: 7").has("close on exec: true false").has("a name: /memfd:named");
    said.has("executed: Err").has("by its link: Err");
    // Nothing else needs the check: it is not armed.
    assert!(said.layer("exec-check")["detail"].as_str().expect("text").contains("no rule needs it"));
}

/// Edges are the exec's, whatever becomes of the parent: a shell that is a script's runs
/// what the script may, and an orphan of it is one still.
#[test]
fn forks_and_orphans_are_what_they_descend_from() {
    let place = Place::new();
    let weak = place.script(
        "weak",
        "#!/bin/sh\n(sleep 0.3; /usr/bin/true && echo weak went on; /usr/bin/id -u) &\nexit 0\n",
    );
    let strong = place.script(
        "strong",
        "#!/bin/sh\n/usr/bin/true || echo strong was refused\n/usr/bin/id -u >/dev/null && echo strong may\n",
    );
    let programs = [
        json!({ "path": weak, "interpreter": "/bin/sh", "may_run": ["/usr/bin/true", "/usr/bin/sleep"] }),
        json!({ "path": strong, "interpreter": "/bin/sh", "may_run": ["/usr/bin/true", "/usr/bin/id"] }),
        program("/usr/bin/true"),
        program("/usr/bin/sleep"),
        program("/usr/bin/id"),
    ];
    let Some(said) = place.confined("orphans", &programs, &json!({ "runs": [weak, strong] })) else { return };
    said.has("strong may").has("weak went on").lacks("strong was refused");
    said.reports("denied", "/programs/1/may_run");
}

/// A process that changes its user stays confined: at once, by its threads, by its
/// forks, and after its exec.
#[test]
fn a_process_that_changes_its_user_stays_confined() {
    let place = Place::with(true);
    let mut touch = program("/usr/bin/touch");
    touch["args"] = json!([[place.path("out/good")]]);
    let setpriv = json!({ "path": "/usr/bin/setpriv", "may_run": ["/usr/bin/touch"] });
    let programs = [touch, program("/usr/bin/true"), setpriv];
    let more = json!({
        "capabilities": ["setuid", "setgid"],
        "syscalls": { "allow": ["setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups",
            "capset", { "call": "prctl", "arg": 0, "in": ["PR_SET_KEEPCAPS", "PR_CAPBSET_DROP"] }] },
        "fallback": "degrade",
    });
    let Some(said) = place.confined("users", &programs, &more) else { return };
    for actor in ["itself", "a thread", "a fork", "a thread's fork", "without a leader", "its exec"] {
        said.has(&format!("{actor}: good code 0")).has(&format!("{actor}: evil refused"));
    }
    said.has("while threads are made: 0 refused");
    said.lacks("evil ran");
}

#[test]
fn a_race_after_a_change_of_user_is_lost() {
    let more = json!({
        "capabilities": ["setuid", "setgid"],
        "syscalls": { "allow": ["setresuid", "setresgid"] },
        "fallback": "degrade",
    });
    loses("race-loader-as-user", |_| vec![program("/usr/bin/true")], &more, "/programs");
}

#[test]
fn users_of_a_program_are_those_alone() {
    let place = Place::with(true);
    let mut id = program("/usr/bin/id");
    id["user"] = json!([0]);
    let more = json!({
        "capabilities": ["setuid"], "syscalls": { "allow": ["setuid"] }, "fallback": "degrade",
    });
    let Some(said) = place.confined("user", &[id], &more) else { return };
    said.has("as root: code 0").has("as another: Err(PermissionDenied)");
    // What it asks for was read, so it has its errno.
    said.reports("denied", "/programs/1/user");
}

/// Failing execs keep their errno, and everything that an app does around an exec is as
/// without us.
#[test]
fn the_app_is_unharmed() {
    let place = Place::new();
    place.script("text", "no program");
    place.script("script", "#!/bin/sh\nexit 3\n");
    let Some(free) = place.unconfined("harm") else { return };
    let place = Place::new();
    place.script("text", "no program");
    let script = place.script("script", "#!/bin/sh\nexit 3\n");
    let programs = [
        program("/usr/bin/true"),
        program("/usr/bin/sleep"),
        json!({ "path": script, "interpreter": "/bin/sh" }),
    ];
    let said = place.confined("harm", &programs, &json!({})).expect("as before");
    let harm = |said: &Said| -> Vec<String> {
        said.text.lines().filter(|line| line.starts_with("harm ")).map(str::to_owned).collect()
    };
    assert!(harm(&free).len() > 10, "{}", free.text);
    assert_eq!(harm(&free), harm(&said), "{}", said.text);
}

/// A process that interferes with the supervisor is refused or killed, and delays no other.
#[test]
fn games_with_the_supervisor_are_lost() {
    let place = Place::new();
    let programs = [program("/usr/bin/true"), program("/usr/bin/touch")];
    let more = json!({ "runs": ["/usr/bin/true"], "syscalls": { "allow": ["ptrace"] } });
    let Some(said) = place.confined("games", &programs, &more) else { return };
    // One that made itself undumpable is traced, and executes what it may.
    said.has("traced: Err(PermissionDenied)").has("undumpable: exit 0");
    said.has("many threads: 40 rounds").has("continued: lost").lacks("evil ran");
    said.has("late deaths: some of 37 rounds");
    said.has("afterwards: code 0");
}

#[test]
fn static_programs_alone_are_confined_by_landlock() {
    let place = Place::new();
    let Some(said) = place.confined("nothing", &[], &json!({})) else { return };
    assert_eq!(said.layer("exec-check")["state"], "active");
    assert!(said.layer("exec-check")["detail"].as_str().expect("text").contains("Landlock alone"));
}

/// What the profile keeps is neither taken out at the launch nor refused afterwards.
#[test]
fn a_variable_that_the_profile_keeps_is_let_be() {
    let place = Place::new();
    let more = json!({ "environment": { "drop": ["HARMLESS"], "keep": ["LD_LIBRARY_PATH", "GCONV*"] } });
    let Some(said) = place.confined("variables", &[program("/usr/bin/true")], &more) else { return };
    said.has("LD_LIBRARY_PATH=x: code 0").has("GCONV_PATH=x: code 0").has("LD_PRELOAD=x: signal 9");
    said.has("HARMLESS=x: signal 9");
}

/// Where the kernel has them (Linux 6.14), the bits that ask interpreters to run files
/// alone are set and locked.
#[test]
fn interpreters_get_files_alone() {
    let place = Place::new();
    let script = place.script("script", "#!/bin/sh\nexit 0\n");
    let programs = [json!({ "path": script, "interpreter": "/bin/sh" })];
    let Some(said) = place.confined("bits", &programs, &json!({})) else { return };
    let release = nix::sys::utsname::uname().expect("uname");
    let release: remit::kernel::Release = release.release().to_string_lossy().parse().expect("a release");
    if release >= remit::kernel::Release::new(6, 14) {
        said.has("bits: 0xf00");
    } else {
        said.has("bits: 0x0");
    }
}
