//! Which tensors a model of a configuration has, in their one order, and where each block finds its own.
//!
//! Names are those of `transformers`. Linear weights are `outputs` x `inputs`; GPT-2's files hold them transposed, which
//! [`crate::directory`] undoes.

use crate::config::{Config, Family};

/// What a tensor is, which decides how it is initialised and optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Token embedding (and head, if tied).
    Embedding,
    /// Learned positions.
    Position,
    /// Weight of a linear layer inside a block, `outputs` x `inputs`.
    Linear,
    /// A linear layer whose output is added to the residual stream: its initial weights shrink with depth.
    Residual,
    /// Untied head, `vocabulary` x `hidden`.
    Head,
    /// Scale of a norm.
    Norm,
    /// Any bias.
    Bias,
}

/// A tensor of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name, as `transformers` writes it.
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Its part in the model.
    pub role: Role,
    /// Whether files hold it transposed (GPT-2's `Conv1D`).
    pub transposed_in_files: bool,
}

impl TensorSpec {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements (no valid configuration has such a tensor).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A linear layer: the unit that taps, LoRA and int8 weights address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Number among the model's linear layers, in the order of the forward pass.
    pub index: usize,
    /// Name of the module: the weight's name without `.weight`.
    pub name: String,
    /// Tensor number of the weight (`outputs` x `inputs`).
    pub weight: usize,
    /// Tensor number of the bias.
    pub bias: Option<usize>,
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
}

/// Tensor numbers of a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// Scale.
    pub weight: usize,
    /// Bias (layer norm only).
    pub bias: Option<usize>,
}

/// The feed-forward part of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// `down(gelu(up(x)))`.
    Gelu {
        /// Widening layer.
        up: Linear,
        /// Narrowing layer.
        down: Linear,
    },
    /// `down(silu(gate(x)) * up(x))`.
    SwiGlu {
        /// Gate.
        gate: Linear,
        /// Widening layer.
        up: Linear,
        /// Narrowing layer.
        down: Linear,
    },
}

/// A block's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Norm before attention.
    pub attention_norm: Norm,
    /// Projections into the query/key/value buffer, each with its first column there.
    pub projections: Vec<(Linear, usize)>,
    /// Norms of each head's query and key (Qwen3).
    pub head_norms: Option<(Norm, Norm)>,
    /// Attention's output projection.
    pub output: Linear,
    /// Norm before the feed-forward part.
    pub feed_forward_norm: Norm,
    /// Feed-forward part.
    pub feed_forward: FeedForward,
}

/// All tensors of a model and how its parts use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The tensors, in the order of every file, sum and root.
    pub tensors: Vec<TensorSpec>,
    /// Token embedding, `vocabulary` x `hidden`.
    pub embedding: usize,
    /// Learned positions, `context` x `hidden`.
    pub positions: Option<usize>,
    /// Blocks in order.
    pub blocks: Vec<Block>,
    /// Last norm.
    pub last_norm: Norm,
    /// Head; its weight is the embedding if tied.
    pub head: Linear,
}

struct Builder<'a> {
    config: &'a Config,
    tensors: Vec<TensorSpec>,
    linears: usize,
}

