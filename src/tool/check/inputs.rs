//! Reads all that a check looks at.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::super::{ToolError, build};
use super::{CheckArguments, CheckError, tier};
use crate::enforce::source::beside;
use crate::gate::{
    Approval, CheckInput, EvidenceFile, NamedDocument, Requirements, RunRecord, lock,
};
use crate::profile::Document;

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
        let document = build::profile_file(path)?;
        let evidence = match evidence {
            Some(named) => Some(evidence_file(named, fs::read(named))?),
            None => {
                let beside = beside(path);
                match fs::read(&beside) {
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

fn evidence_file(path: &Path, bytes: io::Result<Vec<u8>>) -> Result<EvidenceFile, ToolError> {
    let bytes = bytes.map_err(|error| ToolError::File { path: path.to_owned(), error })?;
    Ok(EvidenceFile::read(&path.display().to_string(), &bytes)?)
}

impl<'a> CheckInputs<'a> {
    pub fn read(arguments: &'a CheckArguments) -> Result<CheckInputs<'a>, ToolError> {
        // The parser of the command line requires it.
        let path = arguments.profile.as_deref().unwrap_or(Path::new(""));
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
                let bytes = fs::read(word)
                    .map_err(|error| CheckError::NoRequirements { word: word.to_owned(), error })?;
                Requirements::read(&bytes)
                    .map_err(|error| CheckError::Format { path: word.into(), error })?
            }
        };
        let lock = read_lock(arguments.lock.as_deref(), path)?;
        let required_by = word.to_owned();
        Ok(CheckInputs { arguments, profile, against, runs, requirements, required_by, lock })
    }

    /// Has the check done with the image, where one was named.
    pub fn with_image<T>(
        &self,
        check: impl FnOnce(&CheckInput) -> Result<T, ToolError>,
    ) -> Result<T, ToolError> {
        let input = CheckInput {
            profile: self.profile.named(),
            against: self.against.as_ref().map(ProfileFiles::named),
            runs: &self.runs,
            image: None,
            requirements: &self.requirements,
            required_by: &self.required_by,
            lock: self.lock.as_ref().map(|(file, approval)| (file.as_str(), approval)),
        };
        let _ = self.arguments;
        check(&input)
    }
}

/// Reads a run, or all runs of a directory.
fn runs_at(path: &Path, runs: &mut Vec<RunRecord>) -> Result<(), ToolError> {
    let failed = |error| ToolError::File { path: path.to_owned(), error };
    if !path.is_dir() {
        let input = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
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
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ToolError::File { path, error }),
    };
    let approval = Approval::read(&bytes).map_err(|error| CheckError::Format { path: path.clone(), error })?;
    Ok(Some((path.display().to_string(), approval)))
}
