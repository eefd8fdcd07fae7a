//! Link arguments of the released shim, which none of the tests' programs may have; and the commit
//! of a release, for `remit --version`.

#[path = "build/commit.rs"]
mod commit;

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build/commit.rs");
    println!("cargo:rerun-if-changed=src/bin/no-unwind.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    let is_release = is("PROFILE", "release");
    record_commit(is_release);
    if !is_release || !is("CARGO_CFG_TARGET_OS", "linux") {
        return;
    }
    // It aborts where it panics: nothing reads the tables that tell how to unwind, a
    // tenth of the file. The compiler cannot leave out those of libc and std.
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let shim = "cargo:rustc-link-arg-bin=remit-init";
    println!("{shim}=-Wl,-T,{root}/src/bin/no-unwind.ld");
    println!("{shim}=-Wl,--no-eh-frame-hdr");
    // What the shim defines in place of the libraries' (src/sys/unused.rs) wins where they are linked too.
    println!("{shim}=-Wl,-z,muldefs");
    // One body for functions that compile to the same.
    if links_with_lld() {
        println!("{shim}=-Wl,--icf=all");
    }
}

/// Records the commit of a release. Other builds would be made anew after each commit for it.
fn record_commit(is_release: bool) {
    let name = "cargo:rustc-env=REMIT_COMMIT";
    if !is_release {
        return println!("{name}=unknown: no release build");
    }
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let root = Path::new(&root);
    for path in commit::watched(root) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    // What is compiled anew may be a change since the commit.
    for path in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("{name}={}", commit::commit(root).unwrap_or_else(|| "unknown".to_owned()));
}

/// Whether the linker is lld, which rustc brings for some targets: bfd does not fold,
/// and refuses to be asked.
fn links_with_lld() -> bool {
    let [rustc, target, out] =
        ["RUSTC", "TARGET", "OUT_DIR"].map(|name| env::var(name).expect("cargo sets it"));
    if env::var_os("RUSTC_LINKER").is_some() {
        return false;
    }
    let main = format!("{out}/main.rs");
    std::fs::write(&main, "fn main() {}").expect("OUT_DIR can be written");
    // RUSTFLAGS and the configuration may name another linker.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let asked = Command::new(rustc)
        .args(flags.split('\x1f').filter(|flag| !flag.is_empty()))
        .args(["--print=link-args", "--target", &target, "--out-dir", &out, &main])
        .output();
    // The last one counts.
    let is_lld = |line: &str| line.rsplit_once("-fuse-ld=").is_some_and(|(_, name)| name.starts_with("lld"));
    asked.is_ok_and(|answer| is_lld(&String::from_utf8_lossy(&answer.stdout)))
}
