//! The real instructions.
//!
//! The types are reachable only as the parameter of a kernel that [`crate::run8`] or [`crate::run4`]
//! runs, which they do only after the processor was found to have the instructions.

use std::arch::asm;
use std::arch::x86_64::*;
use std::hint::black_box;

use crate::lanes::{Kernel1, Kernel4, Kernel8, Lanes4, Lanes8};

macro_rules! instruction {
    ($call:expr) => {{
        // SAFETY: values of these types exist only inside a kernel, and kernels run on them only
        // on a processor that has the instructions (see the module's head).
        unsafe { $call }
    }};
}

/// Eight lanes in a register of 512 bits.
#[derive(Clone, Copy)]
pub struct Avx512(__m512i);

impl Lanes8 for Avx512 {
    #[inline(always)]
    fn outlined<K: Kernel1>(kernel: K) -> K::Output {
        // `inline(never)` is lost on generic functions with target features; a pointer is not.
        let call: unsafe fn(K) -> K::Output = black_box(outlined_avx512::<K>);
        instruction!(call(kernel))
    }
    #[inline(always)]
    fn assumed_below(self, _bound: u64) -> bool {
        true
    }
    #[inline(always)]
    fn splat(value: u64) -> Self {
        Avx512(instruction!(_mm512_set1_epi64(value.cast_signed())))
    }
    #[inline(always)]
    fn from_array(values: [u64; 8]) -> Self {
        Avx512(instruction!(_mm512_loadu_si512(values.as_ptr().cast())))
    }
    #[inline(always)]
    fn to_array(self) -> [u64; 8] {
        let mut values = [0; 8];
        instruction!(_mm512_storeu_si512(values.as_mut_ptr().cast(), self.0));
        values
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx512(instruction!(_mm512_add_epi64(self.0, other.0)))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx512(instruction!(_mm512_sub_epi64(self.0, other.0)))
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Avx512(instruction!(_mm512_and_si512(self.0, other.0)))
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Avx512(instruction!(_mm512_or_si512(self.0, other.0)))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Avx512(instruction!(_mm512_xor_si512(self.0, other.0)))
    }
    #[inline(always)]
    fn xor3(self, second: Self, third: Self) -> Self {
        Avx512(instruction!(_mm512_ternarylogic_epi64::<0x96>(
            self.0, second.0, third.0
        )))
    }
    #[inline(always)]
    fn choose(self, if_set: Self, if_clear: Self) -> Self {
        Avx512(instruction!(_mm512_ternarylogic_epi64::<0xca>(
            self.0, if_set.0, if_clear.0
        )))
    }
    #[inline(always)]
    fn majority(self, second: Self, third: Self) -> Self {
        Avx512(instruction!(_mm512_ternarylogic_epi64::<0xe8>(
            self.0, second.0, third.0
        )))
    }
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        Avx512(instruction!(_mm512_slli_epi64::<N>(self.0)))
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        Avx512(instruction!(_mm512_srli_epi64::<N>(self.0)))
    }
    #[inline(always)]
    fn rotate_right<const N: i32>(self) -> Self {
        Avx512(instruction!(_mm512_ror_epi64::<N>(self.0)))
    }
    #[inline(always)]
    fn madd52lo(self, a: Self, b: Self) -> Self {
        Avx512(instruction!(_mm512_madd52lo_epu64(self.0, a.0, b.0)))
    }
    #[inline(always)]
    fn madd52hi(self, a: Self, b: Self) -> Self {
        Avx512(instruction!(_mm512_madd52hi_epu64(self.0, a.0, b.0)))
    }
    #[inline(always)]
    fn mul32(self, other: Self) -> Self {
        Avx512(instruction!(_mm512_mul_epu32(self.0, other.0)))
    }
    #[inline(always)]
    fn from_rows(rows: &[&[u8; 32]; 8]) -> [Self; 4] {
        macro_rules! two {
            ($low:literal, $high:literal) => {
                instruction!(_mm512_inserti64x4::<1>(
                    _mm512_castsi256_si512(_mm256_loadu_si256(rows[$low].as_ptr().cast())),
                    _mm256_loadu_si256(rows[$high].as_ptr().cast())
                ))
            };
        }
        let (a, b, c, d) = (two!(0, 1), two!(2, 3), two!(4, 5), two!(6, 7));
        let low = instruction!(_mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13));
        let high = instruction!(_mm512_setr_epi64(2, 6, 10, 14, 3, 7, 11, 15));
        let first = instruction!(_mm512_permutex2var_epi64(a, low, b));
        let second = instruction!(_mm512_permutex2var_epi64(c, low, d));
        let third = instruction!(_mm512_permutex2var_epi64(a, high, b));
        let fourth = instruction!(_mm512_permutex2var_epi64(c, high, d));
        [
            Avx512(instruction!(_mm512_shuffle_i64x2::<0x44>(first, second))),
            Avx512(instruction!(_mm512_shuffle_i64x2::<0xee>(first, second))),
            Avx512(instruction!(_mm512_shuffle_i64x2::<0x44>(third, fourth))),
            Avx512(instruction!(_mm512_shuffle_i64x2::<0xee>(third, fourth))),
        ]
    }
    #[inline(always)]
    fn to_rows(columns: [Self; 4]) -> [[u8; 32]; 8] {
        let [a, b, c, d] = columns;
        let low = instruction!(_mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11));
        let high = instruction!(_mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15));
        let pairs = [(low, 0), (high, 4)];
        let mut rows = [[0; 32]; 8];
        for (index, start) in pairs {
            // Lanes of the first two words, then of the last two, of four rows.
            let first = instruction!(_mm512_permutex2var_epi64(a.0, index, b.0));
            let second = instruction!(_mm512_permutex2var_epi64(c.0, index, d.0));
            let even = instruction!(_mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11));
            let odd = instruction!(_mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15));
            let two = instruction!(_mm512_permutex2var_epi64(first, even, second));
            let four = instruction!(_mm512_permutex2var_epi64(first, odd, second));
            let slots: &mut [[u8; 32]] = &mut rows[start..start + 4];
            instruction!(_mm512_storeu_si512(slots.as_mut_ptr().cast(), two));
            let slots = &mut slots[2..];
            instruction!(_mm512_storeu_si512(slots.as_mut_ptr().cast(), four));
        }
        rows
    }
    #[inline(always)]
    fn blend(mask: u8, if_set: Self, if_clear: Self) -> Self {
        Avx512(instruction!(_mm512_mask_blend_epi64(
            mask, if_clear.0, if_set.0
        )))
    }
    #[inline(always)]
    fn zero_lanes(self) -> u8 {
        instruction!(_mm512_testn_epi64_mask(self.0, self.0))
    }
    #[inline(always)]
    fn permute(self, index: Self) -> Self {
        Avx512(instruction!(_mm512_permutexvar_epi64(index.0, self.0)))
    }
}

