//! Language models of the `model` crate as attribution sees them.
//!
//! Attributed are the linear layers, those of the blocks and the head; embedding and norms are not. The head's gradient says which words an item taught and after what:
//! with it influence predicts retraining better and names the right source more often (measured: docs/benchmarks/attribution.md). Of a model with a LoRA adapter, which alone was trained, the adapter's factors are
//! attributed and nothing else.
//!
//! A model's answers can be attributed by weights of earlier in its training ([`Language::at`]). Passing over its items several times, a model comes to fit
//! them, and what is left of their gradients at the end is mostly noise; halfway they still say what each item taught, and more so at a mean of checkpoints' weights. Measured:
//! docs/benchmarks/attribution.md.

mod answered;
mod attributed;

pub use answered::{Answered, Answering};

use super::taps::{Layer, Tap, TapError, Tapped};
use attributed::Attributed;
use model::{
    Activations, Adapter, Batch, Example, LinearInfo, LinearTap, LossScale, Model, Taps,
    network::{Kept, Prepared, Quantisation},
    taps_of, taps_of_kept,
};
use ops::Ctx;
use primitives::B256;
use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// A model, with an adapter or alone, and what attribution keeps of it.
pub struct Language<'a> {
    /// What gradients are taken of.
    model: &'a Model,
    prepared: Arc<Prepared>,
    /// Whether it is this model that answers, so that its passes can be gone on from.
    answers: bool,
    attributed: Attributed<'a>,
    identity: B256,
    layers: Vec<Layer>,
    /// Buffers of finished passes, for the next.
    spare: Mutex<Vec<Activations>>,
}

impl std::fmt::Debug for Language<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Language")
            .field("identity", &self.identity)
            .field("layers", &self.layers.len())
            .finish()
    }
}

impl<'a> Language<'a> {
    /// Wraps a model; hashes its weights once and lays them out.
    pub fn new(model: &'a Model) -> Language<'a> {
        Language::with_prepared(model, None, Language::prepare(model))
    }

    /// Wraps a model with an adapter made or loaded for it. What is attributed are the adapter's factors: the base learned nothing from what the adapter was
    /// trained on.
    pub fn with_adapter(model: &'a Model, adapter: &'a Adapter) -> Language<'a> {
        Language::with_prepared(model, Some(adapter), Language::prepare(model))
    }

