//! Reads what [`Reach::json`] wrote: the answer of `remit reach --format json`, for the verbs that
//! compare a profile with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::print::VERSION;
use super::report::{GapKind, ObjectSummary, Reach, ReachGap, ReachableCall};

/// The most bytes of a file that are read.
pub const MOST_FILE_BYTES: u64 = 64 << 20;

/// Why bytes are no answer of `remit reach`: the rest of a sentence that begins with the file.
#[derive(Debug, PartialEq, Eq)]
pub enum ReachFileFault {
    /// No JSON, or not the document that is expected.
    Format(String),
    /// A newer version.
    Version(u64),
    /// An architecture that is not known.
    Arch(String),
}

impl fmt::Display for ReachFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReachFileFault::Format(what) => {
                write!(f, "is no answer of `remit reach --format json`: {what}")
            }
            ReachFileFault::Version(version) => write!(
                f,
                "version {version} of the answer is not one that this remit reads, which is {VERSION}; run `remit reach` anew"
            ),
            ReachFileFault::Arch(arch) => write!(f, "is for {arch}; expected x86_64 or aarch64"),
        }
    }
}

impl std::error::Error for ReachFileFault {}

#[derive(Deserialize)]
struct AnswerFile {
    reach: u64,
    arch: String,
    programs: Vec<String>,
    #[serde(default)]
    named: BTreeSet<String>,
    calls: BTreeMap<String, CallOfFile>,
    #[serde(default)]
    objects: Vec<ObjectOfFile>,
    gaps: Vec<GapOfFile>,
}

#[derive(Deserialize)]
struct CallOfFile {
    number: Option<u32>,
    #[serde(default)]
    sites: usize,
    #[serde(default)]
    path: Vec<String>,
    #[serde(default)]
    arguments: BTreeMap<u8, Value>,
}

#[derive(Deserialize)]
struct ObjectOfFile {
    path: String,
    origin: String,
    functions: usize,
    reachable: usize,
}

#[derive(Deserialize)]
struct GapOfFile {
    kind: String,
    unbounded: bool,
    place: String,
    what: String,
}

impl Reach {
    /// Reads the JSON of an answer.
    ///
    /// # Errors
    /// It is none, of another version, or of an architecture that is not known.
    pub fn read(bytes: &[u8]) -> Result<Reach, ReachFileFault> {
        #[derive(Deserialize)]
        struct VersionOfFile {
            reach: u64,
        }
        let format = |error: serde_json::Error| ReachFileFault::Format(error.to_string());
        let VersionOfFile { reach } = serde_json::from_slice(bytes).map_err(format)?;
        if reach != VERSION {
            return Err(ReachFileFault::Version(reach));
        }
        let file: AnswerFile = serde_json::from_slice(bytes).map_err(format)?;
        debug_assert_eq!(file.reach, VERSION);
        let arch = file.arch.parse().map_err(|_| ReachFileFault::Arch(file.arch))?;
        let calls = file.calls.into_iter().map(|(name, call)| (name, call.call())).collect();
        let objects = file.objects.into_iter().map(|one| {
            let ObjectOfFile { path, origin, functions, reachable } = one;
            (path, ObjectSummary { origin, functions, reachable })
        });
        let objects = objects.collect();
        let gaps = file.gaps.into_iter().map(GapOfFile::gap).collect();
        Ok(Reach { arch, programs: file.programs, named: file.named, objects, calls, gaps })
    }
}

impl CallOfFile {
    fn call(self) -> ReachableCall {
        let constants = |value: &Value| {
            let all = value.as_array()?;
            all.iter().map(Value::as_u64).collect::<Option<BTreeSet<u64>>>()
        };
        let arguments = self.arguments.iter().map(|(position, value)| (*position, constants(value)));
        let arguments = arguments.collect();
        ReachableCall { number: self.number, sites: self.sites, path: self.path, arguments }
    }
}

impl GapOfFile {
    /// A kind that a newer remit added counts by whether it leaves a bound.
    fn gap(self) -> ReachGap {
        let known = GapKind::ALL.into_iter().find(|kind| kind.name() == self.kind);
        let other = if self.unbounded { GapKind::Limit } else { GapKind::Assumption };
        let kind = known.filter(|kind| kind.is_unbounded() || !self.unbounded).unwrap_or(other);
        ReachGap { kind, place: self.place, what: self.what }
    }
}
