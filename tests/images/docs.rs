//! docs/servers.md has the rows as they are.

use std::fmt::Write;

use crate::rows;
use crate::server::Server;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/servers.md");

/// The table: the rows that fail, if any, first.
fn table() -> String {
    let mut table =
        String::from("| server | its image | a client's work | under `baseline` |\n|---|---|---|---|\n");
    let all = rows::all();
    let (failing, right): (Vec<&Server>, Vec<&Server>) =
        all.iter().partition(|server| server.fails.is_some());
    for server in failing.into_iter().chain(right) {
        let result = match server.fails {
            None => "the same".to_owned(),
            Some(fails) => format!("**the same, with violations**: {}", fails.why),
        };
        let reload = if server.reloads { "; a reload" } else { "" };
        writeln!(table, "| {} | {} | {}{reload} | {result} |", server.name, server.shape, server.work)
            .expect("a string takes all");
    }
    table
}

/// The ready-made profiles, as `remit profiles` lists them.
fn profiles() -> String {
    let mut table = String::from("| profile | tested with |\n|---|---|\n");
    for ready in &remit::tool::READY {
        writeln!(table, "| `{}` | {} |", ready.name, ready.tested).expect("a string takes all");
    }
    table
}

#[test]
fn the_tables_of_the_documentation_are_these() {
    for table in [table(), profiles()] {
        compare(&table);
    }
}

/// `UPDATE_GOLDEN=1` writes it anew.
fn compare(table: &str) {
    let text = std::fs::read_to_string(DOCUMENT).expect("docs/servers.md");
    let head = table.lines().next().expect("a head");
    let begin = text.find(head).unwrap_or_else(|| panic!("docs/servers.md has no table {head}"));
    let end = text[begin..].find("\n\n").map_or(text.len(), |length| begin + length + 1);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let new = [&text[..begin], table, &text[end..]].concat();
        std::fs::write(DOCUMENT, new).expect("docs/servers.md");
        return;
    }
    assert_eq!(&text[begin..end], table, "UPDATE_GOLDEN=1 cargo test --test images docs::");
}
