//! Drives the tiles over blocks of the operands and splits outputs over threads.
//!
//! Blocks of A and B stay in the second cache, a panel of one of them in the first. No loop here changes the order in which one element of the
//! output is folded: k-blocks are outermost and ascending for each block of columns.

use super::kernels::{Kernels, RowsTile, TURN_WIDTH, kernels};
use super::{K_BLOCK, Out, View, direct};
use crate::path::Ctx;
use crate::threads::for_each_task;
use std::cell::RefCell;

/// Multiply-adds below which a second thread costs more than it brings.
const SPLIT_WORK_MIN: usize = 1 << 17;
/// Columns that a thread's part is a multiple of: two lines.
pub(super) const COLUMN_UNIT: usize = 32;
/// Rows of A packed at a time.
pub(super) const ROWS_MAX: usize = 504;
/// Columns of B packed at a time, and for few rows, where packed columns are used once and should not leave the first caches.
const COLS_MAX: usize = 2048;
const COLS_FEW_ROWS: usize = 128;
/// Up to this many rows the weights are streamed in small pieces.
pub(super) const FEW_ROWS: usize = 32;

/// `out = a b` or `out + a b`, split over threads by outputs.
pub(crate) fn gemm(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: View<'_>,
    b: View<'_>,
    out: Out,
    accumulate: bool,
) {
    for_each_part(ctx, m, n, k, COLUMN_UNIT, |i, j, m, n| {
        gemm_one_thread(ctx, m, n, k, a.from(i, 0), b.from(0, j), out.from(i, j), accumulate);
    });
}

/// Cuts an `m` x `n` output into a part for each thread: `part(row, column, rows, columns)`. Columns are cut at multiples of `unit`.
pub(super) fn for_each_part(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    unit: usize,
    part: impl Fn(usize, usize, usize, usize) + Sync,
) {
    if ctx.threads() == 1 || m.saturating_mul(n).saturating_mul(k) < SPLIT_WORK_MIN {
        return part(0, 0, m, n);
    }
    if m >= n && m > FEW_ROWS {
        let chunk = m.div_ceil(ctx.threads());
        for_each_task(ctx, m.div_ceil(chunk), |t| part(t * chunk, 0, chunk.min(m - t * chunk), n));
    } else {
        let chunk = n.div_ceil(ctx.threads()).next_multiple_of(unit);
        for_each_task(ctx, n.div_ceil(chunk), |t| part(0, t * chunk, m, chunk.min(n - t * chunk)));
    }
}

#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Line(pub(super) [f32; 16]);

/// Cache-line aligned scratch of a thread.
pub(super) struct Scratch(Vec<Line>);

impl Scratch {
    fn ptr(&mut self, elements: usize) -> *mut f32 {
        let lines = elements.div_ceil(16);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0.0; 16]));
        }
        self.0.as_mut_ptr().cast()
    }
}

thread_local! {
    pub(super) static PACKED: RefCell<(Scratch, Scratch)> = const { RefCell::new((Scratch(Vec::new()), Scratch(Vec::new()))) };
}

/// `out = a b` or `out + a b` on this thread.
pub(crate) fn gemm_one_thread(
    ctx: &Ctx,
    m: usize,
    n: usize,
    k: usize,
    a: View<'_>,
    b: View<'_>,
    out: Out,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            for i in 0..m {
                // SAFETY: row i of an m x n output.
                unsafe { std::slice::from_raw_parts_mut(out.ptr(i, 0), n) }.fill(0.0);
            }
        }
        return;
    }
    if m <= direct::ROWS_MAX && b.col_stride == 1 {
        return direct::gemm(ctx, m, n, k, a, b, out, accumulate);
    }
    let kernels = kernels(ctx);
    PACKED.with(|packed| {
        let (pa, pb) = &mut *packed.borrow_mut();
        // SAFETY: the views cover m x k and k x n, the output m x n, as their makers checked.
        unsafe { blocks(kernels, m, n, k, a, b, out, accumulate, pa, pb) };
    });
}

/// # Safety
/// `a` covers `m` x `k`, `b` covers `k` x `n`, `out` covers `m` x `n`; the processor runs `kernels`.
unsafe fn blocks(
    kernels: &Kernels,
    m: usize,
    n: usize,
    k: usize,
    a: View<'_>,
    b: View<'_>,
    out: Out,
    accumulate: bool,
    pa: &mut Scratch,
    pb: &mut Scratch,
) {
    let cols_max = if m <= FEW_ROWS { COLS_FEW_ROWS } else { COLS_MAX };
    let mut j = 0;
    while j < n {
        let cols = cols_max.min(n - j);
        let mut p = 0;
        while p < k {
            let k_len = K_BLOCK.min(k - p);
            let set = p == 0 && !accumulate;
            let packed_b = pb.ptr(cols.next_multiple_of(kernels.cols) * k_len);
            // SAFETY: the block lies inside b and the scratch holds its panels.
            unsafe { pack_b(kernels, packed_b, b.from(p, j), cols, k_len) };
            let mut i = 0;
            while i < m {
                let rows = ROWS_MAX.min(m - i);
                let panels = Panels::new(kernels, rows);
                // SAFETY: the block lies inside a.
                let block = unsafe { left(kernels, kernels.rows_tiles, a.from(i, p), panels, k_len, pa) };
                // SAFETY: the block lies inside out, and the operands are as made above.
                unsafe {
                    let right = Right { panels: packed_b, group: kernels.cols, sweep: kernels.sweep_cols };
                    multiply(kernels, block, right, panels, cols, k_len, out.from(i, j), set);
                }
                i += rows;
            }
            p += k_len;
        }
        j += cols;
    }
}

