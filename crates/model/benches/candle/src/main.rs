//! candle on the work of `cargo bench -p model`: the same model, batches and numbers of threads. See docs/benchmarks/model.md.
//!
//! `candle-peer train|generate [THREADS [SECONDS]]`. Each line is the median of at least three runs, after one that warms up.

use candle_core::{D, DType, Device, IndexOp, Result, Tensor, Var};
use candle_nn::attention::{AttnMask, flash_attn};
use candle_nn::kv_cache::KvCache;
use candle_nn::{AdamW, LayerNorm, Linear, Module, Optimizer, loss, ops};
use std::time::Instant;

const VOCABULARY: usize = 65;
const LAYERS: usize = 6;
const HEADS: usize = 6;
const WIDTH: usize = 384;
const CONTEXT: usize = 256;
const BATCH: usize = 12;
const NEW_TOKENS: usize = 200;
const SCALE: f64 = 0.125; // 1 / sqrt(WIDTH / HEADS)
const CPU: Device = Device::Cpu;

/// How a new token looks back: candle's fused attention for processors, or products and a softmax.
#[derive(Clone, Copy)]
enum Attention {
    Fused,
    Products,
}

struct Block {
    norms: [LayerNorm; 2],
    qkv: Linear,
    out: Linear,
    up: Linear,
    down: Linear,
}

/// The 10.7 M-parameter GPT of nanoGPT's Shakespeare example, without biases, with the embedding as its last layer.
struct Gpt {
    tokens: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    mask: Tensor,
    variables: Vec<Var>,
}

impl Gpt {
    /// candle's fused norm wants a bias (of zeros here) and has no gradient, so that training goes without.
    fn new(training: bool) -> Result<Gpt> {
        let mut variables = Vec::new();
        let mut keep = |var: Var| {
            variables.push(var.clone());
            if training { var.as_tensor().clone() } else { var.as_tensor().detach() }
        };
        let mut matrix =
            |rows, columns| Ok::<_, candle_core::Error>(keep(Var::randn(0f32, 0.02, (rows, columns), &CPU)?));
        let (tokens, positions) = (matrix(VOCABULARY, WIDTH)?, matrix(CONTEXT, WIDTH)?);
        let mut layers = Vec::new();
        for _ in 0..LAYERS {
            layers.push([
                matrix(3 * WIDTH, WIDTH)?,
                matrix(WIDTH, WIDTH)?,
                matrix(4 * WIDTH, WIDTH)?,
                matrix(WIDTH, 4 * WIDTH)?,
            ]);
        }
        let mut norm = || {
            let weight = keep(Var::ones(WIDTH, DType::F32, &CPU)?);
            Ok::<_, candle_core::Error>(if training {
                LayerNorm::new_no_bias(weight, 1e-5)
            } else {
                LayerNorm::new(weight, Tensor::zeros(WIDTH, DType::F32, &CPU)?, 1e-5)
            })
        };
        let mut blocks = Vec::new();
        for layer in layers {
            let [qkv, out, up, down] = layer.map(|weight| Linear::new(weight, None));
            blocks.push(Block { norms: [norm()?, norm()?], qkv, out, up, down });
        }
        let norm = norm()?;
        let ahead = |i: usize| if i % CONTEXT > i / CONTEXT { f32::NEG_INFINITY } else { 0.0 };
        let mask = Tensor::from_iter((0..CONTEXT * CONTEXT).map(ahead), &CPU)?.reshape((CONTEXT, CONTEXT))?;
        Ok(Gpt { tokens, positions, blocks, norm, mask, variables })
    }

    fn embed(&self, tokens: &Tensor, start: usize) -> Result<Tensor> {
        let (batch, length) = tokens.dims2()?;
        let rows = self.tokens.index_select(&tokens.flatten_all()?, 0)?.reshape((batch, length, WIDTH))?;
        rows.broadcast_add(&self.positions.i(start..start + length)?)
    }

