//! A profile against the image that it is for: what is there, what changed since it was learned, and
//! what the app may change.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde_json::{Value, json};

use super::coverage::canonical;
use super::evidence::EvidenceFile;
use super::finding::FindingList;
use super::grants::reasonless;
use super::patch;
use super::programs::{class_of_name, file_name, name_of};
use super::requirements::Requirements;
use super::rules::GateRule;
use super::severity::Severity;
use crate::image::fingerprint::{Fingerprint, mismatches};
use crate::image::packages::Packages;
use crate::image::{FileId, FileInfo, FileKind, ImageFiles};
use crate::kernel::{Arch, Kernel};
use crate::learn::Fact;
use crate::learn::libraries::used_libraries;
use crate::plan::{Host, Plan};
use crate::profile::{Document, FileEntry, Mode, Profile, Program, ProgramPlace, Rights};

/// An image, as the check reads it.
pub struct CheckedImage<'i> {
    /// Its name in messages.
    pub name: String,
    /// Its files.
    pub files: &'i dyn ImageFiles,
    /// The digests of [`to_hash`]'s paths at which a regular file is: bare lower-case hex.
    pub digests: BTreeMap<PathBuf, String>,
    /// All installed packages.
    pub installed: Packages,
    /// Its architecture.
    pub arch: Arch,
    /// A kernel and a container for which a start is tried.
    pub kernel: Kernel,
    /// The container.
    pub host: Host,
}

/// Why an image cannot be looked at: a file of it, and the error.
#[derive(Debug)]
pub struct ImageFault {
    /// The path in the image.
    pub path: PathBuf,
    /// The error.
    pub error: io::Error,
}

/// Where a program is looked for that is not at its path.
const PLACES: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The files of the image whose digests the check needs.
pub fn to_hash(profile: &Profile, evidence: Option<&EvidenceFile>) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    for program in &profile.programs {
        if let ProgramPlace::Path(path) = &program.place {
            paths.insert(path.clone());
        }
    }
    let learned = learned_digests(evidence);
    let libraries = evidence.map(|file| used_libraries(&file.evidence.observations)).unwrap_or_default();
    let known = libraries.into_iter().filter(|path| learned.contains_key(&*canonical(path)));
    paths.extend(known.map(PathBuf::from));
    paths
}

/// The paths of the profile that lead elsewhere in the image, by what they lead to.
///
/// # Errors
/// A file of the image cannot be looked at.
pub fn resolved(profile: &Profile, files: &dyn ImageFiles) -> Result<BTreeMap<String, String>, ImageFault> {
    let mut found = BTreeMap::new();
    let programs = profile.programs.iter().map(|program| program.place.path());
    let interpreters = profile.programs.iter().filter_map(|program| program.interpreter.as_deref());
    let rules = profile.files.iter().filter_map(|entry| match entry {
        FileEntry::Path(rule) => Some(rule.path.as_path()),
        FileEntry::Group(_) => None,
    });
    for path in programs.chain(interpreters).chain(rules) {
        let end = match stat(files, path)? {
            Some(info) => info.canonical,
            None => files.trail(path).end,
        };
        if end != path {
            found.insert(path.display().to_string(), end.display().to_string());
        }
    }
    Ok(found)
}

/// The attributes of a file.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn stat(files: &dyn ImageFiles, path: &Path) -> Result<Option<FileInfo>, ImageFault> {
    files.stat(path).map_err(|error| ImageFault { path: path.to_owned(), error })
}

/// Findings about the image.
///
/// # Errors
/// A file of the image cannot be looked at.
pub fn check(
    document: &Document,
    evidence: Option<&EvidenceFile>,
    requirements: &Requirements,
    image: &CheckedImage,
    found: &mut FindingList,
) -> Result<(), ImageFault> {
    programs(document, evidence, requirements, image, found)?;
    beneath(document, requirements, image, found)?;
    if let Some(file) = evidence {
        libraries(file, requirements, image, found)?;
        packages(file, image, found);
    }
    let explains_start = |finding: &super::finding::GateFinding| {
        matches!(finding.rule, GateRule::ProgramMissing | GateRule::ProgramWritable)
    };
    if !found.found.iter().any(explains_start) {
        start(document, image, found);
    }
    Ok(())
}

/// The digests that runs showed, by the path of the program or library.
fn learned_digests(evidence: Option<&EvidenceFile>) -> BTreeMap<String, BTreeSet<String>> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for fact in evidence.into_iter().flat_map(|file| file.evidence.observations.facts().into_keys()) {
        if let Fact::Digest { path, sha256 } = fact {
            known.entry(canonical(path).into_owned()).or_default().insert(sha256.clone());
        }
    }
    known
}

