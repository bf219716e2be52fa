//! Every level, real or emulated, against schoolbook arithmetic.

use atoll_simd::{Pool, Target, targets};
use num_bigint::BigUint;
use proptest::prelude::*;

use crate::{
    FixedBase, MismatchedResidues, Modulus, Primes, PrivateKey, PublicKey, Residues,
    UnusableModulus, Weights, proof_size, prove, verify,
};

fn numbers(rows: &[u8], width: usize) -> Vec<BigUint> {
    rows.chunks(width).map(BigUint::from_bytes_le).collect()
}

fn rows(values: &[BigUint], width: usize) -> Vec<u8> {
    let row = |value: &BigUint| {
        let mut bytes = value.to_bytes_le();
        bytes.resize(width, 0);
        bytes
    };
    values.iter().flat_map(row).collect()
}

/// A modulus of exactly so many bits, and numbers below it, its neighbours among them.
fn problem() -> impl Strategy<Value = (BigUint, Vec<BigUint>)> {
    let bits = prop_oneof![
        64usize..200,
        1000usize..1100,
        Just(2048),
        Just(3072),
        Just(4096)
    ];
    (bits, 1usize..10).prop_flat_map(|(bits, count)| {
        let bytes = bits.div_ceil(8);
        (
            prop::collection::vec(any::<u8>(), bytes),
            prop::collection::vec(prop::collection::vec(any::<u8>(), bytes), count),
        )
            .prop_map(move |(modulus, values)| {
                let top = BigUint::from(1u8) << (bits - 1);
                let modulus = (BigUint::from_bytes_le(&modulus) % &top) | &top | BigUint::from(1u8);
                let mut values: Vec<_> = values
                    .iter()
                    .map(|v| BigUint::from_bytes_le(v) % &modulus)
                    .collect();
                values.extend([BigUint::ZERO, BigUint::from(1u8), &modulus - 1u8]);
                (modulus, values)
            })
    })
}

fn loaded(modulus: &Modulus, values: &[BigUint], pool: &Pool) -> Residues {
    modulus
        .load(&rows(values, modulus.width()), pool)
        .expect("residues")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_come_back((n, values) in problem()) {
        let pool = Pool::new(1).expect("threads");
        for target in targets() {
            let modulus = Modulus::new(target, &n.to_bytes_le()).expect("modulus");
            let stored = modulus.store(&loaded(&modulus, &values, &pool), &pool);
            prop_assert_eq!(numbers(&stored, modulus.width()), values.clone());
        }
    }

    #[test]
    fn products_are_right((n, values) in problem()) {
        let pool = Pool::new(1).expect("threads");
        let others: Vec<_> = values.iter().rev().cloned().collect();
        let expected: Vec<_> = values.iter().zip(&others).map(|(a, b)| a * b % &n).collect();
        for target in targets() {
            let modulus = Modulus::new(target, &n.to_bytes_le()).expect("modulus");
            let (left, right) = (loaded(&modulus, &values, &pool), loaded(&modulus, &others, &pool));
            let found = modulus.products(&left, &right, &pool).expect("as many");
            prop_assert_eq!(numbers(&modulus.store(&found, &pool), modulus.width()), expected.clone());
        }
    }

    #[test]
    fn long_chains_stay_in_range((n, values) in problem()) {
        let pool = Pool::new(1).expect("threads");
        for target in targets() {
            let modulus = Modulus::new(target, &n.to_bytes_le()).expect("modulus");
            let mut found = loaded(&modulus, &values, &pool);
            for _ in 0..20 {
                found = modulus.products(&found, &found, &pool).expect("as many");
            }
            let exponent = BigUint::from(1u32 << 20);
            let expected: Vec<_> = values.iter().map(|a| a.modpow(&exponent, &n)).collect();
            prop_assert_eq!(numbers(&modulus.store(&found, &pool), modulus.width()), expected);
        }
    }

    #[test]
    fn powers_are_right((n, values) in problem(), exponents in prop::collection::vec(any::<[u8; 5]>(), 13)) {
        let pool = Pool::new(1).expect("threads");
        let given: Vec<u8> = exponents.iter().take(values.len()).flatten().copied().collect();
        for target in targets() {
            let modulus = Modulus::new(target, &n.to_bytes_le()).expect("modulus");
            let bases = loaded(&modulus, &values, &pool);
            let found = modulus.powers(&bases, &given, 5, &pool).expect("as many");
            let each: Vec<_> = values.iter().zip(numbers(&given, 5)).map(|(a, e)| a.modpow(&e, &n)).collect();
            prop_assert_eq!(numbers(&modulus.store(&found, &pool), modulus.width()), each);
            let found = modulus.powers(&bases, &given[..5], 5, &pool).expect("one");
            let common = &numbers(&given, 5)[0];
            let all: Vec<_> = values.iter().map(|a| a.modpow(common, &n)).collect();
            prop_assert_eq!(numbers(&modulus.store(&found, &pool), modulus.width()), all);
        }
    }

    #[test]
    fn powers_of_a_fixed_base_are_right((n, values) in problem(), exponents in prop::collection::vec(any::<[u8; 7]>(), 1..40)) {
        let pool = Pool::new(2).expect("threads");
        let given = exponents.concat();
        let expected: Vec<_> = numbers(&given, 7).iter().map(|e| values[0].modpow(e, &n)).collect();
        for target in targets() {
            let modulus = Modulus::new(target, &n.to_bytes_le()).expect("modulus");
            let base = FixedBase::new(&modulus, &loaded(&modulus, &values, &pool), 7).expect("base");
            let found = base.powers(&modulus, &given, &pool).expect("rows");
            prop_assert_eq!(numbers(&modulus.store(&found, &pool), modulus.width()), expected.clone());
        }
    }
}

