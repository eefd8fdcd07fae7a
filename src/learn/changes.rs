//! The differences of two profiles, fact by fact. It destructures profiles without `..`, so a new key
//! is a compile error here.

use std::collections::BTreeSet;

use super::grants;
use crate::profile::{ArgPattern, Entry, FileEntry, Limits, Profile, Program, Ready, RunAs, endpoint_text};

/// One fact that only one of two profiles states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileChange {
    /// Whether the second profile has it.
    pub is_added: bool,
    /// The fact, as `file /d write` or `mode off`.
    pub what: String,
}

/// All that `after` states and `before` does not, and then the other way round, each in the
/// order of its text. A call that `startup_only` does not take away any more is one that is
/// granted after the start-up.
pub fn changes(before: &Profile, after: &Profile) -> Vec<ProfileChange> {
    const EARLY: &str = "startup_only ";
    let (old, new) = (facts(before), facts(after));
    let change = |what: &String, is_added: bool| match what.strip_prefix(EARLY) {
        Some(call) => ProfileChange { is_added: !is_added, what: format!("after start-up {call}") },
        None => ProfileChange { is_added, what: what.clone() },
    };
    let added = new.difference(&old).map(|what| change(what, true));
    let removed = old.difference(&new).map(|what| change(what, false));
    let mut all: Vec<ProfileChange> = added.chain(removed).collect();
    all.sort_by(|one, other| (!one.is_added, &one.what).cmp(&(!other.is_added, &other.what)));
    all
}

fn facts(profile: &Profile) -> BTreeSet<String> {
    let Profile {
        name,
        risk,
        mode,
        run_as,
        capabilities,
        programs,
        files,
        network,
        syscalls,
        write_execute: _, // a grant
        environment_drop,
        environment_keep,
        limits,
        ready,
        watch,
        on_violation,
        fallback,
    } = profile;
    let mut facts = grants::keys(profile);
    facts.insert(format!("name {name}"));
    facts.insert(format!("risk {}", risk.word()));
    facts.insert(format!("mode {}", mode.word()));
    facts.insert(format!("on_violation {}", on_violation.word()));
    facts.insert(format!("fallback {}", fallback.word()));
    facts.extend(
        run_as.as_ref().map(|RunAs { user, group, groups }| {
            format!("run_as {user}:{group} {}", crate::ids::list(groups))
        }),
    );
    facts.insert(format!("watch {watch:?}"));
    facts.extend(ready.map(|ready| match ready {
        Ready::Listening => "ready listening".to_owned(),
        Ready::Notify => "ready notify".to_owned(),
        Ready::Delay(after) => format!("ready after {after:?}"),
    }));
    let Limits { processes, open_files, file_size, core } = limits;
    let limit = |name: &str, most: Option<u64>| most.map(|most| format!("limit {name} {most}"));
    facts.extend(limit("processes", processes.map(u64::from)));
    facts.extend(limit("open_files", *open_files));
    facts.extend(limit("file_size", *file_size));
    facts.extend(limit("core", *core));
    for (side, variables) in [("drop", environment_drop), ("keep", environment_keep)] {
        facts.extend(variables.iter().map(|entry| format!("environment {side} {}", entry.what)));
        reasons(&mut facts, variables, |name| format!("environment {side} {name}"));
    }
    programs.iter().for_each(|one| program(&mut facts, one));
    for entry in files {
        match entry {
            FileEntry::Group(group) => reasons(&mut facts, [group], |group| group.word().to_owned()),
            FileEntry::Path(rule) => {
                let path = rule.path.display();
                facts.extend(rule.optional.then(|| format!("file {path} is optional")));
                facts.extend(rule.why.as_ref().map(|why| format!("why {path}: {why}")));
            }
        }
    }
    for list in [&network.listen, &network.connect] {
        reasons(&mut facts, list, endpoint_text);
    }
    facts.extend(syscalls.exact.then(|| "syscalls exact".to_owned()));
    for list in [&syscalls.allow, &syscalls.startup_only] {
        reasons(&mut facts, list, |rule| grants::call_keys("allow", rule).join(", "));
    }
    reasons(&mut facts, capabilities, |capability| crate::profile::capability_word(*capability));
    facts
}