fn programs(
    document: &Document,
    evidence: Option<&EvidenceFile>,
    requirements: &Requirements,
    image: &CheckedImage,
    found: &mut FindingList,
) -> Result<(), ImageFault> {
    let text = document.value();
    let learned = learned_digests(evidence);
    for (index, program) in document.profile.indexed_programs() {
        let ProgramPlace::Path(path) = &program.place else { continue };
        let (pointer, name) = (format!("/programs/{index}"), name_of(program));
        let there = stat(image.files, path)?.filter(|info| info.kind == FileKind::Regular);
        let Some(info) = there else {
            missing(&document.profile, program, &pointer, image, &text, found)?;
            continue;
        };
        let digest = image.digests.get(path);
        let form = canonical(&info.canonical.to_string_lossy()).into_owned();
        let known = learned.get(&form).or_else(|| learned.get(&*canonical(&path.to_string_lossy())));
        match (&program.sha256, digest, known) {
            (_, None, _) => {
                let what =
                    format!("The digest of {} could not be computed in {}.", path.display(), image.name);
                let finding = found.add(GateRule::ProgramDigest, pointer, format!("digest {name}"), what);
                finding.severity = Severity::Inconclusive;
            }
            (Some(pinned), Some(digest), _) if pinned != digest => {
                let what = format!(
                    "{} in {} has the content {digest}, and the profile requires {pinned}{}.",
                    path.display(),
                    image.name,
                    which(digest, known)
                );
                let patch =
                    json!([{ "op": "replace", "path": format!("{pointer}/sha256"), "value": digest }]);
                let finding = found.add(
                    GateRule::ProgramDigest,
                    format!("{pointer}/sha256"),
                    format!("digest {name}"),
                    what,
                );
                finding.patch = Some(patch);
            }
            (Some(_), Some(_), _) => {}
            (None, Some(digest), Some(known)) if !known.contains(digest) => {
                let was: Vec<&str> = known.iter().map(String::as_str).collect();
                let what = format!(
                    "{} in {} has the content {digest}, and was learned with {}; learn with this one before it is enforced.",
                    path.display(),
                    image.name,
                    was.join(", ")
                );
                let finding = found.add(GateRule::ProgramChanged, pointer, format!("content {name}"), what);
                if requirements.digests {
                    finding.severity = Severity::Error;
                }
            }
            (None, Some(_), Some(_)) => {}
            (None, Some(digest), None) if requirements.digests => {
                let what = format!(
                    "{} has no `sha256`, and no run showed its content, so nothing says that the image has the right one.",
                    path.display()
                );
                let patch = json!([{ "op": "add", "path": format!("{pointer}/sha256"), "value": digest }]);
                found.add(GateRule::DigestNotPinned, pointer, format!("digest {name}"), what).patch =
                    Some(patch);
            }
            (None, Some(_), None) => {}
        }
    }
    Ok(())
}

/// Whether runs showed the content that the image has.
fn which(digest: &str, known: Option<&BTreeSet<String>>) -> &'static str {
    match known {
        Some(known) if known.contains(digest) => "; runs were learned with the image's",
        Some(_) => "; no run was learned with the image's",
        None => "",
    }
}

fn missing(
    profile: &Profile,
    program: &Program,
    pointer: &str,
    image: &CheckedImage,
    text: &Value,
    found: &mut FindingList,
) -> Result<(), ImageFault> {
    let path = program.place.path();
    let others = profile.programs.iter().filter_map(|one| one.place.path().parent());
    let mut directories: Vec<&Path> = PLACES.iter().map(Path::new).chain(others).collect();
    directories.dedup();
    let mut elsewhere = BTreeMap::new();
    for directory in directories {
        let candidate = directory.join(path.file_name().unwrap_or_default());
        if let Some(info) = stat(image.files, &candidate)?.filter(|info| info.kind == FileKind::Regular) {
            elsewhere.entry(info.canonical).or_insert(candidate);
        }
    }
    let moved: Vec<&PathBuf> = elsewhere.keys().collect();
    let (what, patch) = match moved[..] {
        [] => (format!("{} is not in {}.", path.display(), image.name), None),
        [one] => (
            format!(
                "{} is not in {}, where a program of this name is {}.",
                path.display(),
                image.name,
                one.display()
            ),
            renamed(text, path, one),
        ),
        _ => {
            let all: Vec<String> = moved.iter().map(|one| one.display().to_string()).collect();
            (
                format!(
                    "{} is not in {}; programs of this name: {}.",
                    path.display(),
                    image.name,
                    all.join(", ")
                ),
                None,
            )
        }
    };
    found.add(GateRule::ProgramMissing, pointer, format!("missing {}", name_of(program)), what).patch = patch;
    Ok(())
}

