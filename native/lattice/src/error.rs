//! What is refused.

use std::fmt;

/// Why an operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatticeError {
    /// No modulus that is safe at this degree holds the products with their noise.
    Parameters,
    /// The key has fewer primes than the parameters need.
    Key,
    /// A size is not what the parameters say.
    Shape,
    /// An entry of the matrix is beyond the bound that the noise was computed for.
    Entry,
    /// Bytes of a wrong size, or a residue that is not below its prime.
    Encoding,
}

impl fmt::Display for LatticeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            LatticeError::Parameters => {
                "no modulus that is safe at degree 8192 holds these products: fewer bits are needed"
            }
            LatticeError::Key => "the key has fewer primes than these parameters need",
            LatticeError::Shape => "a size is not what the parameters say",
            LatticeError::Entry => "an entry of the matrix is beyond the bound in the parameters",
            LatticeError::Encoding => "the bytes are not those of a key, vector or reply",
        })
    }
}

impl std::error::Error for LatticeError {}
