//! The variables of each interpreter by which it runs other code, with where they are
//! documented.

use super::options::VariableOptions::{Java, Node, Perl, Ruby};
use super::value::ValueKind::{self, *};

/// The variables of one interpreter, or of a few that are alike.
pub struct Family {
    /// The interpreter, and others that read the same.
    pub interpreter: &'static str,
    /// Where these variables are documented: a manual page, or a section of a manual.
    pub source: &'static str,
    /// Name, or the beginning of a name and `*`, what its value is, and what the interpreter does
    /// with it.
    pub variables: &'static [(&'static str, ValueKind, &'static str)],
}

/// The interpreters that a `#!` line may name, the commonest first.
pub const INTERPRETERS: &[Family] = &[
    Family {
        interpreter: "sh: dash, busybox ash",
        source: "POSIX XCU sh, ENVIRONMENT VARIABLES; dash(1)",
        variables: &[
            ("CDPATH", Opaque, "`cd` of a relative path goes elsewhere"),
            ("ENV", Script, "a file that an interactive shell, or one with `-i`, runs first"),
            ("IFS", Opaque, "splits words, in a shell that takes it from the environment"),
            ("PS4", Opaque, "expanded, commands in it too, before each traced line"),
        ],
    },
    Family {
        interpreter: "bash",
        source: "bash(1), INVOCATION, Shell Variables, FUNCTIONS",
        variables: &[
            ("BASHOPTS", Opaque, "options of `shopt`, as of the first line"),
            ("BASH_ENV", Script, "a file that is run before the script"),
            ("BASH_FUNC_*", Opaque, "a function, instead of the command of that name"),
            ("BASH_LOADABLES_PATH", Paths(b':'), "where `enable -f` loads shared objects from"),
            ("PROMPT_COMMAND", Opaque, "commands that an interactive shell runs before each prompt"),
            ("SHELLOPTS", Opaque, "options of `set`, as of the first line: `xtrace` expands PS4"),
        ],
    },
    Family {
        interpreter: "zsh",
        source: "zsh(1), STARTUP/SHUTDOWN FILES; zshparam(1)",
        variables: &[
            ("FPATH", Paths(b':'), "where functions are loaded from"),
            ("NULLCMD", Opaque, "the command of a redirection that has none"),
            ("READNULLCMD", Opaque, "the same of an input redirection"),
            ("STTY", Opaque, "`stty` is run with it before a command"),
            ("ZDOTDIR", Paths(0), "where `.zshenv` lies, which every zsh reads"),
        ],
    },
    Family {
        interpreter: "ksh, mksh",
        source: "ksh(1), Shell Variables, Invocation",
        variables: &[
            ("ENV", Script, "a file that is run first"),
            ("FPATH", Paths(b':'), "where functions are loaded from"),
        ],
    },
    Family {
        interpreter: "fish",
        source: "fish-language(1), Autoloading functions, Special variables",
        variables: &[("fish_function_path", Opaque, "where functions are loaded from")],
    },
    Family {
        interpreter: "rc, es",
        source: "rc(1), ENVIRONMENT VARIABLES; es(1), Exported functions",
        variables: &[
            ("fn-*", Opaque, "a function, instead of the command of that name"),
            ("fn_*", Opaque, "the same of rc"),
            ("set-*", Opaque, "a function that is run when the variable is set"),
        ],
    },
    Family {
        interpreter: "python, pypy",
        source: "python(1), ENVIRONMENT VARIABLES; Python Setup and Usage, 1.2",
        variables: &[
            ("PYTHONBREAKPOINT", Words, "a function that `breakpoint()` imports and calls"),
            ("PYTHONEXECUTABLE", Opaque, "the path that the libraries are found by"),
            ("PYTHONHOME", Paths(b':'), "where the standard library lies"),
            ("PYTHONINSPECT", Opaque, "what stands on stdin is run after the script"),
            ("PYTHONPATH", Paths(b':'), "where modules are imported from first"),
            ("PYTHONPLATLIBDIR", Opaque, "the folder of the standard library's binary half"),
            ("PYTHONPYCACHEPREFIX", Paths(0), "where compiled modules are read from and written to"),
            ("PYTHONSTARTUP", Paths(0), "a file that an interactive interpreter runs first"),
            ("PYTHONUSERBASE", Paths(0), "where `usercustomize` and the user's packages lie"),
            ("PYTHONWARNINGS", Words, "imports the module of a warning's category"),
            ("PYTHON_PRESITE", Opaque, "a module that a debug build imports first"),
        ],
    },
    Family {
        interpreter: "jython",
        source: "jython's documentation, Environment Variables",
        variables: &[
            ("JYTHONPATH", Paths(b':'), "where modules are imported from first"),
            ("JYTHONSTARTUP", Paths(0), "a file that an interactive interpreter runs first"),
            ("JYTHON_*", Opaque, "home, options and Java of the launcher"),
        ],
    },
    Family {
        interpreter: "perl",
        source: "perlrun(1), ENVIRONMENT; perldebug(1), ENVIRONMENT VARIABLES",
        variables: &[
            ("PERL5DB", Opaque, "code that loads the debugger, with `-d`"),
            ("PERL5LIB", Paths(b':'), "where modules are loaded from first"),
            ("PERL5OPT", Options(Perl), "options: `-M` loads a module"),
            ("PERL5SHELL", Opaque, "what runs commands, on some systems"),
            ("PERLDB_OPTS", Opaque, "options of the debugger"),
            ("PERLIO", Opaque, "layers of every file, which are modules"),
            ("PERLIO_DEBUG", Opaque, "a file that is written"),
            ("PERLLIB", Paths(b':'), "as PERL5LIB, where that is not set"),
        ],
    },
    Family {
        interpreter: "ruby, with RubyGems and Bundler",
        source: "ruby(1), ENVIRONMENT; gem help environment; bundle-config(1)",
        variables: &[
            ("BUNDLER_*", Opaque, "which Bundler is loaded, and how it sets itself up"),
            ("BUNDLE_*", Opaque, "the Gemfile, which is run, and where gems are loaded from"),
            ("GEM_HOME", Paths(0), "where gems are loaded from"),
            ("GEM_PATH", Paths(b':'), "where gems are loaded from as well"),
            ("JRUBY_OPTS", Opaque, "options of JRuby"),
            ("RUBYGEMS_GEMDEPS", Opaque, "a file of dependencies, which is run"),
            ("RUBYLIB", PathsOrDefault, "where libraries are loaded from first"),
            ("RUBYLIB_PREFIX", Opaque, "what the paths of libraries begin with"),
            ("RUBYOPT", Options(Ruby), "options: `-r` loads a library"),
            ("RUBYPATH", Opaque, "where `-S` finds the script"),
            ("RUBYSHELL", Opaque, "what runs commands, on some systems"),
        ],
    },
    Family {
        interpreter: "node",
        source: "node(1), ENVIRONMENT; Node.js documentation, Command-line API",
        variables: &[
            ("NODE_COMPILE_CACHE", Paths(0), "where compiled modules are read from"),
            ("NODE_ICU_DATA", Paths(0), "where data of ICU are read from"),
            ("NODE_OPTIONS", Options(Node), "options: `--require` and `--import` load a module"),
            ("NODE_PATH", PathsOrDefault, "where modules are loaded from as well"),
            ("NODE_PRESERVE_SYMLINKS*", Opaque, "modules are looked for beside the link"),
            ("NODE_REPL_EXTERNAL_MODULE", Opaque, "a module that is loaded for the prompt"),
        ],
    },
    Family {
        interpreter: "deno",
        source: "Deno documentation, Environment variables",
        variables: &[
            ("DENO_DIR", Paths(0), "where cached modules are read from"),
            ("DENO_V8_FLAGS", Opaque, "options of V8"),
            ("JSR_URL", Opaque, "where modules are fetched from"),
            ("NPM_CONFIG_REGISTRY", Opaque, "where modules are fetched from"),
        ],
    },
    Family {
        interpreter: "bun",
        source: "Bun documentation, Environment variables",
        variables: &[
            ("BUN_INSPECT*", Opaque, "a debugger that may connect, and what it loads first"),
            ("BUN_OPTIONS", Opaque, "options: `--preload` loads a module"),
            ("BUN_RUNTIME_TRANSPILER_CACHE_PATH", Paths(0), "where compiled modules are read from"),
        ],
    },
    Family {
        interpreter: "php",
        source: "php(1), FILES; PHP manual, The configuration file",
        variables: &[
            ("PHPRC", Paths(0), "where `php.ini` lies: `auto_prepend_file`, `extension`"),
            ("PHP_INI_SCAN_DIR", PathsOrDefault, "where more of it lies"),
        ],
    },
    Family {
        interpreter: "lua, luajit",
        source: "lua(1), ENVIRONMENT VARIABLES; Lua manual, 7 and package.path",
        variables: &[
            ("LUA_CPATH*", Templates, "where shared objects are loaded from"),
            ("LUA_INIT*", Opaque, "code, or a file of it, that is run first"),
            ("LUA_PATH*", Templates, "where modules are loaded from"),
        ],
    },
    Family {
        interpreter: "tclsh, wish, expect",
        source: "tclvars(n), library(n), tm(n); expect(1), INTRODUCTION",
        variables: &[
            ("DOTDIR", Paths(0), "where `.expect.rc` lies, which expect runs first"),
            ("TCL8*", Opaque, "where modules are loaded from: TCL8.6_TM_PATH, TCL8_6_TM_PATH"),
            ("TCL9*", Opaque, "the same of Tcl 9"),
            ("TCLLIBPATH", Opaque, "where packages are loaded from"),
            ("TCL_LIBRARY", Paths(0), "where `init.tcl` lies, which is run first"),
            ("TK_LIBRARY", Paths(0), "the same of Tk"),
        ],
    },
    Family {
        interpreter: "awk: gawk",
        source: "gawk(1), ENVIRONMENT VARIABLES",
        variables: &[
            ("AWKLIBPATH", Paths(b':'), "where `@load` takes shared objects from"),
            ("AWKPATH", Paths(b':'), "where `-f`, `@include` and their like take code from"),
            ("GAWK_PERSIST_FILE", Opaque, "variables and functions of an earlier run"),
        ],
    },
    Family {
        interpreter: "make",
        source: "GNU make manual, MAKEFILES Variable, Communicating Options, Special Variables",
        variables: &[
            (".*", Opaque, "special variables, which the environment may set: `.SHELLFLAGS`"),
            ("GNUMAKEFLAGS", Opaque, "options, before those of MAKEFLAGS"),
            ("MAKE", Opaque, "the command that `$(MAKE)` is"),
            ("MAKEFILES", Opaque, "makefiles that are read first"),
            ("MAKEFLAGS", Opaque, "options and variables: `--eval` runs text"),
            ("MAKEOVERRIDES", Opaque, "variables of the command line, for a make below"),
            ("MAKE_COMMAND", Opaque, "the command that `$(MAKE)` is"),
            ("MFLAGS", Opaque, "options, for a make below"),
            ("VPATH", Opaque, "where files that a rule needs are read from"),
        ],
    },
    Family {
        interpreter: "R, Rscript",
        source: "R documentation, Startup and libPaths; Rscript(1); R's own front end",
        variables: &[
            ("RHOME", Paths(0), "where Rscript finds R"),
            ("R_ARCH", Opaque, "the part of R's home that start-up files are read from"),
            ("R_DEFAULT_PACKAGES", Opaque, "packages that are loaded first"),
            ("R_ENVIRON*", Paths(0), "files that set variables first: R_ENVIRON, R_ENVIRON_USER"),
            ("R_HOME", Paths(0), "where R's library lies"),
            ("R_LIBS*", Paths(b':'), "where packages are loaded from: R_LIBS, R_LIBS_SITE, R_LIBS_USER"),
            ("R_PROFILE*", Paths(0), "files that are run first: R_PROFILE, R_PROFILE_USER"),
            ("R_SCRIPT_DEFAULT_PACKAGES", Opaque, "packages that Rscript loads first"),
            ("R_TESTS", Opaque, "a file that is run first"),
        ],
    },
    Family {
        interpreter: "octave",
        source: "Octave manual, Command Line Options and Startup Files",
        variables: &[("OCTAVE_*", Opaque, "where functions, programs and start-up files lie")],
    },
    Family {
        interpreter: "julia",
        source: "Julia manual, Environment Variables",
        variables: &[
            ("JULIA_BINDIR", Paths(0), "where the library and `startup.jl` lie"),
            ("JULIA_DEPOT_PATH", PathsOrDefault, "where packages, compiled code and `startup.jl` lie"),
            ("JULIA_LLVM_ARGS", Opaque, "options of LLVM"),
            ("JULIA_LOAD_PATH", PathsOrDefault, "where packages are loaded from"),
            ("JULIA_PROJECT", Opaque, "the project whose packages are loaded"),
        ],
    },
    Family {
        interpreter: "guile",
        source: "Guile manual, Environment Variables",
        variables: &[
            ("GUILE_AUTO_COMPILE", Opaque, "compiled files are read or made anew"),
            ("GUILE_EXTENSIONS_PATH", Paths(b':'), "where shared objects are loaded from"),
            ("GUILE_LOAD_COMPILED_PATH", Paths(b':'), "where compiled modules are loaded from"),
            ("GUILE_LOAD_PATH", Paths(b':'), "where modules are loaded from"),
            ("GUILE_SYSTEM_*", Opaque, "the same of its own modules"),
            ("LTDL_LIBRARY_PATH", Opaque, "where shared objects are loaded from"),
        ],
    },
    Family {
        interpreter: "racket, chicken, gambit, chez, chibi",
        source: "Racket Guide, 18; csi(1); Gambit manual, 2.5; scheme(1); chibi-scheme(1)",
        variables: &[
            ("CHEZSCHEMELIB*", Opaque, "where libraries are loaded from"),
            ("CHIBI_MODULE_PATH", Paths(b':'), "where modules are loaded from"),
            ("CHICKEN_*", Opaque, "where extensions and included files lie"),
            ("GAMBOPT", Opaque, "options of the runtime"),
            ("PLT*", Opaque, "where collections and compiled code lie: PLTCOLLECTS"),
            ("SCHEMEHEAPDIRS", Opaque, "where the heap that is run lies"),
        ],
    },
    Family {
        interpreter: "java",
        source: "java(1), JDK_JAVA_OPTIONS; JVM TI, JAVA_TOOL_OPTIONS; OpenJ9 manual",
        variables: &[
            ("CLASSPATH", ClassPath, "where classes are loaded from"),
            ("IBM_JAVA_OPTIONS", Opaque, "options of OpenJ9"),
            ("JAVA_TOOL_OPTIONS", Options(Java), "options: `-javaagent` and `-agentpath` load code"),
            ("JDK_JAVA_OPTIONS", Options(Java), "options that the launcher puts before its own"),
            ("OPENJ9_JAVA_OPTIONS", Opaque, "options of OpenJ9"),
            ("_JAVA_OPTIONS", Options(Java), "options of HotSpot, after all others"),
        ],
    },
    Family {
        interpreter: "escript, erl",
        source: "erl(1), Environment Variables; escript(1); code(3); compile(3)",
        variables: &[
            ("ERL_AFLAGS", Opaque, "options, before all others: `-eval` runs text"),
            ("ERL_COMPILER_OPTIONS", Opaque, "options of the compiler: `parse_transform` runs code"),
            ("ERL_FLAGS", Opaque, "options, after those of the command"),
            ("ERL_INETRC", Opaque, "a file that configures the net"),
            ("ERL_LIBS", Paths(b':'), "where applications are loaded from"),
            ("ERL_OTP*", Opaque, "options of one release: ERL_OTP27_FLAGS"),
            ("ERL_ZFLAGS", Opaque, "options, after all others"),
            ("ESCRIPT_EMULATOR", Opaque, "the command that escript starts"),
        ],
    },
    Family {
        interpreter: "elixir, mix, iex",
        source: "elixir(1), ENVIRONMENT; mix help, Environment variables",
        variables: &[
            ("ELIXIR_ERL_OPTIONS", Opaque, "options of the emulator"),
            ("IEX_HOME", Paths(0), "where `.iex.exs` lies, which is run first"),
            ("MIX_ARCHIVES", Paths(0), "where archives are loaded from"),
            ("MIX_BUILD_*", Opaque, "where compiled code is loaded from"),
            ("MIX_DEPS_PATH", Paths(0), "where dependencies are loaded from"),
            ("MIX_EXS", Paths(0), "the project file, which is run"),
            ("MIX_HOME", Paths(0), "where archives and configuration lie"),
            ("MIX_PATH", Paths(b':'), "where code is loaded from as well"),
        ],
    },
    Family {
        interpreter: "runghc, runhaskell, stack, cabal",
        source: "GHC User's Guide, Packages, Runtime control; Stack documentation; Cabal User Guide",
        variables: &[
            ("CABAL_CONFIG", Paths(0), "the configuration of cabal"),
            ("CABAL_DIR", Paths(0), "where cabal's packages and configuration lie"),
            ("GHCRTS", Opaque, "options of the runtime"),
            ("GHC_ENVIRONMENT", Opaque, "a file that names packages"),
            ("GHC_PACKAGE_PATH", Opaque, "where packages are loaded from"),
            ("STACK_ROOT", Paths(0), "where stack's packages and configuration lie"),
            ("STACK_YAML", Paths(0), "the project file of stack"),
        ],
    },
    Family {
        interpreter: "ocaml, ocamlrun",
        source: "ocaml(1), ocamlrun(1), ENVIRONMENT VARIABLES; findlib.conf(5)",
        variables: &[
            ("CAMLLIB", Paths(0), "where the standard library lies"),
            ("CAML_LD_LIBRARY_PATH", Paths(b':'), "where shared objects are loaded from"),
            ("OCAMLFIND_*", Opaque, "the configuration and the commands of findlib"),
            ("OCAMLLIB", Paths(0), "where the standard library lies"),
            ("OCAMLPARAM", Opaque, "options: `ppx` runs a command"),
            ("OCAMLPATH", Paths(b':'), "where packages are loaded from"),
            ("OCAMLTOP_INCLUDE_PATH", Opaque, "where modules are loaded from"),
        ],
    },
    Family {
        interpreter: "sbcl, ecl, ccl",
        source: "sbcl(1), ENVIRONMENT; ECL and CCL manuals; ASDF manual, Configuration",
        variables: &[
            ("ASDF_OUTPUT_TRANSLATIONS", Opaque, "where compiled code is loaded from"),
            ("CCL_DEFAULT_DIRECTORY", Opaque, "where CCL's image and modules lie"),
            ("CL_SOURCE_REGISTRY", Opaque, "where systems are loaded from"),
            ("ECLDIR", Opaque, "where ECL's modules lie"),
            ("SBCL_CORE", Paths(0), "the image that is run"),
            ("SBCL_HOME", Paths(0), "where SBCL's modules lie"),
        ],
    },
    Family {
        interpreter: "dotnet, with pwsh",
        source: ".NET documentation, environment variables, runtime configuration; about_PSModulePath",
        variables: &[
            ("ASPNETCORE_HOSTINGSTARTUPASSEMBLIES", Opaque, "assemblies that are loaded first"),
            ("COMPlus_*", Opaque, "as DOTNET_, of older releases"),
            ("CORECLR_*", Opaque, "a profiler, which is a shared object"),
            ("DOTNET_ADDITIONAL_DEPS", Opaque, "assemblies that are loaded as well"),
            ("DOTNET_AltJit*", Opaque, "another compiler, which is a shared object"),
            ("DOTNET_DiagnosticPorts", Opaque, "a debugger that the process waits for"),
            ("DOTNET_GCName", Opaque, "another collector, which is a shared object"),
            ("DOTNET_GCPath", Opaque, "the same by its path"),
            ("DOTNET_ROOT*", Paths(0), "where the runtime lies"),
            ("DOTNET_SHARED_STORE", Paths(0), "where assemblies are loaded from"),
            ("DOTNET_STARTUP_HOOKS", Opaque, "assemblies that are run first"),
            ("PSModulePath", Opaque, "where PowerShell loads modules from"),
        ],
    },
    Family {
        interpreter: "mono",
        source: "mono(1), ENVIRONMENT VARIABLES",
        variables: &[
            ("MONO_CFG_DIR", Paths(0), "where the configuration lies"),
            ("MONO_CONFIG", Paths(0), "the configuration: which shared objects are loaded"),
            ("MONO_ENV_OPTIONS", Opaque, "options: `--profile` loads a shared object"),
            ("MONO_GAC_PREFIX", Paths(b':'), "where assemblies are loaded from"),
            ("MONO_PATH", Paths(b':'), "where assemblies are loaded from"),
        ],
    },
    Family {
        interpreter: "emacs --script",
        source: "Emacs manual, General Variables",
        variables: &[
            ("EMACSDATA", Paths(0), "where data lie"),
            ("EMACSLOADPATH", Opaque, "where libraries are loaded from"),
            ("EMACSPATH", Paths(b':'), "where programs are taken from"),
        ],
    },
    Family {
        interpreter: "vim, nvim, ex",
        source: "Vim help, initialization, $VIMRUNTIME; Neovim help, $NVIM_APPNAME; POSIX XCU ex",
        variables: &[
            ("EXINIT", Opaque, "commands that are run first"),
            ("NVIM_*", Opaque, "the names of its configuration and plugins"),
            ("VIM", Paths(0), "where the configuration lies"),
            ("VIMINIT", Opaque, "commands that are run first"),
            ("VIMRUNTIME", Paths(0), "where plugins lie, which are run first"),
        ],
    },
    Family {
        interpreter: "swipl, gforth, regina, m4, bc, gnuplot",
        source: "SWI-Prolog, Gforth and Regina manuals; m4(1), bc(1), gnuplot(1)",
        variables: &[
            ("BC_ENV_ARGS", Opaque, "options, and files that are run first"),
            ("FIT_SCRIPT", Opaque, "a command that gnuplot runs"),
            ("GFORTHCCPATH", Opaque, "where compiled code is loaded from"),
            ("GFORTHPATH", Opaque, "where code is loaded from"),
            ("GNUPLOT_DRIVER_DIR", Paths(0), "where programs are run from"),
            ("GNUPLOT_LIB", Paths(b':'), "where code is loaded from"),
            ("M4PATH", Paths(b':'), "where `include` reads from"),
            ("REGINA_*", Opaque, "where macros and shared objects are loaded from"),
            ("SWI_HOME_DIR", Paths(0), "where the library lies"),
        ],
    },
];
