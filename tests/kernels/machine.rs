//! A machine without hardware: one kernel under qemu's software emulation, with an
//! initramfs made of a few files, whose first process is the probe
//! (tests/probe/guest.rs). It runs the cases, says what came of each on its console,
//! and ends.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use remit::kernel::{Arch, Release};
use serde_json::{Value, json};

use crate::support::{folder, unique};

/// A boot takes some 4 s, and a case less than 5 s; on a busy machine several times that.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the guest writes before a result.
const RESULT: &str = "remit-test result ";

/// Where a file of the kernel's format says what it is (`S_IFMT`).
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// A machine to be booted.
pub struct Machine {
    /// Its processor.
    pub arch: Arch,
    kernel: PathBuf,
    processors: u32,
    /// More words for the kernel.
    words: String,
    /// By its path: the mode, and the content.
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

/// What a machine is asked to do.
pub struct Case {
    /// Its name in the answers.
    pub name: String,
    /// What is run as the first process of a pid namespace.
    pub command: Vec<String>,
    /// What is asked of it over HTTP; none where it is no server.
    pub requests: Vec<String>,
    /// Whether /srv is made what it was at first before each of them.
    pub put_back: bool,
}

/// What came of a case.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; -1 for a signal.
    pub code: i64,
    /// The lines of stdout.
    pub out: Vec<String>,
    /// The lines of stderr.
    pub err: Vec<String>,
    /// The answers, one to a request.
    pub answers: Vec<String>,
}

/// What a machine said.
pub struct Said {
    /// Its processor.
    pub arch: Arch,
    ran: BTreeMap<String, Ran>,
    /// The exit code of the machine's own first process, as the kernel printed it.
    pub last: Option<i32>,
}

impl Said {
    /// What came of this case.
    #[track_caller]
    pub fn ran(&self, name: &str) -> &Ran {
        self.ran.get(name).unwrap_or_else(|| panic!("the machine ran no case `{name}`"))
    }
}

impl Machine {
    /// A machine with this kernel and this probe, which are of `arch`, and the folders
    /// that every container has.
    pub fn new(arch: Arch, kernel: &Path, probe: &Path) -> Machine {
        let mut machine = Machine {
            arch,
            kernel: kernel.to_owned(),
            processors: 1,
            words: String::new(),
            files: BTreeMap::new(),
        };
        for folder in ["/dev", "/proc", "/sys", "/tmp"] {
            machine.put(folder, DIRECTORY | 0o755, Vec::new());
        }
        machine.copy(probe, "/init");
        machine
    }

