//! Variables by which a process makes another run code: of the loader and libc, which no
//! program gets from another, and of each interpreter, which a script gets from the
//! container's start alone.
//!
//! The tables are data: docs/environment.md prints them, and a test compares the two. A
//! variable belongs here when its manual says that it names code, a place that code is
//! read from, or a switch that makes text run. What only tunes, such as
//! `MALLOC_ARENA_MAX` or `PYTHONUNBUFFERED`, does not.

/// The variables of one interpreter, or of a few that are alike.
pub struct Family {
    /// The interpreter, and others that read the same.
    pub interpreter: &'static str,
    /// Where these variables are documented: a manual page, or a section of a manual.
    pub source: &'static str,
    /// Name, or the beginning of a name and `*`, and what the interpreter does with it.
    pub variables: &'static [(&'static str, &'static str)],
}

/// Variables by which a loader, libc or its helpers load code, read it from elsewhere,
/// switch their own guards off, or write files. ld.so(8); glibc's list for set-user-ID
/// programs, sysdeps/generic/unsecvars.h; musl's ldso/dynlink.c, which reads the two
/// common ones.
pub(super) const LOADER: [&str; 12] = [
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "LD_AUDIT",
    "LD_DEBUG*",
    "LD_LIBRARY_PATH",
    "LD_ORIGIN_PATH",
    "LD_PRELOAD",
    "LD_PROFILE*",
    "LOCPATH",
    "MALLOC_TRACE",
    "NLSPATH",
];

/// The beginning of an exported function's text. A bash before 4.3 patch 27 defines a
/// function by a variable of any name whose value begins so (CVE-2014-6271).
const FUNCTION: &[u8] = b"() {";

/// Whether a variable makes an interpreter run other code before its script or in place of
/// what the script names, or changes how the script is read.
///
/// All families count for every script: a shell script starts programs in other
/// languages, which inherit what it has.
pub(super) fn is_for_interpreters(name: &[u8], value: &[u8]) -> bool {
    super::matches(&NAMES, name) || value.starts_with(FUNCTION)
}

/// The names and patterns of all families.
static NAMES: [&str; COUNT] = names();

const COUNT: usize = {
    let (mut count, mut family) = (0, 0);
    while family < FAMILIES.len() {
        count += FAMILIES[family].variables.len();
        family += 1;
    }
    count
};

/// While this compiles: the shim has the names, and not what is said of them.
const fn names() -> [&'static str; COUNT] {
    let mut names = [""; COUNT];
    let (mut next, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let variables = FAMILIES[family].variables;
        let mut index = 0;
        while index < variables.len() {
            names[next] = variables[index].0;
            next += 1;
            index += 1;
        }
        family += 1;
    }
    names
}

