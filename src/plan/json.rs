//! A plan as JSON: one object, the "Plan" of the formats.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{PathRule, Plan, step, words};
use crate::filter::{Access, FilterError, compile};
use crate::profile::capability_word;

#[derive(Serialize)]
struct PlanJson<'a> {
    plan: u8,
    kernel: String,
    arch: &'static str,
    seccomp: Seccomp<'a>,
    landlock: Domain,
    capabilities: Sets,
    limits: BTreeMap<&'static str, u64>,
    derived: Vec<DerivedJson<'a>>,
    #[serde(rename = "held")]
    rules: Vec<RuleEnforcementJson<'a>>,
    widened: Vec<RuleJson>,
    lacking: Vec<MissingFeatureJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    startup: Option<StartupJson>,
    steps: Vec<String>,
}

#[derive(Serialize)]
struct Seccomp<'a> {
    /// Every call that can succeed, by name.
    allowed: Vec<&'a str>,
    conditional: Vec<Conditional<'a>>,
    notified: Vec<&'a str>,
    /// Those that an exact profile does not list and the launch needs.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    launch: &'a [&'static str],
    killed: [&'static str; 1],
    instructions: usize,
}

#[derive(Serialize)]
struct Conditional<'a> {
    call: &'a str,
    rule: String,
}

#[derive(Serialize)]
struct Domain {
    abi: u8,
    rules: Vec<RuleJson>,
    ports: Vec<PortJson>,
    scopes: Vec<&'static str>,
}

/// A rule applies for one or several entries, whose pointers are separated by a space.
#[derive(Serialize)]
struct RuleJson {
    path: String,
    rights: Vec<&'static str>,
    #[serde(rename = "for")]
    because: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    narrowed: Option<bool>,
}

#[derive(Serialize)]
struct PortJson {
    ports: String,
    right: String,
}

#[derive(Serialize)]
struct Sets {
    bounding: Vec<String>,
    ambient: Vec<String>,
}

#[derive(Serialize)]
struct DerivedJson<'a> {
    path: String,
    role: &'static str,
    #[serde(rename = "for")]
    because: &'a str,
}

/// A rule on programs, and the mechanism that enforces it.
#[derive(Serialize)]
struct RuleEnforcementJson<'a> {
    rule: &'a str,
    what: &'a str,
    by: &'static str,
}

/// The condition that ends start-up, and the calls that are denied after it.
#[derive(Serialize)]
struct StartupJson {
    ends: String,
    taken: Vec<String>,
}

#[derive(Serialize)]
struct MissingFeatureJson<'a> {
    layer: &'a str,
    needs: &'a str,
    cost: &'a str,
    required: bool,
}

impl Plan {
    /// The plan as one JSON object, indented, with a newline at its end.
    ///
    /// # Errors
    /// The filter cannot be compiled.
    pub fn to_json(&self) -> Result<String, FilterError> {
        let mut text = serde_json::to_string_pretty(&self.document()?).unwrap_or_default();
        text.push('\n');
        Ok(text)
    }

    fn document(&self) -> Result<PlanJson<'_>, FilterError> {
        let calls = &self.filter.calls;
        let limits = self.limits.iter().map(|(limit, value)| (limit.name(), *value));
        let processes = self.policy.processes.map(|most| ("processes", u64::from(most)));
        Ok(PlanJson {
            plan: 1,
            kernel: self.kernel.release.to_string(),
            arch: self.kernel.arch.name(),
            seccomp: Seccomp {
                allowed: calls.keys().copied().collect(),
                conditional: calls
                    .iter()
                    .filter_map(|(call, access)| words::rule(access).map(|rule| Conditional { call, rule }))
                    .collect(),
                notified: calls
                    .iter()
                    .filter(|(_, access)| **access == Access::Notify)
                    .map(|(call, _)| *call)
                    .collect(),
                launch: &self.launch,
                killed: ["foreign architecture"],
                instructions: compile(&self.filter)?.len(),
            },
            landlock: self.domain_document(),
            capabilities: Sets {
                bounding: step::sorted(&self.capabilities.app).into_iter().map(capability_word).collect(),
                ambient: step::sorted(&self.capabilities.ambient).into_iter().map(capability_word).collect(),
            },
            limits: limits.chain(processes).collect(),
            derived: self
                .derived
                .iter()
                .map(|derived| DerivedJson {
                    path: shown(&derived.path),
                    role: derived.role.name(),
                    because: &derived.because,
                })
                .collect(),
            rules: self
                .program_rules
                .iter()
                .chain(&self.socket_rules)
                .map(|one| RuleEnforcementJson { rule: &one.rule, what: &one.what, by: one.by.name() })
                .collect(),
            widened: self
                .widened
                .iter()
                .map(|widened| RuleJson {
                    path: shown(&widened.path),
                    rights: words::rights(widened.rights),
                    because: widened.because.clone(),
                    narrowed: Some(widened.narrowed),
                })
                .collect(),
            lacking: self
                .missing_features
                .iter()
                .map(|lack| MissingFeatureJson {
                    layer: lack.layer,
                    needs: &lack.needs,
                    cost: &lack.cost,
                    required: lack.required,
                })
                .collect(),
            startup: self.policy.startup.as_ref().map(|startup| StartupJson {
                ends: startup.ends(),
                taken: startup.taken.iter().map(|(call, when)| words::taken(call, when)).collect(),
            }),
            steps: self.steps().iter().map(ToString::to_string).collect(),
        })
    }

    fn domain_document(&self) -> Domain {
        let abi = self.kernel.landlock.0;
        let Some(domain) = &self.landlock else {
            return Domain { abi, rules: Vec::new(), ports: Vec::new(), scopes: Vec::new() };
        };
        let rule = |rule: &PathRule| RuleJson {
            path: shown(&rule.path),
            rights: words::rights(rule.rights),
            because: rule.because.join(" "),
            narrowed: None,
        };
        let mut ports = Vec::new();
        for right in domain.handled_net {
            let its = domain.ports.iter().filter(|(_, rights)| rights.contains(right)).map(|(port, _)| *port);
            let name = words::ports(right.into()).join(" ");
            ports.extend(words::runs(its).into_iter().map(|ports| PortJson { ports, right: name.clone() }));
        }
        let scopes = [(domain.scope_abstract, "ABSTRACT_UNIX_SOCKET"), (domain.scope_signal, "SIGNAL")];
        Domain {
            abi,
            rules: domain.rules.iter().map(rule).collect(),
            ports,
            scopes: scopes.into_iter().filter_map(|(there, name)| there.then_some(name)).collect(),
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
