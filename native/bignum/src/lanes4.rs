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
        let right = limbs(right);
        blocks::<L>(out, left, modulus, |block, out, _| {
            let edge = |column| part(block, right, column);
            let quotients = head::<L>(out, modulus, edge);
            let spread = limbs(&modulus.spread);
            shift_down::<L>(out, 4..right.len(), |column| {
                full(block, right, column).add(full(&quotients, spread, column))
            });
            tail::<L>(out, |column| {
                edge(column).add(part(&quotients, spread, column))
            });
        });
    }

    #[inline(always)]
    fn square(out: &mut [u64], value: &[u64], modulus: &Constants) {
        let factors = limbs(value);
        blocks::<L>(out, value, modulus, |block, out, first| {
            let doubled = block.map(|factor| factor.add(factor));
            let edge = |column| above_diagonal(block, &doubled, factors, first, column);
            let quotients = head::<L>(out, modulus, edge);
            let spread = limbs(&modulus.spread);
            let (count, low) = (factors.len(), first.max(4));
            let high = (first + 7).min(count).max(low);
            shift_down::<L>(out, 4..low, |column| full(&quotients, spread, column));
            shift_down::<L>(out, low..high, |column| {
                edge(column).add(full(&quotients, spread, column))
            });
            shift_down::<L>(out, high..count, |column| {
                full(&doubled, factors, column).add(full(&quotients, spread, column))
            });
            tail::<L>(out, |column| {
                edge(column).add(part(&quotients, spread, column))
            });
        });
    }
}

#[inline(always)]
fn limbs(values: &[u64]) -> &[[u64; 4]] {
    values.as_chunks::<4>().0
}

/// Runs the work for each block of rows, with what they multiply and the first row's number.
#[inline(always)]
fn blocks<L: Lanes4>(
    out: &mut [u64],
    left: &[u64],
    modulus: &Constants,
    work: impl Fn(&[L; ROWS], &mut [[u64; 4]], usize),
) {
    let out = out.as_chunks_mut::<4>().0;
    let (rows, rest) = limbs(left).as_chunks::<ROWS>();
    let count = out.len();
    assert!(rest.is_empty() && count == ROWS * rows.len() && count >= 8);
    assert!(modulus.spread.len() == 4 * count);
    out.fill([0; 4]);
    for (at, block) in rows.iter().enumerate() {
        work(&block.map(L::from_array), out, ROWS * at);
        if (ROWS * at + ROWS).is_multiple_of(ROWS_BETWEEN_CARRIES) {
            carry::<L>(out);
        }
    }
    carry::<L>(out);
}

/// The sum over rows of a factor and the value's limb for the column.
#[inline(always)]
fn full<L: Lanes4>(factors: &[L; ROWS], value: &[[u64; 4]], column: usize) -> L {
    let limb = |row: usize| factors[row].mul32(L::from_array(value[column - row]));
    limb(0).add(limb(1)).add(limb(2).add(limb(3)))
}

/// The same, of limbs that the value has.
#[inline(always)]
fn part<L: Lanes4>(factors: &[L; ROWS], value: &[[u64; 4]], column: usize) -> L {
    let mut sum = L::splat(0);
    for (row, factor) in factors.iter().enumerate() {
        if row <= column && column - row < value.len() {
            sum = sum.add(factor.mul32(L::from_array(value[column - row])));
        }
    }
    sum
}

/// What a block of a square adds to a column: each product of two limbs is taken once, and doubled.
#[inline(always)]
fn above_diagonal<L: Lanes4>(
    factors: &[L; ROWS],
    doubled: &[L; ROWS],
    value: &[[u64; 4]],
    first: usize,
    column: usize,
) -> L {
    let mut sum = L::splat(0);
    for row in 0..ROWS {
        if first + 2 * row <= column && column - row < value.len() {
            let single = column - row == first + row;
            let factor = if single { factors[row] } else { doubled[row] };
            sum = sum.add(factor.mul32(L::from_array(value[column - row])));
        }
    }
    sum
}

/// Makes the first four columns multiples of 2^28 and carries what is above; returns the quotients.
#[inline(always)]
fn head<L: Lanes4>(
    out: &mut [[u64; 4]],
    modulus: &Constants,
    own: impl Fn(usize) -> L,
) -> [L; ROWS] {
    let spread = limbs(&modulus.spread);
    let (inverse, mask) = (L::splat(modulus.inverse & MASK), L::splat(MASK));
    let mut quotients = [L::splat(0); ROWS];
    let mut over = L::splat(0);
    for column in 0..ROWS {
        let mut sum = L::from_array(out[column]).add(own(column)).add(over);
        for row in 0..column {
            sum = sum.add(quotients[row].mul32(L::from_array(spread[column - row])));
        }
        quotients[column] = sum.mul32(inverse).and(mask).opaque();
        let lowest = quotients[column].mul32(L::from_array(spread[0]));
        over = sum.add(lowest).shr::<SHIFT>();
    }
    out[ROWS] = L::from_array(out[ROWS]).add(over).to_array();
    quotients
}

/// Adds to columns and moves them down by the block's rows.
#[inline(always)]
fn shift_down<L: Lanes4>(
    out: &mut [[u64; 4]],
    columns: std::ops::Range<usize>,
    added: impl Fn(usize) -> L,
) {
    for column in columns {
        out[column - ROWS] = L::from_array(out[column]).add(added(column)).to_array();
    }
}

/// The columns above the last.
#[inline(always)]
fn tail<L: Lanes4>(out: &mut [[u64; 4]], added: impl Fn(usize) -> L) {
    let count = out.len();
    for column in count..count + ROWS {
        out[column - ROWS] = added(column).to_array();
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
