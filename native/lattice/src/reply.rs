//! What leaves: products made private, and their decryption.

use atoll_simd::Pool;
use zeroize::Zeroizing;

use crate::bytes;
use crate::parameters::DEGREE;
use crate::ring::{Ring, Sums};
use crate::sample;
use crate::{LatticeError, Parameters, PublicKey, SecretKey};

/// What makes one ciphertext private.
pub struct Randomness {
    /// u of a fresh encryption of zero, (p u, a u + e) under the public key (p, a); its first error is the flooding.
    pub mask: Zeroizing<Vec<i32>>,
    /// e.
    pub errors: Zeroizing<Vec<i32>>,
    /// For each product, uniform below 2^(f+1).
    pub flood: Zeroizing<Vec<u128>>,
}

impl Randomness {
    /// From the stream of one ciphertext.
    pub fn new(parameters: &Parameters, entropy: &[u8; 32], reply: usize) -> Randomness {
        let mut rng = sample::stream(entropy, reply as u64);
        let mask = sample::ternary(&mut rng, DEGREE);
        let errors = sample::errors(&mut rng, DEGREE);
        let bits = parameters.flood() + 1;
        let flood = (0..parameters.products(reply)).map(|_| sample::wide(&mut rng, bits));
        Randomness {
            mask,
            errors,
            flood: Zeroizing::new(flood.collect()),
        }
    }
}

/// Appends the bytes of one ciphertext: a fresh encryption of zero and the flooding are added, q is
/// switched to q', and of the first polynomial only the coefficients that hold products are sent.
/// Others would be replaced by uniform numbers: that they are not there says no more.
pub fn finish(
    key: &PublicKey,
    parameters: &Parameters,
    sums: &mut [u64],
    randomness: &Randomness,
    out: &mut Vec<u8>,
) {
    let (mut first, mut second) = add_zero(key, parameters, sums, randomness);
    let ring = &key.ring;
    switch(ring, parameters, &mut second);
    switch(ring, parameters, &mut first);
    let kept = parameters.kept();
    let rows = second.chunks_exact(DEGREE).take(kept);
    rows.for_each(|row| bytes::write(row, out));
    let rows = first.chunks_exact(randomness.flood.len()).take(kept);
    rows.for_each(|row| bytes::write(row, out));
}

/// The coefficients that hold products, and the second polynomial, both modulo q prime by prime.
pub fn add_zero(
    key: &PublicKey,
    parameters: &Parameters,
    sums: &mut [u64],
    randomness: &Randomness,
) -> (Vec<u64>, Vec<u64>) {
    let (first, second) = sums.split_at_mut(parameters.limbs() * DEGREE);
    let (mut products, mut polynomial) = (Vec::new(), Vec::new());
    let mut values = Zeroizing::new(vec![0; DEGREE]);
    let rows = first.chunks_exact_mut(DEGREE);
    let rows = rows.zip(second.chunks_exact_mut(DEGREE));
    for (limb, (first, second)) in rows.enumerate() {
        let pairs = &key.pairs[limb * DEGREE..][..DEGREE];
        let mut sums = Sums {
            first,
            second,
            values: &mut values,
        };
        key.ring
            .accumulate(limb, &randomness.mask, &[pairs], &mut sums);
        let prime = &key.ring.primes()[limb];
        for row in [&mut *sums.first, &mut *sums.second] {
            row.iter_mut().for_each(|sum| *sum = prime.reduce(*sum));
            key.ring.inverse(limb, row);
        }
        let centre = prime.value - prime.power(2, u64::from(parameters.flood()));
        let flooded = randomness.flood.iter().enumerate().map(|(index, flood)| {
            let flood = prime.reduce_wide(*flood) + centre;
            prime.reduce(sums.first[parameters.position(index)] + flood)
        });
        products.extend(flooded);
        let refreshed = sums.second.iter().zip(randomness.errors.iter());
        polynomial.extend(
            refreshed.map(|(sum, error)| prime.reduce(sum + prime.signed(i64::from(*error)))),
        );
    }
    (products, polynomial)
}

