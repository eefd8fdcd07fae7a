//! The profiles that are compiled into the binaries, by name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::{ReadError, either};
use super::nearest::nearest;
use super::read::{digest, parse};
use super::{Document, Entry, Program, Transition, json, read};

/// Each embedded profile's name and text.
const PROFILES: [(&str, &str); 6] = [
    ("baseline", include_str!("../../profiles/baseline.json")),
    ("health", include_str!("../../profiles/health.json")),
    ("nginx", include_str!("../../profiles/nginx.json")),
    ("redis", include_str!("../../profiles/redis.json")),
    ("static", include_str!("../../profiles/static.json")),
    ("strict", include_str!("../../profiles/strict.json")),
];

/// The names, sorted.
pub const NAMES: [&str; 6] =
    [PROFILES[0].0, PROFILES[1].0, PROFILES[2].0, PROFILES[3].0, PROFILES[4].0, PROFILES[5].0];

/// The maximum number of programs beside COMMAND: each may run each other, so that the list grows
/// by the square.
const MOST_BESIDE: usize = 256;

/// The text of a profile by its name, as in `profiles/`.
pub fn named(name: &str) -> Option<&'static str> {
    PROFILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Where the entrypoints of official images look for the hooks that they run: nginx's
/// and its kin, and the databases'. Few images have them, so they are in none's copy
/// of `baseline`.
const HOOKS: [&str; 2] = ["/docker-entrypoint.d", "/docker-entrypoint-initdb.d"];

/// The directories of which `baseline` takes those that are there, each file below for
/// a program.
pub const PLACES: [&str; 6] = ["/usr", "/bin", "/sbin", "/opt", HOOKS[0], HOOKS[1]];

/// The properties of the image on which `baseline`, `health` and `strict` depend.
pub struct Around<'a> {
    /// COMMAND, resolved by PATH.
    pub command: &'a Path,
    /// The files with an execute bit in COMMAND's own directory; called only where COMMAND lies outside baseline's own directories.
    pub beside: &'a dyn Fn() -> Vec<PathBuf>,
    /// The image's other directories of programs, see [`trees`](crate::image::trees).
    pub trees: &'a dyn Fn() -> Vec<PathBuf>,
    /// The interpreter in a file's `#!` line, if it is a script.
    pub interpreter: &'a dyn Fn(&Path) -> Option<PathBuf>,
    /// Whether a directory exists.
    pub exists: &'a dyn Fn(&Path) -> bool,
}

/// The profile by its name, as it is in force: `health` and `strict` have COMMAND for
/// their only program; `baseline` has those of its directories that exist and, unless they
/// cover it, COMMAND and the programs beside it. Others are unchanged.
///
/// # Errors
/// No profile has the name; a profile cannot have COMMAND's path (not absolute, not
/// normal, not UTF-8); there are more programs beside it than can be listed.
pub fn expand(name: &str, around: &Around) -> Result<Document, ReadError> {
    let text = named(name).ok_or_else(|| ReadError::whole(unknown(name)))?;
    let fit = match name {
        "health" | "strict" => only,
        "baseline" => beneath_and_beside,
        _ => return read(text.as_bytes()),
    };
    // Read as a profile below, and by the tests as it stands. Nothing else in it is written anew.
    let Some(written) = json::member(text, "programs") else { return read(text.as_bytes()) };
    let (before, after) = text.split_at(json::position(text, written));
    let after = &after[written.len()..];
    let mut programs = fit(around, serde_json::from_str(written).unwrap_or_default())?;
    let mut profile = parse(&format!("{before}{programs}{after}"))?;
    if name == "baseline" {
        each_may_run_each(&mut profile.programs, &mut programs);
    }
    let text = format!("{before}{programs}{after}");
    Ok(Document { profile, digest: digest(&text), text })
}

