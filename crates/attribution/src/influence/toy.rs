//! A model small enough to reason about: `hidden = tanh-free polynomial of W1 x`, squared error through `W2`. Rows of an item are tokens.

use super::{
    dual::{Rows, RowsOfLayer},
    taps::{Layer, Tap, TapError, Tapped},
};
use ops::{Ctx, matmul_nn, matmul_nt, wide};
use primitives::{B256, Domain, hash};

pub const INPUTS: usize = 6;
pub const HIDDEN: usize = 8;
pub const OUTPUTS: usize = 3;
/// Inputs of the linear regressions.
pub const WIDTH: usize = 5;

/// Two linear layers with ReLU between, trained to map rows to targets.
#[derive(Clone, Debug)]
pub struct Toy {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

/// Rows of inputs and the targets of each.
#[derive(Clone, Debug)]
pub struct ToyItem {
    pub inputs: Vec<f32>,
    pub targets: Vec<f32>,
}

pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let stream = ops::Stream::new(seed, 7);
    (0..count as u64).map(|i| stream.uniform(i) * 2.0 - 1.0).collect()
}

pub fn wide_numbers(count: usize, seed: u64) -> Vec<f64> {
    numbers(count, seed).iter().map(|v| f64::from(*v)).collect()
}

/// One layer of one output: inputs of [`WIDTH`] and the gradient of each row.
pub fn rows(x: &[f64], d: &[f64]) -> Rows {
    let layer = RowsOfLayer {
        inputs_width: WIDTH,
        inputs: x.iter().map(|v| *v as f32).collect(),
        gradients_width: 1,
        gradients: d.iter().map(|v| *v as f32).collect(),
    };
    Rows { layers: vec![layer], count: d.len() }
}

/// The weights that minimise `sum (x w - y)^2 / 2 + penalty |w|^2 / 2` over the rows `keep`.
pub fn ridge(keep: &[usize], x: &[f64], y: &[f64], penalty: f64) -> Vec<f64> {
    let picked: Vec<f64> = keep.iter().flat_map(|i| &x[i * WIDTH..(i + 1) * WIDTH]).copied().collect();
    let targets: Vec<f64> = keep.iter().map(|i| y[*i]).collect();
    wide::ridge(&Ctx::single(), keep.len(), WIDTH, 1, &picked, &targets, penalty).unwrap()
}

impl Toy {
    pub fn new(seed: u64) -> Toy {
        Toy { first: numbers(HIDDEN * INPUTS, seed), second: numbers(OUTPUTS * HIDDEN, seed + 1) }
    }
}

impl ToyItem {
    pub fn new(rows: usize, seed: u64) -> ToyItem {
        ToyItem { inputs: numbers(rows * INPUTS, seed), targets: numbers(rows * OUTPUTS, seed + 1000) }
    }
}

impl Tapped for Toy {
    type Item = ToyItem;

    fn identity(&self) -> B256 {
        let bytes: Vec<u8> = self.first.iter().chain(&self.second).flat_map(|x| x.to_le_bytes()).collect();
        hash::hash(Domain::Model, &bytes)
    }

    fn layers(&self) -> Vec<Layer> {
        vec![
            Layer { name: "first".into(), inputs: INPUTS, outputs: HIDDEN },
            Layer { name: "second".into(), inputs: HIDDEN, outputs: OUTPUTS },
        ]
    }

    fn backward(&self, ctx: &Ctx, item: &ToyItem, visit: &mut dyn FnMut(Tap<'_>)) -> Result<(), TapError> {
        let rows = item.targets.len() / OUTPUTS;
        if rows == 0 {
            return Err(TapError::Empty);
        }
        let mut hidden = vec![0.0; rows * HIDDEN];
        matmul_nt(
            ctx,
            rows,
            HIDDEN,
            INPUTS,
            &item.inputs,
            INPUTS,
            &self.first,
            INPUTS,
            &mut hidden,
            HIDDEN,
            false,
        );
        hidden.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 });
        let mut errors = vec![0.0; rows * OUTPUTS];
        matmul_nt(
            ctx,
            rows,
            OUTPUTS,
            HIDDEN,
            &hidden,
            HIDDEN,
            &self.second,
            HIDDEN,
            &mut errors,
            OUTPUTS,
            false,
        );
        errors.iter_mut().zip(&item.targets).for_each(|(x, target)| *x -= target);
        visit(Tap { layer: 1, inputs: &hidden, gradients: &errors });
        let mut back = vec![0.0; rows * HIDDEN];
        matmul_nn(
            ctx,
            rows,
            HIDDEN,
            OUTPUTS,
            &errors,
            OUTPUTS,
            &self.second,
            HIDDEN,
            &mut back,
            HIDDEN,
            false,
        );
        back.iter_mut().zip(&hidden).for_each(|(x, h)| *x = if *h > 0.0 { *x } else { 0.0 });
        visit(Tap { layer: 0, inputs: &item.inputs, gradients: &back });
        Ok(())
    }
}
