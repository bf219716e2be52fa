//! SIMD lanes: traits of vector operations, implemented by AVX-512, AVX2 and portable code, chosen at run time.

#[cfg(any(test, feature = "emulation"))]
mod emulated;
mod lanes;
mod level;
mod parallel;
mod run;
mod selftest;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(any(test, feature = "emulation"))]
pub use emulated::{Emulated4, Emulated8};
pub use lanes::{Kernel1, Kernel4, Kernel8, Lanes4, Lanes8};
pub use level::{Level, Target, UnknownLevel, current, targets};
pub use parallel::Pool;
pub use run::{run4, run8};
