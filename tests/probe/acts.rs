//! The acts by name, and making one of them in a child that may be killed for it.

mod code;
mod disguises;
mod execs;
mod files;
mod first;
mod inject;
mod kernel;
mod names;
mod network;
mod own;
mod processes;
mod races;
mod replace;
mod sockets;
mod threads;
mod unread;
mod users;
mod waits;

use std::fs::File;
use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::syscall::{self, Ended, Forked, Refused, errno_name};

/// What came of an act.
#[derive(Debug)]
pub enum Outcome {
    /// It succeeded; the word says how far.
    Done(String),
    /// The kernel, or remit, said no.
    Refused(Refused),
    /// It was killed for it.
    Killed(i32),
}

impl Outcome {
    /// One line of JSON.
    pub fn line(&self, act: &str) -> Value {
        match self {
            Outcome::Done(detail) => json!({ "act": act, "result": "ok", "detail": detail }),
            Outcome::Refused(refused) => {
                json!({ "act": act, "result": errno_name(refused.errno), "step": refused.step })
            }
            Outcome::Killed(libc::SIGSYS) => json!({ "act": act, "result": "SIGSYS" }),
            Outcome::Killed(libc::SIGKILL) => json!({ "act": act, "result": "SIGKILL" }),
            Outcome::Killed(signal) => json!({ "act": act, "result": format!("signal {signal}") }),
        }
    }
}

/// What an act gives back: a word on how far it came, or the step that was refused.
pub type Result<T = String> = std::result::Result<T, Refused>;

type Act = fn(&[String]) -> Result;

/// Every act by name.
const ACTS: &[&[(&str, Act)]] = &[
    execs::ACTS,
    disguises::ACTS,
    replace::ACTS,
    names::ACTS,
    races::ACTS,
    files::ACTS,
    network::ACTS,
    sockets::ACTS,
    threads::ACTS,
    own::ACTS,
    processes::ACTS,
    first::ACTS,
    inject::ACTS,
    code::ACTS,
    kernel::ACTS,
    users::ACTS,
    unread::ACTS,
    waits::ACTS,
];

/// The names of all acts.
pub fn names() -> impl Iterator<Item = &'static str> {
    ACTS.iter().flat_map(|room| room.iter()).map(|(name, _)| *name)
}

/// An act by its name.
fn find(name: &str) -> Result<Act> {
    let known = ACTS.iter().flat_map(|room| room.iter()).find(|(known, _)| *known == name);
    known.map(|(_, act)| *act).ok_or(Refused { step: "no such act", errno: libc::EINVAL })
}

/// Makes one act in a forked child, so that being killed is a result too.
pub fn in_child(name: &str, arguments: &[String]) -> std::result::Result<Outcome, String> {
    let act = ACTS
        .iter()
        .flat_map(|room| room.iter())
        .find(|(known, _)| *known == name)
        .map(|(_, act)| *act)
        .ok_or_else(|| format!("no such act; one of: {}", names().collect::<Vec<_>>().join(" ")))?;
    let step = |refused: Refused| format!("{}: {}", refused.step, errno_name(refused.errno));
    let (from, to) = syscall::pipe().map_err(step)?;
    match syscall::fork("fork").map_err(step)? {
        Forked::Child => {
            let text = match act(arguments) {
                Ok(detail) => format!("ok {detail}"),
                Err(refused) => format!("{} {}", refused.errno, refused.step),
            };
            // The parent takes an unwritten result for a broken act.
            let written = File::from(to).write_all(text.as_bytes());
            syscall::leave(i32::from(written.is_err()))
        }
        Forked::Parent(child) => {
            drop(to);
            let mut text = String::new();
            File::from(from)
                .read_to_string(&mut text)
                .map_err(|error| format!("reading the result: {error}"))?;
            let ended = syscall::wait(child);
            match (text.split_once(' '), ended) {
                (Some(("ok", detail)), _) => Ok(Outcome::Done(detail.to_owned())),
                (Some((errno, step)), _) => Ok(Outcome::Refused(Refused {
                    step: step.to_owned().leak(),
                    errno: errno.parse().map_err(|_| format!("the act said `{text}`"))?,
                })),
                (None, Ended::Signal(signal)) => Ok(Outcome::Killed(signal)),
                (None, Ended::Code(code)) => Err(format!("the act ended with {code} and said nothing")),
            }
        }
    }
}

/// Argument `index`, or a default.
fn argument<'a>(arguments: &'a [String], index: usize, default: &'a str) -> &'a str {
    arguments.get(index).map_or(default, String::as_str)
}

/// Argument `index` as a number, or a default.
fn number(arguments: &[String], index: usize, default: i64) -> i64 {
    arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Success without more to say.
fn done() -> Result {
    Ok(String::new())
}
