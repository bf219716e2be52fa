//! What each level's products are.

/// What a product needs of its modulus n, in limbs of an engine.
#[derive(Clone, Debug)]
pub struct Constants {
    /// n.
    pub limbs: Vec<u64>,
    /// n, each limb for all lanes.
    pub spread: Vec<u64>,
    /// -1 / n modulo 2^64.
    pub inverse: u64,
}

/// Products of groups of residues: `LANES` of them, limbs of `BITS` bits.
///
/// A group has a limb after the other, each of all lanes. With R = 2^(BITS · limbs) ≥ 16 n,
/// factors below 4 n make products below 2 n, and so does any factor below R with one below n.
pub trait Engine {
    /// Residues of a group.
    const LANES: usize;
    /// Bits of a limb.
    const BITS: u32;
    /// out = left · right / R modulo n; all three are of the size of a group.
    fn product(out: &mut [u64], left: &[u64], right: &[u64], modulus: &Constants);
    /// The product of a group with itself.
    #[inline(always)]
    fn square(out: &mut [u64], value: &[u64], modulus: &Constants) {
        Self::product(out, value, value, modulus);
    }
}
