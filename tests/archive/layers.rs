//! Layers over one another, as a container sees them.

use std::path::Path;

use remit::image::{Executable, FileKind, ImageFiles};
use serde_json::json;
use tar::{EntryType, Header};

use super::made::{Layer, digest, header, names, read, record, sha256, stat};

#[test]
fn a_later_layer_replaces_and_removes() {
    let base = Layer::new()
        .dir("etc/")
        .file("etc/a", "old")
        .file("etc/b", "b")
        .dir("data/")
        .file("data/x", "x")
        .file("data/sub/y", "y")
        .dir("gone/")
        .file("gone/z", "z")
        .file("becomes", "a file")
        .dir("dir/")
        .file("dir/below", "below");
    let over = Layer::new()
        .file("etc/a", "new")
        .file("etc/.wh.b", "")
        .file(".wh.gone", "")
        .file("data/.wh..wh..opq", "")
        .file("data/new", "n")
        .dir("becomes/")
        .file("becomes/inner", "i")
        .file("dir", "a file")
        .file(".wh..wh.plnk", "")
        .file(".wh.nothing", "");
    let image = read(&[base.bytes(), over.bytes()]);
    assert_eq!(names(&image, "/"), ["becomes", "data", "dir", "etc"]);
    assert_eq!(names(&image, "/etc"), ["a"]);
    assert_eq!(names(&image, "/data"), ["new"], "opaque");
    assert_eq!(names(&image, "/becomes"), ["inner"]);
    assert_eq!(digest(&image, "/etc/a"), Some(sha256(b"new")));
    assert_eq!(stat(&image, "/dir").expect("there").kind, FileKind::Regular);
    for gone in ["/etc/b", "/gone", "/gone/z", "/data/x", "/data/sub/y", "/dir/below"] {
        assert_eq!(stat(&image, gone), None, "{gone}");
        assert_eq!(digest(&image, gone), None, "{gone}");
    }
}

#[test]
fn a_whiteout_is_of_lower_layers_wherever_it_stands_in_its_own() {
    let base = Layer::new().file("d/old", "1").file("f", "1").bytes();
    for over in [
        Layer::new().file("d/.wh..wh..opq", "").file("d/new", "2").file(".wh.f", "").file("f", "2"),
        Layer::new().file("d/new", "2").file("d/.wh..wh..opq", "").file(".wh.f", "").file("f", "2"),
    ] {
        let image = read(&[base.clone(), over.bytes()]);
        assert_eq!(names(&image, "/d"), ["new"]);
        assert_eq!(digest(&image, "/f"), Some(sha256(b"2")));
    }
}

#[test]
fn a_link_and_its_directory_may_be_of_one_layer() {
    let layer = Layer::new().dir("usr/").dir("usr/lib/").dir("usr/lib/").link("lib", "usr/lib").dir("./usr");
    let image = read(&[layer.file("lib/a", "1").link("usr/up", "../usr/lib").file("usr/up/b", "2").bytes()]);
    assert_eq!(names(&image, "/usr/lib"), ["a", "b"], "every runtime follows it to what the layer has");
    assert_eq!(digest(&image, "/lib/a"), Some(sha256(b"1")));
}

#[test]
fn hard_links_are_one_file_in_one_layer_and_over_layers() {
    let base = Layer::new().file("bin/busybox", "x").hard("bin/ls", "bin/busybox").bytes();
    let over = Layer::new().hard("bin/sh", "/bin/busybox").hard("bin/cat", "bin/sh").bytes();
    let image = read(&[base, over]);
    let ids =
        ["busybox", "ls", "sh", "cat"].map(|name| stat(&image, &format!("/bin/{name}")).expect("there").id);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(stat(&image, "/bin/ls").expect("there").links, 4);
    assert_eq!(digest(&image, "/bin/cat"), Some(sha256(b"x")));
}

#[test]
fn links_lead_through_the_image_and_never_out_of_it() {
    let base = Layer::new()
        .dir("usr/lib/")
        .link("lib", "usr/lib")
        .link("up", "../../../../usr")
        .link("etc/host", "/etc/hostname")
        .link("abs", "/usr/lib/libc.so")
        .link("loop", "loop")
        .bytes();
    let over = Layer::new().file("usr/lib/libc.so", "c").bytes();
    let image = read(&[base, over]);
    assert_eq!(stat(&image, "/abs").expect("there").canonical, Path::new("/usr/lib/libc.so"));
    assert_eq!(stat(&image, "/up/lib/libc.so").expect("there").canonical, Path::new("/usr/lib/libc.so"));
    assert_eq!(stat(&image, "/lib/../../../usr/lib").expect("there").canonical, Path::new("/usr/lib"));
    assert_eq!(names(&image, "/lib"), ["libc.so"]);
    assert_eq!(digest(&image, "/abs"), Some(sha256(b"c")));
    assert!(Path::new("/etc/hostname").exists(), "control: it leads to a file of this machine");
    assert_eq!(stat(&image, "/etc/host"), None);
    let errno = image.stat(Path::new("/loop")).expect_err("a loop").raw_os_error();
    assert_eq!(errno, Some(nix::errno::Errno::ELOOP as i32));
    assert_eq!(image.read_link(Path::new("/lib")).as_deref(), Some(Path::new("usr/lib")));
    assert_eq!(image.trail(Path::new("/lib/libc.so")).end, Path::new("/usr/lib/libc.so"));
    assert_eq!(image.read_link(Path::new("/usr")), None);
}

