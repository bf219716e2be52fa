//! Scalars modulo the group order, and their digits.

use curve25519_dalek::scalar::Scalar;
use zeroize::Zeroize;

/// (order + 1) / 2, the inverse of 2 modulo the order.
pub const HALF: [u64; 4] = [
    0x2c09_318d_2e7a_e9f7,
    0x0a6f_7cef_517b_ce6b,
    0,
    0x0800_0000_0000_0000,
];
/// The order of the prime group.
pub const ORDER: [u64; 4] = [
    0x5812_631a_5cf5_d3ed,
    0x14de_f9de_a2f7_9cd6,
    0,
    0x1000_0000_0000_0000,
];
/// Windows of five bits in a scalar below 2^255.
pub const WINDOWS: usize = 51;

/// Reads four little-endian words.
pub fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
    }
    words
}

/// A uniform 512-bit number modulo the order.
pub fn reduce_wide(wide: &[u8; 64]) -> [u64; 4] {
    let mut scalar = Scalar::from_bytes_mod_order_wide(wide);
    let reduced = words(scalar.as_bytes());
    scalar.zeroize();
    reduced
}

/// The number, or the number plus the order where it is even: the same scalar, odd, below 2^254.
pub fn odd_representative(scalar: &[u64; 4]) -> [u64; 4] {
    let even = (scalar[0] & 1).wrapping_sub(1);
    let mut sum = [0; 4];
    let mut carry = 0u64;
    for index in 0..4 {
        let wide = u128::from(scalar[index]) + u128::from(ORDER[index] & even) + u128::from(carry);
        sum[index] = wide as u64;
        carry = (wide >> 64) as u64;
    }
    sum
}

/// (scalar + 2^256 - 1) / 2 for an odd scalar: bit i of it is 1 where 2^i counts positively, 0
/// where negatively, in the writing of the scalar as a signed sum of all powers below 2^256.
pub fn signed_bits(odd: &[u64; 4]) -> [u64; 4] {
    [
        odd[0] >> 1 | odd[1] << 63,
        odd[1] >> 1 | odd[2] << 63,
        odd[2] >> 1 | odd[3] << 63,
        odd[3] >> 1 | 1 << 63,
    ]
}

/// Bit `index` of the words.
#[inline(always)]
pub fn bit(words: &[u64; 4], index: usize) -> u32 {
    (words[index / 64] >> (index % 64) & 1) as u32
}

/// The five bits of window `window` of a number below 2^255.
#[inline(always)]
pub fn window(words: &[u64; 4], window: usize) -> u8 {
    let start = 5 * window;
    let (word, shift) = (start / 64, start % 64);
    let mut bits = words[word] >> shift;
    if shift > 59 && word < 3 {
        bits |= words[word + 1] << (64 - shift);
    }
    (bits & 31) as u8
}

/// r below 2^252, as the offset number whose windows are odd digits of 2 r + 1.
#[inline(always)]
pub fn offset_randomiser(bytes: &[u8; 32]) -> [u64; 4] {
    let mut r = words(bytes);
    r[3] = r[3] & (u64::MAX >> 4) | 1 << 62;
    r
}

/// A small signed value as the offset number over `windows` windows (12 at most).
#[inline(always)]
pub fn offset_small(value: i64, windows: usize) -> u64 {
    (value as u64).wrapping_add(1 << (5 * windows - 1))
}
