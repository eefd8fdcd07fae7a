//! Holds that no module imports, over whatever others, itself: inside a room as between
//! rooms. A module and one below it (`plan` and `plan::links`) are one thing in two files
//! and may name each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Tree, code_of, is_word, name_at, product_of, words};

/// A module by its path below `src`: `plan/links`; the crate's root is empty.
type Module = String;

/// A path as it is written, in its names.
type Names = Vec<String>;

/// One name that a `use` brings into a module.
struct Use {
    /// The path that it is the last name of.
    path: Names,
    /// The name by which the module has it.
    name: String,
}

/// What a module imports and names outside its tests.
struct Source {
    uses: Vec<Use>,
    /// Paths in its code.
    paths: Vec<Names>,
}

/// The cycles of a tree, one line each: its modules, and the imports that make it.
pub fn cycles(tree: &Tree) -> Vec<String> {
    let sources = sources(tree);
    let edges: BTreeMap<_, _> = sources.keys().map(|from| (from, imports(&sources, from))).collect();
    let reached: BTreeMap<_, _> = edges.keys().map(|from| (*from, reach(&edges, from))).collect();
    let mut found = BTreeSet::new();
    for (from, reached_from) in reached.iter().filter(|(from, reached)| reached.contains(**from)) {
        let is_back = |to: &Module| reached.get(to).is_some_and(|reached| reached.contains(*from));
        let cycle = reached_from.iter().copied().filter(|to| is_back(to)).cloned();
        found.insert(cycle.collect::<Vec<_>>());
    }
    let line = |cycle: &Vec<Module>| {
        let within = |from: &Module| {
            let imports = edges[from].iter().filter(|(to, _)| cycle.contains(to));
            let paths: BTreeSet<_> = imports.flat_map(|(_, paths)| paths).map(String::as_str).collect();
            format!("{from} imports {}", paths.into_iter().collect::<Vec<_>>().join(", "))
        };
        format!("{}: {}", cycle.join(", "), cycle.iter().map(within).collect::<Vec<_>>().join("; "))
    };
    found.iter().map(line).collect()
}

/// The modules that an import of `from` leads to, itself left out, each with the paths that
/// lead there.
fn imports(sources: &BTreeMap<Module, Source>, from: &str) -> BTreeMap<Module, BTreeSet<String>> {
    let source = &sources[from];
    let mut found = BTreeMap::<Module, BTreeSet<String>>::new();
    // What is named by an import says no more than the import, unless it leads further.
    let is_whole = |path: &&Names| matches!(path[0].as_str(), "crate" | "self" | "super");
    let (whole, short): (Vec<_>, Vec<_>) = source.paths.iter().partition(is_whole);
    for path in source.uses.iter().map(|one| &one.path).chain(whole).chain(short) {
        let Some(to) = resolve(sources, from, path, 0) else { continue };
        let is_new = is_whole(&path) || source.uses.iter().any(|one| one.path == *path);
        if !is_within(&to, from) && !is_within(from, &to) && (is_new || !found.contains_key(&to)) {
            found.entry(to).or_default().insert(path.join("::"));
        }
    }
    found
}

/// The module that a path of `from` leads into: over modules, and over names that one of
/// them has by a `use`. None for what is not the crate's.
fn resolve(sources: &BTreeMap<Module, Source>, from: &str, path: &[String], depth: usize) -> Option<Module> {
    // `use a::b as b` in two modules may go in circles.
    const DEEP: usize = 16;
    if depth > DEEP {
        return None;
    }
    let (head, mut rest) = path.split_first()?;
    let mut at = match head.as_str() {
        "crate" => String::new(),
        "self" => from.to_owned(),
        "super" => above(from)?,
        _ => {
            rest = path;
            let own = |name| below(from, name);
            let is_own = sources.contains_key(&own(head));
            let is_used = sources[from].uses.iter().any(|one| one.name == *head && one.path != path);
            (is_own || is_used).then(|| from.to_owned())?
        }
    };
    while let Some((name, behind)) = rest.split_first() {
        let child = below(&at, name);
        if name == "super" {
            at = above(&at)?;
        } else if sources.contains_key(&child) {
            at = child;
        } else if let Some(one) = sources.get(&at)?.uses.iter().find(|one| one.name == *name) {
            let whole: Names = one.path.iter().chain(behind).cloned().collect();
            // What another crate brings there is still taken from that module.
            return resolve(sources, &at, &whole, depth + 1).or(Some(at));
        } else {
            break;
        }
        rest = behind;
    }
    Some(at)
}

fn above(module: &str) -> Option<Module> {
    (!module.is_empty()).then(|| module.rsplit_once('/').map_or("", |(above, _)| above).to_owned())
}

fn below(module: &str, name: &str) -> Module {
    if module.is_empty() { name.to_owned() } else { format!("{module}/{name}") }
}

/// Whether this is the other module or one below it.
fn is_within(module: &str, other: &str) -> bool {
    other.is_empty()
        || module.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The modules that are reached by one import or more.
fn reach<'a>(
    edges: &'a BTreeMap<&Module, BTreeMap<Module, BTreeSet<String>>>,
    from: &Module,
) -> BTreeSet<&'a Module> {
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(module) = ahead.pop() {
        for to in edges.get(module).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to) {
                ahead.push(to);
            }
        }
    }
    reached
}

