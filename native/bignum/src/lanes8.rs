//! Eight residues side by side, in limbs of 52 bits: two rows of the product at a time.

use std::marker::PhantomData;

use atoll_simd::Lanes8;

use crate::engine::{Constants, Engine};

/// Bits of a limb.
pub const BITS: u32 = 52;
const MASK: u64 = (1 << BITS) - 1;

/// The 52-bit multiply-add of AVX-512.
pub struct Eight<L>(PhantomData<L>);

impl<L: Lanes8> Engine for Eight<L> {
    const LANES: usize = 8;
    const BITS: u32 = BITS;

    #[inline(always)]
    fn product(out: &mut [u64], left: &[u64], right: &[u64], modulus: &Constants) {
        let out = out.as_chunks_mut::<8>().0;
        let (left, right) = (left.as_chunks::<8>().0, right.as_chunks::<8>().0);
        let (pairs, rest) = left.as_chunks::<2>();
        // Four halves of products a row and column, so that 64 bits hold a column of 1024 rows.
        assert!(rest.is_empty() && out.len() == left.len() && right.len() == left.len());
        assert!(left.len() <= 1024);
        out.fill([0; 8]);
        for pair in pairs {
            two_rows::<L>(out, pair, right, modulus);
        }
        carry::<L>(out);
    }
}

/// out = (out + (left₀ + left₁ 2^52) · right + multiple of n) / 2^104.
#[inline(always)]
fn two_rows<L: Lanes8>(
    out: &mut [[u64; 8]],
    left: &[[u64; 8]; 2],
    right: &[[u64; 8]],
    modulus: &Constants,
) {
    let count = out.len();
    let (right, limbs) = (&right[..count], &modulus.limbs[..count]);
    let (inverse, zero) = (L::splat(modulus.inverse & MASK), L::splat(0));
    let (a0, a1) = (L::from_array(left[0]), L::from_array(left[1]));
    let (b0, n0) = (L::from_array(right[0]), L::splat(limbs[0]));
    let (b1, n1) = (L::from_array(right[1]), L::splat(limbs[1]));
    let first = L::from_array(out[0]).madd52lo(a0, b0);
    let m0 = zero.madd52lo(first, inverse);
    let mut over = first.madd52lo(m0, n0).shr::<BITS>();
    let second = L::from_array(out[1])
        .add(over)
        .madd52hi(a0, b0)
        .madd52hi(m0, n0);
    let second = second.madd52lo(a0, b1).madd52lo(m0, n1).madd52lo(a1, b0);
    let m1 = zero.madd52lo(second, inverse);
    over = second.madd52lo(m1, n0).shr::<BITS>();
    let (mut older_b, mut older_n, mut old_b, mut old_n) = (b0, n0, b1, n1);
    for limb in 2..count {
        let (b, n) = (L::from_array(right[limb]), L::splat(limbs[limb]));
        // Two chains, since a multiply-add waits for the one before.
        let one = L::from_array(out[limb]).madd52lo(a0, b).madd52lo(m0, n);
        let one = one.madd52hi(a0, old_b).madd52hi(m0, old_n);
        let two = over.madd52lo(a1, old_b).madd52lo(m1, old_n);
        let two = two.madd52hi(a1, older_b).madd52hi(m1, older_n);
        out[limb - 2] = one.add(two).to_array();
        (older_b, older_n, old_b, old_n, over) = (old_b, old_n, b, n, zero);
    }
    let last = over
        .madd52hi(a0, old_b)
        .madd52hi(m0, old_n)
        .madd52lo(a1, old_b)
        .madd52lo(m1, old_n);
    out[count - 2] = last.madd52hi(a1, older_b).madd52hi(m1, older_n).to_array();
    out[count - 1] = zero.madd52hi(a1, old_b).madd52hi(m1, old_n).to_array();
}

/// Leaves limbs of 52 bits; what is above the last stays there.
#[inline(always)]
fn carry<L: Lanes8>(out: &mut [[u64; 8]]) {
    let mask = L::splat(MASK);
    let mut over = L::splat(0);
    let last = out.len() - 1;
    for limb in &mut out[..last] {
        let value = L::from_array(*limb).add(over);
        *limb = value.and(mask).to_array();
        over = value.shr::<BITS>();
    }
    out[last] = L::from_array(out[last]).add(over).to_array();
}
