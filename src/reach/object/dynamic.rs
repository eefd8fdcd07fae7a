//! The dynamic section: libraries, the symbols of the loader, relocations.

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{GnuHashTable, HashTable, RelrIterator};
use object::read::{ReadRef, StringTable};

use super::{ElfFault, ElfObject, ElfSections, Export, LONGEST_NAME, Link, MOST_ENTRIES, MOST_PARTS};
use crate::kernel::Arch;

type Header = elf::FileHeader64<LE>;
type Symbol = elf::Sym64<LE>;
type Rela = elf::Rela64<LE>;

/// The kinds of relocations that matter, the same on both architectures.
enum RelocationKind {
    Relative,
    /// R_*_GLOB_DAT, R_*_JUMP_SLOT.
    Slot,
    /// R_X86_64_64, R_AARCH64_ABS64.
    Data,
    Irelative,
}

fn kind(arch: Arch, number: u32) -> Option<RelocationKind> {
    Some(match (arch, number) {
        (Arch::X86_64, 8) | (Arch::Aarch64, 1027) => RelocationKind::Relative,
        (Arch::X86_64, 6 | 7) | (Arch::Aarch64, 1025 | 1026) => RelocationKind::Slot,
        (Arch::X86_64, 1) | (Arch::Aarch64, 257) => RelocationKind::Data,
        (Arch::X86_64, 37) | (Arch::Aarch64, 1032) => RelocationKind::Irelative,
        _ => return None,
    })
}

/// Ranges of bytes of a file.
type FileRanges = Vec<Range<u64>>;

impl ElfObject {
    pub(super) fn dynamic(&mut self, entries: &[(i64, u64)], sections: &ElfSections) -> Result<(), ElfFault> {
        let value =
            |tag: elf::DynamicTag| entries.iter().find(|(one, _)| *one == tag.0).map(|(_, value)| *value);
        let count = self.symbol_count(value)?;
        let (relocations, packed) = self.relocation_tables(value, entries.is_empty().then_some(sections))?;
        let table = value(elf::DT_SYMTAB).and_then(|address| self.offset(address));
        let strings = value(elf::DT_STRTAB).and_then(|address| self.offset(address));
        // The borrow of the file is apart from that of the object.
        let file = std::mem::take(&mut self.file);
        let strings = strings.map_or(StringTable::default(), |from| {
            let size = value(elf::DT_STRSZ).unwrap_or(0);
            StringTable::new(&*file, from, from.saturating_add(size).min(file.len() as u64))
        });
        let text = |offset: u64| -> Option<String> {
            let name = strings.get(u32::try_from(offset).ok()?).ok()?;
            (name.len() <= LONGEST_NAME).then(|| String::from_utf8_lossy(name).into_owned())
        };
        for (_, offset) in entries.iter().filter(|(tag, _)| *tag == elf::DT_NEEDED.0) {
            self.needed.push(text(*offset).ok_or(ElfFault::Cut("DT_NEEDED"))?);
        }
        if self.needed.len() > MOST_PARTS {
            return Err(ElfFault::Many { what: "libraries (DT_NEEDED)", most: MOST_PARTS });
        }
        self.rpath = value(elf::DT_RPATH).and_then(text);
        self.runpath = value(elf::DT_RUNPATH).and_then(text);
        self.soname = value(elf::DT_SONAME).and_then(text);
        self.init.extend([elf::DT_INIT, elf::DT_FINI].into_iter().filter_map(value));
        let symbols: &[Symbol] = match table {
            Some(at) => (&*file).read_slice_at(at, count).map_err(|()| ElfFault::Cut("symbol table"))?,
            None => &[],
        };
        self.exports_of(symbols, strings);
        for range in relocations {
            self.relocate(&file, &range, symbols, strings, &sections.got)?;
        }
        for range in packed {
            self.relocate_packed(&file, &range, &sections.got)?;
        }
        self.file = file;
        self.within_names()
    }

    /// Where relocations are in the file: those with an entry each, and the packed ones (DT_RELR). A static
    /// program that is not a PIE has no dynamic section, only sections.
    fn relocation_tables(
        &self,
        value: impl Fn(elf::DynamicTag) -> Option<u64>,
        sections: Option<&ElfSections>,
    ) -> Result<(FileRanges, FileRanges), ElfFault> {
        if let Some(sections) = sections {
            return Ok((sections.rela.clone(), sections.relr.clone()));
        }
        let table = |at, size| -> Result<Option<Range<u64>>, ElfFault> {
            let (Some(at), Some(size)) = (value(at), value(size).filter(|size| *size > 0)) else {
                return Ok(None);
            };
            let from = self.offset(at).ok_or(ElfFault::Cut("relocation table"))?;
            Ok(Some(from..from.saturating_add(size)))
        };
        let all = [table(elf::DT_RELA, elf::DT_RELASZ)?, table(elf::DT_JMPREL, elf::DT_PLTRELSZ)?];
        let packed = table(elf::DT_RELR, elf::DT_RELRSZ)?;
        Ok((all.into_iter().flatten().collect(), packed.into_iter().collect()))
    }

