//! Sums of ciphertexts; they leave the process only through [`Cells::finish`].

use atoll_simd::{Pool, Target};

use super::{PAIR_BYTES, PairError, PublicKey};
use crate::edwards::{Bytes, Extended, load_with, stored};
use crate::field::{Field, FieldKernel, dispatch};

/// Three points in extended coordinates: X, Y, Z, T.
#[derive(Clone, Copy)]
pub(super) struct Cell(pub [[Bytes; 4]; 3]);

impl Cell {
    pub(super) const NEUTRAL: Cell = {
        let mut one = [0; 32];
        one[0] = 1;
        Cell([[[0; 32], one, one, [0; 32]]; 3])
    };

    /// Point `part` of the cell that `pick` names for each lane.
    #[inline(always)]
    pub(super) fn load<'a, F: Field>(part: usize, pick: impl Fn(usize) -> &'a Cell) -> Extended<F> {
        Extended {
            x: load_with(|lane| &pick(lane).0[part][0]),
            y: load_with(|lane| &pick(lane).0[part][1]),
            z: load_with(|lane| &pick(lane).0[part][2]),
            t: load_with(|lane| &pick(lane).0[part][3]),
        }
    }

    /// Writes lane i of a point to the i-th of the cells.
    #[inline(always)]
    pub(super) fn store<'a, F: Field>(
        part: usize,
        point: &Extended<F>,
        cells: impl Iterator<Item = &'a mut Cell>,
    ) {
        let coordinates = [
            stored(point.x),
            stored(point.y),
            stored(point.z),
            stored(point.t),
        ];
        for (lane, cell) in cells.enumerate().take(F::LANES) {
            for (slot, values) in cell.0[part].iter_mut().zip(&coordinates) {
                *slot = values[lane];
            }
        }
    }
}

/// A table of sums: `columns` times `width` buckets.
pub struct Cells {
    pub(super) columns: usize,
    pub(super) width: usize,
    pub(super) cells: Vec<Cell>,
}

impl Cells {
    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Buckets in a column.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Cellwise sum, or difference, of two tables of the same shape.
    fn combine(
        &self,
        target: Target,
        other: &Cells,
        operation: Operation,
    ) -> Result<Cells, PairError> {
        if (self.columns, self.width) != (other.columns, other.width) {
            return Err(PairError::Shape);
        }
        let mut cells = self.cells.clone();
        let kernel = Combine {
            cells: &mut cells,
            other: &other.cells,
            operation,
        };
        dispatch(target, kernel);
        Ok(Cells { cells, ..*self })
    }

    /// Cellwise sum.
    pub fn add(&self, target: Target, other: &Cells) -> Result<Cells, PairError> {
        self.combine(target, other, Operation::Add)
    }

    /// Cellwise difference.
    pub fn subtract(&self, target: Target, other: &Cells) -> Result<Cells, PairError> {
        self.combine(target, other, Operation::Subtract)
    }

    /// For each asked cut the sum of bins 0 to `cut` of its column, and of the last bin (missing
    /// values) where `missing_left`; the result is one column wide.
    pub fn cut_sums(
        &self,
        target: Target,
        columns: &[u32],
        cuts: &[u16],
        missing_left: &[bool],
    ) -> Result<Cells, PairError> {
        self.check_cuts(columns, cuts, missing_left)?;
        let mut prefixes = self.cells.clone();
        let width = self.width;
        let cells = &mut prefixes;
        dispatch(target, Prefix { cells, width });
        let position = |column: u32, bin: usize| column as usize * width + bin;
        let asked = columns.iter().zip(cuts);
        let mut cells: Vec<Cell> = asked
            .map(|(column, cut)| prefixes[position(*column, usize::from(*cut))])
            .collect();
        let missing = columns.iter().zip(missing_left);
        let missing: Vec<Cell> = missing
            .map(|(column, left)| match left {
                true => self.cells[position(*column, width - 1)],
                false => Cell::NEUTRAL,
            })
            .collect();
        let kernel = Combine {
            cells: &mut cells,
            other: &missing,
            operation: Operation::Add,
        };
        dispatch(target, kernel);
        Ok(Cells {
            columns: cells.len(),
            width: 1,
            cells,
        })
    }

    fn check_cuts(
        &self,
        columns: &[u32],
        cuts: &[u16],
        missing_left: &[bool],
    ) -> Result<(), PairError> {
        if columns.len() != cuts.len() || columns.len() != missing_left.len() {
            return Err(PairError::Shape);
        }
        let last = self.width.checked_sub(1).ok_or(PairError::Index)?;
        let exists = |(column, (cut, missing)): (&u32, (&u16, &bool))| {
            let cut = usize::from(*cut);
            (*column as usize) < self.columns && (cut < last || cut == last && !*missing)
        };
        let mut asked = columns.iter().zip(cuts.iter().zip(missing_left));
        match asked.all(exists) {
            true => Ok(()),
            false => Err(PairError::Index),
        }
    }

    /// What may leave the process: for each cell eight times the sum plus a fresh encryption of
    /// zero, or of eight times the noise, in affine coordinates.
    pub fn finish(
        &self,
        target: Target,
        key: &PublicKey,
        entropy: &[u8; 32],
        noise: [Option<&[i64]>; 2],
        output: &mut [[u8; PAIR_BYTES]],
        pool: &Pool,
    ) -> Result<(), PairError> {
        key.refresh(target, &self.cells, noise, entropy, output, pool)
    }
}

#[derive(Clone, Copy)]
pub(super) enum Operation {
    Add,
    Subtract,
}

/// Adds `other` to `cells`, or subtracts it.
pub(super) struct Combine<'a> {
    pub cells: &'a mut [Cell],
    pub other: &'a [Cell],
    pub operation: Operation,
}

impl FieldKernel for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        let groups = self.cells.chunks_mut(F::LANES);
        for (left, right) in groups.zip(self.other.chunks(F::LANES)) {
            let last = left.len() - 1;
            for part in 0..3 {
                let sum = Cell::load::<F>(part, |lane| &left[lane.min(last)]);
                let mut term = Cell::load::<F>(part, |lane| &right[lane.min(last)]).cached();
                if matches!(self.operation, Operation::Subtract) {
                    term = term.negated();
                }
                Cell::store(part, &sum.add_cached(&term), left.iter_mut());
            }
        }
    }
}

/// Turns the bins of each column into running sums; lanes are columns.
struct Prefix<'a> {
    cells: &'a mut [Cell],
    width: usize,
}

impl FieldKernel for Prefix<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        for block in self.cells.chunks_mut(self.width * F::LANES) {
            let last = block.len() / self.width - 1;
            for part in 0..3 {
                let mut sum = Extended::<F>::identity();
                for bin in 0..self.width {
                    let position = |lane: usize| lane.min(last) * self.width + bin;
                    let term = Cell::load::<F>(part, |lane| &block[position(lane)]);
                    sum = sum.add_cached(&term.cached());
                    let cells = block.iter_mut().skip(bin).step_by(self.width);
                    Cell::store(part, &sum, cells);
                }
            }
        }
    }
}
