//! One generic kernel, compiled for each level.

use atoll_simd::Target;

use super::{Field, Field51};

/// A computation over some field implementation.
///
/// `run` and everything generic under it are `#[inline(always)]`, so that they are compiled
/// with the instructions of the level.
pub trait FieldKernel {
    /// What the computation returns.
    type Output;
    /// The computation.
    fn run<F: Field>(self) -> Self::Output;
}

/// Runs the kernel on the target.
pub fn dispatch<K: FieldKernel>(_target: Target, kernel: K) -> K::Output {
    kernel.run::<Field51>()
}
