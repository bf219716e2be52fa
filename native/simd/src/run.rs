//! One kernel, compiled for each kind of lane.

#[cfg(any(test, feature = "emulation"))]
use crate::emulated::{Emulated4, Emulated8};
use crate::lanes::{Kernel1, Kernel4, Kernel8};
use crate::level::{Level, Target};
#[cfg(target_arch = "x86_64")]
use crate::x86;

/// Runs the kernel on eight lanes: AVX-512 on its real target, emulated elsewhere.
///
/// # Panics
/// On other targets in builds without the feature `emulation`.
#[inline]
pub fn run8<K: Kernel8>(target: Target, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if target.is_real() && target.level() == Level::Avx512 {
        // SAFETY: such a target exists only where the processor has the instructions.
        return unsafe { x86::run_avx512(kernel) };
    }
    emulate8(target, kernel)
}

/// Runs the kernel on four lanes: AVX2 on the real targets that have it, emulated elsewhere.
///
/// # Panics
/// On other targets in builds without the feature `emulation`.
#[inline]
pub fn run4<K: Kernel4>(target: Target, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if target.is_real() && target.level() >= Level::Avx2 {
        // SAFETY: such a target exists only where the processor has the instructions.
        return unsafe { x86::run_avx2(kernel) };
    }
    emulate4(target, kernel)
}

/// Runs the kernel in plain code, with `mulx` and the like on the real targets that have them.
#[inline]
pub fn run1<K: Kernel1>(target: Target, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if target.is_real() && target.level() >= Level::Avx2 {
        // SAFETY: such a target exists only where the processor has the instructions.
        return unsafe { x86::run_scalar(kernel) };
    }
    let _ = target;
    kernel.run()
}

#[cfg(any(test, feature = "emulation"))]
fn emulate8<K: Kernel8>(_target: Target, kernel: K) -> K::Output {
    kernel.run::<Emulated8>()
}

#[cfg(any(test, feature = "emulation"))]
fn emulate4<K: Kernel4>(_target: Target, kernel: K) -> K::Output {
    kernel.run::<Emulated4>()
}

#[cfg(not(any(test, feature = "emulation")))]
fn emulate8<K: Kernel8>(target: Target, _kernel: K) -> K::Output {
    unreachable!("{target:?} has no eight lanes, and this build has no emulation")
}

#[cfg(not(any(test, feature = "emulation")))]
fn emulate4<K: Kernel4>(target: Target, _kernel: K) -> K::Output {
    unreachable!("{target:?} has no four lanes, and this build has no emulation")
}
