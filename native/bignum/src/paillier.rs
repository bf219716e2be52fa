//! Paillier's encryption with g = n + 1, short randomness, and decryption modulo each prime.
//!
//! Sources: Paillier (EUROCRYPT 1999); Damgård, Jurik, Nielsen, "A generalization of Paillier's
//! public-key system with applications to electronic voting" (2010), for the powers of one base h^n
//! in place of r^n. Which base, how long its exponents are and whether a key is valid is the
//! caller's to decide.

use atoll_simd::{Pool, Target};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::batch::{MismatchedResidues, Residues};
use crate::fixed_base::FixedBase;
use crate::modulus::{Modulus, UnusableModulus};
use crate::primes::{Primes, below};
use crate::words;

/// n, and powers of one base modulo n².
pub struct PublicKey {
    n: Vec<u64>,
    width: usize,
    square: Modulus,
    base: FixedBase,
}

impl PublicKey {
    /// Prepares n and h^n modulo n², for exponents of `exponent` bytes; numbers are little-endian.
    ///
    /// # Errors
    /// n is even or of a size that is not supported, or the base is not below n².
    pub fn new(
        target: Target,
        n: &[u8],
        base: &[u8],
        exponent: usize,
    ) -> Result<PublicKey, UnusableModulus> {
        let plain = Modulus::new(target, n)?;
        let width = plain.width();
        let n = words::from_bytes(&n[..width], width.div_ceil(8));
        require_whole_bytes(&n)?;
        let square = Modulus::new(target, &squared(&n))?;
        let pool = Pool::new(1).map_err(|_| UnusableModulus)?;
        let mut row = base.to_vec();
        row.resize(square.width(), 0);
        let base = square.load(&row, &pool).map_err(|_| UnusableModulus)?;
        let base = FixedBase::new(&square, &base, exponent).map_err(|_| UnusableModulus)?;
        Ok(PublicKey {
            n,
            width,
            square,
            base,
        })
    }

    /// Prepares n, from a partner, with a base of one's own: (-y²)^n for y drawn from the entropy.
    ///
    /// # Errors
    /// n is even or of a size that is not supported.
    pub fn with_own_base(
        target: Target,
        n: &[u8],
        entropy: &[u8; 32],
    ) -> Result<PublicKey, UnusableModulus> {
        let plain = Modulus::new(target, n)?;
        let square = Modulus::new(target, &squared(&words::from_bytes(n, 1)))?;
        if n.len() != plain.width() || square.width() != 2 * n.len() {
            return Err(UnusableModulus);
        }
        let pool = Pool::new(1).map_err(|_| UnusableModulus)?;
        let mut rng = ChaCha20Rng::from_seed(*entropy);
        let y = below(n, |bytes| rng.fill_bytes(bytes));
        let made = |modulus: &Modulus, row: &[u8], exponent: &[u8]| {
            let row = modulus.load(row, &pool)?;
            let power = modulus.powers(&row, exponent, exponent.len(), &pool)?;
            Ok(modulus.store(&power, &pool))
        };
        let base = made(&plain, &y, &[2]).and_then(|row| {
            let mut row = plain.negated(&row);
            row.resize(square.width(), 0);
            made(&square, &row, n)
        });
        let base = base.map_err(|_: MismatchedResidues| UnusableModulus)?;
        PublicKey::new(target, n, &base, exponent_bytes(n.len()))
    }

    /// Bytes of the exponents of [`PublicKey::zeros`].
    pub fn exponent_bytes(&self) -> usize {
        self.base.width()
    }

    /// Ciphertexts are residues of this modulus, n².
    pub fn modulus(&self) -> &Modulus {
        &self.square
    }

    /// Bytes of a plaintext.
    pub fn width(&self) -> usize {
        self.width
    }

    /// 1 + m n for rows of [`PublicKey::width`] bytes: ciphertexts that hide nothing.
    ///
    /// # Errors
    /// The bytes end within a row.
    pub fn bare(&self, plaintexts: &[u8], pool: &Pool) -> Result<Residues, MismatchedResidues> {
        if !plaintexts.len().is_multiple_of(self.width) {
            return Err(MismatchedResidues);
        }
        let size = self.square.width();
        let mut rows = Zeroizing::new(vec![0; plaintexts.len() / self.width * size]);
        let mut product = Zeroizing::new(vec![0; 2 * self.n.len()]);
        for (plaintext, row) in plaintexts
            .chunks_exact(self.width)
            .zip(rows.chunks_exact_mut(size))
        {
            let value = Zeroizing::new(words::from_bytes(plaintext, self.n.len()));
            words::multiply(&value, &self.n, &mut product);
            words::add(&mut product, &[1]);
            words::to_bytes(&product, row);
        }
        self.square.load(&rows, pool)
    }

