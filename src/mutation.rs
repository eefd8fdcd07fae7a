//! Bytes that a reader of outside input has to take: whatever they are, it reads them or
//! refuses them, and does not panic. A fuzzer without a fuzzer: the same inputs each time,
//! made of good ones, so that a plain `cargo test` runs them.

#![forbid(unsafe_code)]

/// Hands on every seed, its beginnings, and mutations of it.
pub fn each(seeds: &[&[u8]], mut read: impl FnMut(&[u8])) {
    let mut feed = |bytes: Vec<u8>| {
        let shown = Shown(bytes);
        read(&shown.0);
    };
    for seed in seeds {
        let step = seed.len() / 512 + 1;
        (0..=seed.len()).step_by(step).for_each(|length| feed(seed[..length].to_vec()));
        for at in (0..seed.len()).step_by(step) {
            for byte in [0, 0xff, seed[at] ^ 1, b'"'] {
                let mut bytes = seed.to_vec();
                bytes[at] = byte;
                feed(bytes);
            }
        }
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..ROUNDS {
        let mut bytes = random.of(seeds).to_vec();
        for _ in 0..=random.below(8) {
            random.mutate(&mut bytes, seeds);
        }
        feed(bytes);
    }
}

const ROUNDS: usize = 4_000;

/// What readers are apt to get wrong.
const TOKENS: [&[u8]; 18] = [
    b"\0",
    b"\n",
    b" ",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"[",
    b"{",
    b"}",
    b":",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\xc3\x28",
    b"/../",
];

/// xorshift64 (Marsaglia, Xorshift RNGs, 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a [u8]]) -> &'a [u8] {
        all[self.below(all.len())]
    }

    /// A part of it.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below((length - start).min(64) + 1)
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, seeds: &[&[u8]]) {
        let at = self.below(bytes.len() + 1);
        match self.below(6) {
            0 if !bytes.is_empty() => {
                let at = self.below(bytes.len());
                bytes[at] ^= 1 << self.below(8);
            }
            1 if !bytes.is_empty() => {
                let at = self.below(bytes.len());
                bytes[at] = self.next() as u8;
            }
            2 => drop(bytes.drain(self.range(bytes.len()))),
            3 => {
                let again = bytes[self.range(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
            4 => {
                let other = self.of(seeds);
                let part = self.range(other.len());
                bytes.splice(at..at, other[part].iter().copied());
            }
            _ => drop(bytes.splice(at..at, self.of(&TOKENS).iter().copied())),
        }
    }
}

/// An input that is printed where its reader panics.
struct Shown(Vec<u8>);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input: {}", self.0.escape_ascii());
        }
    }
}
