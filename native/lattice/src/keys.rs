//! Key pairs.

use std::sync::Arc;

use atoll_simd::Target;
use rand_chacha::rand_core::Rng;
use zeroize::Zeroizing;

use crate::bytes;
use crate::parameters::{DEGREE, MOST_LIMBS};
use crate::ring::{Ring, pair};
use crate::sample;
use crate::{LatticeError, Parameters};

/// Streams of keys, apart from those of vectors even where both were made of the same entropy.
const KEY_STREAM: u64 = 1 << 63;

/// s with coefficients -1, 0 and 1; wiped when dropped.
pub struct SecretKey {
    /// Its values, prime by prime.
    pub(crate) values: Zeroizing<Vec<u64>>,
    public: PublicKey,
}

impl SecretKey {
    /// A key pair modulo 1 to 8 primes, from 32 bytes of fresh entropy.
    ///
    /// # Errors
    /// No or more primes: log2 q would exceed 218.
    pub fn generate(
        target: Target,
        limbs: usize,
        entropy: &[u8; 32],
    ) -> Result<SecretKey, LatticeError> {
        let ring = Arc::new(ring(target, limbs)?);
        let mut seed = [0; 32];
        sample::stream(entropy, KEY_STREAM).fill_bytes(&mut seed);
        let mut rng = sample::stream(entropy, KEY_STREAM + 1);
        let secret = sample::ternary(&mut rng, DEGREE);
        let errors = sample::errors(&mut rng, DEGREE);
        let mut values = Zeroizing::new(vec![0; limbs * DEGREE]);
        let mut masked = vec![0; limbs * DEGREE];
        let rows = values.chunks_exact_mut(DEGREE);
        let rows = rows.zip(masked.chunks_exact_mut(DEGREE));
        for (limb, (values, masked)) in rows.enumerate() {
            ring.forward_signed(limb, &secret, values);
            ring.forward_signed(limb, &errors, masked);
        }
        let mut public = PublicKey::new(ring, seed, &masked);
        public.subtract_secret(&values);
        Ok(SecretKey { values, public })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.public.ring
    }
}

/// (-a s + e, a) with a expanded from a seed: encryptions of zero are made of it.
#[derive(Clone)]
pub struct PublicKey {
    pub(crate) ring: Arc<Ring>,
    seed: [u8; 32],
    /// Values of both polynomials, prime by prime.
    pub(crate) pairs: Vec<u64>,
}

impl PublicKey {
    fn new(ring: Arc<Ring>, seed: [u8; 32], masked: &[u64]) -> PublicKey {
        let mut pairs = vec![0; masked.len()];
        expand(&ring, &seed, KEY_STREAM, masked, &mut pairs);
        PublicKey { ring, seed, pairs }
    }

    /// From (e, a) to (e - a s, a).
    fn subtract_secret(&mut self, secret: &[u64]) {
        let rows = self.pairs.chunks_exact_mut(DEGREE);
        let rows = rows.zip(secret.chunks_exact(DEGREE));
        for ((pairs, secret), prime) in rows.zip(self.ring.primes()) {
            for (both, secret) in pairs.iter_mut().zip(secret) {
                let (error, random) = split(*both);
                let product = prime.multiply(random, *secret);
                *both = pair(prime.reduce(error + prime.value - product), random);
            }
        }
    }

    /// The seed, then the values of -a s + e, each residue in 27 bits.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.seed.to_vec();
        for row in self.pairs.chunks_exact(DEGREE) {
            let masked: Vec<u64> = row.iter().map(|both| split(*both).0).collect();
            bytes::write(&masked, &mut out);
        }
        out
    }

    /// Reads a key modulo so many primes.
    ///
    /// # Errors
    /// No or more than 8 primes, a wrong size, or a residue that is not below its prime.
    pub fn from_bytes(
        target: Target,
        limbs: usize,
        bytes: &[u8],
    ) -> Result<PublicKey, LatticeError> {
        let ring = Arc::new(ring(target, limbs)?);
        let (seed, rest) = bytes.split_first_chunk().ok_or(LatticeError::Encoding)?;
        if rest.len() != limbs * bytes::size(DEGREE) {
            return Err(LatticeError::Encoding);
        }
        let mut masked = vec![0; limbs * DEGREE];
        read_rows(&ring, rest, &mut masked)?;
        Ok(PublicKey::new(ring, *seed, &masked))
    }

    /// Whether the key has the primes that the parameters need.
    pub(crate) fn require(&self, parameters: &Parameters) -> Result<(), LatticeError> {
        let enough = self.ring.limbs() >= parameters.limbs();
        enough.then_some(()).ok_or(LatticeError::Key)
    }
}

fn ring(target: Target, limbs: usize) -> Result<Ring, LatticeError> {
    let safe = (1..=MOST_LIMBS).contains(&limbs);
    let ring = safe.then(|| Ring::new(target, DEGREE, limbs));
    ring.ok_or(LatticeError::Parameters)
}

/// Both residues of [`pair`].
pub fn split(both: u64) -> (u64, u64) {
    (both & u64::from(u32::MAX), both >> 32)
}

/// Reads the values of one polynomial, prime by prime.
pub fn read_rows(ring: &Ring, rest: &[u8], out: &mut [u64]) -> Result<(), LatticeError> {
    let rows = rest.chunks_exact(bytes::size(ring.degree()));
    let rows = rows.zip(out.chunks_exact_mut(ring.degree()));
    rows.zip(ring.primes())
        .try_for_each(|((row, out), prime)| bytes::read(row, prime, out))
}

/// Pairs the values with uniform ones from a stream of a seed, prime by prime.
pub fn expand(ring: &Ring, seed: &[u8; 32], stream: u64, values: &[u64], pairs: &mut [u64]) {
    let mut rng = sample::stream(seed, stream);
    let mut random = vec![0; ring.degree()];
    let rows = pairs.chunks_exact_mut(ring.degree());
    let rows = rows.zip(values.chunks_exact(ring.degree()));
    for ((pairs, values), prime) in rows.zip(ring.primes()) {
        sample::uniform(&mut rng, prime, &mut random);
        for ((both, value), random) in pairs.iter_mut().zip(values).zip(&random) {
            *both = pair(*value, *random);
        }
    }
}
