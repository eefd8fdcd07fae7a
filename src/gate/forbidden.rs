//! Programs that the requirements forbid, by whatever name an entry of the profile lets them run: its
//! path, its applet, a link, or a file below its directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::coverage::canonical;
use super::finding::FindingList;
use super::image::{CheckedImage, ImageFault, each_file, stat};
use super::patch;
use super::programs::{file_name, name_of};
use super::rules::GateRule;
use super::severity::Severity;
use crate::image::{FileId, FileInfo, FileKind};
use crate::profile::{Document, Program, ProgramPlace};
use crate::review::known::{KnownProgram, known};

/// Findings about programs that are forbidden: absolute paths, and names in whatever directory.
///
/// # Errors
/// A file of the image cannot be looked at.
pub fn check(
    document: &Document,
    forbidden: &[String],
    image: Option<&CheckedImage>,
    found: &mut FindingList,
) -> Result<(), ImageFault> {
    if forbidden.is_empty() {
        return Ok(());
    }
    let text = document.value();
    let files = image.map(|image| NamedFiles::of(document, forbidden, image)).transpose()?;
    for (index, program) in document.profile.indexed_programs() {
        let (pointer, name) = (format!("/programs/{index}"), name_of(program));
        let (whole, one) = match program.place {
            ProgramPlace::Path(_) => (name.clone(), name.clone()),
            ProgramPlace::Beneath(_) => (format!("Every file below {name}"), format!("a file below {name}")),
        };
        let mut unknown = Vec::new();
        for word in forbidden {
            let (subject, runs) = if is_named(program, word) {
                (format!("program {name}"), "")
            } else {
                match files
                    .as_ref()
                    .map_or_else(|| unseen(program, word), |files| files.answer(program, word))
                {
                    MayRun::No => continue,
                    MayRun::Unknown => {
                        unknown.push(word.as_str());
                        continue;
                    }
                    MayRun::Yes(how) => (format!("program {name} as {word}"), &*format!(", {how}")),
                }
            };
            let what = format!("{whole} may be executed{runs}, and the requirements forbid {word}.");
            found.add(GateRule::ForbiddenProgram, &*pointer, subject, what).patch =
                patch::without_entry(&text, &pointer);
        }
        if !unknown.is_empty() {
            let why = match image {
                None => "cannot be seen without the image; name it with --image".to_owned(),
                Some(image) => format!("cannot be seen in {}, which has no such directory", image.name),
            };
            let what =
                format!("Whether {one} is what the requirements forbid ({}) {why}.", unknown.join(", "));
            let finding = found.add(GateRule::ForbiddenProgram, pointer, format!("files of {name}"), what);
            finding.severity = Severity::Inconclusive;
        }
    }
    Ok(())
}

/// Whether an entry may run a program that is forbidden.
enum MayRun {
    No,
    /// What shows it.
    Yes(String),
    Unknown,
}

fn is_path(word: &str) -> bool {
    word.starts_with('/')
}

/// Whether the entry itself names the program.
fn is_named(program: &Program, word: &str) -> bool {
    let is_at = |path: &Path| match is_path(word) {
        true => path.to_str().is_some_and(|path| canonical(path) == canonical(word)),
        false => file_name(path) == word,
    };
    match &program.place {
        ProgramPlace::Beneath(directory) => {
            let directory = directory.to_string_lossy();
            is_path(word) && Path::new(&*canonical(word)).starts_with(&*canonical(&directory))
        }
        ProgramPlace::Path(path) => {
            program.applet.as_deref() == Some(word)
                || is_at(path)
                || program.interpreter.as_deref().is_some_and(is_at)
        }
    }
}

fn is_multi_call(path: &Path) -> bool {
    known(path, None) == Some(KnownProgram::MultiCall)
}

/// Whether the entry is for an applet of this name, or for every applet.
fn has_applet(program: &Program, name: &str) -> bool {
    program.applet.as_ref().is_none_or(|applet| applet == name)
}

const ANY_APPLET: &str = "as any of its applets";

