//! For tests: small programs and libraries, made byte by byte, and an image of them in memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::libraries::{FileContent, FileSource};

/// Where the code of a sample begins.
pub const CODE: u64 = 0x400;
/// Where its data begins: the global offset table, an entry for each import, then for each pointer.
pub const DATA: u64 = 0x2000;

/// x86_64 instructions.
#[derive(Clone, Default)]
pub struct Assembly(pub Vec<u8>);

impl Assembly {
    pub fn new() -> Assembly {
        Assembly::default()
    }

    /// The address of the next instruction.
    pub fn here(&self) -> u64 {
        CODE + self.0.len() as u64
    }

    pub fn raw(mut self, bytes: &[u8]) -> Assembly {
        self.0.extend(bytes);
        self
    }

    /// mov $number, %eax
    pub fn eax(self, number: u32) -> Assembly {
        self.raw(&[0xb8]).raw(&number.to_le_bytes())
    }

    /// mov $number, %edi
    pub fn edi(self, number: u32) -> Assembly {
        self.raw(&[0xbf]).raw(&number.to_le_bytes())
    }

    pub fn syscall(self) -> Assembly {
        self.raw(&[0x0f, 0x05])
    }

    pub fn ret(self) -> Assembly {
        self.raw(&[0xc3])
    }

    fn relative(self, opcode: &[u8], to: u64) -> Assembly {
        let end = self.here() + opcode.len() as u64 + 4;
        self.raw(opcode).raw(&(to.wrapping_sub(end) as i32).to_le_bytes())
    }

    pub fn call(self, to: u64) -> Assembly {
        self.relative(&[0xe8], to)
    }

    /// call *slot(%rip)
    pub fn call_slot(self, number: u64) -> Assembly {
        self.relative(&[0xff, 0x15], DATA + number * 8)
    }

    /// jmp *slot(%rip)
    pub fn jump_slot(self, number: u64) -> Assembly {
        self.relative(&[0xff, 0x25], DATA + number * 8)
    }

    /// lea address(%rip), %rdi
    pub fn rdi_address(self, to: u64) -> Assembly {
        self.relative(&[0x48, 0x8d, 0x3d], to)
    }

    /// lea address(%rip), %rsi
    pub fn rsi_address(self, to: u64) -> Assembly {
        self.relative(&[0x48, 0x8d, 0x35], to)
    }

    /// nop, until this address.
    pub fn until(mut self, address: u64) -> Assembly {
        while self.here() < address {
            self.0.push(0x90);
        }
        self
    }
}

/// A shared object, or a program that is one.
#[derive(Clone, Default)]
pub struct Sample {
    pub code: Vec<u8>,
    pub machine: Option<u16>,
    pub entry: u64,
    pub interpreter: Option<&'static str>,
    pub soname: Option<&'static str>,
    pub runpath: Option<&'static str>,
    pub needed: Vec<&'static str>,
    /// Names with addresses.
    pub exports: Vec<(&'static str, u64)>,
    /// Each has an entry of the global offset table.
    pub imports: Vec<&'static str>,
    /// Addresses that data holds.
    pub pointers: Vec<u64>,
    /// Text behind the pointers, from [`Sample::text`] on.
    pub texts: Vec<&'static str>,
}

impl Sample {
    pub fn of(code: Assembly) -> Sample {
        Sample { code: code.0, entry: CODE, ..Sample::default() }
    }

    /// The address of a text.
    pub fn text(&self, number: usize) -> u64 {
        let before: usize = self.texts[..number].iter().map(|text| text.len() + 1).sum();
        DATA + 8 * (self.imports.len() + self.pointers.len()) as u64 + before as u64
    }

