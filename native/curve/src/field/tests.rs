//! Every implementation against plain big-number arithmetic.

use proptest::prelude::*;

use super::*;
use atoll_simd::targets;

/// Schoolbook arithmetic on 32 little-endian bytes, slow and obvious.
mod reference {
    pub type Number = Vec<u64>; // base 2^32 digits

    pub fn number(bytes: &[u8; 32]) -> Number {
        let mut bytes = *bytes;
        bytes[31] &= 127;
        bytes
            .chunks(4)
            .map(|c| u64::from(u32::from_le_bytes([c[0], c[1], c[2], c[3]])))
            .collect()
    }

    fn modulus() -> Number {
        let mut p = vec![u64::from(u32::MAX); 8];
        p[0] = u64::from(u32::MAX) - 18;
        p[7] = 0x7fff_ffff;
        p
    }

    fn normalise(digits: &mut Number) {
        let mut carry = 0;
        for digit in digits.iter_mut() {
            *digit += carry;
            carry = *digit >> 32;
            *digit &= u64::from(u32::MAX);
        }
        if carry > 0 {
            digits.push(carry);
        }
    }

    fn reduce(mut digits: Number) -> [u8; 32] {
        normalise(&mut digits);
        while digits.len() > 8 {
            let high = digits.split_off(8);
            for (i, digit) in high.iter().enumerate() {
                if digits.len() <= i {
                    digits.push(0);
                }
                digits[i] += digit * 38;
            }
            normalise(&mut digits);
        }
        digits.resize(8, 0);
        let p = modulus();
        while digits.iter().rev().cmp(p.iter().rev()).is_ge() {
            let mut borrow = 0;
            for (digit, other) in digits.iter_mut().zip(&p) {
                let value = (1 << 32) + *digit - other - borrow;
                *digit = value & u64::from(u32::MAX);
                borrow = 1 - (value >> 32);
            }
        }
        let mut bytes = [0; 32];
        for (chunk, digit) in bytes.chunks_mut(4).zip(digits) {
            chunk.copy_from_slice(&(digit as u32).to_le_bytes());
        }
        bytes
    }

    pub fn add(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
        reduce(
            number(left)
                .iter()
                .zip(number(right))
                .map(|(l, r)| l + r)
                .collect(),
        )
    }

    pub fn negate(value: &[u8; 32]) -> [u8; 32] {
        let canonical = reduce(number(value));
        let mut digits = number(&canonical);
        let mut borrow = 0;
        for (digit, p) in digits.iter_mut().zip(modulus()) {
            let value = (1 << 32) + p - *digit - borrow;
            *digit = value & u64::from(u32::MAX);
            borrow = 1 - (value >> 32);
        }
        reduce(digits)
    }

    pub fn multiply(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
        let (left, right) = (number(left), number(right));
        let mut total = [0u8; 32];
        for (i, digit) in left.iter().enumerate() {
            let mut row = vec![0; i];
            row.extend(right.iter().map(|_| 0));
            for (j, other) in right.iter().enumerate() {
                let value = digit * other;
                row[i + j] += value & u64::from(u32::MAX);
                if row.len() == i + j + 1 {
                    row.push(0);
                }
                row[i + j + 1] += value >> 32;
            }
            total = add(&total, &reduce(row));
        }
        total
    }
}

struct Check {
    left: [u8; 32],
    right: [u8; 32],
    small: u32,
}

fn lanes<F: Field>(value: &[u8; 32], spread: bool) -> Vec<[u8; 32]> {
    (0..F::LANES)
        .map(|lane| {
            let mut copy = *value;
            if spread {
                copy[lane % 32] ^= (lane as u8).wrapping_mul(37);
            }
            copy
        })
        .collect()
}

fn stored<F: Field>(value: F) -> Vec<[u8; 32]> {
    let mut bytes = vec![[0; 32]; F::LANES];
    value.store(&mut bytes);
    bytes
}

impl FieldKernel for &Check {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        let (left, right) = (lanes::<F>(&self.left, true), lanes::<F>(&self.right, true));
        let (a, b) = (F::load(&left), F::load(&right));
        let each = |operation: fn(&[u8; 32], &[u8; 32]) -> [u8; 32]| -> Vec<[u8; 32]> {
            left.iter()
                .zip(&right)
                .map(|(l, r)| operation(l, r))
                .collect()
        };
        assert_eq!(stored(a.add(b)), each(reference::add));
        assert_eq!(stored(a.mul(b)), each(reference::multiply));
        assert_eq!(
            stored(a.sub(b)),
            each(|l, r| reference::add(l, &reference::negate(r)))
        );
        assert_eq!(stored(a.neg()), each(|l, _| reference::negate(l)));
        assert_eq!(stored(a.square()), each(|l, _| reference::multiply(l, l)));
        let mut small = [0; 32];
        small[..4].copy_from_slice(&self.small.to_le_bytes());
        let expected: Vec<_> = left
            .iter()
            .map(|l| reference::multiply(l, &small))
            .collect();
        assert_eq!(stored(a.mul_small(self.small)), expected);
        wide(a, b);
        masks(a, b);
    }
}

