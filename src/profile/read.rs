//! Text → [`Profile`]: strictly, section by section in the order of the format.

use sha2::{Digest, Sha256};

use crate::hex;

use super::error::{ReadError, quoted};
use super::json;
use super::located::{Located, Object, unknown};
use super::values::{count, entry, gid, path, uid, why};
use super::{
    Capability, Document, Endpoint, Entry, Fallback, FileEntry, FileGroup, FileRule, Limits, Mode, Network,
    OnViolation, Profile, Ready, Rights, Risk, RunAs, Watch, capabilities, capability_of, capability_word,
    cross, programs, rules, text,
};

/// The greatest size of a profile, in bytes. A learned one has some kB.
pub const MAX_BYTES: usize = 16 << 20;

const KEYS: &[&str] = &[
    "remit",
    "name",
    "risk",
    "mode",
    "run_as",
    "capabilities",
    "programs",
    "files",
    "network",
    "syscalls",
    "memory",
    "environment",
    "limits",
    "ready",
    "watch",
    "on_violation",
    "fallback",
];

/// Reads a profile, and checks everything that can be checked without looking at
/// the container's files or kernel.
///
/// # Errors
/// The first error, in the order of the format: its position, what the text has, what was
/// expected.
pub fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    let text = plain(bytes, "profile", EMPTY)?;
    Ok(Document { profile: parse(text)?, text: text.to_owned(), digest: digest(text) })
}

/// As [`read`], the profile alone.
pub(super) fn parse(text: &str) -> Result<Profile, ReadError> {
    let tree = json::JsonText::parse(text).map_err(|error| not_json(&error, "profile"))?;
    let root = Located::root(&tree);
    let profile = profile(&root)?;
    cross::check(&profile).map_err(|wrong| root.error_below(&wrong.pointer, wrong.message))?;
    Ok(profile)
}

/// The digest by which events and locks name a profile.
pub(super) fn digest(text: &str) -> String {
    format!("sha256:{}", hex::lower(&Sha256::digest(text)))
}

/// Reads another file that a person writes, as strictly as a profile: no unknown key, and none
/// twice. `what` is its name in messages.
///
/// # Errors
/// The text is no JSON, or `read` refuses it.
#[cfg(feature = "tool")]
pub(crate) fn strictly<T>(
    bytes: &[u8],
    what: &str,
    read: impl FnOnce(&Located) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let text = plain(bytes, what, "is empty; expected a JSON object")?;
    let tree = json::JsonText::parse(text).map_err(|error| not_json(&error, what))?;
    read(&Located::root(&tree))
}

/// What an empty profile is answered.
const EMPTY: &str = "is empty; the smallest profile is {\"remit\": 1, \"name\": …, \"programs\": [{\"path\": …, \"entry\": true}]}";

/// The bytes as text that can be JSON at all.
fn plain<'t>(text: &'t [u8], what: &str, empty: &str) -> Result<&'t str, ReadError> {
    if text.len() > MAX_BYTES {
        return Err(ReadError::whole(format!(
            "is {} bytes long; a {what} has at most {} MiB ({MAX_BYTES} bytes)",
            text.len(),
            MAX_BYTES >> 20
        )));
    }
    if text.starts_with(b"\xef\xbb\xbf") {
        return Err(ReadError::whole(
            "begins with a byte order mark (BOM); save it as UTF-8 without BOM".into(),
        ));
    }
    let utf8 = str::from_utf8(text).map_err(|error| {
        let valid = str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default();
        let byte = text[error.valid_up_to()];
        ReadError::at(valid, valid.len(), "", format!("is not UTF-8: byte 0x{byte:02x} cannot stand here"))
    })?;
    if utf8.trim_ascii().is_empty() {
        return Err(ReadError::whole(empty.to_owned()));
    }
    Ok(utf8)
}

fn not_json(error: &serde_json::Error, what: &str) -> ReadError {
    let said = error.to_string();
    let message = match said.strip_prefix("recursion limit exceeded") {
        Some(_) => format!("is nested deeper than 127 levels; a {what} has at most 8"),
        None => format!("is not JSON: {said}"),
    };
    ReadError { pointer: String::new(), line: error.line().max(1), column: error.column().max(1), message }
}

