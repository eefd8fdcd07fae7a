//! The system calls that a profile allows, by what allows them: its own lists, and the groups that
//! the other sections bring. It mirrors `plan::calls` for a kernel that has everything, and without an
//! image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::conditions::{RegisterTest, both, is_covered, without};
use super::network;
use super::permission::Permitted;
use crate::plan::{LAUNCH, LOADER, options_without_routes};
use crate::profile::{Endpoint, Profile, Ready, SyscallRule};
use crate::syscalls::{self, Condition, Handler, Test, groups};

/// A call that an entry or a section allows.
#[derive(Clone, Debug)]
pub struct AllowedCall {
    /// JSON Pointer of what allows it.
    pub pointer: String,
    /// The group by which it does.
    pub through: Option<&'static str>,
    /// Its name.
    pub call: &'static str,
    /// Alternatives for the registers; an empty one: any arguments.
    pub alternatives: Vec<Vec<RegisterTest>>,
    /// The section that decides on what it acts.
    pub decided_by: Option<&'static str>,
    /// It is refused once start-up is over.
    pub startup_only: bool,
    /// The author's reason, of an entry.
    pub why: Option<String>,
}

impl AllowedCall {
    /// As a permission.
    pub(super) fn permitted(&self) -> Permitted {
        Permitted::Call {
            call: self.call,
            alternatives: self.alternatives.clone(),
            decided_by: self.decided_by,
            startup_only: self.startup_only,
        }
    }
}

/// The section that decides on what a call acts, whatever lists it. The filter lets such a call pass
/// by its name alone, and a condition on it in a profile adds nothing.
pub fn decided_by(call: &str, profile: &Profile) -> Option<&'static str> {
    match syscalls::handler(call) {
        Handler::Exec => Some("programs"),
        Handler::Open | Handler::Change(_) => Some("files"),
        Handler::Bind | Handler::Connect | Handler::Socket | Handler::Listen => Some("network"),
        Handler::Map | Handler::Protect | Handler::Attach if !profile.write_execute => Some("memory"),
        _ => None,
    }
}

/// Whether a profile may add to what a mediated call may do by an object with a condition, and a bare
/// name adds nothing to what the groups let it do.
fn is_open_to_more(call: &str) -> bool {
    matches!(syscalls::handler(call), Handler::Send | Handler::Socket | Handler::Socketpair)
        || call == "clone"
}

/// All calls that a profile allows.
#[derive(Clone, Debug, Default)]
pub struct AllowedCalls {
    /// One for each entry or section that allows a call, in the profile's order; those that sections
    /// bring come first.
    pub all: Vec<AllowedCall>,
    by_name: BTreeMap<&'static str, Vec<usize>>,
}

/// Calls that mount and unmount.
pub(super) const MOUNTING: [&str; 11] = [
    "mount",
    "umount2",
    "move_mount",
    "mount_setattr",
    "open_tree",
    "open_tree_attr",
    "fsopen",
    "fsmount",
    "fsconfig",
    "fspick",
    "pivot_root",
];
/// Calls by which an app says READY=1, beyond the sends of `@core`.
const NOTIFY: [&str; 5] = ["socket", "connect", "getpeername", "getsockname", "getsockopt"];
/// AT_EMPTY_PATH: the descriptor itself.
const AT_EMPTY_PATH: u64 = 0x1000;

impl AllowedCalls {
    /// The calls of a profile.
    pub fn of(profile: &Profile) -> AllowedCalls {
        let mut found = Gatherer { profile, taken: taken(profile), all: Vec::new() };
        if !profile.syscalls.exact {
            found.sections();
        }
        for (index, entry) in profile.syscalls.allow.iter().enumerate() {
            found.rule(&entry.what, &format!("/syscalls/allow/{index}"), entry.why.as_ref(), false);
        }
        for (index, entry) in profile.syscalls.startup_only.iter().enumerate() {
            found.rule(&entry.what, &format!("/syscalls/startup_only/{index}"), entry.why.as_ref(), true);
        }
        if profile.syscalls.exact {
            found.launch();
        }
        let mut by_name: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
        for (at, allowed) in found.all.iter().enumerate() {
            by_name.entry(allowed.call).or_default().push(at);
        }
        AllowedCalls { all: found.all, by_name }
    }

    /// The names of all calls, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }

