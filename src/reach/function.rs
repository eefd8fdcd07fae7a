//! One function: what it calls and names, and what its registers hold where it makes a system call or
//! calls another function.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use super::code::{Decoder, Flow, Instruction, Register, changed_by_calls};
use super::object::ElfObject;
use super::values::State;
use crate::kernel::Arch;

/// The most instructions of one function.
const MOST_INSTRUCTIONS: usize = 1_000_000;
/// The most entries of a table of a switch, where no comparison says how many there are.
const MOST_CASES: u64 = 256;
/// The most that a comparison before a table is believed.
const MOST_COMPARED: u64 = 4096;
/// How many instructions a comparison is at most before the jump by a table.
const NEAR: usize = 24;
/// How often, on average, an instruction is looked at again until nothing changes.
const ROUNDS: usize = 48;

/// The most instructions that are looked at to find whether a function returns; longer ones do.
const MOST_RETURNING: usize = 4096;

/// The most entries of tables, and pairs of instructions, that are looked at of one function.
const MOST_PAIRS: usize = 4 << 20;

/// The most steps by which one function is followed.
const MOST_STEPS: usize = 2_000_000;

/// What a function does with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CodeEdge {
    /// It calls it.
    Call(u64),
    /// It jumps there, or control falls there.
    Jump(u64),
    /// It calls or jumps to what stands at the address.
    Slot(u64),
    /// It computes the address.
    Address(u64),
    /// It reads what stands at the address.
    Read(u64),
}

/// A function as its instructions stand in the file.
#[derive(Debug, Default)]
pub struct Scan {
    /// Each with the address of its instruction; sorted, one of each.
    pub edges: Vec<(u64, CodeEdge)>,
    /// Addresses of data that it names.
    pub data: BTreeSet<u64>,
    /// Addresses of data that it writes.
    pub written: BTreeSet<u64>,
    /// It has a `syscall` or `svc` instruction.
    pub has_syscalls: bool,
    /// It has an instruction of the 32-bit kind, or bytes that look like one.
    pub has_old_syscalls: bool,
    /// Where it calls or jumps to computed addresses.
    pub computed_calls: BTreeSet<u64>,
    /// It has more instructions than are looked at, or more entries of tables.
    pub cut: bool,
    /// How many entries of tables and pairs of instructions were looked at.
    pub pairs: usize,
    /// Targets of jumps inside.
    targets: BTreeSet<u64>,
    /// Targets of tables.
    cases: BTreeSet<u64>,
    /// Addresses behind which control does not come from above.
    gaps: BTreeSet<u64>,
    /// It jumps to computed addresses.
    computed: bool,
}

