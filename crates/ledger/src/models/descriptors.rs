//! Training descriptors: fixed before training, checked against every licence.

use super::state::{DataRecord, ModelRecord, TrainingRecord, load_own};
use crate::{
    context::Context,
    datanets,
    error::{Error, Result, ensure},
    licences,
    tables::{MODEL_LICENCES, MODELS, SEED_QUEUE, TRAINING_DATA, TRAININGS},
    treasury::Parameter,
};
use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolValue;
use interfaces::models::{IModels, IModels::Status};

/// Most Datanet versions in a descriptor.
pub const MAX_DATA: usize = 64;
/// Most steps of a run.
pub const MAX_STEPS: u64 = 1 << 40;

pub(super) fn describe(ctx: &mut Context, call: IModels::describeCall) -> Result<()> {
    let IModels::describeCall { model, descriptor } = call;
    let mut record = load_own(ctx, model, &[Status::Registered])?;
    check_numbers(ctx, &descriptor)?;
    check_data(ctx, model, &record, &descriptor)?;
    let digest = keccak256(descriptor.abi_encode());
    let IModels::Descriptor { hyperparameters, opSet: op_set, steps, maxUnreviewed: max_unreviewed, data } =
        descriptor;
    let training = TrainingRecord {
        hyperparameters,
        op_set,
        steps,
        max_unreviewed,
        data: data.len() as u8,
        digest,
        registered_height: ctx.block.number,
        seed: B256::ZERO,
        last_step: 0,
        last_root: B256::ZERO,
        last_chain: B256::ZERO,
    };
    record.status = Status::Training as u8;
    MODELS.put(ctx.state, &model, &record)?;
    TRAININGS.put(ctx.state, &model, &training)?;
    for (index, IModels::DatanetVersion { datanet, version }) in data.into_iter().enumerate() {
        TRAINING_DATA.put(ctx.state, &(model, index as u8), &DataRecord { datanet, version })?;
    }
    SEED_QUEUE.push(ctx.state, &(), model)?;
    ctx.emit(IModels::TrainingDescribed { model, descriptorDigest: digest, opSet: op_set })
}

fn limit(what: &str, value: u64, limit: u64) -> Result<()> {
    ensure(value > 0 && value <= limit, || {
        Error::rejected(IModels::LimitExceeded {
            what: what.into(),
            value: U256::from(value),
            limit: U256::from(limit),
        })
    })
}

fn check_numbers(ctx: &mut Context, descriptor: &IModels::Descriptor) -> Result<()> {
    limit("Datanet versions", descriptor.data.len() as u64, MAX_DATA as u64)?;
    limit("steps", descriptor.steps, MAX_STEPS)?;
    let op_set = descriptor.opSet;
    let known = op_set > 0 && u64::from(op_set) <= Parameter::OpSet.get(ctx.state)?;
    ensure(known, || Error::rejected(IModels::UnknownOpSet { opSet: op_set }))
}

/// Every version exists, is named once, and carries only licences that allow the model; open Datanets' items are within
/// what the descriptor admits unreviewed.
fn check_data(
    ctx: &mut Context,
    model: B256,
    record: &ModelRecord,
    descriptor: &IModels::Descriptor,
) -> Result<()> {
    let licence = MODEL_LICENCES.get(ctx.state, &model)?.unwrap_or_default();
    // All reads before the first refusal, so that a node fetches the words of all versions at once and not one by one.
    let mut frozen = Vec::with_capacity(descriptor.data.len());
    for IModels::DatanetVersion { datanet, version } in &descriptor.data {
        frozen.push(datanets::training_facts(ctx.state, *datanet, *version)?);
    }
    let mut unreviewed = 0u64;
    for (index, (named, facts)) in descriptor.data.iter().zip(frozen).enumerate() {
        let IModels::DatanetVersion { datanet, version } = *named;
        let repeated = descriptor.data[..index].iter().any(|earlier| earlier.datanet == datanet);
        ensure(!repeated, || Error::rejected(IModels::RepeatedDatanet { datanet }))?;
        let facts = facts.ok_or_else(|| Error::rejected(IModels::UnknownVersion { datanet, version }))?;
        for data_licence in &facts.licences {
            licences::require(datanet, data_licence, record.uses, &licence)?;
        }
        if !facts.reviewed {
            unreviewed = unreviewed.checked_add(facts.items).ok_or_else(Error::overflow)?;
        }
    }
    ensure(unreviewed <= descriptor.maxUnreviewed, || {
        Error::rejected(IModels::TooManyUnreviewed { items: unreviewed, limit: descriptor.maxUnreviewed })
    })
}
