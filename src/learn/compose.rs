//! Combines what was learned with the user's decisions: a base that it extends, an overlay that
//! overrides, and grants that the user removed, which stay removed.

use std::collections::BTreeSet;

use super::InputFault;
use super::grants;
use crate::profile::{self, Profile};

/// The user's decisions.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// Grants that were learned before and removed by the user.
    pub removed: BTreeSet<String>,
    /// Its grants are added, and its settings apply.
    pub base: Option<Profile>,
    /// Its entries replace the same ones, so that it may narrow; its settings override the others.
    pub overlay: Option<Profile>,
}

/// Combines both. A removed grant is granted only where the overlay grants it.
///
/// # Errors
/// The result is no valid profile, and why.
pub fn compose(mut learned: Profile, decided: &Decided) -> Result<(Profile, String), InputFault> {
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
    let document = profile::read(text.as_bytes()).map_err(InputFault::Learned)?;
    Ok((document.profile, text))
}

/// Copies the settings of `from`, where it has them.
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
    if from.watch != Default::default() {
        profile.watch = from.watch;
    }
    let limits = &mut profile.limits;
    limits.processes = from.limits.processes.or(limits.processes);
    limits.open_files = from.limits.open_files.or(limits.open_files);
    limits.file_size = from.limits.file_size.or(limits.file_size);
    limits.core = from.limits.core.or(limits.core);
}
