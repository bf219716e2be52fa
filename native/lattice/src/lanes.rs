//! One algorithm, compiled for each level.

use atoll_simd::{Kernel4, Kernel8, Lanes4, Lanes8, Level, Target, run4, run8};

/// Lanes of 64 bits whose products take the low 32 bits of both factors.
pub trait Lanes: Copy {
    /// How many; a power of two.
    const COUNT: usize;
    /// As many numbers.
    type Chunk: Copy;
    /// The numbers in whole chunks; a rest is left out.
    fn chunks(values: &[u64]) -> &[Self::Chunk];
    /// As [`Lanes::chunks`].
    fn chunks_mut(values: &mut [u64]) -> &mut [Self::Chunk];
    /// Lane i is element i.
    fn load(chunk: &Self::Chunk) -> Self;
    /// Element i is lane i.
    fn store(self, chunk: &mut Self::Chunk);
    /// The same number in all lanes.
    fn splat(value: u64) -> Self;
    /// Lane i is what the function returns for i.
    fn from_fn(value: impl Fn(u64) -> u64) -> Self;
    /// a + b modulo 2^64.
    fn add(self, other: Self) -> Self;
    /// a - b modulo 2^64.
    fn sub(self, other: Self) -> Self;
    /// The low 32 bits.
    fn low(self) -> Self;
    /// The high 32 bits.
    fn high(self) -> Self;
    /// The highest bit.
    fn sign(self) -> Self;
    /// The product of the low 32 bits of a and b.
    fn mul32(self, other: Self) -> Self;
    /// Lane i is the low half of the lane of `self` that lane i of `index` names, for numbers below 2^32.
    fn pick(self, index: Self) -> Self;
}

/// One number at a time.
#[derive(Clone, Copy)]
pub struct One(u64);

/// AVX2's lanes.
#[derive(Clone, Copy)]
struct Four<L>(L);

/// AVX-512's lanes.
#[derive(Clone, Copy)]
struct Eight<L>(L);

impl Lanes for One {
    const COUNT: usize = 1;
    type Chunk = u64;

    #[inline(always)]
    fn chunks(values: &[u64]) -> &[u64] {
        values
    }
    #[inline(always)]
    fn chunks_mut(values: &mut [u64]) -> &mut [u64] {
        values
    }
    #[inline(always)]
    fn load(chunk: &u64) -> Self {
        One(*chunk)
    }
    #[inline(always)]
    fn store(self, chunk: &mut u64) {
        *chunk = self.0;
    }
    #[inline(always)]
    fn splat(value: u64) -> Self {
        One(value)
    }
    #[inline(always)]
    fn from_fn(value: impl Fn(u64) -> u64) -> Self {
        One(value(0))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        One(self.0.wrapping_add(other.0))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        One(self.0.wrapping_sub(other.0))
    }
    #[inline(always)]
    fn low(self) -> Self {
        One(self.0 & u64::from(u32::MAX))
    }
    #[inline(always)]
    fn high(self) -> Self {
        One(self.0 >> 32)
    }
    #[inline(always)]
    fn sign(self) -> Self {
        One(self.0 >> 63)
    }
    #[inline(always)]
    fn mul32(self, other: Self) -> Self {
        One(self.low().0 * other.low().0)
    }
    #[inline(always)]
    fn pick(self, _index: Self) -> Self {
        self
    }
}

macro_rules! shared {
    ($kind:ident, $count:literal) => {
        const COUNT: usize = $count;
        type Chunk = [u64; $count];

        #[inline(always)]
        fn chunks(values: &[u64]) -> &[Self::Chunk] {
            values.as_chunks().0
        }
        #[inline(always)]
        fn chunks_mut(values: &mut [u64]) -> &mut [Self::Chunk] {
            values.as_chunks_mut().0
        }
        #[inline(always)]
        fn load(chunk: &Self::Chunk) -> Self {
            $kind(L::from_array(*chunk))
        }
        #[inline(always)]
        fn store(self, chunk: &mut Self::Chunk) {
            *chunk = self.0.to_array();
        }
        #[inline(always)]
        fn splat(value: u64) -> Self {
            $kind(L::splat(value))
        }
        #[inline(always)]
        fn from_fn(value: impl Fn(u64) -> u64) -> Self {
            $kind(L::from_array(std::array::from_fn(|lane| {
                value(lane as u64)
            })))
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            $kind(self.0.add(other.0))
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            $kind(self.0.sub(other.0))
        }
        #[inline(always)]
        fn low(self) -> Self {
            $kind(self.0.and(L::splat(u64::from(u32::MAX))))
        }
        #[inline(always)]
        fn high(self) -> Self {
            $kind(self.0.shr::<32>())
        }
        #[inline(always)]
        fn sign(self) -> Self {
            $kind(self.0.shr::<63>())
        }
        #[inline(always)]
        fn mul32(self, other: Self) -> Self {
            $kind(self.0.mul32(other.0))
        }
    };
}

impl<L: Lanes4> Lanes for Four<L> {
    shared!(Four, 4);

    #[inline(always)]
    fn pick(self, index: Self) -> Self {
        Four(self.0.permute32(index.0.add(index.0)))
    }
}

impl<L: Lanes8> Lanes for Eight<L> {
    shared!(Eight, 8);

    #[inline(always)]
    fn pick(self, index: Self) -> Self {
        Eight(self.0.permute(index.0))
    }
}

/// An algorithm on some lanes; `run` is `#[inline(always)]`, so that it has the level's instructions.
pub trait Work {
    /// What it returns.
    type Output;
    /// The algorithm.
    fn run<L: Lanes>(self) -> Self::Output;
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

/// How many lanes a level has.
pub fn count(level: Level) -> usize {
    match level {
        Level::Portable => 1,
        Level::Avx2 => 4,
        Level::Avx512 => 8,
    }
}
