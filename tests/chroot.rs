//! A process that changed its root: it works under `baseline` as without remit, paths of a profile
//! are those of the container and not its own, and it reaches no file or program that it did not
//! reach before.

#[path = "probe/elf.rs"]
#[allow(dead_code)]
mod elf;
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const PYTHON: &str = "/usr/bin/python3";

/// What every script begins with: `jail` and `outside` are directories.
const PRELUDE: &str = "
import ctypes, os, socket, sys
outside = os.getcwd()
jail = outside + '/jail'
here = os.open(outside, os.O_RDONLY)
def say(act, *args):
    try: print(act.__name__, act(*args))
    except OSError as error: print(act.__name__, error.errno)
def write(path, text='written'):
    with open(path, 'a') as file: file.write(text)
def leave():
    # The working directory stays outside of the root.
    os.mkdir('/inner') if not os.path.exists('/inner') else None
    os.chroot('/inner'); os.fchdir(here)
    for _ in range(16): os.chdir('..')
    os.chroot('.')
";

fn can_run() -> bool {
    skip::has(PYTHON) && skip::is_root()
}

/// A folder with a jail in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let jail = folder.path().join("jail");
    fs::create_dir(&jail).expect("a directory");
    fs::set_permissions(&jail, fs::Permissions::from_mode(0o777)).expect("chmod");
    folder
}

fn run(folder: &Path, options: &[&str], script: &str) -> (Output, Vec<Value>) {
    let events = folder.join("events");
    let mut shim = Command::new(env!("CARGO_BIN_EXE_remit-init"));
    if options != ["--mode", "off"] {
        shim.arg("--events").arg(&events);
    }
    shim.args(options).args(["--", PYTHON, "-c", &format!("{PRELUDE}{script}")]);
    let output = shim.current_dir(folder).output().expect("it runs");
    let text = fs::read_to_string(&events).unwrap_or_default();
    let _ = fs::remove_file(&events);
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    (output, events.filter(|event| event["event"] == "violation").collect())
}

/// What a server in a jail does.
const WORK: &str = "
os.chroot(jail); os.chdir('/')
def work():
    say(write, '/file'); say(write, 'other'); say(write, '/../../up')
    say(os.mkdir, '/run'); say(os.symlink, '/run', '/link'); say(write, '/link/linked')
    say(os.rename, '/other', '/link/../moved'); say(os.unlink, '/moved')
    say(os.listdir, '/')
    server = socket.socket(socket.AF_UNIX); say(server.bind, '/run/socket'); server.listen()
    client = socket.socket(socket.AF_UNIX); say(client.connect, '/run/socket')
    say(open, '/etc/passwd', 'a')
    say(os.stat, outside)
def clean():
    for name in ('file', 'up', 'link', 'run/linked', 'run/socket'): os.unlink('/' + name)
    os.rmdir('/run')
work(); clean()
if os.fork() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    work(); clean(); os._exit(0)
print(os.wait()[1])
";

#[test]
fn a_server_works_in_a_jail_as_without_remit() {
    if !can_run() {
        return;
    }
    let folder = folder();
    let (free, _) = run(folder.path(), &["--mode", "off"], WORK);
    assert!(free.status.success(), "{free:?}");
    for mode in ["enforce", "audit"] {
        let (confined, violations) = run(folder.path(), &["--mode", mode], WORK);
        assert_eq!(
            String::from_utf8_lossy(&confined.stdout),
            String::from_utf8_lossy(&free.stdout),
            "{mode}: {confined:?} {violations:?}"
        );
        assert!(violations.is_empty(), "{mode}: {violations:?}");
    }
}