#[test]
fn the_largest_digits_do_not_overflow() {
    // All bits set: every limb is as large as it can be.
    let pool = Pool::new(1).expect("threads");
    for bits in [64usize, 2048, 4096, 6144, 16_384] {
        let n = (BigUint::from(1u8) << bits) - 1u8;
        let values = [&n - 1u8, &n - 2u8];
        for target in targets() {
            let modulus = Modulus::new(target, &n.to_bytes_le()).expect("modulus");
            let residues = loaded(&modulus, &values, &pool);
            let found = modulus
                .products(&residues, &residues, &pool)
                .expect("as many");
            let expected: Vec<_> = values.iter().map(|a| a * a % &n).collect();
            assert_eq!(
                numbers(&modulus.store(&found, &pool), modulus.width()),
                expected
            );
            // The first window selects the base, which is then squared four times.
            let found = modulus.powers(&residues, &[16], 1, &pool).expect("one");
            let sixteen = BigUint::from(16u8);
            let expected: Vec<_> = values.iter().map(|a| a.modpow(&sixteen, &n)).collect();
            assert_eq!(
                numbers(&modulus.store(&found, &pool), modulus.width()),
                expected
            );
        }
    }
}

#[test]
fn unusable_numbers_are_refused() {
    let pool = Pool::new(1).expect("threads");
    for bad in [
        vec![],
        vec![3],
        vec![0, 0, 0, 0, 0, 0, 0, 0, 1],
        vec![1; 2049],
    ] {
        assert_eq!(
            Modulus::new(Target::PORTABLE, &bad).err(),
            Some(UnusableModulus)
        );
    }
    let modulus = Modulus::new(Target::PORTABLE, &[255; 16]).expect("modulus");
    assert_eq!(
        modulus.load(&[255; 16], &pool).err(),
        Some(MismatchedResidues)
    );
    assert_eq!(
        modulus.load(&[0; 15], &pool).err(),
        Some(MismatchedResidues)
    );
    let one = modulus.load(&[1; 16], &pool).expect("one");
    let two = modulus.load(&[1; 32], &pool).expect("two");
    assert_eq!(
        modulus.products(&one, &two, &pool).err(),
        Some(MismatchedResidues)
    );
    assert_eq!(
        modulus.powers(&two, &[1; 3], 1, &pool).err(),
        Some(MismatchedResidues)
    );
    assert_eq!(
        modulus.powers(&two, &[], 0, &pool).err(),
        Some(MismatchedResidues)
    );
    assert!(FixedBase::new(&modulus, &one, 0).is_err());
    let base = FixedBase::new(&modulus, &one, 2).expect("base");
    assert_eq!(
        base.powers(&modulus, &[1; 3], &pool).err(),
        Some(MismatchedResidues)
    );
}

