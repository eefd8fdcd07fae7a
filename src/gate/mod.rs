//! The gate: whether a profile, with its evidence, the runs of a build, the image and the previous
//! profile, meets the requirements. It is pure: the verb `remit check` reads the files.

#![forbid(unsafe_code)]

mod calls;
mod coverage;
mod drift;
mod evidence;
mod exposure;
mod finding;
mod forbidden;
pub mod format;
mod grants;
mod image;
pub mod lock;
mod patch;
mod programs;
mod reachable;
mod requirements;
mod rules;
mod runs;
mod severity;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

pub use evidence::EvidenceFile;
pub use finding::{FindingList, GateFinding, RelatedLine};
pub use image::{CheckedImage, ImageFault, to_hash};
pub use lock::Approval;
pub use reachable::GivenReach;
pub use requirements::{ForbiddenGrants, ReasonClass, Requirements};
pub use rules::GateRule;
pub use runs::{RefusalLog, RunJournal, RunRecord};
pub use severity::Severity;

use self::coverage::ProfileCoverage;
use self::usage::GivenRuns;
use crate::profile::Document;
use crate::review::TextPlaces;

/// A profile and its file.
#[derive(Clone, Copy)]
pub struct NamedDocument<'d> {
    /// The file, as messages name it.
    pub file: &'d str,
    /// The profile.
    pub document: &'d Document,
    /// The evidence of it.
    pub evidence: Option<&'d EvidenceFile>,
}

/// All that a check looks at.
pub struct CheckInput<'c> {
    /// The profile to check.
    pub profile: NamedDocument<'c>,
    /// The previous profile.
    pub against: Option<NamedDocument<'c>>,
    /// The runs of this build.
    pub runs: &'c [RunRecord],
    /// The image.
    pub image: Option<&'c CheckedImage<'c>>,
    /// What the programs can call, where that is known.
    pub reach: Option<&'c GivenReach>,
    /// What is required, and where that is written.
    pub requirements: &'c Requirements,
    /// The name of the requirements: a tier, or a file.
    pub required_by: &'c str,
    /// The lock file, and its approval.
    pub lock: Option<(&'c str, &'c Approval)>,
}

/// What a check found.
#[derive(Debug)]
pub struct CheckReport {
    /// The file of the profile.
    pub file: String,
    /// The profile's name.
    pub name: String,
    /// The profile's digest.
    pub digest: String,
    /// The name of the requirements.
    pub required_by: String,
    /// What was looked at, a few words each.
    pub looked_at: Vec<String>,
    /// The findings: those that fail first, then by their place.
    pub findings: Vec<GateFinding>,
}

/// The answer of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// Nothing was found, and all was looked at.
    Clean,
    /// Something was found.
    Findings,
    /// Nothing was found, and not all could be looked at.
    Inconclusive,
}

impl CheckOutcome {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            CheckOutcome::Clean => 0,
            CheckOutcome::Findings => 1,
            CheckOutcome::Inconclusive => 3,
        }
    }

    /// The outcome's name in every format.
    pub const fn word(self) -> &'static str {
        match self {
            CheckOutcome::Clean => "clean",
            CheckOutcome::Findings => "findings",
            CheckOutcome::Inconclusive => "inconclusive",
        }
    }
}

impl CheckReport {
    /// The answer.
    pub fn outcome(&self) -> CheckOutcome {
        if self.findings.iter().any(GateFinding::fails) {
            CheckOutcome::Findings
        } else if self.findings.iter().any(GateFinding::is_open) {
            CheckOutcome::Inconclusive
        } else {
            CheckOutcome::Clean
        }
    }
}

/// Checks a profile.
///
/// # Errors
/// A file of the image cannot be looked at.
pub fn check(input: &CheckInput) -> Result<CheckReport, ImageFault> {
    let document = input.profile.document;
    let positions = TextPlaces::of(&document.text);
    let mut found = FindingList::new(input.profile.file, &positions);
    of_the_profile(input.profile, input, &mut found)?;
    evidence::check(document, input.profile.evidence, input.requirements, &mut found);
    if let Some(before) = input.against {
        // What the previous profile had too is listed, and does not fail.
        let earlier_positions = TextPlaces::of(&before.document.text);
        let mut earlier = FindingList::new(before.file, &earlier_positions);
        of_the_profile(before, input, &mut earlier)?;
        if before.evidence.is_some() {
            evidence::check(before.document, before.evidence, input.requirements, &mut earlier);
        }
        let known: BTreeSet<_> = earlier.found.iter().map(GateFinding::identity).collect();
        for finding in &mut found.found {
            finding.is_new = !known.contains(&finding.identity());
        }
        drift::check(before.document, document, input.lock.map(|(_, approval)| approval), &mut found);
    }
    exposure::check(input.profile, input, &mut found);
    of_this_build(input, &mut found)?;
    approval(input, &mut found);
    let mut findings = found.found;
    let place = |finding: &GateFinding| (finding.position, finding.rule, finding.subject.clone());
    findings.sort_by_cached_key(|finding| {
        (!finding.fails(), !finding.is_open(), finding.severity, place(finding))
    });
    Ok(CheckReport {
        file: input.profile.file.to_owned(),
        name: document.profile.name.clone(),
        digest: document.digest.clone(),
        required_by: input.required_by.to_owned(),
        looked_at: looked_at(input),
        findings,
    })
}

