//! Properties of lists and comparisons, on small random profiles and on those of the repository.

use std::net::IpAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::calls::AllowedCalls;
use super::network::names_addresses;
use super::random::{RandomProfile, random, read, with_one_more};
use super::*;
use crate::event::{PatchOp, Want, hint};
use crate::profile::{self, Capability, Document, Endpoint, FileEntry, Profile, Rights, SyscallRule};
use crate::syscalls::{Test, groups};

fn diff(before: &Document, after: &Document) -> ProfileDiff {
    ProfileDiff::of(before, after, None, None)
}

fn whats(list: &[Permission]) -> Vec<&Permitted> {
    list.iter().map(|one| &one.what).collect()
}

const ROUNDS: usize = 200;

#[test]
fn a_profile_permits_no_more_than_itself_however_it_is_written() {
    let mut source = RandomProfile(7);
    for _ in 0..ROUNDS {
        let one = random(&mut source);
        let same = diff(&one, &one);
        assert!(same.added.is_empty() && same.removed.is_empty(), "{:?}\n{}", whats(&same.added), one.text);
        let mut value = one.value();
        for list in
            ["/files", "/network/listen", "/network/connect", "/syscalls/allow", "/capabilities", "/programs"]
        {
            if let Some(Value::Array(list)) = value.pointer_mut(list) {
                source.shuffle(list);
            }
        }
        // Each right, and each value, in an entry of its own, and with a reason.
        let split = |entry: &Value, key: &str| match entry[key].as_array() {
            Some(list) => list
                .iter()
                .map(|item| {
                    let mut one = entry.clone();
                    one[key] = json!([item]);
                    one["why"] = json!("a reason");
                    one
                })
                .collect(),
            None => vec![entry.clone()],
        };
        for (list, key) in [("/files", "allow"), ("/syscalls/allow", "in")] {
            if let Some(Value::Array(list)) = value.pointer_mut(list) {
                *list = list.iter().flat_map(|entry| split(entry, key)).collect();
            }
        }
        let other = read(&value).expect("valid still");
        let found = diff(&one, &other);
        assert!(found.added.is_empty(), "{:?}\n{}\n{}", whats(&found.added), one.text, other.text);
        assert!(found.removed.is_empty(), "{:?}\n{}\n{}", whats(&found.removed), one.text, other.text);
    }
}

#[test]
fn what_one_adds_the_other_removes() {
    let mut source = RandomProfile(11);
    let mut more = 0;
    for _ in 0..ROUNDS {
        let (one, other) = (random(&mut source), random(&mut source));
        let (there, back) = (diff(&one, &other), diff(&other, &one));
        assert_eq!(whats(&there.added), whats(&back.removed));
        assert_eq!(whats(&there.removed), whats(&back.added));
        more += usize::from(there.grants_more());
        // Each is listed in the review of the profile that has it, or is a part of what is.
        let review = ProfileReview::of(&other, None);
        for added in there.added.iter().filter(|one| !matches!(one.what, Permitted::PassVariable(_))) {
            assert!(review.permissions.iter().any(|own| own.pointer == added.pointer), "{added:?}");
        }
    }
    assert!(more > ROUNDS / 2, "random profiles differ");
}

