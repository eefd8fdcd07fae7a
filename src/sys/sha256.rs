//! SHA-256 by the processor's own instructions (FIPS 180-4; Intel's SHA extensions). The crate
//! `sha2` is built without them, since they would make the shim larger; the tool hashes gigabytes.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    _mm_storeu_si128,
};

/// The first 32 bits of the fractional parts of the square roots of the first eight primes.
const FIRST: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Those of the cube roots of the first 64 primes.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
static ROUNDS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// A hash in progress.
#[derive(Clone, Debug)]
pub struct Sha256Instructions {
    state: [u32; 8],
    /// The beginning of a block that is not complete.
    rest: [u8; 64],
    /// The bytes that were hashed or are in `rest`.
    length: u64,
}

impl Sha256Instructions {
    /// The hash of nothing; `None` where the processor does not have the instructions.
    pub fn new() -> Option<Sha256Instructions> {
        are_there().then_some(Sha256Instructions { state: FIRST, rest: [0; 64], length: 0 })
    }

    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let filled = (self.length % 64) as usize;
        self.length = self.length.wrapping_add(bytes.len() as u64);
        if filled > 0 {
            let (some, more) = bytes.split_at(bytes.len().min(64 - filled));
            self.rest[filled..filled + some.len()].copy_from_slice(some);
            if filled + some.len() < 64 {
                return;
            }
            let block = self.rest;
            blocks(&mut self.state, &[block]);
            bytes = more;
        }
        let (whole, rest) = bytes.as_chunks::<64>();
        blocks(&mut self.state, whole);
        self.rest[..rest.len()].copy_from_slice(rest);
    }

    /// The digest of all bytes.
    pub fn finish(mut self) -> [u8; 32] {
        let bits = self.length.wrapping_mul(8).to_be_bytes();
        let filled = (self.length % 64) as usize;
        // One bit, zeros, and the length in the last eight bytes of a block.
        let zeros = if filled < 56 { 55 - filled } else { 119 - filled };
        let mut padding = [0; 128];
        padding[0] = 0x80;
        padding[1 + zeros..9 + zeros].copy_from_slice(&bits);
        self.update(&padding[..9 + zeros]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }
}

#[cfg(target_arch = "x86_64")]
fn are_there() -> bool {
    std::arch::is_x86_feature_detected!("sha")
        && std::arch::is_x86_feature_detected!("ssse3")
        && std::arch::is_x86_feature_detected!("sse4.1")
}

#[cfg(not(target_arch = "x86_64"))]
fn are_there() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn blocks(_: &mut [u32; 8], _: &[[u8; 64]]) {}

#[cfg(target_arch = "x86_64")]
fn blocks(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    // SAFETY: a hash exists only where `are_there` found these features of the processor.
    unsafe { compress(state, blocks) }
}

/// Four rounds: two by each of the instructions.
#[cfg(target_arch = "x86_64")]
macro_rules! rounds {
    ($at:literal, $abef:ident, $cdgh:ident, $words:expr) => {
        // SAFETY: the four constants from `4 * $at` are within the table; the load is unaligned.
        let constants = unsafe { _mm_loadu_si128(ROUNDS.as_ptr().add(4 * $at).cast()) };
        let words = _mm_add_epi32($words, constants);
        $cdgh = _mm_sha256rnds2_epu32($cdgh, $abef, words);
        $abef = _mm_sha256rnds2_epu32($abef, $cdgh, _mm_shuffle_epi32::<0x0e>(words));
    };
}

/// The next four words of the schedule from the last sixteen, and four rounds with them.
#[cfg(target_arch = "x86_64")]
macro_rules! scheduled {
    ($at:literal, $abef:ident, $cdgh:ident, $first:ident, $second:ident, $third:ident, $fourth:ident) => {
        let sums =
            _mm_add_epi32(_mm_sha256msg1_epu32($first, $second), _mm_alignr_epi8::<4>($fourth, $third));
        $first = _mm_sha256msg2_epu32(sums, $fourth);
        rounds!($at, $abef, $cdgh, $first);
    };
}

