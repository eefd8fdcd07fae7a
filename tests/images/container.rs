//! One container of Docker's, from its start to its removal.

use std::process::{Command, Output};

use serde_json::Value;

use crate::image;
use crate::server::Server;
use crate::support::events::Events;
use crate::support::unique;

/// A container; it is removed with this value.
pub struct Container {
    name: String,
}

/// All that is compared of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Results {
    /// What the client printed, phase by phase.
    pub phases: Vec<String>,
    /// The exit code of each stop.
    pub codes: Vec<i32>,
}

impl Container {
    /// Starts a server. `front` are the words before its command, none to run it free, and
    /// `options` are more of `docker run`.
    pub fn start(server: &Server, front: &[&str], options: &[String]) -> Container {
        let name = unique(server.client);
        let mut run = Command::new("docker");
        run.args(["run", "--detach", "--name", &name, "--hostname", "server"]).args(server.options);
        run.args(["--env", "REMIT_EVENTS_LEVEL=all"]);
        for (variable, value) in server.environment {
            run.args(["--env", &format!("{variable}={value}")]);
        }
        let words = [front, server.command].concat();
        run.args(options).args(["--entrypoint", words[0]]).arg(image::name()).args(&words[1..]);
        let output = run.output().expect("docker runs");
        let container = Container { name };
        assert!(output.status.success(), "{}: {}", server.name, text(&output));
        container
    }

    /// The client's work, a reload, a stop, a restart and the work again.
    pub fn works(&self, server: &Server) -> Results {
        let mut phases = vec![self.client(server, "first")];
        if server.reloads {
            phases.push(self.client(server, "reload"));
        }
        let mut codes = vec![self.stop()];
        self.start_again();
        phases.push(self.client(server, "again"));
        codes.push(self.stop());
        Results { phases, codes }
    }

    /// `docker start` of what was stopped.
    pub fn start_again(&self) {
        docker(&["start", &self.name]);
    }

    /// What the client of a server does, beside remit-init as all that `docker exec` starts.
    pub fn client(&self, server: &Server, phase: &str) -> String {
        let exec = ["exec", "--user", "0", &self.name, "/client/run.sh", server.client, phase];
        let output = docker(&exec);
        format!("{phase}: {}{}", text(&output), output.status.code().unwrap_or(-1))
    }

    /// `docker stop`; the exit code.
    pub fn stop(&self) -> i32 {
        docker(&["stop", "--time", "20", &self.name]);
        let output = docker(&["inspect", "--format", "{{.State.ExitCode}}", &self.name]);
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("an exit code")
    }

    /// All that it wrote, of all its starts.
    pub fn log(&self) -> String {
        text(&docker(&["logs", &self.name]))
    }

    /// The violations among it.
    pub fn violations(&self) -> Vec<Value> {
        let lines: Vec<String> = self.log().lines().map(str::to_owned).collect();
        let events = Events::read(&lines);
        assert!(!events.of("start").is_empty(), "{}: remit-init did not start: {}", self.name, self.log());
        events.violations().into_iter().cloned().collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Its own result would hide the test's.
        let _ = docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().expect("docker runs")
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat()
}
