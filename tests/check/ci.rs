//! examples/ci: the commands of the steps, run with a script in the place of Docker and of GitHub's
//! tool. `git` and `remit` are the real ones.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::{Place, REMIT, events, executable, sha256};

/// An archive as `docker save` writes it, of an unpacked image.
pub fn save(root: &Path, archive: &Path) {
    save_for(root, archive, "linux", "amd64");
}

/// The same, of an image for another system or machine.
pub fn save_for(root: &Path, archive: &Path, os: &str, architecture: &str) {
    let mut layer = tar::Builder::new(Vec::new());
    layer.follow_symlinks(false);
    layer.append_dir_all(".", root).expect("a layer");
    let layer = layer.into_inner().expect("memory");
    let config = json!({ "architecture": architecture, "os": os, "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] } })
    .to_string();
    let config_name = format!("{}.json", sha256(config.as_bytes()));
    let manifest =
        json!([{ "Config": config_name, "RepoTags": ["app:latest"], "Layers": ["0/layer.tar"] }]).to_string();
    let mut all = tar::Builder::new(fs::File::create(archive).expect("made"));
    for (name, bytes) in [
        ("0/layer.tar", layer.as_slice()),
        (config_name.as_str(), config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        all.append_data(&mut header, name, bytes).expect("written");
    }
    all.finish().expect("written");
}

/// A repository whose base branch has the profile, with `docker` and `gh` scripts.
fn repository() -> Place {
    let bench = Place::new();
    bench.image().learned(4);
    for name in ["requirements.json", "github.yml", "gitlab.yml"] {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(name);
        fs::copy(example, bench.path(name)).expect("copied");
    }
    save(&bench.path("image"), &bench.path("saved.tar"));
    bench.put("events.template", events(&bench.digest(), &[]));
    fs::remove_dir_all(bench.path("runs")).expect("removed");
    let docker = "#!/bin/sh\necho \"docker $*\" >> calls\ncase \"$1\" in\nsave) cp saved.tar \"$3\";;\nrun) cp events.template runs/events.jsonl;;\nesac\n";
    bench
        .put("bin/docker", docker)
        .put("bin/gh", "#!/bin/sh\necho \"gh $*\" >> calls\ncat \"$5\" >> calls\n");
    std::os::unix::fs::symlink(REMIT, bench.path("bin/remit")).expect("a link");
    for name in ["docker", "gh"] {
        executable(&bench.path("bin").join(name));
    }
    let git = "git init -q . && git add p.json && mv p.json profile.json && mv p.evidence.json profile.evidence.json \
        && git add profile.json && git -c user.name=t -c user.email=t@example.org commit -qm base \
        && git update-ref refs/remotes/origin/main HEAD";
    let said = shell(&bench, git);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    bench
}

/// Runs a step as a runner does.
fn shell(bench: &Place, script: &str) -> Output {
    let path = format!("{}:{}", bench.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", script])
        .current_dir(bench.0.path())
        .env("PATH", path)
        .env("BASE", "main")
        .env("PULL_REQUEST", "7")
        .env("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main")
        .output()
        .expect("bash runs")
}

fn yaml(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(name);
    serde_saphyr::from_str(&fs::read_to_string(path).expect("readable")).expect("YAML")
}

/// The commands of the steps, with the name of each.
fn github() -> Vec<(String, String)> {
    let workflow = yaml("github.yml");
    let steps = workflow["jobs"]["check"]["steps"].as_array().expect("steps").clone();
    let named = |step: &Value| Some((step["name"].as_str()?.to_owned(), step["run"].as_str()?.to_owned()));
    steps.iter().filter_map(named).collect()
}

fn gitlab() -> Vec<String> {
    let pipeline = yaml("gitlab.yml");
    let script = pipeline["remit"]["script"].as_array().expect("a script").clone();
    script.iter().map(|line| line.as_str().expect("a command").to_owned()).collect()
}

#[test]
fn the_workflow_passes_what_is_as_it_was() {
    let bench = repository();
    let steps = github();
    assert_eq!(steps.len(), 5, "{steps:?}");
    for (name, script) in &steps {
        let said = shell(&bench, script);
        let out = String::from_utf8_lossy(&said.stdout);
        assert!(said.status.success(), "{name}: {out}{}", String::from_utf8_lossy(&said.stderr));
    }
    let calls = bench.text("calls");
    for one in [
        "docker build -t app .",
        "docker save -o app.tar app",
        "docker run --rm",
        "gh pr comment 7",
        "remit check: clean",
    ] {
        assert!(calls.contains(one), "{calls}");
    }
    assert!(bench.text("remit.sarif").contains("2.1.0"));
}

#[test]
fn the_workflow_fails_at_a_line_of_what_is_new() {
    let bench = repository();
    let profile = bench
        .text("profile.json")
        .replace("\"network\":", "\"capabilities\": [\"chown\", \"sys_admin\"],\n  \"network\":")
        .replace("  \"capabilities\": [\"chown\"],\n", "");
    bench.put("profile.json", profile);
    let mut codes = Vec::new();
    let mut out = String::new();
    for (_, script) in github() {
        let said = shell(&bench, &script);
        codes.push(said.status.code());
        out += &String::from_utf8_lossy(&said.stdout);
    }
    assert_eq!(codes, [Some(0), Some(0), Some(0), Some(1), Some(0)], "{out}");
    let at =
        bench.text("profile.json").lines().position(|line| line.contains("sys_admin")).expect("there") + 1;
    let annotation = format!("::error file=profile.json,line={at},");
    let found: Vec<&str> = out.lines().filter(|line| line.starts_with(&annotation)).collect();
    assert!(found.iter().any(|line| line.contains("forbidden-capability")), "{out}");
    assert!(found.iter().any(|line| line.contains("grant-added")), "{out}");
    assert!(bench.text("calls").contains("forbidden-capability"), "the comment has it");
}

#[test]
fn the_pipeline_of_gitlab_leaves_a_test_report() {
    let bench = repository();
    let said = shell(&bench, &gitlab().join("\n"));
    let out = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{out}{}", String::from_utf8_lossy(&said.stderr));
    let report = bench.text("remit.xml");
    assert!(report.contains("failures=\"0\" errors=\"0\""), "{report}");
    let pipeline = yaml("gitlab.yml");
    assert_eq!(pipeline["remit"]["artifacts"]["reports"]["junit"], "remit.xml");
}
