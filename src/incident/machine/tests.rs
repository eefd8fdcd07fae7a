use super::super::{INCIDENT_RULES, IncidentSeverity};
use super::*;

/// Events of a start, each a second after the one before.
struct Log {
    incidents: Incidents,
    seq: u64,
    /// Seconds after 10:00.
    at: u64,
}

impl Log {
    fn of(incidents: Incidents) -> Log {
        Log { incidents, seq: 0, at: 0 }
    }

    fn event(&mut self, rest: &str) -> &mut Log {
        self.seq += 1;
        self.at += 1;
        let time = crate::event::time::utc(
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_341_600 + self.at),
        );
        let line = format!(
            "{{\"remit\":1,\"seq\":{},\"time\":\"{time}\",\"policy\":{{\"name\":\"web\"}},{rest}}}",
            self.seq
        );
        let event = EventRecord::read(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
        self.incidents.take(&event);
        self
    }

    fn process(pid: u32, parent: u32, program: &str) -> String {
        format!(
            "\"process\":{{\"pid\":{pid},\"parent_pid\":{parent},\"uid\":33,\"executable\":{{\"path\":\"{program}\"}},\"args\":[\"{program}\"]}}"
        )
    }

    fn start(&mut self, pid: u32, program: &str) -> &mut Log {
        self.event(&format!("\"event\":\"start\",{}", Log::process(pid, 1, program)))
    }

    fn exec(&mut self, pid: u32, parent: u32, program: &str) -> &mut Log {
        self.event(&format!(
            "\"event\":\"exec\",\"action\":\"allowed\",{}",
            Log::process(pid, parent, program)
        ))
    }

    fn refused(&mut self, kind: &str, object: &str, pid: u32, parent: u32, program: &str) -> &mut Log {
        self.event(&format!(
            "\"event\":\"violation\",\"kind\":\"{kind}\",\"action\":\"denied\",\"errno\":\"EACCES\",\"object\":{{{object}}},\"rule\":\"/x\",{},\"ancestors\":[\"/usr/sbin/above\"]",
            Log::process(pid, parent, program)
        ))
    }

    fn end(&mut self) -> Vec<Incident> {
        self.incidents.finish();
        let news = self.incidents.news().into_iter();
        news.filter_map(|news| if let IncidentNews::Closed(incident) = news { Some(incident) } else { None })
            .collect()
    }
}

const CURL: &str = "\"path\":\"/usr/bin/curl\"";
const DROPPED: &str = "\"path\":\"/tmp/x\",\"access\":[\"write\",\"create\"]";
const CONNECT: &str = "\"address\":\"tcp/203.0.113.9:4444\",\"access\":\"connect\"";

/// Under a profile that lets a shell run: what it let pass is part of the incident that its refusals
/// begin.
#[test]
fn an_intrusion_is_one_incident_with_its_tree() {
    let mut log = Log::of(Incidents::default());
    log.start(7, "/usr/sbin/nginx").exec(9, 7, "/usr/sbin/nginx").exec(30, 9, "/bin/sh").exec(
        31,
        30,
        "/usr/bin/id",
    );
    log.event("\"event\":\"exit\",\"process\":{\"pid\":31}");
    log.refused("program", CURL, 32, 30, "/bin/sh").refused("file", DROPPED, 30, 9, "/bin/sh");
    log.refused("program", "\"path\":\"/tmp/x\"", 33, 30, "/bin/sh")
        .refused("network", CONNECT, 30, 9, "/bin/sh");
    // Another process's gap in the profile is another matter.
    log.refused("file", "\"path\":\"/data/cache\",\"access\":[\"write\"]", 50, 1, "/usr/bin/other");
    let totals = log.incidents.totals();
    assert_eq!((totals.incidents, totals.violations, totals.unassigned), (1, 5, 1));
    let [incident] = log.end().try_into().expect("one incident");
    assert_eq!(
        incident.rules,
        ["shell", "discovery", "download", "dropped-file", "dropped-program", "connect"]
    );
    assert_eq!(
        (incident.severity, incident.violations, incident.refused),
        (IncidentSeverity::Critical, 4, 4)
    );
    assert_eq!((incident.origin.pid, &*incident.origin.program), (7, "/usr/sbin/nginx"));
    assert_eq!(
        incident.sentence,
        "/usr/sbin/nginx[7], with what it started, started the shell /bin/sh and ran /usr/bin/id, which examines the \
         system, and tried to run /usr/bin/curl, which transfers data, write /tmp/x, run the dropped program /tmp/x and \
         connect to tcp/203.0.113.9:4444; all that the profile does not allow was refused."
    );
    let tree: Vec<_> = incident.tree().iter().map(|(depth, process)| (*depth, process.pid)).collect();
    assert_eq!(tree, [(0, 7), (1, 9), (2, 30), (3, 31), (3, 32), (3, 33)]);
    assert_eq!(
        (&*incident.first, &*incident.last),
        ("2026-11-22T10:00:03.000000Z", "2026-11-22T10:00:09.000000Z")
    );
}

