//! Every level against the portable one, and sums against plain integers.

use atoll_simd::{Pool, Target, targets};
use proptest::prelude::*;

use super::*;
use crate::edwards::Extended;
use crate::field::{Field, Field51};
use crate::fixed_base::Affine;

const WIDE: Bounds = Bounds {
    low: -1 << 34,
    high: 1 << 34,
};

fn pool() -> Pool {
    Pool::new(1).expect("one thread")
}

fn key(seed: u8) -> SecretKey {
    SecretKey::generate(&[seed; 32]).expect("a key")
}

fn encrypt(target: Target, key: &SecretKey, g: &[i32], h: &[i32]) -> Vec<[u8; PAIR_BYTES]> {
    let mut output = vec![[0; PAIR_BYTES]; g.len()];
    key.public_key()
        .encrypt(target, g, h, &[7; 32], &mut output, &pool())
        .expect("sizes agree");
    output
}

fn finish(target: Target, key: &SecretKey, cells: &Cells) -> Vec<[u8; PAIR_BYTES]> {
    let mut output = vec![[0; PAIR_BYTES]; cells.len()];
    cells
        .finish(
            target,
            key.public_key(),
            &[8; 32],
            [None; 2],
            &mut output,
            &pool(),
        )
        .expect("sizes agree");
    output
}

fn decrypt(
    target: Target,
    key: &SecretKey,
    cells: &[[u8; PAIR_BYTES]],
    bounds: [Bounds; 2],
) -> Result<(Vec<i64>, Vec<i64>), PairError> {
    let (g, h, inside) = open(target, key, cells, bounds)?;
    assert!(inside.into_iter().all(|known| known));
    Ok((g, h))
}

type Opened = (Vec<i64>, Vec<i64>, Vec<bool>);

fn open(
    target: Target,
    key: &SecretKey,
    cells: &[[u8; PAIR_BYTES]],
    bounds: [Bounds; 2],
) -> Result<Opened, PairError> {
    let (mut g, mut h) = (vec![0; cells.len()], vec![0; cells.len()]);
    let mut inside = vec![false; cells.len()];
    let output = [&mut g[..], &mut h[..]];
    key.decrypt(target, cells, bounds, output, &mut inside, &pool())?;
    Ok((g, h, inside))
}

struct Case {
    g: Vec<i32>,
    h: Vec<i32>,
    rows: Vec<u32>,
    bins: Vec<u8>,
    columns: usize,
    width: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1usize..40, 1usize..20, 1usize..6);
    sizes.prop_flat_map(|(rows, columns, width)| {
        let pairs = prop::collection::vec((-1i32 << 28..1 << 28, -1i32 << 28..1 << 28), rows);
        let chosen = prop::collection::vec(0..rows as u32, 0..60);
        chosen.prop_flat_map(move |chosen| {
            let bins = prop::collection::vec(0..width as u8, chosen.len() * columns);
            (pairs.clone(), bins).prop_map(move |(pairs, bins)| Case {
                g: pairs.iter().map(|pair| pair.0).collect(),
                h: pairs.iter().map(|pair| pair.1).collect(),
                rows: chosen.clone(),
                bins,
                columns,
                width,
            })
        })
    })
}

impl Case {
    fn expected(&self) -> (Vec<i64>, Vec<i64>) {
        let size = self.columns * self.width;
        let (mut g, mut h) = (vec![0; size], vec![0; size]);
        for (row, bins) in self.rows.iter().zip(self.bins.chunks(self.columns)) {
            for (column, bin) in bins.iter().enumerate() {
                let cell = column * self.width + usize::from(*bin);
                g[cell] += i64::from(self.g[*row as usize]);
                h[cell] += i64::from(self.h[*row as usize]);
            }
        }
        (g, h)
    }

    fn histogram(&self, target: Target, pairs: &[[u8; PAIR_BYTES]]) -> Cells {
        let vector = Vector::parse(target, pairs, &pool()).expect("points of the curve");
        let bins = Bins {
            values: &self.bins,
            columns: self.columns,
            width: self.width,
        };
        let cells = vector.histogram(target, &self.rows, bins, &pool());
        cells.expect("indices in range")
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} {:?}", self.rows, self.bins)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn levels_agree_and_sums_are_exact(case in cases()) {
        let key = key(1);
        let pairs = encrypt(Target::PORTABLE, &key, &case.g, &case.h);
        let portable = finish(Target::PORTABLE, &key, &case.histogram(Target::PORTABLE, &pairs));
        for target in targets() {
            prop_assert_eq!(&encrypt(target, &key, &case.g, &case.h), &pairs);
            let cells = finish(target, &key, &case.histogram(target, &pairs));
            prop_assert_eq!(&cells, &portable);
            let sums = decrypt(target, &key, &cells, [WIDE; 2]);
            prop_assert_eq!(sums, Ok(case.expected()));
        }
    }
}

