//! The ristretto255 group in batches: one secret scalar times many elements.
//!
//! Source: RFC 9496, section 4.

use atoll_simd::{Pool, Target};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::edwards::{Bytes, D, Extended, is_canonical, load_with, scan, stored};
use crate::field::{Constant, Field, FieldKernel, LaneMask, dispatch};
use crate::scalar::{odd_representative, reduce_wide, signed_bits};

const INVERSE_ROOT_A_MINUS_D: Constant = Constant([
    0x99c8_fdaa_805d_40ea,
    0x9d2f_1617_5a41_72be,
    0x16c2_7b91_fe01_d840,
    0x786c_8905_cfaf_fca2,
]);
const ONE_MINUS_D_SQUARED: Constant = Constant([
    0xe27c_09c1_945f_c176,
    0x2c81_a138_cd5e_350f,
    0x9994_abdd_be70_dfe4,
    0x0290_72a8_b2b3_e0d7,
]);
const D_MINUS_ONE_SQUARED: Constant = Constant([
    0x31ad_5aaa_44ed_4d20,
    0xd29e_4a2c_b01e_1999,
    0x4cdc_d32f_529b_4eeb,
    0x5968_b37a_f66c_2241,
]);
const ROOT_AD_MINUS_ONE: Constant = Constant([
    0x7e97_f6a0_497b_2e1b,
    0xaf9d_8e0c_1b78_54bd,
    0x0f3c_fcc9_31f5_d1fd,
    0x3769_31bf_2b83_48ac,
]);
/// Elements that a task takes from the pool.
const TASK: usize = 2048;
/// Windows of four bits.
const WINDOWS: usize = 64;

/// A secret scalar modulo the group order; cleared when dropped, shown nowhere.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Scalar([u64; 4]);

impl Scalar {
    /// From 64 uniform bytes.
    pub fn new(mut entropy: [u8; 64]) -> Scalar {
        let mut reduced = reduce_wide(&entropy);
        let scalar = Scalar(signed_bits(&odd_representative(&reduced)));
        entropy.zeroize();
        reduced.zeroize();
        scalar
    }

    /// The scalar times each element.
    ///
    /// # Errors
    /// The first position that is no canonical encoding, or the neutral element.
    pub fn multiply(
        &self,
        target: Target,
        pool: &Pool,
        elements: &[Bytes],
    ) -> Result<Vec<Bytes>, usize> {
        let mut products = vec![[0; 32]; elements.len()];
        let tasks = elements.chunks(TASK).zip(products.chunks_mut(TASK));
        let valid = pool.map(tasks.collect(), |(elements, products)| {
            dispatch(
                target,
                Multiply {
                    secret: &self.0,
                    elements,
                    products,
                },
            )
        });
        match valid.into_iter().all(|valid| valid) {
            true => Ok(products),
            false => Err(first_bad(target, elements)),
        }
    }
}

/// The element that each row of 64 uniform bytes maps to.
pub fn from_uniform(target: Target, pool: &Pool, rows: &[[u8; 64]]) -> Vec<Bytes> {
    let mut elements = vec![[0; 32]; rows.len()];
    let tasks = rows.chunks(TASK).zip(elements.chunks_mut(TASK));
    pool.map(tasks.collect(), |(rows, elements)| {
        dispatch(target, Map { rows, elements });
    });
    elements
}

fn first_bad(target: Target, elements: &[Bytes]) -> usize {
    let bad = elements.iter().position(|element| {
        let elements = std::slice::from_ref(element);
        let products = &mut [[0; 32]];
        let secret = &signed_bits(&[1, 0, 0, 0]);
        !dispatch(
            target,
            Multiply {
                secret,
                elements,
                products,
            },
        )
    });
    bad.unwrap_or(0)
}

struct Multiply<'a> {
    secret: &'a [u64; 4],
    elements: &'a [Bytes],
    products: &'a mut [Bytes],
}

impl FieldKernel for Multiply<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<F: Field>(self) -> bool {
        let mut valid = true;
        let groups = self.elements.chunks(F::LANES);
        for (elements, products) in groups.zip(self.products.chunks_mut(F::LANES)) {
            let last = elements.len() - 1;
            let s = load_with::<F>(|lane| &elements[lane.min(last)]);
            let canonical = elements.iter().all(is_canonical);
            let neutral = elements.contains(&[0; 32]);
            let (decoded, point) = decode(s);
            valid &= canonical && !neutral && decoded.not().bits() == 0;
            let encoded = stored(encode(&multiply(self.secret, &point)));
            products.copy_from_slice(&encoded[..products.len()]);
        }
        valid
    }
}

