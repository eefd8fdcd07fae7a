//! The config of an image (OCI image-spec, config.md): what the runtime starts by default.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::ImageError;
use super::json::{self, Shape};

/// What the runtime starts by default, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The architecture as Go names it: `amd64`, `arm64`.
    pub architecture: String,
    /// The operating system: `linux`.
    pub os: String,
    /// The user, and group, by name or number: `1000`, `app:app`. Empty means root.
    pub user: String,
    /// The environment: `PATH=/usr/bin`.
    pub env: Vec<String>,
    /// The first words of what is executed.
    pub entrypoint: Vec<String>,
    /// The words behind `entrypoint`, which the runtime's own arguments replace.
    pub cmd: Vec<String>,
    /// The working directory; empty means `/`.
    pub working_dir: String,
    /// Labels by their key.
    pub labels: BTreeMap<String, String>,
    /// Ports that the image says it listens on: `8080/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// The signal that stops the container; empty means SIGTERM.
    pub stop_signal: String,
}

impl ImageConfig {
    /// What the runtime executes by default: `entrypoint` and `cmd`.
    pub fn command(&self) -> Vec<&str> {
        self.entrypoint.iter().chain(&self.cmd).map(String::as_str).collect()
    }
}

/// A config, and the digests of the image's layers.
pub(super) struct ParsedConfig {
    pub config: ImageConfig,
    /// The digests of the uncompressed layers, the lowest first: `sha256:…`.
    pub diff_ids: Vec<String>,
}

/// Reads a config.
///
/// # Errors
/// It is no config of an image.
pub(super) fn parse(place: &str, bytes: &[u8]) -> Result<ParsedConfig, ImageError> {
    let file: File = json::parse(place, bytes, SHAPE)?;
    let started = file.config.unwrap_or_default();
    let config = ImageConfig {
        architecture: file.architecture,
        os: file.os,
        user: started.user.unwrap_or_default(),
        env: started.env.unwrap_or_default(),
        entrypoint: started.entrypoint.unwrap_or_default(),
        cmd: started.cmd.unwrap_or_default(),
        working_dir: started.working_dir.unwrap_or_default(),
        labels: started.labels.unwrap_or_default(),
        exposed_ports: started.exposed_ports.unwrap_or_default().into_keys().collect(),
        stop_signal: started.stop_signal.unwrap_or_default(),
    };
    Ok(ParsedConfig { config, diff_ids: file.rootfs.diff_ids.unwrap_or_default() })
}

/// The fields that are read.
const SHAPE: Shape = Shape::Struct(&[
    ("architecture", Shape::Any),
    ("os", Shape::Any),
    (
        "config",
        Shape::Struct(&[
            ("User", Shape::Any),
            ("Env", Shape::Any),
            ("Entrypoint", Shape::Any),
            ("Cmd", Shape::Any),
            ("WorkingDir", Shape::Any),
            ("Labels", Shape::Any),
            ("ExposedPorts", Shape::Any),
            ("StopSignal", Shape::Any),
        ]),
    ),
    ("rootfs", Shape::Struct(&[("diff_ids", Shape::Any)])),
]);

/// The JSON of a config. Docker writes null for what is empty.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    config: Option<ExecutionConfig>,
    rootfs: RootFs,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExecutionConfig {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    stop_signal: Option<String>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_with_null_for_what_is_empty() {
        let text = br#"{"architecture":"amd64","os":"linux","config":{"User":"app:app","Env":["A=1"],
            "Entrypoint":["/entry"],"Cmd":["serve","-x"],"Labels":null,"ExposedPorts":{"8080/tcp":{}},
            "WorkingDir":"/srv","StopSignal":"SIGQUIT","Volumes":{"/data":{}}},
            "rootfs":{"type":"layers","diff_ids":["sha256:1"]},"history":[]}"#;
        let parsed = parse("x", text).expect("a config");
        assert_eq!(parsed.config.command(), ["/entry", "serve", "-x"]);
        assert_eq!((&*parsed.config.user, &*parsed.config.stop_signal), ("app:app", "SIGQUIT"));
        assert_eq!(parsed.config.exposed_ports.iter().collect::<Vec<_>>(), ["8080/tcp"]);
        assert_eq!(parsed.diff_ids, ["sha256:1"]);
        let empty = parse("x", br#"{"config":null,"rootfs":{"diff_ids":null}}"#).expect("a config");
        assert_eq!((empty.config, empty.diff_ids.len()), (ImageConfig::default(), 0));
        for bad in ["", "{}", "[]", r#"{"rootfs":{"diff_ids":[1]}}"#, r#"{"config":[],"rootfs":{}}"#] {
            assert!(parse("x", bad.as_bytes()).is_err(), "{bad}");
        }
        crate::mutation::each(&[text], |bytes| drop(parse("x", bytes)));
    }
}
