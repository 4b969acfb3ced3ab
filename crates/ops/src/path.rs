//! Which machine code runs, and on how many threads. Neither may change a bit of any result.
//!
//! A [`Ctx`] can only be made for a path that this processor has, which is what makes the `unsafe` calls into
//! feature-gated kernels sound: every kernel takes its path from a `Ctx`.

use std::fmt;
use std::sync::OnceLock;

/// Environment variable that overrides the detected path: `portable`, `avx2` or `avx512`.
pub const PATH_ENV: &str = "OPENLEDGER_OPS_PATH";
/// More threads than this are refused: a request for more is a mistake, and chunk counts are sized by it.
pub const THREADS_MAX: usize = 1024;

/// An implementation of the op set. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Plain Rust with `mul_add` over arrays of lanes; the compiler vectorises it for the target's baseline.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Path {
    /// Every path, slowest first.
    pub const ALL: [Path; 3] = [Path::Portable, Path::Avx2, Path::Avx512];

    /// Whether this processor can run the path.
    pub fn is_available(self) -> bool {
        match self {
            Path::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => {
                Path::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Path::Avx2 | Path::Avx512 => false,
        }
    }

    /// The paths this processor can run, slowest first.
    pub fn available() -> impl Iterator<Item = Path> {
        Path::ALL.into_iter().filter(|p| p.is_available())
    }

    /// The fastest path of this processor, unless [`PATH_ENV`] names another available one.
    pub fn detect() -> Path {
        static DETECTED: OnceLock<Path> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let best = Path::available().last().unwrap_or(Path::Portable);
            match std::env::var(PATH_ENV).ok().as_deref().and_then(Path::from_name) {
                Some(path) if path.is_available() => path,
                _ => best,
            }
        })
    }

    /// The path's name, as [`PATH_ENV`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Path::Portable => "portable",
            Path::Avx2 => "avx2",
            Path::Avx512 => "avx512",
        }
    }

    /// The path of that name.
    pub fn from_name(name: &str) -> Option<Path> {
        Path::ALL.into_iter().find(|p| p.name() == name)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a context cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CtxError {
    /// The path needs instructions that this processor lacks.
    #[error("this processor cannot run the {0} path: use Path::detect()")]
    PathUnavailable(Path),
    /// Zero threads, or more than [`THREADS_MAX`].
    #[error("{0} threads asked for: use 1 to {THREADS_MAX}")]
    Threads(usize),
    /// The floating-point environment flushes subnormals to zero or does not round to nearest.
    #[error(
        "the floating-point control register is {0:#x}: reset it (no flush-to-zero, round to nearest) first"
    )]
    FloatEnvironment(u32),
}

/// Path and thread count of a computation. Cheap to copy; results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ctx {
    path: Path,
    threads: usize,
}

impl Ctx {
    /// A context for `path` on up to `threads` threads of the current rayon pool.
    ///
    /// # Errors
    /// When the processor lacks the path, the thread count is out of range or the floating-point environment is
    /// not the IEEE default.
    pub fn new(path: Path, threads: usize) -> Result<Ctx, CtxError> {
        if !path.is_available() {
            return Err(CtxError::PathUnavailable(path));
        }
        if threads == 0 || threads > THREADS_MAX {
            return Err(CtxError::Threads(threads));
        }
        check_float_environment()?;
        Ok(Ctx { path, threads })
    }

    /// The fastest path on all threads of the current rayon pool.
    ///
    /// # Panics
    /// When the floating-point environment flushes subnormals: no result could be trusted.
    pub fn detect() -> Ctx {
        let threads = rayon::current_num_threads().min(THREADS_MAX);
        Ctx::new(Path::detect(), threads).expect("the IEEE default floating-point environment")
    }

    /// The fastest path on one thread.
    ///
    /// # Panics
    /// As [`Ctx::detect`].
    pub fn single() -> Ctx {
        Ctx::detect().with_threads(1)
    }

    /// The same path on `threads` threads (clamped to 1 ..= [`THREADS_MAX`]).
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Ctx {
        Ctx { threads: threads.clamp(1, THREADS_MAX), ..self }
    }

    /// The path.
    pub fn path(&self) -> Path {
        self.path
    }

    /// The most threads an op may use.
    pub fn threads(&self) -> usize {
        self.threads
    }
}

/// Checks that this thread rounds to nearest and keeps subnormals (MXCSR on x86-64, FPCR on aarch64).
///
/// # Errors
/// [`CtxError::FloatEnvironment`] with the register's value.
pub fn check_float_environment() -> Result<(), CtxError> {
    #[cfg(target_arch = "x86_64")]
    {
        const FLUSH_TO_ZERO: u32 = 1 << 15;
        const DENORMALS_ARE_ZERO: u32 = 1 << 6;
        const ROUNDING: u32 = 3 << 13;
        let mut mxcsr = 0u32;
        // SAFETY: stmxcsr stores four bytes to a valid, writable u32.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack)) };
        if mxcsr & (FLUSH_TO_ZERO | DENORMALS_ARE_ZERO | ROUNDING) != 0 {
            return Err(CtxError::FloatEnvironment(mxcsr));
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        const FLUSH_TO_ZERO: u64 = 1 << 24;
        const ROUNDING: u64 = 3 << 22;
        let fpcr: u64;
        // SAFETY: reading FPCR has no side effect.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack)) };
        if fpcr & (FLUSH_TO_ZERO | ROUNDING) != 0 {
            return Err(CtxError::FloatEnvironment(fpcr as u32));
        }
    }
    Ok(())
}