/// Adds a transition from each program to each, as it is read and as it is written. These lists are not
/// read: they would be a quarter of a launch.
fn each_may_run_each(programs: &mut [Program], written: &mut Value) {
    let paths: Vec<&Path> = programs.iter().map(|program| program.place.path()).collect();
    let list = json!(paths);
    let to = |path: &&Path| Entry { what: Transition { path: path.into(), applet: None }, why: None };
    let transitions: Vec<_> = paths.iter().map(to).collect();
    for (at, program) in programs.iter_mut().enumerate() {
        program.may_run.clone_from(&transitions);
        written[at]["may_run"] = list.clone();
    }
}

fn unknown(name: &str) -> String {
    let meant = nearest(name, NAMES).map(|meant| format!("did you mean {meant:?}? Expected"));
    let expected = meant.as_deref().unwrap_or("expected");
    format!(
        "no embedded profile is called {name:?}; {expected} {}, or a file, whose name has a slash in it",
        either(NAMES)
    )
}

fn only(around: &Around, mut programs: Value) -> Result<Value, ReadError> {
    programs[0]["path"] = utf8(around.command)?.into();
    Ok(programs)
}

fn beneath_and_beside(around: &Around, programs: Value) -> Result<Value, ReadError> {
    let Value::Array(all) = programs else { return Ok(programs) };
    let directory = |program: &Value| PathBuf::from(program["beneath"].as_str().unwrap_or_default());
    let hooks = HOOKS.map(|path| json!({ "beneath": path, "entry": true, "why": "hooks of the entrypoint" }));
    let mut programs: Vec<Value> =
        all.into_iter().chain(hooks).filter(|program| (around.exists)(&directory(program))).collect();
    let covers =
        |programs: &[Value], path: &Path| programs.iter().any(|program| path.starts_with(directory(program)));
    let trees: Vec<PathBuf> = (around.trees)().into_iter().filter(|tree| !covers(&programs, tree)).collect();
    if !covers(&programs, around.command) {
        for path in beside(around, &trees)? {
            let interpreter = (around.interpreter)(Path::new(&path));
            let mut program =
                json!({ "path": path, "entry": true, "why": "COMMAND's own directory, as it was at start" });
            // One that is not UTF-8 is said to be missing when the script is looked at.
            if let Some(line) = interpreter.as_deref().and_then(Path::to_str) {
                program["interpreter"] = line.into();
            }
            programs.push(program);
        }
    }
    // A name that is not UTF-8 cannot be written in a profile.
    programs.extend(trees.iter().filter_map(|tree| tree.to_str()).map(|tree| {
        json!({ "beneath": tree, "from_image": true, "entry": true, "why": "programs elsewhere, as the image has them" })
    }));
    // Each may run each, which is added to what is read.
    programs.iter_mut().for_each(|program| program["may_run"] = json!([]));
    Ok(programs.into())
}

/// COMMAND and the programs beside it, sorted. A name that is not UTF-8 cannot be
/// written in a profile, and so is not granted.
fn beside(around: &Around, trees: &[PathBuf]) -> Result<Vec<String>, ReadError> {
    let there = (around.beside)();
    let mut paths = BTreeSet::new();
    paths.insert(utf8(around.command)?.to_owned());
    paths.extend(there.iter().filter_map(|path| Some(path.to_str()?.to_owned())));
    if paths.len() > MOST_BESIDE && trees.iter().any(|tree| around.command.starts_with(tree)) {
        return Ok(vec![utf8(around.command)?.to_owned()]);
    }
    if paths.len() > MOST_BESIDE {
        return Err(ReadError::whole(format!(
            "baseline lists the programs in COMMAND's directory, and {} holds {}, more than {MOST_BESIDE}; \
             name a profile, which `remit learn` writes",
            around.command.parent().unwrap_or(around.command).display(),
            paths.len()
        )));
    }
    Ok(paths.into_iter().collect())
}

