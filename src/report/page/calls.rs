//! The system calls by family.

use askama::Template;

use super::grant::{GrantIndex, GrantText};
use super::shown;
use crate::kernel::Arch;
use crate::report::calls::{FamilyCall, by_family};
use crate::review::Permitted;
use crate::review::calls::AllowedCalls;

/// The section of system calls.
#[derive(Template)]
#[template(path = "report/calls.html", whitespace = "minimize")]
pub(super) struct CallsPart {
    arch: &'static str,
    /// How many calls are allowed.
    pub allowed: usize,
    /// How many Docker's default profile allows.
    pub docker: usize,
    all: usize,
    beyond: usize,
    most: usize,
    rows: Vec<FamilyRow>,
    entries: Vec<EntryRow>,
}

struct FamilyRow {
    title: &'static str,
    about: &'static str,
    all: usize,
    allowed: Vec<FamilyCall>,
    within: usize,
    docker: usize,
    docker_only: Vec<&'static str>,
}

/// A call that an entry of the profile lists.
struct EntryRow {
    sentence: String,
    grant: GrantText,
}

impl CallsPart {
    pub fn of(allowed: &AllowedCalls, grants: &GrantIndex<'_>, arch: Arch) -> CallsPart {
        let rows: Vec<FamilyRow> = by_family(allowed, arch)
            .into_iter()
            .map(|calls| FamilyRow {
                title: calls.family.title(),
                about: calls.family.about(),
                all: calls.all,
                within: calls.allowed.iter().filter(|call| !call.is_beyond_docker).count(),
                allowed: calls.allowed,
                docker: calls.docker,
                docker_only: calls.docker_only,
            })
            .collect();
        let listed = grants.below("/syscalls").filter(|one| matches!(one.what, Permitted::Call { .. }));
        let entries = listed
            .map(|one| EntryRow { sentence: shown(&one.sentence), grant: GrantText::of(one) })
            .collect();
        let sum = |of: fn(&FamilyRow) -> usize| rows.iter().map(of).sum();
        CallsPart {
            arch: arch.name(),
            allowed: sum(|row| row.allowed.len()),
            docker: sum(|row| row.docker),
            all: sum(|row| row.all),
            beyond: sum(|row| row.allowed.len() - row.within),
            most: rows.iter().map(|row| row.all).max().unwrap_or(1),
            rows,
            entries,
        }
    }
}
