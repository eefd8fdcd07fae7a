//! The Kubernetes example without a cluster: its manifest is compared with the
//! published schema and against what Pod Security calls restricted, and a stand-in for
//! the kubelet does by Docker what the manifest says, ConfigMaps with their links
//! included.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::guide::Guide;
use crate::images;
use crate::support::{Place, Running, can_run, folder, kustomize, unique};

const NOTHING: &[Value] = &[];

#[test]
fn the_manifest_is_valid_and_does_what_the_readme_says() {
    let validator = on_path("kubernetes-validate");
    if !can_run(Place::Docker, &[images::BUSYBOX, &validator]) {
        return;
    }
    let guide = Guide::new("kubernetes", images::busybox());
    guide.follow();
    // Control: the schema refuses a field that it does not know.
    let manifest = std::fs::read_to_string(guide.folder.join("server.yaml")).expect("the manifest");
    let wrong = guide.folder.join("wrong.yaml");
    std::fs::write(&wrong, manifest.replace("runAsUser", "runAsUsr")).expect("written");
    let refused = Command::new(validator).arg("--strict").arg(wrong).output().expect("it runs");
    assert!(!refused.status.success(), "{refused:?}");
}

#[test]
fn a_pod_of_the_manifest_is_restricted_and_serves() {
    if !can_run(Place::Docker, &[images::BUSYBOX]) {
        return;
    }
    let guide = Guide::new("kubernetes", images::busybox());
    build(&guide, "example-remit:latest");
    let pod = Pod::of(&guide);
    pod.is_restricted();
    pod.run_init_containers();

    let first = pod.start();
    let ready = &pod.container()["readinessProbe"]["httpGet"];
    let port = ready["port"].as_u64().expect("a port") as u16;
    let path = ready["path"].as_str().expect("a path");
    // busybox says nothing when it listens.
    first.wait_until("its port", |server| server.connect(port).is_ok());
    assert_eq!(first.get(port, path).status, 200, "{}", first.stderr());
    assert!(first.processes().iter().all(|(_, uid, _)| *uid == 65532), "{:?}", first.processes());
    let alive = words(&pod.container()["livenessProbe"]["exec"]["command"]);
    let answer = first.exec(&alive.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let policy =
        |running: &Running| running.event(|events| Some(events.of("start").first()?["policy"].clone()));
    let before = policy(&first).expect("a start event");
    assert_eq!(before["name"], "web");

    // The kubelet swaps the ConfigMap while the pod runs: nothing changes.
    let mut swapped: Value = serde_json::from_str(&pod.config("web-profile")["profile.json"]).expect("JSON");
    swapped["name"] = "swapped".into();
    swapped["files"] = json!(["@runtime"]);
    pod.swap("profile", &[("profile.json".into(), swapped.to_string())].into());
    let seen = std::fs::read_to_string(first.path("/etc/remit/profile.json")).expect("the mount");
    assert!(seen.contains("swapped"), "the container sees the new file");
    assert_eq!(first.get(port, path).status, 200, "what was read at the start holds");
    assert_eq!(first.events().of("start").len(), 1, "{}", first.stderr());
    assert!(first.events().violations().is_empty(), "{}", first.stderr());
    drop(first);

    // A new container of the same pod reads the new one, out of the new links.
    let second = pod.start();
    second.wait_until("its port", |server| server.connect(port).is_ok());
    assert_eq!(policy(&second).expect("a start event")["name"], "swapped");
    assert_ne!(second.get(port, path).status, 200, "it may not read what it serves");
    drop(second);

    // A ConfigMap without the key: one line, in the log and in the pod's status.
    pod.swap("profile", &[("other.json".into(), "{}".into())].into());
    let mut third = pod.start_with(&["--env=REMIT_PROFILE=/etc/remit/profile.json"]);
    assert_eq!(third.wait(), 125, "{}", third.stderr());
    let message = pod.termination_message();
    assert!(message.contains("/etc/remit/profile.json: not found"), "{message}");
    assert_eq!(message.trim_end(), third.stderr().trim_end());
}

#[test]
fn the_component_confines_a_deployment_that_knows_nothing_of_it() {
    if !can_run(Place::Docker, &[images::BUSYBOX]) {
        return;
    }
    let guide = Guide::new("kubernetes", images::busybox());
    build(&guide, "example-remit:latest");
    let built = Value::from(kustomize::built(&guide.folder.join("overlay"))).to_string();
    let pod = Pod::new(serde_json::from_str(&guide.named(&built)).expect("JSON"));
    pod.is_restricted();
    pod.run_init_containers();
    let server = pod.start();
    let ready = &pod.container()["readinessProbe"]["httpGet"];
    let port = ready["port"].as_u64().expect("a port") as u16;
    server.wait_until("its port", |server| server.connect(port).is_ok());
    assert_eq!(server.get(port, "/").status, 200, "{}", server.stderr());
    let policy = server.event(|events| Some(events.of("start").first()?["policy"]["name"].clone()));
    assert_eq!(policy.expect("a start event"), "web");
    assert!(server.events().violations().is_empty(), "{}", server.stderr());
}

/// A pod as the kubelet has it: its volumes are folders of the machine.
struct Pod {
    documents: Vec<Value>,
    spec: Value,
    volumes: PathBuf,
}

impl Pod {
    fn of(guide: &Guide) -> Pod {
        let text = std::fs::read_to_string(guide.folder.join("server.yaml")).expect("the manifest");
        Pod::new(serde_saphyr::from_multiple(&guide.named(&text)).expect("the manifest is YAML"))
    }

    fn new(documents: Vec<Value>) -> Pod {
        let deployment = documents.iter().find(|one| one["kind"] == "Deployment").expect("a Deployment");
        let spec = deployment["spec"]["template"]["spec"].clone();
        let volumes = folder().join(unique("volumes"));
        std::fs::create_dir(&volumes).expect("a temporary folder");
        let pod = Pod { documents, spec, volumes };
        for volume in list(&pod.spec["volumes"]) {
            let name = text_of(&volume["name"]);
            let place = pod.volumes.join(&name);
            std::fs::create_dir(&place).expect("a temporary folder");
            if volume["emptyDir"].is_object() {
                std::fs::set_permissions(&place, PermissionsExt::from_mode(0o777)).expect("chmod");
            } else {
                let map = text_of(&volume["configMap"]["name"]);
                pod.swap(&name, &pod.config(&map));
            }
        }
        pod
    }

    /// The data of a ConfigMap.
    fn config(&self, name: &str) -> BTreeMap<String, String> {
        let map =
            self.documents.iter().find(|one| one["kind"] == "ConfigMap" && one["metadata"]["name"] == name);
        let data = map.and_then(|map| map["data"].as_object()).expect("the ConfigMap is in the manifest");
        data.iter().map(|(key, value)| (key.clone(), text_of(value))).collect()
    }

    /// As the kubelet's atomic writer: a new folder, `..data` moved to it in one step,
    /// a link by way of it for each key, and none for those that have gone.
    fn swap(&self, volume: &str, data: &BTreeMap<String, String>) {
        let place = self.volumes.join(volume);
        let version = unique("..version");
        std::fs::create_dir(place.join(&version)).expect("a folder");
        for (key, value) in data {
            std::fs::write(place.join(&version).join(key), value).expect("written");
        }
        symlink(&version, place.join("..data_tmp")).expect("a link");
        std::fs::rename(place.join("..data_tmp"), place.join("..data")).expect("renamed");
        for key in data.keys().filter(|key| !place.join(key).exists()) {
            symlink(Path::new("..data").join(key), place.join(key)).expect("a link");
        }
        for entry in std::fs::read_dir(&place).expect("the volume").flatten() {
            if !entry.path().exists() {
                std::fs::remove_file(entry.path()).expect("a link to nothing");
            }
        }
    }

    fn container(&self) -> &Value {
        &self.spec["containers"][0]
    }

    /// The Pod Security Standards' restricted profile, as far as a pod can break it.
    fn is_restricted(&self) {
        let pod = &self.spec["securityContext"];
        for key in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_ne!(self.spec[key], true, "{key}");
        }
        for volume in list(&self.spec["volumes"]) {
            assert!(volume["emptyDir"].is_object() || volume["configMap"].is_object(), "{volume}");
        }
        assert_eq!(pod["runAsNonRoot"], true);
        assert_ne!(pod["runAsUser"], 0);
        assert_eq!(pod["seccompProfile"]["type"], "RuntimeDefault");
        for container in list(&self.spec["initContainers"]).iter().chain(list(&self.spec["containers"])) {
            let own = &container["securityContext"];
            assert_eq!(own["allowPrivilegeEscalation"], false, "{container}");
            assert_eq!(own["capabilities"], json!({ "drop": ["ALL"] }), "{container}");
            for key in ["privileged", "procMount", "runAsUser", "runAsNonRoot", "seccompProfile"] {
                assert!(own[key].is_null(), "{key} is the pod's: {container}");
            }
            for port in list(&container["ports"]) {
                assert!(port["hostPort"].is_null(), "{port}");
            }
        }
        let namespace = self.documents.iter().find(|one| one["kind"] == "Namespace").expect("a Namespace");
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    }

    /// `docker run` as the runtime is answer for this container.
    fn docker(&self, container: &Value) -> Command {
        let mut docker = Command::new("docker");
        docker.arg("run");
        let ids = &self.spec["securityContext"];
        docker.arg(format!("--user={}:{}", ids["runAsUser"], ids["runAsGroup"]));
        let own = &container["securityContext"];
        if own["allowPrivilegeEscalation"] == false {
            docker.arg("--security-opt=no-new-privileges");
        }
        if own["readOnlyRootFilesystem"] == true {
            docker.arg("--read-only");
        }
        for capability in list(&own["capabilities"]["drop"]) {
            docker.arg(format!("--cap-drop={}", text_of(capability)));
        }
        for mount in list(&container["volumeMounts"]) {
            let source = self.volumes.join(text_of(&mount["name"]));
            let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
            docker.arg(format!("--volume={}:{}:{mode}", source.display(), text_of(&mount["mountPath"])));
        }
        docker
    }

    /// The image, and `command` and `args` in place of its ENTRYPOINT and CMD.
    fn words_of(container: &Value) -> (String, Vec<String>) {
        let mut all = words(&container["command"]);
        all.extend(words(&container["args"]));
        let first = all.remove(0);
        (first, std::iter::once(text_of(&container["image"])).chain(all).collect())
    }

    fn run_init_containers(&self) {
        for container in list(&self.spec["initContainers"]) {
            let (first, rest) = Pod::words_of(container);
            let output = self.docker(container).args(["--rm", "--entrypoint", &first]).args(rest).output();
            let output = output.expect("docker runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    fn start(&self) -> Running {
        self.start_with(&["--env=REMIT_EVENTS_LEVEL=all"])
    }

    /// The one container, with the file that the kubelet reads when it has ended.
    fn start_with(&self, flags: &[&str]) -> Running {
        let container = self.container();
        let message = self.message();
        std::fs::write(&message, "").expect("a temporary file");
        std::fs::set_permissions(&message, PermissionsExt::from_mode(0o666)).expect("chmod");
        let path = container["terminationMessagePath"].as_str().unwrap_or("/dev/termination-log");
        let name = unique("pod");
        let (first, rest) = Pod::words_of(container);
        let mut docker = self.docker(container);
        docker.args(["--detach", "--name", &name, "--entrypoint", &first]).args(flags);
        docker.arg(format!("--volume={}:{path}", message.display()));
        let output = docker.args(rest).output().expect("docker runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Running::docker(Place::Restricted, name)
    }

    fn message(&self) -> PathBuf {
        self.volumes.with_extension("message")
    }

    fn termination_message(&self) -> String {
        std::fs::read_to_string(self.message()).expect("the message")
    }
}

/// The image of the example's Dockerfile, under the manifest's name for it.
fn build(guide: &Guide, name: &str) {
    let base = guide.named("busybox:1.36");
    let output = Command::new("docker")
        .args(["build", "--quiet", "--build-arg", &format!("BASE={base}"), "--tag", &guide.named(name)])
        .arg(&guide.folder)
        .output()
        .expect("docker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(NOTHING, Vec::as_slice)
}

fn words(value: &Value) -> Vec<String> {
    list(value).iter().map(text_of).collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text")).to_owned()
}

/// Where a program lies, or its bare name, which is nowhere.
fn on_path(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists());
    found.map_or(program.to_owned(), |file| file.display().to_string())
}
