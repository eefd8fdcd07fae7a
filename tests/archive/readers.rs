//! Layers that runtimes read differently, each of which would be another image for one of them: all
//! are refused. The controls are what builders write.

use tar::{EntryType, Header};

use super::made::{Layer, digest, header, names, read, record, refused, refused_over, sha256, stat};

const SERVER: &str = "usr/bin/server";

fn base() -> Layer {
    Layer::new().dir("usr/").dir("usr/bin/").file(SERVER, "one")
}

/// A header of POSIX's ustar with a name in two parts.
fn ustar(prefix: &str, name: &str) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_ustar_mut().expect("ustar").prefix[..prefix.len()].copy_from_slice(prefix.as_bytes());
    header.set_entry_type(EntryType::Regular);
    header.set_size(0);
    header.set_mode(0o755);
    header.set_cksum();
    header
}

#[test]
fn extended_headers_that_contradict_each_other_are_refused() {
    use EntryType::{GNULongLink, GNULongName, XGlobalHeader, XHeader};
    let names = "has two extended names for one entry, of which runtimes take different ones; pack it again";
    let targets =
        "has two extended targets for one link, of which runtimes take different ones; pack it again";
    let pax = "has two pax headers before one entry, which runtimes join differently; pack it again";
    let global = "has a global pax header between an extended header and its entry, which runtimes read differently; pack it again";
    let empty = "has an empty extended name, which runtimes read differently; pack it again";
    let long = |kind| Layer::new().extended(kind, b"usr/doc\0");
    let comment = record("comment", b"x");
    for (layer, expected) in [
        (long(GNULongName).pax("path", SERVER), names),
        (Layer::new().pax("path", SERVER).extended(GNULongName, b"usr/doc\0"), names),
        (long(GNULongName).extended(GNULongName, b"x\0"), names),
        (long(GNULongLink).pax("linkpath", "a"), targets),
        (Layer::new().pax("linkpath", "a").extended(GNULongLink, b"b\0"), targets),
        (Layer::new().pax("path", "usr/doc").pax("mtime", "1"), pax),
        (Layer::new().pax("path", "usr/doc").extended(XGlobalHeader, &comment), global),
        (long(GNULongName).extended(XGlobalHeader, &comment), global),
        (long(GNULongLink).extended(XGlobalHeader, &comment), global),
        (Layer::new().pax("path", ""), empty),
        (Layer::new().pax("linkpath", ""), empty),
        (Layer::new().extended(GNULongName, b"\0"), empty),
        (Layer::new().extended(XHeader, &[0; 20]), "has a pax header that is malformed"),
    ] {
        assert_eq!(refused(layer.link(SERVER, "x").bytes()), expected);
    }
    // GNU tar's two, and pax with a long name and a time.
    let gnu = long(GNULongName).extended(GNULongLink, b"target\0").link("x", "y");
    let both = Layer::new().extended(
        XHeader,
        &[record("path", b"p"), record("linkpath", b"q"), record("mtime", b"1.5")].concat(),
    );
    let image = read(&[gnu.bytes(), both.link("x", "y").bytes()]);
    for (name, target) in [("/usr/doc", "target"), ("/p", "q")] {
        let found = remit::image::ImageFiles::read_link(&image, name.as_ref()).expect("a link");
        assert_eq!(found.to_str(), Some(target), "{name}");
    }
}

#[test]
fn a_global_header_is_a_comment_alone() {
    let more =
        "has a global pax header with more than a comment, which runtimes read differently; pack it again";
    for (key, value) in [("path", SERVER), ("linkpath", "x"), ("size", "1"), ("uid", "0")] {
        let records = record(key, value.as_bytes());
        let layer = Layer::new().extended(EntryType::XGlobalHeader, &records).file("f", "");
        assert_eq!(refused(layer.bytes()), more, "{key}");
    }
    let comment = record("comment", b"a commit");
    let named = |name: &str| {
        let global = header(name, EntryType::XGlobalHeader, comment.len() as u64);
        Layer::new().header(&global, &comment).file("f", "").bytes()
    };
    let expected =
        "has a global pax header with the name of a file, which runtimes read differently; pack it again";
    for name in [SERVER, "usr/bin/.wh.server", "pax_global_header/x"] {
        assert_eq!(refused(named(name)), expected, "{name}");
    }
    for name in ["pax_global_header", "/tmp/GlobalHead.7.1", "././@PaxHeader"] {
        assert_eq!(names(&read(&[named(name)]), "/"), ["f"], "{name}");
    }
}

