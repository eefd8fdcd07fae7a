//! An entry of `programs`.

use super::error::{ReadError, quoted};
use super::located::{Located, Object};
use super::values::{count, path, uid, why};
use super::{ArgPattern, Entry, Program, ProgramPlace, Transition};

const KEYS: &[&str] = &[
    "path",
    "beneath",
    "from_image",
    "entry",
    "interpreter",
    "may_run",
    "args",
    "applet",
    "sha256",
    "user",
    "instances",
    "libraries",
    "why",
];

pub(super) fn program(item: &Located) -> Result<Program, ReadError> {
    let object = item.object(KEYS)?;
    let place = place(item, &object)?;
    let empty = "leave it out to mean anybody, or name who may";
    Ok(Program {
        place,
        from_image: object.read("from_image", Located::flag)?.unwrap_or(false),
        entry: object.read("entry", Located::flag)?.unwrap_or(false),
        interpreter: object.read("interpreter", path)?,
        may_run: object.list("may_run", transition)?,
        args: object.read("args", |place| {
            place.some("leave it out to mean any arguments; [[]] means none", arguments)
        })?,
        applet: object.read("applet", applet)?,
        sha256: object.read("sha256", sha256)?,
        user: object.read("user", |place| place.some(empty, uid))?,
        instances: object.read("instances", count)?,
        libraries: object.read("libraries", |place| place.each(path))?,
        why: why(&object)?,
    })
}

fn place(item: &Located, object: &Object) -> Result<ProgramPlace, ReadError> {
    match (object.get("path"), object.get("beneath")) {
        (Some(file), None) => match object.get("from_image") {
            Some(place) => Err(place.error(
                "\"from_image\" is of the files below a directory; it goes with \"beneath\", not \"path\"",
            )),
            None => Ok(ProgramPlace::Path(path(&file)?)),
        },
        (None, Some(directory)) => {
            for key in ["interpreter", "applet", "sha256"] {
                if let Some(place) = object.get(key) {
                    return Err(place
                        .error(format!("{key:?} is of one file; it goes with \"path\", not \"beneath\"")));
                }
            }
            Ok(ProgramPlace::Beneath(path(&directory)?))
        }
        (both, _) => {
            let has = if both.is_some() { "has both" } else { "has neither" };
            Err(item.error(format!("{has}; expected one of \"path\" (a file) and \"beneath\" (a directory)")))
        }
    }
}

fn transition(item: &Located) -> Result<Entry<Transition>, ReadError> {
    if !item.is_object() {
        return Ok(Entry { what: Transition { path: path(item)?, applet: None }, why: None });
    }
    let object = item.object(&["path", "applet", "why"])?;
    let what = Transition {
        path: path(&object.need("path", "the path of an entry of programs")?)?,
        applet: object.read("applet", applet)?,
    };
    Ok(Entry { what, why: why(&object)? })
}

fn applet(place: &Located) -> Result<String, ReadError> {
    let name = place.string("the name of an applet")?;
    if name.is_empty() || name.contains(['/', '\0']) {
        return Err(place.error(format!(
            "applet {} is no base name; expected such as \"sh\", without \"/\"",
            quoted(name)
        )));
    }
    Ok(name.to_owned())
}

fn sha256(place: &Located) -> Result<String, ReadError> {
    let digest = place.string("64 lower-case hex digits")?;
    if digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(digest.to_owned());
    }
    Err(place.error(format!(
        "{} is no SHA-256; expected 64 lower-case hex digits and nothing before them",
        quoted(digest)
    )))
}

/// One alternative: the positions after argv\[0\].
fn arguments(place: &Located) -> Result<Vec<ArgPattern>, ReadError> {
    let items = place.items()?;
    let last = items.len().saturating_sub(1);
    let position = |(index, item): (usize, Located)| {
        let pattern = argument(&item)?;
        if pattern == ArgPattern::Rest && index != last {
            return Err(item
                .error("\"...\" is any rest and comes last; for one of any value write {\"glob\": \"*\"}"));
        }
        Ok(pattern)
    };
    items.enumerate().map(position).collect()
}

fn argument(item: &Located) -> Result<ArgPattern, ReadError> {
    let glob = item.is_object();
    let place = if glob { item.object(&["glob"])?.need("glob", "a pattern")? } else { *item };
    let text = place.string("an argument or {\"glob\": PATTERN}")?;
    if text.contains('\0') {
        return Err(place.error("holds a NUL, which no argument can"));
    }
    Ok(match text {
        _ if glob => ArgPattern::glob(text).map_err(|error| place.error(error.to_string()))?,
        "..." => ArgPattern::Rest,
        _ => ArgPattern::Exact(text.to_owned()),
    })
}
