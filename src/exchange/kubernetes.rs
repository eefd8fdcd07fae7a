//! A profile as Kubernetes objects: the ConfigMap that has it, the patch that puts remit-init before
//! a container's command, the securityContext and the NetworkPolicy that say the same in
//! Kubernetes' own terms, and the kustomize component of all of them.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::{ConversionError, Converted, Omission, yaml};
use crate::profile::{
    AddressRule, Document, Endpoint, Entry, FileEntry, Mode, Profile, Rights, capability_word, endpoint_text,
};

/// What the objects are for.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The name of the Deployment.
    pub deployment: String,
    /// The name of the container in it.
    pub container: String,
    /// COMMAND and its arguments; empty: the profile's entry, with the container's own arguments.
    pub command: Vec<String>,
    /// The image that has `/remit-init`.
    pub image: String,
    /// Whether the image is mounted as a volume, and no init container copies the shim.
    pub image_volume: bool,
    /// The label of the pods that the NetworkPolicy selects.
    pub label: (String, String),
}

/// A file of the component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentFile {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

/// The most bytes that a ConfigMap holds (ConfigMap's validation, MaxSecretSize).
const MOST: usize = 1 << 20;

/// The objects of a profile for a workload.
#[derive(Clone, Debug)]
pub struct KubernetesObjects {
    name: String,
    profile: String,
    patch: Value,
    policy: Value,
}

/// Makes the objects.
///
/// # Errors
/// A name cannot be one in Kubernetes, there is no single command, or the profile is too long for a
/// ConfigMap.
pub fn objects(
    document: &Document,
    workload: &Workload,
) -> Result<Converted<KubernetesObjects>, ConversionError> {
    let profile = &document.profile;
    for (flag, name) in [("--deployment", &workload.deployment), ("--container", &workload.container)] {
        if !is_label(name) {
            let what = format!(
                "{name:?} is no name in Kubernetes; expected 1 to 63 of a-z, 0-9 and \"-\", such as \"web\""
            );
            return Err(ConversionError::Option { flag, what });
        }
    }
    let image = &workload.image;
    if image.is_empty() || image.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let what = format!("{image:?} is no name of an image; expected such as \"registry.example/remit:1\"");
        return Err(ConversionError::Option { flag: "--image", what });
    }
    if document.text.len() > MOST {
        return Err(ConversionError::TooLongForConfigMap { bytes: document.text.len(), most: MOST });
    }
    let command = command(profile, &workload.command)?;
    let mut omissions = Vec::new();
    if profile.mode != Mode::Enforce {
        let what = format!(
            "{}: of remit-init alone; the NetworkPolicy and the securityContext refuse all the same",
            profile.mode.word()
        );
        omissions.push(Omission::new("/mode", what));
    }
    let mut notes = Vec::new();
    let name = format!("{}-profile", workload.deployment);
    let patch = patch(profile, workload, &command, &name, &mut notes);
    let policy = policy(profile, workload, &mut omissions);
    let result = KubernetesObjects { name, profile: document.text.clone(), patch, policy };
    Ok(Converted { result, omissions, notes })
}

impl KubernetesObjects {
    /// The files of a kustomize component, of which the first is `kustomization.yaml`.
    pub fn component(&self) -> Vec<ComponentFile> {
        let target = json!({ "kind": "Deployment", "name": self.patch["metadata"]["name"] });
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            "configMapGenerator": [{ "name": self.name, "files": ["profile.json"] }],
            "resources": ["network-policy.yaml"],
            "patches": [{ "path": "deployment.yaml", "target": target }],
        });
        let file = |name, text| ComponentFile { name, text };
        vec![
            file("kustomization.yaml", document(COMPONENT, &kustomization)),
            file("deployment.yaml", document(PATCH, &self.patch)),
            file("network-policy.yaml", document(POLICY, &self.policy)),
            file("profile.json", self.profile.clone()),
        ]
    }

    /// The objects one after the other: the ConfigMap, the NetworkPolicy, the patch.
    pub fn stream(&self) -> String {
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": self.name },
            "data": { "profile.json": self.profile },
        });
        [document("The profile.", &map), document(POLICY, &self.policy), document(PATCH, &self.patch)]
            .join("---\n")
    }
}

const COMPONENT: &str = "Puts remit-init and its profile into a Deployment: name this directory under `components` of a\n\
                         kustomization. A new profile gives the ConfigMap another name, and so restarts the pods.";
const PATCH: &str = "A patch, as kustomize and `kubectl patch --patch-file` take it.";
const POLICY: &str =
    "The ports of the profile for the network plugin; remit-init enforces them in the pod too.";

fn document(comment: &str, value: &Value) -> String {
    let lines: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    lines + &yaml::text(&Ordered(value))
}

