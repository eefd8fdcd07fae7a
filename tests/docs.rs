//! The documentation, the helps, CI and the code say the same: every flag and variable in both
//! directions, every command, every profile, every link.

#[path = "support/descriptors.rs"]
mod descriptors;
#[path = "docs/reference.rs"]
mod reference;
#[path = "support/skip.rs"]
mod skip;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = include_str!("../README.md");
const USAGE: &str = include_str!("../docs/usage.md");
const COSTS: &str = include_str!("../docs/costs.md");
/// Lines of the README at most.
const README_LINES: usize = 170;
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SHIM: &str = env!("CARGO_BIN_EXE_remit-init");
const TOOL: &str = env!("CARGO_BIN_EXE_remit");

type Words = BTreeSet<String>;

fn help(binary: &str, verb: &[&str]) -> String {
    let output = Command::new(binary).args(verb).arg("--help").output().expect("the binary runs");
    assert!(output.status.success(), "{binary} {verb:?} --help: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a help is text")
}

/// The verbs of the tool, from its help.
fn verbs() -> Vec<String> {
    let help = help(TOOL, &[]);
    let commands = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
    let lines = commands.expect("the help lists commands").lines();
    lines
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect()
}

/// Whether a word has the form of a flag: `-g`, `--grace`.
fn flag(word: &str) -> Option<String> {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let name = word.split(['=', '[']).next()?;
    let letters = name
        .strip_prefix("--")
        .filter(|rest| rest.len() > 1)
        .or_else(|| name.strip_prefix('-').filter(|rest| rest.len() == 1))?;
    letters.chars().all(|c| c.is_ascii_lowercase() || c == '-').then(|| name.to_owned())
}

/// The flags that a help defines: at the start of its indented lines.
fn defined(help: &str) -> Words {
    let definitions =
        help.lines().filter(|line| line.trim_start().starts_with('-') && line.starts_with("  "));
    let head = |line: &str| line.trim_start().split("  ").next().unwrap_or_default().to_owned();
    definitions
        .map(head)
        .flat_map(|head| head.split([',', ' ']).filter_map(flag).collect::<Vec<_>>())
        .collect()
}

/// What stands in backticks, outside of blocks.
fn quoted(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// The blocks of one language.
fn blocks<'a>(text: &'a str, language: &'a str) -> Vec<&'a str> {
    let inside = text.split("```").skip(1).step_by(2);
    inside.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// The section of that title, up to the next of any level.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let start = text.find(title).unwrap_or_else(|| panic!("there is no section `{title}`"));
    let rest = &text[start + title.len()..];
    rest.split("\n#").next().unwrap_or(rest)
}

fn assert_same(what: &str, text: &Words, truth: &Words) {
    let only = |left: &Words, right: &Words| left.difference(right).cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        text,
        truth,
        "{what}: only in the text: [{}]; not in the text: [{}]",
        only(text, truth),
        only(truth, text)
    );
}

/// Every page of documentation, by its path from the root.
fn pages() -> Vec<(PathBuf, String)> {
    let mut folders = vec![PathBuf::from("docs"), "examples".into(), "tests".into()];
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(PathBuf::from).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).expect("a folder of the project") {
            let entry = entry.expect("its entries can be read");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(Path::new(ROOT).join(&path)).expect("a page can be read");
        (path, text)
    };
    pages.into_iter().filter(|path| Path::new(ROOT).join(path).exists()).map(read).collect()
}

/// The names by which a page's headings are linked to, as GitHub makes them.
fn anchors(text: &str) -> Words {
    let outside: String = text.split("```").step_by(2).collect();
    let headings = outside.lines().filter(|line| line.starts_with('#'));
    let name = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect::<String>()
    };
    headings.map(name).collect()
}

