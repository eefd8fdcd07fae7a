//! Which functions are reachable: the objects of a process, and the calls between them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::code::{Decoder, Flow};
use super::function::{self, CodeEdge, Scan};
use super::object::{ElfObject, Link};

/// The most functions that are looked at.
const MOST_FUNCTIONS: usize = 2_000_000;
/// The most bytes of code that are looked at, over all functions.
const MOST_CODE: u64 = 1 << 29;

/// The most entries of tables and pairs of instructions, over all functions.
const MOST_PAIRS: usize = 256 << 20;

/// A function: the number of its object, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId {
    /// The number of the object, in the order of loading.
    pub object: usize,
    /// Its first address.
    pub start: u64,
}

/// Why a function is reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel or the loader begins there: e_entry, DT_INIT, DT_FINI.
    Start,
    /// The data of an object has its address.
    Data(usize),
    /// The object is opened while the program runs, and its exported functions can be looked up.
    Opened,
    /// A function calls it or jumps to it, at this address.
    Called(FunctionId, u64),
    /// A function takes its address, at this address.
    Taken(FunctionId, u64),
}

/// A reachable function.
#[derive(Debug)]
pub struct Reached {
    /// Why, of all reasons the first that was found.
    pub cause: Cause,
    /// Where it is called by name, each once.
    pub callers: BTreeSet<(FunctionId, u64)>,
    /// It may be called from places that are not known: by the kernel or the loader, or because all that is
    /// exported may be looked up.
    pub open: bool,
    /// The objects whose data or code has its address: computed calls may lead to it.
    pub taken_by: BTreeSet<usize>,
    /// Addresses inside to which other functions jump.
    pub entries: BTreeSet<u64>,
    /// What it does; none until it was looked at.
    pub scan: Option<Scan>,
}

/// How an object came into the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectOrigin {
    /// It was named.
    Program,
    /// It is the loader that the program names (PT_INTERP).
    Loader,
    /// An object links it (DT_NEEDED), or /etc/ld.so.preload names it.
    Linked,
    /// It may be opened while the program runs; why that is believed.
    Opened(String),
}

/// An object of the process.
#[derive(Debug)]
pub struct LoadedObject {
    /// Its file.
    pub object: ElfObject,
    /// How it came there.
    pub origin: ObjectOrigin,
    /// The numbers of the objects in which its symbols are looked up, in order.
    pub scope: Vec<usize>,
}

/// The functions of a process.
#[derive(Default)]
pub struct Graph {
    /// The objects, in the order of loading.
    pub objects: Vec<LoadedObject>,
    /// The reachable functions.
    pub functions: BTreeMap<FunctionId, Reached>,
    /// Names that reachable code takes from other objects.
    pub looked_up: BTreeSet<String>,
    /// Places where names are called: of these names alone, which the analysis knows.
    pub named_calls: HashMap<&'static str, BTreeSet<(FunctionId, u64)>>,
    /// There was more than is looked at: what.
    pub cut: BTreeSet<&'static str>,
    queue: VecDeque<FunctionId>,
    /// Objects whose pointers in data are counted already.
    with_pointers: usize,
    /// Objects whose first functions are counted already.
    started: usize,
    bytes: u64,
    pairs: usize,
}

/// Functions whose arguments name libraries and symbols.
pub const OPENERS: [&str; 4] = ["dlopen", "dlmopen", "dlsym", "dlvsym"];

impl Graph {
    /// Adds an object; its scope is set later.
    pub fn add(&mut self, object: ElfObject, origin: ObjectOrigin) -> usize {
        self.objects.push(LoadedObject { object, origin, scope: Vec::new() });
        self.objects.len() - 1
    }

    /// Follows all that is reachable from the objects that there are now.
    pub fn follow(&mut self) {
        while self.started < self.objects.len() {
            self.start(self.started);
            self.started += 1;
        }
        // Calls first: the path that a reader is shown begins at the entry where one does.
        self.exhaust();
        while self.with_pointers < self.objects.len() {
            self.pointers(self.with_pointers);
            self.with_pointers += 1;
        }
        self.exhaust();
    }

    /// What the kernel and the loader call of an object.
    fn start(&mut self, number: usize) {
        let LoadedObject { object, origin, .. } = &self.objects[number];
        let mut first = object.init.clone();
        if matches!(origin, ObjectOrigin::Program | ObjectOrigin::Loader) {
            first.push(object.entry);
        }
        first.into_iter().for_each(|address| self.enter(number, address, Cause::Start));
    }

