//! Discrete logarithms in a known range, by baby steps and giant steps on the Montgomery curve.
//!
//! With Q = 64 G and a table of u(j Q) for 0 < j <= m, the points P + k S and P - k S with
//! S = (2 m + 1) Q share one inverted difference of u-coordinates, and u does not distinguish P from -P:
//! 3.5 products a giant step. Every cell takes the same number of steps, which follows from the
//! public range; only the look-up of a hashed u-coordinate has an address that depends on data.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use atoll_simd::{Pool, Target};

use crate::edwards::{Extended, MAX_LANES, stored};
use crate::field::{Constant, Field, Field51, FieldKernel, LaneMask, batch_invert, dispatch};
use crate::fixed_base::{Affine, BaseTable, Choice, Digits, Window, multiply_public};
use crate::scalar::offset_small;

/// Widest range: 2^36 values.
pub const RANGE_LIMIT: u64 = 1 << 36;
/// Baby steps at most: 16 MiB of fingerprints and as much of indices.
const MOST_BABY_STEPS: u64 = 1 << 21;
const FEWEST_BABY_STEPS: u64 = 1 << 10;
/// Slots of a bucket, and how many of them are used on average.
const SLOTS: usize = 16;
const LOAD: usize = 8;
/// Windows of a value relative to the middle of its range.
const WINDOWS: usize = 8;
/// Lane groups whose inversions are shared.
pub const GROUPS: usize = 8;
const MONTGOMERY_A: u64 = 486_662;

/// Sixteen fingerprints: one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket([u32; SLOTS]);

/// The baby steps by a hash of their u-coordinate.
struct Baby {
    count: u64,
    fingerprints: Vec<Bucket>,
    indices: Vec<[u32; SLOTS]>,
}

#[inline(always)]
fn split(hash: u64, lines: usize) -> (usize, u32) {
    // Zero marks an empty slot.
    ((hash >> 32) as usize & (lines - 1), (hash as u32).max(1))
}

impl Baby {
    fn new(target: Target, count: u64, pool: &Pool) -> Self {
        let mut hashes = vec![0u64; count as usize];
        const CHUNK: usize = 1 << 14;
        let chunks = hashes.chunks_mut(CHUNK).enumerate();
        pool.map(chunks.collect(), |(number, hashes)| {
            let first = (number * CHUNK) as i64 + 1;
            dispatch(target, Walk { first, hashes });
        });
        let lines = (count as usize / LOAD).next_power_of_two();
        let mut table = Baby {
            count,
            fingerprints: vec![Bucket([0; SLOTS]); lines],
            indices: vec![[0; SLOTS]; lines],
        };
        for (position, hash) in hashes.into_iter().enumerate() {
            table.insert(hash, position as u32 + 1);
        }
        table
    }

    fn insert(&mut self, hash: u64, index: u32) {
        let lines = self.fingerprints.len();
        let (mut line, fingerprint) = split(hash, lines);
        loop {
            let slots = &mut self.fingerprints[line].0;
            if let Some(free) = slots.iter().position(|slot| *slot == 0) {
                slots[free] = fingerprint;
                self.indices[line][free] = index;
                return;
            }
            line = (line + 1) & (lines - 1);
        }
    }

    /// Reports every index whose fingerprint agrees.
    #[inline(always)]
    fn find(&self, hash: u64, mut found: impl FnMut(u32)) {
        let lines = self.fingerprints.len();
        let (mut line, fingerprint) = split(hash, lines);
        loop {
            let slots = &self.fingerprints[line].0;
            let mut equal = false;
            for slot in slots {
                equal |= *slot == fingerprint;
            }
            if equal {
                for (slot, index) in slots.iter().zip(&self.indices[line]) {
                    if *slot == fingerprint {
                        found(*index);
                    }
                }
            }
            if slots[SLOTS - 1] == 0 {
                return;
            }
            line = (line + 1) & (lines - 1);
        }
    }

    #[inline(always)]
    fn prefetch(&self, hash: u64) {
        let (line, _) = split(hash, self.fingerprints.len());
        crate::prefetch(&self.fingerprints[line]);
    }
}

/// The table with at least enough baby steps for a range, made once in a process.
fn baby(target: Target, range: u64, pool: &Pool) -> Arc<Baby> {
    static TABLES: Mutex<Vec<Arc<Baby>>> = Mutex::new(Vec::new());
    let count = (range / 64)
        .next_power_of_two()
        .clamp(FEWEST_BABY_STEPS, MOST_BABY_STEPS);
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(table) = tables.iter().find(|table| table.count >= count) {
        return Arc::clone(table);
    }
    let table = Arc::new(Baby::new(target, count, pool));
    tables.clear();
    tables.push(Arc::clone(&table));
    table
}

