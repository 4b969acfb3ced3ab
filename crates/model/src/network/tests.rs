use super::*;
use crate::batch::Example;
use crate::config::{Config, Family};
use crate::lora::AdapterOptions;
use crate::taps::{GroupSums, LinearInfo, LinearTap, Taps};
use ops::{IGNORED_TARGET, Stream};

/// A small model of every family, with weights that are large enough for gradients to be seen.
pub(crate) fn small(family: Family) -> Model {
    let base = if family == Family::Gpt2 {
        Config::gpt(37, 2, 2, 16, 24)
    } else {
        Config::llama(37, 2, 4, 2, 16, 24)
    };
    let bias = matches!(family, Family::Gpt2 | Family::Qwen2);
    let tied = family != Family::Mistral;
    let mut model = Model::initial(Config { family, bias, tied, ..base }, 5).expect("valid");
    for (i, t) in model.weights.tensors_mut().iter_mut().enumerate() {
        let noise = Stream::new(11, i as u64);
        for (j, v) in t.iter_mut().enumerate() {
            *v += 0.2 * noise.normal(j as u64);
        }
    }
    model
}

pub(crate) fn example(seed: u64, length: usize) -> Example {
    let s = Stream::new(seed, 99);
    let text: Vec<u32> = (0..=length as u64).map(|i| s.below(i, 37) as u32).collect();
    Example::next_token(&text)
}

fn batch(model: &Model, lengths: &[usize]) -> Batch {
    let examples: Vec<Example> = lengths.iter().enumerate().map(|(i, n)| example(i as u64, *n)).collect();
    Batch::new(&model.config, &examples).expect("fits")
}

fn gradients(ctx: &Ctx, model: &Model, batches: &[Batch], scale: LossScale) -> (Gradients, Vec<f32>) {
    let mut g = Gradients::zeros(&model.layout);
    let mut acts = Activations::default();
    let mut rows = Vec::new();
    for b in batches {
        let none = &mut Hooks::none();
        rows.extend(
            forward_backward(ctx, model, None, b, scale, &mut acts, Wanted::Weights(&mut g), none).rows,
        );
    }
    g.finish(ctx);
    (g, rows)
}

#[test]
fn gradients_agree_with_finite_differences_in_every_family() {
    let ctx = Ctx::single();
    for family in Family::ALL {
        let model = small(family);
        let b = batch(&model, &[7, 1, 12]);
        let (g, _) = gradients(&ctx, &model, std::slice::from_ref(&b), LossScale::Sum);
        let mut acts = Activations::default();
        let mut loss =
            |m: &Model| losses(&ctx, m, None, &b, &mut acts).rows.iter().map(|l| f64::from(*l)).sum::<f64>();
        for (t, spec) in model.layout.tensors.iter().enumerate() {
            // Along the gradient itself, so that the difference stands out of the rounding.
            let norm = g.weights().tensor(t).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            if norm < 1e-3 {
                continue;
            }
            let h = 2e-3 / norm;
            let shifted = |sign: f64| {
                let mut m = model.clone();
                for (w, g) in m.weights.tensor_mut(t).iter_mut().zip(g.weights().tensor(t)) {
                    *w = (f64::from(*w) + sign * h * f64::from(*g)) as f32;
                }
                m
            };
            let slope = (loss(&shifted(1.0)) - loss(&shifted(-1.0))) / (2.0 * h);
            let expected = norm * norm;
            let error = (slope - expected).abs() / expected;
            assert!(error < 0.02, "{family:?} {}: slope {slope}, gradient {expected}", spec.name);
        }
    }
}

#[test]
fn a_step_cut_into_smaller_batches_gives_the_same_bits() {
    let ctx = Ctx::detect();
    for family in Family::ALL {
        let model = small(family);
        let examples: Vec<Example> = (0..6).map(|i| example(i, 3 + 3 * i as usize)).collect();
        let cut = |n: usize| -> Vec<Batch> {
            examples.chunks(n).map(|c| Batch::new(&model.config, c).expect("fits")).collect()
        };
        let scale = LossScale::Times(0.01);
        let (whole, rows) = gradients(&ctx, &model, &cut(6), scale);
        for n in [1, 2, 4] {
            let (parts, part_rows) = gradients(&ctx.with_threads(1), &model, &cut(n), scale);
            assert_eq!(whole.weights(), parts.weights(), "{family:?} in batches of {n}");
            assert_eq!(rows, part_rows);
        }
    }
}

