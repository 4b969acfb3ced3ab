//! Models: what was trained from what, by whom, under which licence, and at which prices.
//!
//! # Life of a model
//! ```text
//! importModel ─► Imported                                   (known from outside; a base for others)
//! register ────► Registered ─ describe ─► Training ─ finalise ─► Ready ─ retire ─► Retired
//!                     └───────────────── finalise ──────────────►
//! ```
//! A model that was trained elsewhere is finalised without a descriptor: its answers can be sold, and nothing about its data is
//! claimed.
//!
//! # Training
//! - [`describe`](descriptors): fixes the Datanet versions, the hyperparameters' hash, the op set and the steps, once. Every licence that the versions'
//!   contributions carry, and the base's, must allow every use that the model declares and the model's own licence; the
//!   first that does not is named in `LicenceForbids`. Items of open Datanets count as unreviewed (R11).
//! - The seed is drawn at the end of the next block, from that block's parent: the block that holds the descriptor. So a trainer
//!   cannot choose it (R2e), nor pick among blocks to draw it in. A proposer who trains could drop its own block and try again at the price of the block's
//!   fees; networks that mind put the trainer's stake above that.
//! - [`checkpoint`](checkpoints): commitments as they come, in a mountain range, forward only.
//! - [`finalise`](checkpoints): the last checkpoint becomes the model, with its attribution cache and rates, all committed before
//!   the first query.
//!
//! # Lineage
//! A base names its model's ancestors, at most [`MAX_LINEAGE`] of them. What a developer earns is shared along it
//! ([`developer_parts`]): each base takes its basis points of what arrives at its child. An imported base's part goes to
//! [`lineage_escrow`](interfaces::models::lineage_escrow), which nobody can spend until its developers prove control
//! ([`prove_control`], which governance calls).
//!
//! # Who may
//! The developer alone, for everything after registration; anyone imports.

mod checkpoints;
mod descriptors;
mod dispatch;
mod lineage;
mod registration;
mod seeds;
pub mod state;
#[cfg(test)]
mod tests;
mod views;

pub use checkpoints::checkpoint_leaf;
pub(crate) use dispatch::dispatch;
pub use lineage::{MAX_LINEAGE, developer_parts, prove_control};
pub use registration::{Rates, servable_rates};
pub use seeds::{end_block, seed};
