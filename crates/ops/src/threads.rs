//! Threads split work across outputs only: which thread computes an element never changes its value.
//!
//! An op by itself hands its tasks to the current rayon pool. Waking a sleeping worker takes as long as a small op does, so a pass of
//! many ops holds a [`team`]: the pool's workers stay with it and look out for the next op.

use crate::path::Ctx;
use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs `task(0) .. task(count - 1)`, each once, on at most `ctx.threads()` threads, in any order.
pub(crate) fn for_each_task(ctx: &Ctx, count: usize, task: impl Fn(usize) + Sync) {
    let workers = ctx.threads().min(count);
    if workers <= 1 {
        (0..count).for_each(task);
        return;
    }
    let team = TEAM.replace(ptr::null());
    if !team.is_null() {
        // Ops inside a task stay on its thread: the team is busy.
        let _restored = Restore(team);
        // SAFETY: the pointer is set only while `team` holds the structure.
        return unsafe { &*team }.run(count, &task);
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

/// `task(0) .. task(count - 1)` in order, each run once on any of at most `ctx.threads()` threads: for other work between the ops of a
/// [`team`], which it may use.
pub fn map<T: Send>(ctx: &Ctx, count: usize, task: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let shared = Shared::new(&mut results);
    for_each_task(ctx, count, |i| {
        let result = task(i);
        // SAFETY: a place belongs to its task.
        let place = unsafe { shared.range(i, i + 1) };
        place[0] = Some(result);
    });
    results.into_iter().map(|result| result.expect("every task ran")).collect()
}

thread_local! {
    /// The team that this thread leads.
    static TEAM: Cell<*const Team> = const { Cell::new(ptr::null()) };
}

/// Puts a team back in its place, also after a panic.
struct Restore(*const Team);

impl Drop for Restore {
    fn drop(&mut self) {
        TEAM.set(self.0);
    }
}

/// Runs `body` with `ctx.threads() - 1` workers of the current rayon pool at hand for its ops. They poll until it ends; ops of other
/// threads, and rayon's own loops in the body, do without them meanwhile. Changes no bit.
pub fn team<R>(ctx: &Ctx, body: impl FnOnce() -> R) -> R {
    if ctx.threads() == 1 || !TEAM.get().is_null() {
        return body();
    }
    let team = Team::new();
    rayon::in_place_scope(|scope| {
        for _ in 1..ctx.threads() {
            scope.spawn(|_| team.help());
        }
        let _end = End(&team);
        TEAM.set(&team);
        body()
    })
}

/// Dismisses a team, also after a panic.
struct End<'a>(&'a Team);

impl Drop for End<'_> {
    fn drop(&mut self) {
        TEAM.set(ptr::null());
        self.0.closed.store(true, Ordering::Release);
    }
}

/// Polls in a row before a worker lets other processes run between two.
const POLLS_MAX: usize = 2000;
/// Bit of the gate that lets workers in; the rest counts those inside.
const OPEN: usize = 1 << (usize::BITS - 1);

/// What an op wants done: `task(0) .. task(count - 1)`.
#[derive(Clone, Copy)]
struct Job {
    task: *const (dyn Fn(usize) + Sync),
    count: usize,
}

/// Workers that wait for a leader's ops.
struct Team {
    job: UnsafeCell<Option<Job>>,
    /// Next task of the job.
    next: AtomicUsize,
    /// Counts jobs, so that a worker takes each once.
    number: AtomicUsize,
    gate: AtomicUsize,
    closed: AtomicBool,
}

// SAFETY: the job is written by the leader alone, while the gate is shut and nobody inside, and read by workers inside the gate.
unsafe impl Sync for Team {}

impl Team {
    fn new() -> Team {
        Team {
            job: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            number: AtomicUsize::new(0),
            gate: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Does a job together with whoever of the team has time; the leader alone calls it, never inside a task.
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes; nobody holds the task once the gate is shut and empty, before this returns.
        let task: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(task) };
        let job = Job { task, count };
        // SAFETY: the gate is shut and empty.
        unsafe { *self.job.get() = Some(job) };
        self.next.store(0, Ordering::Relaxed);
        self.number.fetch_add(1, Ordering::Relaxed);
        self.gate.store(OPEN, Ordering::Release);
        let _shut = Shut(self);
        self.drain(job);
    }