/// A key of two primes 2^bits - k, with h = -9.
fn key(target: Target, bits: u32, first: u32, second: u32) -> (PublicKey, PrivateKey, BigUint) {
    let prime = |k: u32| (BigUint::from(1u8) << bits) - k;
    let (p, q) = (prime(first), prime(second));
    let n = &p * &q;
    let base = (&n - 9u8).modpow(&n, &(&n * &n));
    let public = PublicKey::new(target, &n.to_bytes_le(), &base.to_bytes_le(), 8).expect("key");
    let primes = Primes {
        first: p.to_bytes_le().into(),
        second: q.to_bytes_le().into(),
    };
    let private = PrivateKey::new(target, &primes).expect("key");
    assert_eq!(BigUint::from_bytes_le(private.n()), n);
    (public, private, n)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn ciphertexts_add_up(
        seeds in prop::collection::vec((any::<[u8; 64]>(), any::<[u8; 8]>(), any::<u32>()), 1..11),
    ) {
        let pool = Pool::new(1).expect("threads");
        for target in targets() {
            let (public, private, n) = key(target, 256, 189, 357);
            let mut values: Vec<_> = seeds.iter().map(|(value, ..)| BigUint::from_bytes_le(value) % &n).collect();
            values[0] = &n - 1u8;
            let exponents: Vec<u8> = seeds.iter().flat_map(|(_, exponent, _)| *exponent).collect();
            let factors: Vec<u8> = seeds.iter().flat_map(|(.., factor)| factor.to_le_bytes()).collect();
            let square = public.modulus();
            let bare = public.bare(&rows(&values, public.width()), &pool).expect("rows");
            let zeros = public.zeros(&exponents, &pool).expect("rows");
            let sent = square.products(&bare, &zeros, &pool).expect("as many");
            let read = |found: &Residues| {
                let plain = private.decrypt(&square.store(found, &pool), &pool).expect("rows");
                numbers(&plain, public.width())
            };
            prop_assert_eq!(read(&sent), values.clone());
            let twice = square.products(&sent, &bare, &pool).expect("as many");
            prop_assert_eq!(read(&twice), values.iter().map(|m| m * 2u8 % &n).collect::<Vec<_>>());
            let scaled = square.powers(&sent, &factors, 4, &pool).expect("as many");
            let expected: Vec<_> = values.iter().zip(&seeds).map(|(m, (.., k))| m * *k % &n).collect();
            prop_assert_eq!(read(&scaled), expected);
        }
    }
}

#[test]
fn a_key_of_2048_bits_decrypts_what_it_encrypts() {
    let pool = Pool::new(1).expect("threads");
    for target in targets() {
        let (public, private, n) = key(target, 1024, 105, 1397);
        let values = [BigUint::ZERO, BigUint::from(1u8), &n - 1u8, &n >> 1];
        let bare = public.bare(&rows(&values, 256), &pool).expect("rows");
        let zeros = public.zeros(&[0x9d; 32], &pool).expect("rows");
        let sent = public
            .modulus()
            .products(&bare, &zeros, &pool)
            .expect("as many");
        let stored = public.modulus().store(&sent, &pool);
        assert_eq!(stored.len(), 4 * 512);
        assert_eq!(
            numbers(&private.decrypt(&stored, &pool).expect("rows"), 256),
            values
        );
        let h = (&n - 9u8).modpow(&n, &(&n * &n));
        let zero = h.modpow(&BigUint::from_bytes_le(&[0x9d; 8]), &(&n * &n));
        assert_eq!(numbers(&stored, 512)[0], zero);
    }
}