/// Four lanes in a register of 256 bits.
#[derive(Clone, Copy)]
pub struct Avx2(__m256i);

impl Lanes4 for Avx2 {
    #[inline(always)]
    fn outlined<K: Kernel1>(kernel: K) -> K::Output {
        let call: unsafe fn(K) -> K::Output = black_box(outlined_avx2::<K>);
        instruction!(call(kernel))
    }
    #[inline(always)]
    fn assumed_below(self, _bound: u64) -> bool {
        true
    }
    #[inline(always)]
    fn splat(value: u64) -> Self {
        Avx2(instruction!(_mm256_set1_epi64x(value.cast_signed())))
    }
    #[inline(always)]
    fn from_array(values: [u64; 4]) -> Self {
        Avx2(instruction!(_mm256_loadu_si256(values.as_ptr().cast())))
    }
    #[inline(always)]
    fn to_array(self) -> [u64; 4] {
        let mut values = [0; 4];
        instruction!(_mm256_storeu_si256(values.as_mut_ptr().cast(), self.0));
        values
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Avx2(instruction!(_mm256_add_epi64(self.0, other.0)))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Avx2(instruction!(_mm256_sub_epi64(self.0, other.0)))
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Avx2(instruction!(_mm256_and_si256(self.0, other.0)))
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Avx2(instruction!(_mm256_or_si256(self.0, other.0)))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Avx2(instruction!(_mm256_xor_si256(self.0, other.0)))
    }
    #[inline(always)]
    fn shl<const N: i32>(self) -> Self {
        Avx2(instruction!(_mm256_slli_epi64::<N>(self.0)))
    }
    #[inline(always)]
    fn shr<const N: i32>(self) -> Self {
        Avx2(instruction!(_mm256_srli_epi64::<N>(self.0)))
    }
    #[inline(always)]
    fn from_rows(rows: &[&[u8; 32]; 4]) -> [Self; 4] {
        macro_rules! row {
            ($lane:literal) => {
                instruction!(_mm256_loadu_si256(rows[$lane].as_ptr().cast()))
            };
        }
        transpose(row!(0), row!(1), row!(2), row!(3))
    }
    #[inline(always)]
    fn to_rows(columns: [Self; 4]) -> [[u8; 32]; 4] {
        let [a, b, c, d] = columns;
        let [a, b, c, d] = transpose(a.0, b.0, c.0, d.0);
        let mut rows = [[0; 32]; 4];
        for (row, value) in rows.iter_mut().zip([a, b, c, d]) {
            instruction!(_mm256_storeu_si256(row.as_mut_ptr().cast(), value.0));
        }
        rows
    }
    #[inline(always)]
    fn mul32(self, other: Self) -> Self {
        Avx2(instruction!(_mm256_mul_epu32(self.0, other.0)))
    }
    #[inline(always)]
    fn opaque(self) -> Self {
        Avx2(instruction!(opaque(self.0)))
    }
    #[inline(always)]
    fn equal(self, other: Self) -> Self {
        Avx2(instruction!(_mm256_cmpeq_epi64(self.0, other.0)))
    }
    #[inline(always)]
    fn blend(mask: Self, if_set: Self, if_clear: Self) -> Self {
        Avx2(instruction!(_mm256_blendv_epi8(
            if_clear.0, if_set.0, mask.0
        )))
    }
    #[inline(always)]
    fn top_bits(self) -> u8 {
        instruction!(_mm256_movemask_pd(_mm256_castsi256_pd(self.0))) as u8
    }
    #[inline(always)]
    fn permute32(self, index: Self) -> Self {
        let low = Avx2::splat(u64::from(u32::MAX));
        Avx2(instruction!(_mm256_permutevar8x32_epi32(self.0, index.0))).and(low)
    }
}