    /// h^(n r) for exponents r: encryptions of 0, which hide what they are multiplied with.
    ///
    /// # Errors
    /// The bytes end within a row.
    pub fn zeros(&self, exponents: &[u8], pool: &Pool) -> Result<Residues, MismatchedResidues> {
        self.base.powers(&self.square, exponents, pool)
    }
}

/// Bytes of short exponents: twice what a kangaroo needs for 112 bits, or 128 from 3072 bits on.
fn exponent_bytes(width: usize) -> usize {
    if width < 384 { 56 } else { 64 }
}

/// One of the two primes, with what decryption modulo it needs.
pub(crate) struct Half {
    prime: Vec<u64>,
    inverse: Vec<u64>,
    square: Modulus,
    pub(crate) plain: Modulus,
    /// 2^(8 · `part`) R² modulo the square, for the high parts of ciphertexts.
    shifted: Vec<u64>,
    /// p - 1.
    pub(crate) exponent: Zeroizing<Vec<u8>>,
    /// 1 / q modulo p, in Montgomery form.
    inverse_of_other: Vec<u64>,
    /// 1 / L(g^(p-1)) = -1 / q modulo p, in Montgomery form.
    scale: Vec<u64>,
}

impl Half {
    /// Prepares a prime; `other` is the other one, `part` the bytes of n.
    fn new(
        target: Target,
        prime: &[u8],
        other: &[u8],
        part: usize,
    ) -> Result<Half, UnusableModulus> {
        let plain = Modulus::new(target, prime)?;
        if prime.len() != plain.width() || other.len() != plain.width() || prime == other {
            return Err(UnusableModulus);
        }
        let words = words::from_bytes(prime, prime.len().div_ceil(8));
        let square = Modulus::new(target, &squared(&words))?;
        if 8 * part > square.count() * square.bits as usize {
            return Err(UnusableModulus);
        }
        let mut exponent = Zeroizing::new(prime.to_vec());
        exponent[0] ^= 1;
        let shift = 8 * part + 2 * square.count() * square.bits as usize;
        let shifted = words::to_limbs(
            &words::power_of_two(shift, &square.words),
            square.bits,
            square.count(),
        );
        let [inverse_of_other, scale] = inverses(&plain, &words, other)?;
        Ok(Half {
            inverse: words::inverse(&words),
            prime: words,
            square,
            plain,
            shifted,
            exponent,
            inverse_of_other,
            scale,
        })
    }

    /// The plaintexts modulo p of ciphertexts of 2 · `part` bytes, as rows of the prime's bytes.
    fn plaintexts(
        &self,
        ciphertexts: &[u8],
        part: usize,
        pool: &Pool,
    ) -> Result<Zeroizing<Vec<u8>>, MismatchedResidues> {
        let split = |from: usize| -> Vec<u8> {
            ciphertexts
                .chunks_exact(2 * part)
                .flat_map(|row| row[from..from + part].iter().copied())
                .collect()
        };
        let low = self
            .square
            .reduced(&split(0), part, &self.square.square, pool);
        let high = self.square.reduced(&split(part), part, &self.shifted, pool);
        let whole = self.square.sums(&low, &high);
        let powers = self
            .square
            .powers(&whole, &self.exponent, self.exponent.len(), pool)?;
        let rows = Zeroizing::new(self.square.store(&powers, pool));
        // L(u) = (u - 1) / p is exact, so its low words are those of a product with 1 / p.
        let (size, width) = (self.prime.len(), self.plain.width());
        let mut quotients = Zeroizing::new(vec![0; rows.len() / self.square.width() * width]);
        let mut found = Zeroizing::new(vec![0; size]);
        for (row, quotient) in rows
            .chunks_exact(self.square.width())
            .zip(quotients.chunks_exact_mut(width))
        {
            let mut power =
                Zeroizing::new(words::from_bytes(&row[..8 * size.min(row.len() / 8)], size));
            words::subtract_one(&mut power);
            words::multiply(&power, &self.inverse, &mut found);
            words::to_bytes(&found, quotient);
        }
        let quotients = self
            .plain
            .reduced(&quotients, width, &self.plain.square, pool);
        Ok(Zeroizing::new(self.plain.store(
            &self.plain.times(&quotients, &self.scale, pool),
            pool,
        )))
    }
}

/// Both primes.
pub struct PrivateKey {
    pub(crate) first: Half,
    pub(crate) second: Half,
    n: Vec<u8>,
}

impl PrivateKey {
    /// Prepares both primes, which nothing here proves to be such.
    ///
    /// # Errors
    /// A prime is even, of a size that is not supported or of another size than the other.
    pub fn new(target: Target, primes: &Primes) -> Result<PrivateKey, UnusableModulus> {
        let (first, second) = (&primes.first[..], &primes.second[..]);
        let n = product(first, second);
        let width = Modulus::new(target, &n)?.width();
        require_whole_bytes(&words::from_bytes(&n, 1))?;
        Ok(PrivateKey {
            first: Half::new(target, first, second, width)?,
            second: Half::new(target, second, first, width)?,
            n: n[..width].to_vec(),
        })
    }

