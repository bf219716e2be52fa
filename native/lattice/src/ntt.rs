//! Negacyclic number-theoretic transforms, with every reduction lazy.
//!
//! Stages form a binary tree, numbered as a heap from 1: the node of a group of coefficients has the
//! factor of its butterflies, (x, y) → (x + w y, x - w y), and the two halves are its children (Longa
//! and Naehrig, CANS 2016, section 3). Element i of the outcome is the value at ψ^(2 r + 1), where
//! r is i with its bits reversed, on every level.
//!
//! A product w y of y below 2^32 by a factor with its quotient is below 2 p (Harvey, "Faster arithmetic
//! for number-theoretic transforms", 2014), so each of at most 13 stages adds at most 2 p: from
//! below 2 p, values stay below 28 p < 2^32 without any reduction.

use crate::lanes::{Lanes, One};
use crate::prime::Prime;

/// What of a polynomial stays in the first cache, in elements of eight bytes.
const BLOCK: usize = 1024;

/// A prime in all lanes.
#[derive(Clone, Copy)]
struct Modulus<L> {
    value: L,
    double: L,
}

impl<L: Lanes> Modulus<L> {
    #[inline(always)]
    fn new(prime: &Prime) -> Self {
        Modulus {
            value: L::splat(prime.value),
            double: L::splat(2 * prime.value),
        }
    }

    /// Below 2 p, for y below 2^32 and a packed factor.
    #[inline(always)]
    fn product(&self, y: L, factor: L) -> L {
        let quotient = y.mul32(factor.high()).high();
        y.mul32(factor).sub(quotient.mul32(self.value))
    }

    #[inline(always)]
    fn butterfly(&self, x: L, y: L, factor: L) -> (L, L) {
        let product = self.product(y, factor);
        (x.add(product), x.add(self.double.sub(product)))
    }

    /// From below 2^32 to below p.
    #[inline(always)]
    fn canonical(&self, value: L, one: L) -> L {
        let rest = self.product(value, one).sub(self.value);
        rest.add(rest.sign().mul32(self.value))
    }
}

/// Values of a polynomial with coefficients below 2 p: below 28 p < 2^32.
#[inline(always)]
pub fn forward<L: Lanes>(values: &mut [u64], prime: &Prime) {
    let degree = values.len();
    let modulus = Modulus::<L>::new(prime);
    let (mut length, mut node) = (degree, 1);
    if (degree / L::COUNT).ilog2() % 2 == 1 {
        halve(values, prime.forward[1], &modulus);
        (length, node) = (degree / 2, 2);
    }
    while length > BLOCK {
        pass(values, length, node, &prime.forward, &modulus);
        (length, node) = (length / 4, node * 4);
    }
    for (number, block) in values.chunks_exact_mut(length).enumerate() {
        let (mut part, mut node) = (length, node + number);
        while part > L::COUNT {
            pass(block, part, node, &prime.forward, &modulus);
            (part, node) = (part / 4, node * 4);
        }
        within(block, number * length, prime, &modulus);
    }
}

/// One stage of one group.
#[inline(always)]
fn halve<L: Lanes>(group: &mut [u64], factor: u64, modulus: &Modulus<L>) {
    let (left, right) = group.split_at_mut(group.len() / 2);
    let factor = L::splat(factor);
    for (x, y) in L::chunks_mut(left).iter_mut().zip(L::chunks_mut(right)) {
        let (sum, difference) = modulus.butterfly(L::load(x), L::load(y), factor);
        sum.store(x);
        difference.store(y);
    }
}

/// Two stages of groups of a length, the first of which has the node.
#[inline(always)]
fn pass<L: Lanes>(
    values: &mut [u64],
    length: usize,
    node: usize,
    factors: &[u64],
    modulus: &Modulus<L>,
) {
    for (number, group) in values.chunks_exact_mut(length).enumerate() {
        let node = node + number;
        let factors = [factors[node], factors[2 * node], factors[2 * node + 1]];
        quarter(group, factors.map(L::splat), modulus);
    }
}

