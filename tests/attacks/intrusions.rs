//! Real intrusions, on a profile as a web server with scripts would have it: what comes
//! after the flaw, in the words of the languages that it is done in.
//!
//! The interpreters are the machine's own, below a `/usr` that is mounted read-only.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::attack::{Attack, all_hold_in, runs};
use crate::site::Site;
use crate::support::forbidden::{EACCES, first, never, seen};
use crate::support::{Image, Init, Place, Rootfs, Run, Running, can_run, in_each_place, probe, shim};

in_each_place!(what_comes_after_the_flaw_is_refused, a_shell_does_not_call_home);

const PYTHON: &str = "/usr/bin/python3";
const NEEDS: &[&str] = &[PYTHON, "/usr/bin/perl", "/usr/bin/bash", "/usr/bin/curl", "/usr/bin/apt-get"];

/// A web server that runs three scripts; the Python one fetches from an upstream, also
/// by curl, and its library makes files in memory.
fn profile() -> Value {
    json!({
        "remit": 1,
        "name": "web",
        "programs": [
            {
                "path": "/probe",
                "entry": true,
                "may_run": ["/srv/app.py", "/srv/app.pl", "/srv/app.bash"],
                "why": "the web server, and its scripts"
            },
            { "path": "/srv/app.py", "interpreter": PYTHON, "may_run": ["/usr/bin/curl"] },
            { "path": "/srv/app.pl", "interpreter": "/usr/bin/perl" },
            { "path": "/srv/app.bash", "interpreter": "/bin/bash" },
            { "path": "/usr/bin/curl", "why": "webhooks" }
        ],
        "files": [
            "@runtime",
            "@names",
            { "path": "/usr/lib", "allow": ["read"], "why": "modules" },
            { "path": "/usr/share", "allow": ["read"], "why": "modules" },
            { "path": "/usr/local/lib", "allow": ["read"], "optional": true },
            { "path": "/srv/app.py", "allow": ["read"] },
            { "path": "/tmp", "allow": ["read", "write", "create", "remove"] }
        ],
        "network": { "listen": ["tcp/8080"], "connect": ["tcp/8080"] },
        "syscalls": { "allow": ["memfd_create"] },
        "watch": ["reads"]
    })
}

/// The attacks by themselves: refused as a program is refused.
const AFTER: &[Attack] = &[
    runs(seen("intrusion?arg=/srv/app.py&arg=web_shell", EACCES, "program", "/bin/sh")),
    runs(seen("intrusion?arg=/srv/app.py&arg=web_shell_of_the_library", EACCES, "program", "/bin/sh")),
    runs(seen("intrusion?arg=/srv/app.py&arg=curl_to_shell", EACCES, "program", "/bin/sh")),
    runs(never("intrusion?arg=/srv/app.py&arg=dropped_miner", EACCES, "program", "/tmp/miner")),
    runs(never("intrusion?arg=/srv/app.py&arg=fileless", EACCES, "program", "memfd")),
    runs(seen("intrusion?arg=/srv/app.py&arg=package_manager", EACCES, "program", "/usr/bin/apt-get")),
    runs(first("intrusion?arg=/srv/app.py&arg=another_interpreter", EACCES, "program", "/python3")),
    runs(seen("intrusion?arg=/srv/app.py&arg=service_account", EACCES, "file", "/srv/secrets/token")),
    // To a port that the app may connect to: it is the shell that is refused.
    runs(seen("intrusion?arg=/srv/app.py&arg=reverse_shell", EACCES, "program", "/bin/sh")),
    runs(seen("intrusion?arg=/srv/app.pl&arg=reverse_shell", EACCES, "program", "/bin/sh")),
    runs(seen("intrusion?arg=/srv/app.pl&arg=web_shell", EACCES, "program", "/bin/sh")),
    runs(seen("intrusion?arg=/srv/app.bash&arg=reverse_shell", EACCES, "program", "/bin/sh")),
    runs(seen("intrusion?arg=/srv/app.bash&arg=web_shell", EACCES, "program", "/bin/sh")),
    runs(first("intrusion?arg=/srv/app.bash&arg=another_interpreter", EACCES, "program", "/bash")),
];

fn what_comes_after_the_flaw_is_refused(place: Place) {
    all_are_refused(place, &profile(), AFTER);
}

/// To a port that the app has nothing to do with.
const CALLS: &[Attack] = &[
    runs(seen("intrusion?arg=/srv/app.py&arg=reverse_shell", EACCES, "network", "tcp/8080")),
    runs(seen("intrusion?arg=/srv/app.pl&arg=reverse_shell", EACCES, "network", "tcp/8080")),
    runs(seen("intrusion?arg=/srv/app.bash&arg=reverse_shell", EACCES, "network", "tcp/8080")),
];

fn a_shell_does_not_call_home(place: Place) {
    let mut profile = profile();
    profile["network"]["connect"] = json!([]);
    all_are_refused(place, &profile, CALLS);
}

fn all_are_refused(place: Place, profile: &Value, attacks: &[Attack]) {
    if can_run(place, NEEDS) {
        all_hold_in(place, |options| serve(place, options, profile), attacks);
    }
}

fn serve(place: Place, options: &[&str], profile: &Value) -> (Running, Site) {
    let site = Site::new();
    let running = Run::new(image(), place, Init::remit(options), &["/probe", "serve", "8080"])
        .file("/etc/remit/profile.json", profile.to_string())
        .mount("/usr")
        .start();
    running.line("listening 8080");
    (running, site)
}

/// The scripts, and what a merged /usr needs beside it.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").copy(probe(), "/probe");
        for name in ["bin", "sbin", "lib", "lib64"] {
            root.link(&format!("/{name}"), &format!("usr/{name}"));
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks/intrusions");
        for name in ["app.py", "app.pl", "app.bash"] {
            let script = std::fs::read(scripts.join(name)).expect("the script");
            root.file(&format!("/srv/{name}"), script, 0o755);
        }
        root.file("/srv/secrets/token", "secret", 0o644);
        root.build("intrusions")
    })
}
