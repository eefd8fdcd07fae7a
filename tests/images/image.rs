//! The image that all servers share: `.ci/servers`' root, the files of `root`, apps that
//! are compiled here, and the shim.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::{Image, Place, can_run, folder, shim, unique};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Whether the servers are to run, and the engine, the root and the compilers are there; else the
/// test is skipped.
pub fn can_run_servers() -> bool {
    if std::env::var_os("REMIT_IMAGES").is_none_or(|value| value != "1") {
        let thread = std::thread::current();
        let server = thread.name().unwrap_or("a server");
        // Past what cargo keeps of a test that passes.
        let _ = writeln!(std::io::stderr(), "NOT RUN: {server} does not run: REMIT_IMAGES=1 does it");
        return false;
    }
    let root = root();
    let root = root.to_str().expect("the path of the build is UTF-8");
    can_run(Place::Docker, &[root, "/usr/bin/javac", "/usr/bin/go"])
}

fn root() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(REPOSITORY).join("target"), PathBuf::from);
    target.join("servers/root.tar")
}

/// Docker's name of the image; the first call makes it.
pub fn name() -> &'static str {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| Image::built("servers", &context())).docker()
}

/// What `docker build` is given.
fn context() -> PathBuf {
    let context = folder().join("servers");
    fs::create_dir(&context).expect("a temporary folder");
    let root = Path::new(REPOSITORY).join("tests/images/root");
    finish(Command::new("cp").arg("-a").arg(root).arg(context.join("root")));
    let app = context.join("root/app");
    let sources = Path::new(REPOSITORY).join("tests/scenarios/servers");
    for name in ["server.js", "server.py"] {
        fs::copy(sources.join(name), app.join(name)).expect("a source");
    }
    let javac = ["Server.java", "Alone.java"].into_iter().zip([&sources, &app]);
    finish(Command::new("javac").arg("-d").arg(&app).args(javac.map(|(name, folder)| folder.join(name))));
    for (name, folder) in [("server", &sources), ("alone", &app)] {
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(app.join(name)).arg(folder.join(name).with_extension("go"));
        finish(go.env("CGO_ENABLED", "0").env("GO111MODULE", "off").env("GOCACHE", context.join("go-cache")));
    }
    fs::remove_dir_all(context.join("go-cache")).expect("the cache of go");
    fs::copy(shim(), context.join("root/remit-init")).expect("the shim");
    let base = import();
    let dockerfile = format!("FROM {base}\nCOPY root /\nRUN /client/make.sh\nENTRYPOINT [\"/remit-init\"]\n");
    fs::write(context.join("Dockerfile"), dockerfile).expect("a temporary file");
    context
}

/// Debian's root as an image.
fn import() -> String {
    let name = unique("servers-root");
    let tar = File::open(root()).expect("the root is there");
    finish(Command::new("docker").args(["import", "-", &name]).stdin(Stdio::from(tar)));
    name
}

fn finish(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