/// At the level `violation` there are no execs: the events' own ancestors have to do.
#[test]
fn without_execs_the_violations_are_joined_by_their_parents() {
    let mut log = Log::of(Incidents::default());
    log.refused("program", "\"path\":\"/bin/sh\"", 30, 9, "/usr/sbin/nginx");
    log.refused("program", CURL, 31, 9, "/usr/sbin/nginx");
    let incidents = log.end();
    // The workers' parent is known by its program only.
    assert_eq!(incidents.len(), 2, "two children of a process that is not known to be the same server");
    let mut log = Log::of(Incidents::default());
    let line = |pid| {
        format!(
            "\"event\":\"violation\",\"kind\":\"program\",\"action\":\"denied\",\"object\":{{\"path\":\"/bin/sh\"}},\"rule\":\"/programs\",{},\"ancestors\":[\"/usr/sbin/nginx\"]",
            Log::process(pid, 9, "/usr/sbin/nginx")
        )
    };
    log.event(&line(30)).event(&line(31));
    let [incident] = log.end().try_into().expect("one incident");
    assert_eq!(
        (incident.origin.pid, incident.steps.len(), incident.severity),
        (9, 2, IncidentSeverity::Medium)
    );
}

#[test]
fn an_interpreter_that_serves_is_the_origin_and_one_that_a_shell_started_is_not() {
    let mut log = Log::of(Incidents::default());
    log.start(7, "/bin/sh").exec(8, 7, "/usr/bin/python3").exec(9, 8, "/bin/sh").exec(10, 9, "/usr/bin/perl");
    log.refused("network", CONNECT, 10, 9, "/usr/bin/perl");
    let [incident] = log.end().try_into().expect("one incident");
    assert_eq!(incident.origin.pid, 8);
    assert_eq!(incident.rules, ["shell", "interpreter", "connect"]);
}

#[test]
fn what_the_profile_allows_is_no_incident() {
    let mut log = Log::of(Incidents::default());
    log.start(7, "/usr/sbin/nginx").exec(30, 7, "/bin/sh").exec(31, 30, "/usr/bin/curl");
    log.refused("limit", "\"name\":\"processes\"", 31, 30, "/usr/bin/curl");
    assert_eq!(log.end(), []);
    assert_eq!(log.incidents.totals().unassigned, 1);
}

#[test]
fn a_dropped_file_joins_the_process_that_executes_it() {
    let mut log = Log::of(Incidents::default());
    log.start(7, "/usr/sbin/nginx");
    log.refused("file", "\"path\":\"/srv/www/x.php\",\"access\":[\"create\"]", 9, 7, "/usr/sbin/nginx");
    log.refused("program", "\"path\":\"/srv/www/x.php\"", 80, 70, "/usr/sbin/cron");
    let [incident] = log.end().try_into().expect("one incident");
    assert_eq!(incident.rules, ["dropped-file", "dropped-program"]);
    assert_eq!(incident.processes.len(), 3);
}

