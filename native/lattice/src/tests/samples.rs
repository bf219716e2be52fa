//! Distributions, from fixed seeds.

use atoll_simd::Target;

use crate::ring::Ring;
use crate::sample::{ERROR_BOUND, errors, stream, ternary, uniform, wide};

const COUNT: usize = 100_000;

fn moments(values: &[i32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let square = values.iter().map(|v| f64::from(v * v)).sum::<f64>() / count;
    (mean, square - mean * mean)
}

#[test]
fn errors_are_centred_binomial() {
    let values = errors(&mut stream(&[1; 32], 0), COUNT);
    let (mean, variance) = moments(&values);
    assert!(mean.abs() < 0.05, "{mean}");
    assert!((variance - 10.5).abs() < 0.2, "{variance}");
    assert!(
        values
            .iter()
            .all(|v| u64::from(v.unsigned_abs()) <= ERROR_BOUND)
    );
}

#[test]
fn secrets_are_uniform_over_three_values() {
    let values = ternary(&mut stream(&[2; 32], 0), COUNT);
    for value in -1..=1 {
        let share = values.iter().filter(|v| **v == value).count() as f64 / COUNT as f64;
        assert!((share - 1.0 / 3.0).abs() < 0.01, "{value}: {share}");
    }
    assert!(values.iter().all(|v| v.abs() <= 1));
}

#[test]
fn residues_fill_the_range_of_their_prime() {
    let ring = Ring::new(Target::PORTABLE, 16, 1);
    let prime = &ring.primes()[0];
    let mut values = vec![0; COUNT];
    uniform(&mut stream(&[3; 32], 0), prime, &mut values);
    assert!(values.iter().all(|v| *v < prime.value));
    for sixteenth in 0..16 {
        let inside = values
            .iter()
            .filter(|v| **v * 16 / prime.value == sixteenth);
        let share = inside.count() as f64 / COUNT as f64;
        assert!((share - 0.0625).abs() < 0.005, "{sixteenth}: {share}");
    }
}

#[test]
fn wide_numbers_fill_their_bits() {
    for bits in [1, 27, 64, 100, 128] {
        let mut rng = stream(&[4; 32], 0);
        let drawn: Vec<u128> = (0..256).map(|_| wide(&mut rng, bits)).collect();
        let (or, and) = drawn
            .iter()
            .fold((0, u128::MAX), |(or, and), v| (or | v, and & v));
        assert_eq!((or, and), (u128::MAX >> (128 - bits), 0), "{bits}");
    }
}

#[test]
fn streams_differ() {
    let draw = |number| wide(&mut stream(&[5; 32], number), 128);
    assert_ne!(draw(0), draw(1));
    assert_eq!(draw(1), draw(1));
}