fn program(facts: &mut BTreeSet<String>, program: &Program) {
    let Program {
        place,
        from_image,
        entry: _, // a grant, as may_run is
        interpreter,
        may_run,
        args,
        applet,
        sha256,
        user,
        instances,
        libraries,
        why,
    } = program;
    let applet = applet.as_ref().map(|applet| format!(" {applet}")).unwrap_or_default();
    let name = format!("{}{applet}", place.path().display());
    let mut put = |text: String| {
        facts.insert(text);
    };
    if matches!(place, crate::profile::ProgramPlace::Beneath(_)) {
        put(format!("beneath {name}"));
    }
    if *from_image {
        put(format!("from the image alone beneath {name}"));
    }
    interpreter.iter().for_each(|path| put(format!("interpreter of {name}: {}", path.display())));
    sha256.iter().for_each(|digest| put(format!("sha256 of {name}: {digest}")));
    instances.iter().for_each(|most| put(format!("instances of {name}: {most}")));
    why.iter().for_each(|why| put(format!("why {name}: {why}")));
    // A list that is absent restricts nothing.
    match args {
        None => put(format!("arguments of {name}: any")),
        Some(alternatives) => {
            for one in alternatives {
                let words: Vec<String> = one.iter().map(argument).collect();
                put(format!("arguments of {name}: [{}]", words.join(" ")));
            }
        }
    }
    match user {
        None => put(format!("user of {name}: any")),
        Some(uids) => uids.iter().for_each(|uid| put(format!("user of {name}: {uid}"))),
    }
    match libraries {
        None => put(format!("libraries of {name}: any")),
        Some(paths) => {
            put(format!("libraries of {name}: listed"));
            paths.iter().for_each(|path| put(format!("libraries of {name}: {}", path.display())));
        }
    }
    reasons(facts, may_run, |transition| {
        let applet = transition.applet.as_ref().map(|applet| format!(" {applet}")).unwrap_or_default();
        format!("{name} -> {}{applet}", transition.path.display())
    });
}

/// The text of an argument pattern, unambiguous.
fn argument(pattern: &ArgPattern) -> String {
    match pattern {
        ArgPattern::Exact(text) => format!("{text:?}"),
        ArgPattern::Glob(pattern) => format!("glob:{pattern:?}"),
        ArgPattern::Rest => "...".to_owned(),
    }
}

fn reasons<'e, T: 'e>(
    facts: &mut BTreeSet<String>,
    entries: impl IntoIterator<Item = &'e Entry<T>>,
    name: impl Fn(&T) -> String,
) {
    let reason = |entry: &Entry<T>| entry.why.as_ref().map(|why| format!("why {}: {why}", name(&entry.what)));
    facts.extend(entries.into_iter().filter_map(reason));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::profile;

    /// Changes every key of the format: each shows.
    #[test]
    fn nothing_changes_in_silence() {
        let text = include_str!("../../tests/fixtures/every-form.json");
        let before = profile::read(text.as_bytes()).expect("valid");
        let whole: Value = serde_json::from_str(text).expect("JSON");
        for key in whole.as_object().expect("an object").keys().filter(|key| *key != "remit") {
            let mut without = whole.clone();
            without.as_object_mut().expect("an object").remove(key);
            let Ok(after) = profile::read(without.to_string().as_bytes()) else { continue };
            let is_changed = before.profile != after.profile;
            assert_eq!(!changes(&before.profile, &after.profile).is_empty(), is_changed, "{key}");
        }
    }

    #[test]
    fn what_is_added_and_removed_is_named() {
        let read = |profile: Value| profile::read(profile.to_string().as_bytes()).expect("valid").profile;
        let before = read(json!({ "remit": 1, "name": "x", "limits": { "processes": 4 },
            "programs": [{ "path": "/app", "entry": true, "args": [["a"]] }] }));
        let after = read(json!({ "remit": 1, "name": "x", "limits": { "processes": 9 }, "mode": "off",
            "run_as": { "user": 0, "group": 0 }, "environment": { "keep": ["LD_*"] },
            "programs": [{ "path": "/app", "entry": true, "args": [["a"], ["b", { "glob": "*" }]] }] }));
        let lines: Vec<String> = changes(&before, &after)
            .into_iter()
            .map(|change| format!("{} {}", if change.is_added { '+' } else { '-' }, change.what))
            .collect();
        assert_eq!(
            lines,
            [
                "+ arguments of /app: [\"b\" glob:\"*\"]",
                "+ environment keep LD_*",
                "+ limit processes 9",
                "+ mode off",
                "+ run_as 0:0 []",
                "- limit processes 4",
                "- mode enforce",
            ]
        );
    }
}
