//! Many residues at once.

use std::fmt;

use atoll_simd::Pool;

use crate::dispatch::{Work, dispatch};
use crate::engine::Engine;
use crate::modulus::Modulus;
use crate::words;

/// Groups that one task of the pool takes.
const CHUNK: usize = 8;
const WINDOW: u32 = 4;
const ENTRIES: usize = 1 << WINDOW;

/// Residues, exponents or rows of another number or size than the operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MismatchedResidues;

impl fmt::Display for MismatchedResidues {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the numbers are not below the modulus, or not as many as needed"
        )
    }
}

impl std::error::Error for MismatchedResidues {}

/// Residues modulo one number, below 2 n and in Montgomery form.
#[derive(Clone, Debug)]
pub struct Residues {
    pub(crate) values: Vec<u64>,
    pub(crate) len: usize,
}

impl Residues {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Modulus {
    /// Reads rows of [`Modulus::width`] little-endian bytes.
    ///
    /// # Errors
    /// The bytes end within a row, or a row is not below the modulus.
    pub fn load(&self, rows: &[u8], pool: &Pool) -> Result<Residues, MismatchedResidues> {
        let width = self.width();
        if !rows.len().is_multiple_of(width) {
            return Err(MismatchedResidues);
        }
        let mut spare = vec![0; self.words.len()];
        for row in rows.chunks_exact(width) {
            let words = words::from_bytes(row, self.words.len());
            if words::subtract(&words, &self.words, &mut spare) == 0 {
                return Err(MismatchedResidues);
            }
        }
        Ok(self.reduced(rows, width, &self.square, pool))
    }

    /// The residues of rows of `width` bytes, all below R, times `factor` / R.
    pub(crate) fn reduced(
        &self,
        rows: &[u8],
        width: usize,
        factor: &[u64],
        pool: &Pool,
    ) -> Residues {
        debug_assert!(8 * width <= self.count() * self.bits as usize);
        let len = rows.len() / width;
        let mut values = vec![0; len.div_ceil(self.lanes) * self.group()];
        for (at, row) in rows.chunks_exact(width).enumerate() {
            let words = words::from_bytes(row, 0);
            let start = at / self.lanes * self.group() + at % self.lanes;
            for limb in 0..self.count() {
                values[start + limb * self.lanes] =
                    words::window(&words, limb * self.bits as usize, self.bits);
            }
        }
        Residues {
            values: self.scaled(&values, &self.everywhere(factor), pool),
            len,
        }
    }

    /// The products of all residues with one number, given as limbs in Montgomery form.
    pub(crate) fn times(&self, residues: &Residues, factor: &[u64], pool: &Pool) -> Residues {
        let values = self.scaled(&residues.values, &self.everywhere(factor), pool);
        Residues {
            values,
            len: residues.len,
        }
    }

    /// Sums, one by one; they are below 4 n, and so factors of products.
    pub(crate) fn sums(&self, left: &Residues, right: &Residues) -> Residues {
        let mut values: Vec<u64> = left
            .values
            .iter()
            .zip(&right.values)
            .map(|(a, b)| a.wrapping_add(*b))
            .collect();
        if self.bits < 64 {
            for group in values.chunks_exact_mut(self.group()) {
                carry_limbs(group, self.lanes, self.bits);
            }
        } else {
            values = left.values.clone();
            for (sum, other) in values
                .chunks_exact_mut(self.group())
                .zip(right.values.chunks_exact(self.group()))
            {
                words::add(sum, other);
            }
        }
        Residues {
            values,
            len: left.len,
        }
    }

    /// Writes the residues, below n, as rows of [`Modulus::width`] little-endian bytes.
    pub fn store(&self, residues: &Residues, pool: &Pool) -> Vec<u8> {
        let mut unit = vec![0; self.count()];
        unit[0] = 1;
        let values = self.scaled(&residues.values, &self.everywhere(&unit), pool);
        let width = self.width();
        let mut rows = vec![0; residues.len * width];
        let (mut all, mut spare) = (vec![0; self.words.len()], vec![0; self.words.len()]);
        for (at, row) in rows.chunks_exact_mut(width).enumerate() {
            let start = at / self.lanes * self.group() + at % self.lanes;
            let limbs = (0..self.count()).map(|limb| values[start + limb * self.lanes]);
            words::from_limbs(limbs, self.bits, &mut all);
            words::reduce(&mut all, &self.words, &mut spare);
            words::to_bytes(&all, row);
        }
        rows
    }

