//! Four lanes: ten limbs of 26 and 25 bits in turn, multiplied by 32-bit products.

#![allow(clippy::manual_is_multiple_of)] // even limbs have 26 bits: a parity, not a multiple

use atoll_simd::{Kernel1, Lanes4};

use super::{Constant, Field, LaneMask};

const MASK26: u64 = (1 << 26) - 1;
const MASK25: u64 = (1 << 25) - 1;
const MASK51: u64 = (1 << 51) - 1;
/// Tight limbs are below this, or half of it where they have 25 bits.
const TIGHT: u64 = (1 << 26) + (1 << 18);
/// Limbs of weight 1 are below this.
const WEIGHT: u64 = (1 << 59) + (1 << 58);
/// p limb by limb.
const P: [u64; 10] = [
    MASK26 - 18,
    MASK25,
    MASK26,
    MASK25,
    MASK26,
    MASK25,
    MASK26,
    MASK25,
    MASK26,
    MASK25,
];
/// 2^35 p is above any limb of weight 1.
const WIDE_SHIFT: u32 = 35;

/// All ones or zero in each lane.
#[derive(Clone, Copy)]
pub struct Mask4<L>(L);

impl<L: Lanes4> LaneMask for Mask4<L> {
    #[inline(always)]
    fn from_bits(bits: u32) -> Self {
        let lane = |i: u32| u64::from(bits >> i & 1).wrapping_neg();
        Mask4(L::from_array([lane(0), lane(1), lane(2), lane(3)]))
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        u32::from(self.0.top_bits())
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Mask4(self.0.and(other.0))
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Mask4(self.0.or(other.0))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Mask4(self.0.xor(other.0))
    }
    #[inline(always)]
    fn not(self) -> Self {
        Mask4(self.0.xor(L::splat(u64::MAX)))
    }
}

/// Four elements.
#[derive(Clone, Copy)]
pub struct Field4<L>([L; 10]);

/// Four uncarried sums.
#[derive(Clone, Copy)]
pub struct Wide4<L>([L; 10]);

/// Applies an expression to each limb, without a closure: closures would not be compiled for the level.
macro_rules! limbs {
    (|$i:ident| $value:expr) => {
        limbs!(|$i| $value; 0 1 2 3 4 5 6 7 8 9)
    };
    (|$i:ident| $value:expr; $($index:literal)*) => {
        [$({ let $i: usize = $index; $value }),*]
    };
}

/// Debug builds look at every emulated lane; odd limbs must be below half the bound.
#[inline(always)]
fn check<L: Lanes4>(limbs: &[L; 10], bound: u64) {
    if cfg!(debug_assertions) {
        for (index, limb) in limbs.iter().enumerate() {
            assert!(
                limb.assumed_below(bound >> (index % 2)),
                "limb out of bounds"
            );
        }
    }
}

/// 19 a.
#[inline(always)]
fn times19<L: Lanes4>(a: L) -> L {
    a.shl::<4>().add(a.shl::<1>().add(a))
}

/// Carries along two chains, which meet: below 2^62 in, tight out.
#[inline(always)]
fn carry<L: Lanes4>(mut r: [L; 10]) -> Field4<L> {
    check(&r, 1 << 62);
    let (mask26, mask25) = (L::splat(MASK26), L::splat(MASK25));
    macro_rules! even {
        ($($from:literal $to:literal),*) => {
            $(
                r[$to] = r[$to].add(r[$from].shr::<26>());
                r[$from] = r[$from].and(mask26);
            )*
        };
    }
    macro_rules! odd {
        ($($from:literal $to:literal),*) => {
            $(
                r[$to] = r[$to].add(r[$from].shr::<25>());
                r[$from] = r[$from].and(mask25);
            )*
        };
    }
    even!(0 1, 4 5);
    odd!(1 2, 5 6);
    even!(2 3, 6 7);
    odd!(3 4, 7 8);
    even!(4 5, 8 9);
    r[0] = r[0].add(times19(r[9].shr::<25>()));
    r[9] = r[9].and(mask25);
    even!(0 1);
    check(&r, TIGHT);
    Field4(limbs!(|i| r[i].opaque()))
}

