//! What happens at the edges of a block, and in which order.

use crate::{
    env::{BlockEnv, Log},
    error::Error,
    genesis::{self, Genesis},
    models,
    storage::{Misses, State},
    treasury,
};

/// Before the first transaction. Block 1 writes the genesis allocations, since the database must start empty.
pub fn begin_block(state: &mut State, genesis: &Genesis, block: &BlockEnv) -> Result<(), Misses> {
    let checkpoint = state.checkpoint();
    let outcome = if block.number == 1 { genesis::allocate(state, genesis) } else { Ok(()) };
    finish(state, checkpoint, outcome).map(drop)
}

/// After the last transaction. Returns the events of the phase; they belong to no transaction.
pub fn end_block(state: &mut State, block: &BlockEnv) -> Result<Vec<Log>, Misses> {
    let checkpoint = state.checkpoint();
    let outcome = models::end_block(state, block).and_then(|()| treasury::end_block(state, block));
    finish(state, checkpoint, outcome)
}

fn finish(
    state: &mut State,
    checkpoint: crate::storage::Checkpoint,
    outcome: Result<(), Error>,
) -> Result<Vec<Log>, Misses> {
    if let Err(misses) = state.take_misses() {
        state.revert(checkpoint);
        return Err(misses);
    }
    if outcome.is_err() {
        // A phase runs without a caller who could be refused: a failure is a defect, and doing nothing is what every
        // node does alike.
        state.revert(checkpoint);
    }
    state.seal();
    Ok(state.take_logs())
}
