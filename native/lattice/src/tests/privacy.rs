//! What a reply says of the matrix.

use atoll_simd::Target;
use num_bigint::BigInt;

use super::{Case, combined, pool};
use crate::keys::split;
use crate::product::Problem;
use crate::reply::{Randomness, add_zero};
use crate::sample::ERROR_BOUND;
use crate::vector::scales;
use crate::{DEGREE, Parameters};

/// The quotient of a polynomial's values by those of a, modulo the first prime.
fn quotient(case: &Case, pairs: &[u64], values: &[u64]) -> Vec<u64> {
    let ring = &case.public().ring;
    let prime = &ring.primes()[0];
    let values = values.iter().zip(pairs);
    let mut out: Vec<u64> = values
        .map(|(value, both)| prime.multiply(prime.reduce(*value), prime.invert(split(*both).1)))
        .collect();
    ring.inverse(0, &mut out);
    out
}

#[test]
fn the_matrix_is_read_from_bare_products_but_not_from_refreshed_ones() {
    let parameters = Parameters::new(DEGREE, 1, 32, 1000).expect("parameters");
    let case = Case::new(Target::PORTABLE, parameters, 1);
    let (vector, matrix) = (case.encrypted(), case.matrix());
    let problem = Problem {
        key: case.public(),
        parameters: &parameters,
        vector: &vector,
        matrix: &matrix,
    };
    let mut sums = problem.sums(0);
    let ring = &case.public().ring;
    let column = case.entries.iter().rev();
    let column: Vec<u64> = column
        .map(|entry| ring.primes()[0].signed(i64::from(*entry)))
        .collect();
    let second = parameters.limbs() * DEGREE;
    // a is known to the holder of the key, and c₁ = a X.
    let bare = quotient(&case, &vector.pairs[..DEGREE], &sums[second..][..DEGREE]);
    assert_eq!(bare, column);
    let randomness = Randomness::new(&parameters, &[2; 32], 0);
    let (_, refreshed) = add_zero(case.public(), &parameters, &mut sums, &randomness);
    let mut values = refreshed[..DEGREE].to_vec();
    ring.forward(0, &mut values);
    let refreshed = quotient(&case, &vector.pairs[..DEGREE], &values);
    let same = refreshed.iter().zip(&column).filter(|(a, b)| a == b);
    assert!(same.count() <= 2);
}

/// Refreshed products' distance from q m / t, for errors of an encryption that are as large as can be.
fn distances(case: &Case, randomness: &Randomness) -> Vec<BigInt> {
    let (parameters, ring) = (&case.parameters, &case.public().ring);
    let scales = scales(ring, parameters);
    let seed = [3; 32];
    let errors = [ERROR_BOUND as i32; DEGREE];
    let blocks = case.numbers.chunks(DEGREE).enumerate();
    let blocks = blocks.map(|(number, block)| {
        case.key
            .encrypt_block(&scales, block, &errors, (&seed, number as u64))
    });
    let bytes = [seed.to_vec(), blocks.collect::<Vec<_>>().concat()].concat();
    let (vector, matrix) = (case.received(&bytes), case.matrix());
    let problem = Problem {
        key: case.public(),
        parameters,
        vector: &vector,
        matrix: &matrix,
    };
    let mut sums = problem.sums(0);
    let (first, second) = add_zero(case.public(), parameters, &mut sums, randomness);
    let count = randomness.flood.len();
    let mut phases = vec![Vec::new(); count];
    for (limb, row) in second.chunks(DEGREE).enumerate() {
        let (prime, mut values) = (&ring.primes()[limb], row.to_vec());
        ring.forward(limb, &mut values);
        let secret = &case.key.values[limb * DEGREE..][..DEGREE];
        for (value, secret) in values.iter_mut().zip(secret) {
            *value = prime.multiply(*value, *secret);
        }
        ring.inverse(limb, &mut values);
        for (index, phase) in phases.iter_mut().enumerate() {
            let sum = values[parameters.position(index)] + first[limb * count + index];
            phase.push(prime.reduce(sum));
        }
    }
    let primes = ring.primes().iter().map(|prime| BigInt::from(prime.value));
    let (modulus, t) = (
        primes.product::<BigInt>(),
        BigInt::from(1) << parameters.bits(),
    );
    let products = case.expected(&matrix).into_iter().zip(phases);
    let distance = products.map(|(product, phase)| {
        // Rounded towards zero: one at most is lost.
        let distance = (combined(ring, &phase) * &t - &modulus * product) / &t;
        if &distance * 2 < -&modulus {
            distance + &modulus
        } else {
            distance
        }
    });
    distance.collect()
}

