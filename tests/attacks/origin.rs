//! What an attacker under `baseline` leaves where programs of the image lie: in the app's own tree,
//! in data below /usr and /opt, in volumes there. It is run in the same container at once, and again
//! once that was stopped and started. Everything of it runs with `--mode off`.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

use crate::elf;
use crate::site::{BUSYBOX, NEEDS};
use crate::support::{Image, Init, Place, Rootfs, Run, can_run, shim};

/// How each row ends, confined and free: the exit code of the program that it starts, or of the
/// shell where that may not run it or make it.
struct Row {
    name: &'static str,
    /// Made once, in the first run.
    before: &'static str,
    /// Made in each run.
    act: &'static str,
    confined: i32,
    free: i32,
}

const fn row(name: &'static str, before: &'static str, act: &'static str, confined: i32) -> Row {
    Row { name, before, act, confined, free: 42 }
}

/// EACCES of an exec, in a shell's words.
const REFUSED: i32 = 126;

const ROWS: &[Row] = &[
    // What the image has runs in each run.
    row("of-the-image", "", "/app/bin/good \\*", 42),
    row("of-the-image-deep", "", "/app/node_modules/.bin/good \\*", 42),
    row("of-the-image-in-data", "", "/opt/srv/scripts/good \\*", 42),
    row("copied", "cp /app/bin/good /app/copied", "/app/copied \\*", REFUSED),
    row("backdated", "cp /app/bin/good /app/old; touch -d 2001-01-01 /app/old", "/app/old \\*", REFUSED),
    row("written", "cat /app/bin/good > /app/bin/other", "/app/bin/other \\*", REFUSED),
    row(
        "moved-over",
        "cp -p /app/bin/good /app/x; mv /app/x /app/bin/replaced",
        "/app/bin/replaced \\*",
        REFUSED,
    ),
    row("made-executable", "chmod 755 /app/bin/plain", "/app/bin/plain \\*", REFUSED),
    row(
        "moved-in-data",
        "cp /app/bin/good /tmp/y; cat /tmp/y > /opt/srv/drop/y; chmod 755 /opt/srv/drop/y",
        "/opt/srv/drop/y \\*",
        REFUSED,
    ),
    row("data-below-usr", "cp /app/bin/good /usr/local/srv/drop/p", "/usr/local/srv/drop/p \\*", REFUSED),
    row(
        "volume-below-usr",
        "cp /app/bin/good /usr/share/srv/volume/p",
        "/usr/share/srv/volume/p \\*",
        REFUSED,
    ),
    row("volume-in-the-tree", "cp /app/bin/good /app/volume/p", "/app/volume/p \\*", REFUSED),
    row("in-etc", "mkdir -p /etc/cron.d && cp /app/bin/good /etc/cron.d/p", "/etc/cron.d/p \\*", REFUSED),
    row("in-var", "mkdir -p /var/lib/srv && cp /app/bin/good /var/lib/srv/p", "/var/lib/srv/p \\*", REFUSED),
    row("at-the-top", "mkdir -p /hooks && cp /app/bin/good /hooks/p", "/hooks/p \\*", REFUSED),
    // Modules and libraries that a program of the image would find are not made.
    Row { confined: 1, free: 0, ..row("module", "", "touch /opt/srv/data/site.py", 1) },
    Row { confined: 1, free: 0, ..row("library", "", "touch /opt/srv/data/libz.so.1", 1) },
    Row {
        confined: 1,
        free: 0,
        ..row(
            "module-moved",
            "touch /opt/srv/data/site",
            "mv /opt/srv/data/site /opt/srv/data/site.pm && mv /opt/srv/data/site.pm /opt/srv/data/site",
            1,
        )
    },
    Row {
        confined: 1,
        free: 0,
        ..row(
            "beside-modules",
            "chmod 600 /opt/srv/modules/a.py; touch /opt/srv/modules/a.py",
            "touch /opt/srv/modules/x",
            1,
        )
    },
    Row { confined: 1, free: 0, ..row("beside-scripts", "", "touch /opt/srv/scripts/x", 1) },
    Row { confined: 1, free: 0, ..row("module-path", "", "touch /usr/lib/python3/dist-packages/x", 1) },
    Row { confined: 1, free: 0, ..row("top", "", "touch /opt/x /usr/share/x /opt/srv/x /usr/local/x", 1) },
    Row { confined: 1, free: 0, ..row("link-out", "", "(cd /opt/srv/data && ln -sf /tmp out)", 1) },
    Row {
        confined: 1,
        free: 0,
        ..row(
            "directory-moved",
            "",
            "mv /opt/srv/deep/conf /opt/srv/deep/moved && mv /opt/srv/deep/moved /opt/srv/deep/conf",
            1,
        )
    },
    // And data is data.
    Row {
        confined: 0,
        free: 0,
        ..row(
            "data",
            "",
            "echo x > /opt/srv/data/f && mv /opt/srv/data/f /opt/srv/data/g && rm /opt/srv/data/g",
            0,
        )
    },
    Row {
        confined: 0,
        free: 0,
        ..row(
            "data-made-deep",
            "",
            "mkdir -p /usr/local/srv/logs/a/b && echo x > /usr/local/srv/logs/a/b/c && rm -r /usr/local/srv/logs/a",
            0,
        )
    },
    Row { confined: 0, free: 0, ..row("data-of-the-image", "", "echo x >> /opt/srv/data/known", 0) },
    Row {
        confined: 0,
        free: 0,
        ..row("volume", "", "echo x > /usr/share/srv/volume/f && rm /usr/share/srv/volume/f", 0)
    },
];

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut root = Rootfs::new();
        root.copy(shim(), "/remit-init").copy(BUSYBOX, BUSYBOX);
        for applet in ["sh", "cat", "cp", "mv", "rm", "ln", "touch", "chmod", "mkdir"] {
            root.link(&format!("/bin/{applet}"), "busybox");
        }
        for name in ["good", "other", "replaced"] {
            root.file(&format!("/app/bin/{name}"), elf::tells(), 0o755);
        }
        root.file("/app/bin/plain", elf::tells(), 0o644);
        root.file("/app/node_modules/.bin/good", elf::tells(), 0o755);
        root.folder("/usr/local/srv/logs", 0o777, 0).folder("/opt/srv/deep/conf", 0o777, 0);
        root.file("/opt/srv/deep/conf/x", "x", 0o644).folder("/opt/srv/data", 0o777, 0);
        root.folder("/opt/srv/drop", 0o777, 0).folder("/usr/local/srv/drop", 0o777, 0);
        root.file("/opt/srv/data/known", "x", 0o666);
        root.file("/opt/srv/scripts/good", elf::tells(), 0o755).file("/opt/srv/modules/a.py", "", 0o644);
        root.folder("/usr/lib/python3/dist-packages", 0o755, 0);
        let line = |row: &Row| format!("{}; echo \"{} $?\"\n", row.act, row.name);
        let acts: String = ROWS.iter().map(line).collect();
        let before: String = ROWS.iter().map(|row| format!("{}\n", row.before)).collect();
        let script = format!(
            "cd /app\nif [ ! -e /var/lib/second ]; then\n{before}\nfi\n{acts}\n: > /var/lib/second\n"
        );
        root.file("/attack.sh", script, 0o644).build("origin")
    })
}

