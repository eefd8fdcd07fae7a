use std::path::Path;

use super::*;
use crate::profile::{self, write};

const NGINX: &str = include_str!("../../../tests/fixtures/exchange/nginx.kubescape.yaml");

#[test]
fn what_was_observed_becomes_entries() {
    let Converted { result, mut omissions, .. } = read(NGINX.as_bytes(), None).expect("it is read");
    let entry = Path::new("/usr/sbin/nginx");
    let made = result.profile("nginx", Some(entry), None, &mut omissions).expect("a profile");
    let text = write(&made);
    assert_eq!(profile::read(text.as_bytes()).expect("it is one").profile, made);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        r#""capabilities": ["chown", "net_bind_service", "setgid", "setuid"]"#,
        r#""path": "/usr/sbin/nginx", "entry": true, "may_run": ["/usr/sbin/nginx", "/usr/bin/find", "/bin/sed"], "args": [["-g", "daemon off;"]]"#,
        r#""args": [["-n", { "glob": "/tmp/*/x" }, "..."]]"#,
        r#"{ "path": "/etc/nginx/nginx.conf", "allow": ["read"], "optional": true }"#,
        r#"{ "path": "/etc/nginx/conf.d", "allow": ["read"], "optional": true }"#,
        r#"{ "path": "/run/nginx.pid", "allow": ["read", "write", "create"], "optional": true }"#,
        r#"{ "path": "/var/cache/nginx", "allow": ["read", "write", "create"], "optional": true }"#,
        r#""listen": ["tcp/80"], "connect": ["tcp/8080", "tcp/10.1.2.3:9000"]"#,
        r#""allow": [ "accept4", "bind", "epoll_wait", "execve", "listen", "read", "write" ]"#,
    ] {
        let line = line.replace("[ ", "[").replace(" ]", "]");
        assert!(line.contains(&part.replace("[ ", "[").replace(" ]", "]")), "{part} in\n{text}");
    }
    assert!(!text.contains("/proc"), "it comes with @runtime");
    let shown: Vec<_> = omissions.iter().map(ToString::to_string).collect();
    for (place, says) in [
        ("/spec/containers/0/execs/3", "a program has one path"),
        ("/spec/containers/0/execs", "which program started which"),
        ("/spec/containers/0/execs/2/args", "several segments"),
        ("/spec/containers/0/opens/1", "granted as /etc/nginx/conf.d"),
        ("/spec/containers/0/endpoints/0", "HTTP are not checked"),
        ("/spec/containers/0/endpoints/1", "host names cannot be granted"),
        ("/spec/containers/0/syscalls/2", "clone3"),
        ("/spec/containers/0/syscalls/7", "sigreturn32"),
    ] {
        assert!(
            shown.iter().any(|one| one.starts_with(&format!("{place}: ")) && one.contains(says)),
            "{place}: {shown:#?}"
        );
    }
}

