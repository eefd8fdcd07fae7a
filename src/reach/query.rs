//! What an argument of a function can be: what all its callers pass, and theirs in turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::code::Register;
use super::function::{self, Facts};
use super::graph::{FunctionId, Graph};
use super::values::{State, Value};
use crate::kernel::Arch;

/// The most functions that one question is passed on to.
const MOST_FUNCTIONS: usize = 4096;
/// The most constants of one answer.
const MOST_CONSTANTS: usize = 512;

/// Where an argument is at the beginning of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Argument {
    /// In a register.
    Register(Register),
    /// On the stack, at this distance from its pointer.
    Stack(i64),
}

/// A place in code.
pub type Place = (FunctionId, u64);

/// What a value can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Constants, each with the first place that gives it.
    pub constants: BTreeMap<u64, Option<Place>>,
    /// Places at which it is not constant.
    pub open: BTreeSet<Place>,
}

impl Answer {
    fn take(&mut self, other: &Answer) {
        for (value, place) in &other.constants {
            self.constants.entry(*value).or_insert(*place);
        }
        self.open.extend(&other.open);
    }

    /// It is one of the constants, whatever happens.
    pub fn is_bounded(&self) -> bool {
        self.open.is_empty()
    }
}

/// Answers questions about a graph that is complete.
pub struct Query<'g> {
    graph: &'g Graph,
    facts: HashMap<FunctionId, Rc<Facts>>,
    answers: HashMap<(FunctionId, Argument), Rc<Answer>>,
}

impl<'g> Query<'g> {
    /// For this graph.
    pub fn new(graph: &'g Graph) -> Query<'g> {
        Query { graph, facts: HashMap::new(), answers: HashMap::new() }
    }

    /// Registers and stack at the places of a function.
    pub fn facts(&mut self, id: FunctionId) -> Rc<Facts> {
        if let Some(known) = self.facts.get(&id) {
            return Rc::clone(known);
        }
        let object = &self.graph.objects[id.object].object;
        let reached = self.graph.functions.get(&id);
        let scan = reached.and_then(|reached| reached.scan.as_ref());
        let facts = match (reached, scan, object.function(id.start)) {
            (Some(reached), Some(scan), Some(range)) => function::follow(object, &range, scan, &reached.entries),
            _ => Facts { cut: true, ..Facts::default() },
        };
        let facts = Rc::new(facts);
        self.facts.insert(id, Rc::clone(&facts));
        facts
    }

    /// What a register can hold at a place, of which the state is known.
    pub fn value(&mut self, place: Place, value: &Value) -> Answer {
        let mut answer = Answer::default();
        match value {
            Value::Constants(all) => answer.constants.extend(all.iter().map(|one| (*one, Some(place)))),
            Value::Entry(register) => return (*self.argument(place.0, Argument::Register(*register))).clone(),
            Value::EntryStack(distance) => return (*self.argument(place.0, Argument::Stack(*distance))).clone(),
            Value::Unknown | Value::Stack(_) | Value::Field(_) => drop(answer.open.insert(place)),
        }
        answer
    }

    /// What all callers pass, in functions that are reachable.
    pub fn argument(&mut self, id: FunctionId, argument: Argument) -> Rc<Answer> {
        if let Some(known) = self.answers.get(&(id, argument)) {
            return Rc::clone(known);
        }
        let mut answer = Answer::default();
        let mut asks = vec![(id, argument)];
        let mut seen: BTreeSet<(FunctionId, Argument)> = asks.iter().copied().collect();
        while let Some((id, argument)) = asks.pop() {
            if let Some(known) = self.answers.get(&(id, argument)) {
                answer.take(&Rc::clone(known));
                continue;
            }
            let Some(reached) = self.graph.functions.get(&id) else { continue };
            if reached.open {
                answer.open.insert((id, id.start));
            }
            for (caller, at) in &reached.callers {
                match self.passed(*caller, *at, argument) {
                    Passed::Value(Value::Constants(all)) => {
                        for one in all {
                            answer.constants.entry(one).or_insert(Some((*caller, *at)));
                        }
                    }
                    Passed::Value(Value::Entry(register)) => {
                        let next = (*caller, Argument::Register(register));
                        if seen.insert(next) {
                            asks.push(next);
                        }
                    }
                    Passed::Value(Value::EntryStack(distance)) => {
                        let next = (*caller, Argument::Stack(distance));
                        if seen.insert(next) {
                            asks.push(next);
                        }
                    }
                    Passed::Value(Value::Unknown | Value::Stack(_) | Value::Field(_)) => {
                        answer.open.insert((*caller, *at));
                    }
                    Passed::Never => {}
                }
            }
            if seen.len() > MOST_FUNCTIONS || answer.constants.len() > MOST_CONSTANTS {
                answer.open.insert((id, id.start));
                break;
            }
        }
        let answer = Rc::new(answer);
        self.answers.insert((id, argument), Rc::clone(&answer));
        answer
    }

    /// What a caller has in an argument's place where it calls.
    pub fn passed(&mut self, caller: FunctionId, at: u64, argument: Argument) -> Passed {
        let facts = self.facts(caller);
        if facts.cut {
            return Passed::Value(Value::Unknown);
        }
        let arch = self.graph.objects[caller.object].object.arch;
        match facts.calls.get(&at) {
            Some((is_call, state)) => Passed::Value(at_call(arch, *is_call, state, argument)),
            // A table of a switch that leads out of the function is no instruction.
            None if self.graph.objects[caller.object].object.code_around(at).is_none() => {
                Passed::Value(Value::Unknown)
            }
            None => Passed::Never,
        }
    }
}

/// What an argument is at a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// This.
    Value(Value),
    /// Control never comes to the call.
    Never,
}

fn at_call(arch: Arch, is_call: bool, state: &State, argument: Argument) -> Value {
    match argument {
        Argument::Register(register) => state.register(register).clone(),
        // A call of x86_64 pushes the address to which it returns.
        Argument::Stack(distance) => {
            let pushed = if is_call && arch == Arch::X86_64 { 8 } else { 0 };
            state.stack(arch, distance - pushed)
        }
    }
}
