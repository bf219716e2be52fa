//! Four residues side by side, in limbs of 28 bits: four rows of the product at a time.

use std::marker::PhantomData;

use atoll_simd::Lanes4;

use crate::engine::{Constants, Engine};

/// Bits of a limb.
pub const BITS: u32 = 28;
const ROWS: usize = 4;
const SHIFT: i32 = BITS.cast_signed();
const MASK: u64 = (1 << BITS) - 1;
// A row adds at most three times 2^56 to a column: a doubled product and one of the modulus.
const ROWS_BETWEEN_CARRIES: usize = 64;

/// AVX2's products of 32 bits.
pub struct Four<L>(PhantomData<L>);

impl<L: Lanes4> Engine for Four<L> {
    const LANES: usize = 4;
    const BITS: u32 = BITS;

    #[inline(always)]
    fn product(out: &mut [u64], left: &[u64], right: &[u64], modulus: &Constants) {
        let (out, rows, spread) = parts(out, left, modulus);
        let right = limbs(right);
        for (at, block) in rows.iter().enumerate() {
            let block = Product {
                factors: block.map(L::from_array),
                right,
            };
            add_block(out, &block, modulus, spread);
            carry_sometimes::<L>(out, at);
        }
        carry::<L>(out);
    }

    #[inline(always)]
    fn square(out: &mut [u64], value: &[u64], modulus: &Constants) {
        let (out, rows, spread) = parts(out, value, modulus);
        for (at, block) in rows.iter().enumerate() {
            let factors = block.map(L::from_array);
            let block = Square {
                factors,
                doubled: factors.map(|factor| factor.add(factor)),
                value: limbs(value),
                first: ROWS * at,
            };
            add_block(out, &block, modulus, spread);
            carry_sometimes::<L>(out, at);
        }
        carry::<L>(out);
    }
}

type Limbs<'a> = &'a [[u64; 4]];
type Blocks<'a> = &'a [[[u64; 4]; ROWS]];

#[inline(always)]
fn limbs(values: &[u64]) -> Limbs<'_> {
    values.as_chunks::<4>().0
}

/// An empty result, the blocks of rows, and the modulus.
#[inline(always)]
fn parts<'a>(
    out: &'a mut [u64],
    left: &'a [u64],
    modulus: &'a Constants,
) -> (&'a mut [[u64; 4]], Blocks<'a>, Limbs<'a>) {
    let (out, spread) = (out.as_chunks_mut::<4>().0, limbs(&modulus.spread));
    let (rows, rest) = limbs(left).as_chunks::<ROWS>();
    assert!(rest.is_empty() && out.len() == ROWS * rows.len() && out.len() >= 8);
    assert!(spread.len() == out.len());
    out.fill([0; 4]);
    (out, rows, spread)
}

/// What a block of four rows adds to columns, besides a multiple of the modulus.
///
/// Methods, not closures: these would not be compiled for the lanes' instructions.
trait Block<L: Lanes4> {
    /// To any column.
    fn edge(&self, column: usize) -> L;
    /// To a column from `full` on.
    fn inner(&self, column: usize) -> L;
    /// From which columns on it adds something, and from which on all that `inner` has.
    fn bounds(&self) -> (usize, usize);
}

struct Product<'a, L> {
    factors: [L; ROWS],
    right: Limbs<'a>,
}

impl<L: Lanes4> Block<L> for Product<'_, L> {
    #[inline(always)]
    fn edge(&self, column: usize) -> L {
        part(&self.factors, self.right, column)
    }

    #[inline(always)]
    fn inner(&self, column: usize) -> L {
        full(&self.factors, self.right, column)
    }

    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        (ROWS, ROWS)
    }
}

/// Each product of two limbs is taken once, and doubled.
struct Square<'a, L> {
    factors: [L; ROWS],
    doubled: [L; ROWS],
    value: Limbs<'a>,
    first: usize,
}

