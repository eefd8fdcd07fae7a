//! Archives of which runtimes would choose different images, by their manifests or members: all are
//! refused. The controls are what docker save, BuildKit and others write.

use std::path::Path;

use remit::image::archive::open;
use remit::kernel::Arch;
use serde_json::{Value, json};
use tar::EntryType;

use super::made::{
    Layer, Members, Saved, config, digest, docker, docker25, gzip, image_blobs, oci, sha256, stat,
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn one() -> Vec<u8> {
    Layer::new().file("f", "1").bytes()
}

fn two() -> Vec<u8> {
    Layer::new().file("f", "2").bytes()
}

fn named(name: &str) -> Value {
    json!({ "io.containerd.image.name": format!("docker.io/library/{name}"),
            "org.opencontainers.image.ref.name": name.rsplit(':').next() })
}

/// The error of an archive of these members.
fn refused(members: &Members) -> String {
    Saved::new(members.tar()).refused("")
}

#[test]
fn a_key_in_another_case_is_refused_where_a_struct_is_read() {
    let of = |document: &str, key: &str, field: &str| {
        let what =
            format!("the key `{key}` is taken for `{field}` by runtimes that ignore case; leave it out");
        format!("image.tar: {document}: cannot be read: {what} at line 1 column ")
    };
    let layers = [one()];
    let change = |document: &str, at: &str, key: &str| {
        let mut members = docker(&["app:1"], &layers);
        let mut value: Value = serde_json::from_slice(members.get(document)).expect("JSON");
        value.pointer_mut(at).expect("there")[key] = json!([]);
        members.put(document, value.to_string());
        members
    };
    for (key, field) in
        [("layers", "Layers"), ("CONFIG", "Config"), ("repoTags", "RepoTags"), ("Layer\u{17f}", "Layers")]
    {
        let error = refused(&change("manifest.json", "/0", key));
        assert!(error.starts_with(&of("manifest.json", key, field)), "{error}");
    }
    // A config whose name is no digest.
    for (at, key, field) in [
        ("", "Rootfs", "rootfs"),
        ("", "Config", "config"),
        ("/rootfs", "Diff_IDs", "diff_ids"),
        ("/config", "entrypoint", "Entrypoint"),
        ("/config", "USER", "User"),
    ] {
        let mut value: Value = serde_json::from_slice(&config(&layers)).expect("JSON");
        value.pointer_mut(at).expect("there")[key] = json!([]);
        let mut members = docker(&["app:1"], &layers);
        let mut manifest: Value = serde_json::from_slice(members.get("manifest.json")).expect("JSON");
        manifest[0]["Config"] = "c.json".into();
        members.put("manifest.json", manifest.to_string()).put("c.json", value.to_string());
        let error = refused(&members);
        assert!(error.starts_with(&of("c.json", key, field)), "{error}");
    }
    for (at, key, field) in [
        ("", "Manifests", "manifests"),
        ("/manifests/0", "Digest", "digest"),
        ("/manifests/0", "Platform", "platform"),
        ("/manifests/0", "Annotations", "annotations"),
        ("/manifests/0/platform", "OS", "os"),
    ] {
        let mut members = oci("app:1", &layers, gzip);
        let mut index: Value = serde_json::from_slice(members.get("index.json")).expect("JSON");
        index["manifests"][0]["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        index.pointer_mut(at).expect("there")[key] = json!([]);
        members.put("index.json", index.to_string());
        let error = refused(&members);
        assert!(error.starts_with(&of("index.json", key, field)), "{error}");
    }
    let mut members = Members::default();
    let mut blob = |bytes: &[u8]| members.blob(bytes, "");
    let manifest = json!({ "config": blob(&config(&layers)), "layers": [blob(&layers[0])], "Layers": [] });
    let manifest = blob(manifest.to_string().as_bytes());
    members.put("index.json", json!({ "manifests": [manifest] }).to_string());
    let error = refused(&members);
    assert!(error.contains("the key `Layers` is taken for `layers`"), "{error}");
    // Maps have free keys.
    let mut members = docker(&["app:1"], &layers);
    let mut value: Value = serde_json::from_slice(&config(&layers)).expect("JSON");
    value["config"]["Labels"] = json!({ "Layers": "", "layers": "", "user": "", "User": "" });
    let name = format!("{}.json", sha256(value.to_string().as_bytes()));
    let mut manifest: Value = serde_json::from_slice(members.get("manifest.json")).expect("JSON");
    manifest[0]["Config"] = name.as_str().into();
    members.put(&name, value.to_string()).put("manifest.json", manifest.to_string());
    Saved::new(members.tar()).read().unwrap_or_else(|error| panic!("control: {error}"));
}

#[test]
fn a_member_has_one_path_and_one_kind() {
    let members = |layer: Layer| {
        docker(&["app:1"], &[one()])
            .0
            .iter()
            .fold(layer, |tar, (name, bytes)| tar.entry(name, EntryType::Regular, "", bytes))
    };
    let kinds = "is twice in the archive, as files of different kinds; save the image again";
    for (name, layer) in [
        ("d", Layer::new().dir("d/").link("d", "e")),
        ("d", Layer::new().link("d", "e").dir("d/")),
        ("d", Layer::new().file("d", "").hard("d", "manifest.json")),
        ("manifest.json", Layer::new().link("manifest.json", "other.json")),
        ("manifest.json", Layer::new().entry("manifest.json", EntryType::Fifo, "", b"")),
    ] {
        assert_eq!(Saved::new(members(layer).bytes()).refused(""), format!("image.tar: {name}: {kinds}"));
    }
    for (name, below, layer) in [
        ("x", "x/manifest.json", members(Layer::new()).link("x", ".").file("x/manifest.json", "[]")),
        ("x", "x/y", members(Layer::new().file("x/y", "").link("x", "z"))),
        ("x", "x/y", members(Layer::new().file("x", "").file("x-", "").dir("x/y"))),
    ] {
        let expected =
            format!("image.tar: {below}: lies below {name}, which is no directory; save the image again");
        assert_eq!(Saved::new(layer.bytes()).refused(""), expected);
    }
    // A target that goes up behind a name, which may be a link to elsewhere.
    let manifest = json!([{ "Config": "c.json", "Layers": ["l.tar"] }]).to_string();
    let tar = |target: &str| {
        let tar = Layer::new().dir("d/").dir("./d").file("d/l.tar", one()).link("l.tar", target);
        Saved::new(tar.file("c.json", config(&[one()])).file("manifest.json", &manifest).bytes())
    };
    tar("d/l.tar").read().unwrap_or_else(|error| panic!("control: {error}"));
    let missing = "image.tar: c.json: names l.tar, which is not in the archive; save the image again";
    assert_eq!(tar("d/../d/l.tar").refused(""), missing);
    let expected = "image.tar: has two extended names for one entry, of which runtimes take different ones; pack it again";
    let long = Layer::new().extended(EntryType::GNULongName, b"manifest.json\0").pax("path", "other");
    assert_eq!(Saved::new(members(long).bytes()).refused(""), expected);
}

/// An index of these images with these platforms, of one name.
fn for_platforms(images: &[(Vec<u8>, Value)]) -> Members {
    let mut members = Members::default();
    members.put("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut manifests = Vec::new();
    for (layer, more) in images {
        let mut descriptor = image_blobs(&mut members, std::slice::from_ref(layer), gzip);
        for (key, value) in more.as_object().expect("an object") {
            descriptor[key] = value.clone();
        }
        manifests.push(descriptor);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
    let mut index = members.blob(index.as_bytes(), INDEX);
    index["annotations"] = named("app:1");
    members.put("index.json", json!({ "manifests": [index] }).to_string());
    members
}

fn platform(os: &str, architecture: &str) -> Value {
    json!({ "platform": { "os": os, "architecture": architecture } })
}

#[test]
fn an_attestation_is_one_by_its_platform() {
    let several = "image.tar: index.json: has several images for linux/amd64 in the place of one, of which runtimes take different ones; save it for one platform";
    let annotated = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let mut false_one = platform("linux", "amd64");
    false_one["annotations"] = annotated.clone();
    assert_eq!(refused(&for_platforms(&[(two(), false_one), (one(), platform("linux", "amd64"))])), several);
    // As BuildKit writes it.
    let mut attestation = platform("unknown", "unknown");
    attestation["annotations"] = annotated;
    let saved = Saved::new(for_platforms(&[(one(), platform("linux", "amd64")), (two(), attestation)]).tar());
    let image = saved.read().unwrap_or_else(|error| panic!("control: {error}"));
    assert_eq!(digest(&image, "/f"), Some(sha256(b"1")));
}

#[test]
fn platforms_are_compared_as_containerd_does() {
    let several = "image.tar: index.json: has several images for linux/amd64 in the place of one, of which runtimes take different ones; save it for one platform";
    let variant = json!({ "platform": { "os": "linux", "architecture": "amd64", "variant": "v3" } });
    for other in [
        platform("linux", "x86_64"),
        platform("linux", "x86-64"),
        platform("Linux", "amd64"),
        platform("linux", "AMD64"),
        platform("", "amd64"),
        json!({ "platform": { "architecture": "amd64" } }),
        json!({}),
        variant,
    ] {
        let members = for_platforms(&[(two(), other.clone()), (one(), platform("linux", "amd64"))]);
        assert_eq!(refused(&members), several, "{other}");
        // Its name is that of both.
        assert_eq!(Saved::new(members.tar()).refused("app:1"), several);
        let alone = Saved::new(for_platforms(&[(two(), other)]).tar());
        alone.read().unwrap_or_else(|error| panic!("alone: {error}"));
    }
    let arm = for_platforms(&[
        (one(), platform("linux", "aarch64")),
        (two(), platform("linux", "amd64")),
        (Layer::new().file("w", "").bytes(), platform("windows", "amd64")),
        (Layer::new().file("v7", "").bytes(), platform("linux", "arm")),
    ]);
    let saved = Saved::new(arm.tar());
    for (arch, content) in [(Arch::Aarch64, b"1"), (Arch::X86_64, b"2")] {
        let image = open(saved.path().as_os_str(), arch, &mut |_, _| {});
        assert_eq!(digest(&image.expect("an image"), "/f"), Some(sha256(content)));
    }
}

#[test]
fn a_name_is_that_of_one_image() {
    let twice = |document: &str| {
        format!(
            "image.tar: {document}: has two images of the name app:1, of which runtimes take one; save each alone"
        )
    };
    let mut members = Members::default();
    let mut first = image_blobs(&mut members, &[one()], gzip);
    let mut second = image_blobs(&mut members, &[two()], gzip);
    first["annotations"] = named("app:1");
    second["annotations"] = json!({ "org.opencontainers.image.ref.name": "app:1" });
    second["platform"] = json!({ "os": "linux", "architecture": "arm64" });
    members.put("index.json", json!({ "manifests": [first, second] }).to_string());
    assert_eq!(refused(&members), twice("index.json"));

    let mut members = docker(&["app:1"], &[one()]);
    let other = docker(&["docker.io/library/app:1"], &[two()]);
    let mut manifest: Value = serde_json::from_slice(members.get("manifest.json")).expect("JSON");
    for (name, bytes) in other.0 {
        if name == "manifest.json" {
            let other: Value = serde_json::from_slice(&bytes).expect("JSON");
            manifest.as_array_mut().expect("an array").push(other[0].clone());
        } else {
            members.put(&name, bytes);
        }
    }
    members.put("manifest.json", manifest.to_string());
    let expected = twice("manifest.json").replace("name app:1", "name docker.io/library/app:1");
    assert_eq!(refused(&members), expected);
}

#[test]
fn the_two_manifests_agree_on_names() {
    /// manifest.json has the first image by this name; index.json has both by these.
    fn both(tag: &str, first: &str, second: &str) -> Members {
        let mut members = docker25(&[tag], &[one()], plain);
        let mut index: Value = serde_json::from_slice(members.get("index.json")).expect("JSON");
        let mut other = image_blobs(&mut members, &[two()], plain);
        index["manifests"][0]["annotations"] = named(first);
        other["annotations"] = named(second);
        index["manifests"].as_array_mut().expect("an array").push(other);
        members.put("index.json", index.to_string());
        members
    }
    let saved = Saved::new(both("app:1", "app:1", "other:1").tar());
    let image = saved.read().unwrap_or_else(|error| panic!("control: {error}"));
    assert_eq!(digest(&image, "/f"), Some(sha256(b"1")));
    let differ = "image.tar: manifest.json and index.json have different images of the name app:1; save the image again";
    assert_eq!(refused(&both("app:1", "other:1", "app:1")), differ);
    // The other image of manifest.json has the name that this one has in index.json.
    let mut members = both("old:1", "app:1", "other:1");
    let mut manifest: Value = serde_json::from_slice(members.get("manifest.json")).expect("JSON");
    let mut other = manifest[0].clone();
    other["RepoTags"] = json!(["app:1"]);
    other["Config"] = format!("blobs/sha256/{}", sha256(&config(&[two()]))).into();
    manifest.as_array_mut().expect("an array").push(other);
    members.put("manifest.json", manifest.to_string());
    assert_eq!(Saved::new(members.tar()).refused("old:1"), differ);
    // An image with several names, and one that was saved by its digest.
    let mut members = docker25(&["app:1", "registry.example/app:2"], &[one()], plain);
    let mut index: Value = serde_json::from_slice(members.get("index.json")).expect("JSON");
    let mut again = index["manifests"][0].clone();
    index["manifests"][0]["annotations"] = named("app:1");
    again["annotations"] = json!({ "io.containerd.image.name": "registry.example/app:2" });
    index["manifests"].as_array_mut().expect("an array").push(again);
    members.put("index.json", index.to_string());
    Saved::new(members.tar()).read().unwrap_or_else(|error| panic!("two names: {error}"));
    let unnamed = docker25(&[], &[one()], plain);
    Saved::new(unnamed.tar()).read().unwrap_or_else(|error| panic!("no name: {error}"));
}

#[test]
fn indexes_that_name_each_other_often_are_bounded() {
    let mut members = Members::default();
    let mut descriptor = image_blobs(&mut members, &[one()], gzip);
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "n".repeat(4000) });
    for _ in 0..4 {
        let index = json!({ "manifests": vec![&descriptor; 300] }).to_string();
        let annotations = descriptor["annotations"].clone();
        descriptor = members.blob(index.as_bytes(), INDEX);
        descriptor["annotations"] = annotations;
    }
    members.put("index.json", json!({ "manifests": [descriptor] }).to_string());
    let error = refused(&members);
    let expected = "has more than 10000 descriptors in its indexes, more than is read of an image";
    assert!(error.ends_with(expected), "{error}");
    // Many images, an index of one manifest each.
    let mut members = Members::default();
    let image = image_blobs(&mut members, &[one()], gzip);
    let mut manifests = Vec::new();
    for number in 0..1000 {
        let index = json!({ "manifests": [image], "annotations": { "n": number.to_string() } }).to_string();
        manifests.push(members.blob(index.as_bytes(), INDEX));
    }
    members.put("index.json", json!({ "manifests": manifests }).to_string());
    let error = refused(&members);
    let expected = "has more than 1000 manifests and indexes, more than is read of an image";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn an_archive_that_is_written_to_is_not_the_one_that_was_read() {
    let saved = Saved::new(docker(&["app:1"], &[one()]).tar());
    let before = std::fs::metadata(saved.path()).expect("its times");
    let image = saved.read().expect("an image");
    let mut bytes = std::fs::read(saved.path()).expect("read");
    let at = bytes.windows(2).position(|two| two == b"1\0").expect("the content");
    bytes[at] = b'2';
    // Some file systems have times no finer than this.
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(saved.path(), bytes).expect("written");
    let times = std::fs::FileTimes::new().set_modified(before.modified().expect("its time"));
    std::fs::File::options().write(true).open(saved.path()).expect("opened").set_times(times).expect("set");
    let error = image.digests(&[Path::new("/f")]).expect_err("changed").to_string();
    assert!(error.contains("was changed"), "{error}");
    assert!(image.content(Path::new("/f"), 100).is_err(), "nor is its content");
    assert!(stat(&image, "/f").is_some(), "what was read stays");
}