    /// The emulator for an architecture.
    pub fn emulator(arch: Arch) -> &'static str {
        match arch {
            Arch::X86_64 => "qemu-system-x86_64",
            Arch::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// Boots with these words too (Documentation/admin-guide/kernel-parameters.txt).
    pub fn with(mut self, words: &str) -> Machine {
        self.words = words.to_owned();
        self
    }

    /// Boots with so many processors.
    pub fn processors(mut self, count: u32) -> Machine {
        self.processors = count;
        self
    }

    /// A file that may be read and executed.
    pub fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) -> &mut Machine {
        self.put(path, REGULAR | 0o755, content.into());
        self
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Machine {
        self.put(path, LINK | 0o777, target.as_bytes().to_vec());
        self
    }

    /// A file of this machine.
    pub fn copy(&mut self, from: impl AsRef<Path>, path: &str) -> &mut Machine {
        let from = from.as_ref();
        let content = std::fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.file(path, content)
    }

    /// A program of this machine, without its debug information: half of the memory is the
    /// root's. One for another architecture is a release, which has none.
    pub fn program(&mut self, from: &Path, path: &str) -> &mut Machine {
        if self.arch != Arch::THIS {
            return self.copy(from, path);
        }
        let stripped = folder().join(unique("program"));
        let status = Command::new("strip").arg("--strip-debug").arg("-o").arg(&stripped).arg(from).status();
        assert!(status.expect("strip, of binutils").success(), "strip {}", from.display());
        self.copy(&stripped, path);
        std::fs::remove_file(&stripped).expect("a file of ours");
        self
    }

    /// A file, and the folders above it.
    fn put(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        for folder in Path::new(path).ancestors().skip(1).filter(|folder| *folder != Path::new("/")) {
            let folder = folder.to_str().expect("tests name files in UTF-8").to_owned();
            self.files.entry(folder).or_insert((DIRECTORY | 0o755, Vec::new()));
        }
        self.files.insert(path.to_owned(), (mode, content));
    }

    /// Its files in a folder of this machine, for a look at them without booting.
    pub fn unpack(&self, folder: &Path) {
        for (path, (mode, content)) in &self.files {
            let path = folder.join(path.trim_start_matches('/'));
            if mode & DIRECTORY != 0 {
                std::fs::create_dir_all(&path).expect("a temporary folder");
            } else {
                std::fs::write(&path, content).expect("a temporary file");
                let mode = Permissions::from_mode(mode & 0o777);
                std::fs::set_permissions(&path, mode).expect("a file of ours");
            }
        }
    }

    /// Boots it, runs the cases, and then `last` as the machine's own first process,
    /// whose end the kernel takes for its own.
    #[track_caller]
    pub fn boot(mut self, cases: &[Case], last: &[String]) -> Said {
        let line = |case: &Case| json!({ "case": case.name, "command": case.command, "requests": case.requests, "put_back": case.put_back });
        let cases: Vec<String> = cases.iter().map(|case| line(case).to_string()).collect();
        self.file("/cases", cases.join("\n"));
        self.file("/last", json!(last).to_string());
        let initramfs = folder().join(unique("initramfs"));
        std::fs::write(&initramfs, archive(&self.files)).expect("a temporary file");
        let console = self.run(&initramfs);
        std::fs::remove_file(&initramfs).expect("a file of ours");
        let ran: BTreeMap<String, Ran> = console.lines().filter_map(result).collect();
        assert_eq!(ran.len(), cases.len(), "the machine did not run every case:\n{console}");
        let last = console.lines().find_map(|line| line.split_once("Attempted to kill init! exitcode=0x"));
        let last = last.and_then(|(_, code)| i32::from_str_radix(code.get(..8)?, 16).ok());
        // As wait(2) has it.
        Said { arch: self.arch, ran, last: last.map(|status| status >> 8) }
    }

    /// Everything that the machine writes on its console until it ends.
    fn run(&self, initramfs: &Path) -> String {
        let mut qemu = Command::new(Machine::emulator(self.arch));
        let console = match self.arch {
            Arch::X86_64 => {
                qemu.args(["-cpu", "max"]);
                "ttyS0"
            }
            Arch::Aarch64 => {
                qemu.args(["-machine", "virt", "-cpu", "cortex-a57"]);
                "ttyAMA0"
            }
        };
        // Of the kernel's own words only the last are of use; a panic ends the machine.
        let words = format!("console={console} quiet loglevel=1 panic=-1 {}", self.words);
        qemu.args(["-accel", "tcg", "-m", "768", "-nodefaults", "-display", "none", "-no-reboot"]);
        qemu.args(["-smp", &self.processors.to_string()]);
        qemu.args(["-serial", "stdio", "-append", &words]).arg("-kernel").arg(&self.kernel);
        let mut child = qemu
            .arg("-initrd")
            .arg(initramfs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{qemu:?}: {error}"));
        let (mut out, mut err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        let said = std::thread::spawn(move || {
            let mut said = Vec::new();
            out.read_to_end(&mut said).expect("qemu's stdout");
            err.read_to_end(&mut said).expect("qemu's stderr");
            String::from_utf8_lossy(&said).into_owned()
        });
        let ended = ends(&mut child);
        let said = said.join().expect("it reads to the end");
        assert!(ended, "the machine did not end in {PATIENCE:?}:\n{said}");
        said
    }
}

/// The kernel of a suite and its release; none, said aloud, where it is not asked
/// for, or where programs of another architecture are not built.
pub fn kernel(arch: Arch, suite: &str, is_built: bool) -> Option<(PathBuf, Release)> {
    let not_run = |why: &str| {
        // Past what cargo keeps of a test that passes.
        let _ = writeln!(std::io::stderr(), "NOT RUN: {suite}'s kernel for {arch} is not booted: {why}");
        None
    };
    if std::env::var_os("REMIT_KERNELS").is_none_or(|value| value != "1") {
        return not_run("REMIT_KERNELS=1 does, once .ci/kernels has fetched it");
    }
    let debian = match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    };
    let folder = target().join("kernels").join(debian).join(suite);
    if arch != Arch::THIS && !(folder.exists() && is_built) {
        return not_run("it takes `.ci/kernels arm64` and `.ci/aarch64`");
    }
    let emulator = Machine::emulator(arch);
    let found = Command::new(emulator).arg("--version").output();
    assert!(
        found.is_ok_and(|said| said.status.success()),
        "REMIT_KERNELS is set, and there is no {emulator}"
    );
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let found = entries.map(|entry| entry.path()).find_map(|path| {
        let release = path.file_name()?.to_str()?.strip_prefix("vmlinuz-")?.parse().ok()?;
        Some((path, release))
    });
    assert!(found.is_some(), "REMIT_KERNELS is set, and {} has no kernel; run .ci/kernels", folder.display());
    found
}

/// The folder that cargo builds in: that of TARGET/TRIPLE/tmp.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors().nth(2).expect("it lies that deep")
}

/// Waits for its end, and makes one when it takes too long.
fn ends(child: &mut Child) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if child.try_wait().expect("a child of ours").is_some() {
            return true;
        }
        if Instant::now() > deadline {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A case's name and what came of it, from a line of the console.
fn result(line: &str) -> Option<(String, Ran)> {
    let value: Value = serde_json::from_str(line.split_once(RESULT)?.1.trim_end()).ok()?;
    let lines = |key: &str| -> Vec<String> {
        let list = value[key].as_array().into_iter().flatten();
        list.filter_map(|line| line.as_str().map(str::to_owned)).collect()
    };
    let ran = Ran {
        code: value["code"].as_i64().unwrap_or(-1),
        out: lines("out"),
        err: lines("err"),
        answers: lines("answers"),
    };
    Some((value["case"].as_str()?.to_owned(), ran))
}

/// An initramfs: a cpio archive of the "newc" kind
/// (Documentation/driver-api/early-userspace/buffer-format.rst).
fn archive(files: &BTreeMap<String, (u32, Vec<u8>)>) -> Vec<u8> {
    let mut archive = Vec::new();
    // A folder sorts before what is in it.
    for (inode, (path, (mode, content))) in files.iter().enumerate() {
        entry(&mut archive, inode + 1, path.trim_start_matches('/'), *mode, content);
    }
    entry(&mut archive, 0, "TRAILER!!!", 0, &[]);
    archive
}

fn entry(archive: &mut Vec<u8>, inode: usize, name: &str, mode: u32, content: &[u8]) {
    let size = name.len() + 1;
    // Inode, mode, uid, gid, links, mtime, size, four device numbers, name's size, check.
    let fields = [inode, mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, size, 0];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name.bytes());
    archive.push(0);
    pad(archive);
    archive.extend(content);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}
