//! The lock file beside a profile: it binds the profile's digest to a review.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::requirements::version;
use crate::profile::{Located, ReadError, strictly};
use crate::visible;

const VERSION: u64 = 1;

/// An approval of one content of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// `sha256:` and lower-case hex, of the profile's bytes.
    pub profile_digest: String,
    /// The day, in UTC: `2026-11-22`.
    pub approved: String,
    /// The reviewer.
    pub by: Option<String>,
    /// The reviewer's remark.
    pub note: Option<String>,
}

/// Where the lock of a profile is: `P.lock.json` for `P.json`.
pub fn beside(profile: &Path) -> PathBuf {
    let name = profile.file_name().unwrap_or_default();
    let stem = match profile.extension() {
        Some(end) if end == "json" => profile.file_stem().unwrap_or_default(),
        _ => name,
    };
    let mut name = OsString::from(stem);
    name.push(".lock.json");
    profile.with_file_name(name)
}

impl Approval {
    /// Reads a lock file.
    ///
    /// # Errors
    /// The first error, with its place and what was expected.
    pub fn read(bytes: &[u8]) -> Result<Approval, ReadError> {
        strictly(bytes, "lock file", |root| {
            version(&root.any_object()?, "lock", VERSION)?;
            let top = root.object(&["lock", "profile_digest", "approved", "by", "note"])?;
            let text = |place: &Located| place.string("a text").map(str::to_owned);
            Ok(Approval {
                profile_digest: digest(&top.need("profile_digest", "sha256: and 64 hexadecimal digits")?)?,
                approved: day(&top.need("approved", "a day such as \"2026-11-22\"")?)?,
                by: top.read("by", text)?,
                note: top.read("note", text)?,
            })
        })
    }

    /// The text of a lock file.
    pub fn text(&self) -> String {
        let string = |text: &str| visible::line(&Value::from(text).to_string()).into_owned();
        let mut text = format!(
            "{{\n  \"lock\": {VERSION},\n  \"profile_digest\": {},\n  \"approved\": {}",
            string(&self.profile_digest),
            string(&self.approved)
        );
        for (key, value) in [("by", &self.by), ("note", &self.note)] {
            if let Some(value) = value {
                text += &format!(",\n  \"{key}\": {}", string(value));
            }
        }
        text + "\n}\n"
    }
}

fn digest(place: &Located) -> Result<String, ReadError> {
    let expected = "sha256: and 64 lower-case hexadecimal digits, as remit approve writes it";
    let text = place.string(expected)?;
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(text.to_owned());
    }
    Err(place.error(format!("is no digest; expected {expected}")))
}

fn day(place: &Located) -> Result<String, ReadError> {
    let text = place.string("a day such as \"2026-11-22\"")?;
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<u32>().ok());
    let is_form = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let is_day = matches!((number(5..7), number(8..10)), (Some(1..=12), Some(1..=31)));
    if is_form && is_day {
        return Ok(text.to_owned());
    }
    Err(place.error("is no day; expected one such as \"2026-11-22\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approval() -> Approval {
        Approval {
            profile_digest: format!("sha256:{}", "0a".repeat(32)),
            approved: "2026-11-22".to_owned(),
            by: Some("the team \"x\"".to_owned()),
            note: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for approval in [approval(), Approval { note: Some("a\nb\u{1b}".to_owned()), by: None, ..approval() }]
        {
            assert_eq!(Approval::read(approval.text().as_bytes()).expect("valid"), approval);
        }
    }

    #[test]
    fn a_lock_lies_beside_its_profile() {
        for (profile, lock) in
            [("a/p.json", "a/p.lock.json"), ("p", "p.lock.json"), ("p.v1", "p.v1.lock.json")]
        {
            assert_eq!(beside(Path::new(profile)), Path::new(lock));
        }
    }

    #[test]
    fn bad_locks_say_where_and_what() {
        let good = approval().text();
        for (from, to, says) in [
            ("\"lock\": 1", "\"lock\": 2", "newer"),
            ("\"lock\": 1", "\"lock\": 1, \"more\": 1", "unknown key"),
            ("sha256:", "sha512:", "no digest"),
            ("2026-11-22", "22.11.2026", "no day"),
            ("2026-11-22", "2026-13-22", "no day"),
            ("\"by\": ", "\"by\": \"x\", \"by\": ", "twice"),
            ("\"approved\"", "\"aproved\"", "approved"),
        ] {
            let error = Approval::read(good.replacen(from, to, 1).as_bytes()).expect_err(to).to_string();
            assert!(error.contains(says), "{to}: {error}");
        }
        crate::mutation::each(&[good.as_bytes()], |bytes| {
            if let Err(error) = Approval::read(bytes) {
                assert!(error.line > 0);
            }
        });
    }
}