#[test]
fn a_rows_logits_do_not_depend_on_its_batch() {
    let ctx = Ctx::detect();
    for family in Family::ALL {
        let model = small(family);
        let all = batch(&model, &[5, 17, 1, 24]);
        let together = logits(&ctx, &model, None, &all);
        let mut at = 0;
        for (i, n) in [5usize, 17, 1, 24].into_iter().enumerate() {
            let one = Batch::new(&model.config, [&example(i as u64, n)]).expect("fits");
            let alone = logits(&ctx, &model, None, &one);
            assert_eq!(alone, together[at * 37..(at + n) * 37], "{family:?} example {i}");
            at += n;
        }
    }
}

#[derive(Default)]
struct Collect {
    gradients: Vec<(usize, String, Vec<f32>)>,
    each: Vec<(usize, Vec<f32>)>,
}

impl Taps for Collect {
    fn linear(&mut self, tap: LinearTap<'_>) {
        let ctx = Ctx::single();
        self.gradients.push((tap.linear.index, tap.linear.name.into(), tap.gradient(&ctx)));
        self.each.push((tap.linear.index, tap.example_gradients(&ctx)));
    }
}

#[test]
fn taps_give_every_layers_gradient_to_the_bit_without_a_second_pass() {
    let ctx = Ctx::detect();
    for family in Family::ALL {
        let model = Model { config: Config { tied: false, ..small(family).config }, ..small(family) };
        let model = Model::initial(model.config, 3).expect("valid");
        let b = batch(&model, &[5, 9, 2]);
        let mut g = Gradients::zeros(&model.layout);
        let mut collect = Collect::default();
        let mut acts = Activations::default();
        let hooks = &mut Hooks::taps(&mut collect);
        forward_backward(&ctx, &model, None, &b, LossScale::Sum, &mut acts, Wanted::Weights(&mut g), hooks);
        g.finish(&ctx);
        assert_eq!(collect.gradients.len(), model.layout.linears().len());
        for (index, name, gradient) in &collect.gradients {
            let linear = model.layout.linears()[*index];
            assert_eq!(gradient, g.weights().tensor(linear.weight), "{family:?} {name}");
        }
        // An example's part is its gradient in a batch of its own.
        let (alone, _) = gradients(&ctx, &model, &[batch_of(&model, 1, 9)], LossScale::Sum);
        for (index, each) in &collect.each {
            let linear = model.layout.linears()[*index];
            let n = linear.inputs * linear.outputs;
            assert_eq!(each[n..2 * n], *alone.weights().tensor(linear.weight), "{family:?} {}", linear.name);
        }
    }
}

fn batch_of(model: &Model, seed: u64, length: usize) -> Batch {
    Batch::new(&model.config, [&example(seed, length)]).expect("fits")
}

#[test]
fn group_sums_are_the_gradients_of_their_groups() {
    let ctx = Ctx::detect();
    let model = small(Family::Llama);
    let lengths = [5, 9, 2, 7];
    let groups = vec![0, 1, 0, 1];
    let mut sums = GroupSums::new(ctx, 2, groups.clone());
    let mut acts = Activations::default();
    let b = batch(&model, &lengths);
    let hooks = &mut Hooks::taps(&mut sums);
    forward_backward(&ctx, &model, None, &b, LossScale::Sum, &mut acts, Wanted::Taps, hooks);
    for group in 0..2 {
        let members = (0..4).filter(|i| groups[*i] == group);
        let batches: Vec<Batch> = members.map(|i| batch_of(&model, i as u64, lengths[i])).collect();
        let (g, _) = gradients(&ctx, &model, &batches, LossScale::Sum);
        let linears = model.layout.linears();
        for linear in &linears[..linears.len() - 1] {
            let n = linear.inputs * linear.outputs;
            let found = &sums.layer(linear.index).expect("seen")[group * n..(group + 1) * n];
            assert_eq!(found, g.weights().tensor(linear.weight), "group {group} {}", linear.name);
        }
    }
}

