//! Where the attacks are made: an image of what an app lives in, and a folder that
//! belongs to the attacker's user, so that it is never the file system that refuses.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::elf;
use crate::support::{Image, Init, Place, Rootfs, Run, Running, folder, probe, shim, unique};

/// All the tools of a small system in one static program.
pub const BUSYBOX: &str = "/bin/busybox";
/// What has to be on the machine.
pub const NEEDS: &[&str] = &[BUSYBOX, "/bin/sh", "/usr/bin/cc"];

/// The ELF loader, whose name is fixed for an architecture.
pub const LOADER: &str =
    if cfg!(target_arch = "aarch64") { "/lib/ld-linux-aarch64.so.1" } else { "/lib64/ld-linux-x86-64.so.2" };

/// A server with everything that an app may have beside it: programs that it runs, a
/// dynamic one with a library of its own, a multi-call one, a script. `/srv` is in the
/// image, `/app` is the attacker's in the file system, and `/app/loot` in the profile too.
/// `/other` is `/app` once more, by another mount.
pub fn profile() -> Value {
    json!({
        "remit": 1,
        "name": "attacked",
        "programs": [
            {
                "path": "/probe",
                "entry": true,
                "may_run": ["/probe", "/srv/good", "/srv/victim", "/app/good", "/app/waits",
                    "/app/replaced", "/app/job.sh"]
            },
            { "path": "/srv/good" },
            { "path": "/srv/victim" },
            { "path": "/srv/edge" },
            { "path": "/app/good" },
            { "path": "/app/waits" },
            { "path": "/app/replaced" },
            { "path": "/app/job.sh", "interpreter": "/bin/sh" }
        ],
        "files": [
            "@runtime",
            { "path": "/srv", "allow": ["read"] },
            { "path": "/app", "allow": ["read"] },
            { "path": "/app/loot", "allow": ["read", "write", "create", "remove"] }
        ],
        "network": { "listen": ["tcp/8080"] },
        "syscalls": { "allow": ["memfd_create"] }
    })
}

/// The server under a profile, with a folder of its own, once it serves.
pub fn serve(place: Place, options: &[&str], profile: &Value) -> (Running, Site) {
    let (running, site) = start(place, options, profile);
    running.line("listening 8080");
    (running, site)
}

/// The same, which may not start.
pub fn start(place: Place, options: &[&str], profile: &Value) -> (Running, Site) {
    start_with(place, &[], options, profile)
}

/// The server with more flags for the engine, once it serves.
pub fn serve_with(place: Place, flags: &[&str], options: &[&str], profile: &Value) -> (Running, Site) {
    let (running, site) = start_with(place, flags, options, profile);
    running.line("listening 8080");
    (running, site)
}

/// The same, which may not start.
pub fn start_with(place: Place, flags: &[&str], options: &[&str], profile: &Value) -> (Running, Site) {
    let site = Site::new();
    (run(&site, place, flags, options, profile), site)
}

/// The server on a folder that is there, as an earlier container left it.
pub fn start_on(site: &Site, place: Place, options: &[&str], profile: &Value) -> Running {
    run(site, place, &[], options, profile)
}

fn run(site: &Site, place: Place, flags: &[&str], options: &[&str], profile: &Value) -> Running {
    Run::new(image(), place, Init::remit(options), &["/probe", "serve", "8080"])
        .flags(flags)
        .file("/etc/remit/profile.json", profile.to_string())
        .folder(&site.0, "/app")
        .folder(&site.0, "/other")
        .start()
}

/// The attacker's folder.
pub struct Site(pub PathBuf);

impl Site {
    /// As it is at first.
    pub fn new() -> Site {
        let site = Site(folder().join(unique("app")));
        std::fs::create_dir_all(site.0.join("loot")).expect("a temporary folder");
        site.put_back();
        site
    }

    /// Makes it what it was at first, where an attack went through. What is as it was
    /// stays the same file: a program is an inode.
    pub fn put_back(&self) {
        let victim = victim();
        let read = |name: &str| std::fs::read(victim.join(name)).expect("it was compiled");
        for (name, content) in [
            ("good", elf::tells()),
            ("evil", elf::exits()),
            ("waits", elf::waits()),
            ("replaced", elf::tells()),
            ("harmless", b"nothing".to_vec()),
            ("loot/pinned", elf::tells()),
            ("job.sh", b"#!/bin/sh\nexit 7\n".to_vec()),
            ("loot/evil.so", read("evil.so")),
            ("loot/libspare.so", read("evil.so")),
            ("loot/gconv-modules", b"module ATTACK// INTERNAL evil 1\n".to_vec()),
        ] {
            let path = self.0.join(name);
            if std::fs::read(&path).is_ok_and(|there| there == content) {
                continue;
            }
            // It may not be there.
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, content).expect("a temporary file");
            // Whatever user the attacker is inside, the file system lets them.
            std::fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("a file of ours");
        }
        let _ = std::os::unix::fs::symlink("/srv", self.0.join("loot/to-srv"));
        std::fs::set_permissions(self.0.join("loot"), Permissions::from_mode(0o777)).expect("ours");
    }
}

pub fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").copy(probe(), "/probe").program("/bin/sh");
        root.copy(BUSYBOX, BUSYBOX).link("/bin/true", "busybox");
        root.file("/srv/good", elf::tells(), 0o755).link("/srv/load", LOADER);
        root.file("/srv/evil", elf::exits(), 0o755).file("/srv/edge", elf::exits(), 0o755);
        for name in ["victim", "evil.so", "lib/libspare.so"] {
            root.copy(victim().join(name), &format!("/srv/{name}"));
        }
        root.build("attacks")
    })
}

/// The folder with a dynamic program, its library, and what is to be loaded instead.
pub fn victim() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks/victim");
        let built = folder().join("victim");
        std::fs::create_dir_all(built.join("lib")).expect("a temporary folder");
        let cc = |words: &[&str], source: &str, name: &str| {
            let mut cc = Command::new("cc");
            let built_by = cc.arg("-o").arg(built.join(name)).arg(sources.join(source)).args(words);
            let output = built_by.current_dir(&built).output().expect("cc runs, as it does for Rust");
            assert!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
        };
        let library = ["-shared", "-fPIC", "-nostdlib"];
        cc(&library, "spare.c", "lib/libspare.so");
        cc(&library, "evil.c", "evil.so");
        // RUNPATH, which LD_LIBRARY_PATH goes before.
        cc(&["-Llib", "-lspare", "-Wl,--enable-new-dtags,-rpath,/srv/lib"], "victim.c", "victim");
        built
    })
}
