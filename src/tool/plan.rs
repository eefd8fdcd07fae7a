//! `remit plan`: exactly what will be done.

use clap::ValueEnum;

use super::source::{self, ProfileSource};
use super::{Format, ToolError, VerbOutput, VerbResult};
use crate::enforce::probe;
use crate::image::live::LiveFor;
use crate::kernel::{Arch, Kernel, Release};
use crate::plan::{Host, Plan};
use crate::profile::Mode;
use crate::review::docker;

/// The arguments of `remit plan`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  remit plan baseline -- /bin/sh\n  remit plan profile.json --kernel 6.12 --format \
                  json\n\nExit codes: 0 it would start, 1 it would refuse to start on that kernel, 2 bad input."
)]
pub(super) struct PlanArguments {
    /// A file (with a slash, or ending in .json) or the name of an embedded profile
    profile: String,
    /// The kernel: a release such as 5.10 or 6.12 with all that a stock one has, or `this`
    #[arg(long, value_name = "RELEASE", default_value = "this")]
    kernel: String,
    /// The architecture: x86_64 or aarch64; this machine's by default
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// The mode, in the place of the profile's
    #[arg(long, value_enum)]
    mode: Option<PlanMode>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// COMMAND, which `baseline` and `strict` are made for: /bin/sh unless given
    #[arg(last = true, value_name = "COMMAND")]
    command: Option<String>,
}

/// The modes that confine.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PlanMode {
    /// Refuse what is not listed
    Enforce,
    /// Report what would be refused, refuse nothing
    Audit,
}

pub(super) fn run(arguments: &PlanArguments) -> VerbResult {
    let kernel = kernel(arguments)?;
    let files = LiveFor(kernel.arch);
    let command = source::command(arguments.command.as_deref().unwrap_or("/bin/sh"))?;
    let ProfileSource { name, profile, embedded, links } =
        source::read(&arguments.profile, &command, &files)?;
    let mode = match arguments.mode {
        Some(PlanMode::Enforce) => Mode::Enforce,
        Some(PlanMode::Audit) => Mode::Audit,
        None => profile.mode,
    };
    let place = Host { command: Some(command), links, embedded, ..container() };
    let plan = Plan::new(&profile, &kernel, &place, &files, mode)
        .map_err(|error| ToolError::Plan { profile: name.clone(), error })?;
    let text = match arguments.format {
        Format::Text => plan.to_string(),
        Format::Json => plan.to_json().map_err(|error| ToolError::Filter { profile: name, error })?,
    };
    Ok(VerbOutput::plain(text, u8::from(plan.refusal().is_some())))
}

fn kernel(arguments: &PlanArguments) -> Result<Kernel, ToolError> {
    if arguments.kernel == "this" {
        let here = probe::kernel().map_err(ToolError::ThisKernel)?;
        return Ok(Kernel { arch: arguments.arch.unwrap_or(here.arch), ..here });
    }
    let release: Release = arguments.kernel.parse().map_err(ToolError::Kernel)?;
    if release < Release::OLDEST {
        return Err(ToolError::OldKernel(release));
    }
    Ok(Kernel::stock(release, arguments.arch.unwrap_or(Arch::THIS)))
}

/// A container with Docker's defaults.
pub(super) fn container() -> Host {
    Host::container(docker::CAPABILITIES.into())
}
