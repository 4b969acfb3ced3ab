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

/// Stripes of a row reduction.
const STRIPES: usize = 16;

fn fold(mut s: [f32; STRIPES], f: impl Fn(f32, f32) -> f32) -> f32 {
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            s[i] = f(s[i], s[i + width]);
        }
    }
    s[0]
}

/// Striped sum of a row.
pub fn sum(x: &[f32]) -> f32 {
    let mut s = [0f32; STRIPES];
    for i in 0..x.len() {
        s[i % STRIPES] += x[i];
    }
    fold(s, |a, b| a + b)
}

/// Striped dot product of two rows.
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut s = [0f32; STRIPES];
    for i in 0..x.len() {
        s[i % STRIPES] = x[i].mul_add(y[i], s[i % STRIPES]);
    }
    fold(s, |a, b| a + b)
}

/// Largest of a row.
pub fn max(x: &[f32]) -> f32 {
    let mut s = [f32::NEG_INFINITY; STRIPES];
    for i in 0..x.len() {
        if x[i] > s[i % STRIPES] {
            s[i % STRIPES] = x[i];
        }
    }
    fold(s, |a, b| if b > a { b } else { a })
}

/// Sums over rows, `f(row, column)` folded into `out` example by example; `fma` products as pairs.
pub fn columns(ends: &[usize], n: usize, f: impl Fn(usize, usize, f32) -> f32, out: &mut [f32]) {
    for j in 0..n {
        let mut start = 0;
        for end in ends {
            let mut example = None;
            for first in (start..*end).step_by(BLOCK) {
                let mut acc = 0f32;
                for row in first..(*end).min(first + BLOCK) {
                    acc = f(row, j, acc);
                }
                example = Some(example.map_or(acc, |e: f32| e + acc));
            }
            if let Some(e) = example {
                out[j] += e;
            }
            start = *end;
        }
    }
}

/// Layer norm of one row: normalised row, output, mean, reciprocal deviation.
pub fn layer_norm(x: &[f32], eps: f32, w: &[f32], b: Option<&[f32]>) -> (Vec<f32>, f32, f32) {
    let n = x.len() as f32;
    let mean = sum(x) / n;
    let c: Vec<f32> = x.iter().map(|x| x - mean).collect();
    let r = 1.0 / (dot(&c, &c) / n + eps).sqrt();
    let y = (0..x.len())
        .map(|i| {
            let t = (c[i] * r) * w[i];
            b.map_or(t, |b| t + b[i])
        })
        .collect();
    (y, mean, r)
}

/// RMS norm of one row: output and reciprocal root.
pub fn rms_norm(x: &[f32], eps: f32, w: &[f32]) -> (Vec<f32>, f32) {
    let r = 1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt();
    ((0..x.len()).map(|i| (x[i] * r) * w[i]).collect(), r)
}

/// Gradient of a norm's input, given the normalised row `h`, the reciprocal `r` and `g = dy * w`.
pub fn norm_bwd(h: &[f32], r: f32, g: &[f32], centred: bool) -> Vec<f32> {
    let n = h.len() as f32;
    let (a, b) = (sum(g) / n, dot(g, h) / n);
    (0..h.len())
        .map(|i| {
            let t = if centred { g[i] - a } else { g[i] };
            r * (t - h[i] * b)
        })
        .collect()
}

/// Softmax of a row in place: maximum and reciprocal sum.
pub fn softmax(x: &mut [f32]) -> (f32, f32) {
    let m = max(x);
    for v in x.iter_mut() {
        *v = ops::math32::exp(*v - m);
    }
    let r = 1.0 / sum(x);
    for v in x.iter_mut() {
        *v *= r;
    }
    (m, r)
}

/// Attention of one query at its position over `k` and `v` (`position + 1` rows of `d`): output, maximum, reciprocal sum.
pub fn attend(d: usize, scale: f32, q: &[f32], k: &[Vec<f32>], v: &[Vec<f32>]) -> (Vec<f32>, f32, f32) {
    let mut s: Vec<f32> = k
        .iter()
        .map(|k| {
            let mut o = [0f32];
            matmul(1, 1, d, q, k, &mut o, 1, false);
            o[0] * scale
        })
        .collect();
    let (m, r) = softmax(&mut s);
    let out = (0..d)
        .map(|j| {
            let mut o = 0f32;
            for first in (0..s.len()).step_by(BLOCK) {
                let mut acc = 0f32;
                for p in first..s.len().min(first + BLOCK) {
                    acc = s[p].mul_add(v[p][j], acc);
                }
                o += acc;
            }
            o
        })
        .collect();
    (out, m, r)
}
