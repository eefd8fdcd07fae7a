//! Fresh containers, made by unshare(1) on one folder of files: each has its own changes of it, process
//! numbers, host name and network.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::skip::{NAMESPACES, can_unshare, skip};
use crate::support::{folder, shim, tool, unique};

/// Programs with their libraries, and folders of what they load.
const PROGRAMS: &[&str] = &[
    "busybox",
    "awk",
    "base64",
    "basename",
    "bash",
    "cat",
    "chmod",
    "chown",
    "cksum",
    "cmp",
    "comm",
    "cp",
    "curl",
    "cut",
    "date",
    "dd",
    "df",
    "diff",
    "dirname",
    "du",
    "env",
    "expr",
    "find",
    "flock",
    "fold",
    "getent",
    "git",
    "grep",
    "gzip",
    "head",
    "hostname",
    "id",
    "install",
    "join",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mktemp",
    "mv",
    "nice",
    "nl",
    "nohup",
    "nproc",
    "od",
    "paste",
    "perl",
    "php",
    "printf",
    "ps",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "script",
    "sed",
    "seq",
    "setpriv",
    "setsid",
    "sh",
    "sha256sum",
    "shuf",
    "sleep",
    "sort",
    "split",
    "sqlite3",
    "stat",
    "stdbuf",
    "sync",
    "tac",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "truncate",
    "uname",
    "uniq",
    "wc",
    "xargs",
    "xz",
    "yes",
    "gosu",
    "redis-server",
    "redis-cli",
    "nginx",
    "php-fpm8.2",
    "gunicorn",
];
const FOLDERS: &[&str] =
    &["/usr/share/perl/5.36.0", "/usr/lib/x86_64-linux-gnu/perl-base", "/usr/share/git-core"];
const PYTHON: &str = "/usr/bin/python3";

/// Whether containers can be made here; says what is missing.
pub fn can_run() -> bool {
    if !nix::unistd::geteuid().is_root() {
        skip("root, for overlays and other users");
        return false;
    }
    if !can_unshare() {
        skip(NAMESPACES);
        return false;
    }
    crate::support::skip::has(PYTHON)
}

