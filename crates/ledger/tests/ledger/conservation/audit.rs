//! The comparison of the ledger with the plain model.

use crate::conservation::{
    plain::{Purse, VESTING},
    world::{World, escrow_key},
};
use interfaces::{
    addresses::{self, CHANNELS, DATANETS, OPERATORS, SETTLEMENT, TREASURY},
    channels::{IChannels, channel_id},
    datanets::IDatanets,
    treasury::ITreasury,
};
use primitives::amount::SUPPLY;

pub fn audit(world: &World) {
    balances(world);
    purses(world);
    commits(world);
    channels(world);
}

/// Every account holds what the model says, and together with what was burned that is the supply.
fn balances(world: &World) {
    let (ledger, plain) = (&world.ledger, &world.plain);
    ledger.assert_conserved();
    assert_eq!(ledger.burned(), plain.burned, "burned");
    for (account, units) in &plain.balances {
        assert_eq!(ledger.balance(*account), *units, "{account} holds another amount than it should");
    }
    for (key, units) in &plain.escrows {
        let escrow = escrow_key(world, *key);
        assert_eq!(ledger.balance(escrow), *units, "the escrow of {key:?} holds another amount");
    }
    let held = plain.balances.values().chain(plain.purses.values()).chain(plain.escrows.values());
    assert_eq!(held.sum::<u128>() + plain.burned, SUPPLY.0, "the model itself loses or makes money");
}

/// Each module's account holds what the module owes, counted from the records and not from the movements.
fn purses(world: &World) {
    let plain = &world.plain;
    let purse = |purse| plain.purses.get(&purse).copied().unwrap_or_default();
    let bonds = plain.commits.values().map(|commit| commit.bond).sum::<u128>()
        + plain.contributions.values().map(|contribution| contribution.bond).sum::<u128>();
    let stakes = plain
        .operators
        .values()
        .map(|operator| {
            operator.stake + operator.unbondings.iter().map(|unbonding| unbonding.0).sum::<u128>()
        })
        .sum::<u128>();
    let unposted = plain.epochs.values().map(|epochs| epochs.unposted).sum::<u128>();
    let batches = plain
        .batches
        .values()
        .map(|batch| match batch.finalised_at {
            None => batch.fees,
            Some(_) => batch.leaves.iter().filter(|leaf| !leaf.3).map(|leaf| leaf.2).sum(),
        })
        .sum::<u128>();
    let grants = plain.grants.values().map(|(granted, paid)| granted - paid).sum::<u128>();
    let channels = plain.channels.values().map(|channel| channel.deposited).sum::<u128>()
        - plain.settled.values().sum::<u128>();
    let owed = [
        (Purse::Bonds, DATANETS, bonds),
        (Purse::Stakes, OPERATORS, stakes),
        (Purse::Settlement, SETTLEMENT, unposted + batches + grants),
        (Purse::Treasury, TREASURY, purse(Purse::Treasury)),
        (Purse::Channels, CHANNELS, channels),
    ];
    for (which, account, owed) in owed {
        assert_eq!(purse(which), owed, "{which:?}: the model's movements and records differ");
        assert_eq!(world.ledger.balance(account), owed, "{which:?} holds another amount than it owes");
    }
    let balances =
        world.ledger.clone().view(addresses::TREASURY, &ITreasury::balancesCall {}).expect("a view");
    let pots = (balances.validators.to::<u128>(), balances.auditors.to::<u128>());
    assert_eq!(pots, (plain.validators_pot, plain.auditors_pot));
    for ((account, start), (granted, paid)) in &plain.grants {
        assert!(paid <= granted, "{account} {start}");
        let elapsed = plain.now.saturating_sub(*start).min(VESTING);
        assert!(*paid <= granted * u128::from(elapsed) / u128::from(VESTING), "paid before it vested");
    }
}

/// Invariant 11.
fn commits(world: &World) {
    let mut ledger = world.ledger.clone();
    for (id, plain) in &world.plain.contributions {
        let shown =
            ledger.view(DATANETS, &IDatanets::contributionCall { contribution: *id }).expect("revealed");
        assert_eq!((shown.commitHeight, shown.sequence), (plain.height, plain.sequence));
        assert_eq!((shown.owner, shown.bond.to::<u128>()), (plain.owner, plain.bond));
    }
    for ((owner, commitment), plain) in &world.plain.commits {
        let call = IDatanets::commitmentCall { owner: *owner, commitment: *commitment };
        let shown = ledger.view(DATANETS, &call).expect("waits");
        assert_eq!((shown.height, shown.sequence), (plain.height, plain.sequence));
    }
}

/// Invariant 4.
fn channels(world: &World) {
    let mut ledger = world.ledger.clone();
    let chain_id = ledger.block.chain_id;
    for (key, plain) in &world.plain.channels {
        let id = channel_id(&world.channel(*key), chain_id);
        let shown = ledger.view(CHANNELS, &IChannels::channelsCall { channelId: id }).expect("a view");
        assert_eq!((shown.balance, shown.totalClaimed), (plain.deposited, plain.claimed));
        assert!(plain.claimed <= plain.deposited);
        let settled = world.plain.settled.get(key).copied().unwrap_or_default();
        assert!(settled <= plain.claimed);
    }
}
