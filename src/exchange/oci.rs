//! `linux.seccomp` of the OCI runtime specification (v1.3), with what Docker and Podman add to it.

use serde::{Deserialize, Serialize};

/// A seccomp profile for a container runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeFilter {
    /// What happens to a call that no rule names.
    pub default_action: &'static str,
    /// The errno of that action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// `SCMP_ARCH_*`: a call of any other kills the process.
    pub architectures: Vec<&'static str>,
    /// The rules.
    pub syscalls: Vec<RuntimeRule>,
}

impl RuntimeFilter {
    /// The file: rules on arguments one a line.
    pub fn text(&self) -> String {
        // Serializing values of these types does not fail.
        let json = |rule: &RuntimeRule| {
            let text = match rule.args.is_empty() {
                true => serde_json::to_string_pretty(rule),
                false => serde_json::to_string(rule),
            };
            text.unwrap_or_default().replace('\n', "\n    ")
        };
        let rules: Vec<String> = self.syscalls.iter().map(json).collect();
        let without = RuntimeFilter { syscalls: Vec::new(), ..self.clone() };
        let head = serde_json::to_string_pretty(&without).unwrap_or_default();
        let list = format!("[\n    {}\n  ]", rules.join(",\n    "));
        // The empty list is the last value.
        head.replace("\"syscalls\": []", &format!("\"syscalls\": {list}")) + "\n"
    }
}

/// Calls with one action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeRule {
    /// The names of the calls.
    pub names: Vec<&'static str>,
    /// `SCMP_ACT_*`.
    pub action: &'static str,
    /// The errno of the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// Comparisons, all of which have to be true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Comparison>,
}

/// `SCMP_ACT_ALLOW`.
pub const ALLOW: &str = "SCMP_ACT_ALLOW";
/// `SCMP_ACT_ERRNO`.
pub const ERRNO: &str = "SCMP_ACT_ERRNO";
/// `SCMP_ACT_LOG`: the call proceeds.
pub const LOG: &str = "SCMP_ACT_LOG";
/// `SCMP_ACT_NOTIFY`: an agent decides.
pub const NOTIFY: &str = "SCMP_ACT_NOTIFY";
/// `SCMP_ACT_TRACE`: a tracer decides.
pub const TRACE: &str = "SCMP_ACT_TRACE";
/// `SCMP_ACT_KILL`: the older name of [`KILL_THREAD`].
pub const KILL: &str = "SCMP_ACT_KILL";
/// `SCMP_ACT_KILL_THREAD`.
pub const KILL_THREAD: &str = "SCMP_ACT_KILL_THREAD";
/// `SCMP_ACT_KILL_PROCESS`.
pub const KILL_PROCESS: &str = "SCMP_ACT_KILL_PROCESS";
/// `SCMP_ACT_TRAP`: SIGSYS.
pub const TRAP: &str = "SCMP_ACT_TRAP";

/// A comparison of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Comparison {
    /// Which argument, 0–5.
    pub index: u8,
    /// The value; for [`Operator::MaskedEq`] the mask.
    #[serde(default)]
    pub value: u64,
    /// For [`Operator::MaskedEq`] the value of the masked bits; 0 where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_two: Option<u64>,
    /// How the argument is compared.
    pub op: Operator,
}

/// `SCMP_CMP_*`, a comparison of 64 bits without a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
}

/// A file for `docker run --security-opt seccomp=FILE`: the same, and rules that are conditional on
/// the machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Superset {
    /// What happens to a call that no rule names.
    #[serde(default)]
    pub default_action: String,
    /// The errno of that action; EPERM where it is absent.
    pub default_errno_ret: Option<u32>,
    /// Podman's name of the errno.
    pub default_errno: Option<String>,
    /// `SCMP_ARCH_*`.
    pub architectures: Option<Vec<String>>,
    /// The architectures that belong to each native one.
    pub arch_map: Option<Vec<ArchMapping>>,
    /// Flags of seccomp(2).
    pub flags: Option<Vec<String>>,
    /// The socket of an agent that decides `SCMP_ACT_NOTIFY`.
    pub listener_path: Option<String>,
    /// What the agent gets with it.
    pub listener_metadata: Option<String>,
    /// The rules.
    pub syscalls: Option<Vec<ConditionalRule>>,
}

/// The architectures that belong to a native one.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchMapping {
    /// The native one.
    pub architecture: String,
    /// The others.
    pub sub_architectures: Option<Vec<String>>,
}

/// A rule that applies where its conditions hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionalRule {
    /// The names of the calls.
    pub names: Option<Vec<String>>,
    /// One call, in older files.
    pub name: Option<String>,
    /// `SCMP_ACT_*`.
    pub action: String,
    /// The errno of the action.
    pub errno_ret: Option<u32>,
    /// Podman's name of the errno.
    pub errno: Option<String>,
    /// Comparisons.
    pub args: Option<Vec<Comparison>>,
    /// For people.
    pub comment: Option<String>,
    /// It applies only where all of these hold.
    pub includes: Option<Where>,
    /// It applies only where none of these holds.
    pub excludes: Option<Where>,
}

/// A condition on the machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Where {
    /// Capabilities of the bounding set, `CAP_*`.
    pub caps: Option<Vec<String>>,
    /// Architectures by their names in Go and libseccomp, such as `amd64`.
    pub arches: Option<Vec<String>>,
    /// The oldest kernel, `MAJOR.MINOR`.
    pub min_kernel: Option<String>,
}
