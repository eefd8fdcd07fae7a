//! Rules between the entries of a profile. By path only; the plan checks them again, by inode.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound::{Included, Unbounded};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::nearest::nearest;
use super::{FileEntry, Profile, Program, ProgramPlace, Rights};

/// A broken rule.
pub(super) struct Wrong {
    /// JSON Pointer of the entry.
    pub pointer: String,
    /// The message about it.
    pub message: String,
}

fn wrong(pointer: String, message: String) -> Result<(), Wrong> {
    Err(Wrong { pointer, message })
}

/// # Errors
/// The first rule that is broken.
pub(super) fn check(profile: &Profile) -> Result<(), Wrong> {
    an_entry(&profile.programs)?;
    no_program_twice(&profile.programs)?;
    transitions_lead_somewhere(&profile.programs)?;
    nothing_writes_programs_or_proc(profile)?;
    start_up_has_an_end(profile)
}

fn an_entry(programs: &[Program]) -> Result<(), Wrong> {
    if programs.iter().any(|program| program.entry) {
        return Ok(());
    }
    wrong("/programs".into(), "no program has \"entry\": true; COMMAND has to be one that does".into())
}

fn no_program_twice(programs: &[Program]) -> Result<(), Wrong> {
    // The first entry of a file; the first for all of it, and for each applet.
    let mut first = HashMap::new();
    let mut same = HashMap::new();
    for (index, program) in programs.iter().enumerate() {
        let path = program.place.path();
        let earlier = match &program.applet {
            None => first.get(path).copied(),
            Some(_) => {
                let known = [same.get(&(path, None)), same.get(&(path, program.applet.as_ref()))];
                known.into_iter().flatten().min().copied()
            }
        };
        first.entry(path).or_insert(index);
        same.entry((path, program.applet.as_ref())).or_insert(index);
        if let Some(earlier) = earlier {
            return wrong(
                format!("/programs/{index}"),
                format!(
                    "{} is already /programs/{earlier}; entries of one file need an \"applet\" each, and different ones",
                    path.display()
                ),
            );
        }
    }
    Ok(())
}

fn transitions_lead_somewhere(programs: &[Program]) -> Result<(), Wrong> {
    let (mut paths, mut applets) = (HashSet::new(), HashSet::new());
    for program in programs {
        paths.insert(program.place.path());
        applets.extend(program.applet.as_ref().map(|applet| (program.place.path(), applet)));
    }
    for (index, program) in programs.iter().enumerate() {
        for (number, transition) in program.may_run.iter().enumerate() {
            let pointer = format!("/programs/{index}/may_run/{number}");
            let path = transition.what.path.display();
            if !paths.contains(transition.what.path.as_path()) {
                let paths = programs.iter().filter_map(|other| other.place.path().to_str());
                let above = programs.iter().find(|other| matches!(&other.place, ProgramPlace::Beneath(directory) if transition.what.path.starts_with(directory)));
                let instead = match (above, nearest(&path.to_string(), paths)) {
                    (Some(above), _) => {
                        let directory = above.place.path().display();
                        format!("it lies beneath {directory}, which is one: name that, or list {path} itself")
                    }
                    (None, Some(meant)) => format!("did you mean {meant:?}?"),
                    (None, None) => format!("add {{\"path\": \"{path}\"}} to programs, or take it out here"),
                };
                return wrong(pointer, format!("{path} is no entry of programs; {instead}"));
            }
            let Some(applet) = &transition.what.applet else { continue };
            if !applets.contains(&(transition.what.path.as_path(), applet)) {
                return wrong(pointer, format!("no entry of programs for {path} has the applet {applet:?}"));
            }
        }
    }
    Ok(())
}

