//! What the analysis found.

use std::collections::{BTreeMap, BTreeSet};

use crate::kernel::Arch;

/// The system calls that programs can make, and what the analysis could not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The architecture of the programs.
    pub arch: Arch,
    /// The programs, by their resolved paths.
    pub programs: Vec<String>,
    /// The programs as they were named, before links and `#!` lines were followed.
    pub named: BTreeSet<String>,
    /// All files of which code was looked into, by path.
    pub objects: BTreeMap<String, ObjectSummary>,
    /// The calls, by name; one whose number has no name by its number.
    pub calls: BTreeMap<String, ReachableCall>,
    /// What the analysis could not know, and what it took for granted.
    pub gaps: BTreeSet<ReachGap>,
}

/// A file that was looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSummary {
    /// How it came into the process: `program`, `loader`, `linked`, or `opened: …`.
    pub origin: String,
    /// How many functions are known in it.
    pub functions: usize,
    /// How many of them are reachable.
    pub reachable: usize,
}

/// A system call that can be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReachableCall {
    /// Its number; none of a call that only has a name.
    pub number: Option<u32>,
    /// At how many instructions.
    pub sites: usize,
    /// The shortest path of functions that was found, from the entry or from a function whose address is
    /// in data, to that of the instruction: each `object:function`.
    pub path: Vec<String>,
    /// Of arguments that decide what the call does, by position: the constants that it can have, or
    /// `None` where some place has none.
    pub arguments: BTreeMap<u8, Option<BTreeSet<u64>>>,
}

/// What kind of gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapKind {
    /// A system call whose number is not constant: it may be any.
    Number,
    /// An interpreter or runtime, whose programs load code that is not known.
    Interpreter,
    /// A limit of the analysis was hit.
    Limit,
    /// Calls of 32-bit programs (`int 0x80`).
    OldCalls,
    /// A program whose code is perhaps unpacked while it runs.
    Packed,
    /// Memory that is made executable: code that is written there is not seen.
    GeneratedCode,
    /// A library whose name is not constant, or which cannot be opened.
    Library,
    /// A symbol whose name is not constant.
    Symbol,
    /// Code of which functions are found by the targets of calls alone.
    Functions,
    /// Programs that the program may execute, and that were not named.
    Executes,
    /// A directory of programs that the profile allows, none of which was looked into.
    Directory,
    /// Something that was taken for granted.
    Assumption,
}

impl GapKind {
    /// All of them.
    pub const ALL: [GapKind; 12] = [
        GapKind::Number,
        GapKind::Interpreter,
        GapKind::Limit,
        GapKind::OldCalls,
        GapKind::Packed,
        GapKind::GeneratedCode,
        GapKind::Library,
        GapKind::Symbol,
        GapKind::Functions,
        GapKind::Executes,
        GapKind::Directory,
        GapKind::Assumption,
    ];

    /// Its name in the output.
    pub fn name(self) -> &'static str {
        match self {
            GapKind::Number => "number",
            GapKind::Interpreter => "interpreter",
            GapKind::Limit => "limit",
            GapKind::OldCalls => "old-calls",
            GapKind::Packed => "packed",
            GapKind::GeneratedCode => "generated-code",
            GapKind::Library => "library",
            GapKind::Symbol => "symbol",
            GapKind::Functions => "functions",
            GapKind::Executes => "executes",
            GapKind::Directory => "directory",
            GapKind::Assumption => "assumption",
        }
    }

    /// Whether any call may be reachable through it, so that the calls that were found are no bound.
    pub fn is_unbounded(self) -> bool {
        matches!(
            self,
            GapKind::Number
                | GapKind::Interpreter
                | GapKind::Limit
                | GapKind::OldCalls
                | GapKind::Packed
                | GapKind::Directory
        )
    }
}

/// Something that the analysis could not know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReachGap {
    /// Of which kind.
    pub kind: GapKind,
    /// Where: an object, or a place in its code.
    pub place: String,
    /// What it is about.
    pub what: String,
}

impl ReachGap {
    /// A gap.
    pub fn new(kind: GapKind, place: impl Into<String>, what: impl Into<String>) -> ReachGap {
        ReachGap { kind, place: place.into(), what: what.into() }
    }
}

impl Reach {
    /// Whether the programs can make no other calls than those that were found, as far as the analysis
    /// knows.
    pub fn is_bounded(&self) -> bool {
        !self.gaps.iter().any(|gap| gap.kind.is_unbounded())
    }

    /// The names of the calls.
    pub fn names(&self) -> BTreeSet<&str> {
        self.calls.keys().map(String::as_str).collect()
    }

    /// Takes in what other programs can do.
    pub fn join(&mut self, other: Reach) {
        self.named.extend(other.named);
        self.programs.extend(
            other.programs.into_iter().filter(|one| !self.programs.contains(one)).collect::<Vec<_>>(),
        );
        for (path, summary) in other.objects {
            match self.objects.get_mut(&path) {
                Some(known) => {
                    known.functions = known.functions.max(summary.functions);
                    known.reachable = known.reachable.max(summary.reachable);
                }
                None => {
                    self.objects.insert(path, summary);
                }
            }
        }
        for (name, call) in other.calls {
            match self.calls.get_mut(&name) {
                Some(known) => known.join(call),
                None => {
                    self.calls.insert(name, call);
                }
            }
        }
        self.gaps.extend(other.gaps);
    }
}

impl ReachableCall {
    /// Takes in other places of the same call.
    pub fn join(&mut self, other: ReachableCall) {
        self.sites = self.sites.max(other.sites);
        if self.path.is_empty() || !other.path.is_empty() && other.path.len() < self.path.len() {
            self.path = other.path;
        }
        for (position, constants) in other.arguments {
            self.argument(position, constants);
        }
    }

    /// Adds what an argument can be; `None`: anything.
    pub fn argument(&mut self, position: u8, constants: Option<BTreeSet<u64>>) {
        let known = self.arguments.entry(position).or_insert_with(|| Some(BTreeSet::new()));
        match (known.as_mut(), constants) {
            (Some(known), Some(more)) => known.extend(more),
            _ => *known = None,
        }
    }
}
