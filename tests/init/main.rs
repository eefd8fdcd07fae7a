//! PID 1 from outside: the shim as an ordinary process and as the first of a pid
//! namespace, without confinement and confining by the baseline. One file a behaviour.

mod drop_in;
mod exit_code;
mod extremes;
mod follow;
#[path = "../harness/mod.rs"]
mod harness;
mod inherited;
mod parent_death;
mod reaping;
mod rewriting;
mod run_as;
#[path = "../harness/seat.rs"]
mod seat;
mod shutdown;
mod signals;
mod status;
mod terminal;

use std::ffi::OsStr;
use std::process::Command;

use harness::{command, probe, skip};

/// How the shim is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    confined: bool,
    first: bool,
}

impl Way {
    /// The shim with options of its own, and the probe with its arguments.
    fn shim(self, options: &[&str], act: &[&str]) -> Command {
        let mut command = self.command(options, probe());
        command.args(act);
        command
    }

    /// The shim with options of its own, and another app.
    fn command(self, options: &[&str], app: impl AsRef<OsStr>) -> Command {
        let mut command = self.bare();
        if !self.confined {
            // As an ordinary process it inherits orphans only as a subreaper.
            command.args(["--mode", "off", "-s"]);
        }
        command.args(options).arg("--").arg(app);
        // A shell can set no trap for a signal that it was started to ignore.
        seat::interruptible(&mut command);
        command
    }

    fn bare(self) -> Command {
        if !self.first {
            return command(harness::SHIM);
        }
        let mut unshare = command("unshare");
        unshare.args(["-Urpf", "--mount-proc", "--kill-child", harness::SHIM]);
        unshare
    }
}

/// Every way that can be gone here.
fn ways() -> Vec<Way> {
    let ways = [(false, false), (true, false), (false, true), (true, true)];
    let ways = ways.map(|(confined, first)| Way { confined, first });
    ways.into_iter().filter(|way| !way.first || skip::namespaces()).collect()
}