/// Rows cut into panels: as evenly as possible, so that the last is not a sliver, or in whole tiles where several are packed at once.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    rows: usize,
    rows_max: usize,
    even: bool,
    count: usize,
}

impl Panels {
    pub(super) fn new(kernels: &Kernels, rows: usize) -> Self {
        let rows_max = kernels.tiles.len();
        Panels { rows, rows_max, even: kernels.pack_panels == 1, count: rows.div_ceil(rows_max) }
    }

    /// First row of a panel; for the number of panels, the number of rows.
    fn first(&self, index: usize) -> usize {
        if self.even { index * self.rows / self.count } else { (index * self.rows_max).min(self.rows) }
    }

    /// First row and height of a panel.
    fn get(&self, index: usize) -> (usize, usize) {
        (self.first(index), self.first(index + 1) - self.first(index))
    }
}

/// # Safety
/// `b` covers `k_len` x `cols`; `dst` holds the panels.
unsafe fn pack_b(kernels: &Kernels, dst: *mut f32, b: View<'_>, cols: usize, k_len: usize) {
    for j in (0..cols).step_by(kernels.cols) {
        let width = kernels.cols.min(cols - j);
        // SAFETY: inside b and dst by the caller's promise.
        unsafe {
            let panel = dst.add(j * k_len);
            if b.col_stride == 1 {
                (kernels.straight)(panel, kernels.cols, b.ptr().add(j), b.row_stride, width, k_len);
            } else {
                for i in (0..width).step_by(TURN_WIDTH) {
                    let source = b.ptr().add((j + i) * b.col_stride);
                    (kernels.turned)(
                        panel.add(i),
                        kernels.cols,
                        source,
                        b.col_stride,
                        TURN_WIDTH.min(width - i),
                        k_len,
                    );
                }
            }
        }
    }
}

/// # Safety
/// `a` covers the panels' rows x `k_len`; `dst` holds the panels.
unsafe fn pack_a(kernels: &Kernels, dst: *mut f32, a: View<'_>, panels: Panels, k_len: usize) {
    for index in (0..panels.count).step_by(kernels.pack_panels) {
        let first = panels.first(index);
        let height = panels.first(panels.count.min(index + kernels.pack_panels)) - first;
        // SAFETY: inside a and dst by the caller's promise.
        unsafe {
            let panel = dst.add(index * kernels.a_stride * k_len);
            let source = a.ptr().add(first * a.row_stride);
            if a.row_stride == 1 && a.col_stride != 1 {
                (kernels.straight)(panel, kernels.a_stride, source, a.col_stride, height, k_len);
            } else {
                (kernels.turned)(panel, kernels.a_stride, source, a.row_stride, height, k_len);
            }
        }
    }
}

/// A block of the left operand.
#[derive(Clone, Copy)]
pub(super) enum Left<'a> {
    /// Packed panels.
    Packed(*const f32),
    /// Rows in place, contiguous along k, and the tiles that read them.
    Rows(&'static [RowsTile], View<'a>),
}

/// The block of A for the kernels: as it lies, or packed into the scratch.
///
/// # Safety
/// `a` covers the panels' rows x `k_len`.
pub(super) unsafe fn left<'a>(
    kernels: &Kernels,
    rows_tiles: Option<&'static [RowsTile]>,
    a: View<'a>,
    panels: Panels,
    k_len: usize,
    scratch: &mut Scratch,
) -> Left<'a> {
    if let Some(tiles) = rows_tiles.filter(|_| a.col_stride == 1) {
        return Left::Rows(tiles, a);
    }
    let packed = scratch.ptr(panels.count * kernels.a_stride * k_len);
    // SAFETY: inside a by the caller's promise, and the scratch holds the panels.
    unsafe { pack_a(kernels, packed, a, panels, k_len) };
    Left::Packed(packed)
}

/// A block of the right operand, packed.
#[derive(Clone, Copy)]
pub(super) struct Right {
    /// Panels of `group` columns.
    pub(super) panels: *const f32,
    /// A multiple of the tile's columns.
    pub(super) group: usize,
    /// Columns over which a panel of A passes before the next does.
    pub(super) sweep: usize,
}

/// # Safety
/// Operands as made above; `out` covers the panels' rows x `cols`.
pub(super) unsafe fn multiply(
    kernels: &Kernels,
    block: Left<'_>,
    right: Right,
    panels: Panels,
    cols: usize,
    k_len: usize,
    out: Out,
    set: bool,
) {
    for sweep in (0..cols).step_by(right.sweep) {
        let sweep_end = cols.min(sweep + right.sweep);
        for index in 0..panels.count {
            let (first, height) = panels.get(index);
            for j in (sweep..sweep_end).step_by(kernels.cols) {
                let width = kernels.cols.min(cols - j);
                // SAFETY: by the caller's promise; height is at most the number of tiles.
                unsafe {
                    let group = right.group;
                    let b = right.panels.add(j / group * group * k_len + j % group);
                    let c = out.ptr(first, j);
                    match block {
                        Left::Packed(a) => {
                            let a = a.add(index * kernels.a_stride * k_len);
                            kernels.tiles[height - 1](k_len, a, b, group, c, out.ld, width, set);
                        }
                        Left::Rows(tiles, a) => {
                            let (lda, a) = (a.row_stride, a.from(first, 0).ptr());
                            tiles[height - 1](k_len, a, lda, b, group, c, out.ld, width, set);
                        }
                    }
                }
            }
        }
    }
}
