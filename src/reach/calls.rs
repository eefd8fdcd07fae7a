//! From reachable functions to system calls: the numbers at each instruction, and arguments.

use std::collections::{BTreeMap, BTreeSet};

use super::code::syscall_registers;
use super::graph::{FunctionId, Graph, ObjectOrigin};
use super::process::{LoadedProcess, is_c_library};
use super::query::{Argument, ConstantAnswer, Passed, Query};
use super::report::{GapKind, ObjectSummary, Reach, ReachGap, ReachableCall};
use super::values::{KnownValue, State};
use super::{interpreters, object::ElfObject};
use crate::kernel::Arch;
use crate::syscalls;

/// The arguments that decide what a call does: commands, flags, protections, families.
const DECIDING: [(&str, &[u8]); 36] = [
    ("arch_prctl", &[0]),
    ("bpf", &[0]),
    ("clock_gettime", &[0]),
    ("clock_nanosleep", &[0]),
    ("clone", &[0]),
    ("epoll_ctl", &[1]),
    ("fallocate", &[1]),
    ("fcntl", &[1]),
    ("flock", &[1]),
    ("futex", &[1]),
    ("getsockopt", &[1, 2]),
    ("ioctl", &[1]),
    ("keyctl", &[0]),
    ("madvise", &[2]),
    ("memfd_create", &[1]),
    ("mmap", &[2, 3]),
    ("mprotect", &[2]),
    ("mremap", &[3]),
    ("msync", &[2]),
    ("open", &[1]),
    ("openat", &[2]),
    ("personality", &[0]),
    ("prctl", &[0]),
    ("prlimit64", &[1]),
    ("ptrace", &[0]),
    ("sched_setscheduler", &[1]),
    ("seccomp", &[0, 1]),
    ("setns", &[1]),
    ("setpriority", &[0]),
    ("setrlimit", &[0]),
    ("setsockopt", &[1, 2]),
    ("shutdown", &[1]),
    ("socket", &[0, 1, 2]),
    ("socketpair", &[0, 1, 2]),
    ("timerfd_create", &[0]),
    ("unshare", &[0]),
];

/// The calls that a C library makes in every thread of the process, with a number that it takes from
/// memory: those that change ids (nptl/setxid.h; musl's src/unistd/setxid.c, src/linux/setgroups.c).
const IN_EVERY_THREAD: [&str; 9] = [
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setuid",
];

/// The function of Go that makes a call in every thread.
const PER_THREAD: &str = "runtime.runPerThreadSyscall";

/// PROT_EXEC.
const PROT_EXEC: u64 = 4;

/// One number at one instruction.
struct FoundNumber {
    /// The function of the instruction, and its address.
    site: (FunctionId, u64),
    /// The function that gives the number.
    by: FunctionId,
}

