//! Programs and data where official images have them: a server's pid, logs and work below /usr/local
//! or /opt, helpers in the app's own tree, devices that the engine passed in. Each script runs free
//! and under `baseline`: the same output, the same end, and no violation.

use std::sync::OnceLock;

use crate::elf;
use crate::images::BUSYBOX;
use crate::support::{Image, Init, Place, Rootfs, Run, can_run, folder, shim, unique};

/// What a server does with its files.
const SERVES: &str = r#"#!/bin/sh
set -e
logs=$1 work=$2
echo $$ > "$logs/server.pid.tmp"; mv "$logs/server.pid.tmp" "$logs/server.pid"
echo started >> "$logs/error.log"; : > "$logs/access.log"; echo GET >> "$logs/access.log"
mv "$logs/access.log" "$logs/access.log.1"; echo GET >> "$logs/access.log"
mkdir -p "$work/a/b"; echo data > "$work/a/b/00000.index"; cp "$work/a/b/00000.index" "$work/a/copy"
ln "$work/a/copy" "$work/a/second"; ln -s copy "$work/a/link"; mkfifo "$work/a/fifo"; chmod 600 "$work/a/copy"
cat "$logs/error.log" "$logs/access.log" "$logs/access.log.1" "$work/a/second" "$work/a/link"
rm -r "$work/a"; rm "$logs/server.pid"; ls "$logs" "$work"
"#;

/// A case: flags of `docker run`, the script, and what it has to print.
const CASES: &[(&str, &[&str], &str)] = &[
    ("httpd", &[], "/usr/local/apache2/bin/serve /usr/local/apache2/logs /usr/local/apache2/logs"),
    ("tomcat", &[], "/usr/local/tomcat/bin/serve /usr/local/tomcat/logs /usr/local/tomcat/temp"),
    (
        "elasticsearch",
        &["--user", "1000:0"],
        "/usr/share/elasticsearch/bin/serve /usr/share/elasticsearch/logs /usr/share/elasticsearch/data",
    ),
    (
        "elasticsearch with a volume and no capability",
        &["--user", "1000:0", "--cap-drop", "ALL", "--tmpfs", "/usr/share/elasticsearch/data:uid=1000"],
        "/usr/share/elasticsearch/bin/serve /usr/share/elasticsearch/logs /usr/share/elasticsearch/data",
    ),
    ("kafka", &["--user", "1000:0"], "/opt/kafka/bin/serve /opt/kafka/logs /opt/kafka/logs"),
    (
        "read-only, with folders in memory",
        &["--read-only", "--tmpfs", "/opt/kafka/logs:uid=1000", "--user", "1000:0", "--cap-drop", "ALL"],
        "/opt/kafka/bin/serve /opt/kafka/logs /opt/kafka/logs",
    ),
    ("node_modules", &["--workdir", "/app"], "./node_modules/.bin/tool; ./start.sh"),
    ("a runtime of its own", &["--workdir", "/app/jre"], "/app/jre/bin/java 7; echo $?"),
    ("a script that changes its directory", &[], "cd /srv/site && ./start.sh"),
    (
        "without capabilities",
        &["--workdir", "/app", "--user", "1000:1000", "--cap-drop", "ALL", "--read-only"],
        "./node_modules/.bin/tool; ./start.sh; /app/jre/bin/java 7; echo $?",
    ),
    ("hooks, jobs and programs anywhere in the image", &[], "/usr/local/bin/start"),
    (
        "the same without capabilities",
        &["--user", "1000:1000", "--cap-drop", "ALL", "--read-only"],
        "/usr/local/bin/start",
    ),
    (
        "data beside programs",
        &["--workdir", "/app"],
        "echo x > data.db && cat data.db && rm data.db && ./start.sh",
    ),
    (
        "a file is moved and linked from /tmp to where programs are",
        &["--workdir", "/app"],
        "echo x > /tmp/a && ln /tmp/a second && mv /tmp/a moved && cat moved && stat -c %h moved",
    ),
    (
        "files that were made since the start, by their descriptors and under a second name",
        &[],
        "(echo a > /dev/stdout) > /etc/a; exec 3> /etc/b; echo b > /dev/fd/3; (echo c >> /dev/fd/1) >> /etc/b\n\
         cat /etc/a /etc/b; ln /etc/b /tmp/second && cat /tmp/second",
    ),
    (
        "an open for which no descriptor is left changes no file",
        &[],
        "echo data > /etc/full; ulimit -Sn 3; true > /etc/full; true > /etc/made; ulimit -Sn 100\n\
         cat /etc/full; ls /etc/made; echo $?",
    ),
    (
        "a device",
        &["--device", "/dev/null:/dev/nvidia0:rwm"],
        "echo x > /dev/nvidia0; cat /dev/nvidia0; echo $?",
    ),
];

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").copy(BUSYBOX, BUSYBOX);
        for applet in ["sh", "cat", "cp", "mv", "rm", "ln", "ls", "mkdir", "mkfifo", "chmod", "stat"] {
            root.link(&format!("/bin/{applet}"), "busybox");
        }
        for (top, folders) in [
            ("/usr/local/apache2", &["logs"][..]),
            ("/usr/local/tomcat", &["logs", "temp", "work"]),
            ("/usr/share/elasticsearch", &["logs", "data"]),
            ("/opt/kafka", &["logs"]),
        ] {
            root.file(&format!("{top}/bin/serve"), SERVES, 0o755);
            root.file(&format!("{top}/lib/server.jar"), "", 0o644);
            let owner = if top.contains("elastic") || top.contains("kafka") { 1000 } else { 0 };
            for folder in folders {
                root.folder(&format!("{top}/{folder}"), 0o755, owner);
            }
        }
        root.folder("/tmp", 0o1777, 0);
        root.file("/app/node_modules/tool/cli.sh", "#!/bin/sh\necho tool\n", 0o755);
        root.link("/app/node_modules/.bin/tool", "../tool/cli.sh");
        for start in ["/app/start.sh", "/srv/site/start.sh"] {
            root.file(start, "#!/bin/sh\necho started\n", 0o755);
        }
        // No argument and no directory of the start names these.
        let others = [
            "/hooks/first.sh",
            "/etc/cron.daily/job",
            "/var/www/cgi-bin/page",
            "/command/step",
            "/root/tool",
        ];
        for other in others {
            root.file(other, format!("#!/bin/sh\necho {other}\n"), 0o755);
        }
        root.file("/usr/local/bin/start", format!("#!/bin/sh\n{}\n", others.join("\n")), 0o755);
        root.file("/app/jre/bin/java", elf::tells(), 0o755);
        root.build("trees")
    })
}

