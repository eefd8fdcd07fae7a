//! What the gate requires of a profile: a file, or one of the three tiers, which are such files.

use crate::event::LayerName;
use crate::profile::{
    Capability, Fallback, Located, Mode, Object, ReadError, Risk, capabilities, capability_word, nearest,
    strictly,
};
use crate::syscalls;

/// The version of the format.
const VERSION: u64 = 1;

const KEYS: &[&str] = &[
    "require",
    "mode",
    "fallback",
    "beneath",
    "write_execute",
    "reasons",
    "evidence_or_why",
    "digests",
    "approved",
    "layers",
    "max_exposure",
    "max_unseen",
    "forbid",
];

/// Programs that need a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonClass {
    /// It runs commands: `sh`, `bash`.
    Shell,
    /// It runs scripts: `python3`, `node`.
    Interpreter,
    /// It installs programs: `apt`, `apk`, `pip`.
    PackageManager,
}

impl ReasonClass {
    /// Each class with its name in a requirements file.
    pub const NAMES: &[(ReasonClass, &'static str)] = &[
        (ReasonClass::Shell, "shells"),
        (ReasonClass::Interpreter, "interpreters"),
        (ReasonClass::PackageManager, "package_managers"),
    ];
}

/// What is required. What a file leaves out is not required.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requirements {
    /// `mode`: the profile has this mode.
    pub mode: Option<Mode>,
    /// `fallback`: the profile has this fallback.
    pub fallback: Option<Fallback>,
    /// `beneath` is false: no directory of programs.
    pub no_beneath: bool,
    /// `write_execute` is false: no memory that is writable and executable.
    pub no_write_execute: bool,
    /// `reasons`: programs of these classes have a `why`.
    pub reasons: Vec<ReasonClass>,
    /// `evidence_or_why`: each grant was used by a run, or has a `why`.
    pub evidence_or_why: bool,
    /// `digests`: each program has the content that was pinned or learned.
    pub digests: bool,
    /// `approved`: a lock file approves just this profile.
    pub approved: bool,
    /// `layers`: what the start event of a run has as active.
    pub layers: Vec<LayerName>,
    /// `max_exposure`: the exposure at most, from 0 to 10.
    pub max_exposure: Option<f64>,
    /// `max_unseen`: the chance at most that the next run meets something new, from 0 to 1.
    pub max_unseen: Option<f64>,
    /// `forbid`: what no profile may grant.
    pub forbid: ForbiddenGrants,
}

/// What no profile may grant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForbiddenGrants {
    /// Calls.
    pub syscalls: Vec<&'static str>,
    /// Capabilities.
    pub capabilities: Vec<Capability>,
    /// Programs: an absolute path, or a name in whatever directory.
    pub programs: Vec<String>,
}

impl Requirements {
    /// The text of a tier, as `remit check --print-tier` prints it.
    pub fn tier_text(tier: Risk) -> &'static str {
        match tier {
            Risk::Minimal => include_str!("tiers/minimal.json"),
            Risk::Elevated => include_str!("tiers/elevated.json"),
            Risk::Regulated => include_str!("tiers/regulated.json"),
        }
    }

    /// A tier.
    ///
    /// # Panics
    /// Never: a test reads each tier.
    pub fn tier(tier: Risk) -> Requirements {
        Requirements::read(Requirements::tier_text(tier).as_bytes()).expect("a tier is a requirements file")
    }

    /// Reads a requirements file.
    ///
    /// # Errors
    /// The first error, with its place and what was expected.
    pub fn read(bytes: &[u8]) -> Result<Requirements, ReadError> {
        strictly(bytes, "requirements file", |root| {
            version(&root.any_object()?, "require", VERSION)?;
            requirements(&root.object(KEYS)?)
        })
    }
}

/// Checks the version first: a newer one may have unknown keys.
pub(super) fn version(top: &Object, key: &str, newest: u64) -> Result<(), ReadError> {
    let place = top.need(key, &format!("the version of the format, {newest}"))?;
    match place.number(0..=u64::MAX)? {
        0 => Err(place.error(format!("version 0 of the format never was; expected {newest}"))),
        found if found <= newest => Ok(()),
        newer => Err(place.error(format!(
            "version {newer} of the format is newer than this remit, which reads {newest}; use a newer remit"
        ))),
    }
}

fn requirements(top: &Object) -> Result<Requirements, ReadError> {
    // The other value of these two would allow what no key forbids.
    let none = |key: &'static str| top.read(key, Located::flag).map(|allowed| allowed == Some(false));
    let wanted = |key: &'static str| top.read(key, Located::flag).map(|wanted| wanted == Some(true));
    Ok(Requirements {
        mode: top.read("mode", |place| place.word("mode", &[(Mode::Enforce, "enforce")]))?,
        fallback: top.read("fallback", |place| place.word("fallback", &[(Fallback::Refuse, "refuse")]))?,
        no_beneath: none("beneath")?,
        no_write_execute: none("write_execute")?,
        reasons: top.list("reasons", |place| place.word("class of programs", ReasonClass::NAMES))?,
        evidence_or_why: wanted("evidence_or_why")?,
        digests: wanted("digests")?,
        approved: wanted("approved")?,
        layers: top.list("layers", layer)?,
        max_exposure: top.read("max_exposure", |place| place.decimal(0.0..=10.0))?,
        max_unseen: top.read("max_unseen", |place| place.decimal(0.0..=1.0))?,
        forbid: top.read("forbid", forbidden)?.unwrap_or_default(),
    })
}

