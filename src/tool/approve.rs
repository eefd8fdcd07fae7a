//! `remit approve`: binds a profile's digest to a review.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::builder::NonEmptyStringValueParser;

use super::check::without_digest;
use super::staged::{StagedFile, refuse_inputs};
use super::{VerbOutput, VerbResult, build};
use crate::event::time::utc;
use crate::gate::{Approval, lock};

/// The arguments of `remit approve`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  remit approve profile.json --by 'the platform team'\n\n\
                        Exit codes: 0 approved, 2 bad input.")]
pub(super) struct ApproveArguments {
    /// The profile's file, as it was reviewed
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,
    /// Who reviewed it
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    by: Option<String>,
    /// A remark
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The lock file to write; by default P.lock.json beside P.json
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

pub(super) fn run(arguments: &ApproveArguments) -> VerbResult {
    let document = build::profile_file(&arguments.profile)?;
    let profile = without_digest(&arguments.profile);
    let path = arguments.lock.clone().unwrap_or_else(|| lock::beside(&profile));
    refuse_inputs([&*path], [&*profile])?;
    let approval = Approval {
        profile_digest: document.digest,
        approved: utc(SystemTime::now()).chars().take_while(|c| *c != 'T').collect(),
        by: arguments.by.clone(),
        note: arguments.note.clone(),
    };
    let lock = StagedFile::write(&path, approval.text())?;
    let by = approval.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let profile = profile.display();
    let text = format!(
        "{}: approves {profile} as {} ({}{by})\nthe shim accepts no other content with --profile {profile}@{}",
        path.display(),
        approval.profile_digest,
        approval.approved,
        approval.profile_digest
    );
    Ok(VerbOutput::plain(text, 0).with([lock]))
}