/// Looks at every instruction of a function once.
pub fn scan(object: &ElfObject, range: &Range<u64>) -> Scan {
    let decoder = Decoder::new(object);
    let mut scan = Scan::default();
    let mut edges = BTreeSet::new();
    let mut pages: HashMap<Register, BTreeSet<u64>> = HashMap::new();
    let mut offsets = BTreeSet::new();
    let (mut tables, mut compared) = (BTreeSet::new(), Compared::default());
    let mut last = None;
    let (mut at, mut count) = (range.start, 0);
    while at < range.end {
        count += 1;
        if count > MOST_INSTRUCTIONS {
            scan.cut = true;
            break;
        }
        let instruction = decoder.decode(at);
        let next = at.saturating_add(u64::from(instruction.length.max(1)));
        let inside = |target: &u64| range.contains(target);
        match instruction.flow {
            Flow::Call(target) if target == next => {}
            Flow::Call(target) => {
                edges.insert((at, CodeEdge::Call(target)));
            }
            Flow::Jump(target) | Flow::Branch(target) if inside(&target) => {
                scan.targets.insert(target);
            }
            Flow::Jump(target) | Flow::Branch(target) => {
                edges.insert((at, CodeEdge::Jump(target)));
            }
            Flow::CallSlot(slot) | Flow::JumpSlot(slot) if object.slots.contains_key(&slot) => {
                edges.insert((at, CodeEdge::Slot(slot)));
            }
            Flow::CallSlot(_) | Flow::JumpSlot(_) | Flow::CallComputed => {
                scan.computed_calls.insert(at);
            }
            Flow::JumpComputed => {
                scan.computed_calls.insert(at);
                scan.computed = true;
            }
            Flow::Syscall => scan.has_syscalls = true,
            Flow::OldSyscall => scan.has_old_syscalls = true,
            _ => {}
        }
        if matches!(
            instruction.flow,
            Flow::Jump(_) | Flow::JumpSlot(_) | Flow::JumpComputed | Flow::Return | Flow::Stop
        ) {
            scan.gaps.insert(next);
        }
        names(object, at, &instruction, &mut edges, &mut scan.data);
        tables.extend(instruction.table);
        tables.extend(instruction.address.filter(|to| !object.is_code(*to)));
        compared.take(&instruction);
        scan.written.extend(instruction.writes);
        if let Some((register, page)) = instruction.page {
            pages.entry(register).or_default().insert(page);
        }
        if let Some((register, distance, reads)) = instruction.offset {
            offsets.insert((register, distance, reads, at));
        }
        if !instruction.is_padding {
            last = Some(instruction.flow);
        }
        at = next;
    }
    for (register, distance, reads, at) in offsets {
        scan.pairs += pages.get(&register).map_or(0, BTreeSet::len);
        if scan.pairs > MOST_PAIRS {
            scan.cut = true;
            break;
        }
        for page in pages.get(&register).into_iter().flatten() {
            let mut pair = Instruction::paired(page.wrapping_add(distance), reads);
            // Any two of a register may be a pair: only what is known to begin a function is one.
            pair.address = pair.address.filter(|to| !object.is_code(*to) || object.starts.contains_key(to));
            names(object, at, &pair, &mut edges, &mut scan.data);
        }
    }
    // On aarch64 the entries of a table are of one, two or four bytes, from a base of their own.
    if scan.computed && object.arch == Arch::X86_64 {
        cases(object, range, &tables, &compared, &mut scan, &mut edges);
    }
    let falls = match last {
        Some(Flow::Next | Flow::Branch(_) | Flow::Syscall | Flow::OldSyscall) => true,
        // What does not return is called last; but a label inside of a function ends none.
        Some(Flow::Call(_) | Flow::CallSlot(_) | Flow::CallComputed) => {
            object.starts.get(&range.end).is_some_and(|start| !start.hard)
        }
        _ => false,
    };
    if falls && object.is_code(range.end) {
        edges.insert((range.end - 1, CodeEdge::Jump(range.end)));
    }
    scan.edges = edges.into_iter().collect();
    scan
}

/// The addresses that an instruction names.
fn names(
    object: &ElfObject,
    at: u64,
    instruction: &Instruction,
    edges: &mut BTreeSet<(u64, CodeEdge)>,
    data: &mut BTreeSet<u64>,
) {
    if let Some(to) = instruction.address {
        if !object.is_code(to) {
            data.insert(to);
        } else if !object.fixed || object.starts.contains_key(&to) || to % 16 == 0 {
            edges.insert((at, CodeEdge::Address(to)));
        }
    }
    if let Some(slot) = instruction.reads
        && object.slots.contains_key(&slot)
    {
        edges.insert((at, CodeEdge::Read(slot)));
    }
}

