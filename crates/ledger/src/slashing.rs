//! Where slashed money goes (RULEBOOK R8): a tenth to the reporter, to the affected payers up to what they paid, the rest is
//! burned. One rule for every bond and stake, so that no module can be kinder than another.

use crate::{context::Context, error::Result, treasury};
use alloy_primitives::Address;
use primitives::Amount;

/// The reporter's part of what is slashed, in basis points.
pub const REPORTER_BPS: u128 = 1_000;

/// Divides `amount`, which stands in the account of the module running, between `reporter`, `refunds` and the fire. The
/// refunds are paid in order until the rest is used up.
pub fn distribute(
    ctx: &mut Context,
    amount: Amount,
    reporter: Address,
    refunds: &[(Address, Amount)],
) -> Result<()> {
    let reward = Amount(amount.0 * REPORTER_BPS / 10_000);
    let mut rest = Amount(amount.0 - reward.0);
    if reward > Amount::ZERO {
        ctx.pay(reporter, reward)?;
    }
    for (payer, paid) in refunds {
        let refund = rest.min(*paid);
        rest = Amount(rest.0 - refund.0);
        if refund > Amount::ZERO {
            ctx.pay(*payer, refund)?;
        }
    }
    treasury::burn(ctx, rest)
}
