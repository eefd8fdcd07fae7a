//! The kustomize component: what kustomize makes of it, and that it is what `remit export` writes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{Folder, fixture, root};
use crate::support::{kustomize, skip};

fn examples() -> PathBuf {
    root().join("examples/kubernetes")
}

/// Where a program is in PATH.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists())
}

/// The objects by kind and name, without the digest that kustomize adds to a ConfigMap's name.
fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let plain = |value: &mut Value| {
        if let Some(name) = value.as_str()
            && name.starts_with("web-profile-")
        {
            *value = "web-profile".into();
        }
    };
    let named = objects.into_iter().map(|mut object| {
        plain(&mut object["metadata"]["name"]);
        for volume in object["spec"]["template"]["spec"]["volumes"].as_array_mut().into_iter().flatten() {
            if let Some(name) = volume.pointer_mut("/configMap/name") {
                plain(name);
            }
        }
        (format!("{}/{}", object["kind"], object["metadata"]["name"]), object)
    });
    named.collect()
}

#[test]
fn the_component_of_the_examples_is_what_export_writes() {
    let folder = Folder::new();
    let profile = examples().join("component/profile.json");
    let profile = profile.to_str().expect("UTF-8");
    folder.done(&[
        "export",
        profile,
        "--to",
        "kubernetes",
        "-o",
        "new",
        "--",
        "httpd",
        "-f",
        "-p",
        "8080",
        "-h",
        "/srv",
    ]);
    for name in ["kustomization.yaml", "deployment.yaml", "network-policy.yaml", "profile.json"] {
        let file = examples().join("component").join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::copy(folder.path("new").join(name), &file).expect("copied");
        }
        let there = std::fs::read_to_string(&file).expect("it is in the examples");
        assert_eq!(folder.text(&format!("new/{name}")), there, "{name}: UPDATE_GOLDEN=1 writes it anew");
    }
}

#[test]
fn the_component_adds_the_shim_the_profile_and_the_command() {
    let objects = by_name(kustomize::built(&examples().join("overlay")));
    let pod = &objects["\"Deployment\"/\"web\""]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "busybox:1.36", "the image stays");
    assert_eq!(container["command"][0], "/remit/remit-init");
    assert_eq!(container["command"][2], "httpd");
    assert_eq!(container["volumeMounts"].as_array().map(Vec::len), Some(3));
    assert_eq!(pod["volumes"].as_array().map(Vec::len), Some(3));
    assert_eq!(pod["initContainers"][0]["name"], "remit");
    let map = &objects["\"ConfigMap\"/\"web-profile\""]["data"]["profile.json"];
    let read = remit::profile::read(map.as_str().expect("a text").as_bytes()).expect("a profile");
    assert_eq!(read.profile.name, "web");
}

#[test]
fn kustomize_makes_the_same_of_it() {
    // Debian has no kubectl whose kustomize knows components (1.21); tests/support/kustomize.rs stands
    // in for it in the other tests.
    let Some(kubectl) = on_path("kubectl") else {
        let _ = writeln!(std::io::stderr(), "NOT RUN: kubectl kustomize: no kubectl 1.21 or newer in PATH");
        return;
    };
    let output =
        Command::new(kubectl).arg("kustomize").arg(examples().join("overlay")).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let built: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    assert_eq!(by_name(built), by_name(kustomize::built(&examples().join("overlay"))));
}

#[test]
fn every_object_is_valid_by_the_published_schema() {
    let Some(validator) = validator() else { return };
    let folder = Folder::new();
    let profile = fixture("../every-form.json");
    for (name, more) in [("plain.yaml", &[][..]), ("volume.yaml", &["--image-volume"][..])] {
        let arguments = ["export", profile.as_str(), "--to", "kubernetes", "-o", name, "--deployment", "web"];
        folder.done(&[&arguments, more, &["--", "/bin/app"]].concat());
    }
    // The patch is no whole Deployment: it is compared as kustomize puts it into one.
    let overlay: Vec<String> =
        kustomize::built(&examples().join("overlay")).iter().map(ToString::to_string).collect();
    folder.put("overlay.yaml", overlay.join("\n---\n"));
    for name in ["plain.yaml", "volume.yaml"] {
        let objects = kustomize::documents(&folder.path(name));
        let whole: Vec<String> =
            objects.iter().filter(|one| one["kind"] != "Deployment").map(ToString::to_string).collect();
        assert_eq!(whole.len(), 2);
        folder.put(&format!("whole-{name}"), whole.join("\n---\n"));
    }
    let policy = examples().join("policy.yaml");
    for name in ["overlay.yaml", "whole-plain.yaml", "whole-volume.yaml", policy.to_str().expect("UTF-8")] {
        let output = Command::new(&validator).arg("--strict").arg(name).current_dir(folder.path("")).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{name}: {output:?}");
    }
    // Control: a field that it does not know.
    let wrong = std::fs::read_to_string(&policy).expect("the policy").replace("failurePolicy", "failPolicy");
    folder.put("wrong.yaml", wrong);
    let output =
        Command::new(&validator).args(["--strict", "wrong.yaml"]).current_dir(folder.path("")).output();
    assert!(!output.expect("it runs").status.success());
}

/// The validator that scripts/test sets up.
pub fn validator() -> Option<PathBuf> {
    let own = root().join("target/kubernetes-validate/bin/kubernetes-validate");
    let found = on_path("kubernetes-validate").or_else(|| own.exists().then_some(own));
    if found.is_none() {
        skip::skip("kubernetes-validate");
    }
    found
}
