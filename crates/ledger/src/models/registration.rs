//! Registration, import, rates and retirement.

use super::{
    lineage::MAX_LINEAGE,
    state::{ModelRecord, load, load_own},
};
use crate::{
    context::Context,
    error::{Error, Result, ensure},
    licences,
    storage::State,
    tables::{MODEL_LICENCES, MODEL_LIST, MODEL_NAMES, MODELS},
    treasury::parameters::WHOLE_BPS,
};
use alloy_primitives::{Address, B256, U256};
use interfaces::models::{IModels, IModels::Status, model_id};
use primitives::Amount;

/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Prices in units: per 1,000 tokens read, per 1,000 written, per query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Per 1,000 tokens read.
    pub rate_in: Amount,
    /// Per 1,000 tokens written.
    pub rate_out: Amount,
    /// Per query.
    pub platform_fee: Amount,
}

impl Rates {
    /// From the interface's words.
    pub(super) fn read(rates: &IModels::Rates) -> Result<Rates> {
        let IModels::Rates { rateIn, rateOut, platformFee } = rates;
        let units = |word: &U256| Amount::from_word(*word).ok_or_else(Error::overflow);
        Ok(Rates { rate_in: units(rateIn)?, rate_out: units(rateOut)?, platform_fee: units(platformFee)? })
    }
}

/// The developer's rates of a model that may be served; `None` when it may not.
pub fn servable_rates(state: &mut State, model: B256) -> Result<Option<Rates>> {
    let record = MODELS.get(state, &model)?.filter(|record| record.status() == Status::Ready);
    Ok(record.map(|record| {
        let ModelRecord { rate_in, rate_out, platform_fee, .. } = record;
        Rates { rate_in, rate_out, platform_fee }
    }))
}

fn text(what: &str, text: &str, limit: usize) -> Result<()> {
    ensure(!text.is_empty() && text.len() <= limit, || {
        Error::rejected(IModels::LimitExceeded {
            what: what.into(),
            value: U256::from(text.len()),
            limit: U256::from(limit),
        })
    })
}

pub(super) fn register(ctx: &mut Context, call: IModels::registerCall) -> Result<B256> {
    let IModels::registerCall { what } = call;
    let IModels::Registration { manifest, base, baseShareBps: base_share_bps, uses, licence, name } = what;
    let shares = u64::from(base_share_bps) <= WHOLE_BPS && (!base.is_zero() || base_share_bps == 0);
    ensure(shares, || Error::rejected(IModels::BadBaseShare { bps: U256::from(base_share_bps) }))?;
    let depth = if base.is_zero() { 0 } else { check_base(ctx, base, uses, &licence)? };
    let record = ModelRecord {
        status: Status::Registered as u8,
        developer: ctx.caller,
        base,
        base_share_bps,
        uses,
        depth,
        ..blank(manifest, ctx.now())
    };
    store(ctx, record, licence, name)
}

/// The base must be known, allow the uses, and leave the lineage short enough. Tells the model's depth.
fn check_base(ctx: &mut Context, base: B256, uses: u32, licence: &str) -> Result<u8> {
    let parent = load(ctx.state, base)?;
    let depth = parent.depth.saturating_add(1);
    ensure(depth < MAX_LINEAGE, || {
        Error::rejected(IModels::LineageTooDeep { base, limit: U256::from(MAX_LINEAGE) })
    })?;
    let base_licence = MODEL_LICENCES.get(ctx.state, &base)?.unwrap_or_default();
    licences::require(B256::ZERO, &base_licence, uses, licence)?;
    Ok(depth)
}

pub(super) fn import(ctx: &mut Context, call: IModels::importModelCall) -> Result<B256> {
    let IModels::importModelCall { manifest, uses, licence, name } = call;
    let record = ModelRecord { status: Status::Imported as u8, uses, ..blank(manifest, ctx.now()) };
    store(ctx, record, licence, name)
}

fn blank(manifest: B256, registered_at: u64) -> ModelRecord {
    ModelRecord {
        status: 0,
        developer: Address::ZERO,
        registered_at,
        manifest,
        base: B256::ZERO,
        base_share_bps: 0,
        uses: 0,
        depth: 0,
        final_root: B256::ZERO,
        cache_root: B256::ZERO,
        curvature: B256::ZERO,
        floor: 0,
        cap: 0,
        damping: 0,
        rate_in: Amount::ZERO,
        rate_out: Amount::ZERO,
        platform_fee: Amount::ZERO,
    }
}

fn store(ctx: &mut Context, record: ModelRecord, licence: String, name: String) -> Result<B256> {
    text("licence bytes", &licence, crate::storage::MAX_TEXT_BYTES)?;
    text("name bytes", &name, MAX_NAME_BYTES)?;
    let model = model_id(record.developer, record.manifest);
    let taken = MODELS.get(ctx.state, &model)?.is_some();
    ensure(!taken, || Error::rejected(IModels::ModelExists { model }))?;
    MODELS.put(ctx.state, &model, &record)?;
    MODEL_LICENCES.set(ctx.state, &model, &licence)?;
    MODEL_NAMES.set(ctx.state, &model, &name)?;
    MODEL_LIST.push(ctx.state, &(), model)?;
    let ModelRecord { developer, base, manifest, .. } = record;
    ctx.emit(IModels::ModelRegistered { model, developer, base, manifest, licence, name })?;
    Ok(model)
}

pub(super) fn set_rates(ctx: &mut Context, call: IModels::setRatesCall) -> Result<()> {
    let IModels::setRatesCall { model, rates } = call;
    let record = load_own(ctx, model, &[Status::Ready])?;
    put_rates(ctx, model, record, &rates)
}

/// Stores the record with these rates.
pub(super) fn put_rates(
    ctx: &mut Context,
    model: B256,
    mut record: ModelRecord,
    rates: &IModels::Rates,
) -> Result<()> {
    let Rates { rate_in, rate_out, platform_fee } = Rates::read(rates)?;
    record.rate_in = rate_in;
    record.rate_out = rate_out;
    record.platform_fee = platform_fee;
    MODELS.put(ctx.state, &model, &record)?;
    ctx.emit(IModels::RatesSet {
        model,
        rateIn: rates.rateIn,
        rateOut: rates.rateOut,
        platformFee: rates.platformFee,
    })
}

pub(super) fn retire(ctx: &mut Context, call: IModels::retireCall) -> Result<()> {
    let IModels::retireCall { model } = call;
    let mut record = load_own(ctx, model, &[Status::Registered, Status::Training, Status::Ready])?;
    record.status = Status::Retired as u8;
    MODELS.put(ctx.state, &model, &record)?;
    ctx.emit(IModels::ModelRetired { model })
}
