//! What the kernel puts on the stack of a new program (fs/binfmt_elf.c,
//! create_elf_tables): the arguments, the environment and the auxiliary vector, in its
//! own copy. Until the program's first instruction nobody else can reach it.
//!
//! From the stack pointer up: argc, the arguments' addresses, NULL, the environment's,
//! NULL, the vector as pairs up to AT_NULL, and then all that they point at.

/// A fresh stack, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// argv.
    pub args: Vec<Vec<u8>>,
    /// envp.
    pub environment: Vec<Vec<u8>>,
    /// AT_EXECFN: the path that execve named, also where that was a script.
    pub named: Vec<u8>,
    /// AT_BASE is not 0: a loader was mapped, and begins.
    pub by_loader: bool,
}

/// Why a stack was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It goes on behind what was given.
    Short,
    /// It is none of a 64-bit program.
    Strange,
}

const AT_NULL: u64 = 0;
const AT_BASE: u64 = 7;
const AT_EXECFN: u64 = 31;

/// More arguments and variables than the kernel takes (MAX_ARG_STRINGS is higher, but a
/// stack of 8 MiB holds a quarter of that).
const MOST: u64 = 1 << 20;

impl Fresh {
    /// Reads the `bytes` that begin at the stack pointer.
    ///
    /// # Errors
    /// They end before the stack does, or make no sense.
    pub fn read(pointer: u64, bytes: &[u8]) -> Result<Fresh, Unread> {
        let mut words = Words { pointer, bytes, next: 0 };
        let count = words.next()?;
        if count > MOST {
            return Err(Unread::Strange);
        }
        let mut fresh = Fresh::default();
        for _ in 0..count {
            let address = words.next()?;
            fresh.args.push(words.text(address)?);
        }
        if words.next()? != 0 {
            return Err(Unread::Strange);
        }
        loop {
            match words.next()? {
                0 => break,
                address => fresh.environment.push(words.text(address)?),
            }
        }
        loop {
            match (words.next()?, words.next()?) {
                (AT_NULL, _) => break,
                (AT_BASE, base) => fresh.by_loader = base != 0,
                (AT_EXECFN, address) => fresh.named = words.text(address)?,
                _ => {}
            }
        }
        Ok(fresh)
    }
}

struct Words<'a> {
    pointer: u64,
    bytes: &'a [u8],
    next: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Result<u64, Unread> {
        let word = self.bytes.get(self.next..self.next + 8).ok_or(Unread::Short)?;
        self.next += 8;
        word.try_into().map(u64::from_le_bytes).map_err(|_| Unread::Short)
    }

    /// The text at an address, which is above the pointer.
    fn text(&self, address: u64) -> Result<Vec<u8>, Unread> {
        let at = address.checked_sub(self.pointer).ok_or(Unread::Strange)?;
        let rest = usize::try_from(at).ok().and_then(|at| self.bytes.get(at..)).ok_or(Unread::Short)?;
        let end = rest.iter().position(|byte| *byte == 0).ok_or(Unread::Short)?;
        Ok(rest[..end].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x7ffc_0000_1000;

    /// A stack as the kernel lays it out.
    fn stack(args: &[&str], environment: &[&str], base: u64) -> Vec<u8> {
        let words = 1 + args.len() + 1 + environment.len() + 1 + 3 * 2;
        let mut texts = Vec::new();
        let mut address = |text: &str| {
            let at = AT + words as u64 * 8 + texts.len() as u64;
            texts.extend(text.as_bytes());
            texts.push(0);
            at
        };
        let mut all = vec![args.len() as u64];
        all.extend(args.iter().map(|text| address(text)));
        all.push(0);
        all.extend(environment.iter().map(|text| address(text)));
        all.push(0);
        all.extend([AT_BASE, base, AT_EXECFN, address("/bin/named"), AT_NULL, 0]);
        all.iter().flat_map(|word| word.to_le_bytes()).chain(texts).collect()
    }

    #[test]
    fn arguments_environment_and_name_are_told_apart() {
        let fresh = Fresh::read(AT, &stack(&["sh", "-c", ""], &["A=1", "B="], 0x7f00)).expect("a stack");
        assert_eq!(fresh.args, [&b"sh"[..], b"-c", b""]);
        assert_eq!(fresh.environment, [&b"A=1"[..], b"B="]);
        assert_eq!((&fresh.named[..], fresh.by_loader), (&b"/bin/named"[..], true));
        let none = Fresh::read(AT, &stack(&[], &[], 0)).expect("a stack");
        assert_eq!((none.args.len(), none.environment.len(), none.by_loader), (0, 0, false));
    }

    #[test]
    fn what_is_cut_is_short_and_what_makes_no_sense_is_strange() {
        let whole = stack(&["sh", "-c", "true"], &["A=1"], 0);
        for length in 0..whole.len() {
            assert_eq!(Fresh::read(AT, &whole[..length]).err(), Some(Unread::Short), "{length}");
        }
        // A 32-bit program's: count and first address in one word.
        let mut narrow = whole.clone();
        narrow[4..8].copy_from_slice(&0xffd0_1234u32.to_le_bytes());
        assert_eq!(Fresh::read(AT, &narrow), Err(Unread::Strange));
        let mut below = whole;
        below[8..16].copy_from_slice(&(AT - 8).to_le_bytes());
        assert_eq!(Fresh::read(AT, &below), Err(Unread::Strange));
    }

    /// The real thing, at the end of which this very test stands.
    #[test]
    fn a_real_stack_is_read() {
        // std's own arguments lie in the stack that the kernel made: the words before
        // the first one's address are found by going back to the count.
        let stat = std::fs::read_to_string("/proc/self/stat").expect("own stat");
        let field = |number: usize| {
            let rest = stat.rsplit_once(')').expect("a name").1;
            rest.split_ascii_whitespace().nth(number - 3).and_then(|text| text.parse::<u64>().ok())
        };
        // start_stack is where argc is (proc(5), field 28).
        let pointer = field(28).expect("start_stack");
        let mut bytes = vec![0; 1 << 20];
        let me = std::process::id() as i32;
        let read = crate::sys::process::read_memory(me, pointer, &mut bytes).expect("own memory");
        let fresh = Fresh::read(pointer, &bytes[..read]).expect("a stack");
        let args: Vec<Vec<u8>> = std::env::args().map(String::into_bytes).collect();
        assert_eq!(fresh.args, args);
        assert!(fresh.environment.iter().any(|variable| variable.starts_with(b"PATH=")));
        assert!(!fresh.named.is_empty());
    }
}
