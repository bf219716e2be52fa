//! Arithmetic modulo p = 2^255 - 19 over one or many lanes.
//!
//! Kernels are generic over [`Field`]; [`dispatch`] compiles them for each level and picks one.
//!
//! **Bounds.** Every `Self` that a method returns is *tight*: each limb is at most a little
//! above its nominal width, so that it may go into any other method. A [`Field::Wide`] is a sum
//! that has not been carried: it has a *weight*, and a weight above 4 would overflow. A product
//! weighs 1, a widened element 0, `wide_add` adds weights, `wide_sub(a, b)` weighs two more than
//! `a` and wants `b` of weight 1 at most. Debug builds check the limbs.

use atoll_simd::Kernel1;

mod constants;
mod dispatch;
mod lanes4;
mod lanes8;
#[cfg(test)]
mod outlined;
mod portable;

pub use constants::Constant;
pub use dispatch::{FieldKernel, dispatch};
pub use lanes4::Field4;
pub use lanes8::Field8;
pub use portable::Field51;

/// One boolean a lane; a lane's bit is never turned into a branch.
pub trait LaneMask: Copy {
    /// Lane i is bit i.
    fn from_bits(bits: u32) -> Self;
    /// Bit i is lane i; bits above the lanes are zero.
    fn bits(self) -> u32;
    /// Both.
    fn and(self, other: Self) -> Self;
    /// Either.
    fn or(self, other: Self) -> Self;
    /// Exactly one.
    fn xor(self, other: Self) -> Self;
    /// Neither.
    fn not(self) -> Self;
}

/// `LANES` independent elements of the field with 2^255 - 19 elements.
///
/// All methods take time that does not depend on values, and act on each lane alone.
/// Implementors' methods are `#[inline(always)]`, and so must be the generic code over them
/// that is to be compiled for a level.
pub trait Field: Copy + Send + Sync {
    /// How many elements one value holds.
    const LANES: usize;
    /// One boolean a lane.
    type Mask: LaneMask;
    /// A sum that has not been carried; see the module's bounds.
    type Wide: Copy;
    /// Eight elements to choose from.
    type Table8: Copy + Send + Sync;
    /// A choice of one of eight for each lane.
    type Index: Copy;

    /// Runs a computation as a function of its own, compiled for the level: for long code that is
    /// used in several places. The kernel's `run` is `#[inline(always)]`.
    fn outlined<K: Kernel1>(kernel: K) -> K::Output;

    /// The same element in all lanes.
    fn splat(value: Constant) -> Self;
    /// Reads `LANES` little-endian encodings; the top bit is ignored, values up to 2^255 - 1 are accepted.
    fn load(encodings: &[[u8; 32]]) -> Self;
    /// Like `load` from `LANES` places, the first of the eight.
    #[inline(always)]
    fn gather(encodings: &[&[u8; 32]; 8]) -> Self {
        let mut copies = [[0; 32]; 8];
        for (copy, encoding) in copies.iter_mut().zip(encodings) {
            *copy = **encoding;
        }
        Self::load(&copies[..Self::LANES])
    }
    /// Writes `LANES` canonical little-endian encodings.
    fn store(self, encodings: &mut [[u8; 32]]);
    /// The low 64 bits of each canonical encoding; elements beyond the lanes are zero.
    #[inline(always)]
    fn low_words(self) -> [u64; 8] {
        let mut encodings = [[0; 32]; 8];
        self.store(&mut encodings[..Self::LANES]);
        let mut words = [0; 8];
        for (word, encoding) in words.iter_mut().zip(&encodings) {
            *word = encoding
                .first_chunk()
                .map_or(0, |low| u64::from_le_bytes(*low));
        }
        words
    }