    /// What allows a call.
    pub fn named<'a>(&'a self, call: &str) -> impl Iterator<Item = &'a AllowedCall> {
        self.by_name.get(call).into_iter().flatten().map(|at| &self.all[*at])
    }

    /// Whether the call may be made with some arguments, at least until start-up is over.
    pub fn has(&self, call: &str) -> bool {
        self.by_name.contains_key(call)
    }

    /// Whether the call may be made with this value of one argument, where no other matters.
    pub fn may(&self, call: &str, arg: u8, value: u64) -> bool {
        let satisfied = |test: &RegisterTest| test.arg != arg || test.values.has(value);
        self.named(call).any(|allowed| {
            allowed.decided_by.is_none() && allowed.alternatives.iter().any(|one| one.iter().all(satisfied))
        })
    }

    /// The alternatives of a call that this profile does not allow, of those that another does.
    pub(super) fn uncovered(
        &self,
        call: &str,
        alternatives: &[Vec<RegisterTest>],
        decided_by: Option<&'static str>,
        startup_only: bool,
    ) -> Vec<Vec<RegisterTest>> {
        let mut own: Vec<Vec<RegisterTest>> = Vec::new();
        for allowed in self.named(call) {
            let lasts = startup_only || !allowed.startup_only;
            // A name that another section decides grants none of the arguments of an object.
            if lasts && (allowed.decided_by.is_none() || decided_by.is_some()) {
                own.extend(allowed.alternatives.iter().cloned());
            }
        }
        alternatives.iter().filter(|one| !is_covered(one, &own)).cloned().collect()
    }
}

/// The alternatives that `startup_only` takes away, by call; an empty one: all of it.
fn taken(profile: &Profile) -> BTreeMap<&'static str, Vec<Vec<RegisterTest>>> {
    let mut taken: BTreeMap<&'static str, Vec<Vec<RegisterTest>>> = BTreeMap::new();
    for entry in &profile.syscalls.startup_only {
        match &entry.what {
            SyscallRule::Group(name) => {
                for call in groups::listed(name, true).flat_map(|group| calls_of(group).keys()) {
                    taken.entry(call).or_default().push(Vec::new());
                }
            }
            SyscallRule::Call(call) => taken.entry(call).or_default().push(Vec::new()),
            SyscallRule::When(call, condition) => {
                taken.entry(call).or_default().push(vec![RegisterTest::of(call, condition)]);
            }
        }
    }
    taken
}

struct Gatherer<'p> {
    profile: &'p Profile,
    taken: BTreeMap<&'static str, Vec<Vec<RegisterTest>>>,
    all: Vec<AllowedCall>,
}

