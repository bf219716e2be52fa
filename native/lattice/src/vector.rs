//! Encrypted vectors.

use atoll_simd::Pool;
use rand_chacha::rand_core::Rng;
use zeroize::Zeroizing;

use crate::bytes;
use crate::keys::{expand, read_rows};
use crate::parameters::DEGREE;
use crate::prime::Prime;
use crate::ring::Ring;
use crate::sample;
use crate::{LatticeError, Parameters, PublicKey, SecretKey};

/// A vector under another party's key.
pub struct EncryptedVector {
    /// What it was encrypted for.
    parameters: Parameters,
    /// Values of both polynomials, block by block and prime by prime.
    pub(crate) pairs: Vec<u64>,
}

impl SecretKey {
    /// Encrypts numbers modulo t, from 32 bytes of fresh entropy, for one use of the parameters.
    ///
    /// # Errors
    /// There are not as many numbers as the parameters say, or the key has too few primes.
    pub fn encrypt(
        &self,
        parameters: &Parameters,
        numbers: &[u64],
        entropy: &[u8; 32],
        pool: &Pool,
    ) -> Result<Vec<u8>, LatticeError> {
        self.public_key().require(parameters)?;
        if numbers.len() != parameters.length() {
            return Err(LatticeError::Shape);
        }
        let mut seed = [0; 32];
        sample::stream(entropy, 0).fill_bytes(&mut seed);
        let scales = scales(self.ring(), parameters);
        let blocks = numbers.chunks(DEGREE).enumerate().collect();
        let encrypted = pool.map(blocks, |(number, block)| {
            let errors = sample::errors(&mut sample::stream(entropy, 1 + number as u64), DEGREE);
            self.encrypt_block(&scales, block, &errors, (&seed, number as u64))
        });
        Ok([&seed[..], &encrypted.concat()].concat())
    }

    /// The bytes of one polynomial, -a s + e + round(q v / t), prime by prime.
    pub(crate) fn encrypt_block(
        &self,
        scales: &[Scale],
        numbers: &[u64],
        errors: &[i32],
        (seed, stream): (&[u8; 32], u64),
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(scales.len() * bytes::size(DEGREE));
        let mut rng = sample::stream(seed, stream);
        let mut values = Zeroizing::new(vec![0; DEGREE]);
        let mut random = vec![0; DEGREE];
        for (limb, scale) in scales.iter().enumerate() {
            let prime = &self.ring().primes()[limb];
            for (value, error) in values.iter_mut().zip(errors) {
                *value = prime.signed(i64::from(*error));
            }
            for (value, number) in values.iter_mut().zip(numbers) {
                *value = prime.reduce(*value + scale.rounded(prime, *number));
            }
            self.ring().forward(limb, &mut values);
            sample::uniform(&mut rng, prime, &mut random);
            let secret = &self.values[limb * DEGREE..][..DEGREE];
            for ((value, random), secret) in values.iter_mut().zip(&random).zip(secret) {
                let product = prime.multiply(*random, *secret);
                *value = prime.reduce(*value + prime.value - product);
            }
            bytes::write(&values, &mut out);
        }
        out
    }
}

impl EncryptedVector {
    /// Reads a vector and expands its seed.
    ///
    /// # Errors
    /// The bytes are not as many as the parameters say, or a residue is not below its prime, or the
    /// key has too few primes.
    pub fn from_bytes(
        key: &PublicKey,
        parameters: &Parameters,
        bytes: &[u8],
        pool: &Pool,
    ) -> Result<EncryptedVector, LatticeError> {
        key.require(parameters)?;
        if bytes.len() != parameters.vector_bytes() {
            return Err(LatticeError::Encoding);
        }
        let (seed, rest) = bytes.split_first_chunk().ok_or(LatticeError::Encoding)?;
        let width = parameters.limbs() * DEGREE;
        let mut pairs = vec![0; parameters.blocks() * width];
        let blocks = pairs.chunks_exact_mut(width);
        let blocks = blocks.zip(rest.chunks_exact(parameters.limbs() * bytes::size(DEGREE)));
        let read = pool.map(blocks.enumerate().collect(), |(number, (pairs, bytes))| {
            let mut values = vec![0; width];
            read_rows(&key.ring, bytes, &mut values)?;
            expand(&key.ring, seed, number as u64, &values, pairs);
            Ok(())
        });
        read.into_iter().collect::<Result<(), _>>()?;
        Ok(EncryptedVector {
            parameters: *parameters,
            pairs,
        })
    }

    /// Whether it has the numbers, the modulus and the scale of the parameters.
    pub(crate) fn require(&self, parameters: &Parameters) -> Result<(), LatticeError> {
        let facts = |p: &Parameters| (p.length(), p.bits(), p.limbs());
        let same = facts(&self.parameters) == facts(parameters);
        same.then_some(()).ok_or(LatticeError::Shape)
    }
}

/// What turns numbers modulo 2^bits into residues modulo one prime.
pub struct Scale {
    /// q modulo 2^64.
    modulus: u64,
    /// t / 2.
    half: u64,
    /// t - 1.
    mask: u64,
    /// 1 / t modulo the prime.
    inverse: u64,
}

pub fn scales(ring: &Ring, parameters: &Parameters) -> Vec<Scale> {
    let primes = &ring.primes()[..parameters.limbs()];
    let modulus = primes
        .iter()
        .fold(1, |product: u64, prime| product.wrapping_mul(prime.value));
    let scale = |prime: &Prime| Scale {
        modulus,
        half: 1 << (parameters.bits() - 1),
        mask: u64::MAX >> (64 - parameters.bits()),
        inverse: prime.power(prime.invert(2), u64::from(parameters.bits())),
    };
    primes.iter().map(scale).collect()
}

impl Scale {
    /// round(q v / t) modulo the prime, where q is zero: (t / 2 - ρ) / t with ρ = q v + t / 2 modulo t.
    #[inline(always)]
    fn rounded(&self, prime: &Prime, number: u64) -> u64 {
        let rest = self.modulus.wrapping_mul(number).wrapping_add(self.half) & self.mask;
        let shifted = prime.reduce(self.half) + prime.value - prime.reduce(rest);
        prime.reduce(shifted * self.inverse)
    }
}
