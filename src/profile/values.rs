//! Values that several sections of the format have: paths, ids, counts, reasons.

use std::path::PathBuf;

use super::error::ReadError;
use super::located::{Located, Object};
use super::{Entry, text};
use crate::ids::{Gid, Uid};
use crate::visible::is_hidden;

/// An absolute path, without `.` and `..`.
pub(super) fn path(place: &Located) -> Result<PathBuf, ReadError> {
    text::path(place.string("an absolute path")?).map_err(|error| place.error(error))
}

/// A user id, from 0 to 4294967294.
pub(super) fn uid(place: &Located) -> Result<Uid, ReadError> {
    id(place).map(Uid::from_raw)
}

/// A group id, from 0 to 4294967294.
pub(super) fn gid(place: &Located) -> Result<Gid, ReadError> {
    id(place).map(Gid::from_raw)
}

/// A uid or gid. 4294967295 means "unchanged" in setresuid(2).
fn id(place: &Located) -> Result<u32, ReadError> {
    place.number(0..=u64::from(u32::MAX) - 1).map(|id| id as u32)
}

/// A number of processes.
pub(super) fn count(place: &Located) -> Result<u32, ReadError> {
    place.number(1..=u64::from(u32::MAX)).map(|count| count as u32)
}

/// The author's reason, which is not empty.
pub(super) fn why(object: &Object) -> Result<Option<String>, ReadError> {
    object.read("why", |place| {
        let why = place.string("a reason")?;
        if why.chars().all(|c| c.is_whitespace() || is_hidden(c)) {
            return Err(place.error("gives no reason; write one or leave \"why\" out"));
        }
        Ok(why.to_owned())
    })
}

/// An item of a list: the value itself, or an object that has it under `key` and may have `why`.
pub(super) fn entry<'t, T>(
    item: &Located<'t>,
    key: &'static str,
    read: impl FnOnce(&Located<'t>) -> Result<T, ReadError>,
) -> Result<Entry<T>, ReadError> {
    if !item.is_object() {
        return Ok(Entry { what: read(item)?, why: None });
    }
    let object = item.object(&[key, "why"])?;
    Ok(Entry { what: read(&object.need(key, "what is granted")?)?, why: why(&object)? })
}
