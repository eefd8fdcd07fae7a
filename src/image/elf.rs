//! How a file is executed, read from its first bytes as the kernel reads them
//! (fs/binfmt_elf.c, fs/binfmt_script.c). Lengths in a file are never trusted.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Executable;
use crate::kernel::Arch;

/// The bytes of a file, on disk or in memory.
pub trait ReadAt {
    /// The bytes from `offset`, at most `length`; fewer at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(self[from..from.saturating_add(length).min(self.len())].to_vec())
    }
}

/// The number of bytes that the kernel reads before it chooses a handler (BINPRM_BUF_SIZE).
const HEAD: usize = 256;
/// The longest PT_INTERP that is accepted (PATH_MAX).
const LONGEST_PATH: u64 = 4096;
/// No loader or program has more program headers than fit a page.
const MOST_HEADERS: usize = 73;
/// How much of a dynamic section is read, in bytes.
const LONGEST_DYNAMIC: u64 = 16 * 1024;

/// How a file with this content is executed on this architecture.
///
/// # Errors
/// The file cannot be read.
pub fn executable(file: &(impl ReadAt + ?Sized), arch: Arch) -> io::Result<Executable> {
    let head = file.read_at(0, HEAD)?;
    if head.starts_with(b"#!") {
        return Ok(script(&head));
    }
    if head.starts_with(b"\x7fELF") { elf(file, &head, arch) } else { Ok(Executable::Unknown) }
}

/// The `#!` line: the interpreter up to the first blank, and the rest of the line as one
/// argument. The kernel refuses a script whose interpreter does not fit the first 256 bytes.
fn script(head: &[u8]) -> Executable {
    let end = head.iter().position(|&byte| byte == b'\n' || byte == 0);
    let line = &head[2..end.unwrap_or(head.len())];
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let Some(start) = line.iter().position(|byte| !is_blank(byte)) else { return Executable::Unknown };
    let line = &line[start..];
    let stop = line.iter().position(is_blank);
    if stop.is_none() && end.is_none() && head.len() == HEAD {
        return Executable::Unknown;
    }
    let (interpreter, rest) = line.split_at(stop.unwrap_or(line.len()));
    let argument = String::from_utf8_lossy(rest).trim_matches([' ', '\t']).to_owned();
    let interpreter = PathBuf::from(OsStr::from_bytes(interpreter));
    Executable::Script(interpreter, (!argument.is_empty()).then_some(argument))
}

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;

const fn machine(arch: Arch) -> u16 {
    match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
    }
}

