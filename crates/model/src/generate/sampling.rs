//! From logits to a token, as part of the deterministic specification.
//!
//! 1. Greedy (temperature 0): the largest logit; the smaller token number on a tie.
//! 2. Otherwise logits are divided by the temperature; tokens are ordered by logit, descending, then number, ascending; the first
//!    `top_k` stay; their probabilities are the softmax op over them in that order; the shortest prefix whose sum (f64, in order)
//!    reaches `top_p` stays.
//! 3. `u` is uniform number `n` of stream [`SAMPLING_STREAM`] under the request's seed, `n` counting the answer's tokens from 0. The
//!    token is the first at which the running sum (f64) exceeds `u` times the sum of what stays.
//!
//! Log-probabilities are those of the plain logits (temperature 1): minus the cross-entropy op.

use ops::{Ctx, Stream, cross_entropy_fwd, softmax_fwd};
use serde::{Deserialize, Serialize};

use super::GenerateError;

/// Stream of sampling's uniforms.
pub const SAMPLING_STREAM: u64 = 6 << 32;
/// Highest temperature.
pub const TEMPERATURE_MAX: f32 = 100.0;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Only this many most likely tokens; 0 means all.
    pub top_k: usize,
    /// Only the most likely tokens that together reach this probability.
    pub top_p: f32,
    /// Seed of the draws.
    pub seed: u64,
}

impl Sampling {
    /// The most likely token each time.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 }
    }

    /// Plain draws at a temperature.
    pub fn at(temperature: f32, seed: u64) -> Sampling {
        Sampling { temperature, top_k: 0, top_p: 1.0, seed }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self) -> Result<(), GenerateError> {
        let setting = |name, value: f32, allowed| {
            Err(GenerateError::Setting { name, value: value.to_string(), allowed })
        };
        if !(0.0..=TEMPERATURE_MAX).contains(&self.temperature) {
            return setting("temperature", self.temperature, "0 to 100");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return setting("top_p", self.top_p, "above 0, at most 1");
        }
        Ok(())
    }
}

/// A chosen token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenChoice {
    /// The token.
    pub token: u32,
    /// Its log-probability, if asked for.
    pub logprob: Option<f32>,
    /// Most likely tokens with their log-probabilities.
    pub top: Vec<(u32, f32)>,
}

/// Chooses token number `n` of an answer.
pub fn choose(
    ctx: &Ctx,
    logits: &[f32],
    sampling: &Sampling,
    n: u64,
    logprobs: Option<usize>,
) -> TokenChoice {
    let token = if sampling.temperature == 0.0 { greatest(logits) } else { draw(ctx, logits, sampling, n) };
    let Some(count) = logprobs else { return TokenChoice { token, logprob: None, top: Vec::new() } };
    let mut wanted = vec![token];
    wanted.extend(most_likely(logits, count));
    let scores = log_probabilities(ctx, logits, &wanted);
    TokenChoice {
        token,
        logprob: Some(scores[0]),
        top: wanted[1..].iter().copied().zip(scores[1..].iter().copied()).collect(),
    }
}

/// Log-probabilities of some tokens.
pub fn log_probabilities(ctx: &Ctx, logits: &[f32], tokens: &[u32]) -> Vec<f32> {
    let mut stats = [0f32; 2];
    let mut score = |token: &u32| {
        let mut loss = [0f32];
        cross_entropy_fwd(ctx, logits.len(), logits, std::slice::from_ref(token), &mut loss, &mut stats);
        -loss[0]
    };
    tokens.iter().map(&mut score).collect()
}

/// The first of the largest.
fn greatest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, v) in logits.iter().enumerate() {
        if *v > logits[best] {
            best = i;
        }
    }
    best as u32
}

/// The `count` most likely tokens, most likely first.
fn most_likely(logits: &[f32], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    // A total order (ties by number), so the result does not depend on the sort's algorithm.
    let key = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    let count = count.min(order.len());
    if count == 0 {
        return Vec::new();
    }
    if count < order.len() {
        order.select_nth_unstable_by(count - 1, key);
        order.truncate(count);
    }
    order.sort_unstable_by(key);
    order
}

fn draw(ctx: &Ctx, logits: &[f32], sampling: &Sampling, n: u64) -> u32 {
    let count = if sampling.top_k == 0 { logits.len() } else { sampling.top_k.min(logits.len()) };
    let order = most_likely(logits, count);
    let mut p: Vec<f32> = order.iter().map(|t| logits[*t as usize] / sampling.temperature).collect();
    let width = p.len();
    softmax_fwd(ctx, width, &mut p);
    let mut kept = width;
    let mut total = 0f64;
    for (i, v) in p.iter().enumerate() {
        total += f64::from(*v);
        if total >= f64::from(sampling.top_p) {
            kept = i + 1;
            break;
        }
    }
    let at = f64::from(Stream::new(sampling.seed, SAMPLING_STREAM).uniform(n)) * total;
    let mut sum = 0f64;
    for (token, v) in order[..kept].iter().zip(&p) {
        sum += f64::from(*v);
        if sum > at {
            return *token;
        }
    }
    order[kept - 1]
}
