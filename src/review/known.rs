//! Programs that are known by their names: what an attacker would use them for.

use std::path::Path;

/// The kind of a program that is known by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KnownProgram {
    /// A shell: it runs what its input says.
    Shell,
    /// An interpreter of another language.
    Interpreter,
    /// A package manager: it downloads, and changes the image.
    PackageManager,
    /// It downloads files.
    Download,
    /// It connects anything to anything.
    Relay,
    /// It makes programs.
    Compiler,
    /// It controls or reads other processes.
    Debugger,
    /// It takes on other ids, or enters namespaces.
    ChangesUser,
    /// Many programs in one, a shell among them.
    MultiCall,
}

impl KnownProgram {
    /// Such a program, with its article: "a shell".
    pub const fn words(self) -> &'static str {
        match self {
            KnownProgram::Shell => "a shell",
            KnownProgram::Interpreter => "an interpreter",
            KnownProgram::PackageManager => "a package manager",
            KnownProgram::Download => "a tool that downloads",
            KnownProgram::Relay => "a tool that connects anything to anything",
            KnownProgram::Compiler => "a compiler",
            KnownProgram::Debugger => "a debugger",
            KnownProgram::ChangesUser => "a tool that changes users or namespaces",
            KnownProgram::MultiCall => "many programs in one, a shell among them",
        }
    }

    /// What an attacker does with it.
    pub const fn danger(self) -> &'static str {
        match self {
            KnownProgram::Shell => "it runs whatever commands it is given",
            KnownProgram::Interpreter => "it runs whatever code it is given",
            KnownProgram::PackageManager => "it downloads and installs other programs",
            KnownProgram::Download => "it brings in an attacker's files and sends out others",
            KnownProgram::Relay => "it connects a shell or a file to another host",
            KnownProgram::Compiler => "it makes programs of an attacker's source",
            KnownProgram::Debugger => "it reads and writes the memory of other processes",
            KnownProgram::ChangesUser => "it runs others with other ids or in other namespaces",
            KnownProgram::MultiCall => "it runs whatever commands it is given",
        }
    }
}

/// The names, each kind's sorted; a version at the end of a name does not matter (`python3.11`).
const NAMES: [(KnownProgram, &[&str]); 9] = [
    (
        KnownProgram::Shell,
        &[
            "ash", "bash", "csh", "dash", "elvish", "fish", "ksh", "mksh", "nu", "oksh", "pwsh", "rbash",
            "rc", "sh", "tcsh", "yash", "zsh",
        ],
    ),
    (
        KnownProgram::Interpreter,
        &[
            "awk", "bun", "deno", "dotnet", "erl", "escript", "expect", "gawk", "groovy", "guile", "irb",
            "java", "jruby", "jshell", "julia", "lua", "luajit", "mawk", "mono", "nawk", "node", "nodejs",
            "perl", "php", "pypy", "python", "ruby", "tclsh", "tsx", "wish",
        ],
    ),
    (
        KnownProgram::PackageManager,
        &[
            "apk",
            "apt",
            "apt-get",
            "aptitude",
            "brew",
            "bundle",
            "cargo",
            "composer",
            "conda",
            "corepack",
            "dnf",
            "dpkg",
            "easy_install",
            "gem",
            "mamba",
            "microdnf",
            "nix",
            "nix-env",
            "npm",
            "npx",
            "opkg",
            "pacman",
            "pip",
            "pipx",
            "pnpm",
            "poetry",
            "rpm",
            "snap",
            "tdnf",
            "uv",
            "yarn",
            "yum",
            "zypper",
        ],
    ),
    (
        KnownProgram::Download,
        &[
            "aria2c",
            "curl",
            "fetch",
            "ftp",
            "git",
            "lftp",
            "lwp-download",
            "lynx",
            "rsync",
            "scp",
            "sftp",
            "svn",
            "tftp",
            "wget",
            "wget2",
        ],
    ),
    (KnownProgram::Relay, &["nc", "ncat", "netcat", "openssl", "socat", "ssh", "telnet", "websocat"]),
    (
        KnownProgram::Compiler,
        &["as", "c++", "cc", "clang", "g++", "gcc", "go", "javac", "ld", "make", "rustc", "tcc"],
    ),
    (KnownProgram::Debugger, &["bpftrace", "gdb", "gdbserver", "lldb", "ltrace", "perf", "strace"]),
    (
        KnownProgram::ChangesUser,
        &[
            "capsh", "chroot", "doas", "newgrp", "nsenter", "pkexec", "runuser", "setpriv", "su", "sudo",
            "unshare",
        ],
    ),
    (KnownProgram::MultiCall, &["busybox", "toybox"]),
];

/// The kind of a program, by its applet or the last part of its path.
pub fn known(path: &Path, applet: Option<&str>) -> Option<KnownProgram> {
    let name = applet.or_else(|| path.file_name()?.to_str())?;
    of_name(name).or_else(|| {
        // `python3.11`, `php8`, `lua5.4`; but never a name that is a number alone.
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        (!stem.is_empty() && stem != name).then(|| of_name(stem)).flatten()
    })
}

fn of_name(name: &str) -> Option<KnownProgram> {
    NAMES.iter().find(|(_, names)| names.binary_search(&name).is_ok()).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_names() {
        assert!(NAMES.iter().all(|(_, names)| names.is_sorted()));
        for (path, applet, kind) in [
            ("/bin/sh", None, Some(KnownProgram::Shell)),
            ("/usr/bin/python3.11", None, Some(KnownProgram::Interpreter)),
            ("/usr/bin/php8", None, Some(KnownProgram::Interpreter)),
            ("/bin/busybox", None, Some(KnownProgram::MultiCall)),
            ("/bin/busybox", Some("wget"), Some(KnownProgram::Download)),
            ("/bin/busybox", Some("cat"), None),
            ("/usr/sbin/nginx", None, None),
            ("/", None, None),
            ("/opt/7", None, None),
        ] {
            assert_eq!(known(Path::new(path), applet), kind, "{path} {applet:?}");
        }
    }
}
