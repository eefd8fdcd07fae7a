use std::path::Path;

use super::{rules, rules_on};
use crate::plan::environment::named::PathUse;
use crate::profile::Mode;

#[test]
fn a_name_belongs_to_the_directory_above_it_and_content_to_the_file() {
    let rules = rules(
        r#""files": [
            {"path": "/data", "allow": ["read", "write", "create", "remove"]},
            {"path": "/etc/app.conf", "allow": ["read", "write"]},
            {"path": "/opt", "allow": ["read", "create"]}
        ]"#,
    );
    for (path, may_move, may_write) in [
        ("/data", false, true),
        ("/data/old", true, true),
        ("/data/none/deeper", true, true),
        ("/etc", false, false),
        ("/etc/app.conf", false, true),
        ("/opt", false, false),
        ("/opt/plugin.so", true, false),
        ("/usr/lib/libx.so", false, false),
        ("/none", false, false),
    ] {
        assert_eq!(rules.may_move(Path::new(path)), may_move, "{path}");
        assert_eq!(rules.may_write(Path::new(path)), may_write, "{path}");
    }
}

#[test]
fn a_folder_is_settled_with_what_is_used_in_it() {
    let rules = rules(
        r#""files": [
            {"path": "/data/private", "allow": ["read", "write", "create", "remove"]},
            {"path": "/usr/lib/new", "allow": ["read", "write", "create"]},
            {"path": "/opt/new.so", "allow": ["read", "write", "create"]}
        ]"#,
    );
    for (folder, all, libraries) in [
        // Data two folders down are no library, and may be a module.
        ("/data", true, false),
        ("/data/private", true, true),
        ("/data/private/keys", true, true),
        ("/usr/lib", true, true),
        ("/opt", true, true),
        ("/etc", false, false),
    ] {
        let within = |used| rules.may_change_within(Path::new(folder), used).is_some();
        assert_eq!((within(PathUse::All), within(PathUse::Libraries)), (all, libraries), "{folder}");
    }
}

/// `@elsewhere` grants what is not a program's, and its names.
#[test]
fn elsewhere_is_changed_and_what_it_leaves_out_is_not() {
    let rules = rules_on(
        r#""programs": [{"beneath": "/usr", "entry": true}], "files": [{"path": "/", "allow": ["read"]}, "@elsewhere"]"#,
        6,
        18,
        Mode::Enforce,
    );
    for (path, changes) in
        [("/usr/lib/libx.so", false), ("/usr/none", false), ("/data/old", true), ("/none", true)]
    {
        assert_eq!(rules.may_move(Path::new(path)), changes, "{path}");
    }
    assert_eq!(rules.may_change_within(Path::new("/usr/lib"), PathUse::All), None);
    assert!(rules.may_change_within(Path::new("/data"), PathUse::All).is_some());
    assert!(rules.may_change_within(Path::new("/"), PathUse::Libraries).is_some());
}

/// Below Linux 5.14 the kernel has to let more be made than the profile says.
#[test]
fn where_the_kernel_lets_more_be_made_that_counts() {
    let keys = r#""programs": [{"path": "/app/server", "entry": true}],
        "files": [{"path": "/opt/new", "allow": ["read", "write", "create"]}]"#;
    let plugin = Path::new("/opt/other.so");
    assert!(!rules_on(keys, 6, 18, Mode::Enforce).may_move(plugin));
    assert!(rules_on(keys, 5, 13, Mode::Enforce).may_move(plugin));
}
