//! A server free and confined, of which both make the same acts.

use std::sync::OnceLock;

use crate::support::forbidden::make;
use crate::support::{Image, Init, Place, Rootfs, Run, Running, can_run, probe, shim};

/// The probe where an image has its programs.
const SERVER: &str = "/usr/bin/probe";

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| Rootfs::new().copy(shim(), "/remit-init").copy(probe(), SERVER).build("unchanged"))
}

/// The server with these options of the shim, once it serves.
pub fn serve(place: Place, options: &[&str], profile: Option<&str>) -> Running {
    let run = Run::new(image(), place, Init::remit(options), &[SERVER, "serve", "8080"]);
    let run = match profile {
        Some(profile) => run.file("/etc/remit/profile.json", profile),
        None => run,
    };
    let running = run.start();
    running.line("listening 8080");
    running
}

/// Each act has the same result and detail free and under a profile (`baseline`, where none is
/// given), which reports nothing.
pub fn is_unchanged(place: Place, profile: Option<&str>, acts: &[&str]) {
    if !can_run(place, &[]) {
        return;
    }
    let free = serve(place, &["--mode", "off"], None);
    let mut confined = serve(place, &[], profile);
    let audited = serve(place, &["--mode", "audit"], profile);
    for act in acts {
        let expected = make(&free, act);
        assert_eq!(make(&confined, act), expected, "{place:?} {act}\n{}", confined.stderr());
        make(&audited, act);
    }
    for (mode, running) in [("enforce", &confined), ("audit", &audited)] {
        assert_eq!(running.events().violations(), [""; 0], "{place:?} {mode}");
    }
    assert_eq!(confined.stop().code, 143, "{}", confined.stderr());
}

/// Each act fails with this errno under `baseline`, and neither enforcing nor audit reports it.
pub fn is_not_there(place: Place, acts: &[(&str, &str)]) {
    if !can_run(place, &[]) {
        return;
    }
    let mut confined = serve(place, &[], None);
    let audited = serve(place, &["--mode", "audit"], None);
    for (act, errno) in acts {
        assert_eq!(make(&confined, act).0, *errno, "{place:?} {act}\n{}", confined.stderr());
        make(&audited, act);
    }
    for (mode, running) in [("enforce", &confined), ("audit", &audited)] {
        assert_eq!(running.events().violations(), [""; 0], "{place:?} {mode}");
    }
    assert_eq!(confined.stop().code, 143, "{}", confined.stderr());
}
