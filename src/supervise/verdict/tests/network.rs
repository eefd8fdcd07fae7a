use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, IPPROTO_TCP, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM,
};
use nix::errno::Errno;

use super::super::network::{Address, Direction, Protocol};
use super::{refused, rules};
use crate::event::Want;

use Direction::{Connect, Listen};

#[test]
fn ports_are_told_apart_by_direction() {
    let rules = rules(r#""network": {"listen": ["tcp/80", "tcp/8000-8010"], "connect": ["tcp/5432"]}"#);
    let tcp = |direction, port| rules.address(direction, Protocol::Tcp, &Address::Port(port));
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
        assert_eq!(rules.address(Connect, Protocol::Tcp, &Address::Port(port)), Ok(()));
        refused(rules.address(Listen, Protocol::Tcp, &Address::Port(port)));
    }
}

#[test]
fn udp_is_allowed_as_a_whole_or_not_at_all() {
    let udp = rules(r#""network": {"connect": ["udp/*"]}"#);
    assert_eq!(udp.address(Connect, Protocol::Udp, &Address::Port(53)), Ok(()));
    refused(udp.address(Connect, Protocol::Tcp, &Address::Port(53)));
    // Of which kind it is could not be found out: either would do.
    assert_eq!(udp.address(Connect, Protocol::Other, &Address::Port(53)), Ok(()));
    let tcp = rules(r#""network": {"connect": ["tcp/53"]}"#);
    assert_eq!(
        refused(tcp.address(Connect, Protocol::Udp, &Address::Port(53))).want,
        Some(Want::Connect("udp/*".into()))
    );
    refused(tcp.address(Connect, Protocol::Other, &Address::Port(54)));
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
fn addresses_without_a_port_are_not_judged_here() {
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
