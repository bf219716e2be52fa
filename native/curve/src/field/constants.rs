//! Public field elements known at compile time.

/// An element as four little-endian 64-bit words, below 2^255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant(pub [u64; 4]);

impl Constant {
    /// 0.
    pub const ZERO: Constant = Constant([0; 4]);
    /// 1.
    pub const ONE: Constant = Constant([1, 0, 0, 0]);
    /// The even square root of -1, 2^((p - 1) / 4).
    pub const SQRT_MINUS_ONE: Constant = Constant([
        0xc4ee_1b27_4a0e_a0b0,
        0x2f43_1806_ad2f_e478,
        0x2b4d_0099_3dfb_d7a7,
        0x2b83_2480_4fc1_df0b,
    ]);

    /// A number.
    pub const fn small(value: u64) -> Constant {
        Constant([value, 0, 0, 0])
    }

    /// Reads a little-endian encoding; the top bit is ignored.
    pub const fn from_bytes(bytes: &[u8; 32]) -> Constant {
        let mut words = [0u64; 4];
        let mut index = 0;
        while index < 32 {
            words[index / 8] |= (bytes[index] as u64) << (8 * (index % 8));
            index += 1;
        }
        words[3] &= u64::MAX >> 1;
        Constant(words)
    }

    /// The five limbs of 51 bits.
    #[inline(always)]
    pub(crate) const fn limbs51(self) -> [u64; 5] {
        const MASK: u64 = (1 << 51) - 1;
        let [w0, w1, w2, w3] = self.0;
        [
            w0 & MASK,
            (w0 >> 51 | w1 << 13) & MASK,
            (w1 >> 38 | w2 << 26) & MASK,
            (w2 >> 25 | w3 << 39) & MASK,
            (w3 >> 12) & MASK,
        ]
    }
}
