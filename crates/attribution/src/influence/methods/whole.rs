//! Whole gradients of a model's attributed layers as rows, for methods that want no projection: an item of many tokens has no rank-one gradient, so its
//! gradient by a layer is one row of `inputs x outputs` numbers. Meant for layers that are small, as LoRA factors are (DataInf was proposed for these).

use crate::influence::{
    dual::{Rows, RowsOfLayer},
    projection::FeatureError,
    taps::Tapped,
};
use ops::{Ctx, check_finite, matmul_tn};
use rayon::prelude::*;

/// Gradient of each item's summed loss by every attributed layer, one row an item. Takes four bytes an item and parameter; each item is computed alone
/// on one thread.
///
/// # Errors
/// When the model refuses an item, hands out taps unlike its layers, or a gradient is not finite.
pub fn whole_gradients<M: Tapped>(ctx: &Ctx, model: &M, items: &[&M::Item]) -> Result<Rows, FeatureError> {
    let (single, layers) = (ctx.with_threads(1), model.layers());
    let widths: Vec<usize> = layers.iter().map(|layer| layer.inputs * layer.outputs).collect();
    let of_item = |item: &&M::Item| {
        let mut gradients: Vec<Vec<f32>> = vec![vec![]; layers.len()];
        let mut failure = None;
        model.backward(&single, item, &mut |tap| {
            let Some(layer) = layers.get(tap.layer) else {
                failure = Some(FeatureError::BadTap(tap.layer));
                return;
            };
            let (n, m) = (layer.inputs, layer.outputs);
            let rows = tap.inputs.len() / n;
            if tap.inputs.len() != rows * n || tap.gradients.len() != rows * m {
                failure = Some(FeatureError::BadTap(tap.layer));
                return;
            }
            let mut gradient = vec![0.0; m * n];
            matmul_tn(&single, m, n, rows, tap.gradients, m, tap.inputs, n, &mut gradient, n, false);
            if check_finite(&single, &gradient).is_err() {
                failure = Some(FeatureError::NotFinite { layer: layer.name.clone() });
            }
            gradients[tap.layer] = gradient;
        })?;
        let missing = gradients.iter().zip(&widths).position(|(gradient, width)| gradient.len() != *width);
        match failure.or(missing.map(FeatureError::BadTap)) {
            Some(failure) => Err(failure),
            None => Ok(gradients),
        }
    };
    let all: Vec<Vec<Vec<f32>>> = items.par_iter().map(of_item).collect::<Result<_, _>>()?;
    let count = items.len();
    let mut rows = Rows { layers: vec![], count };
    for width in widths {
        let (inputs, gradients) = (Vec::with_capacity(count * width), vec![1.0; count]);
        rows.layers.push(RowsOfLayer { inputs_width: width, inputs, gradients_width: 1, gradients });
    }
    // Item by item, so that no gradient is held twice for long.
    for gradients in all {
        rows.layers.iter_mut().zip(gradients).for_each(|(layer, gradient)| layer.inputs.extend(gradient));
    }
    Ok(rows)
}
