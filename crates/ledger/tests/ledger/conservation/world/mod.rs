//! The ledger and the model side by side, and the random use of both.

mod channels;
mod datanets;
mod operators;
mod settlement;

use crate::conservation::{
    channels::{Party, party},
    plain::{self, Plain},
    random::Random,
};
use alloy_primitives::{Address, B256, U256};
use interfaces::{
    addresses::{CHANNELS, DATANETS, MODELS, escrow},
    channels::IChannels,
    datanets::{IDatanets, IDatanets::Policy},
    models::IModels,
};
use ledger::{Genesis, MemoryLedger};
use primitives::merkle_sum::SumTree;
use std::collections::BTreeMap;

/// Everything the workload does; each must be accepted at least once in a run.
pub const CALLS: [&str; 21] = [
    "commit",
    "reveal",
    "expire",
    "accept",
    "reject",
    "withdraw",
    "releaseBond",
    "reportDuplicate",
    "register",
    "addStake",
    "offer",
    "unbond",
    "completeUnbond",
    "buy",
    "close",
    "post",
    "finalise",
    "claim",
    "release",
    "deposit",
    "channelClaim",
];
const PEOPLE: u8 = 6;
/// Different texts that people own: few, so that copies happen.
const TEXTS: u64 = 12;
/// Bytes of each text.
const TEXT_SIZE: u64 = 10;

pub fn people() -> Vec<Address> {
    (1..=PEOPLE).map(|seed| party(seed).address).collect()
}

/// A contribution's items as their owner knows them.
struct Facts {
    owner: Address,
    root: B256,
    salt: B256,
    items: Vec<(B256, IDatanets::ItemEvidence)>,
}

pub struct World {
    pub ledger: MemoryLedger,
    pub plain: Plain,
    /// How often each call was accepted.
    pub accepted: BTreeMap<&'static str, u32>,
    random: Random,
    people: Vec<Address>,
    payer: Party,
    datanets: Vec<B256>,
    models: Vec<B256>,
    facts: BTreeMap<B256, Facts>,
    trees: BTreeMap<B256, SumTree>,
    salt: u64,
}

pub fn escrow_key(world: &World, (operator, model): (Address, usize)) -> Address {
    escrow(operator, world.models[model])
}

impl World {
    pub fn new(seed: u64) -> World {
        let people = people();
        let mut genesis = Genesis::development(&people);
        let times = [
            ("epoch_seconds", plain::EPOCH),
            ("challenge_seconds", plain::CHALLENGE),
            ("vesting_seconds", plain::VESTING),
            ("unbonding_seconds", plain::UNBONDING),
            ("reveal_delay_seconds", plain::REVEAL_DELAY),
            ("reveal_window_seconds", plain::REVEAL_WINDOW),
        ];
        genesis.parameters = times.iter().map(|(name, value)| ((*name).into(), *value)).collect();
        let mut ledger = MemoryLedger::new(genesis);
        let datanets = vec![
            datanet(&mut ledger, people[0], Policy::Open, 3),
            datanet(&mut ledger, people[1], Policy::Curated, 1),
        ];
        let first = model(&mut ledger, people[0], B256::ZERO, 0);
        let second = model(&mut ledger, people[1], first, 2_500);
        let models = vec![first, second];
        for operator in &people {
            for model in &models {
                let register = IChannels::registerEscrowCall { operator: *operator, model: *model };
                ledger.transact(people[0], CHANNELS, U256::ZERO, &register).expect("anyone may");
            }
        }
        let plain = Plain {
            now: ledger.block.seconds(),
            height: ledger.block.number,
            balances: people.iter().map(|person| (*person, ledger.balance(*person))).collect(),
            burned: ledger.burned(),
            datanets: vec![
                plain::Datanet { creator: people[0], curated: false, rate: 3 },
                plain::Datanet { creator: people[1], curated: true, rate: 1 },
            ],
            developers: vec![people[0], people[1]],
            signer: ledger.block.signers[0],
            ..Plain::default()
        };
        World {
            ledger,
            plain,
            accepted: BTreeMap::new(),
            random: Random(seed),
            people,
            payer: party(PEOPLE),
            datanets,
            models,
            facts: BTreeMap::new(),
            trees: BTreeMap::new(),
            salt: 0,
        }
    }

    /// A few calls, then the block ends; now and then a longer time passes.
    pub fn block(&mut self) {
        for _ in 0..1 + self.random.below(6) {
            self.step();
        }
        let mut seconds =
            if self.random.once_in(8) { 20 + self.random.below(120) } else { 1 + self.random.below(9) };
        while seconds > 0 {
            let elapsed = seconds.min(10);
            seconds -= elapsed;
            self.plain.end_block();
            self.ledger.advance(elapsed * 1_000);
            self.plain.now += elapsed;
            self.plain.height += 1;
        }
    }

    /// Sends a call; the ledger must do as the model foretold. The gas is taken as the receipt has it.
    fn send(
        &mut self,
        name: &'static str,
        sender: Address,
        to: Address,
        value: u128,
        data: Vec<u8>,
        foretold: bool,
    ) {
        let receipt = self.ledger.send(sender, to, U256::from(value), data);
        assert_eq!(
            receipt.success, foretold,
            "{name} by {sender} at {}: {}",
            self.plain.height, receipt.output
        );
        let gas = u128::from(receipt.gas_used) * self.ledger.block.base_fee;
        self.plain.take(sender, gas);
        self.plain.burned += gas;
        if foretold {
            *self.accepted.entry(name).or_default() += 1;
        }
    }

    fn step(&mut self) {
        let person = self.random.pick(&self.people);
        match self.random.below(26) {
            0..=2 => self.commit(person),
            3..=5 => self.reveal(),
            6 => self.expire(person),
            7 | 8 => self.decide(),
            9 => self.withdraw(),
            10 => self.copy(person),
            11 => self.register(person),
            12 => self.offer(person),
            13 => self.unbond(),
            14..=16 => self.buy(person),
            17 | 18 => self.close_or_post(),
            19 | 20 => self.finalise(person),
            21 | 22 => self.claim(person),
            23 => self.release(person),
            24 => self.deposit(person),
            _ => self.channel_claim(),
        }
    }
}

fn datanet(ledger: &mut MemoryLedger, creator: Address, policy: Policy, rate: u64) -> B256 {
    let call = IDatanets::createCall {
        salt: B256::repeat_byte(rate as u8),
        name: "texts".into(),
        policy,
        licences: vec!["MIT".into()],
        bondPerByte: U256::from(rate),
        metadata: B256::ZERO,
        shares: vec![],
    };
    ledger.transact(creator, DATANETS, U256::ZERO, &call).expect("within the limits")
}

fn model(ledger: &mut MemoryLedger, developer: Address, base: B256, base_share_bps: u16) -> B256 {
    let call = IModels::registerCall {
        what: IModels::Registration {
            manifest: B256::repeat_byte(3),
            base,
            baseShareBps: base_share_bps,
            uses: 3,
            licence: "MIT".into(),
            name: "model".into(),
        },
    };
    let model = ledger.transact(developer, MODELS, U256::ZERO, &call).expect("registers");
    let zero = U256::ZERO;
    let finalise = IModels::finaliseCall {
        model,
        finalRoot: B256::repeat_byte(4),
        cache: IModels::Cache {
            root: B256::repeat_byte(5),
            curvature: B256::ZERO,
            floor: 0,
            cap: 0,
            damping: 0,
        },
        rates: IModels::Rates { rateIn: zero, rateOut: zero, platformFee: zero },
    };
    ledger.transact(developer, MODELS, zero, &finalise).expect("ready");
    model
}
