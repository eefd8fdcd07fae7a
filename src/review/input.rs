//! A profile with everything that a review looks up in it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::ProfileReview;
use super::calls::AllowedCalls;
use super::files::GrantedFiles;
use super::network;
use super::permission::{Permission, Permitted, ProgramKey};
use super::places::TextPlaces;
use super::programs::{ListedPrograms, Made};
use super::risk::assess;
use super::sentence::sentence;
use super::settings;
use super::support::SupportFile;
use crate::profile::{Document, Entry, Profile};

/// A profile, and what follows from it.
#[derive(Clone, Debug)]
pub struct ReviewInput<'p> {
    /// The profile.
    pub profile: &'p Profile,
    /// Its programs.
    pub programs: ListedPrograms<'p>,
    /// Its files.
    pub files: GrantedFiles,
    /// Its calls.
    pub calls: AllowedCalls,
}

/// What of another profile the permissions of this one are compared at.
pub(super) struct OtherProfile<'o> {
    pub keys: BTreeSet<ProgramKey>,
    pub excluded: &'o [PathBuf],
    pub dropped: &'o [Entry<String>],
}

/// A permission before it has a place, a sentence and a risk.
pub(super) struct Unplaced {
    pub made: Made,
    pub through: Option<&'static str>,
}

impl<'p> ReviewInput<'p> {
    /// Looks up a profile.
    pub fn of(profile: &'p Profile) -> ReviewInput<'p> {
        ReviewInput {
            profile,
            programs: ListedPrograms::of(profile),
            files: GrantedFiles::of(profile),
            calls: AllowedCalls::of(profile),
        }
    }

    /// The permissions of the profile, in the order of its sections.
    pub(super) fn review(
        &self,
        document: &Document,
        evidence: Option<&SupportFile>,
        other: Option<&OtherProfile>,
    ) -> ProfileReview {
        let places = TextPlaces::of(&document.text);
        let support = |one: Unplaced| self.placed(one, &places, evidence);
        let mut keys = self.programs.keys();
        let (mut excluded, mut dropped) = (&[][..], &[][..]);
        if let Some(other) = other {
            keys.extend(other.keys.iter().cloned());
            (excluded, dropped) = (other.excluded, other.dropped);
        }
        let plain = |made| Unplaced { made, through: None };
        let mut all: Vec<Unplaced> = Vec::new();
        all.extend(self.programs.permissions(&keys).into_iter().map(plain));
        all.extend(self.others(excluded, dropped));
        ProfileReview { permissions: all.into_iter().map(support).collect() }
    }

    /// The permissions of all sections but `programs`.
    fn others(&self, excluded: &[PathBuf], dropped: &[Entry<String>]) -> Vec<Unplaced> {
        let plain = |made| Unplaced { made, through: None };
        let mut all = Vec::new();
        let files = self.files.permissions(excluded).into_iter();
        all.extend(files.map(|(made, through)| Unplaced { made, through }));
        all.extend(network::permissions(self.profile).into_iter().map(plain));
        all.extend(self.calls.all.iter().map(|call| Unplaced {
            made: (call.permitted(), call.pointer.clone(), call.why.clone()),
            through: call.through,
        }));
        all.extend(settings::permissions(self.profile, dropped).into_iter().map(plain));
        all
    }

    /// The permissions of another profile that this one does not give.
    pub(super) fn uncovered(&self, other: &ReviewInput) -> Vec<Unplaced> {
        let plain = |made| Unplaced { made, through: None };
        let mut keys = self.programs.keys();
        keys.extend(other.programs.keys());
        let mut all: Vec<Unplaced> =
            self.programs.uncovered(&other.programs, &keys).into_iter().map(plain).collect();
        for mut one in other.others(self.files.excluded(), &self.profile.environment_drop) {
            if let Permitted::Call { call, alternatives, decided_by, startup_only } = &mut one.made.0 {
                *alternatives = self.calls.uncovered(call, alternatives, *decided_by, *startup_only);
                if alternatives.is_empty() {
                    continue;
                }
            } else if self.covers(&one.made.0) {
                continue;
            }
            if all.iter().all(|known| known.made.0 != one.made.0) {
                all.push(one);
            }
        }
        all
    }

    /// Whether the profile permits this, programs and calls aside.
    fn covers(&self, what: &Permitted) -> bool {
        match what {
            Permitted::File { .. }
            | Permitted::Elsewhere(_)
            | Permitted::StandardFiles
            | Permitted::NvidiaDevices
            | Permitted::EngineDevices => self.files.covers(what),
            Permitted::Listen(endpoint) => network::covers(&self.profile.network.listen, endpoint),
            Permitted::Connect(endpoint) => network::covers(&self.profile.network.connect, endpoint),
            _ => settings::covers(self.profile, what),
        }
    }

    /// A permission with its place in the text, its sentence, risk and evidence.
    pub(super) fn placed(
        &self,
        one: Unplaced,
        places: &TextPlaces,
        evidence: Option<&SupportFile>,
    ) -> Permission {
        let Unplaced { made: (what, pointer, why), through } = one;
        let place = places.at(&pointer);
        let (risk, risk_reason) = assess(&what, self.profile);
        Permission {
            line: place.line,
            column: place.column,
            sentence: sentence(&what),
            risk,
            risk_reason,
            // What a group or a section brings has the evidence of the group's own entry.
            support: evidence.and_then(|file| file.at(&pointer)),
            what,
            pointer,
            through,
            why,
        }
    }
}
