//! Makes a plan of a profile: pure except for lookups in the image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::calls::FilterParts;
use super::filter_input::FilterInput;
use super::grants::Granted;
use super::links::Planted;
use super::network::Sockets;
use super::programs::Programs;
use super::provenance::FileProvenance;
use super::startup;
use super::{
    Host, Landlock, Plan, PlanError, Policy, check, data, elsewhere, files, first_process, handled,
    missing_features, protect, secrets, sets, unsupported,
};
use crate::image::ImageFiles;
use crate::kernel::{Kernel, LandlockAbi};
use crate::profile::{Endpoint, Entry, FileEntry, FileGroup, Mode, Profile};

impl Plan {
    /// The plan of this profile, on this kernel and host.
    ///
    /// `mode` is the one in force, which a flag or the environment may have set.
    ///
    /// # Errors
    /// The profile cannot be enforced on this host, whatever the kernel supports: see [`PlanError`].
    /// Features that only the kernel lacks are in [`Plan::missing_features`].
    pub fn new(
        profile: &Profile,
        kernel: &Kernel,
        host: &Host,
        files: &dyn ImageFiles,
        mode: Mode,
    ) -> Result<Plan, PlanError> {
        unsupported::refuse(profile, mode)?;
        let enforce = mode == Mode::Enforce;
        let provenance = FileProvenance::of(profile, host, mode);
        let mut programs = Programs::find(profile, host, files, kernel, &provenance)?;
        let mut notes = std::mem::take(&mut programs.notes);
        let sockets = Sockets::of(profile, kernel, mode, host.event_socket.is_some());
        let outside = match has(profile, FileGroup::Elsewhere) {
            true => elsewhere::outside(&programs, host, files)?,
            false => BTreeSet::new(),
        };
        let mounted = match has(profile, FileGroup::Elsewhere) {
            true => data::mounted(&programs, host, kernel, files)?,
            false => data::Mounted::default(),
        };
        let mut granted = files::find(profile, kernel, host, files, &programs, &outside, &mounted.data)?;
        let looks_for_data = has(profile, FileGroup::Elsewhere)
            && kernel.trace.is_ok()
            && granted.hands_over
            && provenance.tells_by_time();
        if looks_for_data {
            data::sockets(&mut granted, profile, &programs);
        }
        granted.widened.sort_by(|a, b| (&a.path, &a.because).cmp(&(&b.path, &b.because)));
        notes.append(&mut granted.notes);
        let listen = endpoints(&profile.network.listen, "listen", &mut granted);
        let connect = endpoints(&profile.network.connect, "connect", &mut granted);
        notes.extend(sockets.notes(profile));
        let protected = protect::check(&granted)?;
        let watch = secrets::watch(profile, kernel, &granted, &mut notes);
        let run_as = sets::run_as(profile, host)?;
        let limits = sets::limits(profile, host)?;
        let (capabilities, enforced) = sets::capabilities(profile, host, mode, run_as.as_ref(), &mut notes);
        let mdwe = enforce && kernel.mdwe && !profile.write_execute;
        let calls = FilterInput {
            profile,
            kernel,
            mode,
            watch,
            sockets: &sockets,
            dynamic: programs.dynamic,
            capabilities: &enforced,
            scripts: programs.scripts(),
            supervisor: host.supervisor,
            group: host.group,
            mdwe,
            notify_transport: startup::notify_transport(profile, kernel, mode, &sockets),
        };
        let FilterParts { filter, startup, dumpable, forks, launch } = calls.filter(&mut notes)?;
        let (handled_net, ports) = sockets.rules(kernel.landlock);
        let scoped = kernel.landlock >= LandlockAbi::SCOPE;
        notes.extend(granted.not_followed.iter().cloned());
        let Granted { grants, mut rules, mut widened, handled, not_followed, hands_over, .. } = granted;
        let confines = enforce && kernel.landlock > LandlockAbi::NONE;
        let truncates = confines && handled::performs_truncation(hands_over, &filter);
        let handled = handled::reduce(handled, &mut rules, truncates);
        for wider in &mut widened {
            wider.rights &= handled;
        }
        widened.retain(|wider| confines && !wider.rights.is_empty());
        let landlock = confines.then(|| Landlock {
            handled,
            handled_net,
            scope_signal: scoped,
            scope_abstract: scoped && !sockets.unix,
            rules: rules.into_values().collect(),
            ports,
        });
        let program_rules = check::rules(profile, kernel, &programs);
        let checks = check::is_armed(&program_rules, mode);
        let mut missing =
            missing_features::find(profile, kernel, mode, &sockets, &widened, &program_rules, &mut notes);
        missing.extend(startup.as_ref().and_then(|startup| missing_features::startup(startup, kernel)));
        let socket_rules = sockets.rules_by_name(profile);
        let scripts = programs.entries.iter().any(|entry| entry.interpreter.is_some());
        let reserved = elsewhere::reserved(&outside, &programs);
        let policy = Arc::new(Policy {
            derived: programs.only_derived(),
            programs: programs.entries,
            files: grants,
            protected,
            reserved,
            looks_for_data,
            provenance,
            never_run: mounted.never_run.clone(),
            listen_tcp: sockets.listen_tcp,
            connect_tcp: sockets.connect_tcp,
            udp: sockets.udp,
            icmp: sockets.icmp,
            netlink: sockets.netlink,
            unix: sockets.unix,
            unix_named: sockets.unix_named,
            makes_sockets: sockets.made,
            event_socket: host.event_socket.clone(),
            listen,
            connect,
            names: has(profile, FileGroup::Names),
            processes: profile.limits.processes,
            supervisor: host.supervisor,
            capabilities: profile.capabilities.iter().map(|entry| entry.what).collect(),
            on_violation: profile.on_violation,
            write_execute: profile.write_execute,
            landlock: landlock.is_some(),
            performs: enforce && hands_over,
            truncates,
            watch,
            environment: sets::never_set(profile),
            environment_keep: sets::keep_list(profile),
            scripts,
            seals_memfd: check::seals(kernel),
            startup,
            dumpable,
            forks,
        });
        notes.extend(host.command.as_deref().and_then(|command| first_process::advice(command, files)));
        let mut seen = BTreeSet::new();
        notes.retain(|note| seen.insert(note.clone()));
        Ok(Plan {
            name: profile.name.clone(),
            mode,
            kernel: kernel.clone(),
            run_as,
            // Audit removes nothing from the app.
            environment_drop: if enforce { sets::environment(profile) } else { Vec::new() },
            limits: if enforce { limits } else { Vec::new() },
            capabilities,
            mdwe,
            landlock,
            filter,
            launch,
            policy,
            derived: programs.derived,
            program_rules,
            socket_rules,
            checks,
            widened,
            missing_features: missing,
            notes,
            not_followed,
            fallback: profile.fallback,
            whys: whys(profile),
        })
    }
}

