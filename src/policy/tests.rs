//! The verdicts, on an invented image and a described kernel.

mod calls;
mod files;
mod inode;
mod libraries;
mod network;
mod programs;
mod settled;
mod started;
mod startup;

use std::path::Path;

use super::{Denial, PolicyEngine};
use crate::image::{Executable, FileId, ImageFiles, tree::ImageTree};
use crate::kernel::{Arch, Kernel, Release};
use crate::plan::{Host, Plan, ProgramIndex};
use crate::profile::{self, Capability, Mode, ProfileIndex};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn image() -> ImageTree {
    ImageTree::new()
        .program(LOADER, Executable::Loader)
        .program("/bin/sh", Executable::Dynamic(LOADER.into()))
        .program("/app/server", Executable::Static)
        .program("/app/helper", Executable::Static)
        .program("/app/script", Executable::Script("/bin/sh".into(), None))
        .program("/tools/one", Executable::Static)
        .program("/tools/deep/two", Executable::Static)
        .program("/evil", Executable::Static)
        .hard_link("/extra/server-again", "/app/server")
        .file("/data/old")
        .file("/data/private/key")
        .file("/etc/app.conf")
        .file("/usr/lib/libx.so")
        .file("/opt/plugin.so")
        .dir("/run")
        .dir("/proc")
}

fn place() -> Host {
    let permitted: caps::CapsHashSet =
        [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_SETPCAP].into();
    Host { embedded: true, ..Host::container(permitted) }
}

/// The policy engine of a profile of these keys, on this kernel.
fn rules_on(keys: &str, major: u16, minor: u16, mode: Mode) -> PolicyEngine {
    let text = format!(r#"{{"remit": 1, "name": "t", "fallback": "degrade", {keys}}}"#);
    let profile = profile::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}")).profile;
    let kernel = Kernel::stock(Release::new(major, minor), Arch::X86_64);
    let plan = Plan::new(&profile, &kernel, &place(), &image(), mode)
        .unwrap_or_else(|error| panic!("{error}\n{keys}"));
    PolicyEngine::new(&plan)
}

/// A profile of one static program and these keys.
fn rules(keys: &str) -> PolicyEngine {
    rules_on(
        &format!(r#""programs": [{{"path": "/app/server", "entry": true}}], {keys}"#),
        6,
        18,
        Mode::Enforce,
    )
}

/// The program at this place of the policy.
fn program(place: usize) -> ProgramIndex {
    ProgramIndex::new(place)
}

/// The entry at this place of the profile.
fn entry(place: usize) -> ProfileIndex {
    ProfileIndex::new(place)
}

fn id(path: &str) -> FileId {
    image().stat(Path::new(path)).expect("no loop").unwrap_or_else(|| panic!("{path} is not there")).id
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Box<Denial>>) -> Denial {
    *answer.expect_err("it has to be refused")
}
