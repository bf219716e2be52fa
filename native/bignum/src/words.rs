//! Numbers as little-endian words, and as limbs of other widths.

/// The words of a little-endian number, at least `count`.
pub fn from_bytes(bytes: &[u8], count: usize) -> Vec<u64> {
    let mut words = vec![0; count.max(bytes.len().div_ceil(8))];
    for (at, byte) in bytes.iter().enumerate() {
        words[at / 8] |= u64::from(*byte) << (8 * (at % 8));
    }
    words
}

/// Writes the low bytes of the words.
pub fn to_bytes(words: &[u64], bytes: &mut [u8]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = words
            .get(at / 8)
            .map_or(0, |word| (word >> (8 * (at % 8))) as u8);
    }
}

/// How many bits the number has.
pub fn bits(words: &[u64]) -> usize {
    words
        .iter()
        .rposition(|word| *word != 0)
        .map_or(0, |top| 64 * top + 64 - words[top].leading_zeros() as usize)
}

/// `width` bits from bit `at` on.
pub fn window(words: &[u64], at: usize, width: u32) -> u64 {
    let (word, shift) = (at / 64, at % 64);
    let low = words.get(word).map_or(0, |value| value >> shift);
    let high = words.get(word + 1).map_or(
        0,
        |value| if shift == 0 { 0 } else { value << (64 - shift) },
    );
    let all = low | high;
    if width == 64 {
        all
    } else {
        all & ((1 << width) - 1)
    }
}

/// `count` limbs of `width` bits.
pub fn to_limbs(words: &[u64], width: u32, count: usize) -> Vec<u64> {
    (0..count)
        .map(|limb| window(words, limb * width as usize, width))
        .collect()
}

/// The words of limbs that are below 2^width.
pub fn from_limbs(limbs: impl Iterator<Item = u64>, width: u32, words: &mut [u64]) {
    words.fill(0);
    for (limb, value) in limbs.enumerate() {
        let (word, shift) = (limb * width as usize / 64, limb * width as usize % 64);
        if word < words.len() {
            words[word] |= value << shift;
        }
        if shift + width as usize > 64 && word + 1 < words.len() {
            words[word + 1] |= value >> (64 - shift);
        }
    }
}

/// left - right, and whether it was below zero (as all ones).
pub fn subtract(left: &[u64], right: &[u64], out: &mut [u64]) -> u64 {
    let mut borrow = false;
    for ((value, a), b) in out.iter_mut().zip(left).zip(right) {
        let (first, under) = a.overflowing_sub(*b);
        let (second, again) = first.overflowing_sub(u64::from(borrow));
        (*value, borrow) = (second, under | again);
    }
    0u64.wrapping_sub(u64::from(borrow))
}

/// Replaces the value, below twice the modulus and with room for it, by its residue.
pub fn reduce(value: &mut [u64], modulus: &[u64], spare: &mut [u64]) {
    let kept = subtract(value, modulus, spare);
    for (word, less) in value.iter_mut().zip(spare.iter()) {
        *word = (*word & kept) | (*less & !kept);
    }
}

/// 2^exponent modulo the modulus, which has a spare top bit in its words.
pub fn power_of_two(exponent: usize, modulus: &[u64]) -> Vec<u64> {
    let mut value = vec![0; modulus.len()];
    let mut spare = vec![0; modulus.len()];
    value[0] = 1;
    for _ in 0..exponent {
        let mut carry = 0;
        for word in &mut value {
            (*word, carry) = ((*word << 1) | carry, *word >> 63);
        }
        reduce(&mut value, modulus, &mut spare);
    }
    value
}

/// -1 / odd modulo 2^64.
pub fn negated_inverse(odd: u64) -> u64 {
    // Each step doubles the bits that are right; odd is its own inverse modulo 8.
    let mut inverse = odd;
    for _ in 0..5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
    }
    inverse.wrapping_neg()
}

/// left · right, with as many words as both.
pub fn multiply(left: &[u64], right: &[u64], out: &mut [u64]) {
    out.fill(0);
    for (at, digit) in left.iter().enumerate() {
        let mut carry = 0;
        for (word, other) in out[at..].iter_mut().zip(right) {
            let whole =
                u128::from(*digit) * u128::from(*other) + u128::from(*word) + u128::from(carry);
            (*word, carry) = (whole as u64, (whole >> 64) as u64);
        }
        if let Some(word) = out.get_mut(at + right.len()) {
            *word = carry;
        }
    }
}

/// value + other, whose sum fits the words of the value.
pub fn add(value: &mut [u64], other: &[u64]) {
    let mut carry = false;
    for (at, word) in value.iter_mut().enumerate() {
        let (first, over) = word.overflowing_add(other.get(at).copied().unwrap_or(0));
        let (second, again) = first.overflowing_add(u64::from(carry));
        (*word, carry) = (second, over | again);
    }
}

/// 1 / odd modulo 2^(64 · words of `odd`).
pub fn inverse(odd: &[u64]) -> Vec<u64> {
    let size = odd.len();
    let mut found = vec![0; size];
    found[0] = negated_inverse(odd[0]).wrapping_neg();
    let mut right = 1;
    let (mut product, mut next) = (vec![0; size], vec![0; size]);
    while right < size {
        right *= 2;
        // found · (2 - odd · found), whose right words double.
        multiply(odd, &found, &mut product);
        let mut borrow = 2u128;
        for word in &mut product {
            let value = borrow.wrapping_sub(u128::from(*word));
            (*word, borrow) = (value as u64, if value >> 64 == 0 { 0 } else { u128::MAX });
        }
        multiply(&found, &product, &mut next);
        found.copy_from_slice(&next);
    }
    found
}

/// value - 1, of a value that is not 0.
pub fn subtract_one(value: &mut [u64]) {
    let mut borrow = true;
    for word in value {
        (*word, borrow) = word.overflowing_sub(u64::from(borrow));
    }
}
