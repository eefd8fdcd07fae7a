//! The supervisor under attack by what it supervises: this test's own program is the
//! app, in a namespace of its own, with many threads and no manners.

#[path = "support/skip.rs"]
mod skip;

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the app does, and where; set for the app alone.
const ACT: &str = "REMIT_TEST_ACT";
const PLACE: &str = "REMIT_TEST_PLACE";

/// Below it one name is granted, `new`, and its neighbour is not.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("a directory"));
        std::fs::write(place.path("neighbour"), "untouched").expect("a file");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().expect("it is there").join(name)
    }

    /// What the app says that does `act`, with this limit on the supervisor's
    /// descriptors; none where this machine gives no namespaces.
    fn run(&self, act: &str, limits: &str, descriptors: u64) -> Option<String> {
        if !skip::namespaces() {
            return None;
        }
        let app = std::env::current_exe().expect("this program");
        let profile = serde_json::json!({
            "remit": 1, "name": "attacked", "fallback": "degrade",
            "programs": [{ "path": app, "entry": true }],
            "files": ["@runtime",
                { "path": self.path("new"), "allow": ["read", "write", "create", "remove"] }],
            "limits": serde_json::from_str::<serde_json::Value>(limits).expect("limits"),
        });
        let file = self.path("profile.json");
        std::fs::write(&file, profile.to_string()).expect("a profile");
        let output = Command::new("unshare")
            .args(["-Urpfm", "--mount-proc", "prlimit", &format!("--nofile={descriptors}")])
            .arg(env!("CARGO_BIN_EXE_remit-init"))
            .args(["--grace", "1s", "--profile"])
            .arg(&file)
            .arg("--events")
            .arg(self.path("events.jsonl"))
            .arg("--")
            .arg(&app)
            .args(["--exact", "app", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ACT, act)
            .env(PLACE, self.path(""))
            .output()
            .expect("unshare runs");
        Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}

#[test]
#[ignore = "the app of the other tests"]
fn app() {
    let Some(act) = std::env::var_os(ACT) else { return };
    let place = PathBuf::from(std::env::var_os(PLACE).expect("its place"));
    match act.to_str() {
        Some("move") => move_a_neighbour(&place),
        Some("fork") => fork_to_the_limit(|| {}),
        Some("headless") => fork_to_the_limit(lose_the_first_thread),
        Some("nameless") => println!("nameless: {:?}", nameless(&place)),
        Some("try") => try_everything(&place),
        Some("die") => die_while_asking(&place),
        other => panic!("no act is called {other:?}"),
    }
}

/// A name that is granted must not become a way to a file that is not: neither by a
/// path that another thread rewrites while it is judged, nor by what stands there.
#[test]
fn a_neighbour_is_never_moved_to_a_granted_name() {
    let place = Place::new();
    let Some(said) = place.run("move", "{}", 1024) else { return };
    assert!(said.contains("moved: tried"), "{said}");
    let left = std::fs::read_to_string(place.path("neighbour"));
    assert_eq!(left.ok().as_deref(), Some("untouched"), "{said}");
}

fn move_a_neighbour(place: &Path) {
    let path = |name: &str| CString::new(place.join(name).as_os_str().as_bytes()).expect("no NUL");
    let (nothing, neighbour, new) = (path("nothing"), path("neighbour"), path("new"));
    // As long as each other, so that a reader finds one of them or a mixture.
    let (nothing, neighbour) = (nothing.into_bytes_with_nul(), neighbour.into_bytes_with_nul());
    let shared = Box::leak(vec![0u8; neighbour.len().max(nothing.len())].into_boxed_slice());
    let shared = shared.as_mut_ptr() as usize;
    std::thread::spawn(move || {
        loop {
            for text in [&nothing, &neighbour] {
                // SAFETY: the buffer is as long as the longer, and never freed; that
                // it is read meanwhile is what is tested.
                unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), shared as *mut u8, text.len()) };
                for _ in 0..200 {
                    std::hint::spin_loop();
                }
            }
        }
    });
    let end = Instant::now() + Duration::from_millis(1500);
    let (mut tried, mut moved) = (0u64, 0u64);
    while Instant::now() < end {
        tried += 1;
        // SAFETY: both are NUL-terminated at every moment, the first by its last byte.
        let answer = unsafe {
            if tried % 2 == 0 {
                libc::link(shared as *const _, new.as_ptr())
            } else {
                libc::rename(shared as *const _, new.as_ptr())
            }
        };
        if answer == 0 {
            moved += 1;
            drop(std::fs::write(place.join("new"), "stolen"));
        }
    }
    println!("moved: tried {tried}, {moved} went through");
}