#[test]
fn any_bytes_decrypt_to_a_number_below_n() {
    let pool = Pool::new(1).expect("threads");
    for target in targets() {
        let (_, private, n) = key(target, 256, 189, 357);
        for byte in [0, 1, 0x80, 0xff] {
            let plain = private.decrypt(&[byte; 128 * 3], &pool).expect("rows");
            assert!(numbers(&plain, 64).iter().all(|value| *value < n));
        }
        assert!(private.decrypt(&[1; 127], &pool).is_err());
    }
}

#[test]
fn drawn_primes_make_blum_integers() {
    for (at, bits) in [512u32, 1040, 2048].into_iter().enumerate() {
        let primes = Primes::generate(bits, &[at as u8; 32]).expect("primes");
        let [p, q] = [&primes.first, &primes.second].map(|prime| BigUint::from_bytes_le(prime));
        assert_eq!((&p * &q).bits(), u64::from(bits));
        for prime in [&p, &q] {
            assert_eq!(prime % 4u8, BigUint::from(3u8));
            let two = BigUint::from(2u8);
            assert_eq!(two.modpow(&(prime - 1u8), prime), BigUint::from(1u8));
        }
        assert_ne!(p, q);
    }
    assert!(Primes::generate(2047, &[0; 32]).is_err());
    assert!(Primes::generate(0, &[0; 32]).is_err());
    let [first, second] =
        [0, 0].map(|seed| Primes::generate(512, &[seed; 32]).expect("primes").first);
    assert_eq!(first, second);
}

fn wrong_moduli() -> Vec<BigUint> {
    let power = |bits: u32, less: u32| (BigUint::from(1u8) << bits) - less;
    // Primes 1 modulo 4; a square; one prime, 3 modulo 4.
    vec![
        power(256, 435) * power(256, 587),
        power(256, 189) * power(256, 189),
        power(512, 569),
    ]
}

#[test]
fn valid_moduli_are_proved_and_others_are_not() {
    let pool = Pool::new(1).expect("threads");
    for target in targets() {
        let primes = Primes::generate(512, &[3; 32]).expect("primes");
        let key = PrivateKey::new(target, &primes).expect("key");
        let proof = prove(&key, b"session", &[5; 32], &pool).expect("proof");
        assert_eq!(proof.len(), proof_size(64));
        assert!(verify(target, key.n(), b"session", &proof, &pool));
        assert!(!verify(target, key.n(), b"another", &proof, &pool));
        assert!(!verify(target, key.n(), b"session", &proof[1..], &pool));
        for at in [0, 64, 65, 64 + 65, proof.len() - 1] {
            let mut changed = proof.clone();
            changed[at] ^= 1;
            assert!(
                !verify(target, key.n(), b"session", &changed, &pool),
                "byte {at}"
            );
        }
        for wrong in wrong_moduli() {
            assert!(!verify(
                target,
                &wrong.to_bytes_le(),
                b"session",
                &proof,
                &pool
            ));
        }
    }
}

#[test]
fn half_of_the_rounds_fail_where_primes_are_one_modulo_four() {
    // The prover's own steps with such primes: its roots are none.
    let pool = Pool::new(1).expect("threads");
    let prime = |less: u32| -> Vec<u8> { ((BigUint::from(1u8) << 256usize) - less).to_bytes_le() };
    let primes = Primes {
        first: prime(435).into(),
        second: prime(587).into(),
    };
    let key = PrivateKey::new(Target::PORTABLE, &primes).expect("key");
    let proof = prove(&key, b"session", &[5; 32], &pool).expect("proof");
    assert!(!verify(
        Target::PORTABLE,
        key.n(),
        b"session",
        &proof,
        &pool
    ));
}

