//! The ledger and the model side by side, and the random use of both.

use crate::{
    channels::{self, Party, party},
    plain::{self, Batch, OPEN, Plain},
    random::Random,
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use interfaces::{
    addresses::{CHANNELS, DATANETS, MODELS, OPERATORS, SETTLEMENT, escrow},
    channels::{ChannelConfig, IChannels},
    datanets::{IDatanets, IDatanets::Policy},
    models::IModels,
    operators::IOperators,
    settlement::{ISettlement, ISettlement::Kind, batch_id, payout_key},
};
use ledger::{Genesis, MemoryLedger, datanets};
use primitives::{
    Domain,
    hash::hash,
    merkle::Tree,
    merkle_sum::{SumTree, leaf},
};
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
            proposer: ledger.block.proposer,
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

    // Datanets.

    fn commit(&mut self, owner: Address) {
        let datanet = self.random.below(2) as usize;
        let known: Vec<B256> = self.facts.keys().copied().collect();
        // Now and then somebody copies a commitment seen in the mempool, or commits twice.
        let commitment = if !known.is_empty() && self.random.once_in(5) {
            self.random.pick(&known)
        } else {
            self.gather(owner)
        };
        let bond = u128::from(self.random.below(200));
        let foretold = self.plain.commit(owner, commitment, datanet, bond);
        let call = IDatanets::commitCall { datanet: self.datanets[datanet], commitment };
        self.send("commit", owner, DATANETS, bond, call.abi_encode(), foretold);
    }

    /// Makes items for a contribution of `owner`; its commitment.
    fn gather(&mut self, owner: Address) -> B256 {
        let mut items = Vec::new();
        for index in 0..1 + self.random.below(4) {
            let item = hash(Domain::Item, &self.random.below(TEXTS).to_le_bytes());
            let salt = hash(Domain::Prompt, &self.random.next().to_le_bytes());
            let evidence = IDatanets::ItemEvidence {
                contribution: B256::ZERO,
                index,
                salt,
                owner,
                licence: "MIT".into(),
                size: TEXT_SIZE,
                promptSize: 0,
                path: vec![],
            };
            items.push((item, evidence));
        }
        let tree = Tree::new(items.iter().map(|(item, facts)| datanets::item_leaf(*item, facts)).collect());
        let salt = hash(Domain::Prompt, &self.random.next().to_le_bytes());
        let commitment = datanets::commitment(tree.root(), salt, owner);
        for (index, (_, evidence)) in items.iter_mut().enumerate() {
            evidence.contribution = commitment;
            evidence.path = tree.prove(index as u64).expect("in range").path;
        }
        self.facts.insert(commitment, Facts { owner, root: tree.root(), salt, items });
        commitment
    }

    fn reveal(&mut self) {
        let waiting: Vec<(Address, B256)> = self.plain.commits.keys().copied().collect();
        if waiting.is_empty() {
            return;
        }
        let (owner, commitment) = self.random.pick(&waiting);
        let facts = &self.facts[&commitment];
        let count = facts.items.len() as u64;
        let mut what = IDatanets::Reveal {
            root: facts.root,
            count,
            size: count * TEXT_SIZE,
            salt: facts.salt,
            uses: 1,
            signatures: B256::ZERO,
            licence: "MIT".into(),
        };
        let mut mine = facts.owner == owner;
        if self.random.once_in(8) {
            what.salt = B256::ZERO;
            mine = false;
        }
        let value = u128::from(self.random.below(100));
        let foretold = self.plain.reveal(owner, commitment, mine, what.size, value);
        let call = IDatanets::revealCall { commitment, what };
        self.send("reveal", owner, DATANETS, value, call.abi_encode(), foretold);
    }

    fn expire(&mut self, anyone: Address) {
        let waiting: Vec<(Address, B256)> = self.plain.commits.keys().copied().collect();
        if waiting.is_empty() {
            return;
        }
        let (owner, commitment) = self.random.pick(&waiting);
        let foretold = self.plain.expire(owner, commitment);
        let call = IDatanets::expireCall { owner, commitment };
        self.send("expire", anyone, DATANETS, 0, call.abi_encode(), foretold);
    }

    fn some_contribution(&mut self) -> Option<B256> {
        let known: Vec<B256> = self.plain.contributions.keys().copied().collect();
        (!known.is_empty()).then(|| self.random.pick(&known))
    }

    fn decide(&mut self) {
        let Some(id) = self.some_contribution() else { return };
        let curator = self.people[self.random.below(3) as usize];
        if self.random.once_in(3) {
            let foretold = self.plain.decide(curator, id, false);
            let call = IDatanets::rejectCall { contribution: id, reason: B256::ZERO };
            return self.send("reject", curator, DATANETS, 0, call.abi_encode(), foretold);
        }
        let foretold = self.plain.decide(curator, id, true);
        let call = IDatanets::acceptCall { contribution: id };
        self.send("accept", curator, DATANETS, 0, call.abi_encode(), foretold);
    }

    fn withdraw(&mut self) {
        let Some(id) = self.some_contribution() else { return };
        let owner = self.plain.contributions[&id].owner;
        if self.plain.contributions[&id].free_at > 0 {
            let foretold = self.plain.release_bond(id);
            let call = IDatanets::releaseBondCall { contribution: id };
            return self.send("releaseBond", owner, DATANETS, 0, call.abi_encode(), foretold);
        }
        let sender = if self.random.once_in(4) { self.random.pick(&self.people) } else { owner };
        let foretold = self.plain.withdraw(sender, id);
        let call = IDatanets::withdrawCall { contribution: id };
        self.send("withdraw", sender, DATANETS, 0, call.abi_encode(), foretold);
    }

    fn copy(&mut self, reporter: Address) {
        let (Some(a), Some(b)) = (self.some_contribution(), self.some_contribution()) else { return };
        let (one, other) = (&self.facts[&a].items, &self.facts[&b].items);
        // Some item that both hold, or the first of each, which is no evidence.
        let pairs = one.iter().flat_map(|x| other.iter().map(move |y| (x, y)));
        let found =
            pairs.into_iter().find(|((x, at), (y, place))| x == y && (a, at.index) != (b, place.index));
        let (earlier, mut later, mut same) = match found {
            Some((x, y)) => (x.clone(), y.clone(), true),
            None => (one[0].clone(), other[0].clone(), one[0].0 == other[0].0),
        };
        if self.random.once_in(8) {
            later.1.size += 1;
            same = false;
        }
        let (first, second) = ((a, earlier.1.index), (b, later.1.index));
        let foretold = self.plain.copy(reporter, first, second, TEXT_SIZE, same);
        let call = IDatanets::reportDuplicateCall { item: earlier.0, earlier: earlier.1, later: later.1 };
        self.send("reportDuplicate", reporter, DATANETS, 0, call.abi_encode(), foretold);
    }

    // Operators.

    fn register(&mut self, person: Address) {
        let stake = u128::from(self.random.below(20_000)) * OPEN / 4;
        if self.random.once_in(3) {
            let foretold = self.plain.add_stake(person, stake);
            return self.send(
                "addStake",
                person,
                OPERATORS,
                stake,
                IOperators::addStakeCall {}.abi_encode(),
                foretold,
            );
        }
        let foretold = self.plain.register(person, stake);
        let call = IOperators::registerCall { endpoint: "https://operator.example".into() };
        self.send("register", person, OPERATORS, stake, call.abi_encode(), foretold);
    }

    fn some_operator(&mut self) -> Option<Address> {
        let known: Vec<Address> = self.plain.operators.keys().copied().collect();
        (!known.is_empty()).then(|| self.random.pick(&known))
    }

    fn offer(&mut self, person: Address) {
        let model = self.random.below(2) as usize;
        let foretold = self.plain.offer(person, model);
        let zero = U256::ZERO;
        let call = IOperators::offerCall {
            model: self.models[model],
            rateIn: zero,
            rateOut: zero,
            platformFee: zero,
        };
        self.send("offer", person, OPERATORS, 0, call.abi_encode(), foretold);
    }

    fn unbond(&mut self) {
        let Some(operator) = self.some_operator() else { return };
        let record = self.plain.operators[&operator].clone();
        if !record.unbondings.is_empty() && self.random.once_in(2) {
            let id = self.random.below(record.unbondings.len() as u64 + 1);
            let foretold = self.plain.complete_unbond(operator, id as usize);
            let call = IOperators::completeUnbondCall { operator, id };
            return self.send("completeUnbond", operator, OPERATORS, 0, call.abi_encode(), foretold);
        }
        let units = match self.random.below(3) {
            0 => record.stake,
            1 => record.stake / 2 + u128::from(self.random.below(1_000)),
            _ => u128::from(self.random.next()),
        };
        let foretold = self.plain.unbond(operator, units);
        let call = IOperators::unbondCall { amount: U256::from(units) };
        self.send("unbond", operator, OPERATORS, 0, call.abi_encode(), foretold);
    }

    // Settlement.

    fn some_served(&mut self) -> Option<(Address, usize)> {
        let serves = |(operator, record): (&Address, &plain::Operator)| {
            record.offers.iter().map(|model| (*operator, *model)).collect::<Vec<_>>()
        };
        let served: Vec<_> = self.plain.operators.iter().flat_map(serves).collect();
        (!served.is_empty()).then(|| self.random.pick(&served))
    }

    fn buy(&mut self, buyer: Address) {
        let Some((operator, model)) = self.some_served() else { return };
        let whole = if self.random.once_in(10) { self.random.below(300) } else { self.random.below(3) };
        let units = u128::from(whole) * OPEN + u128::from(self.random.next() >> 8);
        let foretold = self.plain.buy(buyer, operator, model, units);
        let escrow = escrow(operator, self.models[model]);
        // A plain transfer costs its intrinsic gas and no more.
        self.send("buy", buyer, escrow, units, Vec::new(), foretold);
    }

    fn close_or_post(&mut self) {
        let Some((operator, model)) = self.some_served() else { return };
        let epochs = self.plain.epochs.get(&(operator, model)).cloned().unwrap_or_default();
        if epochs.unposted > 0 && !self.random.once_in(10) {
            return self.post(operator, model, epochs);
        }
        let foretold = self.plain.close(operator, model);
        let call = ISettlement::closeCall { model: self.models[model] };
        self.send("close", operator, SETTLEMENT, 0, call.abi_encode(), foretold);
    }

    fn post(&mut self, operator: Address, model: usize, epochs: plain::Epochs) {
        // One in eight says another income, one another sequence number, one promises more than the data share.
        let fees = epochs.unposted + u128::from(self.random.once_in(8));
        let first = epochs.next_sequence + u64::from(self.random.once_in(8));
        let count = 1 + self.random.below(5);
        let leaves = self.leaves(fees * 4_000 / 10_000);
        let nodes = leaves
            .iter()
            .map(|(account, vesting, units, _)| leaf(&payout_key(*account, kind(*vesting)), *units));
        let tree = SumTree::new(nodes.collect()).expect("fits");
        let value = if self.random.once_in(3) { u128::from(self.random.below(2_000)) * OPEN } else { 0 };
        let batch = Batch { operator, model, fees, bond: 0, finalise_at: 0, finalised_at: None, leaves };
        let id = batch_id(operator, self.models[model], epochs.epoch);
        let call = ISettlement::postCall {
            batch: ISettlement::Batch {
                model: self.models[model],
                epoch: epochs.epoch,
                firstSequence: first,
                count,
                receipts: B256::repeat_byte(1),
                folds: B256::repeat_byte(2),
                fees: U256::from(fees),
                payouts: if batch.leaves.is_empty() { B256::ZERO } else { tree.root() },
                payoutTotal: U256::from(tree.total()),
                payoutCount: tree.count(),
            },
        };
        let foretold = self.plain.post(id, batch, epochs.epoch, first, count, value);
        if foretold {
            self.trees.insert(id, tree);
        }
        self.send("post", operator, SETTLEMENT, value, call.abi_encode(), foretold);
    }

    /// Up to eight leaves that share `data`, all of it or nearly, now and then a unit more.
    fn leaves(&mut self, data: u128) -> Vec<(Address, bool, u128, bool)> {
        let count = self.random.below(9);
        let mut rest = data + u128::from(self.random.once_in(8));
        let mut leaves = Vec::new();
        for index in 0..count {
            let last = index + 1 == count && self.random.once_in(2);
            let units = if last { rest } else { rest / u128::from(2 + self.random.below(3)) };
            rest -= units;
            leaves.push((self.random.pick(&self.people), self.random.once_in(2), units, false));
        }
        leaves
    }

    fn some_batch(&mut self) -> Option<B256> {
        let known: Vec<B256> = self.plain.batches.keys().copied().collect();
        (!known.is_empty()).then(|| self.random.pick(&known))
    }

    fn finalise(&mut self, anyone: Address) {
        let Some(id) = self.some_batch() else { return };
        let foretold = self.plain.finalise(id);
        let call = ISettlement::finaliseCall { id };
        self.send("finalise", anyone, SETTLEMENT, 0, call.abi_encode(), foretold);
    }

    fn claim(&mut self, anyone: Address) {
        let Some(id) = self.some_batch() else { return };
        let entries = self.plain.batches[&id].leaves.clone();
        let mut indices: Vec<usize> = (0..entries.len()).filter(|_| self.random.once_in(2)).collect();
        if !indices.is_empty() && self.random.once_in(8) {
            indices.push(indices[0]);
        }
        let mut leaves: Vec<_> = indices.iter().map(|index| self.leaf(id, *index, entries[*index])).collect();
        let honest = leaves.is_empty() || !self.random.once_in(8);
        if !honest {
            leaves[0].amount += U256::from(1);
        }
        let foretold = self.plain.claim(id, &indices, honest);
        let call = ISettlement::claimCall { id, leaves };
        self.send("claim", anyone, SETTLEMENT, 0, call.abi_encode(), foretold);
    }

    fn leaf(&self, id: B256, index: usize, entry: (Address, bool, u128, bool)) -> ISettlement::Leaf {
        let proof = self.trees[&id].prove(index as u64).expect("in range");
        let step = |node: &primitives::merkle_sum::SumNode| ISettlement::SumNode {
            digest: node.digest,
            sum: U256::from(node.sum),
        };
        ISettlement::Leaf {
            index: index as u64,
            account: entry.0,
            kind: kind(entry.1),
            amount: U256::from(entry.2),
            path: proof.path.iter().map(step).collect(),
        }
    }

    fn release(&mut self, account: Address) {
        let foretold = self.plain.release(account);
        let call = ISettlement::releaseCall { account };
        self.send("release", account, SETTLEMENT, 0, call.abi_encode(), foretold);
    }

    // Channels.

    /// The one payer's channel to an operator's model.
    pub fn channel(&self, (operator, model): (Address, usize)) -> ChannelConfig {
        channels::config(&self.payer, operator, self.models[model])
    }

    fn deposit(&mut self, anyone: Address) {
        let key = (self.random.pick(&self.people), self.random.below(2) as usize);
        let amount = u128::from(1 + self.random.below(40)) * OPEN;
        self.salt += 1;
        let chain_id = self.ledger.block.chain_id;
        let call = channels::deposit(&self.payer, self.channel(key), amount, self.salt, chain_id);
        let foretold = self.plain.deposit(self.payer.address, key, amount);
        self.send("deposit", anyone, CHANNELS, 0, call.abi_encode(), foretold);
    }

    fn channel_claim(&mut self) {
        let open: Vec<_> = self.plain.channels.keys().copied().collect();
        if open.is_empty() {
            return;
        }
        let key = self.random.pick(&open);
        if self.random.once_in(3) {
            let call = IChannels::settleCall {
                receiver: escrow(key.0, self.models[key.1]),
                token: interfaces::addresses::TOKEN,
            };
            let foretold = self.plain.channel_settle(key);
            return self.send("settle", key.0, CHANNELS, 0, call.abi_encode(), foretold);
        }
        let channel = self.plain.channels[&key].clone();
        let total = channel.claimed + u128::from(self.random.below(8)) * OPEN;
        let call = channels::claim(&self.payer, self.channel(key), total, self.ledger.block.chain_id);
        let foretold = self.plain.channel_claim(key, total);
        self.send("channelClaim", key.0, CHANNELS, 0, call.abi_encode(), foretold);
    }
}

fn kind(vesting: bool) -> Kind {
    if vesting { Kind::Vesting } else { Kind::Liquid }
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
