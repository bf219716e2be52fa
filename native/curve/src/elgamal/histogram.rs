//! Sums of ciphertexts by bin.
//!
//! Lanes are columns. A block of rows that fits the cache is sorted by bin for each column; a lane
//! then walks its column's rows in that order, so that its accumulators change only from bucket to
//! bucket. Every row costs the same whatever its bins are.

use atoll_simd::{Pool, Target};

use super::PairError;
use super::cells::{Cell, Cells, Combine, Operation};
use super::vector::{NEUTRAL, Prepared, Vector};
use crate::edwards::{Extended, MAX_LANES, Niels, load_with};
use crate::field::{Field, FieldKernel, LaneMask, dispatch};

/// Rows whose prepared points stay in the second-level cache.
const BLOCK: usize = 2048;
/// Bucket counts and columns beyond these have no use.
const WIDTH_LIMIT: usize = 256;
const CELL_LIMIT: usize = 1 << 24;

/// The bins of the chosen rows, row by row.
#[derive(Clone, Copy)]
pub struct Bins<'a> {
    /// One byte for each chosen row and column.
    pub values: &'a [u8],
    /// Columns of a row.
    pub columns: usize,
    /// Buckets of a column; every value is below it.
    pub width: usize,
}

impl Vector {
    /// For each column the sums of the chosen rows by bin.
    pub fn histogram(
        &self,
        target: Target,
        rows: &[u32],
        bins: Bins<'_>,
        pool: &Pool,
    ) -> Result<Cells, PairError> {
        check(self.len(), rows, bins)?;
        let size = bins.columns * bins.width;
        let parts = (rows.len() / (4 * bins.width))
            .clamp(1, pool.threads())
            .min(64);
        let mut tables = vec![vec![Cell::NEUTRAL; size]; parts];
        let share = rows.len().div_ceil(parts).max(1);
        let values = bins.values.chunks(share * bins.columns);
        let work = rows.chunks(share).zip(values).zip(tables.iter_mut());
        pool.map(work.collect(), |((rows, values), cells)| {
            let kernel = Accumulate {
                points: &self.rows,
                rows,
                bins: Bins { values, ..bins },
                cells,
            };
            dispatch(target, kernel);
        });
        let cells = total(target, tables);
        Ok(Cells {
            columns: bins.columns,
            width: bins.width,
            cells,
        })
    }
}

/// The cellwise sum of tables of one size.
fn total(target: Target, tables: Vec<Vec<Cell>>) -> Vec<Cell> {
    let mut tables = tables.into_iter();
    let mut cells = tables.next().unwrap_or_default();
    for other in tables {
        let kernel = Combine {
            cells: &mut cells,
            other: &other,
            operation: Operation::Add,
        };
        dispatch(target, kernel);
    }
    cells
}

fn check(length: usize, rows: &[u32], bins: Bins<'_>) -> Result<(), PairError> {
    let cells = bins.columns.checked_mul(bins.width);
    let fits = cells.is_some_and(|cells| cells <= CELL_LIMIT);
    if bins.width == 0 || bins.width > WIDTH_LIMIT || bins.columns == 0 || !fits {
        return Err(PairError::Shape);
    }
    if bins.columns.checked_mul(rows.len()) != Some(bins.values.len()) {
        return Err(PairError::Shape);
    }
    let outside = rows
        .iter()
        .fold(false, |any, row| any | (*row as usize >= length));
    let highest = bins
        .values
        .iter()
        .fold(0, |most: u8, value| most.max(*value));
    if outside || usize::from(highest) >= bins.width {
        return Err(PairError::Index);
    }
    Ok(())
}

struct Accumulate<'a> {
    points: &'a [Prepared],
    rows: &'a [u32],
    bins: Bins<'a>,
    cells: &'a mut [Cell],
}

/// What one lane of a group works on: a column, and one of several equal shares of the rows.
#[derive(Clone, Copy)]
struct Lane {
    column: usize,
    share: usize,
    shares: usize,
}

/// Groups of lanes: whole groups of columns first, the remaining columns with their rows split.
fn groups(columns: usize, lanes: usize) -> Vec<Vec<Lane>> {
    let rest = columns % lanes;
    let whole = (0..columns - rest).map(|column| Lane {
        column,
        share: 0,
        shares: 1,
    });
    let mut all: Vec<Lane> = whole.collect();
    if let Some(shares) = lanes.checked_div(rest) {
        for share in 0..shares {
            all.extend((columns - rest..columns).map(|column| Lane {
                column,
                share,
                shares,
            }));
        }
    }
    all.chunks(lanes).map(<[Lane]>::to_vec).collect()
}

type Buckets<F> = [Extended<F>; 3];

impl FieldKernel for Accumulate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(mut self) {
        let groups = groups(self.bins.columns, F::LANES);
        let width = self.bins.width;
        let mut sums = vec![[Extended::<F>::identity(); 3]; groups.len() * width];
        let mut schedule = Schedule::new();
        let values = self.bins.values.chunks(BLOCK * self.bins.columns);
        for (rows, values) in self.rows.chunks(BLOCK).zip(values) {
            let bins = Bins {
                values,
                ..self.bins
            };
            for (lanes, buckets) in groups.iter().zip(sums.chunks_mut(width)) {
                schedule.plan(lanes, rows, bins);
                schedule.run(self.points, buckets);
            }
        }
        for (lanes, buckets) in groups.iter().zip(sums.chunks(width)) {
            self.cells_of(lanes, buckets);
        }
    }
}

