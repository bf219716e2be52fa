use atoll_simd::{Level, Target};
use proptest::prelude::*;

use crate::{Epoch, Network, Output, Targets, Wrong};

/// Numbers that look random and need no crate.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// The definition: one step in double precision, layer by layer.
fn plain_step(widths: &[usize], weights: &mut [f64], epoch: &Epoch<'_>, chosen: &[i64]) {
    let Targets::Classes(classes) = epoch.targets else {
        panic!("classes")
    };
    let mut change = vec![0.0; weights.len()];
    for row in chosen {
        let row = *row as usize;
        let mut values = vec![
            epoch.rows[row * widths[0]..][..widths[0]]
                .iter()
                .map(|v| f64::from(*v))
                .collect::<Vec<f64>>(),
        ];
        let mut starts = vec![0];
        for (l, pair) in widths.windows(2).enumerate() {
            let (n, m) = (pair[0], pair[1]);
            let start = starts[l];
            let mut next: Vec<f64> = weights[start + n * m..][..m].to_vec();
            for (j, value) in values[l].iter().enumerate() {
                for (o, sum) in next.iter_mut().enumerate() {
                    *sum += value * weights[start + j * m + o];
                }
            }
            if l + 2 < widths.len() {
                next.iter_mut().for_each(|v| *v = v.max(0.0));
            }
            values.push(next);
            starts.push(start + (n + 1) * m);
        }
        let last = values.pop().expect("values");
        let top = last.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = last.iter().map(|v| (v - top).exp()).sum();
        let mut error: Vec<f64> = last.iter().map(|v| (v - top).exp() / sum).collect();
        error[classes[row] as usize] -= 1.0;
        for l in (0..widths.len() - 1).rev() {
            let (n, m, start) = (widths[l], widths[l + 1], starts[l]);
            let mut below = vec![0.0; n];
            for j in 0..n {
                for o in 0..m {
                    change[start + j * m + o] += values[l][j] * error[o];
                    below[j] += error[o] * weights[start + j * m + o];
                }
                if values[l][j] <= 0.0 {
                    below[j] = 0.0;
                }
            }
            for o in 0..m {
                change[start + n * m + o] += error[o];
            }
            error = below;
        }
    }
    let rate = f64::from(epoch.rate) / chosen.len() as f64;
    for (weight, change) in weights.iter_mut().zip(change) {
        *weight -= rate * change;
    }
}

fn targets() -> Vec<Target> {
    Level::ALL.into_iter().filter_map(Target::real).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_level_gives_the_same_bits_and_the_definition(
        widths in prop::collection::vec(1usize..40, 2..5),
        rows in 1usize..50,
        batch in 1usize..25,
        seed in any::<u64>(),
    ) {
        let size: usize = widths.windows(2).map(|p| (p[0] + 1) * p[1]).sum();
        let table = numbers(rows * widths[0], seed);
        let last = widths[widths.len() - 1];
        let classes: Vec<i64> = (0..rows).map(|i| (i * 7 % last) as i64).collect();
        let order: Vec<i64> = (0..rows).rev().map(|i| i as i64).collect();
        let epoch = Epoch {
            rows: &table,
            targets: Targets::Classes(&classes),
            order: &order,
            batch,
            rate: 0.1,
            penalty: 0.0,
        };
        let start = numbers(size, seed ^ 5);
        let mut plain: Vec<f64> = start.iter().map(|v| f64::from(*v)).collect();
        for chosen in order.chunks(batch) {
            plain_step(&widths, &mut plain, &epoch, chosen);
        }
        let network = Network::new(widths, Output::Softmax).expect("a network");
        let mut first: Option<Vec<u32>> = None;
        for target in targets() {
            let mut weights = start.clone();
            network.train(target, &mut weights, &epoch).expect("an epoch");
            for (one, other) in weights.iter().zip(&plain) {
                prop_assert!((f64::from(*one) - other).abs() < 2e-4, "{one} {other}");
            }
            let bits: Vec<u32> = weights.iter().map(|v| v.to_bits()).collect();
            prop_assert_eq!(first.get_or_insert_with(|| bits.clone()), &bits);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let network = Network::new(vec![3, 2], Output::Softmax).expect("a network");
    let table = numbers(6, 1);
    let start = numbers(8, 2);
    let try_with = |classes: &[i64], order: &[i64], batch, size: usize| {
        let mut weights = start[..size].to_vec();
        let epoch = Epoch {
            rows: &table,
            targets: Targets::Classes(classes),
            order,
            batch,
            rate: 0.1,
            penalty: 0.0,
        };
        let result = network.train(Target::PORTABLE, &mut weights, &epoch);
        (result, weights == start[..size])
    };
    assert_eq!(try_with(&[0, 1], &[0, 1], 1, 8), (Ok(()), false));
    assert_eq!(try_with(&[0, 2], &[0, 1], 1, 8), (Err(Wrong::Target), true));
    assert_eq!(try_with(&[0, -1], &[0], 1, 8), (Err(Wrong::Target), true));
    assert_eq!(try_with(&[0, 1], &[0, 2], 1, 8), (Err(Wrong::Rows), true));
    assert_eq!(try_with(&[0, 1], &[-1], 1, 8), (Err(Wrong::Rows), true));
    assert_eq!(try_with(&[0], &[0], 1, 8), (Err(Wrong::Rows), true));
    assert_eq!(try_with(&[0, 1], &[0], 0, 8), (Err(Wrong::Shape), true));
    assert_eq!(try_with(&[0, 1], &[0], 1, 7), (Err(Wrong::Shape), true));
    assert!(Network::new(vec![3], Output::Softmax).is_err());
    assert!(Network::new(vec![3, 0, 2], Output::Softmax).is_err());
    assert!(Network::new(vec![3, 2], Output::Gaussian).is_err());
    assert!(Network::new(vec![usize::MAX, 2], Output::Softmax).is_err());
}

#[test]
fn a_value_that_is_not_a_number_stays_one() {
    for target in targets() {
        let network = Network::new(vec![2, 3, 2], Output::Softmax).expect("a network");
        let mut weights = numbers(17, 3);
        let epoch = Epoch {
            rows: &[f32::NAN, 1.0],
            targets: Targets::Classes(&[0]),
            order: &[0],
            batch: 1,
            rate: 0.1,
            penalty: 0.0,
        };
        network.train(target, &mut weights, &epoch).expect("a step");
        assert!(weights.iter().any(|weight| weight.is_nan()));
    }
}
