//! The drop-test on nginx: which of its capabilities it needs, by the errors that show
//! without them while its page is still served.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::images;
use crate::support::{Init, Place, Run, can_run};

/// Two rotations of the log: at the second the logs that were not moved away are the
/// workers'. Whatever happens to them, it is the page that the work asks for. Where no worker
/// comes up, nothing answers and nothing is waited for long.
const WORK: &str = r#"
page() { timeout 2 wget -q -O /dev/null http://127.0.0.1/; }
bounded() { n=0; until "$@" || [ $n = 40 ]; do n=$((n + 1)); sleep 0.05; done; }
rotate() {
  mv /var/log/nginx/access.log /var/log/nginx/access.log.$1
  kill -USR1 $(cat /run/nginx.pid)
  bounded [ -e /var/log/nginx/access.log ]
}
bounded [ -s /run/nginx.pid ]
page || page || exit 1
rotate 1
rotate 2
page
"#;

/// What the last run has left.
const BEFORE: &str = "rm -rf /var/lib/nginx/* /var/log/nginx/* /run/nginx.pid";

#[test]
fn nginx_needs_the_capabilities_whose_lack_makes_calls_fail() {
    if !can_run(Place::Docker, &[images::NGINX, images::TINI, images::BUSYBOX]) {
        return;
    }
    let verify = ["/remit", "verify", "nginx", "--drop-test=capabilities", "--format", "json"];
    let options = ["--before", BEFORE, "--work", WORK, "--"];
    let nginx = ["/usr/sbin/nginx", "-g", "daemon off;"];
    let command = [&verify[..], &options, &nginx].concat();
    let mut running = Run::new(images::nginx_and_tool(), Place::Docker, Init::None, &command).start();
    let code = running.wait();
    let said: Value = serde_json::from_str(&running.stdout())
        .unwrap_or_else(|error| panic!("{error}: {code}: {}{}", running.stdout(), running.stderr()));
    assert_eq!(code, 1, "not all are needed here: {said:#}");
    let parts = said["parts"].as_array().expect("a list");
    let found: BTreeMap<&str, &Value> =
        parts.iter().map(|part| (part["part"].as_str().expect("text"), part)).collect();
    let error = |capability: &str| {
        let part = found[&*format!("capability {capability}")];
        assert_eq!(part["finding"], "needed", "{part}");
        let text = |key: &str| part["errors"][0][key].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("program"), images::NGINX);
        [text("call"), text("errno"), text("object")]
    };
    assert_eq!(error("chown")[..2], ["chown", "EPERM"]);
    assert_eq!(error("setuid"), ["setuid", "EPERM", "33"]);
    assert_eq!(error("setgid")[1], "EPERM");
    // The page alone would not show this one.
    assert_eq!(error("dac_override"), ["openat", "EACCES", "/var/log/nginx/error.log"]);
    let detail = found["capability dac_override"];
    assert_eq!(detail["finding"], "needed", "{detail}");
    // Docker lets everybody take port 80.
    assert_eq!(found["capability net_bind_service"]["finding"], "not_needed");
    assert_eq!(found.len(), 5, "{said:#}");
}