#[test]
fn a_file_has_the_attributes_of_its_entry() {
    let layer = Layer::new()
        .file("bin/app", "#!/bin/sh -e\n")
        .entry("dev/sda", EntryType::Block, "", b"")
        .entry("run/pipe", EntryType::Fifo, "", b"");
    let image = read(&[layer.bytes()]);
    let app = stat(&image, "/bin/app").expect("there");
    assert_eq!((app.mode, app.owner.as_raw(), app.changed, app.links), (0o750, 7, (1_700_000_000, 0), 1));
    assert_eq!(app.kind, FileKind::Regular);
    assert_eq!(stat(&image, "/dev/sda").expect("there").kind, FileKind::Device);
    assert_eq!(stat(&image, "/run/pipe").expect("there").kind, FileKind::Other);
    assert_eq!(digest(&image, "/dev/sda"), None, "no content of a device is read");
    let root = stat(&image, "/").expect("there");
    assert_eq!((root.kind, root.canonical.as_path()), (FileKind::Directory, Path::new("/")));
    let script = Executable::Script("/bin/sh".into(), Some("-e".to_owned()));
    assert_eq!(image.executable(Path::new("/bin/app")).expect("readable"), script);
    assert!(image.executable(Path::new("/bin")).is_err() && image.executable(Path::new("/none")).is_err());
}

#[test]
fn programs_of_this_machine_are_as_they_are_when_live() {
    use remit::image::live::Live;
    let mut layer = Layer::new();
    let mut compared = Vec::new();
    let loaders =
        ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libm.so.6"];
    for path in
        ["/bin/sh", "/usr/bin/ldd", "/etc/passwd", "/sbin/ldconfig"].iter().chain(&loaders).map(Path::new)
    {
        let Ok(bytes) = std::fs::read(path) else { continue };
        layer = layer.file(&format!("f{}", compared.len()), bytes);
        compared.push(path);
    }
    let image = read(&[layer.bytes()]);
    for (number, path) in compared.iter().enumerate() {
        let here = image.executable(Path::new(&format!("/f{number}"))).expect("readable");
        assert_eq!(here, Live.executable(path).expect("readable"), "{}", path.display());
    }
    assert!(compared.len() > 4, "{compared:?}");
}

#[test]
fn long_names_and_large_fields_are_read() {
    let long = format!("{}/file", ["directory-of-a-name"; 20].join("/"));
    let mut builder = tar::Builder::new(Vec::new());
    let mut gnu = Header::new_gnu();
    gnu.set_size(1);
    gnu.set_mode(0o644);
    gnu.set_cksum();
    builder.append_data(&mut gnu, &long, &b"g"[..]).expect("memory");
    // pax: a path, owner, time and size, and an attribute of any bytes.
    let mut ustar = header("short", EntryType::Regular, 0);
    ustar.set_size(0);
    ustar.set_cksum();
    let pax = [
        ("path", format!("pax/{long}").into_bytes()),
        ("uid", b"4000000000".to_vec()),
        ("mtime", b"1700000001.25".to_vec()),
        ("size", b"3".to_vec()),
        ("SCHILY.xattr.security.capability", b"\x01\n=\0 \n".to_vec()),
    ];
    let records: Vec<u8> = pax.iter().flat_map(|(key, value)| record(key, value)).collect();
    let extended = header("PaxHeaders/x", EntryType::XHeader, records.len() as u64);
    let mut layer = Layer::new().header(&extended, &records).header(&ustar, b"pax").bytes();
    layer.truncate(layer.len() - 1024);
    let mut both = builder.into_inner().expect("memory");
    both.truncate(both.len() - 1024);
    both.append(&mut layer);
    both.resize(both.len() + 1024, 0);
    let image = read(&[both]);
    assert_eq!(digest(&image, &format!("/{long}")), Some(sha256(b"g")));
    let info = stat(&image, &format!("/pax/{long}")).expect("there");
    assert_eq!((info.owner.as_raw(), info.changed), (4_000_000_000, (1_700_000_001, 0)));
    assert_eq!(digest(&image, &format!("/pax/{long}")), Some(sha256(b"pax")));
}

