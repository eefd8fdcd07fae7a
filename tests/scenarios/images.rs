//! The images, each built once for all tests.

use std::sync::OnceLock;

use crate::support::{Image, Rootfs, probe, shim};

/// A static init that confines nothing, as most containers have it.
pub const TINI: &str = "/usr/bin/tini-static";
/// All the tools of a small system in one static program.
pub const BUSYBOX: &str = "/bin/busybox";
/// Debian's nginx.
pub const NGINX: &str = "/usr/sbin/nginx";

/// Debian's nginx with its libraries and its configuration, and the probe.
pub fn nginx() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        with_inits(&mut root).program(NGINX).copy(BUSYBOX, "/bin/sh").copy(probe(), "/probe");
        for file in ["nginx.conf", "mime.types"] {
            root.copy(format!("/etc/nginx/{file}"), &format!("/etc/nginx/{file}"));
        }
        root.copy("/etc/nginx/sites-available/default", "/etc/nginx/sites-enabled/default");
        root.folder("/etc/nginx/conf.d", 0o755, 0).folder("/etc/nginx/modules-enabled", 0o755, 0);
        root.file("/var/www/html/index.html", "x".repeat(612), 0o644);
        for folder in ["/run", "/var/lib/nginx", "/var/log/nginx"] {
            root.folder(folder, 0o755, 0).writable(folder);
        }
        root.file("/etc/remit/profile.json", include_str!("../../profiles/nginx.json"), 0o644);
        root.build("nginx")
    })
}

/// The probe and busybox, and the loader's own company: what an app lives in
/// that an attacker would like to find.
pub fn tools() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        with_inits(&mut root).copy(BUSYBOX, "/bin/busybox").copy(probe(), "/probe").program("/usr/bin/env");
        for applet in ["sh", "cat", "echo", "ls", "mkdir", "rm", "sed", "sleep", "sort", "true", "wc"] {
            root.link(&format!("/bin/{applet}"), "busybox");
        }
        root.folder("/srv", 0o755, 0).file("/srv/data", "data\n", 0o644);
        root.build("tools")
    })
}

/// `FROM scratch`: a static app, the shim and a profile, and nothing else.
pub fn scratch() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::empty();
        root.copy(shim(), "/remit-init").copy(probe(), "/probe");
        root.build("scratch")
    })
}

fn with_inits(root: &mut Rootfs) -> &mut Rootfs {
    root.copy(shim(), "/remit-init").copy(TINI, "/tini")
}
