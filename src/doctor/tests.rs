use nix::errno::Errno;

use super::*;
use crate::image::{Executable, tree::ImageTree};
use crate::kernel::{Arch, LandlockAbi, Release};
use crate::plan::Host;
use crate::profile::{self, Mode};

/// As `baseline` is: ports, files, and degrading.
const PROFILE: &str = r#"{"remit": 1, "name": "p", "programs": [{"path": "/app", "entry": true}],
    "network": {"listen": ["tcp/80"]}, "fallback": "degrade"}"#;

fn stock(major: u16, minor: u16) -> Kernel {
    Kernel::stock(Release::new(major, minor), Arch::X86_64)
}

fn diagnosed(kernel: Kernel, facts: Facts) -> Diagnosis {
    let host = Host::container(caps::CapsHashSet::new());
    let profile = profile::read(PROFILE.as_bytes()).expect("valid").profile;
    let tree = ImageTree::new().program("/app", Executable::Static);
    let plan = Plan::new(&profile, &kernel, &host, &tree, Mode::Enforce).expect("a plan");
    Diagnosis::new(&Facts { pid: 1, ..facts }, Some(kernel), Ok(&plan))
}

fn finding<'a>(diagnosis: &'a Diagnosis, name: &str) -> &'a Finding {
    let mut all = diagnosis.layers.iter().chain(&diagnosis.environment);
    all.find(|finding| finding.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn a_new_kernel_gives_all_and_an_old_one_less() {
    let new = diagnosed(stock(6, 18), Facts::default());
    assert_eq!((new.verdict, new.verdict.code()), (Assessment::All, 0));
    let old = diagnosed(stock(6, 1), Facts::default());
    assert_eq!((old.verdict, old.verdict.code()), (Assessment::Less, 1));
    assert!(old.why.as_ref().is_some_and(|why| why.starts_with("landlock-tcp: ")), "{:?}", old.why);
    assert_eq!(finding(&old, "landlock-tcp").more, ["Linux 6.7"]);
    assert_eq!(finding(&old, "landlock-files").state, LayerState::Degraded);
}

#[test]
fn without_landlock_the_reason_decides_what_helps() {
    let none = || Kernel { landlock: LandlockAbi::NONE, ..stock(6, 12) };
    for (errno, gvisor, helps) in [
        ("EOPNOTSUPP", false, "lsm="),
        ("EPERM", false, "runtime's filter"),
        ("ENOSYS", false, "CONFIG_SECURITY_LANDLOCK"),
        ("ENOSYS", true, "runc"),
    ] {
        let facts = Facts { landlock: Some(errno.to_owned()), gvisor, ..Facts::default() };
        let diagnosis = diagnosed(none(), facts);
        assert_eq!(diagnosis.verdict, Assessment::Less);
        let layer = finding(&diagnosis, "landlock-files");
        assert_eq!(layer.state, LayerState::Unavailable);
        assert!(layer.more.iter().any(|more| more.contains(helps)), "{errno}: {:?}", layer.more);
    }
}

#[test]
fn without_a_listener_less_and_without_a_filter_nothing() {
    let busy = NoListener::Busy;
    let nested = diagnosed(Kernel { notify: Err(busy), ..stock(6, 18) }, Facts::default());
    assert_eq!(nested.verdict, Assessment::Less);
    assert!(finding(&nested, "notification").more[0].contains("one listener fits"));
    let refused = NoListener::Filter(Errno::EPERM);
    let none = diagnosed(Kernel { notify: Err(refused), ..stock(6, 18) }, Facts::default());
    assert_eq!((none.verdict, none.verdict.code()), (Assessment::Nothing, 3));
    assert!(none.why.as_ref().is_some_and(|why| why.contains("EPERM")));
    assert!(finding(&none, "seccomp").more[0].contains("seccomp(2)"));
}

#[test]
fn what_cannot_be_planned_is_nothing_and_says_why() {
    let facts = Facts { pid: 7, ..Facts::default() };
    let diagnosis = Diagnosis::new(&facts, None, Err(&"/proc is not mounted"));
    assert_eq!(diagnosis.verdict, Assessment::Nothing);
    assert!(diagnosis.layers.is_empty());
    assert_eq!(finding(&diagnosis, "pid-1").state, LayerState::Degraded);
    assert!(diagnosis.to_string().ends_with("nothing can be confined here: /proc is not mounted\n"));
}

#[test]
fn the_environment_is_described_by_what_it_costs() {
    for (scope, state) in [
        (0, LayerState::Active),
        (1, LayerState::Active),
        (2, LayerState::Degraded),
        (3, LayerState::Degraded),
    ] {
        let facts = Facts { yama: Some(scope), ..Facts::default() };
        let diagnosis = diagnosed(stock(6, 18), facts);
        assert_eq!(finding(&diagnosis, "yama").state, state, "scope {scope}");
        assert!(finding(&diagnosis, "yama").detail.starts_with(&format!("scope {scope}: ")));
        assert_eq!(diagnosis.verdict, Assessment::All, "`baseline` does not require it");
    }
    let facts = Facts {
        filtered: true,
        refused: vec!["clone3", "openat2"],
        label: Some("docker-default (enforce)".to_owned()),
        gvisor: true,
        ..Facts::default()
    };
    let diagnosis = diagnosed(stock(6, 18), facts);
    let filter = finding(&diagnosis, "runtime-filter");
    assert!(filter.detail.ends_with("refuses clone3, openat2"), "{}", filter.detail);
    assert_eq!((filter.state, filter.more.len()), (LayerState::Degraded, 1));
    assert!(finding(&diagnosis, "apparmor").detail.starts_with("docker-default (enforce); "));
    let context = Some("system_u:system_r:container_t:s0:c1,c2".to_owned());
    let fedora = diagnosed(stock(6, 18), Facts { label: context, ..Facts::default() });
    assert_eq!(finding(&fedora, "selinux").state, LayerState::Active);
    assert!(finding(&diagnosis, "sandbox").detail.starts_with("gVisor"));
}

#[test]
fn text_fits_a_terminal_and_json_says_the_same() {
    let facts = Facts { landlock: Some("EPERM".to_owned()), filtered: true, ..Facts::default() };
    let diagnosis = diagnosed(Kernel { landlock: LandlockAbi::NONE, ..stock(5, 10) }, facts);
    let text = diagnosis.to_string();
    let findings = text.lines().filter(|line| line.starts_with("  "));
    assert!(findings.clone().all(|line| line.chars().count() <= 100), "{text}");
    let document: serde_json::Value = diagnosis.to_value();
    assert_eq!(document["verdict"], "less");
    assert_eq!(document["kernel"]["release"], "5.10");
    for list in ["layers", "place"] {
        for finding in document[list].as_array().expect("a list") {
            let line = format!(
                "{:<15} {}",
                finding["name"].as_str().expect("a name"),
                finding["state"].as_str().expect("a state")
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}

#[test]
fn an_init_that_has_to_be_the_first_process_goes_before() {
    let found = diagnosed(stock(6, 18), Facts { s6_overlay: true, ..Facts::default() });
    assert!(finding(&found, "init").more[0].contains("CMD with remit-init"), "{found:?}");
    assert_eq!(found.verdict, Assessment::All);
    let none = diagnosed(stock(6, 18), Facts::default());
    assert!(none.environment.iter().all(|finding| finding.name != "init"));
}
