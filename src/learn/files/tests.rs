//! One test for each class of files.

use super::*;

const VOLUME_AT_DATA: fn() -> Mount = || Mount::Volume(Some("/data".into()));

fn file(path: &str, did: Did, mount: Mount) -> Fact {
    Fact::File { path: path.to_owned(), did, mount }
}

fn image(path: &str, did: Did) -> Fact {
    file(path, did, Mount::Image)
}

/// The rules as `path words` (with `?` where optional), and the notes.
fn rules(facts: &[Fact], programs: &[&str]) -> (Vec<String>, Vec<String>) {
    let seen = Seen { serving: super::super::runs::Runs::one(0), ..Seen::default() };
    let facts = facts.iter().map(|fact| (fact, &seen)).collect();
    let found = generalise(&facts, &programs.iter().copied().collect());
    let line = |rule: &LearnedFileRule| {
        let words: Vec<&str> = rule.rights.words().collect();
        format!("{} {}{}", rule.path, words.join(","), if rule.optional { "?" } else { "" })
    };
    (found.rules.values().map(line).collect(), found.notes)
}

#[track_caller]
fn become_(facts: &[Fact], expected: &[&str]) {
    let (found, notes) = rules(facts, &[]);
    assert_eq!(found, expected);
    assert_eq!(notes, [""; 0]);
}

#[test]
fn files_of_the_image_are_themselves_until_there_are_many() {
    let files = |count: usize, directory: &str| -> Vec<Fact> {
        (0..count).map(|n| image(&format!("{directory}/f{}", (b'a' + n as u8) as char), Did::Read)).collect()
    };
    assert_eq!(rules(&files(MANY, "/srv/site"), &[]).0.len(), MANY);
    become_(&files(MANY + 1, "/srv/site"), &["/srv/site read"]);
    // Whatever their number, these directories are never granted.
    assert_eq!(rules(&files(MANY + 1, "/etc"), &[]).0.len(), MANY + 1);
    // Directories that stand for their files count as one each.
    let many: Vec<Fact> = (0..=MANY)
        .flat_map(|n| files(MANY + 1, &format!("/srv/site/d{}", (b'a' + n as u8) as char)))
        .collect();
    become_(&many, &["/srv/site read"]);
}

#[test]
fn a_name_that_is_made_gives_its_directory_the_rights_that_were_used() {
    become_(&[image("/srv/x/a", Did::Create), image("/srv/x/b", Did::Remove)], &["/srv/x create,remove"]);
    // A directory that the app made is not there at the next start.
    become_(
        &[
            image("/srv/x", Did::MakeDirectory),
            image("/srv/x/y", Did::MakeDirectory),
            image("/srv/x/y/z", Did::Create),
        ],
        &["/srv create"],
    );
    become_(&[image("/srv/*", Did::Create), image("/srv/tmp-123456", Did::Read)], &["/srv read,create"]);
}

#[test]
fn a_name_that_is_made_where_nothing_is_granted_is_itself() {
    for directory in NEVER.iter().filter(|directory| !matches!(**directory, "/" | "/proc")) {
        let path = format!("{directory}/app.pid");
        let facts = [image(&path, Did::Create), image(&path, Did::Write), image(&path, Did::Remove)];
        become_(&facts, &[&format!("{path} write,create,remove")]);
        let (found, notes) = rules(&[image(&format!("{directory}/*"), Did::Create)], &[]);
        assert!(found.is_empty() && notes[0].contains("differs from run to run"), "{found:?} {notes:?}");
    }
}

#[test]
fn a_listing_of_the_image_grants_the_names_alone_unless_a_file_is_read_there() {
    become_(&[image("/srv", Did::List), image("/srv-x/a", Did::Read)], &["/srv list", "/srv-x/a read"]);
    become_(&[image("/srv", Did::List), image("/srv/a/b", Did::Read)], &["/srv read"]);
    become_(&[file("/data", Did::List, VOLUME_AT_DATA())], &["/data read"]);
    for directory in NEVER.iter().filter(|directory| **directory != "/proc") {
        let expected = format!("{directory} list");
        let expected: &[&str] = if RUNTIME.contains(directory) { &[] } else { &[&expected] };
        become_(&[image(directory, Did::List)], expected);
    }
    // One listing is another's, and a name that is made gains nothing by it.
    become_(&[image("/", Did::List), image("/etc", Did::List)], &["/ list"]);
    let moved = [
        image("/run", Did::List),
        image("/run/new", Did::Create),
        image("/run/new", Did::Write),
        image("/run/app.pid", Did::Create),
        Fact::Moved { from: "/run/new".to_owned(), to: "/run/app.pid".to_owned() },
    ];
    become_(&moved, &["/run list", "/run/app.pid create", "/run/new write,create"]);
}

