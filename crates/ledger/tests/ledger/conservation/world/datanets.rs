//! Use of Datanets.

use super::{Facts, TEXT_SIZE, TEXTS, World};
use alloy_primitives::{Address, B256};
use alloy_sol_types::SolCall;
use interfaces::{addresses::DATANETS, datanets::IDatanets};
use ledger::datanets;
use primitives::{Domain, hash::hash, merkle::Tree};

impl World {
    pub(super) fn commit(&mut self, owner: Address) {
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
    pub(super) fn gather(&mut self, owner: Address) -> B256 {
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

    pub(super) fn reveal(&mut self) {
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

    pub(super) fn expire(&mut self, anyone: Address) {
        let waiting: Vec<(Address, B256)> = self.plain.commits.keys().copied().collect();
        if waiting.is_empty() {
            return;
        }
        let (owner, commitment) = self.random.pick(&waiting);
        let foretold = self.plain.expire(owner, commitment);
        let call = IDatanets::expireCall { owner, commitment };
        self.send("expire", anyone, DATANETS, 0, call.abi_encode(), foretold);
    }

    pub(super) fn some_contribution(&mut self) -> Option<B256> {
        let known: Vec<B256> = self.plain.contributions.keys().copied().collect();
        (!known.is_empty()).then(|| self.random.pick(&known))
    }

    pub(super) fn decide(&mut self) {
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

    pub(super) fn withdraw(&mut self) {
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

    pub(super) fn copy(&mut self, reporter: Address) {
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
}