/// Findings that the previous profile may have had as well. Where it has no evidence, the libraries
/// that are used are taken from the present one's.
fn of_the_profile(
    profile: NamedDocument,
    input: &CheckInput,
    found: &mut FindingList,
) -> Result<(), ImageFault> {
    grants::check(profile.document, input.requirements, found);
    forbidden::check(profile.document, &input.requirements.forbid.programs, input.image, found)?;
    let evidence = profile.evidence.or(input.profile.evidence);
    image::writable(profile.document, evidence, input.image, found)
}

/// Findings about the runs and the image of this build, which are always new.
fn of_this_build(input: &CheckInput, found: &mut FindingList) -> Result<(), ImageFault> {
    let document = input.profile.document;
    let evidence = input.profile.evidence;
    let runs = GivenRuns { evidence, records: input.runs };
    let resolved = match input.image {
        Some(image) => image::resolved(&document.profile, image.files)?,
        None => BTreeMap::new(),
    };
    let coverage = ProfileCoverage::of(document, &resolved, &runs.loaders());
    usage::beyond(document, &coverage, input.runs, found);
    unused(input, &coverage, runs, found);
    layers(input, found);
    reachable::check(input, found);
    match input.image {
        Some(image) => image::check(document, evidence, input.requirements, image, found)?,
        None if input.requirements.digests => {
            let what =
                format!("{} requires digests that match the image; name it with --image.", input.required_by);
            found.add(GateRule::ImageNotGiven, "", "image", what);
        }
        None => {}
    }
    Ok(())
}

/// Unused grants, of which those that the previous profile had too do not fail.
fn unused(input: &CheckInput, coverage: &ProfileCoverage, runs: GivenRuns, found: &mut FindingList) {
    let before = found.found.len();
    usage::unused(input.profile.document, coverage, runs, input.requirements, found);
    let Some(previous) = input.against else { return };
    let granted = crate::learn::keys(&previous.document.profile);
    for finding in &mut found.found[before..] {
        finding.is_new = !granted.contains(&finding.subject) && !drift::had(&granted, &finding.subject);
    }
}

/// The layers that the start events of the runs have.
fn layers(input: &CheckInput, found: &mut FindingList) {
    let required = &input.requirements.layers;
    if required.is_empty() {
        return;
    }
    let mut any = false;
    for record in input.runs {
        let RunRecord::Events(log) = record else { continue };
        // Audit refuses nothing, so most layers are not in force then.
        for start in log.starts.iter().filter(|start| start.mode == "enforce") {
            any = true;
            for layer in required {
                let state = start.layers.get(layer.word());
                let (state, detail) = state.map_or(("missing", ""), |(state, detail)| (state, detail));
                if state == "active" {
                    continue;
                }
                let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
                let what = format!(
                    "The layer {} was {state}{detail} in {}:{}, and is required to be active.",
                    layer.word(),
                    log.name,
                    start.line
                );
                let finding = found.add(GateRule::LayerInactive, "", format!("layer {}", layer.word()), what);
                finding.related = vec![RelatedLine {
                    file: log.name.clone(),
                    line: Some(start.line),
                    text: format!("layer {}", layer.word()),
                }];
            }
        }
    }
    if !any {
        let words: Vec<&str> = required.iter().map(|layer| layer.word()).collect();
        let what = format!(
            "{} requires the layers {}, and no start event of an enforced run was given; name its event file with --run.",
            input.required_by,
            words.join(", ")
        );
        found.add(GateRule::LayersNotObserved, "", "layers", what);
    }
}

/// Whether the lock file approves just this profile.
fn approval(input: &CheckInput, found: &mut FindingList) {
    match input.lock {
        Some((file, approval)) if approval.profile_digest != input.profile.document.digest => {
            let by = approval.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let what = format!(
                "The profile has the digest {}, and {file} approves {} ({}{by}); review the change, then run `remit approve`.",
                input.profile.document.digest, approval.profile_digest, approval.approved
            );
            let finding = found.add(GateRule::ApprovalChanged, "", "approval", what);
            finding.related = vec![RelatedLine {
                file: file.to_owned(),
                line: None,
                text: approval.profile_digest.clone(),
            }];
        }
        None if input.requirements.approved => {
            let what = format!(
                "{} requires an approval, and there is no lock file; `remit approve` writes one.",
                input.required_by
            );
            found.add(GateRule::ApprovalMissing, "", "approval", what);
        }
        _ => {}
    }
}

fn looked_at(input: &CheckInput) -> Vec<String> {
    let mut all = vec![format!("requirements {}", input.required_by)];
    all.extend(input.profile.evidence.map(|file| format!("evidence {}", file.name)));
    all.extend(input.runs.iter().map(|record| match record {
        RunRecord::Journal(journal) => format!("journal {}", journal.name),
        RunRecord::Events(log) => format!("events {}", log.name),
    }));
    all.extend(input.against.map(|before| format!("previous profile {}", before.file)));
    all.extend(input.image.map(|image| format!("image {}", image.name)));
    all.extend(input.reach.map(|reach| format!("reachable calls of {}", reach.name)));
    all.extend(input.lock.map(|(file, _)| format!("lock {file}")));
    all
}
