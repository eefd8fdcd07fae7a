//! The forms of archives, and which image of one is meant.

use std::path::Path;

use remit::image::ImageFiles;
use serde_json::{Value, json};
use tar::EntryType;

use super::made::{
    Layer, Members, Saved, config, digest, docker, docker25, gzip, image_blobs, oci, sha256, stat, zstd,
};

fn layers() -> Vec<Vec<u8>> {
    // Large enough for several buffers and blocks of a compressor.
    let text: Vec<u8> = (0..80_000u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    vec![
        Layer::new().file("bin/app", &text).file("etc/a", "1").bytes(),
        Layer::new().file("etc/a", "2").file("etc/.wh.b", "").bytes(),
        Layer::new().file("etc/c", "3").bytes(),
    ]
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// Frames one after the other, with one between that is skipped.
fn frames(bytes: &[u8]) -> Vec<u8> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    [&zstd(first)[..], b"\x50\x2a\x4d\x18\x03\0\0\0abc", &zstd(second)].concat()
}

fn members_of_gzip(bytes: &[u8]) -> Vec<u8> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    [gzip(first), gzip(second)].concat()
}

#[test]
fn every_form_is_the_same_image() {
    let layers = layers();
    let text = &layers[0][512..512 + 320_000];
    let forms: [(&str, Members); 9] = [
        ("docker save", docker(&["app:1"], &layers)),
        ("docker save since 25", docker25(&["app:1"], &layers, plain)),
        ("docker save since 25, gzip", docker25(&["app:1"], &layers, gzip)),
        ("OCI", oci("app:1", &layers, plain)),
        ("OCI, gzip", oci("app:1", &layers, gzip)),
        ("OCI, gzip of two members", oci("app:1", &layers, members_of_gzip)),
        ("OCI, zstd", oci("app:1", &layers, zstd)),
        ("OCI, zstd of several frames", oci("app:1", &layers, frames)),
        ("OCI, its files the other way round", {
            let mut members = oci("app:1", &layers, gzip);
            members.0.reverse();
            members
        }),
    ];
    for (form, members) in forms {
        for pack in [plain, gzip, zstd] {
            let saved = Saved::new(pack(&members.tar()));
            let image = saved.read().unwrap_or_else(|error| panic!("{form}: {error}"));
            assert_eq!(image.name(), format!("{}#app:1", saved.path().display()), "{form}");
            assert_eq!(image.id(), Some(&*format!("sha256:{}", sha256(&config(&layers)))), "{form}");
            let config = image.config().expect("a config");
            assert_eq!(config.command(), ["/bin/app", "serve"], "{form}");
            assert_eq!((&*config.user, &*config.labels["a"], &*config.env[0]), ("app", "b", "PATH=/bin"));
            let paths = ["/bin/app", "/etc/a", "/etc/c"].map(Path::new);
            let found = image.digests(&paths).unwrap_or_else(|error| panic!("{form}: {error}"));
            assert_eq!(found[paths[0]], sha256(text), "{form}");
            assert_eq!((&found[paths[1]], &found[paths[2]]), (&sha256(b"2"), &sha256(b"3")), "{form}");
        }
    }
}

