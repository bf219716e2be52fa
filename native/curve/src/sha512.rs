//! SHA-512 of eight messages at once, for hashing to the curve.
//!
//! Source: FIPS 180-4, sections 4.1.3, 4.2.3 and 6.4.

use atoll_simd::{Kernel1, Kernel8, Lanes8, Target};
use sha2::{Digest, Sha512};

use crate::messages::{Domain, Messages};

/// Bytes of expansion for each message: two field elements of 48.
pub(crate) const EXPANDED: usize = 96;
const BLOCK: usize = 128;

/// The first 64 bits of the fractional parts of the square roots of the first 8 primes.
const START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The first 64 bits of the fractional parts of the cube roots of the first 80 primes.
#[rustfmt::skip]
const ROUNDS: [u64; 80] = [
    0x428a_2f98_d728_ae22, 0x7137_4491_23ef_65cd, 0xb5c0_fbcf_ec4d_3b2f, 0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538, 0x59f1_11f1_b605_d019, 0x923f_82a4_af19_4f9b, 0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242, 0x1283_5b01_4570_6fbe, 0x2431_85be_4ee4_b28c, 0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f, 0x80de_b1fe_3b16_96b1, 0x9bdc_06a7_25c7_1235, 0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2, 0xefbe_4786_384f_25e3, 0x0fc1_9dc6_8b8c_d5b5, 0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275, 0x4a74_84aa_6ea6_e483, 0x5cb0_a9dc_bd41_fbd4, 0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab, 0xa831_c66d_2db4_3210, 0xb003_27c8_98fb_213f, 0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2, 0xd5a7_9147_930a_a725, 0x06ca_6351_e003_826f, 0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc, 0x2e1b_2138_5c26_c926, 0x4d2c_6dfc_5ac4_2aed, 0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de, 0x766a_0abb_3c77_b2a8, 0x81c2_c92e_47ed_aee6, 0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364, 0xa81a_664b_bc42_3001, 0xc24b_8b70_d0f8_9791, 0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218, 0xd699_0624_5565_a910, 0xf40e_3585_5771_202a, 0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8, 0x1e37_6c08_5141_ab53, 0x2748_774c_df8e_eb99, 0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63, 0x4ed8_aa4a_e341_8acb, 0x5b9c_ca4f_7763_e373, 0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc, 0x78a5_636f_4317_2f60, 0x84c8_7814_a1f0_ab72, 0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28, 0xa450_6ceb_de82_bde9, 0xbef9_a3f7_b2c6_7915, 0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c, 0xd186_b8c7_21c0_c207, 0xeada_7dd6_cde0_eb1e, 0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba, 0x0a63_7dc5_a2c8_98a6, 0x113f_9804_bef9_0dae, 0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84, 0x32ca_ab7b_40c7_2493, 0x3c9e_be0a_15c9_bebc, 0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6, 0x597f_299c_fc65_7e2a, 0x5fcb_6fab_3ad6_faec, 0x6c44_198c_4a47_5817,
];

/// expand_message_xmd with SHA-512 to 96 bytes, for each message.
///
/// Source: RFC 9380, section 5.3.1.
pub(crate) fn expand_all(
    target: Target,
    messages: Messages<'_>,
    domain: &Domain,
) -> Vec<[u8; EXPANDED]> {
    let mut expanded = vec![[0; EXPANDED]; messages.len()];
    let kernel = Expand {
        messages,
        domain,
        expanded: &mut expanded,
    };
    match target.level() {
        atoll_simd::Level::Avx512 => eight(target, kernel),
        _ => kernel.one_by_one(),
    }
    expanded
}

fn eight(target: Target, kernel: Expand<'_>) {
    #[cfg(test)]
    if !target.is_real() {
        return kernel.run::<atoll_simd::Emulated8>();
    }
    atoll_simd::run8(target, kernel);
}

struct Expand<'a> {
    messages: Messages<'a>,
    domain: &'a Domain,
    expanded: &'a mut [[u8; EXPANDED]],
}

impl Expand<'_> {
    fn one_by_one(self) {
        let start = Sha512::new().chain_update([0u8; BLOCK]);
        for (index, expanded) in self.expanded.iter_mut().enumerate() {
            let first = start
                .clone()
                .chain_update(self.messages.get(index))
                .chain_update([0, EXPANDED as u8, 0])
                .chain_update(self.domain.suffix())
                .finalize();
            let block = |chained: &[u8], index: u8| {
                let hash = Sha512::new().chain_update(chained).chain_update([index]);
                hash.chain_update(self.domain.suffix()).finalize()
            };
            let one = block(&first, 1);
            let mixed: [u8; 64] = std::array::from_fn(|i| first[i] ^ one[i]);
            let two = block(&mixed, 2);
            expanded[..64].copy_from_slice(&one);
            expanded[64..].copy_from_slice(&two[..32]);
        }
    }
}