/// Every module of the library outside its tests.
fn sources(tree: &Tree) -> BTreeMap<Module, Source> {
    let mut sources = BTreeMap::new();
    for (path, text) in tree {
        if path.starts_with("bin/") || path.ends_with("tests.rs") || path.contains("/tests/") {
            continue;
        }
        let module = path.trim_end_matches(".rs");
        let module = module.strip_suffix("/mod").unwrap_or(module);
        let module = if module == "lib" { "" } else { module };
        sources.insert(module.to_owned(), source(&product_of(&code_of(text))));
    }
    sources
}

fn source(code: &str) -> Source {
    let (mut uses, mut rest, mut at) = (Vec::new(), String::new(), 0);
    for start in words(code, "use") {
        // Not `impl Trait + use<'a>`.
        let tree = &code[start + "use".len()..];
        let Some(end) = tree.find(';').filter(|_| tree.starts_with(char::is_whitespace)) else { continue };
        expand(&[], &tree[..end], &mut uses);
        rest.push_str(&code[at..start]);
        at = start + "use".len() + end;
    }
    rest.push_str(&code[at..]);
    Source { uses, paths: paths(&rest) }
}

/// Each name of a `use` tree with its whole path.
fn expand(before: &[String], tree: &str, uses: &mut Vec<Use>) {
    let mut depth = 0;
    let items = tree.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    for item in items.map(str::trim).filter(|item| !item.is_empty()) {
        let (path, group) = match item.split_once('{') {
            Some((path, group)) => (path, group.rsplit_once('}').map(|(group, _)| group)),
            None => (item, None),
        };
        let (path, other_name) =
            path.split_once(" as ").map_or((path, None), |(path, name)| (path, Some(name)));
        let names = path.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let mut whole: Names = before.iter().cloned().chain(names).collect();
        if let Some(group) = group {
            expand(&whole, group, uses);
            continue;
        }
        // `a::{self}` is `a`.
        if !before.is_empty() && whole.len() > 1 && whole.last().is_some_and(|name| name == "self") {
            whole.pop();
        }
        let name = other_name.or(whole.last().map(String::as_str)).unwrap_or_default().trim().to_owned();
        uses.push(Use { path: whole, name });
    }
}

/// The paths of more than one name in code.
fn paths(code: &str) -> Vec<Names> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some(start) = rest.find(is_word) {
        rest = &rest[start..];
        let mut path = Vec::new();
        loop {
            let name = name_at(rest);
            rest = &rest[name.len()..];
            path.push(name);
            match rest.trim_start().strip_prefix("::").map(str::trim_start) {
                Some(next) if next.starts_with(is_word) => rest = next,
                _ => break,
            }
        }
        if path.len() > 1 {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_cycle_is_found_with_its_imports() {
    let files = [
        ("lib.rs", "mod plan;\nmod kernel;"),
        // Of two, through a group in a group and a name in code.
        (
            "plan/mod.rs",
            "mod links;\nmod files;\npub use links::Link;\npub struct Plan;\nfn f() { files::find() }",
        ),
        ("plan/links.rs", "use crate::{kernel::Arch, plan::{self, files::{Files as All, ALL}}};"),
        ("plan/files.rs", "use super::Plan;\nfn f() { super::links::Links::of() }"),
        // Of three, through a name that the module above has by `use`, a file and its folder.
        ("policy/mod.rs", "mod a;\nmod b;\nmod c;\nuse c::Third;"),
        ("policy/a.rs", "use self::inner::x;\nuse super::b;\nfn f() { b::g() }"),
        ("policy/a/inner.rs", "use super::f;"),
        ("policy/b.rs", "use super::Third;"),
        ("policy/c.rs", "use super::super::policy::a as first;\nfn f() { first::f() }"),
        // Through an imported module.
        ("profile/mod.rs", "mod read;\nmod rules;"),
        ("profile/read.rs", "use crate::profile;\nfn f() { profile::rules::f() }"),
        ("profile/rules.rs", "use super::read::count;"),
        // None: comments, quotes, tests, what is written but not imported.
        ("kernel.rs", "// use crate::plan;\nconst A: &str = \"crate::plan::files\";"),
        ("event/mod.rs", "mod one;\nmod two;"),
        ("event/one.rs", "use super::two;\n#[cfg(test)]\nmod tests { use super::*; }"),
        ("event/two.rs", "fn f() { one::f() }\n#[cfg(test)]\nmod tests { use crate::event::one; }"),
        ("event/two/tests.rs", "use crate::event::one;"),
    ];
    let tree = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let expected = [
        "plan/files, plan/links: plan/files imports super::links::Links::of; plan/links imports crate::plan::files::ALL, crate::plan::files::Files",
        "policy/a, policy/b, policy/c: policy/a imports super::b; policy/b imports super::Third; policy/c imports super::super::policy::a",
        "profile/read, profile/rules: profile/read imports profile::rules::f; profile/rules imports super::read::count",
    ];
    assert_eq!(cycles(&tree), expected);
}

#[test]
fn a_module_and_one_below_it_are_no_cycle() {
    let files = [
        ("plan/mod.rs", "mod links;\nuse links::Links;\nfn f() { self::links::find() }"),
        ("plan/links.rs", "mod walk;\nuse super::{Plan, f};\nuse walk::Walk;"),
        ("plan/links/walk.rs", "use super::Links;\nfn f() { crate::plan::f() }"),
    ];
    let tree = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    assert_eq!(cycles(&tree), Vec::<String>::new());
}
