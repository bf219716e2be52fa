//! The vector operations one by one, so that each path's logic runs on every machine.
//!
//! None is inlined: kernels would grow beyond what a compiler bears.

use crate::lanes::{Kernel1, Lanes4, Lanes8};

const MASK52: u64 = (1 << 52) - 1;
const MASK32: u64 = (1 << 32) - 1;

/// AVX-512's operations on an array.
#[derive(Clone, Copy)]
pub struct Emulated8([u64; 8]);

/// AVX2's operations on an array.
#[derive(Clone, Copy)]
pub struct Emulated4([u64; 4]);

macro_rules! each {
    ($kind:ident, $count:literal, |$i:ident| $value:expr) => {
        $kind(std::array::from_fn::<u64, $count, _>(|$i| $value))
    };
}

macro_rules! common {
    ($kind:ident, $count:literal) => {
        #[inline(never)]
        fn splat(value: u64) -> Self {
            $kind([value; $count])
        }
        #[inline(never)]
        fn from_array(values: [u64; $count]) -> Self {
            $kind(values)
        }
        #[inline(never)]
        fn to_array(self) -> [u64; $count] {
            self.0
        }
        #[inline(never)]
        fn add(self, other: Self) -> Self {
            each!($kind, $count, |i| self.0[i].wrapping_add(other.0[i]))
        }
        #[inline(never)]
        fn sub(self, other: Self) -> Self {
            each!($kind, $count, |i| self.0[i].wrapping_sub(other.0[i]))
        }
        #[inline(never)]
        fn and(self, other: Self) -> Self {
            each!($kind, $count, |i| self.0[i] & other.0[i])
        }
        #[inline(never)]
        fn or(self, other: Self) -> Self {
            each!($kind, $count, |i| self.0[i] | other.0[i])
        }
        #[inline(never)]
        fn xor(self, other: Self) -> Self {
            each!($kind, $count, |i| self.0[i] ^ other.0[i])
        }
        #[inline(never)]
        fn outlined<K: Kernel1>(kernel: K) -> K::Output {
            kernel.run()
        }
        #[inline(never)]
        fn assumed_below(self, bound: u64) -> bool {
            self.0.iter().all(|lane| *lane < bound)
        }
    };
}

impl Lanes8 for Emulated8 {
    common!(Emulated8, 8);

    #[inline(never)]
    fn xor3(self, second: Self, third: Self) -> Self {
        each!(Emulated8, 8, |i| self.0[i] ^ second.0[i] ^ third.0[i])
    }
    #[inline(never)]
    fn choose(self, if_set: Self, if_clear: Self) -> Self {
        each!(Emulated8, 8, |i| (self.0[i] & if_set.0[i])
            | (!self.0[i] & if_clear.0[i]))
    }
    #[inline(never)]
    fn majority(self, second: Self, third: Self) -> Self {
        each!(Emulated8, 8, |i| {
            (self.0[i] & second.0[i]) | (self.0[i] & third.0[i]) | (second.0[i] & third.0[i])
        })
    }
    #[inline(never)]
    fn shl<const N: u32>(self) -> Self {
        each!(Emulated8, 8, |i| self.0[i] << N)
    }
    #[inline(never)]
    fn shr<const N: u32>(self) -> Self {
        each!(Emulated8, 8, |i| self.0[i] >> N)
    }
    #[inline(never)]
    fn rotate_right<const N: i32>(self) -> Self {
        each!(Emulated8, 8, |i| self.0[i].rotate_right(N as u32))
    }
    #[inline(never)]
    fn madd52lo(self, a: Self, b: Self) -> Self {
        each!(Emulated8, 8, |i| {
            self.0[i].wrapping_add((a.0[i] & MASK52).wrapping_mul(b.0[i] & MASK52) & MASK52)
        })
    }
    #[inline(never)]
    fn madd52hi(self, a: Self, b: Self) -> Self {
        each!(Emulated8, 8, |i| {
            let product = u128::from(a.0[i] & MASK52) * u128::from(b.0[i] & MASK52);
            self.0[i].wrapping_add((product >> 52) as u64)
        })
    }
    #[inline(never)]
    fn mul32(self, other: Self) -> Self {
        each!(Emulated8, 8, |i| (self.0[i] & MASK32)
            * (other.0[i] & MASK32))
    }
    #[inline(never)]
    fn blend(mask: u8, if_set: Self, if_clear: Self) -> Self {
        each!(Emulated8, 8, |i| {
            let bits = u64::from(mask >> i & 1).wrapping_neg();
            (if_set.0[i] & bits) | (if_clear.0[i] & !bits)
        })
    }
    #[inline(never)]
    fn zero_lanes(self) -> u8 {
        self.0
            .iter()
            .enumerate()
            .fold(0, |bits, (i, lane)| bits | u8::from(*lane == 0) << i)
    }
    #[inline(never)]
    fn permute(self, index: Self) -> Self {
        each!(Emulated8, 8, |i| self.0[index.0[i] as usize & 7])
    }
}

impl Lanes4 for Emulated4 {
    common!(Emulated4, 4);

    #[inline(never)]
    fn shl<const N: i32>(self) -> Self {
        each!(Emulated4, 4, |i| self.0[i] << N)
    }
    #[inline(never)]
    fn shr<const N: i32>(self) -> Self {
        each!(Emulated4, 4, |i| self.0[i] >> N)
    }
    #[inline(never)]
    fn mul32(self, other: Self) -> Self {
        each!(Emulated4, 4, |i| (self.0[i] & MASK32)
            * (other.0[i] & MASK32))
    }
    #[inline(never)]
    fn opaque(self) -> Self {
        self
    }
    #[inline(never)]
    fn equal(self, other: Self) -> Self {
        each!(Emulated4, 4, |i| u64::from(self.0[i] == other.0[i])
            .wrapping_neg())
    }
    #[inline(never)]
    fn blend(mask: Self, if_set: Self, if_clear: Self) -> Self {
        each!(Emulated4, 4, |i| (if_set.0[i] & mask.0[i])
            | (if_clear.0[i] & !mask.0[i]))
    }
    #[inline(never)]
    fn top_bits(self) -> u8 {
        self.0
            .iter()
            .enumerate()
            .fold(0, |bits, (i, lane)| bits | ((*lane >> 63) as u8) << i)
    }
    #[inline(never)]
    fn permute32(self, index: Self) -> Self {
        each!(Emulated4, 4, |i| {
            let part = index.0[i] as usize & 7;
            self.0[part / 2] >> (32 * (part % 2)) & u64::from(u32::MAX)
        })
    }
}
