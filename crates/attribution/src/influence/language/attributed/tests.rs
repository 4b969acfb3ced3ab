use crate::influence::{
    cache::{Cache, CacheError, Options, build},
    language::{Language, answer_spans, tests::units},
    methods::{DataInf, Method, whole_gradients},
    projection::FeatureError,
    query::{attribute, score},
    taps::{TapError, Tapped},
};
use model::{
    Activations, Adapter, AdapterOptions, Batch, Config, Example, LossScale, Model, Wanted, forward_backward,
    network::losses,
};
use ops::{Ctx, Stream, matmul_tn};
use primitives::Amount;

const CONTEXT: usize = 16;
const VOCABULARY: u64 = 40;

fn model(seed: u64) -> Model {
    Model::initial(Config::gpt(VOCABULARY as usize, 2, 2, 16, CONTEXT), seed).expect("a valid configuration")
}

/// An adapter as training leaves it: no factor is zero.
fn adapter(model: &Model, targets: &[&str]) -> Adapter {
    let targets = targets.iter().map(|t| t.to_string()).collect();
    let options = AdapterOptions { rank: 3, alpha: 6.0, targets };
    let mut adapter = Adapter::initial(&model.layout, options, 9).expect("valid options");
    for (i, factor) in (0u64..).zip(adapter.tensors_mut()) {
        Stream::new(21, i).fill_normal(0, factor);
        factor.iter_mut().for_each(|x| *x *= 0.1);
    }
    adapter
}

fn tokens(seed: u64, count: usize) -> Vec<u32> {
    let stream = Stream::new(seed, 1);
    (0..count as u64).map(|i| stream.below(i, VOCABULARY) as u32).collect()
}

/// Prompts and answers, as an adapter is trained on.
fn examples(count: u64) -> Vec<Example> {
    (0..count).map(|i| Example::answer(&tokens(2 * i, 6), &tokens(2 * i + 1, 8))).collect()
}

fn options() -> Options {
    Options { rank: 4, unit_tokens: CONTEXT as u32, own_floor_percent: 0, sample: 8, ..Options::default() }
}

fn cached(ctx: &Ctx, language: &Language<'_>, examples: &[Example]) -> Cache {
    let folder = tempfile::tempdir().expect("a folder");
    build(ctx, language, &units(examples), &options(), folder.path(), &mut |_| {}).expect("a cache")
}