fn nothing_writes_programs_or_proc(profile: &Profile) -> Result<(), Wrong> {
    const CHANGING: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
    let code = CodePaths::of(&profile.programs);
    for (index, entry) in profile.files.iter().enumerate() {
        let FileEntry::Path(rule) = entry else { continue };
        if !rule.allow.intersects(CHANGING) {
            continue;
        }
        let bytes = rule.path.as_os_str().as_bytes();
        let in_proc = bytes == b"/" || bytes.starts_with(b"/proc") && rule.path.starts_with("/proc");
        if !in_proc && !code.meets(&rule.path) {
            continue;
        }
        let pointer = format!("/files/{index}");
        for program in profile.programs.iter().filter(|program| !program.from_image) {
            if let Some(victim) = changed_by(program, &rule.path) {
                return wrong(
                    pointer,
                    format!(
                        "{} is a program, and the app could change it through {}; grant a narrower path, or move one of them",
                        victim.display(),
                        rule.path.display()
                    ),
                );
            }
        }
        let of = |(index, program): (usize, &'_ Program)| {
            let meets = |path: &&PathBuf| path.starts_with(&rule.path) || rule.path.starts_with(path);
            Some((index, program.libraries.iter().flatten().find(meets)?.clone()))
        };
        if let Some((index, library)) = profile.programs.iter().enumerate().find_map(of) {
            return wrong(
                pointer,
                format!(
                    "code may be mapped from {} (/programs/{index}/libraries), and the app could change it through {}; \
                     grant a narrower path, or move one of them",
                    library.display(),
                    rule.path.display()
                ),
            );
        }
        if in_proc {
            return wrong(
                pointer,
                format!(
                    "{} gives a right to write, create or remove on, above or below /proc, through which programs could \
                     be patched (/proc/PID/mem); only read may be granted there",
                    rule.path.display()
                ),
            );
        }
    }
    Ok(())
}

/// The paths that no right may change. In the order of paths what is below one follows it at once.
struct CodePaths<'p> {
    /// Files and directories.
    all: BTreeSet<&'p Path>,
    /// Directories whose files are all code, and paths of `libraries`, which may be directories: of those
    /// below one another the highest.
    around: BTreeSet<&'p Path>,
}

impl<'p> CodePaths<'p> {
    fn of(programs: &'p [Program]) -> CodePaths<'p> {
        let (mut all, mut around) = (BTreeSet::new(), BTreeSet::new());
        for program in programs {
            // It may hold data as well where only what came with the image runs from it.
            if !program.from_image {
                all.insert(program.place.path());
            }
            all.extend(program.interpreter.as_deref());
            if let ProgramPlace::Beneath(directory) = &program.place
                && !program.from_image
            {
                around.insert(directory.as_path());
            }
            all.extend(program.libraries.iter().flatten().map(PathBuf::as_path));
            around.extend(program.libraries.iter().flatten().map(PathBuf::as_path));
        }
        let mut highest: Option<&Path> = None;
        around.retain(|path: &&Path| {
            let is_below = highest.is_some_and(|above| path.starts_with(above));
            highest = if is_below { highest } else { Some(*path) };
            !is_below
        });
        CodePaths { all, around }
    }

    /// Whether one of the paths is this one, below it, or around it.
    fn meets(&self, granted: &Path) -> bool {
        let first = self.all.range::<Path, _>((Included(granted), Unbounded)).next();
        let last = self.around.range::<Path, _>((Unbounded, Included(granted))).next_back();
        first.is_some_and(|path| path.starts_with(granted))
            || last.is_some_and(|directory| granted.starts_with(directory))
    }
}

/// The program's file or directory that rights on `granted`, and on all below it, cover.
fn changed_by<'p>(program: &'p Program, granted: &Path) -> Option<&'p Path> {
    let place = program.place.path();
    let inside = matches!(program.place, ProgramPlace::Beneath(_)) && granted.starts_with(place);
    let interpreter = program.interpreter.as_deref().filter(|path| path.starts_with(granted));
    (inside || place.starts_with(granted)).then_some(place).or(interpreter)
}

