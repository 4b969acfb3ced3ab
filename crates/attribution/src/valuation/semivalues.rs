//! Semivalues of a game over few players: contributors, or clusters of near-duplicates.
//!
//! A game gives a utility to every coalition; each evaluation may be a retraining, so samples are few and
//! must be spent well.
//!
//! - [`shapley_by_enumeration`], [`banzhaf_by_enumeration`]: exact, up to [`MAX_ENUMERATED`] players.
//! - [`shapley_truncated`]: permutations, each cut off once the coalition's utility is within a tolerance of the whole's
//!   (Ghorbani, Zou: "Data Shapley", ICML 2019, algorithm 1). Unbiased for a tolerance of zero.
//! - [`banzhaf_reused`]: maximum sample reuse (Wang, Jia: "Data Banzhaf", AISTATS 2023, section 4.2): random coalitions,
//!   each used for every player; mean utility with the player less the mean without. It ranks more stably than
//!   Shapley under noisy utilities.
//!
//! Every estimate carries the standard error of its mean. Randomness is a counter over a seed: sample `i` is the
//! same whichever thread draws it.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Most players that are enumerated.
pub const MAX_ENUMERATED: usize = 20;

/// Value of one player.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over samples.
    pub value: f64,
    /// Standard error of the mean; infinite with fewer than two samples.
    pub standard_error: f64,
}

/// Shapley values of a game whose coalitions are bit sets.
///
/// # Panics
/// Past [`MAX_ENUMERATED`] players.
pub fn shapley_by_enumeration(players: usize, utility: impl Fn(u32) -> f64) -> Vec<f64> {
    assert!(players <= MAX_ENUMERATED, "{players} players are too many to enumerate");
    // Weight of a coalition of s others: s! (n - 1 - s)! / n!, by recurrence.
    let n = players;
    let mut weight = vec![1.0 / n.max(1) as f64];
    for s in 1..n {
        weight.push(weight[s - 1] * s as f64 / (n - s) as f64);
    }
    marginal_sums(players, utility, |others| weight[others])
}

/// Banzhaf values of a game whose coalitions are bit sets.
///
/// # Panics
/// Past [`MAX_ENUMERATED`] players.
pub fn banzhaf_by_enumeration(players: usize, utility: impl Fn(u32) -> f64) -> Vec<f64> {
    assert!(players <= MAX_ENUMERATED, "{players} players are too many to enumerate");
    let weight = 1.0 / f64::from(1u32 << players.saturating_sub(1));
    marginal_sums(players, utility, |_| weight)
}

fn marginal_sums(players: usize, utility: impl Fn(u32) -> f64, weight: impl Fn(usize) -> f64) -> Vec<f64> {
    let utilities: Vec<f64> = (0..1u32 << players).map(utility).collect();
    let mut values = vec![0.0; players];
    for (coalition, with_none) in utilities.iter().enumerate() {
        for (player, value) in values.iter_mut().enumerate() {
            if coalition >> player & 1 == 0 {
                let gain = utilities[coalition | 1 << player] - with_none;
                *value += weight(coalition.count_ones() as usize) * gain;
            }
        }
    }
    values
}

/// Truncated permutation sampling. `utility` takes a membership flag a player. A permutation stops adding
/// players, whose gains then count as zero, once the utility is within `tolerance` of that of all players.
pub fn shapley_truncated(
    players: usize,
    permutations: u64,
    seed: u64,
    tolerance: f64,
    utility: impl Fn(&[bool]) -> f64 + Sync,
) -> Vec<Estimate> {
    let whole = utility(&vec![true; players]);
    let nothing = utility(&vec![false; players]);
    let gains: Vec<Vec<f64>> = (0..permutations)
        .into_par_iter()
        .map(|sample| {
            let mut order: Vec<usize> = (0..players).collect();
            let mut draws = Draws::new(seed, sample);
            for i in (1..players).rev() {
                order.swap(i, draws.below(i as u64 + 1) as usize);
            }
            let mut members = vec![false; players];
            let mut gains = vec![0.0; players];
            let mut before = nothing;
            for player in order {
                if (whole - before).abs() <= tolerance && tolerance > 0.0 {
                    break;
                }
                members[player] = true;
                let after = utility(&members);
                gains[player] = after - before;
                before = after;
            }
            gains
        })
        .collect();
    (0..players).map(|player| mean(gains.iter().map(|gain| gain[player]))).collect()
}