/// The patch that gives a program another path, wherever the profile names it.
fn renamed(text: &Value, from: &Path, to: &Path) -> Option<Value> {
    let (from, to) = (from.to_str()?, to.to_str()?);
    let mut operations = Vec::new();
    for (index, program) in text["programs"].as_array()?.iter().enumerate() {
        let mut replace =
            |path: String| operations.push(json!({ "op": "replace", "path": path, "value": to }));
        if program["path"] == from {
            replace(format!("/programs/{index}/path"));
        }
        if program["interpreter"] == from {
            replace(format!("/programs/{index}/interpreter"));
        }
        for (number, transition) in program["may_run"].as_array().into_iter().flatten().enumerate() {
            if transition == from {
                replace(format!("/programs/{index}/may_run/{number}"));
            } else if transition["path"] == from {
                replace(format!("/programs/{index}/may_run/{number}/path"));
            }
        }
    }
    patch::valid(text, operations.into())
}

/// Shells, interpreters and package managers in directories of programs.
fn beneath(
    document: &Document,
    requirements: &Requirements,
    image: &CheckedImage,
    found: &mut FindingList,
) -> Result<(), ImageFault> {
    for (index, program) in document.profile.indexed_programs() {
        let ProgramPlace::Beneath(directory) = &program.place else { continue };
        if program.why.is_some() {
            continue;
        }
        each_file(image.files, directory, &mut |path, info| {
            if info.mode & 0o111 != 0
                && let Some(class) = class_of_name(file_name(path))
            {
                let name = path.display().to_string();
                reasonless(class, &format!("/programs/{index}"), &name, requirements, found);
            }
        })?;
    }
    Ok(())
}

/// Every name of a regular file below a directory, and that file; links of directories aside.
///
/// # Errors
/// A file of the image cannot be looked at.
pub(super) fn each_file(
    files: &dyn ImageFiles,
    top: &Path,
    take: &mut dyn FnMut(&Path, &FileInfo),
) -> Result<(), ImageFault> {
    let mut ahead = vec![top.to_owned()];
    while let Some(directory) = ahead.pop() {
        if stat(files, &directory)?.is_none_or(|info| info.kind != FileKind::Directory) {
            continue;
        }
        let listed = files.list(&directory);
        for (name, kind) in listed.map_err(|error| ImageFault { path: directory.clone(), error })? {
            let path = directory.join(name);
            let info = match files.stat(&path) {
                Ok(Some(info)) => info,
                Ok(None) => continue,
                // Links that lead to each other lead to no file.
                Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => continue,
                Err(error) => return Err(ImageFault { path, error }),
            };
            match info.kind {
                FileKind::Directory if kind.is_some() => ahead.push(path),
                FileKind::Regular => take(&path, &info),
                _ => {}
            }
        }
    }
    Ok(())
}

fn libraries(
    file: &EvidenceFile,
    requirements: &Requirements,
    image: &CheckedImage,
    found: &mut FindingList,
) -> Result<(), ImageFault> {
    let learned = learned_digests(Some(file));
    for path in used_libraries(&file.evidence.observations) {
        if stat(image.files, Path::new(&path))?.is_none() {
            let what = format!("{path}, which runs loaded, is not in {}.", image.name);
            found.add(GateRule::LibraryMissing, "", format!("library {path}"), what);
            continue;
        }
        let Some(known) = learned.get(&*canonical(&path)) else { continue };
        let (what, severity) = match image.digests.get(Path::new(&path)) {
            Some(digest) if known.contains(digest) => continue,
            Some(digest) => {
                let was: Vec<&str> = known.iter().map(String::as_str).collect();
                let what = format!(
                    "{path}, which runs loaded, has the content {digest} in {}, and had {} when they were made; learn \
                     with this one before it is enforced.",
                    image.name,
                    was.join(", ")
                );
                (what, if requirements.digests { Severity::Error } else { Severity::Warning })
            }
            None => {
                let what = format!("The digest of {path} could not be computed in {}.", image.name);
                (what, Severity::Inconclusive)
            }
        };
        found.add(GateRule::LibraryChanged, "", format!("content {path}"), what).severity = severity;
    }
    Ok(())
}