/// The calls of a process that was followed.
pub(super) fn reach(mut process: LoadedProcess<'_>) -> Reach {
    let mut gaps = std::mem::take(&mut process.gaps);
    let graph = &process.graph;
    let arch = graph.objects[0].object.arch;
    let mut query = Query::new(graph);
    let mut numbers: BTreeMap<u32, Vec<FoundNumber>> = BTreeMap::new();
    let mut states: BTreeMap<(FunctionId, u64), State> = BTreeMap::new();
    for (id, scan) in graph.functions.iter().filter_map(|(id, one)| Some((*id, one.scan.as_ref()?))) {
        if !scan.has_syscalls && !scan.has_old_syscalls {
            continue;
        }
        let facts = query.facts(id);
        for at in &facts.old_syscalls {
            gaps.insert(ReachGap::new(GapKind::OldCalls, graph.place(id, *at), "a call of the 32-bit table"));
        }
        if facts.cut {
            let what = format!("function {} takes too many steps to follow", graph.name(id));
            gaps.insert(ReachGap::new(GapKind::Limit, graph.place(id, id.start), what));
        }
        for (at, state) in &facts.syscalls {
            let site = (id, *at);
            let value = state.register(syscall_registers(arch).0).clone();
            let answer = query.number(site, &value);
            for (number, by) in &answer.constants {
                // The kernel reads 32 bits of it.
                let by = by.map_or(id, |(by, _)| by);
                numbers.entry(*number as u32).or_default().push(FoundNumber { site, by });
            }
            if is_in_every_thread(arch, state) {
                let what = "its number comes from memory with its arguments, as a C library changes ids in \
                            every thread: taken for the calls that change ids";
                gaps.insert(ReachGap::new(GapKind::Assumption, graph.place(id, *at), what));
                for name in IN_EVERY_THREAD {
                    if let Some(number) = syscalls::number(arch, name) {
                        numbers.entry(number).or_default().push(FoundNumber { site, by: id });
                    }
                }
            } else {
                for place in &answer.open {
                    // Go's own way of the same (runtime.perThreadSyscallArgs).
                    if graph.objects[place.0.object].object.function_name(place.0.start) == PER_THREAD {
                        let what = "passes a number on that is in memory, as Go makes a call in every thread: taken \
                                    for the calls that change ids";
                        gaps.insert(ReachGap::new(GapKind::Assumption, graph.place(place.0, place.1), what));
                        for number in IN_EVERY_THREAD.iter().filter_map(|name| syscalls::number(arch, name)) {
                            numbers.entry(number).or_default().push(FoundNumber { site, by: place.0 });
                        }
                        continue;
                    }
                    gaps.insert(ReachGap::new(
                        GapKind::Number,
                        graph.place(place.0, place.1),
                        unknown(graph, id, *place),
                    ));
                }
            }
            for taken in &answer.taken {
                let what = format!(
                    "passes a number on to {}, and its address is taken: its callers are taken to be in the files that take it",
                    graph.name(id)
                );
                gaps.insert(ReachGap::new(GapKind::Assumption, graph.name(*taken), what));
            }
            states.insert(site, state.clone());
        }
    }
    let mut calls: BTreeMap<String, ReachableCall> = BTreeMap::new();
    for (number, found) in numbers {
        let name = syscalls::name(arch, number).map_or_else(|| format!("{number}"), str::to_owned);
        let call = call(graph, &mut query, &name, number, &found, &states);
        calls.insert(name, call);
    }
    by_the_kernel(arch, &mut calls);
    if let Some(what) = packed(&graph.objects[0].object, &calls) {
        gaps.insert(ReachGap::new(GapKind::Packed, graph.objects[0].object.name.clone(), what));
    }
    named_by_variables(&process, &mut query, &mut gaps);
    let graph = &process.graph;
    for (number, loaded) in graph.objects.iter().enumerate() {
        let object = &loaded.object;
        if let Some((name, why)) = interpreters::runtime(object) {
            gaps.insert(ReachGap::new(
                GapKind::Interpreter,
                object.name.clone(),
                format!("is {name}: {why}"),
            ));
        }
        if object.without_unwind {
            let what = "has no unwind information: its functions are known by symbols and by what is called";
            gaps.insert(ReachGap::new(GapKind::Functions, object.name.clone(), what));
        }
        if object.is_cut {
            let what = "has more code than is searched for functions, and no unwind information";
            gaps.insert(ReachGap::new(GapKind::Limit, object.name.clone(), what));
        }
        if object.is_go && process.has_edge(number, |_| true) {
            let what = "is a Go program: methods that are called by reflection alone are not followed";
            gaps.insert(ReachGap::new(GapKind::Functions, object.name.clone(), what));
        }
    }
    for what in &graph.cut {
        gaps.insert(ReachGap::new(
            GapKind::Limit,
            graph.objects[0].object.name.clone(),
            format!("more {what} than are analysed"),
        ));
    }
    Reach {
        arch,
        programs: vec![graph.objects[0].object.name.clone()],
        named: BTreeSet::new(),
        objects: summaries(graph),
        calls,
        gaps,
    }
}

