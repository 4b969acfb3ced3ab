use super::*;
use crate::influence::{
    dual::{RowsOfLayer, layer_kernel},
    perceptron::{Dense, Perceptron},
    toy::numbers,
};

const ITEMS: usize = 60;

fn model() -> Perceptron {
    let dense = |inputs: usize, outputs: usize, seed| Dense {
        weight: numbers(inputs * outputs, seed),
        bias: numbers(outputs, seed + 1),
    };
    Perceptron::new(vec![dense(6, 7, 1), dense(7, 3, 5)]).unwrap()
}

fn all() -> Vec<Box<dyn Method>> {
    vec![
        Box::new(GaussNewton { damping: 0.05, rank: 40 }),
        Box::new(Gradients::Dot),
        Box::new(Gradients::Cosine),
        Box::new(DataInf { damping: 0.1 }),
        Box::new(Trak { side: 4, damping: 0.1, seed: 3 }),
        Box::new(EkFac { damping: 0.1 }),
    ]
}

fn data() -> (Vec<f32>, Vec<u32>) {
    (numbers(ITEMS * 6, 9), (0..ITEMS as u32).map(|i| i % 3).collect())
}

#[test]
fn every_method_ranks_an_item_first_for_itself_more_often_than_chance() {
    let (ctx, model, (x, y)) = (Ctx::single(), model(), data());
    let train = model.gradients(&ctx, &x, &y);
    for method in all() {
        let fitted = method.fit(&ctx, &model.curvature(&ctx, &x), &train).unwrap();
        let scores = fitted.scores(&ctx, &train).unwrap();
        let first = |item: usize| {
            let row = &scores[item * ITEMS..(item + 1) * ITEMS];
            row.iter().filter(|other| **other > row[item]).count() == 0
        };
        let own = (0..ITEMS).filter(|item| first(*item)).count();
        assert!(own > ITEMS / 5, "{}: {own} of {ITEMS}", method.name());
    }
}

#[test]
fn a_score_does_not_depend_on_threads_or_on_the_queries_beside_it() {
    let (model, (x, y)) = (model(), data());
    for method in all() {
        let run = |threads: usize, queries: std::ops::Range<usize>| {
            let ctx = Ctx::single().with_threads(threads);
            let fitted =
                method.fit(&ctx, &model.curvature(&ctx, &x), &model.gradients(&ctx, &x, &y)).unwrap();
            let asked = model.gradients(&ctx, &x[queries.start * 6..queries.end * 6], &y[queries]);
            fitted.scores(&ctx, &asked).unwrap()
        };
        let whole = run(1, 0..9);
        assert_eq!(whole, run(2, 0..9), "{}", method.name());
        assert_eq!(whole[4 * ITEMS..5 * ITEMS], run(1, 4..5), "{}", method.name());
    }
}

#[test]
fn flipping_a_training_label_moves_the_scores_of_every_method() {
    let (ctx, model, (x, y)) = (Ctx::single(), model(), data());
    let mut flipped = y.clone();
    flipped[7] = (flipped[7] + 1) % 3;
    let query = model.gradients(&ctx, &numbers(6, 77), &[1]);
    for method in all() {
        let score = |labels: &[u32]| {
            let train = model.gradients(&ctx, &x, labels);
            let fitted = method.fit(&ctx, &model.curvature(&ctx, &x), &train).unwrap();
            fitted.scores(&ctx, &query).unwrap()[7]
        };
        let (before, after) = (score(&y), score(&flipped));
        assert!(
            (before - after).abs() > 1e-3 * before.abs().max(1e-3),
            "{}: {before} {after}",
            method.name()
        );
    }
}

#[test]
fn data_inf_of_one_item_is_exact_and_ek_fac_of_one_row_too() {
    // With one item the mean of inverses is the inverse, and a rank-one curvature is diagonal in its own basis.
    let ctx = Ctx::single();
    let model = model();
    let (x, y) = (numbers(6, 9), [1]);
    let train = model.gradients(&ctx, &x, &y);
    let query = model.gradients(&ctx, &numbers(6, 4), &[2]);
    let exact = |damping_ratio: f64| -> f64 {
        train
            .layers
            .iter()
            .zip(&query.layers)
            .map(|(u, q)| {
                let dot = |a: &RowsOfLayer, b: &RowsOfLayer| f64::from(layer_kernel(&ctx, 1, 1, a, b)[0]);
                let square = dot(u, u);
                let damping = damping_ratio * square / (u.inputs_width * u.gradients_width) as f64;
                dot(q, u) / (square + damping)
            })
            .sum()
    };
    let methods: [(Box<dyn Method>, f64); 2] =
        [(Box::new(DataInf { damping: 0.1 }), 0.1), (Box::new(EkFac { damping: 0.1 }), 0.1)];
    for (method, damping) in methods {
        let got = f64::from(method.fit(&ctx, &train, &train).unwrap().scores(&ctx, &query).unwrap()[0]);
        let want = exact(damping);
        assert!((got - want).abs() < 1e-3 * (1.0 + want.abs()), "{}: {got} {want}", method.name());
    }
}

#[test]
fn eigenvectors_rebuild_their_matrix() {
    let n = 12;
    let half = numbers(n * n, 5);
    let a: Vec<f64> = (0..n * n)
        .map(|at| {
            let (i, j) = (at / n, at % n);
            f64::from(half[i * n + j]) + f64::from(half[j * n + i])
        })
        .collect();
    let (values, vectors) = symmetric_eigen(n, a.clone());
    for i in 0..n {
        for j in 0..n {
            let rebuilt: f64 = (0..n).map(|k| values[k] * vectors[k * n + i] * vectors[k * n + j]).sum();
            assert!((rebuilt - a[i * n + j]).abs() < 1e-9);
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let (ctx, model, (x, y)) = (Ctx::single(), model(), data());
    let train = model.gradients(&ctx, &x, &y);
    let refused = |method: &dyn Method| method.fit(&ctx, &train, &train).map(|_| ()).unwrap_err();
    assert_eq!(refused(&DataInf { damping: 0.0 }), DualError::BadDamping(0.0));
    assert_eq!(refused(&EkFac { damping: -1.0 }), DualError::BadDamping(-1.0));
    assert_eq!(refused(&Trak { side: 0, damping: 0.1, seed: 0 }), DualError::BadRank(0));
    let other = Rows { layers: vec![], count: 1 };
    for method in all() {
        let fitted = method.fit(&ctx, &train, &train).unwrap();
        assert_eq!(fitted.scores(&ctx, &other).unwrap_err(), DualError::Shape(0), "{}", method.name());
    }
}