#[test]
fn packages_of_dpkg_distroless_and_apk_are_known() {
    let debian = Layer::new()
        .file("var/lib/dpkg/status", "Package: app\nStatus: install ok installed\nVersion: 1\n")
        .file("var/lib/dpkg/info/app.list", "/.\n/usr/bin/app\n")
        .bytes();
    let newer = Layer::new()
        .file(
            "var/lib/dpkg/status",
            "Package: app\nStatus: install ok installed\nVersion: 2\n\nPackage: b\nVersion: 3\n",
        )
        .bytes();
    let image = read(&[debian, newer]);
    assert_eq!(json!(image.installed().expect("read")), json!({ "dpkg": { "app": "2", "b": "3" } }));
    assert_eq!(
        json!(image.owners(&[Path::new("/usr/bin/app")]).expect("read")),
        json!({ "dpkg": { "app": "2" } })
    );
    let distroless = Layer::new()
        .file("var/lib/dpkg/status.d/libc6", "Package: libc6\nVersion: 2.36-9\n")
        .file("var/lib/dpkg/status.d/libc6.md5sums", "0cc1  usr/lib/libc.so.6\n")
        .bytes();
    let image = read(&[distroless]);
    assert_eq!(
        json!(image.owners(&[Path::new("/lib/libc.so.6")]).expect("read")),
        json!({ "dpkg": { "libc6": "2.36-9" } })
    );
    let apk =
        Layer::new().file("lib/apk/db/installed", "P:musl\nV:1.2.5-r9\nF:lib\nR:libc.musl.so\n\n").bytes();
    let image = read(&[apk]);
    assert_eq!(json!(image.installed().expect("read")), json!({ "apk": { "musl": "1.2.5-r9" } }));
    assert_eq!(
        json!(image.owners(&[Path::new("/lib/libc.musl.so")]).expect("read")),
        json!({ "apk": { "musl": "1.2.5-r9" } })
    );
    assert_eq!(json!(read(&[Layer::new().bytes()]).installed().expect("read")), json!({}));
}

#[test]
fn a_database_behind_a_link_is_read_too() {
    let text = "Package: app\nVersion: 1\n";
    let expected = json!({ "dpkg": { "app": "1" } });
    let behind = [
        Layer::new().dir("data").file("data/status", text).link("var/lib/dpkg", "/data"),
        Layer::new().file("data/list", text).link("var/lib/dpkg/status", "../../../data/list"),
        Layer::new().file("data/list", text).hard("var/lib/dpkg/status", "data/list"),
        Layer::new().dir("data").file("data/app", text).link("var/lib/dpkg/status.d", "../../../data"),
    ];
    for layer in behind {
        assert_eq!(json!(read(&[layer.bytes()]).installed().expect("read")), expected);
    }
    let text = [b"Package: app\nMaintainer: J\xf6rg\nVersion: 1\n\xff".as_slice(), &[0xe2, 0x82]].concat();
    let image = read(&[Layer::new().file("var/lib/dpkg/status", text).bytes()]);
    assert_eq!(json!(image.installed().expect("read")), expected, "what is no UTF-8 is passed over");
    // What cannot be read is no image without packages.
    let pipe = Layer::new().entry("var/lib/dpkg/status", EntryType::Fifo, "", b"");
    let error = read(&[pipe.bytes()]).installed().expect_err("a FIFO").to_string();
    assert_eq!(error, "/var/lib/dpkg/status: is a FIFO and no regular file");
}

#[test]
fn a_layer_may_be_there_several_times() {
    let one = Layer::new().file("a", "1").hard("b", "a").bytes();
    let two = Layer::new().file(".wh.a", "").bytes();
    let image = read(&[one.clone(), two, one.clone(), one]);
    assert_eq!(names(&image, "/"), ["a", "b"]);
    assert_eq!(digest(&image, "/a"), Some(sha256(b"1")));
    assert_eq!(stat(&image, "/a").expect("there").links, 2);
}

#[test]
fn digests_of_many_files_take_one_pass_a_layer() {
    let layer = |name: &str| {
        let mut layer = Layer::new();
        for number in 0..50 {
            layer = layer.file(&format!("{name}{number}"), format!("{name} {number}"));
        }
        layer.file(&format!("{name}empty"), "").bytes()
    };
    let image = read(&[layer("a"), layer("b")]);
    let paths: Vec<_> =
        (0..50).rev().map(|number| format!("/{}{number}", if number % 2 == 0 { "a" } else { "b" })).collect();
    let mut wanted: Vec<&Path> = paths.iter().map(Path::new).collect();
    wanted.extend([Path::new("/bempty"), Path::new("/none")]);
    let found = image.digests(&wanted).expect("readable");
    assert_eq!(found.len(), 51);
    for path in &paths {
        let text = format!("{} {}", &path[1..2], &path[2..]);
        assert_eq!(found[Path::new(path)], sha256(text.as_bytes()), "{path}");
    }
    assert_eq!(found[Path::new("/bempty")], sha256(b""));
}