#[test]
fn a_header_has_one_name_for_all() {
    let mut version = ustar("usr/bin", "server");
    version.as_ustar_mut().expect("ustar").version = *b"01";
    version.set_cksum();
    let expected =
        "has a header of an unknown version of ustar, whose names runtimes read differently; pack it again";
    assert_eq!(refused(Layer::new().header(&version, b"").bytes()), expected);
    let mut star = ustar("usr/bin", "server");
    star.as_mut_bytes()[508..].copy_from_slice(b"tar\0");
    star.set_cksum();
    let expected = "has a header of star(1), whose names runtimes read differently; pack it with another tar";
    assert_eq!(refused(Layer::new().header(&star, b"").bytes()), expected);
    let mut gnu = header("server", EntryType::Regular, 0);
    gnu.as_mut_bytes()[345..352].copy_from_slice(b"usr/bin");
    gnu.set_cksum();
    let expected = "has a header of GNU tar with times that are no numbers, whose names runtimes read differently; pack it again";
    assert_eq!(refused(Layer::new().header(&gnu, b"").bytes()), expected);
    // As they are written: a prefix of ustar, times of GNU tar --incremental, and a header without magic.
    let mut times = header("times", EntryType::Regular, 0);
    times.as_mut_bytes()[345..357].copy_from_slice(b"14524770141\0");
    times.as_mut_bytes()[357..369].copy_from_slice(b"\x80\0\0\0\0\0\0\0\x65\x53\xf1\0");
    times.set_cksum();
    let mut old = Header::new_old();
    old.as_old_mut().name[..3].copy_from_slice(b"old");
    old.set_size(0);
    old.set_mode(0o644);
    old.set_cksum();
    let layer = Layer::new().header(&ustar("usr/bin", "server"), b"").header(&times, b"").header(&old, b"");
    let image = read(&[layer.bytes()]);
    assert_eq!(names(&image, "/"), ["old", "times", "usr"]);
    assert!(stat(&image, "/usr/bin/server").is_some());
}

#[test]
fn an_archive_ends_at_zeros_and_has_no_continuous_files() {
    let mut gap = Layer::new().file("f", "").bytes();
    gap.truncate(gap.len() - 512);
    let expected = "has an entry behind a block of zeros, which ends an archive";
    assert_eq!(refused([gap, Layer::new().file("g", "").bytes()].concat()), expected);
    // What lies behind two blocks of zeros is read by none.
    let whole = [Layer::new().file("f", "").bytes(), Layer::new().file("g", "").bytes()].concat();
    assert_eq!(names(&read(&[whole]), "/"), ["f"]);
    let mut short = Layer::new().file("f", "").bytes();
    short.truncate(short.len() - 512);
    assert_eq!(names(&read(&[short]), "/"), ["f"], "one block of zeros at the end");
    let odd = "x: is an entry of a kind that no image has";
    assert_eq!(refused(Layer::new().entry("x", EntryType::Continuous, "", b"x").bytes()), odd);
}

#[test]
fn attributes_of_overlay_are_refused() {
    let expected = "usr/: has an extended attribute of overlay file systems, by which some runtimes hide or replace files; pack it again without it";
    for key in [
        "SCHILY.xattr.trusted.overlay.redirect",
        "SCHILY.xattr.trusted.overlay.opaque",
        "SCHILY.xattr.trusted.overlay.metacopy",
        "SCHILY.xattr.user.overlay.opaque",
        "SCHILY.xattr.user.fuseoverlayfs.opaque",
        "LIBARCHIVE.xattr.trusted.overlay.opaque",
        "LIBARCHIVE.xattr.trusted%2Eoverlay%2eopaque",
    ] {
        assert_eq!(refused(Layer::new().pax(key, "y").dir("usr/").bytes()), expected, "{key}");
    }
    for key in
        ["SCHILY.xattr.security.capability", "SCHILY.xattr.user.overlayed", "LIBARCHIVE.xattr.user.%zz"]
    {
        read(&[Layer::new().pax(key, "y").dir("usr/").bytes()]);
    }
}

const BEHIND: &str = "stands behind a symbolic link, which runtimes follow or replace by a directory; build the layer with the path without links";
const REMOVED: &str = "is removed by a whiteout behind a symbolic link, which runtimes follow or replace by a directory; build the layer with the path without links";

