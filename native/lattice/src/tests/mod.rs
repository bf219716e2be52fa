//! Every level, real or emulated, against schoolbook arithmetic and plain integers.

mod bytes;
mod privacy;
mod products;
mod ring;
mod samples;

use atoll_simd::{Pool, Target};
use num_bigint::BigInt;
use rand_chacha::rand_core::Rng;

use crate::ring::Ring;
use crate::sample;
use crate::{EncryptedVector, Matrix, Parameters, PublicKey, SecretKey};

pub fn pool() -> Pool {
    Pool::new(1).expect("threads")
}

/// A key pair, a vector, a matrix and what they should yield.
pub struct Case {
    pub parameters: Parameters,
    pub key: SecretKey,
    pub numbers: Vec<u64>,
    pub entries: Vec<i32>,
}

impl Case {
    /// Random numbers, and entries up to the bound, from a seed.
    pub fn new(target: Target, parameters: Parameters, seed: u8) -> Case {
        let mut rng = sample::stream(&[seed; 32], 0);
        let mask = u64::MAX >> (64 - parameters.bits());
        let numbers = (0..parameters.length()).map(|_| rng.next_u64() & mask);
        let numbers = numbers.collect();
        let width = 2 * parameters.bound() + 1;
        let mut entry =
            || (rng.next_u32() % width).cast_signed() - parameters.bound().cast_signed();
        let count = parameters.length() * parameters.outputs();
        Case {
            parameters,
            key: SecretKey::generate(target, parameters.limbs(), &[seed; 32]).expect("key"),
            numbers,
            entries: (0..count).map(|_| entry()).collect(),
        }
    }

    /// Row-major: a row for each number.
    pub fn matrix(&self) -> Matrix<'_> {
        Matrix {
            entries: &self.entries,
            along: self.parameters.outputs(),
            across: 1,
        }
    }

    pub fn public(&self) -> &PublicKey {
        self.key.public_key()
    }

    pub fn encrypted(&self) -> EncryptedVector {
        let bytes = self
            .key
            .encrypt(&self.parameters, &self.numbers, &[1; 32], &pool())
            .expect("encrypted");
        self.received(&bytes)
    }

    pub fn received(&self, bytes: &[u8]) -> EncryptedVector {
        EncryptedVector::from_bytes(self.public(), &self.parameters, bytes, &pool())
            .expect("vector")
    }

    /// Products of the matrix as it is laid out, modulo t.
    pub fn expected(&self, matrix: &Matrix<'_>) -> Vec<u64> {
        let mask = u64::MAX >> (64 - self.parameters.bits());
        let product = |output: usize| {
            let numbers = self.numbers.iter().enumerate();
            numbers.fold(0u64, |sum, (row, number)| {
                let entry = matrix.entries[row * matrix.along + output * matrix.across];
                sum.wrapping_add(number.wrapping_mul(i64::from(entry).cast_unsigned()))
            }) & mask
        };
        (0..self.parameters.outputs()).map(product).collect()
    }
}

/// The number of least amount with the residues modulo the first primes, one of each.
pub fn combined(ring: &Ring, residues: &[u64]) -> BigInt {
    let primes = &ring.primes()[..residues.len()];
    let modulus = primes
        .iter()
        .fold(BigInt::from(1), |product, prime| product * prime.value);
    let parts = primes.iter().zip(residues).map(|(prime, residue)| {
        let value = BigInt::from(prime.value);
        let cofactor = &modulus / &value;
        let inverse = (&cofactor % &value).modinv(&value).expect("primes");
        cofactor * (inverse * residue % value)
    });
    let sum = parts.sum::<BigInt>() % &modulus;
    if &sum * 2 > modulus {
        sum - modulus
    } else {
        sum
    }
}
