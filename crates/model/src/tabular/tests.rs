use super::*;
use crate::taps::Taps;

fn rows(model: &Perceptron, n: usize) -> Rows {
    let s = Stream::new(3, 1);
    let (width, classes) = (model.inputs(), model.classes() as u64);
    let mut values = vec![0f32; n * width];
    s.fill_normal(0, &mut values);
    // A label that the values decide, so that there is something to learn.
    let labels = values.chunks(width).map(|r| u64::from(r[0] + r[1] > 0.0) as u32 % classes as u32).collect();
    Rows::new(model, values, labels).expect("valid")
}

struct Sums(Vec<Vec<f32>>);

impl Taps for Sums {
    fn linear(&mut self, tap: LinearTap<'_>) {
        self.0.push(tap.gradient(&Ctx::single()));
    }
}

#[test]
fn perceptron_gradients_agree_with_finite_differences_and_taps() {
    let ctx = Ctx::single();
    for widths in [vec![5, 3], vec![5, 8, 3], vec![5, 8, 7, 3]] {
        let model = Perceptron::initial(&widths, 1).expect("valid");
        let rows = rows(&model, 9);
        let mut g = model.zeros();
        let mut taps = Sums(Vec::new());
        model.forward_backward(&ctx, &rows, LossScale::Sum, Some(&mut g), &mut Hooks::taps(&mut taps));
        taps.0.reverse();
        for (layer, gradient) in taps.0.iter().enumerate() {
            assert_eq!(gradient, &g[2 * layer]);
        }
        let loss = |m: &Perceptron| m.losses(&ctx, &rows).iter().map(|l| f64::from(*l)).sum::<f64>();
        for t in 0..g.len() {
            let norm = g[t].iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            let h = 2e-3 / norm;
            let shifted = |sign: f64| {
                let mut m = model.clone();
                m.tensors[t]
                    .iter_mut()
                    .zip(&g[t])
                    .for_each(|(w, g)| *w = (f64::from(*w) + sign * h * f64::from(*g)) as f32);
                m
            };
            let slope = (loss(&shifted(1.0)) - loss(&shifted(-1.0))) / (2.0 * h);
            assert!((slope - norm * norm).abs() < 0.02 * norm * norm, "tensor {t}: {slope}, {}", norm * norm);
        }
    }
}

#[test]
fn a_perceptron_learns_and_the_same_seed_gives_the_same_bits() {
    let train = |threads| {
        let mut model = Perceptron::initial(&[4, 16, 2], 1).expect("valid");
        let rows = rows(&model, 200);
        let optimizer = OptimizerOptions::Sgd { momentum: 0.9, weight_decay: 0.0 };
        let options = PerceptronTraining { epochs: 10, batch: 20, rate: 0.05, optimizer, seed: 4 };
        let losses = model.train(&Ctx::single().with_threads(threads), &rows, &options);
        (model, losses)
    };
    let (a, losses) = train(1);
    assert!(losses[9] < 0.5 * losses[0], "{losses:?}");
    assert_eq!(a, train(2).0);
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let model = Perceptron::initial(&[2, 3], 1).expect("valid");
    assert!(Rows::new(&model, vec![0.0; 3], vec![0]).is_err());
    assert!(Rows::new(&model, vec![0.0; 2], vec![3]).is_err());
    assert!(Rows::new(&model, vec![0.0, f32::NAN], vec![0]).is_err());
    assert!(Perceptron::initial(&[2], 1).is_err());
    assert!(Perceptron::initial(&[2, 0], 1).is_err());
}