    /// Addresses in the data of an object, and of one that is opened its exported functions.
    fn pointers(&mut self, number: usize) {
        let pointers = std::mem::take(&mut self.objects[number].object.pointers);
        for pointer in &pointers {
            self.link(number, pointer, Cause::Data(number));
        }
        let LoadedObject { object, origin, .. } = &mut self.objects[number];
        object.pointers = pointers;
        // The C library is opened by programs that have their own, for the modules that link it.
        let is_c_library =
            object.soname.as_deref().is_some_and(|name| name.starts_with("libc.") || name.starts_with("ld-"));
        if matches!(origin, ObjectOrigin::Opened(_)) && !is_c_library {
            let exports = object.exports.values().flatten().filter(|export| export.is_function);
            let exports: BTreeSet<u64> = exports.map(|export| export.address).collect();
            exports.into_iter().for_each(|address| self.enter(number, address, Cause::Opened));
        }
    }

    fn exhaust(&mut self) {
        while let Some(id) = self.queue.pop_front() {
            let object = &self.objects[id.object].object;
            let Some(range) = object.function(id.start) else { continue };
            self.bytes += range.end - range.start;
            if self.bytes > MOST_CODE {
                self.cut.insert("bytes of code");
                return;
            }
            let scan = function::scan(object, &range);
            if scan.cut {
                self.cut.insert("instructions of a function");
            }
            self.pairs = self.pairs.saturating_add(scan.pairs);
            if self.pairs > MOST_PAIRS {
                self.cut.insert("entries of tables");
                return;
            }
            let edges = scan.edges.clone();
            if let Some(reached) = self.functions.get_mut(&id) {
                reached.scan = Some(scan);
            }
            for (at, edge) in edges {
                self.edge(id, at, edge);
            }
        }
    }

    fn edge(&mut self, from: FunctionId, at: u64, edge: CodeEdge) {
        let number = from.object;
        match edge {
            CodeEdge::Call(to) | CodeEdge::Jump(to) => {
                let Some(slot) = self.stub(number, to) else {
                    return self.go(number, to, Cause::Called(from, at), matches!(edge, CodeEdge::Jump(_)));
                };
                self.slot(from, at, slot, true);
            }
            CodeEdge::Slot(slot) => self.slot(from, at, slot, true),
            CodeEdge::Read(slot) => self.slot(from, at, slot, false),
            CodeEdge::Address(to) => match self.stub(number, to) {
                Some(slot) => self.slot(from, at, slot, false),
                None => self.enter(number, to, Cause::Taken(from, at)),
            },
        }
    }

    fn slot(&mut self, from: FunctionId, at: u64, slot: u64, calls: bool) {
        let Some(link) = self.objects[from.object].object.slots.get(&slot).cloned() else { return };
        let cause = if calls { Cause::Called(from, at) } else { Cause::Taken(from, at) };
        self.link(from.object, &link, cause);
    }

    fn link(&mut self, number: usize, link: &Link, cause: Cause) {
        match link {
            Link::Address(address) => self.enter(number, *address, cause),
            Link::Resolver(address) => {
                // What it returns it names by address.
                self.enter(number, *address, Cause::Start);
            }
            Link::Symbol(name) => self.symbol(number, name, cause),
        }
    }

    /// What a name means for an object: the first object of its scope that has it.
    pub fn symbol(&mut self, number: usize, name: &str, cause: Cause) {
        if let (Some(opener), Cause::Called(from, at)) =
            (OPENERS.into_iter().find(|opener| *opener == name), cause)
        {
            self.named_calls.entry(opener).or_default().insert((from, at));
        }
        if !self.looked_up.contains(name) {
            self.looked_up.insert(name.to_owned());
        }
        let scope = self.objects[number].scope.clone();
        let found = scope.into_iter().find_map(|other| {
            let exports = self.objects[other].object.exports.get(name)?;
            Some((other, exports.clone()))
        });
        let Some((other, exports)) = found else { return };
        // A name may have several versions: any of them is meant.
        for export in exports.into_iter().filter(|export| export.is_function) {
            let cause = if export.indirect { Cause::Start } else { cause };
            self.enter(other, export.address, cause);
        }
    }

    /// The entry of the global offset table to which a stub of the procedure linkage table jumps.
    fn stub(&self, number: usize, at: u64) -> Option<u64> {
        let object = &self.objects[number].object;
        let decoder = Decoder::new(object);
        let (mut next, mut page, mut read) = (at, None, None);
        for _ in 0..5 {
            let instruction = decoder.decode(next);
            match instruction.flow {
                Flow::JumpSlot(slot) => return object.slots.contains_key(&slot).then_some(slot),
                Flow::JumpComputed => return read.filter(|slot| object.slots.contains_key(slot)),
                Flow::Next => {}
                _ => return None,
            }
            if let Some((register, address)) = instruction.page {
                page = Some((register, address));
            } else if let (Some((base, distance, true)), Some((register, address))) =
                (instruction.offset, page)
                && base == register
            {
                read = Some(u64::wrapping_add(address, distance));
            } else if !instruction.is_padding && instruction.offset.is_none() {
                return None;
            }
            next = next.saturating_add(u64::from(instruction.length.max(1)));
        }
        None
    }

