//! Names that another container will have otherwise: they have the number of the process that used
//! them, of its user, or the host's name; and ports that the kernel chose.
//!
//! From one run such a name looks as stable as any other, and where a container starts its processes
//! in one order, from a hundred runs too. So each is recognised as it is used.

use super::network::listens_on;
use super::{CallObservations, Recorder};
use crate::ids::{Pid, Uid};
use crate::journal::observation::{Observation, What};
use crate::notify::caller::Caller;
use crate::procfs::processes;
use crate::procfs::stat::Stat;

/// The most names that are compared, each once. A profile needs few: what is made in a directory that
/// is granted as a whole has any name.
const MOST: usize = 2048;
/// More ancestors than a process has.
const ANCESTORS: usize = 32;
/// The first ephemeral port (ip_local_port_range).
const EPHEMERAL: u16 = 32768;

impl Recorder {
    /// Adds an observation of each name that has a number of the caller's, before those of its uses.
    pub(super) fn note_numbers(&mut self, caller: &Caller, observed: &mut CallObservations) {
        let mut own = None;
        let mut found = Vec::new();
        for name in observed.observations.iter().filter_map(|one| name(&one.what)) {
            if !has_digit(last(name)) || self.compared.len() >= MOST {
                continue;
            }
            let hash = self.deduplicator.hash(name);
            if !self.compared.insert(hash) {
                continue;
            }
            let part = match name.strip_prefix("tcp/") {
                Some(rest) => self.chosen_port(rest).map(|port| (port.to_string(), "port")),
                None => own.get_or_insert_with(|| Own::of(caller)).part(last(name)),
            };
            if let Some((part, was)) = part {
                found.push(Observation::ok(What::Numbered { name: name.to_owned(), part, was: was.into() }));
            }
        }
        if !found.is_empty() {
            found.append(&mut observed.observations);
            observed.observations = found;
        }
    }

    /// The port of a connect where the kernel chose it for a listening socket of the app's.
    fn chosen_port(&self, address: &str) -> Option<u16> {
        let port = address.rsplit(':').next()?.parse().ok()?;
        let named = port < EPHEMERAL || self.bound.contains(&port);
        (!named && listens_on(&self.sockets, port)).then_some(port)
    }
}

/// The name of a use for which a profile may need a rule of its own: a socket's, or one that is made
/// or taken away.
fn name(what: &What) -> Option<&str> {
    match what {
        What::Listen { address, .. } => address.starts_with("unix:").then_some(address),
        What::Connect { address, .. } => {
            (address.starts_with("unix:") || address.starts_with("tcp/")).then_some(address)
        }
        What::Open { path, access, .. } => access.iter().any(|word| word == "create").then_some(path),
        What::Change { path, to, op, .. } => match &**op {
            "chmod" | "chown" | "utime" | "ioctl" | "truncate" => None,
            _ if to.is_empty() => Some(path),
            _ => Some(to),
        },
        _ => None,
    }
}

fn last(name: &str) -> &str {
    name.rsplit(['/', '@']).next().unwrap_or(name)
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// What a process may have in the names that it uses.
struct Own {
    pids: Vec<i32>,
    uids: [Uid; 4],
    host: Option<String>,
}

impl Own {
    /// The numbers of the caller, of its ancestors but PID 1, and of its children.
    fn of(caller: &Caller) -> Own {
        let mut pids = vec![caller.tid.as_raw(), caller.tgid.as_raw(), caller.ppid.as_raw()];
        pids.extend(Stat::of(caller.tgid.first_thread()).ok().map(|stat| stat.group));
        let mut above = caller.ppid;
        for _ in 0..ANCESTORS {
            let Ok(parent) = Caller::of(above.first_thread()) else { break };
            above = parent.ppid;
            pids.push(above.as_raw());
        }
        let all = processes::all(Pid::own()).unwrap_or_default();
        pids.extend(all.iter().filter(|one| one.parent == caller.tgid).map(|one| one.pid.as_raw()));
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = host.map(|name| name.trim_end().to_owned());
        Own { pids, uids: caller.uids, host }
    }

    /// The part of a name that is one of these, and which.
    fn part(&self, name: &str) -> Option<(String, &'static str)> {
        // A host that is named like its service is no number of a container's.
        const SHORTEST: usize = 4;
        let host = self.host.as_deref().filter(|host| host.len() >= SHORTEST && has_digit(host));
        if let Some(host) = host.filter(|host| name.contains(*host)) {
            return Some((host.to_owned(), "host"));
        }
        // Of a version, as in `php8.2-fpm.sock`, no number is a process's.
        let runs = name.split(|c: char| !c.is_ascii_digit() && c != '.').map(|run| run.trim_matches('.'));
        let mut user = None;
        for run in runs {
            // `0` and `1` count things; no process inside has these numbers.
            let Some(number) = run.parse::<i32>().ok().filter(|number| *number > 1) else { continue };
            if self.pids.contains(&number) {
                return Some((run.to_owned(), "pid"));
            }
            if self.uids.contains(&Uid::from_raw(number as u32)) {
                user.get_or_insert((run.to_owned(), "uid"));
            }
        }
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_process_is_recognised_and_no_other() {
        let own = Own {
            pids: vec![0, 1, 10, 29],
            uids: [Uid::from_raw(33), Uid::from_raw(33), Uid::from_raw(33), Uid::from_raw(0)],
            host: Some("web-7f".into()),
        };
        let part = |name: &str| own.part(name).map(|(part, was)| format!("{was} {part}"));
        for (name, found) in [
            ("admin.sock.29.tmp", Some("pid 29")),
            ("cgisock.10", Some("pid 10")),
            ("app-033.lock", Some("uid 033")),
            ("web-7f.pid", Some("host web-7f")),
            ("appendonly.aof.1.base.rdb", None),
            ("display0", None),
            ("php8.29-fpm.sock", None),
            (".s.PGSQL.5432", None),
            ("a129b", None),
            ("a99999999999999999999", None),
        ] {
            assert_eq!(part(name).as_deref(), found, "{name}");
        }
        let own = Own { host: Some("redis".into()), ..own };
        assert_eq!(own.part("redis.sock"), None, "a name that is the service's own");
    }
}
