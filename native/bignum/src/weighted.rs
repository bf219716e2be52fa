//! Products of powers: what sums of ciphertexts weighted with private numbers are.
//!
//! The weights choose which bucket or table entry a product takes, so the cache sees them, as it
//! sees the bins of a histogram; how many products there are does not depend on them.

use atoll_simd::Pool;
use crypto_bigint::BoxedUint;

use crate::batch::{MismatchedResidues, Residues};
use crate::dispatch::{Work, dispatch};
use crate::engine::Engine;
use crate::modulus::Modulus;
use crate::words;

const WINDOW: usize = 8;
const ENTRIES: usize = 1 << WINDOW;
/// Groups of rows that pass through all columns' tables together.
const CHUNK: usize = 64;

/// A matrix of signed numbers, row by row.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    /// Numbers from -2^(8 · bytes - 1) to below 2^(8 · bytes - 1).
    pub values: &'a [i64],
    /// Numbers in a row.
    pub columns: usize,
    /// Bytes of a number, 1 to 8.
    pub bytes: usize,
}

impl Weights<'_> {
    fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    fn check(&self, bases: usize, expected: usize) -> Result<(), MismatchedResidues> {
        let fits = |value: &i64| {
            let shift = 64 - 8 * self.bytes.clamp(1, 8);
            (*value << shift) >> shift == *value
        };
        let whole = self.columns > 0 && self.values.len().is_multiple_of(self.columns);
        if whole
            && bases == expected
            && (1..=8).contains(&self.bytes)
            && self.values.iter().all(fits)
        {
            Ok(())
        } else {
            Err(MismatchedResidues)
        }
    }

    /// A byte of a number plus 2^(8 · bytes - 1); where there is none, of 0.
    #[inline(always)]
    fn digit(&self, row: usize, column: usize, byte: usize) -> usize {
        if column >= self.columns {
            return 0;
        }
        let half = 1u64 << (8 * self.bytes - 1);
        self.values
            .get(row * self.columns + column)
            .map_or(0, |value| {
                let shifted = value.cast_unsigned().wrapping_add(half);
                usize::from((shifted >> (8 * byte)) as u8)
            })
    }
}

impl Modulus {
    /// For each column, the product over rows of the row's base to the power of its weight.
    ///
    /// # Errors
    /// There are not as many bases as rows, a weight is too long, or a base has no inverse.
    pub fn by_column(
        &self,
        bases: &Residues,
        weights: Weights<'_>,
        pool: &Pool,
    ) -> Result<Residues, MismatchedResidues> {
        weights.check(bases.len, weights.rows())?;
        let groups = weights.columns.div_ceil(self.lanes);
        let tasks: Vec<_> = (0..groups * weights.bytes)
            .map(|task| Buckets {
                modulus: self,
                bases,
                weights,
                first: task / weights.bytes * self.lanes,
                byte: task % weights.bytes,
            })
            .collect();
        let parts = pool.map(tasks, |task| dispatch(self.target, task));
        let values = parts
            .chunks(weights.bytes)
            .flat_map(|parts| {
                dispatch(
                    self.target,
                    Joined {
                        modulus: self,
                        parts,
                    },
                )
            })
            .collect();
        let shifted = Residues {
            values,
            len: weights.columns,
        };
        self.shifted_back(&shifted, bases, weights.bytes, pool)
    }

    /// For each row, the product over columns of the column's base to the power of its weight.
    ///
    /// # Errors
    /// There are not as many bases as columns, a weight is too long, or a base has no inverse.
    pub fn by_row(
        &self,
        bases: &Residues,
        weights: Weights<'_>,
        pool: &Pool,
    ) -> Result<Residues, MismatchedResidues> {
        weights.check(bases.len, weights.columns)?;
        let tables: Vec<_> = (0..weights.columns)
            .map(|column| Table {
                modulus: self,
                base: self.lane(bases, column),
                bytes: weights.bytes,
            })
            .collect();
        let tables = pool.map(tables, |task| dispatch(self.target, task));
        let len = weights.rows();
        let mut values = vec![0; len.div_ceil(self.lanes) * self.group()];
        let tasks: Vec<_> = values
            .chunks_mut(CHUNK * self.group())
            .enumerate()
            .map(|(at, out)| Rows {
                modulus: self,
                tables: &tables,
                weights,
                first: at * CHUNK * self.lanes,
                out,
            })
            .collect();
        pool.map(tasks, |task| dispatch(self.target, task));
        self.shifted_back(&Residues { values, len }, bases, weights.bytes, pool)
    }

