//! One case of every op: its inputs, and its outputs as the kernels of a context give them.

use crate::data::numbers;
use ops::verify::{At, Dtype, HeadDim, Len, Op, OpKind, Seed, Shape, Tensor};
use ops::*;

/// An op, its inputs, and what the kernels give: outputs by name.
pub struct Case {
    pub op: Op,
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<(&'static str, Tensor)>,
}

const ENDS: [usize; 3] = [70, 70, 370];

fn ends() -> Vec<u64> {
    ENDS.map(|e| e as u64).to_vec()
}

/// A matrix of f32.
fn mat(rows: usize, cols: usize, x: &[f32]) -> Tensor {
    Tensor::from_f32(Shape::matrix(rows as u64, cols as u64), x)
}

/// A vector of f32.
pub fn vec1(x: &[f32]) -> Tensor {
    Tensor::from_f32(Shape::vector(x.len() as u64), x)
}

/// A vector of indices.
fn ids(x: &[u32]) -> Tensor {
    Tensor::new(Shape::vector(x.len() as u64).of(Dtype::U32), |at| f64::from(x[at.col as usize]))
}

/// A matrix of f64.
fn wide_mat(rows: usize, cols: usize, x: &[f64]) -> Tensor {
    Tensor::new(Shape::matrix(rows as u64, cols as u64).of(Dtype::F64), |at| {
        x[at.row as usize * cols + at.col as usize]
    })
}

fn wide_numbers(seed: u64, n: usize) -> Vec<f64> {
    numbers(seed, n).iter().map(|v| f64::from(*v)).collect()
}

/// Runs a kernel on a copy of `before`.
fn run(before: &[f32], f: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut out = before.to_vec();
    f(&mut out);
    out
}

/// The case of an op, its outputs computed by the kernels of `ctx`.
pub fn case(kind: OpKind, ctx: &Ctx) -> Case {
    let (m, n, k) = (70, 66, 300);
    let len = 4200;
    let (x, y, z) = (numbers(1, len), numbers(2, len), numbers(3, len));
    let zero = vec![0f32; len];
    let l = Len(len as u64);
    let pair = |op: Op, out: Vec<f32>| Case {
        op,
        inputs: vec![vec1(&x), vec1(&y)],
        outputs: vec![("out", vec1(&out))],
    };
    let single =
        |op: Op, out: Vec<f32>| Case { op, inputs: vec![vec1(&x)], outputs: vec![("out", vec1(&out))] };
    let rows = ENDS[2];
    let examples = Examples::new(&ENDS).expect("ascending");
    let (m64, n64, k64) = (m as u64, n as u64, k as u64);
    match kind {
        OpKind::MatmulNn | OpKind::MatmulNt | OpKind::MatmulTn => {
            let (a, b, c0) = (numbers(1, m * k), numbers(2, k * n), numbers(3, m * n));
            let (ta, tb, op, c) = match kind {
                OpKind::MatmulNn => (
                    mat(m, k, &a),
                    mat(k, n, &b),
                    Op::MatmulNn { m: m64, n: n64, k: k64, accumulate: true },
                    run(&c0, |c| matmul_nn(ctx, m, n, k, &a, k, &b, n, c, n, true)),
                ),
                OpKind::MatmulNt => (
                    mat(m, k, &a),
                    mat(n, k, &b),
                    Op::MatmulNt { m: m64, n: n64, k: k64, accumulate: true },
                    run(&c0, |c| matmul_nt(ctx, m, n, k, &a, k, &b, k, c, n, true)),
                ),
                _ => (
                    mat(k, m, &a),
                    mat(k, n, &b),
                    Op::MatmulTn { m: m64, n: n64, k: k64, accumulate: true },
                    run(&c0, |c| matmul_tn(ctx, m, n, k, &a, m, &b, n, c, n, true)),
                ),
            };
            Case { op, inputs: vec![ta, tb, mat(m, n, &c0)], outputs: vec![("c", mat(m, n, &c))] }
        }
        OpKind::MatmulTnExamples => {
            let (a, b) = (numbers(1, rows * 20), numbers(2, rows * 70));
            let c = run(&zero[..20 * 70], |c| {
                matmul_tn_examples(ctx, 20, 70, examples, &a, 20, &b, 70, c, 70, false)
            });
            let op = Op::MatmulTnExamples { m: 20, n: 70, ends: ends(), accumulate: false };
            Case {
                op,
                inputs: vec![mat(rows, 20, &a), mat(rows, 70, &b)],
                outputs: vec![("c", mat(20, 70, &c))],
            }
        }
        OpKind::ColumnSums => {
            let x = numbers(1, rows * 70);
            let out = run(&y[..70], |o| column_sums(ctx, examples, 70, &x, 70, o));
            let inputs = vec![mat(rows, 70, &x), vec1(&y[..70])];
            Case { op: Op::ColumnSums { n: 70, ends: ends() }, inputs, outputs: vec![("out", vec1(&out))] }
        }
        OpKind::Add => pair(Op::Add { len: l }, run(&y, |o| add(ctx, &x, o))),
        OpKind::Multiply => pair(Op::Multiply { len: l }, run(&y, |o| multiply(ctx, &x, o))),
        OpKind::AddScaled => pair(Op::AddScaled { len: l, s: 0.3 }, run(&y, |o| add_scaled(ctx, 0.3, &x, o))),
        OpKind::Scale => single(Op::Scale { len: l, s: 0.3 }, run(&x, |o| scale(ctx, 0.3, o))),
        OpKind::AddBias => {
            let out = run(&y[..60 * 70], |o| add_bias(ctx, &x[..70], o));
            let inputs = vec![vec1(&x[..70]), mat(60, 70, &y)];
            Case { op: Op::AddBias { rows: 60, n: 70 }, inputs, outputs: vec![("out", mat(60, 70, &out))] }
        }
        OpKind::GeluFwd => single(Op::GeluFwd { len: l }, run(&zero, |o| gelu_fwd(ctx, &x, o))),
        OpKind::GeluBwd => pair(Op::GeluBwd { len: l }, run(&y, |o| gelu_bwd(ctx, &x, o))),
        OpKind::SiluFwd => single(Op::SiluFwd { len: l }, run(&zero, |o| silu_fwd(ctx, &x, o))),
        OpKind::SiluBwd => pair(Op::SiluBwd { len: l }, run(&y, |o| silu_bwd(ctx, &x, o))),
        OpKind::ReluFwd => single(Op::ReluFwd { len: l }, run(&zero, |o| relu_fwd(ctx, &x, o))),
        OpKind::ReluBwd => pair(Op::ReluBwd { len: l }, run(&y, |o| relu_bwd(ctx, &x, o))),
        OpKind::SwigluFwd => pair(Op::SwigluFwd { len: l }, run(&zero, |o| swiglu_fwd(ctx, &x, &y, o))),
        OpKind::SwigluBwd => {
            let (mut dg, mut du) = (zero.clone(), zero.clone());
            swiglu_bwd(ctx, &x, &y, &z, &mut dg, &mut du);
            let inputs = vec![vec1(&x), vec1(&y), vec1(&z)];
            Case {
                op: Op::SwigluBwd { len: l },
                inputs,
                outputs: vec![("dgate", vec1(&dg)), ("dup", vec1(&du))],
            }
        }
        OpKind::Transpose => {
            let out = run(&zero[..60 * 70], |o| transpose(60, 70, &x[..60 * 70], o));
            Case {
                op: Op::Transpose { rows: 60, cols: 70 },
                inputs: vec![mat(60, 70, &x)],
                outputs: vec![("out", mat(70, 60, &out))],
            }
        }
        OpKind::RandomUniform | OpKind::RandomNormal => {
            let from = Seed { seed: 5, stream: 6, offset: 7 };
            let stream = Stream::new(5, 6);
            let normal = kind == OpKind::RandomNormal;
            let out =
                run(&zero, |o| if normal { stream.fill_normal(7, o) } else { stream.fill_uniform(7, o) });
            let op =
                if normal { Op::RandomNormal { from, len: l } } else { Op::RandomUniform { from, len: l } };
            Case { op, inputs: vec![], outputs: vec![("out", vec1(&out))] }
        }
        OpKind::LayerNormFwd => {
            let (mut out, mut s) = (vec![0f32; 30 * 140], vec![0f32; 60]);
            layer_norm_fwd(ctx, 140, 1e-5, &x, &y[..140], Some(&z[..140]), &mut out, &mut s);
            let op = Op::LayerNormFwd { rows: 30, dim: 140, eps: 1e-5, bias: true };
            let inputs = vec![mat(30, 140, &x), vec1(&y[..140]), vec1(&z[..140])];
            Case { op, inputs, outputs: vec![("y", mat(30, 140, &out)), ("stats", mat(30, 2, &s))] }
        }
        OpKind::RmsNormFwd => {
            let (mut out, mut s) = (vec![0f32; 30 * 140], vec![0f32; 30]);
            rms_norm_fwd(ctx, 140, 1e-5, &x, &y[..140], &mut out, &mut s);
            let op = Op::RmsNormFwd { rows: 30, dim: 140, eps: 1e-5 };
            Case {
                op,
                inputs: vec![mat(30, 140, &x), vec1(&y[..140])],
                outputs: vec![("y", mat(30, 140, &out)), ("stats", mat(30, 1, &s))],
            }
        }
        OpKind::LayerNormBwd | OpKind::RmsNormBwd => {
            let (dim, centred) = (70, kind == OpKind::LayerNormBwd);
            let width = if centred { 2 } else { 1 };
            let (x, dy, w, dx0) =
                (numbers(1, rows * dim), numbers(2, rows * dim), numbers(3, dim), numbers(4, rows * dim));
            let stats: Vec<f32> = numbers(5, rows * width).iter().map(|v| v.abs()).collect();
            let (mut dx, mut dw, mut db) = (dx0.clone(), y[..dim].to_vec(), z[..dim].to_vec());
            let mut inputs = vec![
                mat(rows, dim, &x),
                vec1(&w),
                mat(rows, width, &stats),
                mat(rows, dim, &dy),
                mat(rows, dim, &dx0),
                vec1(&dw),
            ];
            let op = if centred {
                inputs.push(vec1(&db));
                layer_norm_bwd(
                    ctx,
                    examples,
                    dim,
                    &x,
                    &w,
                    &stats,
                    &dy,
                    &mut dx,
                    true,
                    &mut dw,
                    Some(&mut db),
                );
                Op::LayerNormBwd { ends: ends(), dim: dim as u64, add: true }
            } else {
                rms_norm_bwd(ctx, examples, dim, &x, &w, &stats, &dy, &mut dx, true, &mut dw);
                Op::RmsNormBwd { ends: ends(), dim: dim as u64, add: true }
            };
            let mut outputs = vec![("dx", mat(rows, dim, &dx)), ("dw", vec1(&dw))];
            if centred {
                outputs.push(("db", vec1(&db)));
            }
            Case { op, inputs, outputs }
        }
        OpKind::SoftmaxFwd => {
            let out = run(&x[..30 * 140], |o| softmax_fwd(ctx, 140, o));
            Case {
                op: Op::SoftmaxFwd { rows: 30, n: 140 },
                inputs: vec![mat(30, 140, &x)],
                outputs: vec![("p", mat(30, 140, &out))],
            }
        }
        OpKind::SoftmaxBwd => {
            let out = run(&y[..30 * 140], |o| softmax_bwd(ctx, 140, &x[..30 * 140], o));
            let inputs = vec![mat(30, 140, &x), mat(30, 140, &y)];
            Case {
                op: Op::SoftmaxBwd { rows: 30, n: 140 },
                inputs,
                outputs: vec![("out", mat(30, 140, &out))],
            }
        }
        OpKind::CrossEntropyFwd | OpKind::CrossEntropyBwd => {
            let targets: Vec<u32> = (0..30).map(|i| if i == 7 { IGNORED_TARGET } else { i * 4 }).collect();
            let (mut loss, mut stats) = (vec![0f32; 30], vec![0f32; 60]);
            let x = &x[..30 * 140];
            cross_entropy_fwd(ctx, 140, x, &targets, &mut loss, &mut stats);
            if kind == OpKind::CrossEntropyFwd {
                let outputs = vec![("loss", mat(30, 1, &loss)), ("stats", mat(30, 2, &stats))];
                return Case {
                    op: Op::CrossEntropyFwd { rows: 30, vocab: 140 },
                    inputs: vec![mat(30, 140, x), ids(&targets)],
                    outputs,
                };
            }
            let out = run(x, |o| cross_entropy_bwd(ctx, 140, &targets, &stats, &y[..30], o));
            let inputs = vec![mat(30, 140, x), ids(&targets), mat(30, 2, &stats), vec1(&y[..30])];
            Case {
                op: Op::CrossEntropyBwd { rows: 30, vocab: 140 },
                inputs,
                outputs: vec![("dlogits", mat(30, 140, &out))],
            }
        }
        OpKind::EmbeddingFwd => {
            let list: Vec<u32> = (0..60).map(|i| i * 17 % 60).collect();
            let out = run(&y[..60 * 70], |o| embedding_fwd(ctx, &list, 70, &x[..60 * 70], o, true));
            let op = Op::EmbeddingFwd { rows: 60, vocab: 60, dim: 70, accumulate: true };
            Case {
                op,
                inputs: vec![ids(&list), mat(60, 70, &x), mat(60, 70, &y)],
                outputs: vec![("out", mat(60, 70, &out))],
            }
        }
        OpKind::EmbeddingBwd => {
            let list: Vec<u32> = (0..rows as u32).map(|i| i * i % 90).collect();
            let dy = numbers(4, rows * 20);
            let grad0 = [&x[..90 * 20 - 3], &[-0.0, -0.0, -0.0]].concat();
            let grad = run(&grad0, |g| embedding_bwd(ctx, examples, &list, 20, &dy, g));
            let op = Op::EmbeddingBwd { ends: ends(), vocab: 90, dim: 20 };
            Case {
                op,
                inputs: vec![ids(&list), mat(rows, 20, &dy), mat(90, 20, &grad0)],
                outputs: vec![("grad", mat(90, 20, &grad))],
            }
        }
        OpKind::RopeFwd | OpKind::RopeBwd => {
            let (heads, d, pairs) =
                (3, 20, if kind == OpKind::RopeFwd { RopePairs::Halves } else { RopePairs::Neighbours });
            let table = RopeTable::new(&rope_frequencies(18, 10_000.0), 100);
            let positions: Vec<u32> = (0..70).map(|i| i + 20).collect();
            let turn = if kind == OpKind::RopeFwd { rope_fwd } else { rope_bwd };
            let out = run(&x[..70 * 60], |o| turn(ctx, &table, pairs, &positions, heads, d, o, 60));
            let (rows, heads, head_dim, rotated, at) = (70, 3, HeadDim(20), HeadDim(18), 100);
            let op = match kind {
                OpKind::RopeFwd => Op::RopeFwd { rows, heads, head_dim, rotated, positions: at, pairs },
                _ => Op::RopeBwd { rows, heads, head_dim, rotated, positions: at, pairs },
            };
            let inputs =
                vec![mat(70, 60, &x), ids(&positions), mat(100, 9, table.cos()), mat(100, 9, table.sin())];
            Case { op, inputs, outputs: vec![("out", mat(70, 60, &out))] }
        }
        OpKind::AttentionFwd => {
            let (rows, start, d) = (70, 200, 20);
            let total = start + rows;
            let s =
                AttentionShape { heads: 1, kv_heads: 1, head_dim: d, scale: 0.2, ldq: d, ldkv: d, ldo: d };
            let (q, k, v) = (numbers(1, rows * d), numbers(2, total * d), numbers(3, total * d));
            let (mut out, mut stats) = (vec![0f32; rows * d], vec![0f32; rows * 2]);
            attention_fwd(
                ctx,
                &s,
                &mut [AttentionSeq {
                    start,
                    rows,
                    q: &q,
                    kv: KeysValues::Rows { k: &k, v: &v },
                    out: &mut out,
                    stats: Some(&mut stats),
                }],
            );
            let op = Op::AttentionFwd { rows: 70, start: 200, head_dim: HeadDim(20), scale: 0.2 };
            let inputs = vec![mat(rows, d, &q), mat(total, d, &k), mat(total, d, &v)];
            Case { op, inputs, outputs: vec![("out", mat(rows, d, &out)), ("stats", mat(rows, 2, &stats))] }
        }
        OpKind::AttentionBwd => {
            let (rows, group, d) = (90, 2, 20);
            // Rows of the group's heads one after another; the kernel takes them side by side.
            let beside = |x: &[f32]| -> Vec<f32> {
                (0..rows * group * d)
                    .map(|i| x[(i / d % group) * rows * d + i / (d * group) * d + i % d])
                    .collect()
            };
            let s = AttentionShape {
                heads: 2,
                kv_heads: 1,
                head_dim: d,
                scale: 0.2,
                ldq: 2 * d,
                ldkv: d,
                ldo: 2 * d,
            };
            let (q, k, v, dout) = (
                numbers(1, 2 * rows * d),
                numbers(2, rows * d),
                numbers(3, rows * d),
                numbers(4, 2 * rows * d),
            );
            let (mut out, mut stats) = (vec![0f32; 2 * rows * d], vec![0f32; 2 * rows * 2]);
            let (bq, bo) = (beside(&q), beside(&dout));
            attention_fwd(
                ctx,
                &s,
                &mut [AttentionSeq {
                    start: 0,
                    rows,
                    q: &bq,
                    kv: KeysValues::Rows { k: &k, v: &v },
                    out: &mut out,
                    stats: Some(&mut stats),
                }],
            );
            let (mut dq, mut dk, mut dv) =
                (vec![0f32; 2 * rows * d], vec![0f32; rows * d], vec![0f32; rows * d]);
            attention_bwd(
                ctx,
                &s,
                &mut [AttentionGrad {
                    rows,
                    q: &bq,
                    k: &k,
                    v: &v,
                    stats: &stats,
                    dout: &bo,
                    gradients: QkvGradients::Apart { dq: &mut dq, dk: &mut dk, dv: &mut dv },
                }],
            );
            let stacked: Vec<f32> = (0..2 * rows * d)
                .map(|i| dq[(i / d % rows) * group * d + i / (rows * d) * d + i % d])
                .collect();
            let op = Op::AttentionBwd { rows: 90, group: 2, head_dim: HeadDim(20), scale: 0.2 };
            let inputs = vec![
                mat(180, d, &q),
                mat(rows, d, &k),
                mat(rows, d, &v),
                mat(180, 2, &stats),
                mat(180, d, &dout),
            ];
            Case {
                op,
                inputs,
                outputs: vec![
                    ("dq", mat(180, d, &stacked)),
                    ("dk", mat(rows, d, &dk)),
                    ("dv", mat(rows, d, &dv)),
                ],
            }
        }
        OpKind::AdamWStep => {
            let h = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
            let v0: Vec<f32> = numbers(4, len).iter().map(|v| v * v).collect();
            let (mut w, mut m, mut v) = (x.clone(), z.clone(), v0.clone());
            adamw_step(ctx, &h, 7, &mut w, &y, &mut m, &mut v);
            let inputs = vec![vec1(&x), vec1(&y), vec1(&z), vec1(&v0)];
            Case {
                op: Op::AdamWStep { len: l, h, step: Len(7) },
                inputs,
                outputs: vec![("w", vec1(&w)), ("m", vec1(&m)), ("v", vec1(&v))],
            }
        }
        OpKind::SgdStep => {
            let (mut w, mut m) = (x.clone(), z.clone());
            sgd_step(ctx, 0.1, 0.9, 0.01, &mut w, &y, &mut m);
            let op = Op::SgdStep { len: l, lr: 0.1, momentum: 0.9, weight_decay: 0.01 };
            Case {
                op,
                inputs: vec![vec1(&x), vec1(&y), vec1(&z)],
                outputs: vec![("w", vec1(&w)), ("m", vec1(&m))],
            }
        }
        OpKind::SumSquares | OpKind::Sum => {
            let squares = kind == OpKind::SumSquares;
            let f = |x: &[f32]| if squares { sum_squares(ctx, x) } else { sum(ctx, x) };
            let totals = [f(&x[..4096]), f(&x)];
            let totals = Tensor::new(Shape::vector(2).of(Dtype::F64), |at| totals[at.col as usize]);
            let op = if squares { Op::SumSquares { len: l } } else { Op::Sum { len: l } };
            Case { op, inputs: vec![vec1(&x)], outputs: vec![("totals", totals)] }
        }
        OpKind::WideMatmulNn | OpKind::WideMatmulNt | OpKind::WideMatmulTn => {
            let (m, n) = (20, 66);
            let (a, b, mut c) = (wide_numbers(1, m * k), wide_numbers(2, k * n), wide_numbers(3, m * n));
            let before = wide_mat(m, n, &c);
            let (m64, accumulate) = (m as u64, true);
            let (ta, tb, op) = match kind {
                OpKind::WideMatmulNn => {
                    wide::matmul_nn(ctx, m, n, k, &a, &b, &mut c, true);
                    (
                        wide_mat(m, k, &a),
                        wide_mat(k, n, &b),
                        Op::WideMatmulNn { m: m64, n: n64, k: k64, accumulate },
                    )
                }
                OpKind::WideMatmulNt => {
                    wide::matmul_nt(ctx, m, n, k, &a, &b, &mut c, true);
                    (
                        wide_mat(m, k, &a),
                        wide_mat(n, k, &b),
                        Op::WideMatmulNt { m: m64, n: n64, k: k64, accumulate },
                    )
                }
                _ => {
                    wide::matmul_tn(ctx, m, n, k, &a, &b, &mut c, true);
                    (
                        wide_mat(k, m, &a),
                        wide_mat(k, n, &b),
                        Op::WideMatmulTn { m: m64, n: n64, k: k64, accumulate },
                    )
                }
            };
            Case { op, inputs: vec![ta, tb, before], outputs: vec![("c", wide_mat(m, n, &c))] }
        }
        OpKind::WideSquaredDistances => {
            let (a, b, mut c) = (wide_numbers(1, 20 * k), wide_numbers(2, n * k), vec![0f64; 20 * n]);
            wide::squared_distances(ctx, 20, n, k, &a, &b, &mut c);
            let op = Op::WideSquaredDistances { m: 20, n: n64, k: k64 };
            Case {
                op,
                inputs: vec![wide_mat(20, k, &a), wide_mat(n, k, &b)],
                outputs: vec![("c", wide_mat(20, n, &c))],
            }
        }
        OpKind::WideCholesky | OpKind::WideSolveLower | OpKind::WideSolveLowerTransposed => {
            let n = 140;
            let g = wide_numbers(1, n * (n + 5));
            let mut a = vec![0f64; n * n];
            wide::matmul_nt(ctx, n, n, n + 5, &g, &g, &mut a, false);
            (0..n).for_each(|i| a[i * n + i] += 1.0);
            let mut f = a.clone();
            wide::cholesky(ctx, n, &mut f).expect("positive definite");
            if kind == OpKind::WideCholesky {
                return Case {
                    op: Op::WideCholesky { n: 140 },
                    inputs: vec![wide_mat(n, n, &a)],
                    outputs: vec![("l", wide_mat(n, n, &f))],
                };
            }
            let rhs = wide_numbers(2, 3 * n);
            let mut x = rhs.clone();
            let op = if kind == OpKind::WideSolveLower {
                wide::solve_lower(ctx, n, &f, &mut x);
                Op::WideSolveLower { n: 140, sides: 3 }
            } else {
                wide::solve_lower_transposed(ctx, n, &f, &mut x);
                Op::WideSolveLowerTransposed { n: 140, sides: 3 }
            };
            Case {
                op,
                inputs: vec![wide_mat(n, n, &f), wide_mat(3, n, &rhs)],
                outputs: vec![("x", wide_mat(3, n, &x))],
            }
        }
        OpKind::Int8Quantise | OpKind::Int8Matmul | OpKind::Int4Quantise => {
            let (outputs, inputs, rows) = (20, 200, 5);
            let w = &x[..outputs * inputs];
            let bits = if kind == OpKind::Int4Quantise { Bits::Four } else { Bits::Eight };
            let q = Int8Weights::quantise(bits, outputs, inputs, w);
            let groups = q.groups();
            let scales: Vec<f32> = (0..outputs * groups).map(|i| q.scale(i / groups, i % groups)).collect();
            let values = Tensor::new(Shape::matrix(20, 200).of(Dtype::I8), |at: At| {
                f64::from(q.value(at.row as usize, at.col as usize))
            });
            let scales = mat(outputs, groups, &scales);
            if kind != OpKind::Int8Matmul {
                let op = match bits {
                    Bits::Four => Op::Int4Quantise { outputs: 20, inputs: 200 },
                    Bits::Eight => Op::Int8Quantise { outputs: 20, inputs: 200 },
                };
                return Case {
                    op,
                    inputs: vec![mat(outputs, inputs, w)],
                    outputs: vec![("scales", scales), ("q", values)],
                };
            }
            let out = run(&z[..rows * outputs], |o| int8_matmul(ctx, rows, &y[..rows * inputs], &q, o, true));
            let op = Op::Int8Matmul { rows: 5, outputs: 20, inputs: 200, accumulate: true };
            let inputs = vec![mat(rows, inputs, &y), scales, values, mat(rows, outputs, &z)];
            Case { op, inputs, outputs: vec![("y", mat(rows, outputs, &out))] }
        }
    }
}
