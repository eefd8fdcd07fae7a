//! Link arguments of the released shim, which none of the tests' programs may have.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/bin/no-unwind.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    if !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_OS", "linux") {
        return;
    }
    // It aborts where it panics: nothing reads the tables that tell how to unwind, a
    // tenth of the file. The compiler cannot leave out those of libc and std.
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let shim = "cargo:rustc-link-arg-bin=remit-init";
    println!("{shim}=-Wl,-T,{root}/src/bin/no-unwind.ld");
    println!("{shim}=-Wl,--no-eh-frame-hdr");
}
