//! What is seen of real programs at their work.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::study::{Study, enforced, journals, learn};
use crate::support::{Image, Init, Place, Rootfs, Run, can_run, folder, in_each_place, shim, unique};

in_each_place!(
    a_script_and_its_children_are_learned_and_then_enforced,
    a_server_with_a_subprocess_is_learned_by_its_phases,
    an_app_that_says_that_it_is_ready_is_learned_so,
    a_change_of_user_is_learned_with_its_capabilities,
    a_change_of_owner_is_evidence_only_where_it_was_one,
    exact_sees_every_call_and_builds_the_same_programs,
);

/// A script that reads, makes, moves, lists and removes.
const SCRIPT: &str = "#!/bin/sh
set -e
cat /etc/app.conf > /data/made
mkdir /data/folder
mv /data/made /data/folder/moved
ls /data/folder
rm /data/folder/moved
rmdir /data/folder
echo done
";

const PROGRAMS: [&str; 8] =
    ["/bin/sh", "/bin/cat", "/bin/mkdir", "/bin/mv", "/bin/ls", "/bin/rm", "/bin/rmdir", "/bin/chown"];

fn scripts() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").file("/entry.sh", SCRIPT, 0o755);
        for program in PROGRAMS {
            root.program(program);
        }
        root.file("/etc/app.conf", "an app's\n", 0o644).folder("/data", 0o777, 0).writable("/data");
        root.build("learned-scripts")
    })
}

fn a_script_and_its_children_are_learned_and_then_enforced(place: Place) {
    if !can_run(place, &PROGRAMS) {
        return;
    }
    let folder = journals();
    let mut running = learn(scripts(), place, &["--label", "nightly"], &folder, &["/entry.sh"]);
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    assert_eq!(running.stdout(), "moved\ndone");
    let study = Study::read(&folder);
    let first = study.first();
    assert_eq!((&first["label"], &first["exact"]), (&json!("nightly"), &json!(false)));
    assert_eq!(first["command"], json!(["/entry.sh"]));
    assert!(
        first["fingerprint"]["libc"].as_str().is_some_and(|libc| libc.starts_with("glibc 2.")),
        "{first}"
    );
    assert_eq!(first["outer"]["seccomp"], json!(place != Place::UserNamespace), "{first}");
    assert_eq!(study.end()["exit"], json!({ "code": 0 }));
    assert_eq!(study.end()["clean"], json!(true));

    let ok = ("result", json!("ok"));
    let parent = ("parent", json!("/entry.sh"));
    study.wants(
        "exec",
        &[
            ("program", json!("/entry.sh")),
            ("parent", json!("")),
            ("interpreter", json!("/bin/sh")),
            ok.clone(),
        ],
    );
    study.wants("exec", &[("program", json!("/bin/cat")), parent, ok.clone()]);
    assert!(study.of("exec").iter().any(|line| line["sha256"].as_str().is_some_and(|hex| hex.len() == 71)));
    study.wants("open", &[("path", json!("/etc/app.conf")), ("access", json!(["read"])), ok.clone()]);
    study.wants("open", &[("path", json!("/data/made")), ("access", json!(["write", "create"])), ok.clone()]);
    study.wants("open", &[("path", json!("/data/folder")), ("directory", json!(true)), ok.clone()]);
    let mount = if place == Place::Restricted { "tmpfs" } else { "image" };
    study
        .wants("change", &[("op", json!("mkdir")), ("path", json!("/data/folder")), ("mount", json!(mount))]);
    let moved = ("to", json!("/data/folder/moved"));
    study.wants("change", &[("op", json!("rename")), ("path", json!("/data/made")), moved, ok.clone()]);
    study.wants("change", &[("op", json!("remove")), ("path", json!("/data/folder/moved")), ok.clone()]);
    study.wants("change", &[("op", json!("remove")), ("path", json!("/data/folder")), ok]);
    study.wants("limit", &[("limit", json!("processes"))]);
    assert!(study.of("capability").is_empty(), "{:#?}", study.of("capability"));

    let (profile, report) = study.build();
    assert_eq!(profile["programs"][0]["path"], "/entry.sh", "{profile:#}");
    assert_eq!(profile["programs"].as_array().map(Vec::len), Some(7), "{profile:#}");
    if place != Place::UserNamespace {
        assert!(report.contains("filter denied") && report.contains("keyctl"), "{report}");
    }
    let mut again = enforced(scripts(), place, &profile, &["/entry.sh"]);
    assert_eq!(again.wait(), 0, "{}\n{profile:#}", again.stderr());
    assert_eq!(again.stdout(), "moved\ndone");
    assert!(again.events().violations().is_empty(), "{:#?}\n{profile:#}", again.events().violations());
}

