//! What the tool says of a kernel, compared with what the machine that runs it says.

use std::path::Path;
use std::process::Command;

use remit::kernel::{Arch, Release};
use serde_json::Value;

use crate::machine::{Machine, Ran};
use crate::support::{self, events::Events};

/// One thing that a kernel lacks: the "lacking" of the plan's JSON.
pub struct Lack<'a> {
    pub layer: &'a str,
    pub needs: &'a str,
    pub cost: &'a str,
    pub required: bool,
}

/// A plan of `/profiles/refuse.json`, as the tool prints it.
pub struct Prediction {
    /// Whether it would start.
    pub starts: bool,
    plan: Value,
}

impl Prediction {
    /// What the tool says of a release here, where another kernel runs, of the files
    /// of that machine.
    #[track_caller]
    pub fn of(machine: &Machine, release: Release) -> Prediction {
        let root = support::folder().join(support::unique("root"));
        machine.unpack(&root);
        if machine.arch != Arch::THIS {
            // The tool takes only programs that this machine could run.
            for (from, name) in
                [(Path::new(env!("CARGO_BIN_EXE_remit")), "remit"), (support::probe(), "probe")]
            {
                std::fs::copy(from, root.join(name)).expect("a temporary file");
            }
        }
        let mut tool = Command::new("chroot");
        tool.arg(&root).args(["/remit", "plan", "/profiles/refuse.json", "--format", "json"]);
        tool.args(["--kernel", &release.to_string(), "--arch", machine.arch.name()]);
        let said = tool.output().expect("chroot runs");
        Prediction::read(said.status.code(), &[said.stdout, said.stderr].concat())
    }

    /// What the tool said on the machine itself.
    #[track_caller]
    pub fn from(ran: &Ran) -> Prediction {
        Prediction::read(i32::try_from(ran.code).ok(), ran.out.join("\n").as_bytes())
    }

    #[track_caller]
    fn read(code: Option<i32>, text: &[u8]) -> Prediction {
        assert!(matches!(code, Some(0 | 1)), "{code:?}: {}", String::from_utf8_lossy(text));
        Prediction { starts: code == Some(0), plan: serde_json::from_slice(text).expect("a plan") }
    }

    /// On that kernel the tool says the same of it, having asked it.
    pub fn is_what_the_tool_says(&self, ran: &Ran) {
        let there = Prediction::from(ran);
        assert_eq!(there.starts, self.starts, "{ran:#?}");
        for part in [
            "/kernel",
            "/arch",
            "/seccomp",
            "/lacking",
            "/landlock/abi",
            "/landlock/ports",
            "/landlock/scopes",
        ] {
            assert_eq!(self.plan.pointer(part), there.plan.pointer(part), "{part}");
        }
    }

    /// All that is lacking.
    pub fn lacking(&self) -> Vec<Lack<'_>> {
        fn text(value: &Value) -> &str {
            value.as_str().expect("a word")
        }
        let list = self.plan["lacking"].as_array().expect("a list");
        list.iter()
            .map(|lack| Lack {
                layer: text(&lack["layer"]),
                needs: text(&lack["needs"]),
                cost: text(&lack["cost"]),
                required: lack["required"] == true,
            })
            .collect()
    }

    /// Whether it says that nothing holds a read.
    pub fn reads_are_free(&self) -> bool {
        self.lacking().iter().any(|lack| lack.cost.contains("no read is mediated"))
    }

    /// Where it would not start the shim does not, and its one line says what is required.
    pub fn is_what_a_refusal_says(&self, ran: &Ran) {
        if self.starts {
            assert_eq!(ran.code, 0, "{ran:#?}");
            return;
        }
        assert_eq!(ran.code, 125, "{ran:#?}");
        assert_eq!(ran.err.len(), 1, "one line: {ran:#?}");
        for Lack { layer, needs, cost, required } in self.lacking() {
            let is_listed = ran.err[0].contains(&format!("{layer} needs {needs} ({cost})"));
            assert_eq!(is_listed, required, "{layer}: {ran:#?}");
        }
    }

    /// Every layer that lacks something is less than active and says what it lacks, and
    /// no other is.
    pub fn is_what_the_start_says(&self, ran: &Ran) {
        let events = Events::read(&ran.err);
        let starts = events.of("start");
        assert_eq!(starts.len(), 1, "{ran:#?}");
        let layers = starts[0]["layers"].as_array().expect("a list");
        let mut listed = 0;
        for layer in layers {
            let detail = layer["detail"].as_str().unwrap_or_default();
            let its = self.lacking().into_iter().filter(|lack| layer["layer"] == lack.layer);
            let lacks: Vec<String> =
                its.map(|lack| format!("without {}: {}", lack.needs, lack.cost)).collect();
            assert!(lacks.iter().all(|lack| detail.contains(lack)), "{layer}, predicted {lacks:?}");
            assert_eq!(lacks.is_empty(), layer["state"] == "active", "{layer}, predicted {lacks:?}");
            listed += lacks.len();
        }
        assert_eq!(listed, self.lacking().len(), "{layers:?}");
    }
}