/// 64 G.
fn unit() -> &'static (Affine, BaseTable) {
    static UNIT: OnceLock<(Affine, BaseTable)> = OnceLock::new();
    UNIT.get_or_init(|| {
        let point = Affine::from_extended(&Affine::base().extended().double_times(6));
        (point, BaseTable::new(&point, WINDOWS))
    })
}

/// value times 64 G, for a public value.
fn multiple(value: i64) -> Extended<Field51> {
    let point = match value < 0 {
        true => unit().0.negated(),
        false => unit().0,
    };
    multiply_public(&[value.unsigned_abs(), 0, 0, 0], &point.extended())
}

/// For each lane its value times 64 G; the magnitudes are below 2^39.
#[inline(always)]
fn multiples<F: Field>(values: &[i64], table: &[Window<F>]) -> Extended<F> {
    let mut sum = Extended::identity().add_niels(&unit().1.closing().splat());
    for (position, window) in table.iter().enumerate() {
        let mut digits = Digits::default();
        for (lane, value) in values.iter().enumerate().take(F::LANES) {
            let bits = offset_small(*value, WINDOWS) >> (5 * position);
            digits.set(lane, (bits & 31) as u8);
        }
        sum = sum.add_niels(&window.look_up(&Choice::new(&digits)));
    }
    sum
}

/// Hashes of u(j Q) for consecutive j.
struct Walk<'a> {
    first: i64,
    hashes: &'a mut [u64],
}

impl FieldKernel for Walk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        const STEPS: usize = 128;
        let table = unit().1.prepare::<F>(WINDOWS);
        let first: [i64; MAX_LANES] = std::array::from_fn(|lane| self.first + lane as i64);
        let mut point = multiples(&first, &table);
        let stride = Affine::from_extended(&multiple(F::LANES as i64));
        let stride = stride.niels().splat::<F>();
        let mut numerators = [F::one(); STEPS];
        let mut denominators = [F::one(); STEPS];
        let mut scratch = [F::one(); STEPS];
        for hashes_out in self.hashes.chunks_mut(STEPS * F::LANES) {
            for (numerator, denominator) in numerators.iter_mut().zip(&mut denominators) {
                *numerator = point.z.add(point.y);
                *denominator = point.z.sub(point.y);
                point = point.add_niels(&stride);
            }
            batch_invert(&mut denominators, &mut scratch);
            let groups = hashes_out.chunks_mut(F::LANES);
            for (slots, pair) in groups.zip(numerators.iter().zip(&denominators)) {
                let values = pair.0.mul(*pair.1).low_words();
                for (slot, value) in slots.iter_mut().zip(values) {
                    *slot = value;
                }
            }
        }
    }
}

/// A range of values with all that is needed to search it; cheap to share between threads.
pub struct Range {
    low: i64,
    high: i64,
    middle: i64,
    baby: Arc<Baby>,
    stride: i64,
    /// -middle Q.
    shift: crate::fixed_base::NielsConstants,
    /// (u, v) of k S for k from 1.
    giants: Vec<[Constant; 2]>,
    /// The low words of the u-coordinates of the giant steps.
    giant_hashes: Vec<u64>,
}

impl Range {
    /// Prepares inclusive bounds; None where they are empty or wider than [`RANGE_LIMIT`].
    /// `widest` is the number of values in the widest range that will be searched with this one.
    pub fn new(target: Target, low: i64, high: i64, widest: u64, pool: &Pool) -> Option<Range> {
        let count = Range::count(low, high)?;
        let baby = baby(target, widest.max(count), pool);
        let middle = low + (count / 2) as i64;
        let stride = 2 * baby.count as i64 + 1;
        let reach = count.div_ceil(2);
        let steps = reach.saturating_sub(baby.count).div_ceil(stride as u64);
        let (giants, giant_hashes) = giant_steps(stride, steps as usize);
        let shift = Affine::from_extended(&multiple(-middle)).niels();
        Some(Range {
            low,
            high,
            middle,
            baby,
            stride,
            shift,
            giants,
            giant_hashes,
        })
    }

    /// How many values the bounds hold; None where there are none or too many.
    pub fn count(low: i64, high: i64) -> Option<u64> {
        let count = high.checked_sub(low)?.checked_add(1)?;
        let count = u64::try_from(count).ok()?;
        let bounded = low.unsigned_abs().max(high.unsigned_abs()) <= RANGE_LIMIT;
        (bounded && count > 0 && count <= RANGE_LIMIT).then_some(count)
    }
}

