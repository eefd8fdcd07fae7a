//! The tool from outside: what it prints, and its exit codes.

#[path = "../build/commit.rs"]
mod commit;
#[path = "support/descriptors.rs"]
mod descriptors;

use std::process::{Command, Output};

const REMIT: &str = env!("CARGO_BIN_EXE_remit");

fn remit(arguments: &[&str]) -> Output {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/profile");
    Command::new(REMIT).args(arguments).current_dir(fixtures).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn a_plan_is_the_object_that_the_formats_describe() {
    let said = remit(&["plan", "strict", "--kernel", "6.18", "--format", "json", "--", REMIT]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let keys: Vec<_> = plan.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = [
        "plan",
        "kernel",
        "arch",
        "seccomp",
        "landlock",
        "capabilities",
        "limits",
        "derived",
        "held",
        "widened",
        "lacking",
        "steps",
    ];
    expected.sort_unstable();
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(
        (&plan["plan"], &plan["kernel"], &plan["landlock"]["abi"]),
        (&1.into(), &"6.18".into(), &7.into())
    );
    let allowed = plan["seccomp"]["allowed"].as_array().expect("a list");
    for call in ["execve", "read", "mmap"] {
        assert!(allowed.contains(&call.into()), "{call} can succeed");
    }
    assert!(!allowed.contains(&"ptrace".into()));
    let again = remit(&["plan", "strict", "--kernel", "6.18", "--format", "json", "--", REMIT]);
    assert_eq!(said.stdout, again.stdout, "the same input gives the same bytes");
}

#[test]
fn a_kernel_that_cannot_give_it_is_exit_code_1() {
    let said = remit(&["plan", "strict", "--kernel", "5.10", "--", REMIT]);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said.stderr));
    assert!(text(&said.stdout).contains("refused to start: this kernel cannot give"));
}

