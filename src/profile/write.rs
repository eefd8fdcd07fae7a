//! [`Profile`] → text: canonical, so that the same profile is the same bytes, and
//! laid out for a person who reviews it: what fits on a line is on one.

use std::path::Path;

use ipnet::IpNet;

use super::words::capability_word;
use super::{
    AddressRule, ArgPattern, Endpoint, Entry, FileEntry, FileRule, Limits, Profile, Program, ProgramPlace,
    Ready, SyscallRule, Watch,
};
use crate::syscalls::{Condition, Test, constants};
use crate::visible;

/// Writes a profile in the order of the format, defaults left out. What [`read`]
/// makes of the text is the profile again.
///
/// [`read`]: super::read
pub fn write(profile: &Profile) -> String {
    let mut text = String::new();
    lay_out(&document(profile), 0, 0, &mut text);
    text.push('\n');
    text
}

/// JSON whose keys keep their order.
enum Json {
    /// A value that is JSON text already.
    Scalar(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

/// The JSON text of a string, in which nothing is hidden from a reader.
fn string(text: impl AsRef<str>) -> Json {
    let text = serde_json::Value::from(text.as_ref()).to_string();
    Json::Scalar(visible::line(&text).into_owned())
}

fn path(path: &Path) -> Json {
    // Paths come from JSON text, and are UTF-8.
    string(path.to_string_lossy())
}

fn number(number: impl Into<u64>) -> Json {
    Json::Scalar(number.into().to_string())
}

fn list<T>(items: &[T], item: impl Fn(&T) -> Json) -> Json {
    Json::List(items.iter().map(item).collect())
}

/// An object's pairs, added where they differ from the default.
#[derive(Default)]
struct ChangedPairs(Vec<(&'static str, Json)>);

impl ChangedPairs {
    fn put(&mut self, key: &'static str, value: Json) {
        self.0.push((key, value));
    }

    fn some<T>(&mut self, key: &'static str, value: Option<T>, json: impl FnOnce(T) -> Json) {
        self.0.extend(value.map(|value| (key, json(value))));
    }

    fn full<T>(&mut self, key: &'static str, items: &[T], item: impl Fn(&T) -> Json) {
        self.some(key, (!items.is_empty()).then_some(items), |items| list(items, item));
    }

    fn object(self) -> Json {
        Json::Object(self.0)
    }

    fn section(&mut self, key: &'static str, pairs: ChangedPairs) {
        self.some(key, (!pairs.0.is_empty()).then_some(pairs), ChangedPairs::object);
    }

    fn changed<T: PartialEq + Default>(
        &mut self,
        key: &'static str,
        value: T,
        word: impl Fn(T) -> &'static str,
    ) {
        self.some(key, (value != T::default()).then_some(value), |value| string(word(value)));
    }
}

fn document(profile: &Profile) -> Json {
    let mut top = ChangedPairs::default();
    top.put("remit", number(1u8));
    top.put("name", string(&profile.name));
    top.changed("risk", profile.risk, super::Risk::word);
    top.changed("mode", profile.mode, super::Mode::word);
    top.some("run_as", profile.run_as.as_ref(), |ids| {
        let mut pairs = ChangedPairs::default();
        pairs.put("user", number(ids.user.as_raw()));
        pairs.put("group", number(ids.group.as_raw()));
        pairs.full("groups", &ids.groups, |group| number(group.as_raw()));
        pairs.object()
    });
    top.full("capabilities", &profile.capabilities, |entry| {
        reasoned(entry, "capability", |capability| string(capability_word(*capability)))
    });
    top.put("programs", list(&profile.programs, program));
    top.full("files", &profile.files, file);
    let mut network = ChangedPairs::default();
    network.full("listen", &profile.network.listen, |entry| reasoned(entry, "endpoint", endpoint));
    network.full("connect", &profile.network.connect, |entry| reasoned(entry, "endpoint", endpoint));
    top.section("network", network);
    let mut syscalls = ChangedPairs::default();
    syscalls.some("exact", profile.syscalls.exact.then_some(()), |()| Json::Scalar("true".into()));
    syscalls.full("allow", &profile.syscalls.allow, rule);
    syscalls.full("startup_only", &profile.syscalls.startup_only, rule);
    top.section("syscalls", syscalls);
    let yes = || Json::Scalar("true".into());
    top.some("memory", profile.write_execute.then(yes), |yes| Json::Object(vec![("write_execute", yes)]));
    let mut environment = ChangedPairs::default();
    environment.full("drop", &profile.environment_drop, |entry| reasoned(entry, "name", |name| string(name)));
    environment.full("keep", &profile.environment_keep, |entry| reasoned(entry, "name", |name| string(name)));
    top.section("environment", environment);
    top.section("limits", limits(profile.limits));
    top.some("ready", profile.ready, ready);
    let watch = match profile.watch {
        Watch::SecretsThere => None,
        Watch::Nothing => Some(Vec::new()),
        Watch::Secrets => Some(vec![string("secrets")]),
        Watch::Reads => Some(vec![string("reads")]),
    };
    top.some("watch", watch, Json::List);
    top.changed("on_violation", profile.on_violation, super::OnViolation::word);
    top.changed("fallback", profile.fallback, super::Fallback::word);
    top.object()
}

/// The value alone, or an object with its `why`.
fn reasoned<T>(entry: &Entry<T>, key: &'static str, json: impl Fn(&T) -> Json) -> Json {
    match &entry.why {
        None => json(&entry.what),
        Some(why) => Json::Object(vec![(key, json(&entry.what)), ("why", string(why))]),
    }
}

fn program(program: &Program) -> Json {
    let mut pairs = ChangedPairs::default();
    match &program.place {
        ProgramPlace::Path(file) => pairs.put("path", path(file)),
        ProgramPlace::Beneath(directory) => pairs.put("beneath", path(directory)),
    }
    pairs.some("applet", program.applet.as_ref(), string);
    pairs.some("from_image", program.from_image.then_some(()), |()| Json::Scalar("true".into()));
    pairs.some("entry", program.entry.then_some(()), |()| Json::Scalar("true".into()));
    pairs.some("interpreter", program.interpreter.as_deref(), path);
    pairs.full("may_run", &program.may_run, |transition| {
        if transition.why.is_none() && transition.what.applet.is_none() {
            return path(&transition.what.path);
        }
        let mut pairs = ChangedPairs::default();
        pairs.put("path", path(&transition.what.path));
        pairs.some("applet", transition.what.applet.as_ref(), string);
        pairs.some("why", transition.why.as_ref(), string);
        pairs.object()
    });
    pairs.some("args", program.args.as_deref(), |alternatives| list(alternatives, |one| list(one, argument)));
    pairs.some("sha256", program.sha256.as_ref(), string);
    pairs.some("user", program.user.as_deref(), |uids| list(uids, |uid| number(uid.as_raw())));
    pairs.some("instances", program.instances, number);
    pairs.some("libraries", program.libraries.as_deref(), |paths| list(paths, |one| path(one)));
    pairs.some("why", program.why.as_ref(), string);
    pairs.object()
}

fn argument(pattern: &ArgPattern) -> Json {
    match pattern {
        ArgPattern::Exact(text) => match ArgPattern::escaped(text) {
            Some(pattern) => Json::Object(vec![("glob", string(pattern))]),
            None => string(text),
        },
        ArgPattern::Glob(glob) => Json::Object(vec![("glob", string(glob))]),
        ArgPattern::Rest => string("..."),
    }
}

fn file(entry: &FileEntry) -> Json {
    match entry {
        FileEntry::Group(group) => reasoned(group, "group", |group| string(group.word())),
        FileEntry::Path(FileRule { path: at, allow, optional, why }) => {
            let mut pairs = ChangedPairs::default();
            pairs.put("path", path(at));
            pairs.put("allow", Json::List(allow.words().map(string).collect()));
            pairs.some("optional", optional.then_some(()), |()| Json::Scalar("true".into()));
            pairs.some("why", why.as_ref(), string);
            pairs.object()
        }
    }
}

fn endpoint(endpoint: &Endpoint) -> Json {
    string(endpoint_text(endpoint))
}

/// An endpoint as the format writes it.
pub fn endpoint_text(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(address) => format!("tcp/{}", port_at(address)),
        Endpoint::Udp(address) => format!("udp/{}", port_at(address)),
        Endpoint::Icmp => "icmp".to_owned(),
        Endpoint::Netlink => "netlink".to_owned(),
        Endpoint::UnixAny => "unix:*".to_owned(),
        Endpoint::UnixPath(path) => format!("unix:{}", path.display()),
        Endpoint::UnixAbstract(name) => format!("unix:@{name}"),
    }
}

fn port_at(address: &AddressRule) -> String {
    let ports = match address.ports {
        (0, u16::MAX) => "*".to_owned(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let Some(network) = address.network else { return ports };
    let is_one_address = network.prefix_len() == network.max_prefix_len();
    let host = if is_one_address { network.addr().to_string() } else { network.to_string() };
    match network {
        IpNet::V4(_) => format!("{host}:{ports}"),
        IpNet::V6(_) => format!("[{host}]:{ports}"),
    }
}

fn rule(entry: &Entry<SyscallRule>) -> Json {
    let why = entry.why.as_ref();
    let (key, name, condition) = match &entry.what {
        SyscallRule::Group(name) => ("group", *name, None),
        SyscallRule::Call(name) => ("call", *name, None),
        SyscallRule::When(name, condition) => ("call", *name, Some(condition)),
    };
    if why.is_none() && condition.is_none() {
        return string(name);
    }
    let mut pairs = ChangedPairs::default();
    pairs.put(key, string(name));
    if let Some(Condition { arg, test }) = condition {
        let values = |values: &[u64]| list(values, |value| constant(name, *arg, *value));
        pairs.put("arg", number(*arg));
        match test {
            Test::In(some) => pairs.put("in", values(some)),
            Test::NotIn(some) => pairs.put("not_in", values(some)),
            Test::Masked { mask, equals } => {
                pairs.put("mask", number(*mask));
                pairs.put("equals", number(*equals));
            }
        }
    }
    pairs.some("why", why, string);
    pairs.object()
}

/// A value by the kernel's name, where the argument is of a kind whose names are
/// known and just one of them fits.
fn constant(call: &str, arg: u8, value: u64) -> Json {
    /// Second names of what has another.
    const SECOND: [&str; 6] = ["AF_LOCAL", "AF_ROUTE", "SIOCINQ", "TIOCINQ", "SIOCOUTQ", "FIOGETOWN"];
    let family: &[&str] = match (call, arg) {
        ("ioctl", 1) => &["FIO", "TC", "TIOC", "SIOC", "BLK", "TUN"],
        ("prctl", 0) => &["PR_SET_", "PR_GET_", "PR_CAPBSET_", "PR_CAP_", "PR_SVE_"],
        ("socket" | "socketpair", 0) => &["AF_"],
        ("madvise", 2) => &["MADV_"],
        ("fcntl", 1) => &["F_DUPFD", "F_GET", "F_SET", "F_OFD_", "F_NOTIFY", "F_ADD_SEALS"],
        ("kill" | "tkill", 1) | ("tgkill", 2) => &["SIG"],
        ("prlimit64", 1) | ("setrlimit", 0) => &["RLIMIT_"],
        ("sched_setscheduler", 1) => &["SCHED_"],
        ("clock_gettime" | "clock_settime", 0) => &["CLOCK_"],
        _ => &[],
    };
    let fits = |name: &&str| {
        family.iter().any(|prefix| name.starts_with(prefix))
            && !(call == "ioctl" && name.contains('_'))
            && !SECOND.contains(name)
            && constants::value(name) == Some(value)
    };
    let mut names = constants::names().filter(fits);
    match (names.next(), names.next()) {
        (Some(name), None) => string(name),
        _ => number(value),
    }
}

fn limits(limits: Limits) -> ChangedPairs {
    let mut pairs = ChangedPairs::default();
    pairs.some("processes", limits.processes, number);
    pairs.some("open_files", limits.open_files, number);
    pairs.some("file_size", limits.file_size, number);
    pairs.some("core", limits.core, number);
    pairs
}

fn ready(ready: Ready) -> Json {
    let when = |word| ("when", string(word));
    Json::Object(match ready {
        Ready::Listening => vec![when("listening")],
        Ready::Notify => vec![when("notify")],
        Ready::Delay(after) => {
            let millis = after.as_millis();
            let text = match (millis % 60_000, millis % 1_000) {
                (0, _) if millis > 0 => format!("{}m", millis / 60_000),
                (_, 0) => format!("{}s", millis / 1_000),
                _ => format!("{millis}ms"),
            };
            vec![when("delay"), ("delay", string(text))]
        }
    })
}

/// The width of a line, in characters.
const WIDTH: usize = 100;

/// Writes `json` at the end of `text`: on one line where that fits (never the
/// document itself), else one item a line. `lead` is what stands before it.
fn lay_out(json: &Json, depth: usize, lead: usize, text: &mut String) {
    let line = on_one_line(json);
    if depth > 0 && 2 * depth + lead + line.chars().count() < WIDTH {
        return text.push_str(&line);
    }
    let indent = "  ".repeat(depth + 1);
    let (open, close, items): (_, _, Vec<(String, &Json)>) = match json {
        Json::Scalar(scalar) => return text.push_str(scalar),
        Json::List(items) => ('[', ']', items.iter().map(|item| (String::new(), item)).collect()),
        Json::Object(pairs) => {
            ('{', '}', pairs.iter().map(|(key, value)| (format!("\"{key}\": "), value)).collect())
        }
    };
    text.push(open);
    for (number, (key, value)) in items.into_iter().enumerate() {
        text.push_str(if number == 0 { "\n" } else { ",\n" });
        text.push_str(&indent);
        text.push_str(&key);
        lay_out(value, depth + 1, key.chars().count(), text);
    }
    text.push('\n');
    text.push_str(&indent[2..]);
    text.push(close);
}

fn on_one_line(json: &Json) -> String {
    match json {
        Json::Scalar(scalar) => scalar.clone(),
        Json::List(items) => {
            format!("[{}]", items.iter().map(on_one_line).collect::<Vec<_>>().join(", "))
        }
        Json::Object(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("\"{key}\": {}", on_one_line(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    #[test]
    fn what_fits_is_on_one_line_and_defaults_are_left_out() {
        let text = br#"{ "fallback": "refuse", "limits": {}, "network": { "listen": [], "connect": [] },
            "programs": [ { "entry": true, "may_run": [], "path": "/a" },
                { "beneath": "/usr", "why": "a reason that is long enough to need a line of its own, or nearly so" } ],
            "syscalls": { "allow": [ { "call": "read" }, { "in": [21537, 7], "arg": 1, "call": "ioctl" } ] },
            "ready": { "when": "delay", "delay": "1500ms" }, "mode": "audit", "name": "x", "remit": 1 }"#;
        let written = write(&read(text).unwrap().profile);
        assert_eq!(
            written,
            r#"{
  "remit": 1,
  "name": "x",
  "mode": "audit",
  "programs": [
    { "path": "/a", "entry": true },
    {
      "beneath": "/usr",
      "why": "a reason that is long enough to need a line of its own, or nearly so"
    }
  ],
  "syscalls": { "allow": ["read", { "call": "ioctl", "arg": 1, "in": ["FIONBIO", 7] }] },
  "ready": { "when": "delay", "delay": "1500ms" }
}
"#
        );
    }

    #[test]
    fn nothing_in_a_text_is_hidden_from_a_reader() {
        let text = br#"{ "remit": 1, "name": "x", "programs": [{ "path": "/a\u202e", "entry": true, "why": "a\u009b\u007f\ufeff" }] }"#;
        let profile = read(text).unwrap().profile;
        let written = write(&profile);
        assert!(
            written.contains(r#""/a\u202e""#) && written.contains(r#""a\u009b\u007f\ufeff""#),
            "{written}"
        );
        assert_eq!(read(written.as_bytes()).unwrap().profile, profile);
    }

    #[test]
    fn a_constant_is_named_where_its_name_is_sure() {
        let shown = |call, arg, value| on_one_line(&constant(call, arg, value));
        assert_eq!(shown("ioctl", 1, 0x541b), "\"FIONREAD\"", "TIOCINQ and SIOCINQ are second names");
        assert_eq!(shown("socket", 0, 1), "\"AF_UNIX\"");
        assert_eq!(shown("socket", 1, 1), "1", "no family is known for a type");
        assert_eq!(shown("prctl", 0, 15), "\"PR_SET_NAME\"");
        assert_eq!(shown("fcntl", 1, 8), "\"F_SETOWN\"");
        assert_eq!(shown("fcntl", 1, 1031), "\"F_SETPIPE_SZ\"");
        assert_eq!(shown("prlimit64", 1, 7), "\"RLIMIT_NOFILE\"");
    }
}
