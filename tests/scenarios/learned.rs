//! An image that is another than the profile was learned in: said at start, where the
//! evidence lies beside the profile.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::images;
use crate::support::{Image, Init, Place, Rootfs, Run, can_run, in_each_place, probe, shim};

in_each_place!(what_is_unlike_is_said_at_start);

const STATUS: &str = "Package: libc6\nStatus: install ok installed\nVersion: 2.41-12\n\n\
                      Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2.13-1\n";

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").copy(images::TINI, "/tini").copy(probe(), "/probe");
        root.file("/var/lib/dpkg/status", STATUS, 0o644).folder("/etc/remit", 0o755, 0);
        root.build("learned")
    })
}

/// As the tool writes it, of one run.
fn evidence(fingerprint: &Value) -> String {
    let run = json!({ "run": "a", "command": "/probe", "fingerprint": fingerprint, "clean": true });
    format!("{{\n  \"evidence\": 1,\n  \"runs\": [\n    {run}\n  ],\n  \"rules\": {{}}\n}}\n")
}

fn what_is_unlike_is_said_at_start(place: Place) {
    if !can_run(place, &[images::TINI]) {
        return;
    }
    let programs = json!([{ "path": "/probe", "entry": true }]);
    let profile = json!({ "remit": 1, "name": "learned", "programs": programs, "files": ["@runtime"] });
    let run = || {
        Run::new(image(), place, Init::remit(&[]), &["/probe", "exit", "0"])
            .file("/etc/remit/profile.json", profile.to_string())
            .unset("REMIT_EVENTS_LEVEL")
    };
    let learned = |libc: &str, arch: &str| {
        let packages = json!({ "dpkg": { "libc6": libc, "libssl3": "3.0.17-1", "zlib1g": "1:1.2.13-1" } });
        evidence(&json!({ "arch": arch, "packages": packages }))
    };
    let (here, elsewhere) = match std::env::consts::ARCH {
        "aarch64" => ("aarch64", "x86_64"),
        _ => ("x86_64", "aarch64"),
    };
    let mut running =
        run().file("/etc/remit/profile.evidence.json", learned("2.36-9+deb12u10", elsewhere)).start();
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    let events = running.events();
    let [start] = events.of("start")[..] else { panic!("{}", running.stderr()) };
    let expected = json!([
        format!("learned on {elsewhere}, here is {here}: other calls are made"),
        "learned with libc6 2.36-9+deb12u10, here is 2.41-12 (newer)",
        "learned with libssl3 3.0.17-1, which is not installed here",
    ]);
    assert_eq!(start["unlike"], expected);

    // Nothing to say: nothing is said.
    let same = evidence(&json!({ "arch": here, "packages": { "dpkg": { "libc6": "2.41-12" } } }));
    for evidence in [Some(same.as_str()), Some("{\"evidence\""), None] {
        let run = evidence.map_or_else(run, |text| run().file("/etc/remit/profile.evidence.json", text));
        let mut running = run.start();
        assert_eq!((running.wait(), running.stderr().as_str()), (0, ""), "{evidence:?}");
    }
}