#[test]
fn the_shims_flags_are_the_same_in_the_usage_and_its_help() {
    let rows = section(USAGE, "## remit-init").lines().filter(|line| line.starts_with("| `-"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let usage =
        cells.flat_map(quoted).flat_map(|code| code.split([' ', ',', '\n']).filter_map(flag)).collect();
    assert_same("remit-init", &usage, &defined(&help(SHIM, &[])));
}

#[test]
fn the_variables_are_the_same_in_the_usage_and_the_help() {
    let names = |text: &str| -> Words {
        let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        words
            .filter(|word| word.starts_with("REMIT_") || word.starts_with("TINI_"))
            .map(str::to_owned)
            .collect()
    };
    assert_same("variables", &names(section(USAGE, "## remit-init")), &names(&help(SHIM, &[])));
}

#[test]
fn the_tools_verbs_and_flags_are_in_the_usage() {
    let mut flags = defined(&help(TOOL, &[]));
    for verb in verbs() {
        assert!(
            USAGE.contains(&format!("`remit {verb}")),
            "`remit {verb}` is in the help and not in docs/usage.md"
        );
        flags.extend(defined(&help(TOOL, &[&verb])));
    }
    let everything: Words =
        quoted(USAGE).into_iter().flat_map(|code| code.split([' ', ',', '\n']).filter_map(flag)).collect();
    let missing: Vec<_> = flags.difference(&everything).filter(|flag| flag.starts_with("--")).collect();
    assert!(missing.is_empty(), "in a help of `remit` and not in docs/usage.md: {missing:?}");
}

/// Every `remit …` that a page shows is a verb with flags that it has.
#[test]
fn the_uses_of_the_tool_are_in_its_help() {
    let known = verbs();
    let mut seen = 0;
    for (path, text) in pages() {
        let page = path.display();
        let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
        let uses = quoted(&text).into_iter().chain(blocks).filter_map(|line| {
            let words = line.trim_start_matches("$ ").strip_prefix("remit ")?;
            Some(words.split_whitespace().collect::<Vec<_>>())
        });
        for words in uses {
            let verb = words[0].trim_end_matches([',', ':']);
            assert!(known.iter().any(|one| one == verb), "{page} has `remit {verb}`, which the tool has not");
            let flags = defined(&help(TOOL, &[verb]));
            let own = words.iter().take_while(|word| **word != "--");
            for used in own.filter_map(|word| flag(word)) {
                assert!(flags.contains(&used), "{page} has `remit {verb} {used}`, which the help has not");
            }
            seen += 1;
        }
    }
    assert!(seen > 0, "no page uses the tool");
}

/// The two commands of a fresh machine: the first runs, and CI runs the second.
#[test]
fn the_readmes_commands_work() {
    let setup: Vec<&str> = blocks(README, "sh")
        .into_iter()
        .find(|block| block.contains("scripts/test"))
        .expect("set-up commands")
        .lines()
        .collect();
    let [run, test] = setup.as_slice() else { panic!("two commands set up a machine, not {setup:?}") };
    let command =
        run.strip_prefix("cargo run --release --bin remit-init -- ").expect("the first runs the shim");
    assert_eq!(command, "COMMAND");
    // The same shim without building it again: confined by the baseline.
    let output =
        Command::new(SHIM).args(["--", "/bin/sh", "-c", "echo works; exit 3"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), b"works\n".as_slice()), "{said}");
    let ci = fs::read_to_string(Path::new(ROOT).join(".ci/run")).expect(".ci/run");
    assert!(ci.lines().any(|line| line.trim() == *test), ".ci/run does not run the README's `{test}`");
    assert!(
        ci.contains("cargo run --release --bin remit-init -- "),
        ".ci/run does not run the README's `{run}`"
    );
}

/// Files and binaries that a command of a page names are there.
#[test]
fn the_commands_name_what_is_there() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("Cargo.toml");
    for (path, text) in pages() {
        let page = path.display();
        for code in quoted(&text).into_iter().chain(blocks(&text, "sh").into_iter().flat_map(str::lines)) {
            let words: Vec<&str> = code.split_whitespace().collect();
            for pair in words.windows(2).filter(|pair| matches!(pair[0], "--bin" | "--test" | "--bench")) {
                let name = pair[1].trim_end_matches([',', '.']);
                let file = match pair[0] {
                    "--test" => {
                        Path::new(ROOT).join(format!("tests/{name}.rs")).exists()
                            || Path::new(ROOT).join(format!("tests/{name}/main.rs")).exists()
                    }
                    _ => manifest.contains(&format!("name = \"{name}\"")),
                };
                assert!(file, "{page}: `{code}`: there is no {name}");
            }
            let begins = |word: &&&str| {
                [".ci/", "scripts/", "profiles/", "src/", "tests/"]
                    .iter()
                    .any(|start| word.starts_with(start))
            };
            for file in words.iter().filter(begins).filter(|word| !word.contains("NAME")) {
                assert!(Path::new(ROOT).join(file).exists(), "{page}: `{code}`: there is no {file}");
            }
        }
    }
}