/// The targets of the tables that a function jumps by: distances of 32 bits from the table, or
/// addresses. Some of them may be outside, where a compiler puts what is seldom executed.
fn cases(
    object: &ElfObject,
    range: &Range<u64>,
    tables: &BTreeSet<u64>,
    compared: &Compared,
    scan: &mut Scan,
    edges: &mut BTreeSet<(u64, CodeEdge)>,
) {
    let most = if compared.most == 0 { MOST_CASES } else { compared.most + 1 };
    for table in tables {
        let next = tables.range(table.saturating_add(1)..).next().copied().unwrap_or(u64::MAX);
        let bytes = object.bytes_from(*table);
        let distances = bytes.chunks_exact(4).map(|word| {
            let distance = i32::from_le_bytes(word.try_into().unwrap_or_default());
            table.wrapping_add(distance as i64 as u64)
        });
        let addresses =
            bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
        let is_next = |at: u64, size: u64| table.saturating_add(at * size) >= next;
        let targets = (0..most).zip(addresses).take_while(|(at, to)| !is_next(*at, 8) && object.is_code(*to));
        let mut found: Vec<u64> = if object.fixed { targets.map(|(_, to)| to).collect() } else { Vec::new() };
        if found.is_empty() {
            let targets =
                (0..most).zip(distances).take_while(|(at, to)| !is_next(*at, 4) && object.is_code(*to));
            found.extend(targets.map(|(_, to)| to));
        }
        scan.pairs += found.len() + 1;
        if scan.pairs > MOST_PAIRS {
            scan.cut = true;
            return;
        }
        // A table of data is no table of targets, and one of another function has none inside. What is
        // seldom executed is in one place, and not behind the end of the table.
        let (own, others): (Vec<_>, Vec<_>) = found.iter().zip(0..).partition(|(to, _)| range.contains(to));
        let others: Vec<u64> =
            others.into_iter().filter(|(_, at)| *at <= compared.near).map(|(to, _)| *to).collect();
        let functions: BTreeSet<u64> =
            others.iter().filter_map(|to| object.function(*to)).map(|range| range.start).collect();
        if !own.is_empty() && functions.len() == 1 {
            edges.extend(others.into_iter().map(|to| (*table, CodeEdge::Jump(to))));
        }
        scan.cases.extend(own.into_iter().map(|(to, _)| *to));
    }
}

/// The constants of comparisons, which say how many entries the tables of switches have.
#[derive(Default)]
struct Compared {
    /// The greatest of the function.
    most: u64,
    /// The greatest of those that stand shortly before a computed jump.
    near: u64,
    last: u64,
    since: usize,
}

impl Compared {
    fn take(&mut self, instruction: &Instruction) {
        self.since += 1;
        if let Some(one) = instruction.compared.filter(|one| *one <= MOST_COMPARED) {
            self.most = self.most.max(one);
            (self.last, self.since) = (one, 0);
        }
        if instruction.flow == Flow::JumpComputed && self.since <= NEAR {
            self.near = self.near.max(self.last);
        }
    }
}

/// Registers and stack at the places of a function that matter.
#[derive(Debug, Default)]
pub struct FunctionFacts {
    /// Where it makes a system call.
    pub syscalls: BTreeMap<u64, State>,
    /// Where it makes one of the 32-bit kind.
    pub old_syscalls: BTreeSet<u64>,
    /// Where it calls a function, or jumps to one: `true` where it calls.
    pub calls: BTreeMap<u64, (bool, State)>,
    /// It took too many steps, so nothing is known of it.
    pub cut: bool,
    /// The steps that it took.
    pub steps: usize,
}

