//! Where the shim begins: `main` as the C library calls it.
//!
//! Rust's own start-up (`std::rt::lang_start`) reads `/proc/self/maps` to find where the stack
//! ends, makes a stack for the handlers of SIGSEGV and SIGBUS, and installs them, to print one
//! line when a stack overflows. It costs every container fifteen system calls at its start, and
//! the shim 100 kB of scanf(3) and printf(3). What else it does is done here.

use std::ffi::{CStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;

use super::signal;

/// Defines the program's `main`, which calls a function that takes the command line and the
/// environment, as iterators, and answers with the exit code.
#[macro_export]
macro_rules! entry_point {
    ($run:path) => {
        // SAFETY: no other symbol of the program has this name, and the C library calls it
        // with the command line.
        #[unsafe(no_mangle)]
        extern "C" fn main(count: i32, arguments: *const *const std::ffi::c_char) -> i32 {
            // SAFETY: the arguments are those that the C library gives to `main`.
            let arguments = unsafe { $crate::sys::entry::begin(count, arguments) };
            // It flushes stdout.
            std::process::exit($run(arguments.into_iter(), std::env::vars_os()).into())
        }

        #[cfg(panic = "abort")]
        $crate::sys::unused::without_unused_libraries!();
    };
}

/// What a program has to do before all else: descriptors 0 to 2 are open, so that no file
/// that is opened later takes their place, and SIGPIPE is ignored, so that write(2) answers
/// EPIPE. Returns the command line.
///
/// # Safety
/// `arguments` has `count` pointers to strings that end with 0 and stay for good.
pub unsafe fn begin(count: i32, arguments: *const *const std::ffi::c_char) -> Vec<OsString> {
    for descriptor in 0..=2 {
        // SAFETY: the call takes no memory. Where a filter refuses it, they are open.
        let is_open =
            unsafe { libc::fcntl(descriptor, libc::F_GETFD) } != -1 || Errno::last() != Errno::EBADF;
        // SAFETY: the path ends with 0. The lowest free descriptor is this one.
        if !is_open && unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != descriptor {
            let errno = Errno::last();
            fail(&format!(
                "descriptor {descriptor} is closed, and /dev/null does not open in its place: {errno}; mount /dev, or open it"
            ));
        }
    }
    if let Err(errno) = signal::set_ignored(libc::SIGPIPE, true) {
        fail(&format!("SIGPIPE cannot be ignored: {errno}; let the runtime's filter allow rt_sigaction(2)"));
    }
    let count = usize::try_from(count).unwrap_or_default();
    // SAFETY: the caller promises both.
    let argument = |at: usize| unsafe { CStr::from_ptr(*arguments.add(at)) };
    (0..count).map(|at| OsString::from_vec(argument(at).to_bytes().to_vec())).collect()
}

/// Ends a program that cannot begin, as one whose start failed.
fn fail(why: &str) -> ! {
    // Where descriptor 2 is closed, the exit code is all that is left.
    let _ = writeln!(std::io::stderr(), "remit-init: {why}");
    std::process::exit(125)
}
