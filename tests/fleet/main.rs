//! The example of a fleet: what is mapped and reduced by `remit build` is byte for byte what one
//! `remit build` makes of all journals, as processes, by the scripts of the Kubernetes Jobs, and
//! with REMIT_FLEET=1 on Spark.
#![cfg(feature = "tool")]

#[path = "../support/skip.rs"]
mod skip;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fleet");
const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target");
const REMIT: &str = env!("CARGO_BIN_EXE_remit");
const JOURNALS: u64 = 9;

/// The journals of a fleet, and what one `remit build` makes of them.
struct Fleet(tempfile::TempDir);

impl Fleet {
    fn new() -> Fleet {
        let fleet = Fleet(tempfile::tempdir().expect("a directory"));
        fs::create_dir(fleet.path("journals")).expect("a directory");
        for replica in 0..JOURNALS {
            let name = format!("journals/web-{replica:02}.jsonl");
            fs::write(fleet.path(&name), journal(replica)).expect("written");
        }
        fleet.run(Command::new(REMIT).args(["build", "journals", "-o", "all.json", "--name", "web"]));
        fleet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, command: &mut Command) {
        let output = command.current_dir(self.0.path()).output().expect("it runs");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Compares a profile and its evidence with those of all journals.
    fn is_the_same(&self, profile: &str) {
        let bytes = |name: &str| fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let evidence = |profile: &str| bytes(&profile.replace(".json", ".evidence.json"));
        assert!(bytes(profile) == bytes("all.json"), "{profile} is another profile");
        assert!(evidence(profile) == evidence("all.json"), "{profile} has other evidence");
        let text = String::from_utf8(evidence("all.json")).expect("UTF-8");
        assert!(text.contains("/srv/full/*") && text.contains("web-08"), "control: directories are full");
    }
}

/// What one replica did: something that others did too, something of its own, and files of a
/// directory that is full only when several are put together.
fn journal(replica: u64) -> String {
    let first = json!({ "journal": 1, "run": format!("web-{replica:02}"), "command": ["/bin/web"],
        "label": format!("l{}", replica % 2), "fingerprint": { "arch": "x86_64" }, "outer": { "seccomp": true } });
    let mut text = format!("{first}\n");
    let mut lines = 0;
    let mut line = |mut observed: Value| {
        (observed["t"], observed["program"], observed["result"]) = (1.into(), "/bin/web".into(), "ok".into());
        writeln!(text, "{observed}").expect("a string");
        lines += 1;
    };
    line(json!({ "phase": "startup", "kind": "exec", "parent": "", "args": ["/bin/web"] }));
    line(json!({ "phase": "startup", "kind": "listen", "address": "tcp/0.0.0.0:8080" }));
    for number in 0..300 {
        let path = format!("/srv/full/f{}", replica * 150 + number);
        line(
            json!({ "phase": "serving", "kind": "open", "path": path, "access": ["write", "create"], "mount": "image" }),
        );
    }
    line(json!({ "phase": "serving", "kind": "connect", "address": format!("tcp/10.0.0.{replica}:5432") }));
    line(
        json!({ "phase": "serving", "kind": "open", "path": format!("/etc/own-{replica}"), "access": ["read"], "mount": "image" }),
    );
    let end =
        json!({ "t": 9, "end": { "exit": { "code": 0 }, "clean": true, "lines": lines, "dropped": 0 } });
    writeln!(text, "{end}").expect("a string");
    text
}

#[test]
fn processes_map_and_reduce_to_the_same_bytes() {
    let fleet = Fleet::new();
    let journals: Vec<String> =
        (0..JOURNALS).map(|replica| format!("journals/web-{replica:02}.jsonl")).collect();
    // In an order of its own, and a tree of three levels.
    let mut parts = Vec::new();
    for (number, part) in journals.chunks(2).rev().enumerate() {
        fleet.run(Command::new(REMIT).arg("build").args(part).args(["-o", &format!("p{number}.json")]));
        parts.push(format!("p{number}.evidence.json"));
    }
    for (number, some) in parts.clone().chunks(2).enumerate() {
        fleet.run(Command::new(REMIT).arg("build").args(some).args(["-o", &format!("q{number}.json")]));
    }
    let joined: Vec<String> =
        (0..parts.len().div_ceil(2)).map(|number| format!("q{number}.evidence.json")).collect();
    fleet.run(Command::new(REMIT).arg("build").args(&joined).args(["-o", "reduced.json", "--name", "web"]));
    fleet.is_the_same("reduced.json");
}

/// A Job of the example: its container.
fn container(manifest: &str) -> Value {
    let text = fs::read_to_string(Path::new(EXAMPLE).join(manifest)).expect("the manifest");
    let job: Value = serde_saphyr::from_str(&text).expect("YAML");
    assert_eq!(job["kind"], "Job", "{manifest}");
    job["spec"]["template"]["spec"]["containers"][0].clone()
}

/// The container's command, with its environment and directories of this test.
fn command(manifest: &str, fleet: &Fleet, index: Option<u64>) -> Command {
    let container = container(manifest);
    let words = |key: &str| container[key].as_array().expect("words").clone();
    let words: Vec<Value> = words("command").into_iter().chain(words("args")).collect();
    let words: Vec<&str> = words.iter().map(|word| word.as_str().expect("a word")).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    let binaries = Path::new(REMIT).parent().expect("a directory").display().to_string();
    command.env("PATH", format!("{binaries}:/usr/bin:/bin"));
    for variable in container["env"].as_array().expect("variables") {
        let (name, value) =
            (variable["name"].as_str().expect("a name"), variable["value"].as_str().expect("a value"));
        let value = match value.strip_prefix('/') {
            Some(directory) => fleet.path(directory).display().to_string(),
            None => value.to_owned(),
        };
        command.env(name, value);
    }
    if let Some(index) = index {
        let scratch = fleet.path(&format!("scratch-{index}"));
        fs::create_dir(&scratch).expect("a directory");
        command.env("JOB_COMPLETION_INDEX", index.to_string()).env("SCRATCH", scratch);
    }
    command
}

#[test]
fn the_scripts_of_the_jobs_reduce_to_the_same_bytes() {
    let text = fs::read_to_string(Path::new(EXAMPLE).join("map.yaml")).expect("the manifest");
    let job: Value = serde_saphyr::from_str(&text).expect("YAML");
    let completions = job["spec"]["completions"].as_u64().expect("a number");
    assert_eq!(job["spec"]["completionMode"], "Indexed");
    let parts = container("map.yaml")["env"].as_array().expect("variables").clone();
    let parts = parts.iter().find(|one| one["name"] == "PARTS").expect("PARTS");
    assert_eq!(parts["value"], completions.to_string(), "the script divides by the number of pods");
    let fleet = Fleet::new();
    fs::create_dir(fleet.path("evidence")).expect("a directory");
    // There are more pods than journals; then as many as four.
    for index in (0..completions).rev() {
        fleet.run(&mut command("map.yaml", &fleet, Some(index)));
    }
    let count = || fs::read_dir(fleet.path("evidence")).expect("listed").count() as u64;
    assert_eq!(count(), JOURNALS, "a pod without a journal leaves nothing");
    fleet.run(&mut command("reduce.yaml", &fleet, None));
    fleet.is_the_same("evidence/profile.json");
    // Once more with fewer parts, over what is there: a run that is given twice counts once.
    for index in 0..4 {
        fs::remove_dir_all(fleet.path(&format!("scratch-{index}"))).expect("removed");
        fleet.run(command("map.yaml", &fleet, Some(index)).env("PARTS", "4"));
    }
    fleet.run(&mut command("reduce.yaml", &fleet, None));
    fleet.is_the_same("evidence/profile.json");
}

#[test]
fn the_jobs_are_valid() {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places =
        std::env::split_paths(&on_path).chain([Path::new(TARGET).join("kubernetes-validate/bin")]);
    let Some(validator) =
        places.find_map(|place| Some(place.join("kubernetes-validate")).filter(|file| file.exists()))
    else {
        return skip::skip("kubernetes-validate");
    };
    let place = tempfile::tempdir().expect("a directory");
    let valid = |path: &Path| Command::new(&validator).arg("--strict").arg(path).output().expect("it runs");
    for manifest in ["map.yaml", "reduce.yaml"] {
        let path = Path::new(EXAMPLE).join(manifest);
        let output = valid(&path);
        assert!(output.status.success(), "{manifest}: {}", String::from_utf8_lossy(&output.stderr));
        // Control: the schema refuses a field that it does not know.
        let wrong = place.path().join(manifest);
        let text = fs::read_to_string(path).expect("the manifest");
        fs::write(&wrong, text.replace("runAsUser", "runAsUsr")).expect("written");
        assert!(!valid(&wrong).status.success(), "{manifest}");
    }
}

/// On Spark's local-cluster: a master, and workers with executors of their own processes.
#[test]
fn spark_reduces_to_the_same_bytes() {
    if std::env::var_os("REMIT_FLEET").is_none_or(|value| value != "1") {
        let _ = writeln!(std::io::stderr(), "NOT RUN: Spark: REMIT_FLEET=1 scripts/test does it");
        return;
    }
    let python = std::env::var_os("REMIT_PYSPARK")
        .map_or_else(|| Path::new(TARGET).join("pyspark/bin/python"), PathBuf::from);
    if !skip::has(python.to_str().expect("UTF-8")) || !skip::has("/usr/bin/java") {
        return;
    }
    let fleet = Fleet::new();
    let spark = Command::new(&python).args(["-c", "import pyspark; print(pyspark.__path__[0])"]).output();
    let spark = String::from_utf8(spark.expect("Python runs").stdout).expect("UTF-8");
    let spark = Path::new(spark.trim());
    assert!(spark.join("bin/spark-submit").exists(), "{}: has no Spark", spark.display());
    let mut submit = Command::new(spark.join("bin/spark-submit"));
    submit
        .args(["--master", "local-cluster[2,1,1024]", "--conf", "spark.ui.enabled=false"])
        .args(["--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.driver.bindAddress=127.0.0.1"])
        .arg(Path::new(EXAMPLE).join("reduce.py"))
        .arg(fleet.path("journals"))
        .args(["-o", "reduced.json", "--partitions", "20", "--name", "web", "--remit", REMIT])
        .env("SPARK_HOME", spark)
        .env("SPARK_LOCAL_IP", "127.0.0.1")
        .env("SPARK_LOCAL_DIRS", fleet.path("local"))
        .env("SPARK_WORKER_DIR", fleet.path("work"))
        .env("PYSPARK_PYTHON", &python)
        .env("PYSPARK_DRIVER_PYTHON", &python);
    fleet.run(&mut submit);
    fleet.is_the_same("reduced.json");
}