/// From q to q': each prime that is dropped divides, with rounding to the nearest.
fn switch(ring: &Ring, parameters: &Parameters, residues: &mut [u64]) {
    let width = residues.len() / parameters.limbs();
    for last in (parameters.kept()..parameters.limbs()).rev() {
        let dropped = ring.primes()[last].value;
        let (rest, top) = residues.split_at_mut(last * width);
        let half = dropped / 2;
        // c + half minus its residue modulo the prime is what is nearest to c among its multiples.
        for residue in &mut top[..width] {
            *residue = ring.primes()[last].reduce(*residue + half);
        }
        for (row, prime) in rest.chunks_exact_mut(width).zip(ring.primes()) {
            let inverse = prime.invert(dropped);
            for (residue, top) in row.iter_mut().zip(&*top) {
                // No prime exceeds twice another.
                let multiple = *residue + half + 2 * prime.value - top;
                *residue = prime.reduce(multiple * inverse);
            }
        }
    }
}

impl SecretKey {
    /// The products modulo t.
    ///
    /// # Errors
    /// The bytes are not as many as the parameters say, or a residue is not below its prime, or the
    /// key has too few primes.
    pub fn decrypt(
        &self,
        parameters: &Parameters,
        bytes: &[u8],
        pool: &Pool,
    ) -> Result<Vec<u64>, LatticeError> {
        self.public_key().require(parameters)?;
        if bytes.len() != parameters.replies_bytes() {
            return Err(LatticeError::Encoding);
        }
        let replies = bytes.chunks(parameters.reply_bytes(0)).enumerate();
        let numbers = pool.map(replies.collect(), |(reply, bytes)| {
            let phases = self.phases(parameters, parameters.products(reply), bytes)?;
            Ok(rounded(self.ring(), parameters, &phases))
        });
        let numbers: Result<Vec<_>, _> = numbers.into_iter().collect();
        Ok(numbers?.concat())
    }

    /// c₀ + c₁ s modulo q' at the coefficients that hold products, prime by prime.
    pub(crate) fn phases(
        &self,
        parameters: &Parameters,
        products: usize,
        bytes: &[u8],
    ) -> Result<Zeroizing<Vec<u64>>, LatticeError> {
        let polynomials = parameters.kept() * bytes::size(DEGREE);
        let (second, first) = bytes.split_at(polynomials);
        let second = second.chunks_exact(bytes::size(DEGREE));
        let rows = second.zip(first.chunks_exact(bytes::size(products)));
        let mut phases = Zeroizing::new(Vec::with_capacity(parameters.kept() * products));
        let mut values = Zeroizing::new(vec![0; DEGREE]);
        let mut row = vec![0; products];
        for (limb, (second, first)) in rows.enumerate() {
            let prime = &self.ring().primes()[limb];
            bytes::read(second, prime, &mut values)?;
            bytes::read(first, prime, &mut row)?;
            self.ring().forward(limb, &mut values);
            let secret = &self.values[limb * DEGREE..][..DEGREE];
            for (value, secret) in values.iter_mut().zip(secret) {
                *value = prime.multiply(*value, *secret);
            }
            self.ring().inverse(limb, &mut values);
            let phase = |(index, residue): (usize, &u64)| {
                prime.reduce(values[parameters.position(index)] + residue)
            };
            phases.extend(row.iter().enumerate().map(phase));
        }
        Ok(phases)
    }
}

/// round(t φ / q') modulo t: φ / q' is, but for integers, the sum of fractions y / p with
/// y = φ / (q' / p) modulo p; 128 bits of each leave an error below 2^-97 of one.
fn rounded(ring: &Ring, parameters: &Parameters, phases: &[u64]) -> Vec<u64> {
    let primes = &ring.primes()[..parameters.kept()];
    let products = phases.len() / primes.len();
    let mut fractions = Zeroizing::new(vec![1u128 << (127 - parameters.bits()); products]);
    for (row, prime) in phases.chunks_exact(products).zip(primes) {
        let others = primes.iter().filter(|other| other.value != prime.value);
        let cofactor = others.fold(1, |product, other| {
            prime.multiply(product, prime.reduce(other.value))
        });
        let inverse = prime.invert(cofactor);
        let unit = u128::MAX / u128::from(prime.value);
        for (fraction, phase) in fractions.iter_mut().zip(row) {
            let part = prime.multiply(*phase, inverse);
            *fraction = fraction.wrapping_add(u128::from(part) * unit);
        }
    }
    let shift = 128 - parameters.bits();
    fractions.iter().map(|sum| (sum >> shift) as u64).collect()
}
