//! Received ciphertexts, checked and prepared for addition.

use atoll_simd::{Pool, Target};
use std::sync::atomic::{AtomicBool, Ordering};

use super::encrypt::coordinates;
use super::{PAIR_BYTES, PairError, WirePair};
use crate::edwards::{Bytes, Niels, is_canonical, load_with, on_curve, stored};
use crate::field::{Field, FieldKernel, LaneMask, dispatch};

/// Three points in the form y + x, y - x, 2 d x y, canonical.
pub(super) type Prepared = [[Bytes; 3]; 3];

/// Three neutral elements.
pub(super) const NEUTRAL: Prepared = {
    let mut one = [0; 32];
    one[0] = 1;
    [[one, one, [0; 32]]; 3]
};

/// Ciphertext pairs whose points are known to lie on the curve.
pub struct Vector {
    pub(super) rows: Vec<Prepared>,
}

const CHUNK: usize = 4096;

impl Vector {
    /// Reads the wire form: canonical coordinates of points on the curve.
    pub fn parse(
        target: Target,
        pairs: &[[u8; PAIR_BYTES]],
        pool: &Pool,
    ) -> Result<Self, PairError> {
        let mut rows = vec![NEUTRAL; pairs.len()];
        let valid = AtomicBool::new(true);
        let chunks = pairs.chunks(CHUNK).zip(rows.chunks_mut(CHUNK));
        pool.map(chunks.collect(), |(pairs, rows)| {
            if !dispatch(target, Parse { pairs, rows }) {
                valid.store(false, Ordering::Relaxed);
            }
        });
        if valid.into_inner() {
            Ok(Vector { rows })
        } else {
            Err(PairError::Point)
        }
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

struct Parse<'a> {
    pairs: &'a [[u8; PAIR_BYTES]],
    rows: &'a mut [Prepared],
}

impl FieldKernel for Parse<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<F: Field>(self) -> bool {
        let mut valid = true;
        let groups = self.pairs.chunks(F::LANES);
        for (pairs, rows) in groups.zip(self.rows.chunks_mut(F::LANES)) {
            let mut parts: [WirePair; 8] = [coordinates(&pairs[0]); 8];
            for (slot, pair) in parts.iter_mut().zip(pairs) {
                *slot = coordinates(pair);
            }
            for part in 0..3 {
                let x: F = load_with(|lane| &parts[lane][2 * part]);
                let y: F = load_with(|lane| &parts[lane][2 * part + 1]);
                valid &= on_curve(x, y).not().bits() == 0;
                let niels = Niels::from_affine(x, y);
                let values = [niels.plus, niels.minus, niels.t2d];
                for (coordinate, value) in values.into_iter().enumerate() {
                    let bytes = stored(value);
                    for (lane, row) in rows.iter_mut().enumerate() {
                        row[part][coordinate] = bytes[lane];
                    }
                }
            }
            valid &= parts.as_flattened().iter().all(is_canonical);
        }
        valid
    }
}
