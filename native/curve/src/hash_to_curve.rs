//! `curve25519_XMD:SHA-512_ELL2_RO_` for batches of messages, as u-coordinates.
//!
//! Source: RFC 9380, sections 3, 5 and 6.7.1.

use crate::field::{Chains, Constant, Field, FieldKernel, LaneMask, dispatch};
pub use crate::messages::{Domain, Messages};
use crate::montgomery::{A, GROUP, divide, double};
use crate::sha512::{EXPANDED, expand_all};
use atoll_simd::{Kernel1, Pool, Target};

/// 2^((p + 3) / 8).
const ROOT_OF_TWO: Constant = Constant([
    0xc4ee_1b27_4a0e_a0b1,
    0x2f43_1806_ad2f_e478,
    0x2b4d_0099_3dfb_d7a7,
    0x2b83_2480_4fc1_df0b,
]);
/// A^2.
const A_SQUARED: Constant = Constant::small(486_662 * 486_662);

/// Hashes each message to the curve; u-coordinates in canonical encoding.
pub fn hash_to_curve(
    target: Target,
    pool: &Pool,
    messages: Messages<'_>,
    domain: &Domain,
) -> Vec<[u8; 32]> {
    let mut points = vec![[0u8; 32]; messages.len()];
    let tasks = messages
        .split(4096)
        .into_iter()
        .zip(points.chunks_mut(4096))
        .collect();
    pool.map(
        tasks,
        |(messages, points): (Messages<'_>, &mut [[u8; 32]])| {
            let expanded = expand_all(target, messages, domain);
            let expanded = &expanded;
            dispatch(target, Hash { expanded, points });
        },
    );
    points
}

struct Hash<'a> {
    expanded: &'a [[u8; EXPANDED]],
    points: &'a mut [[u8; 32]],
}

impl FieldKernel for Hash<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        let step = GROUP * F::LANES;
        for (expanded, points) in self.expanded.chunks(step).zip(self.points.chunks_mut(step)) {
            let group = map_group::<F>(expanded);
            for (value, out) in group.iter().zip(points.chunks_mut(F::LANES)) {
                let mut padded = [[0u8; 32]; 8];
                value.store(&mut padded[..F::LANES]);
                out.copy_from_slice(&padded[..out.len()]);
            }
        }
    }
}

/// The u-coordinates of up to `GROUP * LANES` expanded messages.
#[inline(always)]
pub(crate) fn map_group<F: Field>(expanded: &[[u8; EXPANDED]]) -> [F; GROUP] {
    let (mut numerators, mut denominators) = ([F::zero(); GROUP], [F::one(); GROUP]);
    let used = expanded.len().div_ceil(F::LANES);
    for (index, chunk) in expanded.chunks(F::LANES).enumerate() {
        let mapped = elligator(elements::<F>(chunk));
        (numerators[index], denominators[index]) = add_and_clear(&mapped);
    }
    divide(&mut numerators[..used], &mut denominators[..used]);
    numerators
}

/// hash_to_field for up to `LANES` expansions; missing lanes hold zero.
#[inline(always)]
fn elements<F: Field>(expanded: &[[u8; EXPANDED]]) -> [F; 2] {
    let mut low = [[[0u8; 32]; 8]; 2];
    let mut high = [[[0u8; 32]; 8]; 2];
    for (lane, uniform) in expanded.iter().enumerate() {
        for (half, bytes) in uniform.chunks_exact(48).enumerate() {
            split(bytes, &mut low[half][lane], &mut high[half][lane]);
        }
    }
    let mut both = [F::zero(); 2];
    for (half, element) in both.iter_mut().enumerate() {
        let high = F::load(&high[half][..F::LANES]).mul_small(19);
        *element = F::load(&low[half][..F::LANES]).add(high);
    }
    both
}

/// 48 big-endian bytes as low + 2^255 high, both little-endian.
#[inline(always)]
fn split(bytes: &[u8], low: &mut [u8; 32], high: &mut [u8; 32]) {
    for (slot, byte) in low.iter_mut().zip(bytes.iter().rev()) {
        *slot = *byte;
    }
    let mut carried = low[31] >> 7;
    low[31] &= 127;
    for (slot, byte) in high.iter_mut().zip(bytes[..16].iter().rev()) {
        *slot = byte << 1 | carried;
        carried = byte >> 7;
    }
    high[16] = carried;
}

