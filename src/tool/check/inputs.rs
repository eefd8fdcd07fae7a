//! Reads all that a check looks at.

use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::super::progress::ProgressLine;
use super::super::reach::{self, ProgramFiles};
use super::super::ready::READY;
use super::super::{ToolError, build, named_file, plan};
use super::{CheckArguments, CheckError, tier};
use crate::enforce::source::beside;
use crate::gate::{
    self, Approval, CheckInput, CheckedImage, EvidenceFile, GivenReach, NamedDocument, Requirements,
    RunRecord, lock,
};
use crate::image::archive::{self, ImageConfig, ReadImage};
use crate::kernel::{Arch, Kernel, Release};
use crate::profile::{self, Document, embedded};

/// The kernel for which a start in the image is tried: what only an older one lacks is not the
/// image's.
const NEWEST: Release = Release::new(6, 18);

/// What was read.
pub(super) struct CheckInputs<'a> {
    arguments: &'a CheckArguments,
    profile: ProfileFiles,
    against: Option<ProfileFiles>,
    runs: Vec<RunRecord>,
    requirements: Requirements,
    required_by: String,
    lock: Option<(String, Approval)>,
}

/// A profile, and the evidence beside it.
struct ProfileFiles {
    file: String,
    document: Document,
    evidence: Option<EvidenceFile>,
}

impl ProfileFiles {
    fn read(path: &Path, evidence: Option<&Path>) -> Result<ProfileFiles, ToolError> {
        if let Some(text) = path.to_str().and_then(by_name) {
            let document = profile::read(text.as_bytes()).map_err(ToolError::Made)?;
            let evidence = evidence.map(|named| evidence_file(named, named_file::read(named))).transpose()?;
            return Ok(ProfileFiles { file: path.display().to_string(), document, evidence });
        }
        let document = build::profile_file(path)?;
        let path = &without_digest(path);
        let evidence = match evidence {
            Some(named) => Some(evidence_file(named, named_file::read(named))?),
            None => {
                let beside = beside(path);
                match named_file::read(&beside) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    bytes => Some(evidence_file(&beside, bytes)?),
                }
            }
        };
        Ok(ProfileFiles { file: path.display().to_string(), document, evidence })
    }

    fn named(&self) -> NamedDocument<'_> {
        NamedDocument { file: &self.file, document: &self.document, evidence: self.evidence.as_ref() }
    }
}

/// The text of an embedded or ready-made profile of this name, where it is no file.
fn by_name(word: &str) -> Option<&'static str> {
    if word.contains('/') || word.ends_with(".json") || Path::new(word).exists() {
        return None;
    }
    let ready = || READY.iter().find(|ready| ready.name == word).map(|ready| ready.text);
    embedded::named(word).or_else(ready)
}

/// The file of `FILE@sha256:HEX`.
pub(in crate::tool) fn without_digest(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    text.split_once("@sha256:").map_or_else(|| path.to_owned(), |(file, _)| file.into())
}

fn evidence_file(path: &Path, bytes: io::Result<Vec<u8>>) -> Result<EvidenceFile, ToolError> {
    let bytes = bytes.map_err(|error| ToolError::File { path: path.to_owned(), error })?;
    Ok(EvidenceFile::read(&path.display().to_string(), &bytes)?)
}

impl<'a> CheckInputs<'a> {
    pub fn read(arguments: &'a CheckArguments) -> Result<CheckInputs<'a>, ToolError> {
        // The parser of the command line requires it.
        let path = Path::new(arguments.profile.as_deref().unwrap_or_default());
        let profile = ProfileFiles::read(path, arguments.evidence.as_deref())?;
        let against = arguments.against.as_deref().map(|path| ProfileFiles::read(path, None)).transpose()?;
        let mut runs = Vec::new();
        for path in &arguments.runs {
            runs_at(path, &mut runs)?;
        }
        let word = arguments.require.as_deref().unwrap_or(profile.document.profile.risk.word());
        let requirements = match tier(word) {
            Some(tier) => Requirements::tier(tier),
            None => {
                let bytes = named_file::read(Path::new(word))
                    .map_err(|error| CheckError::NoRequirements { word: word.to_owned(), error })?;
                Requirements::read(&bytes).map_err(|error| CheckError::Format { path: word.into(), error })?
            }
        };
        let lock = read_lock(arguments.lock.as_deref(), &without_digest(path))?;
        let required_by = word.to_owned();
        Ok(CheckInputs { arguments, profile, against, runs, requirements, required_by, lock })
    }

    /// The files that were named, and those beside them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let profiles = [Some(&self.profile), self.against.as_ref()].into_iter().flatten();
        let evidence = profiles.clone().filter_map(|one| one.evidence.as_ref());
        let names = profiles.map(|one| &one.file).chain(evidence.map(|file| &file.name));
        let runs = self.runs.iter().map(|record| match record {
            RunRecord::Journal(journal) => &journal.name,
            RunRecord::Events(log) => &log.name,
        });
        let names = names.chain(runs).chain([&self.required_by]);
        let names = names.chain(self.lock.iter().map(|(file, _)| file)).map(Path::new);
        let image = self.arguments.image.as_ref().map(Path::new);
        names.chain(image).chain(self.arguments.reach.as_deref())
    }

