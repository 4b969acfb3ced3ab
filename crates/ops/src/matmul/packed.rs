//! A right operand packed once for many products: the weights of a model that generates, and the keys of its cache.
//!
//! Layout, the same on every path: for each block of [`K_BLOCK`] inputs from 0, panels of [`PANEL`] outputs; a panel holds, input by
//! input, its outputs' numbers. A product reads it from end to end, as memory likes it, and packs nothing.

use super::blocked::{self, FEW_ROWS, Line, PACKED, Panels, ROWS_MAX, Right, left, multiply};
use super::kernels::kernels;
use super::{K_BLOCK, Out, View};
use crate::path::Ctx;

/// Outputs of a panel: a multiple of every path's tile.
pub(crate) const PANEL: usize = 48;
/// Elements of a line.
const LINE: usize = 16;

/// Numbers in panels, aligned to a cache line; unset ones are +0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    outputs: usize,
    inputs: usize,
    lines: Vec<Line>,
}

impl Packed {
    /// Room for `outputs` (a multiple of [`PANEL`]) of `inputs` each.
    pub(crate) fn new(outputs: usize, inputs: usize) -> Packed {
        assert!(outputs.is_multiple_of(PANEL), "packed: {outputs} outputs are no whole panels");
        Packed { outputs, inputs, lines: vec![Line([0.0; LINE]); outputs * inputs / LINE] }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    /// Sets one output's `inputs` numbers.
    pub(crate) fn set(&mut self, output: usize, numbers: &[f32]) {
        let (line, lane) = (output % PANEL / LINE, output % LINE);
        for (block, numbers) in numbers[..self.inputs].chunks(K_BLOCK).enumerate() {
            let panel = self.at(block * K_BLOCK, numbers.len(), output / PANEL * PANEL);
            let groups = self.lines[panel..][..numbers.len() * PANEL / LINE].chunks_exact_mut(PANEL / LINE);
            for (group, number) in groups.zip(numbers) {
                group[line].0[lane] = *number;
            }
        }
    }

    /// The same numbers with room for `outputs`.
    pub(crate) fn widened(&self, outputs: usize) -> Packed {
        let mut wider = Packed::new(outputs, self.inputs);
        for p in (0..self.inputs).step_by(K_BLOCK) {
            let k_len = K_BLOCK.min(self.inputs - p);
            let len = self.outputs * k_len / LINE;
            let (from, to) = (self.at(p, k_len, 0), wider.at(p, k_len, 0));
            wider.lines[to..to + len].copy_from_slice(&self.lines[from..from + len]);
        }
        wider
    }

    /// First line of the block of `k_len` inputs from `p` and the outputs from `j`, a multiple of [`PANEL`].
    fn at(&self, p: usize, k_len: usize, j: usize) -> usize {
        (p * self.outputs + j * k_len) / LINE
    }

    /// `out = x Wt` (or added) for the `cols` outputs from `j`, a multiple of [`PANEL`], on this thread; `x` is `m` rows.
    pub(crate) fn product(
        &self,
        ctx: &Ctx,
        m: usize,
        x: View<'_>,
        j: usize,
        cols: usize,
        out: Out,
        accumulate: bool,
    ) {
        assert!(j.is_multiple_of(PANEL) && j + cols <= self.outputs, "packed: columns {j} to {}", j + cols);
        let kernels = kernels(ctx);
        // Few rows: a panel comes from memory once, and all rows meet it before the next. A single row folds so fast that the
        // processor's own guesses do better.
        let (tiles, sweep) = match m {
            2..=FEW_ROWS => (kernels.stream_tiles, PANEL),
            _ => (kernels.rows_tiles, kernels.sweep_cols),
        };
        PACKED.with(|scratch| {
            let (scratch, _) = &mut *scratch.borrow_mut();
            for p in (0..self.inputs).step_by(K_BLOCK) {
                let (k_len, set) = (K_BLOCK.min(self.inputs - p), p == 0 && !accumulate);
                let panels = self.lines[self.at(p, k_len, j)..].as_ptr().cast();
                let right = Right { panels, group: PANEL, sweep };
                for i in (0..m).step_by(ROWS_MAX) {
                    let rows = Panels::new(kernels, ROWS_MAX.min(m - i));
                    // SAFETY: the caller's views cover m rows, the panels the columns by the assertion, and the path runs these kernels.
                    unsafe {
                        let block = left(kernels, tiles, x.from(i, p), rows, k_len, scratch);
                        multiply(kernels, block, right, rows, cols, k_len, out.from(i, 0), set);
                    }
                }
            }
        });
    }
}

/// A weight of `outputs` x `inputs`, packed.
#[derive(Clone, Debug)]
pub struct PackedWeights {
    outputs: usize,
    packed: Packed,
}

impl PackedWeights {
    /// Packs `rows`, `outputs` x `inputs`, row-major.
    ///
    /// # Panics
    /// When `rows` does not have that shape.
    pub fn new(outputs: usize, inputs: usize, rows: &[f32]) -> PackedWeights {
        assert_eq!(rows.len(), outputs * inputs, "packed weights: outputs x inputs");
        let mut packed = Packed::new(outputs.next_multiple_of(PANEL), inputs);
        if inputs > 0 {
            rows.chunks_exact(inputs).enumerate().for_each(|(output, row)| packed.set(output, row));
        }
        PackedWeights { outputs, packed }
    }

    /// Bytes that a product reads.
    pub fn bytes(&self) -> usize {
        self.packed.bytes()
    }
}

/// `y = x Wt` (or `y + x Wt`), to the bit what [`matmul_nt`](super::matmul_nt) gives: `x` is `m` x `inputs` with row stride `ldx`, `y` is
/// `m` x `outputs` with row stride `ldy`.
///
/// # Panics
/// When a slice is too short for its shape and stride, or rows overlap.
pub fn matmul_packed(
    ctx: &Ctx,
    m: usize,
    x: &[f32],
    ldx: usize,
    weights: &PackedWeights,
    y: &mut [f32],
    ldy: usize,
    accumulate: bool,
) {
    let (n, k) = (weights.outputs, weights.packed.inputs);
    let (x, y) = (View::rows(x, m, k, ldx), Out::new(y, m, n, ldy));
    if k == 0 {
        return blocked::gemm(ctx, m, n, k, x, View::rows(&[], 0, n, n), y, accumulate);
    }
    blocked::for_each_part(ctx, m, n, k, PANEL, |i, j, m, n| {
        weights.packed.product(ctx, m, x.from(i, 0), j, n, y.from(i, j), accumulate);
    });
}
