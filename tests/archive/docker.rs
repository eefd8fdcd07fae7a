//! What the real Docker saves, against what it says a container of the image has.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use remit::image::{FileKind, ImageFiles};
use tar::EntryType;

use super::made::{at, sha256, stat};
use super::support::{Image, Place, Rootfs, can_run, folder, unique};

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker runs");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

#[test]
fn docker_saves_an_image_from_scratch() {
    if !can_run(Place::Docker, &["/bin/rm"]) {
        return;
    }
    let context = tempfile::tempdir().expect("a directory");
    let put = |name: &str, text: &str| std::fs::write(context.path().join(name), text).expect("written");
    // Of another length: an engine on fuse-overlayfs takes a file of the same length and time for
    // the same.
    let (one, two) = (unique("one"), unique("two and more"));
    put("first", &one);
    put("second", &two);
    let dockerfile = [
        "FROM scratch",
        "COPY first /srv/data",
        "COPY first second /etc/app/",
        "COPY second /srv/data",
        "ENV A=b",
        "USER 7:8",
        "LABEL kind=test",
        "EXPOSE 8080",
        "ENTRYPOINT [\"/srv/data\"]",
        "CMD [\"serve\", \"-x\"]",
    ];
    put("Dockerfile", &dockerfile.join("\n"));
    let image = Image::built("saved", context.path());
    let file = folder().join(unique("saved.tar"));
    let path = file.to_str().expect("UTF-8");
    docker(&["save", "-o", path, image.docker()]);
    let read = at(&file).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.name(), format!("{path}#{}:latest", image.docker()));
    assert_eq!(read.id(), Some(&*docker(&["inspect", "--format", "{{.Id}}", image.docker()])));
    let config = read.config().expect("a config");
    assert_eq!(config.command(), ["/srv/data", "serve", "-x"]);
    assert_eq!((&*config.user, &*config.labels["kind"]), ("7:8", "test"));
    assert!(config.env.contains(&"A=b".to_owned()), "{:?}", config.env);
    assert!(config.exposed_ports.contains("8080/tcp"));
    let paths = ["/srv/data", "/etc/app/first", "/none"].map(Path::new);
    let digests = read.digests(&paths).expect("readable");
    assert_eq!(digests[paths[0]], sha256(two.as_bytes()), "the later layer");
    assert_eq!((&digests[paths[1]], digests.len()), (&sha256(one.as_bytes()), 2));
}

#[test]
fn a_container_that_removed_files_is_what_its_image_has() {
    if !can_run(Place::Docker, &["/bin/rm"]) {
        return;
    }
    let mut root = Rootfs::empty();
    root.program("/bin/rm").file("/data/a", "a", 0o640).file("/data/sub/b", "b", 0o644).file(
        "/stays",
        unique("stays"),
        0o600,
    );
    root.link("/data/link", "/stays").folder("/empty", 0o1777, 5);
    let image = root.build("base");
    let (container, committed) = (unique("container"), unique("committed"));
    docker(&[
        "run",
        "--name",
        &container,
        "--network",
        "none",
        "--entrypoint",
        "/bin/rm",
        image.docker(),
        "-r",
        "/data/a",
        "/data/sub",
    ]);
    docker(&["commit", &container, &committed]);
    let file = folder().join(unique("committed.tar"));
    docker(&["save", "-o", file.to_str().expect("UTF-8"), &committed]);
    let read = at(&file).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((stat(&read, "/data/a"), stat(&read, "/data/sub/b")), (None, None));

    // What `docker export` gives of a container that was made of it.
    let made = unique("made");
    docker(&["create", "--name", &made, "--entrypoint", "/bin/rm", &committed]);
    let export = folder().join(unique("export.tar"));
    docker(&["export", "-o", export.to_str().expect("UTF-8"), &made]);
    let mut archive = tar::Archive::new(std::fs::File::open(&export).expect("exported"));
    let mut expected = BTreeMap::new();
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        let path = Path::new("/").join(entry.path().expect("a path"));
        let mode = entry.header().mode().expect("a mode") & 0o7777;
        let uid = entry.header().uid().expect("an owner") as u32;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        expected.insert(path, (entry.header().entry_type(), mode, uid, sha256(&content)));
    }
    // The runtime makes these for the container.
    let own = |path: &Path| {
        ["/dev", "/etc", "/proc", "/sys", "/.dockerenv"].iter().any(|own| path.starts_with(own))
    };
    expected.retain(|path, _| !own(path));
    assert!(expected.len() > 8, "{expected:?}");
    let files: Vec<&Path> = expected.keys().map(|path| path.as_path()).collect();
    let digests = read.digests(&files).expect("readable");
    for (path, (kind, mode, uid, digest)) in &expected {
        let shown = path.display();
        if *kind == EntryType::Symlink {
            assert!(read.read_link(path).is_some(), "{shown}");
            continue;
        }
        let found =
            stat(&read, path.to_str().expect("UTF-8")).unwrap_or_else(|| panic!("{shown} is missing"));
        assert_eq!((found.mode, found.owner.as_raw()), (*mode, *uid), "{shown}");
        match kind {
            EntryType::Directory => assert_eq!(found.kind, FileKind::Directory, "{shown}"),
            _ => assert_eq!(digests.get(path), Some(digest), "{shown}"),
        }
    }
    let mut ahead = vec![Path::new("/").to_owned()];
    while let Some(directory) = ahead.pop() {
        for (name, kind) in read.list(&directory).expect("listed") {
            let path = directory.join(name);
            assert!(expected.contains_key(&path) || own(&path), "{} is too much", path.display());
            if kind.is_some()
                && stat(&read, path.to_str().expect("UTF-8")).expect("there").kind == FileKind::Directory
            {
                ahead.push(path);
            }
        }
    }
}
