//! `network`: the sockets that may be made, and their options.

use remit::filter::{Access, Action};
use remit::kernel::Kernel;
use remit::plan::{Host, Plan};
use remit::profile::Mode;

use crate::{SERVER, answer, kernel, place, plan_on, server};

#[test]
fn where_addresses_are_named_no_option_leads_elsewhere() {
    let connects = |to: &str| server(&format!(r#""network": {{"connect": [{to:?}]}}"#));
    let (named, ports) = (connects("tcp/10.0.0.1:80"), connects("tcp/80"));
    let ask = |plan: &Plan, level: u64, option: u64| answer(plan, "setsockopt", [3, level, option, 0, 0, 0]);
    // By level: IP, the socket's own, IPv6. include/uapi/linux/in.h, in6.h, asm/socket.h.
    for (level, options) in
        [(0, &[4, 50][..]), (1, &[25, 36, 62]), (41, &[5, 6, 9, 32, 50, 54, 55, 57, 59, 76])]
    {
        for option in options {
            assert_eq!(ask(&named, level, *option), Action::Notify, "{level} {option}");
            assert_eq!(ask(&named, level | 1 << 32, option | 1 << 32), Action::Notify, "{level} {option}");
            assert_eq!(ask(&ports, level, *option), Action::Allow, "{level} {option}");
        }
    }
    // TCP_NODELAY, IP_TOS, SO_KEEPALIVE, IPV6_V6ONLY, IPV6_RECVPKTINFO.
    for (level, option) in [(6, 1), (0, 1), (1, 9), (41, 26), (41, 49), (6, 25), (282, 1)] {
        assert_eq!(ask(&named, level, option), Action::Allow, "{level} {option}");
    }
    assert_eq!(ports.filter.calls.get("setsockopt"), Some(&Access::Allow));
}

/// A pair's sockets and inherited ones are used without an entry in `network`.
#[test]
fn sockets_that_are_open_are_used_without_a_network() {
    let alone = server(r#""syscalls": {"allow": ["@core"]}"#);
    for call in ["getpeername", "getsockname", "getsockopt", "shutdown", "accept4", "recvmmsg"] {
        assert_eq!(answer(&alone, call, [3, 0, 0, 0, 0, 0]), Action::Allow, "{call}");
    }
    for call in ["socket", "connect", "bind", "listen"] {
        assert_eq!(answer(&alone, call, [3, 0, 0, 0, 0, 0]), Action::Notify, "{call}");
    }
    let set = |level: u64, option: u64| answer(&alone, "setsockopt", [3, level, option, 0, 0, 0]);
    // SO_SNDBUF, SO_KEEPALIVE, SO_RCVTIMEO; TCP_NODELAY, TCP_KEEPIDLE, TCP_USER_TIMEOUT.
    for (level, option) in [(1, 7), (1, 9), (1, 20), (6, 1), (6, 4), (6, 18)] {
        assert_eq!(set(level, option), Action::Allow, "{level} {option}");
    }
    // Other interfaces and routes, filters, marks, other protocols' states; IP's and netfilter's.
    for (level, option) in [
        (1, 25),
        (1, 26),
        (1, 36),
        (1, 50),
        (1, 51),
        (1, 52),
        (1, 62),
        (6, 13),
        (6, 14),
        (6, 19),
        (6, 31),
        (0, 4),
        (0, 64),
        (41, 57),
        (263, 1),
    ] {
        assert_eq!(set(level, option), Action::Notify, "{level} {option}");
        assert_eq!(set(level | 1 << 32, option | 1 << 32), Action::Notify, "{level} {option}");
    }
}

/// The kernel makes a process call these where the host watches one of its functions.
#[test]
fn the_kernels_own_calls_are_never_refused() {
    for keys in [r#""syscalls": {"allow": ["@core"]}"#, r#""syscalls": {"allow": []}"#] {
        let plan = server(keys);
        for call in ["uretprobe", "uprobe"] {
            assert_eq!(answer(&plan, call, [0; 6]), Action::Allow, "{call}");
        }
    }
}

#[test]
fn sockets_are_of_the_kinds_that_network_names() {
    let ask = |network: &str, args: [u64; 3]| {
        let plan = server(&format!(r#""network": {{"connect": ["{network}"]}}"#));
        answer(&plan, "socket", [args[0], args[1], args[2], 0, 0, 0])
    };
    const CLOEXEC: u64 = 0o2_000_000;
    assert_eq!(ask("tcp/80", [2, 1 | CLOEXEC, 6]), Action::Allow);
    assert_eq!(ask("tcp/80", [10, 1, 0]), Action::Allow);
    assert_eq!(ask("tcp/80", [2, 1, 262]), Action::Notify, "MPTCP is not mediated");
    assert_eq!(ask("tcp/80", [2, 1, 132]), Action::Notify, "SCTP");
    assert_eq!(ask("tcp/80", [2, 2, 0]), Action::Notify);
    assert_eq!(ask("tcp/80", [2, 3, 6]), Action::Notify, "raw");
    assert_eq!(ask("tcp/80", [1, 1, 0]), Action::Notify);
    assert_eq!(ask("tcp/80", [16, 3, 0]), Action::Allow, "resolvers ask for addresses");
    assert_eq!(ask("tcp/80", [16, 3, 9]), Action::Notify, "no other netlink");
    assert_eq!(ask("udp/*", [2, 2 | CLOEXEC, 17]), Action::Allow);
    assert_eq!(ask("udp/*", [2, 1, 0]), Action::Notify);
    assert_eq!(ask("unix:*", [1, 5, 0]), Action::Allow);
    // Ping sockets are no datagrams of UDP's, and no raw sockets.
    for (family, protocol) in [(2, 1), (10, 58)] {
        assert_eq!(ask("icmp", [family, 2 | CLOEXEC, protocol]), Action::Allow);
        assert_eq!(ask("icmp", [family, 3, protocol]), Action::Notify, "raw");
        assert_eq!(ask("udp/*", [family, 2, protocol]), Action::Notify);
    }
    assert_eq!(ask("icmp", [2, 2, 58]), Action::Notify);
    assert_eq!(ask("icmp", [2, 2, 17]), Action::Notify);
    // Of netlink's protocols sock_diag, uevent and that of resolvers; netfilter's not.
    for (protocol, action) in [
        (4, Action::Allow),
        (15, Action::Allow),
        (0, Action::Allow),
        (9, Action::Notify),
        (12, Action::Notify),
    ] {
        assert_eq!(ask("netlink", [16, 3, protocol]), action, "{protocol}");
    }
    assert_eq!(ask("icmp", [16, 3, 4]), Action::Notify);
    assert_eq!(ask("netlink", [2, 2, 1]), Action::Notify);
    let plan = server(r#""network": {"connect": ["tcp/80"]}"#);
    assert!(!plan.filter.calls.contains_key("listen"), "it comes with network.listen");
    let added = server(r#""syscalls": {"allow": [{"call": "socket", "arg": 0, "in": ["AF_PACKET"]}]}"#);
    assert_eq!(answer(&added, "socket", [17, 3, 0, 0, 0, 0]), Action::Allow);
}

#[test]
fn an_app_that_says_it_is_ready_gets_no_other_socket() {
    const NOTIFY: &str = r#""ready": {"when": "notify"}"#;
    use remit::plan::NotifyTransport;
    let transport = |plan: &Plan| plan.policy.startup.as_ref().and_then(|startup| startup.notify_transport);
    let alone = server(NOTIFY);
    assert_eq!(transport(&alone), Some(NotifyTransport::SocketPair));
    for kind in [1, 2, 5] {
        assert_eq!(answer(&alone, "socket", [1, kind, 0, 0, 0, 0]), Action::Notify);
    }
    assert!(alone.landlock.as_ref().is_some_and(|domain| domain.scope_abstract));
    assert_eq!(answer(&alone, "setsockopt", [3, 1, 7, 0, 0, 0]), Action::Allow);
    assert_eq!(answer(&alone, "setsockopt", [3, 6, 31, 0, 0, 0]), Action::Notify);
    let any = server(&format!(r#"{NOTIFY}, "network": {{"connect": ["unix:*"]}}"#));
    assert_eq!(transport(&any), Some(NotifyTransport::AbstractSocket));
    let keys = format!("{SERVER}, {NOTIFY}");
    let audit = plan_on(&keys, &kernel(6, 18), &place(), Mode::Audit).expect("plans");
    assert_eq!(
        transport(&audit),
        Some(NotifyTransport::AbstractSocket),
        "audit changes nothing of what it does"
    );
    let old = plan_on(&keys, &kernel(5, 13), &place(), Mode::Enforce).expect("plans");
    assert_eq!(transport(&old), None);
    assert!(old.refusal().is_some_and(|why| why.contains("Linux 5.14")), "{:?}", old.refusal());
}

#[test]
fn addresses_and_names_have_every_socket_made() {
    for entry in ["tcp/10.0.0.0/8:5432", "unix:/data/s", "unix:@name"] {
        let keys = format!(r#""network": {{"listen": ["tcp/80"], "connect": ["{entry}", "udp/*"]}}"#);
        let plan = server(&keys);
        assert!(plan.policy.makes_sockets);
        // Nothing that an address or a descriptor could be exchanged under goes on.
        for (call, args) in
            [("socket", [2, 1, 0]), ("socket", [2, 2, 0]), ("socket", [16, 3, 0]), ("listen", [3, 9, 0])]
        {
            let [a, b, c] = args;
            assert_eq!(answer(&plan, call, [a, b, c, 0, 0, 0]), Action::Notify, "{entry} {call} {args:?}");
        }
        let enforced = plan.socket_rules.iter().map(|one| (one.rule.as_str(), one.by)).collect::<Vec<_>>();
        assert_eq!(enforced, [("/network/connect/0", remit::plan::Mechanism::SupervisorSocket)]);
        assert!(
            plan.missing_features.iter().all(|lack| lack.layer != "landlock-tcp"),
            "{:?}",
            plan.missing_features
        );
        // The kernel tells ports apart beside it.
        assert!(plan.landlock.as_ref().is_some_and(|domain| domain.ports.contains_key(&80)));
        let keys = format!("{SERVER}, {keys}");
        let old = plan_on(&keys, &kernel(5, 13), &place(), Mode::Enforce).expect("plans");
        assert!(old.refusal().is_some_and(|why| why.contains("Linux 5.14")), "{:?}", old.refusal());
        let audit = plan_on(&keys, &kernel(6, 18), &place(), Mode::Audit).expect("plans");
        assert!(!audit.policy.makes_sockets, "audit changes nothing of what it does");
        let kind = if entry.starts_with("unix") { [1, 1, 0, 0, 0, 0] } else { [2, 1, 0, 0, 0, 0] };
        assert_eq!(answer(&audit, "socket", kind), Action::Allow, "{entry}");
    }
    let ports = server(r#""network": {"connect": ["tcp/80", "unix:*"]}"#);
    assert!(!ports.policy.makes_sockets, "what the kernel tells apart costs nothing");
    // A program that may make any unix socket is limited to no name.
    let any = server(r#""network": {"listen": ["unix:*"], "connect": ["unix:/data/s"]}"#);
    assert!(!any.policy.makes_sockets && !any.policy.unix_named);
    assert!(any.notes.iter().any(|note| note.contains("/network/connect/0")), "{:?}", any.notes);
}

#[test]
fn the_event_socket_is_refused_by_the_supervisor_that_makes_sockets() {
    let near = Host { event_socket: Some("/run/events.sock".into()), ..place() };
    let any = format!(r#"{SERVER}, "network": {{"connect": ["unix:*"]}}"#);
    let made = |keys: &str, kernel: &Kernel, place: &Host, mode| {
        plan_on(keys, kernel, place, mode).expect("a plan").policy.makes_sockets
    };
    assert!(made(&any, &kernel(6, 18), &near, Mode::Enforce));
    assert!(!made(&any, &kernel(6, 18), &place(), Mode::Enforce), "without such a sink nothing changes");
    assert!(!made(&any, &kernel(6, 18), &near, Mode::Audit), "audit changes nothing");
    let tcp = format!(r#"{SERVER}, "network": {{"connect": ["tcp/80"]}}"#);
    assert!(!made(&tcp, &kernel(6, 18), &near, Mode::Enforce), "it cannot make a unix socket");
    let old = plan_on(&any, &kernel(5, 13), &near, Mode::Enforce).expect("a plan");
    let refusal = old.refusal().expect("it is refused").to_string();
    assert!(refusal.contains("the socket that events go to"), "{refusal}");
}
