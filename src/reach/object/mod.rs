//! One ELF file, as the analysis needs it: segments, symbols, relocations, the beginnings of its
//! functions. Every number in a file is untrusted: what lies outside of the file, or is more than
//! the limits here allow, is a [`ElfFault`].

mod addresses;
mod dynamic;
mod starts;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;

use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::read::{ReadRef, StringTable};

use crate::kernel::Arch;

/// The most bytes of a file that is read.
pub const MOST_BYTES: u64 = 1 << 30;
/// The most segments, entries of a dynamic section that name libraries, and sections.
const MOST_PARTS: usize = 4096;
/// The most symbols, relocations or functions of a file.
const MOST_ENTRIES: usize = 4 << 20;
/// The most bytes of names of symbols of a file, all together.
const MOST_NAMES: usize = 256 << 20;
/// So many bytes of a file may be in two segments, for each segment: the rest of a page.
const SHARED: u64 = 64 << 10;
/// The longest name of a symbol or library, in bytes. C++ has very long ones.
const LONGEST_NAME: usize = 16 << 10;

/// Why a file cannot be analysed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElfFault {
    /// It does not begin as an ELF file.
    NotElf,
    /// It is an ELF file of 32 bits or of another byte order.
    Class,
    /// It is for another machine (e_machine).
    Machine(u16),
    /// It is for the other of the two architectures than the program.
    OtherArch(Arch),
    /// It is neither a program nor a shared object (e_type).
    Type(u16),
    /// It was packed by UPX: its code is in it compressed.
    Packed,
    /// A part of it lies outside of the file.
    Cut(&'static str),
    /// It has more of something than is analysed.
    Many {
        /// Of what.
        what: &'static str,
        /// How many are analysed.
        most: usize,
    },
    /// It has no code.
    NoCode,
}

impl fmt::Display for ElfFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElfFault::NotElf => f.write_str("is no ELF file; name a program or a shared object"),
            ElfFault::Class => {
                f.write_str("is an ELF file of 32 bits or big-endian; x86_64 and aarch64 are analysed")
            }
            ElfFault::Machine(machine) => {
                write!(
                    f,
                    "is for another machine (e_machine {machine}); x86_64 (62) and aarch64 (183) are analysed"
                )
            }
            ElfFault::OtherArch(arch) => {
                write!(f, "is for {arch}, unlike the first program; analyse each architecture by itself")
            }
            ElfFault::Type(kind) => {
                write!(f, "is neither a program nor a shared object (e_type {kind}); link it first")
            }
            ElfFault::Packed => f.write_str(
                "is packed by UPX, so its code cannot be read; unpack it with `upx -d` and name the result",
            ),
            ElfFault::Cut(what) => write!(f, "is cut or malformed: its {what} lies outside of the file"),
            ElfFault::Many { what, most } => {
                write!(f, "has more than {most} {what}, which is more than is analysed")
            }
            ElfFault::NoCode => f.write_str("has no executable segment with bytes in the file"),
        }
    }
}

impl std::error::Error for ElfFault {}

/// A part of the file that is loaded (PT_LOAD).
#[derive(Clone, Debug)]
struct Segment {
    address: u64,
    /// Where its bytes are in the file.
    bytes: Range<usize>,
    executable: bool,
}

/// Where a symbol or a pointer leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// An address of the object itself.
    Address(u64),
    /// A symbol that the loader looks up.
    Symbol(String),
    /// A function that returns the address (R_*_IRELATIVE).
    Resolver(u64),
}

/// A symbol that other objects can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its address in the object.
    pub address: u64,
    /// It is code: STT_FUNC, STT_GNU_IFUNC, or without a type in code.
    pub is_function: bool,
    /// The address is that of a resolver (STT_GNU_IFUNC).
    pub indirect: bool,
}

/// A known beginning of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionStart {
    /// Control never falls into it from above: it is known by a symbol, by unwind information, or is
    /// called.
    pub hard: bool,
    /// It has landing pads of exceptions, which the unwinder jumps to.
    pub landing: bool,
}