/// The answer without an image.
fn unseen(program: &Program, word: &str) -> MayRun {
    match &program.place {
        ProgramPlace::Beneath(_) => MayRun::Unknown,
        ProgramPlace::Path(path) if !is_multi_call(path) => MayRun::No,
        // A forbidden path may be a link to it.
        ProgramPlace::Path(_) if is_path(word) && has_applet(program, file_name(Path::new(word))) => {
            MayRun::Unknown
        }
        ProgramPlace::Path(_) if program.applet.is_none() => MayRun::Yes(ANY_APPLET.to_owned()),
        ProgramPlace::Path(_) => MayRun::No,
    }
}

/// The files of an image that matter here.
struct NamedFiles<'i> {
    image: &'i CheckedImage<'i>,
    /// Those that a forbidden path or name leads to.
    forbidden: Vec<(PathBuf, FileInfo)>,
    /// Programs with many applets.
    multi_call: Vec<FileInfo>,
    /// The files that have entries of their own, and so are under no directory's.
    own: BTreeSet<FileId>,
}

impl<'i> NamedFiles<'i> {
    fn of(
        document: &Document,
        words: &[String],
        image: &'i CheckedImage<'i>,
    ) -> Result<NamedFiles<'i>, ImageFault> {
        let mut files = NamedFiles { image, forbidden: vec![], multi_call: vec![], own: BTreeSet::new() };
        for program in &document.profile.programs {
            if let ProgramPlace::Path(path) = &program.place {
                files.own.extend(stat(image.files, path)?.map(|info| info.id));
            }
        }
        each_file(image.files, Path::new("/"), &mut |path, info| {
            let text = path.to_str().unwrap_or_default();
            if words.iter().any(|word| word == text || word == file_name(path)) {
                files.forbidden.push((path.to_owned(), info.clone()));
            }
            if is_multi_call(path) {
                files.multi_call.push(info.clone());
            }
        })?;
        // A path of which a directory is a link.
        for path in words.iter().filter(|word| is_path(word)).map(PathBuf::from) {
            if let Some(info) = stat(image.files, &path)?.filter(|info| info.kind == FileKind::Regular) {
                files.forbidden.push((path, info));
            }
        }
        Ok(files)
    }

    fn answer(&self, program: &Program, word: &str) -> MayRun {
        // Whatever cannot be looked at here was an error for `of` already.
        let there = self.image.files.stat(program.place.path()).ok().flatten();
        let mut forbidden = self.forbidden.iter().filter(|(path, _)| match is_path(word) {
            true => path == Path::new(word),
            false => file_name(path) == word,
        });
        let at = |path: &Path| format!("which is {} in {}", path.display(), self.image.name);
        match &program.place {
            ProgramPlace::Path(path) => {
                let is_it = |(path, info): &&(PathBuf, FileInfo)| {
                    there.as_ref().is_some_and(|own| own.id == info.id)
                        && has_applet(program, file_name(path))
                };
                if let Some((path, _)) = forbidden.find(is_it) {
                    return MayRun::Yes(at(path));
                }
                let is_multi_call = is_multi_call(path)
                    || there.is_some_and(|own| self.multi_call.iter().any(|one| one.id == own.id));
                match !is_path(word) && is_multi_call && program.applet.is_none() {
                    true => MayRun::Yes(ANY_APPLET.to_owned()),
                    false => MayRun::No,
                }
            }
            ProgramPlace::Beneath(_) => {
                let Some(directory) = there.filter(|info| info.kind == FileKind::Directory) else {
                    return if program.from_image { MayRun::No } else { MayRun::Unknown };
                };
                let runs = |info: &FileInfo| {
                    info.mode & 0o111 != 0
                        && info.canonical.starts_with(&directory.canonical)
                        && !self.own.contains(&info.id)
                };
                if let Some((path, _)) = forbidden.find(|(_, info)| runs(info)) {
                    return MayRun::Yes(format!("{} in {} among them", path.display(), self.image.name));
                }
                match self.multi_call.iter().find(|info| !is_path(word) && runs(info)) {
                    Some(one) => MayRun::Yes(format!("{} {ANY_APPLET} among them", one.canonical.display())),
                    None => MayRun::No,
                }
            }
        }
    }
}
