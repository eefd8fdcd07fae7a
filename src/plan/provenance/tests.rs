use super::*;
use crate::ids::Gid;
use crate::image::Executable;
use crate::image::tree::ImageTree;
use crate::procfs::mountinfo::parse;
use crate::profile::RunAs;

/// The container was made in the tenth second.
const MADE: i64 = 10;

fn image() -> ImageTree {
    ImageTree::new()
        .program("/app/tool", Executable::Static)
        .program("/app/later", Executable::Static)
        .changed("/app/later", MADE)
        .program("/app/volume/tool", Executable::Static)
        .program("/app/fixed/tool", Executable::Static)
        .changed("/app/fixed/tool", MADE + 1)
        .program("/app/shared/tool", Executable::Static)
        .program("/app/his/tool", Executable::Static)
        .owned("/app/his", 101)
        .changed("/app/his/tool", MADE + 1)
        .program("/app/roots/tool", Executable::Static)
        .changed("/app/roots/tool", MADE + 1)
        .link("/app/link", "/app/roots/tool")
}

const MOUNTS: &str = "20 1 0:40 / / rw - overlay overlay rw\n\
    30 20 8:1 /v /app/volume rw - ext4 x rw\n\
    31 20 8:1 /f /app/fixed ro - ext4 x rw\n\
    32 20 8:1 /s /app/shared ro - ext4 x rw\n\
    33 20 8:1 /s/deep /data rw - ext4 x rw\n";

fn host(user: u32, births: Births) -> Host {
    Host {
        ids: RunAs { user: Uid::from_raw(user), group: Gid::from_raw(user), groups: Vec::new() },
        mounts: parse(MOUNTS.as_bytes()),
        births,
        ..Host::container(caps::CapsHashSet::new())
    }
}

fn births() -> Births {
    Births { root: Some((MADE, 0)), witnesses: vec![(1, 0)], ..Births::default() }
}

fn of(host: &Host, capabilities: &str, mode: Mode) -> FileProvenance {
    let text = format!(
        r#"{{"remit": 1, "name": "t", "programs": [{{"beneath": "/app", "entry": true}}], "capabilities": [{capabilities}]}}"#
    );
    let profile = crate::profile::read(text.as_bytes()).expect("a profile").profile;
    FileProvenance::of(&profile, host, mode)
}

/// The files that came with the image.
fn came(provenance: &FileProvenance) -> Vec<&'static str> {
    let all = [
        "/app/tool",
        "/app/later",
        "/app/volume/tool",
        "/app/fixed/tool",
        "/app/shared/tool",
        "/app/his/tool",
        "/app/roots/tool",
    ];
    let image = image();
    let is = |path: &&'static str| {
        let info = image.stat(Path::new(path)).expect("no loop").expect("is there");
        provenance.is_of_image(&info.canonical, info.changed, &image)
    };
    all.into_iter().filter(is).collect()
}

#[test]
fn by_time_what_was_changed_before_the_container_was_made() {
    let provenance = of(&host(0, births()), "", Mode::Enforce);
    assert_eq!(came(&provenance), ["/app/tool", "/app/fixed/tool"]);
    assert!(provenance.tells(Path::new("/app")) && provenance.tells(Path::new("/app/fixed")));
    assert!(!provenance.tells(Path::new("/app/volume")) && !provenance.tells(Path::new("/app/shared")));
}

#[test]
fn by_owner_what_the_app_may_not_write() {
    let user = |births| of(&host(101, births), "", Mode::Enforce);
    let unknown = user(Births::default());
    // A volume is no other file system than the root in this.
    let not_his = [
        "/app/tool",
        "/app/later",
        "/app/volume/tool",
        "/app/fixed/tool",
        "/app/shared/tool",
        "/app/roots/tool",
    ];
    assert_eq!(came(&unknown), not_his);
    assert!(unknown.tells(Path::new("/app")));
    assert!(!unknown.is_of_image(Path::new("/app/link"), (1, 0), &image()), "a path over a link is not one");
    // Root, and a process that may act as another user, could have written all.
    for (user, capability) in [(0, ""), (101, "\"chown\""), (101, "\"setuid\"")] {
        let able = Host {
            permitted: [Capability::CAP_CHOWN, Capability::CAP_SETUID].into(),
            ..host(user, Births::default())
        };
        assert_eq!(came(&of(&able, capability, Mode::Enforce)), ["/app/fixed/tool"], "{user} {capability}");
        let audit = of(&able, "", Mode::Audit);
        assert!(!audit.tells(Path::new("/app")), "audit takes no capability");
    }
}

#[test]
fn a_read_only_root_is_of_the_image_in_whole() {
    let mounts = parse(b"20 1 0:40 / / ro - overlay overlay rw\n");
    let provenance = of(&Host { mounts, ..host(0, Births::default()) }, "", Mode::Enforce);
    assert!(provenance.is_of_image(Path::new("/app/later"), (MADE, 0), &image()));
    assert!(!provenance.tells_by_time());
}

#[test]
fn a_time_by_which_neither_command_nor_shim_came_with_the_image_shows_nothing() {
    let late = Births { witnesses: vec![(MADE, 0), (MADE + 5, 0)], ..births() };
    assert_eq!(late.container(), None);
    assert_eq!(Births { witnesses: vec![], ..births() }.container(), None);
    // One of them may have been given another owner in an earlier run.
    let one = Births { witnesses: vec![(MADE + 5, 0), (MADE - 1, 999)], ..births() };
    assert_eq!(one.container(), Some((MADE, 0)));
}

#[test]
fn the_engines_files_show_it_where_the_root_does_not() {
    let engine = Births { engine: Some((MADE + 1, 0)), start: Some((99, 0)), ..births() };
    assert_eq!(engine.container(), Some((MADE, 0)));
    assert_eq!(Births { root: None, ..engine }.container(), Some((MADE + 1, 0)));
}