    /// Zero in all lanes.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(Constant::ZERO)
    }
    /// One in all lanes.
    #[inline(always)]
    fn one() -> Self {
        Self::splat(Constant::ONE)
    }

    /// a + b.
    fn add(self, other: Self) -> Self;
    /// a - b.
    fn sub(self, other: Self) -> Self;
    /// -a.
    fn neg(self) -> Self;
    /// a b.
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self::reduce(self.mul_wide(other))
    }
    /// a^2.
    #[inline(always)]
    fn square(self) -> Self {
        Self::reduce(self.square_wide())
    }
    /// a times a public number below 2^20.
    #[inline(always)]
    fn mul_small(self, factor: u32) -> Self {
        Self::reduce(self.mul_small_wide(factor))
    }

    /// a as an uncarried sum of weight 0.
    fn widen(self) -> Self::Wide;
    /// a b, weight 1.
    fn mul_wide(self, other: Self) -> Self::Wide;
    /// a^2, weight 1.
    fn square_wide(self) -> Self::Wide;
    /// a times a public number below 2^20, weight 1.
    fn mul_small_wide(self, factor: u32) -> Self::Wide;
    /// The weights add up.
    fn wide_add(left: Self::Wide, right: Self::Wide) -> Self::Wide;
    /// Weight of `left` plus 2; `right` weighs at most 1.
    fn wide_sub(left: Self::Wide, right: Self::Wide) -> Self::Wide;
    /// Exchanges the lanes of the mask.
    fn wide_swap(mask: Self::Mask, left: &mut Self::Wide, right: &mut Self::Wide);
    /// Carries; the weight is at most 4.
    fn reduce(wide: Self::Wide) -> Self;

    /// `if_set` in the lanes of the mask, `if_clear` in the others.
    fn select(mask: Self::Mask, if_set: Self, if_clear: Self) -> Self;
    /// Lanes equal to zero.
    fn is_zero(self) -> Self::Mask;
    /// Lanes whose canonical encoding is odd ("negative" in RFC 8032 and RFC 9496).
    fn is_odd(self) -> Self::Mask;

    /// The eight entries, the same for all lanes.
    fn table8(entries: &[Constant; 8]) -> Self::Table8;
    /// One number from 0 to 7 for each lane (`LANES` of them; only the low three bits count).
    fn index(values: &[u8]) -> Self::Index;
    /// For each lane the entry of its index; secret indices leave no trace in time or memory accesses.
    fn lookup8(table: &Self::Table8, index: Self::Index) -> Self;

    /// Lanes where both are equal.
    #[inline(always)]
    fn equal(self, other: Self) -> Self::Mask {
        self.sub(other).is_zero()
    }
    /// 2 a.
    #[inline(always)]
    fn double(self) -> Self {
        self.add(self)
    }
    /// Exchanges the lanes of the mask.
    #[inline(always)]
    fn swap(mask: Self::Mask, left: &mut Self, right: &mut Self) {
        let kept = *left;
        *left = Self::select(mask, *right, kept);
        *right = Self::select(mask, kept, *right);
    }
    /// -a in the lanes of the mask.
    #[inline(always)]
    fn negate_if(self, mask: Self::Mask) -> Self {
        Self::select(mask, self.neg(), self)
    }
    /// a^(2^k).
    #[inline(always)]
    fn pow2k(self, k: u32) -> Self {
        let mut power = self;
        for _ in 0..k {
            power = power.square();
        }
        power
    }
    /// (a^(2^250 - 1), a^11), from which the chains below start.
    #[inline(always)]
    fn pow_2_250_1(self) -> (Self, Self) {
        let [both] = Self::outlined(Chains([self]));
        both
    }
    /// 1 / a, and 0 for 0.
    #[inline(always)]
    fn invert(self) -> Self {
        let (ones250, eleven) = self.pow_2_250_1();
        eleven.mul(ones250.pow2k(5))
    }
    /// a^((p - 5) / 8), the exponent of square roots.
    #[inline(always)]
    fn pow_p58(self) -> Self {
        let (ones250, _) = self.pow_2_250_1();
        self.mul(ones250.pow2k(2))
    }
    /// Lanes where `numerator / denominator` is a square, and its even root there; elsewhere the
    /// even root of sqrt(-1) times the ratio. A zero denominator counts as a square only under a zero numerator.
    ///
    /// Source: RFC 9496, 4.2.
    #[inline(always)]
    fn sqrt_ratio(numerator: Self, denominator: Self) -> (Self::Mask, Self) {
        Self::outlined(SqrtRatio(numerator, denominator))
    }
}

