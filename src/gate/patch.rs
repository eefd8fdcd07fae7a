//! JSON Patches (RFC 6902) that take a grant away. Each is for the profile as it stands: of several
//! apply the one with the last place first.

use serde_json::{Value, json};

use super::calls::number;
use crate::learn::Grant;
use crate::profile;

/// The patch that takes one grant away; `None` where the profile would not be valid without it.
pub fn without(text: &Value, grant: &Grant) -> Option<Value> {
    let (kind, rest) = grant.key.split_once(' ')?;
    let at = grant.pointer.as_str();
    match kind {
        "program" => program(text, at),
        "entry" => valid(text, json!([{ "op": "remove", "path": format!("{at}/entry") }])),
        "file" => right(text, at, rest.rsplit(' ').next()?),
        "syscall" if text.pointer(at)?.get("in").is_some() => value(text, at, rest.rsplit(' ').next()?),
        "memory" => Some(json!([{ "op": "replace", "path": "/memory/write_execute", "value": false }])),
        "listen" | "connect" => valid(text, removal(at)),
        _ => Some(removal(at)),
    }
}

/// The patch that takes a whole entry away.
pub fn without_entry(text: &Value, pointer: &str) -> Option<Value> {
    if pointer.starts_with("/programs/") && pointer.matches('/').count() == 2 {
        return program(text, pointer);
    }
    valid(text, removal(pointer))
}

/// The patch that takes rights away from a file entry.
pub fn without_rights(text: &Value, pointer: &str, words: &[&str]) -> Option<Value> {
    let allow = text.pointer(pointer)?.get("allow")?.as_array()?;
    let left: Vec<&Value> = allow.iter().filter(|right| !words.iter().any(|word| *right == word)).collect();
    if left.is_empty() {
        return Some(removal(pointer));
    }
    Some(json!([{ "op": "replace", "path": format!("{pointer}/allow"), "value": left }]))
}

fn removal(pointer: &str) -> Value {
    json!([{ "op": "remove", "path": pointer }])
}

fn right(text: &Value, pointer: &str, word: &str) -> Option<Value> {
    without_rights(text, pointer, &[word])
}

/// One listed value of a call's argument, or the entry where it has no other.
fn value(text: &Value, pointer: &str, wanted: &str) -> Option<Value> {
    let listed = text.pointer(pointer)?.get("in")?.as_array()?;
    let wanted = number(wanted)?;
    let is_wanted = |one: &Value| one.as_u64().or_else(|| one.as_str().and_then(number)) == Some(wanted);
    let at = listed.iter().position(is_wanted)?;
    Some(if listed.len() == 1 { removal(pointer) } else { removal(&format!("{pointer}/in/{at}")) })
}

/// A program, and what may run it.
fn program(text: &Value, pointer: &str) -> Option<Value> {
    let index: usize = pointer.rsplit('/').next()?.parse().ok()?;
    let programs = text["programs"].as_array()?;
    let place = |program: &Value| program.get("path").or(program.get("beneath")).cloned();
    let gone = programs.get(index)?;
    let (path, applet) = (place(gone)?, gone.get("applet"));
    let others = programs.iter().enumerate().filter(|(other, _)| *other != index);
    let is_last = !others.clone().any(|(_, program)| place(program).as_ref() == Some(&path));
    let mut operations = Vec::new();
    for (caller, program) in others {
        let transitions = program["may_run"].as_array().into_iter().flatten().enumerate();
        let leads = |transition: &Value| match transition.get("path") {
            None => *transition == path && is_last,
            Some(to) => {
                *to == path && (transition.get("applet").is_some_and(|one| Some(one) == applet) || is_last)
            }
        };
        // The last first, so that the others keep their places.
        let gone: Vec<usize> =
            transitions.filter(|(_, transition)| leads(transition)).map(|(number, _)| number).collect();
        operations.extend(
            gone.into_iter().rev().map(
                |number| json!({ "op": "remove", "path": format!("/programs/{caller}/may_run/{number}") }),
            ),
        );
    }
    operations.push(json!({ "op": "remove", "path": pointer }));
    valid(text, operations.into())
}

/// The patch, where the profile is valid after it.
pub fn valid(text: &Value, patch: Value) -> Option<Value> {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).ok()?;
    let mut after = text.clone();
    json_patch::patch(&mut after, &operations).ok()?;
    profile::read(after.to_string().as_bytes()).ok().map(|_| patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::grants;

    #[test]
    fn each_grant_of_a_profile_can_be_taken_away_and_no_other_goes_with_it() {
        let text = include_str!("../../tests/fixtures/every-form.json");
        let document = profile::read(text.as_bytes()).expect("valid");
        let value = document.value();
        let before = grants(&document.profile);
        let mut mended = 0;
        for grant in before.iter().filter(|grant| !grant.key.starts_with("startup_only")) {
            let Some(patch) = without(&value, grant) else { continue };
            mended += 1;
            let mut after = value.clone();
            let operations: json_patch::Patch = serde_json::from_value(patch.clone()).expect("a patch");
            json_patch::patch(&mut after, &operations).unwrap_or_else(|error| panic!("{patch}: {error}"));
            let after = profile::read(after.to_string().as_bytes())
                .unwrap_or_else(|error| panic!("{}: {patch}: {error}", grant.key));
            let left: Vec<String> = grants(&after.profile).into_iter().map(|grant| grant.key).collect();
            assert!(!left.contains(&grant.key), "{}: {patch}", grant.key);
            let gone = before.iter().filter(|one| !left.contains(&one.key)).count();
            let is_program = grant.key.starts_with("program ");
            let same_entry = before.iter().filter(|one| one.pointer == grant.pointer).count();
            assert!(is_program || gone <= same_entry, "{}: {patch}", grant.key);
        }
        assert!(mended > 10, "{mended} of {}", before.len());
    }
}