/// Follows registers and the stack through a function until nothing changes. `entries` are addresses
/// inside to which others jump, `last` calls that do not return.
pub fn follow(
    object: &ElfObject,
    range: &Range<u64>,
    scan: &Scan,
    entries: &BTreeSet<u64>,
    last: &BTreeSet<u64>,
) -> FunctionFacts {
    let decoder = Decoder::with_effects(object);
    let landing = object.starts.get(&range.start).is_some_and(|start| start.landing);
    let changed = changed_by_calls(object.arch, object.is_go);
    let mut leaders: BTreeSet<u64> = &scan.targets | &scan.cases;
    leaders.extend(entries);
    // Without a table that was read, a computed jump may lead to anything behind a gap.
    let open = scan.computed && scan.cases.is_empty();
    if open || landing || scan.cut {
        leaders.extend(scan.gaps.iter().filter(|gap| range.contains(gap)));
    }
    let mut work = Work { states: HashMap::new(), queue: VecDeque::new() };
    work.enter(range.start, &State::entry(object.arch));
    for entry in entries {
        work.enter(*entry, &State::unknown());
    }
    if landing || scan.cut {
        scan.gaps
            .iter()
            .filter(|gap| range.contains(gap))
            .for_each(|gap| work.enter(*gap, &State::unknown()));
    }
    let mut facts = FunctionFacts::default();
    let budget =
        ((range.end - range.start) as usize).saturating_mul(ROUNDS).saturating_add(4096).min(MOST_STEPS);
    let mut steps = 0;
    while let Some(leader) = work.queue.pop_front() {
        let Some(mut state) = work.states.get(&leader).map(|(state, _)| state.clone()) else { continue };
        if let Some(entry) = work.states.get_mut(&leader) {
            entry.1 = false;
        }
        let mut at = leader;
        while range.contains(&at) {
            steps += 1;
            if steps > budget {
                return FunctionFacts { cut: true, steps, ..FunctionFacts::default() };
            }
            let instruction = decoder.decode(at);
            let next = at.saturating_add(u64::from(instruction.length.max(1)));
            // A call and a system call are looked at before they change anything.
            let mut call = |is_call: bool, state: &State| {
                match facts.calls.get_mut(&at) {
                    Some((_, known)) => {
                        known.join(state);
                    }
                    None => {
                        facts.calls.insert(at, (is_call, state.clone()));
                    }
                };
            };
            let mut goes_on = true;
            match instruction.flow {
                Flow::Next => {}
                Flow::Syscall => match facts.syscalls.get_mut(&at) {
                    Some(known) => {
                        known.join(&state);
                    }
                    None => {
                        facts.syscalls.insert(at, state.clone());
                    }
                },
                Flow::Call(_) | Flow::CallSlot(_) | Flow::CallComputed => {
                    call(true, &state);
                    state.call(changed);
                    goes_on = !last.contains(&at);
                }
                Flow::Jump(target) if range.contains(&target) => {
                    work.enter(target, &state);
                    goes_on = false;
                }
                Flow::Branch(target) if range.contains(&target) => work.enter(target, &state),
                Flow::Branch(_) => call(false, &state),
                Flow::Jump(_) | Flow::JumpSlot(_) => {
                    call(false, &state);
                    goes_on = false;
                }
                Flow::JumpComputed => {
                    call(false, &state);
                    let targets = if open { &leaders } else { &scan.cases };
                    targets.iter().for_each(|target| work.enter(*target, &state));
                    goes_on = false;
                }
                Flow::OldSyscall => {
                    facts.old_syscalls.insert(at);
                    state.call(changed);
                }
                Flow::Return | Flow::Stop => goes_on = false,
            }
            if !goes_on {
                break;
            }
            for effect in &instruction.effects {
                state.apply(effect, object);
            }
            at = next;
            if leaders.contains(&at) {
                work.enter(at, &state);
                break;
            }
        }
        // Control that falls out at the end.
        if at == range.end {
            let known = facts.calls.entry(range.end - 1).or_insert_with(|| (false, state.clone()));
            known.1.join(&state);
        }
    }
    facts.steps = steps;
    facts
}

/// The states at leaders, and which of them have to be followed again.
struct Work {
    states: HashMap<u64, (State, bool)>,
    queue: VecDeque<u64>,
}

impl Work {
    fn enter(&mut self, leader: u64, state: &State) {
        match self.states.get_mut(&leader) {
            None => {
                self.states.insert(leader, (state.clone(), true));
                self.queue.push_back(leader);
            }
            Some((known, queued)) => {
                if known.join(state) && !*queued {
                    *queued = true;
                    self.queue.push_back(leader);
                }
            }
        }
    }
}

/// Whether control can come back from a function: to a return, or out of it by a jump that may return.
/// `goes` says it of a call or a jump to elsewhere at an address.
pub fn returns(object: &ElfObject, range: &Range<u64>, mut goes: impl FnMut(u64) -> bool) -> bool {
    let decoder = Decoder::new(object);
    let (mut seen, mut queue) = (BTreeSet::new(), vec![range.start]);
    while let Some(from) = queue.pop() {
        let mut at = from;
        while range.contains(&at) && seen.insert(at) {
            if seen.len() > MOST_RETURNING {
                return true;
            }
            let instruction = decoder.decode(at);
            match instruction.flow {
                Flow::Return | Flow::JumpComputed => return true,
                Flow::Jump(to) if range.contains(&to) => {
                    queue.push(to);
                    break;
                }
                Flow::Branch(to) if range.contains(&to) => queue.push(to),
                Flow::Jump(_) | Flow::JumpSlot(_) => {
                    if goes(at) {
                        return true;
                    }
                    break;
                }
                Flow::Branch(_) if goes(at) => return true,
                Flow::Call(_) | Flow::CallSlot(_) if !goes(at) => break,
                Flow::Stop => break,
                _ => {}
            }
            at = at.saturating_add(u64::from(instruction.length.max(1)));
        }
        if at == range.end && goes(range.end.saturating_sub(1)) {
            return true;
        }
    }
    false
}
