//! The registry, on sockets of this process and on invented ones.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::open_sockets::{OpenSockets, SocketState};
use super::*;

fn tcp() -> OwnedFd {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket")
}

/// As many copies as there is room for, all of one descriptor.
fn full(registry: &mut SocketRegistry) {
    let one = Arc::new(tcp());
    for inode in 0..registry.most as u64 {
        let socket = Socket { fd: Arc::clone(&one), inode, kind: SocketKind::Tcp };
        let copy = RegistryEntry {
            socket,
            bound: false,
            maker: Pid::from_raw(7),
            made: StartTime::from_raw(100),
            turn: inode,
            number: None,
            replaced: false,
        };
        registry.sockets.insert(inode, copy);
        registry.installed(Some(inode), Pid::from_raw(7), inode as i32);
    }
}

#[test]
fn a_socket_is_found_until_its_fate_is_sealed() {
    let identity = Identity::own().expect("own ids");
    let mut registry = SocketRegistry::default();
    let [one, two] = [(); 2].map(|()| {
        registry.register(tcp(), SocketKind::Tcp, Pid::from_raw(1), &identity).expect("registered")
    });
    assert_eq!(registry.of(one.inode).map(|socket| socket.inode), Some(one.inode));
    registry.release(one.inode);
    assert!(registry.of(one.inode).is_none() && !registry.has_listened(one.inode));
    registry.binds(two.inode);
    assert!(registry.is_bound(two.inode) && !registry.is_bound(one.inode));
    assert_eq!(registry.listens(two.inode), None);
    assert!(
        registry.of(two.inode).is_none() && registry.has_listened(two.inode) && !registry.is_bound(two.inode)
    );
}

#[test]
fn what_no_process_has_open_is_closed() {
    let identity = Identity::own().expect("own ids");
    let mut registry = SocketRegistry::default();
    // This process has no descendant that has them.
    for _ in 0..FEW * 3 {
        registry.register(tcp(), SocketKind::Tcp, Pid::from_raw(1), &identity).expect("registered");
    }
    assert!(registry.sockets.len() <= FEW, "{}", registry.sockets.len());
    // At the limit /proc is read, however many there were the last time.
    full(&mut registry);
    registry.binds(7);
    registry.next = MOST * 2;
    registry.register(tcp(), SocketKind::Tcp, Pid::from_raw(1), &identity).expect("registered");
    assert!(registry.sockets.len() == 1 && registry.numbers.is_empty() && !registry.is_bound(7));
    assert_eq!(inode_of(std::path::Path::new("socket:[17]")), Some(17));
    assert_eq!(inode_of(std::path::Path::new("pipe:[17]")), None);
}

/// A process that has this number open, and by which it was handed over.
#[test]
fn a_number_that_is_handed_over_again_was_closed() {
    let me = Pid::own();
    let identity = Identity::own().expect("own ids");
    let mut registry = SocketRegistry::default();
    let hold = |registry: &mut SocketRegistry| {
        registry.register(tcp(), SocketKind::Tcp, me, &identity).expect("registered").inode
    };
    let [one, two] = [hold(&mut registry), hold(&mut registry)];
    registry.installed(Some(one), me, 3);
    assert_eq!(registry.installed_as(me, 3).map(|socket| socket.inode), Some(one));
    assert!(registry.installed_as(me, 4).is_none() && registry.installed_as(Pid::from_raw(1), 3).is_none());
    registry.installed(Some(two), me, 3);
    assert!(registry.sockets[&one].replaced && !registry.sockets[&two].replaced);
    assert_eq!(registry.installed_as(me, 3).map(|socket| socket.inode), Some(two));
    // Letting the first go takes nothing from the second.
    registry.release(one);
    assert_eq!(registry.installed_as(me, 3).map(|socket| socket.inode), Some(two));
    registry.installed(None, me, 3);
    assert!(
        registry.sockets[&two].replaced
            && registry.installed_as(me, 3).is_none()
            && registry.numbers.is_empty()
    );
    // One of which there is no copy any more.
    registry.installed(Some(one), me, 4);
    assert!(registry.numbers.is_empty());
}

