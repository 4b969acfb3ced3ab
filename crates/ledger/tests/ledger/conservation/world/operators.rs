//! Use of operators.

use super::World;
use crate::conservation::plain::OPEN;
use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use interfaces::{addresses::OPERATORS, operators::IOperators};

impl World {
    pub(super) fn register(&mut self, person: Address) {
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

    pub(super) fn some_operator(&mut self) -> Option<Address> {
        let known: Vec<Address> = self.plain.operators.keys().copied().collect();
        (!known.is_empty()).then(|| self.random.pick(&known))
    }

    pub(super) fn offer(&mut self, person: Address) {
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

    pub(super) fn unbond(&mut self) {
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
}