#[test]
fn no_rule_lets_the_app_change_a_program() {
    let facts = [image("/app/server", Did::Write), image("/app/server.pid", Did::Create)];
    let (found, notes) = rules(&facts, &["/app/server"]);
    assert_eq!(found, ["/app/server.pid create"]);
    assert!(notes[0].contains("/app/server is a program"), "{notes:?}");
    let (found, _) = rules(&[file("/data/x", Did::Create, VOLUME_AT_DATA())], &["/data/bin/tool"]);
    assert_eq!(found, ["/data/x create"], "nor by a volume");
}

#[test]
fn a_volume_is_one_and_a_config_map_too() {
    let data = |path, did| file(path, did, VOLUME_AT_DATA());
    become_(&[data("/data/a/b", Did::Read), data("/data/c", Did::Create)], &["/data read,create"]);
    become_(&[file("/etc/app/..data/app.yaml", Did::Read, Mount::Volume(None))], &["/etc/app read"]);
    become_(&[image("/srv/..x/y", Did::Read)], &["/srv/..x/y read"]);
    become_(&[file("/..data/y", Did::Read, Mount::Volume(None))], &["/..data/y read"]);
    become_(&[file("/data/*", Did::Read, Mount::Volume(None))], &["/data read"]);
}

#[test]
fn what_is_replaced_is_ruled_by_its_directory() {
    // Written beside, and renamed over what is read.
    let facts = [
        image("/srv/db/state.new", Did::Create),
        image("/srv/db/state.new", Did::Remove),
        image("/srv/db/state", Did::Create),
        image("/srv/db/state", Did::Read),
    ];
    become_(&facts, &["/srv/db read,create,remove"]);
}

#[test]
fn what_is_moved_had_the_targets_rights_before() {
    let moved = |from: &str, to: &str| Fact::Moved { from: from.to_owned(), to: to.to_owned() };
    let pid =
        [image("/run/x.pid", Did::Create), image("/run/x.pid", Did::Read), image("/run/x.pid", Did::Write)];
    let away = [image("/run/x.pid", Did::Remove), image("/run/x.old", Did::Create)];
    let back = [image("/run/x.old", Did::Remove), moved("/run/x.old", "/run/x.pid")];
    let facts: Vec<Fact> = [&pid[..], &away, &[moved("/run/x.pid", "/run/x.old")]].concat();
    become_(&facts, &["/run/x.old create", "/run/x.pid read,write,create,remove"]);
    let facts = [&facts[..], &back].concat();
    become_(&facts, &["/run/x.old read,write,create,remove", "/run/x.pid read,write,create,remove"]);
    // A second name for what the image holds does not make that writable.
    let facts = [
        image("/srv/fixed", Did::Read),
        image("/data/name", Did::Create),
        image("/data/name", Did::Write),
        moved("/srv/fixed", "/data/name"),
    ];
    become_(&facts, &["/data write,create", "/srv/fixed read"]);
}

#[test]
fn what_comes_of_itself_has_no_rule() {
    let facts = [
        image("/usr/lib/libx.so", Did::Read),
        image("/etc/hosts", Did::Read),
        image("/dev/null", Did::Write),
        file("/proc/meminfo", Did::Read, Mount::Proc),
        image("/app/server", Did::Read),
    ];
    let (found, notes) = rules(&facts, &["/app/server"]);
    assert_eq!((found, notes), (Vec::new(), Vec::new()));
    let (found, notes) = rules(&[file("/proc/1/oom_score_adj", Did::Write, Mount::Proc)], &[]);
    assert!(found.is_empty() && notes[0].contains("nothing below /proc"), "{notes:?}");
}

#[test]
fn a_rule_that_another_covers_is_left_out() {
    let facts = [image("/srv/x", Did::List), image("/srv/x/y", Did::List), image("/srv/x/y/z", Did::Write)];
    become_(&facts, &["/srv/x list", "/srv/x/y/z write"]);
}

#[test]
fn devices_and_what_lives_in_memory() {
    become_(&[file("/dev/fuse", Did::Ioctl, Mount::Image)], &["/dev/fuse ioctl"]);
    become_(&[file("/srv/cache/x", Did::Read, Mount::Tmpfs)], &["/srv/cache/x read?"]);
    become_(&[file("/sys/kernel/mm/hugepages", Did::Read, Mount::Proc)], &["/sys/kernel/mm/hugepages read?"]);
}
