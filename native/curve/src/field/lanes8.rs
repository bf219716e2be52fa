//! Eight lanes: five limbs of 51 bits, multiplied by 52-bit multiply-add.

use atoll_simd::{Kernel1, Lanes8};

use super::{Constant, Field, LaneMask};

const MASK51: u64 = (1 << 51) - 1;
/// Tight limbs are below this, so that the sum of two has 52 bits and a little.
const TIGHT: u64 = (1 << 51) + (1 << 17);
/// Limbs of weight 1 are below this.
const WEIGHT: u64 = (1 << 59) + (1 << 58);
/// 2^9 p, limb by limb: above any limb of weight 1.
const BIAS_WIDE: [u64; 5] = [
    (MASK51 - 18) << 9,
    MASK51 << 9,
    MASK51 << 9,
    MASK51 << 9,
    MASK51 << 9,
];
/// 4 p, limb by limb: above tight limbs.
const BIAS: [u64; 5] = [
    (MASK51 - 18) * 4,
    MASK51 * 4,
    MASK51 * 4,
    MASK51 * 4,
    MASK51 * 4,
];

/// One bit a lane.
#[derive(Clone, Copy)]
pub struct Mask8(u8);

impl LaneMask for Mask8 {
    #[inline(always)]
    fn from_bits(bits: u32) -> Self {
        Mask8(bits as u8)
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        u32::from(self.0)
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Mask8(self.0 & other.0)
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Mask8(self.0 | other.0)
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Mask8(self.0 ^ other.0)
    }
    #[inline(always)]
    fn not(self) -> Self {
        Mask8(!self.0)
    }
}

/// Eight elements.
#[derive(Clone, Copy)]
pub struct Field8<L>([L; 5]);

/// Eight uncarried sums.
#[derive(Clone, Copy)]
pub struct Wide8<L>([L; 5]);

/// Applies an expression to each limb, without a closure: closures would not be compiled for the level.
macro_rules! limbs {
    (|$i:ident| $value:expr) => {
        [
            {
                let $i = 0usize;
                $value
            },
            {
                let $i = 1usize;
                $value
            },
            {
                let $i = 2usize;
                $value
            },
            {
                let $i = 3usize;
                $value
            },
            {
                let $i = 4usize;
                $value
            },
        ]
    };
}

/// Debug builds look at every emulated lane.
#[inline(always)]
fn check<L: Lanes8>(limbs: &[L; 5], bound: u64) {
    if cfg!(debug_assertions) {
        for limb in limbs {
            assert!(limb.assumed_below(bound), "limb out of bounds");
        }
    }
}

/// Carries all limbs at once: below 2^62 in, tight out.
#[inline(always)]
fn carry<L: Lanes8>(r: [L; 5]) -> Field8<L> {
    check(&r, 1 << 62);
    let mask = L::splat(MASK51);
    let c = limbs!(|i| r[i].shr::<51>());
    let m = limbs!(|i| r[i].and(mask));
    let low = m[0].madd52lo(c[4], L::splat(19));
    let limbs = [
        low,
        m[1].add(c[0]),
        m[2].add(c[1]),
        m[3].add(c[2]),
        m[4].add(c[3]),
    ];
    check(&limbs, TIGHT);
    Field8(limbs)
}

/// 19 a.
#[inline(always)]
fn times19<L: Lanes8>(a: L) -> L {
    a.shl::<4>().add(a.shl::<1>().add(a))
}

/// Column k takes the low halves of a_i b_j with i + j = k and twice the high halves with
/// i + j = k - 1 (a high half counts 2^52, a limb 2^51); columns above 4 come back times 19.
struct Product<L>(Field8<L>, Field8<L>);

impl<L: Lanes8> Kernel1 for Product<L> {
    type Output = Wide8<L>;

    #[inline(always)]
    fn run(self) -> Wide8<L> {
        let (a, b, zero) = (self.0.0, self.1.0, L::splat(0));
        macro_rules! column {
            ($start:expr, [$($hi:literal $hj:literal),*], [$($li:literal $lj:literal),*]) => {{
                let high = zero $(.madd52hi(a[$hi], b[$hj]))*;
                let start = high.add(high);
                let start = match $start {
                    Some(above) => start.add(times19(above)),
                    None => start,
                };
                start $(.madd52lo(a[$li], b[$lj]))*
            }};
        }
        let none: Option<L> = None;
        let c9 = column!(none, [4 4], []);
        let c8 = column!(none, [3 4, 4 3], [4 4]);
        let c7 = column!(none, [2 4, 3 3, 4 2], [3 4, 4 3]);
        let c6 = column!(none, [1 4, 2 3, 3 2, 4 1], [2 4, 3 3, 4 2]);
        let c5 = column!(none, [0 4, 1 3, 2 2, 3 1, 4 0], [1 4, 2 3, 3 2, 4 1]);
        let r0 = times19(c5).madd52lo(a[0], b[0]);
        let r1 = column!(Some(c6), [0 0], [0 1, 1 0]);
        let r2 = column!(Some(c7), [0 1, 1 0], [0 2, 1 1, 2 0]);
        let r3 = column!(Some(c8), [0 2, 1 1, 2 0], [0 3, 1 2, 2 1, 3 0]);
        let r4 = column!(Some(c9), [0 3, 1 2, 2 1, 3 0], [0 4, 1 3, 2 2, 3 1, 4 0]);
        let r = [r0, r1, r2, r3, r4];
        check(&r, WEIGHT);
        Wide8(r)
    }
}

