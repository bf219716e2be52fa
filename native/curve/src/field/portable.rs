//! One lane: five limbs of 51 bits with 128-bit products.
//!
//! Debug builds, which check each limb, do not inline: kernels would take minutes to compile.

use std::hint::black_box;

use atoll_simd::Kernel1;

use super::{Constant, Field, LaneMask};

const MASK51: u64 = (1 << 51) - 1;
/// 2^59 p, limb by limb: above a product's limbs.
const BIAS_WIDE: [u128; 5] = [
    ((MASK51 - 18) as u128) << 59,
    (MASK51 as u128) << 59,
    (MASK51 as u128) << 59,
    (MASK51 as u128) << 59,
    (MASK51 as u128) << 59,
];
/// 4 p, limb by limb: above a tight element's limbs.
const BIAS: [u64; 5] = [
    (MASK51 - 18) * 4,
    MASK51 * 4,
    MASK51 * 4,
    MASK51 * 4,
    MASK51 * 4,
];

/// Splits 32 bytes below 2^255 into limbs of 51 bits; the top bit is ignored.
#[inline(always)]
pub(crate) fn limbs_of_bytes(bytes: &[u8; 32]) -> [u64; 5] {
    Constant::from_bytes(bytes).limbs51()
}

/// The canonical form of limbs below 2^52.
#[inline(always)]
pub(crate) fn canonical(limbs: [u64; 5]) -> [u64; 5] {
    let mut l = carry(limbs);
    // quotient of (value + 19) / 2^255: 1 exactly when the value is p or more
    let mut quotient = (l[0] + 19) >> 51;
    for limb in &l[1..] {
        quotient = (limb + quotient) >> 51;
    }
    l[0] += 19 * quotient;
    for i in 0..4 {
        l[i + 1] += l[i] >> 51;
        l[i] &= MASK51;
    }
    l[4] &= MASK51;
    l
}

