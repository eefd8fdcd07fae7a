//! The README, the helps and CI say the same: every flag and variable in both
//! directions, every command, every profile.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");
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

/// The README's blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let inside = README.split("```").skip(1).step_by(2);
    inside.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// The README's section of that title, up to the next of any level.
fn section(title: &str) -> &'static str {
    let start = README.find(title).unwrap_or_else(|| panic!("the README has no section `{title}`"));
    let rest = &README[start + title.len()..];
    rest.split("\n#").next().unwrap_or(rest)
}

fn assert_same(what: &str, readme: &Words, help: &Words) {
    let only = |left: &Words, right: &Words| left.difference(right).cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        readme,
        help,
        "{what}: only in the README: [{}]; only in --help: [{}]",
        only(readme, help),
        only(help, readme)
    );
}

#[test]
fn the_shims_flags_are_the_same_in_the_readme_and_its_help() {
    let rows = section("## Using it").lines().filter(|line| line.starts_with("| `-"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let readme = cells.flat_map(quoted).flat_map(|code| code.split([' ', ',']).filter_map(flag)).collect();
    assert_same("remit-init", &readme, &defined(&help(SHIM, &[])));
}

#[test]
fn the_variables_are_the_same_in_the_readme_and_the_help() {
    let names = |text: &str| -> Words {
        let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        words
            .filter(|word| word.starts_with("REMIT_") || word.starts_with("TINI_"))
            .map(str::to_owned)
            .collect()
    };
    assert_same("variables", &names(section("## Using it")), &names(&help(SHIM, &[])));
}

#[test]
fn the_tools_verbs_and_flags_are_in_the_readme() {
    let mut flags = defined(&help(TOOL, &[]));
    for verb in verbs() {
        assert!(
            README.contains(&format!("`remit {verb}")),
            "`remit {verb}` is in the help and not in the README"
        );
        flags.extend(defined(&help(TOOL, &[&verb])));
    }
    let everything: Words =
        quoted(README).into_iter().flat_map(|code| code.split([' ', ',']).filter_map(flag)).collect();
    let missing: Vec<_> = flags.difference(&everything).filter(|flag| flag.starts_with("--")).collect();
    assert!(missing.is_empty(), "in a help of `remit` and not in the README: {missing:?}");
}

/// Every `remit …` that the README shows is a verb with flags that it has.
#[test]
fn the_readmes_uses_of_the_tool_are_in_its_help() {
    let blocks = README.split("```").skip(1).step_by(2).flat_map(str::lines);
    let uses = quoted(README).into_iter().chain(blocks).filter_map(|line| {
        line.trim_start_matches("$ ")
            .strip_prefix("remit ")
            .map(|rest| rest.split_whitespace().collect::<Vec<_>>())
    });
    let known = verbs();
    let mut seen = 0;
    for words in uses {
        let verb = words[0];
        assert!(known.iter().any(|one| one == verb), "the README has `remit {verb}`, which the tool has not");
        let flags = defined(&help(TOOL, &[verb]));
        for used in words.iter().filter_map(|word| flag(word)) {
            assert!(flags.contains(&used), "the README has `remit {verb} {used}`, which the help has not");
        }
        seen += 1;
    }
    assert!(seen > 0, "the README never uses the tool");
}

/// The two commands of a fresh machine: the first runs, and CI runs the second.
#[test]
fn the_readmes_commands_work() {
    let setup: Vec<&str> = blocks("sh")
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
    let ci = std::fs::read_to_string(Path::new(ROOT).join(".ci/run")).expect(".ci/run");
    assert!(ci.lines().any(|line| line.trim() == *test), ".ci/run does not run the README's `{test}`");
    assert!(
        ci.contains("cargo run --release --bin remit-init -- "),
        ".ci/run does not run the README's `{run}`"
    );
}

/// Files, binaries and features that a command of the README names are there.
#[test]
fn the_readme_names_what_is_there() {
    let manifest = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("Cargo.toml");
    for code in quoted(README).into_iter().chain(blocks("sh").into_iter().flat_map(str::lines)) {
        let words: Vec<&str> = code.split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| pair[0] == "--bin") {
            assert!(manifest.contains(&format!("name = \"{}\"", pair[1])), "`{code}`: no such binary");
        }
        for path in words
            .iter()
            .filter(|word| [".ci/", "scripts/", "profiles/"].iter().any(|start| word.starts_with(start)))
        {
            assert!(Path::new(ROOT).join(path).exists(), "`{code}`: no such file");
        }
    }
    for link in README.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let local = !link.contains("://") && !link.starts_with('#');
        assert!(
            !local || Path::new(ROOT).join(link).exists(),
            "the README links to {link}, which is not there"
        );
    }
}

#[test]
fn the_readmes_profiles_are_read() {
    let profiles: Vec<&str> =
        blocks("json").into_iter().filter(|block| block.contains("\"remit\": 1")).collect();
    assert!(!profiles.is_empty(), "the README shows a profile");
    for profile in profiles {
        if let Err(error) = remit::profile::read(profile.as_bytes()) {
            panic!("{error}\n{profile}");
        }
    }
}
