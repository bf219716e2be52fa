//! Products by a private matrix.

use std::ops::Range;

use atoll_simd::Pool;

use crate::parameters::DEGREE;
use crate::reply::{Randomness, finish};
use crate::ring::Sums;
use crate::{EncryptedVector, LatticeError, Parameters, PublicKey};

/// Ciphertexts of the reply that are computed together, so that rows of the matrix are read once.
const GROUP: usize = 8;
/// Blocks whose products modulo one prime are added while the sums stay in the second cache.
const BLOCKS: usize = 8;
/// Entries along the vector that are read before those of the next output.
const TILE: usize = 64;

/// Vectors of integers: entry i of vector j is `entries[i * along + j * across]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// All entries.
    pub entries: &'a [i32],
    /// The stride along a vector.
    pub along: usize,
    /// The stride from one vector to the next.
    pub across: usize,
}

impl Matrix<'_> {
    /// Whether the strides stay within the entries, and these within the bound.
    fn check(&self, parameters: &Parameters) -> Result<(), LatticeError> {
        let along = self.along.checked_mul(parameters.length() - 1);
        let across = self.across.checked_mul(parameters.outputs() - 1);
        let last = along.and_then(|along| along.checked_add(across?));
        if last.is_none_or(|last| last >= self.entries.len()) {
            return Err(LatticeError::Shape);
        }
        let beyond = |entry: &i32| entry.unsigned_abs() > parameters.bound();
        // No early end, so that the check is a vector operation.
        let count: usize = self.entries.iter().map(|e| usize::from(beyond(e))).sum();
        (count == 0).then_some(()).ok_or(LatticeError::Entry)
    }
}

/// The products of the encrypted vector by each vector of the matrix, refreshed and flooded, from 32 bytes
/// of fresh entropy: ciphertexts for the holder of the key, who learns the products and, beyond 2^-41,
/// nothing else of the matrix. [`SecretKey::decrypt`](crate::SecretKey::decrypt) reads them.
///
/// # Errors
/// The key has too few primes, the vector was encrypted for another length or modulus, the matrix is of
/// another size, or an entry is out of bounds.
pub fn products(
    key: &PublicKey,
    parameters: &Parameters,
    vector: &EncryptedVector,
    matrix: &Matrix<'_>,
    entropy: &[u8; 32],
    pool: &Pool,
) -> Result<Vec<u8>, LatticeError> {
    key.require(parameters)?;
    vector.require(parameters)?;
    matrix.check(parameters)?;
    let problem = Problem {
        key,
        parameters,
        vector,
        matrix,
    };
    let groups = (0..parameters.replies()).step_by(GROUP).collect();
    let replies = pool.map(groups, |first| {
        let mut out = Vec::new();
        for (number, sums) in problem
            .sums(first)
            .chunks_exact_mut(2 * problem.row())
            .enumerate()
        {
            let randomness = Randomness::new(parameters, entropy, first + number);
            finish(key, parameters, sums, &randomness, &mut out);
        }
        out
    });
    Ok(replies.concat())
}

/// What a product is made of.
pub struct Problem<'a> {
    pub key: &'a PublicKey,
    pub parameters: &'a Parameters,
    pub vector: &'a EncryptedVector,
    pub matrix: &'a Matrix<'a>,
}

impl Problem<'_> {
    /// Numbers of a polynomial.
    fn row(&self) -> usize {
        self.parameters.limbs() * DEGREE
    }

    /// Values of the bare products, which say much of the matrix, of up to [`GROUP`] ciphertexts from
    /// one on: for each two polynomials, prime by prime, in sums below 2^58.
    pub fn sums(&self, first: usize) -> Vec<u64> {
        let replies = first..self.parameters.replies().min(first + GROUP);
        let blocks = self.parameters.blocks();
        let mut sums = vec![0; replies.len() * 2 * self.row()];
        let mut values = vec![0; DEGREE];
        let mut polynomials = vec![0; replies.len() * blocks.min(BLOCKS) * DEGREE];
        for start in (0..blocks).step_by(BLOCKS) {
            let range = start..blocks.min(start + BLOCKS);
            let width = range.len() * DEGREE;
            let polynomials = &mut polynomials[..replies.len() * width];
            self.gather(replies.clone(), range.clone(), polynomials);
            for limb in 0..self.parameters.limbs() {
                self.add(range.clone(), limb, polynomials, &mut sums, &mut values);
            }
        }
        sums
    }

    /// Adds the products of some blocks, modulo one prime, to those of each ciphertext.
    fn add(
        &self,
        blocks: Range<usize>,
        limb: usize,
        polynomials: &[i32],
        sums: &mut [u64],
        values: &mut [u64],
    ) {
        let pairs = |block| &self.vector.pairs[block * self.row() + limb * DEGREE..][..DEGREE];
        let pairs: Vec<_> = blocks.map(pairs).collect();
        let polynomials = polynomials.chunks_exact(pairs.len() * DEGREE);
        for (polynomials, both) in polynomials.zip(sums.chunks_exact_mut(2 * self.row())) {
            let (first, second) = both.split_at_mut(self.row());
            let mut sums = Sums {
                first: &mut first[limb * DEGREE..][..DEGREE],
                second: &mut second[limb * DEGREE..][..DEGREE],
                values,
            };
            let ring = &self.key.ring;
            ring.accumulate(limb, polynomials, &pairs, &mut sums);
        }
    }

    /// The matrix as polynomials: those of a ciphertext lie one behind the other, block by block.
    fn gather(&self, replies: Range<usize>, blocks: Range<usize>, polynomials: &mut [i32]) {
        let (parameters, matrix) = (self.parameters, self.matrix);
        polynomials.fill(0);
        let width = blocks.len() * DEGREE;
        let end = parameters.length().min(blocks.end * DEGREE);
        for tile in (blocks.start * DEGREE..end).step_by(TILE) {
            // A tile lies within a block.
            let block = (tile / DEGREE - blocks.start) * DEGREE;
            let entries = tile..end.min(tile + TILE);
            for (number, reply) in replies.clone().enumerate() {
                let polynomial = &mut polynomials[number * width + block..][..DEGREE];
                for index in 0..parameters.products(reply) {
                    let across = (reply * parameters.together() + index) * matrix.across;
                    let last = parameters.position(index) - tile % DEGREE;
                    let slots = polynomial[last + 1 - entries.len()..=last].iter_mut().rev();
                    for (slot, at) in slots.zip(entries.clone()) {
                        *slot = matrix.entries[at * matrix.along + across];
                    }
                }
            }
        }
    }
}
