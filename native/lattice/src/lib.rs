//! Products of an encrypted vector by the vectors of a private matrix, over a ring of polynomials (RLWE).
//!
//! The holder of a [`SecretKey`] encrypts a vector v of numbers modulo t = 2^ℓ; whoever holds
//! a matrix of small integers computes its products with v, [`products`], and returns them so that they
//! say nothing else of the matrix; [`SecretKey::decrypt`] reads them. Both X^T r and X w are that: what
//! differs is which stride of the matrix runs along the vector. Sizes, moduli and noise follow from
//! public facts: [`Parameters`]. Symmetric encryption: b + a s = round(q v / t) + e (Brakerski 2012; Fan and
//! Vercauteren 2012), with a expanded from a seed.
//!
//! # Primes
//! One set of primes must serve all hosts, as it is what travels. AVX2 multiplies 32 bits by 32, four at a
//! time, and 27 bits leave room for a transform without one reduction (see `ntt`): four butterflies are
//! 3 multiplications, a shift and 4 additions. Primes of 30 bits would need a correction in each, which is
//! 3 more without a minimum of 64-bit lanes, and the 158 bits below take six of either. Primes of 50 bits,
//! which AVX-512 multiplies by IFMA, would be four, with a correction each: 11 · 4 against 8 · 6 operations
//! there, but more than 20 in place of 8 on AVX2. So AVX-512 runs the same code at eight lanes.
//!
//! # Cost
//! A matrix of R rows and C columns takes R C / N transforms a prime, of N / 2 · log2 N butterflies, and as
//! many times 2 N multiply-adds of 32 by 27 bits, of which 31 fit into 64 bits before they are folded.
//! For 10^6 × 100 entries of 20 bits and t = 2^64 these are 6 primes (158 bits are needed, 162 there) and
//! 73,800 transforms; 20.4 MB go in, 8.3 MB come back.
//!
//! # Limits
//! Circuit privacy holds against a holder of the key who follows the protocol: one who encrypts with
//! larger errors than stated drowns the flooding. Tables are indexed and branches taken by public
//! facts alone.

mod bytes;
mod error;
mod keys;
mod lanes;
mod ntt;
mod parameters;
mod prime;
mod product;
mod reply;
mod ring;
mod sample;
#[cfg(test)]
mod tests;
mod vector;

pub use error::LatticeError;
pub use keys::{PublicKey, SecretKey};
pub use parameters::{DEGREE, MOST_LIMBS, Parameters};
pub use product::{Matrix, products};
pub use vector::EncryptedVector;
