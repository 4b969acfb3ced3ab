//! Operators in plain numbers.

use super::{LEAST_STAKE, Plain, Purse, Q_PPM, UNBONDING};
use alloy_primitives::Address;

impl Plain {
    pub fn unsettled(&self, operator: Address) -> u128 {
        let record = &self.operators[&operator];
        let held = |model: &usize| {
            let key = (operator, *model);
            let claimed = self.claimed.get(&key).copied().unwrap_or_default();
            let settled = self.settled.get(&key).copied().unwrap_or_default();
            self.escrows.get(&key).copied().unwrap_or_default() + claimed - settled
        };
        record.pending + record.offers.iter().map(held).sum::<u128>()
    }

    /// U <= q * S, in whole numbers.
    pub fn within_limit(&self, operator: Address) -> bool {
        self.unsettled(operator) * 1_000_000 <= self.operators[&operator].stake * Q_PPM
    }

    pub fn register(&mut self, operator: Address, stake: u128) -> bool {
        let known = self.operators.get(&operator).is_some_and(|record| !record.leaving);
        if known || stake < LEAST_STAKE {
            return false;
        }
        let record = self.operators.entry(operator).or_default();
        record.leaving = false;
        record.stake += stake;
        self.take(operator, stake);
        self.put(Purse::Stakes, stake);
        true
    }

    pub fn add_stake(&mut self, operator: Address, stake: u128) -> bool {
        let Some(record) = self.operators.get_mut(&operator).filter(|record| !record.leaving) else {
            return false;
        };
        record.stake += stake;
        self.take(operator, stake);
        self.put(Purse::Stakes, stake);
        true
    }

    pub fn offer(&mut self, operator: Address, model: usize) -> bool {
        let Some(record) = self.operators.get_mut(&operator).filter(|record| !record.leaving) else {
            return false;
        };
        record.offers.insert(model);
        true
    }

    pub fn unbond(&mut self, operator: Address, units: u128) -> bool {
        if !self.operators.contains_key(&operator) {
            return false;
        }
        let needed = (self.unsettled(operator) * 1_000_000).div_ceil(Q_PPM);
        let free_at = self.now + UNBONDING;
        let record = self.operators.get_mut(&operator).expect("known");
        let free = record.stake.saturating_sub(needed.max(record.locked));
        let rest = record.stake.saturating_sub(units);
        let open = record.unbondings.iter().skip_while(|unbonding| unbonding.0 == 0).count();
        if units == 0 || units > free || (rest != 0 && rest < LEAST_STAKE) || open >= 16 {
            return false;
        }
        record.stake = rest;
        record.leaving |= rest == 0;
        record.unbondings.push((units, free_at));
        true
    }

    pub fn complete_unbond(&mut self, operator: Address, id: usize) -> bool {
        let now = self.now;
        let Some(record) = self.operators.get_mut(&operator) else { return false };
        match record.unbondings.get_mut(id) {
            Some((units, free_at)) if *units > 0 && now >= *free_at => {
                let units = std::mem::take(units);
                self.pay(Purse::Stakes, operator, units);
                true
            }
            _ => false,
        }
    }
}
