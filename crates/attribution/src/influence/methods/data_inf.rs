//! DataInf (Kwon et al., "DataInf: Efficiently Estimating Data Influence in LoRA-tuned LLMs and Diffusion Models", ICLR 2024, equation 5):
//!
//! ```text
//! (H_l + damping_l)^-1  ~  mean over i of (g_i g_i^T + damping_l)^-1
//! score = sum over layers of ( q.u - mean_i (q.g_i)(g_i.u) / (damping_l + |g_i|^2) ) / damping_l
//! ```
//! with `damping_l` a ratio of the layer's mean squared gradient length over its parameters.

use super::{Fitted, Method};
use crate::influence::dual::{DualError, Rows, layer_kernel};
use ops::{Ctx, matmul_nn};

/// DataInf with damping as a ratio of the mean squared gradient entry of a layer (the paper's default is 0.1).
#[derive(Clone, Copy, Debug)]
pub struct DataInf {
    /// The ratio.
    pub damping: f64,
}

struct FittedDataInf {
    train: Rows,
    /// Per layer: 1 / damping, and `(G G^T)` with row `i` divided by `n (damping + |g_i|^2)`.
    layers: Vec<(f32, Vec<f32>)>,
}

impl Method for DataInf {
    fn name(&self) -> String {
        format!("DataInf, damping {}", self.damping)
    }

    fn fit(&self, ctx: &Ctx, _: &Rows, train: &Rows) -> Result<Box<dyn Fitted>, DualError> {
        if !self.damping.is_finite() || self.damping <= 0.0 {
            return Err(DualError::BadDamping(self.damping));
        }
        train.check(train, "training")?;
        let n = train.count;
        let layers = train
            .layers
            .iter()
            .map(|layer| {
                let mut gram = layer_kernel(ctx, n, n, layer, layer);
                let squares: Vec<f64> = (0..n).map(|i| f64::from(gram[i * n + i])).collect();
                let parameters = (layer.inputs_width * layer.gradients_width) as f64;
                let mean = squares.iter().fold(0.0, |sum, s| sum + s) / n as f64 / parameters;
                // A layer without any gradient: any damping gives zero.
                let damping = if mean > 0.0 { self.damping * mean } else { 1.0 };
                for (row, square) in gram.chunks_exact_mut(n).zip(&squares) {
                    let factor = (1.0 / (n as f64 * (damping + square))) as f32;
                    row.iter_mut().for_each(|x| *x *= factor);
                }
                ((1.0 / damping) as f32, gram)
            })
            .collect();
        Ok(Box::new(FittedDataInf { train: train.clone(), layers }))
    }
}

impl Fitted for FittedDataInf {
    fn scores(&self, ctx: &Ctx, queries: &Rows) -> Result<Vec<f32>, DualError> {
        queries.check(&self.train, "query")?;
        let (m, n) = (queries.count, self.train.count);
        let mut total = vec![0.0; m * n];
        for ((q, u), (inverse, gram)) in queries.layers.iter().zip(&self.train.layers).zip(&self.layers) {
            let direct = layer_kernel(ctx, m, n, q, u);
            let mut through = vec![0.0; m * n];
            matmul_nn(ctx, m, n, n, &direct, n, gram, n, &mut through, n, false);
            for (sum, (d, t)) in total.iter_mut().zip(direct.iter().zip(&through)) {
                *sum += inverse * (d - t);
            }
        }
        Ok(total)
    }
}
