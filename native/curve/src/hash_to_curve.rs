//! `curve25519_XMD:SHA-512_ELL2_RO_` for batches of messages, as u-coordinates.
//!
//! Source: RFC 9380, sections 3, 5 and 6.7.1.

use atoll_simd::{Kernel1, Pool, Target};
use sha2::{Digest, Sha512};

use crate::field::{Constant, Field, FieldKernel, LaneMask, dispatch};
use crate::montgomery::{A, GROUP, divide, double};

/// Bytes of expansion for each message: two field elements of 48.
const EXPANDED: usize = 96;
/// 2^((p + 3) / 8).
const ROOT_OF_TWO: Constant = Constant([
    0xc4ee_1b27_4a0e_a0b1,
    0x2f43_1806_ad2f_e478,
    0x2b4d_0099_3dfb_d7a7,
    0x2b83_2480_4fc1_df0b,
]);
/// A^2.
const A_SQUARED: Constant = Constant::small(486_662 * 486_662);

/// A domain separation tag with its length behind it.
pub struct Domain(Vec<u8>);

impl Domain {
    /// From a tag of 1 to 255 bytes; `None` for other lengths.
    pub fn new(tag: &[u8]) -> Option<Domain> {
        let length = u8::try_from(tag.len()).ok().filter(|length| *length > 0)?;
        Some(Domain([tag, &[length]].concat()))
    }
}

/// Many messages in one buffer.
#[derive(Clone, Copy)]
pub struct Messages<'a> {
    bytes: &'a [u8],
    offsets: &'a [i64],
}

impl<'a> Messages<'a> {
    /// Message i is `bytes[offsets[i]..offsets[i + 1]]`. `None` unless the offsets ascend within the buffer.
    pub fn new(bytes: &'a [u8], offsets: &'a [i64]) -> Option<Messages<'a>> {
        let first = *offsets.first()?;
        let last = usize::try_from(*offsets.last()?).ok()?;
        let ascending = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        (first >= 0 && ascending && last <= bytes.len()).then_some(Messages { bytes, offsets })
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One message.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        &self.bytes[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// Parts of at most `size` messages.
    pub(crate) fn split(&self, size: usize) -> Vec<Messages<'a>> {
        let parts = (0..self.len()).step_by(size);
        parts
            .map(|start| {
                let end = self.len().min(start + size);
                Messages {
                    bytes: self.bytes,
                    offsets: &self.offsets[start..=end],
                }
            })
            .collect()
    }
}

/// Hashes each message to the curve; u-coordinates in canonical encoding.
pub fn hash_to_curve(
    target: Target,
    pool: &Pool,
    messages: Messages<'_>,
    domain: &Domain,
) -> Vec<[u8; 32]> {
    let mut points = vec![[0u8; 32]; messages.len()];
    let tasks = messages
        .split(4096)
        .into_iter()
        .zip(points.chunks_mut(4096))
        .collect();
    pool.map(
        tasks,
        |(messages, points): (Messages<'_>, &mut [[u8; 32]])| {
            dispatch(
                target,
                Hash {
                    messages,
                    domain,
                    points,
                },
            );
        },
    );
    points
}

struct Hash<'a> {
    messages: Messages<'a>,
    domain: &'a Domain,
    points: &'a mut [[u8; 32]],
}

impl FieldKernel for Hash<'_> {
    type Output = ();

    #[inline(always)]
    fn run<F: Field>(self) {
        let step = GROUP * F::LANES;
        for (messages, points) in self
            .messages
            .split(step)
            .into_iter()
            .zip(self.points.chunks_mut(step))
        {
            let group = map_group::<F>(messages, self.domain);
            for (value, out) in group.iter().zip(points.chunks_mut(F::LANES)) {
                let mut padded = [[0u8; 32]; 8];
                value.store(&mut padded[..F::LANES]);
                out.copy_from_slice(&padded[..out.len()]);
            }
        }
    }
}

/// The u-coordinates of up to `GROUP * LANES` messages.
#[inline(always)]
pub(crate) fn map_group<F: Field>(messages: Messages<'_>, domain: &Domain) -> [F; GROUP] {
    let (mut numerators, mut denominators) = ([F::zero(); GROUP], [F::one(); GROUP]);
    let used = messages.len().div_ceil(F::LANES);
    for index in 0..used {
        let (first, second) = elements::<F>(messages, index * F::LANES, domain);
        (numerators[index], denominators[index]) =
            add_and_clear(&elligator(first), &elligator(second));
    }
    divide(&mut numerators[..used], &mut denominators[..used]);
    numerators
}

/// hash_to_field for `LANES` messages from `start`; lanes past the end hash nothing and hold zero.
#[inline(always)]
fn elements<F: Field>(messages: Messages<'_>, start: usize, domain: &Domain) -> (F, F) {
    let mut low = [[[0u8; 32]; 8]; 2];
    let mut high = [[[0u8; 32]; 8]; 2];
    for lane in 0..F::LANES.min(messages.len() - start) {
        let uniform = expand(messages.get(start + lane), domain);
        for (half, bytes) in uniform.chunks_exact(48).enumerate() {
            split(bytes, &mut low[half][lane], &mut high[half][lane]);
        }
    }
    let join = |half: usize| {
        let high = F::load(&high[half][..F::LANES]).mul_small(19);
        F::load(&low[half][..F::LANES]).add(high)
    };
    (join(0), join(1))
}

