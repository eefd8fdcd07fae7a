//! Archives that are damaged or made to harm: one clear line, nothing written, nothing outside read.

use serde_json::{Value, json};
use tar::EntryType;

use super::made::{
    Layer, Saved, config, digest, docker, docker25, gzip, header, image_blobs, names, oci, read, record,
    refused, sha256, stat, zstd,
};

fn one() -> Vec<u8> {
    Layer::new().file("f", "1").bytes()
}

#[test]
fn names_that_lead_out_are_refused_and_absolute_ones_stay_inside() {
    let dots = "has `..` in its name, which may lead out of the image";
    for name in ["../escaped", "a/../../escaped", "..", "/../x", "a/.."] {
        let error = refused(Layer::new().file(name, "x").bytes());
        assert_eq!(error, format!("{name}: {dots}"));
    }
    let hard = "x: is a hard link to a path that leads out of the image";
    assert_eq!(refused(Layer::new().hard("x", "../../etc/passwd").bytes()), hard);
    let none = "x: is a hard link to a file that is in no layer; save the image again";
    assert_eq!(refused(Layer::new().hard("x", "/etc/passwd").bytes()), none);
    let directory = "x: is a hard link to a directory";
    assert_eq!(refused(Layer::new().dir("d").hard("x", "d").bytes()), directory);
    let image = read(&[Layer::new().file("/etc/passwd", "of the image").file("./x/./y", "2").bytes()]);
    assert_eq!(digest(&image, "/etc/passwd"), Some(sha256(b"of the image")));
    assert_eq!(digest(&image, "/x/y"), Some(sha256(b"2")));
}

#[test]
fn a_link_out_of_the_tree_does_not_move_what_is_put_below_it() {
    let place = tempfile::tempdir().expect("a directory");
    let target = place.path().join("outside");
    std::fs::create_dir(&target).expect("a directory");
    let link = target.to_str().expect("UTF-8");
    let behind = "stands behind a symbolic link, which runtimes follow or replace by a directory; build the layer with the path without links";
    assert_eq!(refused(Layer::new().link("a", link).file("a/b", "x").bytes()), format!("a/b: {behind}"));
    assert_eq!(std::fs::read_dir(&target).expect("listed").count(), 0, "nothing is written");
    let image = read(&[Layer::new().link("c", "../../../..").file("c/d", "y").bytes()]);
    assert_eq!(stat(&image, "/d").expect("there").canonical.to_str(), Some("/d"), "inside the image");
    let looped = Layer::new().link("a", "b").link("b", "a").file("a/x", "").bytes();
    assert_eq!(refused(looped), format!("a/x: {behind}"));
    let below = Layer::new().file("a", "").file("a/x", "").bytes();
    assert_eq!(refused(below), "a/x: stands below a file that is no directory");
}

#[test]
fn sparse_files_are_refused_whatever_they_claim() {
    let sparse = "is a sparse file; layers of images have none, so pack it again without --sparse";
    let mut gnu = header("huge", EntryType::GNUSparse, 0);
    gnu.as_gnu_mut().expect("GNU").set_real_size(1 << 50);
    gnu.set_cksum();
    assert_eq!(refused(Layer::new().header(&gnu, b"").bytes()), format!("huge: {sparse}"));
    for (key, value) in [("GNU.sparse.realsize", "1125899906842624"), ("GNU.sparse.map", "0,0")] {
        let records = [record("path", b"huge"), record(key, value.as_bytes())].concat();
        let extended = header("x", EntryType::XHeader, records.len() as u64);
        let layer = Layer::new().header(&extended, &records).file("huge", "");
        assert_eq!(refused(layer.bytes()), format!("huge: {sparse}"));
    }
}