#[test]
fn rows_without_a_target_have_no_loss_and_no_gradient() {
    let ctx = Ctx::single();
    let model = small(Family::Gpt2);
    let mut silent = example(1, 9);
    silent.targets.fill(IGNORED_TARGET);
    let b = Batch::new(&model.config, [&silent]).expect("fits");
    let (g, rows) = gradients(&ctx, &model, &[b], LossScale::Sum);
    assert!(rows.iter().all(|l| l.to_bits() == 0));
    assert!(g.weights().tensors().iter().flatten().all(|v| *v == 0.0));
    let answer = Example::answer(&[1, 2, 3], &[4, 5]);
    assert_eq!(answer.targets, [IGNORED_TARGET, IGNORED_TARGET, 4, 5]);
}

fn noisy_adapter(model: &Model, targets: &[&str]) -> Adapter {
    let targets = targets.iter().map(|t| t.to_string()).collect();
    let options = AdapterOptions { rank: 3, alpha: 6.0, targets };
    let mut adapter = Adapter::initial(&model.layout, options, 9).expect("valid");
    for (i, t) in adapter.tensors_mut().enumerate() {
        Stream::new(21, i as u64).fill_normal(0, t);
        t.iter_mut().for_each(|v| *v *= 0.1);
    }
    adapter
}

#[test]
fn adapter_gradients_agree_with_finite_differences() {
    let ctx = Ctx::single();
    for family in [Family::Gpt2, Family::Qwen2] {
        let model = small(family);
        let adapter = noisy_adapter(&model, &[]);
        let b = batch(&model, &[7, 12]);
        let mut g = Adapter::zeros(&model.layout, adapter.options().clone()).expect("valid");
        let mut acts = Activations::default();
        let none = &mut Hooks::none();
        let wanted = Wanted::Adapter(&mut g);
        forward_backward(&ctx, &model, Some(&adapter), &b, LossScale::Sum, &mut acts, wanted, none);
        let mut loss = |a: &Adapter| {
            losses(&ctx, &model, Some(a), &b, &mut acts).rows.iter().map(|l| f64::from(*l)).sum::<f64>()
        };
        for t in 0..adapter.tensors().count() {
            let gradient: Vec<f32> = g.tensors().nth(t).expect("there").clone();
            let norm = gradient.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            if norm < 1e-3 {
                continue;
            }
            let h = 2e-3 / norm;
            let shifted = |sign: f64| {
                let mut a = adapter.clone();
                let tensor = a.tensors_mut().nth(t).expect("there");
                tensor
                    .iter_mut()
                    .zip(&gradient)
                    .for_each(|(w, g)| *w = (f64::from(*w) + sign * h * f64::from(*g)) as f32);
                a
            };
            let slope = (loss(&shifted(1.0)) - loss(&shifted(-1.0))) / (2.0 * h);
            assert!(
                (slope - norm * norm).abs() < 0.02 * norm * norm,
                "{family:?} factor {t}: {slope} and {}",
                norm * norm
            );
        }
    }
}

struct Seen(Vec<String>);

impl Taps for Seen {
    fn linear(&mut self, tap: LinearTap<'_>) {
        assert_eq!(tap.inputs.len(), tap.examples.rows() * tap.linear.inputs);
        assert_eq!(tap.output_gradients.len(), tap.examples.rows() * tap.linear.outputs);
        self.0.push(tap.linear.name.into());
    }
    fn wants(&self, linear: &LinearInfo<'_>) -> bool {
        linear.name.contains("lora_")
    }
}

#[test]
fn taps_see_the_factors_of_an_adapter() {
    let ctx = Ctx::single();
    let model = small(Family::Llama);
    let adapter = noisy_adapter(&model, &["q_proj", "down_proj"]);
    let mut seen = Seen(Vec::new());
    let hooks = &mut Hooks::taps(&mut seen);
    let b = batch(&model, &[7, 12]);
    let mut acts = Activations::default();
    forward_backward(&ctx, &model, Some(&adapter), &b, LossScale::Sum, &mut acts, Wanted::Taps, hooks);
    assert_eq!(seen.0.len(), 2 * 2 * 2);
}
