//! The learning rate as a function of the step.

use serde::{Deserialize, Serialize};

/// How the rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Not at all.
    Constant,
    /// Half a cosine down to `floor`.
    #[default]
    Cosine,
    /// A line down to `floor`.
    Linear,
}

/// A schedule: a linear warm-up to `peak`, then a decay to `floor * peak` at the last step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Highest rate.
    pub peak: f32,
    /// Steps of the warm-up.
    pub warmup: u64,
    /// Shape of the decay.
    #[serde(default)]
    pub decay: Decay,
    /// Last rate, as a part of `peak`.
    pub floor: f32,
}

impl Schedule {
    /// One rate throughout.
    pub fn constant(rate: f32) -> Schedule {
        Schedule { peak: rate, warmup: 0, decay: Decay::Constant, floor: 1.0 }
    }

    /// A cosine to a tenth.
    pub fn cosine(peak: f32, warmup: u64) -> Schedule {
        Schedule { peak, warmup, decay: Decay::Cosine, floor: 0.1 }
    }

    /// Rate of step `step` (from 1) of `steps`, computed in f64 and rounded once.
    pub fn rate(&self, step: u64, steps: u64) -> f32 {
        let peak = f64::from(self.peak);
        if step <= self.warmup {
            return (peak * step as f64 / self.warmup as f64) as f32;
        }
        let (done, all) = ((step - self.warmup) as f64, steps.saturating_sub(self.warmup).max(1) as f64);
        let part = if done < all { done / all } else { 1.0 };
        let floor = f64::from(self.floor);
        let factor = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - (1.0 - floor) * part,
            Decay::Cosine => {
                floor + (1.0 - floor) * 0.5 * (1.0 + ops::math64::cos(std::f64::consts::PI * part))
            }
        };
        (peak * factor) as f32
    }

    /// Whether rates are positive numbers that an optimiser can use.
    pub fn is_valid(&self) -> bool {
        self.peak > 0.0 && self.peak <= 100.0 && (0.0..=1.0).contains(&self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_its_floor() {
        for decay in [Decay::Cosine, Decay::Linear] {
            let s = Schedule { peak: 1.0, warmup: 10, decay, floor: 0.1 };
            assert_eq!(s.rate(5, 100), 0.5);
            assert_eq!(s.rate(10, 100), 1.0);
            assert!((s.rate(100, 100) - 0.1).abs() < 1e-6);
            assert!((10..100).all(|i| s.rate(i + 1, 100) <= s.rate(i, 100)), "{decay:?} falls");
        }
        assert_eq!(Schedule::constant(0.3).rate(7, 10), 0.3);
    }
}
