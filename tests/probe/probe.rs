//! The probe: one static program that makes one named act by direct system
//! calls and prints what came of it as one line of JSON. It is the app, the
//! attacker and the user-namespace container of the scenario tests.
//!
//! ```text
//! probe ACT [ARG…]            one act; exit 0 when it succeeded, 1 when it was refused
//! probe serve PORT            HTTP; `GET /act/NAME?arg=…` makes an act in a forked child;
//!                             as `/server`, without arguments, on 8080
//! probe signals [SIGNAL CODE] print every signal received; exit with CODE on SIGNAL
//! probe orphans N             leave N orphans to PID 1, then count what was not reaped
//! probe sleeper               leave a grandchild in a session of its own, and wait
//! probe exit CODE | die SIGNAL | arguments
//! probe contain … -- COMMAND  run COMMAND in a user namespace of its own
//! /init                       the first process of a machine: its cases, and its last command
//! ```
//!
//! Some acts would harm a machine, so every act refuses to run where neither
//! the environment nor the pid namespace says that the place is a throw-away.

mod acts;
mod contain;
#[allow(dead_code)]
mod elf;
mod guest;
mod lifecycle;
mod places;
mod serve;
mod syscall;

use std::process::ExitCode;

use acts::Outcome;

/// Exit code of a use that the probe does not understand, or of a place that it refuses.
const MISUSED: u8 = 64;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    // The server of the examples is started by its name alone.
    if arguments.is_empty() && std::env::args().next().is_some_and(|name| name.ends_with("/server")) {
        arguments = vec!["serve".to_owned(), "8080".to_owned()];
    }
    if std::env::args().next().is_some_and(|name| name == "/init") {
        arguments = vec!["init".to_owned()];
    }
    let Some((name, rest)) = arguments.split_first() else {
        eprintln!("probe: no act named; one of: {}", acts::names().collect::<Vec<_>>().join(" "));
        return ExitCode::from(MISUSED);
    };
    let done = match name.as_str() {
        "serve" => serve::serve(rest),
        "signals" => lifecycle::signals(rest),
        "orphans" => lifecycle::orphans(rest),
        "sleeper" => lifecycle::sleeper(),
        "exit" => lifecycle::exit(rest),
        "die" => lifecycle::die(rest),
        "arguments" => lifecycle::arguments(rest),
        "contain" => contain::contain(rest),
        "init" => guest::first_process(),
        _ => one_act(name, rest),
    };
    done.unwrap_or_else(|why| {
        eprintln!("probe {name}: {why}");
        ExitCode::from(MISUSED)
    })
}

fn one_act(name: &str, arguments: &[String]) -> Result<ExitCode, String> {
    places::throw_away()?;
    let outcome = acts::in_child(name, arguments)?;
    println!("{}", outcome.line(name));
    Ok(match outcome {
        Outcome::Done(_) => ExitCode::SUCCESS,
        Outcome::Refused(_) | Outcome::Killed(_) => ExitCode::from(1),
    })
}
