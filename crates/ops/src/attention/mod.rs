//! Causal attention with grouped key/value heads.
//!
//! A sequence's query rows stand at positions `start .. start + rows`; its keys and values are rows `0 .. start + rows` (the
//! cache and the new rows). Head `h` reads key/value head `h / (heads / kv_heads)`. The query at position `p`:
//! 1. `s[j] = (q . k[j]) * scale` for `j = 0 ..= p`, the dot product in matmul's order along the head's width;
//! 2. `P = softmax(s)` over `0 ..= p`, in the order of [`crate::softmax`]; positions past `p` do not exist for it;
//! 3. `o = +0`, then for each block of `K_BLOCK` positions from 0: `o = o + fold(P[j] * v[j])`, positions ascending.
//!
//! Nothing here depends on `rows` or `start`: a decode of one row, a prefill in any chunks and a training pass give the same bits
//! for the same position. (Kernels work on 64 rows at a time and multiply zeros by the values past `p`. A fold that starts at +0
//! cannot tell: adding a zero changes at most the sign of a zero, and adding that to `o`, which starts at +0, changes nothing.)
//!
//! Backward, for each head: `dP = dO . v`, `dS = (P * (dP - dot(P, dP))) * scale`, `dQ = +0 + dS K` in blocks of `K_BLOCK`
//! positions; `dK` and `dV` start at +0 and take, for each head of the group in order and each block of [`ROW_BLOCK`] positions
//! from 0 in order, `dK[j] = dK[j] + fold(dS[i, j] * q[i])` and `dV[j] = dV[j] + fold(P[i, j] * dO[i])` over the block's rows.

mod backward;
mod cache;
mod forward;

pub use backward::{AttentionGrad, QkvGradients, attention_bwd};
pub use cache::KvCache;
pub use forward::{AttentionSeq, KeysValues, attention_fwd};

/// Query rows that a kernel handles at a time, and the length of a fold into `dK` and `dV`.
pub const ROW_BLOCK: usize = 64;

/// Heads and row strides, common to all sequences of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor on the scores, `1 / sqrt(head_dim)` as a rule.
    pub scale: f32,
    /// Row stride of queries; head `h` starts at column `h * head_dim`.
    pub ldq: usize,
    /// Row stride of keys and of values that lie in rows.
    pub ldkv: usize,
    /// Row stride of outputs.
    pub ldo: usize,
}

impl AttentionShape {
    fn check(&self) {
        assert!(
            self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads),
            "attention: heads must be a multiple of kv_heads"
        );
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        assert!(self.ldq >= q && self.ldo >= q && self.ldkv >= kv, "attention: row strides hold the heads");
        assert!(self.head_dim > 0, "attention: heads have a width");
    }

    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Elements that `rows` rows of `heads` heads with stride `ld` span.
fn span(rows: usize, ld: usize, width: usize) -> usize {
    if rows == 0 { 0 } else { (rows - 1) * ld + width }
}