#[inline(always)]
fn wide<F: Field>(a: F, b: F) {
    let sum = F::reduce(F::wide_add(
        a.mul_wide(b),
        F::wide_sub(b.square_wide(), a.square_wide()),
    ));
    assert_eq!(
        stored(sum),
        stored(a.mul(b).add(b.square()).sub(a.square()))
    );
    let four = (0..3).fold(a.mul_wide(b), |sum, _| F::wide_add(sum, a.mul_wide(b)));
    assert_eq!(stored(F::reduce(four)), stored(a.mul(b).mul_small(4)));
    let (mut left, mut right) = (a.mul_wide(b), a.widen());
    F::wide_swap(F::Mask::from_bits(0x55), &mut left, &mut right);
    let even = F::Mask::from_bits(0x55);
    assert_eq!(
        stored(F::reduce(left)),
        stored(F::select(even, a, a.mul(b)))
    );
    assert_eq!(
        stored(F::reduce(right)),
        stored(F::select(even, a.mul(b), a))
    );
}

#[inline(always)]
fn masks<F: Field>(a: F, b: F) {
    let all = (1u32 << F::LANES) - 1;
    assert_eq!(a.sub(a).is_zero().bits(), all);
    assert_eq!(a.add(a.neg()).is_zero().bits(), all);
    let odd = stored(a)
        .iter()
        .enumerate()
        .fold(0, |bits, (i, bytes)| bits | u32::from(bytes[0] & 1) << i);
    assert_eq!(a.is_odd().bits(), odd);
    let mixed = F::select(F::Mask::from_bits(0b1010_0110), a, b);
    let expected: Vec<_> = (0..F::LANES)
        .map(|lane| {
            if 0b1010_0110u32 >> lane & 1 == 1 {
                stored(a)[lane]
            } else {
                stored(b)[lane]
            }
        })
        .collect();
    assert_eq!(stored(mixed), expected);
    let (root_of, is_square) = (a.square(), F::sqrt_ratio(a.square(), b.square()));
    assert_eq!(is_square.0.or(b.is_zero()).bits(), all);
    let defined = F::select(b.is_zero(), F::zero(), root_of);
    assert_eq!(stored(is_square.1.mul(b).square()), stored(defined));
    assert_eq!(
        stored(a.mul(a.invert())),
        stored(F::select(a.is_zero(), F::zero(), F::one()))
    );
    let mut many = [a, b, F::zero(), a.mul(b), F::one()];
    batch_invert(&mut many, &mut [F::zero(); 5]);
    assert_eq!(stored(many[3]), stored(a.mul(b).invert()));
    assert_eq!(stored(many[0]), stored(a.invert()));
    assert_eq!(stored(many[2]), stored(F::zero()));
}

fn edge() -> impl Strategy<Value = [u8; 32]> {
    let near_p = (0u8..60).prop_map(|low| {
        let mut bytes = [255; 32];
        (bytes[0], bytes[31]) = (low.wrapping_add(215), 127);
        bytes
    });
    let small = any::<u8>().prop_map(|low| {
        let mut bytes = [0; 32];
        bytes[0] = low;
        bytes
    });
    let runs = any::<[bool; 32]>().prop_map(|bits| bits.map(|bit| if bit { 255 } else { 0 }));
    prop_oneof![4 => any::<[u8; 32]>(), 1 => near_p, 1 => small, 1 => runs]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_big_numbers(left in edge(), right in edge(), small in 0u32..(1 << 20)) {
        let check = Check { left, right, small };
        for target in targets() {
            dispatch(target, &check);
        }
    }

    #[test]
    fn looks_up_each_entry(seed in any::<[u8; 32]>(), choice in any::<[u8; 8]>()) {
        for target in targets() {
            dispatch(target, LookUp { seed, choice });
        }
    }
}

struct LookUp {
    seed: [u8; 32],
    choice: [u8; 8],
}

impl FieldKernel for LookUp {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        let entries: [Constant; 8] = std::array::from_fn(|i| {
            let mut bytes = self.seed;
            bytes[i] ^= 1 + i as u8;
            Constant::from_bytes(&bytes)
        });
        let found = F::lookup8(&F::table8(&entries), F::index(&self.choice));
        let expected: Vec<_> = (0..F::LANES)
            .map(|lane| stored(F::splat(entries[usize::from(self.choice[lane] & 7)]))[lane])
            .collect();
        assert_eq!(stored(found), expected);
    }
}