    /// A function is reachable that begins at this address.
    fn enter(&mut self, number: usize, address: u64, cause: Cause) {
        self.go(number, address, cause, false);
    }

    fn go(&mut self, number: usize, address: u64, cause: Cause, is_jump: bool) {
        let object = &mut self.objects[number].object;
        if !object.is_code(address) {
            return;
        }
        let known = object.starts.contains_key(&address);
        let start = if known || !is_jump {
            if !known {
                object.starts.entry(address).or_default().hard = matches!(cause, Cause::Called(..));
            }
            address
        } else {
            object.function(address).map_or(address, |range| range.start)
        };
        let id = FunctionId { object: number, start };
        let (functions, queue) = (&mut self.functions, &mut self.queue);
        if functions.len() >= MOST_FUNCTIONS {
            self.cut.insert("functions");
            return;
        }
        let reached = functions.entry(id).or_insert_with(|| {
            queue.push_back(id);
            Reached {
                cause,
                callers: BTreeSet::new(),
                open: false,
                taken_by: BTreeSet::new(),
                entries: BTreeSet::new(),
                scan: None,
            }
        });
        match cause {
            Cause::Called(from, at) => {
                reached.callers.insert((from, at));
            }
            Cause::Taken(from, _) => {
                reached.taken_by.insert(from.object);
            }
            Cause::Data(by) => {
                reached.taken_by.insert(by);
            }
            Cause::Start | Cause::Opened => reached.open = true,
        }
        if start != address {
            reached.entries.insert(address);
        }
    }

    /// The functions to which a call or jump at an address leads by name; none where one is not known.
    pub fn callees(&self, from: FunctionId, at: u64) -> Option<Vec<FunctionId>> {
        let scan = self.functions.get(&from)?.scan.as_ref()?;
        let first = scan.edges.partition_point(|(one, _)| *one < at);
        let here = scan.edges[first..].iter().take_while(|(one, _)| *one == at);
        let mut found = Vec::new();
        for (_, edge) in here {
            match edge {
                CodeEdge::Call(to) | CodeEdge::Jump(to) => match self.stub(from.object, *to) {
                    Some(slot) => found.extend(self.behind(from.object, slot)?),
                    None => found.push(self.around(from.object, *to)?),
                },
                CodeEdge::Slot(slot) => found.extend(self.behind(from.object, *slot)?),
                CodeEdge::Address(_) | CodeEdge::Read(_) => {}
            }
        }
        (!found.is_empty()).then_some(found)
    }

    /// The functions to which an entry of the global offset table leads.
    fn behind(&self, number: usize, slot: u64) -> Option<Vec<FunctionId>> {
        match self.objects[number].object.slots.get(&slot)? {
            Link::Address(address) => Some(vec![self.around(number, *address)?]),
            Link::Resolver(_) => None,
            Link::Symbol(name) => {
                let scope = self.objects[number].scope.iter();
                let found = scope
                    .copied()
                    .find_map(|other| Some((other, self.objects[other].object.exports.get(name)?)));
                let (other, exports) = found?;
                exports.iter().map(|one| self.around(other, one.address).filter(|_| !one.indirect)).collect()
            }
        }
    }

    fn around(&self, object: usize, address: u64) -> Option<FunctionId> {
        let start = self.objects[object].object.function(address)?.start;
        (start == address).then_some(FunctionId { object, start })
    }

    /// The path to a function, from where it begins: the entry, or an address in data.
    pub fn path(&self, id: FunctionId) -> Vec<FunctionId> {
        let (mut path, mut seen) = (vec![id], BTreeSet::from([id]));
        let mut at = id;
        while let Some(Reached { cause: Cause::Called(from, _) | Cause::Taken(from, _), .. }) =
            self.functions.get(&at)
        {
            if !seen.insert(*from) {
                break;
            }
            path.push(*from);
            at = *from;
        }
        path.reverse();
        path
    }

    /// What messages call a function: `libc.so.6:malloc`.
    pub fn name(&self, id: FunctionId) -> String {
        let object = &self.objects[id.object].object;
        format!("{}:{}", object.short_name(), object.function_name(id.start))
    }

    /// What messages call a place in code: `libc.so.6+0x1234`.
    pub fn place(&self, id: FunctionId, at: u64) -> String {
        format!("{}+0x{at:x}", self.objects[id.object].object.short_name())
    }
}
