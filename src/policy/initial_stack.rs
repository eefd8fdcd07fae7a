//! What the kernel puts on the stack of a new program (fs/binfmt_elf.c,
//! create_elf_tables): the arguments, the environment and the auxiliary vector, in its
//! own copy. Until the program's first instruction no other process can write it.
//!
//! From the stack pointer up: argc, the arguments' addresses, NULL, the environment's,
//! NULL, the vector as pairs up to AT_NULL, and then all that they point at.

use nix::errno::Errno;

use crate::policy::args::{Args, Need};

/// The stack of a new program, without the strings that no rule needs: they may be hundreds of
/// thousands, 6 MiB in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialStack {
    /// argv, as far as rules need it.
    pub args: Args,
    /// The variables of envp that no program may get with every value.
    pub for_programs: StackVariables,
    /// The variables of envp that no script may get with every value.
    pub for_scripts: StackVariables,
    /// AT_EXECFN: the path that was passed to execve, also of a script.
    pub named: Vec<u8>,
    /// AT_BASE is not 0: the kernel mapped a loader, which runs first.
    pub by_loader: bool,
}

/// Variables that a rule may deny.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackVariables {
    /// As they stand in envp: names with values.
    pub list: Vec<Vec<u8>>,
    /// envp has more such variables than were copied.
    pub truncated: bool,
}

/// Which rule a variable is copied for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopiedFor {
    /// That on the loader's variables, of every program.
    Programs,
    /// That on the interpreters', of scripts.
    Scripts,
}

const AT_NULL: u64 = 0;
const AT_BASE: u64 = 7;
const AT_EXECFN: u64 = 31;

/// More arguments and variables than the kernel takes (MAX_ARG_STRINGS is higher, but a
/// stack of 8 MiB holds a quarter of that).
const MOST: u64 = 1 << 20;
/// How much of the environment is copied for each rule: strings, and bytes of all of them.
const VARIABLES: Need = Need { strings: 256, bytes: 256 << 10 };

impl InitialStack {
    /// Reads the stack that begins at the stack pointer. Of the arguments as many are copied as
    /// `need` says, of the environment the variables that `wanted` names a rule for. `memory` reads
    /// at an address, up to a number of bytes.
    ///
    /// # Errors
    /// EIO for a stack that a 64-bit program cannot have; the errors of `memory`.
    pub fn read(
        pointer: u64,
        need: Need,
        wanted: impl Fn(&[u8]) -> Option<CopiedFor>,
        memory: impl Fn(u64, usize) -> Result<Vec<u8>, Errno>,
    ) -> Result<InitialStack, Errno> {
        let mut stack = Stack { memory, words: Window::default(), texts: Window::default(), next: pointer };
        let count = stack.word()?;
        if count > MOST {
            return Err(Errno::EIO);
        }
        let mut initial_stack = InitialStack::default();
        for _ in 0..count {
            let address = stack.word()?;
            if initial_stack.args.is_whole() {
                initial_stack.args.take(need, stack.text(address)?);
            }
        }
        if stack.word()? != 0 {
            return Err(Errno::EIO);
        }
        let [mut programs, mut scripts] = [Args::default(), Args::default()];
        loop {
            match stack.word()? {
                0 => break,
                address => {
                    let variable = stack.text(address)?;
                    let list = match wanted(variable) {
                        Some(CopiedFor::Programs) => &mut programs,
                        Some(CopiedFor::Scripts) => &mut scripts,
                        None => continue,
                    };
                    if list.is_whole() {
                        list.take(VARIABLES, variable);
                    }
                }
            }
        }
        let copied = |args: Args| StackVariables { truncated: !args.is_whole(), list: args.list };
        (initial_stack.for_programs, initial_stack.for_scripts) = (copied(programs), copied(scripts));
        loop {
            match (stack.word()?, stack.word()?) {
                (AT_NULL, _) => break,
                (AT_BASE, base) => initial_stack.by_loader = base != 0,
                (AT_EXECFN, address) => initial_stack.named = stack.text(address)?.to_vec(),
                _ => {}
            }
        }
        Ok(initial_stack)
    }
}

/// The size of the first read, in bytes: enough for most programs.
const USUAL: usize = 16 << 10;
/// The longest string with its NUL (MAX_ARG_STRLEN).
const LONGEST: usize = 128 << 10;

/// A stack that is read in pieces: its words, and the strings that these point at, each in
/// ascending order of addresses.
struct Stack<M> {
    memory: M,
    words: Window,
    texts: Window,
    next: u64,
}

#[derive(Default)]
struct Window {
    from: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The bytes from an address on.
    fn at(&self, address: u64) -> &[u8] {
        let at = address.checked_sub(self.from).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }
}

impl<M: Fn(u64, usize) -> Result<Vec<u8>, Errno>> Stack<M> {
    fn word(&mut self) -> Result<u64, Errno> {
        if self.words.at(self.next).len() < 8 {
            self.words = Window { from: self.next, bytes: (self.memory)(self.next, USUAL)? };
        }
        let word = self.words.at(self.next).first_chunk().copied().ok_or(Errno::EIO)?;
        self.next += 8;
        Ok(u64::from_le_bytes(word))
    }