/// An object whose keys are in the order in which people write them.
struct Ordered<'v>(&'v Value);

/// The keys that come first, in this order; the others follow by name.
const FIRST: [&str; 17] = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "image",
    "command",
    "args",
    "podSelector",
    "policyTypes",
    "ingress",
    "egress",
    "securityContext",
    "initContainers",
    "containers",
    "configMapGenerator",
    "resources",
];

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
                let mut keys: Vec<&String> = members.keys().collect();
                keys.sort_by_key(|key| rank(key));
                let mut map = serializer.serialize_map(Some(keys.len()))?;
                for key in keys {
                    map.serialize_entry(key, &Ordered(&members[key]))?;
                }
                map.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Ordered)),
            other => other.serialize(serializer),
        }
    }
}

/// COMMAND: what was named, or the only program that may be it.
fn command(profile: &Profile, named: &[String]) -> Result<Vec<String>, ConversionError> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let entries: Vec<_> = profile.programs.iter().filter(|program| program.entry).collect();
    match entries.as_slice() {
        [one] => Ok(vec![one.place.path().display().to_string()]),
        _ => Err(ConversionError::SeveralCommands),
    }
}

/// A name of one part (RFC 1123).
fn is_label(name: &str) -> bool {
    let of_it = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(of_it)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn patch(
    profile: &Profile,
    workload: &Workload,
    command: &[String],
    config_map: &str,
    notes: &mut Vec<String>,
) -> Value {
    let mut all = vec!["/remit/remit-init".to_owned(), "--".to_owned()];
    // Kubernetes puts variables in the place of `$(NAME)`, and one `$` in the place of two.
    all.extend(command.iter().map(|word| word.replace('$', "$$")));
    let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
    let mut container = json!({
        "name": workload.container,
        "command": all,
        "securityContext": container_context(profile, notes),
        "volumeMounts": [mount("remit", "/remit"), mount("remit-profile", "/etc/remit")],
    });
    if !workload.command.is_empty() {
        // Arguments of the manifest are those of its own command.
        container["args"] = json!([]);
    }
    let mut pod = json!({ "containers": [container] });
    let ids = pod_context(profile);
    if !ids.is_null() {
        pod["securityContext"] = ids;
    }
    let profile_volume = json!({ "name": "remit-profile", "configMap": { "name": config_map } });
    if workload.image_volume {
        let image = json!({ "reference": workload.image, "pullPolicy": "IfNotPresent" });
        pod["volumes"] = json!([{ "name": "remit", "image": image }, profile_volume]);
        notes.push(
            "an image volume needs Kubernetes 1.33 or newer, and a runtime that mounts images".to_owned(),
        );
    } else {
        pod["volumes"] = json!([{ "name": "remit", "emptyDir": {} }, profile_volume]);
        pod["initContainers"] = json!([{
            "name": "remit",
            "image": workload.image,
            "command": ["cp", "/remit-init", "/remit/remit-init"],
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [{ "name": "remit", "mountPath": "/remit" }],
        }]);
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": workload.deployment },
        "spec": { "template": { "spec": pod } },
    })
}

/// The ids, and the runtime's own filter.
fn pod_context(profile: &Profile) -> Value {
    let mut context = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    if let Some(ids) = &profile.run_as {
        context["runAsUser"] = ids.user.as_raw().into();
        context["runAsGroup"] = ids.group.as_raw().into();
        context["runAsNonRoot"] = (ids.user.as_raw() != 0).into();
        if !ids.groups.is_empty() {
            context["supplementalGroups"] = ids.groups.iter().map(|group| group.as_raw()).collect();
        }
    }
    context
}

fn container_context(profile: &Profile, notes: &mut Vec<String>) -> Value {
    let mut capabilities = json!({ "drop": ["ALL"] });
    if !profile.capabilities.is_empty() {
        let words = profile.capabilities.iter().map(|entry| capability_word(entry.what).to_uppercase());
        capabilities["add"] = words.collect();
    }
    let mut context = json!({ "allowPrivilegeEscalation": false, "capabilities": capabilities });
    let changing = Rights::WRITE | Rights::CREATE | Rights::REMOVE;
    let changed: Vec<String> = profile
        .files
        .iter()
        .filter_map(|entry| match entry {
            FileEntry::Path(rule) if rule.allow.intersects(changing) && !rule.path.starts_with("/dev") => {
                Some(rule.path.display().to_string())
            }
            FileEntry::Group(group) if group.what.word() == "@elsewhere" => Some("@elsewhere".to_owned()),
            _ => None,
        })
        .collect();
    if changed.is_empty() {
        context["readOnlyRootFilesystem"] = true.into();
    } else {
        notes.push(format!(
            "readOnlyRootFilesystem is left out: the profile lets the app change {}; where these are volumes, set it",
            changed.join(" ")
        ));
    }
    context
}

