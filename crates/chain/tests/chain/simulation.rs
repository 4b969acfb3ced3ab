//! Simulated networks under faults. A run is a function of its seed: each is done twice, with equal hashes.
//!
//! `OPENLEDGER_SEEDS=1000 cargo test -p chain --test chain simulation` runs a thousand seeds of every scenario.

use crate::{
    properties::Agreement,
    simulated::{Network, PACE},
    transfers::Wallet,
};
use chain::block::PublicKey;
use commonware_consensus::types::{Epoch, Round, View};
use commonware_glue::simulate::{
    action::{Action, Crash, Schedule},
    exit::ProcessedHeightAtLeast,
    plan::{PlanBuilder, PlanResult},
};
use commonware_p2p::simulated::Link;
use commonware_runtime::deterministic::FaultConfig;
use commonware_utils::probability;
use std::time::Duration;

/// Virtual time after which a run that does not end is stuck.
const PATIENCE: Duration = Duration::from_secs(600);
const GOOD: Link = Link {
    latency: Duration::from_millis(10),
    jitter: Duration::from_millis(5),
    success_rate: probability!(1.0),
};
const DOWN: Link = Link {
    latency: Duration::from_millis(10),
    jitter: Duration::from_millis(0),
    success_rate: probability!(0.0),
};

/// Seeds of a scenario: `default` of them, or as many as the environment asks for.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("OPENLEDGER_SEEDS").ok().and_then(|text| text.parse().ok());
    0..asked.unwrap_or(default)
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Runs each seed twice and hands every first result on.
fn check(
    count: std::ops::Range<u64>,
    height: u64,
    network: impl Fn() -> Network,
    faults: impl Fn(u64, PlanBuilder<Network>) -> PlanBuilder<Network>,
    then: impl Fn(&Network, &PlanResult<Network>),
) {
    for seed in count {
        let run = || {
            let network = network();
            let plan = PlanBuilder::new(network.clone())
                .seed(seed)
                .timeout(PATIENCE)
                .exit_condition(ProcessedHeightAtLeast::new(height))
                .property(Agreement);
            let result = faults(seed, plan).run().unwrap_or_else(|error| panic!("{error}"));
            (network, result)
        };
        let (first, second) = (run(), run());
        assert_eq!(first.1[0].state, second.1[0].state, "seed {seed} is not reproducible");
        then(&first.0, &first.1[0]);
    }
}

#[test]
fn one_validator_makes_blocks_alone() {
    check(
        seeds(2),
        30,
        || Network::new(1),
        |_, plan| plan,
        |network, _| {
            assert_transfers(network);
        },
    );
}

/// Clients bring more than one transfer, and all of them arrive.
fn assert_transfers(network: &Network) {
    let count = network.record.transfer_count();
    assert!(count > 10, "{count} transfers are final");
}

/// Times between a lone validator's blocks, and how many transactions the later one holds.
fn steps(network: &Network) -> Vec<(u64, usize)> {
    let blocks = network.record.blocks();
    blocks.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[1].1)).collect()
}

#[test]
fn blocks_follow_fast_while_transactions_wait_and_slowly_when_none_does() {
    check(
        seeds(2),
        60,
        || Network::new(1),
        |_, plan| plan,
        |network, _| {
            let steps = steps(network);
            let (interval, heartbeat) = (PACE.interval.as_millis() as u64, PACE.heartbeat.as_millis() as u64);
            let holding = steps.iter().filter(|(_, count)| *count > 0).count();
            assert!(holding > 0 && holding < steps.len(), "{:?}", network.record.blocks());
            for (step_ms, count) in steps {
                assert!(step_ms >= if count > 0 { interval } else { heartbeat }, "{count} in {step_ms} ms");
                assert!(step_ms <= heartbeat + interval, "{step_ms} ms");
            }
        },
    );
}

#[test]
fn transfers_that_no_block_can_take_do_not_keep_the_network_awake() {
    // Each could be paid when it came, the second no longer after the first.
    let overdrawn = |wallet: &Wallet, chain_id| {
        let most = primitives::amount::SUPPLY.0 - 10u128.pow(15);
        (0..2).map(|nonce| wallet.transfer(chain_id, nonce, Wallet::new(9).address, most)).collect()
    };
    check(
        seeds(2),
        40,
        || Network::alone(overdrawn),
        |_, plan| plan,
        |network, _| {
            assert_eq!(network.record.transfer_count(), 1);
            let steps = steps(network);
            let heartbeat_ms = PACE.heartbeat.as_millis() as u64;
            let hurried = steps.iter().filter(|(step_ms, count)| *count == 0 && *step_ms < heartbeat_ms);
            assert!(hurried.count() <= 1, "it hurries one block: {steps:?}");
        },
    );
}

#[test]
fn four_validators_survive_crashes() {
    let crash = Crash::Random { frequency: at(1_500), downtime: at(400), count: 1 };
    check(
        seeds(12),
        50,
        || Network::new(4),
        |_, plan| plan.crash(crash.clone()),
        |network, result| {
            assert!(result.crashes > 0, "the fault did not happen");
            assert_transfers(network);
        },
    );
}

