//! Weights in the form that a pass reads: as they are trained, or prepared once for generation.

use crate::layout::{FeedForward, Layout, Linear};
use crate::weights::{Model, Weights};
use ops::{Bits, Int8Weights, PackedWeights};

/// Whether generation runs on int8 weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantisation {
    /// f32: the bits of training.
    #[default]
    None,
    /// Linear layers of the blocks and the head in int8 (symmetric, 64 inputs a group); exact too, but other numbers.
    Int8,
}

/// A linear weight in one of its forms; `outputs` x `inputs` unless said otherwise. All f32 forms give the same bits.
#[derive(Clone, Copy, Debug)]
pub enum LinearWeight<'a> {
    /// As trained.
    Rows(&'a [f32]),
    /// Packed for the kernels, once.
    Packed(&'a PackedWeights),
    /// Quantised.
    Int8(&'a Int8Weights),
}

#[derive(Debug)]
enum Stored {
    Packed(PackedWeights),
    Int8(Int8Weights),
}

impl Stored {
    fn new(quantisation: Quantisation, outputs: usize, inputs: usize, rows: &[f32]) -> Stored {
        match quantisation {
            Quantisation::None => Stored::Packed(PackedWeights::new(outputs, inputs, rows)),
            Quantisation::Int8 => Stored::Int8(Int8Weights::quantise(Bits::Eight, outputs, inputs, rows)),
        }
    }

    fn get(&self) -> LinearWeight<'_> {
        match self {
            Stored::Packed(w) => LinearWeight::Packed(w),
            Stored::Int8(w) => LinearWeight::Int8(w),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Stored::Packed(w) => w.bytes(),
            Stored::Int8(w) => w.bytes(),
        }
    }
}

/// Weights laid out for generation: packed or quantised, query, key and value joined.
#[derive(Debug)]
pub struct Prepared {
    quantisation: Quantisation,
    projections: Vec<Stored>,
    linears: Vec<Option<Stored>>,
}

impl Prepared {
    /// Prepares a model's weights. Takes as much memory again as the linear layers (a quarter of it for int8).
    pub fn new(model: &Model, quantisation: Quantisation) -> Prepared {
        let (layout, weights) = (&model.layout, &model.weights);
        let mut linears: Vec<Option<Stored>> = layout.linears().iter().map(|_| None).collect();
        let mut store = |l: &Linear| {
            linears[l.index] = Some(Stored::new(quantisation, l.outputs, l.inputs, weights.tensor(l.weight)));
        };
        let mut projections = Vec::with_capacity(layout.blocks.len());
        for block in &layout.blocks {
            let outputs: usize = block.projections.iter().map(|(l, _)| l.outputs).sum();
            let joined: Vec<f32> =
                block.projections.iter().flat_map(|(l, _)| weights.tensor(l.weight)).copied().collect();
            projections.push(Stored::new(quantisation, outputs, model.config.hidden, &joined));
            store(&block.output);
            match &block.feed_forward {
                FeedForward::Gelu { up, down } => [up, down].into_iter().for_each(&mut store),
                FeedForward::SwiGlu { gate, up, down } => [gate, up, down].into_iter().for_each(&mut store),
            }
        }
        store(&layout.head);
        Prepared { quantisation, projections, linears }
    }

    /// How the weights were prepared.
    pub fn quantisation(&self) -> Quantisation {
        self.quantisation
    }

    /// Bytes that one generated token streams.
    pub fn bytes(&self) -> usize {
        self.projections.iter().chain(self.linears.iter().flatten()).map(Stored::bytes).sum()
    }
}

/// What a pass reads its weights from.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    weights: &'a Weights,
    prepared: Option<&'a Prepared>,
}

impl<'a> Parameters<'a> {
    /// Weights as they are trained.
    pub fn plain(weights: &'a Weights) -> Parameters<'a> {
        Parameters { weights, prepared: None }
    }

    /// Linear layers from their prepared form.
    pub fn prepared(weights: &'a Weights, prepared: &'a Prepared) -> Parameters<'a> {
        Parameters { weights, prepared: Some(prepared) }
    }

    pub(crate) fn tensor(&self, index: usize) -> &'a [f32] {
        self.weights.tensor(index)
    }

    pub(crate) fn linear(&self, linear: &Linear) -> LinearWeight<'a> {
        match self.prepared.and_then(|p| p.linears[linear.index].as_ref()) {
            Some(stored) => stored.get(),
            None => LinearWeight::Rows(self.weights.tensor(linear.weight)),
        }
    }

    /// Query, key and value of a block as one weight, where there is one.
    pub(crate) fn joined(&self, layout: &Layout, block: usize) -> Option<LinearWeight<'a>> {
        match (self.prepared, layout.blocks[block].projections.as_slice()) {
            (Some(prepared), _) => Some(prepared.projections[block].get()),
            (None, [(only, 0)]) => Some(LinearWeight::Rows(self.weights.tensor(only.weight))),
            (None, _) => None,
        }
    }
}