fn giant_steps(stride: i64, steps: usize) -> (Vec<[Constant; 2]>, Vec<u64>) {
    let unit = multiple(stride);
    let cached = unit.cached();
    let mut points = Vec::with_capacity(steps);
    let mut point = unit;
    for _ in 0..steps {
        points.push(point);
        point = point.add_cached(&cached);
    }
    let mut inverses: Vec<_> = points
        .iter()
        .map(Extended::montgomery_denominator)
        .collect();
    let mut scratch = inverses.clone();
    batch_invert(&mut inverses, &mut scratch);
    points
        .iter()
        .zip(inverses)
        .map(|(point, inverse)| {
            let (u, v) = point.montgomery(inverse);
            let [u, v] = [u, v].map(|value| Constant::from_bytes(&stored(value)[0]));
            ([u, v], u.0[0])
        })
        .unzip()
}

/// The two values, relative to the middle, that an agreeing fingerprint leaves.
type Candidates = [i64; 2];

/// One search over `GROUPS` groups of lanes.
struct Search<'a, F> {
    range: &'a Range,
    u: [F; GROUPS],
    v: [F; GROUPS],
    first: [[Candidates; MAX_LANES]; GROUPS],
    known: [[bool; MAX_LANES]; GROUPS],
    more: Vec<(usize, usize, Candidates)>,
}

/// Finds the value of each lane of each point, a multiple of 64 G; None where it lies outside.
#[inline(always)]
pub fn search<F: Field>(
    range: &Range,
    points: &[Extended<F>; GROUPS],
    scratch: &mut Vec<F>,
) -> [[Option<i64>; MAX_LANES]; GROUPS] {
    let mut shifted = *points;
    let mut inverses = [F::one(); GROUPS];
    let shift = range.shift.splat::<F>();
    for (point, denominator) in shifted.iter_mut().zip(&mut inverses) {
        *point = point.add_niels(&shift);
        *denominator = point.montgomery_denominator();
    }
    batch_invert(&mut inverses, &mut [F::one(); GROUPS]);
    let mut search = Search {
        range,
        u: [F::zero(); GROUPS],
        v: [F::zero(); GROUPS],
        first: [[[0; 2]; MAX_LANES]; GROUPS],
        known: [[false; MAX_LANES]; GROUPS],
        more: Vec::new(),
    };
    for group in 0..GROUPS {
        (search.u[group], search.v[group]) = shifted[group].montgomery(inverses[group]);
    }
    search.look_at_points();
    search.look_at_giants(scratch);
    search.verify(&shifted)
}

