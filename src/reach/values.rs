//! What registers and the stack hold, as far as it can be known without running the code.

use super::code::{Arithmetic, Effect, REGISTERS, Register, Source, frame_register, stack_register};
use super::object::{Link, Object};
use crate::kernel::Arch;

/// The most constants that one value may be.
const MOST_CONSTANTS: usize = 16;
/// The most places of the stack that are followed.
const MOST_PLACES: usize = 256;

/// What a register or a place of the stack holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Anything.
    Unknown,
    /// One of these, sorted; never none.
    Constants(Vec<u64>),
    /// What a register held at the beginning of the function.
    Entry(Register),
    /// What the stack held at the beginning of the function, at this distance from its pointer.
    EntryStack(i64),
    /// The stack pointer of the beginning of the function, and a distance.
    Stack(i64),
    /// What a variable holds: its address, its size in bytes.
    Variable(u64, u8),
    /// A field of a structure in memory, at this distance from a pointer.
    Field(i64),
}

impl Value {
    /// A single constant.
    pub fn constant(value: u64) -> Value {
        Value::Constants(vec![value])
    }

    fn join(&mut self, other: &Value) -> bool {
        if self == other || *self == Value::Unknown {
            return false;
        }
        *self = match (&*self, other) {
            (Value::Constants(one), Value::Constants(two)) => {
                let mut all = one.clone();
                all.extend(two);
                all.sort_unstable();
                all.dedup();
                if all.len() == one.len() {
                    return false;
                }
                if all.len() > MOST_CONSTANTS { Value::Unknown } else { Value::Constants(all) }
            }
            _ => Value::Unknown,
        };
        true
    }

    fn map(&self, change: impl Fn(u64) -> u64) -> Value {
        match self {
            Value::Constants(all) => {
                let mut all: Vec<u64> = all.iter().map(|one| change(*one)).collect();
                all.sort_unstable();
                all.dedup();
                Value::Constants(all)
            }
            _ => Value::Unknown,
        }
    }

    /// The lower half, or that with its sign: of what is not a constant it is taken for the whole, since
    /// numbers and flags have no more.
    fn half(&self, sign: bool) -> Value {
        match self {
            Value::Constants(_) if sign => self.map(|one| one as i32 as i64 as u64),
            Value::Constants(_) => self.map(|one| u64::from(one as u32)),
            Value::Stack(_) => Value::Unknown,
            other => other.clone(),
        }
    }

    fn computed(&self, what: Arithmetic, constant: u64) -> Value {
        match (self, what) {
            (Value::Stack(distance), Arithmetic::Add) => Value::Stack(distance.wrapping_add(constant as i64)),
            (_, Arithmetic::And) if constant == 0 => Value::constant(0),
            _ => self.map(|one| match what {
                Arithmetic::Add => one.wrapping_add(constant),
                Arithmetic::And => one & constant,
                Arithmetic::Or => one | constant,
                Arithmetic::Xor => one ^ constant,
                Arithmetic::Shift => one.wrapping_shl(constant as u32),
            }),
        }
    }
}

/// A place of the stack: its distance from the stack pointer of the beginning, its size in bytes.
type Place = (i64, u8);

/// Registers and the stack at one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    registers: Vec<Value>,
    /// Sorted by place.
    stack: Vec<(Place, Value)>,
    /// An address of the stack is somewhere else than in the stack pointer, so that any write of memory
    /// may change the stack.
    escaped: bool,
    /// Nothing is known of the caller's part of the stack.
    changed_above: bool,
}

impl State {
    /// At the beginning of a function.
    pub fn entry(arch: Arch) -> State {
        let mut registers: Vec<Value> = (0..REGISTERS).map(|at| Value::Entry(at as Register)).collect();
        registers[usize::from(stack_register(arch))] = Value::Stack(0);
        State { registers, stack: Vec::new(), escaped: false, changed_above: false }
    }

    /// Where nothing is known.
    pub fn unknown() -> State {
        let registers = vec![Value::Unknown; REGISTERS];
        State { registers, stack: Vec::new(), escaped: true, changed_above: true }
    }

    /// What a register holds.
    pub fn register(&self, register: Register) -> &Value {
        &self.registers[usize::from(register) % REGISTERS]
    }

    /// What the stack holds at a distance from the stack pointer of this moment.
    pub fn stack(&self, arch: Arch, distance: i64) -> Value {
        match self.register(stack_register(arch)) {
            Value::Stack(base) => self.place(base.wrapping_add(distance), 8),
            _ => Value::Unknown,
        }
    }

