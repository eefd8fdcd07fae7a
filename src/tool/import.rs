//! `remit import`: a profile of what another tool knows.

use std::io::Read;
use std::path::{Path, PathBuf};

use caps::Capability;
use clap::ValueEnum;

use super::{ToolError, VerbOutput, VerbResult, build, named_file, remarks, staged};
use crate::enforce::probe;
use crate::exchange::superset::{self, TargetMachine};
use crate::exchange::{ConversionError, MAX_BYTES, apparmor, kubescape};
use crate::kernel::{Arch, Release};
use crate::profile::{self, Profile};
use crate::review::docker;

/// The arguments of `remit import`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  remit import --from oci-seccomp seccomp.json --entry /usr/sbin/nginx -o imported.json\n\n\
                        Exit codes: 0 imported, 1 with --strict where something was not carried over, 2 bad input."
)]
pub(super) struct ImportArguments {
    /// The format
    #[arg(long, value_enum)]
    from: ImportFormat,
    /// The file; - is stdin
    file: PathBuf,
    /// The profile to write; stdout unless given
    #[arg(short = 'o', long, value_name = "PROFILE")]
    output: Option<PathBuf>,
    /// Exit with 1 where something could not be carried over
    #[arg(long)]
    strict: bool,
    /// The program that the container starts, by its path there
    #[arg(long, value_name = "PATH")]
    entry: Option<String>,
    /// A profile whose other sections are taken where the file has none: a seccomp profile has no
    /// programs, files and ports
    #[arg(long, value_name = "P")]
    base: Option<PathBuf>,
    /// The profile's name; that of the file unless given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// oci-seccomp: the architecture for which its conditions are resolved; this machine's unless given
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// oci-seccomp: the kernel for which its conditions are resolved; this one unless given
    #[arg(long, value_name = "RELEASE")]
    kernel: Option<String>,
    /// oci-seccomp: a capability that the container has beside Docker's fourteen, or none for none
    #[arg(long = "cap", value_name = "CAP", value_delimiter = ',')]
    capabilities: Vec<String>,
    /// kubescape: the container, where there are several
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// apparmor: the profile, where there are several
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ImportFormat {
    /// A seccomp profile of Docker, Podman or the OCI specification
    OciSeccomp,
    /// An ApplicationProfile of Kubescape, in YAML or JSON
    Kubescape,
    /// A profile of AppArmor
    Apparmor,
}

pub(super) fn run(arguments: &ImportArguments) -> VerbResult {
    let file = &arguments.file;
    let shown = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
    let failed = |error| ToolError::Exchange { name: shown.clone(), error };
    let read = [Some(file), arguments.base.as_ref()].into_iter().flatten();
    staged::refuse_inputs(arguments.output.as_deref(), read.map(PathBuf::as_path))?;
    let text = text(file)?;
    let entry = arguments.entry.as_deref().map(entry).transpose()?;
    let base = arguments.base.as_deref().map(build::profile_file).transpose()?;
    let base: Option<Profile> = base.map(|document| document.profile);
    let mut name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (imported, mut omissions, notes) = match arguments.from {
        ImportFormat::OciSeccomp => {
            let converted = superset::read(&text, &target(arguments)?).map_err(failed)?;
            (converted.result, converted.omissions, converted.notes)
        }
        ImportFormat::Kubescape => {
            let converted = kubescape::read(&text, arguments.container.as_deref()).map_err(failed)?;
            (converted.result, converted.omissions, converted.notes)
        }
        ImportFormat::Apparmor => {
            let converted = apparmor::read(&text, arguments.profile.as_deref()).map_err(failed)?;
            let (own, imported) = converted.result;
            name = own.rsplit('/').next().unwrap_or_default().to_owned();
            (imported, converted.omissions, converted.notes)
        }
    };
    let name = arguments.name.as_deref().unwrap_or(&name);
    let made = imported.profile(name, entry.as_deref(), base, &mut omissions).map_err(failed)?;
    let mut text = profile::write(&made);
    if let Some(path) = &arguments.output {
        staged::put(path, &text)?;
        text.clear();
    }
    remarks::print(&omissions, &notes);
    Ok(VerbOutput::plain(text, u8::from(arguments.strict && !omissions.is_empty())))
}

/// The bytes of the file, one more than are read at the most.
fn text(file: &Path) -> Result<Vec<u8>, ToolError> {
    let failed = |error| ToolError::File { path: file.to_owned(), error };
    let mut text = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut text).map_err(failed)?;
    } else {
        named_file::open(file).map_err(failed)?.take(most).read_to_end(&mut text).map_err(failed)?;
    }
    Ok(text)
}

fn entry(text: &str) -> Result<PathBuf, ToolError> {
    profile::path(text).map_err(|error| {
        ToolError::Option(ConversionError::Option { flag: "--entry", what: error.to_string() })
    })
}

fn target(arguments: &ImportArguments) -> Result<TargetMachine, ToolError> {
    let kernel: Release = match arguments.kernel.as_deref() {
        None => probe::kernel().map_err(ToolError::ThisKernel)?.release,
        Some(text) => text.parse().map_err(ToolError::Kernel)?,
    };
    let mut capabilities: Vec<Capability> = docker::CAPABILITIES.into();
    for word in &arguments.capabilities {
        match profile::capability_of(word) {
            Some(capability) => capabilities.push(capability),
            None if word == "none" => capabilities.clear(),
            None => {
                let words: Vec<String> =
                    profile::capabilities().iter().map(|one| profile::capability_word(*one)).collect();
                let nearest = profile::nearest(word, words.iter().map(String::as_str));
                let meant = nearest.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
                let what = format!("{word:?} is no capability; expected such as sys_admin{meant}");
                return Err(ToolError::Option(ConversionError::Option { flag: "--cap", what }));
            }
        }
    }
    Ok(TargetMachine { arch: arguments.arch.unwrap_or(Arch::THIS), kernel, capabilities })
}
