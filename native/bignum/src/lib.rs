//! Arithmetic modulo large odd numbers, many residues at once.
//!
//! Residues are held in Montgomery form in the layout of the level: groups of one, four or eight,
//! limb by limb, each limb of all residues of a group side by side. What an operation costs depends
//! on sizes alone, never on values, exponents and digits included.

mod batch;
mod dispatch;
mod engine;
mod fixed_base;
mod lanes4;
mod lanes8;
mod modulus;
mod paillier;
mod portable;
mod primes;
#[cfg(test)]
mod tests;
mod validity;
mod weighted;
mod words;

pub use batch::{MismatchedResidues, Residues};
pub use fixed_base::FixedBase;
pub use modulus::{Modulus, UnusableModulus};
pub use paillier::{PrivateKey, PublicKey};
pub use primes::Primes;
pub use validity::{proof_size, prove, verify};
pub use weighted::Weights;