/// An ELF file.
pub struct ElfObject {
    /// The path of the file, or what messages call it.
    pub name: String,
    /// The architecture of its code.
    pub arch: Arch,
    /// It is loaded at the addresses in the file (ET_EXEC).
    pub fixed: bool,
    /// e_entry; 0 where it has none.
    pub entry: u64,
    /// PT_INTERP.
    pub interpreter: Option<String>,
    /// DT_NEEDED.
    pub needed: Vec<String>,
    /// DT_RPATH, not yet divided at colons.
    pub rpath: Option<String>,
    /// DT_RUNPATH, not yet divided at colons.
    pub runpath: Option<String>,
    /// DT_SONAME.
    pub soname: Option<String>,
    /// Functions that the loader calls: DT_INIT, DT_FINI; those of arrays are among the pointers.
    pub init: Vec<u64>,
    /// By name; a name has several where it has several versions.
    pub exports: HashMap<String, Vec<Export>>,
    /// Names that it takes from other objects.
    pub imports: BTreeSet<String>,
    /// What the loader writes to an address: the global offset table, and pointers in data.
    pub slots: HashMap<u64, Link>,
    /// Pointers in data, as opposed to the global offset table, that code reads by address.
    pub pointers: Vec<Link>,
    /// Beginnings of functions by address.
    pub starts: BTreeMap<u64, FunctionStart>,
    /// The names of functions, as far as there are symbols.
    pub names: HashMap<u64, String>,
    /// It is a Go program (.gopclntab).
    pub is_go: bool,
    /// Functions are only known by symbols and call targets.
    pub without_unwind: bool,
    /// It has more code than is searched for call targets.
    pub is_cut: bool,
    /// A segment is executable and writable, or has more executable memory than bytes in the file.
    pub unpacks: bool,
    /// It has no section headers.
    pub without_sections: bool,
    /// How many bytes of names there may still be.
    names_left: usize,
    file: Vec<u8>,
    segments: Vec<Segment>,
    /// Executable addresses, sorted; by sections where there are, else by segments.
    code: Vec<Range<u64>>,
}

impl fmt::Debug for ElfObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElfObject").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The sections that matter, by their addresses; all of them optional.
#[derive(Default)]
struct ElfSections {
    code: Vec<Range<u64>>,
    /// `.got` and `.got.plt`.
    got: Vec<Range<u64>>,
    eh_frame: Option<Range<u64>>,
    gopclntab: Option<Range<u64>>,
    /// `.init` and `.fini`, which the C library calls by symbols that a stripped file lacks.
    init: Vec<u64>,
    /// File offsets of tables: symbols with their strings, relocations.
    symbols: Vec<(Range<u64>, Range<u64>)>,
    rela: Vec<Range<u64>>,
    relr: Vec<Range<u64>>,
}

