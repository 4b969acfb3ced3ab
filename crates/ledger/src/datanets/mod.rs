//! Datanets: collections of licensed data, and who contributed what first (RULEBOOK R3, R4, R11).
//!
//! # Life of a contribution
//! ```text
//! commit ─► Commitment ─ reveal ─► Accepted            (open)
//!               │               └► Pending ─ accept ─► Accepted ─ withdraw ─► Withdrawn ─ releaseBond
//!               └ expire           └ reject ─► Rejected (curated)
//! ```
//!
//! # Rules
//! - *Priority.* Each commit takes the next number of one sequence for the whole ledger. The number and the height never change, and a commitment
//!   opens once (invariant 11). The owner is inside the hash, so a commitment copied from the mempool opens for nobody else; commitments
//!   are kept by owner, so that the copy does not even stand in the way.
//! - *Reveal* after finality (a governed delay past the commit) and within the window. The licence is one of the Datanet's, to the letter, and must grant
//!   the uses the owner declares. The bond is linear in bytes.
//! - *Expiry.* A commitment never revealed gives its bond back: it harmed nobody, and its words were paid for in gas.
//! - *Curated* Datanets admit by a curator; a refused contribution gets its bond back. Open ones admit by bond.
//! - *Withdrawal* takes effect on later versions; frozen ones keep the contribution. The bond stays for the unbonding time, since copies are
//!   often found late.
//! - *Copies.* Evidence is two leaves that open to one item. The later commit's item is settled as the copy, across all Datanets: it counts
//!   nothing from then on, and its part of the bond (its bytes times the bond per byte) is slashed, once. The original of a
//!   copy's copy is found by following [`DUPLICATES`](crate::tables::DUPLICATES). Near-duplicates need the text and are no
//!   business of this module.
//! - *Versions* freeze what stands: the roots of two mountain ranges, accepted and withdrawn, and the licences in use. Freezing costs the same
//!   for ten contributions and ten million.
//! - *Shares* are basis points of what the Datanet's items earn, for its makers; the payout tree takes them proportionally, so
//!   they are neutral to grouping (R2b).
//!
//! # Who may
//! Creating, committing: anyone. Revealing, withdrawing: the owner. Accepting, rejecting: curators, whom the creator names. Freezing, expiring,
//! releasing, reporting: anyone.
//!
//! # Money
//! The module's account holds all bonds.

mod contribution;
mod creation;
mod curation;
mod dispatch;
mod duplicates;
pub mod state;
#[cfg(test)]
mod tests;
mod versions;
mod views;

pub use contribution::commitment;
pub(crate) use dispatch::dispatch;
pub use duplicates::item_leaf;
pub use versions::{TrainingFacts, contribution_leaf, training_facts, version_root};
