//! Powers of one base: a product for each window of the exponent.

use atoll_simd::Pool;

use crate::batch::{Exponents, MismatchedResidues, Residues, equal};
use crate::dispatch::{Work, dispatch};
use crate::engine::Engine;
use crate::modulus::Modulus;
use crate::words;

const WINDOW: u32 = 6;
const ENTRIES: usize = 1 << WINDOW;
/// Groups whose exponents take a window of the table together, while it is in the cache.
const CHUNK: usize = 8;

/// The powers base^(e · 64^i) for all digits e, as words.
#[derive(Clone, Debug)]
pub struct FixedBase {
    table: Vec<u64>,
    width: usize,
}

impl FixedBase {
    /// Prepares the first of `base` for exponents of `width` bytes.
    ///
    /// # Errors
    /// There is no base, or exponents have no byte.
    pub fn new(
        modulus: &Modulus,
        base: &Residues,
        width: usize,
    ) -> Result<FixedBase, MismatchedResidues> {
        if base.is_empty() || width == 0 {
            return Err(MismatchedResidues);
        }
        let table = dispatch(
            modulus.target,
            Table {
                modulus,
                base: &base.values,
                windows: windows(width),
            },
        );
        Ok(FixedBase { table, width })
    }

    /// Bytes of an exponent.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The base to the power of each exponent, rows of the width that was prepared.
    ///
    /// Time depends on the width alone: each window looks at all of its entries.
    ///
    /// # Errors
    /// The bytes end within a row.
    pub fn powers(
        &self,
        modulus: &Modulus,
        exponents: &[u8],
        pool: &Pool,
    ) -> Result<Residues, MismatchedResidues> {
        if !exponents.len().is_multiple_of(self.width) {
            return Err(MismatchedResidues);
        }
        let len = exponents.len() / self.width;
        let mut values = vec![0; len.div_ceil(modulus.lanes) * modulus.group()];
        let tasks: Vec<_> = values
            .chunks_mut(CHUNK * modulus.group())
            .enumerate()
            .map(|(at, out)| Powers {
                modulus,
                table: &self.table,
                out,
                exponents: Exponents {
                    rows: exponents,
                    width: self.width,
                    first: at * CHUNK * modulus.lanes,
                },
            })
            .collect();
        pool.map(tasks, |task| dispatch(modulus.target, task));
        Ok(Residues { values, len })
    }
}

fn windows(width: usize) -> usize {
    (8 * width).div_ceil(WINDOW as usize)
}

/// The table: for each window, for each digit, the words of a residue.
struct Table<'a> {
    modulus: &'a Modulus,
    base: &'a [u64],
    windows: usize,
}

impl Work for Table<'_> {
    type Output = Vec<u64>;

    #[inline(always)]
    fn run<E: Engine>(self) -> Vec<u64> {
        let (modulus, group, size) = (self.modulus, self.modulus.group(), self.modulus.words.len());
        let mut table = vec![0; self.windows * ENTRIES * size];
        let mut first: Vec<u64> = self.base[..group].to_vec();
        let (mut spare, mut bases) = (vec![0; group], vec![0; group]);
        for start in (0..self.windows).step_by(E::LANES) {
            // Lane i is for window `start` + i.
            for lane in 0..E::LANES {
                for limb in 0..modulus.count() {
                    bases[limb * E::LANES + lane] = first[limb * E::LANES];
                }
                for _ in 0..WINDOW / 2 {
                    E::square(&mut spare, &first, &modulus.constants);
                    E::square(&mut first, &spare, &modulus.constants);
                }
            }
            let mut power = modulus.everywhere(&modulus.one);
            for entry in 0..ENTRIES {
                for lane in 0..E::LANES.min(self.windows - start) {
                    let limbs = (0..modulus.count()).map(|limb| power[limb * E::LANES + lane]);
                    let at = ((start + lane) * ENTRIES + entry) * size;
                    words::from_limbs(limbs, E::BITS, &mut table[at..at + size]);
                }
                E::product(&mut spare, &power, &bases, &modulus.constants);
                std::mem::swap(&mut spare, &mut power);
            }
        }
        table
    }
}

struct Powers<'a> {
    modulus: &'a Modulus,
    table: &'a [u64],
    out: &'a mut [u64],
    exponents: Exponents<'a>,
}

impl Work for Powers<'_> {
    type Output = ();

    #[inline(always)]
    fn run<E: Engine>(self) {
        let (group, size) = (self.modulus.group(), self.modulus.words.len());
        let (mut chosen, mut limbs, mut spare) =
            (vec![0; size * E::LANES], vec![0; group], vec![0; group]);
        for (window, entries) in self.table.chunks_exact(ENTRIES * size).enumerate() {
            for (at, out) in self.out.chunks_exact_mut(group).enumerate() {
                let digits: [u64; 8] = std::array::from_fn(|lane| {
                    if lane >= E::LANES {
                        return 0;
                    }
                    self.exponents
                        .digit(at * E::LANES + lane, window * WINDOW as usize, WINDOW)
                });
                select::<E>(entries, &digits, &mut chosen);
                split::<E>(&chosen, &mut limbs);
                if window == 0 {
                    out.copy_from_slice(&limbs);
                } else {
                    E::product(&mut spare, out, &limbs, &self.modulus.constants);
                    out.copy_from_slice(&spare);
                }
            }
        }
    }
}

/// The words of the entry of each lane's digit, found by looking at all.
#[inline(always)]
fn select<E: Engine>(entries: &[u64], digits: &[u64; 8], out: &mut [u64]) {
    out.fill(0);
    let size = out.len() / E::LANES;
    for (entry, words) in entries.chunks_exact(size).enumerate() {
        let masks: [u64; 8] = std::array::from_fn(|lane| equal(digits[lane], entry as u64));
        for (out, word) in out.chunks_exact_mut(E::LANES).zip(words) {
            for lane in 0..E::LANES {
                out[lane] |= word & masks[lane];
            }
        }
    }
}

/// The limbs of all lanes' words.
#[inline(always)]
fn split<E: Engine>(words: &[u64], limbs: &mut [u64]) {
    let mask = if E::BITS == 64 {
        u64::MAX
    } else {
        (1 << E::BITS) - 1
    };
    for (at, limbs) in limbs.chunks_exact_mut(E::LANES).enumerate() {
        let (word, shift) = (at * E::BITS as usize / 64, at * E::BITS as usize % 64);
        for (lane, limb) in limbs.iter_mut().enumerate() {
            let low = words
                .get(word * E::LANES + lane)
                .map_or(0, |value| value >> shift);
            let high = words
                .get((word + 1) * E::LANES + lane)
                .map_or(0, |value| (value << 1) << (63 - shift));
            *limb = (low | high) & mask;
        }
    }
}
