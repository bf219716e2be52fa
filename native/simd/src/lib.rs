//! SIMD lanes: traits of vector operations, implemented by AVX-512, AVX2 and portable code, chosen at run time.

mod level;
mod parallel;

pub use level::{Level, Target, UnknownLevel, current, targets};
pub use parallel::Pool;
