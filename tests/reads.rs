//! Reads where something is mounted: this program again, in a mount namespace of its own.

#[path = "support/skip.rs"]
mod skip;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::channel;

use remit::recorder::reads::{Gap, Place, WatchEvent, Watches};

/// Where the second run finds the files.
const ROOT: &str = "REMIT_TEST_READS";

const MOUNTS: &str = r#"
cd "$1"
echo x >outside
mkdir -p root/etc root/proc root/volume root/again root/memory
echo x >root/volume/file
: >root/etc/resolv.conf
mount --bind outside root/etc/resolv.conf
mount --bind root/volume root/again
mount -t tmpfs tmpfs root/memory
mount -t proc proc root/proc
mkdir root/memory/below
echo x >root/memory/below/file
exec "$2" --exact in_the_namespace --nocapture --ignored
"#;

#[test]
fn mounts_are_watched_and_a_file_may_be_one() {
    if !skip::namespaces() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().canonicalize().expect("it is there");
    let itself = std::env::current_exe().expect("a test knows its path");
    let mut namespace = Command::new("unshare");
    namespace.args(["--map-root-user", "--mount", "--pid", "--fork", "/bin/sh", "-ec", MOUNTS, "sh"]);
    let output = namespace.arg(&root).arg(itself).env(ROOT, root.join("root")).output().expect("unshare(1)");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "the other test runs it"]
fn in_the_namespace() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let watches = Watches::new(&Place { root: root.clone(), ..Place::default() }).expect("watched");
    let again = Gap::DuplicateMount { path: root.join("volume"), reported: root.join("again") };
    let volume = Gap::DuplicateMount { path: root.join("again"), reported: root.join("volume") };
    let [duplicate] = watches.gaps() else { panic!("{:?}", watches.gaps()) };
    assert!(*duplicate == again || *duplicate == volume, "{duplicate:?}");
    let name = if *duplicate == again { "again" } else { "volume" };

    let (sender, events) = channel();
    let watcher = watches.start(move |what| sender.send(what).expect("received")).expect("a thread");
    let opened = ["etc/resolv.conf", "memory/below/file", "volume/file", "proc/self/status"];
    for name in opened {
        drop(File::open(root.join(name)).expect("it can be read"));
    }
    drop(fs::read_dir(root.join("again")).expect("it can be listed"));
    watcher.finish();
    let events: Vec<_> = events.iter().collect();
    let file = |name: &str| WatchEvent::Opened { path: root.join(name), directory: false };
    let files = [file("etc/resolv.conf"), file("memory/below/file"), file(&format!("{name}/file"))];
    // The directory itself has the name of its place on the file system as well.
    let names: &[&str] = if name == "again" { &["volume", "again"] } else { &["volume"] };
    let listed = names.iter().map(|name| WatchEvent::Opened { path: root.join(name), directory: true });
    assert_eq!(events, files.into_iter().chain(listed).collect::<Vec<_>>());
}
