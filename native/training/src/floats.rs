//! Eight numbers of 32 bits in a register, or one by one.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// How many numbers lie side by side.
pub const WIDE: usize = 8;

/// Eight numbers on which one operation works at once.
pub trait Floats: Copy {
    /// The same number eight times.
    fn splat(value: f32) -> Self;
    /// Reads eight numbers.
    ///
    /// # Safety
    /// Eight numbers can be read from there.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes eight numbers.
    ///
    /// # Safety
    /// Eight numbers can be written there.
    unsafe fn store(self, to: *mut f32);
    /// a · b + self, rounded once.
    fn fused(self, a: Self, b: Self) -> Self;
    /// self · other.
    fn times(self, other: Self) -> Self;
    /// self where it is above 0 or not a number, else 0.
    fn rectified(self) -> Self;
    /// self where `gate` is above 0, else 0.
    fn where_positive(self, gate: Self) -> Self;
}

/// One by one, for any processor.
#[derive(Clone, Copy)]
pub struct Portable([f32; WIDE]);

impl Floats for Portable {
    fn splat(value: f32) -> Self {
        Portable([value; WIDE])
    }
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: stated by the trait; the array has no alignment of its own beyond f32's.
        Portable(unsafe { *from.cast() })
    }
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: stated by the trait.
        unsafe { *to.cast() = self.0 }
    }
    fn fused(self, a: Self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| a.0[i].mul_add(b.0[i], self.0[i])))
    }
    fn times(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    fn rectified(self) -> Self {
        Portable(self.0.map(|value| if value < 0.0 { 0.0 } else { value }))
    }
    fn where_positive(self, gate: Self) -> Self {
        Portable(std::array::from_fn(|i| {
            if gate.0[i] > 0.0 { self.0[i] } else { 0.0 }
        }))
    }
}

/// A register of 256 bits with fused multiply-add.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Avx2(__m256);

#[cfg(target_arch = "x86_64")]
macro_rules! instruction {
    ($call:expr) => {{
        // SAFETY: values of this type exist only inside a kernel that `atoll_simd::run4` runs,
        // which it does only on a processor that has AVX2 and FMA.
        unsafe { $call }
    }};
}

#[cfg(target_arch = "x86_64")]
impl Floats for Avx2 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Avx2(instruction!(_mm256_set1_ps(value)))
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Avx2(instruction!(_mm256_loadu_ps(from)))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        instruction!(_mm256_storeu_ps(to, self.0));
    }
    #[inline(always)]
    fn fused(self, a: Self, b: Self) -> Self {
        Avx2(instruction!(_mm256_fmadd_ps(a.0, b.0, self.0)))
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        Avx2(instruction!(_mm256_mul_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn rectified(self) -> Self {
        // Of two numbers that do not compare the second is taken: what is not a number stays.
        Avx2(instruction!(_mm256_max_ps(_mm256_setzero_ps(), self.0)))
    }
    #[inline(always)]
    fn where_positive(self, gate: Self) -> Self {
        Avx2(instruction!(_mm256_and_ps(
            self.0,
            _mm256_cmp_ps::<_CMP_GT_OQ>(gate.0, _mm256_setzero_ps())
        )))
    }
}
