//! One kernel, compiled for each kind of lane.

use crate::lanes::{Kernel4, Kernel8};
use crate::level::{Level, Target};
#[cfg(target_arch = "x86_64")]
use crate::x86;

/// Runs the kernel on eight lanes of AVX-512.
///
/// # Panics
/// If the target is not the real one of that level.
#[inline]
pub fn run8<K: Kernel8>(target: Target, kernel: K) -> K::Output {
    assert!(target.is_real() && target.level() == Level::Avx512);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: such a target exists only where the processor has the instructions.
    return unsafe { x86::run_avx512(kernel) };
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no such target exists here")
}

/// Runs the kernel on four lanes of AVX2.
///
/// # Panics
/// If the target is not a real one of that level or of a higher one.
#[inline]
pub fn run4<K: Kernel4>(target: Target, kernel: K) -> K::Output {
    assert!(target.is_real() && target.level() >= Level::Avx2);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: such a target exists only where the processor has the instructions.
    return unsafe { x86::run_avx2(kernel) };
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no such target exists here")
}
