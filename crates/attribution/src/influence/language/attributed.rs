//! Which layers of a language model are attributed, under which numbers, and what the model's identity commits to.
//!
//! - A model alone: its linear layers, the head with them, numbered as the model numbers them. Its identity is the hash of configuration and
//!   weights.
//! - A model with an adapter: the two factors of each adapted layer, `A` before `B`, layers in the model's order. A pair computes
//!   `y = x W^T + B h`, `h = s A x` with `s = alpha / rank`: the gradient of `A` is `sum over rows of s B^T d_t (x) x_t`, that of `B` is
//!   `sum of d_t (x) h_t`; both are outer products over rows, as for any linear layer. The identity is the hash of the base's identity, rank, alpha and
//!   every factor by name. A cache of the base is none of the adapter's, nor of another adapter's.
//! - A model attributed by weights of earlier in its training: the layers of these. The identity is the hash of both.

use crate::influence::taps::Layer;
use model::{Adapter, LinearInfo, Model, layout::Linear};
use primitives::{B256, Domain, encoding::Writer, hash};

/// What the model crate calls the first factor of a layer, after the layer's name.
const FIRST_FACTOR: &str = ".lora_A";
/// The second one.
const SECOND_FACTOR: &str = ".lora_B";

/// Attributed layers.
#[derive(Clone, Debug)]
pub(super) enum Attributed<'a> {
    /// All linear layers.
    Whole,
    /// Factors of an adapter; the place of each linear layer's first factor, if it has any.
    Factors { adapter: &'a Adapter, places: Vec<Option<usize>> },
}

impl<'a> Attributed<'a> {
    pub(super) fn factors(model: &Model, adapter: &'a Adapter) -> Attributed<'a> {
        let mut next = 0;
        let mut places = vec![];
        for linear in model.layout.linears() {
            let adapted = adapter.pair(linear.index).is_some();
            places.push(adapted.then_some(next));
            next += if adapted { 2 } else { 0 };
        }
        Attributed::Factors { adapter, places }
    }

    pub(super) fn adapter(&self) -> Option<&'a Adapter> {
        match self {
            Attributed::Whole => None,
            Attributed::Factors { adapter, .. } => Some(adapter),
        }
    }

    /// Number of a tapped layer among the attributed ones; `None` if it is none of them.
    pub(super) fn place(&self, linear: &LinearInfo<'_>) -> Option<usize> {
        match self {
            Attributed::Whole => Some(linear.index),
            Attributed::Factors { places, .. } => {
                let factor = match linear.name {
                    name if name.ends_with(FIRST_FACTOR) => 0,
                    name if name.ends_with(SECOND_FACTOR) => 1,
                    _ => return None,
                };
                places.get(linear.index).copied().flatten().map(|first| first + factor)
            }
        }
    }

    /// The attributed layers, in the order of their places.
    pub(super) fn layers(&self, model: &Model) -> Vec<Layer> {
        let linears = model.layout.linears();
        let whole = |l: &&Linear| Layer { name: l.name.clone(), inputs: l.inputs, outputs: l.outputs };
        match self {
            Attributed::Whole => linears.iter().map(whole).collect(),
            Attributed::Factors { adapter, places } => {
                let rank = adapter.rank();
                let pair = |l: &Linear| {
                    let name = |factor: &str| format!("{}{factor}", l.name);
                    [
                        Layer { name: name(FIRST_FACTOR), inputs: l.inputs, outputs: rank },
                        Layer { name: name(SECOND_FACTOR), inputs: rank, outputs: l.outputs },
                    ]
                };
                let adapted = linears.iter().zip(places).filter(|(_, place)| place.is_some());
                adapted.flat_map(|(linear, _)| pair(linear)).collect()
            }
        }
    }

    /// Commits to everything that a pass computes with.
    pub(super) fn identity(&self, model: &Model) -> B256 {
        let base = identity(model);
        let Some(adapter) = self.adapter() else { return base };
        let mut hasher = hash::hasher(Domain::Model);
        let mut header = Writer::new();
        // A base's hash begins with its configuration, which is JSON: none reads like this.
        header.text("lora").hash(&base).u64(adapter.rank() as u64).u32(adapter.options().alpha.to_bits());
        hasher.update(header.as_bytes());
        for ((name, _), factor) in adapter.tensor_specs(&model.layout).iter().zip(adapter.tensors()) {
            hasher.update(&named(name, factor));
        }
        B256::new(*hasher.finalize().as_bytes())
    }
}

/// Commits to a model and to the checkpoint that its answers are attributed at.
pub(super) fn at(model: B256, checkpoint: B256) -> B256 {
    let mut writer = Writer::new();
    writer.text("at").hash(&model).hash(&checkpoint);
    hash::hash(Domain::Model, writer.as_bytes())
}

/// Commits to configuration and weights.
fn identity(model: &Model) -> B256 {
    let mut hasher = hash::hasher(Domain::Model);
    let mut header = Writer::new();
    header.bytes(&serde_json::to_vec(&model.config).expect("a configuration serialises"));
    hasher.update(header.as_bytes());
    for (spec, tensor) in model.layout.tensors.iter().zip(model.weights.tensors()) {
        hasher.update(&named(&spec.name, tensor));
    }
    B256::new(*hasher.finalize().as_bytes())
}

/// A tensor as it enters an identity.
fn named(name: &str, tensor: &[f32]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.text(name).u64(tensor.len() as u64);
    let mut bytes = writer.finish();
    bytes.extend(tensor.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests;
