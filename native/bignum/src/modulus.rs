//! An odd modulus, prepared for a level.

use std::fmt;

use atoll_simd::Target;

use crate::dispatch::layout;
use crate::engine::Constants;
use crate::words;

const LEAST_BITS: usize = 64;
const MOST_BITS: usize = 16_384;

/// A modulus that is even, or smaller or larger than what these kernels are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusableModulus;

impl fmt::Display for UnusableModulus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the modulus must be odd, of {LEAST_BITS} to {MOST_BITS} bits"
        )
    }
}

impl std::error::Error for UnusableModulus {}

/// An odd number n of 64 to 16,384 bits, and what products modulo n need.
#[derive(Clone, Debug)]
pub struct Modulus {
    pub(crate) target: Target,
    pub(crate) constants: Constants,
    /// n, with a spare top bit.
    pub(crate) words: Vec<u64>,
    /// R and R² modulo n, as limbs.
    pub(crate) one: Vec<u64>,
    pub(crate) square: Vec<u64>,
    pub(crate) lanes: usize,
    pub(crate) bits: u32,
}

impl Modulus {
    /// Prepares a little-endian number for a level.
    ///
    /// # Errors
    /// It is even or of another size.
    pub fn new(target: Target, bytes: &[u8]) -> Result<Modulus, UnusableModulus> {
        let given = words::from_bytes(bytes, 1);
        let size = words::bits(&given);
        if !(LEAST_BITS..=MOST_BITS).contains(&size) || given[0] & 1 == 0 {
            return Err(UnusableModulus);
        }
        let mut all = given;
        all.resize((size + 2).div_ceil(64), 0);
        let (lanes, bits) = layout(target.level());
        // Room for 16 n; rows are taken four at a time by one engine, two by another.
        let count = (size + 4).div_ceil(bits as usize);
        let count = count.next_multiple_of(if bits < 52 { 4 } else { 2 }).max(8);
        let limbs = |value: &[u64]| words::to_limbs(value, bits, count);
        let shift = count * bits as usize;
        Ok(Modulus {
            target,
            constants: Constants {
                spread: limbs(&all)
                    .into_iter()
                    .flat_map(|limb| std::iter::repeat_n(limb, lanes))
                    .collect(),
                limbs: limbs(&all),
                inverse: words::negated_inverse(all[0]),
            },
            one: limbs(&words::power_of_two(shift, &all)),
            square: limbs(&words::power_of_two(2 * shift, &all)),
            words: all,
            lanes,
            bits,
        })
    }

    /// How many bytes a residue takes.
    pub fn width(&self) -> usize {
        words::bits(&self.words).div_ceil(8)
    }

    /// n - row, for a row that is neither 0 nor above n.
    pub(crate) fn negated(&self, row: &[u8]) -> Vec<u8> {
        let size = self.words.len();
        let mut difference = vec![0; size];
        words::subtract(&self.words, &words::from_bytes(row, size), &mut difference);
        let mut bytes = vec![0; self.width()];
        words::to_bytes(&difference, &mut bytes);
        bytes
    }

    /// Limbs of a residue.
    pub(crate) fn count(&self) -> usize {
        self.constants.limbs.len()
    }

    /// Words of a group.
    pub(crate) fn group(&self) -> usize {
        self.count() * self.lanes
    }
}