#[test]
fn one_of_several_is_chosen_by_its_name() {
    let (one, two) = (vec![Layer::new().file("one", "").bytes()], vec![Layer::new().file("two", "").bytes()]);
    let mut members = docker(&["app:1", "registry.example/app:latest"], &one);
    let first: Value = serde_json::from_slice(members.get("manifest.json")).expect("JSON");
    let second = docker(&["docker.io/library/other:latest"], &two);
    for (name, bytes) in &second.0 {
        if name != "manifest.json" {
            members.put(name, bytes);
        }
    }
    let second: Value = serde_json::from_slice(second.clone().get("manifest.json")).expect("JSON");
    members.put("manifest.json", json!([first[0], second[0]]).to_string());
    let saved = Saved::new(members.tar());
    let id = format!("sha256:{}", &sha256(&config(&two))[..12]);
    for (name, file) in [
        ("app:1", "/one"),
        ("docker.io/library/app:1", "/one"),
        ("registry.example/app", "/one"),
        ("other", "/two"),
        ("other:latest", "/two"),
        (&id, "/two"),
    ] {
        let image = saved.named(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(stat(&image, file).is_some(), "{name}");
        assert_eq!(image.list(Path::new("/")).expect("listed").len(), 1, "{name}");
    }
    assert_eq!(
        saved.refused(""),
        "image.tar: has 2 images; choose one: image.tar#app:1, image.tar#docker.io/library/other:latest"
    );
    assert_eq!(
        saved.refused("app:2"),
        "image.tar: has no image app:2; it has app:1, docker.io/library/other:latest"
    );
    // A file may have the name as it stands.
    std::fs::rename(saved.path(), saved.0.path().join("a#b.tar")).expect("renamed");
    let mut path = saved.0.path().join("a#b.tar").into_os_string();
    path.push("#app:1");
    let image = remit::image::archive::open(&path, remit::kernel::Arch::X86_64, &mut |_, _| {});
    assert!(stat(&image.expect("an image"), "/one").is_some());
}

#[test]
fn of_several_architectures_it_is_the_one_that_is_meant() {
    let mut members = Members::default();
    let mut manifests = Vec::new();
    for (arch, name) in [("amd64", "intel"), ("arm64", "arm"), ("unknown", "attestation")] {
        let mut descriptor = image_blobs(&mut members, &[Layer::new().file(name, "").bytes()], gzip);
        descriptor["platform"] =
            json!({ "os": if arch == "unknown" { arch } else { "linux" }, "architecture": arch });
        manifests.push(descriptor);
    }
    // One that is named and was not saved.
    let mut absent = manifests[1].clone();
    absent["digest"] = format!("sha256:{}", "0".repeat(64)).into();
    manifests.push(absent);
    let index = json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
    let mut nested = members.blob(index.as_bytes(), "application/vnd.oci.image.index.v1+json");
    nested["annotations"] = json!({ "io.containerd.image.name": "docker.io/library/app:1" });
    members.put("index.json", json!({ "manifests": [nested] }).to_string());
    let saved = Saved::new(members.tar());
    for (arch, name) in [(remit::kernel::Arch::X86_64, "/intel"), (remit::kernel::Arch::Aarch64, "/arm")] {
        let image =
            remit::image::archive::open(saved.path().as_os_str(), arch, &mut |_, _| {}).expect("an image");
        assert!(stat(&image, name).is_some(), "{name}");
    }
    members.0.retain(|(name, _)| name != "index.json");
    let mut only = manifests[1].clone();
    only["annotations"] = json!({});
    members.put("index.json", json!({ "manifests": [only] }).to_string());
    let other = Saved::new(members.tar()).refused("");
    assert_eq!(other, "image.tar: index.json: has no image for linux/amd64; it has linux/arm64");
}

#[test]
fn a_layer_may_be_there_by_a_link_to_another() {
    // docker save wrote so where two images have a layer in common.
    let layers = [Layer::new().file("f", "1").bytes(), Layer::new().file("g", "2").bytes()];
    let members = docker(&["app:1"], &layers);
    let mut tar = Layer::new();
    for (name, bytes) in &members.0 {
        if *bytes == layers[0] {
            tar = tar.file("shared/layer.tar", bytes).link(name, "../shared/layer.tar");
        } else {
            tar = tar.entry(name, EntryType::Regular, "", bytes);
        }
    }
    // A name of 64 digits and /layer.tar fits a header.
    let saved = Saved::new(tar.bytes());
    let image = saved.read().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(digest(&image, "/f"), Some(sha256(b"1")));
}

#[test]
fn names_of_one_image_are_all_its_names() {
    let layers = [Layer::new().file("f", "1").bytes()];
    let mut members = oci("one", &layers, gzip);
    let mut index: Value = serde_json::from_slice(members.get("index.json")).expect("JSON");
    let mut again = index["manifests"][0].clone();
    again["annotations"]["org.opencontainers.image.ref.name"] = "two".into();
    index["manifests"].as_array_mut().expect("an array").push(again);
    members.put("index.json", index.to_string());
    let saved = Saved::new(members.tar());
    for name in ["", "one", "two"] {
        saved.named(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn progress_is_reported_up_to_all() {
    let saved = Saved::new(oci("", &layers(), gzip).tar());
    let mut last = (0, 0);
    remit::image::archive::open(saved.path().as_os_str(), remit::kernel::Arch::X86_64, &mut |done, all| {
        assert!(done >= last.0 && done <= all, "{done} of {all} after {last:?}");
        last = (done, all);
    })
    .expect("an image");
    assert!(last.0 > 0 && last.0 == last.1, "{last:?}");
}
