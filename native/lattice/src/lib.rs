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
//! The primes have 27 bits, for one set must serve all hosts. AVX2 multiplies 32 bits by 32, four at a
//! time, and 27 bits leave room for a transform without one reduction (see `ntt`): a butterfly of four
//! is 3 multiplications, 2 shifts and 4 additions, where primes of 30 bits would add two comparisons and
//! subtractions to each and save one prime of six. AVX-512 runs the same at eight lanes. A product by a
//! matrix of R rows and C columns takes R C / N transforms a prime of N / 2 log2 N butterflies and 2 N
//! multiply-adds of 32 by 27 bits, of which 31 fit into 64 bits before they are folded.
//!
//! For 10^6 × 100 entries of 20 bits and t = 2^64: 6 primes (q of 162 bits), 12,300 polynomials, 73,800
//! transforms; 20 MB go in, 8 MB come back.
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
