//! Turns events of opened files into observations: which file, not which process.

use std::path::Path;
use std::sync::Arc;

use caps::Capability;

use super::deduplicate::Deduplicator;
use super::mounts::Mounts;
use super::reads::{Gap, WatchEvent};
use crate::ids::Pid;
use crate::journal::Journal;
use crate::journal::observation::{Observation, What, unnamed};
use crate::notify::caller::Caller;
use crate::notify::capabilities::{self, Owned, READ, SEARCH};
use crate::procfs::processes;

/// Receives the events of opened files.
pub(super) struct ReadObserver {
    journal: Arc<Journal>,
    deduplicator: Deduplicator,
    recoveries: u64,
    mounts: Mounts,
}

impl ReadObserver {
    pub fn new(journal: Arc<Journal>, mounts: Mounts) -> ReadObserver {
        ReadObserver { journal, deduplicator: Deduplicator::default(), recoveries: 0, mounts }
    }

    pub fn observe(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Opened { path, directory } => self.opened(&path, directory),
            WatchEvent::Gap(gap) => self.gap(&gap),
            // All later events are of opens after ready.
            WatchEvent::Mark => self.deduplicator.serves(),
        }
    }

    fn opened(&mut self, path: &Path, directory: bool) {
        let Some(text) = path.to_str().map(str::to_owned) else {
            for said in unnamed(path) {
                self.write(&said);
            }
            return;
        };
        let of = self.mounts.of(&text);
        let what =
            What::Open { program: String::new(), path: text, access: vec!["read".into()], of, directory };
        if self.write(&Observation::ok(what))
            && let Some(capability) = privileged(path, directory)
        {
            let capability = crate::profile::capability_word(capability);
            let call = "openat".to_owned();
            self.write(&Observation::ok(What::Capability { program: String::new(), capability, call }));
        }
    }

    /// Records opens that are not observed.
    pub fn gap(&mut self, gap: &Gap) {
        let (path, why) = match gap {
            // A directory that can be neither listed nor searched has no opens to miss.
            Gap::Unreadable { path, .. } if !searchable(path) => return,
            // The opens are reported under the other name.
            Gap::DuplicateMount { .. } => return,
            Gap::Unreadable { path, errno } => (path.clone(), format!("{errno:?}")),
            Gap::Before { path } => (path.clone(), "it was there before it was watched".to_owned()),
            Gap::Full { directories } => {
                ("/".into(), format!("{directories} directories more than fs.inotify.max_user_watches"))
            }
            Gap::Overflow => ("/".into(), "fs.inotify.max_queued_events: opens were lost".to_owned()),
            Gap::Ended { errno } => ("/".into(), format!("watching ended: {errno:?}")),
        };
        let path = path.to_string_lossy().into_owned();
        self.write(&Observation::ok(What::Gap { path, call: String::new(), why }));
    }

    /// Records an observation. Returns whether it was new and was queued.
    fn write(&mut self, observation: &Observation) -> bool {
        let recoveries = self.journal.recoveries();
        if std::mem::replace(&mut self.recoveries, recoveries) != recoveries {
            self.deduplicator.forget();
        }
        let Some(new) = self.deduplicator.observe(self.journal.now(), observation) else { return false };
        let written = self.journal.put(new.line, None);
        if written {
            self.deduplicator.remember(new.key);
        }
        written
    }
}

fn searchable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// The capability without which no process of the app could have opened the path: the event does
/// not name the process.
fn privileged(path: &Path, directory: bool) -> Option<Capability> {
    let steps: Vec<(Owned, u32, bool)> = path
        .ancestors()
        .enumerate()
        .filter_map(|(above, path)| {
            let stat = nix::sys::stat::stat(path).ok()?;
            let owned = Owned::from(&stat);
            Some(if above == 0 { (owned, READ, directory) } else { (owned, SEARCH, true) })
        })
        .collect();
    // In most cases every user may.
    if steps.iter().all(|(owned, wanted, _)| owned.mode & wanted == *wanted) {
        return None;
    }
    let live = processes::list(Pid::own()).unwrap_or_default();
    let mut needed = None;
    for caller in live.into_iter().filter_map(|pid| Caller::of(pid.first_thread()).ok()) {
        let needs = steps.iter().find_map(|(owned, wanted, directory)| {
            capabilities::access(&caller, *owned, *wanted, *directory)
        });
        match needs {
            None => return None,
            Some(capability) if capabilities::has(&caller, capability) => needed = Some(capability),
            Some(_) => {}
        }
    }
    needed
}