#[test]
fn taps_give_the_gradients_of_the_factors_and_of_nothing_else() {
    let (ctx, model) = (Ctx::single(), model(5));
    for targets in [&[][..], &["c_proj"]] {
        let adapter = adapter(&model, targets);
        let language = Language::with_adapter(&model, &adapter);
        let layers = language.layers();
        let specs = adapter.tensor_specs(&model.layout);
        let expected: Vec<&str> = specs.iter().map(|(name, _)| name.trim_end_matches(".weight")).collect();
        assert_eq!(layers.iter().map(|l| &l.name[..]).collect::<Vec<_>>(), expected);

        let example = &examples(1)[0];
        let mut of_taps = vec![vec![]; layers.len()];
        let visit = &mut |tap: crate::influence::taps::Tap<'_>| {
            let (n, m) = (layers[tap.layer].inputs, layers[tap.layer].outputs);
            let rows = tap.inputs.len() / n;
            assert_eq!((tap.inputs.len(), tap.gradients.len()), (rows * n, rows * m));
            assert!(of_taps[tap.layer].is_empty(), "a layer comes once");
            let mut gradient = vec![0.0; m * n];
            matmul_tn(&ctx, m, n, rows, tap.gradients, m, tap.inputs, n, &mut gradient, n, false);
            of_taps[tap.layer] = gradient;
        };
        language.backward(&ctx, example, visit).expect("a pass");

        let mut of_training = Adapter::zeros(&model.layout, adapter.options().clone()).expect("valid");
        let batch = Batch::new(&model.config, [example]).expect("fits");
        let (mut acts, none) = (Activations::default(), &mut model::Hooks::none());
        let wanted = Wanted::Adapter(&mut of_training);
        forward_backward(&ctx, &model, Some(&adapter), &batch, LossScale::Sum, &mut acts, wanted, none);
        for ((name, _), (found, expected)) in specs.iter().zip(of_taps.iter().zip(of_training.tensors())) {
            assert_eq!(found.len(), expected.len(), "{name}");
            let length = |values: &mut dyn Iterator<Item = f32>| {
                values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
            };
            let apart = length(&mut found.iter().zip(expected).map(|(a, b)| a - b));
            let long = length(&mut expected.iter().copied());
            assert!(long > 0.0 && apart <= 1e-5 * long, "{name}: {apart} of {long}");
        }

        // And these are slopes of the loss: one step along each factor's own gradient.
        let mut loss = |adapter: &Adapter| {
            let losses = losses(&ctx, &model, Some(adapter), &batch, &mut acts);
            losses.rows.iter().map(|l| f64::from(*l)).sum::<f64>()
        };
        for (place, gradient) in of_taps.iter().enumerate() {
            let square = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
            if square < 1e-4 {
                continue;
            }
            let step = 4e-3 / square.sqrt();
            let mut moved = |sign: f64| {
                let mut adapter = adapter.clone();
                let factor = adapter.tensors_mut().nth(place).expect("a factor for each layer");
                factor
                    .iter_mut()
                    .zip(gradient)
                    .for_each(|(w, g)| *w = (f64::from(*w) + sign * step * f64::from(*g)) as f32);
                loss(&adapter)
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            assert!((slope - square).abs() < 0.03 * square, "{}: {slope} and {square}", layers[place].name);
        }
    }
}

#[test]
fn the_identity_commits_to_base_configuration_and_factors() {
    let (first, other) = (model(5), model(6));
    let made = adapter(&first, &[]);
    let identity = |model: &Model, adapter: &Adapter| Language::with_adapter(model, adapter).identity();
    let mut all = vec![
        Language::new(&first).identity(),
        identity(&first, &made),
        identity(&other, &made),
        identity(&first, &adapter(&first, &["c_proj"])),
    ];
    for factor in [0, 1] {
        let mut changed = made.clone();
        let weight = &mut changed.tensors_mut().nth(factor).expect("a factor")[0];
        *weight = f32::from_bits(weight.to_bits() ^ 1);
        all.push(identity(&first, &changed));
    }
    let stronger = AdapterOptions { alpha: 7.0, ..made.options().clone() };
    let mut changed = Adapter::initial(&first.layout, stronger, 9).expect("valid options");
    changed.tensors_mut().zip(made.tensors()).for_each(|(to, from)| to.clone_from(from));
    all.push(identity(&first, &changed));
    for (i, one) in all.iter().enumerate() {
        assert!(!all[..i].contains(one), "{i}");
    }
    // Who names all layers one by one computes the same.
    let names: Vec<&str> = first.layout.linears().iter().map(|l| l.name.as_str()).collect();
    assert_eq!(identity(&first, &adapter(&first, &names[..names.len() - 1])), all[1]);
}

#[test]
fn a_unit_repeated_as_an_answer_names_itself() {
    let (model, ctx) = (model(5), Ctx::single());
    let adapter = adapter(&model, &[]);
    let (language, examples) = (Language::with_adapter(&model, &adapter), examples(30));
    let cache = cached(&ctx, &language, &examples);
    for unit in [0usize, 7, 29] {
        let scores = score(&ctx, &cache, &language, &examples[unit], &[]).expect("scores");
        let best = scores.total().iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i);
        assert_eq!(best, Some(unit));
    }
}