impl<L: Lanes4> Block<L> for Square<'_, L> {
    #[inline(always)]
    fn edge(&self, column: usize) -> L {
        let mut sum = L::splat(0);
        for row in 0..ROWS {
            if self.first + 2 * row <= column && column - row < self.value.len() {
                let single = column - row == self.first + row;
                let factors = if single { &self.factors } else { &self.doubled };
                sum = sum.add(factors[row].mul32(L::from_array(self.value[column - row])));
            }
        }
        sum
    }

    #[inline(always)]
    fn inner(&self, column: usize) -> L {
        full(&self.doubled, self.value, column)
    }

    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        let count = self.value.len();
        let low = self.first.max(ROWS);
        (low, (self.first + 2 * ROWS - 1).clamp(low, count))
    }
}

/// out = (out + block + multiple of n) / 2^112.
#[inline(always)]
fn add_block<L: Lanes4, B: Block<L>>(
    out: &mut [[u64; 4]],
    block: &B,
    modulus: &Constants,
    spread: Limbs<'_>,
) {
    let count = spread.len();
    let out = &mut out[..count];
    let quotients = head::<L, B>(out, block, modulus, spread);
    let (low, high) = block.bounds();
    for column in ROWS..low {
        let sum = L::from_array(out[column]).add(full(&quotients, spread, column));
        out[column - ROWS] = sum.to_array();
    }
    for column in low..high {
        let sum = block.edge(column).add(full(&quotients, spread, column));
        out[column - ROWS] = L::from_array(out[column]).add(sum).to_array();
    }
    for column in high..count {
        let sum = block.inner(column).add(full(&quotients, spread, column));
        out[column - ROWS] = L::from_array(out[column]).add(sum).to_array();
    }
    for column in count..count + ROWS {
        let sum = block.edge(column).add(part(&quotients, spread, column));
        out[column - ROWS] = sum.to_array();
    }
}

/// The sum over rows of a factor and the value's limb for the column.
#[inline(always)]
fn full<L: Lanes4>(factors: &[L; ROWS], value: Limbs<'_>, column: usize) -> L {
    let [a, b, c, d] = *factors;
    let first = a.mul32(L::from_array(value[column]));
    let second = b.mul32(L::from_array(value[column - 1]));
    let third = c.mul32(L::from_array(value[column - 2]));
    let fourth = d.mul32(L::from_array(value[column - 3]));
    first.add(second).add(third.add(fourth))
}

/// The same, of limbs that the value has.
#[inline(always)]
fn part<L: Lanes4>(factors: &[L; ROWS], value: Limbs<'_>, column: usize) -> L {
    let mut sum = L::splat(0);
    for row in 0..ROWS {
        if row <= column && column - row < value.len() {
            sum = sum.add(factors[row].mul32(L::from_array(value[column - row])));
        }
    }
    sum
}

/// Makes the first four columns multiples of 2^28 and carries what is above; returns the quotients.
#[inline(always)]
fn head<L: Lanes4, B: Block<L>>(
    out: &mut [[u64; 4]],
    block: &B,
    modulus: &Constants,
    spread: Limbs<'_>,
) -> [L; ROWS] {
    let (inverse, mask) = (L::splat(modulus.inverse & MASK), L::splat(MASK));
    let lowest = L::from_array(spread[0]);
    let mut quotients = [L::splat(0); ROWS];
    let mut over = L::splat(0);
    for column in 0..ROWS {
        let mut sum = L::from_array(out[column]).add(block.edge(column)).add(over);
        for row in 0..column {
            sum = sum.add(quotients[row].mul32(L::from_array(spread[column - row])));
        }
        quotients[column] = sum.mul32(inverse).and(mask).opaque();
        over = sum.add(quotients[column].mul32(lowest)).shr::<SHIFT>();
    }
    out[ROWS] = L::from_array(out[ROWS]).add(over).to_array();
    quotients
}

#[inline(always)]
fn carry_sometimes<L: Lanes4>(out: &mut [[u64; 4]], block: usize) {
    if (ROWS * block + ROWS).is_multiple_of(ROWS_BETWEEN_CARRIES) {
        carry::<L>(out);
    }
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
