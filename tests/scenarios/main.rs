//! Scenarios: real programs doing their whole work in real containers, and
//! forbidden acts tried from inside of them. Each in every place: Docker's
//! defaults, Kubernetes' restricted, and a user namespace on the bare machine.

#[path = "../support/mod.rs"]
mod support;

mod acts;
mod forbidden;
mod images;
mod lifecycle;
mod nginx;
mod whole;
