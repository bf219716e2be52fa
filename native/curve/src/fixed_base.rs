//! Multiples of a fixed point: constant-time scans of sixteen odd multiples for each window.
//!
//! A scalar k is written as 2 k + 1 = sum of odd digits d_w 32^w with |d_w| < 32, and the table
//! holds odd multiples of 32^w (B / 2): no digit is zero, and the constant -B / 2 closes the sum.

use crate::edwards::{BASE_X, BASE_Y, Bytes, Cached, Extended, Niels, stored};
use crate::field::{Constant, Field, Field51, LaneMask, batch_invert};
use crate::scalar::{HALF, WINDOWS, bit};

/// An affine point, canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    /// x.
    pub x: Bytes,
    /// y.
    pub y: Bytes,
}

impl Affine {
    /// One lane of extended coordinates.
    pub fn extended(&self) -> Extended<Field51> {
        Extended::from_affine(Field51::load(&[self.x]), Field51::load(&[self.y]))
    }

    /// The affine form of one lane.
    pub fn from_extended(point: &Extended<Field51>) -> Affine {
        let inverse = point.z.invert();
        Affine {
            x: stored(point.x.mul(inverse))[0],
            y: stored(point.y.mul(inverse))[0],
        }
    }

    /// The base point.
    pub fn base() -> Affine {
        Affine {
            x: stored(Field51::splat(BASE_X))[0],
            y: stored(Field51::splat(BASE_Y))[0],
        }
    }

    /// The neutral element.
    pub fn identity() -> Affine {
        Affine::from_extended(&Extended::identity())
    }

    /// The prepared constants of this point.
    pub fn niels(&self) -> NielsConstants {
        NielsConstants::new(Field51::load(&[self.x]), Field51::load(&[self.y]))
    }

    /// The opposite point.
    pub fn negated(&self) -> Affine {
        Affine {
            x: stored(Field51::load(&[self.x]).neg())[0],
            y: self.y,
        }
    }
}

/// A public scalar times a point; takes time that depends on the scalar.
pub fn multiply_public(scalar: &[u64; 4], point: &Extended<Field51>) -> Extended<Field51> {
    let cached = point.cached();
    let mut sum = Extended::identity();
    for index in (0..256).rev() {
        sum = sum.double();
        if bit(scalar, index) == 1 {
            sum = sum.add_cached(&cached);
        }
    }
    sum
}

/// An affine point as public constants, ready to be added.
#[derive(Clone, Copy)]
pub struct NielsConstants([Constant; 3]);

impl NielsConstants {
    fn new(x: Field51, y: Field51) -> Self {
        let niels = Niels::from_affine(x, y);
        NielsConstants(
            [niels.plus, niels.minus, niels.t2d]
                .map(|value| Constant::from_bytes(&stored(value)[0])),
        )
    }

    /// The same point in all lanes.
    #[inline(always)]
    pub fn splat<F: Field>(&self) -> Niels<F> {
        Niels {
            plus: F::splat(self.0[0]),
            minus: F::splat(self.0[1]),
            t2d: F::splat(self.0[2]),
        }
    }
}

/// Odd multiples 1, 3, … 31 of 32^w (B / 2) for each window w.
pub struct BaseTable {
    windows: Vec<[NielsConstants; 16]>,
    closing: NielsConstants,
}

impl BaseTable {
    /// The table of a point of prime order.
    pub fn new(point: &Affine, windows: usize) -> Self {
        let half = multiply_public(&HALF, &point.extended());
        let mut points = Vec::with_capacity(16 * windows + 1);
        let mut unit = half;
        for _ in 0..windows.min(WINDOWS) {
            let twice: Cached<Field51> = unit.double().cached();
            let mut multiple = unit;
            for _ in 0..16 {
                points.push(multiple);
                multiple = multiple.add_cached(&twice);
            }
            unit = unit.double_times(5);
        }
        points.push(half);
        let mut constants = constants(&points);
        let closing = constants.pop().map_or(Affine::identity().niels(), negated);
        let windows = constants.as_chunks::<16>().0.to_vec();
        BaseTable { windows, closing }
    }

