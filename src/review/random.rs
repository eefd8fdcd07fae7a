//! Small random profiles, and those of the repository, for tests.

use std::path::Path;

use serde_json::{Value, json};

use crate::profile::{self, Document};

/// xorshift64 (Marsaglia, Xorshift RNGs, 2003): the same profiles each time.
pub(super) struct RandomProfile(pub u64);

impl RandomProfile {
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

    pub fn shuffle(&mut self, list: &mut [Value]) {
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

fn programs(random: &mut RandomProfile) -> Vec<Value> {
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
    let transitions: Vec<Value> = places.iter().map(|path| json!(path)).collect();
    for one in &mut list {
        let some = random.some(&transitions, 3);
        if !some.is_empty() {
            one["may_run"] = json!(some);
        }
    }
    list
}

/// A small random profile.
pub(super) fn random(random: &mut RandomProfile) -> Document {
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

/// The same profile with one entry more, which only adds.
pub(super) fn with_one_more(document: &Document, source: &mut RandomProfile) -> Document {
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
