//! What programs and C libraries call in trouble, under an exact profile that was learned without
//! any: none of it is refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::study::{Study, journals, learn};
use crate::support::{Image, Init, Place, Rootfs, Run, can_run, folder, shim, skip, unique};

/// A C library, and how a program is linked with it.
struct Library {
    name: &'static str,
    /// The header or loader that has to be there.
    needs: &'static str,
    flags: &'static [&'static str],
}

const GLIBC: Library = Library { name: "glibc", needs: "/usr/include/execinfo.h", flags: &["-rdynamic"] };

const MUSL: Library = Library {
    name: "musl",
    needs: "/usr/lib/x86_64-linux-musl/musl-gcc.specs",
    flags: &["-specs=/usr/lib/x86_64-linux-musl/musl-gcc.specs"],
};

/// The trouble, and the exit code that it ends with: 128 and the number of the signal.
const TROUBLES: [(&str, i32); 8] = [
    ("full", 0),
    ("descriptors", 0),
    ("memory", 0),
    ("rotated", 0),
    ("processors", 0),
    ("abort", 134),
    ("twice", 134),
    ("overflow", 139),
];

/// The program with this C library; `None` where that is not here, and the test is skipped.
fn program(library: &Library) -> Option<PathBuf> {
    if !skip::has(library.needs) {
        return None;
    }
    let made = folder().join(unique(library.name));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/learning/troubles.c");
    let mut cc = Command::new("cc");
    cc.args(["-O0", "-w", "-pthread", "-o"]).arg(&made).args(library.flags).arg(source);
    let output = cc.output().expect("cc runs, as it does for Rust");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(made)
}

fn image(library: &Library, program: &Path) -> Image {
    let mut root = Rootfs::new();
    root.copy(shim(), "/remit-init").file("/etc/app.conf", "an app's\n", 0o644);
    match library.name {
        "musl" => root.copy("/usr/lib/x86_64-linux-musl/libc.so", "/lib/ld-musl-x86_64.so.1"),
        // backtrace(3) loads it when it is first called.
        _ => root
            .program("/bin/true")
            .copy("/lib/x86_64-linux-gnu/libgcc_s.so.1", "/lib/x86_64-linux-gnu/libgcc_s.so.1"),
    };
    root.copy(program, "/app").folder("/data", 0o777, 0).writable("/data");
    root.build(&format!("troubles-{}", library.name))
}

fn none_is_refused(library: &Library) {
    if !can_run(Place::Docker, &[]) {
        return;
    }
    let Some(program) = program(library) else { return };
    let image = image(library, &program);
    let into = journals();
    let mut running = learn(&image, Place::Docker, &[], &into, &["/app"]);
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    assert_eq!(running.stdout(), "done");
    let study = Study::read(&into);
    let (mut profile, report) = study.build();
    assert_eq!(profile["syscalls"]["exact"], json!(true), "{report}\n{profile:#}");
    // Fewer descriptors than the program wants.
    profile["limits"]["open_files"] = json!(64);
    let enforced = |trouble: &str| {
        Run::new(&image, Place::Docker, Init::remit(&[]), &["/app", trouble])
            .flags(&["--tmpfs", "/data:size=64k,mode=1777", "--cpuset-cpus", "0"])
            .file("/etc/remit/profile.json", profile.to_string())
            .start()
    };
    for (trouble, code) in TROUBLES {
        let mut running = enforced(trouble);
        // musl takes the same memory twice without a word.
        let code = if (library.name, trouble) == ("musl", "twice") { 139 } else { code };
        assert_eq!(running.wait(), code, "{trouble}: {}\n{profile:#}", running.stderr());
        let violations: Vec<Value> = running.events().violations().into_iter().cloned().collect();
        assert!(violations.is_empty(), "{trouble}: {violations:#?}\n{profile:#}");
    }
    // The control: what is not harmless is refused.
    let mut running = enforced("denied");
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    assert_eq!(running.stdout(), "no process", "{profile:#}");
    assert_eq!(running.events().violations().len(), 1);
    // How many calls the filter has.
    let events = running.events();
    let layers = events.of("start")[0]["layers"].as_array().expect("a list").clone();
    let seccomp = layers.iter().find(|layer| layer["layer"] == "seccomp").expect("a filter");
    let detail = seccomp["detail"].as_str().expect("a text");
    // Those that it allows, those by argument, and the notified ones.
    let counts = detail.split(", ").filter_map(|part| part.split(' ').next()?.parse::<usize>().ok());
    let calls: usize = counts.sum();
    assert!((60..=90).contains(&calls), "{detail}");
}

#[test]
fn no_trouble_is_refused_with_glibc() {
    none_is_refused(&GLIBC);
}

#[test]
fn no_trouble_is_refused_with_musl() {
    none_is_refused(&MUSL);
}
