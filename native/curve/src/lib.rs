//! Batch Curve25519: scalar multiplication, hash-to-group and EC-ElGamal pairs.

mod dlog;
pub mod edwards;
pub mod elgamal;
pub mod field;
mod fixed_base;
pub mod hash_to_curve;
mod messages;
mod montgomery;
pub mod ristretto;
mod scalar;
mod sha512;
pub mod x25519;

/// Asks the processor to fetch what will be read soon.
#[inline(always)]
fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of a valid reference reads nothing.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
