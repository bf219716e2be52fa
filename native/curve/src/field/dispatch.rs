//! One generic kernel, compiled for each level.

use atoll_simd::{Kernel1, Kernel8, Lanes8, Level, Target, run1, run8};

use super::{Field, Field8, Field51};

/// A computation over some field implementation.
///
/// `run` and everything generic under it are `#[inline(always)]`, so that they are compiled
/// with the instructions of the level. Closures around vector operations are to be avoided there.
pub trait FieldKernel {
    /// What the computation returns.
    type Output;
    /// The computation.
    fn run<F: Field>(self) -> Self::Output;
}

struct Eight<K>(K);

impl<K: FieldKernel> Kernel8 for Eight<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run<L: Lanes8>(self) -> K::Output {
        self.0.run::<Field8<L>>()
    }
}

struct One<K>(K);

impl<K: FieldKernel> Kernel1 for One<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run(self) -> K::Output {
        self.0.run::<Field51>()
    }
}

/// Runs the kernel on the target.
pub fn dispatch<K: FieldKernel>(target: Target, kernel: K) -> K::Output {
    match target.level() {
        Level::Portable | Level::Avx2 => run1(target, One(kernel)),
        Level::Avx512 => run8(target, Eight(kernel)),
    }
}
