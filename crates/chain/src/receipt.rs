//! What a block's execution produced: receipts, events, and the root over them.
//!
//! Leaves of the receipts root are the encodings of the transactions' receipts in order, then one last leaf
//! with the block's own events (those of its end phase, which no transaction caused). So one Merkle path
//! proves a receipt with all of its events, or that a transaction failed.

use crate::block::MAX_BLOCK_TRANSACTIONS;
use alloy_primitives::{B256, Bytes};
use ledger::{Log, Receipt};
use primitives::{
    Domain,
    encoding::{DecodeError, MAX_LENGTH, Reader, Writer},
    hash::hash,
    merkle,
};

/// Most topics of an event, as in Ethereum.
pub const MAX_TOPICS: usize = 4;
/// Most events of one receipt.
pub const MAX_LOGS: usize = 1 << 16;

const RECEIPT_TAG: u8 = 0;
const BLOCK_TAG: u8 = 1;

/// Results of a block's transactions, and the events of its end phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// One receipt for each transaction, in order.
    pub receipts: Vec<TransactionReceipt>,
    /// Events of the block itself.
    pub block_logs: Vec<Log>,
}

/// A receipt together with the hash of its transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionReceipt {
    /// Hash of the transaction.
    pub transaction: B256,
    /// Whether the call succeeded.
    pub success: bool,
    /// Gas used by this transaction alone.
    pub gas_used: u64,
    /// Price per gas that was paid.
    pub effective_gas_price: u128,
    /// Returned data, or the revert reason.
    pub output: Bytes,
    /// Events in order; empty when the call failed.
    pub logs: Vec<Log>,
}

impl TransactionReceipt {
    /// The ledger's receipt of `transaction`.
    pub fn new(transaction: B256, receipt: Receipt) -> Self {
        Self {
            transaction,
            success: receipt.success,
            gas_used: receipt.gas_used,
            effective_gas_price: receipt.effective_gas_price,
            output: receipt.output,
            logs: receipt.logs,
        }
    }

    /// Canonical bytes, of which the receipts root has the hash.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(RECEIPT_TAG).hash(&self.transaction).u8(self.success.into()).u64(self.gas_used);
        writer.u128(self.effective_gas_price).bytes(&self.output);
        write_logs(&mut writer, &self.logs);
        writer.finish()
    }

    /// Reads [`Self::encode`]'s bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let mut reader = Reader::new(bytes);
        expect(&mut reader, RECEIPT_TAG)?;
        let transaction = reader.hash()?;
        let success = match reader.u8()? {
            0 => false,
            1 => true,
            other => return Err(ReceiptError::NotABool(other)),
        };
        let receipt = Self {
            transaction,
            success,
            gas_used: reader.u64()?,
            effective_gas_price: reader.u128()?,
            output: reader.bytes(MAX_LENGTH)?.to_vec().into(),
            logs: read_logs(&mut reader)?,
        };
        reader.finish()?;
        Ok(receipt)
    }
}

impl Outcome {
    /// Gas of all transactions.
    pub fn gas_used(&self) -> u64 {
        self.receipts.iter().map(|receipt| receipt.gas_used).sum()
    }

    /// The leaves under the receipts root, encoded.
    pub fn leaves(&self) -> Vec<Vec<u8>> {
        let mut leaves: Vec<Vec<u8>> = self.receipts.iter().map(TransactionReceipt::encode).collect();
        leaves.push(encode_block_logs(&self.block_logs));
        leaves
    }

    /// The tree under a block's receipts root.
    pub fn tree(&self) -> merkle::Tree {
        merkle::Tree::new(self.leaves().iter().map(|leaf| leaf_hash(leaf)).collect())
    }

    /// Canonical bytes of everything, for storage.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.list(&self.leaves(), |writer, leaf| {
            writer.bytes(leaf);
        });
        writer.finish()
    }

    /// Reads [`Self::encode`]'s bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let mut reader = Reader::new(bytes);
        let mut leaves = reader.list(MAX_BLOCK_TRANSACTIONS + 1, |reader| reader.bytes(MAX_LENGTH))?;
        reader.finish()?;
        let block_logs = decode_block_logs(leaves.pop().ok_or(ReceiptError::NoBlockLogs)?)?;
        let receipts = leaves.into_iter().map(TransactionReceipt::decode).collect::<Result<_, _>>()?;
        Ok(Self { receipts, block_logs })
    }
}

/// Why bytes are no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not the canonical encoding.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// The leaf is of another kind.
    #[error("leaf of kind {found}, expected {expected}")]
    Kind {
        /// Tag in the bytes.
        found: u8,
        /// Tag of the kind asked for.
        expected: u8,
    },
    /// Leaves without the last one.
    #[error("an outcome without the leaf of the block's own events")]
    NoBlockLogs,
    /// Success is neither 0 nor 1.
    #[error("{0} is not a truth value")]
    NotABool(u8),
}

/// Digest of an encoded leaf under the receipts root.
pub fn leaf_hash(leaf: &[u8]) -> B256 {
    hash(Domain::Receipt, leaf)
}

/// The leaf with a block's own events.
pub fn encode_block_logs(logs: &[Log]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(BLOCK_TAG);
    write_logs(&mut writer, logs);
    writer.finish()
}

/// Reads [`encode_block_logs`]' bytes.
pub fn decode_block_logs(bytes: &[u8]) -> Result<Vec<Log>, ReceiptError> {
    let mut reader = Reader::new(bytes);
    expect(&mut reader, BLOCK_TAG)?;
    let logs = read_logs(&mut reader)?;
    reader.finish()?;
    Ok(logs)
}

fn expect(reader: &mut Reader<'_>, expected: u8) -> Result<(), ReceiptError> {
    let found = reader.u8()?;
    if found == expected { Ok(()) } else { Err(ReceiptError::Kind { found, expected }) }
}

fn write_logs(writer: &mut Writer, logs: &[Log]) {
    writer.list(logs, |writer, log| {
        writer.address(&log.address);
        writer.list(&log.topics, |writer, topic| {
            writer.hash(topic);
        });
        writer.bytes(&log.data);
    });
}

fn read_logs(reader: &mut Reader<'_>) -> Result<Vec<Log>, DecodeError> {
    reader.list(MAX_LOGS, |reader| {
        let address = reader.address()?;
        let topics = reader.list(MAX_TOPICS, |reader| reader.hash())?;
        let data = reader.bytes(MAX_LENGTH)?.to_vec().into();
        Ok(Log { address, topics, data })
    })
}