fn profile(root: &Located) -> Result<Profile, ReadError> {
    // The version first: a newer one may have unknown keys.
    version(&root.any_object()?)?;
    let top = root.object(KEYS)?;
    let [environment_drop, environment_keep] = top.read("environment", environment)?.unwrap_or_default();
    Ok(Profile {
        name: name(&top.need("name", "1 to 64 of a-z, 0-9, \".\", \"_\", \"-\"")?)?,
        risk: top.read("risk", |place| place.word("risk", Risk::NAMES))?.unwrap_or_default(),
        mode: top.read("mode", |place| place.word("mode", Mode::NAMES))?.unwrap_or_default(),
        run_as: top.read("run_as", run_as)?,
        capabilities: top.list("capabilities", |item| entry(item, "capability", capability))?,
        programs: top
            .need("programs", "a list of programs, one with \"entry\": true")?
            .each(programs::program)?,
        files: top.list("files", file)?,
        network: top.read("network", network)?.unwrap_or(Network { listen: vec![], connect: vec![] }),
        syscalls: top.read("syscalls", rules::syscalls)?.unwrap_or(rules::NONE),
        write_execute: top.read("memory", memory)?.unwrap_or(false),
        environment_drop,
        environment_keep,
        limits: top.read("limits", limits)?.unwrap_or(NO_LIMITS),
        ready: top.read("ready", ready)?,
        watch: top.read("watch", watch)?.unwrap_or_default(),
        on_violation: top
            .read("on_violation", |place| place.word("consequence", OnViolation::NAMES))?
            .unwrap_or_default(),
        fallback: top.read("fallback", |place| place.word("fallback", Fallback::NAMES))?.unwrap_or_default(),
    })
}

fn version(top: &Object) -> Result<(), ReadError> {
    let place = top.need("remit", "the version of the format, 1")?;
    match place.number(0..=u64::MAX)? {
        1 => Ok(()),
        newer @ 2.. => Err(place.error(format!(
            "version {newer} of the format is newer than this remit, which reads 1; use a newer remit"
        ))),
        0 => Err(place.error("version 0 of the format never was; expected 1")),
    }
}

fn name(place: &Located) -> Result<String, ReadError> {
    let name = place.string("a name")?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(name.to_owned());
    }
    Err(place.error(format!(
        "name {} is not allowed; expected 1 to 64 of a-z, 0-9, \".\", \"_\", \"-\"",
        quoted(name)
    )))
}

fn run_as(place: &Located) -> Result<RunAs, ReadError> {
    let object = place.object(&["user", "group", "groups"])?;
    Ok(RunAs {
        user: uid(&object.need("user", "a uid")?)?,
        group: gid(&object.need("group", "a gid")?)?,
        groups: object.list("groups", gid)?,
    })
}

fn capability(place: &Located) -> Result<Capability, ReadError> {
    let typed = place.string("a capability's name, such as \"chown\"")?;
    let bare = typed.to_ascii_lowercase();
    let bare = bare.strip_prefix("cap_").unwrap_or(&bare);
    match capability_of(bare) {
        Some(capability) if typed == bare => Ok(capability),
        Some(_) => Err(place
            .error(format!("capability {} is written in lower case without CAP_: {bare:?}", quoted(typed)))),
        None => {
            let words: Vec<String> = capabilities().into_iter().map(capability_word).collect();
            Err(place.error(unknown("capability", bare, words.iter().map(String::as_str))))
        }
    }
}

fn file(item: &Located) -> Result<FileEntry, ReadError> {
    let group = |place: &Located| place.word("file group", FileGroup::NAMES);
    if let Some(text) = item.as_text() {
        if text.starts_with('/') {
            return Err(item.error(format!(
                "a path says what may be done with it; write {{\"path\": {}, \"allow\": [\"read\"]}}",
                quoted(text)
            )));
        }
        return Ok(FileEntry::Group(Entry { what: group(item)?, why: None }));
    }
    if item.any_object()?.get("group").is_some() {
        return entry(item, "group", group).map(FileEntry::Group);
    }
    let object = item.object(&["path", "allow", "optional", "why"])?;
    let allow = object.need("allow", "a list of read, list, write, create, remove, ioctl")?;
    let rights = allow.some("grant something or leave the entry out", right)?;
    Ok(FileEntry::Path(FileRule {
        path: path(&object.need("path", "an absolute path, or \"group\"")?)?,
        allow: rights.into_iter().fold(Rights::NONE, Rights::union),
        optional: object.read("optional", Located::flag)?.unwrap_or(false),
        why: why(&object)?,
    }))
}

