//! Integration tests of the vault: one crate, a module a subject.

mod crash;
mod erasure;
mod exports;
mod fixture;
mod hostile;
#[cfg(feature = "s3")]
mod s3;
mod seeds;
mod thread;