fn unknown(graph: &Graph, site: FunctionId, place: (FunctionId, u64)) -> String {
    let name = graph.name(site);
    let start = graph.functions.get(&place.0).is_some_and(|reached| reached.open) && place.1 == place.0.start;
    if start {
        format!(
            "system call in {name}: the number is an argument of {}, whose callers are not all known",
            graph.name(place.0)
        )
    } else {
        format!("system call in {name}: the number is not constant here, in {}", graph.name(place.0))
    }
}

/// Whether number and first arguments come from fields of a structure that follow each other.
fn is_in_every_thread(arch: Arch, state: &State) -> bool {
    let (number, arguments) = syscall_registers(arch);
    let field = |register| match state.register(register) {
        KnownValue::Field(distance) => Some(*distance),
        _ => None,
    };
    let all = [number, arguments[0], arguments[1], arguments[2]].map(field);
    let [Some(_), Some(one), Some(two), Some(three)] = all else { return false };
    two - one == three - two && matches!(two - one, 4 | 8)
}

fn call(
    graph: &Graph,
    query: &mut Query<'_>,
    name: &str,
    number: u32,
    found: &[FoundNumber],
    states: &BTreeMap<(FunctionId, u64), State>,
) -> ReachableCall {
    let sites: BTreeSet<_> = found.iter().map(|one| one.site).collect();
    let paths = found.iter().map(|one| {
        let mut path = graph.path(one.by);
        if one.by != one.site.0 {
            path.push(one.site.0);
        }
        path
    });
    let path = paths.min_by_key(|path| (path.len(), path.first().map_or(0, |first| first.object)));
    let path = path.unwrap_or_default().into_iter().map(|id| graph.name(id)).collect();
    let mut call =
        ReachableCall { number: Some(number), sites: sites.len(), path, ..ReachableCall::default() };
    let Some((_, positions)) = DECIDING.iter().find(|(one, _)| *one == name) else { return call };
    for one in found {
        let Some(state) = states.get(&one.site) else { continue };
        let arch = graph.objects[one.site.0.object].object.arch;
        for position in *positions {
            let register = syscall_registers(arch).1[usize::from(*position)];
            let value = state.register(register).clone();
            let answer = query.value(one.site, &value);
            call.argument(*position, constants(name, *position, &answer));
        }
    }
    call
}

/// The constants of an argument, as the kernel reads them.
fn constants(name: &str, position: u8, answer: &ConstantAnswer) -> Option<BTreeSet<u64>> {
    let mask = match syscalls::width(name, position) {
        Some(syscalls::Width::Bits64) => u64::MAX,
        Some(syscalls::Width::Bits16) => u64::from(u16::MAX),
        _ => u64::from(u32::MAX),
    };
    answer.is_bounded().then(|| answer.constants.keys().map(|one| one & mask).collect())
}

/// What the kernel has a process call, without an instruction of a file: the return from a signal
/// handler on aarch64 is in the vDSO, and a call that a stop interrupted is restarted.
fn by_the_kernel(arch: Arch, calls: &mut BTreeMap<String, ReachableCall>) {
    let mut add = |name: &str| {
        calls.entry(name.to_owned()).or_insert_with(|| ReachableCall {
            number: syscalls::number(arch, name),
            path: vec!["kernel".to_owned()],
            ..ReachableCall::default()
        });
    };
    add("restart_syscall");
    if arch == Arch::Aarch64 {
        add("rt_sigreturn");
    }
}

/// Why a program is perhaps packed, so that its code is not in the file: none where nothing points to it.
fn packed(program: &ElfObject, calls: &BTreeMap<String, ReachableCall>) -> Option<&'static str> {
    if program.unpacks {
        return Some(
            "has memory that is executable and writable, or more executable memory than bytes in the file: its code may \
             be unpacked while it runs",
        );
    }
    // A packer leaves no sections and links nothing; what it unpacks it makes executable.
    let executable =
        ["mmap", "mprotect", "pkey_mprotect"].into_iter().filter_map(|name| calls.get(name)).any(|call| {
            let protection = call.arguments.get(&2);
            protection.is_none_or(|all| {
                all.as_ref().is_none_or(|all| all.iter().any(|protection| protection & PROT_EXEC != 0))
            })
        });
    (program.without_sections && program.interpreter.is_none() && executable).then_some(
        "has no sections, links nothing and makes memory executable, as packed programs do: its code may be unpacked \
         while it runs",
    )
}

