//! Batch encryption, and the fresh randomness of everything that leaves the evaluator.

use atoll_simd::{Pool, Target};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::{Zeroize, Zeroizing};

use super::cells::Cell;
use super::keys::generator;
use super::{PAIR_BYTES, PairError, PublicKey, WirePair};
use crate::edwards::{Bytes, Extended, MAX_LANES, stored};
use crate::field::{Field, FieldKernel, batch_invert, dispatch};
use crate::fixed_base::{Choice, Digits, Window};
use crate::scalar::{WINDOWS, offset_randomiser, offset_small, window};

/// Lane groups that pass through one window of the tables together.
const GROUPS: usize = 4;
/// Pairs that one thread takes at a time.
const CHUNK: usize = 2048;
/// Windows of a gradient: 35 bits.
const GRADIENT_WINDOWS: usize = 7;
/// Windows of eight times the noise: 60 bits.
const NOISE_WINDOWS: usize = 12;
/// Noise is smaller than this.
const NOISE_LIMIT: u64 = 1 << 55;

impl PublicKey {
    /// Encrypts `g[i]` and `h[i]` into `output[i]`, with randomness from 32 bytes of fresh entropy.
    pub fn encrypt(
        &self,
        target: Target,
        g: &[i32],
        h: &[i32],
        entropy: &[u8; 32],
        output: &mut [[u8; PAIR_BYTES]],
        pool: &Pool,
    ) -> Result<(), PairError> {
        if g.len() != h.len() || g.len() != output.len() {
            return Err(PairError::Shape);
        }
        let chunks = output.chunks_mut(CHUNK).enumerate();
        pool.map(chunks.collect(), |(number, output)| {
            let range = number * CHUNK..number * CHUNK + output.len();
            let widen = |values: &[i32]| {
                let wide = values[range.clone()].iter().map(|value| i64::from(*value));
                Zeroizing::new(wide.collect::<Vec<_>>())
            };
            let values = [widen(g), widen(h)];
            let random = randomisers(entropy, number, output.len());
            let kernel = Encrypt {
                key: self,
                randomisers: &random,
                values: [Some(&values[0]), Some(&values[1])],
                windows: GRADIENT_WINDOWS,
                sums: None,
                output,
            };
            dispatch(target, kernel);
        });
        Ok(())
    }

    /// Eight times each sum plus a fresh encryption of eight times the noise.
    pub(super) fn refresh(
        &self,
        target: Target,
        sums: &[Cell],
        noise: [Option<&[i64]>; 2],
        entropy: &[u8; 32],
        output: &mut [[u8; PAIR_BYTES]],
        pool: &Pool,
    ) -> Result<(), PairError> {
        let too_large = |noise: &[i64]| {
            noise.len() != sums.len()
                || noise
                    .iter()
                    .any(|value| value.unsigned_abs() >= NOISE_LIMIT)
        };
        if sums.len() != output.len() || noise.into_iter().flatten().any(too_large) {
            return Err(PairError::Shape);
        }
        let chunks = output.chunks_mut(CHUNK).enumerate();
        pool.map(chunks.collect(), |(number, output)| {
            let range = number * CHUNK..number * CHUNK + output.len();
            let scaled = noise.map(|noise| {
                let eightfold = noise?[range.clone()].iter().map(|value| 8 * value);
                Some(Zeroizing::new(eightfold.collect::<Vec<_>>()))
            });
            let random = randomisers(entropy, number, output.len());
            let kernel = Encrypt {
                key: self,
                randomisers: &random,
                values: [0, 1].map(|part| scaled[part].as_ref().map(|values| values.as_slice())),
                windows: NOISE_WINDOWS,
                sums: Some(&sums[range]),
                output,
            };
            dispatch(target, kernel);
        });
        Ok(())
    }
}

/// The 32-byte randomisers of one chunk of the key stream; only the low 252 bits are used, which
/// is at distance 2^-127 from uniform modulo the order.
fn randomisers(entropy: &[u8; 32], chunk: usize, count: usize) -> Zeroizing<Vec<Bytes>> {
    let mut rng = ChaCha20Rng::from_seed(*entropy);
    rng.set_word_pos((chunk * CHUNK * 8) as u128);
    let mut random = Zeroizing::new(vec![[0; 32]; count]);
    rng.fill_bytes(random.as_flattened_mut());
    random
}

struct Encrypt<'a> {
    key: &'a PublicKey,
    randomisers: &'a [Bytes],
    /// What to encrypt, or nothing for zeros (a public fact).
    values: [Option<&'a [i64]>; 2],
    windows: usize,
    /// Sums to be refreshed: eight times them is added.
    sums: Option<&'a [Cell]>,
    output: &'a mut [[u8; PAIR_BYTES]],
}

/// The prepared tables of one call.
struct Prepared<F: Field> {
    base: Vec<Window<F>>,
    keys: [Vec<Window<F>>; 2],
}

