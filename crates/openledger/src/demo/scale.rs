//! How large the demo's model is: what its text can teach, so that a few short files take seconds and the documentation of a build's
//! crates takes minutes.

/// Sizes of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Tokens of the vocabulary at most.
    pub vocabulary: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width.
    pub width: usize,
    /// Units of a step.
    pub batch: usize,
    /// Times that training goes through the units.
    pub epochs: u64,
    /// Steps at least, in more passes where the units are few.
    pub steps_min: u64,
    /// Dimensions that each side of a layer's gradients is projected to.
    pub rank: usize,
}

/// Bytes of text from which the full size is worth its time.
const FULL_BYTES: usize = 300_000;

impl Scale {
    /// A million parameters: what a megabyte of documentation teaches in two minutes.
    pub const FULL: Scale = Scale {
        vocabulary: 2048,
        layers: 4,
        heads: 4,
        width: 128,
        batch: 16,
        epochs: 3,
        steps_min: 1,
        rank: 48,
    };
    /// Some ten thousand parameters.
    pub const SMALL: Scale = Scale {
        vocabulary: 512,
        layers: 2,
        heads: 2,
        width: 64,
        batch: 8,
        epochs: 3,
        steps_min: 48,
        rank: 16,
    };

    /// The size for so many bytes of text.
    pub fn for_bytes(bytes: usize) -> Scale {
        if bytes >= FULL_BYTES { Scale::FULL } else { Scale::SMALL }
    }

    /// Steps of training on so many units.
    pub fn steps(&self, units: usize) -> u64 {
        (self.epochs * (units as u64).div_ceil(self.batch as u64)).max(self.steps_min)
    }
}
