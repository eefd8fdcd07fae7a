//! `remit export`: a profile in the formats of container runtimes and Kubernetes.

mod directory;

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::source::{self, NamedProfile};
use super::{ToolError, VerbOutput, VerbResult, named_file, remarks, staged};
use crate::enforce::source::beside;
use crate::exchange::kubernetes::{self, Workload};
use crate::exchange::spo::{self, Coverage};
use crate::exchange::{Converted, Omission, seccomp};
use crate::image::live::LiveFor;
use crate::kernel::Arch;
use crate::learn::evidence;
use crate::profile::Document;

/// The arguments of `remit export`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  remit export redis --to oci-seccomp -o redis-seccomp.json\n\n\
                        Exit codes: 0 exported, 1 with --strict where something was not carried over, 2 bad input.")]
pub(super) struct ExportArguments {
    /// A file (with a slash, or ending in .json) or the name of an embedded profile
    profile: String,
    /// The format
    #[arg(long, value_enum)]
    to: ExportFormat,
    /// Where to write it; for kubernetes a directory, or a file that ends in .yaml. stdout unless given
    #[arg(short = 'o', long, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
    /// Exit with 1 where something of the profile could not be carried over
    #[arg(long)]
    strict: bool,
    /// oci-seccomp, spo: for this architecture alone; for both unless given
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// spo: the name of the object; the profile's unless given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// kubernetes: the name of the Deployment; the profile's unless given
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// kubernetes: the name of its container; the Deployment's unless given
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// kubernetes: the label of its pods, for the NetworkPolicy; app=DEPLOYMENT unless given
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// kubernetes: the image that has /remit-init
    #[arg(long, value_name = "IMAGE", default_value = "example-remit:latest")]
    image: String,
    /// kubernetes: mount that image as a volume, in the place of an init container that copies
    #[arg(long)]
    image_volume: bool,
    /// COMMAND and its arguments: kubernetes needs it where the profile has several entries
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The formats that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// A seccomp profile for `docker run --security-opt seccomp=FILE`, Podman and CRI runtimes
    OciSeccomp,
    /// securityContext, NetworkPolicy and the patch that adds remit-init, as a kustomize component
    Kubernetes,
    /// SeccompProfile of the Security Profiles Operator, v1
    Spo,
}

pub(super) fn run(arguments: &ExportArguments) -> VerbResult {
    let files = LiveFor(arguments.arch.unwrap_or(Arch::THIS));
    let word = arguments.command.first().map_or("/bin/sh", String::as_str);
    // The command is one of the image's, which need not be here; only `baseline` and its like look it up.
    let command = if word.contains('/') { PathBuf::from(word) } else { Path::new("/bin").join(word) };
    let NamedProfile { name, loaded, .. } = source::named(&arguments.profile, &command, &files)?;
    let read = loaded.path.iter().flat_map(|path| [path.clone(), beside(path)]);
    let read: Vec<PathBuf> = read.collect();
    staged::refuse_inputs(arguments.output.as_deref(), read.iter().map(PathBuf::as_path))?;
    let document = loaded.document;
    let failed = |error| ToolError::Exchange { name: name.clone(), error };
    match arguments.to {
        ExportFormat::OciSeccomp => {
            let converted = filter(arguments, &document);
            finish(arguments, &converted.result.text(), converted.omissions, converted.notes)
        }
        ExportFormat::Spo => {
            let object = arguments.name.as_deref().unwrap_or(&document.profile.name);
            let object = spo::object_name(object).map_err(failed)?;
            let mut converted = filter(arguments, &document);
            let coverage = coverage(loaded.path.as_deref(), &document, &mut converted.notes)?;
            let text = spo::manifest(object, &converted.result, coverage.as_ref());
            finish(arguments, &text, converted.omissions, converted.notes)
        }
        ExportFormat::Kubernetes => {
            let workload = workload(arguments, &document).map_err(failed)?;
            let converted = kubernetes::objects(&document, &workload).map_err(failed)?;
            let objects = converted.result;
            match &arguments.output {
                Some(path) if path.extension().is_none_or(|end| end != "yaml" && end != "yml") => {
                    directory::put(path, &objects.component())?;
                    Ok(answer(arguments, String::new(), converted.omissions, converted.notes))
                }
                _ => finish(arguments, &objects.stream(), converted.omissions, converted.notes),
            }
        }
    }
}

fn filter(
    arguments: &ExportArguments,
    document: &Document,
) -> Converted<crate::exchange::oci::RuntimeFilter> {
    let arches = arguments.arch.map_or(Arch::ALL.to_vec(), |arch| vec![arch]);
    seccomp::convert(&document.profile, &arches)
}

/// The calls that the runs of the evidence made, where it is the profile's.
fn coverage(
    path: Option<&Path>,
    document: &Document,
    notes: &mut Vec<String>,
) -> Result<Option<Coverage>, ToolError> {
    let Some(path) = path.map(beside) else { return Ok(None) };
    let bytes = match named_file::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ToolError::File { path, error }),
    };
    let known = evidence::read(&path.display().to_string(), &bytes)?;
    if known.profile_digest != document.digest {
        notes.push(format!(
            "{}: is of another state of the profile, so no coverage is written",
            path.display()
        ));
        return Ok(None);
    }
    Ok(Some(Coverage::of(&known.observations)))
}

fn workload(
    arguments: &ExportArguments,
    document: &Document,
) -> Result<Workload, crate::exchange::ConversionError> {
    let deployment = arguments.deployment.clone().unwrap_or_else(|| document.profile.name.clone());
    let label = match &arguments.label {
        Some(text) => kubernetes::label(text)?,
        None => ("app".to_owned(), deployment.clone()),
    };
    Ok(Workload {
        container: arguments.container.clone().unwrap_or_else(|| deployment.clone()),
        deployment,
        command: arguments.command.clone(),
        image: arguments.image.clone(),
        image_volume: arguments.image_volume,
        label,
    })
}

/// Writes the text where it is to go, and prints what it lacks.
fn finish(
    arguments: &ExportArguments,
    text: &str,
    omissions: Vec<Omission>,
    notes: Vec<String>,
) -> VerbResult {
    let text = match &arguments.output {
        None => text,
        Some(path) => {
            staged::put(path, text)?;
            ""
        }
    };
    Ok(answer(arguments, text.to_owned(), omissions, notes))
}

fn answer(
    arguments: &ExportArguments,
    text: String,
    omissions: Vec<Omission>,
    notes: Vec<String>,
) -> VerbOutput {
    remarks::print(&omissions, &notes);
    VerbOutput::plain(text, u8::from(arguments.strict && !omissions.is_empty()))
}
