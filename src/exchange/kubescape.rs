//! Reads an `ApplicationProfile` of Kubescape: what its node agent observed of a workload.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::imported::{self, Imported, RightsByPath, every, group};
use super::{ConversionError, Converted, Omission, yaml};
use crate::profile::{
    self, ArgPattern, Capability, Endpoint, Entry, FileEntry, FileGroup, Network, Program, Rights,
    SyscallRule,
};
use crate::syscalls::{self, Handler};

/// The version of the API that is read.
pub const API_VERSION: &str = "spdx.softwarecomposition.kubescape.io/v1beta1";

/// One segment of a path, whatever it is.
const SEGMENT: &str = "⋯";
/// Any number of arguments.
const ARGUMENTS: &str = "⋯⋯";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    name: String,
    capabilities: Option<Vec<String>>,
    execs: Option<Vec<ObservedExec>>,
    opens: Option<Vec<ObservedOpen>>,
    syscalls: Option<Vec<String>>,
    endpoints: Option<Vec<HttpEndpoint>>,
    /// What this version does not know.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObservedExec {
    #[serde(default)]
    path: String,
    args: Option<Vec<String>>,
    envs: Option<Vec<String>>,
    #[serde(default)]
    args_required: bool,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct ObservedOpen {
    #[serde(default)]
    path: String,
    flags: Option<Vec<String>>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct HttpEndpoint {
    #[serde(default)]
    endpoint: String,
    direction: Option<String>,
    methods: Option<Vec<String>>,
    headers: Option<Value>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// What a manifest begins with.
const EXPECTED: &str = "a map with \"kind\", as `kubectl get applicationprofile -o yaml` prints it";

/// Reads one container of the manifest: the one of this name, or the only one.
///
/// # Errors
/// The text is no such manifest, or has no such container.
pub fn read(text: &[u8], container: Option<&str>) -> Result<Converted<Imported>, ConversionError> {
    let document = yaml::value(text)?;
    let not_format = |why: String| ConversionError::NotFormat { format: "ApplicationProfile", why };
    if document.is_null() {
        return Err(ConversionError::Empty { expected: EXPECTED });
    }
    if !document.is_object() {
        return Err(not_format(format!("expected {EXPECTED}")));
    }
    let manifest: Manifest =
        serde_json::from_value(document).map_err(|error| not_format(error.to_string()))?;
    if manifest.kind != "ApplicationProfile" {
        let what = format!(
            "{:?} is not read; expected \"ApplicationProfile\", as `kubectl get applicationprofile -o yaml` prints it",
            manifest.kind
        );
        return Err(ConversionError::value("/kind", what));
    }
    if manifest.api_version != API_VERSION {
        let what = format!("{:?} is not read; expected {API_VERSION:?}", manifest.api_version);
        return Err(ConversionError::value("/apiVersion", what));
    }
    let spec = manifest
        .spec
        .ok_or_else(|| ConversionError::value("/spec", "is missing, so no container is described"))?;
    let (place, container, omissions) = choose(spec, container)?;
    let mut reader = ContainerReader { place, omissions, notes: Vec::new() };
    let imported = reader.container(container);
    Ok(Converted { result: imported, omissions: reader.omissions, notes: reader.notes })
}

/// The container and its place; and a line for each other one, where it was not chosen by its name.
fn choose(spec: Spec, name: Option<&str>) -> Result<(String, Container, Vec<Omission>), ConversionError> {
    let of = |list: &str, all: Option<Vec<Container>>| -> Vec<(String, Container)> {
        let numbered = all.into_iter().flatten().enumerate();
        numbered.map(|(index, container)| (format!("/spec/{list}/{index}"), container)).collect()
    };
    let app = of("containers", spec.containers);
    let others =
        [of("initContainers", spec.init_containers), of("ephemeralContainers", spec.ephemeral_containers)];
    let only = app.len() == 1;
    let mut all: Vec<_> = app.into_iter().chain(others.into_iter().flatten()).collect();
    let names: Vec<_> = all.iter().map(|(_, container)| container.name.clone()).collect();
    let found = match name {
        None if only => Some(0),
        None => None,
        Some(name) => names.iter().position(|known| known == name),
    };
    let Some(index) = found else {
        let wanted = name.map(str::to_owned);
        return Err(ConversionError::NotOne { pointer: "/spec", what: "container", wanted, names });
    };
    let (place, container) = all.remove(index);
    let left_out = |(place, other): (String, Container)| {
        Omission::new(
            place,
            format!("{}: a container of its own, left out; --container names it", other.name),
        )
    };
    let omissions = if name.is_none() { all.into_iter().map(left_out).collect() } else { Vec::new() };
    Ok((place, container, omissions))
}

struct ContainerReader {
    place: String,
    omissions: Vec<Omission>,
    notes: Vec<String>,
}

impl ContainerReader {
    fn omit(&mut self, place: impl std::fmt::Display, what: impl Into<String>) {
        self.omissions.push(Omission::new(format!("{}/{place}", self.place), what));
    }

    /// A line for each key that this version does not know.
    fn unknown(&mut self, place: &str, others: &BTreeMap<String, Value>) {
        // What identifies the image, what concerns Kubescape's own rules, and whether the other side is
        // in the cluster grant nothing.
        const SILENT: [&str; 6] =
            ["imageID", "imageTag", "identifiedCallStacks", "rulePolicies", "seccompProfile", "internal"];
        for key in others.keys().filter(|key| !SILENT.contains(&key.as_str())) {
            self.omit(format!("{place}{key}"), "is not known to this version");
        }
    }

    fn container(&mut self, container: Container) -> Imported {
        let programs = self.programs(container.execs.unwrap_or_default());
        let files = self.files(container.opens.unwrap_or_default());
        let network = self.network(container.endpoints.unwrap_or_default());
        let capabilities = self.capabilities(container.capabilities.unwrap_or_default());
        let syscalls = self.calls(container.syscalls.unwrap_or_default());
        self.unknown("", &container.others);
        Imported {
            programs: Some(programs),
            files: Some(files),
            network: Some(network),
            capabilities: Some(capabilities),
            syscalls: Some(syscalls),
        }
    }

    fn programs(&mut self, execs: Vec<ObservedExec>) -> Vec<Program> {
        let mut found: Vec<Program> = Vec::new();
        let mut free: Vec<PathBuf> = Vec::new();
        for (index, exec) in execs.into_iter().enumerate() {
            let place = format!("execs/{index}");
            self.unknown(&format!("{place}/"), &exec.others);
            if exec.path.contains(SEGMENT) || exec.path.contains('*') {
                let what = format!("{}: a program has one path; add each that is needed by hand", exec.path);
                self.omit(place, what);
                continue;
            }
            let path = match imported::path(&exec.path) {
                Ok(path) => path,
                Err(error) => {
                    self.omit(place, error.to_string());
                    continue;
                }
            };
            if exec.args.iter().flatten().any(|arg| arg.contains('\0')) {
                self.omit(format!("{place}/args"), "an argument has a NUL byte, which none can, left out");
                continue;
            }
            if exec.envs.as_ref().is_some_and(|envs| !envs.is_empty()) {
                self.omit(format!("{place}/envs"), "a profile has no list of variables that must be set");
            }
            let at = found.iter().position(|program| program.place.path() == path).unwrap_or_else(|| {
                found.push(imported::program(path.clone()));
                found.len() - 1
            });
            match self.arguments(&place, exec.args.unwrap_or_default(), exec.args_required) {
                None => free.push(path),
                Some(alternative) => {
                    let all = found[at].args.get_or_insert_default();
                    if !all.contains(&alternative) {
                        all.push(alternative);
                    }
                }
            }
        }
        for program in &mut found {
            if free.iter().any(|path| path == program.place.path()) {
                program.args = None;
            }
        }
        let all: Vec<PathBuf> = found.iter().map(|program| program.place.path().to_owned()).collect();
        if let [only] = found.as_mut_slice() {
            only.entry = true;
        } else if !found.is_empty() {
            imported::connect(&mut found, |_| true, &all);
            self.omit("execs", "which program started which is not recorded, so each may run each other");
        }
        found
    }

    /// The arguments after argv[0]; `None`: any.
    fn arguments(&mut self, place: &str, args: Vec<String>, required: bool) -> Option<Vec<ArgPattern>> {
        if args.is_empty() && !required {
            return None;
        }
        let rest = args.get(1..).unwrap_or_default();
        let mut patterns = Vec::new();
        for (index, arg) in rest.iter().enumerate() {
            if arg == ARGUMENTS {
                if index + 1 < rest.len() {
                    self.omit(
                        format!("{place}/args"),
                        "any number of arguments in the middle, so any arguments are granted",
                    );
                    return None;
                }
                patterns.push(ArgPattern::Rest);
            } else if arg.contains(SEGMENT) {
                let escaped = arg.replace('\\', "\\\\").replace('*', "\\*");
                if arg != SEGMENT {
                    self.omit(
                        format!("{place}/args"),
                        format!("{arg}: `*` in its place matches several segments too"),
                    );
                }
                patterns.push(ArgPattern::Glob(escaped.replace(SEGMENT, "*")));
            } else {
                patterns.push(ArgPattern::Exact(arg.clone()));
            }
        }
        Some(patterns)
    }

    fn files(&mut self, opens: Vec<ObservedOpen>) -> Vec<FileEntry> {
        let mut files = RightsByPath::default();
        for (index, open) in opens.into_iter().enumerate() {
            let place = format!("opens/{index}");
            self.unknown(&format!("{place}/"), &open.others);
            let mut rights = Rights::NONE;
            let is_directory = open.flags.iter().flatten().any(|flag| flag == "O_DIRECTORY");
            for flag in open.flags.iter().flatten() {
                match right(flag) {
                    Some(right) => rights |= right,
                    None => self.omit(format!("{place}/flags"), format!("{flag}: is not known")),
                }
            }
            // A directory is opened to list it.
            if rights.is_empty() || (is_directory && rights == Rights::READ) {
                rights = if is_directory { Rights::LIST } else { Rights::READ };
            }
            let wild = open.path.split('/').position(|part| part.contains(SEGMENT) || part.contains('*'));
            let plain: String = match wild {
                None => open.path.clone(),
                Some(segments) => open.path.split('/').take(segments).collect::<Vec<_>>().join("/"),
            };
            // The kernel's view of the machine: for reading it comes with @runtime.
            if plain.is_empty() || (plain == "/" && rights != Rights::LIST) {
                self.omit(place, format!("{}: would be the whole image, left out", open.path));
                continue;
            }
            let path = match imported::path(&plain) {
                Ok(path) => path,
                Err(error) => {
                    self.omit(place, error.to_string());
                    continue;
                }
            };
            if path.starts_with("/proc") && Rights::READ.contains(rights) {
                continue;
            }
            if wild.is_some() {
                self.omit(place, format!("{}: granted as {} and all below it", open.path, path.display()));
            }
            files.add(path, rights);
        }
        let runtime = group(FileGroup::Runtime, "what a dynamic program needs to start");
        std::iter::once(runtime).chain(files.entries()).collect()
    }

    fn network(&mut self, endpoints: Vec<HttpEndpoint>) -> Network {
        let mut network = Network { listen: Vec::new(), connect: Vec::new() };
        for (index, http) in endpoints.into_iter().enumerate() {
            let place = format!("endpoints/{index}");
            self.unknown(&format!("{place}/"), &http.others);
            let outbound = match http.direction.as_deref() {
                Some("outbound") => true,
                Some("inbound") => false,
                other => {
                    let what = other
                        .map_or("has no direction".to_owned(), |other| format!("{other:?} is no direction"));
                    self.omit(
                        format!("{place}/direction"),
                        format!("{}: {what}; expected inbound or outbound, left out", http.endpoint),
                    );
                    continue;
                }
            };
            let authority = http.endpoint.split('/').next().unwrap_or_default();
            let path = &http.endpoint[authority.len()..];
            let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
            let Ok(port) = port.parse::<u16>() else {
                self.omit(place, format!("{}: has no port; expected HOST:PORT/PATH", http.endpoint));
                continue;
            };
            if !matches!(path, "" | "/") || http.methods.is_some_and(|all| !all.is_empty()) {
                self.omit(
                    &place,
                    format!("{}: the path and the methods of HTTP are not checked", http.endpoint),
                );
            }
            if http.headers.is_some_and(|headers| headers.as_object().is_some_and(|all| !all.is_empty())) {
                self.omit(format!("{place}/headers"), "headers are not checked");
            }
            let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
            let word = match address {
                Some(std::net::IpAddr::V6(address)) => format!("tcp/[{address}]:{port}"),
                Some(std::net::IpAddr::V4(address)) => format!("tcp/{address}:{port}"),
                None => format!("tcp/{port}"),
            };
            if outbound && address.is_none() && !host.is_empty() {
                self.omit(
                    &place,
                    format!("{host}: host names cannot be granted, so every address is, on port {port}"),
                );
            }
            let side = if outbound { &mut network.connect } else { &mut network.listen };
            add(side, &word);
        }
        if network.listen.is_empty() && network.connect.is_empty() {
            self.notes.push(
                "an ApplicationProfile has HTTP endpoints alone; other ports are in its NetworkNeighborhood, and are added by hand"
                    .to_owned(),
            );
        }
        network
    }

    fn capabilities(&mut self, names: Vec<String>) -> Vec<Entry<Capability>> {
        let mut found: Vec<Entry<Capability>> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match profile::capability_of(name) {
                Some(what) if found.iter().all(|entry| entry.what != what) => {
                    found.push(Entry { what, why: None })
                }
                Some(_) => {}
                None => self.omit(format!("capabilities/{index}"), format!("{name}: is no capability")),
            }
        }
        found
    }

    fn calls(&mut self, names: Vec<String>) -> Vec<Entry<SyscallRule>> {
        let mut found = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let place = format!("syscalls/{index}");
            match syscalls::find(name) {
                None => self.omit(place, format!("{name}: is no call of a 64-bit architecture")),
                Some(call) if call.handler == Handler::NotImplemented => {
                    self.omit(place, format!("{name}: its flags are in memory, so it is answered ENOSYS and libraries fall back to clone"));
                }
                Some(call) => {
                    found.insert(call.name, Entry { what: SyscallRule::Call(call.name), why: None });
                }
            }
        }
        found.into_values().collect()
    }
}

/// The rights that an open with this flag needs; none for flags that ask for none.
fn right(flag: &str) -> Option<Rights> {
    Some(match flag {
        "O_RDONLY" => Rights::READ,
        "O_WRONLY" | "O_APPEND" | "O_TRUNC" => Rights::WRITE,
        "O_RDWR" => Rights::READ | Rights::WRITE,
        "O_CREAT" | "O_TMPFILE" | "O_EXCL" => Rights::WRITE | Rights::CREATE,
        "O_CLOEXEC" | "O_NONBLOCK" | "O_NDELAY" | "O_NOFOLLOW" | "O_NOCTTY" | "O_NOATIME" | "O_PATH"
        | "O_DIRECTORY" | "O_LARGEFILE" | "O_SYNC" | "O_DSYNC" | "O_ASYNC" | "O_DIRECT" => Rights::NONE,
        _ => return None,
    })
}

/// Adds an endpoint, once.
pub(super) fn add(list: &mut Vec<Entry<Endpoint>>, word: &str) {
    if let Some(what) = every(word)
        && list.iter().all(|entry| entry.what != what)
    {
        list.push(Entry { what, why: None });
    }
}

#[cfg(test)]
mod tests;