    /// -B / 2, which every sum of digits needs once.
    pub fn closing(&self) -> &NielsConstants {
        &self.closing
    }

    /// The first `count` windows, prepared for a level.
    #[inline(always)]
    pub fn prepare<F: Field>(&self, count: usize) -> Vec<Window<F>> {
        let mut prepared = Vec::with_capacity(count);
        for entries in &self.windows[..count] {
            prepared.push(Window::new(entries));
        }
        prepared
    }
}

fn negated(constants: NielsConstants) -> NielsConstants {
    let [plus, minus, t2d] = constants.0;
    let t2d = Constant::from_bytes(&stored(Field51::splat(t2d).neg())[0]);
    NielsConstants([minus, plus, t2d])
}

fn constants(points: &[Extended<Field51>]) -> Vec<NielsConstants> {
    let mut inverses: Vec<Field51> = points.iter().map(|point| point.z).collect();
    let mut scratch = inverses.clone();
    batch_invert(&mut inverses, &mut scratch);
    points
        .iter()
        .zip(inverses)
        .map(|(point, inverse)| NielsConstants::new(point.x.mul(inverse), point.y.mul(inverse)))
        .collect()
}

/// One window of a table in the form that lanes look up.
pub struct Window<F: Field> {
    /// Low and high half of each coordinate.
    halves: [[F::Table8; 2]; 3],
}

/// One odd digit for each lane.
#[derive(Clone, Copy, Default)]
pub struct Digits {
    low: [u8; 8],
    high: u32,
    negative: u32,
}

impl Digits {
    /// Sets a lane from the five bits of its offset number.
    #[inline(always)]
    pub fn set(&mut self, lane: usize, bits: u8) {
        let negative = 1 ^ (bits >> 4);
        let magnitude = (bits ^ negative.wrapping_neg()) & 15;
        self.low[lane] = magnitude & 7;
        self.high |= u32::from(magnitude >> 3) << lane;
        self.negative |= u32::from(negative) << lane;
    }
}

/// The digits as lanes use them, shared by several tables.
pub struct Choice<F: Field> {
    index: F::Index,
    high: F::Mask,
    negative: F::Mask,
}

impl<F: Field> Choice<F> {
    /// Prepares digits.
    #[inline(always)]
    pub fn new(digits: &Digits) -> Self {
        Choice {
            index: F::index(&digits.low[..F::LANES]),
            high: F::Mask::from_bits(digits.high),
            negative: F::Mask::from_bits(digits.negative),
        }
    }
}

impl<F: Field> Window<F> {
    #[inline(always)]
    fn new(entries: &[NielsConstants; 16]) -> Self {
        let mut halves = [[[Constant::ZERO; 8]; 2]; 3];
        for (position, entry) in entries.iter().enumerate() {
            for (half, value) in halves.iter_mut().zip(entry.0) {
                half[position / 8][position % 8] = value;
            }
        }
        let [plus, minus, t2d] = halves;
        Window {
            halves: [
                [F::table8(&plus[0]), F::table8(&plus[1])],
                [F::table8(&minus[0]), F::table8(&minus[1])],
                [F::table8(&t2d[0]), F::table8(&t2d[1])],
            ],
        }
    }

    #[inline(always)]
    fn coordinate(&self, which: usize, choice: &Choice<F>) -> F {
        let [low, high] = &self.halves[which];
        F::select(
            choice.high,
            F::lookup8(high, choice.index),
            F::lookup8(low, choice.index),
        )
    }

    /// The chosen multiple in each lane.
    #[inline(always)]
    pub fn look_up(&self, choice: &Choice<F>) -> Niels<F> {
        Niels {
            plus: self.coordinate(0, choice),
            minus: self.coordinate(1, choice),
            t2d: self.coordinate(2, choice),
        }
        .negate_if(choice.negative)
    }
}
