//! The operations that kernels are written in.

/// Eight lanes of 64 bits, as AVX-512 with IFMA has them.
pub trait Lanes8: Copy + Send + Sync {
    /// The same number in all lanes.
    fn splat(value: u64) -> Self;
    /// Lane i is element i.
    fn from_array(values: [u64; 8]) -> Self;
    /// Element i is lane i.
    fn to_array(self) -> [u64; 8];
    /// a + b modulo 2^64.
    fn add(self, other: Self) -> Self;
    /// a - b modulo 2^64.
    fn sub(self, other: Self) -> Self;
    /// Bitwise and.
    fn and(self, other: Self) -> Self;
    /// Bitwise or.
    fn or(self, other: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, other: Self) -> Self;
    /// a xor b xor c.
    fn xor3(self, second: Self, third: Self) -> Self;
    /// Bits of `if_set` where `self` has ones, of `if_clear` elsewhere.
    fn choose(self, if_set: Self, if_clear: Self) -> Self;
    /// Each bit as most of the three have it.
    fn majority(self, second: Self, third: Self) -> Self;
    /// Shift left.
    fn shl<const N: u32>(self) -> Self;
    /// Shift right, filling with zeros.
    fn shr<const N: u32>(self) -> Self;
    /// Rotate right.
    fn rotate_right<const N: i32>(self) -> Self;
    /// self + low 52 bits of the product of the low 52 bits of a and b.
    fn madd52lo(self, a: Self, b: Self) -> Self;
    /// self + high 52 bits of the product of the low 52 bits of a and b.
    fn madd52hi(self, a: Self, b: Self) -> Self;
    /// The product of the low 32 bits of a and b.
    fn mul32(self, other: Self) -> Self;
    /// Reads a row of four little-endian words into each lane: value j holds the j-th words.
    #[inline(always)]
    fn from_rows(rows: &[&[u8; 32]; 8]) -> [Self; 4] {
        let mut columns = [[0u64; 8]; 4];
        for (lane, row) in rows.iter().enumerate() {
            for (column, word) in columns.iter_mut().zip(row.as_chunks::<8>().0) {
                column[lane] = u64::from_le_bytes(*word);
            }
        }
        let [first, second, third, fourth] = columns;
        [
            Self::from_array(first),
            Self::from_array(second),
            Self::from_array(third),
            Self::from_array(fourth),
        ]
    }
    /// Writes what [`Lanes8::from_rows`] reads.
    #[inline(always)]
    fn to_rows(columns: [Self; 4]) -> [[u8; 32]; 8] {
        let mut rows = [[0; 32]; 8];
        for (word, column) in columns.into_iter().enumerate() {
            for (row, value) in rows.iter_mut().zip(column.to_array()) {
                row[8 * word..8 * word + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        rows
    }
    /// Lane i from `if_set` where bit i of the mask is set.
    fn blend(mask: u8, if_set: Self, if_clear: Self) -> Self;
    /// Bit i is set where lane i is zero.
    fn zero_lanes(self) -> u8;
    /// Lane i is the lane of `self` that the low three bits of lane i of `index` name.
    fn permute(self, index: Self) -> Self;
    /// Runs a computation as a function of its own, compiled for these lanes: for long code that
    /// is used in several places.
    fn outlined<K: Kernel1>(kernel: K) -> K::Output;
    /// Whether all lanes are below the bound; real lanes are taken to be, emulated ones are looked at.
    fn assumed_below(self, bound: u64) -> bool;
}

/// Four lanes of 64 bits, as AVX2 has them.
pub trait Lanes4: Copy + Send + Sync {
    /// The same number in all lanes.
    fn splat(value: u64) -> Self;
    /// Lane i is element i.
    fn from_array(values: [u64; 4]) -> Self;
    /// Element i is lane i.
    fn to_array(self) -> [u64; 4];
    /// a + b modulo 2^64.
    fn add(self, other: Self) -> Self;
    /// a - b modulo 2^64.
    fn sub(self, other: Self) -> Self;
    /// Bitwise and.
    fn and(self, other: Self) -> Self;
    /// Bitwise or.
    fn or(self, other: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, other: Self) -> Self;
    /// Shift left.
    fn shl<const N: i32>(self) -> Self;
    /// Shift right, filling with zeros.
    fn shr<const N: i32>(self) -> Self;
    /// Reads a row of four little-endian words into each lane: value j holds the j-th words.
    #[inline(always)]
    fn from_rows(rows: &[&[u8; 32]; 4]) -> [Self; 4] {
        let mut columns = [[0u64; 4]; 4];
        for (lane, row) in rows.iter().enumerate() {
            for (column, word) in columns.iter_mut().zip(row.as_chunks::<8>().0) {
                column[lane] = u64::from_le_bytes(*word);
            }
        }
        let [first, second, third, fourth] = columns;
        [
            Self::from_array(first),
            Self::from_array(second),
            Self::from_array(third),
            Self::from_array(fourth),
        ]
    }
    /// Writes what [`Lanes4::from_rows`] reads.
    #[inline(always)]
    fn to_rows(columns: [Self; 4]) -> [[u8; 32]; 4] {
        let mut rows = [[0; 32]; 4];
        for (word, column) in columns.into_iter().enumerate() {
            for (row, value) in rows.iter_mut().zip(column.to_array()) {
                row[8 * word..8 * word + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        rows
    }
    /// The product of the low 32 bits of a and b.
    fn mul32(self, other: Self) -> Self;
    /// The same, of which the compiler knows nothing. Where it knows the high half to be zero it
    /// drops the masking from which it later infers that [`Lanes4::mul32`] is one instruction, not three.
    fn opaque(self) -> Self;
    /// All ones where the lanes are equal, zero elsewhere.
    fn equal(self, other: Self) -> Self;
    /// Lane i from `if_set` where the mask's lane is all ones; the mask's lanes are all ones or zero.
    fn blend(mask: Self, if_set: Self, if_clear: Self) -> Self;
    /// The highest bit of each lane.
    fn top_bits(self) -> u8;
    /// The low half of lane i is that of the eight 32-bit parts of `self` that the low three bits of lane i of `index` name; the high half is zero.
    fn permute32(self, index: Self) -> Self;
    /// Runs a computation as a function of its own, compiled for these lanes: for long code that
    /// is used in several places.
    fn outlined<K: Kernel1>(kernel: K) -> K::Output;
    /// Whether all lanes are below the bound; real lanes are taken to be, emulated ones are looked at.
    fn assumed_below(self, bound: u64) -> bool;
}

/// A computation on eight lanes; `run` is `#[inline(always)]`, and so is what it calls.
pub trait Kernel8 {
    /// What the computation returns.
    type Output;
    /// The computation.
    fn run<L: Lanes8>(self) -> Self::Output;
}

/// A computation on four lanes; `run` is `#[inline(always)]`, and so is what it calls.
pub trait Kernel4 {
    /// What the computation returns.
    type Output;
    /// The computation.
    fn run<L: Lanes4>(self) -> Self::Output;
}

/// A computation in plain code; `run` is `#[inline(always)]`, and so is what it calls.
pub trait Kernel1 {
    /// What the computation returns.
    type Output;
    /// The computation.
    fn run(self) -> Self::Output;
}