fn start_up_has_an_end(profile: &Profile) -> Result<(), Wrong> {
    if profile.syscalls.startup_only.is_empty() || profile.ready.is_some() {
        return Ok(());
    }
    wrong(
        "/ready".into(),
        "\"ready\" is missing; startup_only needs to know when start-up is over, such as {\"when\": \"listening\"}".into(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::read;

    /// The pointer and the message with which a profile of these programs and files is refused;
    /// `None`: it is read.
    fn refused(programs: Value, files: Value) -> Option<(String, String)> {
        let profile = json!({ "remit": 1, "name": "x", "programs": programs, "files": files });
        read(profile.to_string().as_bytes()).err().map(|error| (error.pointer, error.message))
    }

    #[track_caller]
    fn is_refused(programs: Value, files: Value, pointer: &str, says: &str) {
        let (at, message) = refused(programs, files).expect("refused");
        assert_eq!(at, pointer, "{message}");
        assert!(message.contains(says), "{message}");
    }

    #[test]
    fn no_right_may_change_a_program_by_path() {
        let program = json!([{ "path": "/d/x", "entry": true, "interpreter": "/i/sh" }]);
        for right in ["write", "create", "remove"] {
            let rule = |path: &str| json!([{ "path": "/ok", "allow": ["read"] }, { "path": path, "allow": ["read", right] }]);
            is_refused(program.clone(), rule("/d/x"), "/files/1", "/d/x is a program");
            is_refused(program.clone(), rule("/d"), "/files/1", "/d/x is a program");
            is_refused(program.clone(), rule("/i"), "/files/1", "/i/sh is a program");
            is_refused(program.clone(), rule("/"), "/files/1", "/d/x is a program");
            assert_eq!(refused(program.clone(), rule("/d/data")), None, "a neighbour is none");
            assert_eq!(refused(program.clone(), rule("/d/xy")), None, "nor is a name that begins alike");
        }
        let beneath = json!([{ "beneath": "/opt/app", "entry": true }]);
        is_refused(
            beneath.clone(),
            json!([{ "path": "/opt/app/data", "allow": ["create"] }]),
            "/files/0",
            "/opt/app is",
        );
        assert_eq!(
            refused(beneath, json!([{ "path": "/", "allow": ["read", "ioctl"] }, "@elsewhere"])),
            None
        );
    }

    #[test]
    fn no_right_may_change_what_code_is_mapped_from() {
        let program =
            json!([{ "path": "/x", "entry": true }, { "path": "/y", "libraries": ["/usr/lib", "/o/p.so"] }]);
        let rule = |path: &str, right| json!([{ "path": path, "allow": ["read", right] }]);
        for right in ["write", "create", "remove"] {
            for path in ["/usr", "/usr/lib", "/usr/lib/cache", "/o", "/o/p.so"] {
                is_refused(program.clone(), rule(path, right), "/files/0", "/programs/1/libraries");
            }
        }
        for free in ["/usr/library", "/o/data", "/usr/share"] {
            assert_eq!(refused(program.clone(), rule(free, "write")), None);
        }
        assert_eq!(refused(program, rule("/usr/lib", "ioctl")), None);
    }

    #[test]
    fn proc_may_only_be_read() {
        let program = json!([{ "path": "/x", "entry": true }]);
        for path in ["/proc", "/proc/self/mem"] {
            let rule = |right| json!([{ "path": path, "allow": [right] }]);
            is_refused(program.clone(), rule("write"), "/files/0", "/proc/PID/mem");
            assert_eq!(refused(program.clone(), rule("read")), None);
        }
    }

    #[test]
    fn entries_of_one_file_differ_in_their_applets() {
        let both = |first: Value, second: Value| json!([first, second]);
        let entry = |applet: Option<&str>| match applet {
            Some(applet) => json!({ "path": "/b", "entry": true, "applet": applet }),
            None => json!({ "path": "/b", "entry": true }),
        };
        assert_eq!(refused(both(entry(Some("sh")), entry(Some("cat"))), json!([])), None);
        for (first, second) in
            [(Some("sh"), Some("sh")), (Some("sh"), None), (None, Some("sh")), (None, None)]
        {
            is_refused(both(entry(first), entry(second)), json!([]), "/programs/1", "already /programs/0");
        }
    }

    #[test]
    fn a_transition_leads_to_an_entry_and_to_an_applet_of_it() {
        let programs = |transition: Value| {
            json!([{ "path": "/app", "entry": true, "may_run": ["/app", transition] },
                   { "path": "/bin/busybox", "applet": "sh" }, { "beneath": "/usr/bin" }])
        };
        for good in
            [json!("/bin/busybox"), json!({ "path": "/bin/busybox", "applet": "sh" }), json!("/usr/bin")]
        {
            assert_eq!(refused(programs(good), json!([])), None);
        }
        let at = "/programs/0/may_run/1";
        is_refused(programs(json!("/bin/busybax")), json!([]), at, "did you mean \"/bin/busybox\"?");
        is_refused(
            programs(json!({ "path": "/bin/busybox", "applet": "cat" })),
            json!([]),
            at,
            "applet \"cat\"",
        );
        is_refused(programs(json!("/usr/bin/env")), json!([]), at, "beneath /usr/bin");
    }
}
