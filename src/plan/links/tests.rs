//! Links, planted and honest, in an invented image.

use std::path::Path;

use crate::image::{Executable, tree::ImageTree};
use crate::kernel::{Arch, Kernel, Release};
use crate::plan::{Host, Plan, PlanError};
use crate::profile::{self, Endpoint, Mode, Rights};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// What an image has, before anything ran.
fn image() -> ImageTree {
    ImageTree::new()
        .program("/server", Executable::Static)
        .program("/usr/bin/dynamic", Executable::Dynamic(LOADER.into()))
        .program("/usr/lib/ld.so", Executable::Loader)
        .link(LOADER, "/usr/lib/ld.so")
        .link("/var/run", "/run")
        .dir("/run/app")
        .dir("/data")
        .dir("/srv")
        .file("/srv/settings")
        .file("/etc/ld.so.cache")
        .dir("/etc/nginx")
        .dir("/proc")
}

fn host() -> Host {
    Host::container(caps::CapsHashSet::new())
}

fn of(tree: &ImageTree, host: &Host, program: &str, keys: &str) -> Result<Plan, PlanError> {
    on(&Kernel::stock(Release::new(6, 18), Arch::X86_64), tree, host, program, keys)
}

fn on(kernel: &Kernel, tree: &ImageTree, host: &Host, program: &str, keys: &str) -> Result<Plan, PlanError> {
    let text = format!(
        r#"{{"remit": 1, "name": "t", "fallback": "degrade", "programs": [{{{program}, "entry": true}}], {keys}}}"#
    );
    let profile = profile::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}")).profile;
    Plan::new(&profile, kernel, host, tree, Mode::Enforce)
}

const ALL: &str = r#""allow": ["read", "write", "create", "remove"]"#;
const DATA: &str = r#"{"path": "/data", "allow": ["read", "write", "create", "remove"]}"#;

/// A plan of a static program and these files.
pub(in crate::plan) fn plan(tree: &ImageTree, files: &str) -> Plan {
    with(tree, files).unwrap_or_else(|error| panic!("{error}\n{files}"))
}