/// A point (x / d, y).
struct Mapped<F> {
    x: F,
    d: F,
    y: F,
}

/// Elligator 2 with Z = 2, without branches.
///
/// With t = 2 u^2 and d = 1 + t (never zero): x1 = -A / d and g(x1) = n / d^3 for n = -A (d^2 - A^2 t).
/// c = (n / d^3)^((p + 3) / 8) is a root of it up to sqrt(-1), if there is one; otherwise
/// c u 2^((p + 3) / 8) is a root of g(x2) = t g(x1), up to sqrt(-1), for x2 = t x1.
///
/// Two at once: their exponentiations overlap.
#[inline(always)]
fn elligator<F: Field>(u: [F; 2]) -> [Mapped<F>; 2] {
    F::outlined(Elligator(u))
}

struct Elligator<F>([F; 2]);

/// What the exponentiation needs and what is needed after it.
#[derive(Clone, Copy)]
struct Prepared<F> {
    u: F,
    t: F,
    d: F,
    n: F,
    d3: F,
    d9: F,
}

impl<F: Field> Kernel1 for Elligator<F> {
    type Output = [Mapped<F>; 2];

    #[inline(always)]
    fn run(self) -> [Mapped<F>; 2] {
        let prepared = [prepare(self.0[0]), prepare(self.0[1])];
        let mut bases = [F::zero(); 2];
        for (base, p) in bases.iter_mut().zip(&prepared) {
            *base = p.n.mul(p.d9.square().mul(p.d3));
        }
        let [first, second] = F::outlined(Chains(bases));
        let powers = [
            bases[0].mul(first.0.pow2k(2)),
            bases[1].mul(second.0.pow2k(2)),
        ];
        [
            finish(&prepared[0], powers[0]),
            finish(&prepared[1], powers[1]),
        ]
    }
}

#[inline(always)]
fn prepare<F: Field>(u: F) -> Prepared<F> {
    let t = u.square().double();
    let d = t.add(F::one());
    let d2 = d.square();
    let n = F::splat(A).neg().mul(d2.sub(t.mul(F::splat(A_SQUARED))));
    let d3 = d2.mul(d);
    let d9 = d3.square().mul(d3);
    Prepared { u, t, d, n, d3, d9 }
}

#[inline(always)]
fn finish<F: Field>(p: &Prepared<F>, power: F) -> Mapped<F> {
    let c = p.n.mul(p.d9).mul(power);
    let sqrt_minus_one = F::splat(Constant::SQRT_MINUS_ONE);
    let check = c.square().mul(p.d3);
    let (plain, turned) = (check.equal(p.n), check.equal(p.n.neg()));
    let is_square = plain.or(turned);
    let other = c.mul(p.u).mul(F::splat(ROOT_OF_TWO));
    let other_plain = other.square().mul(p.d3).equal(p.n.mul(p.t));
    let y = F::select(is_square, c, other);
    let as_is = plain.or(other_plain.and(is_square.not()));
    let y = F::select(as_is, y, y.mul(sqrt_minus_one));
    let minus_a = F::splat(A).neg();
    Mapped {
        x: F::select(is_square, minus_a, minus_a.mul(p.t)),
        d: p.d,
        y: y.negate_if(y.is_odd().xor(is_square)),
    }
}

/// 8 (P + Q) as a fraction.
///
/// The chord formula; equal or opposite P and Q, which no one can find, give (0, 0) or (x, 0).
#[inline(always)]
fn add_and_clear<F: Field>(points: &[Mapped<F>; 2]) -> (F, F) {
    F::outlined(Sum(points))
}

struct Sum<'a, F>(&'a [Mapped<F>; 2]);

impl<F: Field> Kernel1 for Sum<'_, F> {
    type Output = (F, F);

    #[inline(always)]
    fn run(self) -> (F, F) {
        let [p, q] = self.0;
        let d = p.d.mul(q.d);
        let (px, qx) = (p.x.mul(q.d), q.x.mul(p.d));
        let run = qx.sub(px);
        let run2 = run.square();
        let rise2 = q.y.sub(p.y).square();
        let lost = run2.mul(d.mul(F::splat(A)).add(px).add(qx));
        let mut x = rise2.mul(d.square().mul(d)).sub(lost);
        let mut z = run2.mul(d);
        for _ in 0..3 {
            (x, z) = double(x, z);
        }
        (x, z)
    }
}

#[cfg(test)]
mod tests;
