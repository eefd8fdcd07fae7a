//! Another user than a program may be: by each of a process's ids, one of which opens files.

use serde_json::json;

use crate::attack::{Attack, all_hold, attack};
use crate::site;
use crate::support::forbidden::{EPERM, seen};
use crate::support::{Place, in_each_place};

in_each_place!(no_id_is_another_users);

/// setfsuid(2) answers no errno: the act sees that its files are opened as before. Without
/// root there is no id to take.
pub const OTHER: &[Attack] = &[
    attack(seen("user-files", EPERM, "program", "/probe")).restricted("EPERM"),
    attack(seen("user-files?arg=thread", EPERM, "program", "/probe")).restricted("EPERM"),
    attack(seen("user-files?arg=undumpable", EPERM, "program", "/probe")).restricted("EPERM"),
    attack(seen("user-effective", EPERM, "program", "/probe")).restricted("EPERM"),
    attack(seen("user-saved", EPERM, "program", "/probe")).restricted("EPERM"),
];

fn no_id_is_another_users(place: Place) {
    let mut profile = site::profile();
    let user = if place == Place::Restricted { 101 } else { 0 };
    profile["programs"][0]["user"] = json!([user]);
    profile["capabilities"] = json!(["setuid"]);
    profile["syscalls"]["allow"] = json!(["setfsuid", "setresuid"]);
    all_hold(place, &profile, OTHER);
}
