//! What an argument of a function can be: what all its callers pass, and theirs in turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::code::Register;
use super::function::{self, CodeEdge, FunctionFacts};
use super::graph::{Cause, FunctionId, Graph};
use super::values::{KnownValue, State};
use crate::kernel::Arch;

/// The most functions that one question is passed on to.
const MOST_FUNCTIONS: usize = 4096;
/// The most constants of one answer.
const MOST_CONSTANTS: usize = 512;

/// The most calls within calls that are followed to find whether a function returns.
const DEPTH: usize = 24;
/// More than any number of a system call.
const MOST_NUMBER: u64 = 1024;

/// The most steps by which all functions are followed.
const MOST_STEPS: usize = 64 << 20;
/// The most callers that are looked at for all questions.
const MOST_CALLERS: usize = 32 << 20;

/// Where an argument is at the beginning of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Argument {
    /// In a register.
    Register(Register),
    /// On the stack, at this distance from its pointer.
    Stack(i64),
}

/// A place in code.
pub type CodePlace = (FunctionId, u64);

/// What a value can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConstantAnswer {
    /// Constants, each with the first place that gives it.
    pub constants: BTreeMap<u64, Option<CodePlace>>,
    /// Places at which it is not constant.
    pub open: BTreeSet<CodePlace>,
    /// Functions whose address is taken, and whose callers were taken to be in the same objects.
    pub taken: BTreeSet<FunctionId>,
}

impl ConstantAnswer {
    fn take(&mut self, other: &ConstantAnswer) {
        for (value, place) in &other.constants {
            self.constants.entry(*value).or_insert(*place);
        }
        self.open.extend(&other.open);
        self.taken.extend(&other.taken);
    }

    /// It is one of the constants, whatever happens.
    pub fn is_bounded(&self) -> bool {
        self.open.is_empty()
    }
}

/// Answers questions about a graph that is complete.
pub struct Query<'g> {
    graph: &'g Graph,
    facts: HashMap<FunctionId, Rc<FunctionFacts>>,
    answers: HashMap<(FunctionId, Argument, bool), Rc<ConstantAnswer>>,
    /// Whether functions return; those that are being looked at are taken to.
    returning: HashMap<FunctionId, bool>,
    /// Where an object calls computed addresses.
    computed: HashMap<usize, Rc<Vec<CodePlace>>>,
    /// The addresses of data that the code of an object writes or names.
    changed: HashMap<usize, BTreeSet<u64>>,
    steps: usize,
    callers: usize,
}

