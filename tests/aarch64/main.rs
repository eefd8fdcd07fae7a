//! aarch64, in an emulated machine: the launch tests, cross-built, run there against
//! the released shim; and what `remit plan` says of a kernel is what the shim says on
//! it. `.ci/aarch64` prepares the machine; without it this is skipped aloud.
//!
//! What the machine cannot run is said too: it has no Docker engine, so that the
//! places of the scenarios are user namespaces, and none of the servers.

#[path = "../support/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const EMULATOR: &str = "/usr/bin/qemu-system-aarch64";
const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// The suites of the prepared kernels, and the releases that they hold.
const KERNELS: [(&str, &str); 2] = [("bookworm", "6.1"), ("trixie", "6.12")];

/// Longer than the slowest boot takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2000);

/// Each in one boot of the newest kernel; a name, and libtest's arguments.
const LAUNCH: [&str; 5] = [
    // Terminals, drains and what is many of something wait for more than this machine's
    // time; they are the same there.
    "init:exit_code:signals::every:signals::g:reaping:inherited:rewriting:--skip=extremes",
    "modes",
    "supervisor",
    // The whole list of faults takes minutes here, and has no other numbers than x86_64's.
    "faults:without:missing",
    // A 32-bit program is killed by the post-exec verification here, before its first call.
    "scenarios:forbidden:lifecycle:whole:--skip=docker:--skip=restricted:--skip=hints:--skip=nginx:--skip=redis:--skip=the_example_in_scratch:--skip=a_32_bit",
];

#[test]
fn the_launch_tests_pass() {
    let Some(machine) = Machine::prepared() else { return };
    let said = machine.boot("trixie", &LAUNCH.join(","));
    println!("not run here: what needs a Docker engine, nginx and other servers; each fault of the launch");
    for each in LAUNCH {
        let (before, rest) =
            said.split_once(&format!("ended {each} ")).unwrap_or_else(|| panic!("{each}: {said}"));
        let result = before.lines().rev().find(|line| line.starts_with("test result: "));
        let result = result.unwrap_or_else(|| panic!("{each} has no result: {before}"));
        println!("aarch64 {each}: {result}");
        assert!(rest.starts_with("0\n") && !result.contains(" 0 passed"), "{each}: {before}");
    }
    assert!(!said.contains("SKIPPED"), "{said}");
}

/// On each kernel: it starts or is refused as planned, and each layer is as planned.
#[test]
fn what_is_planned_is_what_the_kernel_gives() {
    let Some(machine) = Machine::prepared() else { return };
    for (suite, release) in KERNELS {
        let said = machine.boot(suite, "start");
        let of = |what: &str, profile: &str| {
            let start = format!("{what} {profile} ");
            let line = said.lines().find_map(|line| line.strip_prefix(&start));
            line.unwrap_or_else(|| panic!("{release}: no `{start}` in {said}")).to_owned()
        };
        for profile in ["machine", "degrade"] {
            let (starts, plan) = plan(profile, release);
            assert_eq!(of("code", profile), if starts { "0" } else { "125" }, "{release} {profile}: {said}");
            if !starts {
                refused_for(&plan, &of("said", profile));
                continue;
            }
            let event: Value = serde_json::from_str(&of("event", profile)).expect("a start event");
            assert_eq!(event["arch"], "aarch64");
            let kernel = event["kernel"].as_str().expect("a release");
            assert!(kernel.starts_with(&format!("{release}.")), "{suite} has {kernel}, not {release}");
            enforces(&plan, &event["layers"]);
        }
    }
}

/// Whether it would start, and the plan.
fn plan(profile: &str, release: &str) -> (bool, Value) {
    let file = format!("{REPOSITORY}/tests/aarch64/{profile}.json");
    let mut remit = Command::new(env!("CARGO_BIN_EXE_remit"));
    remit.args(["plan", &file, "--kernel", release, "--arch", "aarch64", "--format", "json"]);
    let said = remit.args(["--", "/bin/busybox"]).output().expect("the tool runs");
    let plan = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&said.stderr)));
    (said.status.success(), plan)
}