impl Builder<'_> {
    fn tensor(&mut self, name: String, shape: &[usize], role: Role, transposed_in_files: bool) -> usize {
        self.tensors.push(TensorSpec { name, shape: shape.to_vec(), role, transposed_in_files });
        self.tensors.len() - 1
    }

    fn linear(&mut self, name: String, outputs: usize, inputs: usize, role: Role, bias: bool) -> Linear {
        let flip = self.config.family == Family::Gpt2 && role != Role::Head;
        let weight = self.tensor(format!("{name}.weight"), &[outputs, inputs], role, flip);
        let bias = bias.then(|| self.tensor(format!("{name}.bias"), &[outputs], Role::Bias, false));
        self.linears += 1;
        Linear { index: self.linears - 1, name, weight, bias, inputs, outputs }
    }

    fn norm(&mut self, name: &str, width: usize) -> Norm {
        let weight = self.tensor(format!("{name}.weight"), &[width], Role::Norm, false);
        let with_bias = self.config.family == Family::Gpt2 && self.config.bias;
        let bias = with_bias.then(|| self.tensor(format!("{name}.bias"), &[width], Role::Bias, false));
        Norm { weight, bias }
    }

    fn gpt2_block(&mut self, i: usize) -> Block {
        let (d, f, b) = (self.config.hidden, self.config.intermediate, self.config.bias);
        let p = format!("transformer.h.{i}");
        Block {
            attention_norm: self.norm(&format!("{p}.ln_1"), d),
            projections: vec![(self.linear(format!("{p}.attn.c_attn"), 3 * d, d, Role::Linear, b), 0)],
            head_norms: None,
            output: self.linear(format!("{p}.attn.c_proj"), d, d, Role::Residual, b),
            feed_forward_norm: self.norm(&format!("{p}.ln_2"), d),
            feed_forward: FeedForward::Gelu {
                up: self.linear(format!("{p}.mlp.c_fc"), f, d, Role::Linear, b),
                down: self.linear(format!("{p}.mlp.c_proj"), d, f, Role::Residual, b),
            },
        }
    }

    fn llama_block(&mut self, i: usize) -> Block {
        let c = self.config;
        let (d, f, b, q, kv) = (c.hidden, c.intermediate, c.bias, c.query_width(), c.kv_width());
        let p = format!("model.layers.{i}");
        Block {
            attention_norm: self.norm(&format!("{p}.input_layernorm"), d),
            projections: vec![
                (self.linear(format!("{p}.self_attn.q_proj"), q, d, Role::Linear, b), 0),
                (self.linear(format!("{p}.self_attn.k_proj"), kv, d, Role::Linear, b), q),
                (self.linear(format!("{p}.self_attn.v_proj"), kv, d, Role::Linear, b), q + kv),
            ],
            head_norms: (c.family == Family::Qwen3).then(|| {
                let query = self.norm(&format!("{p}.self_attn.q_norm"), c.head_dim);
                (query, self.norm(&format!("{p}.self_attn.k_norm"), c.head_dim))
            }),
            output: self.linear(format!("{p}.self_attn.o_proj"), d, q, Role::Residual, false),
            feed_forward_norm: self.norm(&format!("{p}.post_attention_layernorm"), d),
            feed_forward: FeedForward::SwiGlu {
                gate: self.linear(format!("{p}.mlp.gate_proj"), f, d, Role::Linear, false),
                up: self.linear(format!("{p}.mlp.up_proj"), f, d, Role::Linear, false),
                down: self.linear(format!("{p}.mlp.down_proj"), d, f, Role::Residual, false),
            },
        }
    }
}

impl Layout {
    /// The layout of a checked configuration.
    pub fn new(config: &Config) -> Layout {
        let (d, v) = (config.hidden, config.vocabulary);
        let gpt2 = config.family == Family::Gpt2;
        let mut b = Builder { config, tensors: Vec::new(), linears: 0 };
        let name = if gpt2 { "transformer.wte" } else { "model.embed_tokens" };
        let embedding = b.tensor(format!("{name}.weight"), &[v, d], Role::Embedding, false);
        let positions = config
            .rope
            .is_none()
            .then(|| b.tensor("transformer.wpe.weight".into(), &[config.context, d], Role::Position, false));
        let blocks =
            (0..config.layers).map(|i| if gpt2 { b.gpt2_block(i) } else { b.llama_block(i) }).collect();
        let last_norm = b.norm(if gpt2 { "transformer.ln_f" } else { "model.norm" }, d);
        let head = if config.tied {
            let index = b.linears;
            Linear { index, name: "lm_head".into(), weight: embedding, bias: None, inputs: d, outputs: v }
        } else {
            b.linear("lm_head".into(), v, d, Role::Head, false)
        };
        Layout { tensors: b.tensors, embedding, positions, blocks, last_norm, head }
    }

    /// Every linear layer, in the order of the forward pass, the head last.
    pub fn linears(&self) -> Vec<&Linear> {
        let mut all = Vec::new();
        for block in &self.blocks {
            all.extend(block.projections.iter().map(|(l, _)| l));
            all.push(&block.output);
            match &block.feed_forward {
                FeedForward::Gelu { up, down } => all.extend([up, down]),
                FeedForward::SwiGlu { gate, up, down } => all.extend([gate, up, down]),
            }
        }
        all.push(&self.head);
        all
    }

    /// Number of the tensor of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.tensors.iter().position(|t| t.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tensors_add_up_to_the_configurations_parameters() {
        for family in Family::ALL {
            for (tied, bias) in [(true, false), (false, true)] {
                let base = if family == Family::Gpt2 {
                    Config::gpt(50, 3, 2, 16, 32)
                } else {
                    Config::llama(50, 3, 4, 2, 16, 32)
                };
                let config = Config { family, tied, bias, ..base };
                let total: usize = Layout::new(&config).tensors.iter().map(TensorSpec::len).sum();
                assert_eq!(total as u64, config.parameters(), "{family:?} tied {tied} bias {bias}");
            }
        }
    }

    #[test]
    fn linear_layers_are_numbered_in_order() {
        let layout = Layout::new(&Config::llama(50, 3, 4, 2, 16, 32));
        for (i, linear) in layout.linears().iter().enumerate() {
            assert_eq!(linear.index, i, "{}", linear.name);
        }
    }
}
