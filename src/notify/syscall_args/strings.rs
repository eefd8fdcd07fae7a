//! Lists of strings in a caller's memory: the arguments and the environment of an exec.

use nix::errno::Errno;

use crate::notify::caller::Memory;
use crate::policy::args::{Args, Need};

/// The longest string that an exec takes (MAX_ARG_STRLEN, with its end).
const LONGEST: usize = 128 << 10;
/// The most strings that are read of a list, each by a call of its own.
const MOST: usize = 1 << 14;

/// Reads the first strings of a list of addresses in the caller's memory.
///
/// # Errors
/// As [`Memory::bytes`]; E2BIG as from execve(2).
pub fn args(memory: &Memory, pointer: u64, need: Need) -> Result<Args, Errno> {
    let mut args = Args::default();
    each(memory, pointer, |text| {
        args.take(need, text);
        args.is_whole()
    })?;
    Ok(args)
}

/// Passes each string of a list of addresses in the caller's memory to `more`, until it returns
/// false.
///
/// # Errors
/// As [`Memory::bytes`]; E2BIG for strings, or a number of them, that an exec refuses or that would
/// delay all other decisions.
pub fn each(memory: &Memory, pointer: u64, mut more: impl FnMut(&[u8]) -> bool) -> Result<(), Errno> {
    /// Three quarters of 8 MiB (fs/exec.c, bprm_stack_limits).
    const BYTES: usize = 6 << 20;
    const WORD: usize = size_of::<u64>();
    const WORDS: usize = 64 * WORD;
    if pointer == 0 {
        // Linux takes a null pointer for an empty list.
        return Ok(());
    }
    let mut bytes = 0;
    let mut words = Vec::new();
    for count in 0..MOST {
        if (count * WORD).is_multiple_of(WORDS) {
            words = memory.bytes(pointer.wrapping_add((count * WORD) as u64), WORDS)?;
        }
        let at = words.get(count * WORD % WORDS..).and_then(<[u8]>::first_chunk).ok_or(Errno::EFAULT)?;
        let text = match u64::from_le_bytes(*at) {
            0 => return Ok(()),
            address => memory.text(address, LONGEST)?,
        };
        bytes += text.len() + WORD;
        if !more(&text) {
            return Ok(());
        }
        if bytes > BYTES {
            break;
        }
    }
    Err(Errno::E2BIG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;
    use crate::notify::caller::{Caller, Identity};

    #[test]
    fn a_list_is_read_as_far_as_it_is_needed_and_no_further_than_is_quick() {
        let identity = Identity::own().expect("own ids");
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        let memory = Memory::of(&identity, &me);
        let (short, long) = (b"a\0", [vec![b'x'; LONGEST - 1], vec![0]].concat());
        let list = |texts: &[&[u8]]| -> Vec<u64> {
            texts.iter().map(|text| text.as_ptr() as u64).chain([0]).collect()
        };
        let need = Need { strings: 3, bytes: LONGEST - 1 };
        let read = |list: &[u64]| args(&memory, list.as_ptr() as u64, need);
        let whole = read(&list(&[short, short])).expect("read");
        assert_eq!((whole.list.len(), whole.is_whole(), whole.shown()), (2, true, vec!["a".into(); 2]));
        let many = read(&list(&vec![&short[..]; 600_000])).expect("read");
        assert_eq!((many.list.len(), many.shown().len()), (3, 4));
        let large = read(&list(&[short, &long])).expect("read");
        assert_eq!((large.list.len(), large.cut.map(|text| text.len())), (1, Some(2048)));
        assert_eq!(args(&memory, 0, need), Ok(Args::default()));
        assert_eq!(read(&[8]), Err(Errno::EFAULT));

        let all = |list: &[u64]| each(&memory, list.as_ptr() as u64, |_| true);
        assert_eq!(all(&list(&vec![&short[..]; MOST - 1])), Ok(()));
        assert_eq!(all(&list(&vec![&short[..]; MOST])), Err(Errno::E2BIG));
        assert_eq!(all(&list(&[&long[..]; 50])), Err(Errno::E2BIG));
    }
}
