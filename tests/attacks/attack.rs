//! One attack: what has to come of it confined, and what comes of it where nothing
//! confines it, without which the first would prove nothing.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::site::{NEEDS, Site, serve};
use crate::support::forbidden::{Forbidden, make, wrong};
use crate::support::{Place, Running, can_run};

/// Before the exec, or after it, when the old program is gone and no errno can be given.
pub const EITHER_WAY: &[&str] = &["EACCES", "SIGKILL"];

/// An attack with its control.
pub struct Attack {
    /// The act, how it is refused, and what is reported of it.
    pub forbidden: Forbidden,
    /// What comes of it unconfined: by Docker's defaults, restricted, and in a user
    /// namespace. Anything but `ok` is refused by the runtime, or for want of a
    /// capability, before any question of ours.
    free: [&'static str; 3],
    /// What it brings back when it succeeds, so that it has really happened.
    proof: &'static str,
}

/// It succeeds everywhere where nothing confines it.
pub const fn attack(forbidden: Forbidden) -> Attack {
    Attack { forbidden, free: ["ok"; 3], proof: "" }
}

/// The same, and code that is not listed has run then.
pub const fn runs(forbidden: Forbidden) -> Attack {
    Attack { forbidden, free: ["ok"; 3], proof: "exit 42" }
}

impl Attack {
    /// What comes of it unconfined in Docker's two places.
    pub const fn docker(mut self, result: &'static str) -> Attack {
        self.free[0] = result;
        self.free[1] = result;
        self
    }

    /// What comes of it unconfined without root and without capabilities.
    pub const fn restricted(mut self, result: &'static str) -> Attack {
        self.free[1] = result;
        self
    }

    /// What comes of it unconfined in a user namespace.
    pub const fn namespace(mut self, result: &'static str) -> Attack {
        self.free[2] = result;
        self
    }

    /// What it brings back unconfined.
    pub const fn proof(mut self, proof: &'static str) -> Attack {
        self.proof = proof;
        self
    }

    /// What comes of it unconfined in this place.
    pub fn free(&self, place: Place) -> &'static str {
        match place {
            Place::Docker => self.free[0],
            Place::Restricted => self.free[1],
            Place::UserNamespace => self.free[2],
        }
    }
}

/// Of a pair of program and rule ten events come by themselves before they are counted
/// together: so few attacks at most to a container.
pub const LOT: usize = 8;

/// Each of the attacks succeeds with `--mode off`, where nothing of the runtime's is in
/// the way, and is refused and reported under the profile, where the app serves on.
pub fn all_hold(place: Place, profile: &Value, attacks: &[Attack]) {
    if can_run(place, NEEDS) {
        all_hold_in(place, |options| serve(place, options, profile), attacks);
    }
}

/// The same of a server that is started so.
pub fn all_hold_in(place: Place, serve: impl Fn(&[&str]) -> (Running, Site), attacks: &[Attack]) {
    all_hold_of(place, serve, &attacks.iter().collect::<Vec<_>>());
}

/// The same of attacks of more than one table.
pub fn all_hold_of(place: Place, serve: impl Fn(&[&str]) -> (Running, Site), attacks: &[&Attack]) {
    let mut faults = Vec::new();
    let (free, site) = serve(&["--mode", "off"]);
    for attack in attacks {
        let (act, expected) = (attack.forbidden.act, attack.free(place));
        let (result, detail) = make(&free, act);
        let proven = result != "ok" || detail.contains(attack.proof);
        if result != expected || !proven {
            faults
                .push(format!("control {act}: expected {expected} {}, got {result} {detail}", attack.proof));
        }
        site.put_back();
    }
    drop(free);
    for lot in attacks.chunks(LOT) {
        let (mut confined, site) = serve(&[]);
        for attack in lot {
            let before = confined.events().violations().len();
            let (result, detail) = make(&confined, attack.forbidden.act);
            if attack.free(place) == "ok" {
                let found = wrong(&confined, &attack.forbidden, &result, before);
                faults.extend(found.into_iter().map(|fault| format!("{fault} {detail}")));
            } else if result == "ok" {
                faults.push(format!("{}: refused by the runtime, and yet {result}", attack.forbidden.act));
            }
            site.put_back();
        }
        assert_eq!(confined.get(8080, "/").status, 200, "it serves on");
        assert_eq!(confined.stop().code, 143, "the app is ended by TERM: {}", confined.stderr());
    }
    assert!(faults.is_empty(), "{place:?}:\n{}", faults.join("\n"));
}

/// Makes a raced act until it succeeds, as a control of it has to: how often threads meet depends on what
/// else the machine does. False after two minutes.
pub fn wins(mut race: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if race() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
    }
}
