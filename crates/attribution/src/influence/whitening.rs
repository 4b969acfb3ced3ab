//! Projections that see every direction of a layer's side alike.
//!
//! Random signs keep the inner products of what varies most and drown the rest in their error: a few directions carry most of a side's energy, and
//! the curvature divides by that energy afterwards. So a side's vectors are whitened first. With `M = sum x x^T` over the rows of the sample, `mu` its mean
//! eigenvalue (trace over width) and `L L^T = M / mu + DAMPING`, the projection is `R L^-1` for the signs `R`. One matrix, computed once, committed
//! with the cache; a pass costs what it did.
//!
//! Everything is an op of the set (products in f32; Cholesky and the triangular solve in f64, rounded once to f32), so it can be disputed as the curvature can.
//! The sample is that of the cache's other constants: drawn by tokens, of novel rows alone, so that nobody shifts it by cutting or copying.

use super::{
    projection::{FeatureError, Projector},
    taps::{Layer, Tapped},
};
use ops::{Ctx, check_finite, matmul, wide};

/// Added to every eigenvalue, in means. LDS hardly changes from .03 to .3 (docs/benchmarks/attribution.md).
const DAMPING: f64 = 0.1;
/// Sides wider than this keep their random signs: the moment would be the square of it.
pub(super) const MAX_WIDTH: usize = 2048;

/// `x^T x` of `[rows, width]`, added to the lower triangle of `sum`.
fn add(ctx: &Ctx, width: usize, x: &[f32], sum: &mut [f32]) {
    let rows = x.len() / width;
    matmul::add_moment(ctx, width, rows, x, width, sum, width);
}

/// `[width, width]`, or nothing for a side that is not whitened.
fn zero(width: usize, rank: usize) -> Vec<f32> {
    if width <= rank || width > MAX_WIDTH { vec![] } else { vec![0.0; width * width] }
}

/// Second moments of both sides of each layer.
struct Moments(Vec<(Vec<f32>, Vec<f32>)>);

impl Moments {
    /// Summed item by item, in their order: one item's activations are in memory at a time. An error comes with the item's place.
    fn of<M: Tapped>(
        ctx: &Ctx,
        model: &M,
        layers: &[Layer],
        rank: usize,
        items: &[&M::Item],
    ) -> Result<Moments, (usize, FeatureError)> {
        let mut sums: Vec<(Vec<f32>, Vec<f32>)> =
            layers.iter().map(|l| (zero(l.inputs, rank), zero(l.outputs, rank))).collect();
        for (place, item) in items.iter().enumerate() {
            let mut failure = None;
            let outcome = model.backward(ctx, item, &mut |tap| {
                let (Some(layer), Some((inputs, outputs))) = (layers.get(tap.layer), sums.get_mut(tap.layer))
                else {
                    failure = Some(FeatureError::BadTap(tap.layer));
                    return;
                };
                for (width, x, sum) in
                    [(layer.inputs, tap.inputs, inputs), (layer.outputs, tap.gradients, outputs)]
                {
                    if !x.len().is_multiple_of(width) {
                        failure = Some(FeatureError::BadTap(tap.layer));
                    } else if check_finite(ctx, x).is_err() {
                        failure = Some(FeatureError::NotFinite { layer: layer.name.clone() });
                    } else if !sum.is_empty() {
                        add(ctx, width, x, sum);
                    }
                }
            });
            let failure = outcome.err().map(FeatureError::Tap).or(failure);
            failure.map_or(Ok(()), |failure| Err((place, failure)))?;
        }
        for (layer, (inputs, outputs)) in layers.iter().zip(&mut sums) {
            for (width, sum) in [(layer.inputs, inputs), (layer.outputs, outputs)] {
                if !sum.is_empty() {
                    matmul::mirror(width, sum, width);
                }
            }
        }
        Ok(Moments(sums))
    }
}

/// `R L^-1`, from `R` as `[rank, width]`; `R` itself when the moment is none or all zero.
fn whitened(ctx: &Ctx, width: usize, moment: &[f32], signs: Vec<f32>) -> Vec<f32> {
    let diagonal = moment.iter().step_by(width + 1);
    let mean = diagonal.fold(0.0, |sum, x| sum + f64::from(*x)) / width as f64;
    if mean <= 0.0 {
        return signs;
    }
    let mut factor: Vec<f64> = moment.iter().map(|x| f64::from(*x) / mean).collect();
    factor.iter_mut().step_by(width + 1).for_each(|x| *x += DAMPING);
    // Positive definite but for rounding, which is orders of magnitude below the damping; were it not, the signs would serve.
    if wide::cholesky(ctx, width, &mut factor).is_err() {
        return signs;
    }
    let mut rows: Vec<f64> = signs.iter().map(|x| f64::from(*x)).collect();
    wide::solve_lower_transposed(ctx, width, &factor, &mut rows);
    rows.iter().map(|x| *x as f32).collect()
}