    /// Divides by the product of all bases to the power 2^(8 · bytes - 1).
    fn shifted_back(
        &self,
        shifted: &Residues,
        bases: &Residues,
        bytes: usize,
        pool: &Pool,
    ) -> Result<Residues, MismatchedResidues> {
        let mut all = dispatch(
            self.target,
            All {
                modulus: self,
                bases,
            },
        );
        for _ in 0..8 * bytes - 1 {
            all = self.products(&all, &all, pool)?;
        }
        let inverse = self.inverse(&all, pool)?;
        let limbs: Vec<u64> = inverse.values.iter().step_by(self.lanes).copied().collect();
        Ok(self.times(shifted, &limbs, pool))
    }

    /// Whether all have inverses.
    pub fn are_units(&self, residues: &Residues, pool: &Pool) -> bool {
        let all = dispatch(
            self.target,
            All {
                modulus: self,
                bases: residues,
            },
        );
        self.inverse(&all, pool).is_ok()
    }

    /// The inverse of one public residue.
    fn inverse(&self, one: &Residues, pool: &Pool) -> Result<Residues, MismatchedResidues> {
        let number = |bytes: &[u8]| BoxedUint::from_le_slice_vartime(bytes);
        let mut modulus = vec![0; self.width()];
        words::to_bytes(&self.words, &mut modulus);
        let modulus = number(&modulus).to_odd().into_option();
        let found = modulus.and_then(|modulus| {
            number(&self.store(one, pool))
                .invert_odd_mod(&modulus)
                .into_option()
        });
        let mut bytes = found.ok_or(MismatchedResidues)?.to_le_bytes().to_vec();
        bytes.resize(self.width(), 0);
        self.load(&bytes, pool)
    }

    /// A residue's limbs.
    fn lane(&self, residues: &Residues, at: usize) -> Vec<u64> {
        let start = at / self.lanes * self.group() + at % self.lanes;
        let limbs = residues.values[start..].iter().step_by(self.lanes);
        limbs.take(self.count()).copied().collect()
    }
}

/// The product of all residues, as one.
struct All<'a> {
    modulus: &'a Modulus,
    bases: &'a Residues,
}

impl Work for All<'_> {
    type Output = Residues;

    #[inline(always)]
    fn run<E: Engine>(self) -> Residues {
        let (modulus, count) = (self.modulus, self.modulus.count());
        let mut all = modulus.everywhere(&modulus.one);
        let (mut spare, mut next) = (all.clone(), all.clone());
        for (at, group) in self.bases.values.chunks_exact(modulus.group()).enumerate() {
            next.copy_from_slice(group);
            for lane in self.bases.len.saturating_sub(at * E::LANES)..E::LANES {
                set_lane::<E>(&mut next, lane, &modulus.one);
            }
            E::product(&mut spare, &all, &next, &modulus.constants);
            std::mem::swap(&mut all, &mut spare);
        }
        // Lane by lane into the first.
        let mut whole = all.clone();
        for lane in 1..E::LANES {
            let limbs: Vec<u64> = (0..count).map(|limb| all[limb * E::LANES + lane]).collect();
            set_lane::<E>(&mut next, 0, &limbs);
            E::product(&mut spare, &whole, &next, &modulus.constants);
            std::mem::swap(&mut whole, &mut spare);
        }
        Residues {
            values: whole,
            len: 1,
        }
    }
}

#[inline(always)]
fn set_lane<E: Engine>(group: &mut [u64], lane: usize, limbs: &[u64]) {
    for (at, limb) in limbs.iter().enumerate() {
        group[at * E::LANES + lane] = *limb;
    }
}

/// For a byte of a group's columns: the product of all bases, each to the power of its byte.
struct Buckets<'a> {
    modulus: &'a Modulus,
    bases: &'a Residues,
    weights: Weights<'a>,
    first: usize,
    byte: usize,
}

