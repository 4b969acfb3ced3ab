//! The crate's integration tests, one binary.

mod accuracy;
mod attention;
mod data;