impl Gatherer<'_> {
    /// The calls that come without being listed.
    fn sections(&mut self) {
        let profile = self.profile;
        self.group(&groups::CORE, "", None, false);
        for call in ["execve", "execveat", "readlink", "readlinkat"] {
            self.put(call, vec![Vec::new()], "/programs", None, None, false);
        }
        for (call, arg) in [("newfstatat", 3), ("statx", 2)] {
            let test = Test::Masked { mask: AT_EMPTY_PATH, equals: AT_EMPTY_PATH };
            let own = RegisterTest::of(call, &Condition { arg, test });
            self.put(call, vec![vec![own]], "/programs", None, None, false);
        }
        if profile.files.is_empty() {
            for call in LOADER {
                self.put(call, vec![Vec::new()], "/programs", None, None, false);
            }
        } else {
            self.group(&groups::FILES, "/files", None, false);
        }
        let network = &profile.network;
        if !network.listen.is_empty() || !network.connect.is_empty() {
            self.group(&groups::NETWORK, "/network", None, false);
            self.put("bind", vec![Vec::new()], "/network", None, None, false);
        }
        if !network.listen.is_empty() {
            self.group(&groups::NETWORK_LISTEN, "/network/listen", None, false);
        }
        if network.listen.iter().chain(&network.connect).any(|entry| entry.what == Endpoint::UnixAny) {
            let unix = RegisterTest::of("socketpair", &Condition { arg: 0, test: Test::In(vec![1]) });
            self.put("socketpair", vec![vec![unix]], "/network", None, None, false);
        }
        if profile.ready == Some(Ready::Notify) {
            for call in NOTIFY {
                self.put(call, vec![Vec::new()], "/ready", None, None, false);
            }
        }
    }

    /// What an exact profile does not list and the launch needs.
    fn launch(&mut self) {
        let listed: Vec<&str> = self.all.iter().map(|allowed| allowed.call).collect();
        for call in LAUNCH.into_iter().filter(|call| !listed.contains(call)) {
            self.put(call, vec![Vec::new()], "/programs", None, None, false);
        }
        if self.profile.ready == Some(Ready::Notify) {
            for call in NOTIFY {
                self.put(call, vec![Vec::new()], "/ready", None, None, false);
            }
        }
    }

    fn rule(&mut self, rule: &SyscallRule, pointer: &str, why: Option<&String>, early: bool) {
        match rule {
            SyscallRule::Group(name) => {
                for group in groups::listed(name, self.profile.changes_files()) {
                    self.group(group, pointer, why, early);
                }
            }
            SyscallRule::Call(call) => self.put(call, vec![Vec::new()], pointer, None, why, early),
            SyscallRule::When(call, condition) => {
                let test = vec![vec![RegisterTest::of(call, condition)]];
                // The condition on a call that another section decides adds nothing.
                if decided_by(call, self.profile).is_some() && !is_open_to_more(call) {
                    return self.put(call, vec![Vec::new()], pointer, None, why, early);
                }
                self.add(call, test, pointer, None, why, None, early);
            }
        }
    }

    fn group(&mut self, group: &groups::Group, pointer: &str, why: Option<&String>, early: bool) {
        let through = groups::NAMES.into_iter().find(|name| group.name.starts_with(name));
        for (call, alternatives) in calls_of(group) {
            self.put(call, alternatives.clone(), pointer, through, why, early);
        }
    }

    /// A call by its name, or as a group has it.
    fn put(
        &mut self,
        call: &'static str,
        alternatives: Vec<Vec<RegisterTest>>,
        pointer: &str,
        through: Option<&'static str>,
        why: Option<&String>,
        early: bool,
    ) {
        let decided = decided_by(call, self.profile);
        let bare = alternatives.iter().any(Vec::is_empty);
        if bare && is_open_to_more(call) && decided.is_none() {
            // A bare name adds nothing to what the groups let it do.
            let grouped = [&groups::CORE, &groups::NETWORK].map(|group| calls_of(group).get(call));
            let alternatives = grouped.into_iter().flatten().flatten().cloned().collect();
            return self.add(call, alternatives, pointer, through, why, None, early);
        }
        self.add(call, alternatives, pointer, through, why, decided, early);
    }

    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        call: &'static str,
        alternatives: Vec<Vec<RegisterTest>>,
        pointer: &str,
        through: Option<&'static str>,
        why: Option<&String>,
        decided_by: Option<&'static str>,
        early: bool,
    ) {
        let alternatives = match syscalls::handler(call) {
            Handler::SocketOption if network::names_addresses(self.profile) => {
                both(&alternatives, &WITHOUT_ROUTES)
            }
            _ => alternatives,
        };
        let lasting = if early { alternatives } else { self.lasting(call, alternatives) };
        if lasting.is_empty() {
            return;
        }
        self.all.push(AllowedCall {
            pointer: pointer.to_owned(),
            through,
            call,
            alternatives: lasting,
            decided_by,
            startup_only: early,
            why: why.cloned(),
        });
    }

    /// What is left once start-up is over.
    fn lasting(&self, call: &str, alternatives: Vec<Vec<RegisterTest>>) -> Vec<Vec<RegisterTest>> {
        let Some(taken) = self.taken.get(call) else { return alternatives };
        taken.iter().fold(alternatives, |left, gone| {
            left.iter().flat_map(|alternative| without(alternative, gone)).collect()
        })
    }
}

/// The socket options that lead a connection nowhere else than to its address.
static WITHOUT_ROUTES: LazyLock<Vec<Vec<RegisterTest>>> = LazyLock::new(|| {
    let each = |all: Vec<Condition>| all.iter().map(|one| RegisterTest::of("setsockopt", one)).collect();
    options_without_routes().into_iter().map(each).collect()
});

/// The calls of a group with their tests.
type CallsOfGroup = BTreeMap<&'static str, Vec<Vec<RegisterTest>>>;

