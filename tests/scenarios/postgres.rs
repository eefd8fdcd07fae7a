//! postgres under `baseline`, with nothing written: its entrypoint makes a cluster
//! and becomes another user on the way, and the server does the work of a database.
//! What its superuser may start is confined as it is.

use std::process::Command;

use crate::servers::image;
use crate::support::{Init, Place, Run, Running, can_run};

const COMMAND: &[&str] =
    &["/postgres-entrypoint.sh", "postgres", "-c", "listen_addresses=*", "-k", "/run/postgresql"];

/// Where Debian has them, in whatever version.
fn programs() -> Option<String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|version| format!("{}/bin", version.path().display())).max()
}

fn started(place: Place, init: Init) -> Option<(Running, String)> {
    let bin = programs().unwrap_or("/usr/lib/postgresql/bin".into());
    if !can_run(place, &[&format!("{bin}/postgres"), "/usr/sbin/gosu"]) {
        return None;
    }
    let running = Run::new(image(), place, init, COMMAND).mount("/usr").start();
    // The one that sets the cluster up, and the one that stays.
    running.lines("database system is ready to accept connections", 2);
    Some((running, bin))
}

/// What a client program says to it.
fn client(running: &Running, program: &str, args: &[&str]) -> String {
    let ask = || {
        let mut client = Command::new(program);
        client.args(["--host", "127.0.0.1", "--username", "postgres"]).args(args);
        client.output()
    };
    let output = running.in_network(ask).expect("the client runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}

fn ask(running: &Running, bin: &str, text: &str) -> String {
    client(
        running,
        &format!("{bin}/psql"),
        &["--no-psqlrc", "--tuples-only", "--no-align", "--command", text, "app"],
    )
}

/// A query, and the last line of its answer.
const WORK: &[(&str, &str)] = &[
    (
        "CREATE TABLE t AS SELECT n, md5(n::text) AS text FROM generate_series(1, 200000) AS n",
        "SELECT 200000",
    ),
    ("CREATE INDEX ON t (text); ANALYZE t", "ANALYZE"),
    // On disk, since it is more than the memory that it may take.
    ("SELECT n FROM t ORDER BY text LIMIT 1", "5329"),
    (
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; \
      SELECT count(*) FROM t WHERE text LIKE '%ab%'",
        "22827",
    ),
    ("SET jit = on; SET jit_above_cost = 0; SELECT sum(n) FROM t", "20000100000"),
    (
        "DO $$ BEGIN PERFORM pg_notify('c', 'x'); RAISE EXCEPTION 'undone'; END $$",
        "CONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE",
    ),
    ("SELECT pg_advisory_lock(1), pg_sleep(0.01); CHECKPOINT", "CHECKPOINT"),
    ("COPY (SELECT 1) TO '/tmp/copied'; CREATE TABLE c (n int); COPY c FROM '/tmp/copied'", "COPY 1"),
    ("COPY c FROM PROGRAM 'echo 2'; SELECT sum(n) FROM c", "3"),
    ("DELETE FROM t WHERE n % 2 = 0", "DELETE 100000"),
    ("VACUUM FULL t", "VACUUM"),
    ("SELECT pg_reload_conf()", "t"),
];

fn works(place: Place) {
    let Some((mut running, bin)) = started(place, Init::remit(&[])) else { return };
    for (text, answer) in WORK {
        let said = ask(&running, &bin, text);
        assert_eq!(said.lines().last(), Some(*answer), "{text}\n{said}\n{}", running.stderr());
    }
    running.line("received SIGHUP, reloading configuration files");
    let pgbench = format!("{bin}/pgbench");
    client(&running, &pgbench, &["--initialize", "app"]);
    let load = client(&running, &pgbench, &["--client=4", "--jobs=2", "--transactions=100", "app"]);
    assert!(
        load.contains("number of transactions actually processed: 400/400"),
        "{load}\n{}",
        running.stderr()
    );
    assert_eq!(running.stop().code, 0, "{}", running.stderr());
    let events = running.events();
    assert_eq!(events.of("start")[0]["policy"]["name"], "baseline", "{}", running.stderr());
    assert!(events.violations().is_empty(), "{:#?}", events.violations());
}

#[test]
fn works_in_docker() {
    works(Place::Docker);
}

#[test]
fn works_restricted() {
    works(Place::Restricted);
}

/// A client with its superuser starts programs; `baseline` lets them start those of the
/// image, and no other.
const DROP_A_TOOL: &str = "COPY (SELECT 1) TO PROGRAM 'cp /usr/bin/env /tmp/tool && /tmp/tool'";

#[test]
fn a_tool_that_its_superuser_drops_does_not_run() {
    let Some((free, bin)) = started(Place::Docker, Init::remit(&["--mode", "off"])) else { return };
    assert_eq!(ask(&free, &bin, DROP_A_TOOL), "COPY 1");
    let Some((confined, bin)) = started(Place::Docker, Init::remit(&[])) else { return };
    let said = ask(&confined, &bin, DROP_A_TOOL);
    assert!(said.contains("command not executable"), "{said}\n{}", confined.stderr());
    let path = confined.event(|events| Some(events.violations().first()?["object"]["path"].clone()));
    assert_eq!(path.expect("a violation"), "/tmp/tool");
    assert_eq!(confined.events().violations().len(), 1, "{}", confined.stderr());
}