    /// Has the check done with the image, where one was named.
    pub fn with_image<T>(
        &self,
        check: impl FnOnce(&CheckInput) -> Result<T, ToolError>,
    ) -> Result<T, ToolError> {
        let Some(named) = &self.arguments.image else {
            let reach = self.reach(None)?;
            return check(&self.input(None, reach.as_ref()));
        };
        let bar = ProgressLine::bytes("reading the image");
        let image = archive::open(named, self.arch(), &mut |done, all| bar.set(done, all))?;
        let paths = gate::to_hash(&self.profile.document.profile, self.profile.evidence.as_ref());
        let digests = image.digests(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        drop(bar);
        let reach = self.reach(Some(&image))?;
        let arch = match image.config() {
            Some(config) => arch_of(config).ok_or_else(|| CheckError::Platform {
                image: image.name().to_owned(),
                os: config.os.clone(),
                architecture: config.architecture.clone(),
            })?,
            None => self.arch(),
        };
        let checked = CheckedImage {
            name: image.name().to_owned(),
            files: &image,
            digests,
            installed: image.installed()?,
            arch,
            kernel: Kernel::stock(NEWEST, arch),
            host: plan::container(),
        };
        check(&self.input(Some(&checked), reach.as_ref()))
    }

    /// What the profile's programs can call, where `--reach` is given.
    fn reach(&self, image: Option<&ReadImage>) -> Result<Option<GivenReach>, ToolError> {
        let Some(word) = &self.arguments.reach else { return Ok(None) };
        let profile = &self.profile.document.profile;
        let (name, found) = match image {
            _ if word != Path::new("image") => (word.display().to_string(), reach::read(word)?),
            Some(image) => {
                let files = ProgramFiles::Known(image);
                (image.name().to_owned(), reach::of_profile(&files, profile, &profile.name)?)
            }
            None => return Err(CheckError::NoImage.into()),
        };
        let learned = self.profile.evidence.as_ref().map(|file| file.evidence.observations.learned_calls());
        let comparison = match reach::compare(&self.profile.file, profile, learned, &found) {
            Ok(comparison) => Ok(comparison),
            Err(ToolError::OtherArch(error)) => Err(error),
            Err(error) => return Err(error),
        };
        Ok(Some(GivenReach { name, comparison }))
    }

    fn input<'i>(
        &'i self,
        image: Option<&'i CheckedImage<'i>>,
        reach: Option<&'i GivenReach>,
    ) -> CheckInput<'i> {
        CheckInput {
            profile: self.profile.named(),
            against: self.against.as_ref().map(ProfileFiles::named),
            runs: &self.runs,
            image,
            reach,
            requirements: &self.requirements,
            required_by: &self.required_by,
            lock: self.lock.as_ref().map(|(file, approval)| (file.as_str(), approval)),
        }
    }

    /// The architecture that the profile was learned on; without evidence this machine's.
    fn arch(&self) -> Arch {
        let runs = self.profile.evidence.as_ref().map(|file| file.evidence.observations.runs());
        let learned = runs.and_then(|runs| runs.first()).and_then(|run| run.fingerprint.arch.parse().ok());
        learned.unwrap_or(Arch::THIS)
    }
}

/// The architecture of an image's config, by OCI's names; none where remit runs on no such machine.
fn arch_of(config: &ImageConfig) -> Option<Arch> {
    match (&*config.os, &*config.architecture) {
        ("linux", "amd64") => Some(Arch::X86_64),
        ("linux", "arm64") => Some(Arch::Aarch64),
        _ => None,
    }
}

/// Reads a run, or all runs of a directory.
fn runs_at(path: &Path, runs: &mut Vec<RunRecord>) -> Result<(), ToolError> {
    let failed = |error| ToolError::File { path: path.to_owned(), error };
    if !path.is_dir() {
        let input = BufReader::with_capacity(1 << 16, named_file::open(path).map_err(failed)?);
        runs.push(RunRecord::read(&path.display().to_string(), input)?);
        return Ok(());
    }
    let mut inside: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        if entry.extension().is_some_and(|end| end == "jsonl") {
            inside.push(entry);
        }
    }
    if inside.is_empty() {
        return Err(CheckError::NoRuns(path.to_owned()).into());
    }
    inside.sort();
    inside.iter().try_for_each(|path| runs_at(path, runs))
}

/// The lock file that was named, or the one beside the profile.
fn read_lock(named: Option<&Path>, profile: &Path) -> Result<Option<(String, Approval)>, ToolError> {
    let path = named.map_or_else(|| lock::beside(profile), Path::to_owned);
    let bytes = match named_file::read(&path) {
        Ok(bytes) => bytes,
        // A link that leads to nothing was put there for a lock.
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(None);
        }
        Err(error) => return Err(ToolError::File { path, error }),
    };
    let approval =
        Approval::read(&bytes).map_err(|error| CheckError::Format { path: path.clone(), error })?;
    Ok(Some((path.display().to_string(), approval)))
}