/// Each column is ((x + x) + y + (..)) + z: x holds high halves of unequal pairs (times 4 in
/// all), y their low halves and the high halves of squares (times 2), z the low halves of squares.
struct Square<L>(Field8<L>);

impl<L: Lanes8> Kernel1 for Square<L> {
    type Output = Wide8<L>;

    #[inline(always)]
    fn run(self) -> Wide8<L> {
        let (a, zero) = (self.0.0, L::splat(0));
        macro_rules! twice {
            ($value:expr) => {{
                let value = $value;
                value.add(value)
            }};
        }
        let c9 = twice!(zero.madd52hi(a[4], a[4]));
        let c8 = twice!(twice!(zero.madd52hi(a[3], a[4]))).madd52lo(a[4], a[4]);
        let x7 = twice!(zero.madd52hi(a[2], a[4]));
        let c7 = twice!(x7.madd52lo(a[3], a[4]).madd52hi(a[3], a[3]));
        let x6 = twice!(zero.madd52hi(a[1], a[4]).madd52hi(a[2], a[3]));
        let c6 = twice!(x6.madd52lo(a[2], a[4])).madd52lo(a[3], a[3]);
        let x5 = twice!(zero.madd52hi(a[0], a[4]).madd52hi(a[1], a[3]));
        let c5 = twice!(
            x5.madd52lo(a[1], a[4])
                .madd52lo(a[2], a[3])
                .madd52hi(a[2], a[2])
        );
        let x4 = twice!(zero.madd52hi(a[0], a[3]).madd52hi(a[1], a[2]));
        let c4 = twice!(x4.madd52lo(a[0], a[4]).madd52lo(a[1], a[3]));
        let x3 = twice!(zero.madd52hi(a[0], a[2]));
        let c3 = twice!(
            x3.madd52lo(a[0], a[3])
                .madd52lo(a[1], a[2])
                .madd52hi(a[1], a[1])
        );
        let x2 = twice!(zero.madd52hi(a[0], a[1]));
        let c2 = twice!(x2.madd52lo(a[0], a[2]));
        let c1 = twice!(zero.madd52lo(a[0], a[1]).madd52hi(a[0], a[0]));
        let r = [
            times19(c5).madd52lo(a[0], a[0]),
            c1.add(times19(c6)),
            c2.add(times19(c7)).madd52lo(a[1], a[1]),
            c3.add(times19(c8)),
            c4.add(times19(c9)).madd52lo(a[2], a[2]),
        ];
        check(&r, WEIGHT);
        Wide8(r)
    }
}

impl<L: Lanes8> Field8<L> {
    #[inline(always)]
    fn canonical(self) -> [L; 5] {
        let mut l = carry(self.0).0;
        let mask = L::splat(MASK51);
        // quotient of (value + 19) / 2^255: 1 exactly when the value is p or more
        let mut quotient = l[0].add(L::splat(19)).shr::<51>();
        quotient = l[1].add(quotient).shr::<51>();
        quotient = l[2].add(quotient).shr::<51>();
        quotient = l[3].add(quotient).shr::<51>();
        quotient = l[4].add(quotient).shr::<51>();
        l[0] = l[0].madd52lo(quotient, L::splat(19));
        l[1] = l[1].add(l[0].shr::<51>());
        l[2] = l[2].add(l[1].shr::<51>());
        l[3] = l[3].add(l[2].shr::<51>());
        l[4] = l[4].add(l[3].shr::<51>());
        limbs!(|i| l[i].and(mask))
    }
}

impl<L: Lanes8> Field for Field8<L> {
    const LANES: usize = 8;
    type Mask = Mask8;
    type Wide = Wide8<L>;
    type Table8 = [L; 5];
    type Index = L;

    #[inline(always)]
    fn outlined<K: Kernel1>(kernel: K) -> K::Output {
        L::outlined(kernel)
    }

