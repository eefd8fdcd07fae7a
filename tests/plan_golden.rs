//! Plans, written out: every profile that is shipped and every good fixture, in
//! one invented image, on both architectures and every level of Landlock. What a
//! level changes is golden as the lines that differ from the next newer level's.
//! `UPDATE_GOLDEN=1 cargo test --test plan_golden` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use remit::filter::{Access, Action, SeccompData, compile, interpret};
use remit::image::{Executable, tree::ImageTree};
use remit::kernel::{Arch, Kernel, LandlockAbi, Release};
use remit::plan::{Host, Plan, PlanError};
use remit::profile::{self, Capability, Mode, Profile};
use remit::syscalls;

/// Debian with nginx, an entrypoint script, redis, node, busybox, a static server
/// and a program in /app beside its data.
fn image(arch: Arch) -> ImageTree {
    let loader = match arch {
        Arch::X86_64 => "/lib64/ld-linux-x86-64.so.2",
        Arch::Aarch64 => "/lib/ld-linux-aarch64.so.1",
    };
    let dynamic = || Executable::Dynamic(loader.into());
    let mut tree = ImageTree::new()
        .dir("/usr/lib")
        .dir("/usr/lib64")
        .link("/bin", "usr/bin")
        .link("/sbin", "usr/sbin")
        .link("/lib", "usr/lib")
        .link("/lib64", "usr/lib64")
        .program(&format!("/usr{loader}"), Executable::Loader)
        .program("/usr/bin/dash", dynamic())
        .link("/usr/bin/sh", "dash")
        .program("/usr/bin/find", dynamic())
        .program("/usr/bin/env", dynamic())
        .program("/usr/bin/node", dynamic())
        .program("/usr/bin/redis-server", dynamic())
        .program("/usr/bin/redis-cli", dynamic())
        .program("/usr/local/bin/redis-server", dynamic())
        .program("/usr/bin/busybox", Executable::Static)
        .program("/usr/sbin/nginx", dynamic())
        .program("/docker-entrypoint.sh", Executable::Script("/bin/sh".into(), None))
        .program("/hello", Executable::Static)
        .program("/server", Executable::Static)
        .program("/app/server", Executable::Static)
        .dir("/app/data")
        .file("/app/old.db")
        .file("/job.sh")
        .dir("/opt")
        .dir("/tmp")
        .dir("/run")
        .link("/var/run", "/run")
        .dir("/var/cache/nginx")
        .dir("/var/lib/nginx")
        .dir("/var/log/nginx")
        .dir("/var/www/html")
        .dir("/usr/share/nginx/html")
        .dir("/usr/share/zoneinfo")
        .dir("/data")
        .dir("/proc/sys")
        .dir("/sys/devices/system/cpu")
        .dir("/dev/shm")
        .dir("/dev/pts");
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        tree = tree.device(&format!("/dev/{device}"));
    }
    for file in ["hosts", "passwd", "group", "nsswitch.conf", "resolv.conf", "services", "ld.so.cache"] {
        tree = tree.file(&format!("/etc/{file}"));
    }
    tree.dir("/etc/nginx").dir("/etc/redis").dir("/etc/ssl").file("/etc/remit/profile.json")
}

/// A container with Docker's defaults.
fn place() -> Host {
    let permitted: caps::CapsHashSet = [
        Capability::CAP_CHOWN,
        Capability::CAP_DAC_OVERRIDE,
        Capability::CAP_FSETID,
        Capability::CAP_FOWNER,
        Capability::CAP_MKNOD,
        Capability::CAP_NET_RAW,
        Capability::CAP_SETGID,
        Capability::CAP_SETUID,
        Capability::CAP_SETFCAP,
        Capability::CAP_SETPCAP,
        Capability::CAP_NET_BIND_SERVICE,
        Capability::CAP_SYS_CHROOT,
        Capability::CAP_KILL,
        Capability::CAP_AUDIT_WRITE,
    ]
    .into();
    Host {
        hard_limits: [Some(1 << 20), None, None],
        standard_files: vec!["/dev/null".into()],
        guarded: vec![("the profile", "/etc/remit/profile.json".into())],
        ..Host::container(permitted)
    }
}

