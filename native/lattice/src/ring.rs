//! Z_q[X] / (X^N + 1) by residues modulo the first primes, and the work that runs on lanes.

use atoll_simd::Target;

use crate::lanes::{Lanes, Work, count, dispatch};
use crate::ntt;
use crate::prime::{PRIMES, Prime};

/// Products whose sum 64 bits hold: below 2^32 times below 2^27, beside a folded sum below 2^58.
pub const PRODUCTS: usize = 31;

/// The ring of a degree, modulo the product of the first primes.
pub struct Ring {
    degree: usize,
    primes: Vec<Prime>,
    target: Target,
}

impl Ring {
    /// A degree that is a power of two from 16 to 8192, and 1 to 8 primes.
    pub fn new(target: Target, degree: usize, limbs: usize) -> Ring {
        assert!(degree.is_power_of_two() && (16..=8192).contains(&degree));
        let lanes = count(target.level());
        let prime = |value: &u64| Prime::new(*value, degree, lanes);
        Ring {
            degree,
            primes: PRIMES[..limbs].iter().map(prime).collect(),
            target,
        }
    }

    /// N.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// The primes of q, the last of which a switch of the modulus drops first.
    pub fn primes(&self) -> &[Prime] {
        &self.primes
    }

    /// How many primes.
    pub fn limbs(&self) -> usize {
        self.primes.len()
    }

    /// Canonical values of a polynomial with coefficients below 2 p.
    pub fn forward(&self, limb: usize, values: &mut [u64]) {
        let prime = &self.primes[limb];
        dispatch(self.target, Forward { values, prime });
    }

    /// The canonical polynomial of values below 2 p.
    pub fn inverse(&self, limb: usize, values: &mut [u64]) {
        let prime = &self.primes[limb];
        dispatch(self.target, Inverse { values, prime });
    }

    /// Canonical values of a polynomial with small signed coefficients.
    pub fn forward_signed(&self, limb: usize, polynomial: &[i32], values: &mut [u64]) {
        let prime = &self.primes[limb];
        fill(polynomial, prime, values);
        dispatch(self.target, Forward { values, prime });
    }

    /// Adds polynomials times pairs of values to two sums modulo one prime, which stay below 2^58.
    ///
    /// Polynomials lie one behind the other, as do pairs: [`pair`] says how.
    pub fn accumulate(
        &self,
        limb: usize,
        polynomials: &[i32],
        pairs: &[&[u64]],
        sums: &mut Sums<'_>,
    ) {
        assert!(pairs.len() <= PRODUCTS && polynomials.len() == pairs.len() * self.degree);
        let work = Accumulate {
            prime: &self.primes[limb],
            polynomials,
            pairs,
            sums,
        };
        dispatch(self.target, work);
    }
}

/// Two residues in one word: products take the low 32 bits, so that one load serves both.
pub fn pair(first: u64, second: u64) -> u64 {
    first | second << 32
}

/// Both sums of products modulo one prime, and room for one polynomial; each of the degree.
pub struct Sums<'a> {
    /// Products by the first of each pair.
    pub first: &'a mut [u64],
    /// Products by the second of each pair.
    pub second: &'a mut [u64],
    /// Anything; overwritten.
    pub values: &'a mut [u64],
}

/// Signed coefficients of amounts up to p, made positive: below 2 p.
#[inline(always)]
fn fill(polynomial: &[i32], prime: &Prime, values: &mut [u64]) {
    for (value, coefficient) in values.iter_mut().zip(polynomial) {
        *value = (i64::from(*coefficient) + prime.value.cast_signed()).cast_unsigned();
    }
}

struct Forward<'a> {
    values: &'a mut [u64],
    prime: &'a Prime,
}

impl Work for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        ntt::forward::<L>(self.values, self.prime);
        ntt::canonical::<L>(self.values, self.prime);
    }
}

struct Inverse<'a> {
    values: &'a mut [u64],
    prime: &'a Prime,
}

impl Work for Inverse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        ntt::inverse::<L>(self.values, self.prime);
    }
}

struct Accumulate<'a, 'b> {
    prime: &'a Prime,
    polynomials: &'a [i32],
    pairs: &'a [&'a [u64]],
    sums: &'a mut Sums<'b>,
}

impl Work for Accumulate<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let degree = self.sums.values.len();
        let polynomials = self.polynomials.chunks_exact(degree);
        for (polynomial, pairs) in polynomials.zip(self.pairs) {
            fill(polynomial, self.prime, self.sums.values);
            ntt::forward::<L>(self.sums.values, self.prime);
            add_products::<L>(pairs, self.sums);
        }
        let fold = L::splat(self.prime.fold);
        for sum in [&mut *self.sums.first, &mut *self.sums.second] {
            for chunk in L::chunks_mut(sum) {
                let value = L::load(chunk);
                value.low().add(value.high().mul32(fold)).store(chunk);
            }
        }
    }
}

#[inline(always)]
fn add_products<L: Lanes>(pairs: &[u64], sums: &mut Sums<'_>) {
    let first = L::chunks_mut(sums.first).iter_mut();
    let sums_of_both = first.zip(L::chunks_mut(sums.second));
    let factors = L::chunks(sums.values).iter().zip(L::chunks(pairs));
    for ((first, second), (value, pair)) in sums_of_both.zip(factors) {
        let (value, pair) = (L::load(value), L::load(pair));
        L::load(first).add(value.mul32(pair)).store(first);
        L::load(second).add(value.mul32(pair.high())).store(second);
    }
}