/// The image, made once; and which programs it has.
pub fn image() -> &'static (PathBuf, BTreeSet<&'static str>) {
    static IMAGE: OnceLock<(PathBuf, BTreeSet<&'static str>)> = OnceLock::new();
    IMAGE.get_or_init(make)
}

fn make() -> (PathBuf, BTreeSet<&'static str>) {
    let root = folder().join(unique("image"));
    for below in [
        "data",
        "dev",
        "etc",
        "home",
        "mnt",
        "proc",
        "run",
        "srv",
        "sys",
        "tmp",
        "usr/bin",
        "usr/sbin",
        "var/lib/remit",
        "var/log",
    ] {
        std::fs::create_dir_all(root.join(below)).expect("a temporary folder");
    }
    for (link, to) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        std::os::unix::fs::symlink(to, root.join(link)).expect("a temporary folder");
    }
    for (file, text) in [
        ("etc/passwd", "root:x:0:0:root:/:/bin/sh\nwww-data:x:33:33::/data:/bin/sh\n"),
        ("etc/group", "root:x:0:\nwww-data:x:33:\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        ("etc/app.conf", "an app's\n"),
        ("srv/lines", "pear\napple\nfig\napple\n"),
        ("srv/matrix.py", include_str!("matrix.py")),
        ("srv/numbers.py", include_str!("numbers.py")),
        ("generations.py", include_str!("generations.py")),
    ] {
        std::fs::write(root.join(file), text).expect("a temporary file");
    }
    std::fs::create_dir(root.join("srv/www")).expect("a temporary folder");
    std::fs::write(root.join("srv/www/index.html"), "a page\n").expect("a temporary file");
    for (name, text) in super::commands::SCRIPTS {
        let path = root.join("srv").join(name);
        std::fs::write(&path, text).expect("a temporary file");
        mode(&path, 0o755);
    }
    for open in ["data", "tmp"] {
        mode(&root.join(open), 0o1777);
    }
    let mut wanted: Vec<PathBuf> = vec![PYTHON.into()];
    let mut found = BTreeSet::new();
    for program in PROGRAMS {
        let places = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(|place| Path::new(place).join(program));
        if let Some(path) = places.into_iter().find(|path| path.exists()) {
            wanted.push(path);
            found.insert(*program);
        }
    }
    let listed = wanted.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n");
    let script = r#"set -e; cd /
        python=$(dirname $(readlink -f /usr/lib/python3.1?/os.py))
        cp -a --parents $python "$1"; rm -rf "$1$python/test" "$1$python"/*/tests "$1$python/idlelib" "$1$python/config-"*
        for p in gunicorn packaging pkg_resources; do [ ! -d /usr/lib/python3/dist-packages/$p ] || cp -a --parents /usr/lib/python3/dist-packages/$p "$1"; done
        for f in $FOLDERS; do [ ! -d $f ] || cp -a --parents $f "$1"; done
        programs=$(cat)
        libraries=$(for f in $programs $python/lib-dynload/*.so; do ldd $f 2>/dev/null || true; done | grep -o '/[^ ]*' | sort -u)
        cp -L --parents $programs "$1"
        for f in $libraries /lib/x86_64-linux-gnu/libgcc_s.so.1 /lib/x86_64-linux-gnu/libnss_files.so.2 /usr/libexec/coreutils/libstdbuf.so; do
            case $f in /lib/*|/lib64/*) t=/usr$f;; *) t=$f;; esac
            [ ! -e $f ] || { mkdir -p "$1$(dirname $t)"; [ -e "$1$t" ] || cp -L $f "$1$t"; }
        done"#;
    let mut copy = Command::new("sh");
    copy.args(["-c", script, "sh"]).arg(&root).env("FOLDERS", FOLDERS.join(" "));
    let mut child = copy.stdin(Stdio::piped()).spawn().expect("sh runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), listed.as_bytes()).expect("sh reads");
    assert!(child.wait().expect("sh runs").success(), "the image could not be made");
    std::fs::copy(shim(), root.join("remit-init")).expect("the shim");
    (root, found)
}

fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a temporary file");
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The violations among its events, which may begin after what the app wrote of a line.
    pub fn violations(&self) -> Vec<Value> {
        let events = self.stderr.match_indices("{\"remit\":1").filter_map(|(at, _)| {
            serde_json::Deserializer::from_str(&self.stderr[at..]).into_iter::<Value>().next()?.ok()
        });
        events.filter(|event| event["event"] == "violation").collect()
    }
}

/// Runs the shim, by these options, in a fresh container whose processes have numbers from `first` on.
/// `lower` is put over the image, and `journals` is the folder for journals.
fn run(
    lower: Option<&Path>,
    journals: &Path,
    host: &str,
    first: u32,
    options: &[&str],
    command: &[&str],
) -> Ended {
    const SCRIPT: &str = r#"set -e; lower=$1 journals=$2 host=$3 first=$4; shift 4
        hostname $host; ip link set lo up
        mount -t tmpfs t /mnt; mkdir /mnt/u /mnt/w /mnt/r
        mount -t overlay -o lowerdir=$lower,upperdir=/mnt/u,workdir=/mnt/w o /mnt/r
        mount -t tmpfs -o mode=755 d /mnt/r/dev
        for n in null zero full random urandom tty; do touch /mnt/r/dev/$n; mount --bind /dev/$n /mnt/r/dev/$n; done
        ln -s /proc/self/fd /mnt/r/dev/fd; mkdir -m 1777 /mnt/r/dev/shm
        mount --bind $journals /mnt/r/var/lib/remit; mount -t proc p /mnt/r/proc; mount -t sysfs -o ro s /mnt/r/sys
        echo $first > /proc/sys/kernel/ns_last_pid
        exec chroot /mnt/r /remit-init "$@""#;
    let image = &image().0;
    let lower = match lower {
        Some(lower) => format!("{}:{}", lower.display(), image.display()),
        None => image.display().to_string(),
    };
    let mut unshare = Command::new("timeout");
    unshare.args([
        "-k",
        "1",
        "60",
        "unshare",
        "-mpfuin",
        "--kill-child",
        "--propagation",
        "private",
        "sh",
        "-c",
        SCRIPT,
        "sh",
    ]);
    unshare.arg(lower).arg(journals).args([host, &first.to_string()]).args(options).arg("--").args(command);
    unshare.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").stdin(Stdio::null());
    let output = unshare.output().expect("unshare runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A profile that was learned, with the report, its journal, and the run that it is of.
pub struct Learned {
    pub profile: Value,
    pub report: String,
    pub journal: String,
    pub run: Ended,
}

/// Learns one run of a command.
pub fn learn(command: &[&str], options: &[&str]) -> Learned {
    /// A machine that is busy with much else loses lines, and says so: such a run shows nothing.
    const TRIES: usize = 5;
    let tries = (1..TRIES).find_map(|_| learn_once(command, options));
    tries.or_else(|| learn_once(command, options)).expect("a run whose journal is whole")
}

fn learn_once(command: &[&str], options: &[&str]) -> Option<Learned> {
    // In memory: what a busy disk does not take in time is not in the journal.
    let memory = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let journals = memory.path().join("journals");
    std::fs::create_dir(&journals).expect("a temporary folder");
    let run = run(None, &journals, "learner-7", 100, &[&["--mode", "learn"], options].concat(), command);
    if run.stderr.contains("could not be written in time") {
        return None;
    }
    let path = journals.with_extension("json");
    let mut build = Command::new(tool());
    let built = build
        .args(["build", "--accept-unclean"])
        .arg(&journals)
        .arg("-o")
        .arg(&path)
        .output()
        .expect("it runs");
    assert!(built.status.success(), "{command:?} {run:?} {}", String::from_utf8_lossy(&built.stderr));
    let profile = serde_json::from_str(&std::fs::read_to_string(path).expect("the profile")).expect("JSON");
    let journal = std::fs::read_dir(&journals).expect("a folder").flatten().next().expect("a journal").path();
    let journal = std::fs::read_to_string(journal).expect("a journal");
    let report = String::from_utf8_lossy(&built.stdout).into_owned();
    Some(Learned { profile, report, journal, run })
}

/// Runs a command under a profile, in another container.
pub fn under(profile: &Value, mode: &str, command: &[&str]) -> Ended {
    let lower = folder().join(unique("profile"));
    let etc = lower.join("etc/remit");
    std::fs::create_dir_all(&etc).expect("a temporary folder");
    std::fs::write(etc.join("profile.json"), profile.to_string()).expect("a temporary file");
    let journals = folder().join(unique("none"));
    std::fs::create_dir(&journals).expect("a temporary folder");
    run(Some(&lower), &journals, "enforcer-8", 4000, &["--mode", mode, "--events", "stderr"], command)
}

/// What differs between a learned run and the same in another container; empty where nothing does.
pub fn differs(learned: &Learned, again: &Ended) -> String {
    let first = &learned.run;
    let same = (first.code, &first.stdout) == (again.code, &again.stdout) && again.violations().is_empty();
    if same {
        return String::new();
    }
    let objects: Vec<String> = again.violations().iter().map(|one| one["object"].to_string()).collect();
    format!(
        "learned {:?}, enforced {:?}\n{}---\n{}---\n{}\n---\n{}\n{}",
        first.code,
        again.code,
        first.stdout,
        again.stdout,
        first.stderr,
        again.stderr.lines().filter(|line| !line.starts_with("{\"remit\":1")).collect::<String>(),
        objects.join("\n")
    )
}
