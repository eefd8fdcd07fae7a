//! Programs of an image: all that is looked into is the image's own, whatever its form.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::compiled::{GCC, compile};
use super::made::{Layer, Saved, docker, docker25, gzip, oci, zstd};
use super::{calls, path, reach, remit, skip, text};

const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Opens a library that this machine has not got.
const APP: &str = "#include <dlfcn.h>\n#include <unistd.h>\nint main(void) { sethostname(\"x\", 1); return \
                   dlopen(\"/opt/plug/libplug.so\", RTLD_NOW) ? 0 : 2; }";
const PLUG: &str =
    "#include <unistd.h>\n#include <sys/syscall.h>\nint plug(void) { return syscall(SYS_setsid); }";

/// The program and its plug-in; none where there is no compiler, and the test is skipped.
fn programs(folder: &tempfile::TempDir) -> Option<(Vec<u8>, Vec<u8>)> {
    if !skip::has(LIBC) || !skip::has(LOADER) {
        return None;
    }
    if !compile(GCC, folder.path(), "libplug.so", PLUG, &["-shared", "-fPIC"])
        || !compile(GCC, folder.path(), "app", APP, &["-O2"])
    {
        return None;
    }
    let read = |name: &str| fs::read(path(folder, name)).expect("it was compiled");
    Some((read("app"), read("libplug.so")))
}

fn layers(app: &[u8], plug: &[u8]) -> Vec<Vec<u8>> {
    let libc = fs::read(LIBC).expect("a library");
    let loader = fs::read(LOADER).expect("a loader");
    vec![
        Layer::new()
            // An absolute link leads to the image's directory.
            .link("lib64", "/usr/lib64")
            .link("lib", "/usr/lib")
            .dir("usr/lib/x86_64-linux-gnu")
            .dir("usr/lib64")
            .file("usr/lib64/ld-linux-x86-64.so.2", &loader)
            .file("usr/lib/x86_64-linux-gnu/libc.so.6", "an older one")
            .bytes(),
        Layer::new()
            .file("usr/lib/x86_64-linux-gnu/libc.so.6", &libc)
            .file("opt/plug/libplug.so", plug)
            .bytes(),
        Layer::new().file("bin/app", app).bytes(),
    ]
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// The same image as a directory.
fn unpack(root: &Path, app: &[u8], plug: &[u8]) {
    for directory in ["usr/lib64", "usr/lib/x86_64-linux-gnu", "opt/plug", "bin"] {
        fs::create_dir_all(root.join(directory)).expect("a folder");
    }
    symlink("/usr/lib64", root.join("lib64")).expect("a link");
    symlink("/usr/lib", root.join("lib")).expect("a link");
    let put = |name: &str, bytes: &[u8]| {
        fs::write(root.join(name), bytes).expect("a file");
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).expect("its mode");
    };
    put("usr/lib64/ld-linux-x86-64.so.2", &fs::read(LOADER).expect("a loader"));
    put("usr/lib/x86_64-linux-gnu/libc.so.6", &fs::read(LIBC).expect("a library"));
    put("opt/plug/libplug.so", plug);
    put("bin/app", app);
}

#[test]
fn every_form_of_an_image_has_the_same_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((app, plug)) = programs(&folder) else { return };
    let root = path(&folder, "root");
    unpack(&root, &app, &plug);
    let expected = reach(&["--image", root.to_str().expect("UTF-8"), "/bin/app"]);
    assert!(calls(&expected).contains("setsid"), "of a library that the image alone has");
    assert!(calls(&expected).contains("sethostname"));
    let opened = expected["objects"].as_array().expect("a list");
    assert!(opened.iter().any(|one| one["path"] == "/opt/plug/libplug.so"), "{opened:?}");
    assert!(
        opened.iter().all(|one| one["path"].as_str().is_some_and(|path| !path.contains("nss"))),
        "{opened:?}"
    );
    let layers = layers(&app, &plug);
    for (form, archive) in [
        ("docker save", docker(&["app:1"], &layers).tar()),
        ("docker save since 25, gzip", docker25(&["app:1"], &layers, gzip).tar()),
        ("OCI", oci("app:1", &layers, plain).tar()),
        ("OCI, zstd", oci("app:1", &layers, zstd).tar()),
        ("docker save, as a whole by gzip", gzip(&docker(&["app:1"], &layers).tar())),
    ] {
        let saved = Saved::new(archive);
        // By PATH of the image's config.
        let answer = reach(&["--image", saved.path().to_str().expect("UTF-8"), "app"]);
        for key in ["calls", "objects", "gaps", "programs", "bounded"] {
            assert_eq!(answer[key], expected[key], "{form}: {key}");
        }
    }
}

#[test]
fn what_the_image_lacks_is_not_taken_from_this_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((app, plug)) = programs(&folder) else { return };
    let root = path(&folder, "root");
    let without = |name: &str| {
        drop(fs::remove_dir_all(&root));
        unpack(&root, &app, &plug);
        fs::remove_file(root.join(name)).expect("it was there");
        let said = remit(&["--image", root.to_str().expect("UTF-8"), "/bin/app", "--format", "json"]);
        (said.status.code(), text(&said.stdout), text(&said.stderr))
    };
    let (code, _, error) = without("usr/lib/x86_64-linux-gnu/libc.so.6");
    assert_eq!(code, Some(2));
    assert!(
        error.contains("/bin/app: links libc.so.6, which is in none of the loader's directories"),
        "{error}"
    );
    let (code, _, error) = without("usr/lib64/ld-linux-x86-64.so.2");
    assert_eq!(code, Some(2));
    assert!(error.contains("names the loader /lib64/ld-linux-x86-64.so.2, which is not there"), "{error}");
    let (code, answer, error) = without("opt/plug/libplug.so");
    assert_eq!(code, Some(0), "{error}");
    assert!(!answer.contains("setsid"), "the program goes on without it");
    let (code, _, error) = without("bin/app");
    assert_eq!(code, Some(2));
    assert!(error.contains("/bin/app: not found"), "{error}");
    // A link out of the image leads into it.
    fs::create_dir_all(root.join("bin")).expect("a folder");
    symlink("../../../../../../usr/bin/true", root.join("bin/out")).expect("a link");
    let said = remit(&["--image", root.to_str().expect("UTF-8"), "/bin/out"]);
    assert!(text(&said.stderr).contains("/bin/out: not found"), "{}", text(&said.stderr));
}

#[test]
fn an_archive_that_is_no_image_is_one_line() {
    for (bytes, expected) in [
        (b"hello".to_vec(), "expected an archive of docker save"),
        (Layer::new().file("x", "y").bytes(), "expected an archive of docker save"),
        (
            docker(&["app:1"], &[Layer::new().file("bin/app", "text").bytes()]).tar(),
            "/bin/app: is no ELF file",
        ),
        (
            docker(&["app:1"], &[Layer::new().dir("bin/app").bytes()]).tar(),
            "/bin/app: cannot be read: is no regular file",
        ),
    ] {
        let saved = Saved::new(bytes);
        let said = remit(&["--image", saved.path().to_str().expect("UTF-8"), "/bin/app"]);
        let error = text(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