    /// Products, one by one.
    ///
    /// # Errors
    /// They are not equally many.
    pub fn products(
        &self,
        left: &Residues,
        right: &Residues,
        pool: &Pool,
    ) -> Result<Residues, MismatchedResidues> {
        if left.len != right.len || left.values.len() != right.values.len() {
            return Err(MismatchedResidues);
        }
        let chunk = CHUNK * self.group();
        let mut values = vec![0; left.values.len()];
        let tasks: Vec<_> = values
            .chunks_mut(chunk)
            .zip(left.values.chunks(chunk))
            .zip(right.values.chunks(chunk))
            .map(|((out, left), right)| Products {
                modulus: self,
                out,
                left,
                right,
            })
            .collect();
        pool.map(tasks, |task| dispatch(self.target, task));
        Ok(Residues {
            values,
            len: left.len,
        })
    }

    /// Each residue to its power: exponents are rows of little-endian bytes, or one row for all.
    ///
    /// Time depends on the width of a row alone.
    ///
    /// # Errors
    /// There are neither as many exponents nor one.
    pub fn powers(
        &self,
        bases: &Residues,
        exponents: &[u8],
        width: usize,
        pool: &Pool,
    ) -> Result<Residues, MismatchedResidues> {
        if width == 0 || (exponents.len() != width && exponents.len() != width * bases.len) {
            return Err(MismatchedResidues);
        }
        let chunk = CHUNK * self.group();
        let mut values = vec![0; bases.values.len()];
        let tasks: Vec<_> = values
            .chunks_mut(chunk)
            .zip(bases.values.chunks(chunk))
            .enumerate()
            .map(|(at, (out, bases))| Powers {
                modulus: self,
                out,
                bases,
                exponents: Exponents {
                    rows: exponents,
                    width,
                    first: at * CHUNK * self.lanes,
                },
            })
            .collect();
        pool.map(tasks, |task| dispatch(self.target, task));
        Ok(Residues {
            values,
            len: bases.len,
        })
    }

    /// A number's limbs in each lane of a group.
    pub(crate) fn everywhere(&self, limbs: &[u64]) -> Vec<u64> {
        limbs
            .iter()
            .flat_map(|limb| std::iter::repeat_n(*limb, self.lanes))
            .collect()
    }

    /// The products of all groups with one.
    fn scaled(&self, values: &[u64], factor: &[u64], pool: &Pool) -> Vec<u64> {
        let chunk = CHUNK * self.group();
        let mut scaled = vec![0; values.len()];
        let tasks: Vec<_> = scaled
            .chunks_mut(chunk)
            .zip(values.chunks(chunk))
            .map(|(out, values)| Products {
                modulus: self,
                out,
                left: values,
                right: factor,
            })
            .collect();
        pool.map(tasks, |task| dispatch(self.target, task));
        scaled
    }
}

/// Leaves limbs of `bits` bits.
fn carry_limbs(group: &mut [u64], lanes: usize, bits: u32) {
    for lane in 0..lanes {
        let mut over = 0;
        for limb in group[lane..].iter_mut().step_by(lanes) {
            let value = *limb + over;
            (*limb, over) = (value & ((1 << bits) - 1), value >> bits);
        }
    }
}

/// Products of groups; `right` may be one group for all.
struct Products<'a> {
    modulus: &'a Modulus,
    out: &'a mut [u64],
    left: &'a [u64],
    right: &'a [u64],
}

impl Work for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<E: Engine>(self) {
        let group = self.modulus.group();
        let rights = self.right.chunks_exact(group).cycle();
        for ((out, left), right) in self
            .out
            .chunks_exact_mut(group)
            .zip(self.left.chunks_exact(group))
            .zip(rights)
        {
            E::product(out, left, right, &self.modulus.constants);
        }
    }
}

