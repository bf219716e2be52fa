//! One algorithm, compiled for each level.

use atoll_simd::{Kernel4, Kernel8, Lanes4, Lanes8, Level, Target, run4, run8};

use crate::lanes4::Four;
use crate::lanes8::Eight;
use crate::portable::One;

/// What a product needs of its modulus n, in limbs of an engine.
#[derive(Clone, Debug)]
pub struct Constants {
    /// n.
    pub limbs: Vec<u64>,
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
}

/// An algorithm on some engine; `run` is `#[inline(always)]`, so that it has the level's instructions.
pub trait Work {
    /// What it returns.
    type Output;
    /// The algorithm.
    fn run<E: Engine>(self) -> Self::Output;
}

struct OnFour<W>(W);

impl<W: Work> Kernel4 for OnFour<W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<L: Lanes4>(self) -> W::Output {
        self.0.run::<Four<L>>()
    }
}

struct OnEight<W>(W);

impl<W: Work> Kernel8 for OnEight<W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<L: Lanes8>(self) -> W::Output {
        self.0.run::<Eight<L>>()
    }
}

/// Runs the work on the target. Only tests can run emulated targets.
pub fn dispatch<W: Work>(target: Target, work: W) -> W::Output {
    #[cfg(test)]
    if !target.is_real() {
        return emulate(target, work);
    }
    match target.level() {
        Level::Portable => work.run::<One>(),
        Level::Avx2 => run4(target, OnFour(work)),
        Level::Avx512 => run8(target, OnEight(work)),
    }
}

#[cfg(test)]
fn emulate<W: Work>(target: Target, work: W) -> W::Output {
    use atoll_simd::{Emulated4, Emulated8};
    match target.level() {
        Level::Portable => work.run::<One>(),
        Level::Avx2 => work.run::<Four<Emulated4>>(),
        Level::Avx512 => work.run::<Eight<Emulated8>>(),
    }
}

/// The layout of a level's groups: lanes and bits of a limb.
pub fn layout(level: Level) -> (usize, u32) {
    match level {
        Level::Portable => (One::LANES, One::BITS),
        Level::Avx2 => (4, crate::lanes4::BITS),
        Level::Avx512 => (8, crate::lanes8::BITS),
    }
}
