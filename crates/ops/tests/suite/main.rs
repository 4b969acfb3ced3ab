//! The crate's integration tests, one binary.
#![allow(clippy::needless_range_loop)]

mod accuracy;
mod attention;
mod cases;
mod data;
mod families;
mod golden;
mod matmul;
mod reference;
mod rows;
mod verifier;
