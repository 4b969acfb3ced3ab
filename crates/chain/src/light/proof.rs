//! What a verified header proves: a word of state, or a receipt with its events.

use super::{LightError, VerifiedHeader};
use crate::{
    receipt::{ReceiptError, TransactionReceipt, decode_block_logs, leaf_hash},
    state::{Exclusion, Inclusion, Word, WordProof, to_fixed},
};
use alloy_primitives::B256;
use bytes::{BufMut, Bytes};
use commonware_codec::{
    Buf, DecodeExt as _, EncodeSize, Error as CodecError, RangeCfg, Read, ReadExt as _, Write,
};
use commonware_cryptography::Sha256;
use commonware_storage::qmdb::any::value::FixedEncoding;
use ledger::Log;
use primitives::{encoding::MAX_LENGTH, merkle};

/// Most digests of a word's proof: paths in a log of up to 2^60 operations.
const MAX_DIGESTS: usize = 256;

/// A word of state and its proof.
#[derive(Debug)]
pub struct WordEvidence {
    /// The slot.
    pub slot: B256,
    /// Its word; zero when absent.
    pub word: B256,
    /// Inclusion of the word, or exclusion of the slot.
    pub proof: WordProof,
}

impl WordEvidence {
    /// Reads the bytes that `openledger_getProof` gives for a slot.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, LightError> {
        Ok(Self::decode(bytes)?)
    }

    /// The word, if the proof holds against the header's state root.
    pub fn verify(&self, header: &VerifiedHeader) -> Option<B256> {
        let (key, root) = (to_fixed(&self.slot), &header.header().state_root);
        let holds = match &self.proof {
            WordProof::Inclusion(proof) => {
                self.word != B256::ZERO
                    && proof.verify::<Sha256, FixedEncoding<Word>>(key, to_fixed(&self.word), root)
            }
            WordProof::Exclusion(proof) => self.word == B256::ZERO && proof.verify::<Sha256>(&key, root),
        };
        holds.then_some(self.word)
    }
}

const INCLUSION_TAG: u8 = 1;
const EXCLUSION_TAG: u8 = 0;

impl Write for WordEvidence {
    fn write(&self, buf: &mut impl BufMut) {
        self.slot.0.write(buf);
        self.word.0.write(buf);
        match &self.proof {
            WordProof::Inclusion(proof) => {
                INCLUSION_TAG.write(buf);
                proof.write(buf);
            }
            WordProof::Exclusion(proof) => {
                EXCLUSION_TAG.write(buf);
                proof.write(buf);
            }
        }
    }
}

impl EncodeSize for WordEvidence {
    fn encode_size(&self) -> usize {
        65 + match &self.proof {
            WordProof::Inclusion(proof) => proof.encode_size(),
            WordProof::Exclusion(proof) => proof.encode_size(),
        }
    }
}

impl Read for WordEvidence {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, CodecError> {
        let slot = B256::from(<[u8; 32]>::read(buf)?);
        let word = B256::from(<[u8; 32]>::read(buf)?);
        let proof = match u8::read(buf)? {
            INCLUSION_TAG => WordProof::Inclusion(Inclusion::read_cfg(buf, &(MAX_DIGESTS, ()))?),
            EXCLUSION_TAG => WordProof::Exclusion(Exclusion::read_cfg(buf, &(MAX_DIGESTS, (), ()))?),
            tag => return Err(CodecError::InvalidEnum(tag)),
        };
        Ok(Self { slot, word, proof })
    }
}

/// One leaf under a receipts root: a transaction's receipt, or the block's own events.
#[derive(Clone, Debug)]
pub struct EventProof {
    /// The encoded leaf.
    pub leaf: Bytes,
    /// Its place and path.
    pub path: merkle::Proof,
}

/// What an [`EventProof`] proves.
#[derive(Clone, Debug, PartialEq)]
pub enum VerifiedReceipt {
    /// A transaction's receipt and its index in the block.
    Transaction(u64, TransactionReceipt),
    /// Events of the block itself.
    Block(Vec<Log>),
}

/// Why a receipt is not proven.
#[derive(Debug, thiserror::Error)]
pub enum EventProofError {
    /// The path does not lead to the header's receipts root.
    #[error("the path does not lead to the block's receipts root")]
    Path,
    /// The leaf is no receipt.
    #[error(transparent)]
    Leaf(#[from] ReceiptError),
}

impl EventProof {
    /// Reads the bytes that `openledger_getReceiptProof` gives.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, LightError> {
        Ok(Self::decode(bytes)?)
    }

    /// The receipt, if the path leads to the header's receipts root.
    pub fn verify(&self, header: &VerifiedHeader) -> Result<VerifiedReceipt, EventProofError> {
        if !self.path.verify(&header.header().receipts_root, &leaf_hash(&self.leaf)) {
            return Err(EventProofError::Path);
        }
        // The last leaf is the block's own, the ones before are transactions'.
        if self.path.index + 1 == self.path.count {
            return Ok(VerifiedReceipt::Block(decode_block_logs(&self.leaf)?));
        }
        Ok(VerifiedReceipt::Transaction(self.path.index, TransactionReceipt::decode(&self.leaf)?))
    }
}

impl Write for EventProof {
    fn write(&self, buf: &mut impl BufMut) {
        self.leaf.write(buf);
        self.path.index.write(buf);
        self.path.count.write(buf);
        self.path.path.iter().map(|digest| digest.0).collect::<Vec<[u8; 32]>>().write(buf);
    }
}

impl EncodeSize for EventProof {
    fn encode_size(&self) -> usize {
        let path: Vec<[u8; 32]> = self.path.path.iter().map(|digest| digest.0).collect();
        self.leaf.encode_size() + 16 + path.encode_size()
    }
}

impl Read for EventProof {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, CodecError> {
        let leaf = Bytes::read_cfg(buf, &RangeCfg::from(1..=MAX_LENGTH))?;
        let (index, count) = (u64::read(buf)?, u64::read(buf)?);
        let path = Vec::<[u8; 32]>::read_cfg(buf, &(RangeCfg::from(0..=merkle::MAX_DEPTH), ()))?;
        let path = merkle::Proof { index, count, path: path.into_iter().map(B256::from).collect() };
        Ok(Self { leaf, path })
    }
}
