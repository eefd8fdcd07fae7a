//! An earlier build of the shim beside this one: what a change costs.

use crate::contender::{Contender, Room, find_program};
use crate::server::Race;
use crate::{SPAWNS, Section, interleave, launched_ms};

/// Names the earlier build's file.
const VARIABLE: &str = "REMIT_BENCH_EARLIER";
const EARLIER: &str = "earlier build";

/// A server natively, under the earlier build and under this one.
const RACE: Race = Race {
    everyone: |room| [room.bare(), earlier(room), room.shim()],
    base: EARLIER,
    goal: ["remit-init", "≥ 0.97"],
};

fn earlier(room: &Room) -> Contender {
    match std::env::var_os(VARIABLE) {
        Some(file) => room.shim_of(EARLIER, file.into(), room.dir.join("profile.json")),
        None => room.shim().named(EARLIER).absent(format!("{VARIABLE} names none")),
    }
}

/// From the start of a static `true` to its end.
pub fn launch(room: &Room) -> Result<Section, String> {
    compared(&[earlier(room), room.shim()], 400, 3, |c| launched_ms(room, c))
}

/// fork, exec and wait of a dynamic `true` under `baseline`.
pub fn exec(room: &Room) -> Result<Section, String> {
    let Some(program) = find_program("true") else { return Err("no `true` on PATH".to_owned()) };
    let program = program.to_str().ok_or("PATH is not UTF-8")?;
    compared(&[earlier(room), room.shim()].map(|c| c.under("baseline")), 21, 1, |c| {
        Ok(c.output_ns(room, &["spawn", &SPAWNS.to_string(), program])? / 1e3 / f64::from(SPAWNS))
    })
}

/// Requests a second of nginx.
pub fn nginx(room: &Room) -> Result<Section, String> {
    crate::nginx::measure(room, &RACE)
}

/// Requests a second of redis.
pub fn redis(room: &Room) -> Result<Section, String> {
    crate::redis::measure(room, &RACE)
}

fn compared(
    both: &[Contender],
    rounds: usize,
    decimals: usize,
    measure: impl Fn(&Contender) -> Result<f64, String>,
) -> Result<Section, String> {
    let mut all = both.to_vec();
    if let Some(why) = both.iter().find_map(|c| c.absent.clone()) {
        all.iter_mut().for_each(|c| c.absent = Some(why.clone()));
    }
    let samples = interleave(&all, rounds, measure)?;
    Ok(Section::of(&all, samples, EARLIER, decimals).goal("remit-init", "≤ 1.03"))
}
