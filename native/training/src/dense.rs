//! The two products of a dense layer. Columns are padded to whole registers, rows of inputs are
//! pointers, so that rows of a table are used where they lie.

use crate::floats::{Floats, WIDE};

/// Inputs of one pass over all columns: their weights stay in the first cache.
const INPUTS: usize = 16;

/// A matrix of `rows` x `stride` numbers, `stride` a multiple of [`WIDE`].
#[derive(Clone, Copy)]
pub struct Matrix {
    pub at: *mut f32,
    pub rows: usize,
    pub stride: usize,
}

impl Matrix {
    /// Looks at a buffer.
    pub fn of(buffer: &mut [f32], stride: usize) -> Matrix {
        Matrix {
            at: buffer.as_mut_ptr(),
            rows: buffer.len() / stride,
            stride,
        }
    }

    /// Where a row begins.
    ///
    /// # Safety
    /// There is such a row.
    #[inline(always)]
    pub unsafe fn row(self, row: usize) -> *mut f32 {
        // SAFETY: stated above.
        unsafe { self.at.add(row * self.stride) }
    }
}

/// Adds `inputs` · `weights` to `values`: one row of inputs a row of values.
///
/// # Safety
/// Each input points to `weights.rows` numbers, `values` has a row for each and the stride of
/// `weights`; nothing overlaps with `values`.
#[inline(always)]
pub unsafe fn product<F: Floats>(inputs: &[*const f32], weights: Matrix, values: Matrix) {
    let mut first = 0;
    while first < weights.rows {
        let count = INPUTS.min(weights.rows - first);
        let mut column = 0;
        while column < weights.stride {
            let wide = weights.stride - column >= 2 * WIDE;
            let mut row = 0;
            while row < inputs.len() {
                macro_rules! tile {
                    ($rows:literal) => {
                        // SAFETY: rows, inputs and columns are within what the caller states.
                        unsafe {
                            let at = (first, count, row, column);
                            if wide {
                                product_tile::<F, $rows, 2>(inputs, weights, values, at);
                            } else {
                                product_tile::<F, $rows, 1>(inputs, weights, values, at);
                            }
                            row += $rows;
                        }
                    };
                }
                match inputs.len() - row {
                    1 => tile!(1),
                    2 => tile!(2),
                    3 => tile!(3),
                    4 => tile!(4),
                    _ => tile!(5),
                }
            }
            column += if wide { 2 * WIDE } else { WIDE };
        }
        first += count;
    }
}

/// `R` rows times `C` registers of columns, over `count` inputs from `first` on.
///
/// # Safety
/// As of [`product`].
#[inline(always)]
unsafe fn product_tile<F: Floats, const R: usize, const C: usize>(
    inputs: &[*const f32],
    weights: Matrix,
    values: Matrix,
    (first, count, row, column): (usize, usize, usize, usize),
) {
    // SAFETY: stated above.
    unsafe {
        let entering: [*const f32; R] =
            std::array::from_fn(|r| inputs.get_unchecked(row + r).add(first));
        let mut sums: [[F; C]; R] = std::array::from_fn(|r| {
            std::array::from_fn(|c| F::load(values.row(row + r).add(column + c * WIDE)))
        });
        for j in 0..count {
            let line = weights.row(first + j).add(column);
            let weight: [F; C] = std::array::from_fn(|c| F::load(line.add(c * WIDE)));
            for r in 0..R {
                let input = F::splat(*entering[r].add(j));
                for c in 0..C {
                    sums[r][c] = sums[r][c].fused(input, weight[c]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                sum.store(values.row(row + r).add(column + c * WIDE));
            }
        }
    }
}

/// Replaces `weights` by `keep` · `weights` + transposed `inputs` · `changes`.
///
/// # Safety
/// Each input points to `weights.rows` numbers, `changes` has a row for each and the stride of
/// `weights`; nothing overlaps with `weights`.
#[inline(always)]
pub unsafe fn update<F: Floats>(
    inputs: &[*const f32],
    changes: Matrix,
    weights: Matrix,
    keep: f32,
) {
    let mut row = 0;
    while row < weights.rows {
        macro_rules! band {
            ($rows:literal) => {
                // SAFETY: rows and columns are within what the caller states.
                unsafe {
                    update_band::<F, $rows>(inputs, changes, weights, keep, row);
                    row += $rows;
                }
            };
        }
        match weights.rows - row {
            1 => band!(1),
            2 => band!(2),
            3 => band!(3),
            4 => band!(4),
            _ => band!(5),
        }
    }
}

/// `R` rows of weights over all columns.
///
/// # Safety
/// As of [`update`].
#[inline(always)]
unsafe fn update_band<F: Floats, const R: usize>(
    inputs: &[*const f32],
    changes: Matrix,
    weights: Matrix,
    keep: f32,
    row: usize,
) {
    let mut column = 0;
    while column < weights.stride {
        // SAFETY: stated above.
        unsafe {
            if weights.stride - column >= 2 * WIDE {
                update_tile::<F, R, 2>(inputs, changes, weights, keep, (row, column));
                column += 2 * WIDE;
            } else {
                update_tile::<F, R, 1>(inputs, changes, weights, keep, (row, column));
                column += WIDE;
            }
        }
    }
}

/// `R` rows times `C` registers of columns.
///
/// # Safety
/// As of [`update`].
#[inline(always)]
unsafe fn update_tile<F: Floats, const R: usize, const C: usize>(
    inputs: &[*const f32],
    changes: Matrix,
    weights: Matrix,
    keep: f32,
    (row, column): (usize, usize),
) {
    // SAFETY: stated above.
    unsafe {
        let kept = F::splat(keep);
        let mut sums: [[F; C]; R] = std::array::from_fn(|r| {
            std::array::from_fn(|c| {
                F::load(weights.row(row + r).add(column + c * WIDE)).times(kept)
            })
        });
        for (i, input) in inputs.iter().enumerate() {
            let entering = input.add(row);
            let line = changes.row(i).add(column);
            let change: [F; C] = std::array::from_fn(|c| F::load(line.add(c * WIDE)));
            for (r, line) in sums.iter_mut().enumerate() {
                let value = F::splat(*entering.add(r));
                for c in 0..C {
                    line[c] = line[c].fused(value, change[c]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                sum.store(weights.row(row + r).add(column + c * WIDE));
            }
        }
    }
}
