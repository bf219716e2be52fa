//! EC-ElGamal pairs: (r G, g G + r P1, h G + r P2) for two integers g and h.
//!
//! One randomiser for two independent keys is sound (Bellare, Boldyreva, Staddon 2003). The
//! evaluator adds, multiplies by eight and adds a fresh encryption of zero; the key owner decodes
//! 8 (C - x R) in base 64 G, so that no torsion survives on either side.

mod cells;
mod decrypt;
mod encrypt;
mod histogram;
mod keys;
mod vector;

pub use cells::Cells;
pub use decrypt::Bounds;
pub use histogram::Bins;
pub use keys::{PublicKey, SecretKey};
pub use vector::Vector;

use crate::edwards::Bytes;

/// Bytes of a pair on the wire: three affine points, x then y.
pub const PAIR_BYTES: usize = 192;
/// The wire form as coordinates: x and y of r G, of the g part, of the h part.
pub type WirePair = [Bytes; 6];

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairError {
    /// Lengths that do not belong together, or a size without a use.
    Shape,
    /// A row, bin, column or cut that does not exist.
    Index,
    /// A coordinate that is not canonical or a point that is not on the curve.
    Point,
    /// A key that is not of prime order, is neutral, or has two equal points.
    Key,
    /// A decryption range that is empty or too wide.
    Bounds,
}

#[cfg(test)]
mod tests;