fn packages(file: &EvidenceFile, image: &CheckedImage, found: &mut FindingList) {
    let runs = file.evidence.observations.runs();
    let learned: Vec<Fingerprint> = runs.iter().map(|run| run.fingerprint.clone()).collect();
    // What the runs have and the image does not is not the same: it is unknown.
    for manager in learned.iter().flat_map(|run| run.packages.keys()).collect::<BTreeSet<_>>() {
        if !image.installed.contains_key(manager) {
            let what = format!(
                "{} has no packages of {manager} that can be read, and the runs have the packages of what they used.",
                image.name
            );
            let finding = found.add(GateRule::PackageChanged, "", format!("packages of {manager}"), what);
            finding.severity = Severity::Inconclusive;
        }
    }
    for line in mismatches(&learned, image.arch, &image.installed) {
        let subject = line.split(',').next().unwrap_or_default().to_owned();
        let what = format!("{}: {line}; learn with this image before it is enforced.", image.name);
        found.add(GateRule::PackageChanged, "", format!("package {subject}"), what);
    }
}

const CHANGES: Rights = Rights::WRITE.union(Rights::CREATE).union(Rights::REMOVE);

/// Programs and libraries that a file rule lets the app change.
///
/// # Errors
/// A file of the image cannot be looked at.
pub fn writable(
    document: &Document,
    evidence: Option<&EvidenceFile>,
    image: Option<&CheckedImage>,
    found: &mut FindingList,
) -> Result<(), ImageFault> {
    let look = |path: &Path| -> Result<(String, Option<FileId>), ImageFault> {
        let Some(image) = image else { return Ok((canonical(&path.to_string_lossy()).into_owned(), None)) };
        Ok(match stat(image.files, path)? {
            Some(info) => {
                let id = (info.kind == FileKind::Regular).then_some(info.id);
                (canonical(&info.canonical.to_string_lossy()).into_owned(), id)
            }
            None => (canonical(&image.files.trail(path).end.to_string_lossy()).into_owned(), None),
        })
    };
    let text = document.value();
    let mut code: Vec<(GateRule, PathBuf)> = Vec::new();
    for program in &document.profile.programs {
        if let ProgramPlace::Path(path) = &program.place {
            code.push((GateRule::ProgramWritable, path.clone()));
        }
        code.extend(program.interpreter.clone().map(|path| (GateRule::ProgramWritable, path)));
    }
    if let Some(file) = evidence {
        code.extend(
            used_libraries(&file.evidence.observations)
                .into_iter()
                .map(|path| (GateRule::LibraryWritable, path.into())),
        );
    }
    let mut places = Vec::new();
    for (rule, path) in code {
        let (form, id) = look(&path)?;
        places.push((rule, path, form, id));
    }
    for (index, entry) in document.profile.files.iter().enumerate() {
        let FileEntry::Path(rule) = entry else { continue };
        if !rule.allow.intersects(CHANGES) {
            continue;
        }
        let (place, id) = look(&rule.path)?;
        for (gate_rule, path, form, code_id) in &places {
            let is_same = id.is_some() && id == *code_id;
            if !is_same && !Path::new(form).starts_with(&place) {
                continue;
            }
            let how = match is_same && *form != place {
                true => " (they are one file, by a hard link)",
                false => "",
            };
            let rights: Vec<&str> = rule.allow.intersection(CHANGES).words().collect();
            let what = format!(
                "The app may change {} ({}) through {}{how}.",
                path.display(),
                rights.join(", "),
                rule.path.display()
            );
            let pointer = format!("/files/{index}");
            let patch = patch::without_rights(&text, &pointer, &["write", "create", "remove"]);
            let subject = format!("{} by {}", path.display(), rule.path.display());
            found.add(*gate_rule, pointer, subject, what).patch = patch;
        }
    }
    Ok(())
}

/// Whether remit-init would start there, as far as programs decide it: volumes are not in the image.
fn start(document: &Document, image: &CheckedImage, found: &mut FindingList) {
    if !matches!(document.profile.mode, Mode::Enforce | Mode::Audit) {
        return;
    }
    let plan = Plan::new(&document.profile, &image.kernel, &image.host, image.files, document.profile.mode);
    if let Err(error) = plan
        && error.pointer.starts_with("/programs")
    {
        let fault = error.fault.to_string();
        let what = format!("In {} remit-init would not start: {}.", image.name, fault.trim_end_matches('.'));
        found.add(GateRule::CannotStart, &*error.pointer, format!("start {fault}"), what);
    }
}
