//! Batch decryption by the key owner.

use std::sync::atomic::{AtomicBool, Ordering};

use atoll_simd::{Pool, Target};

use super::encrypt::coordinates;
use super::{PAIR_BYTES, PairError, SecretKey, WirePair};
use crate::dlog::{GROUPS, Range, search};
use crate::edwards::{Cached, Extended, MAX_LANES, is_canonical, load_with, on_curve, scan};
use crate::field::{Field, FieldKernel, LaneMask, dispatch};
use crate::scalar::{bit, odd_representative, signed_bits};
use zeroize::Zeroizing;

/// Inclusive public bounds of a decrypted value.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The least value.
    pub low: i64,
    /// The greatest value.
    pub high: i64,
}

/// Cells that one thread takes at a time.
const CHUNK: usize = 512;

impl SecretKey {
    /// Decrypts finished cells; `inside` states of which both values lie within their bounds.
    ///
    /// The work does not depend on it, and values outside are given as 0: whether a value lies in a
    /// range may be a secret that the sender of the cells is after.
    pub fn decrypt(
        &self,
        target: Target,
        cells: &[[u8; PAIR_BYTES]],
        bounds: [Bounds; 2],
        output: [&mut [i64]; 2],
        inside: &mut [bool],
        pool: &Pool,
    ) -> Result<(), PairError> {
        let [g, h] = output;
        if [g.len(), h.len(), inside.len()] != [cells.len(); 3] {
            return Err(PairError::Shape);
        }
        let ranges = prepare(target, bounds, pool).ok_or(PairError::Bounds)?;
        let secrets = Zeroizing::new(
            self.scalars
                .map(|scalar| signed_bits(&odd_representative(&scalar))),
        );
        let on_curve = AtomicBool::new(true);
        let outputs = g.chunks_mut(CHUNK).zip(h.chunks_mut(CHUNK));
        let outputs = outputs.zip(inside.chunks_mut(CHUNK));
        pool.map(
            cells.chunks(CHUNK).zip(outputs).collect(),
            |(cells, ((g, h), inside))| {
                let kernel = Decrypt {
                    secrets: &secrets,
                    ranges: &ranges,
                    cells,
                    output: [g, h],
                    inside,
                };
                on_curve.fetch_and(dispatch(target, kernel), Ordering::Relaxed);
            },
        );
        match on_curve.into_inner() {
            true => Ok(()),
            false => Err(PairError::Point),
        }
    }
}

/// Both ranges, searched with one table.
fn prepare(target: Target, bounds: [Bounds; 2], pool: &Pool) -> Option<[Range; 2]> {
    let counts = bounds.map(|bound| Range::count(bound.low, bound.high));
    let widest = counts[0]?.max(counts[1]?);
    let [g, h] = bounds.map(|bound| Range::new(target, bound.low, bound.high, widest, pool));
    Some([g?, h?])
}

struct Decrypt<'a> {
    secrets: &'a [[u64; 4]; 2],
    ranges: &'a [Range; 2],
    cells: &'a [[u8; PAIR_BYTES]],
    output: [&'a mut [i64]; 2],
    inside: &'a mut [bool],
}

impl FieldKernel for Decrypt<'_> {
    /// Whether all points are canonical and on the curve.
    type Output = bool;

    #[inline(always)]
    fn run<F: Field>(self) -> bool {
        let mut all_valid = true;
        self.inside.fill(true);
        let mut scratch = Vec::new();
        let step = GROUPS * F::LANES;
        let mut start = 0;
        while start < self.cells.len() {
            let count = step.min(self.cells.len() - start);
            let mut plain = [[Extended::<F>::identity(); GROUPS]; 2];
            let [g, h] = &mut plain;
            for (group, slots) in g.iter_mut().zip(h).enumerate() {
                let (first, last) = (start + group * F::LANES, start + count - 1);
                let parts: [WirePair; MAX_LANES] =
                    std::array::from_fn(|lane| coordinates(&self.cells[(first + lane).min(last)]));
                all_valid &= parts.as_flattened().iter().all(is_canonical);
                let (valid, unmasked) = unmask::<F>(self.secrets, &parts);
                all_valid &= valid;
                [*slots.0, *slots.1] = unmasked;
            }
            for (part, points) in plain.iter().enumerate() {
                let values = search(&self.ranges[part], points, &mut scratch);
                let inside = &mut self.inside[start..start + count];
                let output = &mut self.output[part][start..start + count];
                for (position, (slot, known)) in output.iter_mut().zip(inside).enumerate() {
                    let value = values[position / F::LANES][position % F::LANES];
                    *known &= value.is_some();
                    *slot = value.unwrap_or(0);
                }
            }
            start += count;
        }
        all_valid
    }
}