#[test]
fn seven_validators_survive_crashes_of_two() {
    let crash = Crash::Random { frequency: at(1_500), downtime: at(400), count: 2 };
    check(
        seeds(4),
        80,
        || Network::new(7),
        |_, plan| plan.crash(crash.clone()),
        |_, result| {
            assert!(result.crashes > 1, "the fault did not happen");
        },
    );
}

/// Cuts `validators` off from everyone else.
fn isolate(
    mut schedule: Schedule<PublicKey>,
    time: Duration,
    all: &[PublicKey],
    cut: &[PublicKey],
) -> Schedule<PublicKey> {
    for from in all {
        for to in all.iter().filter(|to| *to != from && cut.contains(from) != cut.contains(to)) {
            let action = Action::UpdateLink { from: from.clone(), to: to.clone(), link: DOWN };
            schedule = schedule.at(time, action);
        }
    }
    schedule
}

#[test]
fn a_partition_without_a_quorum_stops_and_heals() {
    // Two against two: nobody may decide, or both sides would.
    let faults = |seed: u64, plan: PlanBuilder<Network>| {
        let all = Network::new(4).validators();
        let cut = [all[(seed % 4) as usize].clone(), all[((seed + 1) % 4) as usize].clone()];
        let schedule = isolate(Schedule::new(), at(800), &all, &cut).at(at(4_000), Action::Heal(GOOD));
        plan.crash(Crash::Schedule(schedule))
    };
    check(seeds(8), 40, || Network::new(4), faults, |_, result| assert!(result.scheduled_actions > 8));
}

#[test]
fn a_minority_cut_off_catches_up() {
    let faults = |seed: u64, plan: PlanBuilder<Network>| {
        let all = Network::new(7).validators();
        let cut = [all[(seed % 7) as usize].clone(), all[((seed + 3) % 7) as usize].clone()];
        let schedule = isolate(Schedule::new(), at(500), &all, &cut).at(at(3_000), Action::Heal(GOOD));
        plan.crash(Crash::Schedule(schedule))
    };
    check(seeds(5), 40, || Network::new(7), faults, |_, _| {});
}

#[test]
fn slow_links_that_lose_messages_only_delay() {
    let slow = Link { latency: at(120), jitter: at(80), success_rate: probability!(0.9) };
    check(seeds(8), 15, || Network::new(4), |_, plan| plan.link(slow.clone()), |_, _| {});
}

#[test]
fn a_late_validator_fetches_the_state() {
    let network = || {
        let mut network = Network::new(4);
        network.state_sync = true;
        network
    };
    let late = Network::new(4).validators()[0].clone();
    let crash =
        Crash::DelayRound { participants: vec![late], round: Round::new(Epoch::zero(), View::new(40)) };
    check(
        seeds(6),
        60,
        network,
        |_, plan| plan.crash(crash.clone()),
        |_, result| assert!(result.delayed_started),
    );
}

#[test]
fn a_late_validator_replays_the_blocks() {
    let late = Network::new(4).validators()[2].clone();
    let crash =
        Crash::DelayRound { participants: vec![late], round: Round::new(Epoch::zero(), View::new(30)) };
    check(
        seeds(3),
        45,
        || Network::new(4),
        |_, plan| plan.crash(crash.clone()),
        |_, result| {
            assert!(result.delayed_started);
        },
    );
}

#[test]
fn failing_disks_stop_validators_and_lose_nothing() {
    let faults = |_: u64, plan: PlanBuilder<Network>| {
        let failing = FaultConfig::default().sync(probability!(0.01));
        let mut schedule = Schedule::new()
            .at(at(1_000), Action::SetStorageFault(failing))
            .at(at(2_000), Action::SetStorageFault(FaultConfig::default()));
        for (index, validator) in Network::new(4).validators().into_iter().enumerate() {
            schedule = schedule.at(at(2_500 + 250 * index as u64), Action::Restart(validator));
        }
        plan.crash(Crash::Schedule(schedule))
    };
    check(seeds(5), 45, || Network::new(4), faults, |_, _| {});
}

#[test]
fn an_equivocator_is_outvoted_and_its_evidence_kept() {
    let network = || {
        let mut network = Network::new(4);
        network.equivocator = Some(3);
        network
    };
    let caught = std::cell::Cell::new(0);
    check(
        seeds(5),
        40,
        network,
        |_, plan| plan,
        |network, _| {
            let culprit = network.validators()[3].clone();
            let convicted = network.convicted();
            assert!(convicted.iter().all(|key| *key == culprit), "evidence must name the equivocator alone");
            caught.set(caught.get() + convicted.len());
        },
    );
    // Both votes must reach one honest validator: most schedules bring that about, not all.
    assert!(caught.get() > 0, "no schedule caught the equivocator");
}
