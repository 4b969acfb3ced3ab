//! Integration tests of the vault: one crate, a module a subject.

mod crash;
mod erasure;
mod exports;
mod fixture;
mod hostile;
mod thread;