#[test]
fn bad_input_is_one_line_and_exit_code_2() {
    let cases: [(&[&str], &str); 23] = [
        (&["plan", "bad/unknown-key.json"], "remit: profile bad/unknown-key.json:1:77: /filez: "),
        (&["plan", "good/redis.json", "--kernel", "2.6"], "expected 5.10 or later"),
        (&["plan", "gone.json"], "remit: profile gone.json: not found"),
        (&["plan", "good"], "remit: profile good: is a directory"),
        (&["plan", "basline"], "\"baseline\""),
        (&["plan", "strict", "--kernel", "4.18"], "expected 5.10 or later"),
        (&["plan", "strict", "--", "no-such-command"], "PATH"),
        (&["profiles", "basline"], "there are baseline, "),
        // What it is, and what to do, for files that are none of what a verb reads.
        (&["plan", "postgres"], "`remit profiles postgres >postgres.json` writes it"),
        (&["approve", "gone.json"], "gone.json: not found; name a file that is there"),
        (&["events", "gone"], "remit: gone: not found; name a file that is there"),
        (&["events", "good"], "remit: good: is a directory; name the file in it"),
        (
            &["amend", "good/redis.json", "good", "-o", "none/p.json"],
            "good: is a directory; name the file in it",
        ),
        (&["import", "--from", "oci-seccomp", "gone"], "remit: gone: not found; name a file that is there"),
        (
            &["import", "--from", "oci-seccomp", "/dev/null"],
            "/dev/null: is empty; expected a seccomp profile",
        ),
        (
            &["import", "--from", "oci-seccomp", "bad/array.json"],
            "expected a JSON object with \"defaultAction\"",
        ),
        (
            &["import", "--from", "kubescape", "/dev/null"],
            "/dev/null: is empty; expected a map with \"kind\"",
        ),
        (&["import", "--from", "kubescape", "bad/array.json"], "is no ApplicationProfile: expected a map"),
        (
            &["check", "good/redis.json", "--evidence", "bad/array.json"],
            "is no evidence file; expected a JSON",
        ),
        (&["reach", "no-such-program"], "remit: `no-such-program` is in no directory of PATH"),
        (&["man", "good/redis.json"], "good/redis.json: is no directory; name one"),
        (&["import", "--from", "oci-seccomp", "good"], "good: is a directory"),
        (
            &["learn", "-o", "none/p.json", "--", "/bin/true"],
            "none/p.json: no profile can be written there: ",
        ),
    ];
    for (arguments, says) in cases {
        let said = remit(arguments);
        let error = text(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(said.stdout.is_empty(), "{arguments:?}");
        assert!(error.contains(says), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn profiles_and_schema_are_printed_as_they_stand() {
    let printed = |name| text(&remit(&["profiles", name]).stdout);
    let list = text(&remit(&["profiles"]).stdout);
    for name in remit::profile::embedded::NAMES {
        assert!(list.lines().any(|line| line == name), "{list}");
        assert_eq!(printed(name), remit::profile::embedded::named(name).expect(name));
    }
    for ready in &remit::tool::READY {
        assert!(
            list.lines().any(|line| line.starts_with(ready.name) && line.ends_with(ready.tested)),
            "{list}"
        );
        assert_eq!(printed(ready.name), ready.text);
    }
    let json: serde_json::Value =
        serde_json::from_slice(&remit(&["profiles", "--format", "json"]).stdout).expect("JSON");
    let lines = json.as_array().expect("a list").iter();
    assert!(lines.clone().any(|line| line["name"] == "haproxy" && line["embedded"] == false));
    assert_eq!(lines.count(), list.lines().count());
    let schema: serde_json::Value = serde_json::from_slice(&remit(&["schema"]).stdout).expect("JSON");
    assert!(schema["properties"]["programs"].is_object());
}

/// An image of another architecture, unpacked on this machine.
#[test]
fn a_plan_for_another_architecture_reads_that_ones_programs() {
    let program = std::env::temp_dir().join(format!("remit-tool-foreign-{}", std::process::id()));
    // A header of an executable file for aarch64 without segments (elf(5)).
    let mut header = [0; 64];
    header[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0");
    header[20] = 1;
    (header[52], header[54]) = (64, 56);
    std::fs::write(&program, header).expect("a temporary file");
    let name = program.to_str().expect("UTF-8");
    let plan = |arch| remit(&["plan", "strict", "--kernel", "6.12", "--arch", arch, "--", name]);
    let [own, other] = ["aarch64", "x86_64"].map(plan);
    std::fs::remove_file(&program).expect("it is there");
    assert_eq!(own.status.code(), Some(0), "{}", text(&own.stderr));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(other.status.code(), Some(2), "{}", text(&other.stdout));
        assert!(text(&other.stderr).contains("another machine"), "{}", text(&other.stderr));
    }
    let stands_for = remit(&["plan", "strict", "--kernel", "6.12", "--arch", "aarch64", "--", REMIT]);
    assert_eq!(stands_for.status.code(), Some(0), "{}", text(&stands_for.stderr));
}

/// Every verb's help has examples, and each of them works: in a directory with the files that they
/// name. An exit code of the help's own list will do, but that of bad input.
#[test]
fn every_example_of_a_help_works() {
    let place = ExamplePlace::new();
    let mut faults = Vec::new();
    let verbs = commands(&[]);
    assert!(verbs.len() >= 11, "{verbs:?}");
    for verb in verbs {
        let help = text(
            &remit(&[verb.iter().map(String::as_str).collect::<Vec<_>>(), vec!["--help"]].concat()).stdout,
        );
        let block = help.split("Examples:\n").nth(1).unwrap_or_default();
        let examples: Vec<&str> = block.lines().map_while(|line| line.strip_prefix("  ")).collect();
        let name = verb.join(" ");
        if examples.is_empty() {
            faults.push(format!("remit {name} --help has no `Examples:`"));
        }
        let listed = codes(&help);
        if listed.is_empty() {
            faults.push(format!("remit {name} --help has no `Exit codes:`"));
        }
        for example in examples {
            let named = example
                .split_whitespace()
                .collect::<Vec<_>>()
                .windows(2)
                .any(|pair| pair == ["remit", &*verb[0]]);
            match place.run(example) {
                Ok(code) if named && code != 2 && listed.contains(&code) => {}
                Ok(code) => faults.push(format!("`{example}` of remit {name} ended with {code}")),
                Err(why) => faults.push(format!("`{example}` of remit {name}: {why}")),
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The commands without commands below them, from the helps.
fn commands(above: &[String]) -> Vec<Vec<String>> {
    let arguments: Vec<&str> = above.iter().map(String::as_str).chain(["--help"]).collect();
    let help = text(&remit(&arguments).stdout);
    let Some(list) = help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()) else {
        return vec![above.to_vec()];
    };
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let names =
        names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-') && *name != "help");
    names.flat_map(|name| commands(&[above, &[name.to_owned()]].concat())).collect()
}

/// The exit codes that a help lists: `Exit codes: 0 done, 1 …`.
fn codes(help: &str) -> Vec<i32> {
    let list = help.split("Exit codes: ").nth(1).unwrap_or_default();
    list.split([' ', ',']).filter_map(|word| word.parse().ok()).collect()
}

/// A directory in which examples run: `remit` and `docker` are in PATH.
struct ExamplePlace(tempfile::TempDir);

impl ExamplePlace {
    fn new() -> ExamplePlace {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let place = ExamplePlace(folder);
        let bin = place.0.path().join("bin");
        std::fs::create_dir(&bin).expect("a folder");
        let write = |name: &str, text: &str| {
            let path = bin.join(name);
            std::fs::write(&path, text).expect("a script");
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .expect("its mode");
        };
        // The real shim is beside the real tool, which looks for it there.
        write("remit", &format!("#!/bin/sh\nexec '{REMIT}' \"$@\"\n"));
        // `docker logs` of a container whose events are on stderr.
        write("docker", "#!/bin/sh\ncat \"${0%/*}/../events.jsonl\" >&2\n");
        // What the examples name is made by the tool itself.
        let shim = env!("CARGO_BIN_EXE_remit-init");
        for script in [
            "remit learn --keep journals --label smoke -o learned.json -- /bin/true".to_owned(),
            "remit export redis --to oci-seccomp -o seccomp.json".to_owned(),
            "cp learned.json profile.json && cp learned.evidence.json profile.evidence.json".to_owned(),
            format!(
                "'{shim}' --profile ./profile.json --events \"$PWD/events.jsonl\" -- /bin/true && test -s events.jsonl"
            ),
        ] {
            assert_eq!(place.run(&script), Ok(0), "{script}");
        }
        place
    }

    /// Runs a line, and returns its exit code. One that follows a file is ended by SIGINT once it has
    /// printed something.
    fn run(&self, line: &str) -> Result<i32, String> {
        use std::io::{BufRead, BufReader, Read};
        use std::process::Stdio;
        let path =
            format!("{}:{}", self.0.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("/bin/sh");
        let follows = line.contains(" --follow ");
        let line = if follows { format!("exec {line}") } else { line.to_owned() };
        command
            .args(["-c", &line])
            .current_dir(self.0.path())
            .env("PATH", path)
            .env_remove("LD_LIBRARY_PATH");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        descriptors::only_standard(&mut command);
        if !follows {
            let output = command.output().map_err(|error| error.to_string())?;
            let code = output.status.code().ok_or_else(|| output.status.to_string())?;
            return if code == 2 { Err(text(&output.stderr)) } else { Ok(code) };
        }
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        lines.read_line(&mut first).map_err(|error| error.to_string())?;
        let pid = i32::try_from(child.id()).expect("a pid");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)
            .expect("it is there");
        lines.read_to_string(&mut first).map_err(|error| error.to_string())?;
        child.wait().expect("it ends").code().ok_or_else(|| "it was killed".to_owned())
    }
}

#[test]
fn completions_and_manual_pages_name_every_verb() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let man = folder.path().join("man1");
    let said = remit(&["man", man.to_str().expect("UTF-8")]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let verbs = commands(&[]);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = text(&remit(&["completions", shell]).stdout);
        assert!(verbs.iter().all(|verb| script.contains(&verb[0])), "{shell}");
    }
    for verb in &verbs {
        let page = std::fs::read_to_string(man.join(format!("remit-{}.1", verb.join("-")))).expect("a page");
        assert!(page.contains(".SH SYNOPSIS"), "{verb:?}");
    }
    assert!(std::fs::read_to_string(man.join("remit.1")).expect("a page").contains("remit"));
    let script = text(&remit(&["completions", "bash"]).stdout);
    let checked = Command::new("bash").args(["-n", "-c", &script]).output().expect("bash");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn the_version_says_commit_and_kernel() {
    for flag in ["--version", "-V"] {
        let said = text(&remit(&[flag]).stdout);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0], concat!("remit ", env!("CARGO_PKG_VERSION")));
        assert!(
            lines[1].starts_with("commit ") && lines[2].starts_with("Linux ") && lines.len() == 3,
            "{said}"
        );
    }
}

/// The commit of a checkout, of a package and of an archive; never another project's.
#[test]
fn the_commit_is_that_of_the_sources() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let root = folder.path();
    let git = |arguments: &[&str]| {
        let name = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"];
        let output =
            Command::new("git").args(name).arg("-C").arg(root).args(arguments).output().expect("git");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    let package = root.join("package");
    std::fs::create_dir(&package).expect("a folder");
    assert_eq!(commit::commit(&package), None);
    let sha = "0123456789abcdef0123456789abcdef01234567";
    std::fs::write(package.join(".commit"), "$Format:%H$\n").expect("a file");
    assert_eq!(commit::commit(&package), None, "git archive has not written it");
    std::fs::write(package.join(".commit"), format!("{sha}\n")).expect("a file");
    assert_eq!(commit::commit(&package).as_deref(), Some(sha));
    let info = format!("{{\n  \"git\": {{\n    \"sha1\": \"{}\"\n  }}\n}}", sha.replace('0', "f"));
    std::fs::write(package.join(".cargo_vcs_info.json"), info).expect("a file");
    assert_eq!(commit::commit(&package), Some(sha.replace('0', "f")));
    git(&["init", "-q"]);
    std::fs::write(root.join("file"), "1").expect("a file");
    git(&["add", "file"]);
    git(&["commit", "-q", "-m", "x"]);
    let head = git(&["rev-parse", "HEAD"]);
    assert_eq!(commit::commit(root).as_deref(), Some(&*head));
    assert!(commit::watched(root).iter().any(|path| path.ends_with(".git/HEAD")));
    assert_eq!(commit::commit(&package), Some(sha.replace('0', "f")), "the checkout around it is another's");
    std::fs::write(root.join("file"), "2").expect("a file");
    assert_eq!(commit::commit(root), Some(format!("{head}, and changes since")));
}
