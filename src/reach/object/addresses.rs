//! Bytes by address.

use std::ops::Range;

use super::ElfObject;

impl ElfObject {
    /// The bytes from an address to the end of its segment; none where it is not loaded from the file.
    pub fn bytes_from(&self, address: u64) -> &[u8] {
        let at = self.segments.partition_point(|segment| segment.address <= address);
        let Some(segment) = at.checked_sub(1).and_then(|at| self.segments.get(at)) else { return &[] };
        let bytes = &self.file[segment.bytes.clone()];
        usize::try_from(address - segment.address).ok().and_then(|into| bytes.get(into..)).unwrap_or(&[])
    }

    /// So many bytes at an address.
    pub(super) fn bytes(&self, address: u64, size: u64) -> Option<&[u8]> {
        self.bytes_from(address).get(..usize::try_from(size).ok()?)
    }

    /// The word at an address, as the file has it.
    pub fn word(&self, address: u64) -> Option<u64> {
        let bytes = self.bytes_from(address).first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }

    /// Where the bytes of an address are in the file.
    pub(super) fn offset(&self, address: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|segment| segment.holds(address))?;
        Some(segment.bytes.start as u64 + (address - segment.address))
    }

    /// Text that ends with a NUL byte, of at most 256 bytes, all of them printable.
    pub fn text(&self, address: u64) -> Option<&str> {
        let bytes = self.bytes_from(address);
        let end = bytes.iter().take(257).position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&bytes[..end]).ok()?;
        (end <= 256 && !text.is_empty() && !text.contains(char::is_control)).then_some(text)
    }

    /// Whether there is code at an address.
    pub fn is_code(&self, address: u64) -> bool {
        self.code_around(address).is_some()
    }

    /// The executable section, or segment, around an address.
    pub fn code_around(&self, address: u64) -> Option<&Range<u64>> {
        let at = self.code.partition_point(|range| range.start <= address);
        self.code.get(at.checked_sub(1)?).filter(|range| range.contains(&address))
    }

    /// All its executable addresses.
    pub fn code(&self) -> &[Range<u64>] {
        &self.code
    }

    /// The function around an address: its beginning and end.
    pub fn function(&self, address: u64) -> Option<Range<u64>> {
        let section = self.code_around(address)?;
        let start = self.starts.range(..=address).next_back().map_or(section.start, |(start, _)| *start);
        let next = self.starts.range(address.checked_add(1)?..).next().map_or(section.end, |(next, _)| *next);
        Some(start.max(section.start)..next.min(section.end))
    }

    /// What messages call the function at an address.
    pub fn function_name(&self, start: u64) -> String {
        self.names.get(&start).cloned().unwrap_or_else(|| format!("0x{start:x}"))
    }

    /// The last part of its path.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }
}
