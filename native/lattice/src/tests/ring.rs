//! Transforms and sums of products.

use atoll_simd::targets;
use num_bigint::BigUint;
use proptest::prelude::*;

use crate::prime::PRIMES;
use crate::ring::{PRODUCTS, Ring, Sums, pair};
use crate::{MOST_LIMBS, sample};

/// left · right modulo X^N + 1 and the prime, term by term.
fn schoolbook(left: &[u64], right: &[u64], prime: u64) -> Vec<u64> {
    let degree = left.len();
    let mut out = vec![0; degree];
    for (i, a) in left.iter().enumerate() {
        for (j, b) in right.iter().enumerate() {
            let product = a * b % prime;
            let signed = if i + j < degree {
                product
            } else {
                prime - product
            };
            out[(i + j) % degree] = (out[(i + j) % degree] + signed) % prime;
        }
    }
    out
}

fn product(ring: &Ring, limb: usize, left: &[u64], right: &[u64]) -> Vec<u64> {
    let (mut left, mut right) = (left.to_vec(), right.to_vec());
    ring.forward(limb, &mut left);
    ring.forward(limb, &mut right);
    let prime = &ring.primes()[limb];
    for (a, b) in left.iter_mut().zip(&right) {
        *a = prime.multiply(*a, *b);
    }
    ring.inverse(limb, &mut left);
    left
}

