//! Follows the README of an example as its reader would: the commands of its
//! `console` blocks are run in their order, from a copy of the example's folder, and
//! what a block shows after a command has to come of it.
//!
//! A command that fails is a failure, unless `echo $?` follows and shows its code. Of
//! the lines that a command prints those that are shown have to be there, in their
//! order; `…` stands for anything.
//!
//! Three things differ from the reader's: what is called `example-…` there has a name
//! that no other run has, the port of the machine is a free one, and the base image is
//! made here, since none can be pulled.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::{Image, folder, shim, unique};

/// What begins every name that a README gives.
const NAMES: &str = "example-";
/// The port that every README publishes.
const PORT: &str = "127.0.0.1:8080";
/// Run after each command: what it printed and its code end with this, and `$?` stays.
const MARK: &str = r#"__code=$?; printf '\036%d\036' "$__code"; (exit "$__code")"#;

/// An example's folder, copied to be followed there.
pub struct Guide {
    /// The copy.
    pub folder: PathBuf,
    readme: String,
    words: Vec<(String, String)>,
    base: String,
    port: u16,
}

/// A command of a README and the lines that it shows.
struct Shown {
    text: String,
    shown: Vec<String>,
}

impl Guide {
    /// The example of that name, with a shim in its folder and in those beside it, for
    /// images that are built from `base`.
    pub fn new(example: &str, base: &Image) -> Guide {
        let copy = folder().join(unique("examples"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        for entry in std::fs::read_dir(&source).expect("the examples").flatten() {
            let to = copy.join(entry.file_name());
            if entry.path().is_dir() {
                copy_all(&entry.path(), &to);
                std::fs::copy(shim(), to.join("remit-init")).expect("copied");
            }
        }
        let (base, port) = (base.docker().to_owned(), free_port());
        let folder = copy.join(example);
        let readme = std::fs::read_to_string(folder.join("README.md")).expect("every example has a README");
        let words = vec![
            (NAMES.to_owned(), format!("{}-", unique(example))),
            ("docker build ".to_owned(), format!("docker build --build-arg BASE={base} ")),
            ("busybox:1.36".to_owned(), base.clone()),
        ];
        Guide { folder, readme, words, base, port }
    }

    /// A text of the example with the names of this run.
    pub fn named(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (word, ours)| text.replace(word, ours))
    }

    /// Puts a file beside the Dockerfile, as the README asks.
    pub fn bring(self, from: &Path, name: &str) -> Guide {
        std::fs::copy(from, self.folder.join(name)).expect("copied");
        self
    }

    /// Runs all of it.
    pub fn follow(&self) {
        let commands = self.commands();
        assert!(!commands.is_empty(), "the README shows how it is used");
        let mut script = "exec 2>&1\n".to_owned();
        for command in &commands {
            script.push_str(&format!("{}\n{MARK}\n", command.text));
        }
        let output = Command::new("timeout")
            .args(["180", "bash", "-c", &script])
            .current_dir(&self.folder)
            .env("BASE", &self.base)
            .env("PORT", self.port.to_string())
            .output()
            .expect("timeout and bash are there");
        let said = String::from_utf8_lossy(&output.stdout);
        // What each printed, and its code, by turns.
        let mut parts = said.split('\u{1e}');
        for (index, command) in commands.iter().enumerate() {
            let (printed, code) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("none"));
            let code_is_shown = commands.get(index + 1).is_some_and(|next| next.text == "echo $?");
            assert!(code == "0" || (code_is_shown && code != "none"), "{}: {code}\n{said}", command.text);
            let mut lines = printed.lines();
            for shown in &command.shown {
                let came = lines.any(|line| matches(shown, line));
                assert!(came, "{}: no line `{shown}` in order\n{said}", command.text);
            }
        }
    }

    fn commands(&self) -> Vec<Shown> {
        let blocks = self.readme.split("```").skip(1).step_by(2);
        let mut commands: Vec<Shown> = Vec::new();
        for line in blocks.filter_map(|block| block.strip_prefix("console\n")).flat_map(str::lines) {
            let line = self.named(line).replace(PORT, &format!("127.0.0.1:{}", self.port));
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(text), _) => commands.push(Shown { text: text.to_owned(), shown: Vec::new() }),
                (None, Some(command)) => command.shown.push(line),
                (None, None) => panic!("a console block begins with a command, not with `{line}`"),
            }
        }
        commands
    }
}

/// Copies a folder and all below it.
fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a temporary folder");
    for file in std::fs::read_dir(from).expect("an example").flatten() {
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            copy_all(&file.path(), &to);
        } else {
            std::fs::copy(file.path(), to).expect("copied");
        }
    }
}

/// Whether a line is as it is shown, where `…` stands for anything.
fn matches(shown: &str, line: &str) -> bool {
    let parts: Vec<&str> = shown.split('…').collect();
    let [first, between @ .., last] = parts.as_slice() else { return shown == line };
    let inside = line.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    let Some(mut rest) = inside else { return false };
    between.iter().all(|part| {
        let found = rest.find(part);
        rest = found.map_or("", |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

/// A port of this machine that is free, below those that the kernel gives away.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 8000) as u16;
    let candidates =
        std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    candidates
        .take(10_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of ten thousand ports is free")
}

#[test]
fn what_is_shown_is_compared() {
    for (shown, line, same) in [
        ("200", "200", true),
        ("200", "2000", false),
        ("…", "anything", true),
        ("…", "", true),
        ("a…c", "abc", true),
        ("a…c", "abcd", false),
        ("a…c", "acbc", true),
        ("a…", "abc", true),
        ("…c", "abc", true),
        ("…c", "abd", false),
        ("a…b…c", "a b c", true),
        ("a…b…c", "a c b", false),
    ] {
        assert_eq!(matches(shown, line), same, "{shown:?} {line:?}");
    }
}
