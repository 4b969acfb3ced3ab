//! Every op again as plain loops, straight from docs/OPS.md.

/// Length of a fold.
const BLOCK: usize = 256;

/// `c = a b` or `c + a b`; `a` and `b` contiguous.
pub fn matmul(
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
    ldc: usize,
    accumulate: bool,
) {
    for i in 0..m {
        for j in 0..n {
            let c = &mut c[i * ldc + j];
            let mut have = accumulate;
            if k == 0 && !have {
                *c = 0.0;
            }
            for p0 in (0..k).step_by(BLOCK) {
                let mut acc = 0f32;
                for p in p0..k.min(p0 + BLOCK) {
                    acc = a[i * k + p].mul_add(b[p * n + j], acc);
                }
                *c = if have { *c + acc } else { acc };
                have = true;
            }
        }
    }
}
