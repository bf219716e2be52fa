//! Proof that n is a Paillier modulus: n = p q for primes ≡ 3 modulo 4, with gcd(n, φ(n)) = 1.
//!
//! Without it, a key's owner may choose n so that what is encrypted, or multiplied with a fresh
//! encryption of zero, stays readable. For each of [`ROUNDS`] hashed y the owner shows an n-th root
//! z, and a fourth root x of one of y, -y, w y, -w y: with another n, half of all y have none.
//!
//! Source: Canetti, Gennaro, Goldfeder, Makriyannis, Peled, "UC Non-Interactive, Proactive,
//! Threshold ECDSA with Identifiable Aborts" (ePrint 2021/060), figure 16.

use atoll_simd::{Pool, Target};
use crypto_bigint::BoxedUint;
use crypto_primes::{Flavor, is_prime};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::batch::{MismatchedResidues, Residues};
use crate::modulus::Modulus;
use crate::paillier::{Half, PrivateKey};
use crate::primes::below;
use crate::words;

/// One in 2^128 proofs of a wrong modulus would pass.
pub const ROUNDS: usize = 128;
const LABEL: &[u8] = b"atoll/paillier-modulus/v1";
const NEGATED: u8 = 1;
const TIMES_W: u8 = 2;

/// Bytes of a proof for n of so many bytes.
pub fn proof_size(width: usize) -> usize {
    width + ROUNDS * (1 + 2 * width)
}

/// Proves that the key's n is valid, bound to `context`: the session, and who proves.
///
/// # Errors
/// The key is none of [`crate::Primes::generate`].
pub fn prove(
    key: &PrivateKey,
    context: &[u8],
    entropy: &[u8; 32],
    pool: &Pool,
) -> Result<Vec<u8>, MismatchedResidues> {
    let (n, width) = (key.n(), key.n().len());
    let modulus = Modulus::new(key.first.plain.target, n).map_err(|_| MismatchedResidues)?;
    let mut rng = ChaCha20Rng::from_seed(*entropy);
    let (w, [sign, _]) = loop {
        let w = below(n, |bytes| rng.fill_bytes(bytes));
        let signs = key.signs(&w, pool)?;
        if signs[0][0] != signs[1][0] {
            break (w, signs.map(|sign| sign[0]));
        }
    };
    let challenges = challenges(n, context, &w);
    let [first, second] = key.signs(&challenges, pool)?;
    let flag = |(p, q): (&bool, &bool)| {
        let times = p != q;
        // -1 is no square modulo either prime.
        let negated = *p ^ (times && sign);
        u8::from(negated) * NEGATED + u8::from(times) * TIMES_W
    };
    let flags: Vec<u8> = first.iter().zip(&second).map(flag).collect();
    let squares = modulus.store(&turned(&modulus, &challenges, &w, &flags, pool)?, pool);
    let quarter = |half: &Half, rows: &Residues| half.fourth_roots(rows, pool);
    let fourth = key.by_halves(&squares, quarter, pool)?;
    let roots = key.by_halves(
        &challenges,
        |half, rows| half.nth_roots(n, rows, pool),
        pool,
    )?;
    let mut proof = w;
    for (flag, (x, z)) in flags
        .iter()
        .zip(fourth.chunks(width).zip(roots.chunks(width)))
    {
        proof.push(*flag);
        proof.extend_from_slice(x);
        proof.extend_from_slice(z);
    }
    Ok(proof)
}

/// Whether the proof shows that n is valid, for the same context.
pub fn verify(target: Target, n: &[u8], context: &[u8], proof: &[u8], pool: &Pool) -> bool {
    verified(target, n, context, proof, pool).unwrap_or(false)
}

fn verified(
    target: Target,
    n: &[u8],
    context: &[u8],
    proof: &[u8],
    pool: &Pool,
) -> Result<bool, MismatchedResidues> {
    let modulus = Modulus::new(target, n).map_err(|_| MismatchedResidues)?;
    let width = n.len();
    if modulus.width() != width || n[width - 1] < 0x80 || proof.len() != proof_size(width) {
        return Ok(false);
    }
    // A prime passes the rounds, too.
    if is_prime(Flavor::Any, &number(n)) {
        return Ok(false);
    }
    let (w, rest) = proof.split_at(width);
    let column = |from: usize, to: usize| -> Vec<u8> {
        let rows = rest.chunks_exact(1 + 2 * width);
        rows.flat_map(|row| row[from..to].iter().copied()).collect()
    };
    let (flags, fourth) = (column(0, 1), column(1, 1 + width));
    let roots = column(1 + width, 1 + 2 * width);
    if flags.iter().any(|flag| *flag > NEGATED + TIMES_W) {
        return Ok(false);
    }
    let challenges = challenges(n, context, w);
    let roots = modulus.load(&roots, pool)?;
    let powers = modulus.powers(&roots, n, width, pool)?;
    let squares = modulus.powers(&modulus.load(&fourth, pool)?, &[4], 1, pool)?;
    let turned = turned(&modulus, &challenges, w, &flags, pool)?;
    Ok(modulus.store(&powers, pool) == challenges
        && modulus.store(&squares, pool) == modulus.store(&turned, pool))
}

