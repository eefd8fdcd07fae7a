//! Each example works as its README says: the test is the README.

use std::path::Path;

use crate::guide::Guide;
use crate::images;
use crate::support::{Place, can_run, probe, tool};

/// What the commands of the READMEs are run with.
const CURL: &str = "/usr/bin/curl";
const COMPOSE: &str = "/usr/bin/docker-compose";
const JQ: &str = "/usr/bin/jq";

#[test]
fn scratch() {
    if can_run(Place::Docker, &[CURL]) {
        Guide::new("scratch", images::scratch()).bring(probe(), "server").follow();
    }
}

#[test]
fn nginx() {
    if can_run(Place::Docker, &[CURL, images::NGINX, images::BUSYBOX, images::TINI]) {
        Guide::new("nginx", images::nginx()).follow();
    }
}

#[test]
fn nonroot() {
    if can_run(Place::Docker, &[CURL]) {
        Guide::new("nonroot", images::nonroot()).bring(probe(), "server").follow();
    }
}

#[test]
fn healthcheck() {
    if can_run(Place::Docker, &[images::BUSYBOX]) {
        Guide::new("healthcheck", images::busybox()).follow();
    }
}

#[test]
fn compose() {
    if can_run(Place::Docker, &[CURL, COMPOSE, images::BUSYBOX]) {
        Guide::new("compose", images::busybox()).follow();
    }
}

#[test]
fn docker_init() {
    if can_run(Place::Docker, &[images::BUSYBOX]) {
        Guide::new("docker-init", images::busybox()).follow();
    }
}

#[test]
fn events() {
    if can_run(Place::Docker, &[JQ, images::BUSYBOX]) {
        Guide::new("events", images::busybox()).follow();
    }
}

#[test]
fn fleet() {
    if can_run(Place::Docker, &[images::BUSYBOX]) {
        Guide::new("fleet", images::busybox()).bring(tool(), "remit").follow();
    }
}

/// Every folder is in the list, and has a test above or beside.
#[test]
fn every_example_is_listed_and_tried() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let list = std::fs::read_to_string(examples.join("README.md")).expect("a README");
    let tests = [include_str!("examples.rs"), include_str!("kubernetes.rs")].concat();
    // Tried where Docker is not needed.
    let elsewhere = include_str!("../check/ci.rs");
    for entry in std::fs::read_dir(&examples).expect("the examples").flatten() {
        if !entry.path().is_dir() {
            continue;
        }
        let name = entry.file_name().into_string().expect("UTF-8");
        assert!(list.contains(&format!("]({name}/README.md)")), "examples/README.md does not list {name}");
        let is_tried = tests.contains(&format!("Guide::new(\"{name}\""))
            || elsewhere.contains(&format!("examples/{name}"));
        assert!(is_tried, "no test follows {name}/README.md");
    }
}
