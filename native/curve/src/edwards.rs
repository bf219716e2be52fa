//! The twisted Edwards curve -x^2 + y^2 = 1 + d x^2 y^2 over lanes of field elements.
//!
//! Source: Hisil, Wong, Carter, Dawson 2008 (extended coordinates, complete formulas); RFC 8032.

use crate::field::{Constant, Field, LaneMask};

/// d.
pub const D: Constant = Constant([
    0x75eb_4dca_1359_78a3,
    0x0070_0a4d_4141_d8ab,
    0x8cc7_4079_7779_e898,
    0x5203_6cee_2b6f_fe73,
]);
/// 2 d.
pub const TWO_D: Constant = Constant([
    0xebd6_9b94_26b2_f159,
    0x00e0_149a_8283_b156,
    0x198e_80f2_eef3_d130,
    0x2406_d9dc_56df_fce7,
]);
/// The base point's x.
pub const BASE_X: Constant = Constant([
    0xc956_2d60_8f25_d51a,
    0x692c_c760_9525_a7b2,
    0xc0a4_e231_fdd6_dc5c,
    0x2169_36d3_cd6e_53fe,
]);
/// The base point's y, 4/5.
pub const BASE_Y: Constant = Constant([
    0x6666_6666_6666_6658,
    0x6666_6666_6666_6666,
    0x6666_6666_6666_6666,
    0x6666_6666_6666_6666,
]);
/// A square root of -486664, the factor between x and u/v.
const MONTGOMERY_FACTOR: Constant = Constant([
    0xcc6e_04aa_ff45_7e06,
    0xc5a1_d3d1_4b7d_1a82,
    0xd27b_08dc_03fc_4f7e,
    0x0f26_edf4_60a0_06bb,
]);
/// More lanes than any implementation has.
pub const MAX_LANES: usize = 8;

/// Bytes of one coordinate.
pub type Bytes = [u8; 32];

/// Loads the encodings that `pick` names for each lane.
#[inline(always)]
pub fn load_with<'a, F: Field>(pick: impl Fn(usize) -> &'a Bytes) -> F {
    let first = pick(0);
    let mut encodings = [first; MAX_LANES];
    for (lane, slot) in encodings.iter_mut().enumerate().take(F::LANES).skip(1) {
        *slot = pick(lane);
    }
    F::gather(&encodings)
}

/// The canonical encodings, one for each lane; slots beyond the lanes are zero.
#[inline(always)]
pub fn stored<F: Field>(value: F) -> [Bytes; MAX_LANES] {
    let mut encodings = [[0; 32]; MAX_LANES];
    value.store(&mut encodings[..F::LANES]);
    encodings
}

/// Whether 32 bytes are the canonical encoding of a field element. For public values.
pub fn is_canonical(encoding: &Bytes) -> bool {
    let top_set = encoding[31] & 0x80 != 0;
    let all_ones = encoding[31] == 0x7f && encoding[1..31].iter().all(|byte| *byte == 0xff);
    !(top_set || all_ones && encoding[0] >= 0xed)
}

/// A point with x = X/Z, y = Y/Z, T = XY/Z.
#[derive(Clone, Copy)]
pub struct Extended<F> {
    /// X.
    pub x: F,
    /// Y.
    pub y: F,
    /// Z, never zero.
    pub z: F,
    /// T.
    pub t: F,
}

/// An affine point prepared as the right side of an addition.
#[derive(Clone, Copy)]
pub struct Niels<F> {
    /// y + x.
    pub plus: F,
    /// y - x.
    pub minus: F,
    /// 2 d x y.
    pub t2d: F,
}

/// A projective point prepared as the right side of an addition.
#[derive(Clone, Copy)]
pub struct Cached<F> {
    /// Y + X.
    pub plus: F,
    /// Y - X.
    pub minus: F,
    /// Z.
    pub z: F,
    /// 2 d T.
    pub t2d: F,
}

impl<F: Field> Niels<F> {
    /// The neutral element.
    #[inline(always)]
    pub fn identity() -> Self {
        Niels {
            plus: F::one(),
            minus: F::one(),
            t2d: F::zero(),
        }
    }

    /// From affine coordinates.
    #[inline(always)]
    pub fn from_affine(x: F, y: F) -> Self {
        Niels {
            plus: y.add(x),
            minus: y.sub(x),
            t2d: x.mul(y).mul(F::splat(TWO_D)),
        }
    }