#[test]
fn what_is_known_decides_about_a_copy() {
    let mut registry = SocketRegistry::default();
    full(&mut registry);
    let copy = |replaced| RegistryEntry {
        socket: registry.sockets[&1].socket.clone(),
        bound: false,
        maker: Pid::from_raw(7),
        made: StartTime::from_raw(100),
        turn: 0,
        number: Some(3),
        replaced,
    };
    let open = |seen: &[u64], unread: &[(i32, u64)]| OpenSockets {
        seen: seen.iter().copied().collect(),
        unread: unread
            .iter()
            .map(|(pid, started)| (Pid::from_raw(*pid), StartTime::from_raw(*started)))
            .collect(),
    };
    assert_eq!(open(&[1], &[(7, 50)]).fate(&copy(true)), SocketState::Open);
    assert_eq!(open(&[2], &[]).fate(&copy(false)), SocketState::Closed);
    assert_eq!(open(&[2], &[(7, 50)]).fate(&copy(false)), SocketState::Unknown);
    assert_eq!(open(&[2], &[(7, 50)]).fate(&copy(true)), SocketState::Likely);
    // A process that may have inherited it; one that was there before; another one with
    // the maker's number.
    assert_eq!(open(&[2], &[(7, 50), (8, 100)]).fate(&copy(true)), SocketState::Perhaps);
    assert_eq!(open(&[2], &[(8, 99)]).fate(&copy(false)), SocketState::Likely);
    assert_eq!(open(&[2], &[(7, 101)]).fate(&copy(false)), SocketState::Perhaps);
    assert!(SocketState::Unknown < SocketState::Perhaps && SocketState::Perhaps < SocketState::Likely);
}

#[test]
fn room_is_made_by_the_best_reason_first() {
    let unread = OpenSockets {
        seen: HashSet::new(),
        unread: HashMap::from([(Pid::from_raw(7), StartTime::from_raw(50))]),
    };
    let mut registry = SocketRegistry::default();
    full(&mut registry);
    // All but the last ten were replaced.
    registry.sockets.values_mut().for_each(|copy| copy.replaced = copy.turn < MOST as u64 - 10);
    registry.make_room(Some(&unread));
    assert_eq!(registry.sockets.len(), 10);
    // Of which nothing is known: the oldest, and the app is not refused a new one.
    full(&mut registry);
    registry.make_room(Some(&unread));
    assert_eq!(registry.sockets.len(), MOST - MOST / 8 - 1);
    assert!(registry.of(0).is_none() && registry.of(MOST as u64 - 1).is_some());
    // What all have open stays, and one more is too many.
    full(&mut registry);
    let all = OpenSockets {
        seen: (0..MOST as u64).collect(),
        unread: HashMap::from([(Pid::from_raw(7), StartTime::from_raw(50))]),
    };
    registry.make_room(Some(&all));
    assert_eq!(registry.sockets.len(), MOST);
}

#[test]
fn there_is_room_for_as_many_as_the_limit_leaves() {
    let mut registry = SocketRegistry::default();
    for (limit, most) in [(0, FEW), (1024, 768), (1 << 20, CEILING), (u64::MAX, CEILING)] {
        registry.limit(limit);
        assert_eq!(registry.most, most, "{limit}");
    }
}

#[test]
fn closed_listeners_are_forgotten() {
    let mut registry = SocketRegistry::default();
    let candidates = (0..).find_map(|inode| registry.listens(inode)).expect("many");
    assert_eq!(candidates.len(), LISTENERS);
    // One that came after the kernel's list was read stays.
    assert_eq!(registry.listens(5000), None);
    registry.forget_listening(&candidates, &HashSet::from([3]));
    assert!(registry.has_listened(3) && registry.has_listened(5000) && !registry.has_listened(4));
    assert_eq!((registry.listening.len(), registry.next_listening), (2, LISTENERS));
}
