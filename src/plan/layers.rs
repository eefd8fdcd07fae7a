//! The plan by layers, as in the start event and in a refusal to start.

use std::fmt;

use caps::Capability;

use super::step::{names, sorted};
use super::{Mechanism, MissingFeature, Plan};
use crate::filter::Access;
use crate::kernel::NoListener;
use crate::profile::{Fallback, Mode};

/// The detail of a filter without a listener.
const WITHOUT_NOTIFIER: &str =
    "no call is notified: the filter allows what is listed, and no denial is reported";

/// One layer of the confinement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name in events.
    pub layer: &'static str,
    /// How much of it is in force.
    pub state: LayerState,
    /// What it enforces, or why it does not; may be empty.
    pub detail: String,
}

/// How much of a layer is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// As much as this version can enforce with it.
    Active,
    /// Less than a newer kernel or a later version would enforce.
    Degraded,
    /// Nothing: the kernel or the environment does not have it.
    Unavailable,
}

impl LayerState {
    /// The state's name in events.
    pub const fn name(self) -> &'static str {
        match self {
            LayerState::Active => "active",
            LayerState::Degraded => "degraded",
            LayerState::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.layer, self.state.name())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

impl Plan {
    /// The message of a refusal to start: no filter can be loaded, or the profile needs a missing
    /// feature and does not have `"fallback": "degrade"`.
    pub fn refusal(&self) -> Option<String> {
        if let Err(why @ NoListener::Filter(_)) = &self.kernel.notify {
            return Some(format!(
                "seccomp: {why}, and without a filter nothing is refused; let the runtime's own filter allow seccomp(2), or take on the init alone with --mode off"
            ));
        }
        let missing: Vec<_> = self.missing_features.iter().filter(|missing| missing.required).collect();
        if self.fallback == Fallback::Degrade || missing.is_empty() {
            return None;
        }
        let listed: Vec<_> = missing
            .iter()
            .map(|lack| format!("{} needs {} ({})", lack.layer, lack.needs, lack.cost))
            .collect();
        Some(format!(
            "this kernel cannot give what profile `{}` asks for: {}; run it on one that can, or write `\"fallback\": \"degrade\"`",
            self.name,
            listed.join("; ")
        ))
    }

    /// Every layer, in the order of the launch.
    pub fn layers(&self) -> Vec<Layer> {
        let enforce = self.mode == Mode::Enforce;
        let enforced = |layer, active: bool, detail: String| match (enforce, active) {
            (false, _) => Layer::new(layer, LayerState::Unavailable, self.why_nothing()),
            (true, true) => {
                Layer::new(layer, self.worst(layer, LayerState::Active), &self.detail(layer, detail))
            }
            (true, false) => Layer::new(layer, LayerState::Unavailable, &self.detail(layer, detail)),
        };
        let user =
            self.run_as.as_ref().map_or("as it was".to_owned(), |ids| format!("{}:{}", ids.user, ids.group));
        let app: Vec<Capability> = sorted(&self.capabilities.app);
        let (fixed, by_argument, notified) = self.counts();
        let landlock = self.landlock.as_ref();
        let abi = format!("ABI {}", self.kernel.landlock.0);
        let listener = self.kernel.notify.as_ref();
        let filter = format!("{fixed} calls, {by_argument} by argument, {notified} notified");
        let limits: Vec<_> =
            self.limits.iter().map(|(limit, value)| format!("{} {value}", limit.name())).collect();
        let mdwe = match (self.mdwe, self.policy.write_execute) {
            (true, _) => "",
            (false, true) => "the profile has write_execute",
            (false, false) => "the filter holds it",
        };
        vec![
            Layer::new("user", LayerState::Active, &user),
            enforced("capabilities", true, names(&app)),
            Layer::new("no_new_privs", LayerState::Active, ""),
            enforced("limits", true, limits.join(", ")),
            enforced("mdwe", self.mdwe, mdwe.to_owned()),
            enforced("environment", true, format!("{} names dropped", self.environment_drop.len())),
            enforced("landlock-files", landlock.is_some(), abi),
            enforced(
                "landlock-tcp",
                landlock.is_some_and(|domain| !domain.handled_net.is_empty()),
                String::new(),
            ),
            enforced("landlock-scope", landlock.is_some_and(|domain| domain.scope_signal), String::new()),
            match (listener, enforce) {
                (Ok(_), _) => Layer::new("seccomp", LayerState::Active, &filter),
                (Err(why @ NoListener::Filter(_)), _) => {
                    Layer::new("seccomp", LayerState::Unavailable, &why.to_string())
                }
                (Err(_), true) => Layer::new("seccomp", LayerState::Degraded, WITHOUT_NOTIFIER),
                (Err(_), false) => Layer::new("seccomp", LayerState::Unavailable, WITHOUT_NOTIFIER),
            },
            match listener {
                Ok(_) => Layer::new(
                    "notification",
                    self.worst("notification", LayerState::Active),
                    &self.detail("notification", String::new()),
                ),
                Err(why) => Layer::new("notification", LayerState::Unavailable, &why.to_string()),
            },
            self.exec_check(),
        ]
    }

