//! The figures and settings at the beginning.

use super::calls::CallsPart;
use super::exposure::ExposurePart;
use super::grant::GrantIndex;
use super::{ReportInput, percent, shown};
use crate::profile::{Entry, Limits, Mode, Profile, Ready, Watch};
use crate::review::RiskLevel;
use crate::visible::counted;

/// A figure.
pub(super) struct Tile {
    pub figure: String,
    pub about: String,
}

/// A setting of the profile.
pub(super) struct SettingFact {
    pub term: &'static str,
    pub text: String,
}

/// The figures.
pub(super) fn tiles(input: &ReportInput<'_>, calls: &CallsPart, exposure: &ExposurePart) -> Vec<Tile> {
    let profile = &input.document.profile;
    let tile = |figure: String, about: &str| Tile { figure, about: about.to_owned() };
    let count =
        |count: usize, one: &str, more: &str| tile(count.to_string(), if count == 1 { one } else { more });
    let mut tiles = vec![
        tile(exposure.value.clone(), &format!("exposure of 10: {}", exposure.band)),
        count(profile.programs.len(), "program entry", "program entries"),
        count(profile.files.len(), "file entry", "file entries"),
        count(profile.network.listen.len(), "endpoint to listen on", "endpoints to listen on"),
        count(profile.network.connect.len(), "endpoint to connect to", "endpoints to connect to"),
        count(profile.capabilities.len(), "capability", "capabilities"),
        tile(calls.allowed.to_string(), &format!("system calls; Docker's default allows {}", calls.docker)),
    ];
    if let Some(evidence) = input.evidence {
        let bound = evidence.confidence.all.all.bound;
        let about = format!(
            "at most, that the next run meets something unseen; gate {}",
            if evidence.confidence.gate.passed() { "passed" } else { "not passed" }
        );
        tiles.push(Tile { figure: percent(bound), about });
    }
    if let Some(violations) = input.violations {
        let files = counted(violations.files(), "event file");
        tiles.push(Tile { figure: violations.total().to_string(), about: format!("violations in {files}") });
    }
    tiles
}

/// The settings.
pub(super) fn facts(profile: &Profile) -> Vec<SettingFact> {
    let list = |entries: &[Entry<String>]| {
        let names: Vec<String> = entries.iter().map(|entry| shown(&entry.what)).collect();
        names.join(", ")
    };
    let mut facts = vec![
        SettingFact { term: "Mode", text: about_mode(profile.mode).to_owned() },
        SettingFact { term: "Risk tier", text: profile.risk.word().to_owned() },
        SettingFact {
            term: "User and groups",
            text: profile.run_as.as_ref().map_or("those of the container".to_owned(), |ids| {
                let groups = crate::ids::list(&ids.groups);
                let groups = if groups.is_empty() { String::new() } else { format!(", groups {groups}") };
                format!("uid {}, gid {}{groups}", ids.user, ids.group)
            }),
        },
        SettingFact { term: "After a violation", text: profile.on_violation.word().to_owned() },
        SettingFact {
            term: "Missing kernel features",
            text: match profile.fallback.word() {
                "degrade" => "degrade: the app starts, and the start event lists what is missing".to_owned(),
                word => format!("{word}: the app does not start"),
            },
        },
        SettingFact {
            term: "Start-up ends",
            text: match profile.ready {
                None => "never; no call is taken away".to_owned(),
                Some(Ready::Listening) => {
                    "when all endpoints of network.listen have their sockets".to_owned()
                }
                Some(Ready::Notify) => "when the app sends READY=1".to_owned(),
                Some(Ready::Delay(time)) => format!("{} ms after the launch", time.as_millis()),
            },
        },
        SettingFact {
            term: "Refused reads",
            text: match profile.watch {
                Watch::Nothing => "refused without an event",
                Watch::SecretsThere => "those of secrets reported, where there are some at the start",
                Watch::Secrets => "those of secrets reported",
                Watch::Reads => "reported",
            }
            .to_owned(),
        },
        SettingFact {
            term: "Writable and executable memory",
            text: if profile.write_execute { "allowed" } else { "refused" }.to_owned(),
        },
        SettingFact { term: "Limits", text: about_limits(&profile.limits) },
    ];
    if !profile.environment_drop.is_empty() {
        facts.push(SettingFact { term: "Variables dropped", text: list(&profile.environment_drop) });
    }
    if !profile.environment_keep.is_empty() {
        facts.push(SettingFact { term: "Variables passed on", text: list(&profile.environment_keep) });
    }
    facts
}

/// What a reader has to know first.
pub(super) fn warnings(input: &ReportInput<'_>, grants: &GrantIndex<'_>) -> Vec<String> {
    let profile = &input.document.profile;
    let mut warnings = Vec::new();
    if profile.mode != Mode::Enforce {
        warnings.push(format!("The mode is {}: {}.", profile.mode.word(), about_mode(profile.mode)));
    }
    let sections =
        ["/programs", "/files", "/network", "/capabilities", "/syscalls", "/memory", "/environment"];
    let critical = sections.iter().flat_map(|section| grants.below(section));
    let critical: Vec<_> = critical.filter(|one| one.risk == RiskLevel::Critical).collect();
    warnings.extend(
        critical
            .iter()
            .take(10)
            .map(|one| format!("Critical: {} {}.", shown(&one.sentence), capital(&shown(&one.risk_reason)))),
    );
    if critical.len() > 10 {
        warnings.push(format!("{} further entries are critical.", critical.len() - 10));
    }
    if let Some(evidence) = input.evidence.filter(|evidence| evidence.is_stale) {
        warnings.push(format!(
            "The evidence {} was written with another text of this profile; entries were found again by what they grant.",
            shown(&evidence.name)
        ));
    }
    warnings
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn about_mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce: what is not listed is refused",
        Mode::Audit => "audit: violations are reported, and nothing is refused",
        Mode::Learn => "learn: what the app does is recorded, and nothing is refused",
        Mode::Off => "off: PID 1 without confinement",
    }
}

fn about_limits(limits: &Limits) -> String {
    let Limits { processes, open_files, file_size, core } = *limits;
    let all = [
        ("processes", processes.map(u64::from), ""),
        ("open files", open_files, ""),
        ("file size", file_size, " bytes"),
        ("core dumps", core, " bytes"),
    ];
    let set: Vec<String> =
        all.iter().filter_map(|(name, most, unit)| Some(format!("{name} {}{unit}", (*most)?))).collect();
    if set.is_empty() { "as inherited; no core dumps by default".to_owned() } else { set.join(", ") }
}