fn polynomials() -> impl Strategy<Value = (usize, Vec<u64>, Vec<u64>)> {
    (4u32..9, 0..MOST_LIMBS).prop_flat_map(|(log, limb)| {
        let coefficients = prop_oneof![0..PRIMES[limb], Just(PRIMES[limb] - 1)];
        let polynomial = prop::collection::vec(coefficients, 1 << log);
        (Just(limb), polynomial.clone(), polynomial)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_are_those_of_the_ring((limb, left, right) in polynomials()) {
        let expected = schoolbook(&left, &right, PRIMES[limb]);
        for target in targets() {
            let ring = Ring::new(target, left.len(), MOST_LIMBS);
            prop_assert_eq!(&product(&ring, limb, &left, &right), &expected);
        }
    }

    #[test]
    fn numbers_are_reduced(number in any::<u128>(), signed in -PRIMES[7].cast_signed() + 1..PRIMES[7].cast_signed()) {
        let ring = Ring::new(atoll_simd::Target::PORTABLE, 16, MOST_LIMBS);
        for prime in ring.primes() {
            let wide = (number % u128::from(prime.value)) as u64;
            prop_assert_eq!(prime.reduce_wide(number), wide);
            prop_assert_eq!(prime.reduce(number as u64), number as u64 % prime.value);
            prop_assert_eq!(prime.signed(signed).cast_signed(), signed.rem_euclid(prime.value.cast_signed()));
        }
    }
}

#[test]
fn extreme_numbers_are_reduced() {
    let ring = Ring::new(atoll_simd::Target::PORTABLE, 16, MOST_LIMBS);
    for prime in ring.primes() {
        let p = prime.value;
        for number in [0, 1, p - 1, p, p + 1, 2 * p - 1, 2 * p, u64::MAX] {
            assert_eq!(prime.reduce(number), number % p);
        }
        let wide = u128::MAX % u128::from(p);
        assert_eq!(u128::from(prime.reduce_wide(u128::MAX)), wide);
    }
}

#[test]
fn values_are_at_odd_powers_of_the_root_in_reversed_order() {
    for degree in [4096usize, 8192] {
        for target in targets() {
            let ring = Ring::new(target, degree, MOST_LIMBS);
            for (limb, prime) in ring.primes().iter().enumerate() {
                // Coefficients as large as allowed: sums grow as far as they can.
                let polynomial: Vec<u64> = (0..degree as u64)
                    .map(|at| 2 * prime.value - 1 - at % 5)
                    .collect();
                let mut values = polynomial.clone();
                ring.forward(limb, &mut values);
                // Node 1 of the tree has the root to the power of half the degree's reversal.
                let root = prime.forward[degree / 2] & u64::from(u32::MAX);
                for at in [0, 1, 2, 3, 7, 1000, degree / 2, degree - 1] {
                    let reversed = at.reverse_bits() >> (usize::BITS - degree.ilog2());
                    let point = prime.power(root, 2 * reversed as u64 + 1);
                    let terms = polynomial.iter().rev();
                    let value = terms.fold(0, |sum, term| {
                        prime.reduce(prime.multiply(sum, point) + term)
                    });
                    assert_eq!(values[at], value, "{target:?} {degree} {at}");
                }
                ring.inverse(limb, &mut values);
                let reduced: Vec<u64> = polynomial.iter().map(|c| prime.reduce(*c)).collect();
                assert_eq!(values, reduced);
            }
        }
    }
}

#[test]
fn as_many_products_are_summed_as_fit() {
    let degree = 32;
    for target in targets() {
        let ring = Ring::new(target, degree, MOST_LIMBS);
        for (limb, prime) in ring.primes().iter().enumerate() {
            let most = prime.value.cast_signed() as i32;
            let polynomials = vec![most; PRODUCTS * degree];
            let mut values = vec![0; degree];
            ring.forward_signed(limb, &polynomials[..degree], &mut values);
            assert!(values.iter().all(|value| *value == 0));
            let polynomials: Vec<i32> = (0..PRODUCTS * degree)
                .map(|at| if at % 3 == 0 { 1 - most } else { most - 1 })
                .collect();
            let row = vec![pair(prime.value - 1, prime.value - 2); degree];
            let (mut first, mut second) = (vec![(1 << 58) - 1; degree], vec![0; degree]);
            let mut sums = Sums {
                first: &mut first,
                second: &mut second,
                values: &mut values,
            };
            ring.accumulate(limb, &polynomials, &[&row[..]; PRODUCTS], &mut sums);
            let mut expected = vec![((1 << 58) - 1) % prime.value; degree];
            for polynomial in polynomials.chunks(degree) {
                let mut values = vec![0; degree];
                ring.forward_signed(limb, polynomial, &mut values);
                for (sum, value) in expected.iter_mut().zip(values) {
                    *sum = (*sum + prime.multiply(value, prime.value - 1)) % prime.value;
                }
            }
            let reduced: Vec<u64> = first.iter().map(|sum| sum % prime.value).collect();
            assert_eq!(reduced, expected, "{target:?}");
            assert!(first.iter().chain(&second).all(|sum| *sum < 1 << 58));
        }
    }
}

#[test]
fn levels_agree_on_large_polynomials() {
    let reference = Ring::new(atoll_simd::Target::PORTABLE, 8192, MOST_LIMBS);
    for (limb, prime) in reference.primes().iter().enumerate() {
        let mut polynomial = vec![0; 8192];
        sample::uniform(
            &mut sample::stream(&[7; 32], limb as u64),
            prime,
            &mut polynomial,
        );
        let mut expected = polynomial.clone();
        reference.forward(limb, &mut expected);
        for target in targets() {
            let ring = Ring::new(target, 8192, MOST_LIMBS);
            let mut values = polynomial.clone();
            ring.forward(limb, &mut values);
            assert_eq!(values, expected, "{target:?}");
            ring.inverse(limb, &mut values);
            assert_eq!(values, polynomial, "{target:?}");
        }
    }
}

#[test]
fn the_primes_are_what_is_claimed() {
    let is_prime = |value: u64| {
        (2..)
            .take_while(|d| d * d <= value)
            .all(|d| !value.is_multiple_of(d))
    };
    let candidates = (0..1u64 << 27).rev().filter(|value| value % (1 << 14) == 1);
    let largest: Vec<u64> = candidates
        .filter(|value| is_prime(*value))
        .take(8)
        .collect();
    assert_eq!(PRIMES.to_vec(), largest);
    for limbs in 1..=MOST_LIMBS {
        let product: BigUint = PRIMES[..limbs].iter().map(|p| BigUint::from(*p)).product();
        assert_eq!(product.bits(), 27 * limbs as u64);
    }
    assert!(28 * PRIMES[0] < 1 << 32);
}
