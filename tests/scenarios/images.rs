//! The images, each built once for all tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Image, Rootfs, folder, probe, shim, tool};

/// A static init that confines nothing, as most containers have it.
pub const TINI: &str = "/usr/bin/tini-static";
/// All the tools of a small system in one static program.
pub const BUSYBOX: &str = "/bin/busybox";
/// Debian's nginx.
pub const NGINX: &str = "/usr/sbin/nginx";

/// Debian's redis.
pub const REDIS: &str = "/usr/bin/redis-server";

/// Debian's nginx with its libraries and its configuration, and the probe.
pub fn nginx() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| nginx_root().build("nginx"))
}

/// The same with the tool, and what a script needs that works on it.
pub fn nginx_and_tool() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = nginx_root();
        root.copy(tool(), "/remit");
        for applet in ["cat", "mv", "rm", "sleep", "timeout", "wget"] {
            root.link(&format!("/bin/{applet}"), "sh");
        }
        root.build("nginx-and-tool")
    })
}

fn nginx_root() -> Rootfs {
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
    root
}

/// Debian's redis as the official image has it: `/data` is the user's, and an
/// entrypoint script gives it to them and takes on their ids.
pub fn redis() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        with_inits(&mut root)
            .copy(probe(), "/probe")
            .program(REDIS)
            .copy("/etc/ssl/openssl.cnf", "/etc/ssl/openssl.cnf");
        for program in ["/bin/sh", "/usr/bin/id", "/usr/bin/find", "/usr/bin/chown", "/usr/sbin/gosu"] {
            root.program(program);
        }
        let module = redis_module();
        root.copy(&module, "/srv/module.so").copy(&module, "/usr/lib/module.so");
        root.file("/docker-entrypoint.sh", include_str!("servers/redis-entrypoint.sh"), 0o755);
        root.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999::/data:/bin/false\n", 0o644);
        root.file("/etc/group", "root:x:0:\nredis:x:999:\n", 0o644);
        for (folder, owner) in [("/data", 999), ("/etc/cron.d", 0)] {
            root.folder(folder, 0o755, owner).writable(folder);
        }
        root.build("redis")
    })
}

/// An attacker's module.
fn redis_module() -> PathBuf {
    let module = folder().join("module.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/servers/redis-module.c");
    let output = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&module, &source]).output();
    let output = output.expect("cc runs, as it does for Rust");
    assert!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
    module
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
        #[cfg(target_arch = "aarch64")]
        root.file("/opt/arm", arm_program(), 0o755);
        root.build("tools")
    })
}

/// A program of the 32-bit machine that an aarch64 kernel may run as well: it exits
/// with 42, by the 32-bit table.
#[cfg(target_arch = "aarch64")]
fn arm_program() -> Vec<u8> {
    // mov r0, #42; mov r7, #1 (exit); svc #0
    const CODE: [u32; 3] = [0xe3a0_002a, 0xe3a0_7001, 0xef00_0000];
    const BASE: u32 = 0x1_0000;
    const HEADERS: u32 = 52 + 32;
    let length = HEADERS + size_of_val(&CODE) as u32;
    let halves = |halves: &[u16]| halves.iter().flat_map(|half| half.to_le_bytes()).collect::<Vec<u8>>();
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    // Elf32_Ehdr: class 32, little endian; an executable for EM_ARM, EABI 5.
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend(halves(&[2, 40]));
    elf.extend(words(&[1, BASE + HEADERS, 52, 0, 0x0500_0000]));
    elf.extend(halves(&[52, 32, 1, 40, 0, 0]));
    // Elf32_Phdr: all of the file, readable and executable.
    elf.extend(words(&[1, 0, BASE, BASE, length, length, 5, 0x1000]));
    elf.extend(words(&CODE));
    elf
}

/// What busybox is in an image of its own: a base of the examples, with neither the
/// shim nor a profile.
pub fn busybox() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(BUSYBOX, "/bin/busybox");
        for applet in ["sh", "cat", "cp", "httpd", "ls", "sleep", "true", "wget"] {
            root.link(&format!("/bin/{applet}"), "busybox");
        }
        root.build("busybox")
    })
}

/// What distroless `:nonroot` is: users, hosts, time zones, and nothing to execute.
pub fn nonroot() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::empty();
        root.file("/etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n", 0o644);
        root.file("/etc/group", "root:x:0:\nnonroot:x:65532:\n", 0o644);
        root.file("/etc/nsswitch.conf", "hosts: files dns\n", 0o644);
        root.folder("/home/nonroot", 0o700, 65532).folder("/tmp", 0o1777, 0);
        root.user("65532:65532");
        root.build("nonroot")
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
