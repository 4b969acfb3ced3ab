//! Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
//!
//! Number `i` of stream `s` under seed `k` is word `i mod 4` of `philox(counter = [i/4 low, i/4 high, s low, s high], key =
//! [k low, k high])`: any number can be computed alone, in any order, on any thread.

use crate::math64;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// One block of four words.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for round in 0..ROUNDS {
        if round > 0 {
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
    }
    c
}

/// A stream of random numbers, addressed by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    seed: u64,
    stream: u64,
}

impl Stream {
    /// The stream of that number under that seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        Stream { seed, stream }
    }

    /// Block `index`: words `4 index .. 4 index + 4`.
    pub fn block(&self, index: u64) -> [u32; 4] {
        let counter = [index as u32, (index >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32];
        philox(counter, [self.seed as u32, (self.seed >> 32) as u32])
    }

    /// Word `index`.
    pub fn word(&self, index: u64) -> u32 {
        self.block(index / 4)[(index % 4) as usize]
    }

    /// Uniform in [0, 1): the top 24 bits of word `index`, times 2^-24.
    pub fn uniform(&self, index: u64) -> f32 {
        unit(self.word(index))
    }

    /// Uniform integer in `0..bound` from words `2 index` and `2 index + 1`, by the high half of a 64 x 64 bit product
    /// (bias at most bound / 2^64).
    ///
    /// # Panics
    /// When `bound` is zero.
    pub fn below(&self, index: u64, bound: u64) -> u64 {
        assert!(bound > 0, "below: a positive bound");
        let block = self.block(index / 2);
        let at = (index % 2 * 2) as usize;
        let word = u64::from(block[at]) | u64::from(block[at + 1]) << 32;
        ((u128::from(word) * u128::from(bound)) >> 64) as u64
    }

    /// Fills with uniforms `offset..`.
    pub fn fill_uniform(&self, offset: u64, out: &mut [f32]) {
        for (i, v) in out.iter_mut().enumerate() {
            *v = self.uniform(offset + i as u64);
        }
    }

    /// Standard normal `index` (Box and Muller, in f64, rounded once): numbers `2 i` and `2 i + 1` are the cosine and sine
    /// of one pair, from words `4 i .. 4 i + 4`.
    pub fn normal(&self, index: u64) -> f32 {
        let (cosine, sine) = self.normal_pair(index / 2);
        if index.is_multiple_of(2) { cosine } else { sine }
    }

    /// Fills with standard normals `offset..`.
    pub fn fill_normal(&self, offset: u64, out: &mut [f32]) {
        let mut pair = (u64::MAX, (0.0, 0.0));
        for (i, v) in out.iter_mut().enumerate() {
            let index = offset + i as u64;
            if pair.0 != index / 2 {
                pair = (index / 2, self.normal_pair(index / 2));
            }
            *v = if index.is_multiple_of(2) { pair.1.0 } else { pair.1.1 };
        }
    }

    fn normal_pair(&self, index: u64) -> (f32, f32) {
        const UNIT: f64 = 1.0 / 9_007_199_254_740_992.0;
        let words = self.block(index);
        let wide = |lo: u32, hi: u32| (u64::from(lo) | u64::from(hi) << 32) >> 11;
        // In (0, 1], so that the logarithm is finite.
        let u = (wide(words[0], words[1]) + 1) as f64 * UNIT;
        let angle = std::f64::consts::TAU * (wide(words[2], words[3]) as f64 * UNIT);
        let radius = (-2.0 * math64::ln(u)).sqrt();
        ((radius * math64::cos(angle)) as f32, (radius * math64::sin(angle)) as f32)
    }
}

fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}
