//! Invariant 4 under random use, against a model that shares no code with the module: plain numbers per channel and per
//! escrow, written from the scheme's text.

use super::fixture::{Party, Scene, party};
use crate::testing::enrol;
use alloy_primitives::{Address, B256, Uint};
use interfaces::{
    addresses::{CHANNELS, TOKEN, escrow},
    channels::IChannels,
};
use primitives::Amount;
use proptest::prelude::*;

const CHANNEL_COUNT: usize = 3;
const DELAY_SECONDS: u64 = 900;

/// One step of the random use. Amounts are in tenths of OPEN; `channel` picks a channel.
#[derive(Clone, Debug)]
enum Step {
    Deposit { channel: usize, amount: u128 },
    Claim { channel: usize, ceiling: u128, total: u128, carried: bool },
    Settle { channel: usize },
    Initiate { channel: usize, amount: u128 },
    Finalize { channel: usize },
    Refund { channel: usize, amount: u128, carried: bool },
    Wait { seconds: u64 },
}

/// Weighted so that the rare paths are walked: claims mostly rise and fit, waits often pass a delay.
fn step() -> impl Strategy<Value = Step> {
    let channel = 0..CHANNEL_COUNT;
    let amount = 0..60u128;
    let claim = (channel.clone(), 0..160u128, -5..20i32, any::<bool>());
    prop_oneof![
        3 => (channel.clone(), amount.clone()).prop_map(|(channel, amount)| Step::Deposit { channel, amount }),
        6 => claim.prop_map(|(channel, total, slack, carried)| {
            Step::Claim { channel, ceiling: total.saturating_add_signed(slack.into()), total, carried }
        }),
        3 => channel.clone().prop_map(|channel| Step::Settle { channel }),
        3 => (channel.clone(), amount.clone()).prop_map(|(channel, amount)| Step::Initiate { channel, amount }),
        3 => channel.clone().prop_map(|channel| Step::Finalize { channel }),
        1 => (channel, amount, any::<bool>())
            .prop_map(|(channel, amount, carried)| Step::Refund { channel, amount, carried }),
        3 => (DELAY_SECONDS / 2..DELAY_SECONDS * 2).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// Every channel is funded before the random use begins.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..60).prop_map(|random| {
        let funded = (0..CHANNEL_COUNT).map(|channel| Step::Deposit { channel, amount: 80 });
        funded.chain(random).collect()
    })
}

/// A channel as the scheme's text tells it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    deposited: u128,
    returned: u128,
    claimed: u128,
    asked: Option<(u128, u64)>,
    nonce: u64,
}

impl Plain {
    fn free(&self) -> u128 {
        self.deposited - self.returned - self.claimed
    }
}

/// All channels and escrows; the first two channels share an escrow.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    channels: [Plain; CHANNEL_COUNT],
    settled: [u128; 2],
    now: u64,
}

fn escrow_of(channel: usize) -> usize {
    channel / 2
}

impl Model {
    /// Carries out a step, or tells that it must be refused.
    fn apply(&mut self, step: &Step) -> bool {
        let before = self.clone();
        let accepted = self.try_apply(step);
        if !accepted {
            *self = before;
        }
        accepted
    }

    fn try_apply(&mut self, step: &Step) -> bool {
        let now = self.now;
        match *step {
            Step::Deposit { channel, amount } => {
                self.channels[channel].deposited += amount;
                amount > 0
            }
            Step::Claim { channel, ceiling, total, .. } => {
                let c = &mut self.channels[channel];
                if total <= c.claimed {
                    return true;
                }
                let allowed = total <= ceiling && total <= c.deposited - c.returned;
                c.claimed = total;
                allowed
            }
            Step::Settle { channel } => {
                self.settled[escrow_of(channel)] = self.claimed_for(escrow_of(channel));
                true
            }
            Step::Initiate { channel, amount } => {
                let c = &mut self.channels[channel];
                let allowed = amount > 0 && c.asked.is_none() && amount <= c.free();
                c.asked = Some((amount, now));
                allowed
            }
            Step::Finalize { channel } => {
                let c = &mut self.channels[channel];
                match c.asked.take() {
                    Some((amount, since)) if now >= since + DELAY_SECONDS => {
                        c.returned += amount.min(c.free());
                        true
                    }
                    _ => false,
                }
            }
            Step::Refund { channel, amount, .. } => {
                let c = &mut self.channels[channel];
                let paid = amount.min(c.free());
                c.returned += paid;
                c.nonce += 1;
                if let Some((asked, since)) = c.asked.take()
                    && asked > paid
                {
                    c.asked = Some((asked - paid, since));
                }
                amount > 0
            }
            Step::Wait { seconds } => {
                self.now += seconds;
                true
            }
        }
    }

    fn claimed_for(&self, escrow: usize) -> u128 {
        (0..CHANNEL_COUNT).filter(|c| escrow_of(*c) == escrow).map(|c| self.channels[c].claimed).sum()
    }
}

/// The real ledger, driven by the same steps.
struct Real {
    scene: Scene,
    salt: u64,
    escrows: [Address; 2],
    payers: Vec<Party>,
}

