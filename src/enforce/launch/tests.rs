use landlock::AccessFs;

use super::*;
use crate::image::{ImageFiles, live::Live};

#[test]
fn what_failed_is_received_from_a_child_that_did_not_read_the_numbers_of_threads() {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (socket, theirs) = pair.expect("a pair");
    let child = Child { pid: 0, socket, steps: vec!["first".to_owned()] };
    child.tell_threads(&[1, 2]).expect("sent");
    let word = [0i32.to_le_bytes(), (Errno::EPERM as i32).to_le_bytes()].concat();
    nix::unistd::write(&theirs, &word).expect("written");
    drop(theirs);
    let Ok(LaunchMessage::Failed(failure)) = child.read_message() else {
        panic!("what failed is to be received")
    };
    assert_eq!(failure, Failure { step: "first".to_owned(), exec: false, errno: Errno::EPERM });
}

#[test]
fn a_rule_is_for_what_was_planned_and_nothing_that_took_its_place() {
    let folder = std::env::temp_dir().join(format!("remit-rule-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    std::fs::write(folder.join("data/file"), "").expect("a file");
    let folder = folder.canonicalize().expect("it is there");
    let path = folder.join("data/file");
    let look = Live.stat(&path).expect("stat").expect("is there");
    let rights = AccessFs::WriteFile.into();
    let rule = PathRule { path, id: look.id, rights, because: Vec::new(), walked: false };
    let opened = || open_as_planned(&rule).map(|file| file.is_some());
    assert_eq!(opened(), Ok(true));
    // Its directory is moved away, and a link put there that leads to it.
    std::fs::rename(folder.join("data"), folder.join("moved")).expect("moved");
    assert_eq!(opened(), Err(Errno::ENOENT));
    std::os::unix::fs::symlink("moved", folder.join("data")).expect("a link");
    assert_eq!(opened(), Err(Errno::ELOOP));
    // Another file in its place.
    std::fs::remove_file(folder.join("data")).expect("ours");
    std::fs::create_dir(folder.join("data")).expect("a folder");
    std::fs::write(&rule.path, "").expect("a file");
    assert_eq!(opened(), Ok(false));
    std::fs::remove_dir_all(folder).expect("cleaned up");
}