/// A use by a process, for which a profile is asked one way and compared the other way.
#[derive(Debug)]
enum Use {
    File(&'static str, Rights),
    Connect(IpAddr, u16),
    Call(&'static str, [u64; 2]),
    Capability(Capability),
    Run(&'static str, &'static str),
}

/// Whether a profile allows a use, straight from the format's description.
fn allows(profile: &Profile, wanted: &Use) -> bool {
    match wanted {
        Use::File(path, right) => profile.files.iter().any(|entry| match entry {
            FileEntry::Path(rule) => Path::new(path).starts_with(&rule.path) && rule.allow.contains(*right),
            FileEntry::Group(_) => false,
        }),
        Use::Connect(address, port) => profile.network.connect.iter().any(|entry| match &entry.what {
            Endpoint::Tcp(rule) => rule.covers(*address, *port),
            _ => false,
        }),
        Use::Call(call, args) => profile.syscalls.allow.iter().any(|entry| match &entry.what {
            SyscallRule::Call(name) => name == call,
            SyscallRule::Group(_) => false,
            SyscallRule::When(name, condition) => {
                let value = args[usize::from(condition.arg)];
                name == call
                    && match &condition.test {
                        Test::In(values) => values.contains(&value),
                        Test::NotIn(values) => !values.contains(&value),
                        Test::Masked { mask, equals } => value & mask == *equals,
                    }
            }
        }),
        Use::Capability(one) => profile.capabilities.iter().any(|entry| entry.what == *one),
        Use::Run(from, to) => {
            let entries = |path: &str| {
                let is = |beneath: bool| {
                    profile.programs.iter().filter(move |one| {
                        let place = one.place.path();
                        match beneath {
                            false => {
                                matches!(one.place, profile::ProgramPlace::Path(_))
                                    && place == Path::new(path)
                            }
                            true => {
                                matches!(one.place, profile::ProgramPlace::Beneath(_))
                                    && Path::new(path).starts_with(place)
                            }
                        }
                    })
                };
                let own: Vec<_> = is(false).collect();
                if own.is_empty() { is(true).collect() } else { own }
            };
            let targets = entries(to);
            entries(from).iter().any(|caller| {
                caller.may_run.iter().any(|transition| {
                    targets.iter().any(|target| target.place.path() == transition.what.path)
                })
            })
        }
    }
}

#[test]
fn a_comparison_without_additions_is_right_for_every_use() {
    let mut uses = Vec::new();
    for path in ["/", "/data", "/data/a", "/data/a/b/c", "/srv/x", "/etc/passwd", "/dev/x"] {
        uses.extend(Rights::all().iter().map(|right| Use::File(path, right)));
    }
    for address in ["10.1.1.1", "10.200.1.1", "127.0.0.1", "9.9.9.9", "fd00::1", "2001:db8::1"] {
        uses.extend([1, 80, 81, 443].map(|port| Use::Connect(address.parse().expect("an address"), port)));
    }
    for call in ["ptrace", "chown", "mount", "prctl", "ioctl", "personality"] {
        for value in [0, 3, 7, 8, 9, 22, 24, 0x5412, 0x5421] {
            uses.push(Use::Call(call, [value, value]));
        }
    }
    uses.extend(
        [Capability::CAP_CHOWN, Capability::CAP_NET_RAW, Capability::CAP_SYS_ADMIN].map(Use::Capability),
    );
    let paths = ["/app", "/bin/a", "/bin/b", "/bin/sh", "/bin/other", "/opt/x/c", "/opt/y"];
    uses.extend(paths.iter().flat_map(|from| paths.iter().map(|to| Use::Run(from, to))));
    let mut source = RandomProfile(13);
    let (mut found, mut silent) = (0, 0);
    for round in 0..ROUNDS {
        let one = random(&mut source);
        // Half of the pairs are close, so that many additions are a single one.
        let other = if round % 2 == 0 { random(&mut source) } else { with_one_more(&one, &mut source) };
        // A call that is for the start-up alone is another question.
        if !one.profile.syscalls.startup_only.is_empty() || !other.profile.syscalls.startup_only.is_empty() {
            continue;
        }
        let added = diff(&one, &other).added;
        let has_groups = |document: &Document| {
            document.profile.files.iter().any(|entry| matches!(entry, FileEntry::Group(_)))
        };
        for wanted in &uses {
            // What groups bring is compared with the group's own lists elsewhere.
            let by_group = match wanted {
                Use::Call(call, _) => groups::NAMES
                    .iter()
                    .filter_map(|name| groups::named(name))
                    .any(|group| group.calls().contains_key(call)),
                Use::File(..) => has_groups(&one),
                _ => false,
            };
            if by_group || allows(&one.profile, wanted) || !allows(&other.profile, wanted) {
                continue;
            }
            found += 1;
            let of_it = added.iter().any(|one| match (&one.what, wanted) {
                (Permitted::File { path, right }, Use::File(at, wanted)) => {
                    Path::new(at).starts_with(path) && right == wanted
                }
                (Permitted::Connect(Endpoint::Tcp(rule)), Use::Connect(address, port)) => {
                    rule.covers(*address, *port)
                }
                (Permitted::Call { call, .. }, Use::Call(wanted, _)) => call == wanted,
                (Permitted::Capability(one), Use::Capability(wanted)) => one == wanted,
                (Permitted::Transition { from, to }, Use::Run(caller, target)) => {
                    Path::new(caller).starts_with(&from.path) && Path::new(target).starts_with(&to.path)
                }
                _ => false,
            });
            assert!(of_it, "{wanted:?} is not among {:?}\n{}\n{}", whats(&added), one.text, other.text);
        }
        silent += usize::from(added.is_empty());
    }
    assert!(found > 500 && silent < ROUNDS / 2, "{found} uses, {silent} without an addition");
}

/// What the second permits no more. The first entry with an address takes the socket options away that
/// redirect a connection.
fn removed(one: &Document, more: &Document) -> Vec<Permitted> {
    let narrows = !names_addresses(&one.profile) && names_addresses(&more.profile);
    let is_options = |what: &Permitted| matches!(what, Permitted::Call { call: "setsockopt", .. });
    let removed = diff(one, more).removed.into_iter().map(|one| one.what);
    removed.filter(|what| !(narrows && is_options(what))).collect()
}

#[test]
fn an_entry_more_never_removes_anything() {
    let mut source = RandomProfile(17);
    for _ in 0..ROUNDS {
        let mut one = random(&mut source);
        if !one.profile.syscalls.startup_only.is_empty() {
            continue;
        }
        for _ in 0..3 {
            let more = with_one_more(&one, &mut source);
            let removed = removed(&one, &more);
            assert!(removed.is_empty(), "{removed:?}\n{}\n{}", one.text, more.text);
            one = more;
        }
    }
}

#[test]
fn groups_and_their_members_are_the_same() {
    let one = |files: Value, calls: Value| {
        read(&json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }],
            "files": files, "syscalls": { "allow": calls } }))
        .expect("valid")
    };
    let names: Vec<Value> = crate::plan::NAMES
        .iter()
        .map(|path| json!({ "path": path, "allow": ["read"], "optional": true }))
        .collect();
    let members: Vec<Value> =
        groups::named("@network").expect("a group").calls().keys().map(|call| json!(call)).collect();
    let (group, list) = (one(json!(["@names"]), json!(["@network"])), one(json!(names), json!(members)));
    let found = diff(&group, &list);
    assert!(
        found.added.is_empty() && found.removed.is_empty(),
        "{:?} {:?}",
        whats(&found.added),
        whats(&found.removed)
    );
}