/// A profile of a folder's python that may write two files, of which one is in the jail.
fn profile(folder: &Path) -> String {
    let python = fs::canonicalize(PYTHON).expect("it is there");
    let profile = json!({
        "remit": 1, "name": "jailed", "capabilities": ["sys_chroot", "dac_override", "setuid", "setgid"],
        "programs": [{ "path": python, "entry": true }],
        "files": [
            "@runtime", "@names",
            { "path": "/", "allow": ["read"] },
            { "path": folder.join("granted"), "allow": ["write", "create"] },
            { "path": folder.join("jail/inside"), "allow": ["write", "create"] },
            { "path": folder.join("jail/inner"), "allow": ["read", "create"] },
            { "path": folder.join("jail"), "allow": ["create"] },
        ],
        "network": { "listen": [], "connect": ["unix:*"] },
        "syscalls": { "allow": ["@core", "chroot", "setgroups", "setgid", "setuid"] },
        "memory": { "write_execute": true },
    });
    let path = folder.join("profile.json");
    fs::write(&path, profile.to_string()).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_path_of_the_profile_is_not_the_jails() {
    if !can_run() {
        return;
    }
    let folder = folder();
    let profile = profile(folder.path());
    // In the jail, the granted file's name leads to another one, which is not granted.
    let copy = folder.path().join("jail").join(folder.path().strip_prefix("/").expect("absolute"));
    fs::create_dir_all(&copy).expect("a directory");
    let script = "
os.chroot(jail); os.chdir('/')
say(write, '/inside'); say(write, outside + '/granted'); say(write, '/outside')
os.fchdir(here); say(write, 'granted', 'by descriptor'); say(write, 'jail/inside'); say(write, 'other')
";
    let (free, _) = run(folder.path(), &["--mode", "off"], script);
    assert_eq!(String::from_utf8_lossy(&free.stdout), "write None\n".repeat(6), "{free:?}");
    for left in ["granted", "other", "jail/inside", "jail/outside"] {
        fs::remove_file(folder.path().join(left)).expect("the control made it");
    }
    fs::remove_file(copy.join("granted")).expect("the control made it");

    let (confined, violations) = run(folder.path(), &["--profile", &profile], script);
    let expected = "write None\nwrite 13\nwrite 13\nwrite None\nwrite None\nwrite 13\n";
    assert_eq!(String::from_utf8_lossy(&confined.stdout), expected, "{confined:?} {violations:?}");
    let objects: Vec<_> = violations.iter().map(|event| event["object"]["path"].clone()).collect();
    let named = |path: &Path| json!(path);
    assert_eq!(
        objects,
        [
            named(&copy.join("granted")),
            named(&folder.path().join("jail/outside")),
            named(&folder.path().join("other"))
        ]
    );
    assert_eq!(fs::read(folder.path().join("granted")).expect("it is there"), b"by descriptor");
    assert_eq!(fs::read(folder.path().join("jail/inside")).expect("it is there"), b"writtenwritten");
    assert!(!copy.join("granted").exists() && !Path::new("/inside").exists());
}

#[test]
fn leaving_the_jail_frees_no_file() {
    if !can_run() {
        return;
    }
    let folder = folder();
    let profile = profile(folder.path());
    let secret = folder.path().join("secret");
    fs::write(&secret, "").expect("a file");
    let leaves = "os.chroot(jail); os.chdir('/'); leave(); print(os.path.exists(outside)); ";
    for act in [
        // By a kept descriptor, and by the root that it has again then.
        "os.chroot(jail); os.chdir('/'); os.fchdir(here); say(write, 'secret')".to_owned(),
        "os.chroot(jail); os.chdir('/'); os.write(os.open('secret', os.O_WRONLY, dir_fd=here), b'written')"
            .to_owned(),
        format!("{leaves} say(write, outside + '/secret')"),
    ] {
        let (free, _) = run(folder.path(), &["--mode", "off"], &act);
        assert_eq!(fs::read(&secret).expect("it is there"), b"written", "control: {act}: {free:?}");
        fs::write(&secret, "").expect("a file");
        let (confined, violations) = run(folder.path(), &["--profile", &profile], &act);
        assert_eq!(fs::read(&secret).expect("it is there"), b"", "{act}: {confined:?}");
        let named = violations.iter().any(|event| event["object"]["path"] == json!(secret));
        assert!(named, "{act}: {confined:?} {violations:?}");
        let _ = fs::remove_file(folder.path().join("jail/secret"));
        let _ = fs::remove_dir(folder.path().join("jail/inner"));
    }
}

#[test]
fn no_program_of_the_jails_runs() {
    if !can_run() {
        return;
    }
    let folder = folder();
    let jail = folder.path().join("jail");
    let plant = |path: &str| {
        let path = jail.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, elf::exits()).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    };
    for path in
        ["usr/bin/true", "bin/sh", "bin/bash", "lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"]
    {
        plant(path);
    }
    for act in [
        // A program by the name of one, by a path and by a descriptor.
        "os.execv('/usr/bin/true', ['true'])",
        "os.execv('usr/bin/../bin/true', ['true'])",
        "os.execve(os.open('/usr/bin/true', os.O_RDONLY), ['true'], {})",
        // Programs of the container: by the loader, or the interpreter, of the jail.
        "os.execve(true, ['true'], {})",
        "os.set_inheritable(ldd, True); os.execve(ldd, ['ldd'], {})",
    ] {
        let script = format!(
            "true, ldd = os.open('/usr/bin/true', os.O_RDONLY), os.open('/usr/bin/ldd', os.O_RDONLY)\n\
             os.chroot(jail); os.chdir('/'); {act}"
        );
        let (free, _) = run(folder.path(), &["--mode", "off"], &script);
        assert_eq!(free.status.code(), Some(42), "control: {act}: {free:?}");
        let (confined, violations) = run(folder.path(), &[], &script);
        assert!(matches!(confined.status.code(), Some(1 | 137)), "{act}: {confined:?}");
        let of_program =
            act.contains("/true'").then(|| violations.iter().any(|event| event["kind"] == "program"));
        assert_ne!(of_program, Some(false), "{act}: {violations:?}");
    }
}
