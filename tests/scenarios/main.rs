//! Scenarios: real programs doing their whole work in real containers, and
//! forbidden acts tried from inside of them. Each in every place: Docker's
//! defaults, Kubernetes' restricted, and a user namespace on the bare machine.

#[path = "../probe/elf.rs"]
#[allow(dead_code)]
mod elf;
#[path = "../support/mod.rs"]
mod support;

mod acts;
mod around;
mod doctor;
mod engine;
mod examples;
mod forbidden;
mod guide;
mod images;
mod kubernetes;
mod lacking;
mod learned;
mod libraries;
mod lifecycle;
mod nginx;
mod postgres;
mod redis;
#[path = "../harness/seat.rs"]
mod seat;
mod servers;
mod sockets;
mod startup;
mod trees;
mod users;
mod verify;
mod whole;
