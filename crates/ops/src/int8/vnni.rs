//! The int8 product with AVX-512 VNNI.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes and adds four products to 32 bits without saturation. Weights are taken as `w + 128`, and 128 times the
//! sum of the row's group, known from its quantisation, is subtracted: exact integers all the way. Values of rows are the instruction's signed side, which
//! a load broadcasts. Weights of four bits are stored as `w + 8` and taken so.
#![cfg(target_arch = "x86_64")]

use super::{Bits, GROUP, TILE};
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

/// [`tile`] for as many rows as there are sums, one to eight.
///
/// # Safety
/// [`is_available`] holds.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn tile_of<const FOUR: bool>(
    groups: usize,
    rows: Rows<'_>,
    packed: &[i8],
    scales: &[f32],
    sums: &mut [[f32; TILE]],
) {
    // SAFETY: by the caller's promise.
    unsafe {
        match sums.len() {
            1 => tile::<1, FOUR>(groups, rows, packed, scales, sums),
            2 => tile::<2, FOUR>(groups, rows, packed, scales, sums),
            3 => tile::<3, FOUR>(groups, rows, packed, scales, sums),
            4 => tile::<4, FOUR>(groups, rows, packed, scales, sums),
            5 => tile::<5, FOUR>(groups, rows, packed, scales, sums),
            6 => tile::<6, FOUR>(groups, rows, packed, scales, sums),
            7 => tile::<7, FOUR>(groups, rows, packed, scales, sums),
            _ => tile::<8, FOUR>(groups, rows, packed, scales, sums),
        }
    }
}

/// Adds `groups` groups of one tile of 16 outputs, in four bits or in eight, to the sums of `R` rows.
///
/// # Safety
/// [`is_available`] holds.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn tile<const R: usize, const FOUR: bool>(
    groups: usize,
    rows: Rows<'_>,
    packed: &[i8],
    scales: &[f32],
    sums: &mut [[f32; TILE]],
) {
    let size = if FOUR { Bits::Four.tile_bytes() } else { Bits::Eight.tile_bytes() };
    assert!(packed.len() >= groups * size && scales.len() >= groups * TILE);
    let sides = rows.scales.len().min(rows.offsets.len());
    assert!(rows.quads.len() >= groups * QUADS * R && sides >= (R - 1) * rows.groups + groups);
    assert_eq!(sums.len(), R);
    // SAFETY: each of the sums is 16 elements.
    let mut acc: [__m512; R] = std::array::from_fn(|r| unsafe { _mm512_loadu_ps(sums[r].as_ptr()) });
    let (middle, half) = (_mm512_set1_epi8(-128), _mm512_set1_epi8(0x0f));
    // Offsets are of values that are 128 too large; those of four bits are 8 too large.
    let too_large = if FOUR { 4 } else { 0 };
    let (mut weights, mut quads) = (packed.as_ptr(), rows.quads.as_ptr());
    for g in 0..groups {
        // Two chains each, so that the instruction's latency overlaps.
        let (mut even, mut odd) = ([_mm512_setzero_si512(); R], [_mm512_setzero_si512(); R]);
        for _ in 0..QUADS / 2 {
            // SAFETY: inside the slices by the assertions above.
            unsafe {
                let first = _mm512_loadu_si512(weights.cast());
                let (lower, upper) = if FOUR {
                    (_mm512_and_si512(first, half), _mm512_and_si512(_mm512_srli_epi16::<4>(first), half))
                } else {
                    let second = _mm512_loadu_si512(weights.add(4 * TILE).cast());
                    _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(FETCH_AHEAD_BYTES + 64));
                    (_mm512_xor_si512(first, middle), _mm512_xor_si512(second, middle))
                };
                for r in 0..R {
                    even[r] = _mm512_dpbusd_epi32(even[r], lower, _mm512_set1_epi32(*quads.add(r)));
                }
                for r in 0..R {
                    odd[r] = _mm512_dpbusd_epi32(odd[r], upper, _mm512_set1_epi32(*quads.add(R + r)));
                }
                _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(FETCH_AHEAD_BYTES));
                weights = weights.add(if FOUR { 4 * TILE } else { 8 * TILE });
                quads = quads.add(2 * R);
            }
        }
        // SAFETY: as above.
        let sw = unsafe { _mm512_loadu_ps(scales.as_ptr().add(g * TILE)) };
        for r in 0..R {
            let offset = _mm512_set1_epi32(rows.offsets[r * rows.groups + g] >> too_large);
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