/// Carries sums of few tight elements: below 2^30 in, tight out, all limbs at once.
#[inline(always)]
fn carry_small<L: Lanes4>(r: [L; 10]) -> Field4<L> {
    check(&r, 1 << 30);
    let (mask26, mask25) = (L::splat(MASK26), L::splat(MASK25));
    macro_rules! high {
        ($i:expr) => {
            if $i % 2 == 0 {
                r[$i].shr::<26>()
            } else {
                r[$i].shr::<25>()
            }
        };
    }
    let limbs = limbs!(|i| {
        let low = r[i].and(if i.is_multiple_of(2) { mask26 } else { mask25 });
        low.add(if i == 0 {
            times19(high!(9))
        } else {
            high!((i + 9) % 10)
        })
    });
    check(&limbs, TIGHT);
    Field4(limbs!(|i| limbs[i].opaque()))
}

impl<L: Lanes4> Field4<L> {
    /// Five limbs of 51 bits below 2^52.
    #[inline(always)]
    fn joined(self) -> [L; 5] {
        let l = self.0;
        limbs!(|i| l[2 * i].add(l[2 * i + 1].shl::<26>()); 0 1 2 3 4)
    }

    /// Limbs of 26 and 25 bits from four words; the top bit is ignored.
    #[inline(always)]
    fn from_words([w0, w1, w2, w3]: [L; 4]) -> Self {
        let (mask26, mask25) = (L::splat(MASK26), L::splat(MASK25));
        Field4([
            w0.and(mask26),
            w0.shr::<26>().and(mask25),
            w0.shr::<51>().or(w1.shl::<13>()).and(mask26),
            w1.shr::<13>().and(mask25),
            w1.shr::<38>().and(mask26),
            w2.and(mask25),
            w2.shr::<25>().and(mask26),
            w2.shr::<51>().or(w3.shl::<13>()).and(mask25),
            w3.shr::<12>().and(mask26),
            w3.shr::<38>().and(mask25),
        ])
    }

    /// The canonical form in five limbs of 51 bits.
    #[inline(always)]
    fn canonical(self) -> [L; 5] {
        let r = self.joined();
        let (mask, nineteen) = (L::splat(MASK51), L::splat(19));
        let c = limbs!(|i| r[i].shr::<51>(); 0 1 2 3 4);
        let m = limbs!(|i| r[i].and(mask); 0 1 2 3 4);
        let mut l = [
            m[0].add(times19(c[4])),
            m[1].add(c[0]),
            m[2].add(c[1]),
            m[3].add(c[2]),
            m[4].add(c[3]),
        ];
        // quotient of (value + 19) / 2^255: 1 exactly when the value is p or more
        let mut quotient = l[0].add(nineteen).shr::<51>();
        quotient = l[1].add(quotient).shr::<51>();
        quotient = l[2].add(quotient).shr::<51>();
        quotient = l[3].add(quotient).shr::<51>();
        quotient = l[4].add(quotient).shr::<51>();
        l[0] = l[0].add(times19(quotient));
        l[1] = l[1].add(l[0].shr::<51>());
        l[2] = l[2].add(l[1].shr::<51>());
        l[3] = l[3].add(l[2].shr::<51>());
        l[4] = l[4].add(l[3].shr::<51>());
        limbs!(|i| l[i].and(mask); 0 1 2 3 4)
    }
}

/// Limb i counts 2^ceil(25.5 i): a product of two odd limbs counts twice, one that wraps 19 times.
struct Product<L>(Field4<L>, Field4<L>);

impl<L: Lanes4> Kernel1 for Product<L> {
    type Output = Wide4<L>;

    #[inline(always)]
    fn run(self) -> Wide4<L> {
        let (a, b) = (self.0.0, self.1.0);
        let nineteen = L::splat(19);
        let d = limbs!(|i| if i % 2 == 1 { a[i].add(a[i]) } else { a[i] });
        let n = limbs!(|i| if i == 0 {
            b[i]
        } else {
            b[i].mul32(nineteen).opaque()
        });
        macro_rules! term {
            ($k:expr, $i:expr) => {{
                let j = ($k + 10 - $i) % 10;
                let left = if $k % 2 == 0 { d[$i] } else { a[$i] };
                left.mul32(if $i + j == $k { b[j] } else { n[j] })
            }};
        }
        let r = limbs!(|k| {
            let first = term!(k, 0).add(term!(k, 1));
            let second = term!(k, 2).add(term!(k, 3));
            let third = term!(k, 4).add(term!(k, 5));
            let fourth = term!(k, 6).add(term!(k, 7));
            let fifth = term!(k, 8).add(term!(k, 9));
            first.add(second).add(third.add(fourth)).add(fifth)
        });
        check(&r, 2 * WEIGHT);
        Wide4(r)
    }
}

