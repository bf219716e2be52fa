//! X25519 for one secret scalar and many points.

use atoll_simd::{Pool, Target};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::field::{Field, FieldKernel, LaneMask, dispatch};
use crate::hash_to_curve::map_group;
use crate::messages::{Domain, Messages};
use crate::montgomery::{GROUP, TOGETHER, clamp, divide, ladder, on_curve};
use crate::sha512::{EXPANDED, expand_all};

/// Points a task takes from the pool.
const TASK: usize = 4096;

/// Why a batch was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An encoding is p or more, or has its top bit set.
    NotCanonical,
    /// A point belongs to the twist.
    Twist,
    /// A product is the point at infinity: the input had small order.
    Zero,
}

/// A refused batch: the kind of the first refused point, its position, and how many there are of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong with the first one.
    pub kind: Refusal,
    /// Its position in the batch.
    pub first: usize,
    /// How many points of the batch are refused.
    pub count: usize,
}

/// A secret scalar; cleared when dropped, shown nowhere.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Scalar([u8; 32]);

impl Scalar {
    /// From 32 uniform bytes.
    pub fn new(mut entropy: [u8; 32]) -> Scalar {
        let scalar = Scalar(clamp(entropy));
        entropy.zeroize();
        scalar
    }

    /// The scalar times each point, by u-coordinates.
    ///
    /// Refuses the whole batch if a point is not canonical, lies on the twist, or has small order.
    /// Time depends on the number of points and on nothing else, unless the batch is refused.
    pub fn multiply(
        &self,
        target: Target,
        pool: &Pool,
        points: &[[u8; 32]],
    ) -> Result<Vec<[u8; 32]>, Refused> {
        self.multiply_then(target, pool, points, |_| ())
    }

    /// SHA-256 of a label and the scalar times each point; refuses what `multiply` refuses.
    ///
    /// The label fills a block, so that each point costs one compression.
    pub fn multiply_and_hash(
        &self,
        target: Target,
        pool: &Pool,
        points: &[[u8; 32]],
        label: &[u8; 64],
    ) -> Result<Vec<[u8; 32]>, Refused> {
        let start = Sha256::new().chain_update(label);
        self.multiply_then(target, pool, points, |products| {
            for product in products {
                let hash = start.clone().chain_update(*product).finalize();
                product.copy_from_slice(&hash);
            }
        })
    }

    fn multiply_then(
        &self,
        target: Target,
        pool: &Pool,
        points: &[[u8; 32]],
        then: impl Fn(&mut [[u8; 32]]) + Sync,
    ) -> Result<Vec<[u8; 32]>, Refused> {
        let mut products = vec![[0u8; 32]; points.len()];
        let tasks = points.chunks(TASK).zip(products.chunks_mut(TASK)).collect();
        let refused = pool.map(
            tasks,
            |(points, products): (&[[u8; 32]], &mut [[u8; 32]])| {
                let mut verdict = canonical_verdict(points);
                dispatch(
                    target,
                    Multiply {
                        scalar: &self.0,
                        points,
                        products,
                        verdict: Some(&mut verdict),
                    },
                );
                then(products);
                verdict
            },
        );
        match merge(refused.iter()) {
            None => Ok(products),
            Some(refused) => {
                products.zeroize();
                Err(refused)
            }
        }
    }

    /// The scalar times the hash of each message to the curve.
    pub fn hash_and_multiply(
        &self,
        target: Target,
        pool: &Pool,
        messages: Messages<'_>,
        domain: &Domain,
    ) -> Vec<[u8; 32]> {
        let mut products = vec![[0u8; 32]; messages.len()];
        let tasks = messages
            .split(TASK)
            .into_iter()
            .zip(products.chunks_mut(TASK))
            .collect();
        pool.map(
            tasks,
            |(messages, products): (Messages<'_>, &mut [[u8; 32]])| {
                let expanded = expand_all(target, messages, domain);
                let (scalar, expanded) = (&self.0, &expanded[..]);
                let kernel = HashMultiply {
                    scalar,
                    expanded,
                    products,
                };
                dispatch(target, kernel);
            },
        );
        products
    }
}

/// RFC 7748's function, which accepts any 32 bytes: for test vectors and measurements.
pub fn x25519(target: Target, scalar: &[u8; 32], points: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut products = vec![[0u8; 32]; points.len()];
    let scalar = clamp(*scalar);
    dispatch(
        target,
        Multiply {
            scalar: &scalar,
            points,
            products: &mut products,
            verdict: None,
        },
    );
    products
}

/// Marks the encodings that are p or more, or have the top bit set.
fn canonical_verdict(points: &[[u8; 32]]) -> Vec<Option<Refusal>> {
    let not_canonical = |point: &[u8; 32]| {
        point[31] > 127
            || (point[31] == 127 && point[0] >= 237 && point[1..31].iter().all(|byte| *byte == 255))
    };
    points
        .iter()
        .map(|point| not_canonical(point).then_some(Refusal::NotCanonical))
        .collect()
}