#[test]
fn headers_that_claim_too_much_are_refused() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader]
    {
        let layer = Layer::new().header(&header("x", kind, 1 << 33), b"").bytes();
        assert_eq!(refused(layer), "has an extended header longer than 1 MiB");
    }
    let mut large = header("x", EntryType::Regular, 0);
    large.set_size(u64::MAX >> 2);
    large.set_cksum();
    let error = refused(Layer::new().header(&large, b"").bytes());
    assert_eq!(error, "has a size beyond any file");
    large.set_size(1 << 50);
    large.set_cksum();
    assert_eq!(refused(Layer::new().header(&large, b"").bytes()), "after x: is cut; save the image again");
    let long = ["d"; 3000].join("/");
    let records = record("path", long.as_bytes());
    let extended = header("x", EntryType::XHeader, records.len() as u64);
    let error = refused(Layer::new().header(&extended, &records).file("y", "").bytes());
    assert!(error.ends_with(": is longer than 4096 bytes"), "{error}");
    for bad in [
        &b"x path=a\n"[..],
        b"99 path=a\n",
        b"9 path=ab\n",
        b"5 =\n",
        b"18446744073709551616 a=b\n",
        b"0 a=b\n",
    ] {
        let extended = header("x", EntryType::XHeader, bad.len() as u64);
        let error = refused(Layer::new().header(&extended, bad).file("y", "").bytes());
        assert_eq!(error, "has a pax header that is malformed", "{}", String::from_utf8_lossy(bad));
    }
    let nul = record("path", b"a\0b");
    let extended = header("x", EntryType::XHeader, nul.len() as u64);
    let error = refused(Layer::new().header(&extended, &nul).file("y", "").bytes());
    assert_eq!(error, "a\0b: has a NUL byte in its name");
}

#[test]
fn deep_nesting_is_read() {
    let deep = ["d"; 2000].join("/");
    let records = record("path", format!("{deep}/f").as_bytes());
    let extended = header("x", EntryType::XHeader, records.len() as u64);
    let image = read(&[Layer::new().header(&extended, &records).file("y", "deep").bytes()]);
    assert_eq!(digest(&image, &format!("/{deep}/f")), Some(sha256(b"deep")));
    let json = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut members = docker(&["app:1"], &[one()]);
    members.put("manifest.json", &json);
    let error = Saved::new(members.tar()).refused("");
    assert!(error.starts_with("image.tar: manifest.json: cannot be read: "), "{error}");
    members.put("manifest.json", format!("[{{\"x\":{json}}}]"));
    let error = Saved::new(members.tar()).refused("");
    assert!(error.starts_with("image.tar: manifest.json: cannot be read: "), "{error}");
}

#[test]
fn other_entries_are_named() {
    let odd = "x: is an entry of a kind that no image has";
    assert_eq!(refused(Layer::new().header(&header("x", EntryType::new(b'V'), 0), b"").bytes()), odd);
    assert_eq!(refused(Layer::new().file(".wh.", "").bytes()), ".wh.: is a whiteout of no name");
    assert_eq!(refused(Layer::new().file("a/.wh...", "").bytes()), "a/.wh...: is a whiteout of no name");
    let root = "/: stands in the place of the root, which is a directory";
    assert_eq!(refused(Layer::new().link("./", "/etc").bytes()), root);
}

#[test]
fn names_with_control_characters_reach_no_terminal() {
    let name = "a\x1b[2J\nb";
    let image = read(&[Layer::new().file(name, "x").bytes()]);
    assert_eq!(names(&image, "/"), [name], "as they are");
    let mut members = docker(&["app\x1b[2J:1", "b\n:2"], &[one()]);
    let saved = Saved::new(members.tar());
    let error = saved.named("c").expect_err("none").to_string();
    let shown = remit::visible::line(&error).into_owned();
    assert!(shown.contains("app\\u001b[2J:1") && !shown.contains('\x1b'), "{shown}");
    members.put("manifest.json", "[{\"Config\":\"\\u001b[2J\",\"Layers\":[]}]");
    let error = Saved::new(members.tar()).read().expect_err("missing").to_string();
    assert!(remit::visible::line(&error).contains("\\u001b[2J"), "{error}");
}

