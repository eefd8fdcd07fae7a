//! The words of code and documentation are the field's: those of the kernel, the manual pages, OCI
//! and AppArmor. A process, thread, descriptor, call or rule is no person, and a name is no
//! metaphor, so these words are refused: some anywhere, some as a part of a name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Refused anywhere: in names and their parts, comments, messages and documentation. `seize` is not
/// among them, for PTRACE_SEIZE; its tracee is traced, not seized.
const WORDS: [&str; 12] = [
    "told", "nobody", "whoever", "whom", "seizes", "seized", "bury", "buries", "buried", "farewell", "hears",
    "heard",
];

/// Refused as a part of a name: `Ears`, `hear_all`, `KeptFile`.
const PARTS: [&str; 25] = [
    "asked",
    "bell",
    "blind",
    "born",
    "condemned",
    "deed",
    "desk",
    "ears",
    "eyes",
    "families",
    "hear",
    "held",
    "judge",
    "judged",
    "kept",
    "ledger",
    "pen",
    "rulebook",
    "scribe",
    "sight",
    "tell",
    "twin",
    "unattended",
    "voice",
    "who",
];

/// Where the words are looked for.
const FOLDERS: [&str; 6] = ["src", "docs", "tests", "benches", "examples", "scripts"];

/// Their files: code, documentation and scripts, of which most have no extension.
const TEXTS: [&str; 12] = ["rs", "md", "sh", "bash", "py", "js", "go", "java", "php", "pl", "yaml", "c"];

/// Documentation beside `docs/*.md`.
const DOCUMENTS: [&str; 4] = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md"];

#[test]
fn code_and_documentation_have_the_words_of_the_field() {
    let files = files();
    assert!(files.len() > 200, "src and docs were not read: {} files", files.len());
    let faults: Vec<String> = files.iter().flat_map(|(path, text)| faults(path, text)).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_bad_file_is_found() {
    let code = "//! Nobody is here.\nstruct ScribeDesk;\nfn is_told() {}\nfn hear_all() { let x = \"it was told\"; }\nconst PTRACE_SEIZE: u8 = 1;\n// the desk, untold, a penalty\n";
    let expected = [
        "src/x.rs:1: `Nobody`",
        "src/x.rs:2: `ScribeDesk` (scribe)",
        "src/x.rs:2: `ScribeDesk` (desk)",
        "src/x.rs:3: `is_told` (told)",
        "src/x.rs:4: `hear_all` (hear)",
        "src/x.rs:4: `told`",
    ];
    assert_eq!(faults("src/x.rs", code), expected);
    assert_eq!(faults("docs/x.md", "A `scribe`.\nWhom it may concern."), ["docs/x.md:2: `Whom`"]);
    assert_eq!(parts("HTTPBell_kept2Ears"), ["httpbell", "kept", "ears"]);
}

/// Every source file and document, by its path from the crate's root.
fn files() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut folders = FOLDERS.map(|name| root.join(name)).to_vec();
    let mut paths: Vec<_> = DOCUMENTS.iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be listed") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|end| TEXTS.iter().any(|text| end == *text)) {
                paths.push(path);
            }
        }
    }
    // This file has the words themselves.
    for path in paths.into_iter().filter(|path| !path.ends_with("tests/words.rs")) {
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        found.insert(name, fs::read_to_string(&path).expect("a file of text"));
    }
    found
}

/// The refused words of a file, a line each. Only code has names whose parts are checked.
fn faults(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split("//").next().unwrap_or_default();
        for word in names(line) {
            if WORDS.contains(&word.to_lowercase().as_str()) {
                found.push(format!("{path}:{number}: `{word}`"));
            } else if path.ends_with(".rs") && is_code(code, word) {
                let is_refused = |part: &String| [&PARTS[..], &WORDS].concat().contains(&part.as_str());
                let parts = parts(word).into_iter().filter(is_refused);
                found.extend(parts.map(|part| format!("{path}:{number}: `{word}` ({part})")));
            }
        }
    }
    found
}

/// Whether a word of a line is in its code, outside of comments and string literals.
fn is_code(code: &str, word: &str) -> bool {
    code.split('"').step_by(2).any(|piece| names(piece).any(|name| name == word))
}

/// The words of a line, a name with underscores being one.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The parts of a snake_case or CamelCase name, in lower case.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut after_lower = false;
    for c in name.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && after_lower) {
            parts.push(String::new());
        }
        after_lower = c.is_lowercase();
        if let (true, Some(last)) = (c.is_alphabetic(), parts.last_mut()) {
            last.extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}