    /// The number of symbols of the dynamic symbol table, which no entry says: by the hash tables, by
    /// sections, and where a table has no defined symbol by the strings that linkers put behind the symbols.
    fn symbol_count(&self, value: impl Fn(elf::DynamicTag) -> Option<u64>) -> Result<usize, ElfFault> {
        let by_hash = value(elf::DT_HASH).and_then(|at| {
            HashTable::<Header>::parse(LE, self.bytes_from(at)).ok().map(|table| table.symbol_table_length())
        });
        let by_gnu = value(elf::DT_GNU_HASH).and_then(|at| {
            GnuHashTable::<Header>::parse(LE, self.bytes_from(at)).ok()?.symbol_table_length(LE)
        });
        let by_strings = || {
            let bytes = value(elf::DT_STRTAB)?.checked_sub(value(elf::DT_SYMTAB)?)?;
            u32::try_from(bytes / size_of::<Symbol>() as u64).ok()
        };
        let count = by_hash.or(by_gnu).or_else(by_strings).unwrap_or(0) as usize;
        if count > MOST_ENTRIES {
            return Err(ElfFault::Many { what: "symbols", most: MOST_ENTRIES });
        }
        Ok(count)
    }

    fn exports_of(&mut self, symbols: &[Symbol], strings: StringTable<'_>) {
        for symbol in symbols {
            let name = strings.get(symbol.st_name.get(LE)).ok();
            let Some(name) = name.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME) else {
                continue;
            };
            let Some(name) = self.counted(name) else { break };
            let name = name.into_owned();
            if symbol.st_shndx.get(LE).0 == 0 {
                self.imports.insert(name);
                continue;
            }
            if symbol.st_bind().0 == elf::STB_LOCAL.0 {
                continue;
            }
            let (address, kind) = (symbol.st_value.get(LE), symbol.st_type().0);
            let indirect = kind == elf::STT_GNU_IFUNC.0;
            let named = indirect || kind == elf::STT_FUNC.0 || kind == elf::STT_NOTYPE.0;
            let is_function = named && self.is_code(address);
            self.exports.entry(name).or_default().push(Export { address, is_function, indirect });
            self.symbol(symbol, strings);
        }
    }

    fn relocate(
        &mut self,
        file: &[u8],
        range: &Range<u64>,
        symbols: &[Symbol],
        strings: StringTable<'_>,
        got: &[Range<u64>],
    ) -> Result<(), ElfFault> {
        let count = (range.end - range.start) as usize / size_of::<Rela>();
        if count > MOST_ENTRIES {
            return Err(ElfFault::Many { what: "relocations", most: MOST_ENTRIES });
        }
        let all: &[Rela] =
            file.read_slice_at(range.start, count).map_err(|()| ElfFault::Cut("relocation table"))?;
        for one in all {
            let at = one.r_offset.get(LE);
            let addend = one.r_addend.get(LE) as u64;
            let info = one.r_info.get(LE);
            let Some(kind) = kind(self.arch, info as u32) else { continue };
            let (link, in_table) = match kind {
                RelocationKind::Relative => {
                    (Link::Address(addend), got.iter().any(|range| range.contains(&at)))
                }
                RelocationKind::Irelative => (Link::Resolver(addend), true),
                RelocationKind::Slot | RelocationKind::Data => {
                    let Some(symbol) = symbols.get((info >> 32) as usize) else { continue };
                    let name =
                        strings.get(symbol.st_name.get(LE)).ok().filter(|name| name.len() <= LONGEST_NAME);
                    let Some(name) = name.filter(|name| !name.is_empty()) else {
                        let address = symbol.st_value.get(LE).wrapping_add(addend);
                        self.pointers.push(Link::Address(address));
                        continue;
                    };
                    let Some(name) = self.counted(name) else { break };
                    let name = name.into_owned();
                    (Link::Symbol(name), matches!(kind, RelocationKind::Slot))
                }
            };
            if !in_table {
                self.pointers.push(link.clone());
            }
            if let Link::Resolver(_) = link {
                // The loader calls it at the start.
                self.pointers.push(link.clone());
            }
            self.slots.insert(at, link);
        }
        Ok(())
    }

    fn relocate_packed(
        &mut self,
        file: &[u8],
        range: &Range<u64>,
        got: &[Range<u64>],
    ) -> Result<(), ElfFault> {
        let count = (range.end - range.start) as usize / 8;
        let all: &[elf::Relr64<LE>] =
            file.read_slice_at(range.start, count).map_err(|()| ElfFault::Cut("relocation table"))?;
        for (number, at) in RelrIterator::<Header>::new(LE, all).enumerate() {
            if number > MOST_ENTRIES {
                return Err(ElfFault::Many { what: "relocations", most: MOST_ENTRIES });
            }
            // The addend is what the file has at the place.
            let Some(from) = self.offset(at) else { continue };
            let Some(word) = file.get(from as usize..).and_then(|bytes| bytes.first_chunk()) else {
                continue;
            };
            let link = Link::Address(u64::from_le_bytes(*word));
            if !got.iter().any(|range| range.contains(&at)) {
                self.pointers.push(link.clone());
            }
            self.slots.insert(at, link);
        }
        Ok(())
    }
}