/// Unequal pairs once, doubled.
struct Square<L>(Field4<L>);

impl<L: Lanes4> Kernel1 for Square<L> {
    type Output = Wide4<L>;

    #[inline(always)]
    fn run(self) -> Wide4<L> {
        let a = self.0.0;
        let nineteen = L::splat(19);
        let d = limbs!(|i| a[i].add(a[i]));
        let n = limbs!(|i| a[i].mul32(nineteen).opaque());
        macro_rules! sum {
            ($first:expr $(, $other:expr)*) => {{
                let sum = $first;
                $(let sum = sum.add($other);)*
                sum
            }};
        }
        macro_rules! m {
            ($left:ident $i:literal $right:ident $j:literal) => {
                $left[$i].mul32($right[$j])
            };
        }
        // odd with odd counts twice more: d times d, or d times n doubled
        let e = limbs!(|i| if i % 2 == 1 { d[i].add(d[i]) } else { d[i] });
        let r = [
            sum!(
                m!(a 0 a 0),
                m!(e 1 n 9),
                m!(d 2 n 8),
                m!(e 3 n 7),
                m!(d 4 n 6),
                m!(d 5 n 5)
            ),
            sum!(
                m!(d 0 a 1),
                m!(d 2 n 9),
                m!(d 3 n 8),
                m!(d 4 n 7),
                m!(d 5 n 6)
            ),
            sum!(
                m!(d 0 a 2),
                m!(d 1 a 1),
                m!(e 3 n 9),
                m!(d 4 n 8),
                m!(e 5 n 7),
                m!(a 6 n 6)
            ),
            sum!(
                m!(d 0 a 3),
                m!(d 1 a 2),
                m!(d 4 n 9),
                m!(d 5 n 8),
                m!(d 6 n 7)
            ),
            sum!(
                m!(d 0 a 4),
                m!(e 1 a 3),
                m!(a 2 a 2),
                m!(e 5 n 9),
                m!(d 6 n 8),
                m!(d 7 n 7)
            ),
            sum!(
                m!(d 0 a 5),
                m!(d 1 a 4),
                m!(d 2 a 3),
                m!(d 6 n 9),
                m!(d 7 n 8)
            ),
            sum!(
                m!(d 0 a 6),
                m!(e 1 a 5),
                m!(d 2 a 4),
                m!(d 3 a 3),
                m!(e 7 n 9),
                m!(a 8 n 8)
            ),
            sum!(
                m!(d 0 a 7),
                m!(d 1 a 6),
                m!(d 2 a 5),
                m!(d 3 a 4),
                m!(d 8 n 9)
            ),
            sum!(
                m!(d 0 a 8),
                m!(e 1 a 7),
                m!(d 2 a 6),
                m!(e 3 a 5),
                m!(a 4 a 4),
                m!(d 9 n 9)
            ),
            sum!(
                m!(d 0 a 9),
                m!(d 1 a 8),
                m!(d 2 a 7),
                m!(d 3 a 6),
                m!(d 4 a 5)
            ),
        ];
        check(&r, 2 * WEIGHT);
        Wide4(r)
    }
}

impl<L: Lanes4> Field for Field4<L> {
    const LANES: usize = 4;
    type Mask = Mask4<L>;
    type Wide = Wide4<L>;
    type Table8 = [L; 10];
    type Index = L;

