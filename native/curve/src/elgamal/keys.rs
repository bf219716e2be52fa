//! Key pairs.

use std::sync::{Arc, OnceLock};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::Zeroize;

use super::PairError;
use crate::edwards::{Extended, is_canonical, on_curve};
use crate::field::{Field, Field51, LaneMask};
use crate::fixed_base::{Affine, BaseTable, Choice, Digits, multiply_public};
use crate::scalar::{ORDER, WINDOWS, reduce_wide, window};

/// Odd multiples of the base point.
pub(super) fn generator() -> &'static BaseTable {
    static TABLE: OnceLock<BaseTable> = OnceLock::new();
    TABLE.get_or_init(|| BaseTable::new(&Affine::base(), WINDOWS))
}

/// The two secret scalars; wiped when dropped.
pub struct SecretKey {
    pub(super) scalars: [[u64; 4]; 2],
    public: PublicKey,
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.scalars.zeroize();
    }
}

impl SecretKey {
    /// A key pair from 32 bytes of fresh entropy.
    pub fn generate(entropy: &[u8; 32]) -> Result<Self, PairError> {
        let mut rng = ChaCha20Rng::from_seed(*entropy);
        let mut wide = [[0u8; 64]; 2];
        wide.iter_mut().for_each(|half| rng.fill_bytes(half));
        let scalars = [reduce_wide(&wide[0]), reduce_wide(&wide[1])];
        wide.zeroize();
        let [first, second] = scalars.each_ref().map(base_multiple);
        let public = PublicKey::new(first, second)?;
        Ok(SecretKey { scalars, public })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }
}

/// A scalar times the base point, in constant time.
fn base_multiple(scalar: &[u64; 4]) -> Affine {
    // k + 2^254 may be written into the windows because k is below 2^253.
    let mut offset = *scalar;
    offset[3] += 1 << 62;
    let mut sum = Extended::<Field51>::identity().add_niels(&generator().closing().splat());
    for (position, table) in generator().prepare::<Field51>(WINDOWS).iter().enumerate() {
        let mut digits = Digits::default();
        digits.set(0, window(&offset, position));
        sum = sum.add_niels(&table.look_up(&Choice::new(&digits)));
    }
    offset.zeroize();
    Affine::from_extended(&sum)
}

struct Tables {
    points: [Affine; 2],
    tables: [BaseTable; 2],
}

/// The two public points with their tables; cheap to clone.
#[derive(Clone)]
pub struct PublicKey(Arc<Tables>);

impl PublicKey {
    fn new(first: Affine, second: Affine) -> Result<Self, PairError> {
        if first == second || !has_prime_order(&first) || !has_prime_order(&second) {
            return Err(PairError::Key);
        }
        Ok(PublicKey(Arc::new(Tables {
            points: [first, second],
            tables: [
                BaseTable::new(&first, WINDOWS),
                BaseTable::new(&second, WINDOWS),
            ],
        })))
    }

    /// Reads both points: canonical, of prime order, different.
    pub fn from_bytes(bytes: &[u8; 128]) -> Result<Self, PairError> {
        let (parts, _) = bytes.as_chunks::<32>();
        let point = |x: usize| Affine {
            x: parts[x],
            y: parts[x + 1],
        };
        PublicKey::new(point(0), point(2))
    }

    /// Both points, affine: x, y, x, y.
    pub fn to_bytes(&self) -> [u8; 128] {
        let mut bytes = [0; 128];
        let coordinates = self.0.points.iter().flat_map(|point| [point.x, point.y]);
        for (chunk, coordinate) in bytes.chunks_exact_mut(32).zip(coordinates) {
            chunk.copy_from_slice(&coordinate);
        }
        bytes
    }

    pub(super) fn tables(&self) -> &[BaseTable; 2] {
        &self.0.tables
    }
}

fn has_prime_order(point: &Affine) -> bool {
    if !is_canonical(&point.x) || !is_canonical(&point.y) {
        return false;
    }
    let (x, y) = (Field51::load(&[point.x]), Field51::load(&[point.y]));
    let multiple = multiply_public(&ORDER, &point.extended());
    on_curve(x, y).bits() == 1
        && *point != Affine::identity()
        && multiple.equal(&Extended::identity()).bits() == 1
}