impl ElfObject {
    /// Reads the bytes of a file; `name` is for messages.
    ///
    /// # Errors
    /// See [`ElfFault`].
    pub fn read(name: &str, file: Vec<u8>) -> Result<ElfObject, ElfFault> {
        if !file.starts_with(b"\x7fELF") {
            return Err(ElfFault::NotElf);
        }
        if file.get(4) != Some(&2) || file.get(5) != Some(&1) {
            return Err(if file.len() < 64 { ElfFault::Cut("header") } else { ElfFault::Class });
        }
        let header = elf::FileHeader64::<LE>::parse(&*file).map_err(|_| ElfFault::Cut("header"))?;
        let arch = match header.e_machine(LE).0 {
            62 => Arch::X86_64,
            183 => Arch::Aarch64,
            other => return Err(ElfFault::Machine(other)),
        };
        let fixed = match header.e_type(LE).0 {
            2 => true,
            3 => false,
            other => return Err(ElfFault::Type(other)),
        };
        let programs =
            header.program_headers(LE, &*file).map_err(|_| ElfFault::Cut("program header table"))?;
        if programs.len() > MOST_PARTS {
            return Err(ElfFault::Many { what: "segments", most: MOST_PARTS });
        }
        let mut segments = Vec::new();
        for one in programs.iter().filter(|one| one.p_type(LE).0 == elf::PT_LOAD.0 && one.p_filesz(LE) > 0) {
            let (from, size) = (one.p_offset(LE), one.p_filesz(LE));
            let end = from.checked_add(size).filter(|end| *end <= file.len() as u64);
            let end = end.ok_or(ElfFault::Cut("segment"))?;
            one.p_vaddr(LE).checked_add(size).ok_or(ElfFault::Cut("segment"))?;
            segments.push(Segment {
                address: one.p_vaddr(LE),
                bytes: from as usize..end as usize,
                executable: one.p_flags(LE).0 & elf::PF_X.0 != 0,
            });
        }
        segments.sort_by_key(|segment| segment.address);
        let overlap = |pair: &[Segment]| pair[0].address + pair[0].bytes.len() as u64 > pair[1].address;
        if segments.windows(2).any(overlap) {
            return Err(ElfFault::Cut("segment (two of them overlap)"));
        }
        // Without this limit many segments of the same bytes would be read over and over.
        let mapped: u64 = segments.iter().map(|segment| segment.bytes.len() as u64).sum();
        if mapped > file.len() as u64 + SHARED * segments.len() as u64 {
            return Err(ElfFault::Cut("segment (several have the same bytes)"));
        }
        let unpacks = programs.iter().any(|one| {
            let flags = one.p_flags(LE).0;
            one.p_type(LE).0 == elf::PT_LOAD.0
                && flags & elf::PF_X.0 != 0
                && (flags & elf::PF_W.0 != 0 || one.p_memsz(LE) > one.p_filesz(LE))
        });
        // UPX writes its marker behind the program headers, and leaves no sections.
        let head = &file[..file.len().min(1024)];
        if header.e_shnum(LE) == 0 && head.windows(4).any(|word| word == b"UPX!") {
            return Err(ElfFault::Packed);
        }
        let sections = ElfSections::read(header, &file)?;
        let by_segment =
            || segments.iter().filter(|one| one.executable).map(Segment::range).collect::<Vec<_>>();
        let inside = |range: &Range<u64>| {
            segments
                .iter()
                .any(|one| one.executable && one.holds(range.start) && one.range().end >= range.end)
        };
        let mut code: Vec<Range<u64>> = sections.code.iter().filter(|range| inside(range)).cloned().collect();
        code.sort_by_key(|range| range.start);
        if code.is_empty() || code.windows(2).any(|pair| pair[0].end > pair[1].start) {
            code = by_segment();
        }
        if code.is_empty() {
            return Err(ElfFault::NoCode);
        }
        let mut object = ElfObject {
            name: name.to_owned(),
            arch,
            fixed,
            entry: header.e_entry(LE),
            interpreter: None,
            needed: Vec::new(),
            rpath: None,
            runpath: None,
            soname: None,
            init: sections.init.clone(),
            exports: HashMap::new(),
            imports: BTreeSet::new(),
            slots: HashMap::new(),
            pointers: Vec::new(),
            starts: BTreeMap::new(),
            names: HashMap::new(),
            is_go: false,
            without_unwind: false,
            is_cut: false,
            unpacks,
            without_sections: header.e_shnum(LE) == 0,
            names_left: MOST_NAMES,
            segments,
            code,
            file: Vec::new(),
        };
        let eh_frame_hdr = programs.iter().find(|one| one.p_type(LE).0 == elf::PT_GNU_EH_FRAME.0);
        let eh_frame_hdr = eh_frame_hdr.map(|one| one.p_vaddr(LE));
        if let Some(one) = programs.iter().find(|one| one.p_type(LE).0 == elf::PT_INTERP.0) {
            let path = one.interpreter(LE, &*file).map_err(|_| ElfFault::Cut("PT_INTERP"))?;
            object.interpreter = path.map(|path| String::from_utf8_lossy(path).into_owned());
        }
        let dynamics = match programs.iter().find(|one| one.p_type(LE).0 == elf::PT_DYNAMIC.0) {
            Some(one) => {
                one.dynamic(LE, &*file).map_err(|_| ElfFault::Cut("dynamic section"))?.unwrap_or(&[])
            }
            None => &[],
        };
        // Their copies end the borrow of the file.
        let dynamics: Vec<(i64, u64)> = dynamics
            .iter()
            .map(|one| (one.d_tag.get(LE).0, one.d_val.get(LE)))
            .take_while(|(tag, _)| *tag != 0)
            .take(MOST_PARTS * 4)
            .collect();
        object.file = file;
        object.symbols(&sections)?;
        object.dynamic(&dynamics, &sections)?;
        object.find_starts(&sections, eh_frame_hdr)?;
        object.find_pointers();
        Ok(object)
    }

    /// The symbols of the tables that sections name: names and beginnings of functions.
    fn symbols(&mut self, sections: &ElfSections) -> Result<(), ElfFault> {
        let file = std::mem::take(&mut self.file);
        for (table, strings) in &sections.symbols {
            let count = (table.end - table.start) as usize / size_of::<elf::Sym64<LE>>();
            if count > MOST_ENTRIES {
                return Err(ElfFault::Many { what: "symbols", most: MOST_ENTRIES });
            }
            let Ok(symbols) = (&*file).read_slice_at::<elf::Sym64<LE>>(table.start, count) else {
                return Err(ElfFault::Cut("symbol table"));
            };
            let strings = StringTable::new(&*file, strings.start, strings.end);
            for symbol in symbols {
                self.symbol(symbol, strings);
            }
        }
        self.file = file;
        self.within_names()
    }