#[test]
fn it_ends_after_a_quiet_time_and_pids_are_used_again() {
    let mut log = Log::of(Incidents::live());
    log.start(7, "/usr/sbin/nginx");
    log.refused("program", "\"path\":\"/bin/sh\"", 30, 7, "/usr/sbin/nginx");
    let news = log.incidents.news();
    assert!(matches!(&news[..], [IncidentNews::Opened(incident)] if incident.number == 1), "{news:?}");
    let due = log.incidents.due().expect("one is open");
    log.refused("program", CURL, 30, 7, "/usr/sbin/nginx");
    assert!(matches!(&log.incidents.news()[..], [IncidentNews::Updated(_)]));
    log.refused("program", CURL, 30, 7, "/usr/sbin/nginx");
    assert_eq!(log.incidents.news(), [], "it shows no other sign");
    assert!(log.incidents.due() > Some(due));
    log.incidents.close_quiet(due);
    assert_eq!(log.incidents.news(), []);
    log.at += 300;
    log.event("\"event\":\"signal\"");
    let news = log.incidents.news();
    assert!(
        matches!(&news[..], [IncidentNews::Closed(incident)] if incident.steps[1].count == 2),
        "{news:?}"
    );
    assert_eq!(log.incidents.due(), None);
    // The pid that ended is another process's now.
    log.refused("program", "\"path\":\"/bin/sh\"", 30, 7, "/usr/sbin/nginx");
    log.event("\"event\":\"exit\",\"process\":{\"pid\":30}");
    log.refused("limit", "\"name\":\"processes\"", 30, 2, "/usr/bin/other");
    assert_eq!(log.end()[0].violations, 1);
}

#[test]
fn memory_is_bounded_and_what_made_room_is_counted() {
    let mut log = Log::of(Incidents::default());
    for pid in 2..2_000 {
        log.at = 10;
        log.refused("program", "\"path\":\"/bin/sh\"", pid, 1, &format!("/srv/{pid}"));
    }
    let totals = log.incidents.totals();
    assert_eq!((totals.incidents, totals.closed_early), (1_998, 1_998 - OPEN as u64));
    assert!(log.incidents.open.len() <= OPEN && log.incidents.members.len() <= OPEN * PROCESSES);
    assert_eq!(log.end().iter().filter(|incident| incident.closed_early).count() as u64, totals.closed_early);
    // One incident of very many processes and objects.
    let mut log = Log::of(Incidents::default());
    log.start(1, "/srv/app");
    for pid in 2..1_000 {
        log.at = 10;
        log.refused("file", &format!("\"path\":\"/tmp/{pid}\",\"access\":[\"write\"]"), pid, 1, "/srv/app");
    }
    log.refused("network", CONNECT, 1, 0, "/srv/app");
    let [incident] = log.end().try_into().expect("one incident");
    assert!(incident.processes.len() <= PROCESSES && incident.steps.len() <= STEPS + INCIDENT_RULES.len());
    assert!(incident.rules.contains(&"connect") && incident.left_out > 0);
    assert_eq!(incident.violations, 999);
}

#[test]
fn a_flood_counts_and_its_rest_is_of_nothing() {
    let mut log = Log::of(Incidents::default());
    let ptrace = "\"event\":\"violation\",\"kind\":\"syscall\",\"action\":\"denied\",\"object\":{\"syscall\":\"ptrace\",\"args\":[]},\"count\":41,\"over\":\"1s\"";
    log.event(&format!("{ptrace},\"rule\":\"/syscalls\",{}", Log::process(7, 1, "/srv/app")));
    log.event(&format!("{ptrace},\"rule\":\"\",{}", Log::process(7, 1, "/srv/app")));
    let totals = log.incidents.totals();
    assert_eq!((totals.violations, totals.unassigned), (82, 41));
    let [incident] = log.end().try_into().expect("one incident");
    assert_eq!(incident.sentence, "/srv/app[7] tried to call ptrace; that was refused.");
    assert_eq!((incident.violations, incident.severity), (41, IncidentSeverity::High));
}

#[test]
fn any_events_are_taken() {
    let line = format!(
        "{{\"remit\":1,\"seq\":1,\"time\":\"2026-11-22T10:00:00Z\",\"event\":\"violation\",\"kind\":\"program\",\"object\":{{\"path\":\"/bin/sh\"}},\"rule\":\"/x\",\"count\":9,{}}}",
        Log::process(7, 1, "/srv/app")
    );
    let mut incidents = Incidents::live();
    crate::mutation::each(&[line.as_bytes()], |bytes| {
        if let Some(event) = EventRecord::read(bytes) {
            incidents.take(&event);
            incidents.news();
        }
    });
    assert!(incidents.open.len() <= OPEN);
}