impl<F: Field> Search<'_, F> {
    /// The points themselves against the baby steps, and against the giant steps.
    #[inline(always)]
    fn look_at_points(&mut self) {
        for group in 0..GROUPS {
            let low = self.u[group].low_words();
            for (lane, hash) in low.into_iter().enumerate().take(F::LANES) {
                self.probe(group, lane, hash, 0);
                for (step, giant) in self.range.giant_hashes.iter().enumerate() {
                    if *giant == hash {
                        let value = (step as i64 + 1) * self.range.stride;
                        self.note(group, lane, [value, -value]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn look_at_giants(&mut self, scratch: &mut Vec<F>) {
        let range = self.range;
        scratch.clear();
        let mut products = [F::one(); GROUPS];
        for giant in &range.giants {
            let u = F::splat(giant[0]);
            for (product, own) in products.iter_mut().zip(&self.u) {
                scratch.push(*product);
                *product = product.mul(u.sub(*own));
            }
        }
        // A lane whose point is itself a giant step has a zero product, and is already known.
        batch_invert(&mut products, &mut [F::one(); GROUPS]);
        let mut waiting = [[[0u64; MAX_LANES]; 2]; GROUPS];
        let mut waiting_at = 0;
        for (step, giant) in range.giants.iter().enumerate().rev() {
            let (u, v) = (F::splat(giant[0]), F::splat(giant[1]));
            let mut fresh = waiting;
            for group in 0..GROUPS {
                let before = scratch[step * GROUPS + group];
                let inverse = products[group].mul(before);
                products[group] = products[group].mul(u.sub(self.u[group]));
                let both = steps(u, v, self.u[group], self.v[group], inverse);
                fresh[group] = [both[0].low_words(), both[1].low_words()];
                for hash in fresh[group].as_flattened() {
                    range.baby.prefetch(*hash);
                }
            }
            self.probe_all(&waiting, waiting_at);
            (waiting, waiting_at) = (fresh, step as i64 + 1);
        }
        self.probe_all(&waiting, waiting_at);
    }

    /// Probes what was computed one step ago: P + k S, then P - k S. Step 0 stands for nothing.
    #[inline(always)]
    fn probe_all(&mut self, hashes: &[[[u64; MAX_LANES]; 2]; GROUPS], step: i64) {
        if step == 0 {
            return;
        }
        let jump = step * self.range.stride;
        for (group, both) in hashes.iter().enumerate() {
            for (lane, hash) in both[0].iter().enumerate().take(F::LANES) {
                self.probe(group, lane, *hash, -jump);
            }
            for (lane, hash) in both[1].iter().enumerate().take(F::LANES) {
                self.probe(group, lane, *hash, jump);
            }
        }
    }

    #[inline(always)]
    fn probe(&mut self, group: usize, lane: usize, hash: u64, offset: i64) {
        let baby = Arc::clone(&self.range.baby);
        baby.find(hash, |index| {
            let index = i64::from(index);
            self.note(group, lane, [offset + index, offset - index]);
        });
    }

    #[inline(never)]
    fn note(&mut self, group: usize, lane: usize, candidates: Candidates) {
        if self.known[group][lane] {
            self.more.push((group, lane, candidates));
        } else {
            self.known[group][lane] = true;
            self.first[group][lane] = candidates;
        }
    }

    /// Multiplies the candidates out. A hash may agree by chance, so the neutral element, which no
    /// look-up finds, is always tried, and so is every further candidate.
    #[inline(always)]
    fn verify(self, points: &[Extended<F>; GROUPS]) -> [[Option<i64>; MAX_LANES]; GROUPS] {
        let table = unit().1.prepare::<F>(WINDOWS);
        let mut values = [[None; MAX_LANES]; GROUPS];
        for group in 0..GROUPS {
            let neutral = points[group].equal(&Extended::identity()).bits();
            self.settle(neutral, &[0; MAX_LANES], &mut values[group]);
            for sign in 0..2 {
                let chosen = self.first[group].map(|candidates| candidates[sign]);
                let equal = multiples(&chosen, &table).equal(&points[group]).bits();
                self.settle(equal, &chosen, &mut values[group]);
            }
        }
        for (group, lane, candidates) in &self.more {
            for candidate in candidates {
                let chosen = [*candidate; MAX_LANES];
                let equal = multiples(&chosen, &table).equal(&points[*group]).bits();
                self.settle(equal & 1 << lane, &chosen, &mut values[*group]);
            }
        }
        values
    }

    #[inline(always)]
    fn settle(&self, equal: u32, chosen: &[i64; MAX_LANES], values: &mut [Option<i64>; MAX_LANES]) {
        let range = self.range;
        for (lane, value) in values.iter_mut().enumerate() {
            let candidate = range.middle + chosen[lane];
            let inside = (range.low..=range.high).contains(&candidate);
            if equal >> lane & 1 == 1 && inside {
                *value = Some(candidate);
            }
        }
    }
}

/// u(P + k S) and u(P - k S), from 1 / (u(k S) - u(P)).
#[inline(always)]
fn steps<F: Field>(u: F, v: F, own_u: F, own_v: F, inverse: F) -> [F; 2] {
    let rest = u.add(own_u).add(F::splat(Constant::small(MONTGOMERY_A)));
    let plus = v.sub(own_v).mul(inverse);
    let minus = v.add(own_v).mul(inverse);
    [
        F::reduce(F::wide_sub(plus.square_wide(), rest.widen())),
        F::reduce(F::wide_sub(minus.square_wide(), rest.widen())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_agreements_hide_no_value() {
        let pool = Pool::new(1).expect("one thread");
        let range = Range::new(Target::PORTABLE, -5000, 5000, 1, &pool).expect("a range");
        let expected = [0, 7, -7, 4999, 0, 1, -1, -5000];
        let points = expected.map(multiple);
        let mut search = Search {
            range: &range,
            u: [Field51::zero(); GROUPS],
            v: [Field51::zero(); GROUPS],
            first: [[[0; 2]; MAX_LANES]; GROUPS],
            known: [[false; MAX_LANES]; GROUPS],
            more: Vec::new(),
        };
        for (group, value) in expected.into_iter().enumerate() {
            search.note(group, 0, [123, -123]);
            if value != 0 {
                search.note(group, 0, [456, -456]);
                search.note(group, 0, [value, -value]);
            }
        }
        let found = search.verify(&points);
        assert_eq!(found.map(|group| group[0]), expected.map(Some));
    }
}