#[inline(always)]
fn quarter<L: Lanes>(group: &mut [u64], factors: [L; 3], modulus: &Modulus<L>) {
    let (left, right) = group.split_at_mut(group.len() / 2);
    let (a, b) = left.split_at_mut(left.len() / 2);
    let (c, d) = right.split_at_mut(right.len() / 2);
    let left = L::chunks_mut(a).iter_mut().zip(L::chunks_mut(b));
    let right = L::chunks_mut(c).iter_mut().zip(L::chunks_mut(d));
    for ((a, b), (c, d)) in left.zip(right) {
        let (first, third) = modulus.butterfly(L::load(a), L::load(c), factors[0]);
        let (second, fourth) = modulus.butterfly(L::load(b), L::load(d), factors[0]);
        let (first, second) = modulus.butterfly(first, second, factors[1]);
        let (third, fourth) = modulus.butterfly(third, fourth, factors[2]);
        first.store(a);
        second.store(b);
        third.store(c);
        fourth.store(d);
    }
}

/// The stages whose partners lie within a vector, of a block that begins at an element.
#[inline(always)]
fn within<L: Lanes>(block: &mut [u64], start: usize, prime: &Prime, modulus: &Modulus<L>) {
    let range = start..start + block.len();
    // Lanes are powers of two, and there are at most eight: three stages.
    let stages: [(&[L::Chunk], L, L); 3] = std::array::from_fn(|stage| {
        let table = prime
            .inner
            .get(stage)
            .map_or(&[][..], |t| &t[range.clone()]);
        let width = (L::COUNT as u64) >> (stage + 1);
        let first = L::from_fn(|lane| lane & !width);
        (L::chunks(table), first, L::from_fn(|lane| lane | width))
    });
    let count = L::COUNT.ilog2() as usize;
    for (at, chunk) in L::chunks_mut(block).iter_mut().enumerate() {
        let mut value = L::load(chunk);
        for (table, first, second) in &stages[..count] {
            let product = modulus.product(value.pick(*second), L::load(&table[at]));
            value = value.pick(*first).add(product);
        }
        value.store(chunk);
    }
}

/// The polynomial, canonical, of values below 2 p.
#[inline(always)]
pub fn inverse<L: Lanes>(values: &mut [u64], prime: &Prime) {
    let degree = values.len();
    let mut width = 1;
    while width < degree {
        if width < L::COUNT {
            merge::<One>(values, width, prime);
        } else {
            merge::<L>(values, width, prime);
        }
        width *= 2;
    }
    scale::<L>(values, prime.scale, prime);
    canonical::<L>(values, prime);
}

/// One inverse stage, of values below 2 p; so are the outcomes.
#[inline(always)]
fn merge<L: Lanes>(values: &mut [u64], width: usize, prime: &Prime) {
    let modulus = Modulus::<L>::new(prime);
    let (node, one) = (values.len() / (2 * width), L::splat(prime.one));
    for (number, group) in values.chunks_exact_mut(2 * width).enumerate() {
        let factor = L::splat(prime.inverse[node + number]);
        let (left, right) = group.split_at_mut(width);
        for (x, y) in L::chunks_mut(left).iter_mut().zip(L::chunks_mut(right)) {
            let (a, b) = (L::load(x), L::load(y));
            modulus.product(a.add(b), one).store(x);
            let difference = a.add(modulus.double.sub(b));
            modulus.product(difference, factor).store(y);
        }
    }
}

#[inline(always)]
fn scale<L: Lanes>(values: &mut [u64], factor: u64, prime: &Prime) {
    let modulus = Modulus::<L>::new(prime);
    let factor = L::splat(factor);
    for chunk in L::chunks_mut(values) {
        modulus.product(L::load(chunk), factor).store(chunk);
    }
}

/// From below 2^32 to below p.
#[inline(always)]
pub fn canonical<L: Lanes>(values: &mut [u64], prime: &Prime) {
    let modulus = Modulus::<L>::new(prime);
    let one = L::splat(prime.one);
    for chunk in L::chunks_mut(values) {
        modulus.canonical(L::load(chunk), one).store(chunk);
    }
}
