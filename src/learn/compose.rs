//! What was learned, with what people decided: a base that it continues, an overlay that
//! has the last word, and what was removed by hand, which stays removed.

use std::collections::BTreeSet;

use super::Unusable;
use super::grants;
use crate::profile::{self, Profile};

/// What people decided.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// Grants that were learned once and taken away by hand.
    pub removed: BTreeSet<String>,
    /// All that this grants is granted, and its settings hold.
    pub base: Option<Profile>,
    /// Its entries stand in the place of the same ones, so that it may narrow; its
    /// settings come first.
    pub overlay: Option<Profile>,
}

/// Puts both together. What is removed is not granted, whoever grants it but the overlay.
///
/// # Errors
/// The result is no valid profile, and why.
pub fn compose(mut learned: Profile, decided: &Decided) -> Result<(Profile, String), Unusable> {
    grants::remove(&mut learned, &decided.removed);
    if let Some(base) = &decided.base {
        grants::add(&mut learned, base, false);
        settings(&mut learned, base);
    }
    if let Some(overlay) = &decided.overlay {
        grants::add(&mut learned, overlay, true);
        settings(&mut learned, overlay);
    }
    if learned.ready.is_none() {
        learned.syscalls.startup_only.clear();
    }
    let text = profile::write(&learned);
    let document = profile::read(text.as_bytes())
        .map_err(|error| Unusable(format!("what was learned is no valid profile: {error}")))?;
    Ok((document.profile, text))
}

/// What stands in `from` besides lists, where it says something.
fn settings(profile: &mut Profile, from: &Profile) {
    profile.name.clone_from(&from.name);
    if from.risk != Default::default() {
        profile.risk = from.risk;
    }
    if from.mode != Default::default() {
        profile.mode = from.mode;
    }
    if from.on_violation != Default::default() {
        profile.on_violation = from.on_violation;
    }
    if from.fallback != Default::default() {
        profile.fallback = from.fallback;
    }
    profile.run_as = from.run_as.clone().or(profile.run_as.take());
    profile.ready = from.ready.or(profile.ready);
    profile.watch_reads |= from.watch_reads;
    let limits = &mut profile.limits;
    limits.processes = from.limits.processes.or(limits.processes);
    limits.open_files = from.limits.open_files.or(limits.open_files);
    limits.file_size = from.limits.file_size.or(limits.file_size);
    if from.limits.core != 0 {
        limits.core = from.limits.core;
    }
}
