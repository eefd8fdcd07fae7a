//! `remit diff`: two profiles compared by what they permit.

use serde_json::{Value, json};

use super::reviewed::{self, ReviewedProfile, TextLines};
use super::{Format, VerbOutput, VerbResult};
use crate::review::{Permission, ProfileDiff};
use crate::visible::counted;
use crate::visible::sgr::{BOLD, GREEN};

/// The arguments of `remit diff`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  remit diff nginx baseline\n\n\
                        Exit codes: 0 B permits nothing that A does not, 1 it does, 2 bad input.")]
pub(super) struct DiffArguments {
    /// The first profile: a file (with a slash, or ending in .json), or a name of `remit profiles`
    #[arg(value_name = "A")]
    before: String,
    /// The second one
    #[arg(value_name = "B")]
    after: String,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &DiffArguments) -> VerbResult {
    let (before, after) = (reviewed::profile(&arguments.before)?, reviewed::profile(&arguments.after)?);
    let found =
        ProfileDiff::of(&before.document, &after.document, before.evidence.as_ref(), after.evidence.as_ref());
    let code = u8::from(found.grants_more());
    Ok(match arguments.format {
        Format::Text => VerbOutput::escaped(text(&found, &before, &after), code),
        Format::Json => VerbOutput::plain(json(&found, &before, &after).to_string(), code),
    })
}

fn text(found: &ProfileDiff, before: &ReviewedProfile, after: &ReviewedProfile) -> String {
    let mut lines = TextLines::new();
    let (a, b) = (&before.name, &after.name);
    match found.risk() {
        Some(risk) => {
            let more = format!(
                "{b} permits more than {a}: {}, the highest risk ",
                counted(found.added.len(), "permission")
            );
            lines.put_parts(&[(BOLD, &more), (reviewed::risk_colour(risk), risk.word())]);
        }
        None => lines.put_in(GREEN, format!("{b} permits nothing that {a} does not")),
    }
    reviewed::permissions(&mut lines, "+", &found.added, after);
    if !found.removed.is_empty() {
        lines.put_in(
            BOLD,
            format!("{b} no longer permits what {a} does: {}", counted(found.removed.len(), "permission")),
        );
    }
    reviewed::permissions(&mut lines, "-", &found.removed, before);
    if !found.settings.is_empty() {
        lines.put_in(BOLD, "Differences that permit nothing:");
    }
    for change in &found.settings {
        lines.put(match (&change.before, &change.after) {
            (Some(before), Some(after)) => format!("~ {before} → {after}"),
            (Some(before), None) => format!("~ no longer: {before}"),
            (None, Some(after)) => format!("~ now: {after}"),
            (None, None) => continue,
        });
    }
    for stale in [before.stale(), after.stale()].into_iter().flatten() {
        lines.put(format!("note: {stale}"));
    }
    lines.text()
}

fn json(found: &ProfileDiff, before: &ReviewedProfile, after: &ReviewedProfile) -> Value {
    let side = |one: &ReviewedProfile| json!({ "name": one.document.profile.name, "file": one.name, "digest": one.document.digest });
    let list = |list: &[Permission]| list.iter().map(Permission::json).collect::<Vec<_>>();
    let notes: Vec<String> = [before.stale(), after.stale()].into_iter().flatten().collect();
    let settings = found.settings.iter().map(|one| json!({ "before": one.before, "after": one.after }));
    json!({
        "diff": 1,
        "a": side(before),
        "b": side(after),
        "grants_more": found.grants_more(),
        "risk": found.risk().map(|risk| risk.word()),
        "added": list(&found.added),
        "removed": list(&found.removed),
        "settings": settings.collect::<Vec<_>>(),
        "notes": notes,
    })
}