/// Every link leads to a file, and to a heading of it.
#[test]
fn the_links_lead_somewhere() {
    for (path, text) in pages() {
        let outside: String = text.split("```").step_by(2).collect();
        for link in outside.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = path.parent().unwrap_or(Path::new(""));
            let to = if file.is_empty() { path.clone() } else { folder.join(file) };
            let to = Path::new(ROOT).join(to);
            assert!(to.exists(), "{} links to {link}, which is not there", path.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&to).expect("a link to a heading leads to a page");
                let there = anchors(&text).contains(anchor);
                assert!(there, "{} links to {link}, and there is no such heading", path.display());
            }
        }
    }
}

#[test]
fn the_profiles_shown_are_read() {
    let mut seen = 0;
    for (path, text) in pages() {
        for profile in blocks(&text, "json").into_iter().filter(|block| block.contains("\"remit\": 1")) {
            if let Err(error) = remit::profile::read(profile.as_bytes()) {
                panic!("{}: {error}\n{profile}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 0, "a page shows a profile");
}

#[test]
fn the_readme_is_short() {
    let lines = README.lines().count();
    assert!(
        lines <= README_LINES,
        "the README has {lines} lines; {README_LINES} at most: move some to docs/"
    );
}

/// What the README shows first happens so, in a folder of its own in the place of /tmp.
#[test]
fn the_readmes_transcript_is_what_happens() {
    if !skip::has("/usr/bin/jq") {
        return;
    }
    let shown = blocks(README, "console")[0];
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().to_str().expect("its name is UTF-8");
    let commands: String =
        shown.lines().filter_map(|line| line.strip_prefix("$ ")).map(|line| format!("{line}\n")).collect();
    let commands = commands.replace("remit-init", SHIM).replace("/tmp/", &format!("{name}/"));
    let mut shell = Command::new("sh");
    // Cargo's own, which names folders that the app may change.
    shell.args(["-c", &format!("exec 2>&1\n{commands}")]).env_remove("LD_LIBRARY_PATH");
    descriptors::only_standard(&mut shell);
    let output = shell.output().expect("sh");
    let said = String::from_utf8_lossy(&output.stdout).replace(&format!("{name}/"), "/tmp/");
    // How a shell says it is the shell's own.
    let neutral = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("$ "));
        lines.map(|line| line.rsplit_once(": ").map_or(line, |(_, why)| why).to_owned()).collect()
    };
    assert_eq!(neutral(&said), neutral(shown), "{said}");
}

/// The README's figures are those of the table.
#[test]
fn the_readmes_costs_are_in_the_table() {
    let bold: Vec<&str> = section(README, "## Costs").split("**").skip(1).step_by(2).collect();
    assert!(bold.len() >= 3, "the README has three figures");
    for figure in bold {
        assert!(COSTS.contains(figure), "the README's {figure} is not in docs/costs.md");
    }
}

/// The architecture names every room of src, and none that is not there.
#[test]
fn the_architecture_is_that_of_the_sources() {
    let page = include_str!("../docs/architecture.md");
    let rows = section(page, "## Rooms").lines().filter_map(|line| line.strip_prefix("| `"));
    let named: Words = rows
        .filter_map(|row| row.split('`').next())
        .filter(|name| !name.contains('/'))
        .map(str::to_owned)
        .collect();
    let src = fs::read_dir(Path::new(ROOT).join("src")).expect("src");
    let rooms = src.map(|entry| entry.expect("its entries can be read").path());
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let rooms: Words = rooms.filter_map(stem).filter(|name| name != "lib" && name != "bin").collect();
    assert_same("rooms of src", &named, &rooms);
}

/// The rooms are in the order of their layers, so the table is a picture of the imports.
#[test]
fn the_architecture_has_the_rooms_from_low_to_high() {
    let test = source("tests/layers.rs");
    let layers =
        test.split("const LAYERS").nth(1).and_then(|rest| rest.split("\n];").next()).expect("layers");
    let layers: Vec<Words> = layers
        .lines()
        .filter(|line| line.starts_with("    &["))
        .map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect())
        .collect();
    let page = include_str!("../docs/architecture.md");
    let rows = section(page, "## Rooms").lines().filter_map(|line| line.strip_prefix("| `"));
    let layer = |row: &str| {
        layers.iter().position(|layer| row.split('`').next().is_some_and(|name| layer.contains(name)))
    };
    let order: Vec<_> = rows.filter_map(|row| Some((layer(row)?, row))).collect();
    assert!(order.len() > 30, "{}", order.len());
    for pair in order.windows(2) {
        assert!(pair[0].0 <= pair[1].0, "out of order:\n{}\n{}", pair[0].1, pair[1].1);
    }
}

/// What is named by its path is there.
#[test]
fn the_sources_that_are_named_are_there() {
    for page in ["docs/architecture.md", "CONTRIBUTING.md"] {
        let text = source(page);
        let named: Vec<&str> = quoted(&text).into_iter().filter(|word| word.starts_with("src/")).collect();
        assert!(named.len() > 20, "{page}: {}", named.len());
        for path in named {
            assert!(Path::new(ROOT).join(path).exists(), "{page}: {path} is not there");
        }
    }
}

/// What the first cells of a section's tables have in backticks.
fn first_cells(text: &str, title: &str) -> Words {
    let rows = section(text, title).lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.trim_start_matches("| ").split(" | ").next())
        .flat_map(quoted)
        .map(str::to_owned)
        .collect()
}

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_event_is_in_the_usage() {
    let model = source("src/event/model.rs");
    let names = model.split("event: \"").skip(1).filter_map(|rest| rest.split('"').next());
    assert_same("events", &first_cells(USAGE, "### Events"), &names.map(str::to_owned).collect());
}

