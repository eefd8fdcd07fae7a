//! What a profile allows, for a person who reviews it: every grant as a value, with a sentence, a
//! risk, its place in the text, and the evidence for it.
//!
//! [`ProfileReview`] lists the permissions of one profile, [`ProfileDiff`] compares two by their
//! meaning, [`Exposure`] rates one by a fixed table of rows, [`attacks`] says which attacks it stops,
//! and [`violation`] explains an event. All of it is pure, and looks at no file of an image: what a
//! group of files has in an image is named by the group's own list.

#![forbid(unsafe_code)]

pub mod calls;
mod conditions;
mod diff;
pub mod docker;
mod files;
mod input;
pub mod known;
mod network;
mod permission;
mod places;
mod programs;
mod risk;
mod sentence;
mod settings;
mod support;

pub use conditions::RegisterTest;
pub use diff::{ProfileDiff, SettingChange};
pub use input::ReviewInput;
pub use permission::{LimitName, Permission, Permitted, ProgramKey};
pub use places::{TextPlace, TextPlaces};
pub use risk::{RiskLevel, assess};
pub use sentence::sentence;
pub use support::{Support, SupportFile};

use crate::profile::Document;

/// The permissions of one profile.
#[derive(Clone, Debug)]
pub struct ProfileReview {
    /// In the order of the profile's text; what no entry names comes last.
    pub permissions: Vec<Permission>,
}

impl ProfileReview {
    /// Lists the permissions of a profile, with the evidence where there is some.
    pub fn of(document: &Document, evidence: Option<&SupportFile>) -> ProfileReview {
        ReviewInput::of(&document.profile).review(document, evidence, None)
    }

    /// The permissions that the entry at this JSON Pointer makes, or one within it.
    pub fn at<'r>(&'r self, pointer: &'r str) -> impl Iterator<Item = &'r Permission> {
        self.permissions.iter().filter(move |one| {
            one.pointer == pointer
                || one.pointer.strip_prefix(pointer).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}
