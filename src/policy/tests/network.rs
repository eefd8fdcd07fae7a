use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, IPPROTO_TCP, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM,
};
use nix::errno::Errno;

use super::super::network::{Address, Direction, Protocol};
use super::{refused, rules};
use crate::event::Want;

use Direction::{Connect, Listen};

fn at(port: u16) -> Address {
    Address::Port([192, 0, 2, 1].into(), port)
}

#[test]
fn ports_are_distinguished_by_direction() {
    let rules = rules(r#""network": {"listen": ["tcp/80", "tcp/8000-8010"], "connect": ["tcp/5432"]}"#);
    let tcp = |direction, port| rules.address(direction, Protocol::Tcp, &at(port));
    for port in [80, 8000, 8005, 8010] {
        assert_eq!(tcp(Listen, port), Ok(()), "{port}");
    }
    assert_eq!(tcp(Connect, 5432), Ok(()));
    for port in [0, 79, 81, 5432, 7999, 8011, u16::MAX] {
        let refusal = refused(tcp(Listen, port));
        assert_eq!((refusal.errno, &*refusal.rule), (Errno::EACCES, "/network/listen"));
        assert_eq!(refusal.want, Some(Want::Listen(format!("tcp/{port}"))));
    }
    assert_eq!(refused(tcp(Connect, 80)).want, Some(Want::Connect("tcp/80".into())));
}

#[test]
fn every_port_is_every_port() {
    let rules = rules(r#""network": {"connect": ["tcp/*"]}"#);
    for port in [0, 1, u16::MAX] {
        assert_eq!(rules.address(Connect, Protocol::Tcp, &at(port)), Ok(()));
        refused(rules.address(Listen, Protocol::Tcp, &at(port)));
    }
}

#[test]
fn udp_is_allowed_as_a_whole_or_not_at_all() {
    let udp = rules(r#""network": {"connect": ["udp/*"]}"#);
    assert_eq!(udp.address(Connect, Protocol::Udp, &at(53)), Ok(()));
    refused(udp.address(Connect, Protocol::Tcp, &at(53)));
    // Of which kind it is could not be found out: either would do.
    assert_eq!(udp.address(Connect, Protocol::Other, &at(53)), Ok(()));
    let tcp = rules(r#""network": {"connect": ["tcp/53"]}"#);
    assert_eq!(
        refused(tcp.address(Connect, Protocol::Udp, &at(53))).want,
        Some(Want::Connect("udp/*".into()))
    );
    refused(tcp.address(Connect, Protocol::Other, &at(54)));
}

/// A bind to AF_UNSPEC takes the port, a connect to it none.
#[test]
fn an_unspecified_family_binds_a_port() {
    let rules = rules(r#""network": {"listen": ["tcp/80"]}"#);
    let to = |direction, port| rules.address(direction, Protocol::Tcp, &Address::Unspecified(port));
    assert_eq!(to(Listen, 80), Ok(()));
    assert_eq!(refused(to(Listen, 81)).want, Some(Want::Listen("tcp/81".into())));
    assert_eq!(to(Connect, 81), Ok(()));
}

#[test]
fn addresses_without_a_port_are_not_decided_here() {
    let rules = rules(r#""network": {"listen": ["unix:*"]}"#);
    for address in [Address::UnixPath(b"/run/x".to_vec()), Address::UnixOther(Vec::new()), Address::Other(16)]
    {
        assert_eq!(rules.address(Listen, Protocol::Other, &address), Ok(()));
    }
}

#[test]
fn a_socket_is_refused_by_the_entry_that_would_bring_it() {
    let rules = rules(r#""files": []"#);
    let want = |family, kind, protocol| rules.socket(family, kind, protocol).expect("refused").want;
    for family in [AF_INET, AF_INET6] {
        assert_eq!(want(family, SOCK_STREAM | SOCK_CLOEXEC, 0), Some(Want::Connect("tcp/*".into())));
        assert_eq!(want(family, SOCK_STREAM, IPPROTO_TCP), Some(Want::Connect("tcp/*".into())));
        assert_eq!(want(family, SOCK_DGRAM, 0), Some(Want::Connect("udp/*".into())));
    }
    assert_eq!(want(AF_UNIX, SOCK_STREAM, 0), Some(Want::Connect("unix:*".into())));
    const MPTCP: i32 = 262;
    for (family, kind, protocol) in
        [(AF_INET, SOCK_RAW, 1), (AF_INET, SOCK_STREAM, MPTCP), (AF_NETLINK, SOCK_RAW, 9), (-1, -1, -1)]
    {
        assert_eq!(want(family, kind, protocol), None, "{family} {kind} {protocol}");
    }
}

/// getpwnam asks nscd first, and goes on without it.
#[test]
fn names_answer_a_local_stream_without_a_word() {
    let rules = rules(r#""files": ["@names"]"#);
    assert_eq!(rules.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), None);
    assert!(rules.socket(AF_UNIX, SOCK_DGRAM, 0).is_some());
    assert!(rules.socket(AF_INET, SOCK_STREAM, 0).is_some());
}

#[test]
fn addresses_are_distinguished() {
    let rules = rules(
        r#""network": {"listen": ["tcp/127.0.0.1:80"], "connect": ["tcp/10.0.0.0/8:5432", "tcp/[fd00::/8]:443", "tcp/25"]}"#,
    );
    let to = |direction, address: &str, port| {
        rules.address(direction, Protocol::Tcp, &Address::Port(address.parse().expect("an address"), port))
    };
    for (direction, address, port) in [
        (Listen, "127.0.0.1", 80),
        (Connect, "10.1.2.3", 5432),
        (Connect, "::ffff:10.1.2.3", 5432),
        (Connect, "fd00::7", 443),
        (Connect, "192.0.2.9", 25),
    ] {
        assert_eq!(to(direction, address, port), Ok(()), "{address} {port}");
    }
    for (direction, address, port, hint) in [
        (Listen, "0.0.0.0", 80, Want::Listen("tcp/0.0.0.0:80".into())),
        (Connect, "11.0.0.1", 5432, Want::Connect("tcp/11.0.0.1:5432".into())),
        (Connect, "::a01:203", 5432, Want::Connect("tcp/[::a01:203]:5432".into())),
        (Connect, "2001:db8::1", 443, Want::Connect("tcp/[2001:db8::1]:443".into())),
    ] {
        assert_eq!(refused(to(direction, address, port)).want, Some(hint), "{address} {port}");
    }
    // The bind of AF_UNSPEC is one of every address.
    refused(rules.address(Listen, Protocol::Tcp, &Address::Unspecified(80)));
}

#[test]
fn unix_sockets_are_distinguished_by_where_they_are() {
    use super::super::network::UnixName;
    let rules =
        rules(r#""network": {"listen": ["unix:@own"], "connect": ["unix:/run/app.sock", "unix:@bus"]}"#);
    let path = |direction, path: &str| rules.unix(direction, UnixName::Path(path.as_ref()));
    let hidden = |direction, name: &[u8]| rules.unix(direction, UnixName::Abstract(name));
    assert_eq!(path(Connect, "/run/app.sock"), Ok(()));
    assert_eq!(hidden(Connect, b"bus"), Ok(()));
    assert_eq!(hidden(Listen, b"own"), Ok(()));
    assert_eq!(refused(path(Listen, "/run/app.sock")).want, Some(Want::Listen("unix:/run/app.sock".into())));
    assert_eq!(
        refused(path(Connect, "/run/app.sock2")).want,
        Some(Want::Connect("unix:/run/app.sock2".into()))
    );
    // A hint for all sockets would grant more than was refused.
    assert_eq!(refused(hidden(Connect, b"bus\0")).want, None);
    assert_eq!(refused(hidden(Connect, b"\xff")).want, None);
    assert_eq!(refused(hidden(Connect, b"own")).want, Some(Want::Connect("unix:@own".into())));
}

#[test]
fn a_path_lasts_where_nothing_above_it_can_be_moved() {
    let rules = rules(
        r#""network": {"listen": ["unix:/data/s"]},
           "files": [{"path": "/data", "allow": ["create"]}, {"path": "/run/one", "allow": ["remove"], "optional": true},
                     {"path": "/etc", "allow": ["read"]}]"#,
    );
    let moved = |path: &str| rules.can_be_moved(path.as_ref());
    assert!(!moved("/data/s") && !moved("/run/s") && !moved("/etc/deep/s"));
    assert!(moved("/data/private/s") && moved("/data/private/deeper/s"));
}

#[test]
fn sockets_are_made_of_the_kinds_that_entries_bring() {
    use super::super::network::SocketKind as ViolationKind;
    let rules = rules(r#""network": {"connect": ["tcp/10.0.0.0/8:80", "unix:/run/app.sock"]}"#);
    const SEQPACKET: i32 = libc::SOCK_SEQPACKET;
    for (requested, made) in [
        ([AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0], Some(ViolationKind::Tcp)),
        ([AF_INET6, SOCK_STREAM, IPPROTO_TCP], Some(ViolationKind::Tcp)),
        ([AF_INET, SOCK_STREAM, 262], None),
        ([AF_INET, SOCK_DGRAM, 0], None),
        ([AF_UNIX, SOCK_STREAM, 0], Some(ViolationKind::Unix)),
        ([AF_UNIX, SEQPACKET, 0], Some(ViolationKind::Unix)),
        // It could send to any name without a connect.
        ([AF_UNIX, SOCK_DGRAM, 0], None),
        ([AF_NETLINK, SOCK_RAW, 0], Some(ViolationKind::Other)),
        ([AF_NETLINK, SOCK_RAW, 9], None),
    ] {
        assert_eq!(rules.makes(requested[0], requested[1], requested[2]), made, "{requested:?}");
    }
}

#[test]
fn a_protocol_goes_by_the_kernels_name() {
    for (name, protocol) in [
        ("TCP", Protocol::Tcp),
        ("TCPv6", Protocol::Tcp),
        ("MPTCP", Protocol::Tcp),
        ("MPTCPv6", Protocol::Tcp),
        ("UDPv6", Protocol::Udp),
        ("UDPLITE", Protocol::Udp),
        ("PINGv6", Protocol::Ping),
        ("UNIX-STREAM", Protocol::Other),
        ("XTCP", Protocol::Other),
        ("", Protocol::Other),
    ] {
        assert_eq!(Protocol::of(name.as_bytes()), protocol, "{name}");
    }
}