    /// Takes in what may be as well. Returns whether that changed anything.
    pub fn join(&mut self, other: &State) -> bool {
        let mut changed = false;
        for (one, two) in self.registers.iter_mut().zip(&other.registers) {
            changed |= one.join(two);
        }
        let before = self.stack.len();
        self.stack.retain_mut(|(place, value)| match other.stack.binary_search_by_key(place, |one| one.0) {
            Ok(at) => {
                changed |= value.join(&other.stack[at].1);
                true
            }
            Err(_) => false,
        });
        changed |= self.stack.len() != before;
        for (mine, its) in
            [(&mut self.escaped, other.escaped), (&mut self.changed_above, other.changed_above)]
        {
            changed |= its && !*mine;
            *mine |= its;
        }
        changed
    }

    fn place(&self, distance: i64, size: u8) -> Value {
        let at =
            |place: &Place| *place == (distance, size) || place.0 == distance && size == 4 && place.1 == 8;
        if let Some((place, value)) = self.stack.iter().find(|(place, _)| at(place)) {
            return if place.1 == size { value.clone() } else { value.half(false) };
        }
        let overlaps = |place: &Place| {
            place.0 < distance.saturating_add(i64::from(size))
                && distance < place.0.saturating_add(i64::from(place.1))
        };
        if distance < 0 || self.changed_above || self.stack.iter().any(|(place, _)| overlaps(place)) {
            return Value::Unknown;
        }
        Value::EntryStack(distance)
    }

    fn store(&mut self, distance: i64, size: u8, value: Value) {
        let end = distance.saturating_add(i64::from(size));
        let apart = |place: &Place| place.0 >= end || place.0.saturating_add(i64::from(place.1)) <= distance;
        self.stack.retain(|(place, _)| apart(place));
        if value == Value::Unknown && distance < 0 {
            return;
        }
        if self.stack.len() >= MOST_PLACES {
            self.forget_stack();
            return;
        }
        let at = self.stack.partition_point(|(place, _)| *place < (distance, size));
        self.stack.insert(at, ((distance, size), value));
    }

    fn forget_stack(&mut self) {
        self.stack.clear();
        self.changed_above = true;
    }

    /// What a call may change: these registers, and where an address of the stack is known elsewhere, the
    /// stack.
    pub fn call(&mut self, registers: u32) {
        self.clobber(registers);
        if self.escaped {
            self.forget_stack();
        }
    }

    fn clobber(&mut self, registers: u32) {
        for (at, value) in self.registers.iter_mut().enumerate() {
            if registers & (1 << at) != 0 {
                *value = Value::Unknown;
            }
        }
    }

    /// What an instruction changes. `object` has the constants of its read-only data.
    pub fn apply(&mut self, effect: &Effect, object: &Object) {
        match *effect {
            Effect::None => {}
            Effect::Clobber(registers) => self.clobber(registers),
            Effect::StoreAnywhere => {
                if self.escaped {
                    self.forget_stack();
                }
            }
            Effect::Set(register, source) => {
                let value = self.source(&source, object);
                let own = [stack_register(object.arch), frame_register(object.arch)];
                self.escaped |= matches!(value, Value::Stack(_)) && !own.contains(&register);
                self.registers[usize::from(register) % REGISTERS] = value;
            }
            Effect::Store(base, distance, size, source) => {
                let value = self.source(&source, object);
                self.escaped |= matches!(value, Value::Stack(_));
                match self.register(base) {
                    Value::Stack(from) => {
                        let place = from.wrapping_add(distance);
                        self.store(place, size, value);
                    }
                    _ if self.escaped => self.forget_stack(),
                    _ => {}
                }
            }
        }
    }

    fn source(&self, source: &Source, object: &Object) -> Value {
        match *source {
            Source::Constant(value) => Value::constant(value),
            Source::Register(register) => self.register(register).clone(),
            Source::Half(register) => self.register(register).half(false),
            Source::Signed(register) => self.register(register).half(true),
            Source::Computed(what, register, constant) => self.register(register).computed(what, constant),
            Source::ComputedHalf(what, register, constant) => {
                self.register(register).computed(what, constant).half(false)
            }
            Source::Either(one, other) => {
                let mut value = self.register(one).clone();
                value.join(self.register(other));
                value
            }
            Source::Memory(base, distance, size) => match self.register(base) {
                Value::Stack(from) => self.place(from.wrapping_add(distance), size),
                Value::Constants(all) if all.len() == 1 => {
                    read(object, all[0].wrapping_add(distance as u64), size)
                }
                _ => Value::Field(distance),
            },
            Source::At(address, size) => read(object, address, size),
            Source::Unknown => Value::Unknown,
        }
    }
}

/// What an entry of the global offset table holds after relocation; other memory may be written.
fn read(object: &Object, address: u64, size: u8) -> Value {
    match object.slots.get(&address) {
        Some(Link::Address(to)) if object.is_code(*to) => Value::constant(*to),
        Some(_) => Value::Unknown,
        None => Value::Variable(address, size),
    }
}