    /// Whether a process is traced before its memory becomes unreadable.
    pub fn traces(&self) -> bool {
        self.kernel.notify.is_ok() && self.kernel.trace.is_ok()
    }

    /// The post-exec verification: whether it is active, and for how many rules.
    fn exec_check(&self) -> Layer {
        let count = |by| self.program_rules.iter().filter(|rule| rule.by == by).count();
        let narrows = match count(Mechanism::MappedFiles) {
            0 => String::new(),
            rules => format!(", and narrows {rules}"),
        };
        match (self.mode, count(Mechanism::PostExec), count(Mechanism::CallerMemory)) {
            (Mode::Enforce, 0, 0) if narrows.is_empty() => {
                Layer::new("exec-check", LayerState::Active, "no rule needs it: Landlock alone is exact")
            }
            (Mode::Enforce, rules, 0) => {
                Layer::new("exec-check", LayerState::Active, &format!("it holds {rules} rules{narrows}"))
            }
            (Mode::Enforce, ..) => {
                Layer::new("exec-check", LayerState::Unavailable, &self.detail("exec-check", String::new()))
            }
            _ => Layer::new("exec-check", LayerState::Unavailable, self.why_nothing()),
        }
    }

    const fn why_nothing(&self) -> &'static str {
        match self.mode {
            Mode::Learn => "learning refuses nothing",
            _ => "audit refuses nothing",
        }
    }

    /// The numbers of calls that are allowed, allowed by argument, and notified every time.
    fn counts(&self) -> (usize, usize, usize) {
        let count =
            |like: fn(&Access) -> bool| self.filter.calls.values().filter(|access| like(access)).count();
        (
            count(|access| matches!(access, Access::Allow)),
            count(|access| matches!(access, Access::When(_))),
            count(|access| matches!(access, Access::Notify)),
        )
    }

    fn lacks(&self, layer: &str) -> impl Iterator<Item = &MissingFeature> {
        self.missing_features.iter().filter(move |missing| missing.layer == layer)
    }

    fn worst(&self, layer: &str, otherwise: LayerState) -> LayerState {
        if self.lacks(layer).next().is_some() { LayerState::Degraded } else { otherwise }
    }

    /// The detail, and the features that the layer lacks.
    fn detail(&self, layer: &str, detail: String) -> String {
        let lacks = self.lacks(layer).map(|missing| format!("without {}: {}", missing.needs, missing.cost));
        let parts: Vec<String> = (!detail.is_empty()).then_some(detail).into_iter().chain(lacks).collect();
        parts.join("; ")
    }
}

impl Layer {
    fn new(layer: &'static str, state: LayerState, detail: &str) -> Layer {
        Layer { layer, state, detail: detail.to_owned() }
    }
}