/// Places at which names of libraries or symbols are not constant, and where memory is made executable.
fn named_by_variables(process: &LoadedProcess<'_>, query: &mut Query<'_>, gaps: &mut BTreeSet<ReachGap>) {
    let graph = &process.graph;
    for (name, places) in &graph.named_calls {
        let (position, kind) = match *name {
            "dlopen" => (0, GapKind::Library),
            "dlmopen" => (1, GapKind::Library),
            _ => (1, GapKind::Symbol),
        };
        for (caller, at) in places {
            let object = &graph.objects[caller.object].object;
            // The C library opens modules of the name service, converters and libgcc.
            if is_c_library(object) && object.interpreter.is_none() {
                continue;
            }
            let register = super::code::argument_registers(object.arch)[position];
            let answer = match query.passed(*caller, *at, Argument::Register(register)) {
                Passed::Known(value) => query.value((*caller, *at), &value),
                Passed::Never => continue,
            };
            if !answer.is_bounded() {
                let what = format!("{} calls {name} with a name that is not constant", graph.name(*caller));
                gaps.insert(ReachGap::new(kind, graph.place(*caller, *at), what));
            }
        }
    }
    let mut known = BTreeSet::new();
    for name in ["mmap", "mmap64", "mprotect", "pkey_mprotect"] {
        for (id, caller, at) in callers_of(graph, name) {
            let object = &graph.objects[caller.object].object;
            if caller.object == id.object || is_loader(object) || !known.insert((caller, at)) {
                continue;
            }
            let register = super::code::argument_registers(object.arch)[2];
            let Passed::Known(value) = query.passed(caller, at, Argument::Register(register)) else {
                continue;
            };
            let answer = query.value((caller, at), &value);
            if answer.constants.keys().any(|protection| protection & PROT_EXEC != 0) {
                let what = format!(
                    "{} makes memory executable by {name}: code that it writes there is not seen",
                    graph.name(caller)
                );
                gaps.insert(ReachGap::new(GapKind::GeneratedCode, graph.place(caller, at), what));
            }
        }
    }
}

fn is_loader(object: &ElfObject) -> bool {
    object.soname.as_deref().is_some_and(|name| name.starts_with("ld-linux"))
}

/// The callers of the exported functions of a name.
fn callers_of(graph: &Graph, name: &str) -> Vec<(FunctionId, FunctionId, u64)> {
    let exports = graph.objects.iter().enumerate().flat_map(|(object, loaded)| {
        let exports = loaded.object.exports.get(name).into_iter().flatten();
        exports.map(move |export| FunctionId { object, start: export.address })
    });
    let reached = exports.filter_map(|id| Some((id, graph.functions.get(&id)?)));
    reached.flat_map(|(id, one)| one.callers.iter().map(move |(caller, at)| (id, *caller, *at))).collect()
}

fn summaries(graph: &Graph) -> BTreeMap<String, ObjectSummary> {
    let mut reachable: BTreeMap<usize, usize> = BTreeMap::new();
    for id in graph.functions.keys() {
        *reachable.entry(id.object).or_default() += 1;
    }
    let summary = |(number, loaded): (usize, &super::graph::LoadedObject)| {
        let origin = match &loaded.origin {
            ObjectOrigin::Program => "program".to_owned(),
            ObjectOrigin::Loader => "loader".to_owned(),
            ObjectOrigin::Linked => "linked".to_owned(),
            ObjectOrigin::Opened(why) => format!("opened: {why}"),
        };
        let summary = ObjectSummary {
            origin,
            functions: loaded.object.starts.len(),
            reachable: reachable.get(&number).copied().unwrap_or(0),
        };
        (loaded.object.name.clone(), summary)
    };
    graph.objects.iter().enumerate().map(summary).collect()
}
