//! Properties of lists and comparisons, on small random profiles and on those of the repository.

use std::net::IpAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::event::{PatchOp, Want, hint};
use crate::profile::{self, Capability, Document, Endpoint, FileEntry, Profile, Rights, SyscallRule};
use crate::syscalls::{Test, groups};

/// xorshift64 (Marsaglia, Xorshift RNGs, 2003): the same profiles each time.
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }

    fn some(&mut self, list: &[Value], most: usize) -> Vec<Value> {
        let count = self.below(most + 1);
        let mut chosen: Vec<Value> = Vec::new();
        for _ in 0..count {
            let one = self.of(list).clone();
            if !chosen.contains(&one) {
                chosen.push(one);
            }
        }
        chosen
    }

    fn shuffle(&mut self, list: &mut [Value]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}

pub(super) fn read(value: &Value) -> Option<Document> {
    profile::read(value.to_string().as_bytes()).ok()
}

fn files() -> Vec<Value> {
    let mut all = vec![json!("@runtime"), json!("@names"), json!("@elsewhere")];
    for path in ["/data", "/data/a", "/data/a/b", "/srv", "/etc", "/", "/dev/x"] {
        for rights in
            [&["read"][..], &["write"], &["read", "write"], &["create", "remove"], &["ioctl", "read"]]
        {
            if path != "/" || rights == ["read"] {
                all.push(json!({ "path": path, "allow": rights }));
            }
        }
    }
    all
}

fn endpoints() -> Vec<Value> {
    [
        "tcp/80",
        "tcp/81",
        "tcp/80-81",
        "tcp/*",
        "tcp/10.0.0.0/8:80",
        "tcp/10.0.0.0/9:80",
        "tcp/10.128.0.0/9:80",
        "tcp/[fd00::/8]:1-90",
        "tcp/127.0.0.1:80",
        "udp/*",
        "unix:*",
        "unix:/run/a.sock",
        "unix:@a",
        "icmp",
        "netlink",
    ]
    .map(Value::from)
    .to_vec()
}

fn calls() -> Vec<Value> {
    vec![
        json!("ptrace"),
        json!("chown"),
        json!("@network"),
        json!("@files"),
        json!("mount"),
        json!("prctl"),
        json!({ "call": "prctl", "arg": 0, "in": [22] }),
        json!({ "call": "prctl", "arg": 0, "in": [22, 24] }),
        json!({ "call": "ioctl", "arg": 1, "in": [7, 8, 9] }),
        json!({ "call": "ioctl", "arg": 1, "not_in": [7] }),
        json!({ "call": "ioctl", "arg": 1, "not_in": ["TIOCSTI"] }),
        json!({ "call": "personality", "arg": 0, "mask": 15, "equals": 3 }),
        json!({ "call": "personality", "arg": 0, "mask": 3, "equals": 3 }),
        json!({ "call": "socket", "arg": 0, "in": ["AF_PACKET"] }),
        json!({ "call": "connect", "arg": 0, "in": [3] }),
    ]
}

fn programs(random: &mut Random) -> Vec<Value> {
    let paths = ["/bin/a", "/bin/b", "/bin/sh", "/opt/x/c"];
    let mut list = vec![json!({ "path": "/app", "entry": true })];
    let mut places = vec!["/app"];
    for path in paths {
        if random.below(2) == 0 {
            let mut one = json!({ "path": path });
            if random.below(3) == 0 {
                one["args"] = random
                    .of(&[json!([["-x"]]), json!([["-x"], ["-y", "..."]]), json!([[{ "glob": "-*" }]])])
                    .clone();
            }
            if random.below(3) == 0 {
                one["instances"] = json!(1 + random.below(3));
            }
            if random.below(4) == 0 {
                one["user"] = random.of(&[json!([0]), json!([0, 33])]).clone();
            }
            if random.below(4) == 0 {
                one["sha256"] = json!("ab".repeat(32));
            }
            places.push(path);
            list.push(one);
        }
    }
    for directory in ["/bin", "/opt"] {
        if random.below(3) == 0 {
            let mut one = json!({ "beneath": directory });
            if random.below(2) == 0 {
                one["from_image"] = json!(true);
            }
            places.push(directory);
            list.push(one);
        }
    }
    let edges: Vec<Value> = places.iter().map(|path| json!(path)).collect();
    for one in &mut list {
        let some = random.some(&edges, 3);
        if !some.is_empty() {
            one["may_run"] = json!(some);
        }
    }
    list
}

