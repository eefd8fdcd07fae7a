use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::*;

fn parse(text: &str) -> Result<Destination, String> {
    Destination::parse(OsStr::new(text)).map_err(|error| error.to_string())
}

fn open(destination: &Destination) -> Result<Sink, String> {
    Sink::open(destination, |_| Err(Errno::EBADF.into())).map_err(|error| error.to_string())
}

#[test]
fn destinations_are_read_and_shown_alike() {
    let table = [
        ("stderr", Destination::Stderr, Level::Violation),
        ("/var/log/remit.jsonl", Destination::File("/var/log/remit.jsonl".into()), Level::All),
        ("./events", Destination::File("./events".into()), Level::All),
        ("fd:3", Destination::Fd(3), Level::All),
        ("unix:/run/events", Destination::Unix("/run/events".into()), Level::All),
    ];
    for (text, destination, level) in table {
        assert_eq!(parse(text).as_ref(), Ok(&destination));
        assert_eq!(destination.to_string(), text);
        assert_eq!(destination.default_level(), level);
    }
    assert_eq!((Level::parse("all"), Level::parse("violation")), (Ok(Level::All), Ok(Level::Violation)));
    assert!(Level::parse("none").unwrap_err().to_string().contains("expected violation or all"));
}

#[test]
fn what_is_no_destination_is_said_to_be() {
    let long = format!("unix:/{}", "x".repeat(107));
    for text in
        ["", "stdout", "Stderr", "fd:", "fd:x", "fd:-1", "fd:+1", "fd:99999999999", "unix:", "unix:a", &long]
    {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(&format!("events: `{text}`")) && error.contains("expected"), "{error}");
        assert!(!error.contains('\n'));
    }
}

#[test]
fn a_file_is_appended_to() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("events");
    for text in ["one\n", "two\n"] {
        let mut sink = open(&Destination::File(path.clone())).unwrap();
        assert_eq!(Outlet::write(&mut sink, text.as_bytes()).unwrap(), 4);
        let flags = OFlag::from_bits_retain(fcntl(&sink.file, FcntlArg::F_GETFL).unwrap());
        assert!(flags.contains(OFlag::O_APPEND) && !flags.contains(OFlag::O_NONBLOCK));
        assert_eq!(fcntl(&sink.file, FcntlArg::F_GETFD).unwrap(), 1, "close-on-exec");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    // Whatever the umask takes away, others get nothing.
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let fifo = place.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let missing = place.path().join("missing/events");
    let table = [
        (Destination::File(place.path().into()), "name a file in it"),
        (Destination::File(missing.clone()), "create or mount"),
        (Destination::File(fifo.clone()), "start its reader first"),
        (Destination::File(fifo.join("x")), "Not a directory"),
        (Destination::Unix(missing), "start its listener first"),
        (Destination::Unix(fifo), "start its listener first"),
        (Destination::Fd(77), "77>FILE"),
    ];
    for (destination, advice) in table {
        let error = open(&destination).unwrap_err();
        assert!(error.starts_with("events: ") && error.contains(advice), "{error}");
        assert!(!error.contains('\n'));
    }
}

#[test]
fn a_descriptor_has_to_be_writable() {
    let read_only = |_| File::open("/dev/null").map(OwnedFd::from);
    let error = Sink::open(&Destination::Fd(9), read_only).unwrap_err();
    assert!(error.to_string().contains("reading only"), "{error}");
    let writable = |_| File::create("/dev/null").map(OwnedFd::from);
    assert!(Sink::open(&Destination::Fd(9), writable).is_ok());
    assert!(open(&Destination::Stderr).is_ok());
}

#[test]
fn a_descriptor_that_does_not_block_is_waited_for() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut sink = Sink::open(&Destination::Fd(9), |_| Ok(writer)).unwrap();
    let line = vec![b'x'; 200_000];
    let taken = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let mut all = Vec::new();
        File::from(reader).read_to_end(&mut all).unwrap();
        all
    });
    let mut written = 0;
    while written < line.len() {
        written += Outlet::write(&mut sink, &line[written..]).unwrap();
    }
    drop(sink);
    assert_eq!(taken.join().unwrap(), line);
}

#[test]
fn a_socket_is_connected_to() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut sink = open(&Destination::Unix(path)).unwrap();
    Outlet::write(&mut sink, b"hello").unwrap();
    drop(sink);
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}