fn layer(place: &Located) -> Result<LayerName, ReadError> {
    let names = LayerName::ALL.map(|layer| (layer, layer.word()));
    place.word("layer", &names)
}

fn forbidden(place: &Located) -> Result<ForbiddenGrants, ReadError> {
    let object = place.object(&["syscalls", "capabilities", "programs"])?;
    Ok(ForbiddenGrants {
        syscalls: object.list("syscalls", |place| {
            let typed = place.string("a system call's name")?;
            syscalls::known(typed).ok_or_else(|| {
                let meant = nearest(typed, syscalls::names());
                let meant = meant.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
                place.error(format!("no system call is called {typed:?}{meant}"))
            })
        })?,
        capabilities: object.list("capabilities", |place| {
            let all = capabilities();
            let words: Vec<String> = all.iter().map(|one| capability_word(*one)).collect();
            let typed = place.string("a capability's name, such as \"sys_admin\"")?;
            let found = words.iter().position(|word| word == typed).map(|at| all[at]);
            found.ok_or_else(|| {
                let meant = nearest(typed, words.iter().map(String::as_str));
                let meant = meant.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
                place.error(format!("unknown capability {typed:?}{meant}"))
            })
        })?,
        programs: object.list("programs", |place| {
            let typed = place.string("an absolute path, or a program's name")?;
            let is_name = !typed.is_empty() && !typed.contains(['/', '\0']) && typed != "." && typed != "..";
            if is_name || crate::profile::path(typed).is_ok() {
                return Ok(typed.to_owned());
            }
            Err(place.error(format!(
                "{typed:?} names no program; expected an absolute path such as \"/usr/bin/nc\", or a name such as \"nc\""
            )))
        })?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_requires_all_that_the_one_below_does() {
        let [minimal, elevated, regulated] =
            [Risk::Minimal, Risk::Elevated, Risk::Regulated].map(Requirements::tier);
        for (lower, higher) in [(&minimal, &elevated), (&elevated, &regulated)] {
            assert!(lower.reasons.iter().all(|class| higher.reasons.contains(class)));
            assert!(lower.max_unseen.unwrap_or(1.0) > higher.max_unseen.unwrap_or(1.0));
            let all: [fn(&Requirements) -> bool; 7] = [
                |one| one.mode.is_some(),
                |one| one.fallback.is_some(),
                |one| one.no_beneath,
                |one| one.no_write_execute,
                |one| one.evidence_or_why,
                |one| one.digests,
                |one| one.approved,
            ];
            assert!(all.iter().all(|required| !required(lower) || required(higher)));
        }
        assert!(regulated.approved && regulated.evidence_or_why && !elevated.approved);
    }

    #[test]
    fn every_key_is_read() {
        let text = br#"{"require":1,"mode":"enforce","fallback":"refuse","beneath":false,"write_execute":false,
            "reasons":["shells"],"evidence_or_why":true,"digests":true,"approved":true,
            "layers":["landlock-files","seccomp"],"max_exposure":4.5,"max_unseen":0.10,
            "forbid":{"syscalls":["ptrace"],"capabilities":["sys_admin"],"programs":["nc","/usr/bin/curl"]}}"#;
        let read = Requirements::read(text).expect("valid");
        assert_eq!((read.max_exposure, read.max_unseen), (Some(4.5), Some(0.1)));
        assert_eq!(read.layers, [LayerName::LandlockFiles, LayerName::Seccomp]);
        assert_eq!(read.forbid.programs, ["nc", "/usr/bin/curl"]);
        assert!(read.digests && read.approved && read.no_beneath && read.no_write_execute);
    }

    #[test]
    fn bad_requirements_say_where_and_what() {
        for (text, says) in [
            (r#"{"require":1,"max_exposre":4}"#, "max_exposure"),
            (r#"{"require":1,"digests":true,"digests":false}"#, "twice"),
            (r#"{"require":2,"novel":1}"#, "newer"),
            (r#"{"require":0}"#, "never was"),
            (r#"{"digests":true}"#, "require"),
            (r#"{"require":1,"max_exposure":11}"#, "from 0 to 10"),
            (r#"{"require":1,"max_unseen":"0.1"}"#, "is a string"),
            (r#"{"require":1,"mode":"audit"}"#, "enforce"),
            (r#"{"require":1,"layers":["landlock"]}"#, "landlock-tcp"),
            (r#"{"require":1,"forbid":{"syscalls":["ptrac"]}}"#, "ptrace"),
            (r#"{"require":1,"forbid":{"capabilities":["CAP_SYS_ADMIN"]}}"#, "unknown capability"),
            (r#"{"require":1,"forbid":{"programs":["../sh"]}}"#, "absolute path"),
            (r#"{"require":1"#, "JSON"),
            ("[]", "object"),
            ("", "empty"),
        ] {
            let error = Requirements::read(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let deep = "[".repeat(200);
        assert!(Requirements::read(deep.as_bytes()).expect_err("deep").to_string().contains("nested"));
        crate::mutation::each(&[Requirements::tier_text(Risk::Regulated).as_bytes()], |bytes| {
            if let Err(error) = Requirements::read(bytes) {
                assert!(error.line > 0 && !error.message.is_empty());
            }
        });
    }
}