impl FieldKernel for Encrypt<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        let tables = self.key.tables();
        let prepared: Prepared<F> = Prepared {
            base: generator().prepare(WINDOWS),
            keys: [tables[0].prepare(WINDOWS), tables[1].prepare(WINDOWS)],
        };
        let step = GROUPS * F::LANES;
        let mut start = 0;
        while start < self.output.len() {
            let count = step.min(self.output.len() - start);
            let mut sums = [[Extended::<F>::identity(); 3]; GROUPS];
            self.begin(start, count, &mut sums);
            self.add_randomisers(start, count, &prepared, &mut sums);
            for part in 0..2 {
                if let Some(values) = self.values[part] {
                    let values = &values[start..start + count];
                    add_values(values, self.windows, &prepared.base, part + 1, &mut sums);
                }
            }
            write(&mut sums, &mut self.output[start..start + count]);
            start += count;
        }
    }
}

impl Encrypt<'_> {
    /// Eight times the sums, and the closing constants of all digit sums.
    #[inline(always)]
    fn begin<F: Field>(&self, start: usize, count: usize, sums: &mut [[Extended<F>; 3]; GROUPS]) {
        let tables = self.key.tables();
        let closing = [
            generator().closing().splat::<F>(),
            tables[0].closing().splat(),
            tables[1].closing().splat(),
        ];
        for (group, points) in sums.iter_mut().enumerate() {
            for (part, point) in points.iter_mut().enumerate() {
                if let Some(cells) = self.sums {
                    let first = start + (group * F::LANES).min(count - 1);
                    let last = start + count - 1;
                    *point = Cell::load(part, |lane| &cells[(first + lane).min(last)]);
                    *point = point.double_times(3);
                }
                *point = point.add_niels(&closing[part]);
                if part > 0 && self.values[part - 1].is_some() {
                    *point = point.add_niels(&closing[0]);
                }
            }
        }
    }

    #[inline(always)]
    fn add_randomisers<F: Field>(
        &self,
        start: usize,
        count: usize,
        tables: &Prepared<F>,
        sums: &mut [[Extended<F>; 3]; GROUPS],
    ) {
        let mut scalars = [[0u64; 4]; GROUPS * MAX_LANES];
        for (scalar, bytes) in scalars
            .iter_mut()
            .zip(&self.randomisers[start..start + count])
        {
            *scalar = offset_randomiser(bytes);
        }
        for position in 0..WINDOWS {
            for (group, points) in sums.iter_mut().enumerate() {
                let mut digits = Digits::default();
                for lane in 0..F::LANES {
                    digits.set(lane, window(&scalars[group * F::LANES + lane], position));
                }
                let choice = Choice::new(&digits);
                let chosen = tables.base[position].look_up(&choice);
                points[0] = points[0].add_niels(&chosen);
                let chosen = tables.keys[0][position].look_up(&choice);
                points[1] = points[1].add_niels(&chosen);
                let chosen = tables.keys[1][position].look_up(&choice);
                points[2] = points[2].add_niels(&chosen);
            }
        }
        scalars.zeroize();
    }
}

#[inline(always)]
fn add_values<F: Field>(
    values: &[i64],
    windows: usize,
    table: &[Window<F>],
    part: usize,
    sums: &mut [[Extended<F>; 3]; GROUPS],
) {
    let mut scalars = [0u64; GROUPS * MAX_LANES];
    for (scalar, value) in scalars.iter_mut().zip(values) {
        *scalar = offset_small(*value, windows);
    }
    for (position, window) in table.iter().enumerate().take(windows) {
        for (group, points) in sums.iter_mut().enumerate() {
            let mut digits = Digits::default();
            for lane in 0..F::LANES {
                let bits = scalars[group * F::LANES + lane] >> (5 * position);
                digits.set(lane, (bits & 31) as u8);
            }
            points[part] = points[part].add_niels(&window.look_up(&Choice::new(&digits)));
        }
    }
    scalars.zeroize();
}

/// Normalises to affine and writes the wire form.
#[inline(always)]
fn write<F: Field>(sums: &mut [[Extended<F>; 3]; GROUPS], output: &mut [[u8; PAIR_BYTES]]) {
    let mut inverses = [F::one(); 3 * GROUPS];
    let mut scratch = [F::one(); 3 * GROUPS];
    for (slot, point) in inverses.iter_mut().zip(sums.as_flattened()) {
        *slot = point.z;
    }
    batch_invert(&mut inverses, &mut scratch);
    for (group, points) in sums.iter().enumerate() {
        let mut wire: [[Bytes; MAX_LANES]; 6] = [[[0; 32]; MAX_LANES]; 6];
        for (part, point) in points.iter().enumerate() {
            let inverse = inverses[3 * group + part];
            wire[2 * part] = stored(point.x.mul(inverse));
            wire[2 * part + 1] = stored(point.y.mul(inverse));
        }
        let rows = output.iter_mut().skip(group * F::LANES).take(F::LANES);
        for (lane, row) in rows.enumerate() {
            for (chunk, coordinate) in row.chunks_exact_mut(32).zip(&wire) {
                chunk.copy_from_slice(&coordinate[lane]);
            }
        }
    }
}

/// The coordinates of a wire pair.
pub(super) fn coordinates(pair: &[u8; PAIR_BYTES]) -> WirePair {
    let mut parts = [[0; 32]; 6];
    for (part, chunk) in parts.iter_mut().zip(pair.as_chunks::<32>().0) {
        *part = *chunk;
    }
    parts
}
