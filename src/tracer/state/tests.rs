mod calls;
mod stops;

use super::*;
use crate::event::ViolationObject;
use crate::ids::Uid;
use crate::image::FileId;
use crate::policy::initial_stack::InitialStack;
use crate::tracer::call::Operation;

/// A process whose leader is 10, with the threads 11 and 12.
const P: i32 = 10;
const APP: i32 = 10;
const SEGV: i32 = libc::SIGSEGV;
const STOP: i32 = libc::SIGSTOP;

/// What happened, and the actions that follow.
type Row<'a> = (TracerEvent, &'a str);

fn config() -> Config {
    Config { wait_killable: true, verifies: true, on_violation: OnViolation::Deny }
}

fn table() -> TraceTable {
    table_with(config())
}

/// Below Linux 5.19.
fn old_kernel() -> TraceTable {
    table_with(Config { wait_killable: false, ..config() })
}

fn unverified() -> TraceTable {
    table_with(Config { verifies: false, ..config() })
}

fn table_with(config: Config) -> TraceTable {
    let mut table = TraceTable::new(config);
    table.launched(Pid::from_raw(APP));
    table
}

/// Passes each event to the table and compares what follows.
#[track_caller]
fn run(table: &mut TraceTable, rows: Vec<Row>) {
    for (number, (event, expected)) in rows.into_iter().enumerate() {
        let shown = format!("row {number}: {event:?}");
        assert_eq!(text(table.step(event)), expected, "{shown}");
    }
}

/// The same from a new table, in which nothing is left afterwards.
#[track_caller]
fn run_to_the_end(mut table: TraceTable, rows: Vec<Row>) {
    run(&mut table, rows);
    assert_eq!((table.tids(), table.processes.len(), table.denied.len()), (vec![], 0, 0), "nothing is left");
}

