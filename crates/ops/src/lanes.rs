//! The one order of row reductions: 16 stripes, then a fixed tree; and the macro that compiles a body per path.
//!
//! Element `i` of a row belongs to stripe `i mod 16`; a stripe takes its elements in ascending order; the stripes
//! `s[0..16]` are then folded by `s[i] = s[i] + s[i + w]` for `w` = 8, 4, 2, 1. A machine with 4, 8 or 16 lanes
//! computes exactly this with vertical operations only.

/// Stripes of a row reduction.
pub const STRIPES: usize = 16;

/// Folds the stripes of a sum.
#[inline(always)]
pub(crate) fn fold_sum(mut stripes: [f32; STRIPES]) -> f32 {
    let mut width = STRIPES / 2;
    while width > 0 {
        for i in 0..width {
            stripes[i] += stripes[i + width];
        }
        width /= 2;
    }
    stripes[0]
}

/// Sum of a row, striped.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    let mut acc = [0f32; STRIPES];
    let (chunks, rest) = x.as_chunks::<STRIPES>();
    for chunk in chunks {
        for i in 0..STRIPES {
            acc[i] += chunk[i];
        }
    }
    for (a, v) in acc.iter_mut().zip(rest) {
        *a += v;
    }
    fold_sum(acc)
}

/// Dot product of two rows, striped, fused.
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut acc = [0f32; STRIPES];
    let (xs, xr) = x.as_chunks::<STRIPES>();
    let (ys, yr) = y.as_chunks::<STRIPES>();
    for (a, b) in xs.iter().zip(ys) {
        for i in 0..STRIPES {
            acc[i] = a[i].mul_add(b[i], acc[i]);
        }
    }
    for ((s, a), b) in acc.iter_mut().zip(xr).zip(yr) {
        *s = a.mul_add(*b, *s);
    }
    fold_sum(acc)
}

/// Largest element (`-inf` of an empty row). Ties of +0 and -0 keep the earlier in the fold.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; STRIPES];
    let (chunks, rest) = x.as_chunks::<STRIPES>();
    for chunk in chunks {
        for i in 0..STRIPES {
            acc[i] = greater(acc[i], chunk[i]);
        }
    }
    for (a, v) in acc.iter_mut().zip(rest) {
        *a = greater(*a, *v);
    }
    let mut width = STRIPES / 2;
    while width > 0 {
        for i in 0..width {
            acc[i] = greater(acc[i], acc[i + width]);
        }
        width /= 2;
    }
    acc[0]
}

/// `b` if it is greater than `a`, else `a`: defined for signed zero, unlike `f32::max`.
#[inline(always)]
pub(crate) fn greater(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Compiles one body for every path and picks by the context.
///
/// The body is inlined into a function per path that enables the path's instructions, so `mul_add` is one
/// instruction there; without them it is the C library's exact `fma`.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(ctx: &$crate::path::Ctx, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            match ctx.path() {
                // SAFETY: a Ctx exists only for a path that this processor has.
                #[cfg(target_arch = "x86_64")]
                $crate::path::Path::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::path::Path::Avx2 => unsafe { avx2($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}
pub(crate) use multiversion;