    /// The string at an address, which is above the words.
    fn text(&mut self, address: u64) -> Result<&[u8], Errno> {
        let end = |window: &Window| window.at(address).iter().position(|byte| *byte == 0);
        if address < self.next {
            return Err(Errno::EIO);
        }
        if let Some(end) = end(&self.words) {
            return Ok(&self.words.at(address)[..end]);
        }
        for length in [0, USUAL, LONGEST] {
            if length > 0 {
                self.texts = Window { from: address, bytes: (self.memory)(address, length)? };
            }
            if let Some(end) = end(&self.texts) {
                return Ok(&self.texts.at(address)[..end]);
            }
        }
        Err(Errno::EIO)
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

    /// As a reader of these bytes, which lie at `AT`, sees them.
    fn read(bytes: &[u8]) -> Result<InitialStack, Errno> {
        let memory = |address: u64, length: usize| {
            let at = address.checked_sub(AT).and_then(|at| usize::try_from(at).ok()).ok_or(Errno::EFAULT)?;
            let rest = bytes.get(at..).filter(|rest| !rest.is_empty()).ok_or(Errno::EFAULT)?;
            Ok(rest[..rest.len().min(length)].to_vec())
        };
        InitialStack::read(AT, Need { strings: 40, bytes: 1 << 20 }, |_| Some(CopiedFor::Scripts), memory)
    }

    #[test]
    fn arguments_environment_and_name_are_distinguished() {
        let initial_stack = read(&stack(&["sh", "-c", ""], &["A=1", "B="], 0x7f00)).expect("a stack");
        assert_eq!(initial_stack.args.list, [&b"sh"[..], b"-c", b""]);
        assert_eq!(initial_stack.for_scripts.list, [&b"A=1"[..], b"B="]);
        assert_eq!((&initial_stack.named[..], initial_stack.by_loader), (&b"/bin/named"[..], true));
        let none = read(&stack(&[], &[], 0)).expect("a stack");
        assert_eq!((none.args.list.len(), none.for_scripts.list.len(), none.by_loader), (0, 0, false));
    }

    #[test]
    fn a_large_stack_is_read_in_pieces_and_not_copied() {
        let (long, many) = ("x".repeat(LONGEST - 1), vec!["a"; 100_000]);
        let initial_stack = read(&stack(&many, &["A=1", &long], 0)).expect("a stack");
        assert_eq!((initial_stack.args.list.len(), &initial_stack.args.cut), (40, &Some(b"a".to_vec())));
        assert_eq!((initial_stack.for_scripts.list.len(), initial_stack.for_scripts.truncated), (2, false));
        assert_eq!(&initial_stack.named[..], b"/bin/named");
        let initial_stack = read(&stack(&["tool", &long], &many, 0)).expect("a stack");
        assert_eq!((initial_stack.args.list.len(), initial_stack.args.is_whole()), (2, true));
        assert_eq!(
            (initial_stack.for_scripts.list.len(), initial_stack.for_scripts.truncated),
            (VARIABLES.strings, true)
        );
        assert_eq!(
            read(&stack(&[&"x".repeat(LONGEST)], &[], 0)),
            Err(Errno::EIO),
            "the kernel takes none so long"
        );
    }

    #[test]
    fn what_is_cut_or_makes_no_sense_is_not_read() {
        let whole = stack(&["sh", "-c", "true"], &["A=1"], 0);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        // A 32-bit program's: count and first address in one word.
        let mut narrow = whole.clone();
        narrow[4..8].copy_from_slice(&0xffd0_1234u32.to_le_bytes());
        assert_eq!(read(&narrow), Err(Errno::EIO));
        let mut below = whole;
        below[8..16].copy_from_slice(&(AT - 8).to_le_bytes());
        assert_eq!(read(&below), Err(Errno::EIO));
    }

    /// The test's own process, at the end of whose stack this test's name is.
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
        let me = std::process::id() as i32;
        let memory = |address, length| {
            let mut bytes = vec![0; length];
            let read = crate::sys::process::read_memory(me, address, &mut bytes)?;
            bytes.truncate(read);
            Ok(bytes)
        };
        let need = Need { strings: usize::MAX, bytes: usize::MAX };
        let initial_stack =
            InitialStack::read(pointer, need, |_| Some(CopiedFor::Scripts), memory).expect("a stack");
        let args: Vec<Vec<u8>> = std::env::args().map(String::into_bytes).collect();
        assert_eq!(initial_stack.args.list, args);
        assert!(initial_stack.for_scripts.list.iter().any(|variable| variable.starts_with(b"PATH=")));
        assert!(!initial_stack.named.is_empty());
    }

    #[test]
    fn any_stack_is_read_or_refused() {
        let seeds = [stack(&["sh", "-c", ""], &["A=1", "B="], 0x7f00), stack(&[], &[], 0)];
        crate::mutation::each(&[&seeds[0], &seeds[1]], |bytes| drop(read(bytes)));
    }
}