    #[inline(always)]
    fn splat(value: Constant) -> Self {
        let l = value.limbs51();
        Field8(limbs!(|i| L::splat(l[i])))
    }
    #[inline(always)]
    fn load(encodings: &[[u8; 32]]) -> Self {
        let [a, b, c, d, e, f, g, h] = encodings.first_chunk::<8>().unwrap_or(&[[0; 32]; 8]);
        Self::gather(&[a, b, c, d, e, f, g, h])
    }
    #[inline(always)]
    fn gather(encodings: &[&[u8; 32]; 8]) -> Self {
        let [w0, w1, w2, w3] = L::from_rows(encodings);
        let mask = L::splat(MASK51);
        Field8([
            w0.and(mask),
            w0.shr::<51>().or(w1.shl::<13>()).and(mask),
            w1.shr::<38>().or(w2.shl::<26>()).and(mask),
            w2.shr::<25>().or(w3.shl::<39>()).and(mask),
            w3.shr::<12>().and(mask),
        ])
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
        encodings[..8].copy_from_slice(&rows);
    }
    #[inline(always)]
    fn low_words(self) -> [u64; 8] {
        let l = self.canonical();
        l[0].or(l[1].shl::<51>()).to_array()
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        carry(limbs!(|i| self.0[i].add(other.0[i])))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        carry(limbs!(|i| self.0[i].add(L::splat(BIAS[i])).sub(other.0[i])))
    }
    #[inline(always)]
    fn neg(self) -> Self {
        carry(limbs!(|i| L::splat(BIAS[i]).sub(self.0[i])))
    }
    #[inline(always)]
    fn widen(self) -> Wide8<L> {
        Wide8(self.0)
    }
    #[inline(always)]
    fn mul_wide(self, other: Self) -> Wide8<L> {
        Product(self, other).run()
    }
    #[inline(always)]
    fn square_wide(self) -> Wide8<L> {
        Square(self).run()
    }
    #[inline(always)]
    fn mul_small_wide(self, factor: u32) -> Wide8<L> {
        debug_assert!(factor < 1 << 20);
        let (a, f, zero) = (self.0, L::splat(u64::from(factor)), L::splat(0));
        let h = limbs!(|i| zero.madd52hi(a[i], f));
        let h = limbs!(|i| h[i].add(h[i]));
        let start = [times19(h[4]), h[0], h[1], h[2], h[3]];
        Wide8(limbs!(|i| start[i].madd52lo(a[i], f)))
    }
    #[inline(always)]
    fn wide_add(left: Wide8<L>, right: Wide8<L>) -> Wide8<L> {
        Wide8(limbs!(|i| left.0[i].add(right.0[i])))
    }
    #[inline(always)]
    fn wide_sub(left: Wide8<L>, right: Wide8<L>) -> Wide8<L> {
        check(&right.0, WEIGHT);
        Wide8(limbs!(|i| left.0[i]
            .add(L::splat(BIAS_WIDE[i]))
            .sub(right.0[i])))
    }
    #[inline(always)]
    fn wide_swap(mask: Mask8, left: &mut Wide8<L>, right: &mut Wide8<L>) {
        let (l, r) = (left.0, right.0);
        left.0 = limbs!(|i| L::blend(mask.0, r[i], l[i]));
        right.0 = limbs!(|i| L::blend(mask.0, l[i], r[i]));
    }
    #[inline(always)]
    fn reduce(wide: Wide8<L>) -> Self {
        carry(wide.0)
    }
    #[inline(always)]
    fn select(mask: Mask8, if_set: Self, if_clear: Self) -> Self {
        Field8(limbs!(|i| L::blend(mask.0, if_set.0[i], if_clear.0[i])))
    }
    #[inline(always)]
    fn is_zero(self) -> Mask8 {
        let l = self.canonical();
        Mask8(l[0].or(l[1]).or(l[2]).or(l[3].or(l[4])).zero_lanes())
    }
    #[inline(always)]
    fn is_odd(self) -> Mask8 {
        Mask8(!self.canonical()[0].and(L::splat(1)).zero_lanes())
    }
    #[inline(always)]
    fn table8(entries: &[Constant; 8]) -> [L; 5] {
        let mut columns = [[0u64; 8]; 5];
        for (position, entry) in entries.iter().enumerate() {
            for (column, limb) in columns.iter_mut().zip(entry.limbs51()) {
                column[position] = limb;
            }
        }
        limbs!(|i| L::from_array(columns[i]))
    }
    #[inline(always)]
    fn index(values: &[u8]) -> L {
        let mut lanes = [0u64; 8];
        for (lane, value) in lanes.iter_mut().zip(&values[..8]) {
            *lane = u64::from(*value & 7);
        }
        L::from_array(lanes)
    }
    #[inline(always)]
    fn lookup8(table: &[L; 5], index: L) -> Self {
        Field8(limbs!(|i| table[i].permute(index)))
    }
}