#[test]
fn threads_and_shards_change_no_bit_of_cache_or_answer() {
    let model = model(5);
    let adapter = adapter(&model, &[]);
    let (language, examples) = (Language::with_adapter(&model, &adapter), examples(300));
    let answer = Example::answer(&tokens(908, 5), &tokens(909, 8));
    let run = |threads, shard_blocks| {
        let folder = tempfile::tempdir().expect("a folder");
        let ctx = Ctx::single().with_threads(threads);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let options = Options { shard_blocks, ..options() };
            let cache = build(&ctx, &language, &units(&examples), &options, folder.path(), &mut |_| {})
                .expect("a cache");
            let spans = answer_spans(5, 8, 4);
            let got =
                attribute(&ctx, &cache, &language, &answer, &spans, Amount::open(1)).expect("an answer");
            (cache.commitment().root, got.digest())
        })
    };
    let expected = run(1, 1);
    assert_eq!(run(2, 1), expected);
    assert_eq!(run(3, 4), expected);
}

#[test]
fn caches_of_base_and_adapter_refuse_each_other() {
    let (model, ctx) = (model(5), Ctx::single());
    let (one, mut other) = (adapter(&model, &[]), adapter(&model, &[]));
    other.tensors_mut().for_each(|factor| factor[0] += 0.5);
    let languages =
        [Language::new(&model), Language::with_adapter(&model, &one), Language::with_adapter(&model, &other)];
    let examples = examples(12);
    for (i, of_cache) in languages.iter().enumerate() {
        let cache = cached(&ctx, of_cache, &examples);
        for (j, language) in languages.iter().enumerate() {
            let outcome = score(&ctx, &cache, language, &examples[0], &[]);
            match outcome {
                Ok(_) => assert_eq!(i, j),
                Err(CacheError::OtherModel { cached, model }) => {
                    assert!(i != j);
                    assert_eq!((cached, model), (of_cache.identity(), language.identity()));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn published_methods_take_the_whole_gradients_of_an_adapter() {
    let model = model(5);
    let adapter = adapter(&model, &[]);
    let (language, examples) = (Language::with_adapter(&model, &adapter), examples(30));
    let items: Vec<&Example> = examples.iter().collect();
    let of = |threads, items: &[&Example]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| whole_gradients(&Ctx::single().with_threads(threads), &language, items))
    };
    let rows = of(1, &items).expect("gradients");
    let two = of(2, &items[3..9]).expect("gradients");
    for ((layer, few), (_, shape)) in
        rows.layers.iter().zip(&two.layers).zip(adapter.tensor_specs(&model.layout))
    {
        let width = shape[0] * shape[1];
        assert_eq!((layer.inputs_width, layer.inputs.len()), (width, 30 * width));
        assert!(
            layer.inputs[3 * width..9 * width] == few.inputs,
            "items beside it and threads change no bit"
        );
    }
    let ctx = Ctx::single();
    let scores = DataInf { damping: 0.1 }.fit(&ctx, &rows, &rows).expect("fits").scores(&ctx, &rows);
    let scores = scores.expect("scores");
    let own = |item: usize| {
        let row = &scores[item * 30..(item + 1) * 30];
        row.iter().all(|other| *other <= row[item])
    };
    assert!((0..30).filter(|item| own(*item)).count() > 20);
    let long = Example::next_token(&tokens(1, CONTEXT + 2));
    assert!(matches!(of(1, &[&long]), Err(FeatureError::Tap(TapError::TooLong { .. }))));
}

#[test]
fn an_adapter_that_was_never_trained_has_nothing_to_attribute() {
    // Its second factors are zero, so no gradient reaches the first ones.
    let (model, ctx) = (model(5), Ctx::single());
    let fresh = Adapter::initial(&model.layout, AdapterOptions::default(), 1).expect("valid options");
    let language = Language::with_adapter(&model, &fresh);
    let folder = tempfile::tempdir().expect("a folder");
    let refused = build(&ctx, &language, &units(&examples(12)), &options(), folder.path(), &mut |_| {});
    assert!(refused.expect_err("refused").to_string().contains("are all zero"));
}
