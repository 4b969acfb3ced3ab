//! Events, found by a node's index and believed by their proofs.

use super::{LightError, LightLedger, number};
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolEvent;
use chain::light::{EventProof, VerifiedReceipt};
use serde::Deserialize;
use serde_json::{Value, json};

/// `openledger_getReceiptProof`'s answer, as far as it is used.
#[derive(Deserialize)]
struct ReceiptProof {
    finality: Bytes,
    bytes: Bytes,
}

/// An event in a finalized block.
#[derive(Clone, Debug)]
pub struct Proven<E> {
    /// The event.
    pub event: E,
    /// Height of its block.
    pub height: u64,
}

impl LightLedger {
    /// Events of a module with these indexed arguments (`null` matches any), oldest first, at most `limit`. Each that is returned
    /// happened; that none is missing only state can show, since a node may keep silent about one.
    pub async fn events<E: SolEvent>(
        &self,
        module: Address,
        arguments: &[Value],
        limit: usize,
    ) -> Result<Vec<Proven<E>>, LightError> {
        let mut topics = vec![json!(E::SIGNATURE_HASH)];
        topics.extend_from_slice(arguments);
        let filter = json!([{
            "address": module, "fromBlock": "earliest", "toBlock": "latest", "topics": topics,
        }]);
        let shown: Vec<Value> = self
            .client
            .request("eth_getLogs", filter)
            .await
            .map_err(|error| self.silent(format!("{error:#}")))?;
        let mut proven: Vec<Proven<E>> = Vec::new();
        let mut last = B256::ZERO;
        for log in shown.iter().take(limit) {
            let transaction: B256 = serde_json::from_value(log["transactionHash"].clone())
                .map_err(|_| self.lie("an event without its transaction"))?;
            // Several events of one transaction are read off one proof.
            if transaction == last {
                continue;
            }
            last = transaction;
            let claimed = number(&log["blockNumber"]);
            proven.extend(self.events_of::<E>(module, arguments, transaction, claimed).await?);
        }
        proven.truncate(limit);
        Ok(proven)
    }

    async fn events_of<E: SolEvent>(
        &self,
        module: Address,
        arguments: &[Value],
        transaction: B256,
        claimed_height: Option<u64>,
    ) -> Result<Vec<Proven<E>>, LightError> {
        let proof: Option<ReceiptProof> = self
            .client
            .request("openledger_getReceiptProof", json!([transaction]))
            .await
            .map_err(|error| self.silent(format!("{error:#}")))?;
        let proof = proof
            .ok_or_else(|| self.lie(format!("an event of transaction {transaction}, which it denies")))?;
        let header = self.verified(&proof.finality)?;
        let height = header.header().height;
        if claimed_height.is_some_and(|claimed| claimed != height) {
            return Err(self.lie(format!("transaction {transaction} in another block than its proof's")));
        }
        let receipt = EventProof::from_bytes(proof.bytes.0)
            .map_err(|error| self.lie(format!("the proof of {transaction} cannot be read ({error})")))?
            .verify(&header)
            .map_err(|error| self.lie(format!("the proof of {transaction} does not hold ({error})")))?;
        let VerifiedReceipt::Transaction(_, receipt) = receipt else {
            return Err(self.lie(format!("the block's own events where {transaction}'s were asked for")));
        };
        if receipt.transaction != transaction {
            return Err(self.lie(format!("the receipt of another transaction than {transaction}")));
        }
        let wanted = |log: &&ledger::Log| {
            log.address == module
                && log.topics.first() == Some(&E::SIGNATURE_HASH)
                && arguments
                    .iter()
                    .zip(log.topics.iter().skip(1))
                    .all(|(argument, topic)| argument.is_null() || *argument == json!(topic))
        };
        let events: Vec<Proven<E>> = receipt
            .logs
            .iter()
            .filter(wanted)
            .filter_map(|log| E::decode_raw_log(log.topics.iter().copied(), &log.data).ok())
            .map(|event| Proven { event, height })
            .collect();
        if events.is_empty() {
            return Err(self.lie(format!("an event that transaction {transaction} did not emit")));
        }
        Ok(events)
    }
}