/// Rows of four words become columns.
#[inline(always)]
fn transpose(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> [Avx2; 4] {
    let even_low = instruction!(_mm256_unpacklo_epi64(a, b));
    let odd_low = instruction!(_mm256_unpackhi_epi64(a, b));
    let even_high = instruction!(_mm256_unpacklo_epi64(c, d));
    let odd_high = instruction!(_mm256_unpackhi_epi64(c, d));
    [
        Avx2(instruction!(_mm256_permute2x128_si256::<0x20>(
            even_low, even_high
        ))),
        Avx2(instruction!(_mm256_permute2x128_si256::<0x20>(
            odd_low, odd_high
        ))),
        Avx2(instruction!(_mm256_permute2x128_si256::<0x31>(
            even_low, even_high
        ))),
        Avx2(instruction!(_mm256_permute2x128_si256::<0x31>(
            odd_low, odd_high
        ))),
    ]
}

/// Whether the processor has what [`run_avx512`] needs.
pub fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512ifma")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
}

/// Whether the processor has what [`run_avx2`] needs.
pub fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("adx")
        && is_x86_feature_detected!("fma")
}

/// Runs the kernel on eight lanes.
///
/// # Safety
/// [`has_avx512`].
#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512vl,avx512bw,avx2,bmi1,bmi2,adx,fma")]
pub unsafe fn run_avx512<K: Kernel8>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

/// Runs the kernel on four lanes.
///
/// # Safety
/// [`has_avx2`].
#[target_feature(enable = "avx2,bmi1,bmi2,adx,fma")]
pub unsafe fn run_avx2<K: Kernel4>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512vl,avx512bw,avx2,bmi1,bmi2,adx,fma")]
#[inline(never)]
fn outlined_avx512<K: Kernel1>(kernel: K) -> K::Output {
    kernel.run()
}

#[target_feature(enable = "avx2,bmi1,bmi2,adx,fma")]
#[inline(never)]
fn outlined_avx2<K: Kernel1>(kernel: K) -> K::Output {
    kernel.run()
}

#[target_feature(enable = "avx2")]
#[inline]
fn opaque(mut value: __m256i) -> __m256i {
    // SAFETY: there is no instruction.
    unsafe {
        asm!("/* {} */", inout(ymm_reg) value, options(pure, nomem, nostack, preserves_flags));
    }
    value
}
