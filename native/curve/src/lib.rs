//! Batch Curve25519: scalar multiplication, hash-to-group and EC-ElGamal pairs.

pub mod field;
