//! Which instructions a kernel may use, decided once.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::selftest::{ANSWER4, ANSWER8, Digest4, Digest8};
#[cfg(target_arch = "x86_64")]
use crate::x86;

/// The environment variable that forces a level.
pub const VARIABLE: &str = "ATOLL_NATIVE__SIMD";

/// A family of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain 64-bit arithmetic, one element at a time.
    Portable,
    /// Four 64-bit lanes.
    Avx2,
    /// Eight 64-bit lanes with 52-bit multiply-add (IFMA).
    Avx512,
}

impl Level {
    /// All levels, slowest first.
    pub const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

    /// The name that `ATOLL_NATIVE__SIMD` takes.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

/// A level that does not exist or that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{VARIABLE}: level {:?} is unknown or not available on this machine",
            self.0
        )
    }
}

impl std::error::Error for UnknownLevel {}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        Level::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| UnknownLevel(name.chars().take(32).collect()))
    }
}

/// Where a kernel runs: a level, on the real instructions or emulated.
///
/// A value with `real() == true` above [`Level::Portable`] exists only where the processor
/// has the instructions; that is what makes [`crate::run8`] and [`crate::run4`] sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    level: Level,
    real: bool,
}

impl Target {
    /// Plain 64-bit code, available everywhere.
    pub const PORTABLE: Target = Target {
        level: Level::Portable,
        real: true,
    };

    /// The level with its operations carried out one by one; only with the feature `emulation`.
    #[cfg(any(test, feature = "emulation"))]
    pub fn emulated(level: Level) -> Target {
        Target {
            level,
            real: level == Level::Portable,
        }
    }

    /// The level on real instructions, where the machine has them and they passed the self-test.
    pub fn real(level: Level) -> Option<Target> {
        available(level).then_some(Target { level, real: true })
    }

    /// The family of kernels.
    pub fn level(self) -> Level {
        self.level
    }

    /// Whether the real instructions are used.
    pub fn is_real(self) -> bool {
        self.real
    }
}

fn available(level: Level) -> bool {
    static AVX2: OnceLock<bool> = OnceLock::new();
    static AVX512: OnceLock<bool> = OnceLock::new();
    match level {
        Level::Portable => true,
        Level::Avx2 => *AVX2.get_or_init(avx2_works),
        Level::Avx512 => *AVX512.get_or_init(avx512_works),
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2_works() -> bool {
    // SAFETY: the processor was asked first.
    x86::has_avx2() && unsafe { x86::run_avx2(Digest4) } == ANSWER4
}

#[cfg(target_arch = "x86_64")]
fn avx512_works() -> bool {
    // SAFETY: the processor was asked first.
    available(Level::Avx2) && x86::has_avx512() && unsafe { x86::run_avx512(Digest8) } == ANSWER8
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2_works() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn avx512_works() -> bool {
    false
}

/// Every target that can run here: real ones where the machine has them, emulated ones with the
/// feature `emulation`.
pub fn targets() -> Vec<Target> {
    let real = Level::ALL.into_iter().filter_map(Target::real);
    #[cfg(any(test, feature = "emulation"))]
    let real = real.chain(
        [Level::Avx2, Level::Avx512]
            .into_iter()
            .map(Target::emulated),
    );
    real.collect()
}

/// The fastest real target, or the one that `ATOLL_NATIVE__SIMD` names; decided once.
pub fn current() -> Result<Target, UnknownLevel> {
    static CURRENT: OnceLock<Result<Target, UnknownLevel>> = OnceLock::new();
    CURRENT
        .get_or_init(|| choose(std::env::var(VARIABLE).ok().as_deref()))
        .clone()
}

fn choose(forced: Option<&str>) -> Result<Target, UnknownLevel> {
    match forced {
        None | Some("") => Ok(Level::ALL
            .into_iter()
            .rev()
            .find_map(Target::real)
            .unwrap_or(Target::PORTABLE)),
        Some(name) => {
            let level: Level = name.parse()?;
            Target::real(level).ok_or_else(|| UnknownLevel(name.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_self_test_accepts_what_the_processor_has() {
        #[cfg(target_arch = "x86_64")]
        {
            assert_eq!(Target::real(Level::Avx2).is_some(), x86::has_avx2());
            assert_eq!(Target::real(Level::Avx512).is_some(), x86::has_avx512());
        }
        println!(
            "real: {:?}",
            Level::ALL.map(|level| (level.name(), Target::real(level).is_some()))
        );
    }

    #[test]
    fn forced_levels_are_obeyed_or_refused() {
        assert_eq!(choose(Some("portable")), Ok(Target::PORTABLE));
        assert!(choose(Some("sse9")).is_err());
        assert!(choose(None).is_ok());
    }
}
