//! The int8 product with AVX-512 VNNI.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes and adds four products to 32 bits without saturation. Activations are taken
//! as `q + 128`, and `128 * sum(w)`, from the same instruction, is subtracted: exact integers all the way.
#![cfg(target_arch = "x86_64")]

use super::{GROUP, TILE};
use std::arch::x86_64::*;

/// Rows of activations handled in one pass over the weights.
pub(super) const ROWS_MAX: usize = 4;
/// Runs of four inputs in a group.
const QUADS: usize = GROUP / 4;

/// How far ahead of the products weights are asked for.
const FETCH_AHEAD_BYTES: usize = 4096;

/// Whether this processor has the instruction.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
}

/// One tile of 16 outputs for `R` rows: `q` holds the rows' activations plus 128, `stride` bytes apart, `sx` their scales.
///
/// # Safety
/// [`is_available`] holds.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn tile<const R: usize>(
    groups: usize,
    q: &[u8],
    stride: usize,
    sx: &[f32],
    packed: &[i8],
    scales: &[f32],
    out: &mut [[f32; TILE]; ROWS_MAX],
) {
    assert!(packed.len() >= groups * GROUP * TILE && scales.len() >= groups * TILE);
    assert!(q.len() >= (R - 1) * stride + groups * GROUP && sx.len() >= R * groups);
    let mut acc = [_mm512_setzero_ps(); R];
    let middle = _mm512_set1_epi8(-128);
    for g in 0..groups {
        // Two chains each, so that the instruction's latency overlaps.
        let (mut dot, mut offset) = ([[_mm512_setzero_si512(); 2]; R], [_mm512_setzero_si512(); 2]);
        let mut weights = packed[g * GROUP * TILE..].as_ptr();
        let mut inputs = q[g * GROUP..].as_ptr();
        for _ in 0..QUADS / 2 {
            // SAFETY: inside the slices by the assertions above.
            unsafe {
                let w =
                    [_mm512_loadu_si512(weights.cast()), _mm512_loadu_si512(weights.add(4 * TILE).cast())];
                _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(FETCH_AHEAD_BYTES));
                _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(FETCH_AHEAD_BYTES + 64));
                offset[0] = _mm512_dpbusd_epi32(offset[0], middle, w[0]);
                offset[1] = _mm512_dpbusd_epi32(offset[1], middle, w[1]);
                let mut row = inputs;
                for r in 0..R {
                    let x = row.cast::<[i32; 2]>().read_unaligned();
                    dot[r][0] = _mm512_dpbusd_epi32(dot[r][0], _mm512_set1_epi32(x[0]), w[0]);
                    dot[r][1] = _mm512_dpbusd_epi32(dot[r][1], _mm512_set1_epi32(x[1]), w[1]);
                    row = row.wrapping_add(stride);
                }
                weights = weights.add(8 * TILE);
                inputs = inputs.add(8);
            }
        }
        let offset = _mm512_add_epi32(offset[0], offset[1]);
        // SAFETY: as above.
        let sw = unsafe { _mm512_loadu_ps(scales.as_ptr().add(g * TILE)) };
        for r in 0..R {
            let exact = _mm512_sub_epi32(_mm512_add_epi32(dot[r][0], dot[r][1]), offset);
            let scale = _mm512_mul_ps(_mm512_set1_ps(sx[r * groups + g]), sw);
            acc[r] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(exact), acc[r]);
        }
    }
    for r in 0..R {
        // SAFETY: out[r] is 16 elements.
        unsafe { _mm512_storeu_ps(out[r].as_mut_ptr(), acc[r]) };
    }
}