/// Serves a file by a subprocess; ends well on TERM.
const SERVER: &str = "
import http.server, os, signal, subprocess
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        out = subprocess.run(['/bin/cat', '/etc/app.conf'], capture_output=True).stdout
        self.send_response(200)
        self.send_header('Content-Length', str(len(out)))
        self.end_headers()
        self.wfile.write(out)
    def log_message(self, *rest):
        pass
    def address_string(self):
        return 'a client'
http.server.HTTPServer.server_bind = http.server.socketserver.TCPServer.server_bind
server = http.server.ThreadingHTTPServer(('0.0.0.0', 8080), Handler)
# A thread that still serves would want libgcc to end, which is not here.
signal.signal(signal.SIGTERM, lambda *rest: os._exit(0))
print('listening', flush=True)
server.serve_forever()
";

const PYTHON: &str = "/usr/bin/python3";

fn python() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").program(PYTHON).program("/bin/cat").file(
            "/srv/server.py",
            SERVER,
            0o644,
        );
        root.file("/etc/app.conf", "an app's\n", 0o644);
        let library = std::fs::canonicalize(PYTHON).expect("python3");
        let library = format!("/usr/lib/{}", library.file_name().expect("a name").to_string_lossy());
        for part in [
            "",
            "/encodings",
            "/http",
            "/email",
            "/html",
            "/urllib",
            "/collections",
            "/importlib",
            "/re",
            "/json",
            "/lib-dynload",
        ] {
            for entry in std::fs::read_dir(format!("{library}{part}")).expect("the library").flatten() {
                let path = entry.path();
                if path.is_file() {
                    root.copy(&path, &path.to_string_lossy());
                }
            }
        }
        root.build("learned-python")
    })
}