/// y, -y, w y or -w y, as the flags have it.
fn turned(
    modulus: &Modulus,
    rows: &[u8],
    w: &[u8],
    flags: &[u8],
    pool: &Pool,
) -> Result<Residues, MismatchedResidues> {
    let width = modulus.width();
    let mut one = vec![0; width];
    one[0] = 1;
    let choices = [
        one.clone(),
        modulus.negated(&one),
        w.to_vec(),
        modulus.negated(w),
    ];
    let factors: Vec<u8> = flags
        .iter()
        .flat_map(|flag| choices[usize::from(*flag)].iter().copied())
        .collect();
    modulus.products(
        &modulus.load(rows, pool)?,
        &modulus.load(&factors, pool)?,
        pool,
    )
}

/// The hashed numbers below n, as rows.
fn challenges(n: &[u8], context: &[u8], w: &[u8]) -> Vec<u8> {
    let mut start = Sha512::new();
    for part in [LABEL, context, n, w] {
        start.update((part.len() as u64).to_le_bytes());
        start.update(part);
    }
    let seed = start.finalize();
    let mut block = 0u64;
    let mut fill = |bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(64) {
            let hash = Sha512::new()
                .chain_update(seed)
                .chain_update(block.to_le_bytes())
                .finalize();
            chunk.copy_from_slice(&hash[..chunk.len()]);
            block += 1;
        }
    };
    (0..ROUNDS).flat_map(|_| below(n, &mut fill)).collect()
}

fn number(bytes: &[u8]) -> BoxedUint {
    BoxedUint::from_le_slice_vartime(bytes)
}

type Rows = Zeroizing<Vec<u8>>;

impl PrivateKey {
    /// Whether each row is no square modulo p, and modulo q.
    fn signs(&self, rows: &[u8], pool: &Pool) -> Result<[Vec<bool>; 2], MismatchedResidues> {
        let of = |half: &Half| -> Result<Vec<bool>, MismatchedResidues> {
            let mut exponent = half.exponent.clone();
            halve(&mut exponent);
            let rows = half.rest(rows, self.n().len(), pool);
            let powers = half.plain.powers(&rows, &exponent, exponent.len(), pool)?;
            let stored = Zeroizing::new(half.plain.store(&powers, pool));
            // 1 or p - 1.
            let rows = stored.chunks_exact(half.plain.width());
            Ok(rows
                .map(|row| row[1..].iter().any(|byte| *byte != 0))
                .collect())
        };
        Ok([of(&self.first)?, of(&self.second)?])
    }

    /// Rows modulo n of what is made of them modulo each prime.
    fn by_halves(
        &self,
        rows: &[u8],
        work: impl Fn(&Half, &Residues) -> Result<Residues, MismatchedResidues>,
        pool: &Pool,
    ) -> Result<Rows, MismatchedResidues> {
        let of = |half: &Half| -> Result<Rows, MismatchedResidues> {
            let made = work(half, &half.rest(rows, self.n().len(), pool))?;
            Ok(Zeroizing::new(half.plain.store(&made, pool)))
        };
        Ok(self.joined(&of(&self.first)?, &of(&self.second)?, pool))
    }
}

impl Half {
    /// Rows of twice the prime's bytes modulo the prime.
    fn rest(&self, rows: &[u8], width: usize, pool: &Pool) -> Residues {
        let (plain, half) = (&self.plain, width / 2);
        let part = |from: usize| -> Rows {
            let rows = rows.chunks_exact(width);
            Zeroizing::new(
                rows.flat_map(|row| row[from..from + half].iter().copied())
                    .collect(),
            )
        };
        let shift = 8 * half + 2 * plain.count() * plain.bits as usize;
        let shifted = words::to_limbs(
            &words::power_of_two(shift, &plain.words),
            plain.bits,
            plain.count(),
        );
        let low = plain.reduced(&part(0), half, &plain.square, pool);
        let high = plain.reduced(&part(half), half, &shifted, pool);
        plain.sums(&low, &high)
    }

    /// The roots that are squares themselves, of squares: to the power ((p + 1) / 4)².
    fn fourth_roots(&self, rows: &Residues, pool: &Pool) -> Result<Residues, MismatchedResidues> {
        let mut exponent = self.exponent.clone();
        // (p + 1) / 4 = ((p - 1) / 2 + 1) / 2, and (p - 1) / 2 is odd.
        halve(&mut exponent);
        halve(&mut exponent);
        let mut words = Zeroizing::new(words::from_bytes(&exponent, exponent.len().div_ceil(8)));
        words::add(&mut words, &[1]);
        words::to_bytes(&words, &mut exponent);
        let root = self.plain.powers(rows, &exponent, exponent.len(), pool)?;
        self.plain.powers(&root, &exponent, exponent.len(), pool)
    }

    /// To the power 1 / n modulo p - 1.
    fn nth_roots(
        &self,
        n: &[u8],
        rows: &Residues,
        pool: &Pool,
    ) -> Result<Residues, MismatchedResidues> {
        let order = number(&self.exponent)
            .to_nz()
            .into_option()
            .ok_or(MismatchedResidues)?;
        let rest = Zeroizing::new(number(n).rem(&order));
        let inverse = rest
            .invert_mod(&order)
            .into_option()
            .ok_or(MismatchedResidues)?;
        let mut bytes = Zeroizing::new(Zeroizing::new(inverse).to_le_bytes().to_vec());
        bytes.resize(self.exponent.len(), 0);
        self.plain.powers(rows, &bytes, bytes.len(), pool)
    }
}

/// Divides a little-endian number by two, rounding down.
fn halve(bytes: &mut [u8]) {
    let mut carry = 0;
    for byte in bytes.iter_mut().rev() {
        (*byte, carry) = (*byte >> 1 | carry << 7, *byte & 1);
    }
}
