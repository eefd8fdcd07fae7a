//! What the command line can print.

use crate::shim::dialect::Dialect;

/// What `-l` prints.
pub(super) const LICENSE: &str = "\
remit is licensed under the Apache License, Version 2.0, provided \"AS IS\", without
warranties or conditions of any kind: https://www.apache.org/licenses/LICENSE-2.0
";

/// What `--help` prints. It has every flag; a test compares it with
/// docs/usage.md.
pub const HELP: &str = "\
remit-init: confine the app to its intent profile, and be its PID 1

Usage: remit-init [options] [--] COMMAND [ARG...]

Options end at COMMAND, or at --.

Confinement:
  --profile FILE|NAME   the intent profile: a file has a slash in its name, an
                        embedded one (remit profiles lists them) none;
                        FILE@sha256:HEX refuses any other content (REMIT_PROFILE)
  --mode MODE           enforce, audit, learn or off (REMIT_MODE)
  --events DEST         where events go: stderr, a file, fd:N or unix:PATH
                        (REMIT_EVENTS)
  --run-as USER[:GROUP] the app's user, names or numbers, whatever the profile says;
                        without a group, those that /etc/passwd and /etc/group name
  --keep-fd N           hand descriptor N, from 3 on, over to the app; may be repeated.
                        Others are closed, each with a line on stderr
  --doctor[=FORMAT]     print what can be enforced here, and how to get more: text or
                        json; exit codes: 0 all that baseline requires, 1 less,
                        3 nothing

Learning (--mode learn refuses nothing; remit build makes a profile of what it writes):
  --learn-dir DIR       where the run's journal goes, as a new file; - writes it to
                        stderr; not named, /var/lib/remit (REMIT_LEARN_DIR)
  --label LABEL         the workload of this run, such as backup (REMIT_LABEL)
  --exact               watch every call, which costs much (REMIT_LEARN_EXACT=1)

The end:
  --grace DURATION      time between SIGTERM, or the app's exit, and SIGKILL for the
                        processes that remain: 500ms, 8s, 2m. Default: 8s after the
                        app exits; while the app runs, the container engine's stop
                        timeout applies
  --drain DURATION      delay SIGTERM for so long, while a load balancer takes this
                        container out

  --follow PIDFILE      where the app's first process ends and PIDFILE names a child of
                        remit-init, that one is the app from then on

Init, as tini has it:
  -s                    be a subreaper (TINI_SUBREAPER); always when confining
  -g                    send signals to the app's process group
                        (TINI_KILL_PROCESS_GROUP)
  -p SIGNAL             the app gets this signal when remit-init or its parent ends
  -e CODE               this exit code becomes 0; may be repeated
  -w                    log each orphan that is reaped
  -v                    log more; may be repeated (TINI_VERBOSITY)
  -l                    print the licence
  -h, --help            print this
  --version             print the version

Init, as dumb-init has it:
  -c, --single-child    leave the app in remit-init's own session and group
  -r, --rewrite S:R     forward signal S as R, names or numbers; 0 drops it; may be
                        repeated
  --setsid              give the app a session of its own, and signals to its group

And more:
  --status SIGNAL       on this signal, log zombies with the parent that has not reaped
                        them, and processes in uninterruptible sleep; the app does not
                        get it
  --as NAME             be remit-init, tini or dumb-init, whatever this is called as;
                        the first option of all

The profile is the one named, else /etc/remit/profile.json, else baseline. Called
as tini, docker-init or dumb-init, it takes their options and writes their messages,
and with neither a profile nor a mode named nothing is confined.
REMIT_EVENTS_LEVEL (violation, all) decides which events are written, and
REMIT_EVENTS_ARGS (full, none) how much of the arguments.

Exit codes: the app's own; 128+n when signal n ended it; 125 when remit-init or the
profile failed; 126 when COMMAND cannot be executed or is not allowed; 127 when it
is not there.
";

/// The version; as tini or dumb-init in their form, which Docker and others parse.
pub(super) fn version(dialect: Dialect) -> String {
    const OWN: &str = concat!("remit-init ", env!("CARGO_PKG_VERSION"));
    match dialect {
        Dialect::Remit => format!("{OWN}\n"),
        Dialect::Tini => format!("tini version 0.19.0 - {OWN}\n"),
        Dialect::DumbInit => "dumb-init v1.2.5\n".to_owned(),
    }
}

/// tini's usage, for `-h` and for a wrong command line.
pub(super) fn tini_usage(name: &str) -> String {
    let version = version(Dialect::Tini);
    format!(
        "\
{name} ({})
Usage: {name} [OPTIONS] PROGRAM -- [ARGS] | --version

Execute a program under the supervision of a valid init process ({name})

Command line options:

  --version: Show version and exit.
  -h: Show this help message and exit.
  -s: Register as a process subreaper (requires Linux >= 3.4).
  -p SIGNAL: Trigger SIGNAL when parent dies, e.g. \"-p SIGKILL\".
  -v: Generate more verbose output. Repeat up to 3 times.
  -w: Print a warning when processes are getting reaped.
  -g: Send signals to the child's process group.
  -e EXIT_CODE: Remap EXIT_CODE (from 0 to 255) to 0 (can be repeated).
  -l: Show license and exit.

Environment variables:

  TINI_SUBREAPER: Register as a process subreaper (requires Linux >= 3.4).
  TINI_VERBOSITY: Set the verbosity level (default: 1).
  TINI_KILL_PROCESS_GROUP: Send signals to the child's process group.

",
        version.trim_end()
    )
}

/// dumb-init's usage, for `-h`.
pub(super) fn dumb_init_help(name: &str) -> String {
    let version = version(Dialect::DumbInit);
    format!(
        "\
{version}Usage: {name} [option] command [[arg] ...]

dumb-init is a simple process supervisor that forwards signals to children.
It is designed to run as PID1 in minimal container environments.

Optional arguments:
   -c, --single-child   Run in single-child mode.
                        In this mode, signals are only proxied to the
                        direct child and not any of its descendants.
   -r, --rewrite s:r    Rewrite received signal s to new signal r before proxying.
                        To ignore (not proxy) a signal, rewrite it to 0.
                        This option can be specified multiple times.
   -v, --verbose        Print debugging information to stderr.
   -h, --help           Print this help message and exit.
   -V, --version        Print the current version and exit.

Full help is available online at https://github.com/Yelp/dumb-init
"
    )
}

/// dumb-init's answer to a command line without COMMAND.
pub(super) fn dumb_init_usage(name: &str) -> String {
    format!("Usage: {name} [option] program [args]\nTry {name} --help for full usage.\n")
}

/// dumb-init's answer to a rewriting that is none.
pub(super) const DUMB_INIT_REWRITE: &str = "\
Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.
This option can be specified multiple times.
Use --help for full usage.
";
