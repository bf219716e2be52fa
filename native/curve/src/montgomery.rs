//! The Montgomery form v^2 = u^3 + 486662 u^2 + u, by u-coordinates only.

use atoll_simd::Kernel1;

use crate::field::{Chains, Constant, Field, LaneMask, batch_invert};

/// The curve's A.
pub(crate) const A: Constant = Constant::small(486_662);
const A24: u32 = 121_665;
/// How many vectors share an inversion.
pub(crate) const GROUP: usize = 32;

/// A clamped scalar times u, as a fraction; (0, 0) or (x, 0) stand for the point at infinity.
///
/// One scalar for all lanes; each of its bits drives the same operations.
/// Source: RFC 7748, section 5, with sums of products carried once.
#[inline(always)]
pub(crate) fn ladder<F: Field>(scalar: &[u8; 32], u: F) -> (F, F) {
    F::outlined(Ladder { scalar, u })
}

struct Ladder<'a, F> {
    scalar: &'a [u8; 32],
    u: F,
}

impl<F: Field> Kernel1 for Ladder<'_, F> {
    type Output = (F, F);

    #[inline(always)]
    fn run(self) -> (F, F) {
        let Ladder { scalar, u } = self;
        let (mut x2, mut z2) = (F::one().widen(), F::zero().widen());
        let (mut x3, mut z3) = (u.widen(), F::one().widen());
        let mut before = 0;
        for position in (0..255).rev() {
            let bit = u32::from(scalar[position / 8] >> (position % 8) & 1);
            let mask = F::Mask::from_bits((bit ^ before).wrapping_neg());
            before = bit;
            F::wide_swap(mask, &mut x2, &mut x3);
            F::wide_swap(mask, &mut z2, &mut z3);
            let a = F::reduce(F::wide_add(x2, z2));
            let b = F::reduce(F::wide_sub(x2, z2));
            let c = F::reduce(F::wide_add(x3, z3));
            let d = F::reduce(F::wide_sub(x3, z3));
            let (da, cb) = (d.mul_wide(a), c.mul_wide(b));
            let (aa, bb) = (a.square(), b.square());
            let e = aa.sub(bb);
            x3 = F::reduce(F::wide_add(da, cb)).square_wide();
            z3 = F::reduce(F::wide_sub(da, cb)).square().mul_wide(u);
            x2 = aa.mul_wide(bb);
            z2 = e.mul_wide(F::reduce(F::wide_add(aa.widen(), e.mul_small_wide(A24))));
        }
        let mask = F::Mask::from_bits(before.wrapping_neg());
        F::wide_swap(mask, &mut x2, &mut x3);
        F::wide_swap(mask, &mut z2, &mut z3);
        (F::reduce(x2), F::reduce(z2))
    }
}

/// Twice the point x / z.
#[inline(always)]
pub(crate) fn double<F: Field>(x: F, z: F) -> (F, F) {
    let (aa, bb) = (x.add(z).square(), x.sub(z).square());
    let e = aa.sub(bb);
    (aa.mul(bb), e.mul(aa.add(e.mul_small(A24))))
}

/// Turns up to [`GROUP`] fractions into numbers; a zero denominator gives zero.
#[inline(always)]
pub(crate) fn divide<F: Field>(numerators: &mut [F], denominators: &mut [F]) {
    let mut scratch = [F::zero(); GROUP];
    batch_invert(denominators, &mut scratch);
    for (numerator, inverse) in numerators.iter_mut().zip(denominators.iter()) {
        *numerator = numerator.mul(*inverse);
    }
}

/// How many vectors are tested together, so that their exponentiations overlap.
pub(crate) const TOGETHER: usize = 2;

/// Lanes whose u belongs to the curve, not to its twist.
///
/// Euler's criterion on u^3 + A u^2 + u; u = 0 belongs to both.
#[inline(always)]
pub(crate) fn on_curve<F: Field>(u: [F; TOGETHER]) -> [F::Mask; TOGETHER] {
    F::outlined(OnCurve(u))
}

struct OnCurve<F>([F; TOGETHER]);

impl<F: Field> Kernel1 for OnCurve<F> {
    type Output = [F::Mask; TOGETHER];

    #[inline(always)]
    fn run(self) -> [F::Mask; TOGETHER] {
        let mut right = self.0;
        for value in &mut right {
            *value = value.mul(value.mul(value.add(F::splat(A))).add(F::one()));
        }
        let chains = F::outlined(Chains(right));
        let mut fine = [F::Mask::from_bits(0); TOGETHER];
        for ((slot, value), (ones250, _)) in fine.iter_mut().zip(right).zip(chains) {
            let square = value.square();
            let sixth = square.square().mul(square);
            let symbol = ones250.pow2k(4).mul(sixth);
            *slot = symbol.equal(F::one().neg()).not();
        }
        fine
    }
}

/// Scalars of X25519: a multiple of 8 with bit 254 set.
pub(crate) fn clamp(mut scalar: [u8; 32]) -> [u8; 32] {
    scalar[0] &= 248;
    scalar[31] = scalar[31] & 127 | 64;
    scalar
}
