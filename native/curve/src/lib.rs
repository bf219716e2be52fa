//! Batch Curve25519: scalar multiplication, hash-to-group and EC-ElGamal pairs.

pub mod field;
pub mod hash_to_curve;
mod montgomery;
pub mod x25519;