/// Packs canonical limbs.
#[inline(always)]
pub(crate) fn bytes_of_limbs(l: [u64; 5]) -> [u8; 32] {
    let words = [
        l[0] | l[1] << 51,
        l[1] >> 13 | l[2] << 38,
        l[2] >> 26 | l[3] << 25,
        l[3] >> 39 | l[4] << 12,
    ];
    let mut bytes = [0u8; 32];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[inline(always)]
fn carry(mut l: [u64; 5]) -> [u64; 5] {
    let c = [l[0] >> 51, l[1] >> 51, l[2] >> 51, l[3] >> 51, l[4] >> 51];
    for limb in &mut l {
        *limb &= MASK51;
    }
    l[0] += 19 * c[4];
    for i in 0..4 {
        l[i + 1] += c[i];
    }
    l
}

/// A boolean as all ones or zero.
#[derive(Clone, Copy)]
pub struct Mask1(u64);

impl LaneMask for Mask1 {
    #[inline(always)]
    fn from_bits(bits: u32) -> Self {
        Mask1(black_box(u64::from(bits & 1).wrapping_neg()))
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        (self.0 & 1) as u32
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Mask1(self.0 & other.0)
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Mask1(self.0 | other.0)
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Mask1(self.0 ^ other.0)
    }
    #[inline(always)]
    fn not(self) -> Self {
        Mask1(!self.0)
    }
}

/// One element in plain 64-bit code. Tight limbs are below 2^51 + 2^17.
#[derive(Clone, Copy)]
pub struct Field51([u64; 5]);

/// Five uncarried limbs; a weight of one is 2^109.
#[derive(Clone, Copy)]
pub struct Wide51([u128; 5]);

#[inline(always)]
fn product(left: u64, right: u64) -> u128 {
    u128::from(left) * u128::from(right)
}

impl Field51 {
    #[inline(always)]
    fn checked(limbs: [u64; 5]) -> Self {
        debug_assert!(limbs.iter().all(|limb| *limb < (1 << 51) + (1 << 17)));
        Field51(limbs)
    }
}

impl Field for Field51 {
    const LANES: usize = 1;
    type Mask = Mask1;
    type Wide = Wide51;
    type Table8 = [Field51; 8];
    type Index = u64;

    #[inline(never)]
    fn outlined<K: Kernel1>(kernel: K) -> K::Output {
        kernel.run()
    }

    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn splat(value: Constant) -> Self {
        Field51(value.limbs51())
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn load(encodings: &[[u8; 32]]) -> Self {
        Field51(limbs_of_bytes(&encodings[0]))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn store(self, encodings: &mut [[u8; 32]]) {
        encodings[0] = bytes_of_limbs(canonical(self.0));
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn add(self, other: Self) -> Self {
        Field51::checked(carry(std::array::from_fn(|i| self.0[i] + other.0[i])))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn sub(self, other: Self) -> Self {
        Field51::checked(carry(std::array::from_fn(|i| {
            self.0[i] + BIAS[i] - other.0[i]
        })))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn neg(self) -> Self {
        Field51::checked(carry(std::array::from_fn(|i| BIAS[i] - self.0[i])))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn widen(self) -> Wide51 {
        Wide51(self.0.map(u128::from))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn mul_wide(self, other: Self) -> Wide51 {
        let (a, b) = (self.0, other.0);
        let n: [u64; 5] = b.map(|limb| limb * 19);
        Wide51([
            product(a[0], b[0])
                + product(a[1], n[4])
                + product(a[2], n[3])
                + product(a[3], n[2])
                + product(a[4], n[1]),
            product(a[0], b[1])
                + product(a[1], b[0])
                + product(a[2], n[4])
                + product(a[3], n[3])
                + product(a[4], n[2]),
            product(a[0], b[2])
                + product(a[1], b[1])
                + product(a[2], b[0])
                + product(a[3], n[4])
                + product(a[4], n[3]),
            product(a[0], b[3])
                + product(a[1], b[2])
                + product(a[2], b[1])
                + product(a[3], b[0])
                + product(a[4], n[4]),
            product(a[0], b[4])
                + product(a[1], b[3])
                + product(a[2], b[2])
                + product(a[3], b[1])
                + product(a[4], b[0]),
        ])
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn square_wide(self) -> Wide51 {
        let a = self.0;
        let d: [u64; 5] = a.map(|limb| limb * 2);
        let (n3, n4) = (a[3] * 19, a[4] * 19);
        Wide51([
            product(a[0], a[0]) + product(d[1], n4) + product(d[2], n3),
            product(a[3], n3) + product(d[0], a[1]) + product(d[2], n4),
            product(a[1], a[1]) + product(d[0], a[2]) + product(d[4], n3),
            product(a[4], n4) + product(d[0], a[3]) + product(d[1], a[2]),
            product(a[2], a[2]) + product(d[0], a[4]) + product(d[1], a[3]),
        ])
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn mul_small_wide(self, factor: u32) -> Wide51 {
        debug_assert!(factor < 1 << 20);
        Wide51(self.0.map(|limb| product(limb, u64::from(factor))))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn wide_add(left: Wide51, right: Wide51) -> Wide51 {
        Wide51(std::array::from_fn(|i| left.0[i] + right.0[i]))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn wide_sub(left: Wide51, right: Wide51) -> Wide51 {
        debug_assert!((0..5).all(|i| right.0[i] <= BIAS_WIDE[i]));
        Wide51(std::array::from_fn(|i| {
            left.0[i] + BIAS_WIDE[i] - right.0[i]
        }))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn wide_swap(mask: Mask1, left: &mut Wide51, right: &mut Wide51) {
        let bits = black_box(mask.0);
        let bits = u128::from(bits) << 64 | u128::from(bits);
        for (l, r) in left.0.iter_mut().zip(right.0.iter_mut()) {
            let change = (*l ^ *r) & bits;
            *l ^= change;
            *r ^= change;
        }
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn reduce(wide: Wide51) -> Self {
        let mut r = wide.0;
        debug_assert!(r.iter().all(|limb| *limb < 1 << 112), "weight above 4");
        for i in 0..4 {
            r[i + 1] += r[i] >> 51;
        }
        let top = r[4] >> 51;
        let mut limbs: [u64; 5] = r.map(|limb| limb as u64 & MASK51);
        let low = u128::from(limbs[0]) + 19 * top;
        limbs[0] = low as u64 & MASK51;
        limbs[1] += (low >> 51) as u64;
        Field51::checked(limbs)
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn select(mask: Mask1, if_set: Self, if_clear: Self) -> Self {
        let bits = black_box(mask.0);
        Field51(std::array::from_fn(|i| {
            if_clear.0[i] ^ ((if_clear.0[i] ^ if_set.0[i]) & bits)
        }))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn is_zero(self) -> Mask1 {
        let any = canonical(self.0).iter().fold(0, |all, limb| all | limb);
        Mask1(black_box(
            ((any | any.wrapping_neg()) >> 63).wrapping_sub(1),
        ))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn is_odd(self) -> Mask1 {
        Mask1(black_box((canonical(self.0)[0] & 1).wrapping_neg()))
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn table8(entries: &[Constant; 8]) -> [Field51; 8] {
        entries.map(Field51::splat)
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn index(values: &[u8]) -> u64 {
        u64::from(values[0] & 7)
    }
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline)]
    fn lookup8(table: &[Field51; 8], index: u64) -> Self {
        let mut found = [0u64; 5];
        for (position, entry) in table.iter().enumerate() {
            let difference = black_box(index ^ position as u64);
            let chosen = (difference.wrapping_sub(1) >> 63).wrapping_neg();
            for (limb, source) in found.iter_mut().zip(entry.0) {
                *limb |= source & chosen;
            }
        }
        Field51(found)
    }
}