#[test]
fn a_directory_that_was_opened_is_listed() {
    let opens = [
        "opens:",
        "- { path: /, flags: [O_RDONLY, O_DIRECTORY] }",
        "- { path: /srv, flags: [O_DIRECTORY, O_CLOEXEC] }",
        "- { path: /srv/x, flags: [O_RDONLY] }\n",
    ];
    let text = NGINX.replacen("opens:\n", &opens.join("\n        "), 1);
    let Converted { result, mut omissions, .. } = read(text.as_bytes(), None).expect("it is read");
    let entry = Path::new("/usr/sbin/nginx");
    let text = write(&result.profile("nginx", Some(entry), None, &mut omissions).expect("a profile"));
    assert!(text.contains(r#"{ "path": "/", "allow": ["list"], "optional": true }"#), "{text}");
    assert!(text.contains(r#"{ "path": "/srv/x", "allow": ["read"], "optional": true }"#), "{text}");
    assert!(!text.contains(r#""path": "/srv","#), "that of / is enough: {text}");
}

#[test]
fn a_container_is_named_where_there_are_several() {
    let Converted { result, .. } = read(NGINX.as_bytes(), Some("wait")).expect("it is there");
    assert_eq!(result.programs.expect("programs").len(), 1);
    assert!(read(NGINX.as_bytes(), Some("x")).expect_err("none").to_string().contains("it has nginx, wait"));
    let two = NGINX.replace("  containers:\n", "  containers:\n    - { name: other }\n");
    assert!(
        read(two.as_bytes(), None).expect_err("two").to_string().contains("--container: other, nginx, wait")
    );
}

#[test]
fn what_is_not_known_and_other_containers_are_lines() {
    let text = r#"{ "apiVersion": "spdx.softwarecomposition.kubescape.io/v1beta1", "kind": "ApplicationProfile",
      "spec": { "initContainers": [{ "name": "setup" }], "ephemeralContainers": [{ "name": "debug" }],
        "containers": [{ "name": "app", "newer": 1, "imageID": "x",
          "execs": [{ "path": "/a", "args": ["/a"], "uid": 0 }],
          "opens": [{ "path": "/b", "flags": ["O_RDONLY"], "inode": 1 }],
          "endpoints": [{ "endpoint": ":1" }, { "endpoint": ":2", "direction": "sideways" },
            { "endpoint": ":3", "direction": "inbound", "internal": false, "tls": true },
            { "endpoint": ":4", "direction": "outbound" }] }] } }"#;
    let Converted { result, omissions, .. } = read(text.as_bytes(), None).expect("it is read");
    let network = result.network.expect("network");
    let words = |side: &[Entry<Endpoint>]| -> Vec<_> {
        side.iter().map(|entry| profile::endpoint_text(&entry.what)).collect()
    };
    assert_eq!(
        (words(&network.listen), words(&network.connect)),
        (vec!["tcp/3".into()], vec!["tcp/4".into()])
    );
    let lines: Vec<_> = omissions.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "/spec/initContainers/0: setup: a container of its own, left out; --container names it",
            "/spec/ephemeralContainers/0: debug: a container of its own, left out; --container names it",
            "/spec/containers/0/execs/0/uid: is not known to this version",
            "/spec/containers/0/opens/0/inode: is not known to this version",
            "/spec/containers/0/endpoints/0/direction: :1: has no direction; expected inbound or outbound, left out",
            "/spec/containers/0/endpoints/1/direction: :2: \"sideways\" is no direction; expected inbound or outbound, left out",
            "/spec/containers/0/endpoints/2/tls: is not known to this version",
            "/spec/containers/0/newer: is not known to this version",
        ]
    );
    let named = read(text.as_bytes(), Some("setup")).expect("it is there");
    assert!(named.omissions.is_empty(), "one was chosen: {:?}", named.omissions);
}

#[test]
fn several_programs_need_an_entry() {
    let Converted { result, mut omissions, .. } = read(NGINX.as_bytes(), None).expect("it is read");
    let error = result.profile("x", None, None, &mut omissions).expect_err("which one?");
    assert!(error.to_string().contains("--entry PATH, such as /usr/sbin/nginx"), "{error}");
}

#[test]
fn hostile_texts_are_refused_in_one_line() {
    let deep = "[".repeat(10_000);
    let nested =
        format!("a: {}", "\n".to_owned() + &(0..200).map(|n| " ".repeat(n) + "- a:\n").collect::<String>());
    let aliases: String = std::iter::once("a0: &a0 [x]\n".to_owned())
        .chain((1..40).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))))
        .collect();
    for (text, says) in [
        (String::new(), ""),
        (deep, "is no YAML"),
        (nested, "is no YAML"),
        (aliases, "is no YAML"),
        ("kind: Pod".to_owned(), "/kind: \"Pod\" is not read"),
        ("kind: \"\\e[2J\"".to_owned(), "/kind: \"\\u{1b}[2J\" is not read"),
        (NGINX.replace("v1beta1", "v2"), "/apiVersion: "),
        (NGINX[..NGINX.find("spec:").expect("it has one")].to_owned(), "/spec: is missing"),
        (NGINX.replace("name: nginx\n", "name: [1, 2]\n"), "is no ApplicationProfile"),
        (NGINX.replace("kind: App", "kind: x\nkind: App"), "duplicate"),
        ("kind: ApplicationProfile\n---\nkind: x".to_owned(), ""),
    ] {
        let error = read(text.as_bytes(), None).expect_err(&text[..text.len().min(80)]).to_string();
        assert!(error.contains(says), "{says}: {error}");
        assert!(!error.contains('\n') && !error.contains('\u{1b}'), "{error:?}");
    }
    assert!(read(b"\xff\xfe", None).expect_err("no text").to_string().contains("UTF-8"));
}

#[test]
fn inputs_like_good_ones_are_read_or_refused() {
    crate::mutation::each(&[NGINX.as_bytes()], |changed| {
        if let Ok(Converted { result, mut omissions, .. }) = read(changed, None) {
            let entry = Path::new("/usr/sbin/nginx");
            result.profile("x", Some(entry), None, &mut omissions).expect("what is made is a profile");
        }
    });
}