    #[inline(always)]
    fn outlined<K: Kernel1>(kernel: K) -> K::Output {
        L::outlined(kernel)
    }
    #[inline(always)]
    fn splat(value: Constant) -> Self {
        let l = value.limbs51();
        Field4(limbs!(|i| L::splat(if i.is_multiple_of(2) {
            l[i / 2] & MASK26
        } else {
            l[i / 2] >> 26
        })))
    }
    #[inline(always)]
    fn load(encodings: &[[u8; 32]]) -> Self {
        let [a, b, c, d] = encodings.first_chunk::<4>().unwrap_or(&[[0; 32]; 4]);
        Self::from_words(L::from_rows(&[a, b, c, d]))
    }
    #[inline(always)]
    fn gather(encodings: &[&[u8; 32]; 8]) -> Self {
        let [a, b, c, d, ..] = encodings;
        Self::from_words(L::from_rows(&[a, b, c, d]))
    }
    #[inline(always)]
    fn store(self, encodings: &mut [[u8; 32]]) {
        let l = self.canonical();
        let rows = L::to_rows([
            l[0].or(l[1].shl::<51>()),
            l[1].shr::<13>().or(l[2].shl::<38>()),
            l[2].shr::<26>().or(l[3].shl::<25>()),
            l[3].shr::<39>().or(l[4].shl::<12>()),
        ]);
        encodings[..4].copy_from_slice(&rows);
    }
    #[inline(always)]
    fn low_words(self) -> [u64; 8] {
        let l = self.canonical();
        let [a, b, c, d] = l[0].or(l[1].shl::<51>()).to_array();
        [a, b, c, d, 0, 0, 0, 0]
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        carry_small(limbs!(|i| self.0[i].add(other.0[i])))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        carry_small(limbs!(|i| self.0[i]
            .add(L::splat(P[i] << 2))
            .sub(other.0[i])))
    }
    #[inline(always)]
    fn neg(self) -> Self {
        carry_small(limbs!(|i| L::splat(P[i] << 2).sub(self.0[i])))
    }
    #[inline(always)]
    fn widen(self) -> Wide4<L> {
        Wide4(self.0)
    }
    #[inline(always)]
    fn mul_wide(self, other: Self) -> Wide4<L> {
        Product(self, other).run()
    }
    #[inline(always)]
    fn square_wide(self) -> Wide4<L> {
        Square(self).run()
    }
    #[inline(always)]
    fn mul_small_wide(self, factor: u32) -> Wide4<L> {
        debug_assert!(factor < 1 << 20);
        let f = L::splat(u64::from(factor));
        Wide4(limbs!(|i| self.0[i].mul32(f)))
    }
    #[inline(always)]
    fn wide_add(left: Wide4<L>, right: Wide4<L>) -> Wide4<L> {
        Wide4(limbs!(|i| left.0[i].add(right.0[i])))
    }
    #[inline(always)]
    fn wide_sub(left: Wide4<L>, right: Wide4<L>) -> Wide4<L> {
        check(&right.0, 2 * WEIGHT);
        Wide4(limbs!(|i| left.0[i]
            .add(L::splat(P[i] << WIDE_SHIFT))
            .sub(right.0[i])))
    }
    #[inline(always)]
    fn wide_swap(mask: Mask4<L>, left: &mut Wide4<L>, right: &mut Wide4<L>) {
        let (l, r) = (left.0, right.0);
        left.0 = limbs!(|i| L::blend(mask.0, r[i], l[i]));
        right.0 = limbs!(|i| L::blend(mask.0, l[i], r[i]));
    }
    #[inline(always)]
    fn reduce(wide: Wide4<L>) -> Self {
        carry(wide.0)
    }
    #[inline(always)]
    fn select(mask: Mask4<L>, if_set: Self, if_clear: Self) -> Self {
        Field4(limbs!(|i| L::blend(mask.0, if_set.0[i], if_clear.0[i])))
    }
    #[inline(always)]
    fn is_zero(self) -> Mask4<L> {
        let l = self.canonical();
        Mask4(l[0].or(l[1]).or(l[2]).or(l[3].or(l[4])).equal(L::splat(0)))
    }
    #[inline(always)]
    fn is_odd(self) -> Mask4<L> {
        let one = L::splat(1);
        Mask4(self.canonical()[0].and(one).equal(one))
    }
    #[inline(always)]
    fn table8(entries: &[Constant; 8]) -> [L; 10] {
        let mut columns = [[0u64; 4]; 10];
        for (position, entry) in entries.iter().enumerate() {
            for (index, limb) in entry.limbs51().into_iter().enumerate() {
                let shift = 32 * (position % 2);
                columns[2 * index][position / 2] |= (limb & MASK26) << shift;
                columns[2 * index + 1][position / 2] |= (limb >> 26) << shift;
            }
        }
        limbs!(|i| L::from_array(columns[i]))
    }
    #[inline(always)]
    fn index(values: &[u8]) -> L {
        let lane = |i: usize| u64::from(values[i] & 7);
        L::from_array([lane(0), lane(1), lane(2), lane(3)])
    }
    #[inline(always)]
    fn lookup8(table: &[L; 10], index: L) -> Self {
        Field4(limbs!(|i| table[i].permute32(index)))
    }
}
