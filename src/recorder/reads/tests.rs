use std::fs::{self, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel, sync_channel};

use nix::unistd::{Uid, geteuid, setfsuid};

use super::*;

/// A directory that every user may read and search.
fn directory() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("chmod");
    let path = dir.path().canonicalize().expect("it is there");
    (dir, path)
}

fn place(root: &Path) -> Place {
    Place { root: root.into(), ..Place::default() }
}

fn start(place: &Place) -> (Watcher, Receiver<WatchEvent>) {
    let (sender, events) = channel();
    let watches = Watches::new(place).expect("watched");
    (watches.start(move |what| sender.send(what).expect("received")).expect("a thread"), events)
}

/// All events until the thread ends.
fn all(watcher: Watcher, events: &Receiver<WatchEvent>) -> Vec<WatchEvent> {
    watcher.finish();
    events.iter().collect()
}

/// All events until the mark.
fn marked(watcher: &Watcher, events: &Receiver<WatchEvent>) -> Vec<WatchEvent> {
    watcher.mark();
    events.iter().take_while(|what| *what != WatchEvent::Mark).collect()
}

fn file(path: impl Into<PathBuf>) -> WatchEvent {
    WatchEvent::Opened { path: path.into(), directory: false }
}

fn listed(path: impl Into<PathBuf>) -> WatchEvent {
    WatchEvent::Opened { path: path.into(), directory: true }
}

fn before(path: impl Into<PathBuf>) -> WatchEvent {
    WatchEvent::Gap(Gap::Before { path: path.into() })
}

fn write(path: impl AsRef<Path>) {
    fs::write(path, "x\n").expect("written");
}

fn open(path: impl AsRef<Path>) {
    drop(File::open(path).expect("it can be read"));
}

fn list(path: impl AsRef<Path>) {
    fs::read_dir(path).expect("it can be listed").for_each(drop);
}

fn shell(dir: &Path, script: &str) {
    let status = Command::new("/bin/sh").args(["-ec", script]).current_dir(dir).status();
    assert!(status.expect("a shell").success(), "{script}");
}

#[test]
fn what_a_child_opens_is_named_by_its_canonical_path_once_until_a_mark() {
    let (_dir, root) = directory();
    fs::create_dir_all(root.join("etc/ssl")).expect("a directory");
    for name in ["etc/ssl/cert", "etc/unread", "read before"] {
        write(root.join(name));
    }
    std::os::unix::fs::symlink("etc/ssl/cert", root.join("link")).expect("a link");
    let place = place(&root);
    let watches = Watches::new(&place).expect("watched");
    assert_eq!((watches.watched(), watches.gaps()), (3, [].as_slice()));
    open(root.join("read before"));
    let (sender, events) = channel();
    let watcher = watches.start(move |what| sender.send(what).expect("received")).expect("a thread");

    let script = "read x <link; read x <etc/../etc/ssl/cert; exec ls etc >/dev/null";
    shell(&root, script);
    let cert = file(root.join("etc/ssl/cert"));
    assert_eq!(marked(&watcher, &events), [cert.clone(), listed(root.join("etc"))]);
    shell(&root, "read x <link; test ! -e missing");
    assert_eq!(all(watcher, &events), [cert]);
}

#[test]
fn what_is_left_out_is_not_reported() {
    let (_dir, root) = directory();
    fs::create_dir_all(root.join("journals/old")).expect("a directory");
    write(root.join("events"));
    let skip = vec![root.join("journals"), root.join("events")];
    let (watcher, events) = start(&Place { skip, ..place(&root) });
    write(root.join("journals/old/run"));
    fs::create_dir(root.join("journals/new")).expect("a directory");
    write(root.join("journals/new/run"));
    list(root.join("journals"));
    open(root.join("events"));
    write(root.join("other"));
    assert_eq!(all(watcher, &events), [file(root.join("other"))]);
}

#[test]
fn a_path_alone_is_no_open() {
    let (_dir, root) = directory();
    write(root.join("file"));
    let (watcher, events) = start(&place(&root));
    let flags = nix::fcntl::OFlag::O_PATH;
    for path in [root.clone(), root.join("file")] {
        drop(nix::fcntl::open(&path, flags, nix::sys::stat::Mode::empty()).expect("opened"));
    }
    assert_eq!(all(watcher, &events), []);
}

