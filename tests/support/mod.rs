//! Throw-away containers for tests: images made of what this machine has, run
//! in three places, spoken to over HTTP, read by their output and events.
//!
//! Nothing outlives the test process: containers go with their value, images,
//! networks and folders when the process ends, and what a killed run left goes with the
//! next one.

mod container;
pub mod events;
pub mod forbidden;
mod http;
mod image;
pub mod kustomize;
mod output;
pub mod skip;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub use container::{Init, Run, Running};
pub use http::{Client, load};
pub use image::{Image, Rootfs};

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `docker run` with all defaults.
    Docker,
    /// What Kubernetes calls restricted: uid 101, no capabilities,
    /// no_new_privs, a read-only root with folders in memory.
    Restricted,
    /// On the bare machine, in a user namespace of an unprivileged range.
    UserNamespace,
}

/// One test for each place, from a function that takes it.
macro_rules! in_each_place {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::support::Place;

            #[test]
            fn docker() {
                super::$name(Place::Docker);
            }

            #[test]
            fn restricted() {
                super::$name(Place::Restricted);
            }

            #[test]
            fn user_namespace() {
                super::$name(Place::UserNamespace);
            }
        }
    )+};
}
pub(crate) use in_each_place;

/// Whether the place and the programs are there; says aloud what is not, and
/// panics where CI has to have it (`REMIT_REQUIRE_DOCKER=1`).
pub fn can_run(place: Place, programs: &[&str]) -> bool {
    static DOCKER: OnceLock<bool> = OnceLock::new();
    let docker = || {
        *DOCKER.get_or_init(|| {
            let answer = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
            answer.is_ok_and(|output| output.status.success())
        })
    };
    // SAFETY: geteuid takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    let missing = if !root {
        Some("root, to look into containers".to_owned())
    } else if place != Place::UserNamespace && !docker() {
        Some("a Docker engine".to_owned())
    } else if place == Place::UserNamespace && !skip::can_unshare() {
        Some(skip::NAMESPACES.to_owned())
    } else {
        programs.iter().find(|program| !Path::new(program).exists()).map(|program| (*program).to_owned())
    };
    let Some(missing) = missing else { return true };
    skip::skip(&missing);
    false
}

/// The shim under test.
pub fn shim() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_remit-init"))
}

/// The developer's tool.
pub fn tool() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_remit"))
}

/// The probe, built by `cargo test` as an example; built here when cargo runs only some tests.
pub fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let profile = shim().parent().expect("the shim lies in a folder");
        let probe = profile.join("examples/probe");
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        let sources = walk(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/probe")));
        if sources.iter().any(|source| changed(source) > changed(&probe)) {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--example", "probe"]).current_dir(env!("CARGO_MANIFEST_DIR"));
            if profile.ends_with("release") {
                build.arg("--release");
            }
            let status = build.status().expect("cargo runs");
            assert!(status.success(), "cargo build --example probe failed");
        }
        probe
    })
}

/// A folder of this test process, removed when it ends.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        sweep();
        let folder = std::env::temp_dir().join(format!("{NAME}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        // SAFETY: `clean` takes nothing and does not unwind.
        unsafe { libc::atexit(clean) };
        folder
    })
}

/// What an app that ends when it is stopped takes at the most, on a busy machine too: it
/// waits for no grace, which is 8 s where none is named.
pub const BEFORE_THE_GRACE: std::time::Duration = std::time::Duration::from_secs(7);

/// What every container, image and folder of these tests is called first.
const NAME: &str = "remit-test";

/// A name that no other test and no other test process has.
pub fn unique(what: &str) -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{NAME}-{}-{count}-{what}", std::process::id())
}

extern "C" fn clean() {
    remove(&|pid| pid == std::process::id());
}

/// Removes what runs left that are no more.
fn sweep() {
    remove(&|pid| !Path::new(&format!("/proc/{pid}")).exists());
}

/// Removes containers, images, networks and folders whose test process is one of those.
/// All of it is a best effort: without Docker there is nothing to remove.
fn remove(whose: &dyn Fn(u32) -> bool) {
    let owner = |name: &str| -> Option<u32> {
        name.strip_prefix(NAME)?.strip_prefix('-')?.split('-').next()?.parse().ok()
    };
    let docker = |arguments: &[&str]| -> Vec<String> {
        let output = Command::new("docker").args(arguments).stderr(std::process::Stdio::null()).output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let filter = format!("name=^{NAME}-");
    for container in docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]) {
        if owner(&container).is_some_and(whose) {
            docker(&["rm", "--force", &container]);
        }
    }
    for image in
        docker(&["images", "--filter", &format!("reference={NAME}-*"), "--format", "{{.Repository}}"])
    {
        if owner(&image).is_some_and(whose) {
            docker(&["rmi", "--force", &image]);
        }
    }
    // Those that docker-compose makes.
    for network in docker(&["network", "ls", "--filter", &format!("name={NAME}-"), "--format", "{{.Name}}"]) {
        if owner(&network).is_some_and(whose) {
            docker(&["network", "rm", &network]);
        }
    }
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        if entry.file_name().to_str().and_then(owner).is_some_and(whose) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
