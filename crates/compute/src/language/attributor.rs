//! Who an answer of a language model, or of an adapter over it, owes.

use super::{MismatchError, failed};
use crate::engine::{Attributor, EngineError, Passes, Scores, Scoring, SpanScores, Unit};
use alloy_primitives::B256;
use attribution::{
    influence::{
        cache::{Cache, CacheError, UnitMeta},
        language::{Answered, Answering, Language, answer_spans},
        query::{MAX_SPANS, Query, UNITS_PER_SPAN, highest, score_all},
        taps::Tapped as _,
    },
    shares::Rule,
};
use model::{Example, network::Kept};
use ops::Ctx;
use std::ops::Range;

/// Fewest tokens of an answer that are explained together.
const MIN_SPAN_TOKENS: usize = 8;

/// A model with its attribution cache.
pub struct LanguageAttributor {
    language: Language<'static>,
    cache: Cache,
    units: Vec<Unit>,
    ctx: Ctx,
}

impl LanguageAttributor {
    /// Of what `language` says, by the cache that was built over just that.
    pub fn new(
        language: Language<'static>,
        cache: Cache,
        units: Vec<Unit>,
        ctx: Ctx,
    ) -> Result<LanguageAttributor, MismatchError> {
        let same =
            |(unit, meta): (&Unit, &UnitMeta)| (unit.tokens, unit.novelty) == (meta.tokens, meta.novelty);
        let differs = units.iter().zip(cache.units()).position(|pair| !same(pair));
        let differs = differs.or((units.len() != cache.units().len()).then_some(units.len()));
        if let Some(unit) = differs {
            return Err(MismatchError::OtherUnits(unit));
        }
        let (cached, identity) = (cache.commitment().model, language.identity());
        if cached != identity {
            return Err(MismatchError::OtherModel { cached, model: identity });
        }
        Ok(LanguageAttributor { language, cache, units, ctx })
    }
}

impl Attributor for LanguageAttributor {
    fn cache_root(&self) -> B256 {
        self.cache.commitment().root
    }

    fn rule(&self) -> Rule {
        self.cache.commitment().rule
    }

    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn score(&self, answer: &Scoring<'_>) -> Result<Scores, EngineError> {
        self.score_all(std::slice::from_ref(answer)).pop().unwrap_or_else(|| Err(failed("no score")))
    }

    fn score_all(&self, answers: &[Scoring<'_>]) -> Vec<Result<Scores, EngineError>> {
        let asked: Vec<Option<Asked>> = answers.iter().map(Asked::new).collect();
        let queries: Vec<Query<'_, Answered>> = asked
            .iter()
            .flatten()
            .map(|Asked { answered, spans, .. }| Query { item: answered, spans })
            .collect();
        let mut found = score_all(&self.ctx, &self.cache, &Answering(&self.language), &queries).into_iter();
        let nothing = || Scores { units: vec![0.0; self.units.len()], spans: Vec::new() };
        let scored = |asked: &Option<Asked>| match asked {
            // An answer without a token owes nobody.
            None => Ok(nothing()),
            Some(asked) => {
                let found = found.next().unwrap_or(Err(CacheError::Silent)).map_err(failed)?;
                Ok(asked.scores(&self.cache, &found))
            }
        };
        asked.iter().map(scored).collect()
    }
}

/// An answer as the cache is asked for it.
struct Asked {
    answered: Answered,
    spans: Vec<Range<usize>>,
    /// Tokens of a span.
    span_tokens: u32,
    tokens: u32,
}

impl Asked {
    fn new(answer: &Scoring<'_>) -> Option<Asked> {
        let Scoring { prompt, output, passes, .. } = *answer;
        if output.is_empty() {
            return None;
        }
        let kept = passes.and_then(Passes::take::<Kept>);
        let span_tokens = output.len().div_ceil(MAX_SPANS).max(MIN_SPAN_TOKENS);
        Some(Asked {
            answered: Answered::new(Example::answer(prompt, output), kept),
            spans: answer_spans(prompt.len(), output.len(), span_tokens),
            span_tokens: span_tokens as u32,
            tokens: output.len() as u32,
        })
    }

    fn scores(&self, cache: &Cache, found: &attribution::influence::query::Scores) -> Scores {
        let spans = (0u32..).zip(found.of_spans()).map(|(index, scores)| {
            let start = index * self.span_tokens;
            let units = highest(scores.iter().copied(), UNITS_PER_SPAN);
            SpanScores {
                tokens: start.min(self.tokens)..(start + self.span_tokens).min(self.tokens),
                units: units.into_iter().map(|scored| (scored.unit, scored.score)).collect(),
            }
        });
        Scores { units: cache.payable(found.total()), spans: spans.collect() }
    }
}