fn policy(profile: &Profile, workload: &Workload, omissions: &mut Vec<Omission>) -> Value {
    let (key, value) = &workload.label;
    let network = &profile.network;
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": workload.deployment },
        "spec": {
            "podSelector": { "matchLabels": { key: value } },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": rules("listen", &network.listen, omissions),
            "egress": rules("connect", &network.connect, omissions),
        },
    })
}

/// One rule for the ports of each address.
fn rules(side: &str, entries: &[Entry<Endpoint>], omissions: &mut Vec<Omission>) -> Value {
    let mut rules: Vec<(Option<IpNet>, Vec<Value>)> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let place = format!("/network/{side}/{index}");
        let (protocol, rule) = match &entry.what {
            Endpoint::Tcp(rule) => ("TCP", rule),
            Endpoint::Udp(rule) => ("UDP", rule),
            Endpoint::Icmp => {
                let what = "icmp: a NetworkPolicy has none; whether it passes, the network plugin decides";
                omissions.push(Omission::new(place, what));
                continue;
            }
            // They reach nothing outside of the pod.
            Endpoint::Netlink | Endpoint::UnixAny | Endpoint::UnixPath(_) | Endpoint::UnixAbstract(_) => {
                continue;
            }
        };
        if rule.network.is_some_and(|network| network.addr().is_loopback()) {
            continue;
        }
        // An address that is listened on is the pod's own.
        let network = rule.network.filter(|_| side == "connect");
        if network.is_none() && rule.network.is_some() {
            let what = format!("{}: on every address of the pod", endpoint_text(&entry.what));
            omissions.push(Omission::new(place, what));
        }
        let port = port(protocol, rule);
        match rules.iter_mut().find(|(known, _)| *known == network) {
            Some((_, ports)) if ports.contains(&port) => {}
            Some((_, ports)) => ports.push(port),
            None => rules.push((network, vec![port])),
        }
    }
    let peer = |network: IpNet| json!([{ "ipBlock": { "cidr": network.to_string() } }]);
    let rule = |(network, ports): (Option<IpNet>, Vec<Value>)| {
        let mut rule = json!({ "ports": ports });
        if let Some(network) = network {
            rule["to"] = peer(network);
        }
        rule
    };
    rules.into_iter().map(rule).collect()
}

fn port(protocol: &str, rule: &AddressRule) -> Value {
    match rule.ports {
        (0, u16::MAX) => json!({ "protocol": protocol }),
        (first, last) if first == last => json!({ "protocol": protocol, "port": first }),
        // Port 0 is none of the network.
        (first, last) => json!({ "protocol": protocol, "port": first.max(1), "endPort": last }),
    }
}

/// The labels that `--label` can be, `KEY=VALUE`.
///
/// # Errors
/// The text is none.
pub fn label(text: &str) -> Result<(String, String), ConversionError> {
    let of_it = |part: &str, more: &str| {
        !part.is_empty()
            && part.len() <= 253
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c) || more.contains(c))
    };
    match text.split_once('=') {
        Some((key, value)) if of_it(key, "/") && of_it(value, "") => Ok((key.to_owned(), value.to_owned())),
        _ => {
            let what = format!("{text:?} is no label; expected KEY=VALUE such as app=web");
            Err(ConversionError::Option { flag: "--label", what })
        }
    }
}