    /// The negative in the lanes of the mask.
    #[inline(always)]
    pub fn negate_if(self, mask: F::Mask) -> Self {
        let (mut plus, mut minus) = (self.plus, self.minus);
        F::swap(mask, &mut plus, &mut minus);
        Niels {
            plus,
            minus,
            t2d: self.t2d.negate_if(mask),
        }
    }
}

impl<F: Field> Cached<F> {
    /// The negative in the lanes of the mask.
    #[inline(always)]
    pub fn negate_if(self, mask: F::Mask) -> Self {
        let (mut plus, mut minus) = (self.plus, self.minus);
        F::swap(mask, &mut plus, &mut minus);
        Cached {
            plus,
            minus,
            z: self.z,
            t2d: self.t2d.negate_if(mask),
        }
    }

    /// The negative.
    #[inline(always)]
    pub fn negated(self) -> Self {
        Cached {
            plus: self.minus,
            minus: self.plus,
            z: self.z,
            t2d: self.t2d.neg(),
        }
    }
}

/// The four factors whose products are the coordinates of a sum or double.
struct Completed<F> {
    e: F,
    f: F,
    g: F,
    h: F,
}

impl<F: Field> Completed<F> {
    #[inline(always)]
    fn extended(self) -> Extended<F> {
        Extended {
            x: self.e.mul(self.f),
            y: self.g.mul(self.h),
            z: self.f.mul(self.g),
            t: self.e.mul(self.h),
        }
    }

    /// Leaves T alone: for a result that is doubled next.
    #[inline(always)]
    fn projective(self) -> Extended<F> {
        Extended {
            x: self.e.mul(self.f),
            y: self.g.mul(self.h),
            z: self.f.mul(self.g),
            t: F::zero(),
        }
    }
}

impl<F: Field> Extended<F> {
    /// The neutral element.
    #[inline(always)]
    pub fn identity() -> Self {
        Extended {
            x: F::zero(),
            y: F::one(),
            z: F::one(),
            t: F::zero(),
        }
    }

    /// From affine coordinates.
    #[inline(always)]
    pub fn from_affine(x: F, y: F) -> Self {
        Extended {
            x,
            y,
            z: F::one(),
            t: x.mul(y),
        }
    }

    /// Prepares the right side of an addition.
    #[inline(always)]
    pub fn cached(self) -> Cached<F> {
        Cached {
            plus: self.y.add(self.x),
            minus: self.y.sub(self.x),
            z: self.z,
            t2d: self.t.mul(F::splat(TWO_D)),
        }
    }

    /// Sum with an affine point: 7 products.
    #[inline(always)]
    pub fn add_niels(self, other: &Niels<F>) -> Self {
        let a = self.y.sub(self.x).mul_wide(other.minus);
        let b = self.y.add(self.x).mul_wide(other.plus);
        let c = self.t.mul_wide(other.t2d);
        let z = self.z.widen();
        let d = F::wide_add(z, z);
        Self::complete(a, b, c, d).extended()
    }

    #[inline(always)]
    fn complete(a: F::Wide, b: F::Wide, c: F::Wide, d: F::Wide) -> Completed<F> {
        Completed {
            e: F::reduce(F::wide_sub(b, a)),
            f: F::reduce(F::wide_sub(d, c)),
            g: F::reduce(F::wide_add(d, c)),
            h: F::reduce(F::wide_add(b, a)),
        }
    }

    #[inline(always)]
    fn completed_sum(self, other: &Cached<F>) -> Completed<F> {
        let a = self.y.sub(self.x).mul_wide(other.minus);
        let b = self.y.add(self.x).mul_wide(other.plus);
        let c = self.t.mul_wide(other.t2d);
        let z = self.z.mul_wide(other.z);
        Self::complete(a, b, c, F::wide_add(z, z))
    }

    /// Sum with a projective point: 8 products.
    #[inline(always)]
    pub fn add_cached(self, other: &Cached<F>) -> Self {
        self.completed_sum(other).extended()
    }

    /// Sum with a projective point, without T: 7 products.
    #[inline(always)]
    pub fn add_cached_projective(self, other: &Cached<F>) -> Self {
        self.completed_sum(other).projective()
    }

