//! Paillier's encryption with g = n + 1, short randomness, and decryption modulo each prime.
//!
//! Sources: Paillier (EUROCRYPT 1999); Damgård, Jurik, Nielsen, "A generalization of Paillier's
//! public-key system with applications to electronic voting" (2010), for the powers of one base h^n
//! in place of r^n. Which base, how long its exponents are and whether a key is valid is the
//! caller's to decide.

use atoll_simd::{Pool, Target};
use zeroize::Zeroizing;

use crate::batch::{MismatchedResidues, Residues};
use crate::fixed_base::FixedBase;
use crate::modulus::{Modulus, UnusableModulus};
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

/// One of the two primes, with what decryption modulo it needs.
struct Half {
    prime: Vec<u64>,
    inverse: Vec<u64>,
    square: Modulus,
    plain: Modulus,
    /// 2^(8 · `part`) R² modulo the square, for the high parts of ciphertexts.
    shifted: Vec<u64>,
    /// p - 1.
    exponent: Zeroizing<Vec<u8>>,
    /// 1 / L(g^(p-1)) modulo p, in Montgomery form.
    scale: Vec<u64>,
}

impl Half {
    fn new(
        target: Target,
        prime: &[u8],
        scale: &[u8],
        part: usize,
    ) -> Result<Half, UnusableModulus> {
        let plain = Modulus::new(target, prime)?;
        let words = words::from_bytes(&prime[..plain.width()], plain.width().div_ceil(8));
        let square = Modulus::new(target, &squared(&words))?;
        let mut exponent = Zeroizing::new(prime[..plain.width()].to_vec());
        exponent[0] ^= 1;
        let shift = 8 * part + 2 * square.count() * square.bits as usize;
        let shifted = words::to_limbs(
            &words::power_of_two(shift, &square.words),
            square.bits,
            square.count(),
        );
        let scale = constant(&plain, scale)?;
        if 8 * part > square.count() * square.bits as usize {
            return Err(UnusableModulus);
        }
        Ok(Half {
            inverse: words::inverse(&words),
            prime: words,
            square,
            plain,
            shifted,
            exponent,
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
    first: Half,
    second: Half,
    /// 1 / p modulo q, in Montgomery form.
    joint: Vec<u64>,
    part: usize,
    width: usize,
}

/// What a private key is made of, as little-endian numbers.
pub struct Secrets<'a> {
    /// p.
    pub first: &'a [u8],
    /// q, of as many bytes as p.
    pub second: &'a [u8],
    /// 1 / L(g^(p-1) mod p²) modulo p.
    pub first_scale: &'a [u8],
    /// 1 / L(g^(q-1) mod q²) modulo q.
    pub second_scale: &'a [u8],
    /// 1 / p modulo q.
    pub joint: &'a [u8],
}

impl PrivateKey {
    /// Prepares both primes.
    ///
    /// # Errors
    /// A prime is even, of a size that is not supported or shorter than the other.
    pub fn new(target: Target, secrets: &Secrets<'_>) -> Result<PrivateKey, UnusableModulus> {
        let n = product(secrets.first, secrets.second);
        let part = Modulus::new(target, &n)?.width();
        require_whole_bytes(&words::from_bytes(&n, 1))?;
        let first = Half::new(target, secrets.first, secrets.first_scale, part)?;
        let second = Half::new(target, secrets.second, secrets.second_scale, part)?;
        if first.plain.width() != second.plain.width() {
            return Err(UnusableModulus);
        }
        let joint = constant(&second.plain, secrets.joint)?;
        Ok(PrivateKey {
            first,
            second,
            joint,
            part,
            width: part,
        })
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
        if !ciphertexts.len().is_multiple_of(2 * self.part) {
            return Err(MismatchedResidues);
        }
        let first = self.first.plaintexts(ciphertexts, self.part, pool)?;
        let second = self.second.plaintexts(ciphertexts, self.part, pool)?;
        Ok(self.joined(&first, &second, pool))
    }

    /// m = m_p + p ((m_q - m_p) / p mod q).
    fn joined(&self, first: &[u8], second: &[u8], pool: &Pool) -> Zeroizing<Vec<u8>> {
        let (modulus, width) = (&self.second.plain, self.second.plain.width());
        let divided = |rows: &[u8]| {
            let residues = modulus.reduced(rows, width, &modulus.square, pool);
            Zeroizing::new(modulus.store(&modulus.times(&residues, &self.joint, pool), pool))
        };
        let (from, to) = (divided(first), divided(second));
        let size = self.first.prime.len();
        let mut joined = Zeroizing::new(vec![0; first.len() / width * self.width]);
        let mut whole = Zeroizing::new(vec![0; 2 * size]);
        let mut gap = Zeroizing::new(vec![0; size]);
        for (at, row) in joined.chunks_exact_mut(self.width).enumerate() {
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
