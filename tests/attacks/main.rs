//! The attack suite: an attacker who already runs code in the app, with as many threads
//! and processes as it likes, against what the profile says. Each attack in every place:
//! Docker's defaults, Kubernetes' restricted, and a user namespace on the bare machine;
//! each with its control, the very same attack with `--mode off`.
//!
//! The attacker is the probe (tests/probe), which makes no act outside of a throw-away
//! container or namespace. docs/attacks.md lists what is tried and what stops it.

#[path = "../scenarios/acts.rs"]
#[allow(dead_code)]
mod acts;
#[path = "../probe/elf.rs"]
#[allow(dead_code)]
mod elf;
#[path = "../kernels/machine.rs"]
#[allow(dead_code)]
mod machine;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

mod attack;
mod docs;
mod environment;
mod injection;
mod intrusions;
mod kernel;
mod names;
mod origin;
mod programs;
mod races;
mod restarts;
mod site;
mod sockets;
mod supervisor;
mod truncation;
mod unread;
mod users;
mod yama;
