//! Every level, real or emulated, against schoolbook arithmetic.

use atoll_simd::{Pool, Target, targets};
use num_bigint::BigUint;
use proptest::prelude::*;

use crate::{
    FixedBase, MismatchedResidues, Modulus, PrivateKey, PublicKey, Residues, Secrets,
    UnusableModulus,
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
    let scale = |own: &BigUint| {
        let square = own * own;
        let power = (&n + 1u8).modpow(&(own - 1u8), &square);
        ((power - 1u8) / own).modinv(own).expect("a unit")
    };
    let base = (&n - 9u8).modpow(&n, &(&n * &n));
    let public = PublicKey::new(target, &n.to_bytes_le(), &base.to_bytes_le(), 8).expect("key");
    let secrets = Secrets {
        first: &p.to_bytes_le(),
        second: &q.to_bytes_le(),
        first_scale: &scale(&p).to_bytes_le(),
        second_scale: &scale(&q).to_bytes_le(),
        joint: &p.modinv(&q).expect("a unit").to_bytes_le(),
    };
    let private = PrivateKey::new(target, &secrets).expect("key");
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
