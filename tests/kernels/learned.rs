//! A profile that was learned on this machine's kernel, enforced on others: nothing is refused there that
//! was done here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use remit::kernel::Arch;
use serde_json::{Value, json};

use crate::kernel;
use crate::machine::{Case, Machine};
use crate::support::{Image, Init, Place, Rootfs, Run, can_run, folder, probe, shim, skip, tool, unique};

const MUSL: &str = "/usr/bin/x86_64-linux-musl-gcc";
const REQUESTS: [&str; 4] = ["/", "/count", "/list", "/nothing"];
const COMMAND: [&str; 4] = ["/serve", "8080", "/srv/www", "/state"];

/// A static server of musl's.
fn server() -> PathBuf {
    let made = folder().join(unique("serve"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/quality/serve.c");
    let output =
        Command::new(MUSL).args(["-static", "-O1", "-pthread", "-o"]).arg(&made).arg(source).output();
    let output = output.expect("the compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    made
}

/// The profile of a run here.
fn learned(server: &Path) -> PathBuf {
    let mut root = Rootfs::empty();
    root.copy(shim(), "/remit-init").copy(server, "/serve").file("/srv/www/index.html", "page", 0o644);
    root.folder("/state", 0o755, 0).writable("/state");
    let image: Image = root.build("learned-here");
    let journals = folder().join(unique("journals"));
    std::fs::create_dir(&journals).expect("a temporary folder");
    let learn = Init::remit(&["--mode", "learn"]);
    let mut running =
        Run::new(&image, Place::Docker, learn, &COMMAND).folder(&journals, "/var/lib/remit").start();
    // The journal says it, within two minutes.
    let until = Instant::now() + Duration::from_secs(120);
    let ready =
        |path: PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"kind\":\"ready\""));
    while !std::fs::read_dir(&journals).expect("a folder").flatten().any(|entry| ready(entry.path())) {
        assert!(Instant::now() < until, "never ready: {}", running.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    for target in REQUESTS {
        running.get(8080, target);
    }
    assert_eq!(running.stop().code, 0, "{}", running.stderr());
    let profile = folder().join(unique("learned.json"));
    let built = Command::new(tool()).arg("build").arg(&journals).arg("-o").arg(&profile).output();
    let built = built.expect("it runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let text = std::fs::read_to_string(&profile).expect("the profile");
    let mut document: Value = serde_json::from_str(&text).expect("JSON");
    // Older kernels have no rules on ports.
    document["fallback"] = json!("degrade");
    std::fs::write(&profile, document.to_string()).expect("a file of ours");
    profile
}

/// With the same program, from the oldest kernel to the newest.
#[test]
fn what_was_learned_here_is_not_refused_on_another_kernel() {
    if !can_run(Place::Docker, &[]) || !skip::has(MUSL) {
        return;
    }
    let kernels =
        ["bullseye", "bookworm", "trixie", "trixie-backports"].map(|suite| kernel(Arch::THIS, suite));
    if kernels.iter().all(Option::is_none) {
        return;
    }
    let server = server();
    let profile = learned(&server);
    for (kernel, release) in kernels.into_iter().flatten() {
        // Without the tool: unstripped, both programs are more than its memory.
        let mut machine = Machine::new(Arch::THIS, &kernel, probe());
        machine.copy(shim(), "/remit-init").copy(probe(), "/probe");
        machine.copy(&server, "/serve").copy(&profile, "/profiles/learned.json");
        machine.file("/srv/www/index.html", "page").file("/state/.there", "");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let start = format!("/remit-init --profile /profiles/learned.json -- {}", COMMAND.join(" "));
        let case = Case {
            name: "learned".to_owned(),
            command: words(&start),
            requests: REQUESTS.map(str::to_owned).into(),
            put_back: false,
        };
        let booted = machine.boot(&[case], &words("/remit-init --mode off -- /probe exit 7"));
        let ran = booted.ran("learned");
        assert_eq!(ran.code, 0, "{release}: {ran:#?}");
        assert_eq!(
            ran.answers.iter().map(String::as_str).collect::<Vec<_>>()[..2],
            ["page", "1"],
            "{release}"
        );
        let refused = ran.err.iter().any(|line| line.contains("\"event\":\"violation\""));
        assert!(!refused, "{release}: {ran:#?}");
    }
}