/// A kernel for every level: the first release that has it.
fn levels(arch: Arch) -> Vec<Kernel> {
    [(5, 10), (5, 13), (5, 19), (6, 2), (6, 7), (6, 10), (6, 12), (6, 15)]
        .into_iter()
        .enumerate()
        .map(|(level, (major, minor))| {
            let kernel = Kernel::stock(Release::new(major, minor), arch);
            assert_eq!(kernel.landlock, LandlockAbi(u8::try_from(level).expect("small")));
            kernel
        })
        .collect()
}

fn newest(arch: Arch) -> Kernel {
    Kernel::stock(Release::new(6, 18), arch)
}

fn read(text: &[u8]) -> Profile {
    profile::read(text).unwrap_or_else(|error| panic!("{error}")).profile
}

/// Shipped profiles as they are in force, and the fixtures.
fn profiles() -> Vec<(String, Profile)> {
    let around = profile::embedded::Around {
        trees: &Vec::new,
        command: Path::new("/app/server"),
        beside: &|| vec!["/app/server".into()],
        interpreter: &|_| None,
        exists: &|path| ["/usr", "/bin", "/sbin"].map(Path::new).contains(&path),
    };
    let mut all: Vec<_> = profile::embedded::NAMES
        .into_iter()
        .map(|name| {
            let document = profile::embedded::expand(name, &around).unwrap_or_else(|error| panic!("{error}"));
            (name.to_owned(), document.profile)
        })
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/profile/good");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&root).expect("fixtures").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        all.push((format!("fixture-{name}"), read(&std::fs::read(&file).expect("readable"))));
    }
    all
}

fn make(profile: &Profile, kernel: &Kernel, mode: Mode) -> Result<Plan, PlanError> {
    Plan::new(profile, kernel, &place(), &image(kernel.arch), mode)
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plan").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("golden files can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let first = text.lines().zip(golden.lines()).position(|(now, then)| now != then);
    assert!(
        golden == text,
        "{name} differs at line {:?}; look at it, then UPDATE_GOLDEN=1\n{text}",
        first.map(|line| line + 1)
    );
}

/// The items of `new` that `old` has not, with `+`, and the other way with `-`; of
/// the two long lists of calls only the names that come or go.
fn differences(old: &str, new: &str) -> String {
    let (old, new) = (unwrapped(old), unwrapped(new));
    let mut text = String::new();
    for list in ["  allowed: ", "  notified: "] {
        let names = |items: &[String]| -> BTreeSet<String> {
            let found = items.iter().find_map(|item| item.strip_prefix(list));
            found.unwrap_or_default().split(' ').map(str::to_owned).collect()
        };
        for (sign, here, there) in [('-', names(&old), names(&new)), ('+', names(&new), names(&old))] {
            let only: Vec<_> = here.difference(&there).cloned().collect();
            if !only.is_empty() {
                let _ = writeln!(text, "{sign}{list}{}", only.join(" "));
            }
        }
    }
    let is_list = |item: &String| item.starts_with("  allowed: ") || item.starts_with("  notified: ");
    for (sign, here, there) in [('-', &old, &new), ('+', &new, &old)] {
        for item in here.iter().filter(|item| !is_list(item) && !there.contains(item)) {
            let _ = writeln!(text, "{sign}{item}");
        }
    }
    text
}

/// The items of a plan, each on one line, steps without their numbers.
fn unwrapped(plan: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in plan.lines() {
        match (line.strip_prefix("      "), items.last_mut()) {
            (Some(rest), Some(last)) => {
                last.push(' ');
                last.push_str(rest);
            }
            _ => {
                let step = line.trim_start().split_once(". ").filter(|(at, _)| at.parse::<u8>().is_ok());
                items.push(step.map_or(line.to_owned(), |(_, step)| format!("  step {step}")));
            }
        }
    }
    items
}

