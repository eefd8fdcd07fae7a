//! remit: the supervisor that a container carries in itself.
//!
//! The way of the data: argv and a [`profile`] become a [`plan`], pure and
//! printable; `enforce` performs it step by step; `supervise` stays as PID 1 and
//! answers what the [`filter`] notifies; [`event`] says what happened.
//! Only `sys` touches memory and system calls by hand.
#![deny(unsafe_code)]

pub mod doctor;
pub mod enforce;
pub mod event;
pub mod filter;
pub mod hex;
pub mod image;
pub mod kernel;
#[cfg(feature = "tool")]
pub mod learn;
#[cfg(test)]
mod mutation;
pub mod plan;
pub mod profile;
pub mod shim;
pub mod supervise;
#[allow(unsafe_code)]
pub mod sys;
pub mod syscalls;
#[cfg(feature = "tool")]
pub mod tool;
pub mod visible;
