//! A server that starts as root and serves as another user: what its start-up needs is gone after it.

use std::process::Command;

use serde_json::{Value, json};

use crate::study::{Study, enforced, journals, learn, ready};
use crate::support::{Place, Rootfs, can_run, folder, shim, tool, unique};

const NGINX: &str = "/usr/sbin/nginx";

const CONFIGURATION: &str = "
user www-data;
daemon off;
worker_processes 1;
pid /data/nginx.pid;
error_log /data/error.log;
events { }
http {
  access_log off;
  client_body_temp_path /data/body;
  proxy_temp_path /data/proxy;
  fastcgi_temp_path /data/fastcgi;
  uwsgi_temp_path /data/uwsgi;
  scgi_temp_path /data/scgi;
  server { listen 8080; root /srv/www; }
}
";

#[test]
fn nginx_has_no_call_of_its_start_up_after_it() {
    if !can_run(Place::Docker, &[NGINX]) {
        return;
    }
    let mut root = Rootfs::new();
    root.copy(shim(), "/remit-init").program(NGINX).file("/srv/www/index.html", "page", 0o644);
    root.file("/etc/passwd", "root:x:0:0:::\nwww-data:x:33:33:::\n", 0o644);
    root.file("/etc/group", "root:x:0:\nwww-data:x:33:\n", 0o644);
    root.file("/etc/nginx.conf", CONFIGURATION, 0o644).folder("/data", 0o755, 0).writable("/data");
    let image = root.build("nginx-learned");
    let command = [NGINX, "-c", "/etc/nginx.conf", "-e", "/data/error.log"];
    // On a busy machine a worker may come more than a second after the port; then its calls are learned as
    // of the time after, as they should.
    let mut into = Vec::new();
    for _ in 0..9 {
        let journal = journals();
        let mut running = learn(&image, Place::Docker, &[], &journal, &command);
        ready(&journal, 1);
        assert_eq!(running.get(8080, "/").body, "page");
        assert_eq!(running.get(8080, "/nothing").status, 404);
        assert_eq!(running.stop().code, 0, "{}", running.stderr());
        if !Study::read(&journal).has("syscall", &[("call", json!("setuid")), ("phase", json!("serving"))]) {
            into.push(journal);
        }
        if into.len() == 3 {
            break;
        }
    }
    assert_eq!(into.len(), 3, "the workers come late");
    let built = folder().join(unique("nginx.json"));
    let output =
        Command::new(tool()).arg("build").args(&into).arg("-o").arg(&built).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(built).expect("the profile");
    let profile: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(profile["syscalls"]["exact"], json!(true));
    let early = profile["syscalls"]["startup_only"].as_array().expect("a list");
    for call in ["bind", "listen", "setuid", "setgid", "setgroups", "execve", "chown", "mkdir"] {
        assert!(early.contains(&json!(call)), "{call}: {profile:#}");
    }

    let in_time = || {
        let running = enforced(&image, Place::Docker, &profile, &command);
        running.event(|events| (!events.of("ready").is_empty()).then_some(())).expect("it becomes ready");
        running.events().violations().is_empty().then_some(running)
    };
    let mut running = (0..9).find_map(|_| in_time()).expect("a worker that comes in time");
    assert_eq!(running.get(8080, "/").body, "page");
    // A reload begins with the directories, as the start-up does.
    running.signal(libc::SIGHUP);
    let refused = |violation: &&Value| violation["object"]["syscall"] == "mkdir";
    let found = running.event(|events| events.violations().into_iter().find(refused).map(|_| ()));
    assert!(found.is_some(), "{:#?}", running.events().violations());
    running.stop();
}