fn merge<'a>(verdicts: impl Iterator<Item = &'a Vec<Option<Refusal>>>) -> Option<Refused> {
    let mut refused: Option<Refused> = None;
    for (index, kind) in verdicts
        .flatten()
        .enumerate()
        .filter_map(|(index, kind)| Some((index, (*kind)?)))
    {
        let entry = refused.get_or_insert(Refused {
            kind,
            first: index,
            count: 0,
        });
        entry.count += 1;
    }
    refused
}

/// Marks the lanes that are not set.
#[inline(always)]
fn mark<M: LaneMask>(verdict: &mut [Option<Refusal>], fine: M, kind: Refusal) {
    let bits = fine.bits();
    for (lane, slot) in verdict.iter_mut().enumerate() {
        if bits >> lane & 1 == 0 && slot.is_none() {
            *slot = Some(kind);
        }
    }
}

/// Loads up to `LANES` encodings; missing lanes hold the base point.
#[inline(always)]
fn load<F: Field>(points: &[[u8; 32]]) -> F {
    let mut padded = [[0u8; 32]; 8];
    for (index, slot) in padded[..F::LANES].iter_mut().enumerate() {
        match points.get(index) {
            Some(point) => *slot = *point,
            None => slot[0] = 9,
        }
    }
    F::load(&padded[..F::LANES])
}

/// Stores as many lanes as `out` has room for.
#[inline(always)]
fn store<F: Field>(value: F, out: &mut [[u8; 32]]) {
    let mut padded = [[0u8; 32]; 8];
    value.store(&mut padded[..F::LANES]);
    out.copy_from_slice(&padded[..out.len()]);
}

struct Multiply<'a> {
    scalar: &'a [u8; 32],
    points: &'a [[u8; 32]],
    products: &'a mut [[u8; 32]],
    /// Filled in strict mode; as long as `points`.
    verdict: Option<&'a mut Vec<Option<Refusal>>>,
}

impl FieldKernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        let step = GROUP * F::LANES;
        let mut verdict = self.verdict;
        for (group, (points, products)) in self
            .points
            .chunks(step)
            .zip(self.products.chunks_mut(step))
            .enumerate()
        {
            let mut loaded = [F::zero(); GROUP];
            for (slot, chunk) in loaded.iter_mut().zip(points.chunks(F::LANES)) {
                *slot = load(chunk);
            }
            let verdict = verdict
                .as_deref_mut()
                .map(|all| &mut all[group * step..group * step + points.len()]);
            multiply_group(self.scalar, &mut loaded, products, verdict);
        }
    }
}

/// Replaces up to [`GROUP`] vectors by their products and stores them.
#[inline(always)]
fn multiply_group<F: Field>(
    scalar: &[u8; 32],
    points: &mut [F; GROUP],
    products: &mut [[u8; 32]],
    verdict: Option<&mut [Option<Refusal>]>,
) {
    let used = products.len().div_ceil(F::LANES);
    let mut denominators = [F::one(); GROUP];
    let strict = verdict.is_some();
    let mut none = [];
    let verdict = verdict.unwrap_or(&mut none);
    if strict {
        check_curve(&points[..used], verdict);
    }
    for (point, denominator) in points[..used].iter_mut().zip(&mut denominators) {
        (*point, *denominator) = ladder(scalar, *point);
    }
    divide(&mut points[..used], &mut denominators[..used]);
    for (index, (product, out)) in points.iter().zip(products.chunks_mut(F::LANES)).enumerate() {
        if strict {
            let end = verdict.len().min((index + 1) * F::LANES);
            mark(
                &mut verdict[index * F::LANES..end],
                product.is_zero().not(),
                Refusal::Zero,
            );
        }
        store(*product, out);
    }
}

/// Marks the points of the twist.
#[inline(always)]
fn check_curve<F: Field>(points: &[F], verdict: &mut [Option<Refusal>]) {
    let slots = verdict.chunks_mut(TOGETHER * F::LANES);
    for (group, slots) in points.chunks(TOGETHER).zip(slots) {
        let mut together = [group[0]; TOGETHER];
        together[..group.len()].copy_from_slice(group);
        let fine = on_curve(together);
        for (fine, slots) in fine.iter().zip(slots.chunks_mut(F::LANES)) {
            mark(slots, *fine, Refusal::Twist);
        }
    }
}

struct HashMultiply<'a> {
    scalar: &'a [u8; 32],
    expanded: &'a [[u8; EXPANDED]],
    products: &'a mut [[u8; 32]],
}

impl FieldKernel for HashMultiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        let step = GROUP * F::LANES;
        for (expanded, products) in self
            .expanded
            .chunks(step)
            .zip(self.products.chunks_mut(step))
        {
            let mut points = map_group::<F>(expanded);
            multiply_group(self.scalar, &mut points, products, None);
        }
    }
}

#[cfg(test)]
mod tests;
