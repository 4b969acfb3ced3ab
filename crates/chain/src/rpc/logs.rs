//! Events by address, topic and block.

use super::{
    MAX_LOG_BLOCKS, MAX_LOGS,
    block::height_of,
    error::RpcError,
    objects,
    params::{BlockTag, Parameter as _, Params},
};
use crate::{index::LogFilter, node::Services};
use alloy_primitives::{Address, B256};
use serde_json::{Map, Value};

/// Most addresses, or values for one topic.
const MAX_ALTERNATIVES: usize = 256;
const TOPIC_POSITIONS: usize = 4;

/// What to look for, without where.
#[derive(Clone, Debug, Default)]
pub(super) struct Criteria {
    pub(super) addresses: Vec<Address>,
    pub(super) topics: Vec<Vec<B256>>,
}

impl Criteria {
    /// Takes `address` and `topics` out of a filter object.
    pub(super) fn parse(object: &mut Map<String, Value>) -> Result<Self, RpcError> {
        let addresses = alternatives(object.remove("address"), Address::parse)
            .map_err(|reason| RpcError::params(format!("address: {reason}")))?;
        let topics = match object.remove("topics") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(topics)) if topics.len() <= TOPIC_POSITIONS => topics
                .into_iter()
                .map(|topic| alternatives(Some(topic), B256::parse))
                .collect::<Result<_, _>>()
                .map_err(|reason| RpcError::params(format!("topics: {reason}")))?,
            Some(_) => return Err(RpcError::params("topics: expected an array of at most 4")),
        };
        Ok(Self { addresses, topics })
    }

    pub(super) fn between(&self, from: u64, to: u64) -> LogFilter {
        LogFilter { heights: from..=to, addresses: self.addresses.clone(), topics: self.topics.clone() }
    }

    fn selects_everything(&self) -> bool {
        self.addresses.is_empty() && self.topics.iter().all(Vec::is_empty)
    }
}

fn alternatives<T>(value: Option<Value>, parse: fn(Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() > MAX_ALTERNATIVES => {
            Err(format!("at most {MAX_ALTERNATIVES} values"))
        }
        Some(Value::Array(values)) => values.into_iter().map(parse).collect(),
        Some(value) => parse(value).map(|value| vec![value]),
    }
}

/// The object that a filter parameter is.
pub(super) fn object(params: &mut Params) -> Result<Map<String, Value>, RpcError> {
    match params.take(0, "filter")? {
        Value::Object(object) => Ok(object),
        _ => Err(RpcError::params("parameter 1 (filter): expected an object")),
    }
}

/// Takes the block range out of a filter object, as heights.
pub(super) fn range(services: &Services, object: &mut Map<String, Value>) -> Result<(u64, u64), RpcError> {
    let mut tag = |name: &str| match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            BlockTag::parse(value).map(Some).map_err(|reason| RpcError::params(format!("{name}: {reason}")))
        }
    };
    let head = services.index.head().block.header.height;
    if let Some(tag) = tag("blockHash")? {
        let height = height_of(services, tag)?.ok_or_else(|| RpcError::refused("unknown block"))?;
        return Ok((height, height));
    }
    let mut bound = |name: &str| -> Result<u64, RpcError> {
        Ok(match tag(name)? {
            None | Some(BlockTag::Latest | BlockTag::Pending) => head,
            Some(BlockTag::Height(height)) => height,
            Some(BlockTag::Hash(_)) => {
                return Err(RpcError::params(format!("{name}: expected a number or a tag")));
            }
        })
    };
    Ok((bound("fromBlock")?, bound("toBlock")?.min(head)))
}

/// Events that match, as JSON.
pub(super) fn find(services: &Services, criteria: &Criteria, from: u64, to: u64) -> Result<Value, RpcError> {
    if from > to {
        return Ok(Value::Array(Vec::new()));
    }
    if criteria.selects_everything() && to - from >= MAX_LOG_BLOCKS {
        let reason = format!("at most {MAX_LOG_BLOCKS} blocks without address or topic: narrow the range");
        return Err(RpcError::limit(reason));
    }
    let oldest = services.index.oldest()?;
    if from.max(1) < oldest {
        return Err(RpcError::pruned(from.max(1), oldest));
    }
    let found = services.index.logs(&criteria.between(from, to), MAX_LOGS)?;
    Ok(found.iter().map(objects::log).collect())
}

pub(super) fn get(services: &Services, mut params: Params) -> Result<Value, RpcError> {
    let mut object = object(&mut params)?;
    let (from, to) = range(services, &mut object)?;
    find(services, &Criteria::parse(&mut object)?, from, to)
}
