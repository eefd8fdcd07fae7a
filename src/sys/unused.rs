//! What the libraries would link into the shim and nothing calls: a sixth of its size.

/// Defines functions of the unwinder and of the C library that are never called, so that the linker
/// takes neither them nor what they call from their archives. The link lets what it finds first
/// win: another version of a library that needs more of itself is linked beside these, and the
/// program is only larger.
///
/// A program that aborts where it panics, and that is linked without unwind tables, has no use for
/// an unwinder: with one too, a backtrace is empty. As the compiler sees that, it leaves out what
/// std has to print one, which reads debugging information.
#[doc(hidden)]
#[macro_export]
macro_rules! without_unused_libraries {
    () => {
        mod unused {
            use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

            // SAFETY: it has the signature that std declares. The program has no other one.
            #[unsafe(no_mangle)]
            extern "C" fn _Unwind_Backtrace(_frame: *const c_void, _argument: *mut c_void) -> c_int {
                const END_OF_STACK: c_int = 5;
                END_OF_STACK
            }

            // SAFETY: it has the signature of assert(3)'s. The program has no other one.
            #[unsafe(no_mangle)]
            extern "C" fn __assert_fail(
                what: *const c_char,
                file: *const c_char,
                line: c_uint,
                _function: *const c_char,
            ) -> ! {
                // SAFETY: both are strings of the C library's program code.
                let [what, file] = [what, file].map(|text| unsafe { CStr::from_ptr(text) }.to_string_lossy());
                $crate::sys::unused::report_assertion(&what, &file, line);
                std::process::abort()
            }

            // The rest of the unwinder, which runs only while a stack is unwound.
            $crate::sys::unused::without_unused_libraries!(
                __gcc_personality_v0
                _Unwind_ForcedUnwind
                _Unwind_GetCFA
                _Unwind_GetDataRelBase
                _Unwind_GetIPInfo
                _Unwind_GetLanguageSpecificData
                _Unwind_GetRegionStart
                _Unwind_GetTextRelBase
                _Unwind_Resume
                _Unwind_SetGR
                _Unwind_SetIP
            );
            // glibc's resolver: no name of a host is looked up.
            $crate::sys::unused::without_unused_libraries!(__res_iclose __res_vinit);
            // printf(3) of floating point numbers: glibc formats none for itself, and Rust does it alone.
            $crate::sys::unused::without_unused_libraries!(__printf_fp __printf_fphex);
            // gettext(3) and iconv(3): no locale is set, and in the locale C nothing is translated.
            $crate::sys::unused::without_unused_libraries!(_nl_find_domain __gconv_transliterate);
        }
    };
    ($($uncalled:ident)*) => {
        $(
            // SAFETY: nothing calls it, so its signature does not matter.
            #[unsafe(no_mangle)]
            extern "C" fn $uncalled() -> ! {
                std::process::abort()
            }
        )*
    };
}

#[doc(hidden)]
pub use without_unused_libraries;

/// Writes an assertion of the C library that failed to stderr, as the library does, but for the function's name.
pub fn report_assertion(what: &str, file: &str, line: u32) {
    use std::io::Write;
    // Where descriptor 2 is closed, that it aborts is all that is left.
    let _ = writeln!(std::io::stderr(), "remit-init: {file}:{line}: Assertion `{what}' failed.");
}
