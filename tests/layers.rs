//! Holds the layering of `src`: which module may import which, where `unsafe` may stand,
//! what the shim must not link, how long a file may be. Read from the text, so
//! that it holds for what is not compiled here too. Code under `cfg(test)` may
//! import what it likes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

mod layers {
    pub mod modules;
    pub mod types;
}

/// Low to high: a module imports from the lines above its own, never from its
/// own line or below.
const LAYERS: [&[&str]; 18] = [
    &["hex", "ids", "kernel", "mutation", "visible"],
    &["procfs"],
    &["syscalls"],
    &["profile", "image", "filter"],
    &["plan", "event", "reach"],
    &["journal"],
    &["learn"],
    &["review"],
    &["exchange", "gate", "incident", "report"],
    &["doctor"],
    &["policy", "readiness"],
    &["enforce"],
    &["notify"],
    &["init", "processes"],
    &["tracer"],
    &["enforcer", "recorder"],
    &["shim"],
    &["tool"],
];

/// The one room for `unsafe`. It imports nothing of the crate.
const UNSAFE_ROOM: &str = "sys";

/// What may import [`UNSAFE_ROOM`]: modules, or files by the start of their path.
const NEAR_THE_KERNEL: [&str; 21] = [
    "enforce/",
    "enforcer/",
    "init/",
    "journal/",
    "notify/",
    "processes/",
    "procfs/",
    "readiness/",
    "recorder/",
    "tracer/",
    "shim/",
    "image/digest",
    "image/live",
    "event/names",
    "event/writer",
    "event/sink",
    "tool/error",
    "tool/self_test",
    "tool/session",
    "tool/verify/drop_test",
    "tool/verify/failures",
];

/// What may make threads: the pool, of whose threads the filter has the numbers; what ends
/// before the app begins; and learning, which refuses nothing.
const MAKE_THREADS: [&str; 5] = ["sys/threads", "enforce/probe", "recorder/", "journal/", "tool/"];

/// What may name clap: it would make the shim a third larger.
const CLAP: [&str; 2] = ["tool/", "bin/remit.rs"];

/// What each thin binary may name of the library.
const BINARIES: [(&str, &[&str]); 2] =
    [("bin/remit-init.rs", &["entry_point", "shim"]), ("bin/remit.rs", &["tool", "kernel"])];

/// Lines of a file at most; tables may be as long as what they list.
const LINES: usize = 600;
const TABLES: [&str; 1] = ["syscalls/"];

#[test]
fn src_keeps_its_layers() {
    let tree = read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    assert!(tree.len() > 5, "src was not read: {} files", tree.len());
    let faults = faults(&tree);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_module_imports_itself_over_others() {
    let cycles = layers::modules::cycles(&read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))));
    assert!(cycles.is_empty(), "cycles of imports:\n{}\n", cycles.join("\n"));
}

#[test]
fn a_public_type_shares_its_name_with_no_other() {
    let ambiguous = layers::types::ambiguous(&read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))));
    assert!(ambiguous.is_empty(), "a name for several types:\n{}\n", ambiguous.join("\n"));
}

#[test]
fn a_name_of_two_types_is_found() {
    let files = [
        (
            "plan/mod.rs",
            "pub struct Rule<'a> {}\npub(super) enum Kind {}\nstruct Own;\n// pub struct Line;\n",
        ),
        ("plan/json.rs", "struct Rule;\nstruct Own;\nfn f() {\n    struct Line;\n}\n"),
        ("policy/mod.rs", "pub unsafe trait Kind {}\npub type Line = u8;\npub type Line = u16;\n"),
        ("policy/tests.rs", "pub struct Line;\n"),
    ];
    let tree = files.map(|(path, code)| (path.to_owned(), code.to_owned())).into();
    assert_eq!(
        layers::types::ambiguous(&tree),
        ["Kind: plan/mod.rs, policy/mod.rs", "Rule: plan/json.rs, plan/mod.rs"]
    );
}