struct Map<'a> {
    rows: &'a [[u8; 64]],
    elements: &'a mut [Bytes],
}

impl FieldKernel for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        let groups = self.rows.chunks(F::LANES);
        for (rows, elements) in groups.zip(self.elements.chunks_mut(F::LANES)) {
            let last = rows.len() - 1;
            let mut sum = Extended::<F>::identity();
            for half in 0..2 {
                let value = load_with::<F>(|lane| &rows[lane.min(last)].as_chunks::<32>().0[half]);
                sum = sum.add_cached(&map(value).cached());
            }
            let encoded = stored(encode(&sum));
            elements.copy_from_slice(&encoded[..elements.len()]);
        }
    }
}

/// A secret in signed bits times a point: windows of four bits, odd digits.
#[inline(always)]
fn multiply<F: Field>(secret: &[u64; 4], point: &Extended<F>) -> Extended<F> {
    let twice = point.double().cached();
    let mut table = [point.cached(); 8];
    let mut multiple = *point;
    for entry in table.iter_mut().skip(1) {
        multiple = multiple.add_cached(&twice);
        *entry = multiple.cached();
    }
    let mut sum = Extended::identity();
    for window in (0..WINDOWS).rev() {
        let bits = (secret[window / 16] >> (4 * (window % 16)) & 15) as u32;
        let negative = 1 ^ bits >> 3;
        let entry = scan(&table, (bits ^ negative.wrapping_neg()) & 7, negative);
        sum = sum.double_times(4).add_cached(&entry);
    }
    sum
}

/// Lanes that hold a non-negative encoding of an element, and the elements.
#[inline(always)]
fn decode<F: Field>(s: F) -> (F::Mask, Extended<F>) {
    let square = s.square();
    let (u1, u2) = (F::one().sub(square), F::one().add(square));
    let u2_squared = u2.square();
    let v = u1.square().mul(F::splat(D)).add(u2_squared).neg();
    let (was_square, root) = F::sqrt_ratio(F::one(), v.mul(u2_squared));
    let x_part = root.mul(u2);
    let x = s.double().mul(x_part);
    let x = x.negate_if(x.is_odd());
    let y = u1.mul(root.mul(x_part).mul(v));
    let t = x.mul(y);
    let bad = s.is_odd().or(t.is_odd()).or(y.is_zero());
    (
        was_square.and(bad.not()),
        Extended {
            x,
            y,
            z: F::one(),
            t,
        },
    )
}

/// The encoding of each element, as a field element.
#[inline(always)]
fn encode<F: Field>(point: &Extended<F>) -> F {
    let u1 = point.z.add(point.y).mul(point.z.sub(point.y));
    let u2 = point.x.mul(point.y);
    let (_, root) = F::sqrt_ratio(F::one(), u1.mul(u2.square()));
    let (first, second) = (root.mul(u1), root.mul(u2));
    let z_inverse = first.mul(second).mul(point.t);
    let rotate = point.t.mul(z_inverse).is_odd();
    let i = F::splat(Constant::SQRT_MINUS_ONE);
    let x = F::select(rotate, point.y.mul(i), point.x);
    let y = F::select(rotate, point.x.mul(i), point.y);
    let turned = first.mul(F::splat(INVERSE_ROOT_A_MINUS_D));
    let denominator = F::select(rotate, turned, second);
    let y = y.negate_if(x.mul(z_inverse).is_odd());
    let s = denominator.mul(point.z.sub(y));
    s.negate_if(s.is_odd())
}

/// The element that a field element maps to.
#[inline(always)]
fn map<F: Field>(value: F) -> Extended<F> {
    let (one, d) = (F::one(), F::splat(D));
    let r = F::splat(Constant::SQRT_MINUS_ONE).mul(value.square());
    let u = r.add(one).mul(F::splat(ONE_MINUS_D_SQUARED));
    let v = r.mul(d).add(one).neg().mul(r.add(d));
    let (was_square, s) = F::sqrt_ratio(u, v);
    let other = s.mul(value);
    let other = other.negate_if(other.is_odd().not());
    let s = F::select(was_square, s, other);
    let c = F::select(was_square, one.neg(), r);
    let n = c.mul(r.sub(one)).mul(F::splat(D_MINUS_ONE_SQUARED)).sub(v);
    let w0 = s.double().mul(v);
    let w1 = n.mul(F::splat(ROOT_AD_MINUS_ONE));
    let square = s.square();
    let (w2, w3) = (one.sub(square), one.add(square));
    Extended {
        x: w0.mul(w3),
        y: w2.mul(w1),
        z: w1.mul(w3),
        t: w0.mul(w2),
    }
}