/// Whether a profile has this group of files.
fn has(profile: &Profile, group: FileGroup) -> bool {
    profile.files.iter().any(|entry| matches!(entry, FileEntry::Group(entry) if entry.what == group))
}

/// The endpoints that may be bound or connected to. A unix socket's path is resolved, but over no
/// link that the app may have created.
fn endpoints(entries: &[Entry<Endpoint>], side: &str, granted: &mut Granted<'_>) -> Vec<Endpoint> {
    let mut endpoint = |(index, entry): (usize, &Entry<Endpoint>)| match &entry.what {
        Endpoint::UnixPath(path) => {
            let directory = path.parent().unwrap_or(path);
            let look = granted.files.stat(directory).ok().flatten();
            let canonical = look.map_or(directory.to_owned(), |look| look.canonical);
            let by_link = canonical != directory;
            let planted = by_link.then(|| granted.links.planted(directory)).flatten();
            if let Some(Planted { link, by, .. }) = &planted {
                granted.not_followed.push(format!(
                    "/network/{side}/{index}: {} leads over the link {}, which {by} lets the app make, so it is not followed",
                    path.display(),
                    link.display()
                ));
                return Endpoint::UnixPath(path.clone());
            }
            Endpoint::UnixPath(canonical.join(path.file_name().unwrap_or_default()))
        }
        other => other.clone(),
    };
    entries.iter().enumerate().map(&mut endpoint).collect()
}

/// The reasons of programs and files, which the printed plan shows beside them.
fn whys(profile: &Profile) -> BTreeMap<String, String> {
    let programs = profile.programs.iter().map(|program| &program.why);
    let programs = programs.enumerate().map(|(index, why)| ("programs", index, why));
    let files = profile.files.iter().enumerate().map(|(index, entry)| {
        let why = match entry {
            FileEntry::Group(group) => &group.why,
            FileEntry::Path(rule) => &rule.why,
        };
        ("files", index, why)
    });
    let said = programs.chain(files).filter_map(|(section, index, why)| {
        let why = why.clone()?;
        Some((format!("/{section}/{index}"), why))
    });
    let mut whys = BTreeMap::new();
    whys.extend(said);
    whys
}
