//! The report of a profile: one HTML file, which loads nothing and runs nothing.
//!
//! [`html`] makes it of values alone: the profile, its evidence, violations and another profile, as
//! [`ReportInput`] has them. [`page`] has a part for each section, which askama writes by the templates in
//! `templates/`; it escapes each text, and what a reader would not see is made visible at the end. The same
//! input gives the same bytes.

#![forbid(unsafe_code)]

pub mod calls;
pub mod drawing;
pub mod evidence;
pub mod family;
pub mod files;
mod label;
pub mod layout;
mod page;
mod plot;
pub mod programs;
mod security_policy;
pub mod violations;

pub use evidence::ReportEvidence;
pub use violations::ViolationHistory;

use crate::kernel::Arch;
use crate::profile::Document;
use crate::reach::compare::ReachComparison;
use crate::visible;

/// What a report is made of.
pub struct ReportInput<'r> {
    /// What the profile was read from: a path or a name.
    pub source: &'r str,
    /// The profile.
    pub document: &'r Document,
    /// The architecture of which the system calls are compared.
    pub arch: Arch,
    /// The evidence of the profile.
    pub evidence: Option<&'r ReportEvidence>,
    /// Violations from event files.
    pub violations: Option<&'r ViolationHistory>,
    /// The profile beside what its programs can call.
    pub reach: Option<&'r ReachComparison>,
    /// The profile to compare with: what it was read from, and itself.
    pub against: Option<(&'r str, &'r Document)>,
}

/// The report.
///
/// # Errors
/// A template cannot be written; the templates are part of the program, so this does not depend on the input.
pub fn html(input: &ReportInput<'_>) -> Result<String, askama::Error> {
    let text = page::write(input)? + "\n";
    // No character is left that a browser or an editor would obey, or not show.
    Ok(visible::lines(&text).into_owned())
}

#[cfg(test)]
mod tests;