/// The rows of a run, with the exit code of each.
fn results(stdout: &str) -> BTreeMap<&str, i32> {
    let rows = stdout.lines().filter_map(|line| line.split_once(' '));
    rows.filter_map(|(name, code)| Some((name, code.parse().ok()?))).collect()
}

/// The output of the first run and that of the second, in one container.
fn run_twice(options: &[&str], flags: &[&str], rows: &[&Row]) -> [String; 2] {
    let run = Run::new(image(), Place::Docker, Init::remit(options), &["/bin/sh", "/attack.sh"])
        .volume("/usr/share/srv/volume", &[])
        .volume("/app/volume", &[])
        .flags(&["--workdir", "/app"])
        .flags(flags);
    let mut running = run.start();
    running.wait();
    let first = running.stdout();
    let again =
        Command::new("docker").args(["start", "--attach", running.name()]).output().expect("docker runs");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    for row in rows.iter().filter(|row| options.is_empty() && row.confined != row.free) {
        let path = row.act.split(' ').find(|word| word.starts_with('/')).unwrap_or_default();
        // A name that is made by `touch` is the first that was refused.
        assert!(said.contains(path), "{}: no event of {path} in the second run: {said}", row.name);
    }
    [first, String::from_utf8_lossy(&again.stdout).into_owned()]
}

/// Both runs of a container with these flags, free and confined.
fn hold(flags: &[&str], rows: &[&Row]) {
    if !can_run(Place::Docker, NEEDS) {
        return;
    }
    let mut faults = Vec::new();
    for options in [&["--mode", "off"][..], &[]] {
        for (run, stdout) in run_twice(options, flags, rows).iter().enumerate() {
            let found = results(stdout);
            for row in rows {
                let expected = if options.is_empty() { row.confined } else { row.free };
                let code = found.get(row.name);
                if code != Some(&expected) {
                    faults.push(format!(
                        "{options:?}, run {run}: {} ended with {code:?}, not {expected}",
                        row.name
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_an_app_leaves_beside_the_images_programs_runs_in_no_start() {
    hold(&[], &ROWS.iter().collect::<Vec<_>>());
}

#[test]
fn nor_what_a_user_without_capabilities_leaves() {
    // What its user may write in the file system.
    const OPEN: [&str; 9] = [
        "of-the-image",
        "of-the-image-deep",
        "of-the-image-in-data",
        "moved-in-data",
        "data-below-usr",
        "module",
        "library",
        "data",
        "data-made-deep",
    ];
    let rows: Vec<&Row> = ROWS.iter().filter(|row| OPEN.contains(&row.name)).collect();
    hold(&["--user", "101:101", "--cap-drop", "ALL", "--tmpfs", "/var/lib:mode=1777"], &rows);
}