    /// As [`Language::new`], or [`Language::with_adapter`] if there is one, for who has the weights of `model` laid out already, not quantised.
    pub fn with_prepared(
        model: &'a Model,
        adapter: Option<&'a Adapter>,
        prepared: Arc<Prepared>,
    ) -> Language<'a> {
        let attributed = match adapter {
            Some(adapter) => Attributed::factors(model, adapter),
            None => Attributed::Whole,
        };
        let (identity, layers) = (attributed.identity(model), attributed.layers(model));
        Language { model, prepared, answers: true, attributed, identity, layers, spare: Mutex::default() }
    }

    /// The answers of `model`, attributed by the gradients of `checkpoint`: what it was in an earlier step of its training, or a mean of such. The identity commits to both.
    ///
    /// # Panics
    /// When the two have other architectures.
    pub fn at(model: &Model, checkpoint: &'a Model) -> Language<'a> {
        assert_eq!(model.config, checkpoint.config, "a checkpoint of the model's training");
        let mut language = Language::new(checkpoint);
        language.identity = attributed::at(Attributed::Whole.identity(model), language.identity);
        language.answers = false;
        language
    }

    /// The answers of `model` as they are attributed: by its adapter, at its checkpoint, or by itself.
    ///
    /// # Panics
    /// As [`Language::at`].
    pub fn of(model: &'a Model, adapter: Option<&'a Adapter>, checkpoint: Option<&'a Model>) -> Language<'a> {
        match (adapter, checkpoint) {
            (Some(adapter), _) => Language::with_adapter(model, adapter),
            (None, Some(checkpoint)) => Language::at(model, checkpoint),
            (None, None) => Language::new(model),
        }
    }

    fn prepare(model: &Model) -> Arc<Prepared> {
        Arc::new(Prepared::new(model, Quantisation::None))
    }

    /// [`Tapped::backward`], from what was kept of the forward pass, if anything.
    fn pass(
        &self,
        ctx: &Ctx,
        item: &Example,
        kept: Option<Kept>,
        visit: &mut dyn FnMut(Tap<'_>),
    ) -> Result<(), TapError> {
        let config = &self.model.config;
        if item.tokens.len() > config.context {
            return Err(TapError::TooLong { tokens: item.tokens.len(), context: config.context });
        }
        if scored_tokens(item) == 0 {
            return Err(TapError::Empty);
        }
        let vocabulary = config.vocabulary;
        if let Some(token) = item.tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(TapError::UnknownToken { token: *token, vocabulary });
        }
        let batch = Batch::new(config, [item]).map_err(|error| TapError::Model(error.to_string()))?;
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut acts = spare().pop().unwrap_or_default();
        let mut taps = Forwarder { attributed: &self.attributed, visit };
        let mut hooks = model::Hooks::taps(&mut taps);
        let adapter = self.attributed.adapter();
        let (model, prepared, scale) = (self.model, &self.prepared, LossScale::Sum);
        // Generation runs the model alone; its passes are not those of a checkpoint or with an adapter.
        let gone_on = kept
            .filter(|_| self.answers && adapter.is_none())
            .and_then(|kept| taps_of_kept(ctx, model, prepared, &batch, scale, kept, &mut acts, &mut hooks));
        if gone_on.is_none() {
            taps_of(ctx, model, prepared, adapter, &batch, scale, &mut acts, &mut hooks);
        }
        spare().push(acts);
        Ok(())
    }
}

/// The protocol's cut: a document's tokens in units of at most `unit_tokens`, each an example whose loss is taken at every
/// token but the document's first. A unit's last token is the next one's first input, so that no target is lost.
pub fn cut(document: &[u32], unit_tokens: usize) -> Vec<Example> {
    let mut examples = vec![];
    let mut start = 0;
    while start + 1 < document.len() {
        let end = (start + unit_tokens).min(document.len() - 1);
        examples.push(Example::next_token(&document[start..=end]));
        start = end;
    }
    examples
}

/// A unit of the committed stream, and the documents that have a part in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// What the model is run on.
    pub example: Example,
    /// Number of each document in it and its tokens there, in order.
    pub parts: Vec<(u32, u32)>,
}

/// The protocol's cut of a whole Datanet: documents end to end in commit order, in units of `unit_tokens`, wherever documents end. Nothing
/// then depends on how an owner cuts its text into documents or spreads it over identities: the stream is the same. `mark`, if
/// any, is put once before the first document.
pub fn pack(documents: &[impl AsRef<[u32]>], mark: Option<u32>, unit_tokens: usize) -> Vec<Packed> {
    let mut stream: Vec<u32> = mark.into_iter().collect();
    // Document of each token of the stream.
    let mut document_of: Vec<u32> = vec![0; stream.len()];
    for (number, document) in (0u32..).zip(documents) {
        stream.extend(document.as_ref());
        document_of.resize(stream.len(), number);
    }
    let mut units = vec![];
    let mut target = 1;
    for example in cut(&stream, unit_tokens) {
        let mut parts: Vec<(u32, u32)> = vec![];
        for document in &document_of[target..target + example.targets.len()] {
            match parts.last_mut() {
                Some((last, tokens)) if last == document => *tokens += 1,
                _ => parts.push((*document, 1)),
            }
        }
        target += example.targets.len();
        units.push(Packed { example, parts });
    }
    units
}

/// Tokens whose loss is taken.
pub fn scored_tokens(example: &Example) -> usize {
    example.targets.iter().filter(|target| **target != ops::IGNORED_TARGET).count()
}