/// The names of a component's files.
pub fn file_names() -> BTreeSet<&'static str> {
    ["kustomization.yaml", "deployment.yaml", "network-policy.yaml", "profile.json"].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::read;

    fn workload() -> Workload {
        Workload {
            deployment: "web".to_owned(),
            container: "web".to_owned(),
            command: Vec::new(),
            image: "example-remit:latest".to_owned(),
            image_volume: false,
            label: ("app".to_owned(), "web".to_owned()),
        }
    }

    fn made(text: &str, workload: &Workload) -> Converted<KubernetesObjects> {
        objects(&read(text.as_bytes()).expect("a profile"), workload).expect("objects")
    }

    const PROFILE: &str = r#"{ "remit": 1, "name": "x", "run_as": { "user": 33, "group": 33, "groups": [4] },
        "capabilities": ["net_bind_service"], "programs": [{ "path": "/bin/a", "entry": true }],
        "network": { "listen": ["tcp/80", "tcp/127.0.0.1:81", "unix:/x"],
            "connect": ["tcp/10.0.0.0/8:5432", "udp/53", "tcp/8000-8100", "icmp", "tcp/[fd00::/8]:1", "udp/*"] } }"#;

    #[test]
    fn ids_capabilities_and_ports_are_in_kubernetes_own_terms() {
        let Converted { result, omissions, notes } = made(PROFILE, &workload());
        let pod = &result.patch["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsUser"], 33);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["supplementalGroups"], json!([4]));
        let container = &pod["containers"][0];
        assert_eq!(container["command"], json!(["/remit/remit-init", "--", "/bin/a"]));
        assert!(container["args"].is_null(), "the manifest's own stay");
        let context = &container["securityContext"];
        assert_eq!(context["capabilities"], json!({ "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] }));
        assert_eq!(context["readOnlyRootFilesystem"], true);
        let spec = &result.policy["spec"];
        assert_eq!(spec["ingress"], json!([{ "ports": [{ "protocol": "TCP", "port": 80 }] }]));
        assert_eq!(
            spec["egress"],
            json!([
                { "ports": [{ "protocol": "TCP", "port": 5432 }], "to": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }] },
                { "ports": [
                    { "protocol": "UDP", "port": 53 },
                    { "protocol": "TCP", "port": 8000, "endPort": 8100 },
                    { "protocol": "UDP" }
                ] },
                { "ports": [{ "protocol": "TCP", "port": 1 }], "to": [{ "ipBlock": { "cidr": "fd00::/8" } }] },
            ])
        );
        assert_eq!(omissions.len(), 1, "{omissions:?}");
        assert_eq!(omissions[0].place, "/network/connect/3");
        assert!(notes.is_empty(), "{notes:?}");
    }

    #[test]
    fn a_mode_that_refuses_nothing_is_a_line() {
        let audit = PROFILE.replacen("\"name\"", "\"mode\": \"audit\", \"name\"", 1);
        let omissions = made(&audit, &workload()).omissions;
        assert_eq!(omissions[0].place, "/mode");
        assert!(omissions[0].what.starts_with("audit: of remit-init alone; "), "{omissions:?}");
    }

    #[test]
    fn the_component_is_yaml_that_says_the_same() {
        let objects = made(PROFILE, &workload()).result;
        let files = objects.component();
        assert_eq!(files.iter().map(|file| file.name).collect::<BTreeSet<_>>(), file_names());
        for file in files.iter().filter(|file| file.name.ends_with(".yaml")) {
            let read: Value = serde_saphyr::from_str(&file.text).expect("YAML");
            assert!(file.text.starts_with("# ") && read["kind"].is_string(), "{}", file.text);
        }
        let patch: Value = serde_saphyr::from_str(&files[1].text).expect("YAML");
        assert_eq!(patch, objects.patch);
        let stream: Vec<Value> = serde_saphyr::from_multiple(&objects.stream()).expect("YAML");
        assert_eq!(stream.len(), 3);
        assert_eq!(stream[0]["data"]["profile.json"], PROFILE);
    }

    #[test]
    fn an_image_volume_takes_the_place_of_the_init_container() {
        let workload = Workload {
            image_volume: true,
            command: vec!["a".to_owned(), "$(HOME) $x".to_owned()],
            ..workload()
        };
        let pod = made(PROFILE, &workload).result.patch["spec"]["template"]["spec"].clone();
        assert!(pod["initContainers"].is_null());
        assert_eq!(pod["volumes"][0]["image"]["reference"], "example-remit:latest");
        assert_eq!(pod["containers"][0]["command"], json!(["/remit/remit-init", "--", "a", "$$(HOME) $$x"]));
        assert_eq!(pod["containers"][0]["args"], json!([]));
    }

    #[test]
    fn names_that_kubernetes_refuses_are_refused() {
        for name in ["", "Web", "a_b", "-a", "a-", "a\u{1b}[2J", &"a".repeat(64)] {
            let workload = Workload { deployment: name.to_owned(), ..workload() };
            let document = read(PROFILE.as_bytes()).expect("a profile");
            let error = objects(&document, &workload).expect_err(name);
            assert!(error.to_string().starts_with("--deployment: "), "{error}");
        }
        for image in ["", "x y", "x\n", "\t", "x\u{1b}[2J", "x\u{a0}y"] {
            let workload = Workload { image: image.to_owned(), ..workload() };
            let document = read(PROFILE.as_bytes()).expect("a profile");
            let error = objects(&document, &workload).expect_err(image).to_string();
            assert!(error.starts_with("--image: ") && !error.contains(['\n', '\u{1b}']), "{error:?}");
        }
        assert!(label("app=web").is_ok() && label("example.com/app=w_1").is_ok());
        for text in ["", "app", "=x", "app=", "a b=c", "a=b\n"] {
            assert!(label(text).is_err(), "{text:?}");
        }
    }
}