/// Hashes blocks. The instructions take the state as the words a, b, e, f and c, d, g, h.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn compress(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let at = state.as_mut_ptr().cast::<__m128i>();
    // SAFETY: the state has 32 bytes; the loads are unaligned.
    let (dcba, hgfe) = unsafe { (_mm_loadu_si128(at), _mm_loadu_si128(at.add(1))) };
    let cdab = _mm_shuffle_epi32::<0xb1>(dcba);
    let efgh = _mm_shuffle_epi32::<0x1b>(hgfe);
    let mut abef = _mm_alignr_epi8::<8>(cdab, efgh);
    let mut cdgh = _mm_blend_epi16::<0xf0>(efgh, cdab);
    for block in blocks {
        let (abef_before, cdgh_before) = (abef, cdgh);
        let from = block.as_ptr().cast::<__m128i>();
        // SAFETY: a block has 64 bytes, which are four loads; they are unaligned.
        let (w0, w1, w2, w3) = unsafe {
            (
                _mm_loadu_si128(from),
                _mm_loadu_si128(from.add(1)),
                _mm_loadu_si128(from.add(2)),
                _mm_loadu_si128(from.add(3)),
            )
        };
        let (mut w0, mut w1) = (_mm_shuffle_epi8(w0, order), _mm_shuffle_epi8(w1, order));
        let (mut w2, mut w3) = (_mm_shuffle_epi8(w2, order), _mm_shuffle_epi8(w3, order));
        rounds!(0, abef, cdgh, w0);
        rounds!(1, abef, cdgh, w1);
        rounds!(2, abef, cdgh, w2);
        rounds!(3, abef, cdgh, w3);
        scheduled!(4, abef, cdgh, w0, w1, w2, w3);
        scheduled!(5, abef, cdgh, w1, w2, w3, w0);
        scheduled!(6, abef, cdgh, w2, w3, w0, w1);
        scheduled!(7, abef, cdgh, w3, w0, w1, w2);
        scheduled!(8, abef, cdgh, w0, w1, w2, w3);
        scheduled!(9, abef, cdgh, w1, w2, w3, w0);
        scheduled!(10, abef, cdgh, w2, w3, w0, w1);
        scheduled!(11, abef, cdgh, w3, w0, w1, w2);
        scheduled!(12, abef, cdgh, w0, w1, w2, w3);
        scheduled!(13, abef, cdgh, w1, w2, w3, w0);
        scheduled!(14, abef, cdgh, w2, w3, w0, w1);
        scheduled!(15, abef, cdgh, w3, w0, w1, w2);
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    let feba = _mm_shuffle_epi32::<0x1b>(abef);
    let dchg = _mm_shuffle_epi32::<0xb1>(cdgh);
    let dcba = _mm_blend_epi16::<0xf0>(feba, dchg);
    let hgfe = _mm_alignr_epi8::<8>(dchg, feba);
    // SAFETY: the state has 32 bytes; the stores are unaligned.
    unsafe {
        _mm_storeu_si128(at, dcba);
        _mm_storeu_si128(at.add(1), hgfe);
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn it_agrees_with_the_crate() {
        let Some(empty) = Sha256Instructions::new() else { return };
        let bytes: Vec<u8> = (0..5000u32).map(|number| (number * number % 253) as u8).collect();
        for length in (0..300).chain([4096, 5000]) {
            let expected: [u8; 32] = Sha256::digest(&bytes[..length]).into();
            let mut whole = empty.clone();
            whole.update(&bytes[..length]);
            assert_eq!(whole.finish(), expected, "{length} bytes");
            for step in [1, 7, 63, 64, 65, 200] {
                let mut parts = empty.clone();
                bytes[..length].chunks(step).for_each(|part| parts.update(part));
                assert_eq!(parts.finish(), expected, "{length} bytes by {step}");
            }
        }
    }
}