impl Work for Buckets<'_> {
    type Output = Vec<u64>;

    #[inline(always)]
    fn run<E: Engine>(self) -> Vec<u64> {
        let (modulus, count) = (self.modulus, self.modulus.count());
        let group = modulus.group();
        // Lane by lane, digit by digit: each bucket's limbs lie together.
        let mut buckets = modulus.one.repeat(E::LANES * ENTRIES);
        let (mut chosen, mut out, mut base) = (vec![0; group], vec![0; group], vec![0; group]);
        for row in 0..self.bases.len {
            let limbs = modulus.lane(self.bases, row);
            let starts: [usize; 8] = std::array::from_fn(|lane| {
                let digit = self.weights.digit(row, self.first + lane, self.byte);
                (lane % E::LANES * ENTRIES + digit) * count
            });
            for lane in 0..E::LANES {
                set_lane::<E>(
                    &mut chosen,
                    lane,
                    &buckets[starts[lane]..starts[lane] + count],
                );
                set_lane::<E>(&mut base, lane, &limbs);
            }
            E::product(&mut out, &chosen, &base, &modulus.constants);
            for lane in 0..E::LANES {
                let bucket = &mut buckets[starts[lane]..starts[lane] + count];
                for (at, limb) in bucket.iter_mut().enumerate() {
                    *limb = out[at * E::LANES + lane];
                }
            }
        }
        summed::<E>(modulus, &buckets)
    }
}

/// The product of each lane's buckets, each to the power of its digit.
#[inline(always)]
fn summed<E: Engine>(modulus: &Modulus, buckets: &[u64]) -> Vec<u64> {
    let count = modulus.count();
    let mut above = modulus.everywhere(&modulus.one);
    let (mut whole, mut next, mut spare) = (above.clone(), above.clone(), above.clone());
    for digit in (1..ENTRIES).rev() {
        for lane in 0..E::LANES {
            let start = (lane * ENTRIES + digit) * count;
            set_lane::<E>(&mut next, lane, &buckets[start..start + count]);
        }
        E::product(&mut spare, &above, &next, &modulus.constants);
        std::mem::swap(&mut above, &mut spare);
        E::product(&mut spare, &whole, &above, &modulus.constants);
        std::mem::swap(&mut whole, &mut spare);
    }
    whole
}

/// Bytes' parts, the lowest first, as one.
struct Joined<'a> {
    modulus: &'a Modulus,
    parts: &'a [Vec<u64>],
}

impl Work for Joined<'_> {
    type Output = Vec<u64>;

    #[inline(always)]
    fn run<E: Engine>(self) -> Vec<u64> {
        let mut whole = self.modulus.everywhere(&self.modulus.one);
        let mut spare = whole.clone();
        for part in self.parts.iter().rev() {
            for _ in 0..WINDOW {
                E::square(&mut spare, &whole, &self.modulus.constants);
                std::mem::swap(&mut whole, &mut spare);
            }
            E::product(&mut spare, &whole, part, &self.modulus.constants);
            std::mem::swap(&mut whole, &mut spare);
        }
        whole
    }
}

/// base^(digit · 256^byte) for all bytes and digits, limb by limb.
struct Table<'a> {
    modulus: &'a Modulus,
    base: Vec<u64>,
    bytes: usize,
}

impl Work for Table<'_> {
    type Output = Vec<u64>;

    #[inline(always)]
    fn run<E: Engine>(self) -> Vec<u64> {
        let (modulus, count) = (self.modulus, self.modulus.count());
        let mut table = Vec::with_capacity(self.bytes * ENTRIES * count);
        let mut base = modulus.everywhere(&self.base);
        let mut spare = base.clone();
        for _ in 0..self.bytes {
            let mut power = modulus.everywhere(&modulus.one);
            for _ in 0..ENTRIES {
                table.extend(power.iter().step_by(E::LANES));
                E::product(&mut spare, &power, &base, &modulus.constants);
                std::mem::swap(&mut power, &mut spare);
            }
            // base^256.
            base = power;
        }
        table
    }
}

struct Rows<'a> {
    modulus: &'a Modulus,
    tables: &'a [Vec<u64>],
    weights: Weights<'a>,
    first: usize,
    out: &'a mut [u64],
}

impl Work for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<E: Engine>(self) {
        let (modulus, count) = (self.modulus, self.modulus.count());
        let (mut chosen, mut spare) = (vec![0; modulus.group()], vec![0; modulus.group()]);
        let one = modulus.everywhere(&modulus.one);
        for out in self.out.chunks_exact_mut(modulus.group()) {
            out.copy_from_slice(&one);
        }
        for (column, table) in self.tables.iter().enumerate() {
            for (at, out) in self.out.chunks_exact_mut(modulus.group()).enumerate() {
                for byte in 0..self.weights.bytes {
                    for lane in 0..E::LANES {
                        let row = self.first + at * E::LANES + lane;
                        let digit = self.weights.digit(row, column, byte);
                        let start = (byte * ENTRIES + digit) * count;
                        set_lane::<E>(&mut chosen, lane, &table[start..start + count]);
                    }
                    E::product(&mut spare, out, &chosen, &modulus.constants);
                    out.copy_from_slice(&spare);
                }
            }
        }
    }
}