#[test]
fn what_is_missing_or_differs_is_named() {
    let layers = [one(), Layer::new().file("g", "2").bytes()];
    let layer = |members: &super::made::Members| {
        members.0.iter().find(|(_, bytes)| *bytes == layers[0]).expect("a layer").0.clone()
    };
    let whole = docker(&["app:1"], &layers);
    let name = layer(&whole);
    let config_name = format!("{}.json", sha256(&config(&layers)));

    let mut members = whole.clone();
    members.0.retain(|(other, _)| *other != name);
    let missing =
        format!("image.tar: app:1: names {name}, which is not in the archive; save the image again");
    assert_eq!(Saved::new(members.tar()).refused(""), missing);

    let mut members = whole.clone();
    members.0.retain(|(other, _)| *other != config_name);
    let missing =
        format!("image.tar: app:1: names {config_name}, which is not in the archive; save the image again");
    assert_eq!(Saved::new(members.tar()).refused(""), missing);

    let mut members = whole.clone();
    let other = Layer::new().file("f", "X").bytes();
    *members.get(&name) = other.clone();
    let differs = format!(
        "image.tar: layer 1 ({name}): has the digest sha256:{}, expected sha256:{}; the archive is damaged or was changed",
        sha256(&other),
        sha256(&layers[0])
    );
    assert_eq!(Saved::new(members.tar()).refused(""), differs);

    let mut members = whole.clone();
    members.get(&config_name).push(b' ');
    let error = Saved::new(members.tar()).refused("");
    assert!(error.starts_with(&format!("image.tar: {config_name}: has the digest sha256:")), "{error}");

    // A compressed blob that differs though what it unpacks to does not.
    let mut members = oci("app:1", &layers, gzip);
    let blob = format!("blobs/sha256/{}", sha256(&gzip(&layers[0])));
    *members.get(&blob) = zstd(&layers[0]);
    let error = Saved::new(members.tar()).refused("");
    assert!(error.starts_with(&format!("image.tar: layer 1 ({blob}): has the digest")), "{error}");

    let mut members = whole.clone();
    let mut manifest: Value = serde_json::from_slice(members.get("manifest.json")).expect("JSON");
    manifest[0]["Layers"].as_array_mut().expect("an array").pop();
    members.put("manifest.json", manifest.to_string());
    let count =
        format!("image.tar: {config_name}: has 2 diff_ids, and the manifest 1 layers; save the image again");
    assert_eq!(Saved::new(members.tar()).refused(""), count);

    // One that is twice in the archive: readers differ in the one that they take.
    let mut tar = Layer::new();
    for (other, bytes) in &whole.0 {
        tar = tar.file(other, bytes);
        if *other == name {
            tar = tar.file(other, &layers[1]);
        }
    }
    let twice =
        format!("image.tar: app:1: names {name}, which is twice in the archive; save the image again");
    assert_eq!(Saved::new(tar.bytes()).refused(""), twice);
}

#[test]
fn the_two_manifests_of_one_archive_have_to_agree() {
    let plain: fn(&[u8]) -> Vec<u8> = |bytes| bytes.to_vec();
    let mut members = docker25(&["app:1"], &[one()], plain);
    Saved::new(members.tar()).read().unwrap_or_else(|error| panic!("control: {error}"));
    let mut other = super::made::Members::default();
    let descriptor = image_blobs(&mut other, &[Layer::new().file("harmless", "").bytes()], plain);
    for (name, bytes) in other.0 {
        members.put(&name, bytes);
    }
    members.put("index.json", json!({ "manifests": [descriptor] }).to_string());
    assert_eq!(
        Saved::new(members.tar()).refused(""),
        "image.tar: manifest.json has image app:1, and index.json has not; save the image again"
    );
}

