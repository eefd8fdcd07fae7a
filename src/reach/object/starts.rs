//! Where functions begin: by symbols, by unwind information (`.eh_frame`), by Go's table of
//! functions, and where those are missing by the targets of calls.

use std::collections::HashMap;
use std::ops::Range;

use gimli::{BaseAddresses, CieOrFde, EhFrame, EhFrameHdr, LittleEndian, Pointer, UnwindSection};

use super::super::code::{Decoder, Flow};
use super::{ElfFault, ElfObject, ElfSections, MOST_ENTRIES};

/// So many bytes of code without unwind information are the stubs and beginnings that linkers add.
const MOST_UNCOVERED: u64 = 2048;

/// The most bytes of one section that are searched for calls, to find functions that nothing else names.
const MOST_SWEPT: u64 = 16 << 20;

/// The same of all sections of a file.
const MOST_SWEPT_OF_FILE: u64 = 64 << 20;

/// The first bytes of Go's table of functions, since Go 1.20 and Go 1.18 (internal/abi/symtab.go).
const GO_MAGIC: [u32; 2] = [0xffff_fff1, 0xffff_fff0];

impl ElfObject {
    pub(super) fn find_starts(
        &mut self,
        sections: &ElfSections,
        header: Option<u64>,
    ) -> Result<(), ElfFault> {
        let init = self.init.clone();
        for address in init.into_iter().chain([self.entry]) {
            if self.is_code(address) {
                self.starts.entry(address).or_default().hard = true;
            }
        }
        let covered = self.unwind_information(sections, header)?;
        self.is_go = sections.gopclntab.clone().is_some_and(|range| self.go_functions(range.start).is_some());
        let all: u64 = self.code.iter().map(|range| range.end - range.start).sum();
        // Code of the C library's own assembly has none; a file that has next to none was built without.
        self.without_unwind = !self.is_go && covered < all / 2 && all - covered.min(all) > MOST_UNCOVERED;
        if self.without_unwind {
            let lengths = self.code.iter().map(|range| range.end - range.start);
            self.is_cut = lengths.clone().any(|length| length > MOST_SWEPT)
                || lengths.sum::<u64>() > MOST_SWEPT_OF_FILE;
            self.call_targets();
        }
        if self.starts.len() > MOST_ENTRIES {
            return Err(ElfFault::Many { what: "functions", most: MOST_ENTRIES });
        }
        Ok(())
    }

    /// The functions that have unwind information; the bytes that it covers.
    fn unwind_information(&mut self, sections: &ElfSections, header: Option<u64>) -> Result<u64, ElfFault> {
        let mut bases = BaseAddresses::default();
        if let Some(code) = self.code.first() {
            bases = bases.set_text(code.start);
        }
        if let Some(got) = sections.got.first() {
            bases = bases.set_got(got.start);
        }
        let section = sections.eh_frame.clone().filter(|range| !self.bytes_from(range.start).is_empty());
        let (address, size) = match (section, header) {
            (Some(range), _) => (range.start, range.end - range.start),
            (None, Some(header)) => {
                bases = bases.set_eh_frame_hdr(header);
                let parsed = EhFrameHdr::new(self.bytes_from(header), LittleEndian).parse(&bases, 8);
                match parsed.map(|parsed| parsed.eh_frame_ptr()) {
                    Ok(Pointer::Direct(address)) => (address, u64::MAX),
                    _ => return Ok(0),
                }
            }
            (None, None) => return Ok(0),
        };
        bases = bases.set_eh_frame(address);
        let bytes = self.bytes_from(address);
        let bytes = &bytes[..bytes.len().min(usize::try_from(size).unwrap_or(usize::MAX))];
        let frame = EhFrame::new(bytes, LittleEndian);
        let mut common = HashMap::new();
        let mut found = Vec::new();
        let mut entries = frame.entries(&bases);
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(entry) = entry else { continue };
            let entry = entry.parse(|frame, bases, offset| match common.get(&offset.0) {
                Some(one) => Ok(Clone::clone(one)),
                None => {
                    let one = frame.cie_from_offset(bases, offset)?;
                    common.insert(offset.0, one.clone());
                    Ok(one)
                }
            });
            let Ok(entry) = entry else { continue };
            let landing = !matches!(entry.lsda(), None | Some(Pointer::Direct(0)));
            found.push((entry.initial_address(), entry.len(), landing));
            if found.len() > MOST_ENTRIES {
                return Err(ElfFault::Many { what: "functions", most: MOST_ENTRIES });
            }
        }
        let mut covered = 0u64;
        for (start, length, landing) in found {
            if self.is_code(start) {
                covered = covered.saturating_add(length);
                let start = self.starts.entry(start).or_default();
                start.hard = true;
                start.landing |= landing;
            }
        }
        Ok(covered)
    }

    /// Go's table of functions (runtime.pcHeader, runtime.functab).
    fn go_functions(&mut self, table: u64) -> Option<()> {
        let at = |offset: u64| self.word(table.checked_add(offset)?);
        let magic = self.bytes_from(table).first_chunk()?;
        if !GO_MAGIC.contains(&u32::from_le_bytes(*magic)) {
            return None;
        }
        let (count, text) = (at(8)?, at(24)?);
        let (names, functions) = (at(32)?, at(64)?);
        if count > MOST_ENTRIES as u64 {
            return None;
        }
        // Newer releases leave the beginning of the code out, which the linker then writes.
        let text = if self.is_code(text) {
            text
        } else {
            self.code
                .iter()
                .map(|range| range.start)
                .max_by_key(|start| self.code_around(*start).map_or(0, |range| range.end - range.start))?
        };
        let first = table.checked_add(functions)?;
        let names = table.checked_add(names)?;
        let mut found = Vec::new();
        for number in 0..count {
            let entry = self.bytes(first.checked_add(number * 8)?, 8)?;
            let entry_offset = u32::from_le_bytes(*entry.first_chunk()?);
            let data_offset = u32::from_le_bytes(*entry.get(4..)?.first_chunk()?);
            let start = text.checked_add(u64::from(entry_offset))?;
            let name = self.bytes(first.checked_add(u64::from(data_offset))?.checked_add(4)?, 4);
            let name = name.and_then(|bytes| bytes.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes));
            let name = name.and_then(|offset| self.text(names.checked_add(u64::from(offset))?));
            found.push((start, name.map(str::to_owned)));
        }
        for (start, name) in found {
            if self.is_code(start) {
                self.starts.entry(start).or_default().hard = true;
                if let Some(name) = name {
                    self.names.entry(start).or_insert(name);
                }
            }
        }
        Some(())
    }

    /// Every address that some code calls, found by decoding all of it.
    fn call_targets(&mut self) {
        let mut found = Vec::new();
        let mut left = MOST_SWEPT_OF_FILE;
        for range in self.code.clone() {
            let length = (range.end - range.start).min(MOST_SWEPT).min(left);
            left -= length;
            self.sweep(range.start..range.start + length, &mut found);
        }
        for target in found {
            self.starts.entry(target).or_default().hard = true;
        }
    }

    fn sweep(&self, range: Range<u64>, found: &mut Vec<u64>) {
        let decoder = Decoder::new(self);
        let mut at = range.start;
        while at < range.end {
            let instruction = decoder.decode(at);
            if let Flow::Call(target) = instruction.flow
                && self.is_code(target)
            {
                found.push(target);
            }
            at += u64::from(instruction.length.max(1));
        }
    }
}
