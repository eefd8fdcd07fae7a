//! What no entry shows by itself: rules between the entries of a profile. By path
//! only; the plan looks again, at the inodes.

use std::path::Path;

use super::nearest::nearest;
use super::{FileEntry, Profile, Program, Rights};

/// A rule that is broken, and where.
pub(super) struct Wrong {
    /// JSON Pointer of the entry.
    pub pointer: String,
    /// What is wrong with it.
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
    edges_lead_somewhere(&profile.programs)?;
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
    for (index, program) in programs.iter().enumerate() {
        let path = program.place.path();
        let same = |earlier: &Program| {
            let apart =
                matches!((&earlier.applet, &program.applet), (Some(one), Some(other)) if one != other);
            earlier.place.path() == path && !apart
        };
        if let Some(earlier) = programs[..index].iter().position(same) {
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

fn edges_lead_somewhere(programs: &[Program]) -> Result<(), Wrong> {
    for (index, program) in programs.iter().enumerate() {
        for (number, edge) in program.may_run.iter().enumerate() {
            let pointer = format!("/programs/{index}/may_run/{number}");
            let path = edge.what.path.display();
            let mut there = programs.iter().filter(|other| other.place.path() == edge.what.path).peekable();
            if there.peek().is_none() {
                let paths = programs.iter().filter_map(|other| other.place.path().to_str());
                let instead = match nearest(&path.to_string(), paths) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => format!("add {{\"path\": \"{path}\"}} to programs, or take it out here"),
                };
                return wrong(pointer, format!("{path} is no entry of programs; {instead}"));
            }
            let Some(applet) = &edge.what.applet else { continue };
            if !there.any(|other| other.applet.as_ref() == Some(applet)) {
                return wrong(pointer, format!("no entry of programs for {path} has the applet {applet:?}"));
            }
        }
    }
    Ok(())
}

fn nothing_writes_programs_or_proc(profile: &Profile) -> Result<(), Wrong> {
    const CHANGING: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);
    for (index, entry) in profile.files.iter().enumerate() {
        let FileEntry::Path(rule) = entry else { continue };
        if !rule.allow.intersects(CHANGING) {
            continue;
        }
        let pointer = format!("/files/{index}");
        for program in &profile.programs {
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
        if rule.path.starts_with("/proc") || rule.path == Path::new("/") {
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

/// The program's file or directory that rights on `granted`, and on all below it, reach.
fn changed_by<'p>(program: &'p Program, granted: &Path) -> Option<&'p Path> {
    let place = program.place.path();
    let inside = matches!(program.place, super::ProgramPlace::Beneath(_)) && granted.starts_with(place);
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