#[test]
fn noise_is_within_its_bound_and_flooding_above_it() {
    for (length, outputs) in [(10_000, 5), (120, 60)] {
        let parameters = Parameters::new(length, outputs, 64, 1 << 19).expect("parameters");
        let mut case = Case::new(Target::PORTABLE, parameters, 2);
        case.entries.fill(parameters.bound().cast_signed());
        let filled = BigInt::from(length) * parameters.products(0);
        let proved = filled * parameters.bound() * (2 * ERROR_BOUND + 1) / 2
            + BigInt::from(2 * ERROR_BOUND) * DEGREE;
        let total = BigInt::from(1) << parameters.flood();
        assert!(total >= &proved << 40);
        let (mut noisiest, mut largest) = (BigInt::ZERO, BigInt::ZERO);
        let randomness = Randomness::new(&parameters, &[4; 32], 0);
        for (distance, flood) in distances(&case, &randomness)
            .into_iter()
            .zip(&*randomness.flood)
        {
            let flood = BigInt::from(*flood) - &total;
            let noise = BigInt::from((&distance - &flood).magnitude().clone());
            assert!(noise <= &proved + 1, "{noise} {proved}");
            noisiest = noisiest.max(noise);
            largest = largest.max(BigInt::from(distance.magnitude().clone()));
        }
        // All errors have the sign of the entries: where nothing wraps around the bound is nearly met.
        assert!(noisiest * 10 > &proved * 9);
        assert!(largest <= &total + proved + 1);
        assert!(largest > total >> 4);
    }
}

#[test]
fn replies_hold_the_coefficients_of_products_alone() {
    let parameters = Parameters::new(100, 82, 32, 10).expect("parameters");
    assert_eq!((parameters.together(), parameters.replies()), (81, 2));
    let row = crate::bytes::size(DEGREE);
    let kept = parameters.kept();
    let sizes = [81, 1].map(|products| kept * (row + crate::bytes::size(products)));
    assert_eq!([0, 1].map(|reply| parameters.reply_bytes(reply)), sizes);
}

#[test]
fn equal_entropy_makes_no_equal_seeds() {
    let parameters = Parameters::new(1, 1, 32, 10).expect("parameters");
    let case = Case::new(Target::PORTABLE, parameters, 8);
    let vector = case
        .key
        .encrypt(&parameters, &[1], &[8; 32], &pool())
        .expect("encrypted");
    let key = case.public().to_bytes();
    assert_ne!(vector[..32], key[..32]);
    let vector = case.received(&vector);
    let (a, b) = (split(vector.pairs[0]).1, split(case.public().pairs[0]).1);
    assert_ne!(a, b);
}

#[test]
fn replies_are_fresh() {
    let parameters = Parameters::new(100, 3, 32, 10).expect("parameters");
    let case = Case::new(Target::PORTABLE, parameters, 9);
    let (vector, matrix) = (case.encrypted(), case.matrix());
    let reply = |entropy| {
        let reply = crate::products(
            case.public(),
            &parameters,
            &vector,
            &matrix,
            &[entropy; 32],
            &pool(),
        );
        reply.expect("products")
    };
    let (first, second) = (reply(1), reply(2));
    let same = first.iter().zip(&second).filter(|(a, b)| a == b).count();
    // A byte is equal with probability 1/256.
    assert!(same * 100 < first.len());
    let read = |reply: &[u8]| {
        case.key
            .decrypt(&parameters, reply, &pool())
            .expect("reply")
    };
    assert_eq!(read(&first), read(&second));
}