/// The interpreters that a `#!` line may name, the commonest first.
pub const FAMILIES: &[Family] = &[
    Family {
        interpreter: "sh: dash, busybox ash",
        source: "POSIX XCU sh, ENVIRONMENT VARIABLES; dash(1)",
        variables: &[
            ("CDPATH", "`cd` of a relative path goes elsewhere"),
            ("ENV", "a file that an interactive shell, or one with `-i`, runs first"),
            ("IFS", "splits words, in a shell that takes it from the environment"),
            ("PS4", "expanded, commands in it too, before each traced line"),
        ],
    },
    Family {
        interpreter: "bash",
        source: "bash(1), INVOCATION, Shell Variables, FUNCTIONS",
        variables: &[
            ("BASHOPTS", "options of `shopt`, as of the first line"),
            ("BASH_ENV", "a file that is run before the script"),
            ("BASH_FUNC_*", "a function, instead of the command of that name"),
            ("BASH_LOADABLES_PATH", "where `enable -f` loads shared objects from"),
            ("PROMPT_COMMAND", "commands that an interactive shell runs before each prompt"),
            ("SHELLOPTS", "options of `set`, as of the first line: `xtrace` expands PS4"),
        ],
    },
    Family {
        interpreter: "zsh",
        source: "zsh(1), STARTUP/SHUTDOWN FILES; zshparam(1)",
        variables: &[
            ("FPATH", "where functions are loaded from"),
            ("NULLCMD", "the command of a redirection that has none"),
            ("READNULLCMD", "the same of an input redirection"),
            ("STTY", "`stty` is run with it before a command"),
            ("ZDOTDIR", "where `.zshenv` lies, which every zsh reads"),
        ],
    },
    Family {
        interpreter: "ksh, mksh",
        source: "ksh(1), Shell Variables, Invocation",
        variables: &[("ENV", "a file that is run first"), ("FPATH", "where functions are loaded from")],
    },
    Family {
        interpreter: "fish",
        source: "fish-language(1), Autoloading functions, Special variables",
        variables: &[("fish_function_path", "where functions are loaded from")],
    },
    Family {
        interpreter: "rc, es",
        source: "rc(1), ENVIRONMENT VARIABLES; es(1), Exported functions",
        variables: &[
            ("fn-*", "a function, instead of the command of that name"),
            ("fn_*", "the same of rc"),
            ("set-*", "a function that is run when the variable is set"),
        ],
    },
    Family {
        interpreter: "python, pypy",
        source: "python(1), ENVIRONMENT VARIABLES; Python Setup and Usage, 1.2",
        variables: &[
            ("PYTHONBREAKPOINT", "a function that `breakpoint()` imports and calls"),
            ("PYTHONEXECUTABLE", "the path that the libraries are found by"),
            ("PYTHONHOME", "where the standard library lies"),
            ("PYTHONINSPECT", "what stands on stdin is run after the script"),
            ("PYTHONPATH", "where modules are imported from first"),
            ("PYTHONPLATLIBDIR", "the folder of the standard library's binary half"),
            ("PYTHONPYCACHEPREFIX", "where compiled modules are read from and written to"),
            ("PYTHONSTARTUP", "a file that an interactive interpreter runs first"),
            ("PYTHONUSERBASE", "where `usercustomize` and the user's packages lie"),
            ("PYTHONWARNINGS", "imports the module of a warning's category"),
            ("PYTHON_PRESITE", "a module that a debug build imports first"),
        ],
    },
    Family {
        interpreter: "jython",
        source: "jython's documentation, Environment Variables",
        variables: &[
            ("JYTHONPATH", "where modules are imported from first"),
            ("JYTHONSTARTUP", "a file that an interactive interpreter runs first"),
            ("JYTHON_*", "home, options and Java of the launcher"),
        ],
    },
    Family {
        interpreter: "perl",
        source: "perlrun(1), ENVIRONMENT; perldebug(1), ENVIRONMENT VARIABLES",
        variables: &[
            ("PERL5DB", "code that loads the debugger, with `-d`"),
            ("PERL5LIB", "where modules are loaded from first"),
            ("PERL5OPT", "options: `-M` loads a module"),
            ("PERL5SHELL", "what runs commands, on some systems"),
            ("PERLDB_OPTS", "options of the debugger"),
            ("PERLIO", "layers of every file, which are modules"),
            ("PERLIO_DEBUG", "a file that is written"),
            ("PERLLIB", "as PERL5LIB, where that is not set"),
        ],
    },
    Family {
        interpreter: "ruby, with RubyGems and Bundler",
        source: "ruby(1), ENVIRONMENT; gem help environment; bundle-config(1)",
        variables: &[
            ("BUNDLER_*", "which Bundler is loaded, and how it sets itself up"),
            ("BUNDLE_*", "the Gemfile, which is run, and where gems are loaded from"),
            ("GEM_HOME", "where gems are loaded from"),
            ("GEM_PATH", "where gems are loaded from as well"),
            ("JRUBY_OPTS", "options of JRuby"),
            ("RUBYGEMS_GEMDEPS", "a file of dependencies, which is run"),
            ("RUBYLIB", "where libraries are loaded from first"),
            ("RUBYLIB_PREFIX", "what the paths of libraries begin with"),
            ("RUBYOPT", "options: `-r` loads a library"),
            ("RUBYPATH", "where `-S` finds the script"),
            ("RUBYSHELL", "what runs commands, on some systems"),
        ],
    },
    Family {
        interpreter: "node",
        source: "node(1), ENVIRONMENT; Node.js documentation, Command-line API",
        variables: &[
            ("NODE_COMPILE_CACHE", "where compiled modules are read from"),
            ("NODE_ICU_DATA", "where data of ICU are read from"),
            ("NODE_OPTIONS", "options: `--require` and `--import` load a module"),
            ("NODE_PATH", "where modules are loaded from as well"),
            ("NODE_PRESERVE_SYMLINKS*", "modules are looked for beside the link"),
            ("NODE_REPL_EXTERNAL_MODULE", "a module that is loaded for the prompt"),
        ],
    },
    Family {
        interpreter: "deno",
        source: "Deno documentation, Environment variables",
        variables: &[
            ("DENO_DIR", "where cached modules are read from"),
            ("DENO_V8_FLAGS", "options of V8"),
            ("JSR_URL", "where modules are fetched from"),
            ("NPM_CONFIG_REGISTRY", "where modules are fetched from"),
        ],
    },
    Family {
        interpreter: "bun",
        source: "Bun documentation, Environment variables",
        variables: &[
            ("BUN_INSPECT*", "a debugger that may connect, and what it loads first"),
            ("BUN_OPTIONS", "options: `--preload` loads a module"),
            ("BUN_RUNTIME_TRANSPILER_CACHE_PATH", "where compiled modules are read from"),
        ],
    },
    Family {
        interpreter: "php",
        source: "php(1), FILES; PHP manual, The configuration file",
        variables: &[
            ("PHPRC", "where `php.ini` lies: `auto_prepend_file`, `extension`"),
            ("PHP_INI_SCAN_DIR", "where more of it lies"),
        ],
    },
    Family {
        interpreter: "lua, luajit",
        source: "lua(1), ENVIRONMENT VARIABLES; Lua manual, 7 and package.path",
        variables: &[
            ("LUA_CPATH*", "where shared objects are loaded from"),
            ("LUA_INIT*", "code, or a file of it, that is run first"),
            ("LUA_PATH*", "where modules are loaded from"),
        ],
    },
    Family {
        interpreter: "tclsh, wish, expect",
        source: "tclvars(n), library(n), tm(n); expect(1), INTRODUCTION",
        variables: &[
            ("DOTDIR", "where `.expect.rc` lies, which expect runs first"),
            ("TCL8*", "where modules are loaded from: TCL8.6_TM_PATH, TCL8_6_TM_PATH"),
            ("TCL9*", "the same of Tcl 9"),
            ("TCLLIBPATH", "where packages are loaded from"),
            ("TCL_LIBRARY", "where `init.tcl` lies, which is run first"),
            ("TK_LIBRARY", "the same of Tk"),
        ],
    },
    Family {
        interpreter: "awk: gawk",
        source: "gawk(1), ENVIRONMENT VARIABLES",
        variables: &[
            ("AWKLIBPATH", "where `@load` takes shared objects from"),
            ("AWKPATH", "where `-f`, `@include` and their like take code from"),
            ("GAWK_PERSIST_FILE", "variables and functions of an earlier run"),
        ],
    },
    Family {
        interpreter: "make",
        source: "GNU make manual, MAKEFILES Variable, Communicating Options, Special Variables",
        variables: &[
            (".*", "special variables, which the environment may set: `.SHELLFLAGS`"),
            ("GNUMAKEFLAGS", "options, before those of MAKEFLAGS"),
            ("MAKE", "the command that `$(MAKE)` is"),
            ("MAKEFILES", "makefiles that are read first"),
            ("MAKEFLAGS", "options and variables: `--eval` runs text"),
            ("MAKEOVERRIDES", "variables of the command line, for a make below"),
            ("MAKE_COMMAND", "the command that `$(MAKE)` is"),
            ("MFLAGS", "options, for a make below"),
            ("VPATH", "where files that a rule needs are read from"),
        ],
    },
    Family {
        interpreter: "R, Rscript",
        source: "R documentation, Startup and libPaths; Rscript(1); R's own front end",
        variables: &[
            ("RHOME", "where Rscript finds R"),
            ("R_ARCH", "the part of R's home that start-up files are read from"),
            ("R_DEFAULT_PACKAGES", "packages that are loaded first"),
            ("R_ENVIRON*", "files that set variables first: R_ENVIRON, R_ENVIRON_USER"),
            ("R_HOME", "where R's library lies"),
            ("R_LIBS*", "where packages are loaded from: R_LIBS, R_LIBS_SITE, R_LIBS_USER"),
            ("R_PROFILE*", "files that are run first: R_PROFILE, R_PROFILE_USER"),
            ("R_SCRIPT_DEFAULT_PACKAGES", "packages that Rscript loads first"),
            ("R_TESTS", "a file that is run first"),
        ],
    },
    Family {
        interpreter: "octave",
        source: "Octave manual, Command Line Options and Startup Files",
        variables: &[("OCTAVE_*", "where functions, programs and start-up files lie")],
    },
    Family {
        interpreter: "julia",
        source: "Julia manual, Environment Variables",
        variables: &[
            ("JULIA_BINDIR", "where the library and `startup.jl` lie"),
            ("JULIA_DEPOT_PATH", "where packages, compiled code and `startup.jl` lie"),
            ("JULIA_LLVM_ARGS", "options of LLVM"),
            ("JULIA_LOAD_PATH", "where packages are loaded from"),
            ("JULIA_PROJECT", "the project whose packages are loaded"),
        ],
    },
    Family {
        interpreter: "guile",
        source: "Guile manual, Environment Variables",
        variables: &[
            ("GUILE_AUTO_COMPILE", "compiled files are read or made anew"),
            ("GUILE_EXTENSIONS_PATH", "where shared objects are loaded from"),
            ("GUILE_LOAD_COMPILED_PATH", "where compiled modules are loaded from"),
            ("GUILE_LOAD_PATH", "where modules are loaded from"),
            ("GUILE_SYSTEM_*", "the same of its own modules"),
            ("LTDL_LIBRARY_PATH", "where shared objects are loaded from"),
        ],
    },
    Family {
        interpreter: "racket, chicken, gambit, chez, chibi",
        source: "Racket Guide, 18; csi(1); Gambit manual, 2.5; scheme(1); chibi-scheme(1)",
        variables: &[
            ("CHEZSCHEMELIB*", "where libraries are loaded from"),
            ("CHIBI_MODULE_PATH", "where modules are loaded from"),
            ("CHICKEN_*", "where extensions and included files lie"),
            ("GAMBOPT", "options of the runtime"),
            ("PLT*", "where collections and compiled code lie: PLTCOLLECTS"),
            ("SCHEMEHEAPDIRS", "where the heap that is run lies"),
        ],
    },
    Family {
        interpreter: "java",
        source: "java(1), JDK_JAVA_OPTIONS; JVM TI, JAVA_TOOL_OPTIONS; OpenJ9 manual",
        variables: &[
            ("CLASSPATH", "where classes are loaded from"),
            ("IBM_JAVA_OPTIONS", "options of OpenJ9"),
            ("JAVA_TOOL_OPTIONS", "options: `-javaagent` and `-agentpath` load code"),
            ("JDK_JAVA_OPTIONS", "options that the launcher puts before its own"),
            ("OPENJ9_JAVA_OPTIONS", "options of OpenJ9"),
            ("_JAVA_OPTIONS", "options of HotSpot, after all others"),
        ],
    },
    Family {
        interpreter: "escript, erl",
        source: "erl(1), Environment Variables; escript(1); code(3); compile(3)",
        variables: &[
            ("ERL_AFLAGS", "options, before all others: `-eval` runs text"),
            ("ERL_COMPILER_OPTIONS", "options of the compiler: `parse_transform` runs code"),
            ("ERL_FLAGS", "options, after those of the command"),
            ("ERL_INETRC", "a file that configures the net"),
            ("ERL_LIBS", "where applications are loaded from"),
            ("ERL_OTP*", "options of one release: ERL_OTP27_FLAGS"),
            ("ERL_ZFLAGS", "options, after all others"),
            ("ESCRIPT_EMULATOR", "the command that escript starts"),
        ],
    },
    Family {
        interpreter: "elixir, mix, iex",
        source: "elixir(1), ENVIRONMENT; mix help, Environment variables",
        variables: &[
            ("ELIXIR_ERL_OPTIONS", "options of the emulator"),
            ("IEX_HOME", "where `.iex.exs` lies, which is run first"),
            ("MIX_ARCHIVES", "where archives are loaded from"),
            ("MIX_BUILD_*", "where compiled code is loaded from"),
            ("MIX_DEPS_PATH", "where dependencies are loaded from"),
            ("MIX_EXS", "the project file, which is run"),
            ("MIX_HOME", "where archives and configuration lie"),
            ("MIX_PATH", "where code is loaded from as well"),
        ],
    },
    Family {
        interpreter: "runghc, runhaskell, stack, cabal",
        source: "GHC User's Guide, Packages, Runtime control; Stack documentation; Cabal User Guide",
        variables: &[
            ("CABAL_CONFIG", "the configuration of cabal"),
            ("CABAL_DIR", "where cabal's packages and configuration lie"),
            ("GHCRTS", "options of the runtime"),
            ("GHC_ENVIRONMENT", "a file that names packages"),
            ("GHC_PACKAGE_PATH", "where packages are loaded from"),
            ("STACK_ROOT", "where stack's packages and configuration lie"),
            ("STACK_YAML", "the project file of stack"),
        ],
    },
    Family {
        interpreter: "ocaml, ocamlrun",
        source: "ocaml(1), ocamlrun(1), ENVIRONMENT VARIABLES; findlib.conf(5)",
        variables: &[
            ("CAMLLIB", "where the standard library lies"),
            ("CAML_LD_LIBRARY_PATH", "where shared objects are loaded from"),
            ("OCAMLFIND_*", "the configuration and the commands of findlib"),
            ("OCAMLLIB", "where the standard library lies"),
            ("OCAMLPARAM", "options: `ppx` runs a command"),
            ("OCAMLPATH", "where packages are loaded from"),
            ("OCAMLTOP_INCLUDE_PATH", "where modules are loaded from"),
        ],
    },
    Family {
        interpreter: "sbcl, ecl, ccl",
        source: "sbcl(1), ENVIRONMENT; ECL and CCL manuals; ASDF manual, Configuration",
        variables: &[
            ("ASDF_OUTPUT_TRANSLATIONS", "where compiled code is loaded from"),
            ("CCL_DEFAULT_DIRECTORY", "where CCL's image and modules lie"),
            ("CL_SOURCE_REGISTRY", "where systems are loaded from"),
            ("ECLDIR", "where ECL's modules lie"),
            ("SBCL_CORE", "the image that is run"),
            ("SBCL_HOME", "where SBCL's modules lie"),
        ],
    },
    Family {
        interpreter: "dotnet, with pwsh",
        source: ".NET documentation, environment variables, runtime configuration; about_PSModulePath",
        variables: &[
            ("ASPNETCORE_HOSTINGSTARTUPASSEMBLIES", "assemblies that are loaded first"),
            ("COMPlus_*", "as DOTNET_, of older releases"),
            ("CORECLR_*", "a profiler, which is a shared object"),
            ("DOTNET_ADDITIONAL_DEPS", "assemblies that are loaded as well"),
            ("DOTNET_AltJit*", "another compiler, which is a shared object"),
            ("DOTNET_DiagnosticPorts", "a debugger that the process waits for"),
            ("DOTNET_GCName", "another collector, which is a shared object"),
            ("DOTNET_GCPath", "the same by its path"),
            ("DOTNET_ROOT*", "where the runtime lies"),
            ("DOTNET_SHARED_STORE", "where assemblies are loaded from"),
            ("DOTNET_STARTUP_HOOKS", "assemblies that are run first"),
            ("PSModulePath", "where PowerShell loads modules from"),
        ],
    },
    Family {
        interpreter: "mono",
        source: "mono(1), ENVIRONMENT VARIABLES",
        variables: &[
            ("MONO_CFG_DIR", "where the configuration lies"),
            ("MONO_CONFIG", "the configuration: which shared objects are loaded"),
            ("MONO_ENV_OPTIONS", "options: `--profile` loads a shared object"),
            ("MONO_GAC_PREFIX", "where assemblies are loaded from"),
            ("MONO_PATH", "where assemblies are loaded from"),
        ],
    },
    Family {
        interpreter: "emacs --script",
        source: "Emacs manual, General Variables",
        variables: &[
            ("EMACSDATA", "where data lie"),
            ("EMACSLOADPATH", "where libraries are loaded from"),
            ("EMACSPATH", "where programs are taken from"),
        ],
    },
    Family {
        interpreter: "vim, nvim, ex",
        source: "Vim help, initialization, $VIMRUNTIME; Neovim help, $NVIM_APPNAME; POSIX XCU ex",
        variables: &[
            ("EXINIT", "commands that are run first"),
            ("NVIM_*", "the names of its configuration and plugins"),
            ("VIM", "where the configuration lies"),
            ("VIMINIT", "commands that are run first"),
            ("VIMRUNTIME", "where plugins lie, which are run first"),
        ],
    },
    Family {
        interpreter: "swipl, gforth, regina, m4, bc, gnuplot",
        source: "SWI-Prolog, Gforth and Regina manuals; m4(1), bc(1), gnuplot(1)",
        variables: &[
            ("BC_ENV_ARGS", "options, and files that are run first"),
            ("FIT_SCRIPT", "a command that gnuplot runs"),
            ("GFORTHCCPATH", "where compiled code is loaded from"),
            ("GFORTHPATH", "where code is loaded from"),
            ("GNUPLOT_DRIVER_DIR", "where programs are run from"),
            ("GNUPLOT_LIB", "where code is loaded from"),
            ("M4PATH", "where `include` reads from"),
            ("REGINA_*", "where macros and shared objects are loaded from"),
            ("SWI_HOME_DIR", "where the library lies"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// The table of docs/environment.md.
    fn table() -> String {
        let mut text = String::from("| variable | of | what it does |\n|---|---|---|\n");
        for family in FAMILIES {
            for (name, does) in family.variables {
                let _ = writeln!(text, "| `{name}` | {} | {does} |", family.interpreter);
            }
        }
        text.push_str("\n| interpreter | source |\n|---|---|\n");
        for family in FAMILIES {
            let _ = writeln!(text, "| {} | {} |", family.interpreter, family.source);
        }
        text
    }

    #[test]
    fn the_documentation_has_these_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/environment.md");
        let docs = std::fs::read_to_string(path).expect("docs/environment.md");
        let loader = LOADER.map(|name| format!("`{name}`")).join(" ");
        let (table, loader) = (table(), loader);
        let unwrapped = docs.replace('\n', " ");
        assert!(unwrapped.contains(&loader), "docs/environment.md is to have: {loader}");
        assert!(docs.contains(&table), "docs/environment.md is to have:\n{table}");
    }

    #[test]
    fn each_family_is_sorted_and_says_where_from() {
        for family in FAMILIES {
            assert!(family.variables.is_sorted_by_key(|(name, _)| *name), "{}", family.interpreter);
            assert!(!family.source.is_empty() && !family.variables.is_empty(), "{}", family.interpreter);
            for (name, does) in family.variables {
                let stars = name.matches('*').count();
                assert!(stars == 0 || (stars == 1 && name.ends_with('*')), "{name}");
                assert!(!does.is_empty() && *name != "*", "{name}");
            }
        }
    }

    #[test]
    fn a_variable_is_told_by_its_name_and_a_function_by_its_value() {
        for name in
            ["BASH_ENV", "BASH_FUNC_ls%%", "MAKEFLAGS", ".SHELLFLAGS", "LUA_INIT_5_4", "ERL_OTP27_FLAGS"]
        {
            assert!(is_for_interpreters(name.as_bytes(), b"x"), "{name}");
        }
        for name in
            ["PATH", "HOME", "MAKELEVEL", "PYTHONUNBUFFERED", "XBASH_ENV", "BASH_ENVX", "LUA", "MIX_ENV"]
        {
            assert!(!is_for_interpreters(name.as_bytes(), b"x"), "{name}");
        }
        assert!(is_for_interpreters(b"anything", b"() { :; }; evil"));
        assert!(!is_for_interpreters(b"anything", b"() x"));
    }
}
