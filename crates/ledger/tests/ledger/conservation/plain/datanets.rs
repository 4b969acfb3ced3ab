//! Contributions in plain numbers.

use super::{Admission, Commit, Contribution, Plain, Purse, REVEAL_DELAY, REVEAL_WINDOW, UNBONDING};
use alloy_primitives::{Address, B256};

impl Plain {
    pub fn commit(&mut self, owner: Address, commitment: B256, datanet: usize, bond: u128) -> bool {
        if self.commits.contains_key(&(owner, commitment)) || self.contributions.contains_key(&commitment) {
            return false;
        }
        self.take(owner, bond);
        self.put(Purse::Bonds, bond);
        let commit = Commit { datanet, sequence: self.sequence, height: self.height, time: self.now, bond };
        self.commits.insert((owner, commitment), commit);
        self.sequence += 1;
        true
    }

    pub fn reveal(&mut self, owner: Address, commitment: B256, mine: bool, size: u64, value: u128) -> bool {
        let Some(commit) = self.commits.get(&(owner, commitment)).cloned() else { return false };
        let open = commit.time + REVEAL_DELAY <= self.now && self.height > commit.height;
        let required = self.datanets[commit.datanet].rate * u128::from(size);
        if !mine || !open || self.now >= commit.time + REVEAL_WINDOW || commit.bond + value < required {
            return false;
        }
        self.commits.remove(&(owner, commitment));
        self.take(owner, value);
        self.put(Purse::Bonds, value);
        self.pay(Purse::Bonds, owner, commit.bond + value - required);
        let curated = self.datanets[commit.datanet].curated;
        let contribution = Contribution {
            datanet: commit.datanet,
            owner,
            sequence: commit.sequence,
            height: commit.height,
            bond: required,
            free_at: 0,
            admission: if curated { Admission::Pending } else { Admission::Accepted },
        };
        self.contributions.insert(commitment, contribution);
        true
    }

    pub fn expire(&mut self, owner: Address, commitment: B256) -> bool {
        let Some(commit) = self.commits.get(&(owner, commitment)).cloned() else { return false };
        if self.now < commit.time + REVEAL_WINDOW {
            return false;
        }
        self.commits.remove(&(owner, commitment));
        self.pay(Purse::Bonds, owner, commit.bond);
        true
    }

    pub fn decide(&mut self, curator: Address, id: B256, accept: bool) -> bool {
        let Some(contribution) = self.contributions.get_mut(&id) else { return false };
        let may = self.datanets[contribution.datanet].creator == curator;
        if !may || contribution.admission != Admission::Pending {
            return false;
        }
        if accept {
            contribution.admission = Admission::Accepted;
            return true;
        }
        contribution.admission = Admission::Rejected;
        let (owner, bond) = (contribution.owner, std::mem::take(&mut contribution.bond));
        self.pay(Purse::Bonds, owner, bond);
        true
    }

    pub fn withdraw(&mut self, owner: Address, id: B256) -> bool {
        let now = self.now;
        let Some(contribution) = self.contributions.get_mut(&id) else { return false };
        let stands = matches!(contribution.admission, Admission::Pending | Admission::Accepted);
        if contribution.owner != owner || !stands {
            return false;
        }
        contribution.admission = Admission::Withdrawn;
        contribution.free_at = now + UNBONDING;
        true
    }

    pub fn release_bond(&mut self, id: B256) -> bool {
        let now = self.now;
        let Some(contribution) = self.contributions.get_mut(&id) else { return false };
        let free = contribution.admission == Admission::Withdrawn && now >= contribution.free_at;
        if !free || contribution.bond == 0 {
            return false;
        }
        let (owner, bond) = (contribution.owner, std::mem::take(&mut contribution.bond));
        self.pay(Purse::Bonds, owner, bond);
        true
    }

    /// `same`: both leaves are in their contributions and open to one item.
    pub fn copy(
        &mut self,
        reporter: Address,
        first: (B256, u64),
        later: (B256, u64),
        size: u64,
        same: bool,
    ) -> bool {
        let place = |plain: &Plain, at: (B256, u64)| {
            let contribution = plain.contributions.get(&at.0)?;
            (contribution.admission != Admission::Rejected).then_some((contribution.sequence, at.1))
        };
        let (Some(a), Some(b)) = (place(self, first), place(self, later)) else { return false };
        if !same || a >= b {
            return false;
        }
        if let Some(known) = self.copies.get(&later) {
            if place(self, *known).is_some_and(|known| a >= known) {
                return false;
            }
            self.copies.insert(later, first);
            return true;
        }
        self.copies.insert(later, first);
        let rate = self.datanets[self.contributions[&later.0].datanet].rate;
        let contribution = self.contributions.get_mut(&later.0).expect("placed");
        let slashed = contribution.bond.min(rate * u128::from(size));
        contribution.bond -= slashed;
        let reward = slashed / 10;
        self.pay(Purse::Bonds, reporter, reward);
        self.draw(Purse::Bonds, slashed - reward);
        self.burned += slashed - reward;
        true
    }
}
