//! Residues as bytes: 27 bits each, one behind the other from the lowest bit up, zeros to the next byte.

use crate::LatticeError;
use crate::prime::{BITS, Prime};

/// Bytes of so many residues modulo one prime.
pub fn size(count: usize) -> usize {
    (count * BITS as usize).div_ceil(8)
}

/// Appends canonical residues.
pub fn write(residues: &[u64], out: &mut Vec<u8>) {
    let (mut held, mut bits) = (0u64, 0);
    for residue in residues {
        held |= residue << bits;
        bits += BITS;
        while bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held as u8);
    }
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// A residue is not below the prime, or a bit behind the last one is set.
///
/// # Panics
/// If the bytes are not as many as [`size`] says.
pub fn read(bytes: &[u8], prime: &Prime, out: &mut [u64]) -> Result<(), LatticeError> {
    assert_eq!(bytes.len(), size(out.len()));
    let mut rest = bytes.iter();
    let (mut held, mut bits) = (0u64, 0);
    for residue in out {
        while bits < BITS {
            held |= rest.next().map_or(0, |byte| u64::from(*byte)) << bits;
            bits += 8;
        }
        *residue = held & ((1 << BITS) - 1);
        if *residue >= prime.value {
            return Err(LatticeError::Encoding);
        }
        held >>= BITS;
        bits -= BITS;
    }
    if held == 0 {
        Ok(())
    } else {
        Err(LatticeError::Encoding)
    }
}
