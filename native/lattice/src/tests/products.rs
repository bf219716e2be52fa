//! Products against plain integers.

use atoll_simd::{Pool, Target, targets};
use proptest::prelude::*;

use super::{Case, pool};
use crate::{DEGREE, LatticeError, Matrix, Parameters, products};

/// The reply to the case's vector, and what it decrypts to.
fn reply(case: &Case, matrix: &Matrix<'_>, pool: &Pool) -> (Vec<u8>, Vec<u64>) {
    let (parameters, vector) = (&case.parameters, case.encrypted());
    let reply = products(case.public(), parameters, &vector, matrix, &[2; 32], pool);
    let reply = reply.expect("products");
    assert_eq!(reply.len(), parameters.replies_bytes());
    let numbers = case.key.decrypt(parameters, &reply, pool).expect("reply");
    (reply, numbers)
}

fn shapes() -> impl Strategy<Value = Parameters> {
    let lengths = prop_oneof![1usize..9, 90usize..200, 4000usize..5000, Just(DEGREE)];
    (lengths, 1usize..40, 1u32..=64, 1u32..1 << 20).prop_map(|(length, outputs, bits, bound)| {
        Parameters::new(length, outputs, bits, bound).expect("parameters")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn products_are_those_of_integers(parameters in shapes(), seed in any::<u8>()) {
        for target in [Target::PORTABLE, *targets().last().expect("targets")] {
            let case = Case::new(target, parameters, seed);
            let (_, numbers) = reply(&case, &case.matrix(), &pool());
            prop_assert_eq!(numbers, case.expected(&case.matrix()));
        }
    }
}

#[test]
fn levels_reply_the_same_bytes() {
    for (length, outputs) in [(9000, 3), (100, 170), (2 * DEGREE, 9)] {
        let parameters = Parameters::new(length, outputs, 64, 1 << 19).expect("parameters");
        let case = Case::new(Target::PORTABLE, parameters, 3);
        let expected = reply(&case, &case.matrix(), &pool());
        assert_eq!(expected.1, case.expected(&case.matrix()));
        for target in targets() {
            let case = Case::new(target, parameters, 3);
            assert!(
                reply(&case, &case.matrix(), &pool()) == expected,
                "{target:?}"
            );
        }
    }
}

#[test]
fn threads_and_groups_change_nothing() {
    let parameters = Parameters::new(70_000, 19, 50, 1000).expect("parameters");
    let case = Case::new(atoll_simd::current().expect("level"), parameters, 4);
    let expected = reply(&case, &case.matrix(), &pool());
    assert_eq!(expected.1, case.expected(&case.matrix()));
    let threads = Pool::new(3).expect("threads");
    assert!(reply(&case, &case.matrix(), &threads) == expected);
}

#[test]
fn strides_choose_what_is_multiplied() {
    let parameters = Parameters::new(100, 200, 64, 1 << 15).expect("parameters");
    let case = Case::new(Target::PORTABLE, parameters, 5);
    let columns = Matrix {
        entries: &case.entries,
        along: 1,
        across: 100,
    };
    let (_, numbers) = reply(&case, &columns, &pool());
    assert_eq!(numbers, case.expected(&columns));
    assert_ne!(numbers, case.expected(&case.matrix()));
}

#[test]
fn extreme_numbers_are_multiplied() {
    let parameters = Parameters::new(20_000, 2, 64, (1 << 26) - 1).expect("parameters");
    let mut case = Case::new(atoll_simd::current().expect("level"), parameters, 6);
    let most = parameters.bound().cast_signed();
    case.numbers.fill(u64::MAX);
    let rows = case.entries.as_chunks_mut::<2>().0;
    rows.iter_mut().for_each(|row| *row = [most, -most]);
    let (_, numbers) = reply(&case, &case.matrix(), &pool());
    assert_eq!(numbers, case.expected(&case.matrix()));
    // Numbers are taken modulo t.
    let parameters = Parameters::new(3, 2, 1, 7).expect("parameters");
    let mut case = Case::new(Target::PORTABLE, parameters, 6);
    case.numbers = vec![u64::MAX, 2, 3];
    let (_, numbers) = reply(&case, &case.matrix(), &pool());
    assert_eq!(numbers, case.expected(&case.matrix()));
}

#[test]
fn unsafe_or_senseless_parameters_are_refused() {
    let refused = |length, outputs, bits, bound| {
        let found = Parameters::new(length, outputs, bits, bound);
        assert_eq!(
            found,
            Err(LatticeError::Parameters),
            "{length} {outputs} {bits} {bound}"
        );
    };
    refused(0, 1, 64, 1);
    refused(1, 0, 64, 1);
    refused(1, 1, 0, 1);
    refused(1, 1, 65, 1);
    refused(1, 1, 64, 0);
    refused(1, 1, 64, 1 << 26);
    refused((1 << 32) + 1, 1, 64, 1);
    // Either log2 q would exceed 218, or a sample of the flooding 128 bits.
    refused(1 << 32, 1 << 32, 64, (1 << 26) - 1);
    let million = Parameters::new(1_000_000, 100, 64, 1 << 19).expect("parameters");
    assert_eq!((million.limbs(), million.kept()), (6, 3));
    assert!(million.vector_bytes() + million.replies_bytes() < 29_000_000);
}

#[test]
fn a_matrix_of_another_size_or_range_is_refused() {
    let parameters = Parameters::new(100, 7, 64, 50).expect("parameters");
    let case = Case::new(Target::PORTABLE, parameters, 7);
    let vector = case.encrypted();
    let attempt = |matrix: &Matrix<'_>, parameters: &Parameters| {
        products(
            case.public(),
            parameters,
            &vector,
            matrix,
            &[2; 32],
            &pool(),
        )
        .err()
    };
    let mut entries = case.entries.clone();
    fn matrix(entries: &[i32], along: usize) -> Matrix<'_> {
        Matrix {
            entries,
            along,
            across: 1,
        }
    }
    assert_eq!(attempt(&matrix(&entries, 7), &parameters), None);
    let shape = Some(LatticeError::Shape);
    assert_eq!(attempt(&matrix(&entries[1..], 7), &parameters), shape);
    assert_eq!(attempt(&matrix(&entries, 8), &parameters), shape);
    assert_eq!(attempt(&matrix(&entries, usize::MAX), &parameters), shape);
    for (length, bits) in [(9000, 64), (101, 64), (100, 63)] {
        let other = Parameters::new(length, 1, bits, 50).expect("parameters");
        assert_eq!(attempt(&matrix(&[0; 9000], 1), &other), shape);
    }
    let wider = Parameters::new(100, 7, 64, (1 << 26) - 1).expect("parameters");
    let found = attempt(&matrix(&entries, 7), &wider);
    assert_eq!(found, Some(LatticeError::Key));
    for entry in [51, -51, i32::MIN] {
        entries[300] = entry;
        let found = attempt(&matrix(&entries, 7), &parameters);
        assert_eq!(found, Some(LatticeError::Entry));
    }
}