#[test]
fn as_many_processes_live_as_the_limit_says() {
    let place = Place::new();
    let Some(said) = place.run("fork", r#"{"processes": 5}"#, 1024) else { return };
    assert!(said.contains("children: 4, then EAGAIN"), "{said}");
}

/// A process whose first thread has ended looks like a zombie, and is none.
#[test]
fn processes_without_their_first_thread_count_too() {
    let place = Place::new();
    let Some(said) = place.run("headless", r#"{"processes": 5}"#, 1024) else { return };
    assert!(said.contains("children: 4, then EAGAIN"), "{said}");
}

fn lose_the_first_thread() {
    std::thread::spawn(|| {
        loop {
            std::thread::park();
        }
    });
    // SAFETY: the bare call ends this thread alone.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

fn fork_to_the_limit(child: fn()) {
    let mut children = Vec::new();
    let errno = loop {
        // SAFETY: the child starts a thread at most, and waits to be killed.
        match unsafe { libc::fork() } {
            0 => {
                child();
                loop {
                    std::thread::park();
                }
            }
            -1 => break nix::errno::Errno::last(),
            child if children.len() < 20 => {
                children.push(child);
                // Time for it to become what it is to be.
                std::thread::sleep(Duration::from_millis(30));
            }
            _ => break nix::errno::Errno::UnknownErrno,
        }
    };
    println!("children: {}, then {errno:?}", children.len());
    for child in children {
        // SAFETY: integers.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }
}

#[test]
fn a_thread_whose_name_is_no_text_is_served() {
    let place = Place::new();
    let Some(said) = place.run("nameless", "{}", 1024) else { return };
    assert!(said.contains("nameless: Ok(())"), "{said}");
}

fn nameless(place: &Path) -> io::Result<()> {
    // SAFETY: PR_SET_NAME reads up to 16 bytes of a NUL-terminated string.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"\xff)\xfe".as_ptr()) };
    std::fs::write(place.join("new"), "")
}

/// With whatever number of descriptors the supervisor has to live: nothing that is
/// not granted goes through, and with enough of them what is granted does.
#[test]
fn out_of_descriptors_it_fails_closed() {
    let mut served = 0;
    for descriptors in 7..28 {
        let place = Place::new();
        let Some(said) = place.run("try", "{}", descriptors) else { return };
        assert!(!said.contains("went through"), "{descriptors}: {said}");
        served += u32::from(said.contains("granted: Ok"));
    }
    assert!(served > 3, "{served}");
}

fn try_everything(place: &Path) {
    println!("granted: {:?}", std::fs::write(place.join("new"), ""));
    if std::fs::write(place.join("neighbour"), "stolen").is_ok() {
        println!("a write went through");
    }
    if std::fs::rename(place.join("neighbour"), place.join("new")).is_ok() {
        println!("a rename went through");
    }
    if Command::new("/bin/true").status().is_ok() {
        println!("an exec went through");
    }
}

/// Callers that are killed while they wait for an answer leave nothing behind.
#[test]
fn callers_that_die_while_asking_leave_the_others_served() {
    let place = Place::new();
    let Some(said) = place.run("die", "{}", 64) else { return };
    assert!(said.contains("still served: Ok(())"), "{said}");
}

fn die_while_asking(place: &Path) {
    for round in 0..500u32 {
        // SAFETY: the child makes system calls only, and is killed.
        let child = unsafe { libc::fork() };
        if child == 0 {
            loop {
                drop(std::fs::File::create("/etc/shadow"));
            }
        }
        for _ in 0..(round % 50) * 200 {
            std::hint::spin_loop();
        }
        // SAFETY: integers, and no status is asked for.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
    println!("still served: {:?}", std::fs::write(place.join("new"), ""));
}