/// 48 big-endian bytes as low + 2^255 high, both little-endian.
#[inline(always)]
fn split(bytes: &[u8], low: &mut [u8; 32], high: &mut [u8; 32]) {
    for (slot, byte) in low.iter_mut().zip(bytes.iter().rev()) {
        *slot = *byte;
    }
    let mut carried = low[31] >> 7;
    low[31] &= 127;
    for (slot, byte) in high.iter_mut().zip(bytes[..16].iter().rev()) {
        *slot = byte << 1 | carried;
        carried = byte >> 7;
    }
    high[16] = carried;
}

/// expand_message_xmd with SHA-512 to 96 bytes.
fn expand(message: &[u8], domain: &Domain) -> [u8; EXPANDED] {
    let first = Sha512::new()
        .chain_update([0u8; 128])
        .chain_update(message)
        .chain_update([0, EXPANDED as u8, 0])
        .chain_update(&domain.0)
        .finalize();
    let block = |chained: &[u8], index: u8| {
        Sha512::new()
            .chain_update(chained)
            .chain_update([index])
            .chain_update(&domain.0)
            .finalize()
    };
    let one = block(&first, 1);
    let mixed: [u8; 64] = std::array::from_fn(|i| first[i] ^ one[i]);
    let two = block(&mixed, 2);
    let mut expanded = [0u8; EXPANDED];
    expanded[..64].copy_from_slice(&one);
    expanded[64..].copy_from_slice(&two[..32]);
    expanded
}

/// A point (x / d, y).
struct Mapped<F> {
    x: F,
    d: F,
    y: F,
}

/// Elligator 2 with Z = 2, without branches.
///
/// With t = 2 u^2 and d = 1 + t (never zero): x1 = -A / d and g(x1) = n / d^3 for n = -A (d^2 - A^2 t).
/// c = (n / d^3)^((p + 3) / 8) is a root of it up to sqrt(-1), if there is one; otherwise
/// c u 2^((p + 3) / 8) is a root of g(x2) = t g(x1), up to sqrt(-1), for x2 = t x1.
#[inline(always)]
fn elligator<F: Field>(u: F) -> Mapped<F> {
    F::outlined(Elligator(u))
}

struct Elligator<F>(F);

impl<F: Field> Kernel1 for Elligator<F> {
    type Output = Mapped<F>;

    #[inline(always)]
    fn run(self) -> Mapped<F> {
        let u = self.0;
        let t = u.square().double();
        let d = t.add(F::one());
        let minus_a = F::splat(A).neg();
        let d2 = d.square();
        let n = minus_a.mul(d2.sub(t.mul(F::splat(A_SQUARED))));
        let d3 = d2.mul(d);
        let d6 = d3.square();
        let d9 = d6.mul(d3);
        let c = n.mul(d9).mul(n.mul(d9.square().mul(d3)).pow_p58());
        let sqrt_minus_one = F::splat(Constant::SQRT_MINUS_ONE);
        let check = c.square().mul(d3);
        let (plain, turned) = (check.equal(n), check.equal(n.neg()));
        let is_square = plain.or(turned);
        let other = c.mul(u).mul(F::splat(ROOT_OF_TWO));
        let other_plain = other.square().mul(d3).equal(n.mul(t));
        let y = F::select(is_square, c, other);
        let as_is = plain.or(other_plain.and(is_square.not()));
        let y = F::select(as_is, y, y.mul(sqrt_minus_one));
        Mapped {
            x: F::select(is_square, minus_a, minus_a.mul(t)),
            d,
            y: y.negate_if(y.is_odd().xor(is_square)),
        }
    }
}

/// 8 (P + Q) as a fraction.
///
/// The chord formula; equal or opposite P and Q, which no one can find, give (0, 0) or (x, 0).
#[inline(always)]
fn add_and_clear<F: Field>(p: &Mapped<F>, q: &Mapped<F>) -> (F, F) {
    F::outlined(Sum(p, q))
}

struct Sum<'a, F>(&'a Mapped<F>, &'a Mapped<F>);

impl<F: Field> Kernel1 for Sum<'_, F> {
    type Output = (F, F);

    #[inline(always)]
    fn run(self) -> (F, F) {
        let Sum(p, q) = self;
        let d = p.d.mul(q.d);
        let (px, qx) = (p.x.mul(q.d), q.x.mul(p.d));
        let run = qx.sub(px);
        let run2 = run.square();
        let rise2 = q.y.sub(p.y).square();
        let lost = run2.mul(d.mul(F::splat(A)).add(px).add(qx));
        let mut x = rise2.mul(d.square().mul(d)).sub(lost);
        let mut z = run2.mul(d);
        for _ in 0..3 {
            (x, z) = double(x, z);
        }
        (x, z)
    }
}

#[cfg(test)]
mod tests;