fn a_server_with_a_subprocess_is_learned_by_its_phases(place: Place) {
    if !can_run(place, &[PYTHON, "/bin/cat"]) {
        return;
    }
    let folder = journals();
    // Without compiled files: whether they can be written is not what is tested.
    let command = [PYTHON, "-B", "/srv/server.py"];
    let mut running = learn(python(), place, &["--events", "stderr"], &folder, &command);
    running.line("listening");
    // Ready is a line of the journal.
    let ready = || {
        let text = std::fs::read_dir(&folder).ok()?.flatten().next()?.path();
        std::fs::read_to_string(text).ok()?.contains("\"kind\":\"ready\"").then_some(())
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while ready().is_none() {
        assert!(std::time::Instant::now() < until, "never ready: {}", running.stderr());
        std::thread::yield_now();
    }
    assert_eq!(running.get(8080, "/").body, "an app's\n", "{}", running.stderr());
    running.signal(libc::SIGHUP);
    assert_eq!(running.wait(), 129, "python does not live through HUP");
    let study = Study::read(&folder);
    assert_eq!(study.end()["exit"], json!({ "signal": "HUP" }));
    assert_eq!(study.end()["clean"], json!(false), "no stop signal");
    std::fs::remove_dir_all(&folder).expect("ours");
    std::fs::create_dir(&folder).expect("a folder");

    // Again, to its end.
    let mut running = learn(python(), place, &[], &folder, &command);
    running.line("listening");
    while ready().is_none() {
        assert!(std::time::Instant::now() < until, "never ready: {}", running.stderr());
        std::thread::yield_now();
    }
    assert_eq!(running.get(8080, "/").body, "an app's\n", "{}", running.stderr());
    assert_eq!(running.stop().code, 0, "{}", running.stderr());
    let study = Study::read(&folder);
    assert_eq!(study.end()["clean"], json!(true));
    let (startup, serving) = (("phase", json!("startup")), ("phase", json!("serving")));
    study.wants("listen", &[("address", json!("tcp/0.0.0.0:8080")), startup.clone()]);
    study.wants("syscall", &[("call", json!("listen")), startup]);
    assert!(!study.has("syscall", &[("call", json!("listen")), serving.clone()]));
    study.wants("ready", &[("by", json!("listening"))]);
    study.wants("exec", &[("program", json!("/bin/cat")), serving.clone()]);
    study.wants("signal", &[("signal", json!("TERM")), serving]);

    let (profile, _) = study.build();
    assert_eq!(profile["network"]["listen"], json!(["tcp/8080"]), "{profile:#}");
    let mut again = enforced(python(), place, &profile, &command);
    again.line("listening");
    assert_eq!(again.get(8080, "/").body, "an app's\n", "{}\n{profile:#}", again.stderr());
    assert_eq!(again.stop().code, 0, "{}", again.stderr());
    assert!(again.events().violations().is_empty(), "{:#?}\n{profile:#}", again.events().violations());
}

/// Says that it is ready as libsystemd does, and then reads a file.
const SAYS: &str = r#"
import os, socket
address = os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
    end.sendmsg([b"STATUS=up\nREADY=1\nMAINPID=7"], [], socket.MSG_NOSIGNAL, address)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
    end.connect(address)
    end.send(b"WATCHDOG=1")
os.mkdir("/tmp/serving")
print("said", flush=True)
"#;

/// The app's readiness is forwarded to the container's NOTIFY_SOCKET, and ends the start-up.
fn an_app_that_says_that_it_is_ready_is_learned_so(place: Place) {
    if !can_run(place, &[PYTHON]) {
        return;
    }
    let (folder, outside) = (journals(), journals());
    let path = outside.join("notify.sock");
    let outer = UnixDatagram::bind(&path).expect("bound");
    std::fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("ours");
    let command = [PYTHON, "-B", "-c", SAYS];
    let run = |options: &[&str]| {
        let run = Run::new(python(), place, Init::remit(options), &command).folder(&outside, "/notify");
        run.variable("NOTIFY_SOCKET", "/notify/notify.sock")
    };
    let mut running = run(&["--mode", "learn"]).folder(&folder, "/var/lib/remit").start();
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    let received = || {
        let mut buffer = [0; 64];
        let length = outer.recv(&mut buffer).expect("passed on");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert_eq!([received(), received()], ["STATUS=up\nREADY=1", "WATCHDOG=1"]);
    let study = Study::read(&folder);
    study.wants("ready", &[("by", json!("notify"))]);
    study.wants("change", &[("path", json!("/tmp/serving")), ("phase", json!("serving"))]);
    let notes = |line: &&Value| line["address"].as_str().is_some_and(|address| address.contains("remit"));
    assert!(!study.of("connect").iter().any(notes), "{:#?}", study.of("connect"));

    let (profile, _) = study.build();
    assert_eq!(profile["ready"], json!({ "when": "notify" }), "{profile:#}");
    let mut again = run(&[]).file("/etc/remit/profile.json", profile.to_string()).start();
    assert_eq!(again.wait(), 0, "{}\n{profile:#}", again.stderr());
    assert_eq!([received(), received()], ["STATUS=up\nREADY=1", "WATCHDOG=1"]);
    assert!(again.events().violations().is_empty(), "{:#?}\n{profile:#}", again.events().violations());
    assert_eq!(again.events().of("ready").len(), 1);
}

const SETPRIV: &str = "/usr/bin/setpriv";

fn users() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").program(SETPRIV).program("/bin/cat").program("/bin/chown");
        root.file("/etc/app.conf", "an app's\n", 0o644).folder("/data", 0o777, 0).writable("/data");
        root.file("/srv/owned", "x", 0o644);
        root.build("learned-users")
    })
}

fn a_change_of_user_is_learned_with_its_capabilities(place: Place) {
    if !can_run(place, &[SETPRIV, "/bin/cat"]) {
        return;
    }
    let folder = journals();
    let command = [SETPRIV, "--reuid", "33", "--regid", "33", "--clear-groups", "/bin/cat", "/etc/app.conf"];
    let mut running = learn(users(), place, &[], &folder, &command);
    let code = running.wait();
    let study = Study::read(&folder);
    let may = place != Place::Restricted;
    assert_eq!(code == 0, may, "{}", running.stderr());
    let result = ("result", json!(if may { "ok" } else { "EPERM" }));
    if !may {
        // Its first attempt is its last.
        study.wants("capability", &[result]);
        assert_eq!(study.end()["clean"], json!(false));
        return;
    }
    for capability in ["setuid", "setgid"] {
        study.wants("capability", &[("capability", json!(capability)), result.clone()]);
    }
    study.wants("credential", &[("call", json!("setresuid")), result.clone()]);
    study.wants("exec", &[("program", json!("/bin/cat")), ("parent", json!(SETPRIV)), result]);
    let (profile, _) = study.build();
    assert_eq!(profile["capabilities"], json!(["setgid", "setuid"]), "{profile:#}");
    let mut again = enforced(users(), place, &profile, &command);
    assert_eq!(again.wait(), 0, "{}\n{profile:#}", again.stderr());
    assert_eq!(again.stdout(), "an app's");
    assert!(again.events().violations().is_empty(), "{:#?}\n{profile:#}", again.events().violations());
}

