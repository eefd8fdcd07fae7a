//! The reports of a check: any number of formats, all files or none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::ToolError;
use super::super::staged::{self, StagedFile};
use super::CheckError;
use crate::gate::CheckReport;
use crate::gate::format::ReportFormat;
use crate::profile::nearest;
use crate::visible::{self, Colours};

/// Where each format goes; `None` is stdout.
pub(super) struct Outputs(Vec<(ReportFormat, Option<PathBuf>)>);

impl Outputs {
    /// Reads the items of `--output`.
    pub fn parse(items: &[String]) -> Result<Outputs, CheckError> {
        let mut outputs = Vec::new();
        let mut targets = BTreeSet::new();
        for item in items {
            let (word, target) = item.split_once('=').unwrap_or((item, "-"));
            let format = ReportFormat::of(word).ok_or_else(|| CheckError::NoFormat {
                item: item.clone(),
                nearest: nearest(word, ReportFormat::NAMES.iter().map(|(_, name)| *name)),
            })?;
            if target.is_empty() {
                return Err(CheckError::NoTarget(item.clone()));
            }
            let target = (target != "-").then(|| PathBuf::from(target));
            if let Some(path) = &target {
                if !targets.insert(staged::end(path)) {
                    return Err(CheckError::SameTarget(path.clone()));
                }
                if path.is_dir() {
                    return Err(CheckError::IsDirectory(path.clone()));
                }
            }
            outputs.push((format, target));
        }
        Ok(Outputs(outputs))
    }

    /// The files that are written.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|(_, target)| target.as_deref())
    }

    /// Writes all files to the disk, each beside its place; returns what goes to stdout, escaped, and
    /// them.
    pub fn write(&self, report: &CheckReport) -> Result<(String, Vec<StagedFile>), ToolError> {
        let mut stdout = String::new();
        let mut files = Vec::new();
        for (format, target) in &self.0 {
            match target {
                None => {
                    let text = format.write(report, Colours::of_stdout());
                    // The text has escaped each of its parts, and colours between them.
                    stdout += &match format {
                        ReportFormat::Text => text.into(),
                        _ => visible::lines(&text),
                    };
                }
                Some(path) => {
                    files.push(StagedFile::write(path, format.write(report, Colours::NONE))?);
                }
            }
        }
        Ok((stdout, files))
    }
}
