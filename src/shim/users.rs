//! `--run-as`: resolves a user by name or number in this image, as gosu and su-exec do.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;

use crate::ids::{Gid, Uid};
use crate::profile::RunAs;

/// The user that the app runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its uid, its gid and its supplementary groups.
    pub ids: RunAs,
    /// Its home directory by passwd(5); `/` where that has none.
    pub home: String,
}

/// Reads `USER[:GROUP]`, each a name or a number, by the image's own files.
///
/// # Errors
/// The user or group is not there, or the files that name them cannot be read.
pub fn resolve(spec: &str) -> Result<User, RunAsError> {
    let read = |path: &'static str| match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        // An image may have neither; numbers need none.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(RunAsError::Unreadable { path, error }),
    };
    of(spec, &read("/etc/passwd")?, &read("/etc/group")?)
}

/// A user with an entry in passwd(5) gets the entry's group and home, and its supplementary
/// groups by group(5). A number without an entry gets the group of the same number. A group that
/// is named is the only one.
fn of(spec: &str, passwd: &str, groups: &str) -> Result<User, RunAsError> {
    let (user, group) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (spec, None),
    };
    if user.is_empty() || group.is_some_and(str::is_empty) {
        return Err(RunAsError::Form(spec.to_owned()));
    }
    let entry = passwd.lines().map(fields).find(|entry| {
        entry.first() == Some(&user) || number(user).is_some() && field(entry, 2) == number(user)
    });
    let uid = entry.as_ref().and_then(|entry| field(entry, 2)).or(number(user));
    let uid = uid.ok_or_else(|| RunAsError::NoUser(user.to_owned()))?;
    let named = entry.as_ref().and_then(|entry| entry.first().copied());
    let (gid, supplementary) = match group {
        Some(group) => {
            let entry = groups.lines().map(fields).find(|entry| entry.first() == Some(&group));
            let gid = entry.and_then(|entry| field(&entry, 2)).or(number(group));
            (gid.ok_or_else(|| RunAsError::NoGroup(group.to_owned()))?, Vec::new())
        }
        None => {
            let gid = entry.as_ref().and_then(|entry| field(entry, 3)).unwrap_or(uid);
            let has = |entry: &Vec<&str>| {
                named.is_some_and(|name| {
                    entry.get(3).is_some_and(|list| list.split(',').any(|one| one == name))
                })
            };
            let mut of = BTreeSet::new();
            of.extend(groups.lines().map(fields).filter(has).filter_map(|entry| field(&entry, 2)));
            (gid, of.into_iter().collect())
        }
    };
    let home = entry.as_ref().and_then(|entry| entry.get(5)).filter(|home| !home.is_empty());
    Ok(User {
        ids: RunAs {
            user: Uid::from_raw(uid),
            group: Gid::from_raw(gid),
            groups: supplementary.into_iter().map(Gid::from_raw).collect(),
        },
        home: home.map_or("/".to_owned(), |home| (*home).to_owned()),
    })
}

/// Why the user of `--run-as` cannot be taken on.
#[derive(Debug)]
pub enum RunAsError {
    /// What was named is neither USER nor USER:GROUP.
    Form(String),
    /// /etc/passwd has no such user, and the name is no number.
    NoUser(String),
    /// /etc/group has no such group, and the name is no number.
    NoGroup(String),
    /// A file that names users or groups cannot be read.
    Unreadable {
        /// The path of the file.
        path: &'static str,
        /// What open(2) or read(2) returned.
        error: std::io::Error,
    },
    /// This process may not become another user.
    NotPermitted,
}

impl fmt::Display for RunAsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunAsError::Form(spec) => write!(
                f,
                "`{spec}` is no user; expected USER or USER:GROUP, names or numbers, such as 1000:1000"
            ),
            RunAsError::NoUser(name) => {
                write!(f, "no user `{name}` in /etc/passwd; add it there, or name a number")
            }
            RunAsError::NoGroup(name) => {
                write!(f, "no group `{name}` in /etc/group; add it there, or name a number")
            }
            RunAsError::Unreadable { path, error } => {
                write!(f, "{path}: {error}; make it readable, or name numbers")
            }
            RunAsError::NotPermitted => f.write_str(
                "needs CAP_SETUID and CAP_SETGID, which this process lacks; start it as root, or leave it out",
            ),
        }
    }
}

impl std::error::Error for RunAsError {}

fn fields(line: &str) -> Vec<&str> {
    line.trim_end().split(':').collect()
}

fn field(entry: &[&str], at: usize) -> Option<u32> {
    entry.get(at).copied().and_then(number)
}

/// An id. The greatest number is not one: setresuid(2) takes it for "unchanged".
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nredis:x:999:998::/data:/bin/false\nodd:x:\n";
    const GROUP: &str = "root:x:0:\nredis:x:998:\ntls:x:50:redis,web\nlogs:x:40:redis\n";

    fn user(spec: &str) -> (u32, u32, Vec<u32>, String) {
        let user = of(spec, PASSWD, GROUP).expect("it is there");
        let groups = user.ids.groups.into_iter().map(Gid::as_raw).collect();
        (user.ids.user.as_raw(), user.ids.group.as_raw(), groups, user.home)
    }

    #[test]
    fn an_entry_has_group_groups_and_home() {
        assert_eq!(user("redis"), (999, 998, vec![40, 50], "/data".to_owned()));
        assert_eq!(user("999"), user("redis"));
        assert_eq!(user("redis:tls"), (999, 50, vec![], "/data".to_owned()));
        assert_eq!(user("redis:7"), (999, 7, vec![], "/data".to_owned()));
        assert_eq!(user("0"), (0, 0, vec![], "/root".to_owned()));
    }

    #[test]
    fn a_number_needs_no_entry() {
        assert_eq!(user("1000"), (1000, 1000, vec![], "/".to_owned()));
        assert_eq!(user("1000:0"), (1000, 0, vec![], "/".to_owned()));
    }

    #[test]
    fn a_missing_user_or_group_is_named() {
        for (spec, says) in [
            ("web", "no user `web` in /etc/passwd"),
            ("odd", "no user `odd`"),
            ("redis:web", "no group `web` in /etc/group"),
            ("", "USER:GROUP"),
            (":5", "USER:GROUP"),
            ("5:", "USER:GROUP"),
            ("4294967295", "no user"),
            ("-1", "no user"),
        ] {
            let error = of(spec, PASSWD, GROUP).expect_err(spec).to_string();
            assert!(error.contains(says), "{spec}: {error}");
        }
    }

    #[test]
    fn whatever_the_files_hold_they_are_read_or_refused() {
        let spare = |id: u32| assert_ne!(id, u32::MAX, "setresuid(2) takes it for unchanged");
        crate::mutation::each(&[PASSWD.as_bytes(), GROUP.as_bytes()], |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            for spec in ["redis", "999", "redis:redis", "odd"] {
                for (passwd, group) in [(text, GROUP), (PASSWD, text)] {
                    let Ok(User { ids, .. }) = of(spec, passwd, group) else { continue };
                    spare(ids.user.as_raw());
                    spare(ids.group.as_raw());
                    ids.groups.iter().for_each(|group| spare(group.as_raw()));
                }
            }
        });
    }
}
