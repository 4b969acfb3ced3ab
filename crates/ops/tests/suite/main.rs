//! The crate's integration tests, one binary.
#![allow(clippy::needless_range_loop)]

mod accuracy;
mod attention;
mod data;
mod families;
mod matmul;
mod reference;
mod rows;
mod verifier;
