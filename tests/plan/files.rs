//! `files`: rights on inodes, on names, and what `@elsewhere` walks around.

use std::path::Path;

use landlock::{AccessFs, BitFlags, make_bitflags};
use remit::kernel::LandlockAbi;
use remit::plan::{Host, Plan};
use remit::profile::{self, Mode, Watch};
use remit::{filter::Action, procfs::mountinfo};

use crate::{SERVER, answer, image, kernel, place, plan_on, rights, server, widened};

#[test]
fn a_file_has_the_rights_of_a_file_and_its_name_those_of_its_directory() {
    let all = r#""allow": ["read", "write", "create", "remove", "ioctl"]"#;
    let plan = server(&format!(r#""files": [{{"path": "/data/file", {all}}}]"#));
    assert_eq!(rights(&plan, "/data/file"), make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev}));
    // No right on the names beside it: the supervisor makes and removes the one.
    assert_eq!(widened(&plan, "/data", true), BitFlags::EMPTY);
    assert_eq!(widened(&plan, "/data", false), BitFlags::from(AccessFs::ReadFile));

    let missing = server(&format!(r#""files": [{{"path": "/data/new", {all}}}]"#));
    assert_eq!(rights(&missing, "/data/new"), BitFlags::EMPTY);
    assert_eq!(rights(&missing, "/data"), BitFlags::from(AccessFs::ReadFile));
    let grant = missing.policy.files.iter().find(|grant| grant.path == Path::new("/data/new"));
    assert!(grant.expect("the supervisor holds it").exact);

    let keys = format!(r#"{SERVER}, "files": [{{"path": "/data/new", {all}}}]"#);
    let old = plan_on(&keys, &kernel(5, 13), &place(), Mode::Enforce).expect("plans");
    let wide = make_bitflags!(AccessFs::{WriteFile | MakeReg | RemoveFile});
    assert_eq!(widened(&old, "/data", true), wide, "no ADDFD that answers");

    let sockets =
        server(r#""files": [{"path": "/data/s", "allow": ["create"]}], "network": {"listen": ["unix:*"]}"#);
    assert_eq!(widened(&sockets, "/data", true), BitFlags::from(AccessFs::MakeSock));
}

#[test]
fn every_level_grants_only_what_it_handles() {
    let keys = format!(
        r#"{SERVER}, "files": [{{"path": "/data", "allow": ["read", "write", "create", "remove", "ioctl"]}}, "@elsewhere"],
           "network": {{"listen": ["tcp/80", "tcp/8000-8002"], "connect": ["tcp/*"]}}"#
    );
    for (major, minor) in [(5, 13), (5, 19), (6, 2), (6, 7), (6, 10), (6, 12), (6, 15), (7, 3)] {
        let kernel = kernel(major, minor);
        let plan = plan_on(&keys, &kernel, &place(), Mode::Enforce).expect("plans");
        let domain = plan.landlock.as_ref().expect("a domain");
        for rule in &domain.rules {
            assert!(domain.handled.contains(rule.rights) && !rule.rights.is_empty(), "{rule:?}");
            assert!(!rule.rights.intersects(AccessFs::MakeChar | AccessFs::MakeBlock), "{rule:?}");
        }
        assert!(domain.rules.is_sorted_by(|a, b| a.path < b.path), "one rule for each path");
        let ports: Vec<u16> = domain.ports.keys().copied().collect();
        if kernel.landlock >= LandlockAbi::TCP {
            assert_eq!(ports, [80, 8000, 8001, 8002]);
            assert_eq!(domain.handled_net, BitFlags::from(landlock::AccessNet::BindTcp), "connect is tcp/*");
        } else {
            assert!(ports.is_empty() && domain.handled_net.is_empty());
            assert!(plan.refusal().expect("ports were asked for").contains("landlock-tcp"));
        }
        assert_eq!(domain.scope_signal, kernel.landlock >= LandlockAbi::SCOPE);
        let signals = plan.filter.calls.contains_key("pidfd_send_signal");
        assert_eq!(signals, domain.scope_signal, "its register has a pidfd, not the process");
    }
}

#[test]
fn elsewhere_walks_around_programs() {
    let plan = server(r#""files": ["@elsewhere"]"#);
    let full = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile;
    assert!(rights(&plan, "/app/data").contains(full));
    assert!(rights(&plan, "/data").contains(full));
    assert!(rights(&plan, "/dev/shm").contains(full));
    assert!(rights(&plan, "/etc/passwd").contains(AccessFs::WriteFile));
    let writes = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate;
    for never in
        ["/", "/app", "/app/server", "/app/again", "/etc", "/etc/remit.json", "/proc", "/dev", "/sys"]
    {
        assert!(!rights(&plan, never).intersects(writes), "{never}: {:?}", rights(&plan, never));
    }
    let grant = plan.policy.files.iter().find(|grant| grant.path == Path::new("/")).expect("new names");
    for except in ["/app/server", "/etc/remit.json", "/proc", "/sys", "/dev"] {
        assert!(grant.except.iter().any(|path| path == Path::new(except)), "{except}");
    }
}

/// Opens for reading are notified where a secret is there that no entry grants.
#[test]
fn a_secret_that_is_not_granted_is_looked_for() {
    let mounts = "20 1 0:40 / / rw - overlay overlay rw\n21 20 0:41 / /etc/app ro - tmpfs tmpfs rw\n\
                  22 20 0:42 / /home/x rw - ext4 /dev/sda rw\n";
    // A profile without files lists no open.
    const READS: &str = r#", "files": [{"path": "/data/file", "allow": ["read"]}]"#;
    let of = |files: &[&str], keys: &str| {
        let keys = if keys.contains("files") { keys.to_owned() } else { format!("{keys}{READS}") };
        let tree = files.iter().fold(image(), |tree, file| tree.file(file));
        let host = Host {
            working_directory: Some("/srv/app".into()),
            mounts: mountinfo::parse(mounts.as_bytes()),
            ..place()
        };
        let text = format!(r#"{{"remit": 1, "name": "t", {SERVER}{keys}}}"#);
        let profile = profile::read(text.as_bytes()).expect("a profile").profile;
        let plan = Plan::new(&profile, &kernel(6, 18), &host, &tree, Mode::Enforce).expect("plans");
        let opens = answer(&plan, "openat", [0; 6]);
        assert_eq!(opens == Action::Notify, plan.policy.watch > Watch::Nothing, "{opens:?}");
        plan.policy.watch
    };
    for secret in [
        "/run/secrets/password",
        "/run/secrets/kubernetes.io/serviceaccount/token",
        "/srv/app/.env",
        "/srv/app/server.pem",
        "/etc/app/tls.key",
        "/etc/ssl/private/server.key",
    ] {
        assert_eq!(of(&[secret], ""), Watch::Secrets, "{secret}");
        assert_eq!(of(&[secret], r#", "watch": []"#), Watch::Nothing, "{secret}");
        let folder = Path::new(secret).parent().expect("a folder").display().to_string();
        for granted in [secret, &folder, "/"] {
            let files = format!(r#", "files": [{{"path": "{granted}", "allow": ["read"]}}]"#);
            assert_eq!(of(&[secret], &files), Watch::Nothing, "{secret} {granted}");
        }
        // Another one is not.
        let files = r#", "files": [{"path": "/data", "allow": ["read"]}]"#;
        assert_eq!(of(&[secret], files), Watch::Secrets, "{secret}");
    }
    for none in [
        "/srv/app/index.html",
        "/home/x/a.key",
        "/etc/ssl/certs/ca.pem",
        "/etc/ssl/private/ssl-cert-snakeoil.key",
    ] {
        assert_eq!(of(&[none], ""), Watch::Nothing, "{none}");
        assert_eq!(of(&[none], r#", "watch": ["secrets"]"#), Watch::Secrets, "{none}");
    }
}
