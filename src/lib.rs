//! remit: the supervisor that a container carries in itself.
//!
//! The way of the data: argv and a [`profile`] become a [`plan`], pure and
//! printable; [`enforce`] performs it step by step; [`init`] stays as PID 1; [`enforcer`], or
//! [`recorder`] in learn mode, answers the calls that the [`filter`] notifies, by [`policy`];
//! [`event`] says what happened.
//! Only `sys` touches memory and system calls by hand.
#![deny(unsafe_code)]

pub mod doctor;
pub mod enforce;
pub mod enforcer;
pub mod event;
pub mod filter;
pub mod hex;
pub mod ids;
pub mod image;
pub mod init;
pub mod journal;
pub mod kernel;
#[cfg(feature = "tool")]
pub mod learn;
#[cfg(test)]
mod mutation;
pub mod notify;
pub mod plan;
pub mod policy;
pub mod processes;
pub mod procfs;
pub mod profile;
pub mod readiness;
pub mod recorder;
#[cfg(feature = "tool")]
pub mod review;
pub mod shim;
#[allow(unsafe_code)]
pub mod sys;
pub mod syscalls;
#[cfg(feature = "tool")]
pub mod tool;
pub mod tracer;
pub mod visible;
