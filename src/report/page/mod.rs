//! The sections of the report, each a part with a template of its own.

mod calls;
mod capabilities;
mod difference;
mod exposure;
mod facts;
mod files;
mod grant;
mod learning;
mod network;
mod programs;
mod reachable;
mod violations;

use askama::Template;

use self::calls::CallsPart;
use self::capabilities::CapabilitiesPart;
use self::difference::DifferencePart;
use self::exposure::ExposurePart;
use self::facts::{SettingFact, Tile};
use self::files::FilesPart;
use self::grant::GrantIndex;
use self::learning::LearningPart;
use self::network::NetworkPart;
use self::programs::ProgramsPart;
use self::reachable::ReachablePart;
use self::violations::ViolationsPart;
use super::ReportInput;
use super::security_policy::security_policy;
use crate::review::{ProfileReview, ReviewInput};
use crate::visible;

/// The style sheet, which is in the file.
pub(super) const STYLE: &str = include_str!("../../../templates/report.css");

/// The whole page.
#[derive(Template)]
#[template(path = "report.html", whitespace = "minimize")]
struct ReportPage<'p> {
    name: &'p str,
    source: String,
    digest: &'p str,
    version: &'static str,
    security_policy: String,
    style: &'static str,
    tiles: Vec<Tile>,
    facts: Vec<SettingFact>,
    warnings: Vec<String>,
    exposure: ExposurePart,
    programs: ProgramsPart,
    files: FilesPart,
    network: NetworkPart,
    capabilities: CapabilitiesPart,
    calls: CallsPart,
    reachable: ReachablePart,
    learning: LearningPart,
    violations: ViolationsPart,
    difference: DifferencePart,
}

/// Writes the page.
pub(super) fn write(input: &ReportInput<'_>) -> Result<String, askama::Error> {
    let document = input.document;
    let profile = &document.profile;
    let review = ProfileReview::of(document, input.evidence.map(|evidence| &evidence.support));
    let lookups = ReviewInput::of(profile);
    let grants = GrantIndex::of(&review);
    let exposure = ExposurePart::of(input, &lookups);
    let calls = CallsPart::of(&lookups.calls, &grants, input.arch);
    let page = ReportPage {
        name: &profile.name,
        source: shown(input.source),
        digest: &document.digest,
        version: env!("CARGO_PKG_VERSION"),
        security_policy: security_policy(STYLE),
        style: STYLE,
        tiles: facts::tiles(input, &calls, &exposure),
        facts: facts::facts(profile),
        warnings: facts::warnings(input, &grants),
        exposure,
        programs: ProgramsPart::of(profile, &grants),
        files: FilesPart::of(profile, &grants),
        network: NetworkPart::of(profile, &grants),
        capabilities: CapabilitiesPart::of(profile, &grants),
        calls,
        reachable: ReachablePart::of(input.reach),
        learning: LearningPart::of(input.evidence),
        violations: ViolationsPart::of(input.violations, &document.digest),
        difference: DifferencePart::of(input),
    };
    page.render()
}

/// Text of a file, in one line. The template escapes what HTML gives a meaning.
fn shown(text: &str) -> String {
    visible::line(text).into_owned()
}

/// A share in whole per cent.
fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
