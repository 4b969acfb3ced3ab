//! Random use of all modules together, block by block, against an independent plain model.
//!
//! [`world`] drives the real ledger with a seeded stream of calls, many of them wrong. [`plain`] is written from the rule book
//! with numbers and maps and shares no code with the modules: it foretells which calls are accepted and what every account
//! holds. [`audit`] compares after every block:
//!
//! - invariant 1: what accounts hold and what was burned are the supply; each module's account holds what it owes;
//! - invariant 2: a batch's parts are its fees, leaves pay at most the data share, fees are the escrow's income;
//! - invariant 4: channels pay at most what was deposited, and what was claimed never falls;
//! - invariant 11: a commit's height and number never change, and it opens once;
//! - invariant 12: nothing is claimed or posted while U > q * S.
//!
//! Invariant 10: the same seed gives the same state, word for word.
//!
//! `CONSERVATION_SEEDS=1000 cargo test -p ledger --test ledger conservation` runs more seeds than the default.

mod audit;
mod channels;
mod plain;
mod random;
mod world;

use self::world::World;

/// Seeds of a run in CI.
const SEEDS: u64 = 6;
/// Blocks of one run.
const BLOCKS: u32 = 150;

fn seeds() -> u64 {
    std::env::var("CONSERVATION_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn every_unit_is_accounted_for_in_every_block() {
    let mut accepted = std::collections::BTreeMap::<&str, u32>::new();
    for seed in 0..seeds() {
        let mut world = World::new(seed);
        for _ in 0..BLOCKS {
            world.block();
            audit::audit(&world);
        }
        for (call, count) in &world.accepted {
            *accepted.entry(call).or_default() += count;
        }
    }
    // A workload that never gets to a rule shows nothing about it.
    for call in world::CALLS {
        assert!(
            accepted.get(call).is_some_and(|count| *count > 0),
            "`{call}` was never accepted: {accepted:?}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_state() {
    let run = |seed| {
        let mut world = World::new(seed);
        (0..60).for_each(|_| world.block());
        world.ledger.words
    };
    let (first, again, other) = (run(77), run(77), run(78));
    assert_eq!(first, again);
    assert_ne!(first, other, "the comparison can fail");
}

#[test]
#[should_panic(expected = "holds")]
fn the_audit_finds_a_unit_that_moved_by_itself() {
    let mut world = World::new(1);
    (0..10).for_each(|_| world.block());
    world.plain.give(world::people()[0], 1);
    audit::audit(&world);
}