#[test]
fn what_is_no_image_is_said() {
    let expected = "expected an archive of docker save (manifest.json) or OCI (index.json)";
    let no_tar = format!("image.tar: is no tar archive; {expected}");
    for bytes in [
        &b"not a tar archive at all, whatever it says"[..],
        &[1; 2000],
        &gzip(&[7; 5000]),
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
    ] {
        assert_eq!(Saved::new(bytes).refused(""), no_tar);
    }
    let no_manifest = format!("image.tar: has neither a manifest.json nor an index.json; {expected}");
    for bytes in [b"".to_vec(), Layer::new().bytes(), one()] {
        assert_eq!(Saved::new(bytes).refused(""), no_manifest);
    }
    for none in ["[]", "{}", "null", "7", "\"", "[{}]", "[[]]"] {
        let mut members = docker(&["app:1"], &[one()]);
        members.put("manifest.json", none);
        let error = Saved::new(members.tar()).refused("");
        assert!(error.starts_with("image.tar: "), "{error}");
    }
    for bad in ["sha256:../../../etc/passwd", "sha512:00", "sha256:AB", ""] {
        let mut members = oci("app:1", &[one()], gzip);
        members.put("index.json", json!({ "manifests": [{ "digest": bad }] }).to_string());
        let error = Saved::new(members.tar()).refused("");
        let expected = format!(
            "image.tar: index.json: has the digest `{bad}`, expected sha256: and 64 hexadecimal digits"
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn an_archive_cut_anywhere_is_an_error_or_whole() {
    let layers = [Layer::new().dir("d").file("d/f", vec![b'x'; 1500]).bytes(), one()];
    let plain: fn(&[u8]) -> Vec<u8> = |bytes| bytes.to_vec();
    let forms = [
        docker(&["app:1"], &layers).tar(),
        oci("app:1", &layers, plain).tar(),
        oci("app:1", &layers, gzip).tar(),
        oci("app:1", &layers, zstd).tar(),
        gzip(&oci("app:1", &layers, gzip).tar()),
        zstd(&docker(&["app:1"], &layers).tar()),
    ];
    for whole in forms {
        let (mut refused, mut taken) = (0, 0);
        for length in (0..whole.len()).step_by(97) {
            match Saved::new(&whole[..length]).read() {
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().contains('\n'), "{error}");
                }
                Ok(image) => {
                    taken += 1;
                    assert_eq!(digest(&image, "/d/f"), Some(sha256(&[b'x'; 1500])), "cut at {length}");
                    assert_eq!(digest(&image, "/f"), Some(sha256(b"1")), "cut at {length}");
                }
            }
        }
        assert!(refused > 10 && taken < 60, "{refused} refused, {taken} taken");
    }
}

#[test]
fn an_archive_with_any_byte_changed_is_an_error_or_an_image() {
    let layers = [Layer::new().dir("d").file("d/f", "#!/bin/sh\n").hard("g", "d/f").link("h", "g").bytes()];
    for whole in [
        docker(&["app:1"], &layers).tar(),
        oci("", &layers, zstd).tar(),
        gzip(&docker(&["a"], &layers).tar()),
    ] {
        for at in (0..whole.len()).step_by(61) {
            for value in [0, 0xff, b'0', whole[at] ^ 1] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                match Saved::new(bytes).read() {
                    Err(error) => assert!(!error.to_string().is_empty()),
                    Ok(image) => {
                        let found = digest(&image, "/g");
                        assert_eq!(found, Some(sha256(b"#!/bin/sh\n")), "what is taken is what was saved");
                    }
                }
            }
        }
    }
}

#[test]
fn an_archive_that_changes_meanwhile_is_not_trusted() {
    let saved = Saved::new(docker(&["app:1"], &[one()]).tar());
    let image = saved.read().expect("an image");
    let mut bytes = std::fs::read(saved.path()).expect("read");
    bytes.push(0);
    std::fs::write(saved.path(), bytes).expect("written");
    let error = image.digests(&[std::path::Path::new("/f")]).expect_err("changed").to_string();
    assert!(error.ends_with("image.tar: was changed while it was read; try again"), "{error}");
}