impl<'g> Query<'g> {
    /// For this graph.
    pub fn new(graph: &'g Graph) -> Query<'g> {
        Query {
            graph,
            facts: HashMap::new(),
            answers: HashMap::new(),
            returning: HashMap::new(),
            computed: HashMap::new(),
            changed: HashMap::new(),
            steps: 0,
            callers: 0,
        }
    }

    /// Registers and stack at the places of a function.
    pub fn facts(&mut self, id: FunctionId) -> Rc<FunctionFacts> {
        if let Some(known) = self.facts.get(&id) {
            return Rc::clone(known);
        }
        let object = &self.graph.objects[id.object].object;
        let reached = self.graph.functions.get(&id);
        let scan = reached.and_then(|reached| reached.scan.as_ref());
        let facts = match (reached, scan, object.function(id.start)) {
            (Some(reached), Some(scan), Some(range)) if self.steps < MOST_STEPS => {
                let calls = scan
                    .edges
                    .iter()
                    .filter(|(_, edge)| matches!(edge, CodeEdge::Call(_) | CodeEdge::Slot(_)));
                let last = calls.map(|(at, _)| *at).filter(|at| !self.call_returns(id, *at, 0)).collect();
                function::follow(object, &range, scan, &reached.entries, &last)
            }
            _ => FunctionFacts { cut: true, ..FunctionFacts::default() },
        };
        self.steps = self.steps.saturating_add(facts.steps);
        let facts = Rc::new(facts);
        self.facts.insert(id, Rc::clone(&facts));
        facts
    }

    /// Whether control comes back from a call or jump at an address.
    fn call_returns(&mut self, from: FunctionId, at: u64, depth: usize) -> bool {
        let Some(callees) = self.graph.callees(from, at) else { return true };
        callees.into_iter().any(|id| self.returns(id, depth))
    }

    fn returns(&mut self, id: FunctionId, depth: usize) -> bool {
        if let Some(known) = self.returning.get(&id) {
            return *known;
        }
        let object = &self.graph.objects[id.object].object;
        let Some(range) = object.function(id.start).filter(|_| depth < DEPTH) else { return true };
        self.returning.insert(id, true);
        let returns = function::returns(object, &range, |at| self.call_returns(id, at, depth + 1));
        self.returning.insert(id, returns);
        returns
    }

    /// Where reachable code of an object calls computed addresses.
    fn computed_calls(&mut self, number: usize) -> Rc<Vec<CodePlace>> {
        if let Some(known) = self.computed.get(&number) {
            return Rc::clone(known);
        }
        let own = FunctionId { object: number, start: 0 }..=FunctionId { object: number, start: u64::MAX };
        let scans = self.graph.functions.range(own).filter_map(|(id, one)| Some((*id, one.scan.as_ref()?)));
        let places = scans.flat_map(|(id, scan)| scan.computed_calls.iter().map(move |at| (id, *at)));
        let places = Rc::new(places.collect::<Vec<_>>());
        self.computed.insert(number, Rc::clone(&places));
        places
    }

    /// What a register can hold at a place, of which the state is known.
    pub fn value(&mut self, place: CodePlace, value: &KnownValue) -> ConstantAnswer {
        self.known(place, value, false)
    }

    /// The same of the number of a system call. Where a function's address is taken, its callers are all
    /// computed calls of the objects that have the address: what they pass and is no number is ignored.
    pub fn number(&mut self, place: CodePlace, value: &KnownValue) -> ConstantAnswer {
        self.known(place, value, true)
    }

    fn known(&mut self, place: CodePlace, value: &KnownValue, numbers: bool) -> ConstantAnswer {
        let mut answer = ConstantAnswer::default();
        let of = |argument| (place.0, argument, numbers);
        match value {
            KnownValue::Constants(all) => answer.constants.extend(all.iter().map(|one| (*one, Some(place)))),
            KnownValue::Entry(register) => {
                return (*self.argument(of(Argument::Register(*register)))).clone();
            }
            KnownValue::EntryStack(distance) => {
                return (*self.argument(of(Argument::Stack(*distance)))).clone();
            }
            KnownValue::Variable(address, size) => match self.variable(place.0.object, *address, *size) {
                Some(initial) => {
                    answer.constants.insert(initial, Some(place));
                }
                None => {
                    answer.open.insert(place);
                }
            },
            KnownValue::Unknown | KnownValue::Stack(_) | KnownValue::Field(_) => {
                answer.open.insert(place);
            }
        }
        answer
    }

    /// What all callers pass, in functions that are reachable.
    fn argument(&mut self, (id, argument, numbers): (FunctionId, Argument, bool)) -> Rc<ConstantAnswer> {
        if let Some(known) = self.answers.get(&(id, argument, numbers)) {
            return Rc::clone(known);
        }
        let mut answer = ConstantAnswer::default();
        // The last says that a computed call is among the callers.
        let mut asks = vec![(id, argument, false)];
        let mut seen = BTreeSet::from([(id, argument)]);
        while let Some((id, argument, computed)) = asks.pop() {
            if let Some(known) = self.answers.get(&(id, argument, numbers)) {
                answer.take(&Rc::clone(known));
                continue;
            }
            let Some(reached) = self.graph.functions.get(&id) else { continue };
            let mut callers: Vec<(CodePlace, bool)> =
                reached.callers.iter().map(|place| (*place, true)).collect();
            // What the kernel and the loader pass to a function that computes a call is no number.
            let by_loader = computed && matches!(reached.cause, Cause::Start);
            if reached.open && !by_loader || !numbers && !reached.taken_by.is_empty() {
                answer.open.insert((id, id.start));
            } else if !reached.taken_by.is_empty() {
                answer.taken.insert(id);
                for number in &reached.taken_by {
                    callers.extend(self.computed_calls(*number).iter().map(|place| (*place, false)));
                }
            }
            self.callers = self.callers.saturating_add(callers.len());
            if self.callers > MOST_CALLERS {
                answer.open.insert((id, id.start));
                break;
            }
            for ((caller, at), by_name) in callers {
                let passed = match self.passed(caller, at, argument) {
                    Passed::Known(KnownValue::Variable(address, size)) => {
                        let initial = self.variable(caller.object, address, size);
                        Passed::Known(initial.map_or(KnownValue::Unknown, KnownValue::constant))
                    }
                    other => other,
                };
                let next = match passed {
                    Passed::Known(KnownValue::Constants(all)) => {
                        let is_number = |one: &u64| by_name || *one < MOST_NUMBER;
                        for one in all.into_iter().filter(is_number) {
                            answer.constants.entry(one).or_insert(Some((caller, at)));
                        }
                        continue;
                    }
                    Passed::Known(KnownValue::Entry(register)) => Argument::Register(register),
                    Passed::Known(KnownValue::EntryStack(distance)) => Argument::Stack(distance),
                    // An address of the stack is no number.
                    Passed::Known(KnownValue::Stack(_)) if !by_name => continue,
                    Passed::Known(
                        KnownValue::Unknown
                        | KnownValue::Stack(_)
                        | KnownValue::Variable(..)
                        | KnownValue::Field(_),
                    ) => {
                        answer.open.insert((caller, at));
                        continue;
                    }
                    Passed::Never => continue,
                };
                if seen.insert((caller, next)) {
                    asks.push((caller, next, computed || !by_name));
                }
            }
            if seen.len() > MOST_FUNCTIONS || answer.constants.len() > MOST_CONSTANTS {
                answer.open.insert((id, id.start));
                break;
            }
        }
        let answer = Rc::new(answer);
        self.answers.insert((id, argument, numbers), Rc::clone(&answer));
        answer
    }

    /// What a variable holds that reachable code of its object reads alone: neither writes nor takes the
    /// address of.
    fn variable(&mut self, number: usize, address: u64, size: u8) -> Option<u64> {
        let object = &self.graph.objects[number].object;
        if object.arch != Arch::X86_64 {
            return None;
        }
        let graph = self.graph;
        let known = self.changed.entry(number).or_insert_with(|| {
            let own =
                FunctionId { object: number, start: 0 }..=FunctionId { object: number, start: u64::MAX };
            let scans = graph.functions.range(own).filter_map(|(_, one)| one.scan.as_ref());
            scans.flat_map(|scan| scan.written.iter().chain(&scan.data)).copied().collect()
        });
        let touched = known.range(address.saturating_sub(7)..address.saturating_add(8)).next().is_some();
        if touched {
            return None;
        }
        let word = object.word(address)?;
        match size {
            8 => Some(word),
            4 => Some(u64::from(word as u32)),
            _ => None,
        }
    }

    /// What a caller has in an argument's place where it calls.
    pub fn passed(&mut self, caller: FunctionId, at: u64, argument: Argument) -> Passed {
        let facts = self.facts(caller);
        if facts.cut {
            return Passed::Known(KnownValue::Unknown);
        }
        let arch = self.graph.objects[caller.object].object.arch;
        match facts.calls.get(&at) {
            Some((is_call, state)) => Passed::Known(at_call(arch, *is_call, state, argument)),
            // A table of a switch that leads out of the function is no instruction.
            None if self.graph.objects[caller.object].object.code_around(at).is_none() => {
                Passed::Known(KnownValue::Unknown)
            }
            None => Passed::Never,
        }
    }
}

/// What an argument is at a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// This.
    Known(KnownValue),
    /// Control never comes to the call.
    Never,
}

fn at_call(arch: Arch, is_call: bool, state: &State, argument: Argument) -> KnownValue {
    match argument {
        Argument::Register(register) => state.register(register).clone(),
        // A call of x86_64 pushes the address to which it returns.
        Argument::Stack(distance) => {
            let pushed = if is_call && arch == Arch::X86_64 { 8 } else { 0 };
            state.stack(arch, distance - pushed)
        }
    }
}
