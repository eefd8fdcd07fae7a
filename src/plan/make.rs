//! From a profile to a plan: pure but for the look at the image.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::Calls;
use super::files::Granted;
use super::network::Sockets;
use super::programs::Programs;
use super::{Landlock, Place, Plan, PlanError, Policy, lacking, later, protect, sets};
use crate::image::Files;
use crate::kernel::{Kernel, LandlockAbi};
use crate::profile::{FileEntry, FileGroup, Mode, Profile};

impl Plan {
    /// Exactly what will be done for this profile, on this kernel, in this place.
    ///
    /// `mode` is the one in force, which a flag or the environment may have chosen.
    ///
    /// # Errors
    /// The profile cannot be honoured in this place, whatever the kernel gives:
    /// see [`PlanError`]. What only the kernel lacks is in [`Plan::lacking`].
    pub fn new(
        profile: &Profile,
        kernel: &Kernel,
        place: &Place,
        files: &dyn Files,
        mode: Mode,
    ) -> Result<Plan, PlanError> {
        later::refuse(profile, mode)?;
        let enforce = mode == Mode::Enforce;
        let mut programs = Programs::find(profile, place, files, kernel.arch)?;
        let mut notes = std::mem::take(&mut programs.notes);
        let sockets = Sockets::of(profile);
        let mut granted = Granted::find(profile, kernel, place, files, &programs)?;
        notes.append(&mut granted.notes);
        let protected = protect::check(&granted)?;
        let run_as = sets::run_as(profile, place)?;
        let limits = sets::limits(profile, place)?;
        let (capabilities, held) = sets::capabilities(profile, place, mode, run_as.as_ref(), &mut notes);
        let mdwe = enforce && kernel.mdwe && !profile.write_execute;
        let calls = Calls {
            profile,
            kernel,
            mode,
            sockets: &sockets,
            dynamic: programs.dynamic,
            capabilities: &held,
            supervisor: place.supervisor,
            mdwe,
        };
        let filter = calls.filter(&mut notes);
        let (handled_net, ports) = sockets.rules(kernel.landlock);
        let scoped = kernel.landlock >= LandlockAbi::SCOPE;
        let Granted { grants, rules, widened, handled, .. } = granted;
        let landlock = (enforce && kernel.landlock > LandlockAbi::NONE).then(|| Landlock {
            handled,
            handled_net,
            scope_signal: scoped,
            scope_abstract: scoped && !sockets.unix,
            rules: rules.into_values().collect(),
            ports,
        });
        let widened = if landlock.is_some() { widened } else { Vec::new() };
        let lacking = lacking::find(profile, kernel, mode, &sockets, &widened, &mut notes);
        let has_names =
            |entry: &FileEntry| matches!(entry, FileEntry::Group(group) if group.what == FileGroup::Names);
        let policy = Policy {
            derived: programs.only_derived(),
            programs: programs.entries,
            files: grants,
            protected,
            listen_tcp: sockets.listen_tcp,
            connect_tcp: sockets.connect_tcp,
            udp: sockets.udp,
            unix: sockets.unix,
            names: profile.files.iter().any(has_names),
            processes: profile.limits.processes,
            supervisor: place.supervisor,
            capabilities: held,
            on_violation: profile.on_violation,
            write_execute: profile.write_execute,
            landlock: landlock.is_some(),
            watch_reads: profile.watch_reads,
        };
        let mut seen = BTreeSet::new();
        notes.retain(|note| seen.insert(note.clone()));
        Ok(Plan {
            name: profile.name.clone(),
            mode,
            kernel: kernel.clone(),
            run_as,
            // Audit takes nothing from the app.
            environment_drop: if enforce { sets::environment(profile) } else { Vec::new() },
            limits: if enforce { limits } else { Vec::new() },
            capabilities,
            mdwe,
            landlock,
            filter,
            policy,
            derived: programs.derived,
            widened,
            lacking,
            notes,
            fallback: profile.fallback,
            whys: whys(profile),
        })
    }
}

/// The reasons of programs and files, which the printed plan shows beside them.
fn whys(profile: &Profile) -> BTreeMap<String, String> {
    let programs = profile.programs.iter().map(|program| &program.why);
    let programs = programs.enumerate().map(|(index, why)| (format!("/programs/{index}"), why));
    let files = profile.files.iter().enumerate().map(|(index, entry)| {
        let why = match entry {
            FileEntry::Group(group) => &group.why,
            FileEntry::Path(rule) => &rule.why,
        };
        (format!("/files/{index}"), why)
    });
    let mut whys = BTreeMap::new();
    whys.extend(programs.chain(files).filter_map(|(pointer, why)| Some((pointer, why.clone()?))));
    whys
}