impl Accumulate<'_> {
    /// Adds one group's buckets to the table.
    #[inline(always)]
    fn cells_of<F: Field>(&mut self, lanes: &[Lane], buckets: &[Buckets<F>]) {
        let shares = lanes[0].shares;
        let columns = lanes.len() / shares;
        for (bin, bucket) in buckets.iter().enumerate() {
            let mut extracted = [Cell::NEUTRAL; MAX_LANES];
            for (part, point) in bucket.iter().enumerate() {
                Cell::store(part, point, extracted.iter_mut());
            }
            for share in 0..shares {
                let mut cells = [Cell::NEUTRAL; MAX_LANES];
                let chosen = &lanes[share * columns..(share + 1) * columns];
                for (slot, lane) in cells.iter_mut().zip(chosen) {
                    *slot = self.cells[lane.column * self.bins.width + bin];
                }
                Combine {
                    cells: &mut cells[..columns],
                    other: &extracted[share * columns..(share + 1) * columns],
                    operation: Operation::Add,
                }
                .run::<F>();
                for (cell, lane) in cells.iter().zip(chosen) {
                    self.cells[lane.column * self.bins.width + bin] = *cell;
                }
            }
        }
    }
}

/// The order in which the lanes of one group walk the rows of one block.
struct Schedule {
    /// Row of each lane at each step; `ABSENT` where the lane has none.
    order: Vec<[u32; MAX_LANES]>,
    /// Lanes that begin another bucket before the step.
    switches: Vec<u8>,
    /// The buckets that each lane passes through, in order.
    buckets: [Vec<u8>; MAX_LANES],
    steps: usize,
}

const ABSENT: u32 = u32::MAX;

impl Schedule {
    fn new() -> Self {
        Schedule {
            order: vec![[ABSENT; MAX_LANES]; BLOCK],
            switches: vec![0; BLOCK],
            buckets: std::array::from_fn(|_| Vec::with_capacity(WIDTH_LIMIT)),
            steps: 0,
        }
    }

    /// Sorts the rows of each lane by bin.
    fn plan(&mut self, lanes: &[Lane], rows: &[u32], bins: Bins<'_>) {
        self.steps = rows.len().div_ceil(lanes[0].shares);
        self.order[..self.steps].fill([ABSENT; MAX_LANES]);
        self.switches[..self.steps].fill(0);
        for (number, lane) in lanes.iter().enumerate() {
            let start = (lane.share * self.steps).min(rows.len());
            let end = (start + self.steps).min(rows.len());
            let bins = Bins {
                values: &bins.values[start * bins.columns..end * bins.columns],
                ..bins
            };
            self.sort(number, lane.column, &rows[start..end], bins);
        }
    }

    fn sort(&mut self, number: usize, column: usize, rows: &[u32], bins: Bins<'_>) {
        let values = bins.values.iter().skip(column).step_by(bins.columns);
        let mut ends = [0u32; WIDTH_LIMIT];
        for value in values.clone() {
            ends[usize::from(*value)] += 1;
        }
        let buckets = &mut self.buckets[number];
        buckets.clear();
        let mut position = 0;
        for (bucket, count) in ends.iter_mut().enumerate().take(bins.width) {
            if *count > 0 {
                self.switches[position as usize] |= 1 << number;
                buckets.push(bucket as u8);
            }
            (position, *count) = (position + *count, position);
        }
        for (row, value) in rows.iter().zip(values) {
            let slot = &mut ends[usize::from(*value)];
            self.order[*slot as usize][number] = *row;
            *slot += 1;
        }
    }

    /// Adds every lane's rows to its buckets.
    #[inline(always)]
    fn run<F: Field>(&self, points: &[Prepared], buckets: &mut [Buckets<F>]) {
        let mut sums: Buckets<F> = [Extended::identity(); 3];
        let mut passed = [0usize; MAX_LANES];
        for step in 0..self.steps {
            let mut switching = self.switches[step];
            while switching != 0 {
                let lane = switching.trailing_zeros() as usize;
                switching &= switching - 1;
                self.switch(lane, &mut passed, &mut sums, buckets);
            }
            let order = &self.order[step];
            let rows: [&Prepared; MAX_LANES] =
                std::array::from_fn(|lane| points.get(order[lane] as usize).unwrap_or(&NEUTRAL));
            for (part, sum) in sums.iter_mut().enumerate() {
                let niels = Niels {
                    plus: load_with(|lane| &rows[lane][part][0]),
                    minus: load_with(|lane| &rows[lane][part][1]),
                    t2d: load_with(|lane| &rows[lane][part][2]),
                };
                *sum = sum.add_niels(&niels);
            }
        }
        for (lane, count) in passed.iter().enumerate() {
            if *count > 0 {
                let bucket = usize::from(self.buckets[lane][count - 1]);
                copy_lane(lane, &sums, &mut buckets[bucket]);
            }
        }
    }

    /// Puts a lane's accumulators back and takes those of its next bucket.
    #[inline(always)]
    fn switch<F: Field>(
        &self,
        lane: usize,
        passed: &mut [usize; MAX_LANES],
        sums: &mut Buckets<F>,
        buckets: &mut [Buckets<F>],
    ) {
        let sequence = &self.buckets[lane];
        let count = passed[lane];
        if count > 0 {
            copy_lane(lane, sums, &mut buckets[usize::from(sequence[count - 1])]);
        }
        copy_lane(lane, &buckets[usize::from(sequence[count])], sums);
        passed[lane] = count + 1;
    }
}

#[inline(always)]
fn copy_lane<F: Field>(lane: usize, source: &Buckets<F>, target: &mut Buckets<F>) {
    let mask = F::Mask::from_bits(1 << lane);
    for (target, source) in target.iter_mut().zip(source) {
        *target = Extended::select(mask, source, target);
    }
}