/// base^weight with a sign.
fn signed_power(base: &BigUint, weight: i64, n: &BigUint) -> BigUint {
    let power = base.modpow(&BigUint::from(weight.unsigned_abs()), n);
    if weight < 0 {
        power.modinv(n).expect("a unit")
    } else {
        power
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn weighted_products_are_right(
        bases in prop::collection::vec(any::<[u8; 40]>(), 1..11),
        seed in any::<u64>(),
        columns in 1usize..11,
        bytes in 1usize..=8,
    ) {
        let pool = Pool::new(2).expect("threads");
        // A prime, so that all have inverses.
        let n = (BigUint::from(1u8) << 256usize) - 189u8;
        let bases: Vec<_> = bases.iter().map(|b| BigUint::from_bytes_le(b) % &n + 1u8).collect();
        let mut state = seed;
        let mut weight = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let number = (state ^ state >> 29).cast_signed() >> (64 - 8 * bytes);
            if state >> 61 == 0 { i64::MIN >> (64 - 8 * bytes) } else { number }
        };
        let matrix = |rows: usize, columns: usize, weight: &mut dyn FnMut() -> i64| -> Vec<i64> {
            (0..rows * columns).map(|_| weight()).collect()
        };
        let tall = matrix(bases.len(), columns, &mut weight);
        let wide = matrix(columns, bases.len(), &mut weight);
        let by_column: Vec<_> = (0..columns).map(|column| {
            bases.iter().enumerate().fold(BigUint::from(1u8), |product, (row, base)| {
                product * signed_power(base, tall[row * columns + column], &n) % &n
            })
        }).collect();
        let by_row: Vec<_> = wide.chunks(bases.len()).map(|row| {
            bases.iter().zip(row).fold(BigUint::from(1u8), |product, (base, weight)| {
                product * signed_power(base, *weight, &n) % &n
            })
        }).collect();
        for target in targets() {
            let modulus = Modulus::new(target, &n.to_bytes_le()).expect("modulus");
            let residues = loaded(&modulus, &bases, &pool);
            let weights = Weights { values: &tall, columns, bytes };
            let found = modulus.by_column(&residues, weights, &pool).expect("products");
            prop_assert_eq!(numbers(&modulus.store(&found, &pool), modulus.width()), by_column.clone());
            let weights = Weights { values: &wide, columns: bases.len(), bytes };
            let found = modulus.by_row(&residues, weights, &pool).expect("products");
            prop_assert_eq!(numbers(&modulus.store(&found, &pool), modulus.width()), by_row.clone());
        }
    }
}

#[test]
fn unusable_weights_are_refused() {
    let pool = Pool::new(1).expect("threads");
    let modulus = Modulus::new(Target::PORTABLE, &[255; 16]).expect("modulus");
    let row = |value: u8| [&[value][..], &[0; 15]].concat();
    let two = modulus
        .load(&[row(1), row(2)].concat(), &pool)
        .expect("two");
    let refused = |values: &[i64], columns: usize, bytes: usize| {
        let weights = Weights {
            values,
            columns,
            bytes,
        };
        modulus.by_column(&two, weights, &pool).is_err()
            && modulus.by_row(&two, weights, &pool).is_err()
    };
    assert!(!refused(&[1, 2, 3, -128], 2, 1));
    assert!(refused(&[1, 2, 3, 128], 2, 1));
    assert!(refused(&[1, 2, 3], 2, 1));
    assert!(refused(&[1, 2, 3, 4, 5, 6], 1, 1));
    assert!(refused(&[1, 2, 3, 4], 0, 1));
    assert!(refused(&[1, 2, 3, 4], 2, 0));
    assert!(refused(&[1, 2, 3, 4], 2, 9));
    // 2^128 - 1 is a multiple of 3, so 3 has no inverse.
    let three = modulus.load(&row(3), &pool).expect("three");
    let weights = Weights {
        values: &[1],
        columns: 1,
        bytes: 1,
    };
    assert!(modulus.by_row(&three, weights, &pool).is_err());
}
