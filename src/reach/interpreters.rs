//! Interpreters and runtimes: programs of theirs load native code by computed names, call any function
//! by a foreign function interface, or are compiled while they run. What such a program can do is not
//! in its files. Lua is none of them: it reaches other code by dlopen(3) alone, which is a gap of its own
//! where the name is computed.

use super::object::ElfObject;

/// An interpreter by the beginnings of a library's name, or by a symbol that its object exports.
struct Runtime {
    name: &'static str,
    libraries: &'static [&'static str],
    symbols: &'static [&'static str],
    /// Why there is no bound.
    why: &'static str,
}

const MODULES: &str = "its programs load native modules by computed names";
const FOREIGN: &str = "it calls functions by addresses and signatures that are computed";
const COMPILED: &str = "it compiles code while it runs";

const RUNTIMES: [Runtime; 13] = [
    Runtime {
        name: "CPython",
        libraries: &["libpython"],
        symbols: &["Py_BytesMain", "Py_Main"],
        why: MODULES,
    },
    Runtime { name: "Perl", libraries: &["libperl.so"], symbols: &["perl_run"], why: MODULES },
    Runtime { name: "Ruby", libraries: &["libruby"], symbols: &["ruby_run_node"], why: MODULES },
    Runtime {
        name: "PHP",
        libraries: &["libphp"],
        symbols: &["zend_execute_scripts", "php_execute_script"],
        why: MODULES,
    },
    Runtime {
        name: "Node.js",
        libraries: &["libnode.so"],
        symbols: &["napi_create_function"],
        why: COMPILED,
    },
    Runtime {
        name: "V8",
        libraries: &["libv8"],
        symbols: &["_ZN2v87Isolate3NewERKNS0_12CreateParamsE"],
        why: COMPILED,
    },
    Runtime {
        name: "Java",
        libraries: &["libjvm.so", "libjli.so"],
        symbols: &["JNI_CreateJavaVM", "JLI_Launch"],
        why: COMPILED,
    },
    Runtime {
        name: ".NET",
        libraries: &["libcoreclr.so", "libhostfxr.so", "libmono"],
        symbols: &["coreclr_initialize", "mono_jit_init"],
        why: COMPILED,
    },
    Runtime { name: "LuaJIT", libraries: &["libluajit"], symbols: &["luaJIT_setmode"], why: FOREIGN },
    Runtime { name: "Tcl", libraries: &["libtcl"], symbols: &["Tcl_CreateInterp"], why: MODULES },
    Runtime { name: "Guile", libraries: &["libguile"], symbols: &["scm_boot_guile"], why: FOREIGN },
    Runtime { name: "Erlang", libraries: &[], symbols: &["enif_alloc"], why: COMPILED },
    Runtime { name: "libffi", libraries: &["libffi.so"], symbols: &["ffi_call"], why: FOREIGN },
];

/// The interpreter that an object is, and why what it can do has no bound. A library counts as soon as
/// it is loaded, since what uses it is the program's own.
pub fn runtime(object: &ElfObject) -> Option<(&'static str, &'static str)> {
    let name = object.soname.as_deref().unwrap_or_else(|| object.short_name());
    let found = RUNTIMES.iter().find(|one| {
        one.libraries.iter().any(|start| name.starts_with(start))
            || one.symbols.iter().any(|symbol| object.exports.contains_key(*symbol))
    });
    found.map(|one| (one.name, one.why))
}
