//! The program of every op: one file a family, each function named as the op.

pub(super) mod attention;
pub(super) mod elements;
pub(super) mod int8;
pub(super) mod lookup;
pub(super) mod matmul;
pub(super) mod rows;
pub(super) mod training;
pub(super) mod wide;
