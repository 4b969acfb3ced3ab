//! Offers: which model, at which rates.

use super::state::{OfferRecord, load_active};
use crate::{
    channels,
    context::Context,
    error::{Error, Result, ensure},
    models,
    storage::State,
    tables::{OFFER_LISTS, OFFERS},
};
use alloy_primitives::{Address, B256, U256};
use interfaces::operators::IOperators;
use primitives::Amount;

/// Most models an operator may ever offer: U adds up their escrows.
pub const MAX_MODELS: u64 = 64;

pub(super) fn offer(ctx: &mut Context, call: IOperators::offerCall) -> Result<()> {
    let IOperators::offerCall { model, rateIn, rateOut, platformFee } = call;
    let operator = ctx.caller;
    load_active(ctx.state, operator)?;
    let least = models::servable_rates(ctx.state, model)?
        .ok_or_else(|| Error::rejected(IOperators::ModelNotReady { model }))?;
    let rate_in = at_least("rateIn", rateIn, least.rate_in)?;
    let rate_out = at_least("rateOut", rateOut, least.rate_out)?;
    let platform_fee = at_least("platformFee", platformFee, least.platform_fee)?;
    if OFFERS.get(ctx.state, &(operator, model))?.is_none() {
        let index = OFFER_LISTS.push(ctx.state, &operator, model)?;
        ensure(index < MAX_MODELS, || {
            Error::rejected(IOperators::LimitExceeded {
                what: "models offered".into(),
                value: U256::from(index + 1),
                limit: U256::from(MAX_MODELS),
            })
        })?;
    }
    let record = OfferRecord { active: true, rate_in, rate_out, platform_fee };
    OFFERS.put(ctx.state, &(operator, model), &record)?;
    // From here on buyers can open channels to the escrow.
    let escrow = channels::register_escrow(ctx.state, operator, model)?;
    ctx.emit(IOperators::Offered { operator, model, escrow, rateIn, rateOut, platformFee })
}

fn at_least(rate: &str, offered: U256, least: Amount) -> Result<Amount> {
    let amount = Amount::from_word(offered).ok_or_else(Error::overflow)?;
    ensure(amount >= least, || {
        Error::rejected(IOperators::RateTooLow { rate: rate.into(), offered, least: least.to_word() })
    })?;
    Ok(amount)
}

pub(super) fn withdraw_offer(ctx: &mut Context, call: IOperators::withdrawOfferCall) -> Result<()> {
    let IOperators::withdrawOfferCall { model } = call;
    let operator = ctx.caller;
    let offer = OFFERS.get(ctx.state, &(operator, model))?.filter(|offer| offer.active);
    let mut offer = offer.ok_or_else(|| Error::rejected(IOperators::NotOffered { operator, model }))?;
    offer.active = false;
    OFFERS.put(ctx.state, &(operator, model), &offer)?;
    ctx.emit(IOperators::OfferWithdrawn { operator, model })
}

/// Whether `operator` offers or ever offered `model`, so that their escrow is one.
pub fn is_offered(state: &mut State, operator: Address, model: B256) -> Result<bool> {
    Ok(OFFERS.get(state, &(operator, model))?.is_some())
}