#[test]
fn a_fault_of_each_kind_is_found() {
    let long = "//\n".repeat(LINES + 1);
    let files = [
        ("lib.rs", "pub mod plan;"),
        ("plan/mod.rs", "use crate::{kernel::Kernel, enforce::{self, Step}, event};"),
        ("kernel.rs", "#[cfg(test)]\nmod tests;\nfn f() { super::profile::read() }"),
        ("profile/mod.rs", "use crate::sys; use clap::Parser;\nmod plan;\nuse super::kernel;"),
        ("profile/tree.rs", "use super::plan;"),
        ("profile/plan.rs", "/* unsafe */ // use crate::tool\nconst A: &str = \"crate::tool unsafe\";"),
        ("image/live.rs", "use crate::sys::stat;"),
        ("image/mod.rs", "#[cfg(test)]\nmod tests { use crate::plan::Plan; fn f<'a>() { '\\''; } }"),
        ("sys/mod.rs", "#![allow(unsafe_code)]\nuse crate::kernel::Arch; unsafe fn f() {}"),
        ("enforce/mod.rs", "use crate::utils::x; #[allow(unsafe_code)] fn f() { unsafe { g() } }"),
        ("shim/mod.rs", "fn f() { crate::tool::run() }"),
        ("init/mod.rs", "fn f() { std::thread::spawn(g) }"),
        ("init/run.rs", "#[cfg(test)]\nmod tests { fn f() { std::thread::spawn(g) } }"),
        ("bin/remit-init.rs", "fn main() { remit::plan::x(); remit::shim::main() }"),
        ("event/long.rs", &long),
        ("syscalls/x86_64.rs", &long),
    ];
    let forbids = |path: &str| is_root(path) && !["enforce/mod.rs", "sys/mod.rs"].contains(&path);
    let text = |path: &str, text: &str| {
        if forbids(path) { format!("#![forbid(unsafe_code)]\n{text}") } else { text.to_owned() }
    };
    let tree = files.map(|(path, code)| (path.to_owned(), text(path, code))).into();
    let expected = [
        "bin/remit-init.rs: names remit::plan; a thin binary names remit::entry_point, remit::shim alone",
        "enforce/mod.rs: allow(unsafe_code) outside sys",
        "enforce/mod.rs: imports utils, which has no layer; give it one in tests/layers.rs",
        "enforce/mod.rs: no #![forbid(unsafe_code)]",
        "enforce/mod.rs: unsafe outside sys",
        "event/long.rs: 601 lines; 600 at most, so divide it",
        "init/mod.rs: makes a thread; have sys::threads run it",
        "kernel.rs: imports profile, which is not below kernel",
        "lib.rs: no #![deny(unsafe_code)]",
        "plan/mod.rs: imports enforce, which is not below plan",
        "plan/mod.rs: imports event, which is not below plan",
        "profile/mod.rs: imports sys, which is for enforce/, enforcer/, init/, journal/, notify/, processes/, procfs/, readiness/, recorder/, tracer/, shim/, image/digest, image/live, event/names, event/writer, event/sink, tool/error, tool/self_test, tool/session, tool/verify/drop_test, tool/verify/failures alone",
        "profile/mod.rs: names clap, which is for tool/, bin/remit.rs alone",
        "shim/mod.rs: imports tool, which is not below shim",
        "sys/mod.rs: imports kernel; sys imports nothing of the crate",
    ];
    assert_eq!(faults(&tree), expected);
}

/// Files by their path below `src`.
type Tree = BTreeMap<String, String>;

fn read(src: &Path) -> Tree {
    let (mut tree, mut folders) = (Tree::new(), vec![src.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder below src can be listed") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(src).expect("found below src").to_string_lossy().into_owned();
                tree.insert(name, fs::read_to_string(&path).expect("a source file is UTF-8"));
            }
        }
    }
    tree
}

/// What is wrong, sorted, one line each.
fn faults(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree {
        let code = code_of(text);
        let mut fault = |what: String| found.push(format!("{path}: {what}"));
        if path == "lib.rs" && !code.contains("#![deny(unsafe_code)]") {
            fault("no #![deny(unsafe_code)]".to_owned());
        }
        let room = module_of(path) == UNSAFE_ROOM;
        // The macro of the unsafe room has the one unsafe item of the binary that it makes.
        let entry = path.starts_with("bin/") && code.contains("remit::entry_point!");
        if !room && is_root(path) && !entry && !code.contains("#![forbid(unsafe_code)]") {
            fault("no #![forbid(unsafe_code)]".to_owned());
        }
        // The room's one allowance may stand at its declaration.
        if !room && path != "lib.rs" && code.contains("allow(unsafe_code)") {
            fault(format!("allow(unsafe_code) outside {UNSAFE_ROOM}"));
        }
        if path == "lib.rs" && code.matches("allow(unsafe_code)").count() > 1 {
            fault("more than one allow(unsafe_code)".to_owned());
        }
        if !room && !words(&code, "unsafe").is_empty() {
            fault(format!("unsafe outside {UNSAFE_ROOM}"));
        }
        if !begins(path, &CLAP) && !words(&code, "clap").is_empty() {
            fault(format!("names clap, which is for {} alone", CLAP.join(", ")));
        }
        let product = product_of(&code);
        let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
        let makes =
            ["thread::Builder", "thread::spawn", "thread::scope"].iter().any(|way| product.contains(way));
        if makes && !is_test && !begins(path, &MAKE_THREADS) {
            fault("makes a thread; have sys::threads run it".to_owned());
        }
        let lines = text.lines().count();
        if lines > LINES && !begins(path, &TABLES) {
            fault(format!("{lines} lines; {LINES} at most, so divide it"));
        }
        if let Some((_, may)) = BINARIES.iter().find(|(binary, _)| binary == path) {
            for name in names_after(&code, "remit").iter().filter(|n| !may.contains(&n.as_str())) {
                fault(format!(
                    "names remit::{name}; a thin binary names remit::{} alone",
                    may.join(", remit::")
                ));
            }
        }
        imports(tree, path, &code).iter().filter_map(|to| misplaced(path, to)).for_each(fault);
    }
    found.sort();
    found.dedup();
    found
}