    /// The double up to the sign of all four factors, which cancels.
    #[inline(always)]
    fn completed_double(self) -> Completed<F> {
        let a = self.x.square_wide();
        let b = self.y.square_wide();
        let z = self.z.square_wide();
        let sum = self.x.add(self.y).square_wide();
        let h = F::reduce(F::wide_add(a, b));
        let g = F::reduce(F::wide_sub(b, a));
        Completed {
            e: F::reduce(F::wide_sub(sum, h.widen())),
            f: F::reduce(F::wide_sub(F::wide_add(z, z), g.widen())),
            g,
            h,
        }
    }

    /// The double: 4 squares and 4 products; T of the argument is not read.
    #[inline(always)]
    pub fn double(self) -> Self {
        self.completed_double().extended()
    }

    /// The double without T: 4 squares and 3 products.
    #[inline(always)]
    pub fn double_projective(self) -> Self {
        self.completed_double().projective()
    }

    /// 2^k times the point, for k of at least 1; T of the argument is not read.
    #[inline(always)]
    pub fn double_times(self, k: u32) -> Self {
        let mut point = self;
        for _ in 1..k {
            point = point.double_projective();
        }
        point.double()
    }

    /// Lanes in which both are the same point.
    #[inline(always)]
    pub fn equal(&self, other: &Self) -> F::Mask {
        let x = self.x.mul(other.z).equal(other.x.mul(self.z));
        x.and(self.y.mul(other.z).equal(other.y.mul(self.z)))
    }

    /// `if_set` in the lanes of the mask, `if_clear` in the others.
    #[inline(always)]
    pub fn select(mask: F::Mask, if_set: &Self, if_clear: &Self) -> Self {
        Extended {
            x: F::select(mask, if_set.x, if_clear.x),
            y: F::select(mask, if_set.y, if_clear.y),
            z: F::select(mask, if_set.z, if_clear.z),
            t: F::select(mask, if_set.t, if_clear.t),
        }
    }

    /// What has to be inverted for [`Extended::montgomery`]: 1 in lanes with the neutral element.
    #[inline(always)]
    pub fn montgomery_denominator(&self) -> F {
        let product = self.z.sub(self.y).mul(self.x);
        F::select(product.is_zero(), F::one(), product)
    }

    /// (u, v) on v^2 = u^3 + 486662 u^2 + u, given the inverse of the denominator; meaningless
    /// for points of order two or less.
    #[inline(always)]
    pub fn montgomery(&self, inverse: F) -> (F, F) {
        let scaled = self.z.add(self.y).mul(inverse);
        let v = scaled.mul(self.z).mul(F::splat(MONTGOMERY_FACTOR));
        (scaled.mul(self.x), v)
    }
}

/// Lanes whose affine coordinates satisfy the curve equation.
#[inline(always)]
pub fn on_curve<F: Field>(x: F, y: F) -> F::Mask {
    let (x2, y2) = (x.square(), y.square());
    let right = F::one().add(x2.mul(y2).mul(F::splat(D)));
    y2.sub(x2).equal(right)
}

/// The entry at a secret index below 8, the same for all lanes, negated where `negative` is 1; all
/// entries are read.
#[inline(always)]
pub fn scan<F: Field>(table: &[Cached<F>; 8], index: u32, negative: u32) -> Cached<F> {
    let lanes = (1u32 << F::LANES) - 1;
    let mask = |bit: u32| F::Mask::from_bits(bit.wrapping_neg() & lanes);
    let digits = [mask(index & 1), mask(index >> 1 & 1), mask(index >> 2 & 1)];
    macro_rules! pick {
        ($coordinate:ident) => {{
            let mut quarter = [F::zero(); 4];
            for (position, slot) in quarter.iter_mut().enumerate() {
                let (odd, even) = (&table[2 * position + 1], &table[2 * position]);
                *slot = F::select(digits[0], odd.$coordinate, even.$coordinate);
            }
            let high = F::select(digits[1], quarter[3], quarter[2]);
            let low = F::select(digits[1], quarter[1], quarter[0]);
            F::select(digits[2], high, low)
        }};
    }
    Cached {
        plus: pick!(plus),
        minus: pick!(minus),
        z: pick!(z),
        t2d: pick!(t2d),
    }
    .negate_if(mask(negative))
}