impl Projector {
    /// The same projections behind a whitening by what `items` pass through each layer.
    ///
    /// # Errors
    /// When the model refuses an item, or an activation or gradient is not finite; with the item's place.
    pub fn whitened<M: Tapped>(
        self,
        ctx: &Ctx,
        model: &M,
        items: &[&M::Item],
    ) -> Result<Projector, (usize, FeatureError)> {
        let Moments(moments) = ops::team(ctx, || Moments::of(ctx, model, self.layers(), self.rank(), items))?;
        let moments: Vec<Vec<f32>> =
            moments.into_iter().flat_map(|(inputs, gradients)| [inputs, gradients]).collect();
        Ok(self.map_matrices(|side, width, signs| whitened(ctx, width, &moments[side], signs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::toy::{INPUTS, Toy, ToyItem, numbers};

    const RANK: usize = 3;

    fn projector() -> Projector {
        Projector::new(Toy::new(1).layers(), RANK, 5).expect("a rank in range")
    }

    #[test]
    fn a_whitened_projection_undoes_the_second_moment_of_what_passes_through() {
        // Strong in one direction, as activations are.
        let (ctx, rows) = (Ctx::single(), 40);
        let mut x = numbers(rows * INPUTS, 3);
        x.chunks_exact_mut(INPUTS).for_each(|row| row[0] = row[0] * 30.0 + 50.0);
        let mut moment = vec![0.0; INPUTS * INPUTS];
        add(&ctx, INPUTS, &x, &mut moment);
        matmul::mirror(INPUTS, &mut moment, INPUTS);
        let mean = (0..INPUTS).map(|i| f64::from(moment[i * INPUTS + i])).sum::<f64>() / INPUTS as f64;
        let signs = numbers(RANK * INPUTS, 8);
        let p = whitened(&ctx, INPUTS, &moment, signs.clone());
        // P (M / mean + DAMPING) P^T = R R^T.
        for (i, j) in (0..RANK).flat_map(|i| (0..RANK).map(move |j| (i, j))) {
            let (mut found, mut expected) = (0.0, 0.0);
            for a in 0..INPUTS {
                for b in 0..INPUTS {
                    let damping = if a == b { DAMPING } else { 0.0 };
                    let entry = f64::from(moment[a * INPUTS + b]) / mean + damping;
                    found += f64::from(p[i * INPUTS + a]) * entry * f64::from(p[j * INPUTS + b]);
                }
                expected += f64::from(signs[i * INPUTS + a]) * f64::from(signs[j * INPUTS + a]);
            }
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn what_was_never_seen_keeps_its_signs() {
        let signs = numbers(RANK * INPUTS, 8);
        let ctx = Ctx::single();
        assert_eq!(whitened(&ctx, INPUTS, &[], signs.clone()), signs);
        assert_eq!(whitened(&ctx, INPUTS, &[0.0; INPUTS * INPUTS], signs.clone()), signs);
        let none: Vec<f32> = projector()
            .whitened(&ctx, &Toy::new(1), &[])
            .expect("no item")
            .matrices()
            .flatten()
            .copied()
            .collect();
        assert_eq!(none, projector().matrices().flatten().copied().collect::<Vec<_>>());
    }

    #[test]
    fn threads_change_no_bit() {
        let items: Vec<ToyItem> = (0..20).map(|i| ToyItem::new(3, i)).collect();
        let run = |threads| {
            let items: Vec<&ToyItem> = items.iter().collect();
            let whitened = projector().whitened(&Ctx::single().with_threads(threads), &Toy::new(1), &items);
            whitened.expect("good items").matrices().flatten().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(2));
        assert_ne!(run(1), projector().matrices().flatten().map(|x| x.to_bits()).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_that_are_none_are_refused_with_the_item_and_the_layer() {
        let mut broken = ToyItem::new(2, 1);
        broken.inputs[1] = f32::NAN;
        let found = projector().whitened(&Ctx::single(), &Toy::new(1), &[&ToyItem::new(2, 3), &broken]);
        assert_eq!(found.err(), Some((1, FeatureError::NotFinite { layer: "first".into() })));
    }
}