fn utf8(path: &Path) -> Result<&str, ReadError> {
    path.to_str().ok_or_else(|| {
        ReadError::whole(format!(
            "COMMAND {path:?} is not UTF-8, and a profile cannot name it; rename the file"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FileEntry, ProgramPlace, Rights};
    use super::*;

    fn places(document: &Document) -> Vec<&Path> {
        document.profile.programs.iter().map(|program| program.place.path()).collect()
    }

    fn expanded(name: &str, command: &str, beside: &[&str]) -> Document {
        let beside: Vec<PathBuf> = beside.iter().map(PathBuf::from).collect();
        let around = Around {
            command: Path::new(command),
            beside: &|| beside.clone(),
            trees: &Vec::new,
            interpreter: &|path| (path.extension()? == "sh").then(|| "/bin/sh".into()),
            exists: &|path| ["/usr", "/bin", "/sbin"].map(Path::new).contains(&path),
        };
        expand(name, &around).unwrap()
    }

    #[test]
    fn every_embedded_profile_reads_under_its_own_name() {
        for name in NAMES {
            let document =
                read(named(name).unwrap().as_bytes()).unwrap_or_else(|error| panic!("{name}.json:{error}"));
            assert_eq!(document.profile.name, name);
        }
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn strict_runs_command_alone() {
        let strict = expanded("strict", "/srv/app", &["/srv/app", "/srv/other"]);
        assert_eq!(places(&strict), [Path::new("/srv/app")]);
        assert!(strict.profile.programs[0].may_run.is_empty());
        assert!(strict.profile.files.is_empty());
    }

    #[test]
    fn health_runs_a_probe_that_changes_nothing() {
        let health = expanded("health", "/usr/bin/wget", &["/usr/bin/sh"]);
        assert_eq!(places(&health), [Path::new("/usr/bin/wget")]);
        assert!(health.profile.programs[0].may_run.is_empty());
        assert!(health.profile.network.listen.is_empty() && health.profile.capabilities.is_empty());
        for entry in &health.profile.files {
            if let FileEntry::Path(rule) = entry {
                assert_eq!(rule.allow, Rights::READ, "{}", rule.path.display());
            }
        }
    }

    #[test]
    fn baseline_leaves_out_what_is_not_there_and_adds_what_lies_beside_command() {
        let covered = expanded("baseline", "/usr/bin/nginx", &["/usr/bin/sh"]);
        assert_eq!(places(&covered), ["/usr", "/bin", "/sbin"].map(Path::new));
        let app = expanded("baseline", "/app/server", &["/app/helper", "/app/server"]);
        assert_eq!(places(&app), ["/usr", "/bin", "/sbin", "/app/helper", "/app/server"].map(Path::new));
        for program in &app.profile.programs {
            assert!(program.entry);
            let transitions: Vec<&Path> =
                program.may_run.iter().map(|transition| transition.what.path.as_path()).collect();
            assert_eq!(transitions, places(&app), "each may run each");
        }
        assert!(matches!(app.profile.programs[4].place, ProgramPlace::Path(_)));
        assert_ne!(app.digest, covered.digest, "the digest is of what is in force");
    }

    /// Its programs are put together, not read.
    #[test]
    fn baseline_is_what_its_text_says() {
        let app = expanded("baseline", "/app/server", &["/app/helper.sh", "/app/server"]);
        let read = read(app.text.as_bytes()).unwrap();
        assert_eq!((read.profile, read.digest), (app.profile, app.digest));
    }

    #[test]
    fn baseline_takes_the_apps_own_directories_for_what_the_image_has_there() {
        let around = Around {
            command: Path::new("/app/server"),
            beside: &|| vec!["/app/helper".into()],
            trees: &|| vec!["/app".into(), "/usr/src".into()],
            interpreter: &|_| None,
            exists: &|path| path == Path::new("/usr"),
        };
        let document = expand("baseline", &around).unwrap();
        assert_eq!(places(&document), ["/usr", "/app/helper", "/app/server", "/app"].map(Path::new));
        let of_image: Vec<bool> =
            document.profile.programs.iter().map(|program| program.from_image).collect();
        assert_eq!(of_image, [false, false, false, true]);
        let many = Around { beside: &|| (0..300).map(|n| format!("/app/{n}").into()).collect(), ..around };
        let document = expand("baseline", &many).unwrap();
        assert_eq!(places(&document), ["/usr", "/app/server", "/app"].map(Path::new));
    }

    #[test]
    fn baseline_runs_the_hooks_that_are_there() {
        let around = Around {
            command: Path::new("/usr/bin/nginx"),
            beside: &Vec::new,
            trees: &Vec::new,
            interpreter: &|_| None,
            exists: &|path| ["/usr", "/docker-entrypoint.d"].map(Path::new).contains(&path),
        };
        assert_eq!(
            places(&expand("baseline", &around).unwrap()),
            ["/usr", "/docker-entrypoint.d"].map(Path::new)
        );
    }

    #[test]
    fn all_places_of_baseline_are_known() {
        let around = Around {
            command: Path::new("/usr/bin/nginx"),
            beside: &Vec::new,
            trees: &Vec::new,
            interpreter: &|_| None,
            exists: &|_| true,
        };
        assert_eq!(places(&expand("baseline", &around).unwrap()), PLACES.map(Path::new));
    }

    #[test]
    fn baseline_names_the_interpreter_of_a_script_beside_command() {
        let app = expanded("baseline", "/entrypoint.sh", &["/entrypoint.sh", "/server"]);
        let interpreter = |path: &str| {
            let mut programs = app.profile.programs.iter();
            programs.find(|program| program.place.path() == Path::new(path)).unwrap().interpreter.clone()
        };
        assert_eq!(interpreter("/entrypoint.sh"), Some("/bin/sh".into()));
        assert_eq!(interpreter("/server"), None);
    }

    #[test]
    fn baseline_grants_nothing_that_leaves_the_container() {
        let baseline = expanded("baseline", "/bin/true", &[]);
        let granted: Vec<String> =
            baseline.profile.syscalls.allow.iter().map(|entry| format!("{:?}", entry.what)).collect();
        for never in [
            "ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "mount",
            "umount2",
            "fsopen",
            "move_mount",
            "open_tree",
            "mount_setattr",
            "unshare",
            "setns",
            "pivot_root",
            "keyctl",
            "add_key",
            "request_key",
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "io_uring_setup",
            "io_uring_enter",
            "io_uring_register",
            "modify_ldt",
            "kexec_load",
            "kexec_file_load",
            "init_module",
            "finit_module",
            "delete_module",
            "open_by_handle_at",
            "name_to_handle_at",
            "memfd_secret",
            "fanotify_init",
            "fanotify_mark",
            "quotactl",
            "acct",
            "swapon",
            "swapoff",
            "reboot",
            "settimeofday",
            "clock_settime",
            "clock_adjtime",
            "adjtimex",
            "iopl",
            "ioperm",
            "syslog",
            "pidfd_getfd",
            "kcmp",
        ] {
            assert!(crate::syscalls::known(never).is_some(), "{never} is a call");
            assert!(!granted.iter().any(|rule| rule.contains(&format!("\"{never}\""))), "{never}");
        }
    }

    #[test]
    fn a_command_that_no_profile_can_name_is_an_error() {
        use std::os::unix::ffi::OsStrExt;
        fn around(command: &std::ffi::OsStr) -> Around<'_> {
            let command = Path::new(command);
            Around {
                command,
                beside: &Vec::new,
                trees: &Vec::new,
                interpreter: &|_| None,
                exists: &|_| false,
            }
        }
        let expand_for =
            |command: &std::ffi::OsStr| expand("baseline", &around(command)).unwrap_err().to_string();
        assert!(expand_for(std::ffi::OsStr::from_bytes(b"/a\xff")).contains("UTF-8"));
        assert!(expand_for("app".as_ref()).contains("absolute"));
        assert!(expand("basline", &around("/x".as_ref())).unwrap_err().to_string().contains("\"baseline\""));
    }
}