/// Spans of equal length over the rows of an answer: the row that predicts an answer's token is the one before it.
pub fn answer_spans(prompt: usize, answer: usize, tokens_per_span: usize) -> Vec<Range<usize>> {
    let first = prompt.saturating_sub(1);
    let last = (prompt + answer).saturating_sub(1);
    (first..last)
        .step_by(tokens_per_span.max(1))
        .map(|at| at..(at + tokens_per_span.max(1)).min(last))
        .collect()
}

struct Forwarder<'a, 'b> {
    attributed: &'a Attributed<'a>,
    visit: &'a mut (dyn FnMut(Tap<'_>) + 'b),
}

impl Taps for Forwarder<'_, '_> {
    fn wants(&self, linear: &LinearInfo<'_>) -> bool {
        self.attributed.place(linear).is_some()
    }

    fn linear(&mut self, tap: LinearTap<'_>) {
        if let Some(layer) = self.attributed.place(&tap.linear) {
            (self.visit)(Tap { layer, inputs: tap.inputs, gradients: tap.output_gradients });
        }
    }
}

impl Tapped for Language<'_> {
    type Item = Example;

    fn identity(&self) -> B256 {
        self.identity
    }

    fn layers(&self) -> Vec<Layer> {
        self.layers.clone()
    }

    fn backward(&self, ctx: &Ctx, item: &Example, visit: &mut dyn FnMut(Tap<'_>)) -> Result<(), TapError> {
        self.pass(ctx, item, None, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::{
        cache::{Options, Unit, UnitMeta, build},
        query::{attribute, score},
    };
    use model::Config;
    use primitives::Amount;

    const CONTEXT: usize = 16;

    fn model() -> Model {
        Model::initial(Config::gpt(40, 2, 2, 16, CONTEXT), 5).expect("a valid configuration")
    }

    fn document(seed: u64, tokens: usize) -> Vec<u32> {
        let stream = ops::Stream::new(seed, 1);
        (0..tokens as u64).map(|i| stream.below(i, 40) as u32).collect()
    }

    pub(super) fn units(examples: &[Example]) -> Vec<Unit<'_, Example>> {
        let meta = |i: u32, example: &Example| UnitMeta {
            id: model::commitment::example_hash(&example.tokens, &example.targets),
            document: i,
            owner: i % 3,
            tokens: scored_tokens(example) as u32,
            novelty: crate::shares::NOVELTY_ONE,
        };
        (0u32..).zip(examples).map(|(i, item)| Unit { item, meta: meta(i, item) }).collect()
    }

    const OPTIONS: Options = Options {
        rank: 8,
        damping: 3,
        seed: 1,
        unit_tokens: CONTEXT as u32,
        clip_percent: 300,
        floor_percent: 100,
        own_floor_percent: 0,
        cap_percent: 5000,
        sample: 8,
        shard_blocks: 1,
    };

    #[test]
    fn cutting_a_document_loses_no_target() {
        for tokens in 0..40 {
            let document = document(1, tokens);
            let targets: Vec<u32> = cut(&document, CONTEXT).iter().flat_map(|e| e.targets.clone()).collect();
            assert_eq!(targets, document.get(1..).unwrap_or(&[]));
            assert!(cut(&document, CONTEXT).iter().all(|e| e.tokens.len() <= CONTEXT));
        }
    }

    #[test]
    fn packing_depends_on_the_stream_alone_and_counts_every_target_for_its_document() {
        let stream = document(4, 100);
        let cuts = [vec![100], vec![1, 99], vec![33, 33, 34], vec![1; 100], vec![5, 90, 5]];
        let packed = |lengths: &[usize]| {
            let mut rest = &stream[..];
            let documents: Vec<&[u32]> = lengths
                .iter()
                .map(|length| {
                    let (document, after) = rest.split_at(*length);
                    rest = after;
                    document
                })
                .collect();
            pack(&documents, Some(0), CONTEXT)
        };
        let whole: Vec<Example> = packed(&[100]).into_iter().map(|unit| unit.example).collect();
        for lengths in cuts {
            let units = packed(&lengths);
            assert!(units.iter().map(|unit| &unit.example).eq(&whole));
            let mut tokens = vec![0; lengths.len()];
            for unit in &units {
                assert_eq!(
                    unit.parts.iter().map(|p| p.1).sum::<u32>() as usize,
                    scored_tokens(&unit.example)
                );
                unit.parts.iter().for_each(|(document, count)| tokens[*document as usize] += *count as usize);
            }
            assert_eq!(tokens, lengths);
        }
        assert!(pack(&[] as &[Vec<u32>], None, CONTEXT).is_empty());
    }

    #[test]
    fn a_unit_repeated_as_an_answer_names_itself() {
        let (model, ctx) = (model(), Ctx::single());
        let language = Language::new(&model);
        let examples: Vec<Example> = (0..30).flat_map(|i| cut(&document(i, CONTEXT + 1), CONTEXT)).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let cache =
            build(&ctx, &language, &units(&examples), &OPTIONS, folder.path(), &mut |_| {}).expect("a cache");
        for unit in [0usize, 7, 29] {
            let scores = score(&ctx, &cache, &language, &examples[unit], &[]).expect("scores");
            let best = scores.total().iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i);
            assert_eq!(best, Some(unit));
        }
    }

    #[test]
    fn answers_attributed_at_a_checkpoint_have_its_scores_and_an_identity_of_both() {
        let (model, ctx) = (model(), Ctx::single());
        let checkpoint = Model::initial(model.config.clone(), 6).expect("a valid configuration");
        let examples: Vec<Example> = (0..30).flat_map(|i| cut(&document(i, CONTEXT + 1), CONTEXT)).collect();
        let (at, alone) = (Language::at(&model, &checkpoint), Language::new(&checkpoint));
        let scores = |language: &Language<'_>| {
            let folder = tempfile::tempdir().expect("a folder");
            let cache = build(&ctx, language, &units(&examples), &OPTIONS, folder.path(), &mut |_| {})
                .expect("a cache");
            let scores = score(&ctx, &cache, language, &examples[3], &[]).expect("scores");
            (cache, scores.total().to_vec())
        };
        let (cache, of_both) = scores(&at);
        assert_eq!(of_both, scores(&alone).1);
        let identities =
            [&at, &alone, &Language::new(&model), &Language::at(&checkpoint, &model)].map(|l| l.identity());
        for (i, one) in identities.iter().enumerate() {
            assert!(identities[..i].iter().all(|other| other != one), "{identities:?}");
        }
        // A cache of one is none of the other's.
        assert!(score(&ctx, &cache, &alone, &examples[3], &[]).is_err());
    }

    #[test]
    fn threads_change_no_bit_of_cache_or_answer() {
        let (model, examples) = (model(), cut(&document(3, 20 * CONTEXT), CONTEXT));
        let language = Language::new(&model);
        let answer = Example::answer(&document(8, 5), &document(9, 8));
        let run = |threads| {
            let folder = tempfile::tempdir().expect("a folder");
            let ctx = Ctx::single().with_threads(threads);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                let cache = build(&ctx, &language, &units(&examples), &OPTIONS, folder.path(), &mut |_| {})
                    .expect("a cache");
                let spans = answer_spans(5, 8, 4);
                let got =
                    attribute(&ctx, &cache, &language, &answer, &spans, Amount::open(1)).expect("an answer");
                (cache.commitment().root, got.digest(), got.spans.len())
            })
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1).2, 2);
    }

    #[test]
    fn a_query_past_the_context_or_the_vocabulary_is_refused() {
        let (model, ctx) = (model(), Ctx::single());
        let language = Language::new(&model);
        let refused = |example: &Example| language.backward(&ctx, example, &mut |_| {}).expect_err("refused");
        let long = Example::next_token(&document(1, CONTEXT + 2));
        assert_eq!(refused(&long), TapError::TooLong { tokens: CONTEXT + 1, context: CONTEXT });
        assert_eq!(refused(&Example::next_token(&[3])), TapError::Empty);
        let unknown = Example::next_token(&[3, 99, 4]);
        assert_eq!(refused(&unknown), TapError::UnknownToken { token: 99, vocabulary: 40 });
    }
}