/// A small random profile.
pub(super) fn random(random: &mut Random) -> Document {
    loop {
        let mut value = json!({ "remit": 1, "name": "x", "programs": programs(random) });
        value["files"] = json!(random.some(&files(), 4));
        value["network"] =
            json!({ "listen": random.some(&endpoints(), 2), "connect": random.some(&endpoints(), 3) });
        value["syscalls"] = json!({ "allow": random.some(&calls(), 3) });
        if random.below(4) == 0 {
            value["ready"] = json!({ "when": "delay", "delay": *random.of(&["1s", "2s"]) });
            let early = [
                json!("execve"),
                json!("ptrace"),
                json!({ "call": "prctl", "arg": 0, "in": [22] }),
                json!("@files"),
            ];
            value["syscalls"]["startup_only"] = json!(random.some(&early, 2));
        }
        value["capabilities"] = json!(random.some(&["chown", "net_raw", "sys_admin"].map(Value::from), 2));
        if random.below(3) == 0 {
            value["memory"] = json!({ "write_execute": true });
        }
        if random.below(3) == 0 {
            value["limits"] = json!({ "processes": 1 + random.below(3) });
        }
        value["environment"] = json!({
            "keep": random.some(&["LD_*", "LD_PRELOAD", "X"].map(Value::from), 2),
            "drop": random.some(&["A*", "AB", "*"].map(Value::from), 1),
        });
        for (key, words) in [
            ("mode", &["enforce", "enforce", "enforce", "audit", "off"][..]),
            ("fallback", &["refuse", "degrade"]),
            ("on_violation", &["deny", "kill", "stop"]),
        ] {
            value[key] = json!(random.of(words));
        }
        if random.below(3) == 0 {
            value["run_as"] = json!({ "user": random.below(2), "group": 0 });
        }
        if random.below(3) == 0 {
            value["watch"] = json!(["reads"]);
        }
        // Some would let a program be written.
        if let Some(document) = read(&value) {
            return document;
        }
    }
}

fn diff(before: &Document, after: &Document) -> ProfileDiff {
    ProfileDiff::of(before, after, None, None)
}

fn whats(list: &[Permission]) -> Vec<&Permitted> {
    list.iter().map(|one| &one.what).collect()
}

const ROUNDS: usize = 200;

#[test]
fn a_profile_permits_no_more_than_itself_however_it_is_written() {
    let mut source = Random(7);
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
    let mut source = Random(11);
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
                caller
                    .may_run
                    .iter()
                    .any(|edge| targets.iter().any(|target| target.place.path() == edge.what.path))
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
    let mut source = Random(13);
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

/// The same profile with one entry more, which only adds.
pub(super) fn with_one_more(document: &Document, source: &mut Random) -> Document {
    loop {
        let mut value = document.value();
        let (list, item) = match source.below(6) {
            0 => ("/files", source.of(&files()).clone()),
            1 => ("/network/connect", source.of(&endpoints()).clone()),
            2 => ("/network/listen", source.of(&endpoints()).clone()),
            3 => ("/syscalls/allow", source.of(&calls()).clone()),
            4 => ("/capabilities", json!(source.of(&["chown", "kill", "sys_ptrace", "setuid"]))),
            _ => ("/environment/keep", json!(source.of(&["LD_*", "X", "PYTHONPATH"]))),
        };
        let (section, key) = list[1..].split_once('/').unwrap_or((&list[1..], ""));
        if key.is_empty() {
            if value.get(section).is_none() {
                value[section] = json!([]);
            }
        } else if value.get(section).is_none_or(|section| section.get(key).is_none()) {
            value[section][key] = json!([]);
        }
        let Some(Value::Array(entries)) = value.pointer_mut(list) else { panic!("{list}") };
        entries.push(item);
        if let Some(document) = read(&value) {
            return document;
        }
    }
}

#[test]
fn an_entry_more_never_removes_anything() {
    let mut source = Random(17);
    for _ in 0..ROUNDS {
        let mut one = random(&mut source);
        if !one.profile.syscalls.startup_only.is_empty() {
            continue;
        }
        for _ in 0..3 {
            let more = with_one_more(&one, &mut source);
            let found = diff(&one, &more);
            assert!(found.removed.is_empty(), "{:?}\n{}\n{}", whats(&found.removed), one.text, more.text);
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
    let mut source = Random(19);
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
                assert!(found.removed.is_empty(), "{want:?}: {:?}\n{}", whats(&found.removed), one.text);
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

/// Every profile of the repository that is valid.
pub(super) fn repository() -> Vec<Document> {
    let mut found = Vec::new();
    let mut folders = ["profiles", "examples", "tests/fixtures/profile/good"]
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder can be listed") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "json")
                && let Ok(document) = profile::read(&std::fs::read(&path).expect("a file"))
            {
                found.push(document);
            }
        }
    }
    assert!(found.len() > 20, "{}", found.len());
    found
}
