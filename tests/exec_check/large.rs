//! Programs that are started with as much as an exec takes, and what that costs PID 1.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls on numbers and on locals or leaked memory that outlive them"
)]

use std::path::Path;

use super::app::{TRUE, c};

/// A number of /proc/1/status, in kB.
fn first_process(key: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/1/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}"));
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A list of as many strings as this.
fn list(text: &str, count: usize) -> Vec<*const libc::c_char> {
    let text = c(text).into_raw().cast_const();
    let first = c("tool").into_raw().cast_const();
    [first].into_iter().chain(std::iter::repeat_n(text, count)).chain([std::ptr::null()]).collect()
}

pub fn all(place: &Path) {
    // A quarter of the stack, and no more than 6 MiB.
    let limit = libc::rlimit { rlim_cur: 64 << 20, rlim_max: libc::RLIM_INFINITY };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_STACK, &raw const limit) }, 0);
    let (few, long) = (list("a", 1), list(&"x".repeat((128 << 10) - 1), 46));
    let (args, variables) = (list("a", 600_000), list("A=", 500_000));
    let for_the_loader = list("LD_PROFILE=x", 250_000);
    let for_a_script = list("PYTHONPATH=y", 250_000);
    let script = place.join("script");
    // Named so, it is looked into anew each time.
    std::env::set_current_dir(place).expect("it is there");
    assert!(script.exists());
    let before = first_process("VmHWM").max(first_process("VmRSS"));
    for (name, program, argv, envp, times) in [
        ("arguments", TRUE, &args, &few, 3),
        ("long arguments", TRUE, &long, &few, 3),
        ("variables", TRUE, &few, &variables, 3),
        ("long variables", TRUE, &few, &long, 1),
        ("for the loader", TRUE, &few, &for_the_loader, 1),
        ("a script", "./script", &args, &few, 1),
        ("scripts", "./script", &long, &few, 24),
        ("script and variables", "./script", &few, &for_a_script, 4),
    ] {
        let program = c(program);
        let children: Vec<i32> = (0..times)
            .map(|_| match unsafe { libc::fork() } {
                0 => unsafe {
                    libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr());
                    libc::_exit(*libc::__errno_location());
                },
                child => child,
            })
            .collect();
        let ends: Vec<i32> = children
            .into_iter()
            .map(|child| {
                let mut status = 0;
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                status
            })
            .collect();
        let same = ends.iter().all(|end| *end == ends[0]);
        println!("{name}: {:#x} {same}, {} kB more", ends[0], first_process("VmHWM") - before);
    }
    println!("grown by {} kB", first_process("VmHWM") - before);
}
