//! What all parties compute from public facts: layout, moduli and noise.

use crate::LatticeError;
use crate::bytes;
use crate::prime::BITS;
use crate::sample::ERROR_BOUND;

/// N. With ternary secrets, 128 bits of security allow log2 q ≤ 218 (Albrecht et al., "Homomorphic
/// Encryption Standard", 2018, table 1).
pub const DEGREE: usize = 8192;
/// As many primes of 27 bits as those 218 bits hold.
pub const MOST_LIMBS: usize = 8;
/// Statistical security of flooding, in bits.
const STATISTICAL: u32 = 40;
/// A sample of the flooding has one bit more.
const MOST_FLOOD: u32 = 127;
/// Bits of q beyond those of t and of flooding.
const SPARE: u32 = 4;
const _: () = assert!(64 + MOST_FLOOD + SPARE <= MOST_LIMBS as u32 * BITS);

/// The products of one encrypted vector by the vectors of a private matrix.
///
/// # Layout
/// Coefficient encoding as Huang, Lu, Hong and Ding, "Cheetah" (USENIX Security 2022), section 4.1. A
/// vector v of n ≤ N numbers is Σ v_i X^i, and k = ⌊N / n⌋ vectors x_l are the one polynomial
/// Σ_l Σ_i x_l,i X^(l n + n - 1 - i). In the product, exponent l n + n - 1 collects i + l' n + n - 1 - i'
/// with i - i' = (l - l') n, so l' = l and i' = i: it is ⟨v, x_l⟩. What wraps around has an exponent
/// up to n - 2. A longer vector is cut into blocks of N, whose products add up at coefficient N - 1.
///
/// # Noise
/// With all fractions exact, a fresh coefficient is q v / t + ε + e with |ε| ≤ 1/2, |e| ≤ 21, because it
/// is rounded from q v / t itself, not from a rounded q / t times v. Each coefficient of a block has an
/// error, those that hold no number too, so a product is off by at most k n m (21 + 1/2), where all
/// entries have |x| ≤ m and k vectors share a polynomial. The fresh encryption of zero adds at most
/// |e u + e' s| ≤ 2 · 21 N, with u and s ternary. Together they are B, rounded up to a power of two.
///
/// Flooding is uniform over 2^(f+1) integers around zero, 2^f = 2^40 · outputs · B (rounded up). Whatever
/// the rest of the ciphertext, a flooded product is within statistical distance B / 2^(f+1) of flooding
/// alone around q / t times the product, and all of them are within 2^-41. The rest is c₁ = a X + a' u + e',
/// which is uniform to whoever cannot solve RLWE for the secret u, even with the key.
///
/// Switching to q' adds at most 1/2 + 2^-25 to each coefficient of both polynomials, thus
/// (N + 1) (1/2 + 2^-25) < 2^13. It decrypts when B + 2^f ≤ q / 4 t and 2^13 ≤ q' / 4 t. The eight
/// primes fall short of 2^216 by less than a bit, hence the spare bit in both conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// n.
    length: usize,
    /// How many products.
    outputs: usize,
    /// log2 t.
    bits: u32,
    /// m.
    bound: u32,
    limbs: usize,
    kept: usize,
    flood: u32,
}

impl Parameters {
    /// Products modulo 2^bits of a vector of `length` numbers by `outputs` vectors of integers
    /// between -bound and bound.
    ///
    /// # Errors
    /// A number is zero or out of range (1 to 64 bits, bounds below 2^26), or flooding would exceed
    /// 2^127; so log2 q stays below 218.
    pub fn new(
        length: usize,
        outputs: usize,
        bits: u32,
        bound: u32,
    ) -> Result<Parameters, LatticeError> {
        let sizes = 1..=1usize << 32;
        let ranges = sizes.contains(&length) && sizes.contains(&outputs);
        if !ranges || !(1..=64).contains(&bits) || !(1..1 << 26).contains(&bound) {
            return Err(LatticeError::Parameters);
        }
        let flood =
            logarithm(noise(length, outputs, bound)) + STATISTICAL + logarithm(outputs as u128);
        // B + 2^f ≤ 2^(f+1), the factor 4, and a spare bit.
        let limbs = (bits + flood + SPARE).div_ceil(BITS) as usize;
        let kept = (bits + 13 + SPARE - 1).div_ceil(BITS) as usize;
        if flood > MOST_FLOOD {
            return Err(LatticeError::Parameters);
        }
        Ok(Parameters {
            length,
            outputs,
            bits,
            bound,
            limbs,
            kept,
            flood,
        })
    }

    /// n, the numbers of the encrypted vector.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many products.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// log2 t: products are modulo 2^bits.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// No entry of the matrix is further from zero.
    pub fn bound(&self) -> u32 {
        self.bound
    }

    /// Primes of q; a key needs at least as many.
    pub fn limbs(&self) -> usize {
        self.limbs
    }

    /// Primes of q', to which replies are switched.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// f: flooding is uniform over -2^f … 2^f - 1.
    pub fn flood(&self) -> u32 {
        self.flood
    }

    /// Ciphertexts of the vector.
    pub fn blocks(&self) -> usize {
        self.length.div_ceil(DEGREE)
    }

    /// Numbers in each of them, the last perhaps fewer.
    pub fn block(&self) -> usize {
        self.length.min(DEGREE)
    }

    /// Products in each ciphertext of the reply, in the last perhaps fewer.
    pub fn together(&self) -> usize {
        DEGREE / self.block()
    }

    /// Ciphertexts of the reply.
    pub fn replies(&self) -> usize {
        self.outputs.div_ceil(self.together())
    }

    /// Products in one ciphertext of the reply.
    pub fn products(&self, reply: usize) -> usize {
        self.together().min(self.outputs - reply * self.together())
    }

    /// The coefficient of product `index` of a reply.
    pub fn position(&self, index: usize) -> usize {
        (index + 1) * self.block() - 1
    }

    /// Bytes of an encrypted vector: 32 of a seed, then a polynomial a block.
    pub fn vector_bytes(&self) -> usize {
        32 + self.blocks() * self.limbs * bytes::size(DEGREE)
    }

    /// Bytes of the reply's ciphertext: a polynomial and the coefficients that hold products.
    pub fn reply_bytes(&self, reply: usize) -> usize {
        self.kept * (bytes::size(DEGREE) + bytes::size(self.products(reply)))
    }

    /// Bytes of all of them.
    pub fn replies_bytes(&self) -> usize {
        let last = self.replies() - 1;
        last * self.reply_bytes(0) + self.reply_bytes(last)
    }
}

/// B, before it is rounded.
fn noise(length: usize, outputs: usize, bound: u32) -> u128 {
    let together = outputs.min(DEGREE / length.min(DEGREE));
    let entries = length as u128 * together as u128 * u128::from(bound);
    let products = entries * u128::from(2 * ERROR_BOUND + 1);
    products.div_ceil(2) + 2 * u128::from(ERROR_BOUND) * DEGREE as u128
}

/// The least k with value ≤ 2^k.
fn logarithm(value: u128) -> u32 {
    u128::BITS - (value - 1).leading_zeros()
}
