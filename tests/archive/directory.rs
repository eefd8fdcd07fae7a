//! Unpacked images: every path is resolved inside of the directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use remit::image::{Executable, FileKind, ImageFiles};
use serde_json::json;

use super::made::{at, digest, names, sha256, stat};

fn image() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let put = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
    };
    put("bin/app", "#!/bin/sh\n");
    put("usr/lib/libc.so", "c");
    put("etc/passwd", "of the image");
    put("var/lib/dpkg/status", "Package: app\nVersion: 1\n");
    put("var/lib/dpkg/info/app.list", "/bin/app\n");
    let link = |target: &str, name: &str| symlink(target, root.path().join(name)).expect("a link");
    link("usr/lib", "lib");
    link("/etc/passwd", "abs");
    link("../../../../../../../../etc/hostname", "out");
    link("/etc/hostname", "out2");
    link("/proc/self/exe", "magic");
    link("loop", "loop");
    link("/", "root");
    nix::unistd::mkfifo(&root.path().join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o777))
        .expect("a pipe");
    root
}

#[test]
fn links_are_resolved_inside() {
    let root = image();
    let image = at(root.path()).expect("an image");
    assert_eq!(image.name(), root.path().display().to_string());
    assert!(image.config().is_none() && image.id().is_none());
    assert_eq!(digest(&image, "/abs"), Some(sha256(b"of the image")), "relative to its root");
    assert_eq!(stat(&image, "/abs").expect("there").canonical, Path::new("/etc/passwd"));
    assert_eq!(stat(&image, "/lib/libc.so").expect("there").canonical, Path::new("/usr/lib/libc.so"));
    assert_eq!(stat(&image, "/root/root/../../../bin/app").expect("there").canonical, Path::new("/bin/app"));
    assert!(Path::new("/etc/hostname").exists(), "control: this machine has it");
    for out in ["/out", "/out2", "/magic", "/../../../../../../../../etc/hostname"] {
        assert_eq!(stat(&image, out), None, "{out}");
        assert_eq!(digest(&image, out), None, "{out}");
        assert!(image.executable(Path::new(out)).is_err(), "{out}");
    }
    let errno = image.stat(Path::new("/loop")).expect_err("a loop").raw_os_error();
    assert_eq!(errno, Some(nix::errno::Errno::ELOOP as i32));
    assert_eq!(image.read_link(Path::new("/lib")).as_deref(), Some(Path::new("usr/lib")));
    assert_eq!(names(&image, "/lib"), ["libc.so"]);
    assert_eq!(names(&image, "/root/bin"), ["app"]);
    let script = Executable::Script("/bin/sh".into(), None);
    assert_eq!(image.executable(Path::new("/bin/app")).expect("readable"), script);
    assert_eq!(
        json!(image.owners(&[Path::new("/bin/app")]).expect("read")),
        json!({ "dpkg": { "app": "1" } })
    );
}

#[test]
fn a_pipe_or_directory_has_no_content() {
    let root = image();
    let image = at(root.path()).expect("an image");
    assert_eq!(stat(&image, "/pipe").expect("there").kind, FileKind::Other);
    assert!(image.executable(Path::new("/pipe")).is_err(), "it is not waited for");
    let error = image.digests(&[Path::new("/pipe")]).expect_err("what cannot be read is said").to_string();
    assert_eq!(error, "/pipe: is a FIFO and no regular file");
    assert_eq!(digest(&image, "/etc"), None);
}

#[test]
fn a_database_that_is_a_link_out_is_not_read() {
    let root = image();
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("status"), "Package: outside\nVersion: 1\n").expect("written");
    let status = root.path().join("var/lib/dpkg/status");
    fs::remove_file(&status).expect("removed");
    symlink(outside.path().join("status"), &status).expect("a link");
    assert!(fs::read_to_string(&status).expect("control: it leads there").contains("outside"));
    assert_eq!(json!(at(root.path()).expect("an image").installed().expect("read")), json!({}));
}

#[test]
fn what_is_no_image_is_said() {
    let place = tempfile::tempdir().expect("a directory");
    let refused = |name: &str| {
        let error = at(&place.path().join(name)).expect_err("it is refused").to_string();
        error.replace(&format!("{}/", place.path().display()), "")
    };
    let none =
        "none: No such file or directory; expected an unpacked image or an archive of docker save or OCI";
    assert_eq!(refused("none"), none);
    nix::unistd::mkfifo(&place.path().join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o777))
        .expect("a pipe");
    let kind =
        "is neither a directory nor a regular file; save the image to a file first (docker save -o FILE)";
    assert_eq!(refused("pipe"), format!("pipe: {kind}"));
    fs::create_dir(place.path().join("layout")).expect("a directory");
    for name in ["oci-layout", "index.json"] {
        fs::write(place.path().join("layout").join(name), "{}").expect("written");
    }
    let layout =
        "layout: is an OCI image layout and not an unpacked image; pack it: tar -C layout -cf image.tar .";
    assert_eq!(refused("layout").replace(&format!("{}/", place.path().display()), ""), layout);
}
