//! What registers and the stack hold, as far as it can be known without running the code.

use super::code::{Arithmetic, Effect, REGISTERS, Register, ValueSource, frame_register, stack_register};
use super::object::{ElfObject, Link};
use crate::kernel::Arch;

/// The most constants that one value may be.
const MOST_CONSTANTS: usize = 16;
/// The most places of the stack that are followed.
const MOST_PLACES: usize = 256;

/// What a register or a place of the stack holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownValue {
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

impl KnownValue {
    /// A single constant.
    pub fn constant(value: u64) -> KnownValue {
        KnownValue::Constants(vec![value])
    }

    fn join(&mut self, other: &KnownValue) -> bool {
        if self == other || *self == KnownValue::Unknown {
            return false;
        }
        *self = match (&*self, other) {
            (KnownValue::Constants(one), KnownValue::Constants(two)) => {
                let mut all = one.clone();
                all.extend(two);
                all.sort_unstable();
                all.dedup();
                if all.len() == one.len() {
                    return false;
                }
                if all.len() > MOST_CONSTANTS { KnownValue::Unknown } else { KnownValue::Constants(all) }
            }
            _ => KnownValue::Unknown,
        };
        true
    }

    fn map(&self, change: impl Fn(u64) -> u64) -> KnownValue {
        match self {
            KnownValue::Constants(all) => {
                let mut all: Vec<u64> = all.iter().map(|one| change(*one)).collect();
                all.sort_unstable();
                all.dedup();
                KnownValue::Constants(all)
            }
            _ => KnownValue::Unknown,
        }
    }

    /// The lower half, or that with its sign: of what is not a constant it is taken for the whole, since
    /// numbers and flags have no more.
    fn half(&self, sign: bool) -> KnownValue {
        match self {
            KnownValue::Constants(_) if sign => self.map(|one| one as i32 as i64 as u64),
            KnownValue::Constants(_) => self.map(|one| u64::from(one as u32)),
            KnownValue::Stack(_) => KnownValue::Unknown,
            other => other.clone(),
        }
    }

    fn computed(&self, what: Arithmetic, constant: u64) -> KnownValue {
        match (self, what) {
            (KnownValue::Stack(distance), Arithmetic::Add) => {
                KnownValue::Stack(distance.wrapping_add(constant as i64))
            }
            (_, Arithmetic::And) if constant == 0 => KnownValue::constant(0),
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
type StackPlace = (i64, u8);

/// Registers and the stack at one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    registers: Vec<KnownValue>,
    /// Sorted by place.
    stack: Vec<(StackPlace, KnownValue)>,
    /// An address of the stack is somewhere else than in the stack pointer, so that any write of memory
    /// may change the stack.
    escaped: bool,
    /// Nothing is known of the caller's part of the stack.
    changed_above: bool,
}

impl State {
    /// At the beginning of a function.
    pub fn entry(arch: Arch) -> State {
        let mut registers: Vec<KnownValue> =
            (0..REGISTERS).map(|at| KnownValue::Entry(at as Register)).collect();
        registers[usize::from(stack_register(arch))] = KnownValue::Stack(0);
        State { registers, stack: Vec::new(), escaped: false, changed_above: false }
    }

    /// Where nothing is known.
    pub fn unknown() -> State {
        let registers = vec![KnownValue::Unknown; REGISTERS];
        State { registers, stack: Vec::new(), escaped: true, changed_above: true }
    }

    /// What a register holds.
    pub fn register(&self, register: Register) -> &KnownValue {
        &self.registers[usize::from(register) % REGISTERS]
    }

    /// What the stack holds at a distance from the stack pointer of this moment.
    pub fn stack(&self, arch: Arch, distance: i64) -> KnownValue {
        match self.register(stack_register(arch)) {
            KnownValue::Stack(base) => self.place(base.wrapping_add(distance), 8),
            _ => KnownValue::Unknown,
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

    fn place(&self, distance: i64, size: u8) -> KnownValue {
        let at = |place: &StackPlace| {
            *place == (distance, size) || place.0 == distance && size == 4 && place.1 == 8
        };
        if let Some((place, value)) = self.stack.iter().find(|(place, _)| at(place)) {
            return if place.1 == size { value.clone() } else { value.half(false) };
        }
        let overlaps = |place: &StackPlace| {
            place.0 < distance.saturating_add(i64::from(size))
                && distance < place.0.saturating_add(i64::from(place.1))
        };
        if distance < 0 || self.changed_above || self.stack.iter().any(|(place, _)| overlaps(place)) {
            return KnownValue::Unknown;
        }
        KnownValue::EntryStack(distance)
    }

    fn store(&mut self, distance: i64, size: u8, value: KnownValue) {
        let end = distance.saturating_add(i64::from(size));
        let apart =
            |place: &StackPlace| place.0 >= end || place.0.saturating_add(i64::from(place.1)) <= distance;
        self.stack.retain(|(place, _)| apart(place));
        if value == KnownValue::Unknown && distance < 0 {
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
                *value = KnownValue::Unknown;
            }
        }
    }

    /// What an instruction changes. `object` has the constants of its read-only data.
    pub fn apply(&mut self, effect: &Effect, object: &ElfObject) {
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
                self.escaped |= matches!(value, KnownValue::Stack(_)) && !own.contains(&register);
                self.registers[usize::from(register) % REGISTERS] = value;
            }
            Effect::Store(base, distance, size, source) => {
                let value = self.source(&source, object);
                self.escaped |= matches!(value, KnownValue::Stack(_));
                match self.register(base) {
                    KnownValue::Stack(from) => {
                        let place = from.wrapping_add(distance);
                        self.store(place, size, value);
                    }
                    _ if self.escaped => self.forget_stack(),
                    _ => {}
                }
            }
        }
    }

    fn source(&self, source: &ValueSource, object: &ElfObject) -> KnownValue {
        match *source {
            ValueSource::Constant(value) => KnownValue::constant(value),
            ValueSource::Register(register) => self.register(register).clone(),
            ValueSource::Half(register) => self.register(register).half(false),
            ValueSource::Signed(register) => self.register(register).half(true),
            ValueSource::Computed(what, register, constant) => {
                self.register(register).computed(what, constant)
            }
            ValueSource::ComputedHalf(what, register, constant) => {
                self.register(register).computed(what, constant).half(false)
            }
            ValueSource::Either(one, other) => {
                let mut value = self.register(one).clone();
                value.join(self.register(other));
                value
            }
            ValueSource::Memory(base, distance, size) => match self.register(base) {
                KnownValue::Stack(from) => self.place(from.wrapping_add(distance), size),
                KnownValue::Constants(all) if all.len() == 1 => {
                    read(object, all[0].wrapping_add(distance as u64), size)
                }
                _ => KnownValue::Field(distance),
            },
            ValueSource::At(address, size) => read(object, address, size),
            ValueSource::Unknown => KnownValue::Unknown,
        }
    }
}

/// What an entry of the global offset table holds after relocation; other memory may be written.
fn read(object: &ElfObject, address: u64, size: u8) -> KnownValue {
    match object.slots.get(&address) {
        Some(Link::Address(to)) if object.is_code(*to) => KnownValue::constant(*to),
        Some(_) => KnownValue::Unknown,
        None => KnownValue::Variable(address, size),
    }
}
