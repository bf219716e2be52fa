//! Four residues side by side, in limbs of 28 bits: two rows of the product at a time.

use std::marker::PhantomData;

use atoll_simd::Lanes4;

use crate::engine::{Constants, Engine};

/// Bits of a limb.
pub const BITS: u32 = 28;
const SHIFT: i32 = BITS.cast_signed();
const MASK: u64 = (1 << BITS) - 1;
// Each adds two products of 56 bits to a column.
const ROWS_BETWEEN_CARRIES: usize = 96;

/// AVX2's products of 32 bits.
pub struct Four<L>(PhantomData<L>);

impl<L: Lanes4> Engine for Four<L> {
    const LANES: usize = 4;
    const BITS: u32 = BITS;

    #[inline(always)]
    fn product(out: &mut [u64], left: &[u64], right: &[u64], modulus: &Constants) {
        let out = out.as_chunks_mut::<4>().0;
        let (left, right) = (left.as_chunks::<4>().0, right.as_chunks::<4>().0);
        let (pairs, rest) = left.as_chunks::<2>();
        assert!(rest.is_empty() && out.len() == left.len() && right.len() == left.len());
        out.fill([0; 4]);
        for (at, pair) in pairs.iter().enumerate() {
            two_rows::<L>(out, pair, right, modulus);
            if (2 * at + 2).is_multiple_of(ROWS_BETWEEN_CARRIES) {
                carry::<L>(out);
            }
        }
        carry::<L>(out);
    }
}

/// out = (out + (left₀ + left₁ 2^28) · right + multiple of n) / 2^56.
#[inline(always)]
fn two_rows<L: Lanes4>(
    out: &mut [[u64; 4]],
    left: &[[u64; 4]; 2],
    right: &[[u64; 4]],
    modulus: &Constants,
) {
    let count = out.len();
    let (right, limbs) = (&right[..count], &modulus.limbs[..count]);
    let (inverse, mask) = (L::splat(modulus.inverse & MASK), L::splat(MASK));
    let (a0, a1) = (L::from_array(left[0]), L::from_array(left[1]));
    let (mut b, mut n) = (L::from_array(right[0]), L::splat(limbs[0]));
    let first = L::from_array(out[0]).add(a0.mul32(b));
    let m0 = first.mul32(inverse).and(mask).opaque();
    let mut over = first.add(m0.mul32(n)).shr::<SHIFT>();
    let (next_b, next_n) = (L::from_array(right[1]), L::splat(limbs[1]));
    let second = L::from_array(out[1])
        .add(over)
        .add(a0.mul32(next_b))
        .add(m0.mul32(next_n))
        .add(a1.mul32(b));
    let m1 = second.mul32(inverse).and(mask).opaque();
    over = second.add(m1.mul32(n)).shr::<SHIFT>();
    (b, n) = (next_b, next_n);
    for limb in 2..count {
        let (next_b, next_n) = (L::from_array(right[limb]), L::splat(limbs[limb]));
        let old = L::from_array(out[limb]).add(over);
        let sum = a0
            .mul32(next_b)
            .add(m0.mul32(next_n))
            .add(a1.mul32(b).add(m1.mul32(n)));
        out[limb - 2] = old.add(sum).to_array();
        (b, n, over) = (next_b, next_n, L::splat(0));
    }
    out[count - 2] = over.add(a1.mul32(b)).add(m1.mul32(n)).to_array();
    out[count - 1] = [0; 4];
}

/// Leaves limbs of 28 bits; what is above the last stays there.
#[inline(always)]
fn carry<L: Lanes4>(out: &mut [[u64; 4]]) {
    let mask = L::splat(MASK);
    let mut over = L::splat(0);
    let last = out.len() - 1;
    for limb in &mut out[..last] {
        let value = L::from_array(*limb).add(over);
        *limb = value.and(mask).to_array();
        over = value.shr::<SHIFT>();
    }
    out[last] = L::from_array(out[last]).add(over).to_array();
}
