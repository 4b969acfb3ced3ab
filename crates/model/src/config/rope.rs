//! Rotary positions: the base and its scalings.

use serde::{Deserialize, Serialize};

/// Rotary positions of a family (Su et al., "RoFormer", 2021).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How frequencies are changed for longer contexts.
    pub scaling: RopeScaling,
}

/// Changes of the frequencies, named as `rope_type` in a `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// None.
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided, high ones kept, between them interpolated.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Below original / this many turns a frequency is low.
        low_freq_factor: f64,
        /// Above original / this many turns a frequency is high.
        high_freq_factor: f64,
        /// Context that the model was first trained with.
        original_max_position_embeddings: usize,
    },
}

impl Rope {
    pub(super) fn check(&self) -> Result<(), String> {
        let positive = |name: &str, v: f64| {
            if v.is_finite() && v > 0.0 {
                Ok(())
            } else {
                Err(format!("rope {name} is {v}, it must be positive"))
            }
        };
        positive("theta", self.theta)?;
        match self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => positive("factor", factor),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                positive("factor", factor)?;
                positive("low_freq_factor", low_freq_factor)?;
                positive("high_freq_factor", high_freq_factor)?;
                if high_freq_factor <= low_freq_factor || original_max_position_embeddings == 0 {
                    return Err("rope llama3 scaling needs low_freq_factor < high_freq_factor and an original context".into());
                }
                Ok(())
            }
        }
    }

    /// Frequency of each of the `head_dim / 2` pairs, in f64.
    pub fn frequencies(&self, head_dim: usize) -> Vec<f64> {
        let mut frequencies = ops::rope_frequencies(head_dim, self.theta);
        match self.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => frequencies.iter_mut().for_each(|f| *f /= factor),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                let original = original_max_position_embeddings as f64;
                for f in &mut frequencies {
                    let wavelength = std::f64::consts::TAU / *f;
                    if wavelength > original / low_freq_factor {
                        *f /= factor;
                    } else if wavelength >= original / high_freq_factor {
                        let smooth =
                            (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        *f = (1.0 - smooth) * *f / factor + smooth * *f;
                    }
                }
            }
        }
        frequencies
    }
}
