//! Known answers that the real instructions must give before a level is used.

use crate::lanes::{Kernel4, Kernel8, Lanes4, Lanes8};

const FIRST: [u64; 8] = [
    0x0123_4567_89ab_cdef,
    u64::MAX,
    0,
    1 << 63,
    0x000f_ffff_ffff_ffff,
    0xdead_beef_0bad_cafe,
    0x5555_5555_5555_5555,
    3,
];
const SECOND: [u64; 8] = [
    0xfedc_ba98_7654_3210,
    0x000f_ffff_ffff_ffff,
    7,
    0x8000_0000_0000_0001,
    0x000f_ffff_ffff_ffff,
    0x1357_9bdf_0246_8ace,
    0xaaaa_aaaa_aaaa_aaaa,
    1 << 51,
];

/// What [`Digest8`] gives.
pub const ANSWER8: u64 = 0x113e_e58e_7c38_105a;
/// What [`Digest4`] gives.
pub const ANSWER4: u64 = 0xf1ab_5e5f_ed02_feea;

/// A number that depends on the outcome of every operation on eight lanes.
pub struct Digest8;

impl Kernel8 for Digest8 {
    type Output = u64;

    #[inline(always)]
    fn run<L: Lanes8>(self) -> u64 {
        let (a, b, c) = (
            L::from_array(FIRST),
            L::from_array(SECOND),
            L::splat(0x0f1e_2d3c_4b5a_6978),
        );
        let blended = L::blend(0b1010_0110, a, b);
        let outcomes = [
            a.add(b),
            a.sub(b),
            a.and(b),
            a.or(b),
            a.xor(b),
            a.xor3(b, c),
            a.choose(b, c),
            a.majority(b, c),
            a.shl::<13>(),
            a.shr::<51>(),
            a.rotate_right::<19>(),
            c.madd52lo(a, b),
            c.madd52hi(a, b),
            a.mul32(b),
            blended,
            L::splat(u64::from(a.and(L::splat(1)).zero_lanes())),
            a.permute(b),
        ];
        let rows = L::to_rows([a, b, c, blended]);
        let read = L::from_rows(&rows.each_ref());
        let words = rows.as_flattened().as_chunks::<8>().0;
        let written = words.iter().map(|word| u64::from_le_bytes(*word));
        let read = read.iter().flat_map(|column| column.to_array());
        let computed = outcomes.iter().flat_map(|outcome| outcome.to_array());
        digest(computed.chain(written).chain(read))
    }
}

/// A number that depends on the outcome of every operation on four lanes.
pub struct Digest4;

impl Kernel4 for Digest4 {
    type Output = u64;

    #[inline(always)]
    fn run<L: Lanes4>(self) -> u64 {
        let [a0, a1, a2, a3, a4, a5, a6, a7] = FIRST;
        let (a, b) = (
            L::from_array([a0, a1, a2, a3]),
            L::from_array([a4, a5, a6, a7]),
        );
        let c = L::from_array([a0, 5, a2, 6]);
        let outcomes = [
            a.add(b),
            a.sub(b),
            a.and(b),
            a.or(b),
            a.xor(b),
            a.shl::<13>(),
            a.shr::<51>(),
            a.mul32(b),
            a.equal(c),
            L::blend(a.equal(c), a, b),
            L::splat(u64::from(a.top_bits())),
            a.permute32(b),
        ];
        let rows = L::to_rows([a, b, c, a.xor(b)]);
        let read = L::from_rows(&rows.each_ref());
        let words = rows.as_flattened().as_chunks::<8>().0;
        let written = words.iter().map(|word| u64::from_le_bytes(*word));
        let read = read.iter().flat_map(|column| column.to_array());
        let computed = outcomes.iter().flat_map(|outcome| outcome.to_array());
        digest(computed.chain(written).chain(read))
    }
}

#[inline(always)]
fn digest(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0xcbf2_9ce4_8422_2325, |sum, value| {
        (sum ^ value)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulated::{Emulated4, Emulated8};

    #[test]
    fn emulation_gives_the_known_answers() {
        assert_eq!(Digest8.run::<Emulated8>(), ANSWER8);
        assert_eq!(Digest4.run::<Emulated4>(), ANSWER4);
    }
}
