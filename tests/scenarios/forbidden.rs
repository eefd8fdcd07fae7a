use crate::support::{Init, Place, Run, PLACES, can_run};
use crate::images;

const ACTS: &[&str] = &[
    "nothing", "exec?arg=/bin/sh&arg=-c&arg=:", "execveat?arg=/bin/true", "exec-copy", "exec-drop", "exec-memfd", "exec-proc-fd", "exec-deleted","exec-loader",
    "read?arg=/etc/shadow","read?arg=/srv/data","write?arg=/etc/passwd","append?arg=/srv/data","create?arg=/srv/new","create?arg=/etc/new","open-legacy-create?arg=/srv/creat","openat2-write?arg=/srv/data","truncate?arg=/srv/data",
    "mkdir?arg=/srv/made","rename?arg=/srv/data&arg=/srv/renamed","link?arg=/srv/renamed&arg=/srv/linked","symlink?arg=/srv/sym","unlink?arg=/srv/renamed","mknod","chmod?arg=/srv/new","own-memory","open-by-handle",
    "bind?arg=4444","listen-unbound","connect?arg=127.0.0.1&arg=8080","connect-fastopen?arg=127.0.0.1&arg=8080","mptcp?arg=127.0.0.1&arg=8080","udp?arg=127.0.0.1&arg=8080","unix-connect","raw-socket","packet-socket","netlink",
    "kill","tgkill","ptrace","ptrace-me","ptrace-pid","open-memory","read-environment","write-memory","read-memory","steal-descriptor","unshare","unshare?arg=mount","clone","clone3","setns","chroot","mount","fsopen","setuid","forks?arg=50","threads",
    "i386","x32","io-uring","keyctl","bpf","perf","userfaultfd","memfd","memory-map","memory-protect","memory-shared","personality","terminal-push","terminal-push-high","syslog","quotactl",
];

#[test]
fn survey() {
    for place in PLACES {
        if !can_run(place, &[images::TINI, images::BUSYBOX]) { continue }
        let t = std::time::Instant::now();
        let mut running = Run::new(images::tools(), place, Init::Tini, &["/probe", "serve", "8080"]).start();
        running.line("listening 8080");
        println!("{place:?} {:?} {:?}", t.elapsed(), running.processes());
        for act in ACTS {
            let answer = running.get(8080, &format!("/act/{act}"));
            println!("{place:?} {act} {}", answer.body.trim());
        }
        println!("{place:?} {:?}", t.elapsed());
        println!("{:?} {}", running.stop(), running.stderr());
    }
}