    fn drain(&self, job: Job) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= job.count {
                break;
            }
            // SAFETY: the leader holds the task until everyone is out.
            unsafe { (*job.task)(index) };
        }
    }

    /// A worker's part, until the team is dismissed.
    fn help(&self) {
        let (mut done, mut polls) = (0, 0);
        while !self.closed.load(Ordering::Acquire) {
            if self.number.load(Ordering::Relaxed) != done && self.enter() {
                let _leave = Leave(self);
                done = self.number.load(Ordering::Relaxed);
                // SAFETY: inside the gate.
                if let Some(job) = unsafe { *self.job.get() } {
                    self.drain(job);
                }
                polls = 0;
            } else if polls < POLLS_MAX {
                polls += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    fn enter(&self) -> bool {
        let mut gate = self.gate.load(Ordering::Relaxed);
        while gate & OPEN != 0 {
            match self.gate.compare_exchange_weak(gate, gate + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => gate = now,
            }
        }
        false
    }
}

/// Shuts the gate behind a job and waits until nobody is inside, also after a panic of the leader's.
struct Shut<'a>(&'a Team);

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        // After a panic nobody should begin another task.
        self.0.next.fetch_max(usize::MAX / 2, Ordering::Relaxed);
        self.0.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let mut polls = 0;
        while self.0.gate.load(Ordering::Acquire) != 0 {
            polls += 1;
            if polls < POLLS_MAX { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

/// Takes a worker out of the gate, also after a panic, which the scope then passes on.
struct Leave<'a>(&'a Team);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.gate.fetch_sub(1, Ordering::Release);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("three threads")
    }

    #[test]
    fn a_team_does_every_task_of_every_op_once_and_ops_inside_tasks_too() {
        let ctx = Ctx::detect().with_threads(3);
        let done: Vec<AtomicUsize> = (0..64).map(|_| AtomicUsize::new(0)).collect();
        let inner = AtomicUsize::new(0);
        pool().install(|| {
            team(&ctx, || {
                for count in (0..2000).map(|i| i % 65) {
                    for_each_task(&ctx, count, |i| {
                        done[i].fetch_add(1, Ordering::Relaxed);
                        if i == 3 {
                            for_each_task(&ctx, 5, |_| {
                                inner.fetch_add(1, Ordering::Relaxed);
                            });
                        }
                    });
                }
            });
        });
        for (i, done) in done.iter().enumerate() {
            let expected = (0..2000).filter(|n| n % 65 > i).count();
            assert_eq!(done.load(Ordering::Relaxed), expected, "task {i}");
        }
        assert_eq!(inner.load(Ordering::Relaxed), 5 * (0..2000).filter(|n| n % 65 > 3).count());
    }

    #[test]
    fn results_come_in_order_with_and_without_a_team() {
        let ctx = Ctx::detect().with_threads(3);
        let squares = |count: usize| map(&ctx, count, |i| i * i);
        for count in [0, 1, 2, 100] {
            let expected: Vec<usize> = (0..count).map(|i| i * i).collect();
            assert_eq!(pool().install(|| squares(count)), expected);
            assert_eq!(pool().install(|| team(&ctx, || squares(count))), expected);
        }
    }

    #[test]
    fn a_panic_of_a_task_ends_the_team_and_is_passed_on() {
        let ctx = Ctx::detect().with_threads(3);
        for bad in [0, 7, 63] {
            let result = std::panic::catch_unwind(|| {
                pool().install(|| {
                    team(&ctx, || for_each_task(&ctx, 64, |i| assert!(i != bad, "task {bad}")));
                });
            });
            assert!(result.is_err());
        }
        // This thread leads no team any more.
        assert_eq!(team(&ctx, || 5), 5);
    }
}
