//! Threads split work across outputs only: which thread computes an element never changes its value.

use crate::path::Ctx;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `task(0) .. task(count - 1)`, each once, on at most `ctx.threads()` threads, in any order.
pub(crate) fn for_each_task(ctx: &Ctx, count: usize, task: impl Fn(usize) + Sync) {
    let workers = ctx.threads().min(count);
    if workers <= 1 {
        (0..count).for_each(task);
        return;
    }
    let next = AtomicUsize::new(0);
    let drain = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            task(index);
        }
    };
    rayon::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|_| drain());
        }
        drain();
    });
}

/// Splits `0..len` into chunks of a multiple of `unit` and runs `task(start, end)` on each.
///
/// `cost` is the work in elements; less than [`SPLIT_COST_MIN`] stays on this thread.
pub(crate) fn for_each_range(
    ctx: &Ctx,
    len: usize,
    unit: usize,
    cost: usize,
    task: impl Fn(usize, usize) + Sync,
) {
    if len == 0 {
        return;
    }
    if ctx.threads() == 1 || cost < SPLIT_COST_MIN {
        task(0, len);
        return;
    }
    let units = len.div_ceil(unit);
    let chunk = units.div_ceil(ctx.threads() * CHUNKS_PER_THREAD).max(1) * unit;
    for_each_task(ctx, len.div_ceil(chunk), |index| {
        let start = index * chunk;
        task(start, (start + chunk).min(len));
    });
}

/// Elements below which a second thread costs more than it brings.
pub(crate) const SPLIT_COST_MIN: usize = 1 << 14;
/// More chunks than threads, so that a thread that was delayed does not hold up the rest.
const CHUNKS_PER_THREAD: usize = 4;

/// A mutable slice that tasks on several threads write in disjoint ranges.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T> {
    ptr: *mut T,
    len: usize,
}

// SAFETY: the only access is `range`, whose callers promise disjoint ranges.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Wraps a slice for the length of a parallel op.
    pub(crate) fn new(slice: &mut [T]) -> Self {
        Shared { ptr: slice.as_mut_ptr(), len: slice.len() }
    }

    /// The range `start..end`.
    ///
    /// # Safety
    /// Ranges handed to tasks that may run at the same time must not overlap, and the wrapped slice must outlive
    /// the use.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn range<'a>(&self, start: usize, end: usize) -> &'a mut [T] {
        assert!(start <= end && end <= self.len, "range {start}..{end} of {}", self.len);
        // SAFETY: inside the wrapped slice by the assertion, disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(start), end - start) }
    }
}

impl Shared<f32> {
    /// A strided matrix of `rows` x `cols` from element `at`, for a kernel to write.
    ///
    /// # Safety
    /// As for `range`, for the elements of the matrix alone.
    pub(crate) unsafe fn strided(
        &self,
        at: usize,
        rows: usize,
        cols: usize,
        ld: usize,
    ) -> crate::matmul::Out {
        let need = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * ld + cols };
        assert!(at + need <= self.len, "matrix of {rows} x {cols} at {at} of {}", self.len);
        // SAFETY: inside the wrapped slice by the assertion.
        unsafe { crate::matmul::Out::from_raw(self.ptr.add(at), ld) }
    }
}