#[test]
fn every_value_of_a_small_range_is_found() {
    let key = key(2);
    let values: Vec<i32> = (-700..=700).collect();
    let negated: Vec<i32> = values.iter().map(|value| -value).collect();
    let rows: Vec<u32> = (0..values.len() as u32).collect();
    let target = targets()[0];
    let pairs = encrypt(target, &key, &values, &negated);
    let vector = Vector::parse(target, &pairs, &pool()).expect("points of the curve");
    let cells: Vec<_> = rows
        .iter()
        .flat_map(|row| {
            let bins = Bins {
                values: &[0],
                columns: 1,
                width: 1,
            };
            let sum = vector.histogram(target, &[*row], bins, &pool());
            finish(target, &key, &sum.expect("in range"))
        })
        .collect();
    let bounds = Bounds {
        low: -700,
        high: 700,
    };
    let expected = |values: &[i32]| values.iter().map(|value| i64::from(*value)).collect();
    let found = decrypt(target, &key, &cells, [bounds; 2]);
    assert_eq!(found, Ok((expected(&values), expected(&negated))));
    let narrow = Bounds {
        low: -699,
        high: 700,
    };
    let (g, _, inside) = open(target, &key, &cells, [narrow, bounds]).expect("points of the curve");
    let fits: Vec<bool> = values.iter().map(|value| *value >= -699).collect();
    assert_eq!(inside, fits);
    assert!(fits.contains(&false) && fits.contains(&true));
    let known = g
        .iter()
        .zip(&fits)
        .filter(|pair| *pair.1)
        .map(|pair| *pair.0);
    let within = values.iter().filter(|value| **value >= -699);
    assert!(known.eq(within.map(|value| i64::from(*value))));
}

/// Multiples of the giant stride meet the giant steps themselves; the middle is the neutral point.
#[test]
fn giant_steps_themselves_are_found() {
    let key = key(3);
    for target in targets() {
        // 2^10 baby steps are the fewest; larger tables of other tests only lower the step count.
        for baby in [10, 14, 17, 21] {
            let stride = (1i64 << (baby + 1)) + 1;
            let values: Vec<i32> = [0, stride, -stride, 2 * stride, stride + 1, -2 * stride - 1]
                .map(|value| value as i32)
                .to_vec();
            let pairs = encrypt(target, &key, &values, &values);
            let vector = Vector::parse(target, &pairs, &pool()).expect("points of the curve");
            let bins: Vec<u8> = (0..6).collect();
            let bins = Bins {
                values: &bins,
                columns: 1,
                width: 6,
            };
            let cells = vector.histogram(target, &[0, 1, 2, 3, 4, 5], bins, &pool());
            let cells = finish(target, &key, &cells.expect("in range"));
            let bound = Bounds {
                low: -stride * 16,
                high: stride * 16,
            };
            let expected: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
            let found = decrypt(target, &key, &cells, [bound; 2]);
            assert_eq!(found, Ok((expected.clone(), expected)));
        }
    }
}

fn torsion() -> Extended<Field51> {
    // (sqrt(-1), 0) has order four.
    Extended::from_affine(
        Field51::splat(crate::field::Constant::SQRT_MINUS_ONE),
        Field51::zero(),
    )
}

#[test]
fn torsion_changes_no_value() {
    let key = key(4);
    let target = Target::PORTABLE;
    let mut pairs = encrypt(target, &key, &[5, -9], &[1, 2]);
    let polluted = coordinates_plus(&pairs[0], &torsion());
    pairs[0] = polluted;
    let vector = Vector::parse(target, &pairs, &pool()).expect("points of the curve");
    let bins = Bins {
        values: &[0, 0],
        columns: 1,
        width: 1,
    };
    let cells = vector
        .histogram(target, &[0, 1], bins, &pool())
        .expect("in range");
    let finished = finish(target, &key, &cells);
    let found = decrypt(target, &key, &finished, [WIDE; 2]);
    assert_eq!(found, Ok((vec![-4], vec![3])));
    let dirty = coordinates_plus(&finished[0], &torsion());
    assert_eq!(
        decrypt(target, &key, &[dirty], [WIDE; 2]),
        Ok((vec![-4], vec![3]))
    );
}

fn coordinates_plus(pair: &[u8; PAIR_BYTES], other: &Extended<Field51>) -> [u8; PAIR_BYTES] {
    let parts = encrypt::coordinates(pair);
    let mut output = [0; PAIR_BYTES];
    for part in 0..3 {
        let (x, y) = (parts[2 * part], parts[2 * part + 1]);
        let sum = Affine { x, y }.extended().add_cached(&other.cached());
        let sum = Affine::from_extended(&sum);
        output[64 * part..64 * part + 32].copy_from_slice(&sum.x);
        output[64 * part + 32..64 * part + 64].copy_from_slice(&sum.y);
    }
    output
}

#[test]
fn bad_points_and_keys_are_refused() {
    let key = key(5);
    let target = Target::PORTABLE;
    let good = encrypt(target, &key, &[1], &[1])[0];
    for position in [0, 40, 70, 191] {
        let mut bad = good;
        bad[position] ^= 4;
        assert!(matches!(
            Vector::parse(target, &[good, bad], &pool()),
            Err(PairError::Point)
        ));
        assert_eq!(
            decrypt(target, &key, &[bad], [WIDE; 2]),
            Err(PairError::Point)
        );
    }
    let public = key.public_key().to_bytes();
    assert!(PublicKey::from_bytes(&public).is_ok());
    let twice: [u8; 128] = std::array::from_fn(|index| public[index % 64]);
    assert!(matches!(PublicKey::from_bytes(&twice), Err(PairError::Key)));
    let mut neutral = public;
    neutral[..64].fill(0);
    neutral[32] = 1;
    assert!(matches!(
        PublicKey::from_bytes(&neutral),
        Err(PairError::Key)
    ));
    let point = Affine {
        x: public[..32].try_into().expect("32 bytes"),
        y: public[32..64].try_into().expect("32 bytes"),
    };
    let polluted = Affine::from_extended(&point.extended().add_cached(&torsion().cached()));
    let mut small = public;
    small[..32].copy_from_slice(&polluted.x);
    small[32..64].copy_from_slice(&polluted.y);
    assert!(matches!(PublicKey::from_bytes(&small), Err(PairError::Key)));
}
