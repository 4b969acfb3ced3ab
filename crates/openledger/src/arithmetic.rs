//! The arithmetic's context for commands.

use ops::Ctx;

/// The processor's best path on so many threads; 0 means all. They change no bit.
pub fn context(threads: usize) -> Ctx {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    Ctx::detect().with_threads(if threads == 0 { all() } else { threads })
}
