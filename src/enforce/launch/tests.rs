use super::*;

#[test]
fn what_failed_is_received_from_a_child_that_did_not_read_the_numbers_of_threads() {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (socket, theirs) = pair.expect("a pair");
    let child = Child { pid: 0, socket, steps: vec!["first".to_owned()] };
    child.send_thread_ids(&[1, 2]).expect("sent");
    let word = [0i32.to_le_bytes(), (Errno::EPERM as i32).to_le_bytes()].concat();
    nix::unistd::write(&theirs, &word).expect("written");
    drop(theirs);
    let Ok(LaunchMessage::Failed(failure)) = child.read_message() else {
        panic!("what failed is to be received")
    };
    assert_eq!(failure, Failure { step: "first".to_owned(), exec: false, errno: Errno::EPERM });
}