/// The refusal names all that is notified for and lacking, and nothing else.
fn refused_for(plan: &Value, said: &str) {
    let lacking = plan["lacking"].as_array().expect("a list");
    assert!(lacking.iter().any(|lack| lack["required"] == true), "{plan}");
    for lack in lacking {
        let named = said.contains(lack["cost"].as_str().expect("a text"));
        assert_eq!(named, lack["required"] == true, "{lack}: {said}");
    }
}

/// What is lacking is degraded or unavailable and says why; all else is active.
fn enforces(plan: &Value, layers: &Value) {
    let lacking = plan["lacking"].as_array().expect("a list");
    for layer in layers.as_array().expect("a list") {
        let detail = layer["detail"].as_str().unwrap_or_default();
        let mut lacks = lacking.iter().filter(|lack| lack["layer"] == layer["layer"]).peekable();
        assert_eq!(layer["state"] == "active", lacks.peek().is_none(), "{layer}: {lacking:?}");
        for lack in lacks {
            assert!(detail.contains(lack["cost"].as_str().expect("a text")), "{layer}: {lack}");
        }
        let count = |list: &str| plan["seccomp"][list].as_array().expect("a list").len();
        let (all, by_argument, notified) = (count("allowed"), count("conditional"), count("notified"));
        let planned = match layer["layer"].as_str() {
            Some("seccomp") => {
                format!(
                    "{} calls, {by_argument} by argument, {notified} notified",
                    all - by_argument - notified
                )
            }
            Some("landlock-files") => format!("ABI {}", plan["landlock"]["abi"]),
            _ => continue,
        };
        assert!(detail.starts_with(&planned), "{layer}: planned {planned}");
    }
}

/// The emulated machine.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// With what has changed since it was prepared.
    fn prepared() -> Option<Machine> {
        // Two tests at once would write the same files.
        static ONCE: std::sync::Once = std::sync::Once::new();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(REPOSITORY).join("target"), PathBuf::from);
        let folder = target.join("aarch64");
        let initrd = folder.join("initrd");
        let lacking = [Path::new(EMULATOR), &initrd].into_iter().find(|path| !path.exists());
        if let Some(lacking) = lacking {
            let why = format!("{}, which qemu-system-arm or .ci/aarch64 brings", lacking.display());
            skip::skip(&why);
            return None;
        }
        ONCE.call_once(|| {
            let made = Command::new(".ci/aarch64").current_dir(REPOSITORY).stdout(Stdio::null()).status();
            assert!(made.is_ok_and(|status| status.success()), ".ci/aarch64 failed");
        });
        Some(Machine { folder })
    }

    /// The kernel that `.ci/kernels` fetched.
    fn kernel(&self, suite: &str) -> PathBuf {
        let folder = self.folder.join("../kernels/arm64").join(suite);
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let kernel = entries.flatten().map(|entry| entry.path()).next();
        kernel.unwrap_or_else(|| panic!("{} has no kernel", folder.display()))
    }

    /// What it says from its first process on, until it powers off.
    fn boot(&self, suite: &str, run: &str) -> String {
        let patience = format!("{}", PATIENCE.as_secs());
        let mut emulator = Command::new("timeout");
        emulator.args(["--kill-after=5", &patience, EMULATOR]);
        emulator.args([
            "-M",
            "virt",
            "-cpu",
            "cortex-a57",
            "-smp",
            "2",
            "-m",
            "1024",
            "-nographic",
            // Its ROM is of a package that qemu only recommends.
            "-nic",
            "none",
            "-no-reboot",
        ]);
        emulator.arg("-kernel").arg(self.kernel(suite));
        emulator.arg("-initrd").arg(self.folder.join("initrd"));
        emulator.arg("-append").arg(format!("console=ttyAMA0 quiet loglevel=3 panic=-1 RUN={run}"));
        let output = emulator.stdin(Stdio::null()).output().expect("timeout runs");
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}\n{said}", output.status);
        let start = said.find("booted ").unwrap_or_else(|| panic!("{suite} did not boot: {errors}\n{said}"));
        said[start..].to_owned()
    }
}
