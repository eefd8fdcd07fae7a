//! What opening and closing a file costs.

use std::fs;

use serde_json::json;

use crate::contender::Room;
use crate::{Section, interleave};

/// Opens in one run of a worker.
const OPENS: u32 = 200_000;
const ANY_FILTER: &str = "any seccomp filter";
const FOLDER: &str = "remit-init, its folder listed";
const BASELINE: &str = "remit-init, baseline";

/// A file in a folder that a profile lists, under `baseline`, and behind a filter that allows
/// everything.
pub fn opens(room: &Room) -> Result<Section, String> {
    let folder = room.dir.join("opened");
    let (file, profile) = (folder.join("file"), room.dir.join("opens.json"));
    let listed = json!({
        "remit": 1,
        "name": "opens",
        "programs": [{ "path": room.worker(), "entry": true }],
        "files": ["@runtime", { "path": folder, "allow": ["read"] }],
    });
    let fill = || {
        fs::create_dir_all(&folder)?;
        fs::write(&file, "content")?;
        fs::write(&profile, listed.to_string())
    };
    fill().map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = file.to_str().ok_or("the temporary folder's name is not UTF-8")?;
    let all = [
        room.bare(),
        room.bare().named(ANY_FILTER),
        room.any_confinement(),
        room.shim().under(&profile).named(FOLDER),
        room.shim().under("baseline").named(BASELINE),
    ];
    let samples = interleave(&all, 11, |c| {
        let act = if c.name == ANY_FILTER { "filtered-opens" } else { "opens" };
        Ok(c.output_ns(room, &[act, &OPENS.to_string(), file])? / f64::from(OPENS))
    })?;
    Ok(Section::of(&all, samples, "unconfined", 0).goal(FOLDER, "≤ 1.27").goal(BASELINE, "≤ 1.1"))
}