/// The output, the exit code and the violations.
fn run(init: Init, flags: &[&str], script: &str) -> (String, i32, usize, String) {
    let mut running = Run::new(image(), Place::Docker, init, &["/bin/sh", "-c", script]).flags(flags).start();
    let code = running.wait();
    (running.stdout(), code, running.events().violations().len(), running.stderr())
}

#[test]
fn programs_and_data_lie_where_official_images_have_them() {
    if !can_run(Place::Docker, &[BUSYBOX]) {
        return;
    }
    let mut faults = Vec::new();
    for (name, flags, script) in CASES {
        let (free, free_code, ..) = run(Init::None, flags, script);
        let (confined, code, violations, said) = run(Init::remit(&[]), flags, script);
        if (&free, free_code, 0) != (&confined, code, violations) || free.is_empty() {
            faults.push(format!("{name}: free {free_code} {free:?}, confined {code} {confined:?}, {violations} violations\n{said}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What was moved there is no program for that, nor is a directory moved with what it holds.
#[test]
fn what_is_moved_among_programs_is_none() {
    if !can_run(Place::Docker, &[BUSYBOX]) {
        return;
    }
    let script = "cp /bin/busybox /tmp/cat && mv /tmp/cat /app/cat && /app/cat /app/start.sh; echo $?\n\
                  mkdir /tmp/d && ln -s /bin/busybox /tmp/d/x && mv /tmp/d /app/d; ls /app/d\n\
                  ln -s /tmp /tmp/link && mv /tmp/link /opt/kafka/logs/link; ls /opt/kafka/logs";
    let started = "#!/bin/sh\necho started\n";
    let (free, ..) = run(Init::None, &[], script);
    assert_eq!(free, format!("{started}0\nx\nlink"), "the control");
    let (confined, code, violations, said) = run(Init::remit(&[]), &[], script);
    assert_eq!((&*confined, code), ("126\nx", 0), "{said}");
    assert!(said.contains("\"path\":\"/app/cat\"") && violations >= 2, "{said}");
    assert!(said.contains("\"errno\":\"EXDEV\"") && said.contains("\"path\":\"/app/d\""), "{said}");
    assert!(said.contains("\"path\":\"/opt/kafka/logs/link\""), "a link that leads elsewhere: {said}");
}

/// The launch drops it from the bounding set, and the kernel then executes no such file (capabilities(7)).
#[test]
fn a_file_with_a_capability_that_was_dropped_is_refused_with_an_event() {
    const PYTHON: &str = "/usr/bin/python3";
    if !can_run(Place::Docker, &[BUSYBOX, PYTHON]) {
        return;
    }
    let programs = folder().join(unique("capable"));
    std::fs::create_dir(&programs).expect("a temporary folder");
    let program = programs.join("cat");
    std::fs::copy(BUSYBOX, &program).expect("a copy");
    // cap_net_raw=ep
    let set = "import os, struct, sys; os.setxattr(sys.argv[1], 'security.capability', struct.pack('<5I', 0x02000001, 1 << 13, 0, 0, 0))";
    let set = std::process::Command::new(PYTHON).args(["-c", set]).arg(&program).status();
    assert!(set.expect("it runs").success());
    let profile = |capabilities: &str| {
        format!(
            r#"{{"remit": 1, "name": "x", "capabilities": {capabilities}, "files": ["@runtime"], "programs": [
            {{"path": "/bin/busybox", "entry": true, "may_run": ["/capable/cat"]}}, {{"path": "/capable/cat"}}]}}"#
        )
    };
    let run = |init: Init, capabilities: &str| {
        let mut running = Run::new(
            image(),
            Place::Docker,
            init,
            &["/bin/sh", "-c", "/capable/cat /proc/self/comm; echo $?"],
        )
        .file("/etc/remit/profile.json", profile(capabilities))
        .folder(&programs, "/capable")
        .start();
        running.wait();
        let violations: Vec<String> =
            running.events().violations().iter().map(|event| event["object"].to_string()).collect();
        (running.stdout(), violations)
    };
    let works = ("cat\n0".to_owned(), Vec::new());
    assert_eq!(run(Init::None, "[]"), works, "the control");
    assert_eq!(run(Init::remit(&[]), r#"["net_raw"]"#), works);
    let refused = ("126".to_owned(), vec![r#"{"name":"net_raw"}"#.to_owned()]);
    assert_eq!(run(Init::remit(&[]), "[]"), refused);
}
