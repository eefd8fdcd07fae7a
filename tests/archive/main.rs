//! Images that are not run: archives of `docker save` and OCI, and unpacked directories. What they
//! hold is read as a container would see it; what is hostile or damaged is one clear line.
#![cfg(feature = "tool")]

mod directory;
mod docker;
mod hostile;
mod layers;
mod layouts;
mod made;
mod manifests;
mod readers;

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod support;
