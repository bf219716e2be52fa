//! One generic kernel, compiled for each level.

use atoll_simd::{Kernel4, Kernel8, Lanes4, Lanes8, Level, Target, run4, run8};

use super::{Field, Field4, Field8, Field51};

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

struct Four<K>(K);

impl<K: FieldKernel> Kernel4 for Four<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run<L: Lanes4>(self) -> K::Output {
        self.0.run::<Field4<L>>()
    }
}

/// Runs the kernel on the target. Only tests can run emulated targets.
pub fn dispatch<K: FieldKernel>(target: Target, kernel: K) -> K::Output {
    #[cfg(test)]
    if !target.is_real() {
        return emulate(target, kernel);
    }
    match target.level() {
        Level::Portable => kernel.run::<Field51>(),
        Level::Avx2 => run4(target, Four(kernel)),
        Level::Avx512 => run8(target, Eight(kernel)),
    }
}

#[cfg(test)]
fn emulate<K: FieldKernel>(target: Target, kernel: K) -> K::Output {
    use super::outlined::Outlined;
    use atoll_simd::{Emulated4, Emulated8};
    match target.level() {
        Level::Portable => kernel.run::<Field51>(),
        Level::Avx2 => kernel.run::<Outlined<Field4<Emulated4>>>(),
        Level::Avx512 => kernel.run::<Outlined<Field8<Emulated8>>>(),
    }
}
