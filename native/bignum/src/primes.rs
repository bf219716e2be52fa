//! The primes of a key.

use std::num::NonZeroU32;

use crypto_bigint::{BoxedUint, Gcd};
use crypto_primes::hazmat::{SetBits, SmallFactorsSieveFactory};
use crypto_primes::{Flavor, is_prime, sieve_and_find};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroizing;

use crate::modulus::UnusableModulus;

/// Least and most bits of n.
pub const SIZES: std::ops::RangeInclusive<u32> = 512..=8192;

/// Two primes p and q ≡ 3 modulo 4 of equally many bytes, whose product n has twice as many.
///
/// Little-endian. (p - 1) / 2 and (q - 1) / 2 have no common factor, so that squares modulo n are
/// powers of one of them (Damgård, Jurik, Nielsen 2010, section 4.2).
pub struct Primes {
    /// p.
    pub first: Zeroizing<Vec<u8>>,
    /// q.
    pub second: Zeroizing<Vec<u8>>,
}

impl Primes {
    /// Draws primes for n of `bits` bits, a multiple of 16 within [`SIZES`], from secret entropy.
    ///
    /// # Errors
    /// n cannot have so many bits.
    pub fn generate(bits: u32, entropy: &[u8; 32]) -> Result<Primes, UnusableModulus> {
        let half = NonZeroU32::new(bits / 2).ok_or(UnusableModulus)?;
        if !SIZES.contains(&bits) || !bits.is_multiple_of(16) {
            return Err(UnusableModulus);
        }
        let mut rng = ChaCha20Rng::from_seed(*entropy);
        let mut found: Vec<Zeroizing<BoxedUint>> = Vec::new();
        loop {
            let next = Zeroizing::new(blum_prime(&mut rng, half)?);
            if let Some(other) = found.iter().find(|other| apart(other, &next)) {
                return Ok(Primes {
                    first: bytes(other),
                    second: bytes(&next),
                });
            }
            found.push(next);
        }
    }
}

/// A prime ≡ 3 modulo 4 with both top bits set.
fn blum_prime(rng: &mut ChaCha20Rng, bits: NonZeroU32) -> Result<BoxedUint, UnusableModulus> {
    let factory = SmallFactorsSieveFactory::new(Flavor::Any, bits.get(), SetBits::TwoMsb)
        .map_err(|_| UnusableModulus)?;
    let accepted = |_: &mut ChaCha20Rng, candidate: &BoxedUint| {
        candidate.as_words()[0] & 3 == 3 && is_prime(Flavor::Any, candidate)
    };
    let found = sieve_and_find(rng, factory, accepted).map_err(|_| UnusableModulus)?;
    found.ok_or(UnusableModulus)
}

/// Whether the halves of p - 1 and q - 1 have no common factor.
fn apart(first: &BoxedUint, second: &BoxedUint) -> bool {
    let half = |prime: &BoxedUint| Zeroizing::new(prime.shr(1));
    half(first).gcd(&half(second)) == BoxedUint::one_with_precision(first.bits_precision())
}

fn bytes(prime: &BoxedUint) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(prime.to_le_bytes().to_vec())
}

/// A number below n of bytes that `fill` makes; it is called again for those that are not.
pub fn below(n: &[u8], mut fill: impl FnMut(&mut [u8])) -> Vec<u8> {
    let mut row = vec![0; n.len()];
    loop {
        fill(&mut row);
        if row.iter().rev().lt(n.iter().rev()) {
            return row;
        }
    }
}
