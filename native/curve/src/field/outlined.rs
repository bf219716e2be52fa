//! An implementation whose methods are functions of their own: emulated kernels, if inlined as the
//! real ones are, would be more than a compiler bears.

use atoll_simd::Kernel1;

use super::{Constant, Field};

/// The same elements, by calls.
#[derive(Clone, Copy)]
pub struct Outlined<F>(F);

macro_rules! forward {
    ($($name:ident($($argument:ident: $kind:ty),*) $(-> $out:ty)? { $value:expr })*) => {
        $(
            #[inline(never)]
            fn $name($($argument: $kind),*) $(-> $out)? {
                $value
            }
        )*
    };
}

impl<F: Field> Field for Outlined<F> {
    const LANES: usize = F::LANES;
    type Mask = F::Mask;
    type Wide = F::Wide;
    type Table8 = F::Table8;
    type Index = F::Index;

    #[inline(never)]
    fn outlined<K: Kernel1>(kernel: K) -> K::Output {
        kernel.run()
    }
    #[inline(never)]
    fn store(self, encodings: &mut [[u8; 32]]) {
        self.0.store(encodings);
    }
    #[inline(never)]
    fn add(self, other: Self) -> Self {
        Outlined(self.0.add(other.0))
    }
    #[inline(never)]
    fn sub(self, other: Self) -> Self {
        Outlined(self.0.sub(other.0))
    }
    #[inline(never)]
    fn neg(self) -> Self {
        Outlined(self.0.neg())
    }
    #[inline(never)]
    fn widen(self) -> F::Wide {
        self.0.widen()
    }
    #[inline(never)]
    fn mul_wide(self, other: Self) -> F::Wide {
        self.0.mul_wide(other.0)
    }
    #[inline(never)]
    fn square_wide(self) -> F::Wide {
        self.0.square_wide()
    }
    #[inline(never)]
    fn mul_small_wide(self, factor: u32) -> F::Wide {
        self.0.mul_small_wide(factor)
    }
    #[inline(never)]
    fn is_zero(self) -> F::Mask {
        self.0.is_zero()
    }
    #[inline(never)]
    fn is_odd(self) -> F::Mask {
        self.0.is_odd()
    }
    forward! {
        splat(value: Constant) -> Self { Outlined(F::splat(value)) }
        load(encodings: &[[u8; 32]]) -> Self { Outlined(F::load(encodings)) }
        wide_add(left: F::Wide, right: F::Wide) -> F::Wide { F::wide_add(left, right) }
        wide_sub(left: F::Wide, right: F::Wide) -> F::Wide { F::wide_sub(left, right) }
        wide_swap(mask: F::Mask, left: &mut F::Wide, right: &mut F::Wide) { F::wide_swap(mask, left, right) }
        reduce(wide: F::Wide) -> Self { Outlined(F::reduce(wide)) }
        select(mask: F::Mask, if_set: Self, if_clear: Self) -> Self {
            Outlined(F::select(mask, if_set.0, if_clear.0))
        }
        table8(entries: &[Constant; 8]) -> F::Table8 { F::table8(entries) }
        index(values: &[u8]) -> F::Index { F::index(values) }
        lookup8(table: &F::Table8, index: F::Index) -> Self { Outlined(F::lookup8(table, index)) }
    }
}
