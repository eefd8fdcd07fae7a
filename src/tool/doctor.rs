//! `remit doctor`: what can be enforced here, and how to get more.

use super::self_test::{self, ChildStep};
use super::{Format, VerbOutput, VerbResult};
use crate::doctor::Assessment;
use crate::enforce::examine;

/// The exit code where a layer that the start event reports as active did not refuse.
const FAILED: u8 = 4;

/// The arguments of `remit doctor`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  remit doctor\n  remit doctor --self-test\n\nExit codes: 0 all that `baseline` asks for, 1 less, 2 bad input, 3 nothing can be \
                        confined here, 4 a layer that is said to hold did not refuse."
)]
pub(super) struct DoctorArguments {
    /// Let a throw-away child try what the layers refuse, first free and then confined
    #[arg(long)]
    self_test: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// A process of the self-test, which starts itself.
    #[arg(long, hide = true, num_args = 2, value_name = "STEP FOLDER")]
    step: Vec<std::path::PathBuf>,
}

pub(super) fn run(arguments: &DoctorArguments) -> VerbResult {
    if let [step, folder] = &arguments.step[..] {
        return ChildStep::named(step)?.run(folder);
    }
    let diagnosis = examine::here(false);
    let mut code = diagnosis.verdict.code();
    // Without confinement there is nothing to test.
    let tests = match arguments.self_test && diagnosis.verdict != Assessment::Nothing {
        true => Some(self_test::run()?),
        false => None,
    };
    if tests.iter().flatten().any(self_test::ActTest::failed) {
        code = FAILED;
    }
    let text = match arguments.format {
        Format::Text => diagnosis.to_string() + &tests.map_or(String::new(), |tests| self_test::text(&tests)),
        Format::Json => {
            let mut document = diagnosis.to_value();
            if let Some(tests) = tests {
                document["self_test"] = self_test::json(&tests);
            }
            document.to_string()
        }
    };
    Ok(VerbOutput::plain(text, code))
}