impl Real {
    fn new() -> Real {
        let mut scene = Scene::new();
        let operator = scene.operator.address;
        let escrows = [B256::repeat_byte(1), B256::repeat_byte(2)].map(|model| {
            scene.send(operator, &IChannels::registerEscrowCall { operator, model }).expect("registers");
            enrol(&mut scene.ledger, operator, model, Amount::open(1_000_000));
            escrow(operator, model)
        });
        Real { scene, salt: 0, escrows, payers: vec![party(1), party(3)] }
    }

    /// Turns the scene to a channel.
    fn select(&mut self, channel: usize) {
        let payer = self.payers[channel % self.payers.len()].clone();
        let config = &mut self.scene.config;
        config.receiver = self.escrows[escrow_of(channel)];
        config.salt = B256::with_last_byte(channel as u8);
        config.withdrawDelay = Uint::from(DELAY_SECONDS);
        (config.payer, config.payerAuthorizer) = (payer.address, payer.address);
        self.scene.payer = payer;
    }

    fn apply(&mut self, step: &Step) -> bool {
        const UNIT: u128 = open_tenth();
        let scene = &mut self.scene;
        match *step {
            Step::Deposit { channel, amount } => {
                self.select(channel);
                self.salt += 1;
                self.scene.deposit(amount * UNIT, self.salt).is_ok()
            }
            Step::Claim { channel, ceiling, total, carried } => {
                self.select(channel);
                let (ceiling, total) = (ceiling * UNIT, total * UNIT);
                if carried {
                    let call = self.scene.signed_claim(vec![self.scene.row(ceiling, total)]);
                    self.scene.send(self.scene.relay.address, &call).is_ok()
                } else {
                    self.scene.claim(ceiling, total).is_ok()
                }
            }
            Step::Settle { channel } => {
                self.select(channel);
                self.scene.settle().is_ok()
            }
            Step::Initiate { channel, amount } => {
                self.select(channel);
                self.scene.initiate(amount * UNIT).is_ok()
            }
            Step::Finalize { channel } => {
                self.select(channel);
                self.scene.finalize().is_ok()
            }
            Step::Refund { channel, amount, carried } => {
                self.select(channel);
                if carried {
                    let nonce = self.scene.refund_nonce();
                    let call = self.scene.signed_refund(amount * UNIT, nonce);
                    self.scene.send(self.scene.relay.address, &call).is_ok()
                } else {
                    self.scene.refund(amount * UNIT).is_ok()
                }
            }
            Step::Wait { seconds } => {
                scene.ledger.advance(seconds * 1000);
                true
            }
        }
    }

    /// What the ledger shows, in the model's units.
    fn read(&mut self, model: &Model) -> Model {
        const UNIT: u128 = open_tenth();
        let mut shown = Model { now: self.scene.ledger.block.seconds(), ..Model::default() };
        for channel in 0..CHANNEL_COUNT {
            self.select(channel);
            let (balance, claimed) = self.scene.channel();
            let (asked, since) = self.scene.pending();
            // Deposits and returns are sums over time, which the ledger does not keep: take the model's deposits.
            let deposited = model.channels[channel].deposited;
            shown.channels[channel] = Plain {
                deposited,
                returned: deposited - balance / UNIT,
                claimed: claimed / UNIT,
                asked: (since > 0).then_some((asked / UNIT, since)),
                nonce: self.scene.refund_nonce(),
            };
        }
        for (escrow, settled) in self.escrows.into_iter().zip(&mut shown.settled) {
            let call = IChannels::receiversCall { receiver: escrow, token: TOKEN };
            *settled = self.scene.ledger.view(CHANNELS, &call).expect("a view").totalSettled / UNIT;
            assert_eq!(self.scene.ledger.balance(escrow), *settled * UNIT, "settled money is in the escrow");
        }
        shown
    }
}

const fn open_tenth() -> u128 {
    100_000_000_000_000_000
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn channels_pay_what_was_signed_and_never_more_than_was_deposited(steps in steps()) {
        let mut real = Real::new();
        let mut model = Model { now: real.scene.ledger.block.seconds(), ..Model::default() };
        for step in &steps {
            let claimed_before: Vec<_> = model.channels.iter().map(|c| c.claimed).collect();
            let (expected, done) = (model.apply(step), real.apply(step));
            prop_assert_eq!(done, expected, "{:?}", step);
            prop_assert_eq!(real.read(&model), model.clone(), "after {:?}", step);
            for (channel, before) in model.channels.iter().zip(claimed_before) {
                prop_assert!(channel.claimed >= before, "what is paid never falls");
                prop_assert!(channel.claimed + channel.returned <= channel.deposited);
            }
            let held: u128 = model.channels.iter().map(Plain::free).sum::<u128>()
                + (0..2).map(|e| model.claimed_for(e) - model.settled[e]).sum::<u128>();
            prop_assert_eq!(real.scene.ledger.balance(CHANNELS), held * open_tenth());
            real.scene.ledger.assert_conserved();
        }
        // Close everything: payouts are the deposits.
        for channel in 0..CHANNEL_COUNT {
            for step in [Step::Refund { channel, amount: 1_000_000, carried: false }, Step::Settle { channel }] {
                model.apply(&step);
                prop_assert!(real.apply(&step));
            }
        }
        prop_assert_eq!(real.scene.ledger.balance(CHANNELS), 0);
        for channel in &model.channels {
            prop_assert_eq!(channel.claimed + channel.returned, channel.deposited);
        }
    }
}
