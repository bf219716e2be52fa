//! One residue at a time, in limbs of 64 bits.

use crate::engine::{Constants, Engine};

/// Plain 64-bit arithmetic.
pub struct One;

/// sum + left · right + carry, as low and high word.
#[inline(always)]
fn step(sum: u64, left: u64, right: u64, carry: u64) -> (u64, u64) {
    let whole = u128::from(left) * u128::from(right) + u128::from(sum) + u128::from(carry);
    (whole as u64, (whole >> 64) as u64)
}

impl Engine for One {
    const LANES: usize = 1;
    const BITS: u32 = 64;

    #[inline(always)]
    fn product(out: &mut [u64], left: &[u64], right: &[u64], modulus: &Constants) {
        let count = out.len();
        out.fill(0);
        for digit in left {
            let (first, mut high) = step(out[0], *digit, right[0], 0);
            let quotient = first.wrapping_mul(modulus.inverse);
            let (_, mut carry) = step(first, quotient, modulus.limbs[0], 0);
            for limb in 1..count {
                let (sum, above) = step(out[limb], *digit, right[limb], high);
                let (whole, over) = step(sum, quotient, modulus.limbs[limb], carry);
                (out[limb - 1], high, carry) = (whole, above, over);
            }
            // Below 2 n, so nothing is carried beyond the last limb.
            out[count - 1] = high.wrapping_add(carry);
        }
    }
}
