//! The instruction set of loops over numbers: the widest that the machine has, or the one that `SECONDO_SIMD` names, read once per process.
//!
//! The library of matrix products (faer) chooses for itself and has no switch: plain products, sums of products and factorizations
//! take the widest that there is whatever the variable says. Gram matrices, blocks that couple units, activations and all loops
//! over numbers follow it.

use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use pulp::aarch64::Neon;
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
use pulp::{Arch, Simd, WithSimd};

use crate::error::{Error, Result, by_name};

/// The environment variable that names a level.
const VARIABLE: &str = "SECONDO_SIMD";

/// An instruction set that the kernels are compiled for. Its bits do not depend on the number of threads; another may give others, since lanes
/// and blocks decide in which order sums are taken. Plain products and factorizations take the widest set of the machine at every level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// One number at a time: what every machine of the target has.
    Plain,
    /// ARM's vectors of 16 bytes.
    Neon,
    /// AVX2 with FMA: vectors of 32 bytes in 16 registers.
    V3,
    /// AVX-512: vectors of 64 bytes in 32 registers.
    V4,
}

impl Level {
    /// All of them, from the narrowest to the widest.
    pub const ALL: [Level; 4] = [Level::Plain, Level::Neon, Level::V3, Level::V4];

    /// The name in `SECONDO_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Plain => "plain",
            Level::Neon => "neon",
            Level::V3 => "v3",
            Level::V4 => "v4",
        }
    }

    /// The instruction set's own name.
    pub fn instructions(self) -> &'static str {
        match self {
            Level::Plain => "no vectors of its own",
            Level::Neon => "NEON",
            Level::V3 => "AVX2 and FMA",
            Level::V4 => "AVX-512",
        }
    }

    /// Returns the level with this name; [`Error::Unknown`] lists the names.
    ///
    /// # Errors
    /// `Unknown` for a name that there is not, `Unsupported` for a level that this machine does not have.
    pub fn from_name(name: &str) -> Result<Self> {
        let level = by_name("instruction set", name, &Self::ALL.map(|l| (l.name(), l)))?;
        if level.arch().is_some() {
            return Ok(level);
        }
        let names: Vec<&str> = Self::available().map(Level::name).collect();
        Err(Error::Unsupported {
            what: format!("the instruction set {name} ({})", level.instructions()),
            why: format!("this machine has {}", names.join(", ")),
        })
    }

    /// Returns the levels that this machine has, from the narrowest to the widest.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.arch().is_some())
    }

    /// Returns the level of this process.
    ///
    /// # Errors
    /// Those of [`from_name`](Level::from_name) for what `SECONDO_SIMD` says. Every request on the processor ends with them, too.
    pub fn in_use() -> Result<Self> {
        chosen().as_ref().map(|(level, _)| *level).map_err(Error::clone)
    }

    /// Returns how code is run at this level, where the machine has it.
    pub(crate) fn arch(self) -> Option<Arch> {
        match self {
            Level::Plain => Some(Arch::Scalar),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => Neon::try_new().map(Arch::Neon),
            #[cfg(target_arch = "x86_64")]
            Level::V3 => V3::try_new().map(Arch::V3),
            #[cfg(target_arch = "x86_64")]
            Level::V4 => V4::try_new().map(Arch::V4),
            #[allow(unreachable_patterns)] // none of the others is there on some targets
            _ => None,
        }
    }
}

/// The level of this process, or why there is none.
fn chosen() -> &'static Result<(Level, Arch)> {
    static CHOSEN: OnceLock<Result<(Level, Arch)>> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let level = match std::env::var_os(VARIABLE) {
            Some(name) => Level::from_name(&name.to_string_lossy())?,
            None => Level::available().last().unwrap_or(Level::Plain),
        };
        Ok((level, level.arch().unwrap_or(Arch::Scalar)))
    })
}

/// Returns how kernels are run in this process. Requests end with the error of [`Level::in_use`] before they come here; what is called
/// beside them, such as `gram`, then runs with the widest level.
#[inline]
pub(crate) fn arch() -> Arch {
    chosen().as_ref().map_or_else(|_| Arch::new(), |(_, arch)| *arch)
}

/// Calls `f`. Where that is inlined always, its loops are compiled for the widest registers that there are: no digit changes.
pub(crate) fn in_lanes(f: impl FnMut()) {
    struct Lanes<F>(F);
    impl<F: FnMut()> WithSimd for Lanes<F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _: S) {
            (self.0)();
        }
    }
    arch().dispatch(Lanes(f));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The levels that this machine has, each with what runs it: for tests of a kernel at all of them.
    pub fn all() -> Vec<(Level, Arch)> {
        Level::available().filter_map(|level| Some((level, level.arch()?))).collect()
    }

    #[test]
    fn names_are_those_of_levels_that_the_machine_has() {
        for level in Level::available() {
            assert_eq!(Level::from_name(level.name()), Ok(level));
        }
        assert!(all().first().is_some_and(|(level, _)| *level == Level::Plain));
        let unknown = Level::from_name("avx9").unwrap_err().to_string();
        assert!(unknown.contains("avx9") && unknown.contains("plain"), "{unknown}");
        for level in Level::ALL.into_iter().filter(|level| level.arch().is_none()) {
            let refused = Level::from_name(level.name()).unwrap_err().to_string();
            assert!(
                refused.contains(level.instructions()) && refused.contains("plain"),
                "{refused}"
            );
        }
    }
}