/// The fields of a program header that are needed here (elf(5)).
struct ProgramHeader {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

fn elf(file: &(impl ReadAt + ?Sized), head: &[u8], arch: Arch) -> io::Result<Executable> {
    let (Some(kind), Some(its)) = (u16_at(head, 16), u16_at(head, 18)) else {
        return Ok(Executable::Unknown);
    };
    if its != machine(arch) || head[4] != CLASS_64 || head[5] != LITTLE_ENDIAN {
        return Ok(Executable::Foreign(its));
    }
    let (Some(entry), Some(start), Some(size), Some(count)) =
        (u64_at(head, 24), u64_at(head, 32), u16_at(head, 54), u16_at(head, 56))
    else {
        return Ok(Executable::Unknown);
    };
    if size != 56 || (kind != ET_EXEC && kind != ET_DYN) || usize::from(count) > MOST_HEADERS {
        return Ok(Executable::Unknown);
    }
    let table = file.read_at(start, usize::from(count) * 56)?;
    let headers: Vec<ProgramHeader> = table.chunks_exact(56).filter_map(header).collect();
    if let Some(found) = headers.iter().find(|header| header.kind == PT_INTERP) {
        if found.size < 2 || found.size > LONGEST_PATH {
            return Ok(Executable::Unknown);
        }
        let bytes = file.read_at(found.offset, found.size as usize)?;
        let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        return Ok(Executable::Dynamic(PathBuf::from(OsStr::from_bytes(name))));
    }
    if kind == ET_EXEC {
        return Ok(Executable::Static);
    }
    shared(file, &headers, entry)
}

/// A shared object that names no loader: a static PIE, a loader, or a library.
/// glibc's loader has a SONAME; musl's upstream has none, and no DF_1_PIE either.
fn shared(file: &(impl ReadAt + ?Sized), headers: &[ProgramHeader], entry: u64) -> io::Result<Executable> {
    let mut soname = None;
    let mut strings = None;
    let mut flags = 0;
    if let Some(dynamic) = headers.iter().find(|header| header.kind == PT_DYNAMIC) {
        let bytes = file.read_at(dynamic.offset, dynamic.size.min(LONGEST_DYNAMIC) as usize)?;
        for pair in bytes.chunks_exact(16) {
            let (tag, value) = (u64_at(pair, 0).unwrap_or(0), u64_at(pair, 8).unwrap_or(0));
            match tag {
                0 => break,
                DT_SONAME => soname = Some(value),
                DT_STRTAB => strings = Some(value),
                DT_FLAGS_1 => flags = value,
                _ => {}
            }
        }
    }
    if flags & DF_1_PIE != 0 {
        return Ok(Executable::Static);
    }
    let Some((soname, strings)) = soname.zip(strings) else {
        return Ok(if entry == 0 { Executable::Unknown } else { Executable::Loader });
    };
    let name = match offset_of(headers, strings.saturating_add(soname)) {
        Some(offset) => file.read_at(offset, 64)?,
        None => Vec::new(),
    };
    let loader = [&b"ld"[..], b"libc.musl", b"libc.so"].iter().any(|start| name.starts_with(start));
    Ok(if loader && entry != 0 { Executable::Loader } else { Executable::Unknown })
}

/// The file offset of an address.
fn offset_of(headers: &[ProgramHeader], address: u64) -> Option<u64> {
    headers
        .iter()
        .filter(|header| header.kind == PT_LOAD)
        .find(|header| address.checked_sub(header.address).is_some_and(|into| into < header.size))
        .and_then(|header| header.offset.checked_add(address - header.address))
}

fn header(bytes: &[u8]) -> Option<ProgramHeader> {
    Some(ProgramHeader {
        kind: u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?),
        offset: u64_at(bytes, 8)?,
        address: u64_at(bytes, 16)?,
        size: u64_at(bytes, 32)?,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The paths of this architecture's loaders in distributions. They are granted for a directory of
/// programs, whose files are not read one by one.
pub fn standard_loaders(arch: Arch) -> [&'static Path; 3] {
    let names = match arch {
        Arch::X86_64 => {
            ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"]
        }
        Arch::Aarch64 => {
            ["/lib/ld-linux-aarch64.so.1", "/lib64/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"]
        }
    };
    names.map(Path::new)
}

/// The files that loaders read to find libraries: glibc's preload list and cache (ld.so(8)),
/// musl's path file (ldso/dynlink.c).
pub fn loader_files(arch: Arch) -> [&'static Path; 3] {
    let path = match arch {
        Arch::X86_64 => "/etc/ld-musl-x86_64.path",
        Arch::Aarch64 => "/etc/ld-musl-aarch64.path",
    };
    ["/etc/ld.so.preload", "/etc/ld.so.cache", path].map(Path::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation;

    fn read(bytes: &[u8]) -> Executable {
        executable(bytes, Arch::X86_64).expect("bytes can be read")
    }

    /// An ELF file of one program header and what it points at.
    fn file(machine: u16, kind: u16, entry: u64, header: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend(kind.to_le_bytes());
        bytes.extend(machine.to_le_bytes());
        bytes.resize(24, 0);
        bytes.extend(entry.to_le_bytes());
        bytes.extend(64u64.to_le_bytes());
        bytes.resize(54, 0);
        bytes.extend(56u16.to_le_bytes());
        bytes.extend(1u16.to_le_bytes());
        bytes.resize(64, 0);
        bytes.extend(header.to_le_bytes());
        bytes.resize(72, 0);
        bytes.extend(120u64.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend((content.len() as u64).to_le_bytes());
        bytes.resize(120, 0);
        bytes.extend(content);
        bytes
    }

    #[test]
    fn a_script_names_its_interpreter_and_one_argument() {
        let path = |text: &str, arg: Option<&str>| Executable::Script(text.into(), arg.map(str::to_owned));
        assert_eq!(read(b"#!/bin/sh\necho"), path("/bin/sh", None));
        assert_eq!(read(b"#! \t/usr/bin/env -S python3 -u \nx"), path("/usr/bin/env", Some("-S python3 -u")));
        assert_eq!(read(b"#!/bin/sh"), path("/bin/sh", None));
        assert_eq!(read(b"#!\n"), Executable::Unknown);
        assert_eq!(read(b"echo"), Executable::Unknown);
        assert_eq!(read(b""), Executable::Unknown);
        let long = [b"#!/".to_vec(), vec![b'a'; 300]].concat();
        assert_eq!(read(&long), Executable::Unknown);
    }

    #[test]
    fn an_elf_file_is_static_dynamic_or_foreign() {
        let loader = "/lib64/ld-linux-x86-64.so.2";
        let interp = format!("{loader}\0");
        assert_eq!(
            read(&file(62, ET_DYN, 1, PT_INTERP, interp.as_bytes())),
            Executable::Dynamic(loader.into())
        );
        assert_eq!(read(&file(62, ET_EXEC, 1, PT_LOAD, b"")), Executable::Static);
        assert_eq!(read(&file(183, ET_EXEC, 1, PT_LOAD, b"")), Executable::Foreign(183));
        assert_eq!(read(&file(62, ET_DYN, 1, PT_LOAD, b"")), Executable::Loader, "musl's has no SONAME");
        assert_eq!(read(&file(62, ET_DYN, 0, PT_LOAD, b"")), Executable::Unknown, "a library");
        let pie = [DT_FLAGS_1.to_le_bytes(), DF_1_PIE.to_le_bytes()].concat();
        assert_eq!(read(&file(62, ET_DYN, 1, PT_DYNAMIC, &pie)), Executable::Static);
    }

    #[test]
    fn a_cut_file_is_never_a_panic() {
        let whole = file(62, ET_DYN, 1, PT_INTERP, b"/lib/ld.so\0");
        for length in 0..whole.len() {
            read(&whole[..length]);
        }
        let mut wild = whole.clone();
        for at in 0..wild.len() {
            let was = std::mem::replace(&mut wild[at], 0xff);
            read(&wild);
            wild[at] = was;
        }
    }

    #[test]
    fn any_bytes_are_some_kind_of_file() {
        let seeds: [&[u8]; 4] = [
            &file(62, ET_DYN, 1, PT_INTERP, b"/lib/ld.so\0"),
            &file(62, ET_DYN, 1, PT_DYNAMIC, &[DT_STRTAB.to_le_bytes(), DT_SONAME.to_le_bytes()].concat()),
            &file(183, ET_EXEC, 1, PT_LOAD, b""),
            b"#!/usr/bin/env -S python3 -u\n",
        ];
        mutation::each(&seeds, |bytes| drop(read(bytes)));
    }
}
