//! Encodings, good and bad.

use atoll_simd::{Target, targets};
use proptest::prelude::*;

use super::{Case, pool};
use crate::bytes::{read, size, write};
use crate::prime::{PRIMES, Prime};
use crate::{EncryptedVector, LatticeError, Parameters, PublicKey, SecretKey};

fn prime() -> Prime {
    Prime::new(PRIMES[0], 16, 1)
}

proptest! {
    #[test]
    fn residues_come_back(residues in prop::collection::vec(0..PRIMES[0], 0..40)) {
        let mut bytes = Vec::new();
        write(&residues, &mut bytes);
        prop_assert_eq!(bytes.len(), size(residues.len()));
        let whole = residues.iter().rev().fold(num_bigint::BigUint::ZERO, |sum, r| (sum << 27) + r);
        prop_assert_eq!(num_bigint::BigUint::from_bytes_le(&bytes), whole);
        let mut found = vec![0; residues.len()];
        prop_assert_eq!(read(&bytes, &prime(), &mut found), Ok(()));
        prop_assert_eq!(found, residues);
    }
}

#[test]
fn what_is_not_canonical_is_refused() {
    let attempt = |residues: &[u64], last: u8| {
        let mut bytes = Vec::new();
        write(residues, &mut bytes);
        *bytes.last_mut().expect("bytes") |= last;
        read(&bytes, &prime(), &mut vec![0; residues.len()])
    };
    assert_eq!(attempt(&[3, PRIMES[0] - 1], 0), Ok(()));
    assert_eq!(attempt(&[3, PRIMES[0]], 0), Err(LatticeError::Encoding));
    assert_eq!(attempt(&[(1 << 27) - 1, 3], 0), Err(LatticeError::Encoding));
    // 54 of 56 bits are used.
    assert_eq!(attempt(&[3, 5], 0x80), Err(LatticeError::Encoding));
}

#[test]
fn keys_come_back_and_bad_ones_are_refused() {
    let expected = SecretKey::generate(Target::PORTABLE, 3, &[9; 32]).expect("key");
    let bytes = expected.public_key().to_bytes();
    for target in targets() {
        let key = SecretKey::generate(target, 3, &[9; 32]).expect("key");
        assert_eq!(key.public_key().to_bytes(), bytes, "{target:?}");
        let read = PublicKey::from_bytes(target, 3, &bytes).expect("key");
        assert_eq!(read.pairs, key.public_key().pairs);
        assert_eq!(read.to_bytes(), bytes);
    }
    let attempt = |limbs, bytes: &[u8]| PublicKey::from_bytes(Target::PORTABLE, limbs, bytes).err();
    assert_eq!(attempt(2, &bytes), Some(LatticeError::Encoding));
    assert_eq!(attempt(3, &bytes[1..]), Some(LatticeError::Encoding));
    assert_eq!(attempt(3, &bytes[..20]), Some(LatticeError::Encoding));
    let mut broken = bytes.clone();
    broken[32..36].fill(0xff);
    assert_eq!(attempt(3, &broken), Some(LatticeError::Encoding));
    for limbs in [0, 9] {
        let found = SecretKey::generate(Target::PORTABLE, limbs, &[9; 32]).err();
        assert_eq!(found, Some(LatticeError::Parameters));
        assert_eq!(attempt(limbs, &bytes), Some(LatticeError::Parameters));
    }
}

#[test]
fn bad_vectors_are_refused() {
    let parameters = Parameters::new(9000, 3, 32, 100).expect("parameters");
    let case = Case::new(Target::PORTABLE, parameters, 1);
    let bytes = case
        .key
        .encrypt(&parameters, &case.numbers, &[1; 32], &pool())
        .expect("encrypted");
    assert_eq!(bytes.len(), parameters.vector_bytes());
    let attempt = |bytes: &[u8]| {
        EncryptedVector::from_bytes(case.public(), &parameters, bytes, &pool()).err()
    };
    assert_eq!(attempt(&bytes), None);
    assert_eq!(attempt(&[]), Some(LatticeError::Encoding));
    assert_eq!(attempt(&bytes[1..]), Some(LatticeError::Encoding));
    assert_eq!(
        attempt(&[&bytes[..], &[0]].concat()),
        Some(LatticeError::Encoding)
    );
    for at in [32, 32 + size(8192), bytes.len() - 4] {
        let mut broken = bytes.clone();
        broken[at..at + 4].fill(0xff);
        assert_eq!(attempt(&broken), Some(LatticeError::Encoding), "{at}");
    }
    let short = &case.numbers[1..];
    let found = case
        .key
        .encrypt(&parameters, short, &[1; 32], &pool())
        .err();
    assert_eq!(found, Some(LatticeError::Shape));
}

#[test]
fn bad_replies_are_refused() {
    let parameters = Parameters::new(4000, 3, 32, 100).expect("parameters");
    let case = Case::new(Target::PORTABLE, parameters, 1);
    let vector = case.encrypted();
    let reply = crate::products(
        case.public(),
        &parameters,
        &vector,
        &case.matrix(),
        &[2; 32],
        &pool(),
    );
    let reply = reply.expect("products");
    let attempt = |bytes: &[u8]| case.key.decrypt(&parameters, bytes, &pool()).err();
    assert_eq!(attempt(&reply), None);
    assert_eq!(attempt(&[]), Some(LatticeError::Encoding));
    assert_eq!(attempt(&reply[1..]), Some(LatticeError::Encoding));
    assert_eq!(
        attempt(&[&reply[..], &[0]].concat()),
        Some(LatticeError::Encoding)
    );
    for at in [0, parameters.reply_bytes(0) - 5, reply.len() - 4] {
        let mut broken = reply.clone();
        broken[at..at + 4].fill(0xff);
        assert_eq!(attempt(&broken), Some(LatticeError::Encoding), "{at}");
    }
    let small = SecretKey::generate(Target::PORTABLE, parameters.limbs() - 1, &[1; 32]);
    let small = small.expect("key");
    let found = small.decrypt(&parameters, &reply, &pool()).err();
    assert_eq!(found, Some(LatticeError::Key));
    let found = small.encrypt(&parameters, &case.numbers, &[1; 32], &pool());
    assert_eq!(found.err(), Some(LatticeError::Key));
}
