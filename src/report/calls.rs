//! The calls that a profile allows, by family, beside those that Docker's default profile allows.

use crate::kernel::Arch;
use crate::review::calls::AllowedCalls;
use crate::review::docker;
use crate::syscalls;

use super::family::{CallFamily, call_family};

/// A family with its calls, on one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyCalls {
    /// The family.
    pub family: CallFamily,
    /// How many calls the architecture has of it.
    pub all: usize,
    /// Those that the profile allows.
    pub allowed: Vec<FamilyCall>,
    /// How many Docker's default profile allows.
    pub docker: usize,
    /// Those that Docker's default profile allows and this one does not, sorted.
    pub docker_only: Vec<&'static str>,
}

/// A call that a profile allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyCall {
    /// Its name.
    pub name: &'static str,
    /// Its arguments decide, in the filter or in the supervisor.
    pub is_conditional: bool,
    /// It is refused once start-up is over.
    pub is_startup_only: bool,
    /// Docker's default profile does not allow it.
    pub is_beyond_docker: bool,
}

/// The calls that a profile allows, by family; families without a call on the architecture are left out.
pub fn by_family(allowed: &AllowedCalls, arch: Arch) -> Vec<FamilyCalls> {
    let of = |family: &CallFamily| {
        let here = syscalls::all()
            .filter(|call| call.number(arch).is_some() && call_family(call) == *family)
            .map(|call| call.name);
        let mut calls =
            FamilyCalls { family: *family, all: 0, allowed: Vec::new(), docker: 0, docker_only: Vec::new() };
        for name in here {
            calls.all += 1;
            let in_docker = docker::allows(name);
            calls.docker += usize::from(in_docker);
            if allowed.has(name) {
                let is_free = allowed
                    .named(name)
                    .any(|one| one.decided_by.is_none() && one.alternatives.iter().any(Vec::is_empty));
                calls.allowed.push(FamilyCall {
                    name,
                    is_conditional: !is_free,
                    is_startup_only: allowed.named(name).all(|one| one.startup_only),
                    is_beyond_docker: !in_docker,
                });
            } else if in_docker {
                calls.docker_only.push(name);
            }
        }
        (calls.all > 0).then_some(calls)
    };
    CallFamily::ALL.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    #[test]
    fn each_call_is_counted_once() {
        let profile = r#"{"remit":1,"name":"x","programs":[{"path":"/app","entry":true}],"files":[{"path":"/srv","allow":["read"]}],"syscalls":{"allow":["bpf","ptrace"]}}"#;
        let document = profile::read(profile.as_bytes()).expect("a profile");
        let found = by_family(&AllowedCalls::of(&document.profile), Arch::X86_64);
        let all: usize = found.iter().map(|one| one.all).sum();
        let here: Vec<_> = syscalls::all().filter(|call| call.number(Arch::X86_64).is_some()).collect();
        assert_eq!(all, here.len());
        let docker: usize = found.iter().map(|one| one.docker).sum();
        assert_eq!(docker, here.iter().filter(|call| docker::allows(call.name)).count());
        let allowed: Vec<FamilyCall> = found.iter().flat_map(|one| one.allowed.clone()).collect();
        let of = |name: &str| *allowed.iter().find(|one| one.name == name).expect("it is allowed");
        assert!(!of("read").is_conditional && !of("read").is_beyond_docker);
        assert!(of("openat").is_conditional);
        assert!(of("bpf").is_beyond_docker && !of("ptrace").is_beyond_docker);
        let both = allowed.iter().filter(|one| !one.is_beyond_docker).count();
        let only: usize = found.iter().map(|one| one.docker_only.len()).sum();
        assert_eq!(both + only, docker);
    }
}
