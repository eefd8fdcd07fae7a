//! Programs that are compiled for the test: each way of linking, optimised and not, stripped and not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{STRACE, assert_within, calls, is_bounded, path, reach, skip, traced};

pub const GCC: &str = "/usr/bin/gcc";
const MUSL: &str = "/usr/bin/x86_64-linux-musl-gcc";
const AARCH64: &str = "/usr/bin/aarch64-linux-gnu-gcc";

/// Numbers by syscall(2) through a wrapper, by a condition and by a switch; functions by a table.
const PROGRAM: &str = r#"
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static __attribute__((noinline)) long own(long number) { return syscall(number); }
static int one(void) { return syscall(SYS_getppid); }
static int two(void) { return getpgid(0); }
int (*const volatile table[])(void) = { one, two };
int main(int count, char **words) {
    own(SYS_getuid);
    own(count > 5 ? SYS_gettid : SYS_geteuid);
    table[count & 1]();
    switch (count) {
        case 1: sync(); break;
        case 2: getsid(0); break;
        case 3: syscall(SYS_umask, 022); break;
        case 4: nice(1); break;
        case 5: chroot("/nowhere"); break;
        case 6: syscall(SYS_memfd_create, "x", 0); break;
        default: syscall(SYS_times, 0);
    }
    char *text = malloc(1 << 20);
    free(text);
    return 0;
}
"#;

const CALLS: [&str; 12] = [
    "chroot",
    "geteuid",
    "getpgid",
    "getppid",
    "getsid",
    "gettid",
    "getuid",
    "memfd_create",
    "setpriority",
    "sync",
    "times",
    "umask",
];

pub fn compile(compiler: &str, folder: &Path, name: &str, source: &str, options: &[&str]) -> bool {
    if !skip::has(compiler) {
        return false;
    }
    let file = folder.join(format!("{name}.c"));
    fs::write(&file, source).expect("a file");
    let output = Command::new(compiler).args(options).arg("-o").arg(folder.join(name)).arg(&file).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{compiler} {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

fn missing(found: &BTreeSet<String>, expected: &[&str]) -> Vec<String> {
    expected.iter().filter(|call| !found.contains(**call)).map(|call| (*call).to_owned()).collect()
}

#[test]
fn every_way_of_linking() {
    let folder = tempfile::tempdir().expect("a folder");
    for (compiler, linking) in [
        (GCC, &[][..]),
        (GCC, &["-no-pie"]),
        (GCC, &["-static"]),
        (GCC, &["-static-pie"]),
        (GCC, &["-fno-plt", "-s"]),
        (GCC, &["-static", "-s"]),
        (MUSL, &["-static"]),
        (MUSL, &["-static", "-s"]),
    ] {
        for optimised in ["-O0", "-O2"] {
            let options = [linking, &[optimised]].concat();
            if !compile(compiler, folder.path(), "app", PROGRAM, &options) {
                return;
            }
            let app = path(&folder, "app");
            let app = app.to_str().expect("UTF-8");
            let answer = reach(&[app]);
            assert_eq!(missing(&calls(&answer), &CALLS), [""; 0], "{compiler} {options:?}");
            // Without stubs the compiler calls syscall(2) by a register, which only its taken address covers.
            let expected = !linking.contains(&"-fno-plt");
            assert_eq!(is_bounded(&answer), expected, "{compiler} {options:?}: {:#}", answer["gaps"]);
            if skip::has(STRACE) {
                assert_within(&answer, &traced(&[app]));
                assert_within(&answer, &traced(&[app, "1", "2", "3", "4", "5"]));
            }
        }
    }
}

#[test]
fn aarch64_by_its_libraries_in_an_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let lib = path(&folder, "lib");
    fs::create_dir(&lib).expect("a folder");
    for optimised in ["-O0", "-O2"] {
        for linking in [&[][..], &["-static"]] {
            if !compile(AARCH64, folder.path(), "app", PROGRAM, &[linking, &[optimised]].concat()) {
                return;
            }
            for name in ["libc.so.6", "ld-linux-aarch64.so.1", "libgcc_s.so.1"] {
                let from = Path::new("/usr/aarch64-linux-gnu/lib").join(name);
                fs::copy(from, lib.join(name)).expect("the cross compiler's library");
            }
            let answer = reach(&["--image", folder.path().to_str().expect("UTF-8"), "/app"]);
            assert_eq!(answer["arch"], "aarch64");
            assert_eq!(missing(&calls(&answer), &CALLS), [""; 0], "{optimised} {linking:?}");
            assert!(calls(&answer).contains("rt_sigreturn"), "which the vDSO makes");
            assert!(is_bounded(&answer), "{optimised} {linking:?}: {:#}", answer["gaps"]);
        }
    }
}

#[test]
fn a_plug_in_is_looked_into_where_it_is_opened_by_a_constant_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let plug = path(&folder, "plug.so");
    let source =
        "#include <unistd.h>\n#include <sys/syscall.h>\nint plug(void) { return syscall(SYS_setsid); }";
    if !compile(GCC, folder.path(), "plug.so", source, &["-shared", "-fPIC"]) {
        return;
    }
    let opens = |name: &str| {
        format!(
            "#include <dlfcn.h>\nint main(int count, char **words) {{ void *handle = dlopen({name}, RTLD_NOW); \
             return handle ? ((int (*)(void)) dlsym(handle, \"plug\"))() & 1 : 2; }}"
        )
    };
    let name = format!("\"{}\"", plug.display());
    compile(GCC, folder.path(), "app", &opens(&name), &["-O2"]);
    let app = path(&folder, "app");
    let app = app.to_str().expect("UTF-8");
    let answer = reach(&[app]);
    assert!(calls(&answer).contains("setsid"));
    assert!(answer["gaps"].as_array().is_some_and(|gaps| gaps.iter().all(|gap| gap["kind"] != "library")));
    if skip::has(STRACE) {
        assert_within(&answer, &traced(&[app]));
    }
    compile(GCC, folder.path(), "app", &opens("words[1]"), &["-O2"]);
    let answer = reach(&[app]);
    assert!(!calls(&answer).contains("setsid"));
    assert!(answer["gaps"].as_array().is_some_and(|gaps| gaps.iter().any(|gap| gap["kind"] == "library")));
}

#[test]
fn a_number_that_is_computed_and_an_argument_that_is_constant() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = "#include <stdlib.h>\n#include <sys/prctl.h>\n#include <unistd.h>\nint main(int count, char **words) \
                  { prctl(PR_SET_DUMPABLE, 0); return syscall(atoi(words[1])); }";
    if !compile(MUSL, folder.path(), "app", source, &["-O2", "-static"]) {
        return;
    }
    let app = path(&folder, "app");
    let answer = reach(&[app.to_str().expect("UTF-8")]);
    assert!(!is_bounded(&answer));
    let gaps = answer["gaps"].as_array().expect("a list");
    assert!(gaps.iter().any(|gap| gap["kind"] == "number" && gap["unbounded"] == true), "{gaps:?}");
    assert_eq!(answer["calls"]["prctl"]["arguments"]["0"], serde_json::json!([4]));
    let steps = answer["calls"]["prctl"]["path"].as_array().expect("a path");
    assert_eq!(steps.last(), Some(&serde_json::json!("app:prctl")));
}
