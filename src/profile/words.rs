//! The format's own words, each in one table: for reading, writing and messages.

use std::collections::BTreeMap;

use caps::CapsHashSet;

use super::{Capability, Fallback, FileGroup, Mode, OnViolation, Risk};

macro_rules! words {
    ($($type:ident { $($variant:ident $word:literal),+ })+) => {$(
        impl $type {
            /// Each value with its name in the format.
            pub const NAMES: &[($type, &'static str)] = &[$(($type::$variant, $word)),+];

            /// The value's name in the format.
            pub const fn word(self) -> &'static str {
                match self {
                    $($type::$variant => $word),+
                }
            }
        }
    )+};
}

words! {
    Risk { Minimal "minimal", Elevated "elevated", Regulated "regulated" }
    Mode { Enforce "enforce", Audit "audit", Learn "learn", Off "off" }
    OnViolation { Deny "deny", Kill "kill", Stop "stop" }
    Fallback { Refuse "refuse", Degrade "degrade" }
    FileGroup { Runtime "@runtime", Names "@names", Elsewhere "@elsewhere", Gpu "@gpu" }
}

/// A capability's name in the format: lower case, without `CAP_`.
pub fn capability_word(capability: Capability) -> String {
    capability.to_string().trim_start_matches("CAP_").to_ascii_lowercase()
}

/// The capability of a name, in any case, with or without `CAP_`; `None` for any other text.
pub fn capability_of(name: &str) -> Option<Capability> {
    let name = name.to_ascii_uppercase();
    let bare = name.strip_prefix("CAP_").unwrap_or(&name);
    format!("CAP_{bare}").parse().ok()
}

/// Every capability that the format can name, in the kernel's order.
pub fn capabilities() -> Vec<Capability> {
    in_order(&caps::all())
}

/// A set in the order of the kernel's numbers.
pub fn in_order(set: &CapsHashSet) -> Vec<Capability> {
    let mut list = BTreeMap::new();
    list.extend(set.iter().map(|capability| (capability.index(), *capability)));
    list.into_values().collect()
}