#[test]
fn every_profile_on_the_newest_kernel_of_both_architectures() {
    for (name, profile) in profiles() {
        let text = match make(&profile, &newest(Arch::X86_64), Mode::Enforce) {
            Ok(plan) => {
                let other =
                    make(&profile, &newest(Arch::Aarch64), Mode::Enforce).expect("as on x86_64").to_string();
                format!("{plan}\n== aarch64\n{}", differences(&plan.to_string(), &other))
            }
            Err(error) => format!("{error}\n"),
        };
        golden(&format!("{name}.txt"), &text);
    }
}

#[test]
fn every_level_of_landlock_says_what_it_lacks() {
    for (name, profile) in profiles() {
        if make(&profile, &newest(Arch::X86_64), Mode::Enforce).is_err() {
            continue;
        }
        let mut text = String::new();
        for arch in Arch::ALL {
            let mut newer = make(&profile, &newest(arch), Mode::Enforce).expect("plans").to_string();
            for kernel in levels(arch).into_iter().rev() {
                let plan = make(&profile, &kernel, Mode::Enforce).expect("the image is the same").to_string();
                let _ = write!(text, "== {} {arch}\n{}", kernel.release, differences(&newer, &plan));
                newer = plan;
            }
        }
        golden(&format!("{name}.levels.txt"), &text);
    }
}

#[test]
fn audit_and_json() {
    let (_, nginx) = profiles().into_iter().find(|(name, _)| name == "nginx").expect("it is shipped");
    let enforce = make(&nginx, &newest(Arch::X86_64), Mode::Enforce).expect("plans");
    let audit = make(&nginx, &newest(Arch::X86_64), Mode::Audit).expect("plans");
    golden("nginx.audit.txt", &differences(&enforce.to_string(), &audit.to_string()));
    golden("nginx.json", &enforce.to_json().expect("compiles"));
}

/// What the kernel would answer to a call whose arguments are all this one value.
fn answer(program: &[remit::filter::Insn], arch: Arch, nr: u32, value: u64) -> Action {
    interpret(program, &SeccompData { nr, arch: arch.audit(), instruction_pointer: 0, args: [value; 6] })
}

#[test]
fn the_compiled_filter_is_what_the_plan_prints() {
    for (name, profile) in profiles() {
        for arch in Arch::ALL {
            for mode in [Mode::Enforce, Mode::Audit] {
                let Ok(plan) = make(&profile, &newest(arch), mode) else { continue };
                let program = compile(&plan.filter).unwrap_or_else(|error| panic!("{name}: {error}"));
                for nr in 0..1024 {
                    let call = syscalls::name(arch, nr);
                    let access = call.and_then(|call| plan.filter.calls.get(call));
                    for value in [0, 1, 2, 4, 7, 0x40, 0x241, 0x1000, u64::MAX, 1 << 32] {
                        let action = answer(&program, arch, nr, value);
                        let context = format!("{name} {arch} {mode:?} {call:?} {value:#x}");
                        match access {
                            _ if call == Some("clone3") => {
                                assert!(matches!(action, Action::Errno(38)), "{context}: {action:?}");
                            }
                            Some(Access::Allow) => assert_eq!(action, Action::Allow, "{context}"),
                            Some(Access::Notify) | None => assert_eq!(action, Action::Notify, "{context}"),
                            Some(Access::When(_)) => {
                                assert_eq!(action, plan.filter.verdict(nr, &[value; 6]), "{context}");
                            }
                        }
                    }
                }
                for foreign in [0x4000_0003, 0xc000_003e ^ 1] {
                    let data = SeccompData { nr: 0, arch: foreign, instruction_pointer: 0, args: [0; 6] };
                    assert_eq!(interpret(&program, &data), Action::KillProcess, "{name} {foreign:#x}");
                }
            }
        }
    }
}