    /// n, little-endian.
    pub fn n(&self) -> &[u8] {
        &self.n
    }

    /// The plaintexts, rows of n's bytes, of ciphertexts: rows of the bytes of n².
    ///
    /// Time depends on how many there are alone.
    ///
    /// # Errors
    /// The bytes end within a row.
    pub fn decrypt(
        &self,
        ciphertexts: &[u8],
        pool: &Pool,
    ) -> Result<Zeroizing<Vec<u8>>, MismatchedResidues> {
        if !ciphertexts.len().is_multiple_of(2 * self.n.len()) {
            return Err(MismatchedResidues);
        }
        let first = self.first.plaintexts(ciphertexts, self.n.len(), pool)?;
        let second = self.second.plaintexts(ciphertexts, self.n.len(), pool)?;
        Ok(self.joined(&first, &second, pool))
    }

    /// m = m_p + p ((m_q - m_p) / p mod q).
    pub(crate) fn joined(&self, first: &[u8], second: &[u8], pool: &Pool) -> Zeroizing<Vec<u8>> {
        let (modulus, width) = (&self.second.plain, self.second.plain.width());
        let divided = |rows: &[u8]| {
            let residues = modulus.reduced(rows, width, &modulus.square, pool);
            Zeroizing::new(modulus.store(
                &modulus.times(&residues, &self.second.inverse_of_other, pool),
                pool,
            ))
        };
        let (from, to) = (divided(first), divided(second));
        let size = self.first.prime.len();
        let mut joined = Zeroizing::new(vec![0; first.len() / width * self.n.len()]);
        let mut whole = Zeroizing::new(vec![0; 2 * size]);
        let mut gap = Zeroizing::new(vec![0; size]);
        for (at, row) in joined.chunks_exact_mut(self.n.len()).enumerate() {
            let read = |rows: &[u8]| {
                Zeroizing::new(words::from_bytes(&rows[at * width..(at + 1) * width], size))
            };
            let below = words::subtract(&read(&to), &read(&from), &mut gap);
            let back: Zeroizing<Vec<u64>> =
                Zeroizing::new(self.second.prime.iter().map(|word| word & below).collect());
            words::add(&mut gap, &back);
            words::multiply(&self.first.prime, &gap, &mut whole);
            words::add(&mut whole, &read(first));
            words::to_bytes(&whole, row);
        }
        joined
    }
}

/// Refuses n of which n² may have fewer than twice as many bytes.
fn require_whole_bytes(n: &[u64]) -> Result<(), UnusableModulus> {
    if words::bits(n).is_multiple_of(8) {
        Ok(())
    } else {
        Err(UnusableModulus)
    }
}

/// 1 / q and -1 / q modulo a prime p: q^(p - 2), as limbs in Montgomery form.
fn inverses(
    plain: &Modulus,
    prime: &[u64],
    other: &[u8],
) -> Result<[Vec<u64>; 2], UnusableModulus> {
    let pool = Pool::new(1).map_err(|_| UnusableModulus)?;
    let mut less = Zeroizing::new(prime.to_vec());
    words::subtract_one(&mut less);
    words::subtract_one(&mut less);
    let mut exponent = Zeroizing::new(vec![0; plain.width()]);
    words::to_bytes(&less, &mut exponent);
    let rest = plain.reduced(other, other.len(), &plain.square, &pool);
    let inverse = plain
        .powers(&rest, &exponent, exponent.len(), &pool)
        .map_err(|_| UnusableModulus)?;
    let row = Zeroizing::new(plain.store(&inverse, &pool));
    let negative = Zeroizing::new(plain.negated(&row));
    Ok([constant(plain, &row)?, constant(plain, &negative)?])
}

/// A number below the modulus, as limbs in Montgomery form.
fn constant(modulus: &Modulus, bytes: &[u8]) -> Result<Vec<u64>, UnusableModulus> {
    let pool = Pool::new(1).map_err(|_| UnusableModulus)?;
    let mut row = bytes.to_vec();
    row.resize(modulus.width(), 0);
    let loaded = modulus.load(&row, &pool).map_err(|_| UnusableModulus)?;
    Ok(loaded
        .values
        .iter()
        .step_by(modulus.lanes)
        .copied()
        .take(modulus.count())
        .collect())
}

fn squared(value: &[u64]) -> Vec<u8> {
    bytes_of(value, value)
}

fn product(left: &[u8], right: &[u8]) -> Vec<u8> {
    bytes_of(&words::from_bytes(left, 1), &words::from_bytes(right, 1))
}

fn bytes_of(left: &[u64], right: &[u64]) -> Vec<u8> {
    let mut whole = vec![0; left.len() + right.len()];
    words::multiply(left, right, &mut whole);
    let mut bytes = vec![0; 8 * whole.len()];
    words::to_bytes(&whole, &mut bytes);
    bytes
}