#[test]
fn additions_of_amend_are_additions() {
    let mut source = RandomProfile(19);
    let mut tried = 0;
    for _ in 0..ROUNDS / 2 {
        let one = random(&mut source);
        let wants = [
            Want::File { path: "/new/file".into(), rights: Rights::READ | Rights::WRITE },
            Want::Connect("tcp/9.9.9.9:99".into()),
            Want::Listen("tcp/12".into()),
            Want::Syscall("keyctl".into()),
            Want::SyscallWhen { call: "prctl".into(), arg: 0, value: json!(41) },
            Want::Capability(Capability::CAP_SYS_TIME),
            Want::Environment("PERL5OPT".into()),
            Want::WriteExecute,
            Want::Processes(99),
            Want::Program { path: "/usr/bin/new".into(), caller: Some(profile::ProfileIndex::new(0)) },
        ];
        for want in wants {
            let operations: Vec<PatchOp> = hint(&one.value(), &want);
            let mut value = one.value();
            let patch: json_patch::Patch =
                serde_json::from_value(serde_json::to_value(&operations).expect("JSON")).expect("a patch");
            json_patch::patch(&mut value, &patch).expect("it applies");
            let Some(more) = read(&value) else { continue };
            // A limit of processes that is set where none was takes away, and a call of a group adds
            // nothing.
            let narrows = want == Want::Processes(99) && one.profile.limits.processes.is_none();
            let silent = matches!(&want, Want::SyscallWhen { .. });
            if operations.is_empty() || narrows || silent {
                continue;
            }
            tried += 1;
            let found = diff(&one, &more);
            let covered = matches!(&want, Want::Connect(_)) && one.profile.network.connect.iter().any(|entry| {
                matches!(&entry.what, Endpoint::Tcp(rule) if rule.covers("9.9.9.9".parse().expect("an address"), 99))
            });
            let listens =
                matches!(&want, Want::Listen(_))
                    && one.profile.network.listen.iter().any(
                        |entry| matches!(&entry.what, Endpoint::Tcp(rule) if rule.ports == (0, u16::MAX)),
                    );
            let elsewhere = matches!(&want, Want::File { .. })
                && ReviewInput::of(&one.profile).files.has(profile::FileGroup::Elsewhere);
            assert!(found.grants_more() || covered || listens || elsewhere, "{want:?}\n{}", one.text);
            // An entry of its own may be narrower than that of the directory it lies below.
            if !matches!(want, Want::Program { .. }) {
                let removed = removed(&one, &more);
                assert!(removed.is_empty(), "{want:?}: {removed:?}\n{}", one.text);
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn an_entry_of_its_own_may_be_narrower_than_the_directory() {
    let one =
        |programs: Value| read(&json!({ "remit": 1, "name": "x", "programs": programs })).expect("valid");
    let wide = one(json!([{ "beneath": "/usr", "entry": true, "may_run": ["/usr"] }]));
    let narrow = one(json!([
        { "beneath": "/usr", "entry": true, "may_run": ["/usr"] },
        { "path": "/usr/bin/tar", "args": [["-x"]] }
    ]));
    let found = diff(&narrow, &wide);
    let any = found.added.iter().any(
        |one| matches!(&one.what, Permitted::Arguments(key, None) if key.path == Path::new("/usr/bin/tar")),
    );
    assert!(any, "{:?}", whats(&found.added));
    assert!(!diff(&wide, &narrow).grants_more(), "{:?}", whats(&diff(&wide, &narrow).added));
}

/// What the second of two lists of programs permits more, by its kind.
fn more_kinds(before: Value, after: Value) -> Vec<&'static str> {
    let of =
        |programs: Value| read(&json!({ "remit": 1, "name": "x", "programs": programs })).expect("valid");
    diff(&of(before), &of(after)).added.iter().map(|one| one.what.kind()).collect()
}

#[test]
fn a_directory_pins_the_content_of_no_file() {
    let pinned = json!([{ "beneath": "/srv", "entry": true },
        { "path": "/srv/a", "entry": true, "sha256": "0".repeat(64) }]);
    let below = json!([{ "beneath": "/srv", "entry": true }]);
    assert_eq!(more_kinds(pinned.clone(), below.clone()), ["content"]);
    assert_eq!(more_kinds(below, pinned), [""; 0]);
}

#[test]
fn without_an_address_socket_options_redirect_connections() {
    let of = |network: Value| {
        read(&json!({ "remit": 1, "name": "x", "programs": [{ "path": "/app", "entry": true }], "network": network }))
            .expect("valid")
    };
    let addressed = of(json!({ "listen": ["tcp/127.0.0.1:80"], "connect": ["tcp/80"] }));
    let ports = of(json!({ "connect": ["tcp/80"] }));
    let found = diff(&addressed, &ports);
    let is_options = |what: &Permitted| matches!(what, Permitted::Call { call: "setsockopt", .. });
    assert!(found.added.len() == 1 && is_options(&found.added[0].what), "{:?}", whats(&found.added));
    let back = diff(&ports, &addressed);
    assert!(!back.added.iter().any(|one| is_options(&one.what)), "{:?}", whats(&back.added));
    // As the filter of the plan has it: SO_BINDTODEVICE, IP_OPTIONS and SO_KEEPALIVE.
    let allows = |document: &Document, level: u64, option: u64| {
        let calls = AllowedCalls::of(&document.profile);
        let registers = [0, level, option];
        calls
            .named("setsockopt")
            .flat_map(|one| one.alternatives.clone())
            .any(|one| one.iter().all(|test| test.values.has(registers[usize::from(test.arg)])))
    };
    for (level, option, is_route) in [(1, 25, true), (0, 4, true), (1, 9, false), (6, 1, false)] {
        assert_eq!((allows(&addressed, level, option), allows(&ports, level, option)), (!is_route, true));
    }
}

#[test]
fn of_directories_in_each_other_the_one_that_the_caller_may_run_decides() {
    let programs = |args: Value| {
        let mut inner = json!({ "beneath": "/a/b" });
        args.as_array().into_iter().for_each(|list| inner["args"] = json!(list));
        json!([{ "path": "/a/b/y", "entry": true, "may_run": ["/a/b"] }, { "beneath": "/a" }, inner])
    };
    let (some, any) = (programs(json!([["p"]])), programs(json!(null)));
    assert_eq!(more_kinds(some.clone(), any.clone()), ["arguments"]);
    assert_eq!(more_kinds(any, some), [""; 0]);
}

#[test]
fn every_permission_has_a_sentence_a_reason_and_a_place() {
    let text = include_str!("../../tests/fixtures/every-form.json");
    let document = profile::read(text.as_bytes()).expect("valid");
    let review = ProfileReview::of(&document, None);
    let lines = text.lines().count();
    for one in &review.permissions {
        assert!(one.sentence.ends_with('.') && one.sentence.len() > 10, "{one:?}");
        assert!(!one.risk_reason.is_empty() && !one.risk_reason.ends_with('.'), "{one:?}");
        assert!((1..=lines).contains(&one.line), "{one:?}");
    }
    let kinds: std::collections::BTreeSet<&str> =
        review.permissions.iter().map(|one| one.what.kind()).collect();
    for kind in [
        "mode",
        "fallback",
        "on_violation",
        "run_as",
        "capability",
        "program",
        "entry",
        "transition",
        "arguments",
        "interpreter",
        "content",
        "user",
        "instances",
        "libraries",
        "file",
        "listen",
        "connect",
        "call",
        "startup",
        "memory",
        "limit",
        "environment",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    let shell = review.at("/programs/0/may_run/2").next().expect("a transition");
    assert_eq!(shell.why.as_deref(), Some("a shell"));
    assert_eq!((shell.risk, shell.line), (RiskLevel::High, 11), "{shell:?}");
}