#[test]
fn every_kind_of_observation_is_in_the_journals_format() {
    let code = source("src/journal/observation.rs");
    let body = code.split("pub enum What {").nth(1).and_then(|rest| rest.split("\n}\n").next());
    let lines = body.expect("an enumeration").lines();
    // A kind is called as its variant, or as serde is made to call it.
    let mut kinds = Words::new();
    let mut renamed = None;
    for line in lines.filter_map(|line| line.strip_prefix("    ")) {
        if let Some(name) = line.strip_prefix("#[serde(rename = \"") {
            renamed = name.strip_suffix("\")]");
        } else if let Some(variant) = line.strip_suffix(" {") {
            kinds.insert(renamed.take().map_or_else(|| variant.to_lowercase(), str::to_owned));
        }
    }
    assert_same("kinds", &first_cells(include_str!("../docs/learning.md"), "## The journal"), &kinds);
}

#[test]
fn every_embedded_profile_is_in_the_list() {
    let names = remit::profile::embedded::NAMES.map(str::to_owned).into();
    let page = include_str!("../docs/profile.md");
    assert_same("embedded profiles", &first_cells(page, "## Embedded profiles"), &names);
}

#[test]
fn every_file_of_the_tests_is_in_their_list() {
    let page = include_str!("README.md");
    let named: Words =
        first_cells(page, "# Tests").into_iter().filter(|name| name != "init/probe/").collect();
    let entries =
        fs::read_dir(Path::new(ROOT).join("tests")).expect("tests").map(|entry| entry.expect("entry"));
    let name = |entry: fs::DirEntry| {
        let end = if entry.path().is_dir() { "/" } else { "" };
        format!("{}{end}", entry.file_name().to_string_lossy())
    };
    let there = entries.map(name).filter(|name| name != "README.md").collect();
    assert_same("files of tests", &named, &there);
}
