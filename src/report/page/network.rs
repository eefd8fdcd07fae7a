//! The endpoints.

use askama::Template;

use super::grant::{GrantIndex, GrantText};
use super::shown;
use crate::profile::{Endpoint, Entry, Profile, endpoint_text};

/// The section of endpoints.
#[derive(Template)]
#[template(path = "report/network.html", whitespace = "minimize")]
pub(super) struct NetworkPart {
    rows: Vec<EndpointRow>,
    listens: usize,
    connects: usize,
    has_support: bool,
}

struct EndpointRow {
    direction: &'static str,
    endpoint: String,
    sentence: String,
    grant: GrantText,
}

impl NetworkPart {
    pub fn of(profile: &Profile, grants: &GrantIndex<'_>) -> NetworkPart {
        let rows = |direction: &'static str, entries: &[Entry<Endpoint>]| -> Vec<EndpointRow> {
            let row = |(index, entry): (usize, &Entry<Endpoint>)| {
                let pointer = format!("/network/{direction}/{index}");
                let sentence =
                    grants.at(&pointer).first().map(|one| shown(&one.sentence)).unwrap_or_default();
                EndpointRow {
                    direction,
                    endpoint: shown(&endpoint_text(&entry.what)),
                    sentence,
                    grant: grants.text(&pointer),
                }
            };
            entries.iter().enumerate().map(row).collect()
        };
        let mut all = rows("listen", &profile.network.listen);
        all.extend(rows("connect", &profile.network.connect));
        NetworkPart {
            listens: profile.network.listen.len(),
            connects: profile.network.connect.len(),
            has_support: all.iter().any(|row| !row.grant.support.is_empty()),
            rows: all,
        }
    }
}