/// Banzhaf values by maximum sample reuse over `samples` uniformly random coalitions.
pub fn banzhaf_reused(
    players: usize,
    samples: u64,
    seed: u64,
    utility: impl Fn(&[bool]) -> f64 + Sync,
) -> Vec<Estimate> {
    let drawn: Vec<(Vec<bool>, f64)> = (0..samples)
        .into_par_iter()
        .map(|sample| {
            let mut draws = Draws::new(seed, sample);
            let members: Vec<bool> = (0..players).map(|_| draws.below(2) == 1).collect();
            let value = utility(&members);
            (members, value)
        })
        .collect();
    (0..players)
        .map(|player| {
            let side = |with: bool| {
                mean(drawn.iter().filter(|(members, _)| members[player] == with).map(|(_, value)| *value))
            };
            let (with, without) = (side(true), side(false));
            let variance =
                with.standard_error * with.standard_error + without.standard_error * without.standard_error;
            Estimate { value: with.value - without.value, standard_error: variance.sqrt() }
        })
        .collect()
}

/// Mean in order of the samples, and its standard error.
fn mean(samples: impl Iterator<Item = f64> + Clone) -> Estimate {
    let count = samples.clone().count() as f64;
    if count == 0.0 {
        return Estimate { value: 0.0, standard_error: f64::INFINITY };
    }
    let value = samples.clone().fold(0.0, |sum, x| sum + x) / count;
    let squares = samples.fold(0.0, |sum, x| sum + (x - value) * (x - value));
    let standard_error = if count < 2.0 { f64::INFINITY } else { (squares / (count - 1.0) / count).sqrt() };
    Estimate { value, standard_error }
}

/// Counter-based draws: splitmix64 over (seed, sample, counter).
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64, sample: u64) -> Draws {
        Draws(scramble(seed ^ scramble(sample.wrapping_add(0x632b_e59b_d9b4_e019))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// Uniform below `bound`, by the high half of a product; the bias is below 2^-32 for bounds under 2^32.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A random game of `players`: a table of utilities, zero for nobody.
    fn game(players: usize, seed: u64) -> impl Fn(u32) -> f64 {
        move |coalition| {
            let size = f64::from(coalition.count_ones());
            let noise = (scramble(seed ^ u64::from(coalition)) >> 40) as f64 / f64::from(1 << 24);
            if coalition == 0 { 0.0 } else { size.sqrt() + noise / players as f64 }
        }
    }

    fn bits(members: &[bool]) -> u32 {
        members.iter().rev().fold(0, |bits, member| bits << 1 | u32::from(*member))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn shapley_values_are_efficient_and_symmetric(players in 1..9usize, seed in any::<u64>()) {
            let utility = game(players, seed);
            let values = shapley_by_enumeration(players, &utility);
            let whole = utility((1 << players) - 1);
            prop_assert!((values.iter().sum::<f64>() - whole).abs() < 1e-9);
            let equal = shapley_by_enumeration(players, |c| f64::from(c.count_ones()));
            prop_assert!(equal.iter().all(|v| (v - 1.0).abs() < 1e-9));
        }

        #[test]
        fn sampled_values_lie_near_enumerated_ones(players in 2..7usize, seed in any::<u64>()) {
            let utility = game(players, seed);
            let exact = shapley_by_enumeration(players, &utility);
            for (got, want) in shapley_truncated(players, 3000, seed, 0.0, |m| utility(bits(m))).iter().zip(exact) {
                prop_assert!((got.value - want).abs() < 6.0 * got.standard_error + 1e-9);
            }
            let exact = banzhaf_by_enumeration(players, &utility);
            for (got, want) in banzhaf_reused(players, 3000, seed, |m| utility(bits(m))).iter().zip(exact) {
                prop_assert!((got.value - want).abs() < 6.0 * got.standard_error + 1e-9);
            }
        }
    }

    #[test]
    fn a_tolerance_saves_evaluations() {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let saturating = |members: &[bool]| {
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            f64::from(u8::from(members.iter().any(|m| *m)))
        };
        shapley_truncated(50, 10, 1, 0.01, saturating);
        assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 2 + 10);
    }

    #[test]
    fn samples_do_not_depend_on_threads() {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| banzhaf_reused(12, 500, 7, |m| game(12, 3)(bits(m))))
        };
        assert_eq!(with(1), with(2));
    }

    #[test]
    fn no_players_have_no_values() {
        assert!(shapley_truncated(0, 5, 0, 0.0, |_| 1.0).is_empty());
        assert!(banzhaf_reused(0, 5, 0, |_| 1.0).is_empty());
        assert!(shapley_by_enumeration(0, |_| 0.0).is_empty());
    }
}