/// Whether a file begins a room or a binary: its attributes are those of all files below.
fn is_root(path: &str) -> bool {
    let of_a_room = path.strip_suffix("/mod.rs").or(path.strip_suffix(".rs"));
    path.starts_with("bin/") || path != "lib.rs" && of_a_room.is_some_and(|name| !name.contains('/'))
}

/// What is wrong with `path` importing the module `to`.
fn misplaced(path: &str, to: &str) -> Option<String> {
    let from = module_of(path);
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    if from == to || path == "lib.rs" {
        return None;
    }
    if from == UNSAFE_ROOM {
        return Some(format!("imports {to}; {UNSAFE_ROOM} imports nothing of the crate"));
    }
    if to == UNSAFE_ROOM {
        let near = begins(path, &NEAR_THE_KERNEL) || begins(&format!("{from}/"), &NEAR_THE_KERNEL);
        return (!near).then(|| format!("imports {to}, which is for {} alone", NEAR_THE_KERNEL.join(", ")));
    }
    match (layer(from), layer(to)) {
        (Some(from), Some(to)) if to < from => None,
        (Some(_), Some(_)) => Some(format!("imports {to}, which is not below {from}")),
        (_, None) => Some(format!("imports {to}, which has no layer; give it one in tests/layers.rs")),
        (None, _) => Some(format!("{from} has no layer; give it one in tests/layers.rs")),
    }
}

/// Modules of the crate that a file names outside its tests: `crate::x`, and
/// `super::x` where x is no module of its own folder.
fn imports(tree: &Tree, path: &str, code: &str) -> Vec<String> {
    if path.starts_with("bin/") || path.ends_with("tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    let code = product_of(code);
    let mut found = names_after(&code, "crate");
    let known =
        |name: &String| LAYERS.iter().any(|layer| layer.contains(&name.as_str())) || name == UNSAFE_ROOM;
    let own = |name: &String| {
        let stem = format!("{}/{name}", module_of(path));
        tree.contains_key(&format!("{stem}.rs")) || tree.contains_key(&format!("{stem}/mod.rs"))
    };
    found.extend(names_after(&code, "super").into_iter().filter(|name| known(name) && !own(name)));
    found
}

fn module_of(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn begins(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// The first names behind `root::`, one or a group in braces.
fn names_after(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    for at in words(code, root) {
        let Some(rest) = code[at + root.len()..].trim_start().strip_prefix("::") else { continue };
        let rest = rest.trim_start();
        let Some(group) = rest.strip_prefix('{') else {
            found.push(name_at(rest));
            continue;
        };
        let (mut depth, mut item) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' if depth > 0 => {}
                ',' | '}' => {
                    found.push(name_at(group[item..at].trim_start()));
                    item = at + 1;
                }
                _ => {}
            }
            if c == '}' && depth == 0 && item == at + 1 {
                break;
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|&c| is_word(c)).collect()
}

/// Where `word` stands by itself.
fn words(code: &str, word: &str) -> Vec<usize> {
    let alone = |at: &usize| {
        let (before, after) = (&code[..*at], &code[*at + word.len()..]);
        !before.ends_with(is_word) && !after.starts_with(is_word)
    };
    code.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Code without the items that are compiled for tests alone.
fn product_of(code: &str) -> String {
    const TESTS: &str = "#[cfg(test)]";
    let (mut product, mut rest) = (String::new(), code);
    while let Some(at) = rest.find(TESTS) {
        product.push_str(&rest[..at]);
        let item = &rest[at + TESTS.len()..];
        let mut depth = 0;
        let end = item.char_indices().find(|&(_, c)| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            depth == 0 && matches!(c, ';' | '}')
        });
        rest = end.map_or("", |(end, _)| &item[end + 1..]);
    }
    product + rest
}

/// The text without comments and without what stands in quotes.
fn code_of(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(hashes) = raw_string(rest, &code) {
            let (open, close) = (hashes + 2, format!("\"{}", "#".repeat(hashes)));
            rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len())
        } else if c == '"' {
            quoted(rest, '"').unwrap_or(rest.len())
        } else if c == '\'' {
            // A character, or else a lifetime, which is code.
            quoted(rest, '\'')
                .filter(|&n| rest.starts_with("'\\") || rest[..n].chars().count() == 3)
                .unwrap_or(0)
        } else {
            0
        };
        let taken = if skip == 0 { c.len_utf8() } else { skip };
        code.push_str(if skip == 0 { &rest[..taken] } else { " " });
        rest = &rest[taken..];
    }
    code
}

/// The number of `#` of a raw string that begins here.
fn raw_string(rest: &str, before: &str) -> Option<usize> {
    let hashes =
        rest.strip_prefix('r').filter(|_| !before.ends_with(|c| is_word(c) && c != 'b' && c != 'c'))?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[count..].starts_with('"').then_some(count)
}

/// Bytes up to and with the closing quote, escapes skipped.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let close = rest.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    close.map(|(at, _)| at + 1)
}
