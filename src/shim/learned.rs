//! Compares this environment with those where the profile was learned. The tool writes the
//! evidence beside a profile; a start reads its runs alone, and needs none.

use std::path::Path;

use crate::enforce::source::beside;
use crate::image::fingerprint::{self, Fingerprint};
use crate::image::packages::{self, installed};
use crate::journal::run::runs_in;
use crate::kernel::Arch;

/// Bytes of the evidence that are read: more than a thousand runs.
const MOST: u64 = 4 << 20;

/// How this environment differs from those where the profile of this file was learned.
pub(super) fn environment_mismatches(profile: &Path) -> Vec<String> {
    let evidence = packages::text(&beside(profile), MOST).unwrap_or_default();
    let learned: Vec<Fingerprint> = runs_in(&evidence).into_iter().map(|run| run.fingerprint).collect();
    if learned.is_empty() {
        return Vec::new();
    }
    fingerprint::mismatches(&learned, Arch::THIS, &installed(Path::new("/")))
}
