use super::*;
use crate::image::Executable;
use crate::image::tree::ImageTree;
use crate::kernel::{Arch, NoTrace, Release};
use crate::plan::Plan;
use crate::procfs::mountinfo::parse;
use crate::profile::{self, Mode, Rights};

const ROOT: &str = "20 1 0:40 / / rw - overlay overlay rw\n21 20 0:41 / /dev rw - tmpfs tmpfs rw\n";

fn image() -> ImageTree {
    ImageTree::new()
        .program("/usr/bin/server", Executable::Static)
        .program("/opt/app/bin/tool", Executable::Static)
        .dir("/usr/share/es/data")
        .dir("/opt/app/logs")
        .dir("/opt/tools")
        .file("/usr/share/es/conf")
        .dir("/data")
        .device("/dev/null")
        .device("/dev/nvidia0")
        .device("/dev/dri/card0")
        .device("/dev/kmsg")
        .dir("/dev/shm")
        .link("/dev/stdin", "null")
        .dir("/proc")
}

fn host(mounts: &str) -> Host {
    Host {
        mounts: parse(format!("{ROOT}{mounts}").as_bytes()),
        command: Some("/usr/bin/server".into()),
        working_directory: Some("/".into()),
        ..Host::container(caps::CapsHashSet::new())
    }
}

fn plan_on(host: &Host, image: &ImageTree, kernel: &Kernel) -> Plan {
    let text = r#"{"remit": 1, "name": "t", "fallback": "degrade",
        "programs": [{"beneath": "/usr", "entry": true}, {"beneath": "/opt"}],
        "files": [{"path": "/", "allow": ["read"]}, "@elsewhere"]}"#;
    let profile = profile::read(text.as_bytes()).expect("a profile").profile;
    Plan::new(&profile, kernel, host, image, Mode::Enforce).expect("a plan")
}

fn plan(mounts: &str) -> Plan {
    plan_on(&host(mounts), &image(), &Kernel::stock(Release::new(6, 18), Arch::X86_64))
}

fn writes(plan: &Plan, path: &str) -> bool {
    let domain = plan.landlock.as_ref().expect("a domain");
    let rule = domain.rules.iter().find(|rule| rule.path == Path::new(path));
    let granted = plan.policy.files.iter().any(|grant| {
        grant.path == Path::new(path) && grant.rights.contains(Rights::WRITE.union(Rights::CREATE))
    });
    rule.is_some_and(|rule| rule.rights.contains(landlock::AccessFs::WriteFile)) && granted
}

#[test]
fn what_is_mounted_below_usr_is_data_and_nothing_runs_from_it() {
    for mount in [
        "30 20 8:1 /v /usr/share/es/data rw - ext4 x rw\n",
        "30 20 0:50 / /opt/app/logs rw,relatime - tmpfs tmpfs rw\n",
    ] {
        let plan = plan(mount);
        let point = mount.split(' ').nth(4).expect("a mount point");
        assert!(writes(&plan, point), "{point}");
        assert_eq!(plan.policy.never_run, [Path::new(point)]);
        assert!(plan.notes.iter().any(|note| note.contains(point)), "{:?}", plan.notes);
    }
}

#[test]
fn what_belongs_to_the_app_itself_or_to_programs_stays_closed() {
    let closed = [
        // Read-only, a single file, a place of code, the top of a tree, the kernel's.
        "30 20 8:1 /v /usr/share/es/data ro,relatime - ext4 x rw\n",
        "30 20 8:1 /v /usr/share/es/conf rw - ext4 x rw\n",
        "30 20 8:1 /v /opt/app/bin rw - ext4 x rw\n",
        "30 20 8:1 /v /usr/share rw - ext4 x rw\n",
        "30 20 8:1 /v /usr rw - ext4 x rw\n",
        "30 20 0:9 / /opt/tools rw - proc proc rw\n",
    ];
    for mount in closed {
        let plan = plan(mount);
        let point = mount.split(' ').nth(4).expect("a mount point");
        assert!(!writes(&plan, point), "{point}");
        assert!(plan.policy.never_run.is_empty(), "{point}");
    }
    let mount = "30 20 8:1 /v /opt/app rw - ext4 x rw\n";
    let kernel = Kernel::stock(Release::new(6, 18), Arch::X86_64);
    for host in [
        Host { working_directory: Some("/opt/app/logs".into()), ..host(mount) },
        Host { command: Some("/opt/app/bin/tool".into()), ..host(mount) },
        Host { guarded: vec![("the profile", "/opt/app/bin/tool".into())], ..host(mount) },
    ] {
        assert!(!writes(&plan_on(&host, &image(), &kernel), "/opt/app"), "{:?}", host.working_directory);
    }
    assert!(writes(&plan_on(&host(mount), &image(), &kernel), "/opt/app"), "control");
}

