//! Inputs and comparisons shared by the tests.

use ops::{Ctx, Path, Stream};

/// `n` numbers around zero, the same for the same seed.
pub fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut x = vec![0f32; n];
    Stream::new(seed, 7).fill_normal(0, &mut x);
    x
}

/// A context for every path of this machine, with one and with three threads.
pub fn contexts() -> impl Iterator<Item = Ctx> {
    Path::available().flat_map(|path| [1, 3].map(|threads| Ctx::new(path, threads).expect("available")))
}

/// Asserts equality of bits.
#[track_caller]
pub fn assert_same(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits(), "{what}: element {i}: {a:e} is not {b:e}");
    }
}