#[test]
fn new_directories_are_watched_and_what_was_there_before_is_said() {
    let (_dir, root) = directory();
    let (watcher, events) = start(&place(&root));
    // At once: whatever was missed is said.
    fs::create_dir_all(root.join("a/b/c")).expect("directories");
    let path = root.join("a/b/c/file");
    write(&path);
    open(&path);
    let received = marked(&watcher, &events);
    assert!(received.contains(&file(&path)) || received.contains(&before(&path)), "{received:?}");
    // And none of the thread's own opens is reported.
    assert!(
        !received.iter().any(|what| matches!(what, WatchEvent::Opened { directory: true, .. })),
        "{received:?}"
    );
    // Later, nothing is missed.
    open(&path);
    list(root.join("a/b"));
    assert_eq!(all(watcher, &events), [file(&path), listed(root.join("a/b"))]);
}

#[test]
fn a_directory_that_is_listed_as_soon_as_it_is_made_is_reported() {
    let (_dir, root) = directory();
    let (watcher, events) = start(&place(&root));
    for number in 0..100 {
        let new = root.join(number.to_string());
        fs::create_dir(&new).expect("a directory");
        list(&new);
        assert_eq!(marked(&watcher, &events), [listed(&new)]);
    }
    drop(watcher);
}

/// A watcher that waits at the file `gate` until the closure is called.
fn gated(root: &Path) -> (Watcher, Receiver<WatchEvent>, impl FnOnce()) {
    write(root.join("gate"));
    let (sender, events) = channel();
    let (waits, waiting) = sync_channel(0);
    let (go, gone) = sync_channel::<()>(0);
    let gate = file(root.join("gate"));
    let watches = Watches::new(&place(root)).expect("watched");
    let watcher = watches.start(move |what| {
        if what == gate {
            waits.send(()).expect("somebody waits");
            gone.recv().expect("let go on");
        }
        sender.send(what).expect("received");
    });
    open(root.join("gate"));
    waiting.recv().expect("at the gate");
    (watcher.expect("a thread"), events, move || go.send(()).expect("it waits"))
}

#[test]
fn what_was_in_a_new_directory_before_its_watch_is_said() {
    let (_dir, root) = directory();
    let (_outside, outside) = directory();
    fs::create_dir(outside.join("come")).expect("a directory");
    write(outside.join("come/with"));
    let (watcher, events, go) = gated(&root);
    fs::create_dir_all(root.join("new/deep")).expect("a directory");
    write(root.join("new/deep/file"));
    fs::rename(outside.join("come"), root.join("come")).expect("renamed");
    go();
    let mut received = marked(&watcher, &events);
    received.sort_by_key(|what| format!("{what:?}"));
    let unseen = ["come/with", "new/deep", "new/deep/file"].map(|name| before(root.join(name)));
    assert_eq!(received, [&unseen[..], &[file(root.join("gate"))]].concat());
    open(root.join("come/with"));
    assert_eq!(all(watcher, &events), [file(root.join("come/with"))]);
}

#[test]
fn a_directory_has_the_name_that_it_has() {
    let (_dir, root) = directory();
    fs::create_dir_all(root.join("a/deep")).expect("a directory");
    write(root.join("a/deep/file"));
    let (watcher, events) = start(&place(&root));
    let open_in = |name: &str| {
        open(root.join(name).join("deep/file"));
        file(root.join(name).join("deep/file"))
    };
    let rename = |from: &str, to: &str| fs::rename(root.join(from), root.join(to)).expect("renamed");
    let mut expected = vec![open_in("a")];
    for names in ["a", "b", "c", "b"].windows(2) {
        rename(names[0], names[1]);
        expected.push(open_in(names[1]));
    }
    // Another directory takes the name.
    fs::create_dir(root.join("a")).expect("a directory");
    assert_eq!(marked(&watcher, &events), expected);
    fs::create_dir(root.join("a/deep")).expect("a directory");
    assert_eq!(marked(&watcher, &events), []);
    write(root.join("a/deep/file"));
    rename("b", "a/below");
    open_in("a/below");
    let expected = ["a/deep/file", "a/below/deep/file"].map(|name| file(root.join(name)));
    assert_eq!(all(watcher, &events), expected);
}