    /// The bytes of the file, in which every address is the offset.
    pub fn bytes(&self) -> Vec<u8> {
        let mut data = vec![0; 8 * self.imports.len()];
        self.pointers.iter().for_each(|_| data.extend([0; 8]));
        for text in &self.texts {
            data.extend(text.as_bytes());
            data.push(0);
        }
        let align = |data: &mut Vec<u8>| data.resize(data.len().next_multiple_of(8), 0);
        align(&mut data);
        let mut strings = vec![0];
        let mut string = |text: &str| {
            let at = strings.len() as u64;
            strings.extend(text.as_bytes());
            strings.push(0);
            at
        };
        let mut symbols = vec![0; 24];
        for (name, address) in
            self.imports.iter().map(|name| (name, 0)).chain(self.exports.iter().map(|(name, at)| (name, *at)))
        {
            symbols.extend((string(name) as u32).to_le_bytes());
            // STB_GLOBAL, STT_FUNC; the section is only whether it is defined.
            symbols.extend([0x12, 0, u8::from(address != 0), 0]);
            symbols.extend(address.to_le_bytes());
            symbols.extend(0u64.to_le_bytes());
        }
        let count = symbols.len() as u32 / 24;
        let mut dynamic: Vec<(u64, u64)> = self.needed.iter().map(|name| (1, string(name))).collect();
        dynamic.extend(self.soname.map(|name| (14, string(name))));
        dynamic.extend(self.runpath.map(|name| (29, string(name))));
        let interpreter = self.interpreter.map(|path| (string(path), path.len() as u64 + 1));
        let mut relocations: Vec<u8> = Vec::new();
        let mut relocate = |at: u64, info: u64, addend: u64| {
            [at, info, addend].iter().for_each(|word| relocations.extend(word.to_le_bytes()));
        };
        for at in 0..self.imports.len() as u64 {
            relocate(DATA + 8 * at, (at + 1) << 32 | 6, 0);
        }
        for (at, pointer) in (self.imports.len() as u64..).zip(&self.pointers) {
            relocate(DATA + 8 * at, 8, *pointer);
        }
        let mut put = |bytes: &[u8]| {
            let at = DATA + data.len() as u64;
            data.extend(bytes);
            data.resize(data.len().next_multiple_of(8), 0);
            at
        };
        let at_strings = put(&strings);
        let at_symbols = put(&symbols);
        let mut hash: Vec<u8> = Vec::new();
        [1, count]
            .iter()
            .chain(&vec![0; count as usize + 1])
            .for_each(|word| hash.extend(word.to_le_bytes()));
        let at_hash = put(&hash);
        let at_relocations = put(&relocations);
        dynamic.extend([
            (5, at_strings),
            (10, strings.len() as u64),
            (6, at_symbols),
            (4, at_hash),
            (7, at_relocations),
            (8, relocations.len() as u64),
            (0, 0),
        ]);
        let dynamic: Vec<u8> = dynamic
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
            .collect();
        let at_dynamic = put(&dynamic);

        let mut headers: Vec<(u32, u32, u64, u64)> = vec![
            (1, 5, CODE, self.code.len() as u64),
            (1, 6, DATA, data.len() as u64),
            (2, 6, at_dynamic, dynamic.len() as u64),
        ];
        headers.extend(interpreter.map(|(at, size)| (3, 4, at_strings + at, size)));
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(3u16.to_le_bytes());
        file.extend(self.machine.unwrap_or(62).to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend(self.entry.to_le_bytes());
        file.extend(64u64.to_le_bytes());
        file.resize(52, 0);
        file.extend(64u16.to_le_bytes());
        file.extend(56u16.to_le_bytes());
        file.extend((headers.len() as u16).to_le_bytes());
        file.extend(64u16.to_le_bytes());
        file.resize(64, 0);
        for (kind, flags, at, size) in headers {
            file.extend(kind.to_le_bytes());
            file.extend(flags.to_le_bytes());
            [at, at, at, size, size, 8].iter().for_each(|word| file.extend(word.to_le_bytes()));
        }
        file.resize(CODE as usize, 0);
        file.extend(&self.code);
        file.resize(DATA as usize, 0);
        file.extend(data);
        file
    }
}

/// Files by path.
#[derive(Default)]
pub struct SampleImage(pub BTreeMap<PathBuf, Vec<u8>>);

impl SampleImage {
    pub fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> SampleImage {
        self.0.insert(path.into(), bytes.into());
        self
    }
}

impl FileSource for SampleImage {
    fn read(&self, path: &Path) -> io::Result<Option<FileContent>> {
        Ok(self.0.get(path).map(|bytes| FileContent { path: path.into(), bytes: bytes.clone() }))
    }

    fn list(&self, directory: &Path) -> Vec<OsString> {
        let here = self.0.keys().filter(|path| path.parent() == Some(directory));
        here.filter_map(|path| path.file_name()).map(OsString::from).collect()
    }
}
