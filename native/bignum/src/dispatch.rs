//! One algorithm, compiled for each level.

use atoll_simd::{Kernel4, Kernel8, Lanes4, Lanes8, Level, Target, run4, run8};

use crate::engine::Engine;
use crate::lanes4::Four;
use crate::lanes8::Eight;
use crate::portable::One;

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
