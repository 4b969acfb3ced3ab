//! LoRA (Hu et al., 2021): low-rank pairs beside linear layers of the blocks. The base stays as it is.
//!
//! A pair adds `alpha / rank * (x At) Bt` to its layer's output; `a` is `rank` x `inputs`, `b` is `outputs` x `rank`, as PEFT
//! stores them. The head has no pair.

mod peft;

pub use peft::{ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, AdapterError};

use crate::layout::{Layout, Linear};
use ops::Stream;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Highest rank.
pub const RANK_MAX: usize = 1024;
/// Stream of initial `a` factors; layer `i` uses `ADAPTER_STREAM + i`.
pub const ADAPTER_STREAM: u64 = 2 << 32;

/// What an adapter changes, and how strongly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterOptions {
    /// Rank of every pair.
    pub rank: usize,
    /// Strength: the pair's output is scaled by `alpha / rank`.
    pub alpha: f32,
    /// Last parts of the names of the layers that get a pair (`q_proj`, `c_attn`, ...); empty means every layer of the blocks.
    #[serde(default)]
    pub targets: Vec<String>,
}

impl Default for AdapterOptions {
    fn default() -> Self {
        AdapterOptions { rank: 8, alpha: 16.0, targets: Vec::new() }
    }
}

/// The two factors of a layer.
#[derive(Clone, Debug)]
pub struct Pair {
    /// `rank` x `inputs`.
    pub a: Vec<f32>,
    /// `outputs` x `rank`.
    pub b: Vec<f32>,
    /// Both transposed, for generation.
    turned: OnceLock<(Vec<f32>, Vec<f32>)>,
}

impl PartialEq for Pair {
    fn eq(&self, other: &Pair) -> bool {
        // What is transposed follows from the factors.
        (&self.a, &self.b) == (&other.a, &other.b)
    }
}

impl Pair {
    /// Both factors transposed (`inputs` x `rank`, `rank` x `outputs`); computed once.
    pub(crate) fn turned(&self, rank: usize) -> (&[f32], &[f32]) {
        let (a, b) = self.turned.get_or_init(|| {
            let (mut a, mut b) = (vec![0f32; self.a.len()], vec![0f32; self.b.len()]);
            ops::transpose(rank, self.a.len() / rank, &self.a, &mut a);
            ops::transpose(self.b.len() / rank, rank, &self.b, &mut b);
            (a, b)
        });
        (a, b)
    }
}

/// An adapter for a model: a pair for some of its linear layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    options: AdapterOptions,
    scale: f32,
    pairs: Vec<Option<Pair>>,
}

impl Adapter {
    /// A fresh adapter: `a` normal with deviation `1 / rank`, `b` zero, so that it changes nothing yet.
    ///
    /// # Errors
    /// When the rank is out of range or a target names no layer.
    pub fn initial(layout: &Layout, options: AdapterOptions, seed: u64) -> Result<Adapter, AdapterError> {
        let mut adapter = Adapter::zeros(layout, options)?;
        let rank = adapter.rank();
        for (index, pair) in adapter.pairs.iter_mut().enumerate() {
            let Some(pair) = pair else { continue };
            Stream::new(seed, ADAPTER_STREAM + index as u64).fill_normal(0, &mut pair.a);
            pair.a.iter_mut().for_each(|v| *v *= 1.0 / rank as f32);
        }
        Ok(adapter)
    }

    /// An adapter whose factors are all zero: a place for gradients and moments.
    ///
    /// # Errors
    /// As [`Adapter::initial`].
    pub fn zeros(layout: &Layout, options: AdapterOptions) -> Result<Adapter, AdapterError> {
        if options.rank == 0 || options.rank > RANK_MAX {
            return Err(AdapterError::Rank(options.rank));
        }
        if !options.alpha.is_finite() {
            return Err(AdapterError::Alpha(options.alpha));
        }
        let linears = layout.linears();
        let blocks = &linears[..linears.len() - 1];
        if let Some(target) = options.targets.iter().find(|t| !blocks.iter().any(|l| targets(l, t))) {
            return Err(AdapterError::Target(target.clone()));
        }
        let chosen = |l: &Linear| options.targets.is_empty() || options.targets.iter().any(|t| targets(l, t));
        let r = options.rank;
        let pairs = blocks
            .iter()
            .map(|l| {
                chosen(l).then(|| Pair {
                    a: vec![0f32; r * l.inputs],
                    b: vec![0f32; l.outputs * r],
                    turned: OnceLock::new(),
                })
            })
            .collect();
        Ok(Adapter { scale: options.alpha / r as f32, options, pairs })
    }

    /// Options it was made with.
    pub fn options(&self) -> &AdapterOptions {
        &self.options
    }

    /// Rank of every pair.
    pub fn rank(&self) -> usize {
        self.options.rank
    }

    /// Factor on every pair's output.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The pair of the linear layer of that number.
    pub fn pair(&self, linear: usize) -> Option<&Pair> {
        self.pairs.get(linear)?.as_ref()
    }

    pub(crate) fn pair_mut(&mut self, linear: usize) -> Option<&mut Pair> {
        let pair = self.pairs.get_mut(linear)?.as_mut()?;
        pair.turned.take();
        Some(pair)
    }

    /// Transposes the factors for generation, unless that is done.
    pub fn prepare(&self) {
        self.pairs.iter().flatten().for_each(|p| {
            p.turned(self.rank());
        });
    }

    /// Names of all factors (`.lora_A.weight`, `.lora_B.weight`) with their shapes, in order.
    pub fn tensor_specs(&self, layout: &Layout) -> Vec<(String, [usize; 2])> {
        let mut all = Vec::new();
        for (l, pair) in layout.linears().iter().zip(&self.pairs) {
            if pair.is_some() {
                all.push((format!("{}.lora_A.weight", l.name), [self.rank(), l.inputs]));
                all.push((format!("{}.lora_B.weight", l.name), [l.outputs, self.rank()]));
            }
        }
        all
    }

    /// All factors, in the order of [`Adapter::tensor_specs`].
    pub fn tensors(&self) -> impl Iterator<Item = &Vec<f32>> {
        self.pairs.iter().flatten().flat_map(|p| [&p.a, &p.b])
    }

    /// All factors, to write.
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Vec<f32>> {
        self.pairs.iter_mut().flatten().flat_map(|p| {
            p.turned.take();
            [&mut p.a, &mut p.b]
        })
    }

    /// Sets every element to +0.
    pub fn clear(&mut self) {
        self.tensors_mut().for_each(|t| t.fill(0.0));
    }

    /// Bytes of its factors; as much again once it is prepared for generation.
    pub fn bytes(&self) -> usize {
        self.tensors().map(|t| t.len() * 4).sum()
    }
}

fn targets(linear: &Linear, target: &str) -> bool {
    linear.name == target || linear.name.strip_suffix(target).is_some_and(|rest| rest.ends_with('.'))
}