/// The start of all exponentiations, several at once: a^(2^250 - 1) and a^11 of each.
///
/// One alone waits for each of its squares; several fill the gaps.
pub(crate) struct Chains<F, const N: usize>(pub [F; N]);

impl<F: Field, const N: usize> Kernel1 for Chains<F, N> {
    type Output = [(F, F); N];

    #[inline(always)]
    fn run(self) -> [(F, F); N] {
        let two = powers(self.0, 1);
        let nine = products(self.0, powers(two, 2));
        let eleven = products(nine, two);
        let ones5 = products(nine, powers(eleven, 1));
        let mut ones = [ones5; 5];
        // ones[i] = a^(2^n - 1) for n = 10, 20, 40, 50, 100; then 200 and 250
        let steps = [(5, 0, 0), (10, 0, 0), (20, 1, 1), (10, 2, 0), (50, 3, 3)];
        for (position, (shift, base, last)) in steps.into_iter().enumerate() {
            let (base, last) = match position {
                0 => (ones5, ones5),
                _ => (ones[base], ones[last]),
            };
            ones[position] = products(powers(base, shift), last);
        }
        let ones200 = products(powers(ones[4], 100), ones[4]);
        let ones250 = products(powers(ones200, 50), ones[3]);
        let mut both = [(F::zero(), F::zero()); N];
        for (slot, pair) in both.iter_mut().zip(ones250.into_iter().zip(eleven)) {
            *slot = pair;
        }
        both
    }
}

#[inline(always)]
fn products<F: Field, const N: usize>(mut left: [F; N], right: [F; N]) -> [F; N] {
    for (value, other) in left.iter_mut().zip(right) {
        *value = value.mul(other);
    }
    left
}

#[inline(always)]
fn powers<F: Field, const N: usize>(mut values: [F; N], k: u32) -> [F; N] {
    for _ in 0..k {
        for value in &mut values {
            *value = value.square();
        }
    }
    values
}

struct SqrtRatio<F>(F, F);

impl<F: Field> Kernel1 for SqrtRatio<F> {
    type Output = (F::Mask, F);

    #[inline(always)]
    fn run(self) -> (F::Mask, F) {
        let SqrtRatio(numerator, denominator) = self;
        let cube = denominator.square().mul(denominator);
        let seventh = cube.square().mul(denominator);
        let guess = numerator.mul(cube).mul(numerator.mul(seventh).pow_p58());
        let check = denominator.mul(guess.square());
        let sqrt_minus_one = F::splat(Constant::SQRT_MINUS_ONE);
        let correct = check.equal(numerator);
        let negated = numerator.neg();
        let flipped = check.equal(negated);
        let flipped_i = check.equal(negated.mul(sqrt_minus_one));
        let root = F::select(flipped.or(flipped_i), guess.mul(sqrt_minus_one), guess);
        (correct.or(flipped), root.negate_if(root.is_odd()))
    }
}

/// Inverts all values with one inversion and three products each; zeros stay zero.
///
/// Source: Montgomery 1987, section 10.3.1. `scratch` has the length of `values` at least.
#[inline(always)]
pub fn batch_invert<F: Field>(values: &mut [F], scratch: &mut [F]) {
    F::outlined(BatchInvert { values, scratch })
}

struct BatchInvert<'a, F> {
    values: &'a mut [F],
    scratch: &'a mut [F],
}

impl<F: Field> Kernel1 for BatchInvert<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let BatchInvert { values, scratch } = self;
        let mut product = F::one();
        for (value, slot) in values.iter_mut().zip(scratch.iter_mut()) {
            *slot = product;
            let factor = F::select(value.is_zero(), F::one(), *value);
            product = product.mul(factor);
        }
        let mut inverse = product.invert();
        for (value, before) in values.iter_mut().zip(scratch.iter()).rev() {
            let zero = value.is_zero();
            let factor = F::select(zero, F::one(), *value);
            *value = F::select(zero, F::zero(), inverse.mul(*before));
            inverse = inverse.mul(factor);
        }
    }
}

#[cfg(test)]
mod tests;