/// Whether all points are on the curve, and 8 (C - x R) for both parts.
#[inline(always)]
fn unmask<F: Field>(
    secrets: &[[u64; 4]; 2],
    parts: &[WirePair; MAX_LANES],
) -> (bool, [Extended<F>; 2]) {
    let coordinate = |which: usize| load_with::<F>(|lane| &parts[lane][which]);
    let (x, y) = (coordinate(0), coordinate(1));
    let mut valid = on_curve(x, y);
    let masks = multiply_both(secrets, &Extended::from_affine(x, y));
    let mut plain = [Extended::identity(); 2];
    for (part, mask) in masks.iter().enumerate() {
        let (x, y) = (coordinate(2 * part + 2), coordinate(2 * part + 3));
        valid = valid.and(on_curve(x, y));
        let difference =
            Extended::from_affine(x, y).add_cached_projective(&mask.cached().negated());
        plain[part] = difference.double_times(3);
    }
    (valid.not().bits() == 0, plain)
}

/// Teeth of the comb and bits between them.
const TEETH: usize = 4;
const SPACING: usize = 64;

/// Both secret multiples of one point, by a signed comb whose table they share.
///
/// Source: Hedabou, Pinel, Bénéteau 2005 (signed comb without zero digits).
#[inline(always)]
fn multiply_both<F: Field>(secrets: &[[u64; 4]; 2], point: &Extended<F>) -> [Extended<F>; 2] {
    let table = comb(point);
    let mut sums = [Extended::<F>::identity(); 2];
    for column in (0..SPACING).rev() {
        for (sum, secret) in sums.iter_mut().zip(secrets) {
            let chosen = choose(&table, secret, column);
            *sum = match column {
                0 => sum.double().add_cached(&chosen),
                _ => sum.double().add_cached_projective(&chosen),
            };
        }
    }
    sums
}

/// P3 ± P2 ± P1 ± P0 for P_i = 2^(64 i) P; bit i of the position is 1 where P_i counts positively.
#[inline(always)]
fn comb<F: Field>(point: &Extended<F>) -> [Cached<F>; 8] {
    let mut teeth = [*point; TEETH];
    for tooth in 1..TEETH {
        teeth[tooth] = teeth[tooth - 1].double_times(SPACING as u32);
    }
    let mut sums = [teeth[3]; 8];
    for (level, tooth) in [2, 1, 0].into_iter().enumerate() {
        let term = teeth[tooth].cached();
        let negative = term.negated();
        for position in (0..1 << level).rev() {
            let sum = sums[position];
            sums[2 * position + 1] = sum.add_cached(&term);
            sums[2 * position] = sum.add_cached(&negative);
        }
    }
    let mut table = [teeth[3].cached(); 8];
    for (slot, sum) in table.iter_mut().zip(&sums) {
        *slot = sum.cached();
    }
    table
}

/// The table's entry for one column of the secret's signed bits, by a scan of all entries.
#[inline(always)]
fn choose<F: Field>(table: &[Cached<F>; 8], secret: &[u64; 4], column: usize) -> Cached<F> {
    let top = bit(secret, column + 3 * SPACING);
    let mut index = 0;
    for tooth in 0..TEETH - 1 {
        let same = 1 ^ bit(secret, column + tooth * SPACING) ^ top;
        index |= same << tooth;
    }
    scan(table, index, top ^ 1)
}