    /// Counts a name; none where there are more than are read, which [`ElfObject::within_names`] says.
    fn counted<'n>(&mut self, name: &'n [u8]) -> Option<std::borrow::Cow<'n, str>> {
        let left = self.names_left.checked_sub(name.len());
        self.names_left = left.unwrap_or(0);
        left.map(|_| String::from_utf8_lossy(name))
    }

    fn within_names(&self) -> Result<(), ElfFault> {
        if self.names_left == 0 {
            return Err(ElfFault::Many { what: "bytes of names", most: MOST_NAMES });
        }
        Ok(())
    }

    /// A symbol that names a function of this object.
    fn symbol(&mut self, symbol: &elf::Sym64<LE>, strings: StringTable<'_>) -> Option<()> {
        let address = symbol.st_value.get(LE);
        let kind = symbol.st_type().0;
        let is_function = kind == elf::STT_FUNC.0 || kind == elf::STT_GNU_IFUNC.0;
        if symbol.st_shndx.get(LE).0 == 0 || !is_function || !self.is_code(address) {
            return None;
        }
        self.starts.entry(address).or_default().hard = true;
        let name = strings.get(symbol.st_name.get(LE)).ok().filter(|name| name.len() <= LONGEST_NAME)?;
        let name = self.counted(name)?;
        let known = self.names.entry(address).or_insert_with(|| name.clone().into_owned());
        // Aliases: the one that a reader knows is the shortest without an underscore in front.
        let rank = |name: &str| (name.starts_with('_'), name.len(), name.to_owned());
        if rank(&name) < rank(known) {
            *known = name.into_owned();
        }
        Some(())
    }

    /// Pointers to functions in the data of a program without relocations: every word that is the
    /// address of a known function.
    fn find_pointers(&mut self) {
        if !self.fixed {
            return;
        }
        for segment in &self.segments {
            let skip = (8 - segment.address % 8) % 8;
            let bytes = &self.file[segment.bytes.clone()];
            for word in bytes.get(skip as usize..).unwrap_or_default().chunks_exact(8) {
                let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
                if self.starts.contains_key(&word) {
                    self.pointers.push(Link::Address(word));
                }
            }
        }
        self.pointers.sort_unstable_by_key(|link| match link {
            Link::Address(address) | Link::Resolver(address) => *address,
            Link::Symbol(_) => 0,
        });
        self.pointers.dedup();
    }
}

impl Segment {
    fn range(&self) -> Range<u64> {
        self.address..self.address + self.bytes.len() as u64
    }

    fn holds(&self, address: u64) -> bool {
        self.range().contains(&address)
    }
}

impl ElfSections {
    /// The section headers. A file may have none; one whose table is cut is refused.
    fn read(header: &elf::FileHeader64<LE>, file: &[u8]) -> Result<ElfSections, ElfFault> {
        let mut found = ElfSections::default();
        let Ok(all) = header.section_headers(LE, file) else {
            return Err(ElfFault::Cut("section header table"));
        };
        if all.len() > MOST_PARTS * 16 {
            return Err(ElfFault::Many { what: "sections", most: MOST_PARTS * 16 });
        }
        let names = header.section_strings(LE, file, all).unwrap_or_default();
        for section in all {
            let (kind, address) = (section.sh_type(LE).0, section.sh_addr(LE));
            let Some(end) = address.checked_add(section.sh_size(LE)) else { continue };
            let offset = section.sh_offset(LE);
            let file_range = offset..offset.saturating_add(section.sh_size(LE)).min(file.len() as u64);
            let range = address..end;
            if section.sh_flags(LE).0 & elf::SHF_EXECINSTR.0 != 0 && address != 0 && !range.is_empty() {
                found.code.push(range.clone());
            }
            match section.name(LE, names).unwrap_or_default() {
                b".got" | b".got.plt" => found.got.push(range),
                b".eh_frame" => found.eh_frame = Some(range),
                b".gopclntab" => found.gopclntab = Some(range),
                b".init" | b".fini" => found.init.push(address),
                _ => {}
            }
            if file_range.start > file_range.end {
                continue;
            }
            if kind == elf::SHT_SYMTAB.0 || kind == elf::SHT_DYNSYM.0 {
                if let Some(strings) = all.get(section.sh_link(LE) as usize) {
                    let from = strings.sh_offset(LE);
                    let end = from.saturating_add(strings.sh_size(LE)).min(file.len() as u64);
                    found.symbols.push((file_range, from.min(end)..end));
                }
            } else if kind == elf::SHT_RELA.0 && address != 0 {
                found.rela.push(file_range);
            } else if kind == elf::SHT_RELR.0 && address != 0 {
                found.relr.push(file_range);
            }
        }
        Ok(found)
    }
}