/// The calls of a group: each group is put together once.
fn calls_of(group: &groups::Group) -> &'static CallsOfGroup {
    static ALL: LazyLock<BTreeMap<&'static str, CallsOfGroup>> = LazyLock::new(|| {
        let named = groups::NAMES
            .into_iter()
            .flat_map(|name| groups::listed(name, true))
            .chain([&groups::NETWORK_LISTEN]);
        let tests = |(call, alternatives): (&'static str, Vec<Vec<Condition>>)| {
            let each = |all: &Vec<Condition>| all.iter().map(|one| RegisterTest::of(call, one)).collect();
            (call, alternatives.iter().map(each).collect())
        };
        named.map(|group| (group.name, group.calls().into_iter().map(tests).collect())).collect()
    });
    static NONE: CallsOfGroup = BTreeMap::new();
    ALL.get(group.name).unwrap_or(&NONE)
}

/// The calls with which most exploits of the kernel begin, or that give a process power over others
/// or over the machine; each with what it does for an attacker. None of them is in a group.
pub const DANGEROUS: &[(&str, &str)] = &[
    ("acct", "it makes the kernel write to a file of the caller's choice"),
    ("add_key", "keyrings are a part of the kernel that exploits use, and are not divided by container"),
    ("bpf", "it loads programs into the kernel"),
    ("delete_module", "it changes the running kernel"),
    ("fanotify_init", "it watches files of the whole mount"),
    ("finit_module", "it loads code into the kernel"),
    ("fsconfig", "mounting parses file systems in the kernel"),
    ("fsmount", "mounting parses file systems in the kernel"),
    ("fsopen", "mounting parses file systems in the kernel"),
    ("fspick", "mounting parses file systems in the kernel"),
    ("init_module", "it loads code into the kernel"),
    ("io_uring_enter", "requests on a ring are seen by no filter"),
    ("io_uring_register", "requests on a ring are seen by no filter"),
    ("io_uring_setup", "requests on a ring are seen by no filter, and exploits of the kernel use it"),
    ("ioperm", "it reaches the ports of devices"),
    ("iopl", "it reaches the ports of devices"),
    ("kcmp", "it compares what processes have, which helps exploits of the kernel"),
    ("kexec_file_load", "it replaces the running kernel"),
    ("kexec_load", "it replaces the running kernel"),
    ("keyctl", "keyrings are a part of the kernel that exploits use, and are not divided by container"),
    ("migrate_pages", "it moves the memory of other processes"),
    ("modify_ldt", "descriptor tables are a part of the kernel that exploits use"),
    ("mount", "it changes what paths lead to"),
    ("mount_setattr", "it changes what mounts allow"),
    ("move_mount", "it changes what paths lead to"),
    ("move_pages", "it moves the memory of other processes"),
    ("msgsnd", "messages of System V place data of the caller's choice in the kernel, as exploits do"),
    ("name_to_handle_at", "with open_by_handle_at it reaches files by their numbers, past every path"),
    ("open_by_handle_at", "it opens files by their numbers, past every path"),
    ("open_tree", "it changes what paths lead to"),
    ("open_tree_attr", "it changes what paths lead to"),
    ("perf_event_open", "counters are a part of the kernel that exploits use"),
    ("personality", "it can make readable memory executable and addresses predictable"),
    ("pidfd_getfd", "it takes descriptors out of other processes"),
    ("pivot_root", "it changes what paths lead to"),
    ("process_madvise", "it acts on the memory of other processes"),
    ("process_vm_readv", "it reads the memory of other processes"),
    ("process_vm_writev", "it writes the memory of other processes"),
    ("ptrace", "it controls other processes and reads and writes their memory"),
    ("quotactl", "it changes quotas of the file system"),
    ("reboot", "it restarts the machine or the container"),
    ("request_key", "keyrings are a part of the kernel that exploits use, and are not divided by container"),
    ("semctl", "semaphores of System V place objects in the kernel, as exploits do"),
    ("setns", "it enters other namespaces"),
    ("swapon", "it changes the memory of the machine"),
    ("syslog", "it reads the kernel's log, with its addresses"),
    ("umount2", "it changes what paths lead to"),
    ("unshare", "new namespaces give capabilities over parts of the kernel that exploits use"),
    ("uselib", "it loads libraries by an old way that exploits use"),
    ("userfaultfd", "it stops the kernel in the middle of a copy, as exploits do"),
    ("vmsplice", "it gives pages to pipes, which exploits use"),
];

