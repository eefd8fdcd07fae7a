//! `SeccompProfile` of the Security Profiles Operator, v1.

use std::collections::BTreeMap;

use serde::Serialize;

use super::oci::{RuntimeFilter, RuntimeRule};
use super::{ConversionError, yaml};
use crate::learn::{Fact, Observations, Runs};

/// The version of the operator's API that is written.
pub const API_VERSION: &str = "security-profiles-operator.x-k8s.io/v1";

/// How many runs of the evidence made each call, for the annotation by which the operator says the
/// same of what it has recorded itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The number of runs.
    pub runs: usize,
    /// The number of runs that made a call, by its name.
    pub calls: BTreeMap<String, usize>,
}

impl Coverage {
    /// The calls that runs were observed to make. Those that learning takes for granted are not among
    /// them.
    pub fn of(observations: &Observations) -> Coverage {
        let mut runs: BTreeMap<&str, Runs> = BTreeMap::new();
        for (fact, seen) in observations.facts() {
            if let Fact::Call { call, .. } = fact {
                runs.entry(call).or_default().join(&seen.runs());
            }
        }
        let calls = runs.into_iter().map(|(call, runs)| (call.to_owned(), runs.len()));
        Coverage { runs: observations.runs().len(), calls: calls.collect() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

/// The operator's form has no `defaultErrnoRet`: the runtime's default is EPERM.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    default_action: &'static str,
    architectures: &'a [&'static str],
    syscalls: &'a [RuntimeRule],
}

/// A name that the object may have (RFC 1123, a subdomain).
///
/// # Errors
/// The text is none.
pub fn object_name(name: &str) -> Result<&str, ConversionError> {
    let of_it = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    match (1..=253).contains(&name.len())
        && name.chars().all(of_it)
        && name.starts_with(ends)
        && name.ends_with(ends)
    {
        true => Ok(name),
        false => Err(ConversionError::ObjectName(name.to_owned())),
    }
}

/// The manifest, as YAML. `name` is the object's.
pub fn manifest(name: &str, filter: &RuntimeFilter, coverage: Option<&Coverage>) -> String {
    let coverage = coverage.map(|coverage| {
        let text = serde_json::json!({ "version": "v1", "total": coverage.runs, "syscalls": coverage.calls });
        ("spo.x-k8s.io/syscall-coverage", text.to_string())
    });
    let manifest = Manifest {
        api_version: API_VERSION,
        kind: "SeccompProfile",
        metadata: Metadata { name, annotations: coverage.into_iter().collect() },
        spec: Spec {
            default_action: filter.default_action,
            architectures: &filter.architectures,
            syscalls: &filter.syscalls,
        },
    };
    yaml::text(&manifest)
}