#[test]
fn what_lies_behind_a_link_of_a_lower_layer_is_refused() {
    let lower = base().link("bin", "usr/bin").bytes();
    let over = |layer: Layer| refused_over(&[lower.clone(), layer.bytes()]);
    assert_eq!(over(Layer::new().file("bin/server", "two")), format!("bin/server: {BEHIND}"));
    assert_eq!(over(Layer::new().dir("usr/").dir("usr/bin/").file("bin/x", "")), format!("bin/x: {BEHIND}"));
    assert_eq!(over(Layer::new().file("bin/.wh.server", "")), format!("bin/server: {REMOVED}"));
    assert_eq!(over(Layer::new().file("bin/.wh..wh..opq", "")), format!("bin: {REMOVED}"));
    // A link of the layer itself to what only the lower layer has, and to what it has itself.
    let own = Layer::new().link("d", "usr/bin");
    assert_eq!(over(own.file("d/server", "two")), format!("d/server: {BEHIND}"));
    let own = Layer::new().dir("usr/").dir("usr/bin/").link("d", "usr/bin");
    assert_eq!(over(own.file("d/.wh.server", "")), format!("d/server: {REMOVED}"));
    let own = Layer::new().dir("a/").dir("a/b/").link("l", "a/b/../../a");
    assert_eq!(over(own.file("l/x", "")), format!("l/x: {BEHIND}"));
    // A directory of the layer stands in the place of the link.
    let image = read(&[lower, Layer::new().dir("bin/").file("bin/server", "two").bytes()]);
    assert_eq!(digest(&image, "/bin/server"), Some(sha256(b"two")));
    assert_eq!(digest(&image, "/usr/bin/server"), Some(sha256(b"one")));
}

#[test]
fn a_path_is_once_in_a_layer() {
    let twice = "is twice in its layer, and runtimes differ in the one that they take; build the layer again";
    for (path, layer) in [
        (SERVER, base().file(SERVER, "two")),
        (SERVER, base().file("./usr//bin/server", "one")),
        (SERVER, base().link(SERVER, "x")),
        ("usr/bin", base().file("usr/bin", "")),
        ("d", Layer::new().link("d", "usr").dir("d/")),
        ("d", Layer::new().file("d/x", "").link("d", "usr")),
        ("l/server", base().link("l", "usr/bin").file("l/server", "two")),
        (SERVER, base().file("x", "").hard(SERVER, "x")),
    ] {
        assert_eq!(refused(layer.bytes()), format!("{path}: {twice}"));
    }
    // A hard link of this layer to a file that the layer replaces afterwards.
    let over = Layer::new().hard("x", SERVER).file(SERVER, "two").bytes();
    assert_eq!(refused_over(&[base().bytes(), over]), format!("{SERVER}: {twice}"));
    let image = read(&[base().dir("usr/").dir("./usr/bin").bytes()]);
    assert_eq!(names(&image, "/usr/bin"), ["server"], "directories are written again");
}

#[test]
fn a_hard_link_has_one_target() {
    let behind = "x: is a hard link to a path behind a symbolic link, which runtimes follow differently; build the layer with the path without links";
    assert_eq!(refused(base().link("l", "usr/bin").hard("x", "l/server").bytes()), behind);
    let none = "x: is a hard link to a file that is in no layer; save the image again";
    assert_eq!(refused(Layer::new().hard("x", "y").file("y", "").bytes()), none, "it comes after it");
    let removed = Layer::new().file("usr/bin/.wh.server", "").hard("x", SERVER).bytes();
    assert_eq!(refused_over(&[base().bytes(), removed]), none);
    let beside = "is in its layer beside a whiteout that removes it, of which runtimes take different ones; build the layer again";
    let removed = Layer::new().hard("x", SERVER).file("usr/.wh.bin", "").bytes();
    assert_eq!(refused_over(&[base().bytes(), removed]), format!("usr/bin: {beside}"));
}

#[test]
fn a_whiteout_is_of_lower_layers_alone() {
    let beside = "is in its layer beside a whiteout that removes it, of which runtimes take different ones; build the layer again";
    for (path, layer) in [
        (SERVER, base().file("usr/bin/.wh.server", "")),
        ("usr/bin", base().file("usr/.wh.bin", "")),
        ("usr/bin", Layer::new().file("usr/.wh.bin", "").dir("usr/bin/")),
        (SERVER, Layer::new().file("usr/.wh.bin", "").file(SERVER, "two")),
        ("usr/bin/server", Layer::new().file("usr/.wh.bin", "").file("usr/bin/.wh.server", "")),
    ] {
        assert_eq!(refused_over(&[base().bytes(), layer.bytes()]), format!("{path}: {beside}"));
    }
    let below = format!("{SERVER}/x: stands below a file that is no directory");
    let layer = Layer::new().file("usr/bin/server/.wh.x", "").bytes();
    assert_eq!(refused_over(&[base().bytes(), layer]), below);
    // An opaque directory hides what lower layers have beneath it, not what its own layer has.
    let over = Layer::new().dir("usr/").file("usr/bin/new", "2").file("usr/.wh..wh..opq", "").bytes();
    let image = read(&[base().file("usr/lib/x", "").bytes(), over]);
    assert_eq!((names(&image, "/usr"), names(&image, "/usr/bin")), (vec!["bin".into()], vec!["new".into()]));
}