fn right(place: &Located) -> Result<Rights, ReadError> {
    match place.as_text() {
        Some(typed @ ("execute" | "exec" | "run" | "x")) => Err(place.error(format!(
            "unknown right {typed:?}; programs are executed through \"programs\"; \
             expected read, list, write, create, remove or ioctl"
        ))),
        _ => place.word("right", &Rights::NAMES),
    }
}

fn network(place: &Located) -> Result<Network, ReadError> {
    let object = place.object(&["listen", "connect"])?;
    let endpoint = |place: &Located| -> Result<Endpoint, ReadError> {
        text::endpoint(place.string("a network entry such as \"tcp/80\"")?)
            .map_err(|error| place.error(error))
    };
    let list = |key| object.list(key, |item| entry(item, "endpoint", endpoint));
    Ok(Network { listen: list("listen")?, connect: list("connect")? })
}

fn memory(place: &Located) -> Result<bool, ReadError> {
    Ok(place.object(&["write_execute"])?.read("write_execute", Located::flag)?.unwrap_or(false))
}

/// The variables of `drop`, and those of `keep`.
type Variables = [Vec<Entry<String>>; 2];

fn environment(place: &Located) -> Result<Variables, ReadError> {
    let variable = |place: &Located| {
        let name = place.string("a variable's name or a pattern such as \"LD_*\"")?;
        let stem = name.strip_suffix('*').unwrap_or(name);
        if name.is_empty() || stem.contains(['=', '*', '\0']) {
            return Err(place.error(format!(
                "{} names no variable; expected a name, or its beginning and \"*\", such as \"LD_*\"",
                quoted(name)
            )));
        }
        Ok(name.to_owned())
    };
    let object = place.object(&["drop", "keep"])?;
    let list = |key| object.list(key, |item| entry(item, "name", variable));
    Ok([list("drop")?, list("keep")?])
}

/// The limits of a profile without the section.
pub(super) const NO_LIMITS: Limits =
    Limits { processes: None, open_files: None, file_size: None, core: None };

fn limits(place: &Located) -> Result<Limits, ReadError> {
    let object = place.object(&["processes", "open_files", "file_size", "core"])?;
    Ok(Limits {
        processes: object.read("processes", count)?,
        open_files: object.read("open_files", |place| place.number(1..=u64::MAX))?,
        file_size: object.read("file_size", |place| place.number(0..=u64::MAX))?,
        core: object.read("core", |place| place.number(0..=u64::MAX))?,
    })
}

fn ready(place: &Located) -> Result<Ready, ReadError> {
    #[derive(Clone, Copy)]
    enum When {
        Listening,
        Notify,
        Delay,
    }
    let words = [(When::Listening, "listening"), (When::Notify, "notify"), (When::Delay, "delay")];
    let object = place.object(&["when", "delay"])?;
    let when = object.need("when", "listening, notify or delay")?.word("moment", &words)?;
    let delay = object.get("delay");
    let ready = match when {
        When::Delay => {
            let delay = object.need("delay", "a duration such as \"2s\"")?;
            let written = delay.string("a duration such as \"2s\"")?;
            return text::duration(written).map(Ready::Delay).map_err(|error| delay.error(error));
        }
        When::Listening => Ready::Listening,
        When::Notify => Ready::Notify,
    };
    match delay {
        None => Ok(ready),
        Some(delay) => Err(delay.error("means nothing here; it belongs to \"when\": \"delay\"")),
    }
}

fn watch(place: &Located) -> Result<Watch, ReadError> {
    let words =
        place.each(|item| item.word("watch", &[(Watch::Reads, "reads"), (Watch::Secrets, "secrets")]))?;
    Ok(words.into_iter().max().unwrap_or(Watch::Nothing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation;

    #[test]
    fn any_bytes_are_a_profile_or_an_error_with_its_place() {
        let forms = include_bytes!("../../tests/fixtures/every-form.json");
        let embedded = super::super::embedded::named("nginx").expect("there is one");
        mutation::each(&[forms, embedded.as_bytes(), b"{\"remit\":1}"], |bytes| {
            if let Err(error) = read(bytes) {
                assert!(!error.to_string().is_empty());
            }
        });
    }
}