/// Why a call is dangerous, where it is.
pub fn danger(call: &str) -> Option<&'static str> {
    DANGEROUS.binary_search_by(|(name, _)| (*name).cmp(call)).ok().map(|at| DANGEROUS[at].1)
}

/// The names of a group's calls.
pub(super) fn of_group(name: &str) -> BTreeSet<&'static str> {
    groups::listed(name, true).flat_map(|group| calls_of(group).keys().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    #[test]
    fn dangerous_calls_are_sorted_and_exist() {
        assert!(DANGEROUS.is_sorted());
        for (call, _) in DANGEROUS {
            assert!(syscalls::known(call).is_some(), "{call}");
            assert!(danger(call).is_some());
        }
        assert!(danger("read").is_none());
    }

    /// Compared with the filter that the plan makes of the same profile.
    #[test]
    fn they_are_those_of_the_plan() {
        use crate::image::tree::ImageTree;
        use crate::image::{Executable, ImageFiles};
        use crate::kernel::{Arch, Kernel, Release};
        use crate::plan::{Host, Plan};

        let image = ImageTree::new().program("/app", Executable::Static).dir("/data").dir("/proc");
        let image: &dyn ImageFiles = &image;
        for sections in [
            r#""files": []"#,
            r#""files": ["@runtime", {"path": "/data", "allow": ["read"]}]"#,
            r#""network": {"listen": ["tcp/80"]}"#,
            r#""network": {"connect": ["unix:*"]}, "syscalls": {"allow": ["ptrace", "keyctl"]}"#,
            r#""files": ["@runtime"], "syscalls": {"allow": [{"call": "prctl", "arg": 0, "in": ["PR_SET_SECCOMP"]}]}"#,
            r#""files": ["@runtime"], "syscalls": {"exact": true, "allow": ["@base", "@failure", "arch_prctl", "set_tid_address"]}"#,
            r#""network": {"listen": ["tcp/80"]}, "syscalls": {"exact": true, "allow": ["openat", "bind", "kill"]}"#,
        ] {
            let text = format!(
                r#"{{"remit": 1, "name": "x", "programs": [{{"path": "/app", "entry": true}}], {sections}}}"#
            );
            let read = profile::read(text.as_bytes()).expect("valid").profile;
            let kernel = Kernel::stock(Release::new(6, 18), Arch::X86_64);
            let host = Host::container(caps::CapsHashSet::new());
            let plan = Plan::new(&read, &kernel, &host, image, profile::Mode::Enforce).expect("a plan");
            let of_plan: BTreeSet<&str> = plan.filter.calls.keys().copied().collect();
            let here = |call: &&str| syscalls::number(Arch::X86_64, call).is_some();
            let mut own: BTreeSet<&str> = AllowedCalls::of(&read).names().filter(here).collect();
            if read.files.is_empty() {
                // The program of this image is static.
                let network = of_group("@core");
                own.retain(|call| !LOADER.contains(call) || network.contains(call) || of_plan.contains(call));
            }
            // A review is of every architecture.
            own.retain(|call| of_plan.contains(call) || !groups::is_superseded(call, Arch::X86_64));
            assert_eq!(own, of_plan, "{sections}");
        }
    }

    #[test]
    fn calls_of_the_start_up_end_with_it() {
        let text = r#"{"remit": 1, "name": "x", "programs": [{"path": "/app", "entry": true}],
            "ready": {"when": "delay", "delay": "1s"},
            "syscalls": {"allow": ["chroot"], "startup_only": ["execve", "chroot", {"call": "prctl", "arg": 0, "in": ["PR_SET_NAME"]}]}}"#;
        let calls = AllowedCalls::of(&profile::read(text.as_bytes()).expect("valid").profile);
        assert!(calls.named("execve").all(|one| one.startup_only) && calls.has("execve"));
        assert!(calls.named("chroot").all(|one| one.startup_only) && calls.has("chroot"));
        let lasting = calls.named("prctl").filter(|one| !one.startup_only);
        let name = |one: &AllowedCall| one.alternatives.iter().flatten().any(|test| test.values.has(15));
        assert!(!lasting.into_iter().any(name), "PR_SET_NAME is for the start-up alone");
        assert!(calls.may("prctl", 0, 15) && calls.may("prctl", 0, 16) && !calls.may("prctl", 0, 22));
    }
}
