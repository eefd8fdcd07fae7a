//! A server free and confined, side by side. Free it has tini for its PID 1: what a server
//! that is PID 1 itself does at a signal is another matter.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use crate::container::{Container, Results};
use crate::server::{Fails, Server};

/// What a confined run gave beside the free one.
pub struct Comparison {
    equal: bool,
    violations: String,
    said: String,
}

/// Runs a server free, once for all that ask, and under remit-init with more options of `docker
/// run`.
pub fn compare(server: &Server, options: &[String]) -> Comparison {
    let (free, (confined, violations, log)) = thread::scope(|scope| {
        let free = scope.spawn(|| free(server));
        let container = Container::start(server, &["/remit-init", "--"], options);
        let results = container.works(server);
        let violations: String = container.violations().iter().map(|event| format!("{event}\n")).collect();
        (
            free.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            (results, violations, container.log()),
        )
    });
    let equal = *free == confined;
    let said = format!(
        "{}: free {free:#?}\nconfined {confined:#?}\nviolations {violations}\nlog {log}",
        server.name
    );
    Comparison { equal, violations, said }
}

impl Comparison {
    /// The same results, and no violation.
    pub fn is_clean(&self) {
        assert!(self.equal && self.violations.is_empty(), "{}", self.said);
    }

    /// What a row that is not yet clean says of itself.
    pub fn fails(&self, fails: Fails) {
        let Comparison { equal, violations, said } = self;
        let clean = *equal && violations.is_empty();
        assert!(!clean, "it works under baseline now: take its `fails` away. {said}");
        let as_said = *equal && violations.contains(fails.event);
        assert!(as_said, "its `fails` has another reason now: {said}");
    }
}

/// One run, made by the first thread that asks.
type Run = &'static OnceLock<Results>;

/// The free run of a row.
fn free(server: &Server) -> &'static Results {
    static RUNS: Mutex<BTreeMap<(&str, bool), Run>> = Mutex::new(BTreeMap::new());
    let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    let run = *runs.entry((server.name, server.reloads)).or_insert_with(|| Box::leak(Box::default()));
    drop(runs);
    run.get_or_init(|| {
        let container = Container::start(server, &["tini", "--"], &[]);
        let results = container.works(server);
        let works = results.phases.iter().all(|phase| phase.ends_with("\n0") || phase.ends_with(": 0"));
        let ends = results.codes == [server.ends; 2];
        assert!(works && ends, "{} free: {results:#?}\nlog {}", server.name, container.log());
        results
    })
}
