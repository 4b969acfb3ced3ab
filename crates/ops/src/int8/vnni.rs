//! The int8 product with AVX-512 VNNI.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes and adds four products to 32 bits without saturation. Weights are taken as `w + 128`, and 128 times the
//! sum of the row's group, known from its quantisation, is subtracted: exact integers all the way. Values of rows are the instruction's signed side, which
//! a load broadcasts.
#![cfg(target_arch = "x86_64")]

use super::{GROUP, TILE};
use std::arch::x86_64::*;

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

/// Quantised rows from some group on.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// For each run of four inputs a word of each row.
    pub quads: &'a [i32],
    /// Scales and offsets of the first row's groups, those of the next `groups` further on.
    pub scales: &'a [f32],
    pub offsets: &'a [i32],
    pub groups: usize,
}

/// Adds `groups` groups of one tile of 16 outputs to the sums of `R` rows.
///
/// # Safety
/// [`is_available`] holds.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn tile<const R: usize>(
    groups: usize,
    rows: Rows<'_>,
    packed: &[i8],
    scales: &[f32],
    sums: &mut [[f32; TILE]],
) {
    assert!(packed.len() >= groups * GROUP * TILE && scales.len() >= groups * TILE);
    let sides = rows.scales.len().min(rows.offsets.len());
    assert!(rows.quads.len() >= groups * QUADS * R && sides >= (R - 1) * rows.groups + groups);
    assert_eq!(sums.len(), R);
    // SAFETY: each of the sums is 16 elements.
    let mut acc: [__m512; R] = std::array::from_fn(|r| unsafe { _mm512_loadu_ps(sums[r].as_ptr()) });
    let middle = _mm512_set1_epi8(-128);
    let (mut weights, mut quads) = (packed.as_ptr(), rows.quads.as_ptr());
    for g in 0..groups {
        // Two chains each, so that the instruction's latency overlaps.
        let (mut even, mut odd) = ([_mm512_setzero_si512(); R], [_mm512_setzero_si512(); R]);
        for _ in 0..QUADS / 2 {
            // SAFETY: inside the slices by the assertions above.
            unsafe {
                let w = _mm512_xor_si512(_mm512_loadu_si512(weights.cast()), middle);
                for r in 0..R {
                    even[r] = _mm512_dpbusd_epi32(even[r], w, _mm512_set1_epi32(*quads.add(r)));
                }
                let w = _mm512_xor_si512(_mm512_loadu_si512(weights.add(4 * TILE).cast()), middle);
                for r in 0..R {
                    odd[r] = _mm512_dpbusd_epi32(odd[r], w, _mm512_set1_epi32(*quads.add(R + r)));
                }
                _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(FETCH_AHEAD_BYTES));
                _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(FETCH_AHEAD_BYTES + 64));
                weights = weights.add(8 * TILE);
                quads = quads.add(2 * R);
            }
        }
        // SAFETY: as above.
        let sw = unsafe { _mm512_loadu_ps(scales.as_ptr().add(g * TILE)) };
        for r in 0..R {
            let offset = _mm512_set1_epi32(rows.offsets[r * rows.groups + g]);
            let exact = _mm512_sub_epi32(_mm512_add_epi32(even[r], odd[r]), offset);
            let scale = _mm512_mul_ps(_mm512_set1_ps(rows.scales[r * rows.groups + g]), sw);
            acc[r] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(exact), acc[r]);
        }
    }
    for r in 0..R {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(sums[r].as_mut_ptr(), acc[r]) };
    }
}