    /// Logits of whole sequences.
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, length) = tokens.dims2()?;
        let mut x = self.embed(tokens, 0)?;
        for block in &self.blocks {
            let qkv =
                block.qkv.forward(&block.norms[0].forward(&x)?)?.reshape((batch, length, 3, HEADS, ()))?;
            let head = |i| qkv.i((.., .., i))?.transpose(1, 2)?.contiguous();
            let (q, k, v) = (head(0)?, head(1)?, head(2)?);
            let scores = (q.matmul(&k.t()?)? * SCALE)?.broadcast_add(&self.mask)?;
            let y = ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
            x = block.rest(&x, &y.transpose(1, 2)?.reshape((batch, length, WIDTH))?)?;
        }
        self.logits(&x)
    }

    /// Logits of one more token of each sequence.
    fn next(&self, tokens: &Tensor, caches: &mut [KvCache], attention: Attention) -> Result<Tensor> {
        let batch = tokens.dim(0)?;
        let mut x = self.embed(tokens, caches[0].current_seq_len())?;
        for (block, cache) in self.blocks.iter().zip(caches) {
            let qkv = block.qkv.forward(&block.norms[0].forward(&x)?)?.reshape((batch, 1, 3, HEADS, ()))?;
            let head = |i| qkv.i((.., .., i))?.contiguous();
            let (q, k, v) = (head(0)?, head(1)?, head(2)?);
            let y = match attention {
                Attention::Fused => {
                    let (k, v) = cache.append(&k, &v)?;
                    flash_attn::<f32>(&q, &k, &v, SCALE as f32, AttnMask::None, None, None)?
                }
                Attention::Products => {
                    let (k, v) =
                        cache.append(&k.transpose(1, 2)?.contiguous()?, &v.transpose(1, 2)?.contiguous()?)?;
                    let scores = (q.transpose(1, 2)?.contiguous()?.matmul(&k.contiguous()?.t()?)? * SCALE)?;
                    ops::softmax_last_dim(&scores)?.matmul(&v.contiguous()?)?
                }
            };
            // One row: heads before or after it are the same.
            x = block.rest(&x, &y.reshape((batch, 1, WIDTH))?)?;
        }
        self.logits(&x)
    }

    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, length, _) = x.dims3()?;
        self.norm.forward(x)?.reshape((batch * length, WIDTH))?.matmul(&self.tokens.t()?)
    }

    /// The tokens that follow the token 1 in each of `batch` sequences.
    fn generate(&self, batch: usize, attention: Attention) -> Result<Vec<u32>> {
        let place = match attention {
            Attention::Fused => 1,
            Attention::Products => 2,
        };
        let mut caches: Vec<KvCache> = (0..LAYERS).map(|_| KvCache::new(place, CONTEXT)).collect();
        let (mut tokens, mut made) = (Tensor::ones((batch, 1), DType::U32, &CPU)?, Vec::new());
        for _ in 0..NEW_TOKENS {
            tokens = self.next(&tokens, &mut caches, attention)?.argmax_keepdim(D::Minus1)?;
            made.extend(tokens.flatten_all()?.to_vec1::<u32>()?);
        }
        Ok(made)
    }
}

impl Block {
    fn rest(&self, x: &Tensor, attended: &Tensor) -> Result<Tensor> {
        let x = (x + self.out.forward(attended)?)?;
        &x + self.down.forward(&self.up.forward(&self.norms[1].forward(&x)?)?.gelu()?)?
    }
}

/// Median seconds of a call, over at least three and as many as fit the time.
fn time(seconds: f64, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let (mut times, started) = (Vec::new(), Instant::now());
    while times.len() < 3 || started.elapsed().as_secs_f64() < seconds {
        let t = Instant::now();
        call()?;
        times.push(t.elapsed().as_secs_f64());
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn train(what: &str, seconds: f64) -> Result<()> {
    let model = Gpt::new(true)?;
    let parameters: usize = model.variables.iter().map(|v| v.elem_count()).sum();
    let tokens = Tensor::rand(0f32, VOCABULARY as f32, (2, BATCH, CONTEXT), &CPU)?.to_dtype(DType::U32)?;
    let (x, y) = (tokens.i(0)?, tokens.i(1)?.flatten_all()?);
    let mut optimizer = AdamW::new_lr(model.variables.clone(), 1e-3)?;
    let mut losses = Vec::new();
    let wall = time(seconds, || {
        let loss = loss::cross_entropy(&model.forward(&x)?, &y)?;
        optimizer.backward_step(&loss)?;
        losses.push(loss.to_scalar::<f32>()?);
        Ok(())
    })?;
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    println!(
        "{what} train {:.1}M: {:.0} ms a step (loss {first:.3} to {last:.3})",
        parameters as f64 / 1e6,
        wall * 1e3
    );
    Ok(())
}

fn generate(what: &str, seconds: f64) -> Result<()> {
    let model = Gpt::new(false)?;
    for batch in [1, 8] {
        let same = model.generate(batch, Attention::Fused)? == model.generate(batch, Attention::Products)?;
        for (name, attention) in [("fused attention", Attention::Fused), ("products", Attention::Products)] {
            let wall = time(seconds, || model.generate(batch, attention).map(drop))?;
            let speed = (batch * NEW_TOKENS) as f64 / wall;
            println!(
                "{what} generate, batch {batch}, {name}: {speed:.0} tokens/s (both make the same tokens: {same})"
            );
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |place: usize, otherwise: f64| arguments.get(place).and_then(|s| s.parse().ok()).unwrap_or(otherwise);
    let threads = number(1, 2.0) as usize;
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", threads.to_string()) };
    let kernels = match (cfg!(feature = "mkl"), cfg!(feature = "avx512")) {
        (true, _) => "MKL",
        (_, true) => "AVX-512 kernels",
        _ => "default features",
    };
    let what = format!("candle 0.11.1, {kernels}, {threads} threads:");
    match arguments.first().map(String::as_str) {
        Some("train") => train(&what, number(2, 6.0)),
        Some("generate") => generate(&what, number(2, 6.0)),
        _ => candle_core::bail!("train or generate, then the number of threads"),
    }
}