fn text(actions: Vec<TracerAction>) -> String {
    actions.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

fn one(action: TracerAction) -> String {
    match action {
        TracerAction::Attach(call) => format!("attach #{}", call.id.as_raw()),
        TracerAction::Interrupt(tid) => format!("interrupt {tid}"),
        TracerAction::Cont(tid, 0) => format!("cont {tid}"),
        TracerAction::Cont(tid, signal) => format!("cont {tid} with {signal}"),
        TracerAction::Listen(tid) => format!("listen {tid}"),
        TracerAction::Detach(tid) => format!("detach {tid}"),
        TracerAction::Continue(id) => format!("continue #{}", id.as_raw()),
        TracerAction::Fail(id, errno) => format!("fail #{} {errno:?}", id.as_raw()),
        TracerAction::KillCaller(call) => format!("kill caller #{}", call.id.as_raw()),
        TracerAction::Kill(pid, _) => format!("kill {pid}"),
        TracerAction::Probe(pid) => format!("probe {pid}"),
        TracerAction::Inspect(pid, call) => format!("inspect {pid} #{}", call.id.as_raw()),
        TracerAction::ExamineExec { pid, call, .. } => format!("examine {pid} #{}", call.id.as_raw()),
        TracerAction::ExamineMappings(call, _) => format!("examine mappings #{}", call.id.as_raw()),
        TracerAction::Report(Report::Executed { caller, .. }) => format!("{} executed", caller.tgid),
        TracerAction::Report(Report::Forked { child, parent }) => format!("{parent} made {child}"),
        TracerAction::Report(Report::Stopped { pid, signal }) => format!("{pid} stopped by {signal}"),
        TracerAction::Report(report @ Report::Denied { .. }) => panic!("{report:?}"),
        TracerAction::ReportDenied { call, action, .. } => format!("report #{} {action:?}", call.id.as_raw()),
    }
}

fn call(id: u64, tid: i32, tgid: i32, operation: Operation) -> TracerEvent {
    let (tid, tgid) = (Tid::from_raw(tid), Pid::from_raw(tgid));
    let caller = Caller { tid, tgid, ..Caller::default() };
    TracerEvent::Called {
        call: TracedCall { id: NotificationId::from_raw(id), caller, operation },
        valid: true,
    }
}

fn file() -> ViolationObject {
    ViolationObject::Name { name: "program".into() }
}

fn exec(id: u64, tid: i32) -> TracerEvent {
    exec_in(id, tid, P)
}

fn exec_in(id: u64, tid: i32, tgid: i32) -> TracerEvent {
    let (entry, expected) = (Some(ProgramIndex::new(0)), Some(ProgramIndex::new(1)));
    let operation = Operation::Exec { entry, expected, object: file(), program: None };
    call(id, tid, tgid, operation)
}

fn map(id: u64, tid: i32) -> TracerEvent {
    call(id, tid, P, Operation::MapCode { entry: ProgramIndex::new(0), object: file() })
}

fn hide(id: u64, tid: i32) -> TracerEvent {
    call(id, tid, P, Operation::BecomeUnreadable)
}

fn show(id: u64, tid: i32) -> TracerEvent {
    call(id, tid, P, Operation::BecomeReadable)
}

/// The notification is not valid any more.
fn stale(event: TracerEvent) -> TracerEvent {
    match event {
        TracerEvent::Called { call, .. } => TracerEvent::Called { call, valid: false },
        event => event,
    }
}

fn tried(id: u64, attached: &[i32], result: Result<(), Errno>, valid: bool) -> TracerEvent {
    let attached = attached.iter().map(|tid| (Pid::from_raw(P), Tid::from_raw(*tid))).collect();
    TracerEvent::Attached {
        pid: Pid::from_raw(P),
        id: NotificationId::from_raw(id),
        attachment: Attachment::Tried { attached, result, valid },
    }
}

fn attached(id: u64, tids: &[i32]) -> TracerEvent {
    tried(id, tids, Ok(()), true)
}

fn not_attached(id: u64) -> TracerEvent {
    let (pid, id) = (Pid::from_raw(P), NotificationId::from_raw(id));
    TracerEvent::Attached { pid, id, attachment: Attachment::Stale }
}

fn stopped(tid: i32, stop: PtraceStop) -> TracerEvent {
    TracerEvent::Stopped { tid: Tid::from_raw(tid), stop }
}

fn trap(tid: i32) -> TracerEvent {
    stopped(tid, PtraceStop::Trap)
}

fn executed(former: i32) -> TracerEvent {
    stopped(P, PtraceStop::Exec { former: Tid::from_raw(former) })
}

fn forked(tid: i32, child: i32) -> TracerEvent {
    let pid = Some(Pid::from_raw(child));
    stopped(tid, PtraceStop::Fork { child: Tid::from_raw(child), pid })
}

/// The first stop of a new process, of which `maker` is the parent.
fn first(tid: i32, maker: i32) -> TracerEvent {
    first_in(tid, maker, PtraceStop::Trap)
}

fn first_in(tid: i32, maker: i32, stop: PtraceStop) -> TracerEvent {
    let (tid, pid, maker) = (Tid::from_raw(tid), Pid::from_raw(tid), Pid::from_raw(maker));
    TracerEvent::FirstStop { tid, pid, maker, stop }
}

fn ended(tid: i32) -> TracerEvent {
    TracerEvent::Ended(Tid::from_raw(tid))
}

fn started() -> Arc<StartedProgram> {
    Arc::new(StartedProgram {
        of_image: true,
        id: FileId { device: 1, inode: 1 },
        canonical: "/bin/program".into(),
        linked: true,
        stamp: (0, 0, 0),
        stack: 0,
        mode: 0o755,
        initial_stack: InitialStack::default(),
        uids: [Uid::from_raw(0); 4],
    })
}

fn runs(entry: usize) -> Verdict {
    Verdict::Runs(ProgramIndex::new(entry))
}

fn dies() -> Verdict {
    Verdict::Dies(Box::new(Denial {
        kind: event::ViolationKind::Program,
        errno: Errno::EACCES,
        object: file(),
        rule: "/programs".into(),
        want: None,
    }))
}

fn inspected(id: u64, verdict: Verdict) -> TracerEvent {
    found(id, Inspection::Decided { started: Some(started()), verdict })
}

fn not_yet(id: u64) -> TracerEvent {
    found(id, Inspection::NotYet { started: started(), cut: false })
}

fn found(id: u64, inspection: Inspection) -> TracerEvent {
    TracerEvent::Inspected { pid: Pid::from_raw(P), id: NotificationId::from_raw(id), inspection }
}

fn examined(id: u64, verdict: Verdict) -> TracerEvent {
    TracerEvent::Examined { pid: Pid::from_raw(P), id: NotificationId::from_raw(id), verdict }
}

fn examiner_failed(id: u64) -> TracerEvent {
    TracerEvent::ExaminerFailed { pid: Pid::from_raw(P), id: NotificationId::from_raw(id) }
}

fn probed(readable: bool) -> TracerEvent {
    TracerEvent::Probed { pid: Pid::from_raw(P), readable }
}

fn reported(id: u64) -> TracerEvent {
    TracerEvent::Reported(NotificationId::from_raw(id))
}

/// The table after a thread was attached to for its exec, and the call was continued.
fn in_exec(id: u64, tid: i32) -> TraceTable {
    let mut table = table();
    table.step(exec(id, tid));
    table.step(attached(id, &[tid]));
    table
}

/// The table after the process has become unreadable, with these threads.
fn until_exec(mut table: TraceTable, tids: &[i32]) -> TraceTable {
    let id = 100;
    table.step(hide(id, tids[0]));
    assert_eq!(text(table.step(attached(id, tids))), "continue #100");
    table
}
