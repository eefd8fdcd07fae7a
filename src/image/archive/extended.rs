//! Extended headers: what GNU tar's long names and pax records say of the entry behind them.
//! Readers differ in how they join several of them, so an archive in which that matters is refused.
//! Go's archive/tar, with which Docker and containerd read, takes a long name rather than a path of
//! pax, only the last of two pax headers, and none before a global one.

use super::error::EntryError;

pub(super) const SPARSE: &str =
    "is a sparse file; layers of images have none, so pack it again without --sparse";

/// What extended headers say of the next entry.
#[derive(Default)]
pub(super) struct Extended {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub modified: Option<i64>,
    /// Whether there is an extended attribute by which overlay file systems hide or replace files.
    pub overlay: bool,
    /// Whether there was a pax header.
    pax: bool,
}

impl Extended {
    /// Whether an entry has to follow.
    pub(super) fn is_pending(&self) -> bool {
        self.pax || self.path.is_some() || self.link.is_some()
    }

    /// Takes a long name of GNU tar.
    ///
    /// # Errors
    /// There is another name already, or it is empty.
    pub(super) fn long_name(&mut self, bytes: Vec<u8>) -> Result<(), EntryError> {
        once(&mut self.path, text(bytes), TWO_NAMES)
    }

    /// Takes a long target of a link of GNU tar.
    ///
    /// # Errors
    /// There is another target already, or it is empty.
    pub(super) fn long_link(&mut self, bytes: Vec<u8>) -> Result<(), EntryError> {
        once(&mut self.link, text(bytes), TWO_TARGETS)
    }

    /// Takes a pax header.
    ///
    /// # Errors
    /// It is malformed, or the second one, or has a name where there is one.
    pub(super) fn pax(&mut self, records: &[u8]) -> Result<(), EntryError> {
        if self.pax {
            return Err(EntryError::Malformed(
                "two pax headers before one entry, which runtimes join differently; pack it again",
            ));
        }
        let read = Extended::read(records)?;
        if let Some(path) = read.path {
            once(&mut self.path, path, TWO_NAMES)?;
        }
        if let Some(link) = read.link {
            once(&mut self.link, link, TWO_TARGETS)?;
        }
        let Extended { size, uid, modified, overlay, .. } = read;
        (self.size, self.uid, self.modified, self.overlay, self.pax) = (size, uid, modified, overlay, true);
        Ok(())
    }

    /// Looks at a global pax header of this name, of which nothing is used.
    ///
    /// # Errors
    /// It is malformed, some readers would use it, or it stands where it ends another header for
    /// some.
    pub(super) fn global(&self, name: &[u8], records: &[u8]) -> Result<(), EntryError> {
        if self.is_pending() {
            return Err(EntryError::Malformed(
                "a global pax header between an extended header and its entry, which runtimes read differently; pack it again",
            ));
        }
        let read = Extended::read(records)?;
        if read.path.is_some()
            || read.link.is_some()
            || read.size.is_some()
            || read.uid.is_some()
            || read.overlay
        {
            return Err(EntryError::Malformed(
                "a global pax header with more than a comment, which runtimes read differently; pack it again",
            ));
        }
        // containerd removes a file that was unpacked by the name of a global header.
        let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let known =
            [&b"pax_global_header"[..], b"@PaxHeader"].contains(&last) || last.starts_with(b"GlobalHead.");
        match known {
            true => Ok(()),
            false => Err(EntryError::Malformed(
                "a global pax header with the name of a file, which runtimes read differently; pack it again",
            )),
        }
    }

    /// Reads the records `LENGTH KEY=VALUE\n` of a pax header. A value may hold any byte, as
    /// extended attributes do.
    fn read(mut records: &[u8]) -> Result<Extended, EntryError> {
        const BAD: EntryError = EntryError::Malformed("a pax header that is malformed");
        let mut read = Extended::default();
        while !records.is_empty() {
            let blank = records.iter().position(|byte| *byte == b' ').ok_or(BAD)?;
            let length =
                number(&records[..blank]).and_then(|length| usize::try_from(length).ok()).ok_or(BAD)?;
            let record = records.get(blank + 1..length).ok_or(BAD)?;
            let record = record.strip_suffix(b"\n").ok_or(BAD)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(BAD)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                // An empty one stands for that of the header behind it, or for none.
                b"path" | b"linkpath" if value.is_empty() => return Err(EMPTY),
                b"path" => read.path = Some(value.to_vec()),
                b"linkpath" => read.link = Some(value.to_vec()),
                b"size" => read.size = Some(number(value).ok_or(BAD)?),
                b"uid" => read.uid = Some(number(value).ok_or(BAD)?),
                b"mtime" => {
                    let seconds = value.split(|byte| *byte == b'.').next().unwrap_or_default();
                    read.modified = std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok());
                }
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(EntryError::Refused(read.path.take().unwrap_or_default(), SPARSE));
                }
                _ => read.overlay |= is_of_overlay(key),
            }
            records = &records[length..];
        }
        Ok(read)
    }
}

const TWO_NAMES: &str =
    "two extended names for one entry, of which runtimes take different ones; pack it again";
const TWO_TARGETS: &str =
    "two extended targets for one link, of which runtimes take different ones; pack it again";
const EMPTY: EntryError =
    EntryError::Malformed("an empty extended name, which runtimes read differently; pack it again");

fn once(place: &mut Option<Vec<u8>>, value: Vec<u8>, twice: &'static str) -> Result<(), EntryError> {
    if value.is_empty() {
        return Err(EMPTY);
    }
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(EntryError::Malformed(twice)),
    }
}

/// The text of a GNU extension, which ends with NUL.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// A decimal number.
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// Whether a record of pax is an extended attribute of overlay (trusted.overlay.redirect, .opaque,
/// .metacopy; user.overlay.*) or of fuse-overlayfs. libarchive writes some of its characters as %XX.
fn is_of_overlay(key: &[u8]) -> bool {
    let attribute = [&b"SCHILY.xattr."[..], b"LIBARCHIVE.xattr."].iter().find_map(|of| key.strip_prefix(*of));
    let Some(mut rest) = attribute else { return false };
    let mut name = Vec::with_capacity(rest.len());
    while let [byte, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *byte == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(decoded) => {
                name.push(decoded);
                rest = &after[2..];
            }
            None => {
                name.push(*byte);
                rest = after;
            }
        }
    }
    [&b"trusted.overlay."[..], b"user.overlay.", b"user.fuseoverlayfs."].iter().any(|of| name.starts_with(of))
}