/// Exponents of a chunk's lanes.
pub(crate) struct Exponents<'a> {
    pub rows: &'a [u8],
    pub width: usize,
    pub first: usize,
}

impl Exponents<'_> {
    /// Bits from `at` on of the exponent of a lane; of lanes beyond the last row zeros.
    #[inline(always)]
    pub fn digit(&self, lane: usize, at: usize, width: u32) -> u64 {
        let row = if self.rows.len() == self.width {
            0
        } else {
            self.first + lane
        };
        let Some(bytes) = self.rows.get(row * self.width..(row + 1) * self.width) else {
            return 0;
        };
        let byte = |at: usize| bytes.get(at).map_or(0, |byte| u64::from(*byte));
        ((byte(at / 8) | byte(at / 8 + 1) << 8) >> (at % 8)) & ((1 << width) - 1)
    }
}

/// All ones if the numbers, below 2^63, are equal.
#[inline(always)]
pub(crate) fn equal(left: u64, right: u64) -> u64 {
    0u64.wrapping_sub((left ^ right).wrapping_sub(1) >> 63)
}

/// Powers of groups by windows of four bits, of which each looks at all entries.
struct Powers<'a> {
    modulus: &'a Modulus,
    out: &'a mut [u64],
    bases: &'a [u64],
    exponents: Exponents<'a>,
}

impl Work for Powers<'_> {
    type Output = ();

    #[inline(always)]
    fn run<E: Engine>(self) {
        let group = self.modulus.group();
        let mut table = vec![0; ENTRIES * group];
        let (mut spare, mut chosen) = (vec![0; group], vec![0; group]);
        for (at, (out, base)) in self
            .out
            .chunks_exact_mut(group)
            .zip(self.bases.chunks_exact(group))
            .enumerate()
        {
            fill::<E>(&mut table, base, self.modulus);
            let bits = 8 * self.exponents.width;
            for (step, window) in (0..bits / WINDOW as usize).rev().enumerate() {
                let digits: [u64; 8] = std::array::from_fn(|lane| {
                    if lane >= E::LANES {
                        return 0;
                    }
                    self.exponents
                        .digit(at * E::LANES + lane, window * WINDOW as usize, WINDOW)
                });
                if step == 0 {
                    select::<E>(&table, &digits, out);
                    continue;
                }
                for _ in 0..WINDOW / 2 {
                    E::square(&mut spare, out, &self.modulus.constants);
                    E::square(out, &spare, &self.modulus.constants);
                }
                select::<E>(&table, &digits, &mut chosen);
                E::product(&mut spare, out, &chosen, &self.modulus.constants);
                out.copy_from_slice(&spare);
            }
        }
    }
}

/// Entry i is the base to the power i.
#[inline(always)]
fn fill<E: Engine>(table: &mut [u64], base: &[u64], modulus: &Modulus) {
    let group = base.len();
    table[..group].copy_from_slice(&modulus.everywhere(&modulus.one));
    table[group..2 * group].copy_from_slice(base);
    for entry in 2..ENTRIES {
        let (before, rest) = table.split_at_mut(entry * group);
        E::product(
            &mut rest[..group],
            &before[(entry - 1) * group..],
            base,
            &modulus.constants,
        );
    }
}

/// The entry of each lane's digit, found by looking at all.
#[inline(always)]
fn select<E: Engine>(table: &[u64], digits: &[u64; 8], out: &mut [u64]) {
    out.fill(0);
    for (entry, values) in table.chunks_exact(out.len()).enumerate() {
        let masks: [u64; 8] = std::array::from_fn(|lane| equal(digits[lane], entry as u64));
        for (out, values) in out
            .chunks_exact_mut(E::LANES)
            .zip(values.chunks_exact(E::LANES))
        {
            for lane in 0..E::LANES {
                out[lane] |= values[lane] & masks[lane];
            }
        }
    }
}
