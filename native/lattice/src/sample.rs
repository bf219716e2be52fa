//! Random polynomials from the key streams of ChaCha20.
//!
//! Secret ones take the same steps whatever they are; how many bytes a rejection costs says nothing
//! about those that are taken.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::{Zeroize, Zeroizing};

use crate::prime::{BITS, Prime};

/// No error is further from zero.
pub const ERROR_BOUND: u64 = 21;

/// One of the independent streams of 32 bytes of entropy.
pub fn stream(entropy: &[u8; 32], number: u64) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::from_seed(*entropy);
    rng.set_stream(number);
    rng
}

/// Uniform residues.
pub fn uniform(rng: &mut ChaCha20Rng, prime: &Prime, out: &mut [u64]) {
    let mut bytes = [0; 1024];
    let mut filled = 0;
    while filled < out.len() {
        rng.fill_bytes(&mut bytes);
        for word in bytes.as_chunks::<4>().0 {
            let value = u64::from(u32::from_le_bytes(*word)) & ((1 << BITS) - 1);
            if value < prime.value && filled < out.len() {
                out[filled] = value;
                filled += 1;
            }
        }
    }
}

/// Uniform over -1, 0 and 1.
pub fn ternary(rng: &mut ChaCha20Rng, count: usize) -> Zeroizing<Vec<i32>> {
    let mut out = Zeroizing::new(Vec::with_capacity(count));
    let mut bytes = [0; 1024];
    while out.len() < count {
        rng.fill_bytes(&mut bytes);
        let accepted = bytes.iter().filter(|byte| **byte < 255);
        let room = count - out.len();
        out.extend(accepted.take(room).map(|byte| i32::from(byte % 3) - 1));
    }
    bytes.zeroize();
    out
}

/// Centred binomial over 42 bits, σ = 3.24, at most [`ERROR_BOUND`] from zero.
pub fn errors(rng: &mut ChaCha20Rng, count: usize) -> Zeroizing<Vec<i32>> {
    const MASK: u64 = (1 << ERROR_BOUND) - 1;
    let mut bytes = Zeroizing::new(vec![0; 8 * count]);
    rng.fill_bytes(&mut bytes);
    let error = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let ones = |bits: u64| (bits & MASK).count_ones().cast_signed();
        ones(word) - ones(word >> ERROR_BOUND)
    };
    let words = bytes.as_chunks::<8>().0;
    Zeroizing::new(words.iter().map(error).collect())
}

/// Uniform below 2^bits, for at most 128 bits.
pub fn wide(rng: &mut ChaCha20Rng, bits: u32) -> u128 {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    let value = u128::from_le_bytes(bytes) >> (128 - bits);
    bytes.zeroize();
    value
}