#[test]
fn an_overflow_is_said() {
    let (_dir, root) = directory();
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("a limit");
    let most: usize = most.trim().parse().expect("a number");
    let names = [root.join("one"), root.join("two")];
    names.iter().for_each(write);
    let (watcher, events, go) = gated(&root);
    // In turn, so that none is like the one before it.
    (0..most / 2 + 100).for_each(|_| names.iter().for_each(open));
    go();
    let received = all(watcher, &events);
    let overflow = WatchEvent::Gap(Gap::Overflow);
    assert_eq!(received, [file(root.join("gate")), file(&names[0]), file(&names[1]), overflow]);
}

#[test]
fn an_unreadable_directory_is_a_gap() {
    let (_dir, root) = directory();
    for name in ["closed/below", "searched"] {
        fs::create_dir_all(root.join(name)).expect("a directory");
        write(root.join(name).join("file"));
    }
    let set = |name: &str, mode| {
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).expect("chmod");
    };
    set("closed", 0);
    set("searched", 0o311);
    // Root reads everything; this thread drops that right.
    let root_here = geteuid().is_root();
    if root_here {
        setfsuid(Uid::from_raw(65534));
    }
    let watches = Watches::new(&place(&root)).expect("watched");
    let mut gap = watches.gaps().to_vec();
    gap.sort_by_key(|gap| format!("{gap:?}"));
    let closed = |name: &str| Gap::Unreadable { path: root.join(name), errno: Errno::EACCES };
    assert_eq!((watches.watched(), gap), (1, vec![closed("closed"), closed("searched")]));
    let (sender, events) = channel();
    let watcher = watches.start(move |what| sender.send(what).expect("received")).expect("a thread");
    open(root.join("searched/file"));
    assert_eq!(marked(&watcher, &events), [], "it is what was said");
    let new = if root_here { Uid::from_raw(0) } else { geteuid() };
    setfsuid(new);
    fs::DirBuilder::new().mode(0o700).create(root.join("new")).expect("a directory");
    let received = all(watcher, &events);
    // Created with an owner that the thread is not.
    assert_eq!(received.contains(&WatchEvent::Gap(closed("new"))), root_here, "{received:?}");
    set("closed", 0o700);
    set("searched", 0o700);
}

#[test]
fn too_many_directories_are_counted() {
    let (_dir, root) = directory();
    for number in 0..10 {
        fs::create_dir(root.join(number.to_string())).expect("a directory");
    }
    let watches = Watches::new(&Place { most: 8, ..place(&root) }).expect("watched");
    assert_eq!((watches.watched(), watches.gaps()), (8, [Gap::Full { directories: 3 }].as_slice()));
    let (watcher, events) = start(&Place { most: 12, ..place(&root) });
    for name in ["a", "b", "c"] {
        fs::create_dir(root.join(name)).expect("a directory");
    }
    assert_eq!(all(watcher, &events), [WatchEvent::Gap(Gap::Full { directories: 2 })]);
}

#[test]
fn a_place_that_is_not_there_cannot_be_watched() {
    let (_dir, root) = directory();
    assert_eq!(Watches::new(&place(&root.join("none"))).err(), Some(Errno::ENOENT));
}

#[test]
fn every_end_gives_its_thread_and_descriptors_back() {
    let (_dir, root) = directory();
    let descriptors = || fs::read_dir("/proc/self/fd").expect("listable").count();
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").expect("listable").flatten();
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        tasks.map(name).filter(|name| name.trim() == "reads").count()
    };
    let before = descriptors();
    // More than a user may have at once.
    for _ in 0..150 {
        let (watcher, events) = start(&place(&root));
        assert_eq!(all(watcher, &events), []);
    }
    // Tests beside this one have some as well.
    let (descriptors, threads) = (descriptors(), threads());
    assert!(descriptors < before + 100 && threads < 40, "{descriptors} descriptors, {threads} threads");
    // Dropped, it ends as well.
    let (watcher, events) = start(&place(&root));
    drop(watcher);
    assert_eq!(events.iter().count(), 0);
}