fn a_change_of_owner_is_evidence_only_where_it_was_one(place: Place) {
    if !can_run(place, &["/bin/chown"]) {
        return;
    }
    let run = |owner: &str| {
        let folder = journals();
        let mut running = learn(users(), place, &[], &folder, &["/bin/chown", owner, "/srv/owned"]);
        let code = running.wait();
        (code, Study::read(&folder))
    };
    let chown = ("capability", json!("chown"));
    if place == Place::Restricted {
        // Not its own, and on a read-only file system.
        let (code, study) = run("101");
        assert_ne!(code, 0);
        study.wants("capability", &[chown, ("result", json!("EPERM"))]);
        return;
    }
    let (code, study) = run("0");
    assert_eq!(code, 0);
    assert!(!study.has("capability", std::slice::from_ref(&chown)), "{:#?}", study.of("capability"));
    let (code, study) = run("33");
    assert_eq!(code, 0);
    study.wants("capability", &[chown, ("result", json!("ok"))]);
    assert_eq!(study.build().0["capabilities"], json!(["chown"]));
}

fn exact_sees_every_call_and_builds_the_same_programs(place: Place) {
    if !can_run(place, &PROGRAMS) {
        return;
    }
    let folder = journals();
    let mut running = learn(scripts(), place, &["--exact"], &folder, &["/entry.sh"]);
    assert_eq!(running.wait(), 0, "{}", running.stderr());
    assert_eq!(running.stdout(), "moved\ndone");
    let study = Study::read(&folder);
    assert_eq!(study.first()["exact"], json!(true));
    for call in ["read", "write", "close", "brk", "rt_sigaction", "getpid"] {
        study.wants("syscall", &[("call", json!(call))]);
    }
    let (profile, _) = study.build();
    assert_eq!(profile["programs"].as_array().map(Vec::len), Some(7), "{profile:#}");
    assert_eq!(profile["syscalls"]["exact"], json!(true), "{profile:#}");
    let listed = profile["syscalls"]["allow"].as_array().expect("a list");
    assert!(listed.contains(&json!("@base")) && listed.contains(&json!("wait4")), "{profile:#}");
    assert!(!listed.contains(&json!("read")), "@base has it: {profile:#}");
}

/// Changes its user, forks, and binds.
const WORKER: &str = r#"
import os, socket
os.setgid(33)
os.setuid(33)
if os.fork() == 0:
    socket.socket(socket.AF_UNIX).bind("/tmp/worker.sock")
    os._exit(0)
os.wait()
"#;

/// Where ptrace(2) is refused, nothing can hand out what a worker's calls name: that is said.
#[test]
fn what_could_not_be_learned_is_said_loudly() {
    if !can_run(Place::Docker, &[PYTHON]) {
        return;
    }
    let refused = folder().join(unique("seccomp"));
    let rule = json!({ "names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS });
    let text = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    std::fs::write(&refused, text.to_string()).expect("a temporary file");
    let option = format!("seccomp={}", refused.display());
    let learn = |flags: &[&str]| {
        let into = journals();
        let run = Run::new(
            python(),
            Place::Docker,
            Init::remit(&["--mode", "learn"]),
            &[PYTHON, "-B", "-c", WORKER],
        );
        let mut running = run.folder(&into, "/var/lib/remit").flags(flags).start();
        assert_eq!(running.wait(), 0, "{}", running.stderr());
        (Study::read(&into), running.stderr())
    };
    let (study, said) = learn(&["--security-opt", &option]);
    let unread = [("call", json!("bind")), ("why", json!("a process of user 33 that cannot be read"))];
    study.wants("blind", &unread);
    let (profile, report) = study.build();
    assert!(said.contains("cannot be traced here"), "{said}");
    assert!(report.contains("NOT LEARNED: bind of /usr/bin/python3"), "{report}");
    assert!(report.contains("could not be read, and were not learned"), "{report}");
    assert!(!profile.to_string().contains("worker.sock"), "{profile:#}");
    // The control: where it can be traced, it is learned.
    let (study, _) = learn(&[]);
    assert!(study.of("blind").iter().all(|line| line["call"].is_null()), "{:#?}", study.of("blind"));
    assert!(study.build().0.to_string().contains("unix:/tmp/worker.sock"));
}