/// The same on another kernel.
pub(in crate::plan) fn with_kernel(tree: &ImageTree, files: &str, major: u16, minor: u16) -> Plan {
    let kernel = Kernel::stock(Release::new(major, minor), Arch::X86_64);
    let keys = format!(r#""files": [{files}]"#);
    on(&kernel, tree, &host(), r#""path": "/server""#, &keys).unwrap_or_else(|error| panic!("{error}"))
}

fn with(tree: &ImageTree, files: &str) -> Result<Plan, PlanError> {
    of(tree, &host(), r#""path": "/server""#, &format!(r#""files": [{files}]"#))
}

#[track_caller]
fn refused(plan: Result<Plan, PlanError>, pointer: &str, says: &[&str]) {
    let error = plan.err().unwrap_or_else(|| panic!("it has a plan"));
    assert_eq!(error.pointer, pointer, "{error}");
    for word in says {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

/// The rights on a path by name, and whether the kernel is to know any below it.
fn granted(plan: &Plan, path: &str) -> Rights {
    let grants = plan.policy.files.iter().filter(|grant| {
        let covers = if grant.exact {
            grant.path == Path::new(path)
        } else {
            Path::new(path).starts_with(&grant.path)
        };
        covers && !grant.except.iter().any(|except| Path::new(path).starts_with(except))
    });
    grants.fold(Rights::NONE, |all, grant| all.union(grant.rights))
}

#[test]
fn a_name_that_became_a_link_is_granted_and_what_is_behind_it_is_not() {
    let pid = format!(r#"{{"path": "/run/nginx.pid", {ALL}, "optional": true}}"#);
    for target in ["/etc/nginx", "/srv/settings", "/", "/run/missing"] {
        let tree = image().link("/run/nginx.pid", target);
        for entry in [pid.clone(), pid.replace(r#", "optional": true"#, "")] {
            let plan = plan(&tree, &entry);
            assert_eq!(granted(&plan, "/run/nginx.pid"), granted_missing(&pid), "{target}");
            assert_eq!(granted(&plan, "/etc/nginx"), Rights::NONE, "{target}");
            assert_eq!(granted(&plan, "/srv/settings"), Rights::NONE, "{target}");
            let said = plan.not_followed.first().map(String::as_str);
            let is_led = target != "/run/missing";
            assert_eq!(said.is_some_and(|note| note.contains("/run/nginx.pid")), is_led, "{said:?}");
        }
    }
}

fn granted_missing(entry: &str) -> Rights {
    granted(&plan(&image(), entry), "/run/nginx.pid")
}

#[test]
fn links_of_the_image_that_no_entry_lets_change_are_followed() {
    let files = format!(
        r#"{{"path": "/var/run/app", {ALL}}}, {{"path": "/var/run/app.pid", {ALL}}}, {{"path": "/var/run", "allow": ["read"]}}"#
    );
    let plan = plan(&image(), &files);
    assert!(plan.not_followed.is_empty(), "{:?}", plan.not_followed);
    for path in ["/run/app/x", "/run/app.pid"] {
        assert!(granted(&plan, path).contains(Rights::WRITE.union(Rights::CREATE)), "{path}");
    }
    assert_eq!(granted(&plan, "/run/other"), Rights::READ);
}

#[test]
fn an_entry_inside_a_granted_directory_is_not_followed_out_of_it() {
    let planted = image().link("/data/cache", "/srv");
    for (own, says) in [(ALL, "the name alone"), (r#""allow": ["read", "write"]"#, "nothing is granted")] {
        let optional = format!(r#"{DATA}, {{"path": "/data/cache", {own}, "optional": true}}"#);
        let plan = plan(&planted, &optional);
        assert_eq!(granted(&plan, "/srv/settings"), Rights::NONE);
        assert!(plan.not_followed[0].contains(says), "{:?}", plan.not_followed);
    }
    let required = format!(r#"{DATA}, {{"path": "/data/cache", "allow": ["write"]}}"#);
    refused(with(&planted, &required), "/files/1", &["/data/cache", "/files/0", "/srv", "optional"]);
}

#[test]
fn every_link_on_the_way_counts_and_not_the_last_alone() {
    let chains = [
        image().link("/data/a", "b").link("/data/b", "/srv"),
        image().link("/data/a", "/opt/b").link("/opt/b", "/data/c").link("/data/c", "/srv"),
        image().dir("/data/x").link("/data/x/up", "../../srv").link("/data/a", "x/up"),
    ];
    for tree in chains {
        // Above what is there, above a missing last name, and as the last name.
        for (path, allow) in [
            ("/data/a/settings", r#"["write"]"#),
            ("/data/a/new", r#"["write", "create"]"#),
            ("/data/a/none/new", r#"["write"]"#),
            ("/data/a", r#"["write"]"#),
        ] {
            let files = format!(r#"{DATA}, {{"path": "{path}", "allow": {allow}, "optional": true}}"#);
            let plan = plan(&tree, &files);
            for behind in ["/srv", "/srv/settings", "/srv/new", "/srv/none/new"] {
                assert_eq!(granted(&plan, behind), Rights::NONE, "{path} {behind}");
            }
        }
    }
    // The way to a link of the image's may lead over one of the app's.
    let tree = image().link("/etc/store", "/data/store").link("/data/store", "/srv");
    let plan =
        plan(&tree, &format!(r#"{DATA}, {{"path": "/etc/store", "allow": ["write"], "optional": true}}"#));
    assert_eq!(granted(&plan, "/srv/settings"), Rights::NONE);
}

#[test]
fn a_folder_of_releases_is_fine_and_its_current_one_is_named_by_itself() {
    let tree = image().dir("/data/releases/5").link("/data/current", "releases/5");
    assert!(plan(&tree, DATA).not_followed.is_empty());
    let current = format!(r#"{DATA}, {{"path": "/data/current", "allow": ["read"]}}"#);
    refused(with(&tree, &current), "/files/1", &["/data/current", "/files/0", "/data/releases/5"]);
}

#[test]
fn a_link_to_the_root_does_not_make_the_images_links_the_apps() {
    let tree = image().link("/data/cache", "/");
    let files = format!(
        r#"{DATA}, {{"path": "/data/cache", {ALL}, "optional": true}}, {{"path": "/var/run/app", {ALL}}}"#
    );
    let plan = plan(&tree, &files);
    assert_eq!(plan.not_followed.len(), 1, "{:?}", plan.not_followed);
    assert!(granted(&plan, "/run/app/x").contains(Rights::WRITE));
    assert_eq!(granted(&plan, "/srv/settings"), Rights::NONE);
}

#[test]
fn entries_that_lead_into_each_other_are_refused() {
    // Followed for the first entry, and then in the reach of the second.
    let tree = image().link("/one/a", "/srv").dir("/srv/x").link("/opt/b", "/").dir("/one/x");
    let files = format!(r#"{{"path": "/one/a/x", {ALL}}}, {{"path": "/opt/b/one", {ALL}}}"#);
    refused(with(&tree, &files), "/files/0", &["/one/a", "/files/1"]);
}

#[test]
fn a_folder_that_is_mounted_twice_has_its_links_twice() {
    let tree = image().dir("/other").link("/srv/current", "/etc/nginx");
    let mounts = b"20 1 0:40 / / rw - overlay overlay rw\n21 20 8:1 /v /srv rw - ext4 a rw\n22 20 8:1 /v /data rw - ext4 a rw\n";
    let host = Host { mounts: crate::procfs::mountinfo::parse(mounts), ..host() };
    let files = format!(r#""files": [{DATA}, {{"path": "/srv/current", "allow": ["write"]}}]"#);
    refused(of(&tree, &host, r#""path": "/server""#, &files), "/files/1", &["/srv/current", "/files/0"]);
}

#[test]
fn elsewhere_may_have_made_any_link_that_it_does_not_exclude() {
    let tree = image().link("/srv/current", "/etc/nginx");
    let files = |more: &str| format!(r#""@elsewhere", {more}"#);
    let entry = r#"{"path": "/srv/current", "allow": ["write"]}"#;
    refused(with(&tree, &files(entry)), "/files/1", &["/srv/current", "/files/0"]);
    let with_link = Host { links: vec![("a link", "/srv/current".into())], ..host() };
    let keys = format!(r#""files": [{}]"#, files(entry));
    let plan = of(&tree, &with_link, r#""path": "/server""#, &keys).unwrap_or_else(|error| panic!("{error}"));
    assert!(plan.not_followed.is_empty(), "{:?}", plan.not_followed);
}

#[test]
fn a_socket_is_not_where_a_planted_link_leads() {
    let keys = format!(
        r#""files": [{DATA}], "network": {{"connect": ["unix:/data/run/sock", "unix:/var/run/app/sock"]}}"#
    );
    let tree = image().link("/data/run", "/srv");
    let plan = of(&tree, &host(), r#""path": "/server""#, &keys).unwrap_or_else(|error| panic!("{error}"));
    let named = |path: &str| plan.policy.connect.contains(&Endpoint::UnixPath(path.into()));
    assert!(!named("/srv/sock") && named("/run/app/sock"), "{:?}", plan.policy.connect);
    assert!(plan.not_followed[0].starts_with("/network/connect/0: "), "{:?}", plan.not_followed);
}

/// What is executed or mapped is refused and not left out.
#[test]
fn links_to_programs_and_libraries_are_the_images_alone() {
    let dynamic = r#""path": "/usr/bin/dynamic""#;
    let lib64 = format!(r#""files": [{{"path": "/lib64", {ALL}}}]"#);
    refused(of(&image(), &host(), dynamic, &lib64), "/files/0", &[LOADER, "a link to a program"]);
    // The profile is read without links, so that it cannot see these.
    let keys = format!(r#""files": [{DATA}]"#);
    let tree = image().link("/opt/app", "/data/app").link("/data/app", "/server");
    refused(of(&tree, &host(), r#""path": "/opt/app""#, &keys), "/files/0", &["/data/app"]);
    let write = r#""files": [{"path": "/data", "allow": ["read", "write"]}]"#;
    assert!(of(&tree, &host(), r#""path": "/opt/app""#, write).is_ok(), "a link cannot be written");
    let libraries = r#""path": "/usr/bin/dynamic", "libraries": ["/opt/plugins"]"#;
    let tree = image().link("/opt/plugins", "/data/plugins");
    refused(of(&tree, &host(), libraries, &keys), "/files/0", &["/data/plugins", "mapped"]);
}

#[test]
fn what_the_loader_reads_first_is_not_the_apps() {
    let dynamic = r#""path": "/usr/bin/dynamic""#;
    let etc = format!(r#""files": [{{"path": "/etc", {ALL}}}]"#);
    refused(of(&image(), &host(), dynamic, &etc), "/files/0", &["/etc/ld.so", "the loader"]);
    assert!(of(&image(), &host(), r#""path": "/server""#, &etc).is_ok(), "a static program has no loader");
    let keys = r#""files": ["@elsewhere"]"#;
    let plan = of(&image().dir("/lib"), &host(), dynamic, keys).unwrap_or_else(|error| panic!("{error}"));
    let files = ["/etc/ld.so.preload", "/etc/ld.so.cache", "/etc/ld-musl-x86_64.path", "/lib/x", "/lib64/x"];
    for path in files {
        assert_eq!(granted(&plan, path), Rights::NONE, "{path}");
    }
    assert!(granted(&plan, "/etc/ld.so.conf").contains(Rights::WRITE));
}
