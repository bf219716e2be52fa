//! Arithmetic modulo the primes, one number at a time, and what transforms need of a prime.

/// Bits of a residue.
pub const BITS: u32 = 27;

/// The largest primes below 2^27 that are 1 modulo 2^14, so that degrees up to 8192 have roots.
pub const PRIMES: [u64; 8] = [
    133_857_281,
    133_644_289,
    133_611_521,
    133_513_217,
    133_251_073,
    132_825_089,
    132_759_553,
    132_710_401,
];

/// A prime with the tables of one degree.
pub struct Prime {
    /// The prime itself.
    pub value: u64,
    /// 2^32 modulo it.
    pub fold: u64,
    /// Forward factors by node, see [`crate::ntt`].
    pub forward: Vec<u64>,
    /// Their inverses.
    pub inverse: Vec<u64>,
    /// Factors of the stages within a vector, of all lanes: one table a stage, the widest first.
    pub inner: Vec<Vec<u64>>,
    /// 1 / degree, packed.
    pub scale: u64,
    /// 1, packed.
    pub one: u64,
    barrett: u64,
}

impl Prime {
    /// The tables for a degree that is a power of two up to 8192, and for so many lanes.
    pub fn new(value: u64, degree: usize, lanes: usize) -> Prime {
        let mut prime = Prime {
            value,
            fold: (1 << 32) % value,
            forward: Vec::new(),
            inverse: Vec::new(),
            inner: Vec::new(),
            scale: 0,
            one: 0,
            barrett: u64::MAX / value,
        };
        let root = prime.root(degree as u64);
        prime.forward = prime.factors(root, degree);
        prime.inverse = prime.factors(prime.invert(root), degree);
        let widths = (0..lanes.ilog2()).rev().map(|bit| 1usize << bit);
        prime.inner = widths.map(|width| prime.inner_table(width)).collect();
        prime.scale = prime.pack(prime.invert(degree as u64));
        prime.one = prime.pack(1);
        prime
    }

    /// A number modulo the prime; the time does not depend on it.
    #[inline(always)]
    pub fn reduce(&self, number: u64) -> u64 {
        let quotient = ((u128::from(number) * u128::from(self.barrett)) >> 64) as u64;
        // The quotient is short by less than 2.
        let rest = number - quotient * self.value;
        rest.min(rest.wrapping_sub(self.value))
    }

    /// The product of two residues.
    #[inline(always)]
    pub fn multiply(&self, left: u64, right: u64) -> u64 {
        self.reduce(left * right)
    }

    /// A signed number whose amount is below the prime.
    #[inline(always)]
    pub fn signed(&self, number: i64) -> u64 {
        number.wrapping_add((number >> 63) & self.value.cast_signed()) as u64
    }

    /// A number of 128 bits modulo the prime; the time does not depend on it.
    #[inline(always)]
    pub fn reduce_wide(&self, number: u128) -> u64 {
        let high = self.reduce((number >> 64) as u64);
        // 2^64 modulo the prime.
        let fold = self.reduce(self.fold * self.fold);
        let low = self.reduce(number as u64);
        self.reduce(high * fold + low)
    }

    /// A power; the exponent is public.
    pub fn power(&self, base: u64, exponent: u64) -> u64 {
        let bits = (0..64 - exponent.leading_zeros()).rev();
        bits.fold(1, |product, bit| {
            let square = self.multiply(product, product);
            if exponent >> bit & 1 == 1 {
                self.multiply(square, base)
            } else {
                square
            }
        })
    }

    /// 1 / number, for a public number.
    pub fn invert(&self, number: u64) -> u64 {
        self.power(self.reduce(number), self.value - 2)
    }

    /// A factor w with floor(2^32 w / p) above it, so that products by it need no division (Shoup).
    pub fn pack(&self, factor: u64) -> u64 {
        factor | ((factor << 32) / self.value) << 32
    }

    /// A root of X^degree + 1: the first power that is one, over bases 2, 3, ….
    fn root(&self, degree: u64) -> u64 {
        let exponent = (self.value - 1) / (2 * degree);
        let candidates = (2..self.value).map(|base| self.power(base, exponent));
        let mut roots = candidates.filter(|root| self.power(*root, degree) == self.value - 1);
        roots.next().expect("1 modulo twice the degree")
    }

    /// Powers of the root, packed: node k has the one whose exponent is k with its bits reversed.
    fn factors(&self, root: u64, degree: usize) -> Vec<u64> {
        let mut table = vec![0; degree];
        let shift = usize::BITS - degree.ilog2();
        let mut power = 1;
        for exponent in 0..degree {
            let node = exponent.reverse_bits().unbounded_shr(shift);
            table[node] = self.pack(power);
            power = self.multiply(power, root);
        }
        table
    }

    /// The forward factors of one stage for each element: w for the first of a pair's partners,
    /// -w for the second, which lies `width` further.
    fn inner_table(&self, width: usize) -> Vec<u64> {
        let degree = self.forward.len();
        let factor = |at: usize| {
            let factor = self.forward[(degree + at) / (2 * width)] & u64::from(u32::MAX);
            let negative = at & width != 0;
            self.pack(if negative {
                self.value - factor
            } else {
                factor
            })
        };
        (0..degree).map(factor).collect()
    }
}
