//! The kernels of a path: a register tile, and the two ways to pack operands for it.
//!
//! Packed operands are panels. A panel of A is `k_len` groups of `a_stride` elements, a tile's rows of one k; a panel of B is `k_len` groups of
//! `cols` elements, the tile's columns of one k, zero-padded (or of [`PANEL`](super::packed::PANEL), of which a tile reads its part).

use super::{avx2, avx512, portable};
use crate::path::{Ctx, Path};

/// Folds `k_len` steps from +0 and stores the tile (`set`) or adds it to C.
///
/// Arguments: `k_len`, A panel, B panel, width of the panel's groups, C, C's row stride, columns that exist, `set`.
pub(super) type Tile = unsafe fn(usize, *const f32, *const f32, usize, *mut f32, usize, usize, bool);

/// As [`Tile`], but A is not packed: its rows lie `lda` apart, k contiguous.
///
/// Arguments: `k_len`, A, `lda`, B panel, width of the panel's groups, C, C's row stride, columns that exist, `set`.
pub(super) type RowsTile =
    unsafe fn(usize, *const f32, usize, *const f32, usize, *mut f32, usize, usize, bool);

/// Packs `width` columns of `k_len` rows: `dst[k * dst_stride + i] = src[k * src_stride + i]`, the rest of a group +0.
///
/// Arguments: dst, `dst_stride`, src, `src_stride`, `width`, `k_len`.
pub(super) type Pack = unsafe fn(*mut f32, usize, *const f32, usize, usize, usize);

/// What the driver needs of a path.
pub(super) struct Kernels {
    /// Most rows of a tile; `tiles[r - 1]` handles `r` rows.
    pub(super) tiles: &'static [Tile],
    /// The same for A as it lies in memory, row by row, where that is faster than packing it.
    pub(super) rows_tiles: Option<&'static [RowsTile]>,
    /// The same for few rows, where B comes from memory and is fetched ahead.
    pub(super) stream_tiles: Option<&'static [RowsTile]>,
    /// Columns of a tile.
    pub(super) cols: usize,
    /// Columns over which a panel of A stays in the first cache before the next takes its place; a multiple of `cols`. At `cols`
    /// itself it is the panel of B that stays.
    pub(super) sweep_cols: usize,
    /// Elements of a group of packed A.
    pub(super) a_stride: usize,
    /// Panels of A that are packed at once, each of as many rows as a tile; a group's further rows go to the next panel.
    pub(super) pack_panels: usize,
    /// Packs from memory where a group is contiguous.
    pub(super) straight: Pack,
    /// Packs from memory where k is contiguous: `dst[k * dst_stride + i] = src[i * src_stride + k]`, at most [`TURN_WIDTH`] wide.
    pub(super) turned: Pack,
}

/// Widest group that `turned` packs at once.
pub(super) const TURN_WIDTH: usize = 16;

/// The kernels of the context's path.
pub(super) fn kernels(ctx: &Ctx) -> &'static Kernels {
    match ctx.path() {
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => &avx512::KERNELS,
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => &avx2::KERNELS,
        _ => &portable::KERNELS,
    }
}