impl Kernel8 for Expand<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes8>(self) {
        let mut start = [L::splat(0); 8];
        for (lane, word) in start.iter_mut().zip(START) {
            *lane = L::splat(word);
        }
        let after_zeros = compress(&start, &[L::splat(0); 16]);
        let tails = [closing(1, self.domain), closing(2, self.domain)];
        let mut texts: [Vec<u8>; 8] = Default::default();
        for (group, expanded) in self.expanded.chunks_mut(8).enumerate() {
            for (lane, text) in texts.iter_mut().enumerate() {
                text.clear();
                let index = group * 8 + lane;
                if lane < expanded.len() {
                    opening(self.messages.get(index), self.domain, text);
                }
            }
            let first = hash_texts(&after_zeros, &texts);
            let one = hash_words(&start, &first, &tails[0]);
            let mut mixed = first;
            for (word, other) in mixed.iter_mut().zip(&one) {
                *word = word.xor(*other);
            }
            let two = hash_words(&start, &mixed, &tails[1]);
            for (word, lanes) in one.iter().chain(&two[..4]).enumerate() {
                for (row, value) in expanded.iter_mut().zip(lanes.to_array()) {
                    row[8 * word..8 * word + 8].copy_from_slice(&value.to_be_bytes());
                }
            }
        }
    }
}

/// What follows the block of zeros in the first hash, padded.
fn opening(message: &[u8], domain: &Domain, text: &mut Vec<u8>) {
    text.extend_from_slice(message);
    text.extend_from_slice(&[0, EXPANDED as u8, 0]);
    text.extend_from_slice(domain.suffix());
    pad(text, BLOCK);
}

/// What follows the 64 chained bytes in the later hashes, padded, as words.
fn closing(index: u8, domain: &Domain) -> Vec<u64> {
    let mut text = vec![index];
    text.extend_from_slice(domain.suffix());
    pad(&mut text, 64);
    text.as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_be_bytes(*word))
        .collect()
}

/// Pads a text before which `before` bytes were hashed.
fn pad(text: &mut Vec<u8>, before: usize) {
    let bits = 8 * (before + text.len()) as u128;
    text.push(0x80);
    let filled = (before + text.len() + 16).next_multiple_of(BLOCK);
    text.resize(filled - before - 16, 0);
    text.extend_from_slice(&bits.to_be_bytes());
}

/// Hashes padded texts, whose lengths are public, each in its lane.
#[inline(always)]
fn hash_texts<L: Lanes8>(start: &[L; 8], texts: &[Vec<u8>; 8]) -> [L; 8] {
    let mut state = *start;
    let mut blocks = 0;
    for text in texts {
        blocks = blocks.max(text.len() / BLOCK);
    }
    for block in 0..blocks {
        let mut columns = [[0u64; 8]; 16];
        let mut active = 0;
        for (lane, text) in texts.iter().enumerate() {
            if let Some(bytes) = text.get(block * BLOCK..(block + 1) * BLOCK) {
                active |= 1 << lane;
                for (column, word) in columns.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    column[lane] = u64::from_be_bytes(*word);
                }
            }
        }
        let mut words = [L::splat(0); 16];
        for (word, column) in words.iter_mut().zip(columns) {
            *word = L::from_array(column);
        }
        let next = compress(&state, &words);
        for (word, new) in state.iter_mut().zip(next) {
            *word = L::blend(active, new, *word);
        }
    }
    state
}

/// Hashes 8 words that differ by lane and a tail that does not.
#[inline(always)]
fn hash_words<L: Lanes8>(start: &[L; 8], head: &[L; 8], tail: &[u64]) -> [L; 8] {
    let mut state = *start;
    let mut words = [L::splat(0); 16];
    words[..8].copy_from_slice(head);
    let mut filled = 8;
    for word in tail {
        words[filled] = L::splat(*word);
        filled += 1;
        if filled == 16 {
            state = compress(&state, &words);
            filled = 0;
        }
    }
    state
}

#[inline(always)]
fn compress<L: Lanes8>(state: &[L; 8], words: &[L; 16]) -> [L; 8] {
    L::outlined(Compress { state, words })
}

struct Compress<'a, L> {
    state: &'a [L; 8],
    words: &'a [L; 16],
}

impl<L: Lanes8> Kernel1 for Compress<'_, L> {
    type Output = [L; 8];

    #[inline(always)]
    fn run(self) -> [L; 8] {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *self.state;
        let mut w = *self.words;
        macro_rules! rounds {
            ($constants:ident, $($i:literal)*) => {$(
                let upper = e.rotate_right::<14>().xor3(e.rotate_right::<18>(), e.rotate_right::<41>());
                let first = h.add(upper).add(e.choose(f, g)).add(L::splat($constants[$i]).add(w[$i]));
                let lower = a.rotate_right::<28>().xor3(a.rotate_right::<34>(), a.rotate_right::<39>());
                let second = lower.add(a.majority(b, c));
                (h, g, f, e, d, c, b, a) = (g, f, e, d.add(first), c, b, a, first.add(second));
            )*};
        }
        macro_rules! schedule {
            ($($i:literal)*) => {$(
                let (old, new) = (w[($i + 1) % 16], w[($i + 14) % 16]);
                let lower = old.rotate_right::<1>().xor3(old.rotate_right::<8>(), old.shr::<7>());
                let upper = new.rotate_right::<19>().xor3(new.rotate_right::<61>(), new.shr::<6>());
                w[$i] = w[$i].add(lower).add(w[($i + 9) % 16].add(upper));
            )*};
        }
        for (number, constants) in ROUNDS.as_chunks::<16>().0.iter().enumerate() {
            if number > 0 {
                schedule!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            }
            rounds!(constants, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        }
        let mut next = [a, b, c, d, e, f, g, h];
        for (word, old) in next.iter_mut().zip(self.state) {
            *word = word.add(*old);
        }
        next
    }
}