#[test]
fn where_no_exec_is_verified_a_mount_stays_closed() {
    let mut kernel = Kernel::stock(Release::new(6, 18), Arch::X86_64);
    kernel.trace = Err(NoTrace::Filter);
    let plan = plan_on(&host("30 20 8:1 /v /opt/tools rw - ext4 x rw\n"), &image(), &kernel);
    assert!(!writes(&plan, "/opt/tools"));
}

#[test]
fn a_read_only_mount_that_is_written_through_another_runs_nothing() {
    let read_only = "30 20 8:1 /v/t /opt/tools ro - ext4 x rw\n";
    assert!(plan(read_only).policy.never_run.is_empty());
    for other in ["/v/t", "/v", "/v/t/deep"] {
        let plan = plan(&format!("{read_only}31 20 8:1 {other} /data rw - ext4 x rw\n"));
        assert_eq!(plan.policy.never_run, [Path::new("/opt/tools")], "{other}");
    }
    let other = plan(&format!("{read_only}31 20 8:1 /w /data rw - ext4 x rw\n"));
    assert!(other.policy.never_run.is_empty());
}

#[test]
fn devices_that_the_engine_passed_in_are_the_apps_and_no_others() {
    let plan_of = |image: &ImageTree, mounts: &str| {
        let host = Host { mounts: parse(mounts.as_bytes()), ..host("") };
        plan_on(&host, image, &Kernel::stock(Release::new(6, 18), Arch::X86_64))
    };
    let rights = |plan: &Plan, path: &str| {
        let grants = plan.policy.files.iter().filter(|grant| grant.path == Path::new(path));
        grants.fold(Rights::NONE, |all, grant| all.union(grant.rights))
    };
    let all = Rights::READ.union(Rights::WRITE).union(Rights::IOCTL);
    let plan = plan_of(&image(), ROOT);
    for device in ["/dev/nvidia0", "/dev/dri/card0"] {
        assert_eq!(rights(&plan, device), all, "{device}");
    }
    assert_eq!(rights(&plan, "/dev/kmsg"), Rights::NONE);
    let gpu = |image: &ImageTree| {
        let text = r#"{"remit": 1, "name": "t", "fallback": "degrade",
            "programs": [{"path": "/usr/bin/server", "entry": true}], "files": ["@gpu"]}"#;
        let profile = profile::read(text.as_bytes()).expect("a profile").profile;
        let kernel = Kernel::stock(Release::new(6, 18), Arch::X86_64);
        Plan::new(&profile, &kernel, &host(""), image, Mode::Enforce).expect("a plan")
    };
    let image_with_files =
        image().dir("/proc/driver/nvidia").dir("/sys/devices/pci0000:00").dir("/sys/devices/x");
    let gpu = gpu(&image_with_files.device("/dev/fuse").device("/dev/nvidia-caps/nvidia-cap1"));
    for device in ["/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap1", "/dev/dri/card0"] {
        assert_eq!(rights(&gpu, device), all, "{device}");
    }
    for read in ["/proc/driver/nvidia", "/sys/devices/pci0000:00"] {
        assert_eq!(rights(&gpu, read), Rights::READ, "{read}");
    }
    for other in ["/dev/fuse", "/sys/devices/x"] {
        assert_eq!(rights(&gpu, other), Rights::NONE, "{other}");
    }
    let of_a_machine = plan_of(&image().device("/dev/mem"), ROOT);
    let machine = "20 1 0:40 / / rw - ext4 x rw\n21 20 0:6 / /dev rw - devtmpfs devtmpfs rw\n";
    for plan in [of_a_machine, plan_of(&image(), machine)] {
        assert_eq!(rights(&plan, "/dev/nvidia0"), Rights::NONE);
    }
}
